//! Tests of framing, the tag table and the byte budget.

use std::collections::HashSet;

use proptest::prelude::*;

use super::budget::*;
use super::codec::*;
use super::*;
use crate::id::MessageId;

const ID: MessageId = MessageId::from_bytes([0xA5; 16]);

/// One annotated frame per tag: `shared/tests/vectors/frames.txt`.
const FRAMES: &str = include_str!("../../tests/vectors/frames.txt");

#[test]
fn every_tag_has_its_annotated_frame() {
    let mut seen = HashSet::new();
    for line in FRAMES
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
    {
        let (name, hex) = line.split_once(':').expect("name: hex");
        let hex: String = hex
            .split('|')
            .flat_map(str::chars)
            .filter(|c| !c.is_whitespace())
            .collect();
        let bytes: Vec<u8> = (0..hex.len() / 2)
            .map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())
            .collect();
        let frame = decode_frame(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(frame.tag.name(), name);
        assert_eq!(
            encode_frame(frame.tag, frame.id, frame.payload),
            bytes,
            "{name}"
        );
        assert!(seen.insert(frame.tag), "{name} twice");
    }
    for tag in Tag::ALL {
        assert!(
            seen.contains(tag),
            "{} has no frame in frames.txt",
            tag.name()
        );
    }
}

#[test]
fn tags_are_unique_and_survive_the_round_trip() {
    let numbers: HashSet<u16> = Tag::ALL.iter().map(|tag| *tag as u16).collect();
    assert_eq!(numbers.len(), Tag::ALL.len());
    for tag in Tag::ALL {
        assert_eq!(Tag::try_from(*tag as u16), Ok(*tag));
    }
    assert_eq!(Tag::try_from(0x7FFF), Err(UnknownTag(0x7FFF)));
}

#[test]
fn fault_10_short_and_overlong_frames_are_errors() {
    let frame = encode_frame(Tag::Ping, ID, b"hello");
    for length in 0..frame.len() {
        assert_eq!(
            decode_frame(&frame[..length]),
            Err(FrameError::Truncated),
            "{length}"
        );
    }
    let mut longer = frame.clone();
    longer.push(0);
    assert_eq!(decode_frame(&longer), Err(FrameError::Trailing));
    let mut overflow = frame;
    overflow.truncate(36);
    overflow[8..12].copy_from_slice(&u32::MAX.to_be_bytes());
    assert_eq!(
        decode_frame(&overflow),
        Err(FrameError::TooLarge {
            tag: Tag::Ping,
            length: u32::MAX
        })
    );
}

#[test]
fn fault_15_a_length_is_refused_before_its_payload_exists() {
    for tag in Tag::ALL {
        let length = u32::try_from(tag.max_payload()).unwrap() + 1;
        let header = Header {
            tag: *tag,
            length,
            flags: 0,
            id: ID,
        }
        .encode();
        assert_eq!(
            decode_frame(&header),
            Err(FrameError::TooLarge { tag: *tag, length })
        );
    }
}

#[test]
fn foreign_bytes_are_named() {
    let mut frame = encode_frame(Tag::Ping, ID, b"");
    frame[0] ^= 1;
    assert_eq!(decode_frame(&frame), Err(FrameError::Magic));
    frame[0] ^= 1;
    frame[5] = 1;
    assert_eq!(decode_frame(&frame), Err(FrameError::Version(0x0101)));
    frame[5] = 0;
    frame[15] = 1;
    assert_eq!(decode_frame(&frame), Err(FrameError::Flags(1)));
    frame[15] = 0;
    frame[12] = 0x80;
    assert!(
        decode_frame(&frame).is_ok(),
        "flags of the high half are ignored"
    );
}

#[test]
fn padding_is_zeros_and_nothing_else() {
    let mut padded = encode_padded_frame(Tag::PutReply, ID, b"abc", 100).unwrap();
    assert_eq!(padded.len(), 100);
    assert_eq!(decode_padded_frame(&padded).unwrap().payload, b"abc");
    padded[99] = 1;
    assert_eq!(decode_padded_frame(&padded), Err(FrameError::Trailing));
    assert!(encode_padded_frame(Tag::PutReply, ID, &[0; 69], 100).is_none());
}

#[test]
fn bodies_are_bounded() {
    let long = to_cbor(&BoundedBytes::<9>::new(vec![1; 9]).unwrap());
    assert_eq!(
        from_cbor::<BoundedBytes<8>>(&long, 100),
        Err(CodecError::Malformed)
    );
    assert_eq!(
        from_cbor::<BoundedBytes<9>>(&long, 9),
        Err(CodecError::TooLong(9))
    );
    let mut trailing = long;
    trailing.push(0);
    assert_eq!(
        from_cbor::<BoundedBytes<9>>(&trailing, 100),
        Err(CodecError::Trailing)
    );
    assert!(BoundedText::<3>::new("four").is_err());
    // An array that announces 2^32 items in five bytes.
    let bomb = [0x9a, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(
        from_cbor::<BoundedList<u8, 1000>>(&bomb, 100),
        Err(CodecError::Malformed)
    );
}

#[test]
fn budget_matches_the_protocol_document() {
    let document = include_str!("../../../docs/PROTOCOL.md");
    let row = |name: &str, values: [String; 3]| {
        let line = document
            .lines()
            .find(|line| line.starts_with(&format!("| {name} |")))
            .unwrap_or_else(|| panic!("{name}"));
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        assert_eq!(
            &cells[3..6],
            &values.each_ref().map(String::as_str),
            "{name}"
        );
    };
    let suites = [X25519_CT_LEN, XWING_CT_LEN, RSA4096_CT_LEN];
    let one = |f: fn(usize) -> usize| suites.map(|ct| f(ct).to_string());
    let pair = |f: fn(usize, usize) -> usize| {
        suites.map(|ct| format!("{} / {}", f(ct, CAPACITY_MESSAGE), f(ct, CAPACITY_BULK)))
    };
    row("KEM ciphertext `ct`", one(|ct| ct));
    row("routing command", one(|_| COMMAND_LEN));
    row("hop slot", one(|ct| COMMAND_LEN + ct));
    row("routing block", one(routing_len));
    row("onion header", one(onion_header_len));
    row("reply block (SURB)", one(surb_len));
    row(
        "body, class `message`",
        one(|ct| body_len(ct, CAPACITY_MESSAGE)),
    );
    row("body, class `bulk`", one(|ct| body_len(ct, CAPACITY_BULK)));
    row(
        "packet, class `message`",
        one(|ct| packet_len(ct, CAPACITY_MESSAGE)),
    );
    row(
        "packet, class `bulk`",
        one(|ct| packet_len(ct, CAPACITY_BULK)),
    );
    row(
        "frame of a packet, `message` / `bulk`",
        pair(|ct, cap| HEADER_LEN + packet_len(ct, cap)),
    );
    row(
        "delivery to a client, `message` / `bulk`",
        pair(|ct, cap| HEADER_LEN + 16 + body_len(ct, cap)),
    );
    assert_eq!(FRAGMENT_LEN, 6864);
    assert_eq!(FRAGMENT_DATA_LEN, 6842);
    assert_eq!(RATCHET_HEADER_LEN, 2312);
    const {
        assert!(
            FRAGMENT_DATA_LEN - RATCHET_HEADER_LEN - 16 - HEADER_LEN - 64
                >= SINGLE_ENVELOPE_CONTENT
        )
    };
    // A put carries the envelope, mailbox, id, permit and their CBOR heads within one `message` packet.
    const {
        assert!(
            HEADER_LEN + 1 + (1 + 3 + ENVELOPE_LEN) + (2 + 20) + (2 + 16) + (3 + 32)
                <= CAPACITY_MESSAGE
        )
    };
    // Three envelopes and their ids fit one `bulk` packet.
    const { assert!(HEADER_LEN + 3 * (ENVELOPE_LEN + 16 + 10) + 32 <= CAPACITY_BULK) };
    // A full stock of X25519 reply blocks fits one `bulk` subscription.
    assert!(32 * (surb_len(X25519_CT_LEN) + 3) + 1024 + 512 <= CAPACITY_BULK);
    // A post-quantum first message takes two or three fragments.
    let first = 560 + 1952 + 4096 + 1240 + RATCHET_HEADER_LEN;
    assert_eq!(first.div_ceil(FRAGMENT_DATA_LEN), 2);
    assert_eq!(
        (first + SINGLE_ENVELOPE_CONTENT).div_ceil(FRAGMENT_DATA_LEN),
        3
    );
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode_frame(&bytes);
        let _ = from_cbor::<link::Handshake>(&bytes, 1000);
        let _ = from_cbor::<link::Directory>(&bytes, 1000);
    }

    #[test]
    fn frames_round_trip(index in 0..Tag::ALL.len(), payload in proptest::collection::vec(any::<u8>(), 0..64)) {
        let frame = encode_frame(Tag::ALL[index], ID, &payload);
        let decoded = decode_frame(&frame).unwrap();
        prop_assert_eq!(decoded.payload, &payload[..]);
        prop_assert_eq!(decoded.tag, Tag::ALL[index]);
    }
}
