//! Where relays stand in the DHT is what this relay has found, and nothing that others say, whoever is linked.

use std::net::SocketAddr;

use zentalk_shared::dht::{Contact, Contacts, Network, NodesReply};
use zentalk_shared::id::RecordKey;
use zentalk_shared::onion::RelayUrl;
use zentalk_shared::rpc::{RecordGetRequest, Request};
use zentalk_shared::time::Duration;
use zentalk_shared::wire::codec::to_cbor;
use zentalk_shared::wire::{Tag, decode_frame, encode_frame};

use super::dial_back::introduce;
use super::net::{Net, START, claimed_at, signer, url};
use super::people::Caller;
use crate::core::store::Quotas;
use crate::core::{Limits, Metric};

/// What somebody says of the relay with a key of the pool: the URL and the port that its network follows from.
fn claim(key: usize, url: &RelayUrl, port: u16) -> Contact {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let network = Network::of(address.ip(), port, true).unwrap();
    Contact::new(signer(key).node(), network, url)
}

fn nobodys(port: usize) -> RelayUrl {
    RelayUrl::parse(&format!("ws://127.0.0.1:{port}/v1")).unwrap()
}

/// The first relay knows the second one, which lies now and then (see [`lead`]).
fn with_liar(relays: usize) -> Net {
    let mut net = Net::cold(relays, Limits::default(), Quotas::default());
    for node in &mut net.nodes {
        node.config.peers = vec![url(0)];
    }
    net.start(0);
    net.start(1);
    net.advance(Duration::from_secs(10));
    net
}

/// The first relay looks for a record that nobody has. What it asks the liar is answered by the test: with these.
fn lead(net: &mut Net, key: u8, contacts: Vec<Contact>) {
    let request = Request::RecordGet(RecordGetRequest {
        key: RecordKey::from_bytes([key; 20]),
    });
    net.unheard.clear();
    net.nodes[1].deaf = true;
    let mut caller = Caller::at(net, 0);
    caller.ask(net, &[0], &request);
    let of_question = |frame: &Vec<u8>| {
        let frame = decode_frame(frame).unwrap();
        (frame.tag == Tag::DhtFindValue).then_some(frame.id)
    };
    let id = net.unheard.iter().find_map(of_question).unwrap();
    let reply = NodesReply {
        contacts: Contacts::new(contacts).unwrap(),
    };
    let reply = encode_frame(Tag::DhtNodes, id, &to_cbor(&reply));
    net.send_as(1, 0, reply);
    net.nodes[1].deaf = false;
}

fn questions(net: &mut Net, socket: u64) -> usize {
    let inbox = net.take_inbox(socket);
    let is_question = |frame: &&Vec<u8>| decode_frame(frame).unwrap().tag == Tag::DhtFindValue;
    inbox.iter().filter(is_question).count()
}

fn asked(net: &Net, to: usize) -> usize {
    let is_question = |told: &&(usize, usize, Tag)| **told == (0, to, Tag::DhtFindValue);
    net.told.iter().filter(is_question).count()
}

fn count(net: &Net, event: &'static str) -> u64 {
    net.count(0, Metric::Dht(event))
}

#[test]
fn fault_20_a_link_does_not_make_true_what_is_said_of_a_relays_place() {
    let mut net = with_liar(2);
    // They have links; at their URLs is nobody.
    let accomplices: Vec<_> = (3..12)
        .map(|key| {
            let claimed = claimed_at(key, nobodys(9800 + key).as_str(), 1);
            introduce(&mut net, 0, key, &claimed)
        })
        .collect();
    net.advance(Duration::from_secs(5));
    accomplices.iter().for_each(|a| drop(net.take_inbox(*a)));
    let said = (3..12).map(|key| claim(key, &nobodys(9800 + key), 7000 + key as u16));
    lead(&mut net, 1, said.collect());
    net.advance(Duration::from_secs(5));
    let asked = accomplices.iter().map(|a| questions(&mut net, *a));
    assert_eq!(asked.sum::<usize>(), 0);
}

#[test]
fn fault_20_a_linked_relay_is_not_asked_at_a_place_where_it_was_not_found() {
    let mut net = with_liar(3);
    net.start(2);
    net.advance(Duration::from_secs(10));
    net.told.clear();
    let dialed = count(&net, "dialed");
    let found = |net: &Net| net.count(0, Metric::DialedBack("found"));
    let before = found(&net);
    lead(&mut net, 1, vec![claim(2, &url(2), 7002)]);
    net.advance(Duration::from_secs(5));
    assert_eq!(count(&net, "elsewhere"), 1);
    assert_eq!(asked(&net, 2), 1, "where it is");
    assert_eq!((count(&net, "dialed"), found(&net)), (dialed, before));
    // It might have moved: once its proof is of some age, it is looked for again. But not each time.
    net.advance(Duration::from_mins(11));
    for key in 2..6 {
        lead(&mut net, key, vec![claim(2, &url(2), 7002)]);
        net.advance(Duration::from_secs(5));
    }
    assert_eq!(count(&net, "elsewhere"), 5);
    assert_eq!((count(&net, "dialed"), found(&net)), (dialed, before + 1));
}

#[test]
fn a_linked_relay_of_which_nothing_is_proven_is_met_and_then_asked_on_its_link() {
    let mut net = with_liar(3);
    net.hanging.insert(url(2).as_str().to_owned());
    net.start(2);
    net.advance(Duration::from_secs(5));
    assert_eq!(net.wires_between(0, 2), 1);
    assert_eq!(net.relay(0).dht_holdings().unwrap()[0], 1);
    net.hanging.clear();
    lead(&mut net, 1, vec![claim(2, &url(2), 9002)]);
    assert_eq!(asked(&net, 2), 1);
    assert_eq!(net.wires_between(0, 2), 1);
    assert_eq!(net.relay(0).dht_holdings().unwrap()[0], 2);
}

#[test]
fn fault_20_who_links_while_it_is_dialed_is_not_asked_before_it_is_met() {
    let mut net = with_liar(2);
    net.hanging.insert(nobodys(9805).as_str().to_owned());
    lead(&mut net, 1, vec![claim(5, &nobodys(9805), 7005)]);
    assert_eq!(net.dialed[nobodys(9805).as_str()], 1);
    let claimed = claimed_at(5, nobodys(9806).as_str(), START.as_ms());
    let accomplice = introduce(&mut net, 0, 5, &claimed);
    assert_eq!(questions(&mut net, accomplice), 0);
}

#[test]
fn fault_20_whoever_is_said_to_be_many_relays_is_connected_to_a_few_times_at_once() {
    let mut net = with_liar(2);
    let victim = nobodys(9805);
    net.hanging.insert(victim.as_str().to_owned());
    for (key, keys) in [(1, 2..7), (2, 7..12)] {
        lead(
            &mut net,
            key,
            keys.map(|key| claim(key, &victim, 7_000 + key as u16))
                .collect(),
        );
        net.advance(Duration::from_secs(4));
    }
    assert_eq!(net.dialed[victim.as_str()], 4);
    assert!(count(&net, "quiet") >= 4);
}

#[test]
fn inventions_about_a_network_do_not_keep_from_a_relay_that_was_found_there() {
    let mut net = with_liar(3);
    net.nodes[2].config.peers = vec![url(1)];
    net.start(2);
    net.advance(Duration::from_mins(5));
    assert_eq!(net.relay(0).known_relays(), 3);
    assert_eq!(net.wires_between(0, 2), 0);
    // The liar says of others that they are where the third relay is.
    let inventions = (3..11).map(|key| claim(key, &url(2), 9002)).collect();
    lead(&mut net, 1, inventions);
    net.advance(Duration::from_secs(5));
    assert!(count(&net, "quiet") > 0);
    // The link that was made for the question ends.
    net.kill(2, 0);
    net.start(2);
    net.settle();
    net.told.clear();
    lead(&mut net, 2, Vec::new());
    assert_eq!(asked(&net, 2), 1);
}
