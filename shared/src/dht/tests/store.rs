//! What is held, and what has to go.

use super::support::{NOW, account_id, contact, node_id};
use crate::dht::store::{Offer, expiry};
use crate::dht::{Facts, Held, LocalStore, RecordId, RecordKind, StoreLimits};
use crate::id::{NodeId, Position, RecordKey};
use crate::time::{Duration, Timestamp};

const LIMITS: StoreLimits = StoreLimits {
    records: 4,
    bytes: 1000,
    per_giver: 3,
    writing: 2,
};

fn store() -> LocalStore {
    LocalStore::new(Position::from_bytes([0; 20]), LIMITS)
}

fn facts(name: u8, sequence: u64) -> Facts {
    Facts {
        id: account_id(name),
        sequence,
        expires: NOW + Duration::from_days(9),
    }
}

fn put(
    store: &mut LocalStore,
    name: u8,
    sequence: u64,
    length: usize,
    giver: u32,
    now: Timestamp,
) -> Result<Vec<RecordId>, Offer> {
    let (facts, giver) = (facts(name, sequence), node_id(giver));
    match store.offer(&facts, length, &giver, false, now) {
        Offer::Write => Ok(store.written(&facts, held(&facts, length, giver, now))),
        refused => Err(refused),
    }
}

fn held(facts: &Facts, length: usize, giver: NodeId, now: Timestamp) -> Held {
    Held {
        sequence: facts.sequence,
        expires: expiry(facts, now),
        length,
        giver,
        proof: None,
        touched: now,
    }
}

#[test]
fn fault_18_a_rollback_is_refused_and_the_same_sequence_changes_nothing() {
    let mut store = store();
    assert_eq!(put(&mut store, 1, 5, 10, 1, NOW), Ok(vec![]));
    assert_eq!(put(&mut store, 1, 4, 10, 1, NOW), Err(Offer::Held(5)));
    assert_eq!(put(&mut store, 1, 5, 10, 2, NOW), Err(Offer::Held(5)));
    assert_eq!(store.get(&account_id(1)).unwrap().giver, node_id(1));
    assert_eq!(put(&mut store, 1, 6, 20, 2, NOW), Ok(vec![]));
    assert_eq!((store.len(), store.bytes()), (1, 20));
}

#[test]
fn fault_20_a_full_store_keeps_what_is_nearest() {
    let mut store = store();
    for name in [0x80, 0x40, 0x20, 0x10] {
        assert_eq!(
            put(&mut store, name, 1, 10, u32::from(name), NOW),
            Ok(vec![])
        );
    }
    assert_eq!(
        put(&mut store, 0xF0, 1, 10, 9, NOW),
        Err(Offer::Full),
        "farther than all"
    );
    assert_eq!(
        put(&mut store, 0x08, 1, 10, 9, NOW),
        Ok(vec![account_id(0x80)])
    );
    assert_eq!(store.len(), 4);
    assert_eq!(
        put(&mut store, 0x04, 1, 985, 9, NOW).unwrap().len(),
        3,
        "bytes count, too"
    );
    assert!(store.bytes() <= LIMITS.bytes && store.get(&account_id(4)).is_some());
}

#[test]
fn fault_20_who_brings_much_has_a_share() {
    let mut store = store();
    for name in 1..=3 {
        assert_eq!(put(&mut store, name, 1, 1, 7, NOW), Ok(vec![]));
    }
    assert_eq!(put(&mut store, 4, 1, 1, 7, NOW), Err(Offer::Full));
    assert_eq!(
        put(&mut store, 3, 2, 1, 7, NOW),
        Ok(vec![]),
        "a newer one of their own"
    );
    assert_eq!(put(&mut store, 4, 1, 1, 8, NOW), Ok(vec![]));
    store.remove(&account_id(1));
    assert_eq!(put(&mut store, 5, 1, 1, 7, NOW), Ok(vec![]));
}

#[test]
fn writes_under_way_are_bounded_and_one_for_a_record() {
    let mut store = store();
    let offer =
        |store: &mut LocalStore, name| store.offer(&facts(name, 1), 1, &node_id(1), false, NOW);
    assert_eq!(offer(&mut store, 1), Offer::Write);
    assert_eq!(offer(&mut store, 1), Offer::Busy);
    assert_eq!(offer(&mut store, 2), Offer::Write);
    assert_eq!(offer(&mut store, 3), Offer::Busy);
    store.not_written(&account_id(1));
    assert_eq!(offer(&mut store, 3), Offer::Write);
    assert!(store.is_empty(), "nothing counts before it is written");
}

#[test]
fn records_expire_by_their_own_date_and_by_their_kind() {
    let mut store = store();
    put(&mut store, 1, 1, 1, 1, NOW).unwrap();
    let relay = Facts {
        id: RecordId {
            kind: RecordKind::Relay,
            key: RecordKey::from_bytes([1; 20]),
        },
        sequence: 1,
        expires: NOW + Duration::from_hours(12),
    };
    let giver = contact(1).node();
    assert_eq!(store.offer(&relay, 1, &giver, false, NOW), Offer::Write);
    store.written(&relay, held(&relay, 1, giver, NOW));
    assert_eq!(store.len(), 2, "one key in two spaces");
    let hour = NOW + Duration::from_hours(1);
    assert!(store.expire(hour - Duration::from_ms(1)).is_empty());
    // Stored again after half an hour: it lives half an hour longer.
    assert_eq!(
        store.offer(&relay, 1, &giver, false, NOW + Duration::from_mins(30)),
        Offer::Held(1)
    );
    assert!(store.expire(hour).is_empty());
    assert_eq!(store.expire(hour + Duration::from_mins(30)), [relay.id]);
    assert_eq!(store.expire(NOW + Duration::from_days(9)), [account_id(1)]);
    assert!(store.is_empty() && store.bytes() == 0);
}

#[test]
fn a_record_falls_due_for_republishing_unless_somebody_stored_it() {
    let mut store = store();
    put(&mut store, 1, 1, 1, 1, NOW).unwrap();
    put(&mut store, 2, 1, 1, 1, NOW).unwrap();
    let (hour, half) = (Duration::from_hours(1), Duration::from_mins(30));
    assert!(store.due(hour, 8, NOW + half).is_empty());
    assert_eq!(put(&mut store, 2, 1, 1, 1, NOW + half), Err(Offer::Held(1)));
    assert_eq!(store.due(hour, 8, NOW + hour), [account_id(1)]);
    assert!(store.due(hour, 8, NOW + hour).is_empty(), "once");
}
