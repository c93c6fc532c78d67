//! The DHT in relays: they find each other and keep what they know, records are found, and what strangers send harms nobody.

use std::net::SocketAddr;

use zentalk_shared::dht::{
    Contact, Contacts, FindValueRequest, Network, NodesReply, PingRequest, RecordKind, StoreRequest,
};
use zentalk_shared::id::{MessageId, RecordKey};
use zentalk_shared::identity::DirectorySecret;
use zentalk_shared::onion::RelayUrl;
use zentalk_shared::rpc::{
    AccountRecord, RecordGetRequest, RecordPutRequest, Refusal, Refused, Reply, Request,
};
use zentalk_shared::time::Duration;
use zentalk_shared::wire::codec::BoundedBytes;
use zentalk_shared::wire::link::LinkErrorCode;
use zentalk_shared::wire::{Tag, decode_frame, encode_frame};

use super::dial_back::introduce;
use super::links::{error_code, visitor};
use super::net::{Net, claimed_at, signer, url};
use super::people::{Caller, frame};
use crate::core::relay::Step;
use crate::core::store::Quotas;
use crate::core::{Input, Limits, Metric};

/// Relays of which each is told of the first one alone.
fn of_one_seed(relays: usize) -> Net {
    let mut net = Net::cold(relays, Limits::default(), Quotas::default());
    for node in &mut net.nodes {
        node.config.peers = vec![url(0)];
    }
    (0..relays).for_each(|index| net.start(index));
    net.advance(Duration::from_secs(10));
    net
}

fn contacts(net: &mut Net, index: usize) -> Option<usize> {
    let [contacts, ..] = net.relay(index).dht_holdings()?;
    Some(contacts)
}

fn count(net: &Net, index: usize, event: &'static str) -> u64 {
    net.count(index, Metric::Dht(event))
}

/// An account's record, and its key.
fn record(net: &mut Net, sequence: u64) -> (RecordKey, Vec<u8>) {
    let secret = DirectorySecret::random(&mut net.rng);
    let expires = net.now + Duration::from_days(20);
    let signed = AccountRecord::sign(&secret, sequence, expires, vec![5; 9000]).unwrap();
    (signed.key(), signed.bytes().to_vec())
}

fn get(net: &mut Net, caller: &mut Caller, at: usize, key: RecordKey) -> Option<Vec<u8>> {
    let request = Request::RecordGet(RecordGetRequest { key });
    match caller.call(net, &[at], &request) {
        Some(Reply::RecordGet(got)) => got.record.map(BoundedBytes::into_inner),
        other => panic!("{other:?}"),
    }
}

fn put(net: &mut Net, at: usize, record: &[u8]) {
    let record = BoundedBytes::new(record).unwrap();
    let request = Request::RecordPut(RecordPutRequest { record, work: None });
    let stored = Caller::at(net, at).call(net, &[at], &request);
    assert!(matches!(stored, Some(Reply::RecordPut(put)) if put.stored));
}

#[test]
fn relays_that_know_one_seed_find_each_other() {
    let mut net = of_one_seed(7);
    for index in 0..7 {
        assert_eq!(contacts(&mut net, index), Some(6), "{index}");
        assert_eq!(net.relay(index).known_relays(), 7);
    }
    net.advance(Duration::from_mins(3));
    for index in 0..7 {
        assert!(count(&net, index, "crawled") > 0, "{index}");
    }
}

#[test]
fn whether_a_relay_reaches_its_own_url_is_counted() {
    let mut net = Net::cold(1, Limits::default(), Quotas::default());
    net.hanging.insert(url(0).as_str().to_owned());
    net.start(0);
    for failures in 1..4 {
        net.advance(Duration::from_mins(1));
        let (index, dial) = net.hung.pop().unwrap();
        net.input(index, Input::DialFailed(dial));
        assert_eq!(count(&net, 0, "own_place_not_found"), failures);
    }
    assert_eq!(net.relay(0).dht_holdings(), None);
    net.hanging.clear();
    net.advance(Duration::from_mins(1));
    assert_eq!(count(&net, 0, "own_place_found"), 1);
    assert_eq!(net.relay(0).dht_holdings(), Some([0, 0, 0]));
}

#[test]
fn a_relay_holds_no_more_for_the_dht_than_its_operator_grants() {
    let mut net = Net::cold(3, Limits::default(), Quotas::default());
    net.nodes[1].config.limits.dht_records = 4;
    (0..3).for_each(|index| net.start(index));
    net.advance(Duration::from_secs(10));
    for _ in 0..6 {
        let (_, record) = record(&mut net, 1);
        put(&mut net, 0, &record);
    }
    net.advance(Duration::from_mins(1));
    let held = |net: &mut Net, index: usize| net.relay(index).dht_holdings().map(|[_, all, _]| all);
    assert_eq!(held(&mut net, 1), Some(4));
    assert!(held(&mut net, 2) > Some(6), "theirs and the relays' own");
    // A smaller grant counts from the next start on, on the disk as well.
    net.kill(1, 0);
    net.nodes[1].config.limits.dht_bytes = 20_000;
    net.start(1);
    net.advance(Duration::from_mins(1));
    let [_, _, bytes] = net.relay(1).dht_holdings().unwrap();
    assert!((1..=20_000).contains(&bytes), "{bytes}");
    let on_disk = net.nodes[1].store.restore().dht_records;
    let on_disk: usize = on_disk.iter().map(|(_, held)| held.length).sum();
    assert_eq!(on_disk, bytes);
}

#[test]
fn links_that_were_made_for_a_question_are_closed_again_and_others_stay() {
    let mut net = of_one_seed(4);
    assert!(count(&net, 1, "dialed") + count(&net, 2, "dialed") > 0);
    net.advance(Duration::from_mins(5));
    assert_eq!(net.wires_between(1, 2) + net.wires_between(2, 3), 0);
    assert_eq!(net.wires_between(0, 1), 1);
}

#[test]
fn who_was_away_for_long_and_whose_seeds_are_gone_finds_the_others_by_the_table_on_disk() {
    let mut net = of_one_seed(5);
    net.advance(Duration::from_mins(5));
    net.kill(0, 0);
    net.kill(4, 0);
    net.advance(Duration::from_hours(30));
    assert_eq!(net.relay(1).known_relays(), 3);
    net.start(4);
    net.advance(Duration::from_secs(30));
    assert_eq!(net.relay(4).known_relays(), 4);
    assert_eq!(contacts(&mut net, 4), Some(3));
    net.advance(Duration::from_mins(1));
    assert_eq!(net.relay(1).known_relays(), 4, "and is found");
}

#[test]
fn a_table_that_cannot_be_read_is_none() {
    let mut net = of_one_seed(3);
    net.kill(2, 0);
    let op = crate::core::store::StoreOp::SaveDhtTable(vec![0xff; 64]);
    net.nodes[2].store.submit(crate::core::Ticket(u64::MAX), op);
    net.nodes[2].store.sync();
    net.start(2);
    net.advance(Duration::from_secs(10));
    assert_eq!(count(&net, 2, "table_unreadable"), 1);
    assert_eq!(contacts(&mut net, 2), Some(2));
}

#[test]
fn a_record_that_one_relay_took_is_found_through_another_when_the_first_is_gone() {
    let mut net = of_one_seed(6);
    let (key, bytes) = record(&mut net, 7);
    put(&mut net, 1, &bytes);
    assert_eq!(count(&net, 1, "published"), 1);
    net.kill(1, 0);
    net.kill(2, 0);
    for index in 3..6 {
        let mut caller = Caller::at(&mut net, index);
        assert!(get(&mut net, &mut caller, index, key) == Some(bytes.clone()));
    }
}

#[test]
fn a_record_that_is_not_held_is_looked_up_once_and_its_absence_is_remembered_for_a_while() {
    let mut net = of_one_seed(4);
    let (key, bytes) = record(&mut net, 7);
    let mut caller = Caller::at(&mut net, 3);
    assert_eq!(get(&mut net, &mut caller, 3, key), None);
    let asked = count(&net, 3, "asked");
    assert_eq!(get(&mut net, &mut caller, 3, key), None);
    assert_eq!(
        (count(&net, 3, "asked"), count(&net, 3, "absent")),
        (asked, 1)
    );
    net.advance(Duration::from_secs(31));
    assert_eq!(get(&mut net, &mut caller, 3, key), None);
    assert_eq!(count(&net, 3, "absent"), 2);
    put(&mut net, 1, &bytes);
    net.advance(Duration::from_secs(31));
    assert!(get(&mut net, &mut caller, 3, key) == Some(bytes));
}

#[test]
fn what_was_found_is_handed_out_for_five_minutes_without_another_lookup() {
    let mut net = Net::cold(4, Limits::default(), Quotas::default());
    // It has no room for the record, as if twenty others were nearer.
    net.nodes[3].config.limits.dht_records = 0;
    (0..4).for_each(|index| net.start(index));
    net.advance(Duration::from_secs(10));
    let (key, bytes) = record(&mut net, 7);
    put(&mut net, 1, &bytes);
    let mut caller = Caller::at(&mut net, 3);
    for (pause, lookups) in [(0, 1), (1, 1), (270, 1), (60, 2)] {
        net.advance(Duration::from_secs(pause));
        caller.connect(&mut net);
        assert!(get(&mut net, &mut caller, 3, key) == Some(bytes.clone()));
        assert_eq!(count(&net, 3, "found"), lookups, "{pause} s later");
    }
    let [_, held, _] = net.relay(3).dht_holdings().unwrap();
    assert_eq!(held, 0);
}

#[test]
fn fault_15_lookups_for_readers_are_rationed() {
    let mut net = of_one_seed(3);
    let mut caller = Caller::at(&mut net, 2);
    let mut ask = |net: &mut Net, n: u8| {
        let key = RecordKey::from_bytes([n; 20]);
        let request = Request::RecordGet(RecordGetRequest { key });
        caller.call(net, &[2], &request)
    };
    let busy = Reply::Refused(Refused::because(Refusal::Busy));
    let refused: Vec<u8> = (0..200)
        .filter(|n| ask(&mut net, *n) == Some(busy.clone()))
        .collect();
    assert_eq!(refused, (120..200).collect::<Vec<_>>());
    net.advance(Duration::from_secs(10));
    assert!(matches!(ask(&mut net, 200), Some(Reply::RecordGet(_))));
}

#[test]
fn what_a_relay_holds_for_the_dht_is_there_after_a_restart() {
    let mut net = of_one_seed(3);
    let (key, bytes) = record(&mut net, 7);
    put(&mut net, 1, &bytes);
    net.kill(2, 0);
    net.kill(1, 0);
    net.kill(0, 0);
    net.start(2);
    net.advance(Duration::from_secs(5));
    let mut caller = Caller::at(&mut net, 2);
    assert!(get(&mut net, &mut caller, 2, key) == Some(bytes));
    let [_, records, _] = net.relay(2).dht_holdings().unwrap();
    assert!(records >= 1);
}

#[test]
fn records_go_to_a_relay_that_comes_later() {
    let mut net = Net::cold(4, Limits::default(), Quotas::default());
    (0..3).for_each(|index| net.start(index));
    net.advance(Duration::from_secs(10));
    let (key, bytes) = record(&mut net, 7);
    put(&mut net, 1, &bytes);
    net.start(3);
    net.advance(Duration::from_secs(30));
    (0..3).for_each(|index| net.kill(index, 0));
    let mut caller = Caller::at(&mut net, 3);
    assert!(get(&mut net, &mut caller, 3, key) == Some(bytes));
}

#[test]
fn nobody_but_a_relay_speaks_of_the_dht() {
    let mut net = of_one_seed(2);
    for tag in [Tag::DhtPing, Tag::DhtNodes, Tag::DhtStore] {
        let socket = visitor(&mut net, 0);
        net.send(socket, frame(tag, &PingRequest {}));
        assert_eq!(
            error_code(&mut net, socket),
            Some(LinkErrorCode::Unauthenticated)
        );
        let client = Caller::at(&mut net, 0).socket;
        net.send(client, frame(tag, &PingRequest {}));
        assert!(!net.is_open(client));
    }
}

/// Somebody with the key of a relay, linked to the first one of two; nobody is at its URL.
fn with_stranger() -> (Net, u64) {
    let mut net = of_one_seed(2);
    let claimed = claimed_at(5, "ws://127.0.0.1:9800/v1", 1);
    let socket = introduce(&mut net, 0, 5, &claimed);
    net.take_inbox(socket);
    (net, socket)
}

#[test]
fn garbage_closes_the_link_that_it_came_on() {
    for tag in [
        Tag::DhtPing,
        Tag::DhtPong,
        Tag::DhtStore,
        Tag::DhtStored,
        Tag::DhtFindNode,
        Tag::DhtFindValue,
        Tag::DhtNodes,
        Tag::DhtValue,
    ] {
        let (mut net, socket) = with_stranger();
        net.send(
            socket,
            frame(tag, &BoundedBytes::<9>::new([0xff; 9]).unwrap()),
        );
        let code = error_code(&mut net, socket);
        assert_eq!(code, Some(LinkErrorCode::Malformed), "{}", tag.name());
        assert_eq!(contacts(&mut net, 0), Some(1));
    }
}

#[test]
fn fault_15_a_frame_that_is_too_long_closes_the_link() {
    let (mut net, socket) = with_stranger();
    let long = vec![0; Tag::DhtValue.max_payload() + 1];
    let mut long = encode_frame(Tag::Directory, MessageId::from_bytes([7; 16]), &long);
    long[6..8].copy_from_slice(&0x0037_u16.to_be_bytes());
    net.send(socket, long);
    let code = error_code(&mut net, socket);
    assert_eq!(code, Some(LinkErrorCode::TooLarge));
}

/// A contact that somebody makes up.
fn made_up(port: u16) -> Contact {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let network = Network::of(address.ip(), port, true).unwrap();
    let url = RelayUrl::parse(&format!("ws://{address}/v1")).unwrap();
    Contact::new(signer(7).node(), network, &url)
}

#[test]
fn fault_20_answers_that_nobody_asked_for_change_nothing() {
    let (mut net, socket) = with_stranger();
    let dialed = net.dialed.clone();
    let contacts_told = (1..20).map(made_up).collect();
    let reply = NodesReply {
        contacts: Contacts::new(contacts_told).unwrap(),
    };
    for _ in 0..50 {
        net.send(socket, frame(Tag::DhtNodes, &reply));
    }
    net.advance(Duration::from_secs(5));
    assert!(net.is_open(socket));
    let made_up = |(url, _): &(&String, &usize)| !dialed.contains_key(*url);
    assert_eq!(net.dialed.iter().filter(made_up).count(), 0);
    assert_eq!(contacts(&mut net, 0), Some(1));
}

#[test]
fn fault_15_who_asks_too_much_is_not_answered() {
    let (mut net, socket) = with_stranger();
    let ping = frame(Tag::DhtPing, &PingRequest {});
    (0..1000).for_each(|_| net.send(socket, ping.clone()));
    assert!(net.is_open(socket));
    assert_eq!(net.take_inbox(socket).len(), 400);
    net.advance(Duration::from_secs(1));
    net.send(socket, ping);
    let inbox = net.take_inbox(socket);
    assert_eq!(decode_frame(&inbox[0]).unwrap().tag, Tag::DhtPong);
}

#[test]
fn fault_20_who_was_not_found_gets_answers_and_is_told_to_nobody() {
    let (mut net, socket) = with_stranger();
    let key = RecordKey::from_bytes([4; 20]);
    let kind = RecordKind::Relay;
    net.send(
        socket,
        frame(Tag::DhtFindValue, &FindValueRequest { kind, key }),
    );
    let inbox = net.take_inbox(socket);
    assert_eq!(decode_frame(&inbox[0]).unwrap().tag, Tag::DhtNodes);
    assert_eq!(contacts(&mut net, 0), Some(1));
    assert_eq!(contacts(&mut net, 1), Some(1));
}

#[test]
fn fault_18_a_record_that_is_not_its_signers_is_not_held() {
    let (mut net, socket) = with_stranger();
    let [_, before, _] = net.relay(0).dht_holdings().unwrap();
    let (_, mut bytes) = record(&mut net, 7);
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    // Another relay's descriptor is genuine, but a stranger may not bring it.
    let others = claimed_at(6, "ws://127.0.0.1:9801/v1", 1).bytes().to_vec();
    for (kind, bytes) in [(RecordKind::Account, bytes), (RecordKind::Relay, others)] {
        let store = StoreRequest {
            kind,
            record: BoundedBytes::new(bytes).unwrap(),
            proof: None,
        };
        net.send(socket, frame(Tag::DhtStore, &store));
        let inbox = net.take_inbox(socket);
        assert_eq!(decode_frame(&inbox[0]).unwrap().tag, Tag::DhtStored);
    }
    let [_, after, _] = net.relay(0).dht_holdings().unwrap();
    assert_eq!(before, after);
}

#[test]
fn a_relay_that_nobody_here_knows_is_looked_up_when_a_packet_is_for_it() {
    let mut net = of_one_seed(5);
    net.advance(Duration::from_mins(5));
    let [known, stranger] = [2, 3].map(|index| net.id(index));
    assert_eq!(net.wires_between(1, 3), 0);
    net.relay(1).forget_relay(&stranger);
    assert_eq!(net.relay(1).known_relays(), 4);
    let key = RecordKey::from_bytes([4; 20]);
    let request = Request::RecordGet(RecordGetRequest { key });
    let mut caller = Caller::at(&mut net, 1);
    let dropped = Metric::PacketDropped("unknown_relay");
    assert_eq!(caller.call(&mut net, &[1, 3], &request), None);
    assert_eq!(net.count(1, dropped), 1);
    net.advance(Duration::from_secs(5));
    assert_eq!(
        (count(&net, 1, "sought"), count(&net, 1, "sought_found")),
        (1, 1)
    );
    assert_eq!(net.relay(1).known_relays(), 5, "and was found there");
    assert!(caller.call(&mut net, &[1, 3], &request).is_some());
    assert_eq!(net.count(1, dropped), 1);
    assert!(net.relay(1).directory.relays().get(&known).is_some());
}

#[test]
fn fault_15_packets_for_relays_that_do_not_exist_cause_few_lookups() {
    let mut net = of_one_seed(3);
    net.advance(Duration::from_mins(5));
    let nobody = signer(7).node();
    for _ in 0..5 {
        let mut rng = net.rng.clone();
        let now = net.now;
        let mut step = Step { now, rng: &mut rng };
        net.relay(1).send_packet(nobody, vec![0; 64], &mut step);
        net.input(1, Input::Timer);
        net.advance(Duration::from_secs(30));
    }
    assert_eq!(
        (count(&net, 1, "sought"), count(&net, 1, "sought_found")),
        (1, 0)
    );
}
