//! Bounds that all share: beyond them whoever asks is told, or what comes is dropped and counted; what ends leaves room.

use zentalk_shared::rpc::{DirectorySyncRequest, PutReply, Refusal, Refused, Reply, Request};
use zentalk_shared::time::Duration;
use zentalk_shared::wire::codec::Bytes;

use super::dial_back::introduce;
use super::net::{Net, START, claimed_at, url};
use super::people::{Caller, Owner};
use crate::core::claims::{Bounds, Claims};
use crate::core::store::Quotas;
use crate::core::{Input, Limits, Metric};

/// Something that any relay answers at once.
fn question() -> Request {
    Request::DirectorySync(DirectorySyncRequest {
        known: Bytes([0; 32]),
        offset: 0,
        since: None,
    })
}

fn refused(reason: Refusal) -> Option<Reply> {
    Some(Reply::Refused(Refused::because(reason)))
}

const fn sent(held: u8, of: u8) -> Option<Reply> {
    Some(Reply::Put(PutReply { held, of }))
}

/// Somebody whose mailbox these relays hold.
fn owner_at(net: &mut Net, members: &[usize]) -> Owner {
    let mut owner = Owner::new(net, 3);
    owner.members = members.to_vec();
    for member in members {
        owner.subscribe(net, *member, 0);
    }
    owner
}

/// Attempts that hang have failed.
fn end_hung(net: &mut Net) {
    net.hanging.clear();
    for (index, dial) in core::mem::take(&mut net.hung) {
        net.input(index, Input::DialFailed(dial));
    }
}

#[test]
fn who_asks_while_the_disk_has_enough_to_do_is_told_and_served_when_there_is_room() {
    let limits = Limits {
        operations: 4,
        ..Limits::default()
    };
    let mut net = Net::with(4, limits, Quotas::default());
    let (alone, shared) = (owner_at(&mut net, &[0]), owner_at(&mut net, &[1, 0]));
    let mut sender = Caller::at(&mut net, 3);
    let mut bystander = Caller::at(&mut net, 3);
    net.nodes[0].slow_disk = true;
    for n in 0..4 {
        let put = alone.put(&net, 0, n);
        assert_eq!(sender.call(&mut net, &[3, 0], &put), None, "it is at work");
    }
    for n in 4..9 {
        let put = alone.put(&net, 0, n);
        let reply = sender.call(&mut net, &[3, 0], &put);
        assert_eq!(reply, refused(Refusal::Busy));
    }
    assert_eq!(net.count(0, Metric::Refused("busy")), 5);
    let reply = bystander.call(&mut net, &[3, 0], &question());
    assert!(matches!(reply, Some(Reply::DirectorySync(_))), "{reply:?}");
    // What another member brings is passed over, and brought again.
    let put = shared.put(&net, 1, 10);
    assert_eq!(bystander.call(&mut net, &[3, 1], &put), None);
    net.nodes[0].slow_disk = false;
    net.settle();
    assert_eq!(sender.replies(&mut net).len(), 4, "what was begun is done");
    assert!(!net.relay(0).is_store_busy());
    let put = alone.put(&net, 0, 11);
    assert_eq!(bystander.call(&mut net, &[3, 0], &put), sent(1, 1));
    net.advance(Duration::from_secs(4));
    assert_eq!(bystander.replies(&mut net).pop(), sent(2, 2));
    assert!(!net.relay(0).is_at_work(), "nothing is left over");
}

#[test]
fn puts_that_wait_for_members_are_bounded_for_all_mailboxes_together() {
    let limits = Limits {
        puts: 2,
        ..Limits::default()
    };
    let mut net = Net::with(4, limits, Quotas::default());
    let (stuck, other) = (owner_at(&mut net, &[0, 1, 2]), owner_at(&mut net, &[0]));
    let mut sender = Caller::at(&mut net, 3);
    let mut bystander = Caller::at(&mut net, 3);
    for index in [1, 2] {
        net.nodes[index].deaf = true;
    }
    for n in 0..2 {
        let put = stuck.put(&net, 0, n);
        assert_eq!(sender.call(&mut net, &[3, 0], &put), None);
    }
    for owner in [&stuck, &other] {
        let put = owner.put(&net, 0, 3);
        let reply = bystander.call(&mut net, &[3, 0], &put);
        assert_eq!(reply, refused(Refusal::Busy));
    }
    assert_eq!(net.count(0, Metric::Refused("busy")), 2);
    // Who tries again joins what is on its way, and takes no room.
    let again = stuck.put(&net, 0, 0);
    assert_eq!(sender.call(&mut net, &[3, 0], &again), None);
    assert_eq!(net.relay(0).swarm.on_their_way(), 2);
    net.advance(Duration::from_secs(10));
    assert_eq!(net.relay(0).swarm.on_their_way(), 0);
    let replies = sender.replies(&mut net);
    assert_eq!(replies.len(), 3);
    let too_few = refused(Refusal::TooFewMembers);
    assert!(replies.into_iter().all(|reply| Some(reply) == too_few));
    let put = other.put(&net, 0, 3);
    assert_eq!(bystander.call(&mut net, &[3, 0], &put), sent(1, 1));
    assert_eq!(net.relay(0).swarm.on_their_way(), 0);
}

#[test]
fn packets_for_relays_that_are_away_wait_in_bounded_queues_and_not_for_long() {
    let limits = Limits {
        peer_queue: 2,
        peer_queues: 1,
        ..Limits::default()
    };
    let mut net = Net::with(3, limits, Quotas::default());
    let mut sender = Caller::at(&mut net, 0);
    let mut bystander = Caller::at(&mut net, 0);
    let away = |net: &mut Net, index: usize| {
        net.hanging.insert(url(index).as_str().to_owned());
        net.kill(index, 0);
        net.settle();
    };
    let dropped = |net: &Net, reason| net.count(0, Metric::PacketDropped(reason));
    away(&mut net, 1);
    for _ in 0..5 {
        sender.ask(&mut net, &[0, 1], &question());
    }
    assert_eq!(net.relay(0).peers.waiting(), [2]);
    assert_eq!(dropped(&net, "peer_queue"), 3);
    // A relay that is there needs no queue.
    let reply = bystander.call(&mut net, &[0, 2], &question());
    assert!(matches!(reply, Some(Reply::DirectorySync(_))), "{reply:?}");
    away(&mut net, 2);
    assert_eq!(bystander.call(&mut net, &[0, 2], &question()), None);
    assert_eq!(dropped(&net, "peer_queues"), 1);
    // One comes back in time: what waited is sent, and there is room for the other.
    net.start(1);
    net.hanging.remove(url(1).as_str());
    net.advance(Duration::from_secs(5));
    assert_eq!(sender.replies(&mut net).len(), 2);
    assert_eq!(net.relay(0).peers.waiting(), [0; 0]);
    assert_eq!(bystander.call(&mut net, &[0, 2], &question()), None);
    assert_eq!(net.relay(0).peers.waiting(), [1]);
    // The other does not, and nothing is left of what waited.
    net.advance(Duration::from_secs(31));
    assert_eq!(net.relay(0).peers.waiting(), [0; 0]);
    assert_eq!(dropped(&net, "relay_away"), 1);
    end_hung(&mut net);
    net.start(2);
    net.advance(Duration::from_secs(60));
    let reply = bystander.call(&mut net, &[0, 2], &question());
    assert!(matches!(reply, Some(Reply::DirectorySync(_))), "{reply:?}");
}

#[test]
fn claims_are_bounded_in_all_and_a_relay_that_found_no_room_is_found_later() {
    let mut net = Net::cold(2, Limits::default(), Quotas::default());
    net.nodes[0].config.peers.clear();
    net.start(0);
    net.advance(Duration::from_secs(1));
    let bounds = Bounds {
        all: 3,
        ..Bounds::PRIVATE
    };
    net.relay(0).dial_back.claims = Claims::new(bounds);
    for signer in 4..9 {
        let url = format!("ws://127.0.0.1:{}/v1", 9990 + signer);
        net.hanging.insert(url.clone());
        let claimed = claimed_at(signer, &url, START.as_ms());
        introduce(&mut net, 0, signer, &claimed);
    }
    assert_eq!(net.relay(0).claimed_relays(), 3);
    assert_eq!(net.count(0, Metric::ClaimRefused("full")), 2);
    net.start(1);
    net.advance(Duration::from_secs(1));
    assert_eq!(net.count(0, Metric::ClaimRefused("full")), 3);
    assert_eq!(net.relay(0).known_relays(), 1, "but it is linked:");
    assert_eq!(net.wires_between(0, 1), 1);
    // Those that were looked for in vain give way.
    end_hung(&mut net);
    net.kill(1, 0);
    net.start(1);
    net.advance(Duration::from_secs(5));
    assert_eq!(net.relay(0).known_relays(), 2);
    net.advance(Duration::from_hours(25));
    assert_eq!(net.relay(0).claimed_relays(), 0);
    assert_eq!(net.relay(0).known_relays(), 2);
}
