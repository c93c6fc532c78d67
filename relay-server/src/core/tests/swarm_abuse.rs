//! What members of a swarm do to each other on purpose: garbage, repetition, lies, and requests that nobody signed.

use zentalk_shared::id::{EnvelopeId, MessageId};
use zentalk_shared::rpc::{
    FetchBody, MailboxSummary, OwnerOp, PutReply, Refusal, Refused, Reply, Request, SubscribeBody,
    SwarmDescriptor, SwarmIds, SwarmSummary, SwarmWant, Tombstone,
};
use zentalk_shared::time::Duration;
use zentalk_shared::wire::codec::{BoundedList, Bytes, to_cbor};
use zentalk_shared::wire::{Tag, encode_frame};

use super::net::Net;
use super::people::{Caller, Owner, frame, id};
use crate::core::io::Metric;
use crate::core::store::Quotas;
use crate::core::{Limits, Rate};

const SENT: Reply = Reply::Put(PutReply { held: 2, of: 3 });
const TAGS: [Tag; 4] = [
    Tag::SwarmSummary,
    Tag::SwarmIds,
    Tag::SwarmWant,
    Tag::SwarmDescriptor,
];

fn refused(reason: Refusal) -> Option<Reply> {
    Some(Reply::Refused(Refused::because(reason)))
}

fn waiting(net: &Net, index: usize) -> u32 {
    net.nodes[index].store.restore().mailboxes[0].stock.waiting
}

/// Frames that one relay has sent another since the last call.
fn told(net: &mut Net, from: usize, to: usize) -> Vec<Tag> {
    let told = core::mem::take(&mut net.told).into_iter();
    let tags = told.filter(|(a, b, _)| (*a, *b) == (from, to));
    tags.map(|(_, _, tag)| tag).collect()
}

fn question(owner: &Owner, ids: &[EnvelopeId]) -> SwarmIds {
    SwarmIds {
        mailbox: owner.key.id(),
        from: EnvelopeId::from_bytes([0; 16]),
        until: None,
        ids: BoundedList::new(ids.to_vec()).unwrap(),
        answer: false,
    }
}

fn summary(owner: &Owner) -> SwarmSummary {
    let summary = MailboxSummary {
        mailbox: owner.key.id(),
        sequence: 1,
        held: 9,
        digest: Bytes([9; 16]),
    };
    SwarmSummary {
        mailboxes: BoundedList::new(vec![summary; 64]).unwrap(),
        answer: false,
    }
}

#[test]
fn garbage_closes_the_link_that_it_came_on_and_harms_nothing_else() {
    let mut net = Net::new(4);
    let owner = Owner::with_mailbox(&mut net, 3, 0);
    let message = MessageId::from_bytes([3; 16]);
    let whole = [
        to_cbor(&summary(&owner)),
        to_cbor(&question(&owner, &[id(1), id(2)])),
        to_cbor(&SwarmWant {
            mailbox: owner.key.id(),
            ids: BoundedList::new(vec![id(1)]).unwrap(),
        }),
        to_cbor(&SwarmDescriptor {
            descriptor: owner.descriptor(&net).bytes().clone(),
        }),
    ];
    for (tag, whole) in TAGS.into_iter().zip(whole) {
        // Nothing, noise, half of a frame, one for a map of 2^32 entries, and one that is longer than its type may be.
        let mut long = encode_frame(tag, message, &whole);
        let length = u32::try_from(tag.max_payload() + 1).unwrap();
        long[8..12].copy_from_slice(&length.to_be_bytes());
        long.resize(32 + tag.max_payload() + 1, 0);
        let half = &whole[..whole.len() / 2];
        let bad = [&[][..], &[0xff; 100], half, &[0xba, 0xff, 0xff, 0xff, 0xff]];
        let mut bad: Vec<_> = bad.map(|body| encode_frame(tag, message, body)).to_vec();
        bad.push(long);
        for (n, bad) in bad.into_iter().enumerate() {
            let end = net.send_as(1, 0, bad);
            assert!(!net.is_wired(end), "{} {n}", tag.name());
            net.advance(Duration::from_secs(35));
            assert!(net.wires_between(1, 0) > 0, "they are connected again");
        }
    }
    let mut sender = Caller::at(&mut net, 3);
    let put = owner.put(&net, 0, 1);
    assert_eq!(sender.call(&mut net, &[3, 0], &put), Some(SENT));
    assert_eq!([0, 1, 2].map(|member| waiting(&net, member)), [1, 1, 1]);
}

#[test]
fn what_is_said_again_changes_nothing() {
    let mut net = Net::new(4);
    let mut owner = Owner::with_mailbox(&mut net, 3, 0);
    let mut sender = Caller::at(&mut net, 3);
    let put = owner.put(&net, 0, 1);
    assert_eq!(sender.call(&mut net, &[3, 0], &put), Some(SENT));
    net.advance(Duration::from_secs(30));
    let old = owner.descriptor(&net).bytes().clone();
    owner.moves = 2;
    owner.members = vec![1, 0, 2];
    let new = owner.descriptor(&net).bytes().clone();
    for descriptor in [&new, &old, &new, &old] {
        let told = SwarmDescriptor {
            descriptor: descriptor.clone(),
        };
        net.send_as(1, 0, frame(Tag::SwarmDescriptor, &told));
    }
    net.advance(Duration::from_secs(30));
    let held = net.nodes[0].store.restore().mailboxes[0].descriptor.clone();
    assert_eq!(held.as_deref(), Some(&new[..]), "the older one is no news");
    told(&mut net, 0, 1);
    // Answers to questions that nobody has asked, and the same question again and again.
    let answer = SwarmIds {
        answer: true,
        ..question(&owner, &[id(7)])
    };
    let summaries = SwarmSummary {
        answer: true,
        ..summary(&owner)
    };
    for _ in 0..3 {
        net.send_as(1, 0, frame(Tag::SwarmIds, &answer));
        net.send_as(1, 0, frame(Tag::SwarmSummary, &summaries));
    }
    assert_eq!(told(&mut net, 0, 1), []);
    for _ in 0..3 {
        let ids = frame(Tag::SwarmIds, &question(&owner, &[id(1)]));
        let end = net.send_as(1, 0, ids);
        assert!(net.is_wired(end));
        assert_eq!(told(&mut net, 0, 1), [Tag::SwarmIds]);
    }
    assert_eq!(waiting(&net, 0), 1);
}

#[test]
fn who_asks_too_much_is_passed_over_and_loses_nothing_else() {
    let limits = Limits {
        comparing: Rate {
            per_minute: 600,
            burst: 600,
        },
        ..Limits::default()
    };
    let mut net = Net::with(4, limits, Quotas::default());
    let owner = Owner::with_mailbox(&mut net, 3, 0);
    net.advance(Duration::from_mins(2));
    let mut sender = Caller::at(&mut net, 3);
    told(&mut net, 0, 1);
    let mut answered = 0;
    for _ in 0..50 {
        let end = net.send_as(1, 0, frame(Tag::SwarmSummary, &summary(&owner)));
        assert!(net.is_wired(end));
        answered += told(&mut net, 0, 1).len();
    }
    assert!((1..10).contains(&answered), "{answered}");
    let dropped = net.count(0, Metric::Compared("passed_over"));
    assert_eq!(dropped as usize, 50 - answered);
    let put = owner.put(&net, 0, 1);
    assert_eq!(sender.call(&mut net, &[3, 0], &put), Some(SENT));
    net.advance(Duration::from_secs(40));
    told(&mut net, 0, 1);
    net.send_as(1, 0, frame(Tag::SwarmSummary, &summary(&owner)));
    assert_eq!(told(&mut net, 0, 1), [Tag::SwarmSummary], "later again");
}

#[test]
fn a_member_that_offers_what_it_has_not_is_asked_for_it_and_that_is_all() {
    let mut net = Net::new(4);
    let owner = Owner::with_mailbox(&mut net, 3, 0);
    let mut sender = Caller::at(&mut net, 3);
    net.advance(Duration::from_secs(30));
    told(&mut net, 0, 1);
    let offers: Vec<_> = (1..=200).map(id).collect();
    net.send_as(1, 0, frame(Tag::SwarmIds, &question(&owner, &offers)));
    let tags = told(&mut net, 0, 1);
    assert_eq!(tags, [Tag::SwarmWant, Tag::SwarmIds]);
    net.advance(Duration::from_secs(30));
    assert_eq!(waiting(&net, 0), 0);
    // What is offered and comes is still stored, and what was offered in vain comes by whom it may.
    let put = owner.put(&net, 2, 1);
    assert_eq!(sender.call(&mut net, &[3, 2], &put), Some(SENT));
    assert_eq!([0, 1, 2].map(|member| waiting(&net, member)), [1, 1, 1]);
}

#[test]
fn one_honest_member_is_enough_where_another_gives_nothing() {
    let mut net = Net::new(4);
    let owner = Owner::with_mailbox(&mut net, 3, 0);
    let mut sender = Caller::at(&mut net, 3);
    let empty = [0, 1].map(|member| net.nodes[member].store.clone());
    for n in 1..=3 {
        let put = owner.put(&net, 2, n);
        assert_eq!(sender.call(&mut net, &[3, 2], &put), Some(SENT));
    }
    // Two have lost what they had, and one of these answers nothing.
    for member in 0..3 {
        net.kill(member, 0);
    }
    for (member, store) in empty.into_iter().enumerate() {
        net.nodes[member].store = store;
    }
    (0..3).for_each(|member| net.start(member));
    net.settle();
    net.nodes[1].deaf = true;
    net.advance(Duration::from_mins(2));
    assert_eq!([0, 2].map(|member| waiting(&net, member)), [3, 3]);
}

#[test]
fn what_the_owner_has_not_signed_moves_nothing_and_deletes_nothing() {
    let mut net = Net::new(4);
    let owner = Owner::with_mailbox(&mut net, 3, 0);
    let mut stranger = Owner::new(&mut net, 3);
    let mut sender = Caller::at(&mut net, 3);
    let put = owner.put(&net, 0, 1);
    assert_eq!(sender.call(&mut net, &[3, 0], &put), Some(SENT));
    // A move of another's mailbox, and a descriptor of it that says what its signature does not.
    let mut moved = Owner::descriptor(&owner, &net).bytes().to_vec();
    let last = moved.len() - 1;
    for descriptor in [moved.clone(), {
        moved[last] ^= 1;
        moved
    }] {
        let body = SubscribeBody {
            replace: true,
            descriptor: zentalk_shared::wire::codec::BoundedBytes::new(descriptor).unwrap(),
            surbs: BoundedList::default(),
            permit: None,
            former: None,
            work: None,
        };
        let tell = Request::Subscribe(stranger.signed(&net, 0, OwnerOp::Subscribe, &body));
        let answer = stranger.caller.call(&mut net, &[3, 0], &tell);
        let expected = [Refusal::NotAllowed, Refusal::Malformed].map(refused);
        assert!(expected.contains(&answer), "{answer:?}");
    }
    let fetch = FetchBody { after: 0, limit: 3 };
    let fetch = Request::Fetch(stranger.signed(&net, 0, OwnerOp::Fetch, &fetch));
    let answer = stranger.caller.call(&mut net, &[3, 0], &fetch);
    assert_eq!(answer, refused(Refusal::Unknown), "it has none here");
    // A tombstone by another key is about another mailbox; one whose signature is wrong closes the link.
    let other = Tombstone::sign(&stranger.key, vec![id(1)]).unwrap();
    net.send_as(1, 0, frame(Tag::ReplicateTombstone, &other));
    let real = Tombstone::sign(&owner.key, vec![id(1)]).unwrap();
    let mut forged = to_cbor(&real);
    *forged.last_mut().unwrap() ^= 1;
    let forged = encode_frame(
        Tag::ReplicateTombstone,
        MessageId::from_bytes([1; 16]),
        &forged,
    );
    let end = net.send_as(1, 0, forged);
    assert!(!net.is_wired(end));
    assert_eq!([0, 1, 2].map(|member| waiting(&net, member)), [1, 1, 1]);
    let put = owner.put(&net, 0, 2);
    assert_eq!(sender.call(&mut net, &[3, 0], &put), Some(SENT));
}
