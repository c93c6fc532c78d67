//! How often relays are drawn, and which of a long directory are listed.

use std::collections::BTreeMap;

use super::support::{NOW, info, node, relay, relay_with};
use crate::id::NodeId;
use crate::onion::weight::{CAPACITIES, weights};
use crate::onion::{
    Directory, Party, PathFinder, PathRules, RelayDescriptor, RelayHealth, RelayUrl,
};
use crate::test_support::rng;

fn weights_of(relays: &[RelayDescriptor]) -> Vec<u64> {
    let parties: Vec<_> = relays.iter().map(|relay| Party::of(relay, false)).collect();
    weights(relays.iter().zip(&parties))
}

fn with_capacity(index: u16, most: u64) -> RelayDescriptor {
    let mut info = info(index);
    info.max_connections = most;
    relay_with(index, &info, NOW)
}

/// A relay among those of one network, whoever it says its operator is.
fn neighbour(index: u16) -> RelayDescriptor {
    let mut info = info(index);
    info.urls = vec![RelayUrl::parse(&format!("wss://10.200.0.{}/v1", index % 200)).unwrap()];
    info.max_connections = 1_000_000;
    relay_with(index, &info, NOW)
}

#[test]
fn what_a_relay_says_of_its_size_counts_within_bounds() {
    let (least, most) = CAPACITIES;
    let said = [0, 1, least, 2_500, most, u64::MAX].map(|size| with_capacity(size as u16, size));
    let wanted = [least, least, least, 2_500, most, most];
    assert_eq!(weights_of(&said), wanted);
}

#[test]
fn the_relays_of_one_network_together_weigh_no_more_than_one_can() {
    let relays: Vec<_> = (0..8).map(relay).chain((100..164).map(neighbour)).collect();
    let weights = weights_of(&relays);
    let (honest, neighbours) = weights.split_at(8);
    assert_eq!(honest, [1_000; 8]);
    let together: u64 = neighbours.iter().sum();
    assert!((9_900..=10_000).contains(&together), "{together}");
    // Ten small ones are what one large one is, and lose nothing.
    let small = (1..11).map(|n| {
        let mut info = info(n);
        info.urls = vec![RelayUrl::parse(&format!("wss://relay{n}.example.org/v1")).unwrap()];
        relay_with(n, &info, NOW)
    });
    assert_eq!(weights_of(&small.collect::<Vec<_>>()), [1_000; 10]);
}

#[test]
fn paths_go_through_a_crowded_network_no_oftener_than_through_one_relay() {
    let relays = (0..30).map(|n| with_capacity(n, 10_000));
    let directory: Directory = relays.chain((100..164).map(neighbour)).collect();
    let health = RelayHealth::new();
    let finder = PathFinder::new(&directory, PathRules::default(), &health, NOW);
    let mut crowded = 0;
    const PATHS: u64 = 2_000;
    for seed in 0..PATHS {
        let pair = finder
            .request_path(node(0), node(1), &[], &mut rng(seed))
            .unwrap();
        let middle = pair.out.nodes()[1];
        crowded += u64::from(middle >= node(100));
    }
    // A fair share is one in 29.
    assert!((20..PATHS / 15).contains(&crowded), "{crowded} of {PATHS}");
}

#[test]
fn whoever_draws_the_seed_gets_any_relay_as_likely_as_another() {
    let directory: Directory = (0..60).map(relay).collect();
    let mut seen: BTreeMap<NodeId, u32> = BTreeMap::new();
    for seed in 0..200 {
        let sample = directory.sample(&[seed; 16], 15);
        assert_eq!(sample.len(), 15);
        for relay in sample {
            *seen.entry(relay.node()).or_default() += 1;
        }
    }
    // Each is expected fifty times.
    assert_eq!(seen.len(), 60);
    assert!(
        seen.values().all(|times| (25..80).contains(times)),
        "{seen:?}"
    );
    assert_eq!(directory.sample(&[0; 16], 60).len(), 60);
    // Whoever knows one relay more draws the same ones but for that.
    let other: Directory = (0..61).map(relay).collect();
    let (these, those) = (directory.sample(&[3; 16], 15), other.sample(&[3; 16], 15));
    let common = these.iter().filter(|relay| those.contains(relay)).count();
    assert!(common >= 14, "{common}");
}

#[test]
fn the_digest_of_one_descriptor_is_that_of_a_directory_that_lists_it() {
    let one = relay(3);
    let digest = Directory::digest_of_one(one.bytes());
    assert_eq!(digest, Directory::from_iter([one]).digest());
}
