//! Publication and lookup as state machines.

use std::collections::BTreeSet;

use super::*;
use crate::client::discovery::{kept_apart, record_width};
use crate::client::lookup::{Answer, Found, Lookups};
use crate::client::publication::{Publication, TOLD};
use crate::client::records::{PublicationRow, current_version};
use crate::client::view::FailReason;
use crate::id::{Address, NodeId};
use crate::time::Duration;

fn node(number: u8) -> NodeId {
    NodeId::from_bytes([number; 20])
}

fn publication() -> Publication {
    let row = PublicationRow {
        version: current_version(),
        record_sequence: 0,
        record_stored: None,
        relays: None,
    };
    let mut publication = Publication::restore(row, NOW);
    publication.set_members(&[node(1)], NOW);
    publication
}

#[test]
fn a_record_is_published_when_a_majority_has_it() {
    let (mut publication, mut rng) = (publication(), rng(1));
    assert!(publication.record_due(NOW));
    let sequence = publication.record_asked(&[node(1), node(2), node(3)], 3, NOW, &mut rng);
    assert!(!publication.record_due(NOW));
    assert!(!publication.record_answered(sequence, true, NOW, &mut rng));
    assert!(!publication.record_answered(sequence, false, NOW, &mut rng));
    assert!(
        !publication.record_answered(sequence - 1, true, NOW, &mut rng),
        "an answer of another attempt"
    );
    assert!(publication.record_answered(sequence, true, NOW, &mut rng));
    assert!(!publication.record_due(NOW.saturating_add(Duration::from_hours(23))));
    assert!(
        publication.record_due(NOW.saturating_add(Duration::from_hours(24))),
        "renewed daily"
    );
    assert!(publication.record_asked(&[node(1), node(2), node(3)], 3, NOW, &mut rng) > sequence);
}

#[test]
fn a_minority_is_not_enough() {
    let (mut publication, mut rng) = (publication(), rng(1));
    let sequence = publication.record_asked(&[node(1), node(2), node(3)], 3, NOW, &mut rng);
    for stored in [true, false, false] {
        assert!(!publication.record_answered(sequence, stored, NOW, &mut rng));
    }
    assert!(!publication.record_due(NOW));
    assert!(publication.record_due(NOW.saturating_add(Duration::from_secs(2))));
}

#[test]
fn members_are_asked_before_prekeys_are_made_for_them() {
    let (mut publication, free) = (publication(), BTreeSet::new());
    let due = publication.prekeys_due(10, &free, NOW);
    assert_eq!((due.len(), due[0].count), (1, 0));
    publication.prekeys_asked(due[0]);
    assert!(publication.prekeys_due(10, &free, NOW).is_empty());
    publication.prekeys_held(node(1), 3, 10, NOW);
    let due = publication.prekeys_due(10, &free, NOW);
    assert_eq!(due[0].count, 7);
    publication.prekeys_asked(due[0]);
    publication.prekeys_held(node(1), 3, 10, NOW);
    assert!(
        publication.prekeys_due(10, &free, NOW).is_empty(),
        "a member that keeps none is not flooded"
    );
    assert!(
        publication
            .prekeys_due(
                10,
                &BTreeSet::from([node(1)]),
                NOW.saturating_add(Duration::from_days(1))
            )
            .is_empty()
    );
}

#[test]
fn fault_05_members_are_refilled_below_half_a_batch() {
    let free = BTreeSet::new();
    for (held, count) in [(0, 10), (4, 6), (5, 0), (10, 0)] {
        let mut publication = publication();
        let due = publication.prekeys_due(10, &free, NOW);
        publication.prekeys_asked(due[0]);
        publication.prekeys_held(node(1), held, 10, NOW);
        let now = NOW.saturating_add(Duration::from_hours(1));
        let due = publication.prekeys_due(10, &free, now);
        assert_eq!(due[0].count, count, "{held} held");
        let at_once = !publication.prekeys_due(10, &free, NOW).is_empty();
        assert_eq!(at_once, count > 0);
    }
}

#[test]
fn a_lookup_waits_for_every_relay_that_was_asked_and_backs_off_when_none_has_a_record() {
    let (mut lookups, mut rng) = (Lookups::default(), rng(1));
    let address = Address::from_bytes([1; 32]);
    lookups.want(address, NOW);
    lookups.want(address, NOW);
    assert_eq!(lookups.due(NOW), [address]);
    lookups.record_asked(&address, 3);
    assert!(lookups.due(NOW).is_empty());
    for _ in 0..2 {
        let found = lookups.record_answered(&address, Answer::Absent);
        assert!(matches!(found, Found::NotYet));
    }
    let found = lookups.record_answered(&address, Answer::Absent);
    assert!(matches!(found, Found::Absent));
    lookups.failed(&address, None, NOW, &mut rng);
    let next = lookups.next_timeout().unwrap();
    assert!(next > NOW && next <= NOW.saturating_add(Duration::from_secs(2)));
    assert_eq!(lookups.due(next), [address]);
}

#[test]
fn a_record_is_published_again_when_readers_ask_other_relays_and_only_then() {
    let (mut publication, mut rng) = (publication(), rng(1));
    let (near, other) = ([node(1), node(2), node(3)], [node(4), node(1), node(2)]);
    let sequence = publication.record_asked(&near, 3, NOW, &mut rng);
    for _ in 0..3 {
        publication.record_answered(sequence, true, NOW, &mut rng);
    }
    publication.relays_are(&near, NOW);
    assert!(!publication.record_due(NOW));
    // What was published where outlives a restart.
    let mut publication = Publication::restore(publication.row, NOW);
    publication.relays_are(&near, NOW);
    publication.relays_are(&[], NOW);
    assert!(!publication.record_due(NOW));
    publication.relays_are(&other, NOW);
    assert!(publication.record_due(NOW));
}

#[test]
fn a_record_that_the_nearest_do_not_take_may_lie_further_away() {
    let (mut publication, mut rng) = (publication(), rng(1));
    let near = [node(1), node(2), node(3)];
    let sequence = publication.record_asked(&near, 3, NOW, &mut rng);
    for stored in [false, true, false] {
        assert!(!publication.record_answered(sequence, stored, NOW, &mut rng));
    }
    assert_eq!(publication.record_attempts(), 1);
    let sequence = publication.record_asked(&near, 6, NOW, &mut rng);
    let answers = [false, true, false, true, false, false];
    let stored = answers.map(|stored| publication.record_answered(sequence, stored, NOW, &mut rng));
    assert_eq!(stored, [false, false, false, false, false, true]);
}

#[test]
fn the_next_sequence_is_above_whatever_relays_hold_unless_they_would_refuse_it() {
    let (mut publication, mut rng) = (publication(), rng(1));
    let sequence = publication.record_asked(&[node(1)], 1, NOW, &mut rng);
    assert!(sequence >= NOW.floor_to(TOLD).as_ms());
    assert!(sequence < NOW.saturating_add(TOLD).as_ms());
    let held = NOW.saturating_add(Duration::from_hours(22)).as_ms();
    publication.held_elsewhere(held, NOW);
    publication.held_elsewhere(held - 1, NOW);
    publication.held_elsewhere(held + 1, NOW);
    publication.held_elsewhere(u64::MAX, NOW);
    assert_eq!(
        publication.record_asked(&[node(1)], 1, NOW, &mut rng),
        held + 1
    );
}

#[test]
fn on_a_path_to_a_record_none_of_three_relays_serves_and_all_others_may() {
    let relays: Vec<_> = (1..=7).map(node).collect();
    let apart: Vec<_> = kept_apart(&relays).collect();
    assert!(apart.iter().map(|(relay, _)| *relay).eq(relays.clone()));
    for (relay, beside) in &apart {
        assert!(beside.contains(relay) && beside.len() <= 3);
    }
    assert_eq!(apart[0].1, &relays[..3]);
    assert_eq!(apart[6].1, &relays[6..]);
}

#[test]
fn a_record_numbered_by_a_clock_that_was_ahead_is_numbered_anew() {
    let (mut publication, mut rng) = (publication(), rng(1));
    let ahead = NOW.saturating_add(Duration::from_days(30));
    let numbered = publication.record_asked(&[node(1)], 1, ahead, &mut rng);
    assert!(numbered > NOW.saturating_add(Duration::from_days(29)).as_ms());
    let numbered = publication.record_asked(&[node(1)], 1, NOW, &mut rng);
    assert!(numbered < NOW.saturating_add(Duration::from_hours(2)).as_ms());
}

#[test]
fn a_member_whose_answer_was_lost_is_asked_before_others_are_made_for_it() {
    let (mut publication, mut rng) = (publication(), rng(1));
    publication.prekeys_held(node(1), 3, 10, NOW);
    let due = publication.prekeys_due(10, &BTreeSet::new(), NOW);
    let due = match due.is_empty() {
        true => publication.prekeys_due(
            10,
            &BTreeSet::new(),
            NOW.saturating_add(Duration::from_hours(1)),
        ),
        false => due,
    };
    assert_eq!(due[0].count, 7);
    publication.prekeys_asked(due[0]);
    publication.prekeys_failed(node(1), NOW, &mut rng);
    let later = NOW.saturating_add(Duration::from_hours(1));
    let due = publication.prekeys_due(10, &BTreeSet::new(), later);
    assert_eq!((due.len(), due[0].count), (1, 0));
}

#[test]
fn every_attempt_asks_more_relays_up_to_twelve() {
    let widths: Vec<_> = (0..5).map(record_width).collect();
    assert_eq!(widths, [3, 6, 12, 12, 12]);
    assert_eq!(record_width(u32::MAX), 12);
}

#[test]
fn a_relay_that_is_silent_is_no_proof_of_absence() {
    let (mut lookups, mut rng) = (Lookups::default(), rng(1));
    let address = Address::from_bytes([1; 32]);
    lookups.want(address, NOW);
    for _ in 0..5 {
        lookups.record_asked(&address, 2);
        lookups.record_answered(&address, Answer::Absent);
        let found = lookups.record_answered(&address, Answer::Nothing);
        assert!(matches!(found, Found::NoAnswer));
        lookups.failed(&address, None, NOW, &mut rng);
        assert!(!lookups.is_unknown(&address));
    }
}

#[test]
fn a_contact_is_unknown_after_three_searches_and_a_person_can_ask_again_at_once() {
    let (mut lookups, mut rng) = (Lookups::default(), rng(1));
    let address = Address::from_bytes([1; 32]);
    lookups.want(address, NOW);
    for round in 0..3 {
        assert!(!lookups.is_unknown(&address), "after {round}");
        lookups.record_asked(&address, 1);
        let found = lookups.record_answered(&address, Answer::Absent);
        assert!(matches!(found, Found::Absent));
        lookups.failed(&address, Some(FailReason::ContactNotFound), NOW, &mut rng);
    }
    assert!(lookups.is_unknown(&address));
    lookups.want(address, NOW);
    assert!(lookups.due(NOW).is_empty(), "the pause holds");
    lookups.want_now(address, NOW);
    assert_eq!(lookups.due(NOW), [address]);
}
