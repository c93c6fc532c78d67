//! Packets and reply blocks, end to end: what every hop sees, and what each kind of damage does.

use proptest::prelude::*;
use rand_core::Rng;

use super::support::NOW;
use crate::crypto::dh::X25519Secret;
use crate::crypto::kem::{Kem, X25519Kem, XWingKem, XWingSecret};
use crate::id::{ConnectionTag, NodeId, SurbId};
use crate::onion::build::prefix;
use crate::onion::layout::Layout;
use crate::onion::peel::peel;
use crate::onion::replay::{ReplayFilter, ReplayTag};
use crate::onion::*;
use crate::test_support::rng;
use crate::time::Duration;

const LAYOUT: Layout = Layout::of::<X25519Kem>();

/// A relay with one key and a small filter.
struct Relay {
    node: NodeId,
    secret: X25519Secret,
    filter: ReplayFilter,
}

impl Relay {
    fn new(index: u8) -> Self {
        Self {
            node: NodeId::from_bytes([index; 20]),
            secret: X25519Secret::random(&mut rng(1000 + u64::from(index))),
            filter: ReplayFilter::new(ReplayLimits::small(6)),
        }
    }

    fn hop(&self) -> Hop {
        Hop {
            node: self.node,
            epoch: Epoch::at(NOW),
            key: *self.secret.public(),
            delay: Duration::from_ms(u64::from(self.node.as_bytes()[0]) * 100),
        }
    }

    fn peel(&mut self, packet: Vec<u8>) -> Result<Peeled, PeelError> {
        peel::<X25519Kem>(
            &self.secret,
            packet,
            |tag| self.filter.insert(tag),
            &mut rng(0),
        )
    }
}

fn relays(count: u8) -> Vec<Relay> {
    (1..=count).map(Relay::new).collect()
}

fn path(relays: &[Relay]) -> Vec<Hop> {
    relays.iter().map(Relay::hop).collect()
}

fn payload(class: Class, seed: u64) -> Vec<u8> {
    let mut payload = vec![0; class.capacity()];
    rng(seed).fill_bytes(&mut payload);
    payload
}

/// Passes a packet through all relays but the last, checking what each sees.
fn forward(relays: &mut [Relay], mut packet: Vec<u8>) -> Vec<u8> {
    let nodes: Vec<NodeId> = relays.iter().map(|relay| relay.node).collect();
    let last = relays.len() - 1;
    for (index, relay) in relays[..last].iter_mut().enumerate() {
        let length = packet.len();
        match relay.peel(packet).unwrap() {
            Peeled::Forward {
                next,
                delay,
                packet: forwarded,
            } => {
                assert_eq!(next, nodes[index + 1]);
                assert_eq!(delay, relay.hop().delay);
                assert_eq!(forwarded.len(), length, "constant length at hop {index}");
                packet = forwarded;
            }
            other => panic!("hop {index} saw {other:?}"),
        }
    }
    packet
}

fn deliver(relays: &mut [Relay], packet: Vec<u8>) -> (ConnectionTag, SurbId, Vec<u8>) {
    let packet = forward(relays, packet);
    match relays.last_mut().unwrap().peel(packet).unwrap() {
        Peeled::Deliver { tag, surb_id, body } => (tag, surb_id, body),
        other => panic!("the last hop of a reply saw {other:?}"),
    }
}

fn surb(relays: &[Relay], seed: u64) -> (Surb, SurbKeys) {
    build_surb(
        &path(relays),
        ConnectionTag::from_bytes([9; 16]),
        NOW,
        &mut rng(seed),
    )
    .unwrap()
}

#[test]
fn requests_and_replies_of_every_length_and_class() {
    for class in Class::ALL {
        for hops in 1..=4 {
            let (mut out, mut back) = (relays(hops), relays(hops));
            back.reverse();
            let (block, keys) = surb(&back, 2);
            let sent = payload(class, 3);
            let packet =
                build_request(&path(&out), Some(&block), &sent, class, &mut rng(4)).unwrap();
            assert_eq!(packet.len(), LAYOUT.packet(class));
            let packet = forward(&mut out, packet);
            let Peeled::Process {
                surb: Some(received),
                payload: got,
            } = out.last_mut().unwrap().peel(packet).unwrap()
            else {
                panic!("the last hop of a request processes it")
            };
            assert_eq!(got, sent);
            assert_eq!(received.first_hop(), back[0].node);
            assert_eq!(received.expires(), keys.expires());
            let answer = payload(class, 5);
            let reply = received.reply(&answer, class).unwrap();
            assert_eq!(reply.len(), LAYOUT.packet(class));
            let (tag, id, body) = deliver(&mut back, reply);
            assert_eq!(tag, ConnectionTag::from_bytes([9; 16]));
            assert_eq!(id, keys.id());
            assert_eq!(keys.open(body).unwrap(), answer);
        }
    }
}

#[test]
fn a_short_payload_is_padded_with_zeros_and_a_request_may_want_no_answer() {
    let mut relays = relays(3);
    let packet =
        build_request(&path(&relays), None, b"short", Class::Message, &mut rng(1)).unwrap();
    let packet = forward(&mut relays, packet);
    let Peeled::Process {
        surb: None,
        payload,
    } = relays[2].peel(packet).unwrap()
    else {
        panic!("no reply block was given")
    };
    assert_eq!(payload.len(), Class::Message.capacity());
    assert_eq!(payload[..5], *b"short");
    assert!(payload[5..].iter().all(|byte| *byte == 0));
}

#[test]
fn a_reply_may_be_of_another_class_than_the_request() {
    let mut back = relays(3);
    let (block, keys) = surb(&back, 1);
    let answer = payload(Class::Bulk, 2);
    let (_, _, body) = deliver(&mut back, block.reply(&answer, Class::Bulk).unwrap());
    assert_eq!(keys.open(body).unwrap(), answer);
}

#[test]
fn the_other_suites_slot_in() {
    let secrets: Vec<XWingSecret> = (0..3).map(|i| XWingSecret::random(&mut rng(i))).collect();
    let path: Vec<build::Hop<XWingKem>> = secrets
        .iter()
        .zip(1..)
        .map(|(secret, index)| build::Hop {
            node: NodeId::from_bytes([index; 20]),
            epoch: Epoch::at(NOW),
            key: secret.public().clone(),
            delay: Duration::ZERO,
        })
        .collect();
    let tag = ConnectionTag::from_bytes([1; 16]);
    let (block, keys) = build_surb(&path, tag, NOW, &mut rng(5)).unwrap();
    assert_eq!(block.encode().len(), 4812);
    let mut packet = block.reply(b"answer", Class::Message).unwrap();
    assert_eq!(packet.len(), 17_792);
    for (index, secret) in secrets.iter().enumerate() {
        match peel::<XWingKem>(secret, packet, |_| Ok(()), &mut rng(6)).unwrap() {
            Peeled::Forward { packet: next, .. } => packet = next,
            Peeled::Deliver { body, .. } => {
                assert_eq!(index, 2);
                assert_eq!(keys.open(body).unwrap()[..6], *b"answer");
                return;
            }
            other => panic!("{other:?}"),
        }
    }
    panic!("the reply was never delivered")
}

#[test]
fn every_flip_in_a_header_is_rejected_by_the_hop_that_it_reaches() {
    for hop in 0..3 {
        let mut relays = relays(3);
        let packet =
            build_request(&path(&relays), None, b"x", Class::Message, &mut rng(1)).unwrap();
        let packet = forward(&mut relays[..=hop], packet);
        for at in 0..LAYOUT.header() {
            let mut damaged = packet.clone();
            damaged[at] ^= 1 << (at % 8);
            let error = relays[hop].peel(damaged).unwrap_err();
            match at {
                0 => assert!(matches!(error, PeelError::Version(_)), "{error} at {at}"),
                1 => assert!(matches!(error, PeelError::Suite(_)), "{error} at {at}"),
                _ => assert_eq!(error, PeelError::BadMac, "at {at}"),
            }
        }
        assert!(
            relays[hop].peel(packet).is_ok(),
            "failures leave no trace in the filter"
        );
    }
}

#[test]
fn a_low_order_ciphertext_is_refused() {
    let mut relays = relays(1);
    let mut packet = build_request(&path(&relays), None, b"", Class::Message, &mut rng(1)).unwrap();
    packet[4..36].fill(0);
    assert_eq!(
        relays[0].peel(packet).unwrap_err(),
        PeelError::BadCiphertext
    );
}

#[test]
fn a_flip_in_the_body_of_a_request_is_noise_at_the_next_hop_and_rejected_at_the_end() {
    for class in Class::ALL {
        for at in [0, 31, 32, 500, LAYOUT.body(class) - 1] {
            let (mut damaging, mut clean) = (relays(3), relays(3));
            let zeros = vec![0; class.capacity()];
            let packet = build_request(&path(&clean), None, &zeros, class, &mut rng(1)).unwrap();
            let mut damaged = packet.clone();
            damaged[LAYOUT.header() + at] ^= 1;
            let clean = forward(&mut clean, packet);
            let damaged = forward(&mut damaging, damaged);
            let same = clean
                .iter()
                .zip(&damaged)
                .skip(LAYOUT.header())
                .filter(|(a, b)| a == b);
            assert!(
                same.count() < LAYOUT.body(class) / 100,
                "every block of the body changes"
            );
            assert_eq!(damaging[2].peel(damaged).unwrap_err(), PeelError::BadBody);
        }
    }
}

#[test]
fn a_flip_in_the_body_of_a_reply_is_rejected_by_the_owner() {
    for hop in 0..4 {
        let mut back = relays(3);
        let (block, keys) = surb(&back, 1);
        let mut packet = block.reply(b"answer", Class::Message).unwrap();
        for (index, relay) in back.iter_mut().enumerate() {
            if index == hop {
                let last = packet.len() - 1;
                packet[last] ^= 1;
            }
            match relay.peel(packet).unwrap() {
                Peeled::Forward { packet: next, .. } => packet = next,
                Peeled::Deliver { body, .. } => packet = body,
                other => panic!("{other:?}"),
            }
        }
        match hop {
            3 => assert!(keys.open(packet).is_ok()),
            _ => assert_eq!(keys.open(packet).unwrap_err(), ReplyError::NotAuthentic),
        }
    }
}

#[test]
fn keys_of_another_reply_block_do_not_open_a_reply() {
    let mut back = relays(2);
    let (block, _) = surb(&back, 1);
    let (_, others) = surb(&back, 2);
    let (_, _, body) = deliver(&mut back, block.reply(b"answer", Class::Message).unwrap());
    assert_eq!(others.open(body).unwrap_err(), ReplyError::NotAuthentic);
}

#[test]
fn another_relays_key_does_not_peel() {
    let mut relays = relays(2);
    let packet = build_request(&path(&relays), None, b"", Class::Message, &mut rng(1)).unwrap();
    assert_eq!(relays[1].peel(packet).unwrap_err(), PeelError::BadMac);
}

#[test]
fn fault_14_a_packet_passes_every_hop_once() {
    let mut relays = relays(3);
    let packet = build_request(&path(&relays), None, b"", Class::Message, &mut rng(1)).unwrap();
    for (hop, relay) in relays.iter_mut().enumerate() {
        let at_hop = forward(&mut relays_fresh(hop), packet.clone());
        assert!(relay.peel(at_hop.clone()).is_ok());
        let again = relay.peel(at_hop).unwrap_err();
        assert_eq!(again, PeelError::Replay(ReplayError::Seen));
    }
}

/// The first `hop + 1` relays with empty filters.
fn relays_fresh(hop: usize) -> Vec<Relay> {
    relays(hop as u8 + 1)
}

#[test]
fn fault_14_a_length_tells_neither_the_hop_nor_the_payload() {
    let lengths: Vec<usize> = (1..=4)
        .flat_map(|hops| [0, 1, 8192].map(|size| (hops, size)))
        .flat_map(|(hops, size)| {
            let mut relays = relays(hops);
            let packet = build_request(
                &path(&relays),
                None,
                &vec![1; size],
                Class::Message,
                &mut rng(1),
            )
            .unwrap();
            [packet.len(), forward(&mut relays, packet).len()]
        })
        .collect();
    assert!(lengths.iter().all(|length| *length == 9088), "{lengths:?}");
}

#[test]
fn fault_14_headers_of_short_and_long_paths_look_alike() {
    for hops in 1..=4 {
        let mut relays = relays(hops);
        let packet = build_request(&path(&relays), None, b"", Class::Message, &mut rng(7)).unwrap();
        let packet = forward(&mut relays, packet);
        let mut header = packet[..LAYOUT.header()].to_vec();
        let routing = LAYOUT.header_of_mut(&mut header).unwrap().routing;
        let ones: u32 = routing.iter().map(|byte| byte.count_ones()).sum();
        assert!(
            (1250..1570).contains(&ones),
            "{ones} of 2816 bits set with {hops} hops"
        );
        assert!(routing.windows(8).all(|window| window != [0; 8]));
    }
}

#[test]
fn fault_10_a_36_byte_packet_is_refused() {
    let mut relay = Relay::new(1);
    for byte in [0, 1, 0xff] {
        assert_eq!(
            relay.peel(vec![byte; 36]).unwrap_err(),
            PeelError::Length(36)
        );
    }
}

#[test]
fn fault_10_no_length_but_the_two_gets_past_the_door() {
    let mut relay = Relay::new(1);
    let valid = build_request(&[relay.hop()], None, b"", Class::Bulk, &mut rng(1)).unwrap();
    let packet = |length: usize| {
        let mut bytes = valid.clone();
        bytes.resize(length, 0);
        bytes
    };
    let near = [9087, 9089, 29_567, 29_569, 40_000, 1 << 20];
    for length in (0..1000).chain(near) {
        assert_eq!(
            relay.peel(packet(length)).unwrap_err(),
            PeelError::Length(length)
        );
    }
    // Truncated to the other class: the header is good, the body is not.
    assert_eq!(relay.peel(packet(9088)).unwrap_err(), PeelError::BadBody);
}

#[test]
fn nothing_is_recorded_before_the_mac_has_verified() {
    let relay = Relay::new(1);
    let mut packet = build_request(&[relay.hop()], None, b"", Class::Message, &mut rng(1)).unwrap();
    packet[60] ^= 1;
    let recorded = |_: ReplayTag| panic!("a forged packet reached the filter");
    let error = peel::<X25519Kem>(&relay.secret, packet, recorded, &mut rng(0)).unwrap_err();
    assert_eq!(error, PeelError::BadMac);
}

#[test]
fn a_spent_filter_refuses_the_packet() {
    let relay = Relay::new(1);
    let packet = build_request(&[relay.hop()], None, b"", Class::Message, &mut rng(1)).unwrap();
    let spent = |_: ReplayTag| Err(ReplayError::KeyExhausted);
    let error = peel::<X25519Kem>(&relay.secret, packet, spent, &mut rng(0)).unwrap_err();
    assert_eq!(error, PeelError::Replay(ReplayError::KeyExhausted));
}

#[test]
fn a_path_has_one_to_four_hops() {
    for hops in [0, 5, 6] {
        let path = path(&relays(hops));
        let error = build_request(&path, None, b"", Class::Message, &mut rng(1)).unwrap_err();
        assert_eq!(error, BuildError::PathLength(hops.into()));
        let tag = ConnectionTag::from_bytes([0; 16]);
        let error = build_surb(&path, tag, NOW, &mut rng(1)).unwrap_err();
        assert_eq!(error, BuildError::PathLength(hops.into()));
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let path = path(&relays(1));
    for class in Class::ALL {
        let (capacity, actual) = (class.capacity(), class.capacity() + 1);
        let long = vec![0; actual];
        let error = BuildError::PayloadTooLong { capacity, actual };
        assert_eq!(
            build_request(&path, None, &long, class, &mut rng(1)).unwrap_err(),
            error
        );
        assert_eq!(
            surb(&relays(1), 1).0.reply(&long, class).unwrap_err(),
            error
        );
    }
}

#[test]
fn delays_are_capped_for_the_sender_too() {
    let mut path = path(&relays(2));
    path[0].delay = MAX_DELAY;
    assert!(build_request(&path, None, b"", Class::Message, &mut rng(1)).is_ok());
    path[0].delay = MAX_DELAY + Duration::from_ms(1);
    let error = build_request(&path, None, b"", Class::Message, &mut rng(1)).unwrap_err();
    assert_eq!(error, BuildError::DelayTooLong(path[0].delay));
}

#[test]
fn an_unusable_key_names_its_relay() {
    let mut path = path(&relays(2));
    path[1].key = [0; 32].into_key();
    let error = build_request(&path, None, b"", Class::Message, &mut rng(1)).unwrap_err();
    assert!(matches!(error, BuildError::UnusableKey(node, _) if node == path[1].node));
}

trait IntoKey {
    fn into_key(self) -> <X25519Kem as Kem>::Public;
}

impl IntoKey for [u8; 32] {
    fn into_key(self) -> <X25519Kem as Kem>::Public {
        self.as_slice().try_into().unwrap()
    }
}

#[test]
fn a_reply_block_expires_ten_minutes_before_the_first_of_its_keys() {
    let mut hops = path(&relays(3));
    let until = Epoch::at(NOW).accepted_until(NOW);
    let tag = ConnectionTag::from_bytes([0; 16]);
    let margin = Duration::from_mins(10);
    let (block, keys) = build_surb(&hops, tag, NOW, &mut rng(1)).unwrap();
    assert_eq!(block.expires(), until - margin);
    assert_eq!(keys.expires(), until - margin);
    hops[1].epoch = hops[1].epoch.next();
    let (block, _) = build_surb(&hops, tag, NOW, &mut rng(1)).unwrap();
    assert_eq!(block.expires(), until - margin, "the earliest counts");
    let error = build_surb(&hops, tag, until - margin, &mut rng(1)).unwrap_err();
    assert_eq!(error, BuildError::KeyExpires(hops[0].node));
}

#[test]
fn a_reply_block_survives_its_bytes_and_refuses_others() {
    let (block, _) = surb(&relays(3), 1);
    let bytes = block.encode();
    assert_eq!(bytes.len(), 460);
    assert_eq!(block.suite(), Suite::X25519);
    assert_eq!(bytes[..20], [1; 20]);
    assert_eq!(Surb::decode(&bytes).unwrap().encode(), bytes);
    for actual in [58, 459, 461] {
        let error = Surb::decode(&vec![1; actual]).unwrap_err();
        let (suite, expected) = (Suite::X25519, 460);
        let length = SurbError::Length {
            suite,
            expected,
            actual,
        };
        assert_eq!(error, length);
    }
    for length in [0, 36, 57] {
        let error = Surb::decode(&vec![1; length]).unwrap_err();
        assert_eq!(error, SurbError::TooShort(length));
    }
    for (at, value) in [(56, 3), (57, 0), (57, 4)] {
        let mut other = bytes.clone();
        other[at] = value;
        assert!(matches!(
            Surb::decode(&other),
            Err(SurbError::Unsupported { .. })
        ));
    }
    let mut other = bytes;
    other[57] = 2;
    assert!(
        matches!(
            Surb::decode(&other),
            Err(SurbError::Length { expected: 4812, .. })
        ),
        "no reply block of X-Wing is so short"
    );
}

#[test]
fn a_request_carries_a_reply_block_of_its_own_suite_only() {
    let (block, _) = surb(&relays(1), 1);
    let secret = XWingSecret::random(&mut rng(1));
    let hop = build::Hop::<XWingKem> {
        node: NodeId::from_bytes([1; 20]),
        epoch: Epoch::at(NOW),
        key: secret.public().clone(),
        delay: Duration::ZERO,
    };
    let error = build_request(&[hop], Some(&block), b"", Class::Message, &mut rng(1)).unwrap_err();
    let mixed = BuildError::SurbSuite {
        path: Suite::XWing,
        surb: Suite::X25519,
    };
    assert_eq!(error, mixed);
}

#[test]
fn the_keys_of_a_reply_block_survive_their_record() {
    let mut back = relays(3);
    let (block, keys) = surb(&back, 1);
    let record = minicbor::to_vec(&keys).unwrap();
    assert!(record.len() <= 180, "{} bytes", record.len());
    let keys: SurbKeys = minicbor::decode(&record).unwrap();
    let (_, _, body) = deliver(&mut back, block.reply(b"answer", Class::Message).unwrap());
    assert_eq!(keys.open(body).unwrap()[..6], *b"answer");
    assert!(minicbor::decode::<SurbKeys>(&record[..record.len() - 1]).is_err());
}

#[test]
fn a_reply_of_no_class_is_refused() {
    for length in [0, 31, 8683, 8685] {
        let (_, keys) = surb(&relays(1), 1);
        assert_eq!(
            keys.open(vec![0; length]).unwrap_err(),
            ReplyError::Length(length)
        );
    }
}

#[test]
fn an_unusable_reply_block_inside_a_good_request_is_refused() {
    let mut relay = Relay::new(1);
    let (block, _) = surb(&relays(1), 1);
    let mut bytes = block.encode();
    bytes[57] = 9;
    // Decoding refuses these bytes, so a hostile sender is played by hand.
    let mut packet = vec![0; LAYOUT.packet(Class::Message)];
    let (header, body) = packet.split_at_mut(LAYOUT.header());
    let command = command::Command::Process;
    let hops = build::seal_header(&[relay.hop()], &command, header, &mut rng(1)).unwrap();
    body[32..32 + 460].copy_from_slice(&bytes);
    hops[0].keys.body.encrypt(body);
    let error = relay.peel(packet).unwrap_err();
    assert_eq!(
        error,
        PeelError::Surb(SurbError::Unsupported {
            version: 1,
            suite: 9
        })
    );
}

#[test]
fn the_prefix_is_version_suite_epoch() {
    let packet = build_request(&path(&relays(1)), None, b"", Class::Message, &mut rng(1)).unwrap();
    assert_eq!(packet[..4], prefix::<X25519Kem>(Epoch::at(NOW)));
    assert_eq!(packet[..2], [1, 1]);
    assert_eq!(packet[2..4], Epoch::at(NOW).number().to_be_bytes());
}

#[test]
fn nothing_of_a_secret_is_printed() {
    let (block, keys) = surb(&relays(1), 1);
    let text = format!("{block:?} {keys:?}");
    assert!(!text.contains("key"), "{text}");
}

#[test]
fn every_failure_has_a_label_of_its_own() {
    let errors = [
        PeelError::Length(0),
        PeelError::Version(0),
        PeelError::Suite(0),
        PeelError::UnknownEpoch(Epoch::from_number(0)),
        PeelError::BadCiphertext,
        PeelError::BadMac,
        PeelError::Replay(ReplayError::Seen),
        PeelError::Replay(ReplayError::KeyExhausted),
        PeelError::Command(BadCommand::ReservedByteSet),
        PeelError::BadBody,
        PeelError::Surb(SurbError::Unsupported {
            version: 0,
            suite: 0,
        }),
    ];
    let labels: std::collections::BTreeSet<_> = errors.iter().map(PeelError::label).collect();
    assert_eq!(labels.len(), errors.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_path_carries_any_payload(
        hops in 1u8..=4,
        bulk: bool,
        seed: u64,
        sent in prop::collection::vec(any::<u8>(), 0..8192),
    ) {
        let class = if bulk { Class::Bulk } else { Class::Message };
        let mut relays = relays(hops);
        let packet = build_request(&path(&relays), None, &sent, class, &mut rng(seed)).unwrap();
        let packet = forward(&mut relays, packet);
        match relays.last_mut().unwrap().peel(packet) {
            Ok(Peeled::Process { surb: None, payload }) => {
                prop_assert_eq!(&payload[..sent.len()], &sent[..]);
                prop_assert_eq!(payload.len(), class.capacity());
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn random_bytes_never_peel(seed: u64, bulk: bool, named: bool) {
        let mut relay = Relay::new(1);
        let class = if bulk { Class::Bulk } else { Class::Message };
        let mut packet = vec![0; LAYOUT.packet(class)];
        rng(seed).fill_bytes(&mut packet);
        if named {
            packet[..4].copy_from_slice(&prefix::<X25519Kem>(Epoch::at(NOW)));
        }
        prop_assert!(relay.peel(packet).is_err());
    }

    #[test]
    fn two_packets_of_the_same_request_share_nothing(seed: u64) {
        let path = path(&relays(3));
        let one = build_request(&path, None, b"same", Class::Message, &mut rng(seed)).unwrap();
        let two = build_request(&path, None, b"same", Class::Message, &mut rng(!seed)).unwrap();
        let same = one.iter().zip(&two).skip(4).filter(|(a, b)| a == b).count();
        prop_assert!(same < 100, "{} bytes equal", same);
    }
}
