//! Reassembly: order, bounds and rows.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::fragment::{Fragment, FragmentKey, split};
use super::super::reassembly::{Inserted, MAX_AGE, MAX_BYTES, MAX_SETS, Reassembly, RowError};
use crate::test_support::rng;
use crate::time::{Duration, Timestamp};
use crate::wire::budget::{FRAGMENT_DATA_LEN, FRAGMENT_LEN};
use crate::wire::codec::CodecError;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// The rows that a host keeps as it is told.
type Rows = BTreeMap<FragmentKey, Vec<u8>>;

fn message(seed: u64, parts: usize) -> (Vec<u8>, Vec<Fragment>) {
    let bytes: Vec<u8> = (0..parts * FRAGMENT_DATA_LEN - 10)
        .map(|i| (i as u64 * 7 + seed) as u8)
        .collect();
    let fragments = split(&bytes, &mut rng(seed)).unwrap();
    (bytes, fragments)
}

/// Inserts and does what a host would; the message if it is whole.
fn insert(
    state: &mut Reassembly,
    rows: &mut Rows,
    fragment: &Fragment,
    now: Timestamp,
) -> Option<Vec<u8>> {
    match state.insert(fragment.clone(), now) {
        Inserted::Complete { message, delete } => {
            delete
                .iter()
                .for_each(|key| assert!(rows.remove(key).is_some()));
            Some(message)
        }
        Inserted::Kept { key, row, delete } => {
            assert!(rows.insert(key, row).is_none());
            delete
                .iter()
                .for_each(|key| assert!(rows.remove(key).is_some()));
            None
        }
        Inserted::Duplicate | Inserted::Conflict => None,
    }
}

#[test]
fn a_message_of_one_fragment_takes_no_room() {
    let mut state = Reassembly::default();
    let (bytes, fragments) = message(1, 1);
    let whole = Inserted::Complete {
        message: bytes,
        delete: vec![],
    };
    assert_eq!(state.insert(fragments[0].clone(), NOW), whole);
    assert!(state.is_empty());
}

#[test]
fn any_order_completes_and_leaves_no_rows() {
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let (mut state, mut rows) = (Reassembly::default(), Rows::new());
        let (bytes, fragments) = message(1, 3);
        assert_eq!(
            insert(&mut state, &mut rows, &fragments[order[0]], NOW),
            None
        );
        assert_eq!(
            insert(&mut state, &mut rows, &fragments[order[1]], NOW),
            None
        );
        assert_eq!(rows.len(), 2);
        assert_eq!(
            insert(&mut state, &mut rows, &fragments[order[2]], NOW),
            Some(bytes)
        );
        assert!(rows.is_empty() && state.is_empty());
    }
}

#[test]
fn duplicates_and_conflicts_change_nothing() {
    let mut state = Reassembly::default();
    let (bytes, fragments) = message(1, 2);
    assert!(matches!(
        state.insert(fragments[0].clone(), NOW),
        Inserted::Kept { .. }
    ));
    assert_eq!(state.insert(fragments[0].clone(), NOW), Inserted::Duplicate);

    // The same set and index with other data; the same set with another count.
    let mut other_data = fragments[0].encode();
    other_data[100] ^= 1;
    assert_eq!(
        state.insert(Fragment::decode(&other_data).unwrap(), NOW),
        Inserted::Conflict
    );
    let mut other_count = fragments[0].encode();
    other_count[19] = 3;
    assert_eq!(
        state.insert(Fragment::decode(&other_count).unwrap(), NOW),
        Inserted::Conflict
    );

    let Inserted::Complete { message, .. } = state.insert(fragments[1].clone(), NOW) else {
        panic!()
    };
    assert_eq!(message, bytes);
}

#[test]
fn rows_restore_the_state() {
    let (mut state, mut rows) = (Reassembly::default(), Rows::new());
    let (one, two) = (message(1, 3), message(2, 2));
    for fragment in [&one.1[2], &two.1[0], &one.1[0]] {
        insert(&mut state, &mut rows, fragment, NOW);
    }
    let mut restored = Reassembly::restore(rows.values().map(Vec::as_slice)).unwrap();
    assert_eq!(restored.len(), 2);
    assert_eq!(
        insert(&mut restored, &mut rows, &two.1[1], NOW),
        Some(two.0)
    );
    assert_eq!(
        insert(&mut restored, &mut rows, &one.1[1], NOW),
        Some(one.0)
    );
    assert!(rows.is_empty());
}

#[test]
fn bad_rows_are_refused() {
    let mut rows = Rows::new();
    insert(
        &mut Reassembly::default(),
        &mut rows,
        &message(1, 2).1[0],
        NOW,
    );
    let row = rows.into_values().next().unwrap();
    let restore = |row: &[u8]| Reassembly::restore([row]).map(|state| state.len());
    assert_eq!(restore(&row), Ok(1));
    assert_eq!(
        restore(&row[1..]),
        Err(RowError::Codec(CodecError::Malformed))
    );
    assert_eq!(row[..3], [0xa3, 0, 1]);
    let mut newer = row.clone();
    newer[2] = 2;
    assert_eq!(restore(&newer), Err(RowError::Version(2)));
    let mut broken = row;
    let end = broken.len();
    broken[end - FRAGMENT_LEN + 18..][..2].fill(0);
    assert!(matches!(restore(&broken), Err(RowError::Fragment(_))));
}

#[test]
fn sets_are_bounded_in_number_the_oldest_go() {
    let (mut state, mut rows) = (Reassembly::default(), Rows::new());
    let messages: Vec<_> = (0..=MAX_SETS as u64).map(|seed| message(seed, 2)).collect();
    for (i, (_, fragments)) in messages.iter().enumerate() {
        insert(
            &mut state,
            &mut rows,
            &fragments[0],
            NOW + Duration::from_ms(i as u64),
        );
    }
    assert_eq!((state.len(), rows.len()), (MAX_SETS, MAX_SETS));
    assert_eq!(
        insert(&mut state, &mut rows, &messages[0].1[1], NOW),
        None,
        "the first was given up"
    );
    let (last, fragments) = &messages[MAX_SETS];
    assert_eq!(
        insert(&mut state, &mut rows, &fragments[1], NOW).as_ref(),
        Some(last)
    );
}

#[test]
fn bytes_are_bounded() {
    let (mut state, mut rows) = (Reassembly::default(), Rows::new());
    let mut time = NOW;
    for seed in 0..6 {
        let (_, fragments) = message(seed, 150);
        for fragment in &fragments[..149] {
            time += Duration::from_ms(1);
            insert(&mut state, &mut rows, fragment, time);
            assert!(rows.len() * FRAGMENT_LEN <= MAX_BYTES);
        }
    }
    assert_eq!(state.len(), MAX_BYTES / FRAGMENT_LEN / 149);
}

#[test]
fn sets_age_out() {
    let (mut state, mut rows) = (Reassembly::default(), Rows::new());
    let (_, fragments) = message(1, 2);
    insert(&mut state, &mut rows, &fragments[0], NOW);
    assert!(state.expire(NOW + MAX_AGE).is_empty());
    let due = state.next_expiry().unwrap();
    assert_eq!(state.expire(due), [fragments[0].key()]);
    assert_eq!((state.len(), state.next_expiry()), (0, None));

    // An insertion of another set gives old ones up as well.
    insert(&mut state, &mut rows, &message(2, 2).1[0], NOW);
    insert(&mut state, &mut rows, &message(3, 2).1[0], due);
    assert_eq!(state.len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Fragments of several messages in any order, some twice, with restarts: each message once or more
    /// (a duplicate after completion may start it anew), always whole, rows always in step.
    #[test]
    fn any_order_of_several_messages(order in prop::collection::vec((0..4usize, 0..3usize, any::<bool>()), 1..60)) {
        let messages: Vec<_> = (0..4).map(|seed| message(seed, 3)).collect();
        let (mut state, mut rows) = (Reassembly::default(), Rows::new());
        for (which, part, restart) in order {
            let (bytes, fragments) = &messages[which];
            if let Some(whole) = insert(&mut state, &mut rows, &fragments[part], NOW) {
                prop_assert_eq!(&whole, bytes);
            }
            if restart {
                state = Reassembly::restore(rows.values().map(Vec::as_slice)).unwrap();
            }
        }
    }
}
