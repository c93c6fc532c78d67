//! The byte budget: every size that shows on a wire. PROTOCOL §1 is the same table; the test
//! `budget_matches_the_protocol_document` recomputes it.

/// Length of the header that opens every frame.
pub const HEADER_LEN: usize = 32;
/// Zero bytes at the front of an onion body, its integrity check.
pub const BODY_CHECK_LEN: usize = 32;
/// Routing command of one hop.
pub const COMMAND_LEN: usize = 64;
/// Hops that a packet has room for.
pub const MAX_HOPS: usize = 4;
/// Version, suite and epoch in front of a packet.
pub const PREFIX_LEN: usize = 4;
/// MAC of an onion header.
pub const ONION_MAC_LEN: usize = 16;
/// What a reply block holds besides its header: first hop, reply key, expiry.
pub const SURB_EXTRA_LEN: usize = 20 + 32 + 4;
/// Payload of a `message` packet, in every suite.
pub const CAPACITY_MESSAGE: usize = 8192;
/// Payload of a `bulk` packet, in every suite.
pub const CAPACITY_BULK: usize = 28_672;

/// KEM ciphertext of the X25519 suite.
pub const X25519_CT_LEN: usize = 32;
/// KEM ciphertext of the X-Wing suite.
pub const XWING_CT_LEN: usize = 1120;
/// KEM ciphertext of the RSA-4096 suite.
pub const RSA4096_CT_LEN: usize = 512;

/// Routing block of a suite with ciphertexts of `ct` bytes.
pub const fn routing_len(ct: usize) -> usize {
    MAX_HOPS * COMMAND_LEN + (MAX_HOPS - 1) * ct
}

/// Onion header: prefix, ciphertext, MAC, routing block.
pub const fn onion_header_len(ct: usize) -> usize {
    PREFIX_LEN + ct + ONION_MAC_LEN + routing_len(ct)
}

/// Reply block.
pub const fn surb_len(ct: usize) -> usize {
    onion_header_len(ct) + SURB_EXTRA_LEN
}

/// Onion body with a payload of `capacity` bytes.
pub const fn body_len(ct: usize, capacity: usize) -> usize {
    BODY_CHECK_LEN + surb_len(ct) + capacity
}

/// Whole packet with a payload of `capacity` bytes.
pub const fn packet_len(ct: usize, capacity: usize) -> usize {
    onion_header_len(ct) + body_len(ct, capacity)
}

/// The longest packet: X-Wing, `bulk`.
pub const MAX_PACKET_LEN: usize = packet_len(XWING_CT_LEN, CAPACITY_BULK);
/// The longest delivery: SURB id and a `bulk` X-Wing body.
pub const MAX_DELIVER_LEN: usize = 16 + body_len(XWING_CT_LEN, CAPACITY_BULK);
/// The longest rpc payload: `bulk` capacity less the frame header.
pub const MAX_RPC_LEN: usize = CAPACITY_BULK - HEADER_LEN;

/// Sealed envelope, always.
pub const ENVELOPE_LEN: usize = 8000;
/// What HPKE adds: X-Wing ciphertext and AEAD tag.
pub const ENVELOPE_OVERHEAD: usize = XWING_CT_LEN + 16;
/// A fragment: the plaintext of an envelope.
pub const FRAGMENT_LEN: usize = ENVELOPE_LEN - ENVELOPE_OVERHEAD;
/// Set id, index, count, length.
pub const FRAGMENT_HEADER_LEN: usize = 16 + 2 + 2 + 2;
/// Data of one fragment.
pub const FRAGMENT_DATA_LEN: usize = FRAGMENT_LEN - FRAGMENT_HEADER_LEN;
/// Ratchet header: dh, ek, ct, pn, n.
pub const RATCHET_HEADER_LEN: usize = 32 + 1184 + 1088 + 4 + 4;
/// The largest content frame: 1 MiB behind the frame header.
pub const MAX_CONTENT_LEN: usize = HEADER_LEN + (1 << 20);
/// The largest session message that fragments carry: the largest content, and 16 KiB for what goes with
/// it, the identity of a first message included.
pub const MAX_SESSION_MESSAGE_LEN: usize = (1 << 20) + 16 * 1024;
/// Content that is promised to fit one envelope once a session is established.
pub const SINGLE_ENVELOPE_CONTENT: usize = 4400;
