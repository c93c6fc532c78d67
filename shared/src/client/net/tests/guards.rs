//! Guards that die, come back, or must not be used; and the stock that is bound to them.

use super::world::{Manner, World};
use crate::client::net::guard_links::{IDLE, MAX_UNANSWERED};
use crate::client::net::requests::NetFailure;
use crate::client::net::stock::{MAX_MEMBERS, MAX_PER_MEMBER};
use crate::client::view::Connection;
use crate::id::{MessageId, NodeId};
use crate::rpc::{PutReply, Reply};
use crate::time::Duration;

const SOON: Duration = Duration::from_secs(3);

#[test]
fn a_dead_guard_is_followed_by_the_next_and_the_stock_is_lost() {
    let mut world = World::connected(12, 1);
    let (guard, target) = (world.guard(), world.stranger());
    let kept = world.net.kept_guards();
    world.relays[target].manner = Manner::Silent;
    world.advance(Duration::from_mins(1));
    let flying = world.ask(target, &[]);
    world.opened.clear();
    world.set_up(guard, false);
    world.advance(SOON);
    assert!(world.is_up());
    assert_ne!(world.guard(), guard);
    assert!(kept.contains(&world.node(world.guard())), "a kept one");
    assert_eq!(world.stock_lost, 2);
    assert_eq!(
        world.failures[&flying],
        NetFailure::GuardLost,
        "no need to wait for its deadline"
    );
    let attempts = world.opened.iter().filter(|(_, n)| *n == guard).count();
    assert_eq!(attempts, 2, "two failures");
    world.relays[target].manner = Manner::Honest;
    let id = world.ask(target, &[]);
    assert!(world.outcome(id).is_ok());
}

#[test]
fn a_small_network_keeps_one_guard_and_draws_another_when_it_dies() {
    let mut world = World::connected(5, 2);
    assert_eq!(world.net.kept_guards().len(), 1);
    let guard = world.guard();
    world.set_up(guard, false);
    world.advance(SOON);
    assert!(world.is_up());
    assert_ne!(world.guard(), guard);
}

#[test]
fn a_short_cut_or_a_restart_of_the_guard_keeps_it_and_the_stock() {
    let mut world = World::connected(12, 3);
    world.advance(Duration::from_mins(1));
    let guard = world.guard();
    let surb = world.mint(world.stranger(), 1).unwrap().remove(0);
    world.cut_links(guard);
    assert!(matches!(
        world.net.connection(),
        Connection::Connecting {
            attempt: 1,
            retry: Some(_)
        }
    ));
    world.advance(SOON);
    world.advance(Duration::from_mins(1));
    assert_eq!(world.pushes_lost, 0, "what came meanwhile was kept");
    world.crash(guard);
    world.relays[guard].up = true;
    world.advance(SOON);
    assert!(world.is_up());
    assert_eq!((world.guard(), world.stock_lost), (guard, 1));
    assert_eq!(world.pushes_lost, 1, "it has forgotten what came");
    world.push(&surb, 7);
    assert_eq!(world.pushes.len(), 1);
}

#[test]
fn every_relay_down_is_retried_with_a_bounded_pace_until_they_are_back() {
    for relays in [5, 12] {
        let mut world = World::connected(relays, 4);
        world.opened.clear();
        (0..relays).for_each(|n| world.set_up(n, false));
        let down = world.now;
        world.advance(Duration::from_mins(30));
        let late = world
            .opened
            .iter()
            .filter(|(at, _)| at.since(down) > Duration::from_mins(10));
        let late = late.count();
        assert!(
            (20..400).contains(&late),
            "{late} attempts in twenty minutes"
        );
        for relay in &mut world.relays {
            relay.up = true;
        }
        world.advance(Duration::from_mins(3));
        assert!(world.is_up());
        assert!(world.net.kept_guards().len() <= 6);
    }
}

#[test]
fn offline_means_no_attempt_and_online_means_at_once() {
    let mut world = World::connected(12, 5);
    let guard = world.guard();
    world.set_online(false);
    assert_eq!(world.net.connection(), Connection::Offline);
    assert_eq!(world.links_to(guard), 0);
    world.opened.clear();
    world.advance(Duration::from_hours(1));
    assert!(world.opened.is_empty());
    world.set_online(true);
    assert!(world.is_up(), "without waiting");
    assert_eq!((world.guard(), world.stock_lost), (guard, 1));
}

#[test]
fn online_ends_every_wait() {
    let mut world = World::connected(12, 6);
    (0..12).for_each(|n| world.set_up(n, false));
    world.advance(Duration::from_mins(20));
    for relay in &mut world.relays {
        relay.up = true;
    }
    world.set_online(true);
    assert!(world.is_up());
}

#[test]
fn a_swarm_with_the_primary_guard_is_reached_by_another_kept_one() {
    let mut world = World::connected(12, 7);
    let (guard, target) = (world.guard(), world.stranger());
    let kept: Vec<_> = world
        .net
        .kept_guards()
        .iter()
        .map(|node| world.index(*node))
        .collect();
    world.opened.clear();
    let before = world.relays[guard].forwarded;
    let id = world.ask(target, &[guard, target]);
    assert!(world.outcome(id).is_ok());
    let second = world.opened.iter().map(|(_, n)| *n).collect::<Vec<_>>();
    assert_eq!(second.len(), 1);
    assert!(kept.contains(&second[0]) && second[0] != guard);
    assert_eq!(
        world.relays[guard].forwarded, before,
        "the primary sees nothing of it"
    );
    assert_eq!((world.guard(), world.stock_lost), (guard, 1));
    world.advance(IDLE - Duration::from_secs(1));
    assert_eq!(world.links_to(second[0]), 1);
    world.advance(Duration::from_secs(2));
    assert_eq!((world.links_to(second[0]), world.links_to(guard)), (0, 1));
}

#[test]
fn the_other_guards_are_tried_in_turn_when_one_is_dead() {
    let mut world = World::connected(12, 8);
    let (guard, target) = (world.guard(), world.stranger());
    let kept: Vec<_> = world
        .net
        .kept_guards()
        .iter()
        .map(|node| world.index(*node))
        .collect();
    let others: Vec<_> = kept.into_iter().filter(|n| *n != guard).collect();
    world.set_up(others[0], false);
    let id = world.ask(target, &[guard, target]);
    assert!(world.outcome(id).is_ok());
    assert_eq!(world.links_to(others[1]), 1);
}

#[test]
fn a_swarm_with_every_kept_guard_is_reached_by_a_spare_one() {
    let mut world = World::connected(12, 9);
    let target = world.stranger();
    let mut swarm: Vec<_> = world
        .net
        .kept_guards()
        .iter()
        .map(|node| world.index(*node))
        .collect();
    swarm.push(target);
    for _ in 0..3 {
        let id = world.ask(target, &swarm);
        assert!(world.outcome(id).is_ok());
    }
    let links: Vec<_> = (0..12).filter(|n| world.links_to(*n) > 0).collect();
    assert_eq!(links.len(), 2, "the primary, and one spare for all three");
    assert!(links.iter().any(|n| !swarm.contains(n)));
}

/// Whoever wants to become somebody's guard could otherwise have a target say so, and wait for a guard to fail.
#[test]
fn a_target_that_says_it_is_kin_of_guards_has_no_further_guard_drawn() {
    let mut world = World::connected(14, 18);
    let kept = world.net.kept_guards();
    let [first, second, third] = [0, 1, 2].map(|at| world.index(kept[at]));
    let target = world.stranger();
    world.relays[target].info.operator = world.relays[first].info.operator.clone();
    world.relays[target].info.urls = world.relays[second].info.urls.clone();
    world.advance(Duration::from_hours(8));
    assert_eq!(world.net.kept_guards(), kept);
    let id = world.ask(target, &[]);
    assert!(world.outcome(id).is_ok());
    assert_eq!(world.links_to(third), 1, "neither of its kin");
    world.set_up(third, false);
    world.opened.clear();
    for _ in 0..4 {
        let id = world.ask(target, &[]);
        let failed = world.outcome(id).unwrap_err();
        let expected = [NetFailure::NoPath, NetFailure::NoGuard];
        assert!(expected.contains(&failed), "{failed:?}");
        world.advance(Duration::from_mins(1));
    }
    let to_kept = |(_, relay): &(_, usize)| kept.contains(&world.node(*relay));
    assert!(world.opened.iter().all(to_kept), "{:?}", world.opened);
}

#[test]
fn a_guard_that_holds_my_mailbox_gives_way_where_paths_are_strict() {
    for (relays, gives_way) in [(12, true), (3, false)] {
        let mut world = World::connected(relays, 19);
        let (kept, guard) = (world.net.kept_guards(), world.guard());
        let stranger = world.stranger();
        let swarm = [world.node(guard), world.node(stranger)];
        world.net.own_swarm_is(&swarm, world.now, &mut world.rng);
        world.advance(SOON);
        let now = world.net.kept_guards();
        assert_eq!(!now.contains(&swarm[0]), gives_way);
        assert_eq!(now.len(), kept.len());
        assert!(
            kept[1..].iter().all(|other| now.contains(other)),
            "only that one"
        );
        assert_eq!(
            world.guard() != guard,
            gives_way,
            "it is the primary no more"
        );
        assert!(world.is_up());
        assert!(world.mint(stranger, 4).is_some());
    }
}

#[test]
fn who_held_my_mailbox_becomes_no_guard_of_mine() {
    for seed in 20..24 {
        let mut world = World::connected(14, seed);
        let kept = world.net.kept_guards();
        let strangers = (0..14).filter(|n| !kept.contains(&world.node(*n)));
        let former: Vec<_> = strangers.take(5).map(|n| world.node(n)).collect();
        world.net.former_swarm_is(former.clone());
        for guard in &kept {
            let guard = world.index(*guard);
            world.set_up(guard, false);
        }
        world.advance(Duration::from_hours(3));
        let new = world.net.kept_guards();
        assert!(new.iter().any(|guard| !kept.contains(guard)), "seed {seed}");
        assert!(
            !new.iter().any(|guard| former.contains(guard)),
            "seed {seed}"
        );
    }
}

#[test]
fn in_a_small_network_the_primary_may_be_in_the_swarm_but_is_not_its_own_target() {
    let mut world = World::connected(5, 10);
    let (guard, target) = (world.guard(), world.stranger());
    world.opened.clear();
    let id = world.ask(target, &[guard, target]);
    assert!(world.outcome(id).is_ok());
    assert!(world.opened.is_empty());
    let id = world.ask(guard, &[guard]);
    assert!(world.outcome(id).is_ok());
    assert_eq!(world.opened.len(), 1, "a spare guard leads to the guard");
}

#[test]
fn networks_of_one_and_two_relays_work() {
    for relays in [1, 2] {
        let mut world = World::connected(relays, 11);
        for target in 0..relays {
            let id = world.ask(target, &[0]);
            assert!(world.outcome(id).is_ok(), "{target} of {relays}");
        }
        assert!(world.mint(relays - 1, 2).is_some());
    }
}

#[test]
fn a_guard_that_forwards_nothing_is_left_in_the_end() {
    let mut world = World::connected(12, 12);
    let (guard, target) = (world.guard(), world.stranger());
    world.relays[guard].hole = true;
    for _ in 0..MAX_UNANSWERED {
        assert_eq!(world.guard(), guard);
        let id = world.ask(target, &[]);
        assert_eq!(world.outcome(id), Err(NetFailure::Timeout));
    }
    world.advance(SOON);
    assert_ne!(world.guard(), guard);
    assert_eq!(world.stock_lost, 2);
    let id = world.ask(target, &[]);
    assert!(world.outcome(id).is_ok());
}

#[test]
fn a_reply_block_of_the_stock_pushes_once() {
    let mut world = World::connected(12, 13);
    let member = world.stranger();
    let surbs = world.mint(member, 3).unwrap();
    assert_eq!(surbs.len(), 3);
    for (n, surb) in surbs.iter().enumerate() {
        world.push(surb, n as u32);
    }
    let pushed: Vec<_> = world
        .pushes
        .iter()
        .map(|(node, push)| (*node, push.waiting))
        .collect();
    let member = world.node(member);
    assert_eq!(pushed, [(member, 0), (member, 1), (member, 2)]);
    assert_eq!(
        world.net.stock.held(member),
        0,
        "keys are wiped with their use"
    );
}

#[test]
fn something_else_than_a_push_through_the_stock_is_dropped() {
    let mut world = World::connected(12, 14);
    let surbs = world.mint(world.stranger(), 2).unwrap();
    let put = Reply::Put(PutReply { held: 1, of: 1 });
    world.reply(&surbs[0], &put, MessageId::from_bytes([1; 16]));
    assert_eq!(world.net.dropped().unexpected, 1);
    assert!(world.pushes.is_empty() && world.replies.is_empty());
}

#[test]
fn forgotten_and_expired_stock_pushes_nothing() {
    let mut world = World::connected(12, 15);
    let member = world.stranger();
    let surbs = world.mint(member, 2).unwrap();
    world.net.forget_stock(world.node(member));
    world.push(&surbs[0], 1);
    assert_eq!((world.pushes.len(), world.net.dropped().unknown), (0, 1));
    world.mint(member, 2).unwrap();
    world.advance(Duration::from_hours(13));
    assert_eq!(world.net.stock.held(world.node(member)), 0);
}

#[test]
fn stock_needs_a_guard_and_room() {
    let mut world = World::connected(12, 16);
    let member = world.stranger();
    for _ in 0..4 {
        world.mint(member, 48).unwrap();
    }
    assert_eq!(world.net.stock.held(world.node(member)), MAX_PER_MEMBER);
    assert_eq!(
        world.mint(member, 1_000).unwrap().len(),
        48,
        "one subscription's worth"
    );
    world.set_online(false);
    assert!(world.mint(member, 1).is_none());
    let stock = &world.net.stock;
    assert!(stock.has_room(NodeId::from_bytes([9; 20])));
    assert_eq!(MAX_MEMBERS, 24);
}

#[test]
fn own_requests_go_by_a_vanguard() {
    let mut world = World::connected(12, 17);
    let member = world.node(world.stranger());
    let before: usize = world.relays.iter().map(|relay| relay.forwarded).sum();
    let request = crate::rpc::Request::PreKeyTake(crate::rpc::PreKeyTakeRequest {
        mailbox: crate::id::MailboxId::from_bytes([1; 20]),
    });
    let class = crate::onion::Class::Bulk;
    let id = world.net.request(
        member,
        &[member],
        true,
        request,
        class,
        world.now,
        &mut world.rng,
    );
    world.run();
    assert!(world.outcome(id).is_ok());
    let after: usize = world.relays.iter().map(|relay| relay.forwarded).sum();
    assert_eq!(
        after - before,
        5,
        "guard, vanguard, fresh there; fresh, vanguard back"
    );
}

/// A world in which the primary guard is a member of the swarm that is asked; and the guard that takes its place.
fn by_another_guard(seed: u64) -> (World, Vec<usize>, usize) {
    let mut world = World::connected(12, seed);
    let target = world.stranger();
    let swarm = vec![target, world.guard()];
    let before = world.relays[target].served.len();
    let links: Vec<usize> = (0..12).filter(|n| world.links_to(*n) > 0).collect();
    let id = world.ask(target, &swarm);
    assert!(world.outcome(id).is_ok());
    assert_eq!(world.relays[target].served.len(), before + 1);
    let mut other = (0..12).filter(|n| world.links_to(*n) > 0 && !links.contains(n));
    let other = other.next().expect("another guard");
    (world, swarm, other)
}

#[test]
fn another_guard_that_swallows_everything_is_left_for_a_third_one() {
    let (mut world, swarm, other) = by_another_guard(31);
    world.relays[other].hole = true;
    let id = world.ask(swarm[0], &swarm);
    world.advance(Duration::from_mins(1));
    assert_eq!(world.failures[&id], NetFailure::Timeout);
    let opened = world.opened.len();
    // Its retries are minutes apart: nothing of what the guard did is forgotten with its link.
    world.advance(Duration::from_mins(5));
    let id = world.ask(swarm[0], &swarm);
    assert!(world.outcome(id).is_ok());
    let third = world.opened[opened..].iter().map(|(_, node)| *node);
    assert!(!third.clone().any(|node| node == other) && third.count() == 1);
}

#[test]
fn a_target_that_is_silent_brings_no_guard_into_doubt() {
    let (mut world, swarm, other) = by_another_guard(32);
    world.relays[swarm[0]].manner = Manner::Silent;
    let opened = world.opened.len();
    for _ in 0..20 {
        let id = world.ask(swarm[0], &swarm);
        world.advance(Duration::from_secs(20));
        assert_eq!(world.failures[&id], NetFailure::Timeout);
    }
    let more: Vec<_> = world.opened[opened..].to_vec();
    assert!(more.iter().all(|(_, node)| *node == other), "{more:?}");
}

#[test]
fn a_network_that_swallows_everything_brings_no_guard_into_doubt() {
    let (mut world, swarm, other) = by_another_guard(33);
    let opened = world.opened.len();
    let swallow = |world: &mut World, all: bool| {
        let relays = world.relays.iter_mut();
        relays.for_each(|relay| relay.hole = all);
    };
    swallow(&mut world, true);
    for _ in 0..4 {
        let id = world.ask(swarm[0], &swarm);
        world.advance(Duration::from_secs(20));
        assert_eq!(world.failures[&id], NetFailure::Timeout);
    }
    swallow(&mut world, false);
    let id = world.ask(swarm[0], &swarm);
    assert!(world.outcome(id).is_ok());
    let more: Vec<_> = world.opened[opened..].to_vec();
    assert!(more.iter().all(|(_, node)| *node == other), "{more:?}");
}
