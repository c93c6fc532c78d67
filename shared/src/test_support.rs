//! What the unit tests of this crate share: hex, seeded generators, the pool of test-only keys.

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use crate::crypto::rsa::RsaSecret;

/// The committed pool of account keys; see `tests/src/keys.rs`, which documents the file.
const ACCOUNT_POOL: &[u8] = include_bytes!("../../tests/keys/account-rsa4096.TEST-ONLY.bin");

/// Lower-case hex of `bytes`.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of a hex string of even length.
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .map(|c| c.to_digit(16).expect("a hex digit") as u8)
        .collect();
    digits
        .chunks_exact(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

/// A deterministic generator.
pub(crate) fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

/// The `index`-th test-only account key.
pub(crate) fn account_rsa(index: usize) -> RsaSecret {
    let mut rest = ACCOUNT_POOL;
    for _ in 0..index {
        rest = next_key(rest).1;
    }
    RsaSecret::from_pkcs8_der(next_key(rest).0).expect("the pool holds RSA keys")
}

/// Splits the first u16-length-prefixed key off the pool.
fn next_key(pool: &[u8]) -> (&[u8], &[u8]) {
    let (length, rest) = pool
        .split_first_chunk::<2>()
        .expect("the pool holds that many keys");
    rest.split_at(usize::from(u16::from_be_bytes(*length)))
}
