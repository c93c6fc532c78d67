//! Paths, guards and vanguards: the rules in large networks, how they give way in small ones.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use rand::RngExt;
use rand_chacha::ChaCha20Rng;

use super::support::{NOW, info, node, relay, relay_with};
use crate::id::NodeId;
use crate::onion::census::Census;
use crate::onion::descriptor::Features;
use crate::onion::directory::Directory;
use crate::onion::epoch::EPOCH_LENGTH;
use crate::onion::guards::{GUARD_LIFETIME, GuardSet, VANGUARD_LIFETIMES, VanguardSet};
use crate::onion::health::RelayHealth;
use crate::onion::path::{PathError, PathFinder, PathRules};
use crate::onion::privacy::Relaxation;
use crate::onion::url::RelayUrl;
use crate::onion::{PathPair, Route};
use crate::test_support::rng;
use crate::time::{Duration, Timestamp};
use crate::wire::codec::CodecError;

fn network(count: u16) -> Directory {
    Directory::from_iter((0..count).map(relay))
}

fn finder(directory: &Directory) -> PathFinder<'_> {
    finder_at(directory, NOW)
}

fn finder_at(directory: &Directory, now: Timestamp) -> PathFinder<'_> {
    PathFinder::new(directory, PathRules::default(), &RelayHealth::new(), now)
}

fn nodes(route: &Route) -> Vec<NodeId> {
    route.nodes()
}

fn swarm(range: core::ops::Range<u16>) -> Vec<NodeId> {
    range.map(node).collect()
}

fn guards(finder: &PathFinder<'_>, seed: u64) -> GuardSet {
    let mut guards = GuardSet::new();
    guards.refresh(finder, &[], &mut rng(seed));
    guards
}

fn vanguards(finder: &PathFinder<'_>, avoid: &[NodeId], seed: u64) -> VanguardSet {
    let mut vanguards = VanguardSet::new();
    vanguards.refresh(finder, avoid, &mut rng(seed));
    vanguards
}

/// What must hold of every path, however far the rules gave way.
fn check_pair(pair: &PathPair, guard: NodeId, target: NodeId) {
    let (out, back) = (nodes(&pair.out), nodes(&pair.back));
    assert_eq!((out.first(), out.last()), (Some(&guard), Some(&target)));
    assert_eq!(back.last(), Some(&guard));
    for path in [&out, &back] {
        assert_eq!(
            path.iter().collect::<BTreeSet<_>>().len(),
            path.len(),
            "no relay twice"
        );
        assert!(path.len() <= 4);
    }
    assert!(guard == target || !back.contains(&target));
}

#[test]
fn a_request_goes_over_three_relays_and_back_over_two() {
    let directory = network(30);
    let pair = finder(&directory)
        .request_path(node(0), node(1), &swarm(1..4), &mut rng(1))
        .unwrap();
    check_pair(&pair, node(0), node(1));
    assert_eq!((pair.out.len(), pair.back.len()), (3, 2));
    assert_eq!(pair.relaxed, Relaxation::Strict);
}

#[test]
fn ones_own_mailbox_is_reached_by_way_of_a_vanguard() {
    let directory = network(30);
    let finder = finder(&directory);
    let vanguards = vanguards(&finder, &[node(0)], 1);
    let kept: BTreeSet<_> = vanguards.nodes().collect();
    assert_eq!(kept.len(), 4);
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let pair = finder
            .own_mailbox_path(node(0), &vanguards, node(1), &swarm(1..4), &mut rng(seed))
            .unwrap();
        check_pair(&pair, node(0), node(1));
        let (out, back) = (nodes(&pair.out), nodes(&pair.back));
        assert_eq!((out.len(), back.len()), (4, 3));
        assert!(kept.contains(&out[1]), "guard → vanguard → fresh → member");
        assert!(kept.contains(&back[1]), "fresh → vanguard → guard");
        seen.extend([out[1], back[1]]);
        let (stock, relaxed) = finder
            .own_reply_path(node(0), &vanguards, node(1), &swarm(1..4), &mut rng(seed))
            .unwrap();
        assert_eq!((stock.len(), relaxed), (3, Relaxation::Strict));
        assert!(kept.contains(&stock.nodes()[1]));
    }
    let usable: BTreeSet<_> = kept
        .into_iter()
        .filter(|node| !swarm(1..4).contains(node))
        .collect();
    assert_eq!(seen, usable, "all vanguards outside the swarm are used");
}

#[test]
fn one_operator_or_subnet_is_on_a_path_once() {
    let relays = (0..40).map(|index| {
        let mut info = info(index);
        match index % 4 {
            0 => info.operator = "big operator".into(),
            1 => info.urls = vec![RelayUrl::parse("wss://192.0.2.9/v1").unwrap()],
            _ => {}
        }
        relay_with(index, &info, NOW)
    });
    let directory = Directory::from_iter(relays);
    let finder = finder(&directory);
    for seed in 0..300 {
        let pair = finder
            .request_path(node(0), node(1), &[], &mut rng(seed))
            .unwrap();
        let between = pair.out.nodes()[1];
        let index = (2..40).find(|index| node(*index) == between).unwrap();
        assert!(
            index % 4 >= 2,
            "relay {index} has the guard's operator or the target's subnet"
        );
    }
    let related = finder
        .request_path(node(0), node(4), &[], &mut rng(1))
        .unwrap_err();
    assert_eq!(related, PathError::Related);
    let related = finder
        .request_path(node(5), node(1), &[], &mut rng(1))
        .unwrap_err();
    assert_eq!(related, PathError::Related);
}

#[test]
fn relays_that_name_no_operator_are_as_good_as_others() {
    let relays = (0..20).map(|index| {
        let mut info = info(index);
        if index < 8 {
            info.operator.clear();
        }
        relay_with(index, &info, NOW)
    });
    let directory = Directory::from_iter(relays);
    let finder = finder(&directory);
    let mut fresh = BTreeSet::new();
    assert_eq!(finder.privacy().independent, 20);
    for seed in 0..100 {
        let pair = finder
            .request_path(node(0), node(9), &[], &mut rng(seed))
            .unwrap();
        assert_eq!(pair.relaxed, Relaxation::Strict);
        fresh.insert(pair.out.nodes()[1]);
    }
    assert_eq!(fresh.len(), 18, "any but guard and target");
    assert!(
        finder
            .request_path(node(0), node(1), &[], &mut rng(1))
            .is_ok()
    );
}

#[test]
fn a_small_network_without_operators_works() {
    let relays = (0..5).map(|index| {
        let mut info = info(index);
        info.operator.clear();
        relay_with(index, &info, NOW)
    });
    let directory = Directory::from_iter(relays);
    let pair = finder(&directory)
        .request_path(node(0), node(1), &[], &mut rng(1))
        .unwrap();
    assert_eq!(pair.relaxed, Relaxation::Strict);
    assert_eq!(pair.out.nodes().len(), 3);
}

#[test]
fn relays_are_counted_once_until_they_are_others() {
    let census = Census::default();
    let independent = |directory: &Directory, loopback, now| {
        let (rules, health) = (PathRules::default(), RelayHealth::new());
        let rules = PathRules {
            allow_loopback: loopback,
            ..rules
        };
        let finder = PathFinder::counted(directory, rules, &health, &census, now);
        finder.privacy().independent
    };
    let mut directory = network(15);
    for _ in 0..3 {
        assert_eq!(independent(&directory, false, NOW), 15);
    }
    assert_eq!(census.taken(), 1);
    directory.insert(relay(15));
    assert_eq!(
        (independent(&directory, false, NOW), census.taken()),
        (16, 2)
    );
    // One says something else of itself.
    let mut kin = info(15);
    kin.operator = info(14).operator;
    let soon = NOW + Duration::from_secs(1);
    directory.insert(relay_with(15, &kin, soon));
    assert_eq!(
        (independent(&directory, false, soon), census.taken()),
        (15, 3)
    );
    assert_eq!(
        (independent(&directory, false, soon), census.taken()),
        (15, 3)
    );
    independent(&directory, true, soon);
    assert_eq!(census.taken(), 4, "other rules");
    // Keys run out.
    let late = NOW + Duration::from_days(3);
    assert_eq!(
        (independent(&directory, true, late), census.taken()),
        (0, 5)
    );
}

#[test]
fn one_machine_with_many_names_is_one_network() {
    let relays = (0..20).map(|index| {
        let mut info = info(index);
        let url = format!("wss://r{index}.mallory.example/v1");
        info.urls = vec![RelayUrl::parse(&url).unwrap()];
        relay_with(index, &info, NOW)
    });
    let directory = Directory::from_iter(relays);
    assert_eq!(finder(&directory).privacy().independent, 1);
}

#[test]
fn a_relay_that_lists_the_networks_of_others_hides_none_of_them() {
    let url = |index: u16| info(index).urls.remove(0);
    let relays = (0..16).map(|index| {
        let mut info = info(index);
        if index < 4 {
            // Its first URL, its second to fourth, and its operator are each somebody else's.
            info.urls = (0..4).map(|n| url(4 + 3 * index + n % 3)).collect();
            info.operator = format!("operator {}", 15 - index);
        }
        relay_with(index, &info, NOW)
    });
    let directory = Directory::from_iter(relays);
    let finder = finder(&directory);
    assert_eq!(finder.privacy().independent, 12);
    // As a target, it can claim to be kin of two of three guards: a third is left.
    let unrelated = |guard: u16| {
        let path = finder.request_path(node(guard), node(0), &[], &mut rng(1));
        path.is_ok()
    };
    let refused = (4..16).filter(|guard| !unrelated(*guard)).count();
    assert_eq!(refused, 2);
}

#[test]
fn in_a_large_network_nothing_gives_way() {
    let directory = network(12);
    let finder = finder(&directory);
    let path = |guard, target, swarm: &[NodeId]| {
        finder
            .request_path(node(guard), node(target), swarm, &mut rng(1))
            .map(|_| ())
    };
    assert_eq!(path(0, 1, &swarm(1..4)), Ok(()));
    assert_eq!(path(0, 1, &swarm(0..3)), Err(PathError::GuardInSwarm));
    assert_eq!(path(0, 0, &[]), Err(PathError::TargetIsGuard));
    assert_eq!(path(0, 1, &swarm(1..12)), Err(PathError::TooFewRelays));
    assert_eq!(path(50, 1, &[]), Err(PathError::Unknown(node(50))));
    assert_eq!(path(0, 50, &[]), Err(PathError::Unknown(node(50))));
}

#[test]
fn many_relays_of_one_operator_give_way_in_that_only() {
    let relays = (0..20).map(|index| {
        let mut info = info(index);
        info.operator = "one company".into();
        relay_with(index, &info, NOW)
    });
    let directory = Directory::from_iter(relays);
    let finder = finder(&directory);
    let pair = finder
        .request_path(node(0), node(1), &swarm(1..4), &mut rng(1))
        .unwrap();
    assert_eq!(pair.relaxed, Relaxation::SameOperator);
    let error = finder
        .request_path(node(0), node(1), &swarm(0..3), &mut rng(1))
        .unwrap_err();
    assert_eq!(error, PathError::GuardInSwarm);
    let privacy = finder.privacy();
    assert_eq!((privacy.relays, privacy.independent), (20, 1));
    assert_eq!(privacy.worst, Relaxation::SameSubnet);
}

#[test]
fn five_relays_and_a_swarm_of_three_give_three_distinct_relays() {
    let directory = network(5);
    let finder = finder(&directory);
    let members = swarm(2..5);
    for seed in 0..50 {
        let pair = finder
            .request_path(node(0), node(3), &members, &mut rng(seed))
            .unwrap();
        check_pair(&pair, node(0), node(3));
        assert_eq!(
            nodes(&pair.out),
            [node(0), node(1), node(3)],
            "the other outsider is between"
        );
        assert_eq!(pair.relaxed, Relaxation::Strict);
        let own = vanguards(&finder, &[node(0)], seed);
        let pair = finder
            .own_mailbox_path(node(0), &own, node(3), &members, &mut rng(seed))
            .unwrap();
        check_pair(&pair, node(0), node(3));
        assert_eq!((pair.out.len(), pair.relaxed), (4, Relaxation::SwarmOnPath));
        let pair = finder
            .request_path(node(2), node(3), &members, &mut rng(seed))
            .unwrap();
        check_pair(&pair, node(2), node(3));
        assert_eq!(
            (pair.out.len(), pair.relaxed),
            (3, Relaxation::GuardInSwarm)
        );
    }
}

#[test]
fn the_smallest_networks() {
    let expected = [
        (1, 0, Relaxation::OneHop, 1, 1),
        (2, 1, Relaxation::TwoHops, 2, 1),
        (3, 1, Relaxation::GuardInSwarm, 3, 2),
        (3, 0, Relaxation::OneHop, 1, 1),
    ];
    for (relays, target, relaxed, out, back) in expected {
        let directory = network(relays);
        let finder = finder(&directory);
        let vanguards = vanguards(&finder, &[], 1);
        let members = swarm(0..relays);
        let pair = finder
            .own_mailbox_path(node(0), &vanguards, node(target), &members, &mut rng(1))
            .unwrap();
        check_pair(&pair, node(0), node(target));
        assert_eq!(
            (pair.relaxed, pair.out.len(), pair.back.len()),
            (relaxed, out, back)
        );
    }
}

#[test]
fn what_is_lost_is_said() {
    let worst = |relays| {
        let directory = network(relays);
        let privacy = finder(&directory).privacy();
        assert_eq!(privacy.warning().is_some(), relays < 12);
        (privacy.worst, privacy.hops)
    };
    assert_eq!(worst(0), (Relaxation::OneHop, 0));
    assert_eq!(worst(1), (Relaxation::OneHop, 1));
    assert_eq!(worst(2), (Relaxation::TwoHops, 2));
    assert_eq!(worst(5), (Relaxation::GuardInSwarm, 3));
    assert_eq!(worst(12), (Relaxation::Strict, 3));
    let said: Vec<_> = Relaxation::ALL
        .iter()
        .map(|step| step.warning().is_some())
        .collect();
    assert_eq!(said, [false, true, true, true, true, true, true, true]);
}

#[test]
fn relays_on_this_machine_are_distinct_in_development_only() {
    let relays = (0..12).map(|index| {
        let mut info = info(index);
        info.urls = vec![RelayUrl::parse(&format!("ws://127.0.0.1:{}/v1", 9001 + index)).unwrap()];
        relay_with(index, &info, NOW)
    });
    let directory = Directory::from_iter(relays);
    let rules = PathRules {
        allow_loopback: true,
        ..PathRules::default()
    };
    let health = RelayHealth::new();
    let development = PathFinder::new(&directory, rules, &health, NOW);
    let pair = development
        .request_path(node(0), node(1), &[], &mut rng(1))
        .unwrap();
    assert_eq!(pair.relaxed, Relaxation::Strict);
    assert_eq!(guards(&development, 1).nodes().count(), 3);
    let open = finder(&directory);
    let pair = open
        .request_path(node(0), node(1), &[], &mut rng(1))
        .unwrap();
    assert_eq!(pair.relaxed, Relaxation::SameSubnet);
    assert_eq!(guards(&open, 1).nodes().count(), 0, "no guard without TLS");
}

#[test]
fn an_old_directory_gives_no_path() {
    let directory = network(12);
    let later = NOW + EPOCH_LENGTH * 2 - Duration::from_ms(1);
    let stale = finder_at(&directory, later);
    assert_eq!(stale.privacy().relays, 0);
    let error = stale
        .request_path(node(0), node(1), &[], &mut rng(1))
        .unwrap_err();
    assert_eq!(error, PathError::Unknown(node(0)));
}

#[test]
fn capacity_and_failures_decide_how_often_a_relay_is_drawn() {
    let relays = (0..14).map(|index| {
        let mut info = info(index);
        info.max_connections = [1_000, 3_000, u64::MAX][usize::from(index % 3)];
        relay_with(index, &info, NOW)
    });
    let directory = Directory::from_iter(relays);
    let mut health = RelayHealth::new();
    health.note_failure(node(2), NOW);
    let finder = PathFinder::new(&directory, PathRules::default(), &health, NOW);
    let mut drawn: BTreeMap<NodeId, f64> = BTreeMap::new();
    let mut rng = rng(1);
    for _ in 0..20_000 {
        let pair = finder
            .request_path(node(12), node(13), &[], &mut rng)
            .unwrap();
        *drawn.entry(pair.out.nodes()[1]).or_default() += 1.0;
    }
    let times = |index| drawn.get(&node(index)).copied().unwrap_or_default();
    let near = |ratio: f64, expected: f64| (ratio / expected - 1.0).abs() < 0.2;
    assert!(
        near(times(1) / times(0), 3.0),
        "{} against {}",
        times(1),
        times(0)
    );
    assert!(
        near(times(5) / times(0), 10.0),
        "what a relay claims counts up to a bound"
    );
    assert!(
        near(times(2) / times(5), 0.41),
        "one failure takes more than half"
    );
    assert!(near(times(4) / times(1), 1.0) && near(times(8) / times(5), 1.0));
}

/// What became of a packet on its way: whether its reply came, and after which time.
type Fate = (bool, Duration);

/// Requests of one client, one each ten seconds, to relays at random, over paths that pass through relay 11 of 12 or not.
/// Yields its share of places in the middle of paths, by the 20 minutes.
fn shares_of_a_bad_relay(minutes: u64, pass: impl Fn(&mut ChaCha20Rng) -> Fate) -> Vec<f64> {
    let directory = network(12);
    let (mut health, mut rng, bad) = (RelayHealth::new(), rng(7), node(11));
    let mut shares = Vec::new();
    for period in 0..minutes / 20 {
        let (mut places, mut its) = (0, 0);
        for step in 0..120 {
            let now = NOW + Duration::from_mins(20 * period) + Duration::from_secs(10 * step);
            let finder = PathFinder::new(&directory, PathRules::default(), &health, now);
            let target = node(rng.random_range(1..11));
            let Ok(pair) = finder.request_path(node(0), target, &[], &mut rng) else {
                continue;
            };
            let (mut arrives, mut took) = (true, Duration::from_ms(200));
            let behind = nodes(&pair.out).into_iter().skip(1);
            let behind: Vec<_> = behind.chain(nodes(&pair.back)).collect();
            let behind: Vec<_> = behind.into_iter().filter(|n| *n != node(0)).collect();
            places += behind.len() - 1;
            for _ in behind.iter().filter(|passed| **passed == bad) {
                its += 1;
                let (passes, after) = pass(&mut rng);
                arrives &= passes;
                took = took + after;
            }
            for relay in behind.into_iter().collect::<BTreeSet<_>>() {
                match arrives {
                    true => health.note_success(relay, took, now),
                    false => health.note_failure(relay, now),
                }
            }
        }
        shares.push(f64::from(its) / places as f64);
    }
    shares
}

/// Its share once it has been noticed, beside that of a relay that does no harm: at most a third, and not nothing.
fn assert_found_and_avoided(pass: impl Fn(&mut ChaCha20Rng) -> Fate) {
    let mean = |shares: &[f64]| shares.iter().sum::<f64>() / shares.len() as f64;
    let (its, fair) = (
        shares_of_a_bad_relay(120, pass),
        shares_of_a_bad_relay(120, |_| (true, Duration::ZERO)),
    );
    let ratio = mean(&its[1..]) / mean(&fair[1..]);
    assert!(ratio < 1.0 / 3.0, "{its:?} {fair:?}");
    assert!(ratio > 0.0, "it is tried again");
}

#[test]
fn a_relay_that_drops_half_of_its_packets_is_found_and_avoided_and_not_for_ever() {
    assert_found_and_avoided(|rng| (rng.random_bool(0.5), Duration::ZERO));
}

#[test]
fn a_relay_that_delays_packets_is_found_and_avoided_and_not_for_ever() {
    assert_found_and_avoided(|_| (true, Duration::from_secs(2)));
}

#[test]
fn a_relay_that_does_no_harm_has_its_fair_share() {
    let shares = shares_of_a_bad_relay(60, |_| (true, Duration::ZERO));
    assert!(shares.iter().all(|share| *share > 0.06), "{shares:?}");
}

#[test]
fn suspects_are_drawn_only_where_nothing_else_fits() {
    let directory = network(14);
    let suspects = swarm(2..13);
    let finder = finder(&directory).avoiding(&suspects);
    for seed in 0..50 {
        let pair = finder
            .request_path(node(0), node(1), &[], &mut rng(seed))
            .unwrap();
        assert_eq!(pair.out.nodes()[1], node(13));
    }
    let all = swarm(2..14);
    let finder = finder.avoiding(&all);
    let pair = finder
        .request_path(node(0), node(1), &[], &mut rng(1))
        .unwrap();
    assert_eq!(
        pair.relaxed,
        Relaxation::Strict,
        "suspicion is no reason to relax a rule"
    );
}

/// Nine relays, six of them the swarm: of the others one is the guard and one is dead.
#[test]
fn one_dead_relay_does_not_cut_a_small_network_off_from_its_mailbox() {
    let directory = network(9);
    let (guard, dead, members) = (node(0), node(8), swarm(1..7));
    let clear: Vec<_> = (0..9).filter(|index| *index != 7).map(node).collect();
    let vanguards = vanguards(&finder(&directory), &clear, 1);
    assert!(vanguards.nodes().any(|kept| kept == node(7)));
    let well = finder(&directory);
    let finder = finder(&directory).avoiding(&[dead]);
    for seed in 0..50 {
        let (mut rng, member) = (rng(seed), members[0]);
        let strict = well.own_mailbox_path(guard, &vanguards, member, &members, &mut rng);
        assert_eq!(strict.unwrap().relaxed, Relaxation::Strict);
        let pair = finder.own_mailbox_path(guard, &vanguards, member, &members, &mut rng);
        let pair = pair.unwrap();
        check_pair(&pair, guard, member);
        let stock = finder.own_reply_path(guard, &vanguards, member, &members, &mut rng);
        let (stock, relaxed) = stock.unwrap();
        for path in [&pair.out, &pair.back, &stock] {
            assert!(!path.nodes().contains(&dead));
            let mut kept = vanguards.nodes();
            assert!(kept.any(|kept| path.nodes().contains(&kept)), "a vanguard");
        }
        assert_eq!([pair.relaxed, relaxed], [Relaxation::SwarmOnPath; 2]);
        assert_eq!((pair.out.len(), pair.back.len(), stock.len()), (4, 3, 3));
    }
    let all = swarm(1..9);
    let pair = finder
        .avoiding(&all)
        .own_mailbox_path(guard, &vanguards, members[0], &members, &mut rng(1))
        .unwrap();
    assert_eq!(pair.relaxed, Relaxation::Strict, "relaxing would not help");
}

#[test]
fn guards_are_three_independent_ones_outside_the_mailbox() {
    let relays = (0..40).map(|index| {
        let mut info = info(index);
        info.operator = format!("operator {}", index % 13);
        if index % 2 == 0 {
            info.features = Features::MAILBOX;
        }
        relay_with(index, &info, NOW)
    });
    let directory = Directory::from_iter(relays);
    let finder = finder(&directory);
    let mailbox = swarm(0..6);
    for seed in 0..100 {
        let mut guards = GuardSet::new();
        assert!(guards.refresh(&finder, &mailbox, &mut rng(seed)));
        let kept: Vec<_> = guards.nodes().collect();
        assert_eq!(kept.len(), 3);
        let operators: BTreeSet<_> = kept
            .iter()
            .map(|node| &directory.get(node).unwrap().info().operator)
            .collect();
        assert_eq!(operators.len(), 3);
        let features = |node| directory.get(node).unwrap().info().features;
        assert!(kept.iter().all(|node| features(node).has(Features::GUARD)));
        assert!(kept.iter().all(|node| !mailbox.contains(node)));
        assert_eq!(guards.in_use(&finder), Some(kept[0]));
        assert_eq!(guards.in_use_for(&finder, &kept[..1]), Some(kept[1]));
        assert_eq!(guards.in_use_for(&finder, &kept), None);
    }
}

#[test]
fn guards_stay_for_sixty_days_and_then_go() {
    let directory = network(20);
    let mut guards = guards(&finder(&directory), 1);
    let first: Vec<_> = guards.nodes().collect();
    let at = |now| Directory::from_iter((0..20).map(|index| relay_with(index, &info(index), now)));
    for days in [1, 30, 59] {
        let now = NOW + Duration::from_days(days);
        assert!(!guards.refresh(&finder_at(&at(now), now), &[], &mut rng(days)));
    }
    let now = NOW + GUARD_LIFETIME;
    assert!(guards.refresh(&finder_at(&at(now), now), &[], &mut rng(9)));
    assert_eq!(guards.nodes().count(), 3);
    assert_ne!(guards.nodes().collect::<Vec<_>>(), first);
}

#[test]
fn a_guard_that_fails_is_replaced_for_the_time_being_and_tried_again() {
    let directory = network(20);
    let (now, guarded) = (NOW, finder(&directory));
    let mut guards = guards(&guarded, 1);
    let kept: Vec<_> = guards.nodes().collect();
    guards.note_failure(kept[0], now);
    assert_eq!(guards.in_use(&guarded), Some(kept[1]));
    assert!(
        guards.refresh(&guarded, &[], &mut rng(2)),
        "three that work are wanted"
    );
    assert_eq!(
        guards.nodes().take(3).collect::<Vec<_>>(),
        kept,
        "the old ones stay first"
    );
    let later = finder_at(&directory, now + Duration::from_secs(30));
    assert_eq!(guards.in_use(&later), Some(kept[0]), "back after 30 s");
    guards.note_failure(kept[0], now + Duration::from_secs(30));
    let later = finder_at(&directory, now + Duration::from_secs(89));
    assert_eq!(guards.in_use(&later), Some(kept[1]), "then after 60 s more");
    guards.note_success(kept[0]);
    assert_eq!(guards.in_use(&later), Some(kept[0]));
}

#[test]
fn a_client_without_network_does_not_run_through_all_guards() {
    let directory = network(20);
    let finder = finder(&directory);
    let mut guards = GuardSet::new();
    for seed in 0..100 {
        guards.refresh(&finder, &[], &mut rng(seed));
        let node = guards.in_use(&finder).unwrap();
        guards.note_failure(node, NOW);
    }
    assert_eq!(guards.nodes().count(), 6);
    let first = guards.in_use(&finder_at(&directory, NOW + Duration::from_hours(1)));
    assert_eq!(
        first,
        guards.nodes().next(),
        "an hour later the first comes first again"
    );
}

#[test]
fn guards_that_left_the_directory_make_room() {
    let directory = network(20);
    let mut guards = guards(&finder(&directory), 1);
    let gone: Vec<_> = guards.nodes().collect();
    let rest: Directory = directory
        .iter()
        .filter(|relay| !gone.contains(&relay.node()))
        .cloned()
        .collect();
    let finder = finder(&rest);
    assert_eq!(guards.in_use(&finder), None);
    assert!(guards.refresh(&finder, &[], &mut rng(2)));
    assert!(
        guards
            .in_use(&finder)
            .is_some_and(|node| !gone.contains(&node))
    );
    assert_eq!(guards.nodes().count(), 6, "they may come back");
    let fresh: Vec<_> = guards.nodes().skip(3).collect();
    guards.note_failure(fresh[0], NOW);
    assert!(guards.refresh(&finder, &[], &mut rng(3)));
    assert_eq!(guards.nodes().count(), 6);
}

#[test]
fn a_small_network_has_one_guard() {
    for relays in [1, 2, 5, 11] {
        let directory = network(relays);
        let guards = guards(&finder(&directory), 1);
        assert_eq!(guards.nodes().count(), 1, "of {relays}");
    }
    let directory = network(2);
    let finder = finder(&directory);
    let mut guards = GuardSet::new();
    guards.refresh(&finder, &swarm(0..2), &mut rng(1));
    assert_eq!(
        guards.nodes().count(),
        1,
        "even if every relay holds the mailbox"
    );
}

#[test]
fn vanguards_are_four_that_are_no_guards_and_live_the_longer_of_two_draws() {
    let directory = network(30);
    let finder = finder(&directory);
    let avoid = swarm(0..6);
    let (mut lifetimes, day) = (Vec::new(), Duration::from_days(1).as_ms() as f64);
    for seed in 0..400 {
        let vanguards = vanguards(&finder, &avoid, seed);
        assert_eq!(vanguards.nodes().collect::<BTreeSet<_>>().len(), 4);
        assert!(vanguards.nodes().all(|node| !avoid.contains(&node)));
        lifetimes.extend(
            vanguards
                .lifetimes(NOW)
                .map(|life| life.as_ms() as f64 / day),
        );
    }
    let (least, most) = VANGUARD_LIFETIMES;
    let bounds = least.as_ms() as f64 / day..=most.as_ms() as f64 / day;
    assert!(lifetimes.iter().all(|life| bounds.contains(life)));
    let mean = lifetimes.iter().sum::<f64>() / lifetimes.len() as f64;
    assert!(
        (mean - 15.0).abs() < 0.5,
        "1 + 21·2/3 days expected, {mean} seen"
    );
}

#[test]
fn vanguards_stay_until_their_time_is_over_or_they_are_gone() {
    let directory = network(30);
    let mut vanguards = vanguards(&finder(&directory), &[], 1);
    let kept: Vec<_> = vanguards.nodes().collect();
    assert!(!vanguards.refresh(&finder(&directory), &[], &mut rng(2)));
    let rest: Directory = directory
        .iter()
        .filter(|relay| relay.node() != kept[0])
        .cloned()
        .collect();
    assert!(vanguards.refresh(&finder(&rest), &[], &mut rng(3)));
    assert_eq!(vanguards.nodes().take(3).collect::<Vec<_>>(), kept[1..]);
    let now = NOW + Duration::from_days(23);
    let later = Directory::from_iter((0..30).map(|index| relay_with(index, &info(index), now)));
    let before: BTreeSet<_> = vanguards.nodes().collect();
    assert!(vanguards.refresh(&finder_at(&later, now), &[], &mut rng(4)));
    assert_ne!(vanguards.nodes().collect::<BTreeSet<_>>(), before);
}

#[test]
fn vanguards_that_the_own_swarm_takes_give_way_where_there_are_others() {
    let directory = network(12);
    let finder = finder(&directory);
    let mut vanguards = vanguards(&finder, &[], 1);
    let mut taken: Vec<_> = vanguards.nodes().collect();
    // Three of twelve are left: the fourth stays as it is.
    let others = swarm(0..12)
        .into_iter()
        .filter(|node| !taken.contains(node));
    let others: Vec<_> = others.collect();
    taken.extend(&others[3..]);
    assert!(vanguards.refresh(&finder, &taken, &mut rng(2)));
    let clear = vanguards.nodes().filter(|node| !taken.contains(node));
    assert_eq!(clear.count(), 3);
    assert_eq!(vanguards.nodes().count(), 4);
    let settled: Vec<_> = vanguards.nodes().collect();
    assert!(!vanguards.refresh(&finder, &taken, &mut rng(3)));
    assert!(vanguards.nodes().eq(settled));
}

#[test]
fn records_survive_and_others_are_refused() {
    let directory = network(20);
    let finder = finder(&directory);
    let (mut guards, vanguards) = (guards(&finder, 1), vanguards(&finder, &[], 1));
    let first = guards.nodes().next().unwrap();
    guards.note_failure(first, NOW);
    assert_eq!(GuardSet::decode(&guards.encode()).unwrap(), guards);
    assert_eq!(VanguardSet::decode(&vanguards.encode()).unwrap(), vanguards);
    let mut later = guards.encode();
    assert_eq!(later[..3], [0xa2, 0, 1]);
    later[2] = 2;
    assert_eq!(GuardSet::decode(&later).unwrap_err(), CodecError::Malformed);
    for length in 0..later.len() {
        assert!(GuardSet::decode(&guards.encode()[..length]).is_err());
    }
}

proptest! {
    #[test]
    fn every_network_has_a_path_that_keeps_the_rules_it_can(
        relays in 2u16..40,
        guard in 0u16..40,
        target in 0u16..40,
        members in prop::collection::btree_set(0u16..40, 0..6),
        own: bool,
        seed: u64,
    ) {
        let directory = network(relays);
        let finder = finder(&directory);
        let (guard, target) = (node(guard % relays), node(target % relays));
        let members: Vec<_> = members.into_iter().map(|index| node(index % relays)).collect();
        let vanguards = vanguards(&finder, &[guard], seed);
        let pair = match own {
            true => finder.own_mailbox_path(guard, &vanguards, target, &members, &mut rng(seed)),
            false => finder.request_path(guard, target, &members, &mut rng(seed)),
        };
        match pair {
            Ok(pair) => {
                check_pair(&pair, guard, target);
                prop_assert!(relays < 12 || pair.relaxed == Relaxation::Strict);
                if pair.relaxed < Relaxation::GuardInSwarm {
                    prop_assert!(!members.contains(&guard));
                }
                if pair.relaxed < Relaxation::SwarmOnPath {
                    let (out, back) = (nodes(&pair.out), nodes(&pair.back));
                    let between = out.iter().skip(1).rev().skip(1).chain(back.iter().rev().skip(1));
                    prop_assert!(between.into_iter().all(|node| !members.contains(node)));
                }
                prop_assert_eq!(pair.out.len() >= 3, relays >= 3 && guard != target);
            }
            Err(PathError::TargetIsGuard) => prop_assert!(relays >= 12 && guard == target),
            Err(PathError::GuardInSwarm) => prop_assert!(relays >= 12 && members.contains(&guard)),
            Err(error) => prop_assert!(relays >= 12 && own, "{}", error),
        }
    }
}
