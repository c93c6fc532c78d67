//! Bootstrap, synchronisation, and what survives a restart.

use super::world::{Manner, START, World};
use crate::client::net::requests::NetFailure;
use crate::client::view::{Connection, PrivacyWarning};
use crate::id::NodeId;
use crate::rpc::{Reply, Request, SYNC_STEP};
use crate::time::{Duration, Timestamp};

const SOON: Duration = Duration::from_secs(5);

fn nodes(world: &World) -> Vec<NodeId> {
    world
        .net
        .directory()
        .iter()
        .map(|relay| relay.node())
        .collect()
}

#[test]
fn a_client_with_nothing_asks_three_relays_at_once_and_connects() {
    let mut world = World::new(6, 5, 1);
    assert_eq!(
        world.opened.iter().filter(|(at, _)| *at == START).count(),
        4,
        "three visits, one guard"
    );
    world.advance(SOON);
    assert!(world.is_up());
    assert_eq!(world.net.directory(), &world.directory);
    assert_eq!(world.stock_lost, 1, "the first guard of a run");
    assert!(
        (0..6).map(|n| world.links_to(n)).sum::<usize>() == 1,
        "visits are closed"
    );
}

#[test]
fn one_lying_relay_of_three_neither_adds_nor_hides_anything() {
    for liar in 0..3 {
        for hides in [false, true] {
            let mut world = World::with(5, 3, 10 + liar as u64, |relays| {
                relays[liar].lies = Some(Vec::new());
            });
            assert_eq!(
                world.net.directory().len(),
                5,
                "hiding everything hides nothing"
            );
            let sybils = [world.outsider(12), world.outsider(13)];
            let honest = world.directory.iter().filter(|_| !hides).cloned();
            world.relays[liar].lies = Some(honest.chain(sybils).collect());
            world.rows.clear();
            world.restart_net();
            world.advance(SOON);
            assert_eq!(
                world.net.directory(),
                &world.directory,
                "adding adds nothing"
            );
            assert!(world.is_up());
        }
    }
}

#[test]
fn two_relays_must_agree_and_attempts_come_back_with_jitter() {
    let mut world = World::with(5, 3, 3, |relays| {
        relays[0].up = false;
        relays[1].up = false;
    });
    world.advance(Duration::from_mins(10));
    assert!(world.net.directory().is_empty());
    assert!(matches!(
        world.net.connection(),
        Connection::Connecting { attempt: 2.., .. }
    ));
    let starts: Vec<_> = world.opened.iter().map(|(at, _)| *at).collect();
    let attempts = starts.len() / 3;
    assert!(
        (12..200).contains(&attempts),
        "{attempts} attempts in ten minutes"
    );
    world.relays[1].up = true;
    world.advance(Duration::from_secs(61));
    assert!(world.is_up());
}

#[test]
fn one_pinned_relay_is_believed_and_without_any_nothing_spins() {
    let mut world = World::new(1, 1, 4);
    world.advance(SOON);
    assert!(world.is_up());
    let network = world.net.network();
    assert_eq!((network.relays, network.hops), (1, 1));
    assert_eq!(network.warning, Some(PrivacyWarning::OneRelay));
    let mut nobody = World::new(1, 0, 5);
    nobody.advance(Duration::from_hours(1));
    assert!(nobody.opened.is_empty());
}

#[test]
fn a_bootstrap_relay_that_says_nothing_costs_ten_seconds_at_most() {
    let mut world = World::with(5, 3, 6, |relays| relays[2].mute = true);
    assert!(
        world.net.directory().is_empty(),
        "the third may still answer"
    );
    world.advance(Duration::from_secs(4));
    assert_eq!(world.net.directory().len(), 5);
}

#[test]
fn another_relay_at_a_pinned_address_is_not_listened_to() {
    let mut world = World::with(4, 1, 7, |relays| {
        relays[0].claims = Some(NodeId::from_bytes([9; 20]));
    });
    world.advance(Duration::from_mins(5));
    assert!(world.net.directory().is_empty());
    world.relays[0].claims = None;
    world.advance(Duration::from_mins(2));
    assert!(world.is_up());
}

#[test]
fn a_restart_needs_no_bootstrap_and_keeps_its_guards() {
    let mut world = World::connected(12, 8);
    let (guards, primary) = (world.net.kept_guards(), world.guard());
    assert_eq!(guards.len(), 3);
    world.advance(Duration::from_hours(2));
    world.opened.clear();
    world.restart_net();
    world.advance(SOON);
    assert!(world.is_up());
    assert_eq!(world.net.kept_guards(), guards);
    assert_eq!(
        world.opened.iter().map(|(_, n)| *n).collect::<Vec<_>>(),
        [primary]
    );
    assert_eq!(world.stock_lost, 2, "a reload draws a new tag");
}

#[test]
fn after_days_without_the_client_the_directory_is_asked_for_anew() {
    let mut world = World::connected(5, 9);
    world.set_online(false);
    world.advance(Duration::from_days(3));
    world.opened.clear();
    world.restart_net();
    assert!(world.opened.len() >= 3);
    world.advance(SOON);
    assert!(world.is_up());
    assert_eq!(world.net.directory(), &world.directory);
}

#[test]
fn the_directory_stays_fresh_through_onions_over_many_epochs() {
    let mut world = World::connected(12, 10);
    world.opened.clear();
    for _ in 0..8 {
        world.advance(Duration::from_hours(3));
        let target = world.stranger();
        let id = world.ask(target, &[]);
        assert!(world.outcome(id).is_ok());
    }
    assert!(
        world.opened.is_empty(),
        "no link but the guard's was ever opened"
    );
    let syncs = world.relays.iter().flat_map(|relay| &relay.served);
    let syncs = syncs
        .filter(|request| matches!(request, Request::DirectorySync(_)))
        .count();
    assert!((40..400).contains(&syncs), "{syncs} pages in a day");
}

#[test]
fn a_relay_that_is_new_is_taken_once_two_have_listed_it() {
    let mut world = World::connected(12, 11);
    let liar = world.stranger();
    let sybil = world.outsider(13);
    let honest: Vec<_> = world.directory.iter().cloned().collect();
    world.relays[liar].lies = Some(honest.into_iter().chain([sybil.clone()]).collect());
    world.advance(Duration::from_hours(24));
    let asked = world.relays[liar].served.iter();
    assert!(
        asked
            .filter(|request| matches!(request, Request::DirectorySync(_)))
            .count()
            > 0
    );
    assert_eq!(world.net.directory().len(), 12, "one lister is not enough");
    let newcomer = world.outsider(14);
    world.relays.last_mut().unwrap().member = true;
    world.advance(Duration::from_hours(8));
    assert!(nodes(&world).contains(&newcomer.node()));
    assert!(!nodes(&world).contains(&sybil.node()));
}

#[test]
fn a_directory_that_was_small_at_the_start_grows_within_minutes() {
    let mut world = World::with(12, 3, 18, |relays| {
        for relay in relays.iter_mut().skip(4) {
            relay.member = false;
        }
    });
    let whole = world.directory.clone();
    world.directory = whole.iter().take(4).cloned().collect();
    world.rows.clear();
    world.restart_net();
    world.advance(SOON);
    assert_eq!(world.net.directory().len(), 4);
    world.directory = whole;
    world.advance(Duration::from_mins(7));
    assert_eq!(world.net.directory().len(), 12);
}

/// What the directory requests that were served since then asked for: everything, or what is newer than that.
fn asked_since(world: &World, skip: &[usize]) -> Vec<Option<Timestamp>> {
    let served = world.relays.iter().zip(skip);
    let served = served.flat_map(|(relay, skip)| &relay.served[*skip..]);
    let syncs = served.filter_map(|request| match request {
        Request::DirectorySync(ask) => Some(ask.since),
        _ => None,
    });
    syncs.collect()
}

fn served(world: &World) -> Vec<usize> {
    world
        .relays
        .iter()
        .map(|relay| relay.served.len())
        .collect()
}

/// A client of twelve relays, in a network that has been the same for a while.
fn settled(seed: u64) -> World {
    let mut world = World::connected(12, seed);
    world.publish_every(Duration::from_hours(6));
    world.advance(Duration::from_hours(9));
    world
}

#[test]
fn a_settled_client_asks_for_what_is_new_and_for_everything_every_six_hours() {
    let mut world = settled(21);
    let before = served(&world);
    world.advance(Duration::from_hours(24));
    let asked = asked_since(&world, &before);
    let full = asked.iter().filter(|since| since.is_none()).count();
    // Three to five rounds of two relays, of each three pages for everything, one if it has nothing else.
    assert!((6..=30).contains(&full), "{full}");
    let new = asked.len() - full;
    assert!((24..=80).contains(&new), "{new}");
    let steps = asked.iter().flatten();
    assert!(
        steps
            .clone()
            .all(|since| since.floor_to(SYNC_STEP) == *since)
    );
    assert_eq!(world.net.directory(), &world.directory);
}

#[test]
fn what_is_new_is_found_by_asking_for_nothing_else() {
    let mut world = settled(122);
    let newcomer = world.outsider(13);
    world.relays.last_mut().unwrap().member = true;
    world.publish_one(12);
    // The rounds of an hour or two.
    let before = served(&world);
    for _ in 0..14 {
        world.advance(Duration::from_mins(10));
        if nodes(&world).contains(&newcomer.node()) {
            break;
        }
    }
    assert!(nodes(&world).contains(&newcomer.node()));
    assert!(asked_since(&world, &before)[0].is_some());
}

#[test]
fn relays_that_do_not_tell_the_time_are_asked_for_everything() {
    let mut world = settled(23);
    for relay in &mut world.relays {
        relay.tells_time = false;
    }
    world.advance(Duration::from_hours(7));
    let before = served(&world);
    world.advance(Duration::from_hours(8));
    let asked = asked_since(&world, &before);
    assert!(
        asked.len() >= 12 && asked.iter().all(Option::is_none),
        "{asked:?}"
    );
}

#[test]
fn a_directory_is_settled_once_relays_were_asked_and_knew_nobody_else() {
    let mut world = World::connected(4, 26);
    world.outsider(13);
    world.relays.last_mut().unwrap().member = true;
    world.publish_one(4);
    let mut asked = |by| {
        world.net.want_directory(world.now, &mut world.rng);
        world.advance(by);
        (nodes(&world).len(), world.net.directory_is_settled())
    };
    assert_eq!(asked(SOON), (5, false), "they have told of one");
    assert_eq!(asked(Duration::from_secs(20)), (5, true));
}

#[test]
fn who_misses_a_relay_asks_for_everything() {
    let mut world = settled(24);
    let before = served(&world);
    world.net.want_directory(world.now, &mut world.rng);
    world.advance(Duration::from_hours(1) + Duration::from_mins(15));
    assert_eq!(asked_since(&world, &before)[0], None);
}

#[test]
fn a_client_that_is_restarted_goes_on_from_what_it_has_stored() {
    let mut world = settled(25);
    while world
        .net
        .sync
        .coverage()
        .recent(Duration::from_hours(1), world.now)
        .is_none()
    {
        world.advance(Duration::from_mins(10));
    }
    world.restart_net();
    let before = served(&world);
    world.advance(Duration::from_mins(80));
    let asked = asked_since(&world, &before);
    assert!(asked[0].is_some(), "{asked:?}");
}

#[test]
fn relays_that_are_gone_leave_with_their_descriptors() {
    let mut world = World::connected(12, 12);
    let gone = world.stranger();
    world.set_up(gone, false);
    world.advance(Duration::from_hours(20));
    assert!(!nodes(&world).contains(&world.node(gone)));
    assert_eq!(world.net.network().relays, 11);
    let id = world.ask(gone, &[]);
    assert_eq!(world.outcome(id), Err(NetFailure::NoPath));
}

#[test]
fn rounds_that_nobody_answers_are_repeated_soon_but_not_at_once() {
    let mut world = World::connected(5, 13);
    for relay in &mut world.relays {
        relay.manner = Manner::Silent;
    }
    world.advance(Duration::from_hours(1) + Duration::from_mins(10));
    let asked: usize = world.relays.iter().map(|relay| relay.served.len()).sum();
    assert!((2..80).contains(&asked), "{asked}");
    for relay in &mut world.relays {
        relay.manner = Manner::Honest;
    }
    world.advance(Duration::from_mins(11));
    let target = world.stranger();
    let id = world.ask(target, &[]);
    assert!(matches!(world.outcome(id), Ok(Reply::Refused(_))));
}

#[test]
fn a_large_independent_network_needs_no_warning_and_a_small_one_has_its() {
    for (relays, warning, hops) in [
        (12, None, 3),
        (5, Some(PrivacyWarning::FewRelays), 3),
        (2, Some(PrivacyWarning::OneRelay), 2),
    ] {
        let network = World::connected(relays, 14).net.network();
        assert_eq!((network.relays as usize, network.hops), (relays, hops));
        assert_eq!(network.warning, warning);
    }
}

#[test]
fn a_swarm_is_distinct_and_free_of_guards() {
    let mut world = World::connected(12, 15);
    let guards = world.net.kept_guards();
    for _ in 0..20 {
        let swarm = world
            .net
            .choose_members(&[], &[], 6, world.now, &mut world.rng);
        assert_eq!(swarm.len(), 6);
        assert!(swarm.iter().all(|node| !guards.contains(node)));
    }
    let mut small = World::connected(3, 16);
    let swarm = small
        .net
        .choose_members(&[], &[], 6, small.now, &mut small.rng);
    assert_eq!(swarm.len(), 3, "three, with the guard if it must be");
    assert_eq!(swarm.last(), Some(&small.net.kept_guards()[0]));
}

#[test]
fn a_swarm_takes_one_relay_of_an_operator() {
    let mut world = World::with(12, 3, 17, |relays| {
        for relay in relays.iter_mut().take(8) {
            relay.info.operator = "one and the same".into();
        }
    });
    world.advance(SOON);
    for _ in 0..10 {
        let swarm = world
            .net
            .choose_members(&[], &[], 6, world.now, &mut world.rng);
        let same = swarm.iter().filter(|node| world.index(**node) < 8).count();
        assert!(same <= 1, "{same} of one operator");
        assert!(swarm.len() >= 2);
    }
}

#[test]
fn how_independent_relays_are_is_counted_once_for_a_directory() {
    let mut world = World::connected(12, 20);
    let target = world.stranger();
    let before = world.net.relays.counted();
    for _ in 0..5 {
        let id = world.ask(target, &[]);
        assert!(world.outcome(id).is_ok());
        assert!(world.mint(target, 3).is_some());
    }
    assert_eq!(world.net.relays.counted(), before);
    world.relays[target].info.operator = "another operator".into();
    world.advance(Duration::from_hours(8));
    let after = world.net.relays.counted();
    assert!(after > before, "the directory is another");
    let id = world.ask(target, &[]);
    assert!(world.outcome(id).is_ok());
    assert_eq!(world.net.relays.counted(), after);
}

#[test]
fn whoever_misses_a_relay_has_the_directory_read_soon_but_not_again_and_again() {
    let mut world = World::with(12, 3, 19, |relays| {
        for relay in relays.iter_mut().skip(4) {
            relay.member = false;
        }
    });
    let whole = world.directory.clone();
    world.directory = whole.iter().take(4).cloned().collect();
    world.rows.clear();
    world.restart_net();
    world.advance(SOON);
    let changes = world.relays_changed;
    world.directory = whole;
    let missing = world.relays.iter().position(|relay| {
        let known = world.net.directory();
        known.get(&relay.node).is_none()
    });
    let id = world.ask(missing.unwrap(), &[]);
    assert_eq!(world.outcome(id), Err(NetFailure::NoPath));
    world.advance(Duration::from_secs(30));
    assert_eq!(world.net.directory().len(), 12);
    assert_eq!(world.relays_changed, changes + 1);
    let asked = |world: &World| -> usize {
        let served = world.relays.iter().flat_map(|relay| &relay.served);
        served
            .filter(|request| matches!(request, Request::DirectorySync(_)))
            .count()
    };
    let before = asked(&world);
    for _ in 0..600 {
        world.net.want_directory(world.now, &mut world.rng);
        world.advance(Duration::from_secs(1));
    }
    let rounds = asked(&world) - before;
    assert!((2..60).contains(&rounds), "{rounds} pages in ten minutes");
}
