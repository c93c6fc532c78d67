//! LIONESS (Anderson and Biham, "Two Practical and Provably Secure Block Ciphers: BEAR and LION",
//! FSE 1996), composed from ChaCha20 and keyed BLAKE3: a block cipher as wide as the body.
//!
//! A body carries no MAC per hop, or a reply could not be wrapped by relays that do not know its
//! content. A wide block takes the MAC's place: whoever changes one bit of it on the way gets a body
//! that is noise from end to end, which the 32 zero bytes inside then reveal, and which cannot be
//! recognised two hops later.
//!
//! ```text
//! body = L[32] ‖ Rest          key = k1 ‖ k2 ‖ k3 ‖ k4
//! Rest ^= ChaCha20(L ^ k1)     L ^= BLAKE3(key k2, Rest)
//! Rest ^= ChaCha20(L ^ k3)     L ^= BLAKE3(key k4, Rest)
//! ```

use core::fmt;

use crate::crypto::{Secret, Secret32, hash, stream};

/// The four round keys. Wiped on drop.
#[derive(Clone)]
pub(super) struct BodyKey {
    stream1: Secret32,
    hash2: Secret32,
    stream3: Secret32,
    hash4: Secret32,
}

impl BodyKey {
    /// Length of the four keys together.
    pub(super) const LEN: usize = 128;

    /// Takes the key material apart.
    pub(super) fn new(material: &Secret<{ Self::LEN }>) -> Self {
        let part = |n: usize| {
            let mut key = Secret32::zeroed();
            let from = material.as_bytes().iter().skip(32 * n);
            key.as_mut_bytes()
                .iter_mut()
                .zip(from)
                .for_each(|(to, from)| *to = *from);
            key
        };
        Self {
            stream1: part(0),
            hash2: part(1),
            stream3: part(2),
            hash4: part(3),
        }
    }

    /// Encrypts a body in place.
    pub(super) fn encrypt(&self, body: &mut [u8]) {
        let Some((left, rest)) = body.split_first_chunk_mut() else {
            return;
        };
        xor_stream(&self.stream1, left, rest);
        xor_hash(&self.hash2, left, rest);
        xor_stream(&self.stream3, left, rest);
        xor_hash(&self.hash4, left, rest);
    }

    /// Decrypts a body in place.
    pub(super) fn decrypt(&self, body: &mut [u8]) {
        let Some((left, rest)) = body.split_first_chunk_mut() else {
            return;
        };
        xor_hash(&self.hash4, left, rest);
        xor_stream(&self.stream3, left, rest);
        xor_hash(&self.hash2, left, rest);
        xor_stream(&self.stream1, left, rest);
    }
}

impl fmt::Debug for BodyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BodyKey(…)")
    }
}

/// `rest ^= ChaCha20(left ^ key)`. A body is far shorter than the keystream.
fn xor_stream(key: &Secret32, left: &[u8; 32], rest: &mut [u8]) {
    let mut key = key.clone();
    xor(key.as_mut_bytes(), left);
    // Infallible: a body is shorter than the keystream.
    stream::xor(&key, rest).expect("a body is shorter than 256 GiB");
}

/// `left ^= BLAKE3(key, rest)`.
fn xor_hash(key: &Secret32, left: &mut [u8; 32], rest: &[u8]) {
    xor(left, &hash::keyed_blake3(key, rest));
}

fn xor(to: &mut [u8; 32], from: &[u8; 32]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to ^= from);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::{Rng, SeedableRng};

    fn key(seed: u64) -> BodyKey {
        BodyKey::new(&Secret::random(&mut ChaCha20Rng::seed_from_u64(seed)))
    }

    fn differing_bits(a: &[u8], b: &[u8]) -> u32 {
        a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum()
    }

    #[test]
    fn is_the_four_rounds_of_the_protocol() {
        let material: [u8; 128] = core::array::from_fn(|i| i as u8);
        let key = BodyKey::new(&Secret::from_bytes(material));
        let k: Vec<Secret32> = material
            .chunks_exact(32)
            .map(|k| Secret32::from_bytes(k.try_into().unwrap()))
            .collect();
        let plain: Vec<u8> = (0..300u32).map(|i| (i * 7) as u8).collect();
        let (mut left, mut rest) = (
            <[u8; 32]>::try_from(&plain[..32]).unwrap(),
            plain[32..].to_vec(),
        );
        for (stream_key, hash_key) in [(&k[0], &k[1]), (&k[2], &k[3])] {
            let mut round: [u8; 32] = left;
            round
                .iter_mut()
                .zip(stream_key.as_bytes())
                .for_each(|(a, b)| *a ^= b);
            stream::xor(&Secret32::from_bytes(round), &mut rest).unwrap();
            let digest = hash::keyed_blake3(hash_key, &rest);
            left.iter_mut().zip(&digest).for_each(|(a, b)| *a ^= b);
        }
        let mut body = plain;
        key.encrypt(&mut body);
        assert_eq!(body[..32], left);
        assert_eq!(body[32..], rest);
    }

    #[test]
    fn one_flipped_bit_anywhere_changes_about_half_of_the_block() {
        let (key, len) = (key(1), 1000);
        let mut plain = vec![0; len];
        ChaCha20Rng::seed_from_u64(2).fill_bytes(&mut plain);
        let mut sealed = plain.clone();
        key.encrypt(&mut sealed);
        for at in [0, 31, 32, 500, len - 1] {
            let mut flipped = sealed.clone();
            flipped[at] ^= 0x80;
            key.decrypt(&mut flipped);
            let bits = differing_bits(&flipped, &plain);
            assert!(
                (3600..4400).contains(&bits),
                "{bits} of 8000 bits after a flip at {at}"
            );
        }
    }

    #[test]
    fn another_key_gives_noise() {
        let mut body = vec![0; 1000];
        key(1).encrypt(&mut body);
        key(2).decrypt(&mut body);
        assert!(body.iter().filter(|byte| **byte == 0).count() < 20);
    }

    #[test]
    fn a_body_too_short_to_have_two_halves_is_left_alone() {
        for len in 0..32 {
            let mut body = vec![9; len];
            key(1).encrypt(&mut body);
            key(1).decrypt(&mut body);
            assert_eq!(body, vec![9; len]);
        }
    }

    #[test]
    fn debug_prints_no_key() {
        assert_eq!(format!("{:?}", key(1)), "BodyKey(…)");
    }

    proptest! {
        #[test]
        fn decryption_undoes_encryption(seed: u64, body in prop::collection::vec(any::<u8>(), 32..600)) {
            let mut sealed = body.clone();
            key(seed).encrypt(&mut sealed);
            prop_assert_ne!(&sealed, &body);
            key(seed).decrypt(&mut sealed);
            prop_assert_eq!(sealed, body);
        }
    }
}
