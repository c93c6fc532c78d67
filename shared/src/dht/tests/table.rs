//! The table: limits, eviction, nearest.

use proptest::prelude::*;

use super::support::{NOW, contact, contact_in, node_id, verified};
use crate::dht::{
    BUCKETS, Contact, Inserted, K, MAX_OF_NETWORK, Table, TableRecordError, decode_table,
};
use crate::id::Position;
use crate::test_support::{hex, unhex};
use crate::time::{Duration, Timestamp};
use crate::wire::codec::to_cbor;

fn table() -> Table {
    let me = contact(0);
    Table::new(me.node(), *me.position())
}

/// Contacts of one bucket, each in a network of its own.
fn of_bucket(bucket: u8) -> impl Iterator<Item = Contact> {
    let own = *contact(0).position();
    let fits = move |c: &Contact| own.to(c.position()).bucket() == bucket;
    (1..).map(contact).filter(fits)
}

fn insert(table: &mut Table, contact: &Contact, now: Timestamp) -> Inserted {
    table.insert(&verified(contact), now)
}

#[test]
fn a_bucket_holds_k_and_the_oldest_is_pinged_before_it_goes() {
    let (mut table, later) = (table(), NOW + Duration::from_hours(1));
    let contacts: Vec<_> = of_bucket(159).take(K + 2).collect();
    for contact in &contacts[..K] {
        assert_eq!(insert(&mut table, contact, NOW), Inserted::New);
    }
    let newcomer = &contacts[K];
    assert_eq!(
        insert(&mut table, newcomer, NOW),
        Inserted::Waits(None),
        "all were just seen"
    );
    let oldest = contacts[0].clone();
    assert_eq!(
        insert(&mut table, newcomer, later),
        Inserted::Waits(Some(oldest.clone()))
    );
    assert_eq!(
        insert(&mut table, &contacts[K + 1], later),
        Inserted::Waits(None),
        "one ping at a time"
    );

    // The oldest answers: it stays, as the one seen last, and the next one is asked.
    assert_eq!(insert(&mut table, &oldest, later), Inserted::Known);
    let next = contacts[1].clone();
    assert_eq!(
        insert(&mut table, newcomer, later),
        Inserted::Waits(Some(next.clone()))
    );
    assert!(!table.contains(newcomer));
    // The next one does not: the newest of those that wait takes its place.
    assert!(table.failed(&next, later));
    assert!(table.contains(newcomer) && !table.contains(&next));
    assert_eq!(table.len(), K);
}

#[test]
fn fault_20_contacts_that_fail_twice_go_even_if_nobody_waits() {
    let mut table = table();
    let contact = contact(1);
    insert(&mut table, &contact, NOW);
    assert!(!table.failed(&contact, NOW));
    assert!(table.contains(&contact));
    insert(&mut table, &contact, NOW);
    assert!(
        !table.failed(&contact, NOW),
        "an answer between them: counted anew"
    );
    assert!(table.failed(&contact, NOW));
    assert!(table.is_empty());
    assert!(
        !table.failed(&contact, NOW),
        "nothing happens to who is not there"
    );
}

#[test]
fn fault_20_two_of_a_network_in_a_bucket_and_no_more() {
    let mut table = table();
    // 256 relays of one /24: they have four positions.
    let results: Vec<_> = (0..256)
        .map(|n| insert(&mut table, &contact_in(1000 + n, 7), NOW))
        .collect();
    let new = results.iter().filter(|r| **r == Inserted::New).count();
    assert_eq!(new, table.len());
    let buckets: std::collections::HashMap<_, usize> =
        table.contacts().fold(Default::default(), |mut counts, c| {
            *counts
                .entry(table.position().to(c.position()).bucket())
                .or_default() += 1;
            counts
        });
    assert!(buckets.values().all(|count| *count <= MAX_OF_NETWORK));
    assert!(new <= 4 * MAX_OF_NETWORK);
}

/// Networks that put the `n`-th relay into a bucket.
fn places(n: u32, bucket: u8) -> impl Iterator<Item = Contact> {
    let own = *contact(0).position();
    let at = (5000..).map(move |net| contact_in(n, net));
    at.filter(move |c| own.to(c.position()).bucket() == bucket)
}

#[test]
fn who_has_moved_to_another_bucket_is_no_more_where_it_was() {
    let (mut table, later) = (table(), NOW + Duration::from_hours(1));
    let (before, after) = (
        places(1, 159).next().unwrap(),
        places(1, 157).next().unwrap(),
    );
    insert(&mut table, &before, NOW);
    assert_eq!(insert(&mut table, &after, later), Inserted::New);
    assert_eq!(table.contacts().collect::<Vec<_>>(), [&after]);
    assert_eq!(table.nearest_bucket(), Some(157));
    assert!(!table.contains(&before));
    // Whoever waited for a place in its bucket has it.
    let mut others = of_bucket(157).skip(1);
    for other in others.by_ref().take(K - 1) {
        assert_eq!(insert(&mut table, &other, later), Inserted::New);
    }
    let waits = others.next().unwrap();
    assert_eq!(insert(&mut table, &waits, later), Inserted::Waits(None));
    assert_eq!(insert(&mut table, &before, later), Inserted::New);
    assert!(table.contains(&waits) && !table.contains(&after));
    // And it waits nowhere either.
    assert_eq!(insert(&mut table, &after, later), Inserted::Waits(None));
    assert!(!table.contains(&before) && !table.contains(&after));
}

#[test]
fn fault_20_a_false_claim_that_fails_is_not_the_relays_failure() {
    let mut table = table();
    let mut places = places(1, 159);
    let (real, claimed) = (places.next().unwrap(), places.next().unwrap());
    insert(&mut table, &real, NOW);
    for _ in 0..5 {
        assert!(!table.failed(&claimed, NOW));
    }
    assert!(table.contains(&real) && !table.contains(&claimed));
}

#[test]
fn a_relay_is_not_in_its_own_table() {
    let mut table = table();
    assert_eq!(insert(&mut table, &contact(0), NOW), Inserted::Myself);
    assert_eq!(insert(&mut table, &contact_in(0, 5), NOW), Inserted::Myself);
    assert!(table.is_empty());
}

#[test]
fn buckets_fall_due_and_a_lookup_in_them_renews_them() {
    let (mut table, later) = (table(), NOW + Duration::from_hours(1));
    let (far, near) = (
        of_bucket(159).next().unwrap(),
        of_bucket(157).next().unwrap(),
    );
    insert(&mut table, &far, NOW);
    insert(&mut table, &near, NOW);
    assert!(table.stale_buckets(NOW - Duration::from_ms(1)).is_empty());
    assert_eq!(table.stale_buckets(NOW), [157, 159]);
    table.refreshed(far.position(), later);
    assert_eq!(table.stale_buckets(NOW), [157]);
    assert_eq!(table.nearest_bucket(), Some(157));
}

/// What version 1 looked like: contacts 1 and 2.
const FIXTURE: &str = include_str!("../fixtures/table-v1.hex");

#[test]
fn the_first_version_of_a_persisted_table_stays_readable() {
    let contacts = decode_table(&unhex(FIXTURE.trim())).unwrap();
    let mut nodes: Vec<_> = contacts.iter().map(Contact::node).collect();
    nodes.sort_unstable();
    assert_eq!(nodes, [node_id(1), node_id(2)]);
    assert_eq!(contacts.len(), 2);
}

#[test]
#[ignore = "writes the fixture"]
fn write_the_table_fixture() {
    let mut table = table();
    insert(&mut table, &contact(1), NOW);
    insert(&mut table, &contact(2), NOW);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/dht/fixtures/table-v1.hex");
    std::fs::write(path, hex(&table.persist()) + "\n").unwrap();
}

#[test]
fn other_versions_and_garbage_are_told_apart() {
    let mut e = minicbor::Encoder::new(Vec::new());
    e.map(1).unwrap().u8(0).unwrap().u8(2).unwrap();
    assert_eq!(
        decode_table(&e.into_writer()),
        Err(TableRecordError::Version(2))
    );
    for bytes in [
        &b""[..],
        &[0xA0],
        &[0x80],
        &to_cbor(&7u8),
        &[0xA2, 0, 1, 1, 0x9A, 0xFF, 0xFF, 0xFF, 0xFF],
    ] {
        assert_eq!(
            decode_table(bytes),
            Err(TableRecordError::Malformed),
            "{bytes:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn nearest_is_what_sorting_everybody_gives(
        members in proptest::collection::btree_set(1u32..3000, 0..250),
        target: [u8; 20],
        near_me: bool,
        count in 1usize..45,
    ) {
        let mut table = table();
        for n in members {
            insert(&mut table, &contact(n), NOW);
        }
        let target = match near_me {
            true => *contact(0).position(),
            false => Position::from_bytes(target),
        };
        let mut all: Vec<_> = table.contacts().cloned().collect();
        all.sort_by_key(|c| (c.position().to(&target), c.node()));
        all.truncate(count);
        prop_assert_eq!(table.nearest(&target, count), all);
    }

    #[test]
    fn bounds_hold_whatever_happens(
        events in proptest::collection::vec((1u32..400, 0u32..40, any::<bool>(), 0u64..600), 0..600),
    ) {
        let (mut table, mut now) = (table(), NOW);
        for (n, net, fails, seconds) in events {
            now += Duration::from_secs(seconds);
            let contact = contact_in(n, net);
            match fails {
                true => { table.failed(&contact, now); }
                false => { insert(&mut table, &contact, now); }
            }
        }
        for bucket in 0..BUCKETS {
            let inside: Vec<_> = table.contacts()
                .filter(|c| table.position().to(c.position()).bucket() == bucket)
                .collect();
            prop_assert!(inside.len() <= K);
            for one in &inside {
                prop_assert!(inside.iter().filter(|c| c.network() == one.network()).count() <= MAX_OF_NETWORK);
                prop_assert_eq!(inside.iter().filter(|c| c.node() == one.node()).count(), 1);
            }
        }
        let persisted = decode_table(&table.persist()).unwrap();
        prop_assert_eq!(persisted, table.contacts().cloned().collect::<Vec<_>>());
    }

    #[test]
    fn any_bytes_are_a_table_or_not(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode_table(&bytes);
    }
}
