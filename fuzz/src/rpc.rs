//! Requests to relays and their replies.

use zentalk_shared::id::Address;
use zentalk_shared::onion::Class;
use zentalk_shared::rpc::{
    AccountContents, MailboxDescriptor, ReplicatePut, ReplicatePutAck, ReplicateTombstoneAck,
    Reply, Request, SwarmDescriptor, SwarmIds, SwarmSummary, SwarmWant, Tombstone,
};
use zentalk_shared::time::Timestamp;
use zentalk_shared::wire::codec::{from_cbor, to_cbor};
use zentalk_shared::wire::{Tag, decode_frame};

/// Of the account whose record contents are in the corpus, as in `shared/tests/vectors/rpc.txt`.
const ALICE: Address = Address::from_bytes([
    0x9f, 0xd2, 0xad, 0x99, 0x0a, 0x03, 0x5c, 0x93, 0x11, 0xea, 0xd7, 0x9e, 0x2e, 0x21, 0xb3, 0x16,
    0x49, 0x9a, 0xbc, 0x97, 0x9f, 0x3c, 0xbf, 0x2b, 0x0b, 0x70, 0x8f, 0xf7, 0x87, 0x57, 0xec, 0x32,
]);

/// Every signature down from Alice's address is checked: what passes is what she signed.
pub(crate) fn record_contents(data: &[u8]) {
    let now = Timestamp::from_secs(1_700_000_000);
    if let Ok(contents) = AccountContents::verify(data, &ALICE, now) {
        for device in &contents.devices {
            assert!(contents.list.contains(&device.certificate));
            assert_eq!(device.certificate.address(), ALICE);
        }
    }
}

pub(crate) fn messages(data: &[u8]) {
    if let Ok((id, request)) = Request::decode(data)
        && let Ok(bytes) = request.encode(id, Class::Bulk)
    {
        assert_eq!(Request::decode(&bytes), Ok((id, request)));
    }
    if let Ok((id, reply)) = Reply::decode(data)
        && let Ok(bytes) = reply.encode(id, Class::Bulk)
    {
        assert_eq!(Reply::decode(&bytes), Ok((id, reply)));
    }
}

macro_rules! round_trip {
    ($body:ty, $bytes:expr) => {
        if let Ok(body) = from_cbor::<$body>($bytes, $bytes.len()) {
            let again = to_cbor(&body);
            assert_eq!(from_cbor::<$body>(&again, again.len()), Ok(body));
        }
    };
}

/// What members of a swarm send each other, as frames.
pub(crate) fn between_members(data: &[u8]) {
    let Ok(frame) = decode_frame(data) else {
        return;
    };
    let bytes = frame.payload;
    match frame.tag {
        Tag::ReplicatePut => round_trip!(ReplicatePut, bytes),
        Tag::ReplicatePutAck => round_trip!(ReplicatePutAck, bytes),
        Tag::ReplicateTombstone => round_trip!(Tombstone, bytes),
        Tag::ReplicateTombstoneAck => round_trip!(ReplicateTombstoneAck, bytes),
        Tag::SwarmSummary => round_trip!(SwarmSummary, bytes),
        Tag::SwarmIds => round_trip!(SwarmIds, bytes),
        Tag::SwarmWant => round_trip!(SwarmWant, bytes),
        Tag::SwarmDescriptor => {
            round_trip!(SwarmDescriptor, bytes);
            let told = from_cbor::<SwarmDescriptor>(bytes, bytes.len());
            if let Ok(told) = told
                && let Ok(verified) = MailboxDescriptor::verify(&told.descriptor)
            {
                assert!(verified.members().len() >= verified.active().len());
            }
        }
        _ => {}
    }
}
