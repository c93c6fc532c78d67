//! One lookup as a value.

use std::collections::{BTreeMap, HashSet};

use proptest::prelude::*;

use super::support::{account_id, contact, contact_in, node_id};
use crate::dht::lookup::Breadth;
use crate::dht::{ALPHA, Contact, FoundRecord, Goal, K, Lookup, Outcome, PATHS};
use crate::id::{NodeId, Position};

/// A network in which everybody knows everybody near the target.
struct World {
    target: Position,
    members: Vec<Contact>,
}

impl World {
    fn new(members: impl Iterator<Item = Contact>, target: Position) -> Self {
        let mut members: Vec<_> = members.collect();
        members.sort_by_key(|c| (c.position().to(&target), c.node()));
        Self { target, members }
    }

    fn lookup(&self, goal: Goal, breadth: Breadth, start: Vec<Contact>) -> Lookup {
        Lookup::new(node_id(0), self.target, goal, breadth, start)
    }

    fn nearest(&self) -> &[Contact] {
        &self.members[..self.members.len().min(K)]
    }
}

fn value(sequence: u64) -> Option<FoundRecord> {
    Some(FoundRecord {
        bytes: vec![1],
        sequence,
        proof: None,
    })
}

/// Runs a lookup; `answer` gives contacts and value, or nothing.
fn run(
    mut lookup: Lookup,
    mut answer: impl FnMut(&Contact) -> Option<(Vec<Contact>, Option<FoundRecord>)>,
) -> Outcome {
    let mut waiting: Vec<Contact> = Vec::new();
    let mut asked = HashSet::new();
    loop {
        while let Some(next) = lookup.next() {
            let place = (next.node(), *next.network());
            assert!(asked.insert(place), "nobody is asked twice");
            waiting.push(next);
            assert!(waiting.len() <= ALPHA);
        }
        if lookup.is_done() || waiting.is_empty() {
            assert!(lookup.is_done(), "it gets stuck");
            return lookup.finish();
        }
        let from = waiting.remove(0);
        match answer(&from) {
            Some((contacts, value)) => lookup.answered(&from, &contacts, value),
            None => lookup.failed(&from),
        }
    }
}

#[test]
fn the_k_nearest_are_found_from_a_single_contact() {
    let world = World::new((1..400).map(contact), *contact(7777).position());
    let start = vec![world.members[300].clone()];
    let outcome = run(world.lookup(Goal::Nodes, Breadth::WIDE, start), |_| {
        Some((world.nearest().to_vec(), None))
    });
    // A path stops at its three nearest: of the last of the K some may be left out.
    assert_eq!(outcome.nearest[..16], world.nearest()[..16]);
    assert_eq!((outcome.value, outcome.agreed, outcome.hops), (None, 0, 2));
}

#[test]
fn a_value_is_believed_when_three_paths_have_it_and_the_highest_sequence_wins() {
    let world = World::new((1..100).map(contact), account_id(1).position());
    let holders: BTreeMap<NodeId, u64> = world
        .nearest()
        .iter()
        .enumerate()
        .map(|(i, c)| (c.node(), (i % 3) as u64))
        .collect();
    let start = world.members[60..90].to_vec();
    let lookup = world.lookup(Goal::Value(account_id(1)), Breadth::WIDE, start);
    let outcome = run(lookup, |from| {
        let held = holders.get(&from.node());
        Some((world.nearest().to_vec(), held.and_then(|s| value(*s))))
    });
    assert_eq!(outcome.value.unwrap().sequence, 2);
    assert!(
        outcome.agreed >= 3 && outcome.asked < 15,
        "{} of {}",
        outcome.agreed,
        outcome.asked
    );
    assert!(outcome.outdated.iter().all(|c| holders[&c.node()] < 2));
    assert!(!outcome.outdated.is_empty());
}

#[test]
fn absence_takes_all_paths_and_silence_ends_it() {
    let world = World::new((1..200).map(contact), account_id(1).position());
    let start: Vec<_> = world.members[50..90].to_vec();
    let lookup = world.lookup(Goal::Value(account_id(1)), Breadth::WIDE, start.clone());
    let outcome = run(lookup, |_| Some((world.nearest().to_vec(), None)));
    assert_eq!(outcome.value, None);
    assert!(outcome.nearest.len() == K);
    let lookup = world.lookup(Goal::Value(account_id(1)), Breadth::WIDE, start);
    let outcome = run(lookup, |_| None);
    assert_eq!((outcome.nearest.len(), outcome.value), (0, None));
}

#[test]
fn nobody_known_is_the_end_at_once() {
    let world = World::new(core::iter::empty(), account_id(1).position());
    let mut lookup = world.lookup(Goal::Nodes, Breadth::WIDE, Vec::new());
    assert_eq!(lookup.next(), None);
    assert!(lookup.is_done());
}

#[test]
fn a_liar_spoils_one_path_only() {
    let world = World::new((1..300).map(contact), account_id(1).position());
    // The nearest known one sends everybody who asks it to made-up relays, nearer than all others.
    let mut fakes: Vec<_> = (10_000..60_000).map(contact).collect();
    fakes.sort_by_key(|c| c.position().to(&world.target));
    fakes.truncate(K);
    let start = world.members[25..65].to_vec();
    let liar = start[0].node();
    let lookup = world.lookup(Goal::Value(account_id(1)), Breadth::WIDE, start);
    let holders: HashSet<_> = world.nearest().iter().map(Contact::node).collect();
    let outcome = run(lookup, |from| {
        if from.node() == liar {
            return Some((fakes.clone(), None));
        }
        let is_fake = fakes.iter().any(|fake| fake.node() == from.node());
        let found = holders.contains(&from.node()).then(|| value(1)).flatten();
        (!is_fake).then(|| (world.nearest().to_vec(), found))
    });
    assert!(outcome.agreed >= 3);
}

/// What one says of a relay's place does not keep the relay from being asked where another one says that it is.
#[test]
fn a_liar_does_not_hide_others_by_naming_them() {
    let world = World::new((1..3).map(contact), account_id(1).position());
    let [liar, honest] = [contact(1), contact(2)];
    let (lie, truth) = (contact_in(3, 9999), contact(3));
    let start = vec![liar.clone(), honest.clone()];
    let lookup = world.lookup(Goal::Value(account_id(1)), Breadth::NARROW, start);
    let mut asked = Vec::new();
    let outcome = run(lookup, |from| {
        asked.push(from.clone());
        match from {
            _ if *from == liar => Some((vec![lie.clone()], None)),
            _ if *from == honest => Some((vec![truth.clone()], None)),
            _ if *from == truth => Some((Vec::new(), value(1))),
            _ => None,
        }
    });
    assert!(asked.contains(&lie), "it was believed to be there first");
    assert_eq!(outcome.giver, Some(truth.node()));
    assert!(outcome.nearest.contains(&truth));
}

#[test]
fn one_network_gets_two_places_on_a_path() {
    let world = World::new((1..60).map(contact), account_id(1).position());
    let crowd: Vec<_> = (0..20).map(|n| contact_in(5000 + n, 9999)).collect();
    let lookup = world.lookup(Goal::Nodes, Breadth::NARROW, vec![world.members[9].clone()]);
    let mut asked = 0;
    run(lookup, |from| {
        asked += usize::from(from.node() >= node_id(5000));
        Some((crowd.clone(), None))
    });
    assert!(asked <= 2 * ALPHA, "{asked}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever anybody answers: nobody is asked twice, at most α at a time, and it ends.
    #[test]
    fn a_lookup_always_ends(
        start in proptest::collection::btree_set(1u32..500, 0..60),
        answers in proptest::collection::vec(
            proptest::option::of((proptest::collection::vec(0u32..2000, 0..30), 0u64..4)), 1..64),
    ) {
        let world = World::new(core::iter::empty(), account_id(1).position());
        let start: Vec<_> = start.into_iter().map(contact).collect();
        let mut turn = 0;
        let outcome = run(world.lookup(Goal::Value(account_id(1)), Breadth::WIDE, start), |_| {
            turn += 1;
            let answer = answers[turn % answers.len()].clone();
            answer.map(|(contacts, sequence)| {
                (contacts.into_iter().map(contact).collect(), (sequence > 2).then(|| value(sequence)).flatten())
            })
        });
        prop_assert!(outcome.asked <= PATHS * 32);
        prop_assert!(outcome.nearest.len() <= K);
    }

    /// Among honest relays that know their neighbourhood, the very nearest is always found.
    #[test]
    fn the_nearest_is_found(seed in 0u32..1000, size in 30u32..300, dead in 0usize..8) {
        let members = (1..size).map(|n| contact(n + seed * 1000));
        let world = World::new(members, *contact(seed).position());
        let start = world.members[world.members.len() / 2..].iter().take(2 * K).cloned().collect();
        let dead: HashSet<_> = world.members.iter().skip(1).step_by(3).take(dead).map(Contact::node).collect();
        let outcome = run(world.lookup(Goal::Nodes, Breadth::WIDE, start), |from| {
            (!dead.contains(&from.node())).then(|| (world.nearest().to_vec(), None))
        });
        prop_assert_eq!(&outcome.nearest[0], &world.members[0]);
    }
}
