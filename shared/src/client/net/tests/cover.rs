//! Mixing: packets that the client sends to itself, and patience for delays that it has asked for.

use std::collections::BTreeSet;

use super::world::{Manner, Wishes, World};
use crate::client::view::Loops;
use crate::onion::{MixMode, Suite};
use crate::rpc::Request;
use crate::time::Duration;

const RELAYS: usize = 14;

/// A connected client that mixes.
fn mixing(mode: MixMode, seed: u64) -> World {
    let wishes = Wishes {
        mixing: mode,
        ..Wishes::preferring(Suite::X25519)
    };
    let mut world = World::wishing(wishes, RELAYS, 3, seed, |_| {});
    world.advance(Duration::from_secs(5));
    assert!(world.is_up());
    world
}

fn loops(world: &World) -> Loops {
    world.net.mixing().loops
}

#[test]
fn loops_leave_as_often_as_the_mode_says_and_come_back() {
    for (mode, within) in [(MixMode::Light, 90..150), (MixMode::Strong, 620..830)] {
        let mut world = mixing(mode, 1);
        world.advance(Duration::from_hours(1));
        let loops = loops(&world);
        assert!(within.contains(&loops.sent), "{mode:?}: {loops:?}");
        assert!(loops.sent - loops.returned <= 3, "some are on their way");
        assert_eq!(loops.lost, 0);
        assert_eq!(world.net.dropped().unknown, 0);
    }
}

#[test]
fn without_mixing_there_are_none() {
    let mut world = World::connected(RELAYS, 1);
    world.advance(Duration::from_hours(1));
    assert_eq!(loops(&world), Loops::default());
}

#[test]
fn a_loop_passes_its_guard_twice_and_two_others_once() {
    let mut world = mixing(MixMode::Light, 3);
    let guard = world.guard();
    let mut turned = BTreeSet::new();
    for _ in 0..40 {
        let (before, sent) = (world.peeled.len(), loops(&world).sent);
        while loops(&world).sent == sent {
            world.advance(Duration::from_ms(10));
        }
        world.advance(Duration::from_secs(3));
        let passed: Vec<_> = world.peeled[before..]
            .iter()
            .map(|(_, relay)| *relay)
            .collect();
        let [first, a, b, last] = passed[..] else {
            // Two of them, or the directory was asked for meanwhile.
            continue;
        };
        assert_eq!((first, last), (guard, guard));
        assert!(a != b && a != guard && b != guard);
        turned.extend([a, b]);
    }
    assert!(turned.len() > 8, "{turned:?}");
}

#[test]
fn no_relay_is_asked_anything_by_a_loop() {
    let mut world = mixing(MixMode::Strong, 4);
    let serves = |request: &&Request| !matches!(request, Request::DirectorySync(_));
    let served = |world: &World| -> usize {
        let relays = world.relays.iter();
        relays
            .map(|relay| relay.served.iter().filter(serves).count())
            .sum()
    };
    let before = served(&world);
    let sent = loops(&world).sent;
    world.advance(Duration::from_mins(5));
    assert!(loops(&world).sent > sent + 30);
    assert_eq!(served(&world), before);
}

#[test]
fn relays_that_swallow_loops_are_found_and_avoided() {
    let mut world = mixing(MixMode::Strong, 5);
    // Vanguards are kept: they are avoided for what they do to requests.
    let vanguards: Vec<_> = world.net.relays.vanguards().nodes().collect();
    let guard = world.guard();
    let is_other = |index: &usize| *index != guard && !vanguards.contains(&world.node(*index));
    let hole = (0..RELAYS).find(is_other).unwrap();
    world.relays[hole].hole = true;
    world.advance(Duration::from_mins(30));
    let lost = loops(&world);
    assert!(lost.lost > 0);
    let passes = |world: &World| {
        let all = &world.peeled;
        all.iter().filter(|(_, relay)| *relay == hole).count()
    };
    let (before, sent) = (passes(&world), lost.sent);
    world.advance(Duration::from_mins(30));
    let share = (passes(&world) - before) as f64 / (loops(&world).sent - sent) as f64;
    // Of the loops that do not go by vanguards.
    let fair = 0.5 * 2.0 / (RELAYS - 1) as f64;
    assert!(share < fair / 2.0, "{share} of {fair}");
    assert!(loops(&world).returned > loops(&world).lost * 10);
}

#[test]
fn nothing_leaves_while_there_is_no_guard_and_none_leaves_at_once_when_there_is() {
    let mut world = mixing(MixMode::Strong, 6);
    world.set_online(false);
    let sent = loops(&world).sent;
    world.advance(Duration::from_hours(1));
    assert_eq!(loops(&world).sent, sent);
    world.set_online(true);
    assert!(world.is_up());
    assert_eq!(loops(&world).sent, sent);
    world.advance(Duration::from_mins(1));
    assert!(loops(&world).sent > sent);
}

#[test]
fn a_client_whose_timers_slept_sends_none_when_it_wakes() {
    let mut world = mixing(MixMode::Strong, 7);
    for _ in 0..20 {
        let sent = loops(&world).sent;
        world.now += Duration::from_mins(1);
        world.net.timeout(world.now, &mut world.rng);
        world.run();
        assert_eq!(loops(&world).sent, sent);
    }
    world.advance(Duration::from_mins(1));
    assert!(loops(&world).sent > 5);
}

#[test]
fn loops_are_as_long_as_requests_of_both_classes() {
    let mut world = mixing(MixMode::Strong, 12);
    let lengths = |world: &mut World| core::mem::take(&mut world.packet_lengths);
    let to = world.stranger();
    world.ask(to, &[]);
    world.net.want_directory(world.now, &mut world.rng);
    world.advance(Duration::from_mins(10));
    let all = lengths(&mut world);
    let kinds: BTreeSet<_> = all.iter().copied().collect();
    assert_eq!(kinds.len(), 2, "{kinds:?}");
    let bulk = all.iter().filter(|length| Some(*length) == kinds.last());
    let share = bulk.count() as f64 / all.len() as f64;
    assert!((0.05..0.25).contains(&share), "{share}");
}

#[test]
fn lost_loops_have_nobody_avoided_and_returned_ones_excuse_no_guard() {
    let mut world = mixing(MixMode::Strong, 13);
    let guard = world.guard();
    world.relays[guard].hole = true;
    let lost = loops(&world).lost;
    while loops(&world).lost < lost + 20 {
        world.advance(Duration::from_secs(5));
        assert_eq!(world.net.suspects.now(world.now), []);
        assert!(world.is_up() && world.guard() == guard, "not by loops");
    }
}

#[test]
fn a_reply_is_waited_for_as_long_as_its_delays_take() {
    let mut world = mixing(MixMode::Strong, 8);
    let mut slow = 0;
    for _ in 0..30 {
        let asked = world.now;
        let to = world.stranger();
        let request = world.ask(to, &[]);
        while world.outcome(request).is_err() && world.now.since(asked) < Duration::from_mins(1) {
            assert!(!world.failures.contains_key(&request), "it is on its way");
            world.advance(Duration::from_ms(50));
        }
        slow += usize::from(world.now.since(asked) > Duration::from_secs(3));
    }
    assert!(slow > 5, "delays add up to more than the usual patience");
}

#[test]
fn delays_that_were_asked_for_are_not_held_against_relays() {
    let mut world = mixing(MixMode::Strong, 9);
    world.advance(Duration::from_mins(20));
    let health = world.net.suspects.health();
    let compared = health.compare(RELAYS, world.now);
    for index in 0..RELAYS {
        assert!(compared.factor(&world.node(index)) > 0.9);
    }
}

#[test]
fn who_never_answers_is_still_given_up() {
    let mut world = mixing(MixMode::Light, 10);
    let to = world.stranger();
    world.relays[to].manner = Manner::Silent;
    let request = world.ask(to, &[]);
    world.advance(Duration::from_secs(30));
    assert!(world.failures.contains_key(&request));
}

#[test]
fn loops_end_with_their_guard_and_nobody_is_blamed() {
    let mut world = mixing(MixMode::Strong, 11);
    let guard = world.guard();
    world.relays[guard].hole = true;
    while loops(&world).sent == 0 {
        world.advance(Duration::from_secs(1));
    }
    let before = loops(&world);
    world.set_up(guard, false);
    world.advance(Duration::from_secs(30));
    assert_ne!(world.guard(), guard);
    assert_eq!(loops(&world).lost, before.lost);
    let blamed = world.net.suspects.now(world.now);
    assert!(blamed.iter().all(|node| world.index(*node) == guard));
    world.relays[guard].hole = false;
    world.set_up(guard, true);
    world.advance(Duration::from_mins(10));
    let after = loops(&world);
    assert_eq!(after.lost, before.lost);
    assert!(after.returned > before.returned);
}
