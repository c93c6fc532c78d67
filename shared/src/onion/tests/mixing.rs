//! Delays on paths, and the way of packets that a client sends to itself.

use std::collections::BTreeSet;

use super::support::{NOW, info, node, relay, relay_with};
use crate::id::NodeId;
use crate::onion::path::{PathError, PathFinder, PathRules};
use crate::onion::{Directory, MixMode, RelayHealth};
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
    Ok(finder.loop_path(node(0), &mut rng(seed))?.nodes())
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
