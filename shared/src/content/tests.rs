//! Tests of content.

use super::*;
use crate::crypto::Secret32;
use crate::identity::DirectorySecret;
use crate::identity::test_support::{MADE, certificate, device};
use crate::test_support::{hex, rng};
use crate::time::Timestamp;
use crate::wire::codec::to_cbor;
use crate::wire::codec::{BoundedBytes, BoundedList, BoundedText};

const ID: MessageId = MessageId::from_bytes([0xa5; 16]);
const NOW: Timestamp = Timestamp::from_ms(1_800_000_000_000);

fn introduction() -> Introduction {
    let device = device(1);
    Introduction {
        name: BoundedText::new("Ada").unwrap(),
        directory_key: DirectorySecret::random(&mut rng(1)).public(),
        mailbox: BoundedBytes::new([7; 300]).unwrap(),
        write_secret: Secret32::from_bytes([9; 32]),
        sealing_key: device.publish_sealing_key(),
    }
}

fn message(text: &str) -> Content {
    Content::Message(DirectMessage {
        sent_at: NOW,
        list_sequence: 3,
        text: Some(BoundedText::new(text).unwrap()),
        introduction: None,
    })
}

fn all() -> Vec<Content> {
    let ids = ReceiptIds::new(vec![ID; 3]).unwrap();
    vec![
        message("hello"),
        Content::Message(DirectMessage {
            sent_at: NOW,
            list_sequence: 3,
            text: None,
            introduction: Some(introduction()),
        }),
        Content::Receipt(Receipt {
            kind: ReceiptKind::Read,
            ids,
            at: NOW,
        }),
        Content::Profile(ProfileUpdate {
            sent_at: NOW,
            list_sequence: 3,
            introduction: introduction(),
        }),
        Content::Typing(Typing {
            active: true,
            at: NOW,
        }),
        Content::Presence(Presence {
            availability: Availability::Away,
            at: NOW,
        }),
    ]
}

#[test]
fn every_kind_survives() {
    for content in all() {
        let bytes = content.encode(ID);
        assert_eq!(Content::decode(&bytes).unwrap(), (ID, content));
    }
}

#[test]
fn cut_short_or_longer_is_refused() {
    for content in all() {
        let bytes = content.encode(ID);
        for len in (0..bytes.len()).step_by(7) {
            assert!(Content::decode(&bytes[..len]).is_err());
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert_eq!(
            Content::decode(&longer),
            Err(ContentError::Frame(FrameError::Trailing))
        );
    }
}

#[test]
fn bodies_are_as_the_protocol_says() {
    let body = |content: &Content| hex(&content.encode(ID)[32..]);
    let time = "1b000001a3185c5000"; // 1 800 000 000 000
    assert_eq!(
        body(&message("hi")),
        format!("a300{time}0103026268 69").replace(' ', "")
    );
    let typing = Content::Typing(Typing {
        active: true,
        at: NOW,
    });
    assert_eq!(body(&typing), format!("a200f501{time}"));
    let presence = Content::Presence(Presence {
        availability: Availability::Online,
        at: NOW,
    });
    assert_eq!(body(&presence), format!("a2000101{time}"));
    let ids = ReceiptIds::new(vec![ID]).unwrap();
    let receipt = Content::Receipt(Receipt {
        kind: ReceiptKind::Delivered,
        ids,
        at: NOW,
    });
    assert_eq!(
        body(&receipt),
        format!("a30001018150{}02{time}", "a5".repeat(16))
    );
}

#[test]
fn other_types_and_unknown_ones_are_unsupported() {
    let ping = encode_frame(Tag::Ping, ID, b"x");
    assert_eq!(
        Content::decode(&ping),
        Err(ContentError::Unsupported(0x0007))
    );
    let group = encode_frame(Tag::GroupMessage, ID, b"x");
    assert_eq!(
        Content::decode(&group),
        Err(ContentError::Unsupported(0x0004))
    );
    let mut unknown = ping;
    unknown[6..8].copy_from_slice(&[0x77, 0x77]);
    assert_eq!(
        Content::decode(&unknown),
        Err(ContentError::Unsupported(0x7777))
    );
}

#[test]
fn unknown_keys_are_passed_over() {
    // {0: true, 1: 5, 9: "later"}
    let body = [
        &[0xa3, 0x00, 0xf5, 0x01, 0x05, 0x09, 0x65],
        b"later".as_slice(),
    ]
    .concat();
    let (_, content) = Content::decode(&encode_frame(Tag::Typing, ID, &body)).unwrap();
    assert_eq!(
        content,
        Content::Typing(Typing {
            active: true,
            at: Timestamp::from_ms(5)
        })
    );
}

#[test]
fn texts_are_bounded_utf_8() {
    let longest = "x".repeat(MAX_TEXT_LEN);
    let bytes = message(&longest).encode(ID);
    assert!(Content::decode(&bytes).is_ok());
    assert!(BoundedText::<MAX_TEXT_LEN>::new("x".repeat(MAX_TEXT_LEN + 1)).is_err());

    // One byte more than is allowed, as a sender without our bounds would write it.
    let header = [0xa3, 0x00, 0x05, 0x01, 0x03, 0x02, 0x79, 0x40, 0x01];
    let too_long = [header.as_slice(), "x".repeat(MAX_TEXT_LEN + 1).as_bytes()].concat();
    let frame = encode_frame(Tag::DirectMessage, ID, &too_long);
    assert_eq!(
        Content::decode(&frame),
        Err(ContentError::Body(CodecError::Malformed))
    );

    let not_utf_8 = [0xa3, 0x00, 0x05, 0x01, 0x03, 0x02, 0x62, 0xc3, 0x28];
    let frame = encode_frame(Tag::DirectMessage, ID, &not_utf_8);
    assert_eq!(
        Content::decode(&frame),
        Err(ContentError::Body(CodecError::Malformed))
    );
}

#[test]
fn receipts_name_one_to_a_thousand_messages() {
    assert!(ReceiptIds::new(vec![]).is_err());
    assert!(ReceiptIds::new(vec![ID; MAX_RECEIPT_IDS + 1]).is_err());
    let ids = ReceiptIds::new(vec![ID; MAX_RECEIPT_IDS]).unwrap();
    let full = Content::Receipt(Receipt {
        kind: ReceiptKind::Read,
        ids,
        at: NOW,
    })
    .encode(ID);
    assert!(Content::decode(&full).is_ok());
    let empty = [0xa3, 0x00, 0x01, 0x01, 0x80, 0x02, 0x05];
    let frame = encode_frame(Tag::Receipt, ID, &empty);
    assert_eq!(
        Content::decode(&frame),
        Err(ContentError::Body(CodecError::Malformed))
    );
}

#[test]
fn an_introduction_verifies_against_the_certificate_and_hides_its_secret() {
    let (introduction, mailbox) = (introduction(), device(1).mailbox().id());
    assert!(
        introduction
            .sealing_key
            .clone()
            .verify(&certificate(1, 1), mailbox)
            .is_ok()
    );
    assert!(
        introduction
            .sealing_key
            .clone()
            .verify(&certificate(1, 2), mailbox)
            .is_err()
    );
    assert!(
        introduction
            .sealing_key
            .clone()
            .verify(&certificate(1, 1), mailbox)
            .unwrap()
            .is_usable(MADE)
    );
    assert_eq!(
        format!("{introduction:?}"),
        "Introduction { name: \"Ada\", .. }"
    );
}

#[test]
fn bounds_fit_the_frames() {
    // The largest bodies stay within the bound of their types.
    let mut largest = introduction();
    largest.name = BoundedText::new("x".repeat(MAX_NAME_LEN)).unwrap();
    largest.mailbox = BoundedBytes::new(vec![7; MAX_MAILBOX_DESCRIPTOR_LEN]).unwrap();
    let update = ProfileUpdate {
        sent_at: Timestamp::MAX,
        list_sequence: u64::MAX,
        introduction: largest,
    };
    assert!(to_cbor(&update).len() < Tag::ProfileUpdate.max_payload());
    let ids = BoundedList::<MessageId, MAX_RECEIPT_IDS>::new(vec![ID; MAX_RECEIPT_IDS]).unwrap();
    assert!(to_cbor(&ids).len() + 20 < Tag::Receipt.max_payload());
}

#[test]
fn names_are_made_fit_to_be_shown() {
    let shown = |name: &str| display_name(name);
    assert_eq!(shown("  Ada   Lovelace "), Some("Ada Lovelace".into()));
    assert_eq!(shown("Ada\r\n\tLovelace"), Some("Ada Lovelace".into()));
    assert_eq!(shown("Ada\u{202E}ecalevoL"), Some("Ada ecalevoL".into()));
    assert_eq!(shown("\u{2066}\u{200F}Ada\u{2069}"), Some("Ada".into()));
    assert_eq!(shown("A\u{0}d\u{7f}a"), Some("A d a".into()));
    assert_eq!(shown("محمد"), Some("محمد".into()));
    assert_eq!(
        shown("👩\u{200D}🚀 Ada ❤\u{FE0F}"),
        Some("👩\u{200D}🚀 Ada ❤\u{FE0F}".into())
    );
    for nothing in [
        "",
        "   ",
        "\u{202E}\u{200B}",
        "\u{3164}\u{2800}",
        "\u{200D}\u{FE0F}",
    ] {
        assert_eq!(shown(nothing), None, "{nothing:?}");
    }
}

#[test]
fn names_are_cut_at_64_characters() {
    let long = display_name(&"ж".repeat(100)).unwrap();
    assert_eq!(long.chars().count(), MAX_NAME_CHARS);
    let spaced = display_name(&format!("{} b", "a".repeat(63))).unwrap();
    assert_eq!(spaced, "a".repeat(63));
    assert_eq!(
        display_name(&long).as_deref(),
        Some(long.as_str()),
        "stays as it is"
    );
}

proptest::proptest! {
    #[test]
    fn any_bytes_decode_or_are_refused(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        if let Ok((id, content)) = Content::decode(&bytes) {
            proptest::prop_assert_eq!(Content::decode(&content.encode(id)), Ok((id, content)));
        }
    }

    #[test]
    fn sanitising_is_idempotent_and_bounded(name: String) {
        if let Some(shown) = display_name(&name) {
            proptest::prop_assert!(shown.chars().count() <= MAX_NAME_CHARS);
            proptest::prop_assert!(!shown.chars().any(char::is_control));
            proptest::prop_assert_eq!(display_name(&shown), Some(shown));
        }
    }
}
