//! The ratchet header: which step, which chain, which message. Fixed layout, PROTOCOL §8.
//!
//! All but the last 8 bytes is the same through a chain. That part is shared by the headers of a chain and hashed
//! once for all of them: what a message authenticates is the hash, so that 2.3 KB are not authenticated anew with
//! every text.

use core::fmt;
use std::sync::{Arc, OnceLock};

use crate::crypto::dh::X25519Public;
use crate::crypto::hash::blake2b_256_concat;
use crate::crypto::ml_kem::{CIPHERTEXT_LEN, MlKemCiphertext, PUBLIC_LEN};
use crate::wire::budget::RATCHET_HEADER_LEN;

/// Domain of the hash of what a chain repeats.
const DOMAIN: &[u8] = b"ZenTalk ratchet header v1";

/// dh ‖ ek ‖ ct.
const CHAIN_LEN: usize = X25519Public::LEN + PUBLIC_LEN + CIPHERTEXT_LEN;

/// dh ‖ ek ‖ ct ‖ pn ‖ n: the same length always; the first three repeated through a chain, so that
/// any message of a chain can open it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    chain: Arc<ChainHeader>,
    /// Messages in the sender's previous chain.
    pub pn: u32,
    /// Number of this message in its chain, from zero.
    pub n: u32,
}

impl Header {
    /// Length in bytes: 2312.
    pub const LEN: usize = RATCHET_HEADER_LEN;

    /// The header of a message in that chain.
    pub(super) fn new(chain: &Arc<ChainHeader>, pn: u32, n: u32) -> Self {
        let chain = chain.clone();
        Self { chain, pn, n }
    }

    /// The sender's X25519 key of this step; names the chain.
    pub fn dh(&self) -> X25519Public {
        self.chain.dh()
    }

    /// The sender's ML-KEM-768 key of this step, encoded and not yet checked.
    pub fn ek(&self) -> &[u8; PUBLIC_LEN] {
        self.chain.ek()
    }

    /// KEM ciphertext for the receiver's last key.
    pub fn ct(&self) -> MlKemCiphertext {
        self.chain.ct()
    }

    /// What is the same through the chain.
    pub(super) const fn chain(&self) -> &Arc<ChainHeader> {
        &self.chain
    }

    /// The same header, with `known` for what it repeats if that is equal byte for byte: its hash need not be
    /// computed again.
    pub(super) fn knowing(&self, known: Option<&Arc<ChainHeader>>) -> Self {
        let chain = known.filter(|known| **known == self.chain);
        Self::new(chain.unwrap_or(&self.chain), self.pn, self.n)
    }

    /// The fixed layout.
    pub fn encode(&self) -> Box<[u8; Self::LEN]> {
        let mut out = Box::new([0; Self::LEN]);
        let (chain, counters) = out.split_at_mut(CHAIN_LEN);
        chain.copy_from_slice(&self.chain.bytes);
        counters.copy_from_slice(&self.counters());
        out
    }

    /// Appends what a message authenticates of its header: hash of (dh ‖ ek ‖ ct) ‖ pn ‖ n.
    pub(super) fn append_authenticated(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.chain.digest());
        out.extend_from_slice(&self.counters());
    }

    /// Length of what [`append_authenticated`](Self::append_authenticated) appends.
    pub(super) const AUTHENTICATED_LEN: usize = 32 + COUNTERS_LEN;

    fn counters(&self) -> [u8; COUNTERS_LEN] {
        let counters = u64::from(self.pn) << 32 | u64::from(self.n);
        counters.to_be_bytes()
    }

    /// Reads the fixed layout: any bytes are a header; whether its keys are any good shows when used.
    pub fn decode(bytes: &[u8; Self::LEN]) -> Self {
        let (chain, rest) = split::<CHAIN_LEN>(bytes);
        let (pn, rest) = split::<4>(rest);
        let (n, _) = split::<4>(rest);
        Self {
            chain: Arc::new(ChainHeader {
                bytes: *chain,
                digest: OnceLock::new(),
            }),
            pn: u32::from_be_bytes(*pn),
            n: u32::from_be_bytes(*n),
        }
    }
}

/// pn ‖ n.
const COUNTERS_LEN: usize = 8;

/// What every header of a chain repeats, and its hash once that was asked for. Never changed: the hash is that of
/// these bytes.
#[derive(Clone)]
pub(super) struct ChainHeader {
    bytes: [u8; CHAIN_LEN],
    digest: OnceLock<[u8; 32]>,
}

impl ChainHeader {
    /// dh ‖ ek ‖ ct.
    pub(super) fn new(dh: &X25519Public, ek: &[u8; PUBLIC_LEN], ct: &MlKemCiphertext) -> Arc<Self> {
        let mut bytes = [0; CHAIN_LEN];
        let (first, rest) = bytes.split_at_mut(X25519Public::LEN);
        let (second, third) = rest.split_at_mut(PUBLIC_LEN);
        first.copy_from_slice(dh.as_bytes());
        second.copy_from_slice(ek);
        third.copy_from_slice(ct.as_bytes());
        let digest = OnceLock::new();
        Arc::new(Self { bytes, digest })
    }

    pub(super) fn dh(&self) -> X25519Public {
        X25519Public::from_bytes(*split(&self.bytes).0)
    }

    pub(super) fn ek(&self) -> &[u8; PUBLIC_LEN] {
        let (_, rest) = split::<{ X25519Public::LEN }>(&self.bytes);
        split(rest).0
    }

    pub(super) fn ct(&self) -> MlKemCiphertext {
        let (_, rest) = split::<{ X25519Public::LEN + PUBLIC_LEN }>(&self.bytes);
        MlKemCiphertext::from_bytes(*split(rest).0)
    }

    /// BLAKE2b-256(domain ‖ dh ‖ ek ‖ ct).
    fn digest(&self) -> &[u8; 32] {
        self.digest
            .get_or_init(|| blake2b_256_concat(DOMAIN, &self.bytes))
    }
}

impl PartialEq for ChainHeader {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for ChainHeader {}

impl fmt::Debug for ChainHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChainHeader({:?}, …)", self.dh())
    }
}

/// The first `N` bytes and the rest. Nobody here asks for more than an array has; a shorter slice would read as zeros.
fn split<const N: usize>(bytes: &[u8]) -> (&[u8; N], &[u8]) {
    bytes.split_first_chunk::<N>().unwrap_or((&[0; N], &[]))
}

const _: () = assert!(Header::LEN == CHAIN_LEN + COUNTERS_LEN);
