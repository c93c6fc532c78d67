//! Swarms that lose members and get them back: anti-entropy, moves, and who stands in for whom.

use std::collections::BTreeSet;

use zentalk_shared::id::EnvelopeId;
use zentalk_shared::rpc::{
    FetchBody, OwnerOp, PutReply, Refusal, Refused, Reply, Request, SubscribeBody, SwarmDescriptor,
    SwarmIds, SwarmSummary, SwarmWant, envelope_id,
};
use zentalk_shared::time::Duration;
use zentalk_shared::wire::Tag;
use zentalk_shared::wire::codec::{BoundedList, Bytes};

use super::net::Net;
use super::people::{Caller, Owner, frame, id};
use crate::core::Limits;
use crate::core::io::{Metric, Ticket};
use crate::core::store::{Hour, PutEnvelope, Quotas, StoreOp};

const SENT: Reply = Reply::Put(PutReply { held: 2, of: 3 });

fn refused(reason: Refusal) -> Option<Reply> {
    Some(Reply::Refused(Refused::because(reason)))
}

fn waiting(net: &Net, index: usize) -> u32 {
    net.nodes[index].store.restore().mailboxes[0].stock.waiting
}

/// All of these lose what they had in memory.
fn restart(net: &mut Net, relays: &[usize]) {
    for index in relays {
        net.kill(*index, 0);
    }
    for index in relays {
        net.start(*index);
    }
}

/// Frames of anti-entropy that a relay has been sent by another since the last call.
fn told(net: &mut Net, from: usize, to: usize) -> Vec<Tag> {
    let swarm = [
        Tag::SwarmSummary,
        Tag::SwarmIds,
        Tag::SwarmWant,
        Tag::SwarmDescriptor,
        Tag::ReplicatePut,
        Tag::ReplicateTombstone,
    ];
    let told = core::mem::take(&mut net.told).into_iter();
    let tags = told.filter(|(a, b, _)| (*a, *b) == (from, to));
    tags.map(|(_, _, tag)| tag)
        .filter(|tag| swarm.contains(tag))
        .collect()
}

#[test]
fn fault_16_a_member_restored_from_a_backup_gets_back_what_it_has_lost() {
    let mut net = Net::new(4);
    let mut owner = Owner::with_mailbox(&mut net, 3, 0);
    let mut sender = Caller::at(&mut net, 3);
    let backup = net.nodes[1].store.clone();
    for n in 1..=3 {
        let put = owner.put(&net, 0, n);
        assert_eq!(sender.call(&mut net, &[3, 0], &put), Some(SENT));
    }
    net.kill(1, 0);
    net.nodes[1].store = backup;
    // The others do not remember either that it had everything.
    restart(&mut net, &[0, 2]);
    net.start(1);
    net.advance(Duration::from_secs(30));
    assert_eq!([0, 1, 2].map(|member| waiting(&net, member)), [3, 3, 3]);
    owner.caller.connect(&mut net);
    let ids: BTreeSet<_> = owner
        .fetch(&mut net, 1)
        .envelopes
        .iter()
        .map(|e| e.id)
        .collect();
    assert_eq!(ids, BTreeSet::from([id(1), id(2), id(3)]));
}

#[test]
fn fault_16_what_was_acknowledged_does_not_come_back_by_a_member_that_missed_it() {
    let mut net = Net::new(4);
    let mut owner = Owner::with_mailbox(&mut net, 3, 0);
    let mut sender = Caller::at(&mut net, 3);
    for n in 1..=2 {
        let put = owner.put(&net, 0, n);
        assert_eq!(sender.call(&mut net, &[3, 0], &put), Some(SENT));
    }
    let backup = net.nodes[1].store.clone();
    owner.acknowledge(&mut net, 0, &[1]);
    net.kill(1, 0);
    net.nodes[1].store = backup;
    assert_eq!([0, 1, 2].map(|member| waiting(&net, member)), [1, 2, 1]);
    restart(&mut net, &[0, 2]);
    net.start(1);
    net.advance(Duration::from_mins(2));
    assert_eq!([0, 1, 2].map(|member| waiting(&net, member)), [1, 1, 1]);
    owner.caller.connect(&mut net);
    for member in 0..3 {
        let fetched = owner.fetch(&mut net, member).envelopes;
        assert_eq!(fetched.iter().map(|e| e.id).collect::<Vec<_>>(), [id(2)]);
    }
    // Its tombstone is there, too: the sender's retry is nothing new.
    sender.connect(&mut net);
    let put = owner.put(&net, 1, 1);
    assert!(matches!(
        sender.call(&mut net, &[3, 1], &put),
        Some(Reply::Put(_))
    ));
    assert_eq!([0, 1, 2].map(|member| waiting(&net, member)), [1, 1, 1]);
}

#[test]
fn members_that_hold_the_same_exchange_nothing_but_summaries() {
    let mut net = Net::new(4);
    let owner = Owner::with_mailbox(&mut net, 3, 0);
    let mut sender = Caller::at(&mut net, 3);
    let put = owner.put(&net, 0, 1);
    sender.call(&mut net, &[3, 0], &put).unwrap();
    net.advance(Duration::from_secs(10));
    net.told.clear();
    net.advance(Duration::from_mins(41));
    let tags = told(&mut net, 0, 1);
    assert!(!tags.is_empty());
    assert!(tags.iter().all(|tag| *tag == Tag::SwarmSummary), "{tags:?}");
}

#[test]
fn a_relay_outside_the_swarm_is_told_nothing_of_a_mailbox() {
    let mut net = Net::new(5);
    let owner = Owner::with_mailbox(&mut net, 4, 0);
    let mut sender = Caller::at(&mut net, 4);
    let put = owner.put(&net, 0, 1);
    sender.call(&mut net, &[4, 0], &put).unwrap();
    net.advance(Duration::from_mins(45));
    for (from, to) in [(0, 3), (1, 3), (2, 3), (3, 0)] {
        let all = net.told.clone();
        assert_eq!(told(&mut net, from, to), [], "{from} to {to}");
        net.told = all;
    }
    net.told.clear();
    let mailbox = owner.key.id();
    let ids = BoundedList::new(vec![id(1)]).unwrap();
    let summary = zentalk_shared::rpc::MailboxSummary {
        mailbox,
        sequence: 0,
        held: 0,
        digest: Bytes([0; 16]),
    };
    let summary = SwarmSummary {
        mailboxes: BoundedList::new(vec![summary]).unwrap(),
        answer: false,
    };
    net.send_as(3, 0, frame(Tag::SwarmSummary, &summary));
    // The answer says nothing: it is the one to a question about no mailbox at all.
    assert_eq!(told(&mut net, 0, 3), [Tag::SwarmSummary]);
    for answer in [false, true] {
        let question = SwarmIds {
            mailbox,
            from: EnvelopeId::from_bytes([0; 16]),
            until: None,
            ids: ids.clone(),
            answer,
        };
        net.send_as(3, 0, frame(Tag::SwarmIds, &question));
    }
    let want = SwarmWant { mailbox, ids };
    net.send_as(3, 0, frame(Tag::SwarmWant, &want));
    net.advance(Duration::from_secs(5));
    assert_eq!(told(&mut net, 0, 3), []);
}

#[test]
fn only_the_owner_can_say_that_a_mailbox_has_moved() {
    let mut net = Net::new(4);
    let mut owner = Owner::with_mailbox(&mut net, 3, 0);
    let stranger = Owner::new(&mut net, 3);
    let tell = |net: &mut Net, descriptor| {
        let end = net.send_as(
            3,
            0,
            frame(Tag::SwarmDescriptor, &SwarmDescriptor { descriptor }),
        );
        net.is_wired(end)
    };
    let other = stranger.descriptor(&net).bytes().clone();
    assert!(tell(&mut net, other), "of a mailbox that is not here");
    owner.moves = 2;
    owner.members = vec![1, 2, 3];
    let moved = owner.descriptor(&net).bytes().clone();
    let mut forged = moved.to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let forged = zentalk_shared::wire::codec::BoundedBytes::new(forged).unwrap();
    assert!(!tell(&mut net, forged), "the link closes");
    net.advance(Duration::from_secs(5));
    let mut sender = Caller::at(&mut net, 3);
    let put = owner.put(&net, 0, 1);
    assert_eq!(sender.call(&mut net, &[3, 0], &put), Some(SENT));
    assert!(tell(&mut net, moved));
    let put = owner.put(&net, 0, 2);
    assert_eq!(
        sender.call(&mut net, &[3, 0], &put),
        refused(Refusal::Moved)
    );
    // And it stays so.
    restart(&mut net, &[0]);
    net.advance(Duration::from_secs(5));
    assert_eq!(
        sender.call(&mut net, &[3, 0], &put),
        refused(Refusal::Moved)
    );
}

#[test]
fn a_new_member_gets_what_waits_and_the_former_one_says_that_it_is_one() {
    let mut net = Net::new(5);
    let mut owner = Owner::with_mailbox(&mut net, 4, 0);
    let mut sender = Caller::at(&mut net, 4);
    for n in 1..=2 {
        let put = owner.put(&net, 0, n);
        assert_eq!(sender.call(&mut net, &[4, 0], &put), Some(SENT));
    }
    net.kill(0, 0);
    owner.moves = 2;
    owner.members = vec![1, 2, 3];
    owner.subscribe(&mut net, 3, 1);
    net.advance(Duration::from_secs(20));
    assert_eq!([1, 2, 3].map(|member| waiting(&net, member)), [2, 2, 2]);
    // Its turn comes after those of the two others.
    net.advance(Duration::from_secs(45));
    let pushed = owner.pushes(&mut net);
    assert!(!pushed.is_empty(), "the new member pushes what it got");
    // The others know the new swarm from it, and replicate there.
    let put = owner.put(&net, 1, 3);
    assert_eq!(sender.call(&mut net, &[4, 1], &put), Some(SENT));
    assert_eq!([1, 2, 3].map(|member| waiting(&net, member)), [3, 3, 3]);
    // The lost one comes back, and is told by those that it compares with.
    net.start(0);
    net.advance(Duration::from_secs(20));
    let put = owner.put(&net, 0, 4);
    let answer = sender.call(&mut net, &[4, 0], &put);
    assert_eq!(answer, refused(Refusal::Moved));
    let body = SubscribeBody {
        replace: true,
        descriptor: owner.descriptor(&net).bytes().clone(),
        surbs: BoundedList::default(),
        permit: None,
        former: None,
        work: None,
    };
    let tell = Request::Subscribe(owner.signed(&net, 0, OwnerOp::Subscribe, &body));
    let told = owner.caller.call(&mut net, &[4, 0], &tell);
    assert!(matches!(told, Some(Reply::Subscribe(_))), "{told:?}");
    assert_eq!(
        sender.call(&mut net, &[4, 0], &put),
        refused(Refusal::Moved)
    );
    let fetch = FetchBody { after: 0, limit: 3 };
    let fetch = Request::Fetch(owner.signed(&net, 0, OwnerOp::Fetch, &fetch));
    let Some(Reply::Fetch(fetched)) = owner.caller.call(&mut net, &[4, 0], &fetch) else {
        panic!("a former member still gives away what it has");
    };
    assert_eq!(fetched.envelopes.len(), 2);
}

#[test]
fn a_former_member_that_its_owner_cannot_tell_learns_of_it_when_it_replicates() {
    let mut net = Net::new(5);
    let mut owner = Owner::with_mailbox(&mut net, 4, 0);
    let mut sender = Caller::at(&mut net, 4);
    net.advance(Duration::from_mins(2));
    owner.caller.connect(&mut net);
    sender.connect(&mut net);
    owner.moves = 2;
    owner.members = vec![1, 2, 3];
    owner.subscribe(&mut net, 3, 1);
    net.advance(Duration::from_secs(4));
    let put = owner.put(&net, 0, 1);
    let answer = sender.call(&mut net, &[4, 0], &put);
    assert_eq!(answer, refused(Refusal::TooFewMembers), "not a promise");
    net.advance(Duration::from_secs(1));
    let answer = sender.call(&mut net, &[4, 0], &put);
    assert_eq!(answer, refused(Refusal::Moved));
    let put = owner.put(&net, 1, 1);
    assert_eq!(sender.call(&mut net, &[4, 1], &put), Some(SENT));
}

#[test]
fn members_that_confirm_nothing_do_not_keep_others_from_being_told() {
    let limits = Limits {
        replication: 40,
        replication_each: 30,
        ..Limits::default()
    };
    let mut net = Net::with(6, limits, Quotas::default());
    let mut deaf = Owner::new(&mut net, 5);
    deaf.members = vec![0, 1, 2];
    (0..3).for_each(|member| deaf.subscribe(&mut net, member, 0));
    let mut owner = Owner::new(&mut net, 5);
    owner.members = vec![0, 3, 4];
    for member in owner.members.clone() {
        owner.subscribe(&mut net, member, 0);
    }
    let mut sender = Caller::at(&mut net, 5);
    net.advance(Duration::from_secs(10));
    (1..3).for_each(|index| net.nodes[index].deaf = true);
    for n in 1..=40 {
        let put = deaf.put(&net, 0, n);
        sender.ask(&mut net, &[5, 0], &put);
        net.advance(Duration::from_ms(100));
    }
    let put = owner.put(&net, 0, 1);
    sender.replies(&mut net);
    assert_eq!(sender.call(&mut net, &[5, 0], &put), Some(SENT));
    // They have what they missed once they listen again.
    (1..3).for_each(|index| net.nodes[index].deaf = false);
    net.advance(Duration::from_mins(45));
    let kept = |index: usize| waiting(&net, index);
    assert_eq!([1, 2].map(kept), [40, 40]);
}

#[test]
fn who_was_never_a_member_takes_no_descriptor_that_does_not_list_it() {
    let mut net = Net::new(4);
    let mut owner = Owner::with_mailbox(&mut net, 3, 0);
    let body = SubscribeBody {
        replace: true,
        descriptor: owner.descriptor(&net).bytes().clone(),
        surbs: BoundedList::default(),
        permit: None,
        former: None,
        work: None,
    };
    let tell = Request::Subscribe(owner.signed(&net, 3, OwnerOp::Subscribe, &body));
    let answer = owner.caller.call(&mut net, &[3], &tell);
    assert_eq!(answer, refused(Refusal::NotAllowed));
}

#[test]
fn members_listed_behind_stand_in_for_those_that_are_away() {
    let mut net = Net::new(6);
    let mut owner = Owner::new(&mut net, 5);
    owner.members = vec![0, 1, 2, 3, 4];
    (0..5).for_each(|member| owner.subscribe(&mut net, member, 0));
    let mut sender = Caller::at(&mut net, 5);
    net.advance(Duration::from_secs(10));
    // Silent: it takes a moment.
    net.nodes[1].deaf = true;
    net.nodes[2].deaf = true;
    let put = owner.put(&net, 0, 1);
    assert_eq!(sender.call(&mut net, &[5, 0], &put), None);
    net.advance(Duration::from_secs(3));
    assert_eq!(sender.replies(&mut net).pop(), Some(SENT));
    assert_eq!(
        [0, 1, 2, 3, 4].map(|member| waiting(&net, member)),
        [1, 0, 0, 1, 1]
    );
    // From then on they are known to be away.
    let put = owner.put(&net, 0, 2);
    assert_eq!(sender.call(&mut net, &[5, 0], &put), Some(SENT));
    // With all active ones away, those behind do it alone.
    net.nodes[0].deaf = true;
    let put = owner.put(&net, 4, 3);
    sender.ask(&mut net, &[5, 4], &put);
    net.advance(Duration::from_secs(3));
    assert!(matches!(
        sender.replies(&mut net).pop(),
        Some(Reply::Put(PutReply { held: 2, of: 3 }))
    ));
    // When all are back, those that should have it have it.
    (0..3).for_each(|index| net.nodes[index].deaf = false);
    net.advance(Duration::from_mins(45));
    assert_eq!([0, 1, 2].map(|member| waiting(&net, member)), [3, 3, 3]);
}

#[test]
fn a_thousand_envelopes_come_page_by_page() {
    let mut net = Net::new(3);
    let mut owner = Owner::new(&mut net, 2);
    owner.members = vec![0, 1];
    (0..2).for_each(|member| owner.subscribe(&mut net, member, 0));
    net.advance(Duration::from_secs(10));
    for n in 0..1000u64 {
        let mut envelope = Box::new(Bytes([0; 8000]));
        envelope.0[..8].copy_from_slice(&n.to_be_bytes());
        let put = PutEnvelope {
            mailbox: owner.key.id(),
            id: envelope_id(&envelope),
            envelope,
            hour: Hour::at(net.now),
            permitted: true,
        };
        net.nodes[0]
            .store
            .submit(Ticket(u64::MAX - n), StoreOp::Put(put));
    }
    net.nodes[0].store.sync();
    restart(&mut net, &[1]);
    net.advance(Duration::from_secs(14));
    assert_eq!(waiting(&net, 1), 1000);
    assert_eq!(net.count(1, Metric::Replicated), 1000, "none twice");
}
