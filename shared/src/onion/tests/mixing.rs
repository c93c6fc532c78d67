//! Delays on paths, and the way of packets that a client sends to itself.

use std::collections::BTreeSet;

use super::support::{NOW, info, node, relay, relay_with};
use crate::id::NodeId;
use crate::onion::path::{PathError, PathFinder, PathRules};
use crate::onion::{Directory, MixMode, RelayHealth, VanguardSet};
use crate::test_support::rng;
use crate::time::Duration;

fn network(count: u16) -> Directory {
    (0..count).map(relay).collect()
}

fn finder(directory: &Directory, mixing: MixMode) -> PathFinder<'_> {
    let rules = PathRules {
        mixing,
        ..PathRules::default()
    };
    PathFinder::new(directory, rules, &RelayHealth::new(), NOW)
}

fn looped(finder: &PathFinder<'_>, seed: u64) -> Result<Vec<NodeId>, PathError> {
    let none = VanguardSet::new();
    Ok(finder.loop_path(node(0), &none, &mut rng(seed))?.nodes())
}

#[test]
fn every_relay_that_passes_a_packet_on_holds_it_for_a_time_of_its_own() {
    let directory = network(14);
    let finder = finder(&directory, MixMode::Strong);
    let mut drawn = BTreeSet::new();
    for seed in 0..100 {
        let pair = finder.request_path(node(0), node(1), &[], &mut rng(seed));
        let pair = pair.unwrap();
        for (route, relays) in [(&pair.out, 3), (&pair.back, 2)] {
            let delays = route.delays();
            assert_eq!(delays.len(), relays);
            assert_eq!(delays.last(), Some(&Duration::ZERO), "it passes nothing on");
            let sum = delays.iter().map(|delay| delay.as_ms()).sum();
            assert_eq!(route.held(), Duration::from_ms(sum));
            drawn.extend(delays[..relays - 1].iter().copied());
        }
    }
    assert!(drawn.len() > 250, "of 300, {} differ", drawn.len());
}

#[test]
fn without_mixing_nothing_is_held() {
    let directory = network(14);
    let finder = finder(&directory, MixMode::Off);
    let pair = finder.request_path(node(0), node(1), &[], &mut rng(1));
    assert_eq!(pair.unwrap().out.held(), Duration::ZERO);
}

#[test]
fn a_loop_leads_from_the_guard_through_two_independent_relays_back_to_it() {
    let relays = (0..30).map(|index| {
        let mut info = info(index);
        info.operator = format!("operator {}", index % 10);
        relay_with(index, &info, NOW)
    });
    let directory = Directory::from_iter(relays);
    let finder = finder(&directory, MixMode::Light);
    let (mut second, mut third) = (BTreeSet::new(), BTreeSet::new());
    for seed in 0..300 {
        let path = looped(&finder, seed).unwrap();
        let [first, a, b, last] = path[..] else {
            panic!("{path:?}");
        };
        assert_eq!((first, last), (node(0), node(0)));
        let operators = [first, a, b].map(|node| &directory.get(&node).unwrap().info().operator);
        let operators: BTreeSet<_> = operators.into_iter().collect();
        assert_eq!(operators.len(), 3);
        second.insert(a);
        third.insert(b);
    }
    assert_eq!((second.len(), third.len()), (27, 27), "any of the others");
}

#[test]
fn half_of_the_loops_leave_and_come_back_by_vanguards_as_ones_own_requests_do() {
    let directory = network(100);
    let finder = finder(&directory, MixMode::Light);
    let mut vanguards = VanguardSet::new();
    vanguards.refresh(&finder, &[node(0)], &mut rng(1));
    let is_one = |relay: &NodeId| vanguards.nodes().any(|node| node == *relay);
    let (mut by_vanguards, mut by_others) = (0, 0);
    for seed in 0..1000 {
        let route = finder.loop_path(node(0), &vanguards, &mut rng(seed));
        let path = route.unwrap().nodes();
        match (is_one(&path[1]), is_one(&path[2])) {
            (true, true) => by_vanguards += 1,
            (false, false) => by_others += 1,
            _ => {}
        }
        assert_ne!(path[1], path[2]);
    }
    assert!((440..560).contains(&by_vanguards), "{by_vanguards}");
    assert!((400..540).contains(&by_others), "{by_others}");
}

#[test]
fn who_mixes_never_has_a_reply_come_from_where_the_request_went() {
    let directory = network(14);
    let (off, on) = (
        finder(&directory, MixMode::Off),
        finder(&directory, MixMode::Light),
    );
    let mut vanguards = VanguardSet::new();
    vanguards.refresh(&on, &[node(0)], &mut rng(1));
    let same = |finder: &PathFinder<'_>| {
        let seeds = 0..300;
        let same = seeds.filter(|seed| {
            let pair = finder.own_mailbox_path(node(0), &vanguards, node(1), &[], &mut rng(*seed));
            let pair = pair.unwrap();
            pair.out.nodes().get(1) == pair.back.nodes().iter().rev().nth(1)
        });
        same.count()
    };
    assert!(same(&off) > 40);
    assert!(same(&on) < 5);
}

#[test]
fn a_loop_avoids_suspects_while_there_are_others() {
    let directory = network(20);
    let suspects: Vec<_> = (1..10).map(node).collect();
    let finder = finder(&directory, MixMode::Light).avoiding(&suspects);
    for seed in 0..100 {
        let path = looped(&finder, seed).unwrap();
        assert!(!path.iter().any(|node| suspects.contains(node)));
    }
}

#[test]
fn loops_in_small_networks_are_shorter_or_none() {
    let lengths = [1, 2, 3].map(|count| {
        let directory = network(count);
        let finder = finder(&directory, MixMode::Strong);
        looped(&finder, 1).map(|path| path.len())
    });
    assert_eq!(lengths, [Err(PathError::TooFewRelays), Ok(3), Ok(4)]);
}
