//! The persisted form of a ratchet, version 1: CBOR, at most 5 KB besides skipped keys. It holds
//! secrets: it lives only inside an encrypted record, and the buffer given out wipes itself.
//!
//! ```cddl
//! ratchet  = { 0 => 1, 1 => bytes .size 32, ? 2 => chain, 3 => turn, 4 => [*2000 skipped] } ; version, rk
//! chain    = { 0 => bytes .size 32, 1 => bytes .size 32, 2 => uint }                        ; dh, ck, next
//! turn     = { ? 0 => own-step, ? 1 => peer-step }                                          ; exactly one
//! own-step = { 0 => bytes .size 32, 1 => bytes .size 64, 2 => bytes .size 1088,             ; dh, ek seed, ct
//!              3 => bytes .size 32, 4 => uint, 5 => uint }                                  ; ck, pn, n
//! peer-step = { 0 => bytes .size 32, 1 => bytes .size 1184, 2 => uint }                     ; dh, ek, pn
//! skipped  = { 0 => bytes .size 32, 1 => uint, 2 => [*2000 { 0 => uint, 1 => bytes .size 32 }] } ; dh, at, keys
//! ```

use std::sync::Arc;

use minicbor::{Decode, Encode};
use thiserror::Error;
use zeroize::Zeroizing;

use super::chain_key::ChainKey;
use super::double_ratchet::{OwnStep, PeerStep, Ratchet, ReceivingChain, Turn};
use super::header::ChainHeader;
use super::message_key::MessageKey;
use super::root_key::RootKey;
use super::skipped_keys::{MAX_SKIPPED, SkippedChain, SkippedKeys};
use crate::crypto::Secret;
use crate::crypto::dh::{X25519Public, X25519Secret};
use crate::crypto::ml_kem::{MlKemCiphertext, MlKemPublic, MlKemSecret, SEED_LEN};
use crate::time::Timestamp;
use crate::wire::codec::{BoundedList, CodecError, from_cbor};

/// The version that is written.
const VERSION: u8 = 1;

/// The longest record without skipped keys, in bytes.
const BASE_LEN: usize = 5 * 1024;

/// What a skipped key in a chain of its own adds, in bytes: keys, numbers, CBOR.
const SKIPPED_LEN: usize = 100;

/// The longest record: every skipped key in a chain of its own.
pub const MAX_RECORD_LEN: usize = BASE_LEN + MAX_SKIPPED * SKIPPED_LEN;

/// A stored ratchet cannot be used: the store's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RecordError {
    /// Not a ratchet record.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// Written by a later version of this software.
    #[error("ratchet record of unknown version {0}")]
    Version(u8),
    /// Well-formed, but no state that a ratchet can be in.
    #[error("ratchet record is inconsistent")]
    Inconsistent,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct Stored {
    #[n(0)]
    version: u8,
    #[n(1)]
    root: RootKey,
    #[n(2)]
    receiving: Option<StoredChain>,
    #[n(3)]
    turn: StoredTurn,
    #[n(4)]
    skipped: BoundedList<StoredSkipped, MAX_SKIPPED>,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct StoredChain {
    #[n(0)]
    dh: X25519Public,
    #[n(1)]
    key: ChainKey,
    #[n(2)]
    next: u32,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct StoredTurn {
    #[n(0)]
    ours: Option<StoredOwnStep>,
    #[n(1)]
    theirs: Option<StoredPeerStep>,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct StoredOwnStep {
    #[n(0)]
    dh: X25519Secret,
    #[n(1)]
    ek: Secret<SEED_LEN>,
    #[n(2)]
    ct: MlKemCiphertext,
    #[n(3)]
    chain: ChainKey,
    #[n(4)]
    pn: u32,
    #[n(5)]
    n: u32,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct StoredPeerStep {
    #[n(0)]
    dh: X25519Public,
    #[n(1)]
    ek: MlKemPublic,
    #[n(2)]
    pn: u32,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct StoredSkipped {
    #[n(0)]
    dh: X25519Public,
    #[n(1)]
    at: Timestamp,
    #[n(2)]
    keys: BoundedList<StoredKey, MAX_SKIPPED>,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct StoredKey {
    #[n(0)]
    n: u32,
    #[n(1)]
    key: MessageKey,
}

impl Ratchet {
    /// The record of this state.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        // Room for all of it at once: a buffer that grows leaves copies of secrets behind.
        let room = BASE_LEN + self.skipped.len() * SKIPPED_LEN;
        let mut out = Zeroizing::new(Vec::with_capacity(room));
        let result = minicbor::encode(Stored::from(self), &mut *out);
        debug_assert!(
            result.is_ok() && out.len() <= room,
            "writing to a Vec is infallible"
        );
        out
    }

    /// Reads a record of any version written so far.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let stored: Stored = from_cbor(bytes, MAX_RECORD_LEN)?;
        match stored.version {
            VERSION => Self::try_from(stored),
            other => Err(RecordError::Version(other)),
        }
    }
}

impl From<&Ratchet> for Stored {
    fn from(ratchet: &Ratchet) -> Self {
        let receiving = ratchet.receiving.as_ref().map(|chain| StoredChain {
            dh: chain.dh,
            key: chain.key.clone(),
            next: chain.next,
        });
        let skipped = ratchet
            .skipped
            .chains
            .iter()
            .map(StoredSkipped::from)
            .collect();
        Self {
            version: VERSION,
            root: ratchet.root.clone(),
            receiving,
            turn: StoredTurn::from(&ratchet.turn),
            // Within its bound by construction: no chain is empty and no more keys than that are kept.
            skipped: BoundedList::new(skipped).unwrap_or_default(),
        }
    }
}

impl From<&Turn> for StoredTurn {
    fn from(turn: &Turn) -> Self {
        match turn {
            Turn::Ours(own) => Self {
                ours: Some(StoredOwnStep {
                    dh: own.dh.clone(),
                    ek: own.ek.seed().clone(),
                    ct: own.header.ct(),
                    chain: own.chain.clone(),
                    pn: own.pn,
                    n: own.n,
                }),
                theirs: None,
            },
            Turn::Theirs(peer) => Self {
                ours: None,
                theirs: Some(StoredPeerStep {
                    dh: peer.dh,
                    ek: peer.ek.clone(),
                    pn: peer.pn,
                }),
            },
        }
    }
}

impl From<&SkippedChain> for StoredSkipped {
    fn from(chain: &SkippedChain) -> Self {
        let keys = chain
            .keys
            .iter()
            .map(|(n, key)| StoredKey {
                n: *n,
                key: key.clone(),
            })
            .collect();
        Self {
            dh: chain.dh,
            at: chain.at,
            keys: BoundedList::new(keys).unwrap_or_default(),
        }
    }
}

impl TryFrom<Stored> for Ratchet {
    type Error = RecordError;
    fn try_from(stored: Stored) -> Result<Self, RecordError> {
        let chains = stored
            .skipped
            .into_inner()
            .into_iter()
            .map(SkippedChain::from)
            .collect();
        let skipped = SkippedKeys { chains };
        if skipped.len() > MAX_SKIPPED {
            return Err(RecordError::Inconsistent);
        }
        Ok(Self {
            root: stored.root,
            receiving: stored.receiving.map(|chain| ReceivingChain {
                dh: chain.dh,
                key: chain.key,
                next: chain.next,
                header: None,
            }),
            turn: stored.turn.try_into()?,
            skipped,
        })
    }
}

impl TryFrom<StoredTurn> for Turn {
    type Error = RecordError;
    fn try_from(turn: StoredTurn) -> Result<Self, RecordError> {
        match (turn.ours, turn.theirs) {
            (Some(own), None) => Ok(Self::Ours(Arc::new(own.into()))),
            (None, Some(peer)) => Ok(Self::Theirs(Arc::new(PeerStep {
                dh: peer.dh,
                ek: peer.ek,
                pn: peer.pn,
            }))),
            _ => Err(RecordError::Inconsistent),
        }
    }
}

impl From<StoredOwnStep> for OwnStep {
    fn from(own: StoredOwnStep) -> Self {
        let ek = MlKemSecret::from_seed(own.ek);
        Self {
            header: ChainHeader::new(own.dh.public(), ek.public().encoding(), &own.ct),
            dh: own.dh,
            ek,
            chain: own.chain,
            pn: own.pn,
            n: own.n,
        }
    }
}

impl From<StoredSkipped> for SkippedChain {
    fn from(chain: StoredSkipped) -> Self {
        let keys = chain
            .keys
            .into_inner()
            .into_iter()
            .map(|stored| (stored.n, stored.key))
            .collect();
        Self {
            dh: chain.dh,
            at: chain.at,
            keys,
        }
    }
}
