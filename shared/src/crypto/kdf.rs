//! HKDF-SHA256 (RFC 5869) and HMAC-SHA256 (RFC 2104).

use std::sync::LazyLock;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::hash::BadMac;
use super::secret::{Secret, Secret32};
use super::wipe::{SMALL, wiping};

/// The longest output of one expansion: 255 blocks of 32 bytes (RFC 5869 §2.3).
const MAX_OUTPUT: usize = 255 * 32;

/// HKDF extract and expand in one step: `N` bytes (at most 8160, checked when compiled) from input
/// keying material. An absent salt is RFC 5869's string of zeros: give `&[0; 32]` or `&[]`.
pub fn extract_expand<const N: usize>(salt: &[u8], ikm: &[u8], info: &[u8]) -> Secret<N> {
    const { assert!(N <= MAX_OUTPUT, "HKDF-SHA256 gives at most 8160 bytes") };
    wiping::<SMALL, _>(|| expand_with(&Hkdf::<Sha256>::new(Some(salt), ikm), info))
}

/// HKDF without a salt: [`extract_expand`] with RFC 5869's string of zeros, which is set up only once.
pub fn extract_expand_unsalted<const N: usize>(ikm: &[u8], info: &[u8]) -> Secret<N> {
    const { assert!(N <= MAX_OUTPUT, "HKDF-SHA256 gives at most 8160 bytes") };
    static UNSALTED: LazyLock<Hmac<Sha256>> = LazyLock::new(|| mac_over(&Secret::zeroed(), &[]));
    wiping::<SMALL, _>(|| {
        let prk = UNSALTED.clone().chain_update(ikm).finalize().into_bytes();
        expand_prk(&prk.into(), info)
    })
}

/// HKDF expand only, from a key that is already uniform.
pub fn expand<const N: usize>(prk: &Secret32, info: &[u8]) -> Secret<N> {
    const { assert!(N <= MAX_OUTPUT, "HKDF-SHA256 gives at most 8160 bytes") };
    wiping::<SMALL, _>(|| expand_prk(prk.as_bytes(), info))
}

fn expand_prk<const N: usize>(prk: &[u8; 32], info: &[u8]) -> Secret<N> {
    // Infallible: 32 bytes are a whole PRK.
    let hkdf = Hkdf::<Sha256>::from_prk(prk).expect("32 bytes are a whole PRK");
    expand_with(&hkdf, info)
}

fn expand_with<const N: usize>(hkdf: &Hkdf<Sha256>, info: &[u8]) -> Secret<N> {
    let mut output = Secret::zeroed();
    // Infallible: callers check N when compiled.
    hkdf.expand(info, output.as_mut_bytes())
        .expect("the length is checked when compiled");
    output
}

/// HMAC-SHA256 over the parts, concatenated as they stand.
pub fn hmac_sha256(key: &Secret32, parts: &[&[u8]]) -> Secret32 {
    wiping::<SMALL, _>(|| Secret32::from_bytes(mac_over(key, parts).finalize().into_bytes().into()))
}

/// HMAC-SHA256 of two messages under one key, which is set up once.
pub fn hmac_sha256_pair(key: &Secret32, one: &[u8], two: &[u8]) -> (Secret32, Secret32) {
    wiping::<SMALL, _>(|| {
        let mac = mac_over(key, &[]);
        let over = |message| {
            let mac = mac.clone().chain_update(message);
            Secret32::from_bytes(mac.finalize().into_bytes().into())
        };
        (over(one), over(two))
    })
}

/// Checks an HMAC-SHA256 in constant time.
pub fn verify_hmac_sha256(key: &Secret32, parts: &[&[u8]], mac: &[u8; 32]) -> Result<(), BadMac> {
    wiping::<SMALL, _>(|| mac_over(key, parts).verify_slice(mac).map_err(|_| BadMac))
}

fn mac_over(key: &Secret32, parts: &[&[u8]]) -> Hmac<Sha256> {
    // Infallible: HMAC takes keys of any length.
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key.as_bytes())
        .expect("HMAC takes keys of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::hex;

    #[test]
    fn rfc_5869_test_case_1() {
        let salt: [u8; 13] = core::array::from_fn(|i| i as u8);
        let info: [u8; 10] = core::array::from_fn(|i| 0xf0 + i as u8);
        let okm = extract_expand::<42>(&salt, &[0x0b; 22], &info);
        assert_eq!(
            hex(okm.as_bytes()),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf\
             34007208d5b887185865"
        );
    }

    #[test]
    fn rfc_5869_test_case_3_without_salt() {
        let okm = extract_expand::<42>(&[], &[0x0b; 22], &[]);
        assert_eq!(
            hex(okm.as_bytes()),
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d\
             9d201395faa4b61a96c8"
        );
        let zeros = extract_expand::<42>(&[0; 32], &[0x0b; 22], &[]);
        assert_eq!(zeros, okm, "an absent salt is a string of zeros");
        assert_eq!(extract_expand_unsalted(&[0x0b; 22], &[]), okm);
    }

    #[test]
    fn expand_continues_extract() {
        let prk = hmac_sha256(&Secret32::from_bytes([0; 32]), &[b"ikm"]);
        assert_eq!(
            expand::<64>(&prk, b"info"),
            extract_expand::<64>(&[0; 32], b"ikm", b"info")
        );
    }

    #[test]
    fn hmac_known_answer() {
        // Python: hmac.new(bytes(32), b"abc", "sha256").hexdigest()
        let key = Secret32::from_bytes([0; 32]);
        let mac = hmac_sha256(&key, &[b"a", b"bc"]);
        assert_eq!(
            hex(mac.as_bytes()),
            "fd7adb152c05ef80dccf50a1fa4c05d5a3ec6da95575fc312ae7c5d091836351"
        );
        assert_eq!(verify_hmac_sha256(&key, &[b"abc"], mac.as_bytes()), Ok(()));
        assert_eq!(
            verify_hmac_sha256(&key, &[b"abd"], mac.as_bytes()),
            Err(BadMac)
        );
    }

    #[test]
    fn a_pair_is_two_macs() {
        let key = Secret32::from_bytes([7; 32]);
        let (one, two) = hmac_sha256_pair(&key, b"one", b"two");
        assert_eq!(one, hmac_sha256(&key, &[b"one"]));
        assert_eq!(two, hmac_sha256(&key, &[b"two"]));
    }
}
