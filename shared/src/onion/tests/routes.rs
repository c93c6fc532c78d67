//! Which suite a path has: in networks where all relays have all of them, and in mixed ones.

use super::support::{NOW, node, relay_of};
use crate::id::{ConnectionTag, NodeId};
use crate::onion::Relaxation;
use crate::onion::descriptor::RelayDescriptor;
use crate::onion::path::{PathError, PathFinder, PathRules};
use crate::onion::{
    Class, Directory, GuardSet, Layout, RelayHealth, Route, Suite, Suites, VanguardSet,
};
use crate::test_support::rng;
use crate::time::Duration;

use Suite::{Rsa4096, X25519, XWing};

const BOTH: &[Suite] = &[X25519, XWing];
const CLASSICAL: &[Suite] = &[X25519];

/// Relay n offers what stands in place n.
fn network<'a>(relays: impl IntoIterator<Item = &'a [Suite]>) -> Directory {
    let relays = (0..).zip(relays);
    relays.map(|(n, suites)| relay_of(n, suites)).collect()
}

fn finder(directory: &Directory, suites: Suites) -> PathFinder<'_> {
    let rules = PathRules {
        suites,
        ..PathRules::default()
    };
    PathFinder::new(directory, rules, &RelayHealth::new(), NOW)
}

fn preferring(directory: &Directory, best: Suite) -> PathFinder<'_> {
    finder(directory, Suites::preferring(best))
}

fn has(directory: &Directory, node: &NodeId, suite: Suite) -> bool {
    let relay = directory.get(node).expect("a known relay");
    relay.onion_key(suite, NOW).is_some()
}

fn suite_to(finder: &PathFinder<'_>, guard: u16, target: u16) -> Result<Suite, PathError> {
    let pair = finder.request_path(node(guard), node(target), &[], &mut rng(1))?;
    assert_eq!(pair.out.suite(), pair.back.suite());
    Ok(pair.out.suite())
}

#[test]
fn the_preference_decides_where_all_relays_have_all_suites() {
    let directory = network([Suite::ALL.as_slice(); 12]);
    for best in Suite::ALL {
        let finder = preferring(&directory, best);
        assert_eq!(finder.suite(), Some(best));
        assert_eq!(suite_to(&finder, 0, 1), Ok(best));
    }
    let default = finder(&directory, Suites::default());
    assert_eq!(suite_to(&default, 0, 1), Ok(X25519));
}

#[test]
fn every_relay_of_a_path_has_its_suite() {
    let directory = network((0..30).map(|n| if n % 2 == 0 { BOTH } else { CLASSICAL }));
    let finder = preferring(&directory, XWing);
    assert_eq!(finder.suite(), Some(XWing));
    let mut vanguards = VanguardSet::new();
    vanguards.refresh(&finder, &[], &mut rng(1));
    assert!(vanguards.nodes().all(|node| has(&directory, &node, XWing)));
    let mut guards = GuardSet::new();
    guards.refresh(&finder, &[], &mut rng(2));
    assert!(guards.nodes().all(|node| has(&directory, &node, XWing)));
    for seed in 0..100 {
        let rng = &mut rng(seed);
        let pair = finder
            .own_mailbox_path(node(0), &vanguards, node(2), &[], rng)
            .unwrap();
        let stock = finder
            .own_reply_path(node(0), &vanguards, node(2), &[], rng)
            .unwrap();
        for route in [pair.out, pair.back, stock.0] {
            assert_eq!(route.suite(), XWing);
            assert!(route.nodes().iter().all(|n| has(&directory, n, XWing)));
        }
    }
}

#[test]
fn to_a_relay_without_the_preferred_suite_the_next_one_leads() {
    let directory = network((0..30).map(|n| if n < 20 { BOTH } else { CLASSICAL }));
    let finder = preferring(&directory, XWing);
    assert_eq!(suite_to(&finder, 0, 1), Ok(XWing));
    assert_eq!(suite_to(&finder, 0, 25), Ok(X25519));
    assert_eq!(suite_to(&finder, 25, 0), Ok(X25519));
}

#[test]
fn too_few_relays_with_the_preferred_suite_are_no_reason_to_meet_there() {
    let directory = network((0..37).map(|n| if n < 12 { BOTH } else { CLASSICAL }));
    let finder = preferring(&directory, XWing);
    assert_eq!(finder.suite(), Some(X25519));
    assert_eq!(suite_to(&finder, 0, 1), Ok(X25519));
    assert_eq!(finder.privacy().relays, 37);
}

#[test]
fn nobody_is_led_to_the_few_relays_of_a_rare_suite() {
    // All that the target offers is RSA, which two more relays have: its path would lead through them.
    let directory = network((0..30).map(|n| match n {
        0 => [Rsa4096].as_slice(),
        1 | 2 => &Suite::ALL,
        _ => BOTH,
    }));
    let finder = finder(&directory, Suites::default());
    assert_eq!(
        suite_to(&finder, 1, 0),
        Err(PathError::Unknown(node(0))),
        "as if it were not there"
    );
}

#[test]
fn guard_and_target_without_a_common_suite_are_told_apart() {
    let directory = network((0..40).map(|n| if n % 2 == 0 { CLASSICAL } else { &[XWing] }));
    let finder = finder(&directory, Suites::default());
    assert_eq!(suite_to(&finder, 0, 1), Err(PathError::NoCommonSuite));
    assert_eq!(suite_to(&finder, 1, 3), Ok(XWing));
    assert_eq!(suite_to(&finder, 0, 2), Ok(X25519));
}

#[test]
fn what_is_not_listed_is_not_used() {
    let directory = network([CLASSICAL; 12]);
    let finder = finder(&directory, Suites::only(XWing));
    assert_eq!(finder.privacy().relays, 0);
    assert_eq!(suite_to(&finder, 0, 1), Err(PathError::Unknown(node(0))));
}

#[test]
fn a_small_mixed_network_uses_what_most_of_it_has() {
    let nine = |with| network((0..9).map(move |n| if n < with { BOTH } else { CLASSICAL }));
    for (with, suite) in [(9, XWing), (5, XWing), (4, X25519), (0, X25519)] {
        let found = preferring(&nine(with), XWing).suite();
        assert_eq!(found, Some(suite), "{with} of 9");
    }
    let one = network([BOTH]);
    assert_eq!(suite_to(&preferring(&one, XWing), 0, 0), Ok(XWing));
}

#[test]
fn a_hostile_minority_talks_nobody_out_of_the_preferred_suite() {
    for (relays, hostile) in [(12, 1), (12, 5), (30, 14), (40, 26)] {
        let with = |n| if n < hostile { CLASSICAL } else { BOTH };
        let directory = network((0..relays).map(with));
        let finder = preferring(&directory, XWing);
        assert_eq!(finder.suite(), Some(XWing), "{hostile} of {relays}");
        assert_eq!(suite_to(&finder, relays - 1, relays - 2), Ok(XWing));
        assert_eq!(finder.privacy().relays, usize::from(relays - hostile));
    }
}

#[test]
fn the_rules_go_by_the_relays_that_have_the_suite() {
    let directory = network((0..12).map(|n| if n < 5 { CLASSICAL } else { BOTH }));
    let finder = preferring(&directory, XWing);
    assert!(finder.is_small(), "seven relays");
    assert_eq!(finder.privacy().worst, Relaxation::GuardInSwarm);
    let classical = preferring(&directory, X25519);
    assert!(!classical.is_small(), "twelve");
    assert_eq!(classical.privacy().worst, Relaxation::Strict);
    // A swarm of five of the seven leaves none outside it but guard and target.
    let swarm: Vec<_> = (7..12).map(node).collect();
    let pair = finder.request_path(node(5), node(7), &swarm, &mut rng(1));
    let pair = pair.unwrap();
    assert_eq!(
        (pair.out.suite(), pair.relaxed),
        (XWing, Relaxation::Strict)
    );
}

#[test]
fn a_target_that_lacks_the_preferred_suite_loosens_nothing() {
    // X-Wing is the second choice, and eight of fourteen have it: by its own count rules would give way.
    let directory = network((0..14).map(|n| match n {
        0 => [XWing].as_slice(),
        1..8 => BOTH,
        _ => CLASSICAL,
    }));
    let finder = preferring(&directory, X25519);
    assert_eq!(suite_to(&finder, 1, 0), Ok(XWing));
    let swarm = [node(0), node(1)];
    let path = finder.request_path(node(1), node(0), &swarm, &mut rng(1));
    assert_eq!(path.unwrap_err(), PathError::GuardInSwarm);
}

#[test]
fn below_a_floor_there_is_no_path() {
    let rules = PathRules {
        suites: Suites::preferring(XWing),
        floor: Some(XWing),
        ..PathRules::default()
    };
    let with = |relays| network((0..12).map(move |n| if n < relays { BOTH } else { CLASSICAL }));
    let few = with(6);
    let finder = PathFinder::new(&few, rules, &RelayHealth::new(), NOW);
    assert_eq!(finder.suite(), None);
    assert_eq!(suite_to(&finder, 0, 1), Err(PathError::BelowFloor(XWing)));
    let mut guards = GuardSet::new();
    guards.refresh(&finder, &[], &mut rng(1));
    assert_eq!(guards.in_use(&finder), None);
    assert_eq!(finder.privacy().relays, 12);
    let many = with(7);
    let finder = PathFinder::new(&many, rules, &RelayHealth::new(), NOW);
    assert_eq!(suite_to(&finder, 0, 1), Ok(XWing));
    let lacking = suite_to(&finder, 0, 8);
    assert_eq!(
        lacking,
        Err(PathError::Unknown(node(8))),
        "as if it were not there"
    );
}

#[test]
fn a_kept_guard_without_the_suite_waits_for_better_times() {
    let before = (20..30).map(|n| relay_of(n, CLASSICAL)).collect();
    let mut guards = GuardSet::new();
    guards.refresh(&preferring(&before, X25519), &[], &mut rng(7));
    let directory = network((0..30).map(|n| if n < 20 { BOTH } else { CLASSICAL }));
    let classical = preferring(&directory, X25519);
    let kept: Vec<_> = guards.nodes().collect();
    let hybrid = preferring(&directory, XWing);
    guards.refresh(&hybrid, &[], &mut rng(8));
    let in_use = guards.in_use(&hybrid).expect("a guard");
    assert!(has(&directory, &in_use, XWing));
    assert!(kept.iter().all(|node| guards.nodes().any(|n| n == *node)));
    assert_eq!(guards.in_use(&classical), kept.first().copied());
}

#[test]
fn a_route_makes_packets_of_its_suite() {
    let directory = network([Suite::ALL.as_slice(); 3]);
    let relays: Vec<&RelayDescriptor> = directory.iter().collect();
    let delay = Duration::from_ms(250);
    for suite in Suite::ALL {
        let through = relays.iter().map(|relay| (*relay, delay));
        let route = Route::through(through, suite, NOW).unwrap();
        assert_eq!(
            (route.suite(), route.len(), route.is_empty()),
            (suite, 3, false)
        );
        assert_eq!(route.delays(), [delay, delay, Duration::ZERO]);
        let tag = ConnectionTag::from_bytes([1; 16]);
        let (surb, _) = route.surb(tag, NOW, &mut rng(1)).unwrap();
        assert_eq!(surb.encode().len(), Layout::of_suite(suite).surb());
        let packet = route
            .request(Some(&surb), b"request", Class::Bulk, &mut rng(2))
            .unwrap();
        assert_eq!(packet.len(), Layout::of_suite(suite).packet(Class::Bulk));
        assert_eq!(packet[1], suite.number());
    }
}

#[test]
fn a_route_names_the_relay_that_lacks_its_suite() {
    let directory = network([BOTH, CLASSICAL]);
    let relays = directory.iter().map(|relay| (relay, Duration::ZERO));
    let error = Route::through(relays, XWing, NOW).unwrap_err();
    assert_eq!(error, node(1));
}
