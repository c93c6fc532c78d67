//! Who is believed to be a relay: whoever was found where it claims to be.

use std::net::SocketAddr;

use zentalk_shared::id::NodeId;
use zentalk_shared::onion::{
    LinkSide, LinkTranscript, RelayDescriptor, RelayUrl, UnverifiedDescriptor,
};
use zentalk_shared::time::Duration;
use zentalk_shared::wire::codec::{BoundedList, Bytes, from_cbor};
use zentalk_shared::wire::link::{
    Directory, DirectoryGet, Handshake, HandshakeAck, LinkProof, Role,
};
use zentalk_shared::wire::{Tag, VERSION, decode_frame};

use super::links::visitor;
use super::net::{Net, START, claimed_at, signer as signer_of, url};
use super::people::frame;
use crate::core::store::Quotas;
use crate::core::{Input, Limits, Metric};

/// Every relay runs and knows the others.
fn settled(relays: usize) -> Net {
    let mut net = Net::new(relays);
    net.advance(Duration::from_secs(20));
    net
}

/// Somebody connects as the relay of a descriptor, whose key it has.
pub(super) fn introduce(
    net: &mut Net,
    index: usize,
    signer: usize,
    descriptor: &RelayDescriptor,
) -> u64 {
    let socket = net.connect(index);
    let hello = Handshake {
        role: Role::Relay,
        versions: BoundedList::new(vec![VERSION]).unwrap(),
        suites: BoundedList::new(vec![1]).unwrap(),
        tag: None,
        received: None,
        descriptor: Some(descriptor.bytes().clone()),
        nonce: Some(Bytes([1; 32])),
    };
    net.send(socket, frame(Tag::Handshake, &hello));
    let inbox = net.take_inbox(socket);
    let answer = decode_frame(&inbox[0]).unwrap();
    let ack: HandshakeAck = from_cbor(answer.payload, 20_000).unwrap();
    let transcript = LinkTranscript {
        connects: descriptor.node(),
        accepts: ack.node,
        connect_nonce: [1; 32],
        accept_nonce: ack.nonce.unwrap().0,
    };
    let signature = signer_of(signer).sign_link(LinkSide::Connect, &transcript);
    let signature = Bytes(*signature.as_bytes());
    net.send(socket, frame(Tag::LinkProof, &LinkProof { signature }));
    assert!(net.is_open(socket));
    socket
}

/// What a relay tells whoever asks.
fn told(net: &mut Net, index: usize) -> Vec<NodeId> {
    let socket = visitor(net, index);
    net.send(socket, frame(Tag::DirectoryGet, &DirectoryGet::default()));
    let inbox = net.take_inbox(socket);
    let body = decode_frame(&inbox[0]).unwrap().payload.to_vec();
    let listed: Directory = from_cbor(&body, 1 << 20).unwrap();
    let listed = listed.descriptors.iter();
    let listed = listed.map(|bytes| UnverifiedDescriptor::decode(bytes).unwrap().claimed_node());
    let listed = listed.collect();
    net.hang_up(socket);
    listed
}

fn on_disk(net: &Net, index: usize, node: NodeId) -> bool {
    let restored = net.nodes[index].store.restore();
    restored.descriptors.iter().any(|saved| saved.node == node)
}

fn found(net: &Net, index: usize) -> u64 {
    net.count(index, Metric::DialedBack("found"))
}

fn not_found(net: &Net, index: usize) -> u64 {
    net.count(index, Metric::DialedBack("not_found"))
}

#[test]
fn relays_that_start_together_are_found_within_a_second() {
    let mut net = Net::new(5);
    for index in 0..5 {
        assert_eq!(net.relay(index).known_relays(), 5);
        assert_eq!(net.relay(index).claimed_relays(), 0);
    }
}

#[test]
fn a_relay_that_knows_only_itself_has_answered_and_is_asked_again_soon() {
    let mut net = Net::cold(3, Limits::default(), Quotas::default());
    // All know the last one, which knows nobody.
    for index in 0..2 {
        net.nodes[index].config.peers = vec![url(2)];
    }
    net.nodes[2].config.peers.clear();
    net.start(2);
    net.start(0);
    net.advance(Duration::from_secs(1));
    assert!(net.relay(0).directory.questions.are_answered());
    assert_eq!(net.relay(0).known_relays(), 2);
    net.start(1);
    net.advance(Duration::from_secs(31));
    assert!(net.relay(0).directory.questions.are_answered());
    assert_eq!(net.relay(0).known_relays(), 3);
}

#[test]
fn of_what_nobody_asked_for_only_a_relays_own_descriptor_is_read() {
    let mut net = settled(2);
    let ours = claimed_at(2, "ws://relay.internal:9002/v1", START.as_ms());
    let socket = introduce(&mut net, 0, 2, &ours);
    let of = |n, port| {
        claimed_at(
            n,
            &format!("ws://relay.internal:{port}/v1"),
            START.as_ms() + 1,
        )
    };
    let told = |descriptors: &[RelayDescriptor]| Directory {
        digest: Bytes([7; 32]),
        descriptors: BoundedList::new(descriptors.iter().map(|d| d.bytes().clone()).collect())
            .unwrap(),
    };
    let claimed = |net: &mut Net| (net.relay(0).claimed_relays(), net.is_open(socket));
    assert_eq!(claimed(&mut net), (1, true));
    for listed in [vec![of(3, 9003)], vec![of(2, 9002), of(3, 9003)]] {
        net.send(socket, frame(Tag::Directory, &told(&listed)));
        assert_eq!(claimed(&mut net), (1, true));
    }
}

#[test]
fn who_connects_is_believed_when_it_was_found() {
    let mut net = Net::cold(2, Limits::default(), Quotas::default());
    // The second one is not configured at the first.
    net.nodes[0].config.peers.clear();
    (0..2).for_each(|index| net.start(index));
    net.advance(Duration::from_secs(1));
    assert_eq!(net.relay(0).known_relays(), 2);
    assert_eq!((found(&net, 0), not_found(&net, 0)), (1, 0));
    assert_eq!(net.wires_between(0, 1), 1, "to look is not to link");
    assert!(on_disk(&net, 0, net.id(1)));
}

#[test]
fn fault_20_a_relay_that_is_not_there_is_told_to_nobody_and_forgotten() {
    let mut net = settled(3);
    let liar = claimed_at(7, "ws://127.0.0.1:9999/v1", START.as_ms());
    introduce(&mut net, 0, 7, &liar);
    net.advance(Duration::from_secs(5));
    assert_eq!(net.relay(0).known_relays(), 3);
    assert_eq!(net.relay(0).claimed_relays(), 1);
    assert!(!told(&mut net, 0).contains(&liar.node()));
    assert!(!on_disk(&net, 0, liar.node()));
    net.advance(Duration::from_hours(25));
    assert_eq!(net.relay(0).claimed_relays(), 0);
    let dials = net.dialed["ws://127.0.0.1:9999/v1"];
    assert!((2..25).contains(&dials), "{dials}");
    assert_eq!(net.relay(1).known_relays(), 3);
}

#[test]
fn fault_20_a_url_of_somebody_elses_relay_proves_nothing() {
    let mut net = settled(3);
    let liar = claimed_at(7, url(1).as_str(), START.as_ms());
    introduce(&mut net, 0, 7, &liar);
    assert_eq!(net.relay(0).linked_relays(), 3, "a link is no belief");
    net.advance(Duration::from_mins(10));
    assert_eq!(net.relay(0).known_relays(), 3);
    assert!(not_found(&net, 0) > 1);
    assert!(
        told(&mut net, 0).contains(&net.id(1)),
        "nor does it disprove"
    );
    assert_eq!(net.wires_between(0, 1), 1);
    // Its own URL does neither.
    let liar = claimed_at(8, url(0).as_str(), START.as_ms());
    introduce(&mut net, 0, 8, &liar);
    net.advance(Duration::from_mins(10));
    assert_eq!(net.relay(0).known_relays(), 3);
}

#[test]
fn fault_20_a_url_that_hangs_holds_up_nobody() {
    let mut net = Net::cold(2, Limits::default(), Quotas::default());
    net.nodes[0].config.peers.clear();
    net.start(0);
    net.advance(Duration::from_secs(1));
    for signer in 4..12 {
        let url = format!("ws://127.0.0.1:{}/v1", 9990 + signer);
        net.hanging.insert(url.clone());
        introduce(
            &mut net,
            0,
            signer,
            &claimed_at(signer, &url, START.as_ms()),
        );
    }
    net.advance(Duration::from_secs(1));
    assert_eq!(net.hung.len(), 8, "as many as one network's newcomers get");
    net.start(1);
    net.advance(Duration::from_secs(1));
    assert_eq!(net.relay(0).known_relays(), 1, "it waits for its turn");
    let (index, dial) = net.hung.remove(0);
    net.input(index, Input::DialFailed(dial));
    net.advance(Duration::from_secs(1));
    assert_eq!(net.relay(0).known_relays(), 2);
}

#[test]
fn fault_20_of_two_relays_that_claim_one_url_the_one_that_is_there_counts() {
    let name = "ws://relay.internal:9001/v1";
    let mut net = Net::cold(4, Limits::default(), Quotas::default());
    // Whoever holds the name answers.
    let address = SocketAddr::from(([127, 0, 0, 1], 9002));
    let lead = |net: &mut Net, index| net.names.insert(name.to_owned(), (index, address));
    for index in [2, 3] {
        net.nodes[index].config.info.urls = vec![RelayUrl::parse(name).unwrap()];
        net.nodes[index].config.peers.truncate(1);
    }
    net.nodes[0].config.peers.clear();
    net.start(0);
    net.advance(Duration::from_secs(1));
    lead(&mut net, 2);
    net.start(2);
    net.start(3);
    net.advance(Duration::from_secs(5));
    let (second, last) = (net.id(2), net.id(3));
    assert!(told(&mut net, 0).contains(&second) && !told(&mut net, 0).contains(&last));
    lead(&mut net, 3);
    net.advance(Duration::from_hours(5));
    assert!(told(&mut net, 0).contains(&last) && !told(&mut net, 0).contains(&second));
    assert!(!on_disk(&net, 0, second));
}

#[test]
fn fault_20_addresses_of_the_own_network_are_not_looked_into() {
    let mut net = Net::cold(1, Limits::default(), Quotas::default());
    net.nodes[0].config.allow_private = false;
    net.nodes[0].config.peers.clear();
    net.start(0);
    net.advance(Duration::from_secs(1));
    let urls = [
        "wss://127.0.0.1/v1",
        "wss://10.0.0.1/v1",
        "wss://169.254.169.254/v1",
        "wss://[::ffff:192.168.0.1]/v1",
        "wss://[fd00::1]/v1",
        "wss://localhost/v1",
        "wss://printer/v1",
        "ws://relay.example.org/v1",
    ];
    for (n, url) in urls.iter().enumerate() {
        introduce(&mut net, 0, 2 + n, &claimed_at(2 + n, url, START.as_ms()));
    }
    net.advance(Duration::from_mins(10));
    // It looks for its own place.
    assert_eq!(net.dialed.keys().collect::<Vec<_>>(), [url(0).as_str()]);
    assert_eq!(
        net.count(0, Metric::ClaimRefused("private")),
        urls.len() as u64
    );
    assert_eq!(net.relay(0).claimed_relays(), 0);
    introduce(
        &mut net,
        0,
        11,
        &claimed_at(11, "wss://relay.example.org/v1", START.as_ms()),
    );
    assert_eq!(net.dialed.len(), 2);
}

#[test]
fn relays_that_were_found_are_known_after_a_restart_and_looked_for_again_if_it_took_long() {
    let mut net = settled(3);
    net.kill(0, 0);
    net.nodes[0].config.peers.clear();
    (1..3).for_each(|index| net.kill(index, 0));
    net.start(0);
    net.advance(Duration::from_ms(100));
    assert_eq!(net.relay(0).known_relays(), 3);
    net.kill(0, 0);
    net.now += Duration::from_hours(9);
    net.dialed.clear();
    net.start(0);
    net.advance(Duration::from_secs(1));
    assert_eq!(net.relay(0).known_relays(), 1);
    assert_eq!(net.relay(0).claimed_relays(), 2);
    assert_eq!(net.dialed.len(), 3, "both, and itself");
}

#[test]
fn a_relay_that_moves_is_known_at_its_old_url_until_it_was_found_at_the_new_one() {
    let mut net = settled(2);
    let moved = claimed_at(1, "ws://relay.internal:9001/v1", START.as_ms() + 60_000);
    let socket = introduce(&mut net, 0, 1, &moved);
    net.advance(Duration::from_secs(1));
    assert_eq!(net.relay(0).claimed_relays(), 1);
    let at = |net: &Net| {
        let restored = net.nodes[0].store.restore().descriptors;
        let saved = restored.iter().find(|saved| saved.node == net.id(1));
        saved.map(|saved| saved.descriptor == moved.bytes().to_vec())
    };
    assert_eq!(at(&net), Some(false));
    net.hang_up(socket);
    // The relay runs under its new name.
    net.kill(1, 0);
    net.nodes[1].config.info.urls = moved.info().urls.clone();
    let address = SocketAddr::from(([127, 0, 0, 1], 9005));
    net.names
        .insert("ws://relay.internal:9001/v1".to_owned(), (1, address));
    net.start(1);
    net.advance(Duration::from_mins(5));
    assert_eq!(net.relay(0).claimed_relays(), 0);
    let restored = net.nodes[0].store.restore().descriptors;
    let saved = restored
        .iter()
        .find(|saved| saved.node == net.id(1))
        .unwrap();
    assert_eq!(saved.proof.unwrap().address, address);
}

#[test]
fn a_relay_that_is_gone_is_forgotten_though_others_tell_of_it() {
    let mut net = settled(3);
    let gone = net.id(2);
    // It publishes, and nobody can connect to it.
    net.hanging.insert(url(2).as_str().to_owned());
    for _ in 0..40 {
        net.advance(Duration::from_mins(30));
        for (index, dial) in core::mem::take(&mut net.hung) {
            net.input(index, Input::DialFailed(dial));
        }
    }
    for index in 0..2 {
        assert!(!told(&mut net, index).contains(&gone));
    }
    assert_eq!(net.relay(2).known_relays(), 3, "it finds the others");
}
