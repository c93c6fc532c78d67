//! Which onion suite requests and reply blocks are of.

use super::world::{Wishes, World};
use crate::client::net::NetFailure;
use crate::client::view::Onion;
use crate::onion::{Suite, Suites};
use crate::rpc::SubscribeBody;
use crate::time::Duration;

use Suite::{X25519, XWing};

/// A connected client that prefers X-Wing, which all but the first `classical` of `count` relays offer.
fn mixed(count: usize, classical: usize, seed: u64) -> World {
    let mut world = World::preferring(XWing, count, 3.min(count), seed, |relays| {
        let hybrid = relays.iter_mut().skip(classical);
        hybrid.for_each(|relay| relay.offer(Suites::OFFERED));
    });
    world.advance(Duration::from_secs(5));
    assert!(world.is_up());
    world.peeled.clear();
    world
}

fn suites(world: &World) -> Vec<Suite> {
    let mut suites: Vec<_> = world.peeled.iter().map(|(suite, _)| *suite).collect();
    suites.sort_unstable();
    suites.dedup();
    suites
}

fn asks(world: &mut World, to: usize) {
    let id = world.ask(to, &[]);
    world.advance(Duration::from_secs(1));
    assert!(world.outcome(id).is_ok());
}

#[test]
fn a_client_uses_x25519_unless_it_is_told_otherwise() {
    let mut world = World::with(12, 3, 1, |relays| {
        let all = relays.iter_mut();
        all.for_each(|relay| relay.offer(Suites::OFFERED));
    });
    world.advance(Duration::from_secs(5));
    let target = world.stranger();
    asks(&mut world, target);
    assert_eq!(suites(&world), [X25519]);
}

#[test]
fn the_preferred_suite_carries_requests_replies_and_the_stock() {
    let mut world = mixed(12, 0, 2);
    let target = world.stranger();
    asks(&mut world, target);
    let surbs = world.mint(target, 32).unwrap();
    let most = SubscribeBody::SURBS_ROOM / SubscribeBody::surb_needs(XWing);
    assert_eq!((surbs.len(), most), (5, 5), "what one subscription carries");
    assert!(surbs.iter().all(|surb| surb.len() == 4812));
    world.push(&surbs[0], 0);
    assert_eq!(world.pushes.len(), 1);
    assert_eq!(suites(&world), [XWing]);
}

#[test]
fn relays_without_the_preferred_suite_are_left_out_while_there_are_enough() {
    let mut world = mixed(16, 4, 3);
    for target in 4..16 {
        if target != world.guard() {
            asks(&mut world, target);
        }
    }
    assert_eq!(suites(&world), [XWing]);
    let used = world.peeled.iter().map(|(_, relay)| *relay);
    assert!(used.clone().all(|relay| relay >= 4), "{:?}", world.peeled);
    assert!(world.guard() >= 4);
}

#[test]
fn a_relay_without_the_preferred_suite_is_asked_by_another() {
    let mut world = mixed(16, 4, 4);
    asks(&mut world, 0);
    assert!(world.peeled.contains(&(X25519, 0)));
}

#[test]
fn with_too_few_such_relays_everything_goes_by_the_next_suite() {
    let mut world = mixed(12, 8, 5);
    let target = world.stranger();
    asks(&mut world, target);
    assert_eq!(suites(&world), [X25519]);
    let surbs = world.mint(target, 32).unwrap();
    assert!(surbs.len() == 32 && surbs.iter().all(|surb| surb.len() == 460));
}

#[test]
fn one_relay_without_the_preferred_suite_changes_nothing() {
    for classical in [1, 5] {
        let mut world = mixed(12, classical, 7);
        let in_use = Onion::InUse {
            suite: XWing,
            weaker: false,
        };
        assert_eq!(world.net.network().onion, in_use);
        for target in classical..12 {
            if target != world.guard() {
                asks(&mut world, target);
            }
        }
        assert_eq!(suites(&world), [XWing], "{classical} classical relays");
    }
}

#[test]
fn that_a_weaker_suite_is_in_use_is_shown() {
    let world = mixed(12, 6, 8);
    let in_use = Onion::InUse {
        suite: X25519,
        weaker: true,
    };
    assert_eq!(world.net.network().onion, in_use);
}

/// A client that prefers X-Wing and uses nothing weaker, which all but the first `classical` of 12 relays offer.
fn insisting(classical: usize, seed: u64) -> World {
    let strict = Wishes {
        floor: Some(XWing),
        ..Wishes::preferring(XWing)
    };
    let mut world = World::wishing(strict, 12, 3, seed, |relays| {
        let hybrid = relays.iter_mut().skip(classical);
        hybrid.for_each(|relay| relay.offer(Suites::OFFERED));
    });
    world.advance(Duration::from_secs(5));
    world
}

#[test]
fn below_the_floor_nothing_is_sent_until_relays_have_the_suite() {
    let mut world = insisting(6, 9);
    assert_eq!(
        world.net.network().onion,
        Onion::BelowFloor { floor: XWing }
    );
    assert!(!world.is_up());
    let visits = world.opened.len();
    let id = world.ask(7, &[]);
    world.advance(Duration::from_mins(5));
    assert_eq!(world.failures.get(&id), Some(&NetFailure::NoGuard));
    assert!(world.peeled.is_empty());
    assert_eq!(world.opened.len(), visits, "and nobody is bothered");
    for relay in &mut world.relays {
        relay.offer(Suites::OFFERED);
    }
    world.advance(Duration::from_hours(1));
    assert!(world.is_up());
    asks(&mut world, 7);
    assert_eq!(suites(&world), [XWing]);
}

#[test]
fn with_a_floor_relays_without_the_suite_are_as_if_they_were_not_there() {
    let mut world = insisting(5, 10);
    assert!(world.is_up());
    let id = world.ask(0, &[]);
    world.advance(Duration::from_mins(1));
    assert_eq!(world.failures.get(&id), Some(&NetFailure::NoPath));
    let asked = world.net.directory_relays();
    assert_eq!(asked.len(), 7);
    asks(&mut world, 11);
    assert_eq!(suites(&world), [XWing]);
}

#[test]
fn a_link_is_left_when_its_suite_is_below_the_floor() {
    let mut world = insisting(5, 11);
    assert!(world.is_up());
    for relay in world.relays.iter_mut().take(11) {
        relay.offer(Suites::only(X25519));
    }
    world.advance(Duration::from_hours(13));
    assert_eq!(
        world.net.network().onion,
        Onion::BelowFloor { floor: XWing }
    );
    assert!(!world.is_up());
}

#[test]
fn when_relays_learn_the_suite_paths_follow() {
    let mut world = mixed(12, 12, 6);
    let target = world.stranger();
    asks(&mut world, target);
    assert_eq!(suites(&world), [X25519]);
    for relay in &mut world.relays {
        relay.offer(Suites::OFFERED);
    }
    world.advance(Duration::from_hours(3));
    world.peeled.clear();
    asks(&mut world, target);
    assert_eq!(suites(&world), [XWing]);
}
