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

/// One section of a vector file: its fields by name.
pub(crate) struct Vector(Vec<(&'static str, &'static str)>);

/// The sections of a vector file: `name: value` lines, sections parted by an empty line, `#` comments.
pub(crate) fn vectors(text: &'static str) -> Vec<Vector> {
    let field = |line: &'static str| line.split_once(": ").expect("a field is `name: value`");
    let lines = |section: &'static str| section.lines().filter(|line| !line.starts_with('#'));
    let sections = text
        .trim()
        .split("\n\n")
        .map(|section| lines(section).map(field).collect());
    sections
        .filter(|fields: &Vec<_>| !fields.is_empty())
        .map(Vector)
        .collect()
}

impl Vector {
    /// The text of a field.
    pub(crate) fn text(&self, name: &str) -> &'static str {
        let found = self.0.iter().find(|(field, _)| *field == name);
        found
            .unwrap_or_else(|| panic!("no field {name} in {:?}", self.0))
            .1
    }

    /// The bytes of a field: hex, where `XX^N` is a byte N times and spaces mean nothing.
    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        let parts = self
            .text(name)
            .split(' ')
            .map(|part| match part.split_once('^') {
                Some((byte, count)) => unhex(byte).repeat(count.parse().expect("a count")),
                None => unhex(part),
            });
        parts.flatten().collect()
    }

    /// The bytes of a field of exactly `N` bytes.
    pub(crate) fn array<const N: usize>(&self, name: &str) -> [u8; N] {
        self.bytes(name)
            .try_into()
            .unwrap_or_else(|_| panic!("{name} has not {N} bytes"))
    }
}
