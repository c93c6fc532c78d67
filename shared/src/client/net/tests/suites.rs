//! Which onion suite requests and reply blocks are of.

use super::world::World;
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
