//! What the unit tests of this crate share: hex, generators, the pool of test-only keys, vector files.

use core::convert::Infallible;
use core::fmt::Write as _;

use hmac::{Hmac, KeyInit, Mac};
use rand_chacha::ChaCha20Rng;
use rand_core::{SeedableRng, TryCryptoRng, TryRng, utils};
use sha2::Sha256;

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

/// A generator that hands out the bytes it was given, in order: for vectors that state their randomness.
pub(crate) struct Script(Vec<u8>);

impl Script {
    pub(crate) fn new(parts: &[&[u8]]) -> Self {
        Self(parts.concat())
    }
}

impl TryRng for Script {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        utils::next_word_via_fill(self)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        utils::next_word_via_fill(self)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.copy_from_slice(&self.0[..bytes.len()]);
        self.0.drain(..bytes.len());
        Ok(())
    }
}

impl TryCryptoRng for Script {}

/// HKDF-SHA256 written out (RFC 5869 §2.2 and §2.3), beside the one that the code calls.
pub(crate) fn hkdf_by_hand(salt: &[u8], ikm: &[u8], info: &[u8], length: usize) -> Vec<u8> {
    let prk = hmac_by_hand(salt, ikm);
    let (mut output, mut block) = (Vec::new(), Vec::new());
    for counter in 1..=u8::MAX {
        block = hmac_by_hand(&prk, &[&block, info, &[counter]].concat());
        output.extend_from_slice(&block);
        if output.len() >= length {
            break;
        }
    }
    output.truncate(length);
    output
}

/// HMAC-SHA256, straight from its crate.
pub(crate) fn hmac_by_hand(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
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

/// Where the vectors are.
const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors");

/// The text of a vector file, read when the test runs: it may just have been written.
pub(crate) fn vector_file(name: &str) -> &'static str {
    let text = std::fs::read_to_string(format!("{VECTORS}/{name}"));
    Box::leak(text.unwrap_or_default().into_boxed_str())
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
    /// Whether there is a field of that name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(field, _)| *field == name)
    }

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

/// The sections of one kind.
pub(crate) fn vectors_of(text: &'static str, kind: &str) -> Vec<Vector> {
    let mut found = vectors(text);
    found.retain(|vector| vector.text("kind") == kind);
    found
}

/// Fails unless what is given stands first, then what must fail, then what must succeed.
pub(crate) fn assert_failures_first(vectors: &[Vector], success: &[&str]) {
    let rank = |vector: &Vector| match vector.text("expect") {
        "given" => 0,
        expect if success.contains(&expect) => 2,
        _ => 1,
    };
    let ranks: Vec<_> = vectors.iter().map(rank).collect();
    assert!(ranks.is_sorted(), "failures first: {ranks:?}");
    assert!(ranks.contains(&1) && ranks.contains(&2));
}

/// A vector file in the making.
pub(crate) struct VectorFile(String);

impl VectorFile {
    /// Begins with its head: what is in the file and how it was made.
    pub(crate) fn new(head: &str) -> Self {
        let mut text = String::new();
        for line in head.lines() {
            let _ = writeln!(text, "{}", format!("# {line}").trim_end());
        }
        Self(text)
    }

    /// A whole file that was made in another way.
    pub(crate) const fn from_text(text: String) -> Self {
        Self(text)
    }

    /// Begins a vector.
    pub(crate) fn vector(&mut self, kind: &str, expect: &str, comment: &str) -> &mut Self {
        let _ = write!(
            self.0,
            "\nkind: {kind}\nexpect: {expect}\ncomment: {comment}\n"
        );
        self
    }

    /// Adds a field of text.
    pub(crate) fn text(&mut self, name: &str, text: &str) -> &mut Self {
        let _ = writeln!(self.0, "{name}: {text}");
        self
    }

    /// Adds a field of bytes; runs of one byte are written `XX^N`.
    pub(crate) fn bytes(&mut self, name: &str, bytes: &[u8]) -> &mut Self {
        let parts: Vec<_> = runs(bytes);
        let written = match parts.is_empty() {
            true => "00^0".to_owned(),
            false => parts.join(" "),
        };
        self.text(name, &written)
    }

    /// Compares with the committed file, or writes it if `ZENTALK_WRITE_VECTORS` is set.
    pub(crate) fn finish(self, name: &str) {
        if std::env::var_os("ZENTALK_WRITE_VECTORS").is_some() {
            std::fs::write(format!("{VECTORS}/{name}"), self.0).unwrap();
        } else {
            let same = self.0 == vector_file(name);
            assert!(same, "{name} is not what the code makes");
        }
    }
}

/// Hex of `bytes` in parts: runs of at least 32 equal bytes as `XX^N`, the rest as it is.
fn runs(bytes: &[u8]) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut plain = String::new();
    for run in bytes.chunk_by(|a, b| a == b) {
        if run.len() < 32 {
            plain.push_str(&hex(run));
            continue;
        }
        parts.extend((!plain.is_empty()).then(|| core::mem::take(&mut plain)));
        parts.push(format!("{:02x}^{}", run[0], run.len()));
    }
    parts.extend((!plain.is_empty()).then_some(plain));
    parts
}
