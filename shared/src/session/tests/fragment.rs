//! Fragments: the layout and its refusals.

use super::super::fragment::{Fragment, FragmentError, MAX_FRAGMENTS, MessageLength, split};
use crate::test_support::{rng, vectors};
use crate::wire::budget::{FRAGMENT_DATA_LEN, FRAGMENT_LEN, MAX_SESSION_MESSAGE_LEN};

const FILE: &str = include_str!("../../../tests/vectors/ratchet.txt");

/// Cuts, sends every part through its encoding, joins.
fn round_trip(message: &[u8]) -> (usize, Vec<u8>) {
    let parts = split(message, &mut rng(1)).unwrap();
    let decoded: Vec<_> = parts
        .iter()
        .map(|part| Fragment::decode(&part.encode()).unwrap())
        .collect();
    assert_eq!(decoded, parts);
    (
        decoded.len(),
        decoded
            .iter()
            .flat_map(|part| part.data().to_vec())
            .collect(),
    )
}

#[test]
fn every_length_around_the_limits_survives() {
    let longest = MAX_SESSION_MESSAGE_LEN;
    let cases = [
        (1, 1),
        (FRAGMENT_DATA_LEN, 1),
        (FRAGMENT_DATA_LEN + 1, 2),
        (2 * FRAGMENT_DATA_LEN, 2),
        (3 * FRAGMENT_DATA_LEN - 1, 3),
        (longest, 156),
    ];
    for (length, count) in cases {
        let message: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
        assert_eq!(round_trip(&message), (count, message));
    }
    const { assert!(156 <= MAX_FRAGMENTS) };
}

#[test]
fn nothing_and_too_much_are_refused() {
    assert_eq!(split(&[], &mut rng(1)), Err(MessageLength(0)));
    let long = vec![0; MAX_SESSION_MESSAGE_LEN + 1];
    assert_eq!(split(&long, &mut rng(1)), Err(MessageLength(long.len())));
}

#[test]
fn sets_are_random_and_keys_distinct() {
    let message = vec![1; FRAGMENT_DATA_LEN + 1];
    let (one, two) = (
        split(&message, &mut rng(1)).unwrap(),
        split(&message, &mut rng(2)).unwrap(),
    );
    assert_ne!(one[0].set(), two[0].set());
    assert_eq!(one[0].set(), one[1].set());
    assert_ne!(one[0].key(), one[1].key());
}

/// What the decoder makes of a vector, in the words of its `expect`.
fn outcome(bytes: &[u8; FRAGMENT_LEN]) -> Result<Fragment, FragmentError> {
    Fragment::decode(bytes)
}

#[test]
fn published_vectors() {
    let ours = vectors(FILE)
        .into_iter()
        .filter(|vector| vector.text("kind") == "fragment");
    let mut count = 0;
    for vector in ours {
        let bytes = vector.array("bytes");
        match (vector.text("expect"), outcome(&bytes)) {
            ("malformed", Err(_)) => {}
            ("equal", Ok(fragment)) => {
                assert_eq!(fragment.set().0, vector.array("set"));
                assert_eq!(fragment.index(), u16::from_be_bytes(vector.array("index")));
                assert_eq!(fragment.count(), u16::from_be_bytes(vector.array("count")));
                assert_eq!(fragment.data(), vector.bytes("data"));
                assert_eq!(*fragment.encode(), bytes);
            }
            (expected, got) => panic!("{}: {expected}, not {got:?}", vector.text("comment")),
        }
        count += 1;
    }
    assert_eq!(count, 9);
}

#[test]
fn every_refusal_has_its_name() {
    let fragment = |numbers: [u16; 3]| {
        let mut bytes = [0; FRAGMENT_LEN];
        bytes[16..22].copy_from_slice(numbers.map(u16::to_be_bytes).as_flattened());
        bytes[22..].fill(1);
        Fragment::decode(&bytes).unwrap_err()
    };
    assert_eq!(fragment([0, 0, 1]), FragmentError::Count(0));
    assert_eq!(fragment([0, 161, 1]), FragmentError::Count(161));
    assert_eq!(
        fragment([2, 2, 1]),
        FragmentError::Index { index: 2, count: 2 }
    );
    assert_eq!(fragment([0, 1, 6843]), FragmentError::Length(6843));
    assert_eq!(fragment([0, 1, u16::MAX]), FragmentError::Length(u16::MAX));
    assert_eq!(fragment([0, 1, 0]), FragmentError::Length(0));
    assert_eq!(fragment([0, 2, 6841]), FragmentError::Length(6841));
    assert_eq!(fragment([0, 1, 6841]), FragmentError::Padding);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    #[test]
    fn any_message_survives(message in proptest::collection::vec(proptest::num::u8::ANY, 1..30_000)) {
        let (_, joined) = round_trip(&message);
        proptest::prop_assert_eq!(joined, message);
    }

    #[test]
    fn what_decodes_encodes_to_the_same_bytes(header: [u8; 22], data: u8, tail in 0..FRAGMENT_LEN) {
        let mut bytes = [0; FRAGMENT_LEN];
        bytes[22..].fill(data);
        bytes[tail..].fill(0);
        bytes[..22].copy_from_slice(&header);
        if let Ok(fragment) = Fragment::decode(&bytes) {
            proptest::prop_assert_eq!(*fragment.encode(), bytes);
        }
    }
}
