//! Requests and their replies: paths, losses, lies, and links that break in between.

use std::collections::BTreeSet;

use super::world::{Manner, World};
use crate::client::net::link::OPEN_DEADLINE;
use crate::client::net::requests::{DEADLINE, MAX_FLYING, MAX_WAITING, NetFailure};
use crate::id::{MailboxId, MessageId, NodeId};
use crate::onion::Class;
use crate::rpc::{PutRequest, Reply, Request};
use crate::time::Duration;
use crate::wire::codec::Bytes;
use crate::wire::{Tag, encode_frame};

#[test]
fn a_request_travels_three_hops_and_its_reply_comes_back() {
    let mut world = World::connected(12, 1);
    let (target, guard) = (world.stranger(), world.guard());
    let before: usize = world.relays.iter().map(|relay| relay.forwarded).sum();
    let id = world.ask(target, &[]);
    assert!(matches!(world.replies[&id], Reply::Refused(_)));
    let after: usize = world.relays.iter().map(|relay| relay.forwarded).sum();
    assert_eq!(after - before, 3, "guard and one more there, one back");
    assert!(world.relays[guard].forwarded > 0);
    assert!(matches!(
        world.relays[target].served.last(),
        Some(Request::PreKeyTake(_))
    ));
}

#[test]
fn a_lost_reply_times_out_after_eight_seconds_and_the_next_path_is_another() {
    let mut world = World::connected(12, 2);
    let (target, guard) = (world.stranger(), world.guard());
    world.relays[target].manner = Manner::Silent;
    let id = world.ask(target, &[]);
    let sent = world.now;
    world.advance(DEADLINE - Duration::from_ms(1));
    assert!(!world.failures.contains_key(&id));
    world.advance(Duration::from_ms(1));
    assert_eq!(
        (world.failures[&id], world.now),
        (NetFailure::Timeout, sent + DEADLINE)
    );
    let middle: BTreeSet<_> = (0..12)
        .filter(|n| *n != guard && world.relays[*n].forwarded > 0)
        .collect();
    assert!(!middle.is_empty());
    world.relays[target].manner = Manner::Honest;
    for n in &middle {
        world.relays[*n].hole = true;
    }
    let id = world.ask(target, &[]);
    assert!(
        world.replies.contains_key(&id),
        "relays of the failed path are avoided"
    );
}

#[test]
fn a_reply_that_is_late_is_still_a_reply() {
    let mut world = World::connected(5, 3);
    let (target, guard) = (world.stranger(), world.guard());
    world.cut.insert(guard);
    let id = world.ask(target, &[]);
    assert_eq!(world.outcome(id), Err(NetFailure::Timeout));
    world.failures.clear();
    world.cut.clear();
    world.cut_links(guard);
    assert!(world.outcome(id).is_ok());
    assert_eq!(world.net.dropped().unknown, 0);
}

#[test]
fn a_short_cut_loses_no_frame_and_handles_none_twice() {
    for seed in 0..10 {
        let mut world = World::connected(5, 30 + seed);
        let (target, guard) = (world.stranger(), world.guard());
        let mut asked = Vec::new();
        for round in 0..6 {
            asked.extend((0..=round * 3).map(|_| world.ask(target, &[])));
            world.cut.insert(guard);
            asked.extend((0..=seed % 4).map(|_| world.ask(target, &[])));
            world.cut.clear();
            // With and without the reports that are sent after five seconds.
            world.advance(Duration::from_secs(round));
            world.cut_links(guard);
            world.advance(Duration::from_secs(1));
            assert_eq!(world.guard(), guard);
        }
        // A cut that takes longer than replies do is told as a failure; the reply comes all the same.
        let failures: Vec<_> = world.failures.values().collect();
        assert!(
            failures.iter().all(|why| **why == NetFailure::Timeout),
            "{failures:?}"
        );
        assert!(asked.iter().all(|id| world.replies.contains_key(id)));
        assert_eq!(world.net.dropped().unknown, 0, "nothing came twice");
    }
}

#[test]
fn a_guard_that_forgot_the_tag_counts_from_zero_and_so_does_the_client() {
    let mut world = World::connected(1, 4);
    for _ in 0..3 {
        world.ask(0, &[]);
    }
    world.crash(0);
    world.relays[0].up = true;
    world.advance(Duration::from_mins(1));
    assert!(world.is_up());
    assert_eq!(world.stock_lost, 1, "the tag is the same");
    let id = world.ask(0, &[]);
    assert!(world.replies.contains_key(&id));
    world.cut.insert(0);
    let id = world.ask(0, &[]);
    world.cut.clear();
    world.cut_links(0);
    assert!(world.outcome(id).is_ok());
    assert_eq!(world.net.dropped().unknown, 0);
}

#[test]
fn replies_that_do_not_fit_are_dropped_and_counted() {
    for (manner, seed) in [
        (Manner::WrongId, 5),
        (Manner::WrongKind, 6),
        (Manner::Noise, 7),
    ] {
        let mut world = World::connected(5, seed);
        let target = world.stranger();
        world.relays[target].manner = manner;
        let id = world.ask(target, &[]);
        assert_eq!(world.net.dropped().unexpected, 1, "{manner:?}");
        assert_eq!(world.outcome(id), Err(NetFailure::Timeout));
        assert!(world.pushes.is_empty());
    }
}

#[test]
fn fault_17_a_delivery_counts_once_however_often_it_comes() {
    let mut world = World::connected(5, 8);
    let guard = world.guard();
    let surb = world.mint(world.stranger(), 1).unwrap().remove(0);
    world.cut.insert(guard);
    world.push(&surb, 1);
    world.cut.clear();
    world.cut_links(guard);
    world.advance(Duration::from_secs(1));
    assert_eq!(world.pushes.len(), 1);
    // Noise under ids that nobody made.
    let junk = encode_frame(Tag::Deliver, MessageId::from_bytes([1; 16]), &[7; 8700]);
    world.frame_from(guard, &junk);
    assert_eq!(world.net.dropped().unknown, 1);
    assert!(
        world.is_up(),
        "dropped, not punished: the relay only passed it on"
    );
}

#[test]
fn garbage_from_a_guard_ends_its_link_and_a_new_one_is_made() {
    let mut world = World::connected(5, 9);
    let guard = world.guard();
    world.frame_from(guard, b"what is this");
    assert!(!world.is_up());
    world.advance(Duration::from_secs(2));
    assert!(world.is_up());
}

#[test]
fn requests_without_a_guard_wait_and_go_out_when_one_is_up() {
    let mut world = World::connected(5, 10);
    let (target, guard) = (world.stranger(), world.guard());
    world.set_online(false);
    let id = world.ask(target, &[]);
    world.advance(Duration::from_secs(7));
    assert!(world.failures.is_empty());
    world.set_online(true);
    assert!(world.replies.contains_key(&id), "at once");
    assert_eq!(world.guard(), guard);
}

#[test]
fn waiting_requests_are_bounded_and_the_oldest_make_room() {
    let mut world = World::connected(5, 11);
    let target = world.stranger();
    world.set_online(false);
    let ids: Vec<_> = (0..MAX_WAITING + 10)
        .map(|_| world.ask(target, &[]))
        .collect();
    let displaced = ids.iter().take(10);
    assert!(
        displaced
            .clone()
            .all(|id| world.failures[id] == NetFailure::Displaced)
    );
    assert_eq!(world.failures.len(), 10);
    world.advance(DEADLINE);
    assert_eq!(world.failures.len(), ids.len());
    assert_eq!(world.failures[ids.last().unwrap()], NetFailure::NoGuard);
}

#[test]
fn requests_in_the_air_are_bounded() {
    let mut world = World::connected(5, 12);
    let target = world.stranger();
    world.relays[target].manner = Manner::Silent;
    let ids: Vec<_> = (0..MAX_FLYING + 3)
        .map(|_| world.ask(target, &[]))
        .collect();
    assert_eq!(world.failures.len(), 3);
    assert!(
        ids.iter()
            .take(3)
            .all(|id| world.failures[id] == NetFailure::Displaced)
    );
}

#[test]
fn what_cannot_be_sent_fails_at_once_and_says_why() {
    let mut world = World::connected(5, 13);
    let nobody = NodeId::from_bytes([0xee; 20]);
    let request = |envelope| {
        Request::Put(PutRequest {
            mailbox: MailboxId::from_bytes([1; 20]),
            id: crate::id::EnvelopeId::from_bytes([2; 16]),
            permit: None,
            envelope: Bytes(envelope),
            work: None,
        })
    };
    let (now, class) = (world.now, Class::Message);
    let put = request([0; 8000]);
    let id = world
        .net
        .request(nobody, &[], false, put, class, now, &mut world.rng);
    world.run();
    assert_eq!(world.failures[&id], NetFailure::NoPath);
    let long = vec![0; 16_384];
    let record = Request::RecordPut(crate::rpc::RecordPutRequest {
        record: crate::rpc::RecordBytes::new(long).unwrap(),
        work: None,
    });
    let target = world.node(world.stranger());
    let id = world
        .net
        .request(target, &[], false, record, class, now, &mut world.rng);
    world.run();
    assert_eq!(world.failures[&id], NetFailure::TooLarge);
}

#[test]
fn nothing_secret_is_printed() {
    let mut world = World::connected(5, 14);
    let target = world.stranger();
    let surb = world.mint(target, 1).unwrap().remove(0);
    world.relays[target].manner = Manner::Silent;
    world.ask(target, &[]);
    let primary = world.net.guards.primary().unwrap();
    let tag = world.net.guards.tag(primary, &mut world.rng).tag;
    let printed = format!("{:?}", world.net);
    let list = |bytes: &[u8]| format!("{bytes:?}").trim_matches(['[', ']']).to_owned();
    assert!(!printed.contains(&list(tag.as_bytes())));
    assert!(!printed.contains(&crate::test_support::hex(tag.as_bytes())));
    assert!(!printed.contains(&list(&surb[20..52])), "reply key");
}

#[test]
fn a_guard_that_never_answers_the_handshake_is_left_after_two_deadlines() {
    let mut world = World::connected(12, 15);
    let guard = world.guard();
    world.relays[guard].mute = true;
    world.advance(Duration::from_mins(1));
    world.cut_links(guard);
    world.advance(OPEN_DEADLINE * 2 + Duration::from_secs(2));
    assert!(world.is_up());
    assert_ne!(world.guard(), guard);
}
