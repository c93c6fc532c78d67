//! Tests of one link.

use super::*;
use crate::test_support::rng;

const NOW: Timestamp = Timestamp::from_secs(1_000);
const RELAY: NodeId = NodeId::from_bytes([1; 20]);
const SUITES: Suites = Suites::preferring(Suite::X25519);

fn guard_hello(received: u64) -> Hello {
    Hello::Guard {
        tag: ConnectionTag::from_bytes([7; 16]),
        received,
    }
}

fn ack(node: NodeId, version: u16, suites: Vec<u8>, resumed: bool) -> Vec<u8> {
    let body = HandshakeAck {
        version,
        suites: BoundedList::new(suites).unwrap(),
        node,
        time: NOW,
        resumed,
        descriptor: None,
        nonce: None,
        signature: None,
    };
    frame(Tag::HandshakeAck, &to_cbor(&body), &mut rng(9))
}

/// A guard link that is up after `received` deliveries under its tag.
fn up(received: u64) -> Link {
    let step = Link::open(RELAY, guard_hello(received), SUITES, NOW).opened(&mut rng(1));
    let answer = ack(RELAY, VERSION, vec![1], true);
    step.link
        .unwrap()
        .frame(&answer, NOW, &mut rng(2))
        .link
        .unwrap()
}

fn deliver(n: u8) -> Vec<u8> {
    frame(Tag::Deliver, &[n; 40], &mut rng(n.into()))
}

fn sent(step: &Step) -> Vec<Tag> {
    let tag = |bytes: &Vec<u8>| decode_frame(bytes).unwrap().tag;
    step.send.iter().map(tag).collect()
}

fn fault(step: &Step) -> Option<LinkFault> {
    match (&step.link, &step.event) {
        (None, Some(LinkEvent::Down(fault))) => Some(*fault),
        _ => None,
    }
}

#[test]
fn a_client_says_its_tag_and_count_and_nothing_else() {
    let step = Link::open(RELAY, guard_hello(5), SUITES, NOW).opened(&mut rng(1));
    let hello: Handshake = from_cbor(decode_frame(&step.send[0]).unwrap().payload, 16_384).unwrap();
    assert_eq!(hello.role, Role::Client);
    assert_eq!(hello.tag, Some(ConnectionTag::from_bytes([7; 16])));
    assert_eq!(hello.received, Some(5));
    assert_eq!(
        (&hello.versions[..], &hello.suites[..]),
        (&[VERSION][..], &[1, 2, 3][..])
    );
    assert_eq!((hello.descriptor, hello.nonce), (None, None));
}

const SEED: [u8; 16] = [9; 16];

#[test]
fn a_visitor_shows_no_tag_and_asks_for_the_directory_once() {
    let step = Link::open(RELAY, Hello::Visitor { seed: SEED }, SUITES, NOW).opened(&mut rng(1));
    let hello: Handshake = from_cbor(decode_frame(&step.send[0]).unwrap().payload, 16_384).unwrap();
    assert_eq!(
        (hello.role, hello.tag, hello.received),
        (Role::Visitor, None, None)
    );
    let answer = ack(RELAY, VERSION, vec![1], false);
    let step = step.link.unwrap().frame(&answer, NOW, &mut rng(2));
    assert_eq!(sent(&step), [Tag::DirectoryGet]);
    let asked = decode_frame(&step.send[0]).unwrap();
    let asked: DirectoryGet = from_cbor(asked.payload, 64).unwrap();
    assert_eq!((asked.known, asked.seed), (None, Some(Bytes(SEED))));
    let directory = Directory {
        digest: Bytes([3; 32]),
        descriptors: BoundedList::default(),
    };
    let bytes = frame(Tag::Directory, &to_cbor(&directory), &mut rng(3));
    let step = step.link.unwrap().frame(&bytes, NOW, &mut rng(4));
    assert!(step.link.is_none());
    assert!(matches!(step.event, Some(LinkEvent::Directory(d)) if d == directory));
}

#[test]
fn the_count_goes_on_when_resumed_and_starts_over_when_forgotten() {
    for (resumed, expected) in [(true, 5), (false, 0)] {
        let link = Link::open(RELAY, guard_hello(5), SUITES, NOW)
            .opened(&mut rng(1))
            .link;
        let answer = ack(RELAY, VERSION, vec![1], resumed);
        let step = link.unwrap().frame(&answer, NOW, &mut rng(2));
        assert!(
            matches!(step.event, Some(LinkEvent::Up { received, resumed: knows }) if (received, knows) == (expected, resumed))
        );
    }
}

#[test]
fn opening_and_handshake_share_one_deadline_of_ten_seconds() {
    let link = Link::open(RELAY, guard_hello(0), SUITES, NOW);
    assert_eq!(link.next_timeout(), NOW + Duration::from_secs(10));
    let link = link.opened(&mut rng(1)).link.unwrap();
    assert_eq!(link.next_timeout(), NOW + Duration::from_secs(10));
    let late = link.timeout(NOW + Duration::from_secs(10), &mut rng(1));
    assert_eq!(fault(&late), Some(LinkFault::Timeout));
}

#[test]
fn another_relay_version_or_suite_is_refused_with_an_error_frame() {
    let other = NodeId::from_bytes([2; 20]);
    let cases = [
        (ack(other, VERSION, vec![1], false), LinkFault::WrongRelay),
        (ack(RELAY, 0x0200, vec![1], false), LinkFault::Broken),
        (ack(RELAY, VERSION, vec![9], false), LinkFault::Broken),
        (ack(RELAY, VERSION, vec![], false), LinkFault::Broken),
        (deliver(1), LinkFault::Broken),
        (
            frame(Tag::HandshakeAck, &[0xff], &mut rng(1)),
            LinkFault::Broken,
        ),
    ];
    for (answer, expected) in cases {
        let link = Link::open(RELAY, guard_hello(0), SUITES, NOW)
            .opened(&mut rng(1))
            .link;
        let step = link.unwrap().frame(&answer, NOW, &mut rng(2));
        assert_eq!(fault(&step), Some(expected));
        assert_eq!(sent(&step), [Tag::Error]);
    }
}

#[test]
fn fault_10_garbage_closes_a_link_in_every_state_and_never_panics() {
    let cut = deliver(1)[..35].to_vec();
    let mut long = deliver(1);
    long.push(0);
    let short_body = frame(Tag::Deliver, &[1; 15], &mut rng(1));
    for bytes in [vec![], vec![0; 31], vec![0xde; 64], cut, long, short_body] {
        let opening = Link::open(RELAY, guard_hello(0), SUITES, NOW);
        let handshaking = Link::open(RELAY, guard_hello(0), SUITES, NOW)
            .opened(&mut rng(1))
            .link
            .unwrap();
        for link in [opening, handshaking, up(0)] {
            let step = link.frame(&bytes, NOW, &mut rng(2));
            assert_eq!(fault(&step), Some(LinkFault::Broken));
            assert_eq!(sent(&step), [Tag::Error]);
        }
    }
}

#[test]
fn frames_that_have_no_place_on_the_link_close_it() {
    for tag in [
        Tag::Handshake,
        Tag::HandshakeAck,
        Tag::Directory,
        Tag::RelayForward,
        Tag::Ack,
    ] {
        let step = up(0).frame(&frame(tag, &[0xa0], &mut rng(1)), NOW, &mut rng(2));
        assert_eq!(fault(&step), Some(LinkFault::Broken), "{tag:?}");
    }
}

#[test]
fn an_error_frame_says_why() {
    let body = LinkError {
        code: LinkErrorCode::Full,
        message: BoundedText::new("full").unwrap(),
    };
    let bytes = frame(Tag::Error, &to_cbor(&body), &mut rng(1));
    let step = up(0).frame(&bytes, NOW, &mut rng(2));
    assert_eq!(fault(&step), Some(LinkFault::Refused(LinkErrorCode::Full)));
    assert!(
        step.send.is_empty(),
        "an error is not answered with an error"
    );
    let bytes = frame(Tag::Error, &[0xa1, 0x00, 0x18, 99], &mut rng(1));
    assert_eq!(
        fault(&up(0).frame(&bytes, NOW, &mut rng(2))),
        Some(LinkFault::Broken)
    );
}

#[test]
fn sixteen_deliveries_are_reported_at_once_and_fewer_after_five_seconds() {
    let mut link = up(100);
    for n in 1..=16 {
        let step = link.frame(&deliver(n), NOW, &mut rng(1));
        assert_eq!(sent(&step), if n == 16 { vec![Tag::Ack] } else { vec![] });
        if let Some(bytes) = step.send.first() {
            let ack: Ack = from_cbor(decode_frame(bytes).unwrap().payload, 64).unwrap();
            assert_eq!(ack.received, 116);
        }
        link = step.link.unwrap();
    }
    assert_eq!(
        link.next_timeout(),
        NOW + SILENCE,
        "nothing is left to report"
    );
    link = link.frame(&deliver(17), NOW, &mut rng(1)).link.unwrap();
    assert_eq!(link.next_timeout(), NOW + ACK_DELAY);
    let step = link.timeout(NOW + ACK_DELAY, &mut rng(1));
    assert_eq!(sent(&step), [Tag::Ack]);
}

#[test]
fn silence_is_pinged_and_an_unanswered_ping_ends_the_link() {
    let link = up(0);
    let pinged_at = NOW + SILENCE;
    assert_eq!(link.next_timeout(), pinged_at);
    let step = link.timeout(pinged_at, &mut rng(1));
    assert_eq!(sent(&step), [Tag::Ping]);
    let link = step.link.unwrap();
    assert_eq!(link.next_timeout(), pinged_at + PONG_DEADLINE);
    let dead = link.timeout(pinged_at + PONG_DEADLINE, &mut rng(1));
    assert_eq!(fault(&dead), Some(LinkFault::Timeout));
}

#[test]
fn any_frame_proves_that_the_relay_lives() {
    let link = up(0).probe(NOW, &mut rng(1)).link.unwrap();
    assert_eq!(link.next_timeout(), NOW + PONG_DEADLINE);
    let later = NOW + Duration::from_secs(3);
    let link = link
        .frame(&frame(Tag::Pong, &[], &mut rng(2)), later, &mut rng(3))
        .link
        .unwrap();
    assert_eq!(link.next_timeout(), later + SILENCE);
}

#[test]
fn a_ping_is_answered_with_its_id_and_bytes() {
    let ping = encode_frame(Tag::Ping, MessageId::from_bytes([4; 16]), b"twelve bytes");
    let step = up(0).frame(&ping, NOW, &mut rng(2));
    let pong = decode_frame(&step.send[0]).unwrap();
    assert_eq!(pong.tag, Tag::Pong);
    assert_eq!(pong.id, MessageId::from_bytes([4; 16]));
    assert_eq!(pong.payload, b"twelve bytes");
}
