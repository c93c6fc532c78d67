//! Onion packets through whole relays: suites, delays, keys that are spent, the replay log.

use zentalk_shared::crypto::rsa::RsaSecret;
use zentalk_shared::id::{ConnectionTag, MessageId};
use zentalk_shared::onion::epoch::EPOCH_LENGTH;
use zentalk_shared::onion::{
    Class, Epoch, Layout, MAX_DELAY, RelayKeys, ReplayEntry, ReplayLimits, Suite, Suites,
};
use zentalk_shared::rpc::{DirectorySyncRequest, Refusal, Reply, Request, SubscribeBody};
use zentalk_shared::time::Duration;
use zentalk_shared::wire::codec::{BoundedList, Bytes, from_cbor};
use zentalk_shared::wire::link::{Handshake, HandshakeAck, LinkErrorCode, Role};
use zentalk_shared::wire::{HEADER_LEN, Tag, decode_frame, encode_frame};
use zeroize::Zeroizing;

use super::links::error_code;
use super::net::{Net, START};
use super::people::{Caller, Owner, frame, hello};
use crate::core::Input;
use crate::core::store::{Quotas, SavedDescriptor, StoreOp};
use crate::core::{Limits, Metric, Rate, Ticket};

const MS: Duration = Duration::from_ms(1);

fn question() -> Request {
    Request::DirectorySync(DirectorySyncRequest {
        known: Bytes([0; 32]),
        offset: 0,
        since: None,
    })
}

/// Relays that offer what stands in their place.
fn offering(suites: &[Suites]) -> Net {
    let mut net = Net::cold(suites.len(), Limits::default(), Quotas::default());
    for (node, suites) in net.nodes.iter_mut().zip(suites) {
        node.config.suites = *suites;
    }
    (0..suites.len()).for_each(|index| net.start(index));
    net.settle();
    net.advance(Duration::from_secs(1));
    net
}

fn published(net: &Net, index: usize) -> Vec<(u8, Epoch)> {
    let descriptor = net.descriptor(index);
    let keys = descriptor.onion_keys().iter();
    keys.map(|key| (key.suite, key.epoch)).collect()
}

// --- Suites -------------------------------------------------------------------------------------------

#[test]
fn a_relay_publishes_what_it_offers_and_no_more() {
    let now = Epoch::at(START);
    let suites = [Suites::OFFERED, Suites::only(Suite::XWing)];
    let net = offering(&suites);
    for (index, suites) in suites.into_iter().enumerate() {
        let expected = suites.numbers().into_iter();
        let expected: Vec<_> = expected.flat_map(|n| [(n, now), (n, now.next())]).collect();
        assert_eq!(published(&net, index), expected);
    }
}

#[test]
fn mail_goes_by_every_pair_of_suites() {
    for (to, from) in [
        (Suite::XWing, Suite::XWing),
        (Suite::XWing, Suite::X25519),
        (Suite::X25519, Suite::XWing),
    ] {
        let mut net = Net::new(5);
        let mut owner = Owner::with_mailbox_by(&mut net, 3, 2, to);
        let mut sender = Caller::at(&mut net, 4);
        sender.suite = from;
        let put = owner.put(&net, 0, 1);
        let reply = sender.call(&mut net, &[4, 3, 0], &put);
        assert!(matches!(reply, Some(Reply::Put(put)) if put.held >= 2));
        assert_eq!(owner.pushes(&mut net).len(), 1, "{from:?} to {to:?}");
        assert!(net.count(4, Metric::Peeled(from.name())) > 0);
        let both = [Suite::X25519, Suite::XWing];
        let peeled: u64 = both
            .map(|s| net.count(0, Metric::Peeled(s.name())))
            .iter()
            .sum();
        assert_eq!(peeled, 2, "one subscription and one put");
        assert_eq!(net.count(0, Metric::PacketDropped("suite")), 0);
    }
}

#[test]
fn every_packet_and_delivery_has_the_length_of_its_suite() {
    for suite in [Suite::X25519, Suite::XWing] {
        let mut net = Net::new(2);
        let mut caller = Caller::at(&mut net, 0);
        caller.suite = suite;
        let layout = Layout::of_suite(suite);
        for class in Class::ALL {
            let packet = caller.packet(&mut net, &[0, 1], &question(), class);
            assert_eq!(packet.len(), HEADER_LEN + layout.packet(class));
            net.send(caller.socket, packet);
            let inbox = net.take_inbox(caller.socket);
            let lengths: Vec<_> = inbox.iter().map(Vec::len).collect();
            assert_eq!(lengths, [HEADER_LEN + 16 + layout.body(class)]);
        }
    }
}

#[test]
fn a_full_subscription_of_large_reply_blocks_is_accepted() {
    let mut net = Net::new(4);
    let count = SubscribeBody::SURBS_ROOM / SubscribeBody::surb_needs(Suite::XWing);
    let mut owner = Owner::with_mailbox_by(&mut net, 3, count, Suite::XWing);
    let mut sender = Caller::at(&mut net, 3);
    for n in 0..5 {
        let put = owner.put(&net, 0, n);
        assert!(sender.call(&mut net, &[3, 0], &put).is_some());
    }
    let stock: Vec<_> = owner
        .pushes(&mut net)
        .iter()
        .map(|push| push.stock)
        .collect();
    assert_eq!(stock, [4, 3, 2, 1, 0]);
}

#[test]
fn a_packet_of_a_suite_that_is_not_offered_is_dropped() {
    let mut net = offering(&[Suites::OFFERED, Suites::OFFERED]);
    let mut caller = Caller::at(&mut net, 0);
    caller.suite = Suite::XWing;
    let packet = caller.packet(&mut net, &[0, 1], &question(), Class::Bulk);
    net.kill(0, 9);
    net.nodes[0].config.suites = Suites::only(Suite::X25519);
    // Not even the keys are there: as a relay that has never had any.
    net.nodes[0].store = crate::core::mem_store::MemStore::new(Quotas::default());
    net.start(0);
    net.advance(Duration::from_secs(1));
    caller.connect(&mut net);
    net.send(caller.socket, packet);
    assert_eq!(net.count(0, Metric::PacketDropped("suite")), 1);
    assert_eq!(net.count(0, Metric::Peeled("xwing")), 0);
}

#[test]
fn packets_on_their_way_survive_a_change_of_suites() {
    let mut net = offering(&[Suites::OFFERED, Suites::OFFERED]);
    let mut caller = Caller::at(&mut net, 0);
    caller.suite = Suite::XWing;
    let packet = caller.packet(&mut net, &[0, 1], &question(), Class::Bulk);
    net.kill(0, 9);
    net.nodes[0].config.suites = Suites::only(Suite::X25519);
    net.start(0);
    net.advance(Duration::from_secs(1));
    assert!(published(&net, 0).iter().all(|(suite, _)| *suite == 1));
    caller.connect(&mut net);
    net.send(caller.socket, packet);
    net.advance(Duration::from_secs(1));
    assert_eq!(caller.replies(&mut net).len(), 1);
    net.advance(Duration::from_hours(18));
    let record = net.nodes[0].store.restore().onion_keys.unwrap();
    assert_eq!(record[..2], [0x83, 2], "keys of one suite are left");
}

#[test]
fn the_handshake_names_the_common_suites_and_a_client_needs_one() {
    let mut net = offering(&[Suites::new(&[Suite::XWing, Suite::X25519]).unwrap()]);
    let answer = |net: &mut Net, role, suites: &[u8]| {
        let socket = net.connect(0);
        let tag = Some(ConnectionTag::from_bytes([1; 16]));
        let hello = hello(role, tag, None);
        let body = decode_frame(&hello).unwrap().payload.to_vec();
        let mut body: Handshake = from_cbor(&body, 20_000).unwrap();
        body.suites = BoundedList::new(suites.to_vec()).unwrap();
        net.send(socket, frame(Tag::Handshake, &body));
        match net.is_open(socket) {
            true => {
                let inbox = net.take_inbox(socket);
                let ack = decode_frame(&inbox[0]).unwrap();
                let ack: HandshakeAck = from_cbor(ack.payload, 20_000).unwrap();
                Ok(ack.suites.to_vec())
            }
            false => Err(error_code(net, socket)),
        }
    };
    assert_eq!(answer(&mut net, Role::Client, &[1, 2, 3]), Ok(vec![2, 1]));
    assert_eq!(answer(&mut net, Role::Client, &[9, 1]), Ok(vec![1]));
    let refused = Err(Some(LinkErrorCode::Version));
    assert_eq!(answer(&mut net, Role::Client, &[3, 9]), refused);
    assert_eq!(answer(&mut net, Role::Visitor, &[3]), Ok(vec![]));
}

/// A record with an RSA key of the test pool for this epoch and the next: to make one takes seconds.
fn rsa_keys(index: usize) -> Zeroizing<Vec<u8>> {
    let mut pool = include_bytes!("../../../../tests/keys/relay-rsa4096.TEST-ONLY.bin").as_slice();
    let mut keys = std::iter::from_fn(|| {
        let (length, rest) = pool.split_first_chunk()?;
        let key;
        (key, pool) = rest.split_at(usize::from(u16::from_be_bytes(*length)));
        Some(key)
    });
    let key = RsaSecret::from_pkcs8_der(keys.nth(index).unwrap()).unwrap();
    let epoch = START.as_ms() / EPOCH_LENGTH.as_ms();
    let mut e = minicbor::Encoder::new(Vec::new());
    e.array(3).unwrap().u8(2).unwrap().u8(3).unwrap();
    e.array(2).unwrap();
    for epoch in [epoch, epoch + 1] {
        e.array(2).unwrap().encode(epoch).unwrap();
        e.encode(&key).unwrap();
    }
    Zeroizing::new(e.into_writer())
}

/// Relays that offer these suites, RSA-4096 among them.
fn with_rsa(relays: usize, suites: &[Suite], limits: Limits) -> Net {
    let mut net = Net::cold(relays, limits, Quotas::default());
    for (index, node) in net.nodes.iter_mut().enumerate() {
        node.config.suites = Suites::new(suites).unwrap();
        let save = StoreOp::SaveOnionKeys(rsa_keys(index));
        node.store.submit(Ticket(u64::MAX), save);
        node.store.sync();
    }
    (0..relays).for_each(|index| net.start(index));
    net.advance(Duration::from_secs(1));
    net
}

#[test]
fn a_flood_of_dear_packets_is_throttled_while_others_are_served() {
    let suites = [Suite::X25519, Suite::Rsa4096];
    let mut net = with_rsa(2, &suites, Limits::default());
    let dropped = |net: &Net| net.count(0, Metric::PacketDropped("cost"));
    let mut flooder = Caller::at(&mut net, 0);
    flooder.suite = Suite::Rsa4096;
    // Replays: that they are worthless shows after the private operation only.
    let packet = flooder.packet(&mut net, &[0, 1], &question(), Class::Message);
    (0..200).for_each(|_| net.send(flooder.socket, packet.clone()));
    assert_eq!(dropped(&net), 200 - 20, "its burst, and no more");
    let mut cheap = Caller::at(&mut net, 0);
    assert!(cheap.call(&mut net, &[0, 1], &question()).is_some());
    // So are those who use the same suite: the flood had the share of one client.
    let mut dear = Caller::at(&mut net, 0);
    dear.suite = Suite::Rsa4096;
    assert!(dear.call(&mut net, &[0, 1], &question()).is_some());
    // It is not cut off, and goes on at the rate of its share.
    assert!(net.is_open(flooder.socket));
    let before = dropped(&net);
    net.advance(Duration::from_secs(2));
    (0..10).for_each(|_| net.send(flooder.socket, packet.clone()));
    assert_eq!(
        dropped(&net) - before,
        10 - 3,
        "what was left, and two seconds"
    );
}

#[test]
fn many_who_flood_with_dear_packets_take_from_that_suite_only() {
    let dear_peeling = Rate {
        per_minute: 0,
        burst: 4 * 390,
    };
    let limits = Limits {
        dear_peeling,
        ..Limits::default()
    };
    let mut net = with_rsa(1, &[Suite::X25519, Suite::Rsa4096], limits);
    for n in 0..8 {
        let mut flooder = Caller::at(&mut net, 0);
        flooder.suite = Suite::Rsa4096;
        flooder.ask_in(&mut net, &[0], &question(), Class::Message);
        // Four in all; each answer goes by another packet, of the relay to itself.
        let peeled = net.count(0, Metric::Peeled("rsa4096"));
        assert_eq!(peeled, (2 * (n + 1)).min(4), "{n}");
    }
    let mut cheap = Caller::at(&mut net, 0);
    assert!(cheap.call(&mut net, &[0], &question()).is_some());
}

/// One relay that serves and peels everything itself, and what a client may use up, which does not refill.
fn alone(burst: u32) -> Net {
    let client_peeling = Rate {
        per_minute: 0,
        burst,
    };
    let limits = Limits {
        client_peeling,
        ..Limits::default()
    };
    with_rsa(1, &[Suite::X25519, Suite::Rsa4096], limits)
}

#[test]
fn an_answer_that_its_relay_peels_itself_is_paid_for_by_who_asks() {
    let mut net = alone(5 * 390);
    let mut asker = Caller::at(&mut net, 0);
    asker.suite = Suite::Rsa4096;
    (0..4).for_each(|_| asker.ask_in(&mut net, &[0], &question(), Class::Message));
    // Two requests and their answers; a request whose answer cannot be paid for; nothing of the last one.
    assert_eq!(asker.replies(&mut net).len(), 2);
    assert_eq!(net.count(0, Metric::Peeled("rsa4096")), 5);
    assert_eq!(net.count(0, Metric::PacketDropped("cost")), 2);
    assert_eq!(net.count(0, Metric::Processed), 2, "not served");
}

#[test]
fn reply_blocks_in_stock_that_their_relay_peels_itself_are_paid_for_when_they_come() {
    for (burst, stocked) in [(1 + 1 + 8, true), (1 + 1 + 7, false)] {
        let mut net = alone(burst);
        let mut owner = Owner::new(&mut net, 0);
        owner.members = vec![0];
        let subscribe = owner.subscription(&mut net, 0, 8);
        let reply = owner.caller.call(&mut net, &[0], &subscribe);
        let busy =
            matches!(&reply, Some(Reply::Refused(refused)) if refused.reason == Refusal::Busy);
        let held = matches!(&reply, Some(Reply::Subscribe(reply)) if reply.stock == 8);
        assert_eq!((held, busy), (stocked, !stocked), "{burst}: {reply:?}");
    }
}

#[test]
fn a_packet_that_leads_from_a_relay_to_itself_is_dropped() {
    let mut net = with_rsa(1, &[Suite::X25519], Limits::default());
    let mut caller = Caller::at(&mut net, 0);
    caller.ask_in(&mut net, &[0, 0, 0], &question(), Class::Message);
    assert_eq!(net.count(0, Metric::Peeled("x25519")), 1);
    assert_eq!(net.count(0, Metric::PacketDropped("loop")), 1);
    assert!(caller.replies(&mut net).is_empty());
}

#[test]
fn relays_of_rsa_4096_carry_mail() {
    let mut net = with_rsa(4, &[Suite::Rsa4096], Limits::default());
    let mut owner = Owner::new(&mut net, 3);
    owner.caller.suite = Suite::Rsa4096;
    (0..3).for_each(|member| owner.subscribe(&mut net, member, 1));
    let mut sender = Caller::at(&mut net, 3);
    sender.suite = Suite::Rsa4096;
    let put = owner.put(&net, 0, 1);
    let packet = sender.packet(&mut net, &[3, 0], &put, Class::Message);
    assert_eq!(packet.len(), 12_960);
    net.send(sender.socket, packet.clone());
    assert_eq!(sender.replies(&mut net).len(), 1);
    assert_eq!(owner.pushes(&mut net).len(), 1);
    net.send(sender.socket, packet);
    assert_eq!(net.count(3, Metric::PacketDropped("replay")), 1);
    assert!(net.count(3, Metric::Peeled("rsa4096")) > 0);
}

// --- Delays -------------------------------------------------------------------------------------------

#[test]
fn a_relay_holds_a_packet_for_as_long_as_its_sender_says() {
    for delay in [MS, Duration::from_ms(250), MAX_DELAY] {
        let mut net = Net::new(3);
        let mut caller = Caller::at(&mut net, 0);
        caller.ask_delayed(&mut net, &[0, 1, 2], &question(), &[delay]);
        assert_eq!(net.count(0, Metric::Forwarded), 0);
        net.advance(delay - MS);
        assert!(caller.replies(&mut net).is_empty(), "{delay:?}");
        net.advance(MS);
        assert_eq!(caller.replies(&mut net).len(), 1, "{delay:?}");
    }
}

#[test]
fn delays_of_several_relays_add_up() {
    let mut net = Net::new(3);
    let mut caller = Caller::at(&mut net, 0);
    let delays = [300, 500].map(Duration::from_ms);
    caller.ask_delayed(&mut net, &[0, 1, 2], &question(), &delays);
    net.advance(Duration::from_ms(300));
    assert_eq!(
        net.count(1, Metric::Peeled("x25519")),
        1,
        "at the second relay"
    );
    assert_eq!(net.count(2, Metric::Peeled("x25519")), 0);
    net.advance(Duration::from_ms(499));
    assert!(caller.replies(&mut net).is_empty());
    net.advance(MS);
    assert_eq!(caller.replies(&mut net).len(), 1);
}

#[test]
fn a_packet_with_a_shorter_delay_overtakes() {
    let mut net = Net::new(3);
    let (mut slow, mut fast) = (Caller::at(&mut net, 0), Caller::at(&mut net, 0));
    slow.ask_delayed(&mut net, &[0, 1], &question(), &[Duration::from_ms(800)]);
    fast.ask_delayed(&mut net, &[0, 1], &question(), &[Duration::from_ms(100)]);
    net.advance(Duration::from_ms(100));
    assert_eq!(
        (fast.replies(&mut net).len(), slow.replies(&mut net).len()),
        (1, 0)
    );
    net.advance(Duration::from_ms(700));
    assert_eq!(slow.replies(&mut net).len(), 1);
}

#[test]
fn the_last_relay_waits_for_nothing() {
    let mut net = Net::new(2);
    let mut caller = Caller::at(&mut net, 0);
    let delays = [Duration::ZERO, Duration::from_ms(5_000)];
    caller.ask_delayed(&mut net, &[0, 1], &question(), &delays);
    assert_eq!(caller.replies(&mut net).len(), 1);
}

#[test]
fn delays_are_honoured_in_every_suite() {
    let mut net = Net::new(2);
    let mut caller = Caller::at(&mut net, 0);
    caller.suite = Suite::XWing;
    caller.ask_delayed(&mut net, &[0, 1], &question(), &[Duration::from_ms(400)]);
    net.advance(Duration::from_ms(399));
    assert!(caller.replies(&mut net).is_empty());
    net.advance(MS);
    assert_eq!(caller.replies(&mut net).len(), 1);
}

#[test]
fn a_replay_during_the_delay_is_dropped() {
    let mut net = Net::new(2);
    let mut caller = Caller::at(&mut net, 0);
    let route = net.slow_route(&[0, 1], &[Duration::from_secs(1)], Suite::X25519);
    let packet = route
        .request(None, b"", Class::Message, &mut net.rng)
        .unwrap();
    for _ in 0..3 {
        let frame = encode_frame(Tag::RelayForward, MessageId::random(&mut net.rng), &packet);
        net.send(caller.socket, frame);
    }
    net.advance(Duration::from_secs(2));
    assert_eq!(net.count(0, Metric::Forwarded), 1);
    assert_eq!(net.count(0, Metric::PacketDropped("replay")), 2);
    assert!(caller.replies(&mut net).is_empty());
}

// --- Epochs, spent keys, the log ----------------------------------------------------------------------

#[test]
fn keys_turn_over_every_six_hours_and_the_last_ones_go_on_peeling() {
    for suite in [Suite::X25519, Suite::XWing] {
        let mut net = Net::new(2);
        let mut caller = Caller::at(&mut net, 0);
        caller.suite = suite;
        let mut old = || caller.packet(&mut net, &[0, 1], &question(), Class::Bulk);
        let packets = [old(), old()];
        let before = published(&net, 0);
        net.advance(EPOCH_LENGTH);
        let after = published(&net, 0);
        assert!(after.len() == 4 && after.iter().all(|key| key.1 != before[0].1));
        let [packet, late] = packets;
        caller.connect(&mut net);
        net.send(caller.socket, packet);
        assert_eq!(caller.replies(&mut net).len(), 1, "{suite:?}");
        net.advance(EPOCH_LENGTH);
        caller.connect(&mut net);
        net.send(caller.socket, late);
        assert_eq!(net.count(0, Metric::PacketDropped("epoch")), 1);
    }
}

#[test]
fn when_a_key_is_spent_a_descriptor_without_it_is_out_at_once() {
    let mut net = Net::cold(2, Limits::default(), Quotas::default());
    net.nodes[0].config.replay = ReplayLimits::small(0);
    (0..2).for_each(|index| net.start(index));
    net.advance(Duration::from_secs(1));
    let (now, next) = (Epoch::at(net.now), Epoch::at(net.now).next());
    let mut caller = Caller::at(&mut net, 1);
    let route = net.route(&[1, 0], Suite::X25519);
    let send = |net: &mut Net| {
        let packet = route
            .request(None, b"", Class::Message, &mut net.rng)
            .unwrap();
        let frame = encode_frame(Tag::RelayForward, MessageId::random(&mut net.rng), &packet);
        net.send(caller.socket, frame);
    };
    for _ in 0..127 {
        send(&mut net);
    }
    assert_eq!(
        published(&net, 0),
        [(1, now), (1, next), (2, now), (2, next)]
    );
    send(&mut net);
    assert_eq!(published(&net, 0), [(1, next), (2, now), (2, next)]);
    send(&mut net);
    assert_eq!(net.count(0, Metric::PacketDropped("key_exhausted")), 1);
    let known = net.nodes[1].store.restore().descriptors;
    let newest = net.descriptor(0);
    let is_newest = |saved: &SavedDescriptor| saved.descriptor == newest.bytes().to_vec();
    assert!(known.iter().any(is_newest), "others know");
    // Who has read it uses the next key, before its epoch begins.
    let reply = caller.call(&mut net, &[1, 0], &question());
    assert!(matches!(reply, Some(Reply::DirectorySync(_))), "{reply:?}");
}

#[test]
fn when_every_key_is_spent_others_take_their_place() {
    let mut net = Net::cold(2, Limits::default(), Quotas::default());
    for node in &mut net.nodes {
        node.config.suites = Suites::only(Suite::X25519);
    }
    net.nodes[0].config.replay = ReplayLimits::small(0);
    (0..2).for_each(|index| net.start(index));
    net.advance(Duration::from_secs(1));
    let keys = |net: &Net| net.descriptor(0).onion_keys().to_vec();
    let first = keys(&net);
    let caller = Caller::at(&mut net, 1);
    // All of this epoch's key, then all of the next one's.
    for _ in 0..2 {
        let route = net.route(&[1, 0], Suite::X25519);
        for _ in 0..128 {
            let packet = route.request(None, b"", Class::Message, &mut net.rng);
            let id = MessageId::random(&mut net.rng);
            net.send(
                caller.socket,
                encode_frame(Tag::RelayForward, id, &packet.unwrap()),
            );
        }
    }
    net.advance(Duration::from_secs(1));
    let second = keys(&net);
    assert_eq!(second.len(), 2);
    assert!(second.iter().all(|key| !first.contains(key)));
    let sequence = net.descriptor(0).sequence();
    net.advance(Duration::from_mins(1));
    assert_eq!(net.descriptor(0).sequence(), sequence, "published once");
    let mut caller = Caller::at(&mut net, 1);
    assert!(caller.call(&mut net, &[1, 0], &question()).is_some());
    net.kill(0, 0);
    net.start(0);
    net.advance(Duration::from_secs(20));
    assert!(
        net.relay(0).is_ready(),
        "although the log fills the new keys' filters"
    );
}

#[test]
fn fault_14_keys_whose_tags_are_lost_are_replaced() {
    let limits = Limits {
        replay_backlog: 3,
        ..Limits::default()
    };
    let mut net = Net::with(2, limits, Quotas::default());
    let mut caller = Caller::at(&mut net, 0);
    let packets: Vec<_> = (0..5)
        .map(|_| caller.packet(&mut net, &[0, 1], &question(), Class::Bulk))
        .collect();
    let before = net.descriptor(0).onion_keys().to_vec();
    net.nodes[0].cannot_log = true;
    let send = |net: &mut Net, socket| {
        packets
            .iter()
            .for_each(|packet| net.send(socket, packet.clone()));
    };
    send(&mut net, caller.socket);
    net.advance(Duration::from_secs(3));
    assert!(net.count(0, Metric::ReplayTagsLost) > 0);
    let after = net.descriptor(0).onion_keys().to_vec();
    let kept: Vec<_> = before.iter().filter(|key| after.contains(key)).collect();
    assert_eq!(
        (before.len(), after.len(), kept.len()),
        (4, 4, 3),
        "of four, one"
    );
    net.kill(0, 0);
    net.start(0);
    net.advance(Duration::from_secs(20));
    let mut caller = Caller::at(&mut net, 0);
    let peeled = net.count(0, Metric::Peeled("x25519"));
    send(&mut net, caller.socket);
    assert_eq!(
        net.count(0, Metric::Peeled("x25519")),
        peeled,
        "none passes again"
    );
    assert!(caller.call(&mut net, &[0, 1], &question()).is_some());
}

#[test]
fn fault_14_keys_of_a_relay_that_stops_while_its_disk_refuses_tags_are_forgotten() {
    let mut net = Net::new(2);
    let mut caller = Caller::at(&mut net, 0);
    let packet = caller.packet(&mut net, &[0, 1], &question(), Class::Bulk);
    let before = net.descriptor(0).onion_keys().to_vec();
    net.nodes[0].cannot_log = true;
    net.send(caller.socket, packet.clone());
    net.advance(Duration::from_secs(3));
    net.input(0, Input::Shutdown);
    net.advance(Duration::from_secs(1));
    assert!(!net.relay(0).is_at_work());
    net.kill(0, 0);
    net.nodes[0].cannot_log = false;
    net.start(0);
    net.advance(Duration::from_secs(20));
    let after = net.descriptor(0).onion_keys().to_vec();
    assert!(before.iter().all(|key| !after.contains(key)));
    let mut caller = Caller::at(&mut net, 0);
    let peeled = net.count(0, Metric::Peeled("x25519"));
    net.send(caller.socket, packet);
    assert_eq!(net.count(0, Metric::Peeled("x25519")), peeled);
    assert!(caller.call(&mut net, &[0, 1], &question()).is_some());
}

#[test]
fn fault_14_tags_that_the_disk_refused_are_logged_when_it_takes_them_again() {
    let mut net = Net::new(2);
    let mut caller = Caller::at(&mut net, 0);
    let packet = caller.packet(&mut net, &[0, 1], &question(), Class::Bulk);
    net.nodes[0].cannot_log = true;
    net.send(caller.socket, packet.clone());
    net.advance(Duration::from_secs(3));
    assert!(logged(&net).is_empty());
    assert!(net.count(0, Metric::StoreFailed) >= 2);
    net.nodes[0].cannot_log = false;
    net.advance(Duration::from_secs(2));
    let tags = logged(&net);
    assert!(!tags.is_empty());
    net.advance(Duration::from_secs(5));
    assert_eq!(logged(&net), tags, "once");
    net.kill(0, 0);
    net.start(0);
    net.advance(Duration::from_secs(5));
    caller.connect(&mut net);
    net.send(caller.socket, packet);
    assert_eq!(net.count(0, Metric::PacketDropped("replay")), 1);
}

fn logged(net: &Net) -> Vec<ReplayEntry> {
    net.nodes[0].store.restore().replay
}

#[test]
fn the_log_is_written_every_second_and_forgets_epochs_that_are_over() {
    let mut net = Net::new(2);
    let mut caller = Caller::at(&mut net, 0);
    caller.suite = Suite::XWing;
    caller.ask(&mut net, &[0, 1], &question());
    assert!(logged(&net).is_empty());
    net.advance(Duration::from_secs(1));
    let tags = logged(&net);
    assert_eq!(tags.len(), 2, "a request and its answer");
    assert!(tags.iter().all(|tag| tag.to_bytes()[0] == 2));
    net.advance(Duration::from_hours(19));
    assert!(logged(&net).is_empty());
}

#[test]
fn a_relay_that_knows_one_suite_only_reads_its_old_keys_after_the_upgrade() {
    let old = RelayKeys::generate(
        Suites::only(Suite::X25519),
        ReplayLimits::small(10),
        START,
        &mut Net::cold(1, Limits::default(), Quotas::default()).rng,
    )
    .unwrap();
    let mut record = old.persist().to_vec();
    assert_eq!(record[..3], [0x83, 2, 1]);
    // As version 1 wrote it.
    record[1] = 1;
    let mut net = Net::cold(1, Limits::default(), Quotas::default());
    let save = StoreOp::SaveOnionKeys(Zeroizing::new(record));
    net.nodes[0].store.submit(Ticket(u64::MAX), save);
    net.nodes[0].store.sync();
    net.start(0);
    net.settle();
    let keys = net.descriptor(0).onion_keys().to_vec();
    assert_eq!(keys[..2], old.public(START));
    assert_eq!(keys.len(), 4);
}
