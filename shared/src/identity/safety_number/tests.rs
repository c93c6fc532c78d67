//! Tests of the safety number, and its published vectors: `shared/tests/vectors/safety_number.txt`.

use proptest::prelude::*;

use super::*;
use crate::crypto::ml_dsa::MlDsaPublic;
use crate::crypto::rsa::RsaPublic;
use crate::test_support::{Vector, hex, vectors};

const FILE: &str = include_str!("../../../tests/vectors/safety_number.txt");

/// Well-formed keys that belong to nobody: an odd modulus of 4096 bits, and a pattern.
fn keys(rsa: u8, ml_dsa: u8) -> AccountKeys {
    let mut spki = vec![
        0x30, 0x82, 0x02, 0x22, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01,
        0x01, 0x01, 0x05, 0x00, 0x03, 0x82, 0x02, 0x0f, 0x00, 0x30, 0x82, 0x02, 0x0a, 0x02, 0x82,
        0x02, 0x01, 0x00,
    ];
    spki.extend([rsa | 0x80; 511]);
    spki.extend([rsa | 1, 0x02, 0x03, 0x01, 0x00, 0x01]);
    AccountKeys {
        rsa: RsaPublic::from_spki_der(&spki).unwrap(),
        ml_dsa: MlDsaPublic::from_bytes([ml_dsa; 1952]),
    }
}

fn keys_of(vector: &Vector, rsa: &str, ml_dsa: &str) -> AccountKeys {
    AccountKeys {
        rsa: RsaPublic::from_spki_der(&vector.bytes(rsa)).unwrap(),
        ml_dsa: MlDsaPublic::from_bytes(vector.array(ml_dsa)),
    }
}

fn number_of(vector: &Vector) -> SafetyNumber {
    let mine = keys_of(vector, "my_rsa", "my_ml_dsa");
    let theirs = keys_of(vector, "their_rsa", "their_ml_dsa");
    SafetyNumber::new(&mine, &theirs)
}

fn compare(number: &SafetyNumber, scanned: &str) -> &'static str {
    match ScannedSafetyNumber::parse(scanned).map(|scanned| number.compare(&scanned)) {
        Ok(Comparison::Match) => "match",
        Ok(Comparison::Different) => "different",
        Err(ScanError::NotASafetyNumber) => "not a safety number",
        Err(ScanError::OtherVersion(_)) => "other version",
    }
}

/// What the code makes of a vector, in the words of its `expect`.
fn outcome(vector: &Vector) -> &'static str {
    let equal = |equal| if equal { "equal" } else { "different" };
    match vector.text("kind") {
        "compare" => compare(&number_of(vector), vector.text("scanned")),
        "fingerprint" => {
            let keys = keys_of(vector, "rsa", "ml_dsa");
            let fingerprint = Fingerprint::of(&keys);
            equal(
                hex(keys.address().as_bytes()) == vector.text("address")
                    && hex(&fingerprint.0) == vector.text("last")
                    && fingerprint.digits() == vector.text("digits"),
            )
        }
        "number" => {
            let number = number_of(vector);
            let digits = number.digits() == vector.text("digits");
            equal(digits && number.qr_text() == vector.text("qr"))
        }
        other => panic!("unknown kind {other}"),
    }
}

#[test]
fn published_vectors() {
    let vectors = vectors(FILE);
    for vector in &vectors {
        let comment = vector.text("comment");
        assert_eq!(outcome(vector), vector.text("expect"), "{comment}");
    }
    assert_eq!(vectors.len(), 20);
}

#[test]
fn the_hash_begins_as_published() {
    let file = vectors(FILE);
    let mut fingerprints = file.iter().filter(|v| v.text("kind") == "fingerprint");
    let vector = fingerprints.find(|v| v.text("expect") == "equal").unwrap();
    let (rsa, ml_dsa) = (vector.bytes("rsa"), vector.bytes("ml_dsa"));
    let first = blake2b_512(DOMAIN, &[&rsa, &ml_dsa, &vector.bytes("address")]);
    assert_eq!(hex(&first), vector.text("first"));
}

#[test]
fn both_ends_see_the_same_digits_and_each_scans_the_other() {
    let (ada, bob) = (keys(1, 1), keys(2, 2));
    let (here, there) = (SafetyNumber::new(&ada, &bob), SafetyNumber::new(&bob, &ada));
    assert_eq!(here.digits(), there.digits());
    assert_eq!(here.digits().len(), 60);
    assert!(here.digits().bytes().all(|digit| digit.is_ascii_digit()));
    assert_ne!(here.qr_text(), there.qr_text());
    assert_eq!(compare(&here, &there.qr_text()), "match");
    assert_eq!(compare(&there, &here.qr_text()), "match");
    assert_eq!(compare(&here, &here.qr_text()), "different", "one's own");
}

#[test]
fn a_qr_text_fits_the_alphanumeric_mode_and_its_case_does_not_matter() {
    let number = SafetyNumber::new(&keys(1, 1), &keys(2, 2));
    let other = SafetyNumber::new(&keys(2, 2), &keys(1, 1));
    let text = number.qr_text();
    assert_eq!(text.len(), 114);
    assert!(text.starts_with("ZSN1"));
    assert!(
        text.bytes()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
    );
    let wrapped = format!(" {}\n{}", &text[..50], text[50..].to_lowercase());
    assert_eq!(compare(&other, &wrapped), "match");
}

#[test]
fn the_text_is_bounded_before_it_is_read() {
    let long = "Z".repeat(MAX_TEXT_LEN + 1);
    let refused = ScannedSafetyNumber::parse(&long).unwrap_err();
    assert_eq!(refused, ScanError::NotASafetyNumber);
}

/// Two numbers apart.
fn differ(one: &SafetyNumber, other: &SafetyNumber) -> bool {
    one.digits() != other.digits() && one.qr_text() != other.qr_text()
}

proptest! {
    // A number costs ten thousand hashes.
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn symmetric_for_any_two_accounts(a: u8, b: u8, c: u8, d: u8) {
        let (one, other) = (keys(a, b), keys(c, d));
        let (here, there) = (SafetyNumber::new(&one, &other), SafetyNumber::new(&other, &one));
        prop_assert_eq!(here.digits(), there.digits());
        prop_assert_eq!(compare(&here, &there.qr_text()), "match");
    }

    #[test]
    fn any_change_of_one_key_changes_it(at in 0usize..1952, bit in 0u8..8, which: bool) {
        let (ada, bob) = (keys(1, 1), keys(2, 2));
        let number = SafetyNumber::new(&ada, &bob);
        let changed = |keys: &AccountKeys| {
            let mut bytes = *keys.ml_dsa.as_bytes();
            bytes[at] ^= 1 << bit;
            AccountKeys { rsa: keys.rsa.clone(), ml_dsa: MlDsaPublic::from_bytes(bytes) }
        };
        let other = match which {
            true => SafetyNumber::new(&changed(&ada), &bob),
            false => SafetyNumber::new(&ada, &changed(&bob)),
        };
        prop_assert!(differ(&number, &other));
        let there = SafetyNumber::new(&bob, &ada);
        prop_assert_eq!(compare(&other, &there.qr_text()), "different");
    }

    #[test]
    fn the_rsa_key_alone_changes_it(a: u8, b: u8) {
        prop_assume!(a | 0x81 != b | 0x81);
        let bob = keys(2, 2);
        let one = SafetyNumber::new(&keys(a, 1), &bob);
        prop_assert!(differ(&one, &SafetyNumber::new(&keys(b, 1), &bob)));
    }
}

proptest! {
    #[test]
    fn any_text_is_answered(text in ".{0,200}") {
        let _ = ScannedSafetyNumber::parse(&text);
    }

    #[test]
    fn any_one_wrong_character_is_noticed(at in 4usize..114, with in "[02-9AC-HJ-NP-Z]") {
        let scanned = ScannedSafetyNumber { theirs: [7; 32], mine: [9; 32] };
        let text = scanned.qr_text();
        prop_assume!(text[at..=at] != with);
        let changed = format!("{}{with}{}", &text[..at], &text[at + 1..]);
        let refused = ScannedSafetyNumber::parse(&changed).unwrap_err();
        prop_assert_eq!(refused, ScanError::NotASafetyNumber);
    }

    #[test]
    fn what_is_read_has_one_text(theirs: [u8; 32], mine: [u8; 32]) {
        let text = ScannedSafetyNumber { theirs, mine }.qr_text();
        let back = ScannedSafetyNumber::parse(&text).unwrap();
        prop_assert_eq!((back.theirs, back.mine), (theirs, mine));
    }
}
