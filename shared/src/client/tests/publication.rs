//! Publication and lookup as state machines.

use std::collections::BTreeSet;

use super::*;
use crate::client::lookup::{Found, Lookups};
use crate::client::publication::Publication;
use crate::client::records::{PublicationRow, current_version};
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
    };
    let mut publication = Publication::restore(row, NOW);
    publication.set_members(&[node(1)], NOW);
    publication
}

#[test]
fn a_record_is_published_when_a_majority_has_it() {
    let (mut publication, mut rng) = (publication(), rng(1));
    assert!(publication.record_due(NOW));
    let sequence = publication.record_asked(&[node(1), node(2), node(3)], NOW);
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
    assert!(publication.record_asked(&[node(1), node(2), node(3)], NOW) > sequence);
}

#[test]
fn a_minority_is_not_enough() {
    let (mut publication, mut rng) = (publication(), rng(1));
    let sequence = publication.record_asked(&[node(1), node(2), node(3)], NOW);
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
fn a_lookup_waits_for_every_relay_that_was_asked_and_backs_off_when_none_has_a_record() {
    let (mut lookups, mut rng) = (Lookups::default(), rng(1));
    let address = Address::from_bytes([1; 32]);
    lookups.want(address, NOW);
    lookups.want(address, NOW);
    assert_eq!(lookups.due(NOW), [address]);
    lookups.record_asked(&address, 3);
    assert!(lookups.due(NOW).is_empty());
    assert!(matches!(
        lookups.record_answered(&address, None),
        Found::NotYet
    ));
    assert!(matches!(
        lookups.record_answered(&address, None),
        Found::NotYet
    ));
    assert!(matches!(
        lookups.record_answered(&address, None),
        Found::Nothing
    ));
    lookups.failed(&address, None, NOW, &mut rng);
    let next = lookups.next_timeout().unwrap();
    assert!(next > NOW && next <= NOW.saturating_add(Duration::from_secs(2)));
    assert_eq!(lookups.due(next), [address]);
}
