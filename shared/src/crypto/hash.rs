//! BLAKE2b (RFC 7693) with 128, 160, 256 or 512 bits of output, plain and keyed; BLAKE3, keyed, for long input.
//!
//! The output length is BLAKE2b's own parameter, not a truncation: the four lengths are unrelated
//! functions. Two framings exist, and PROTOCOL.md names which one an identifier uses:
//! - *concatenated* (`*_concat`): domain ‖ part. For one part, or parts of fixed length.
//! - *framed* (`blake2b_*`): domain ‖ u32-BE length of every part, in order ‖ the parts, in order.

use blake2::digest::consts::{U16, U20, U32, U64};
use blake2::digest::{FixedOutput, KeyInit, Update};
use blake2::{Blake2b, Blake2bMac, Digest};
use subtle::ConstantTimeEq;
use thiserror::Error;

use super::secret::Secret32;
use super::wipe::{CURVE, SMALL, wiping};

/// A message authentication code did not match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the message authentication code does not match")]
pub struct BadMac;

macro_rules! plain {
    ($framed:ident, $concat:ident, $size:ty, $len:literal, $bits:literal) => {
        #[doc = concat!("BLAKE2b-", $bits, " of domain ‖ lengths (u32 BE each) ‖ parts.")]
        pub fn $framed(domain: &[u8], parts: &[&[u8]]) -> [u8; $len] {
            let mut hash = Blake2b::<$size>::new();
            Update::update(&mut hash, domain);
            for part in parts {
                Update::update(&mut hash, &framed_len(part));
            }
            for part in parts {
                Update::update(&mut hash, part);
            }
            hash.finalize().into()
        }

        #[doc = concat!("BLAKE2b-", $bits, " of domain ‖ part.")]
        pub fn $concat(domain: &[u8], part: &[u8]) -> [u8; $len] {
            Blake2b::<$size>::new()
                .chain(domain)
                .chain(part)
                .finalize_fixed()
                .into()
        }
    };
}

plain!(blake2b_128, blake2b_128_concat, U16, 16, "128");
plain!(blake2b_160, blake2b_160_concat, U20, 20, "160");
plain!(blake2b_256, blake2b_256_concat, U32, 32, "256");
plain!(blake2b_512, blake2b_512_concat, U64, 64, "512");

/// The frame of a part: its length as u32 big-endian. No bounded input comes near 4 GiB; a longer
/// one would saturate and hash to something else than anything valid.
fn framed_len(part: &[u8]) -> [u8; 4] {
    u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes()
}

/// Keyed BLAKE2b with 16 bytes of output over the parts, concatenated as they stand: callers give
/// parts of fixed length.
pub fn keyed_mac_128(key: &Secret32, parts: &[&[u8]]) -> [u8; 16] {
    wiping::<SMALL, _>(|| {
        let mut mac: Blake2bMac<U16> = keyed(key);
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize_fixed().into()
    })
}

/// Checks a [`keyed_mac_128`] in constant time.
pub fn verify_mac_128(key: &Secret32, parts: &[&[u8]], mac: &[u8; 16]) -> Result<(), BadMac> {
    match bool::from(keyed_mac_128(key, parts).ct_eq(mac)) {
        true => Ok(()),
        false => Err(BadMac),
    }
}

/// Keyed BLAKE2b with 32 bytes of output over the parts, concatenated as they stand.
pub fn keyed_256(key: &Secret32, parts: &[&[u8]]) -> [u8; 32] {
    wiping::<SMALL, _>(|| {
        let mut mac: Blake2bMac<U32> = keyed(key);
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize_fixed().into()
    })
}

/// Keyed BLAKE3 (O'Connor, Aumasson, Neves and Wilcox-O'Hearn, 2020, §2.3): for the wide-block cipher
/// only, whose input is long enough for its parallel chunks to count.
pub fn keyed_blake3(key: &Secret32, data: &[u8]) -> [u8; 32] {
    wiping::<CURVE, _>(|| blake3::keyed_hash(key.as_bytes(), data).into())
}

/// Starts any keyed BLAKE2b with a 32-byte key.
fn keyed<M: KeyInit>(key: &Secret32) -> M {
    // Infallible: BLAKE2b takes keys of up to 64 bytes.
    M::new_from_slice(key.as_bytes()).expect("BLAKE2b takes keys of up to 64 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::hex;

    fn counting_key() -> Secret32 {
        Secret32::from_bytes(core::array::from_fn(|i| i as u8))
    }

    #[test]
    fn known_answers_of_blake2b() {
        // Python: hashlib.blake2b(b"abc", digest_size=n).hexdigest()
        assert_eq!(
            hex(&blake2b_128_concat(b"", b"abc")),
            "cf4ab791c62b8d2b2109c90275287816"
        );
        assert_eq!(
            hex(&blake2b_160_concat(b"a", b"bc")),
            "384264f676f39536840523f284921cdc68b6846b"
        );
        assert_eq!(
            hex(&blake2b_256_concat(b"ab", b"c")),
            "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"
        );
    }

    #[test]
    fn known_answers_of_keyed_blake2b() {
        // Python: hashlib.blake2b(b"abc", key=bytes(range(32)), digest_size=n).hexdigest()
        assert_eq!(
            hex(&keyed_mac_128(&counting_key(), &[b"a", b"bc"])),
            "1a64be47e4729d951c302ee543f97cf3"
        );
        assert_eq!(
            hex(&keyed_256(&counting_key(), &[b"abc"])),
            "d63a32d3e44738d7907f964316c241adaba0abfeabc32349677578a15a203f7f"
        );
    }

    #[test]
    fn known_answers_of_keyed_blake3() {
        // BLAKE3 team, test_vectors.json: key "whats the Elvish word for friend", input 0, 1, …, 250, 0, …
        let key = Secret32::from_bytes(*b"whats the Elvish word for friend");
        let input: Vec<u8> = (0..8193).map(|i| (i % 251) as u8).collect();
        let expect = |length: usize, expected: &str| {
            assert_eq!(
                hex(&keyed_blake3(&key, &input[..length])),
                expected,
                "{length} bytes"
            );
        };
        expect(
            0,
            "92b2b75604ed3c761f9d6f62392c8a9227ad0ea3f09573e783f1498a4ed60d26",
        );
        expect(
            1,
            "6d7878dfff2f485635d39013278ae14f1454b8c0a3a2d34bc1ab38228a80c95b",
        );
        expect(
            1024,
            "75c46f6f3d9eb4f55ecaaee480db732e6c2105546f1e675003687c31719c7ba4",
        );
    }

    #[test]
    fn framing_is_domain_then_lengths_then_parts() {
        let framed = blake2b_256(b"domain", &[b"ab", b"", b"c"]);
        let by_hand = b"domain\0\0\0\x02\0\0\0\0\0\0\0\x01abc";
        assert_eq!(framed, blake2b_256_concat(by_hand, b""));
    }

    #[test]
    fn framing_separates_parts() {
        assert_ne!(
            blake2b_160(b"d", &[b"ab", b"c"]),
            blake2b_160(b"d", &[b"a", b"bc"])
        );
        assert_ne!(
            blake2b_128(b"d", &[b"ab"]),
            blake2b_128(b"d", &[b"ab", b""])
        );
    }

    #[test]
    fn lengths_are_unrelated_functions() {
        assert_ne!(
            blake2b_256_concat(b"", b"x")[..16],
            blake2b_128_concat(b"", b"x")
        );
    }

    #[test]
    fn a_mac_verifies_and_any_change_fails() {
        let key = counting_key();
        let mac = keyed_mac_128(&key, &[b"header", b"body"]);
        assert_eq!(verify_mac_128(&key, &[b"header", b"body"], &mac), Ok(()));
        assert_eq!(
            verify_mac_128(&key, &[b"header", b"bodY"], &mac),
            Err(BadMac)
        );
        let other = Secret32::from_bytes([9; 32]);
        assert_eq!(
            verify_mac_128(&other, &[b"header", b"body"], &mac),
            Err(BadMac)
        );
        let mut flipped = mac;
        flipped[15] ^= 1;
        assert_eq!(
            verify_mac_128(&key, &[b"header", b"body"], &flipped),
            Err(BadMac)
        );
    }

    #[test]
    fn parts_are_concatenated() {
        let parts = [b"one".as_slice(), b"", b"two"];
        let key = counting_key();
        assert_eq!(keyed_256(&key, &parts), keyed_256(&key, &[b"onetwo"]));
    }
}
