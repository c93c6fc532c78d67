//! Mail: put, replicated, pushed, fetched, acknowledged.

use zentalk_shared::rpc::{PutReply, Refusal, Refused, Reply, Request, WriteSecret};
use zentalk_shared::time::Duration;

use super::net::Net;
use super::people::{Caller, Owner, id};
use crate::core::Limits;
use crate::core::store::{Hour, Quotas};

const PUT: Reply = Reply::Put(PutReply { held: 2, of: 3 });

fn refused(reason: Refusal) -> Option<Reply> {
    Some(Reply::Refused(Refused::because(reason)))
}

fn waiting(net: &Net, index: usize) -> u32 {
    net.nodes[index].store.restore().mailboxes[0].stock.waiting
}

#[test]
fn mail_is_pushed_at_once_and_gone_when_acknowledged() {
    let mut net = Net::new(5);
    let mut owner = Owner::with_mailbox(&mut net, 4, 4);
    let mut sender = Caller::at(&mut net, 3);
    let put = owner.put(&net, 0, 1);
    assert_eq!(sender.call(&mut net, &[3, 4, 0], &put), Some(PUT));
    let pushes = owner.pushes(&mut net);
    assert_eq!((pushes.len(), pushes[0].envelopes.len()), (1, 1));
    assert_eq!(pushes[0].envelopes[0].id, id(1));
    assert_eq!(pushes[0].envelopes[0].envelope.0, [1; 8000]);
    assert_eq!((pushes[0].stock, pushes[0].waiting), (3, 0));
    assert_eq!([0, 1, 2].map(|member| waiting(&net, member)), [1, 1, 1]);
    owner.acknowledge(&mut net, 1, &[1]);
    assert_eq!([0, 1, 2].map(|member| waiting(&net, member)), [0, 0, 0]);
    net.advance(Duration::from_mins(9));
    assert!(
        owner.pushes(&mut net).is_empty(),
        "nobody pushes what is acknowledged"
    );
}

#[test]
fn without_an_acknowledgement_the_others_push_in_turn_and_all_push_again() {
    let mut net = Net::new(4);
    let mut owner = Owner::with_mailbox(&mut net, 3, 9);
    let mut sender = Caller::at(&mut net, 3);
    let put = owner.put(&net, 1, 1);
    sender.call(&mut net, &[3, 1], &put).unwrap();
    let mut times = Vec::new();
    for second in 0..590u64 {
        let pushes = owner.pushes(&mut net);
        times.extend(pushes.iter().map(|_| second));
        net.advance(Duration::from_secs(1));
    }
    // The member that took it, then the first and the second of the others, each with 60, 120, 240.
    let series = |start: u64| [start, start + 60, start + 180, start + 420];
    let mut expected: Vec<u64> = [0, 20, 40].into_iter().flat_map(series).collect();
    expected.sort_unstable();
    let close = times
        .iter()
        .zip(&expected)
        .all(|(a, b)| a.abs_diff(*b) <= 1);
    assert!(
        close && times.len() == expected.len(),
        "{times:?}\n{expected:?}"
    );
}

#[test]
fn a_silent_subscription_gets_heartbeats() {
    let mut net = Net::new(2);
    let mut owner = Owner::new(&mut net, 0);
    owner.members = vec![1];
    owner.subscribe(&mut net, 1, 3);
    net.advance(Duration::from_mins(25));
    owner.caller.connect(&mut net);
    let mut stock = Vec::new();
    for _ in 0..40 {
        net.advance(Duration::from_mins(1));
        stock.extend(owner.pushes(&mut net).iter().map(|push| push.stock));
    }
    assert_eq!(stock, [0], "the ones of minutes 10 and 20 came to nobody");
}

#[test]
fn three_wait_and_come_in_order_with_one_fetch() {
    let mut net = Net::new(4);
    let mut owner = Owner::with_mailbox(&mut net, 3, 0);
    let mut sender = Caller::at(&mut net, 3);
    for n in 1..=4 {
        let put = owner.put(&net, 2, n);
        assert_eq!(sender.call(&mut net, &[3, 2], &put), Some(PUT));
    }
    for member in 0..3 {
        let fetched = owner.fetch(&mut net, member);
        let ids: Vec<_> = fetched.envelopes.iter().map(|item| item.id).collect();
        assert_eq!((ids, fetched.remaining), (vec![id(1), id(2), id(3)], 1));
    }
}

#[test]
fn two_of_three_are_enough_and_one_is_not() {
    let mut net = Net::new(4);
    let mut owner = Owner::with_mailbox(&mut net, 3, 0);
    let mut sender = Caller::at(&mut net, 3);
    net.kill(1, 0);
    let put = owner.put(&net, 0, 1);
    assert_eq!(sender.call(&mut net, &[3, 0], &put), Some(PUT));
    net.kill(2, 0);
    let put = owner.put(&net, 0, 2);
    assert_eq!(
        sender.call(&mut net, &[3, 0], &put),
        None,
        "not before there is a majority"
    );
    net.advance(Duration::from_secs(8));
    assert_eq!(
        sender.replies(&mut net).pop(),
        refused(Refusal::TooFewMembers)
    );
    // The same envelope again, when a member is back: no second copy.
    net.start(2);
    net.advance(Duration::from_secs(30));
    assert_eq!(sender.call(&mut net, &[3, 0], &put), Some(PUT));
    assert_eq!([waiting(&net, 0), waiting(&net, 2)], [2, 2]);
    assert_eq!(owner.fetch(&mut net, 2).envelopes.len(), 2);
}

#[test]
fn a_member_that_was_down_is_told_what_it_missed() {
    let mut net = Net::new(4);
    let mut owner = Owner::with_mailbox(&mut net, 3, 0);
    let mut sender = Caller::at(&mut net, 3);
    let put = owner.put(&net, 0, 1);
    sender.call(&mut net, &[3, 0], &put).unwrap();
    net.kill(1, 0);
    for n in 2..=4 {
        let put = owner.put(&net, 0, n);
        assert_eq!(sender.call(&mut net, &[3, 0], &put), Some(PUT));
    }
    owner.acknowledge(&mut net, 2, &[1, 3]);
    assert_eq!(
        [waiting(&net, 0), waiting(&net, 1), waiting(&net, 2)],
        [2, 1, 2]
    );
    net.advance(Duration::from_mins(3));
    net.start(1);
    net.advance(Duration::from_mins(1));
    assert_eq!(
        [waiting(&net, 0), waiting(&net, 1), waiting(&net, 2)],
        [2, 2, 2]
    );
    owner.caller.connect(&mut net);
    let ids: Vec<_> = owner
        .fetch(&mut net, 1)
        .envelopes
        .iter()
        .map(|item| item.id)
        .collect();
    assert_eq!(ids, [id(2), id(4)]);
}

#[test]
fn two_puts_of_one_envelope_store_it_once_and_both_are_answered() {
    let mut net = Net::new(5);
    let owner = Owner::with_mailbox(&mut net, 4, 0);
    let (mut one, mut two) = (Caller::at(&mut net, 3), Caller::at(&mut net, 4));
    (0..3).for_each(|index| net.nodes[index].slow_disk = true);
    let put = owner.put(&net, 0, 1);
    one.ask(&mut net, &[3, 0], &put);
    two.ask(&mut net, &[4, 0], &put);
    // And at another member meanwhile.
    let elsewhere = owner.put(&net, 1, 1);
    one.ask(&mut net, &[3, 1], &elsewhere);
    assert!(one.replies(&mut net).is_empty());
    (0..3).for_each(|index| net.nodes[index].slow_disk = false);
    net.settle();
    assert_eq!(one.replies(&mut net).len(), 2);
    assert_eq!(two.replies(&mut net).len(), 1);
    assert_eq!([0, 1, 2].map(|member| waiting(&net, member)), [1, 1, 1]);
}

#[test]
fn a_tombstone_that_comes_before_the_put_wins() {
    let mut net = Net::new(4);
    let mut owner = Owner::with_mailbox(&mut net, 3, 2);
    owner.acknowledge(&mut net, 0, &[1]);
    let mut sender = Caller::at(&mut net, 3);
    let put = owner.put(&net, 1, 1);
    assert_eq!(
        sender.call(&mut net, &[3, 1], &put),
        Some(PUT),
        "its owner has it"
    );
    assert_eq!([0, 1, 2].map(|member| waiting(&net, member)), [0, 0, 0]);
    assert!(owner.pushes(&mut net).is_empty());
}

#[test]
fn replies_do_not_tell_a_contact_from_a_stranger_or_from_one_who_is_blocked() {
    let quotas = Quotas {
        first_contact: 2,
        ..Quotas::default()
    };
    let mut net = Net::with(4, Limits::default(), quotas);
    let owner = Owner::with_mailbox(&mut net, 3, 0);
    let mut sender = Caller::at(&mut net, 3);
    let old = WriteSecret::from_bytes([1; 32]).permit(&net.id(0));
    let blocked = |n| {
        Request::Put(zentalk_shared::rpc::PutRequest {
            permit: Some(old.clone()),
            ..owner.stranger_put(n)
        })
    };
    for put in [
        owner.put(&net, 0, 1),
        Request::Put(owner.stranger_put(2)),
        blocked(3),
    ] {
        assert_eq!(sender.call(&mut net, &[3, 0], &put), Some(PUT));
    }
    assert_eq!(
        sender.call(&mut net, &[3, 0], &blocked(4)),
        refused(Refusal::Full)
    );
    let put = owner.put(&net, 0, 5);
    assert_eq!(sender.call(&mut net, &[3, 0], &put), Some(PUT));
    // A permit of another relay is none here.
    let elsewhere = owner.put(&net, 1, 6);
    assert_eq!(
        sender.call(&mut net, &[3, 0], &elsewhere),
        refused(Refusal::Full)
    );
}

#[test]
fn fault_16_mail_leaves_by_acknowledgement_only_within_quotas_and_coarse_in_time() {
    let quotas = Quotas {
        envelopes: 2,
        ..Quotas::default()
    };
    let mut net = Net::with(4, Limits::default(), quotas);
    let mut owner = Owner::with_mailbox(&mut net, 3, 6);
    let mut sender = Caller::at(&mut net, 3);
    net.advance(Duration::from_ms(1_234_567));
    sender.connect(&mut net);
    owner.caller.connect(&mut net);
    owner.pushes(&mut net);
    for n in 1..=2 {
        let put = owner.put(&net, 0, n);
        assert_eq!(sender.call(&mut net, &[3, 0], &put), Some(PUT));
    }
    let put = owner.put(&net, 0, 3);
    assert_eq!(sender.call(&mut net, &[3, 0], &put), refused(Refusal::Full));
    assert_eq!(owner.pushes(&mut net).len(), 2);
    assert_eq!(owner.fetch(&mut net, 0).envelopes.len(), 2);
    assert_eq!(
        waiting(&net, 0),
        2,
        "neither a push nor a fetch removes anything"
    );
    owner.acknowledge(&mut net, 0, &[1, 2]);
    assert_eq!(sender.call(&mut net, &[3, 0], &put), Some(PUT));
    assert_eq!(
        Hour::at(net.now).0,
        500_000,
        "an hour is all that is kept of {:?}",
        net.now
    );
}

#[test]
fn fault_16_a_dead_link_is_noticed_and_what_it_swallowed_comes_again() {
    let mut net = Net::new(4);
    let mut owner = Owner::with_mailbox(&mut net, 3, 0);
    let mut sender = Caller::at(&mut net, 3);
    net.nodes[1].deaf = true;
    let put = owner.put(&net, 0, 1);
    assert_eq!(sender.call(&mut net, &[3, 0], &put), Some(PUT));
    assert_eq!(net.relay(0).linked_relays(), 3);
    net.advance(Duration::from_secs(121));
    assert_eq!(net.relay(0).linked_relays(), 2, "silent for too long");
    net.nodes[1].deaf = false;
    net.advance(Duration::from_mins(3));
    assert_eq!(net.relay(0).linked_relays(), 3);
    owner.caller.connect(&mut net);
    let there = owner.fetch(&mut net, 1).envelopes;
    assert_eq!(there.first().map(|item| item.id), Some(id(1)));
}

#[test]
fn mail_for_nobody_is_refused() {
    let mut net = Net::new(4);
    let owner = Owner::new(&mut net, 3);
    let mut sender = Caller::at(&mut net, 3);
    let put = owner.put(&net, 0, 1);
    assert_eq!(
        sender.call(&mut net, &[3, 0], &put),
        refused(Refusal::Unknown)
    );
}

#[test]
fn a_full_disk_refuses_and_acknowledges_nothing() {
    let mut net = Net::new(4);
    let owner = Owner::with_mailbox(&mut net, 3, 0);
    let mut sender = Caller::at(&mut net, 3);
    net.nodes[0].store.set_full(true);
    let put = owner.put(&net, 0, 1);
    assert_eq!(sender.call(&mut net, &[3, 0], &put), refused(Refusal::Full));
    // A member whose disk is full does not count.
    let put = owner.put(&net, 1, 1);
    assert_eq!(sender.call(&mut net, &[3, 1], &put), Some(PUT));
    net.nodes[2].store.set_full(true);
    let put = owner.put(&net, 1, 2);
    assert_eq!(
        sender.call(&mut net, &[3, 1], &put),
        refused(Refusal::TooFewMembers)
    );
}
