//! A relay's onion keys: one per epoch, each with its replay filter (PROTOCOL.md §4, §5).
//!
//! ```text
//!  rotate(now) ─▶ keys of this epoch and the next exist; keys no longer accepted are wiped
//!  public(now) ─▶ into the descriptor            persist() ─▶ host's secret store, before publishing
//!  peel(packet) ─▶ Peeled                        drain_replay_log() ─▶ host's log, fsync every second
//! ```

use core::fmt;

use rand_core::CryptoRng;
use thiserror::Error;
use zeroize::Zeroizing;

use super::descriptor::OnionKey;
use super::epoch::{Epoch, EpochIndex};
use super::peel::{PeelError, Peeled, epoch_of, peel};
use super::replay::{ReplayFilter, ReplayLimits, ReplayTag};
use crate::crypto::kem::{GenerateError, Kem};
use crate::time::Timestamp;

/// Version of the persisted record.
const RECORD_VERSION: u8 = 1;
/// The most keys in a record. Three are accepted at a time at most; a fourth is the next one.
const MAX_KEYS: u64 = 8;

/// The secret keys of a relay.
pub struct OnionKeys<K: Kem> {
    keys: Vec<EpochKey<K>>,
    limits: ReplayLimits,
    log: Vec<ReplayEntry>,
}

struct EpochKey<K: Kem> {
    index: EpochIndex,
    secret: K::Secret,
    filter: ReplayFilter,
}

/// A line of the replay log: 18 bytes, epoch ‖ tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayEntry {
    epoch: Epoch,
    tag: ReplayTag,
}

/// A record cannot be used: the environment's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RestoreError {
    /// Not a record of onion keys.
    #[error("the record of onion keys is damaged")]
    Damaged,
    /// Written by a later version.
    #[error("the record of onion keys has version {0}")]
    Version(u8),
    /// Keys of another suite.
    #[error("the record holds keys of suite {0}")]
    Suite(u8),
}

impl ReplayEntry {
    /// Length in bytes.
    pub const LEN: usize = 2 + ReplayTag::LEN;

    /// The bytes for the log.
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        let (epoch, tag) = bytes.split_at_mut(2);
        epoch.copy_from_slice(&self.epoch.to_bytes());
        tag.copy_from_slice(self.tag.as_bytes());
        bytes
    }

    /// Reads a line of the log. Every 18 bytes are one.
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        let [high, low, tag @ ..] = *bytes;
        Self {
            epoch: Epoch::from_bytes([high, low]),
            tag: ReplayTag::from_bytes(tag),
        }
    }

    /// The epoch whose key the packet was for. When [`OnionKeys::holds`] says no, the line can go.
    pub const fn epoch(self) -> Epoch {
        self.epoch
    }
}

impl<K: Kem> OnionKeys<K> {
    /// Fresh keys for the epoch of `now` and the next.
    pub fn generate(
        limits: ReplayLimits,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, GenerateError> {
        let mut keys = Self {
            keys: Vec::new(),
            limits,
            log: Vec::new(),
        };
        keys.rotate(now, rng)?;
        Ok(keys)
    }

    /// Wipes the keys that are not accepted any more and makes those of this epoch and the next. `true`
    /// if a key was made: then persist, and publish a new descriptor.
    pub fn rotate(
        &mut self,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<bool, GenerateError> {
        let current = EpochIndex::at(now);
        self.keys
            .retain(|key| key.index.accepted_until() > now && key.index <= current.next());
        let mut made = false;
        for index in [current, current.next()] {
            if !self.keys.iter().any(|key| key.index == index) {
                let filter = ReplayFilter::new(self.limits);
                self.keys.push(EpochKey {
                    index,
                    secret: K::generate(rng)?,
                    filter,
                });
                made = true;
            }
        }
        Ok(made)
    }

    /// When [`rotate`](Self::rotate) has something to do again: at the beginning of the next epoch.
    pub const fn next_rotation(now: Timestamp) -> Timestamp {
        EpochIndex::at(now).next().starts()
    }

    /// The public keys of this epoch and the next, for the descriptor. A spent key is not published.
    pub fn public(&self, now: Timestamp) -> Vec<OnionKey> {
        let current = EpochIndex::at(now);
        let published = self.keys.iter().filter(|key| key.index >= current);
        published
            .filter(|key| !key.filter.is_exhausted())
            .map(|key| OnionKey {
                suite: K::SUITE,
                epoch: key.index.epoch(),
                key: K::public(&key.secret).as_ref().to_vec(),
            })
            .collect()
    }

    /// Takes one layer off a packet, with the key that it names. See [`peel`].
    pub fn peel(
        &mut self,
        packet: Vec<u8>,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Peeled<K>, PeelError> {
        let epoch = epoch_of::<K>(&packet)?;
        let accepted =
            |key: &&mut EpochKey<K>| key.index.epoch() == epoch && key.index.is_accepted(now);
        let key = self
            .keys
            .iter_mut()
            .find(accepted)
            .ok_or(PeelError::UnknownEpoch(epoch))?;
        let (filter, log) = (&mut key.filter, &mut self.log);
        let record = |tag| {
            filter.insert(tag)?;
            log.push(ReplayEntry { epoch, tag });
            Ok(())
        };
        peel::<K>(&key.secret, packet, record, rng)
    }

    /// What was peeled since the last call. The host appends it to its log and syncs that every second; a
    /// packet of the last second before a crash can pass once more.
    pub fn drain_replay_log(&mut self) -> Vec<ReplayEntry> {
        core::mem::take(&mut self.log)
    }

    /// Whether there is a key of this epoch, so that log lines of it still matter.
    pub fn holds(&self, epoch: Epoch) -> bool {
        self.keys.iter().any(|key| key.index.epoch() == epoch)
    }

    #[cfg(test)]
    pub(super) fn keys_held(&self) -> usize {
        self.keys.len()
    }

    /// Bytes that the replay filters occupy.
    pub fn filter_memory(&self) -> usize {
        self.keys.iter().map(|key| key.filter.memory()).sum()
    }

    /// The secret keys as a record (CBOR: [version, suite, [[epoch index, secret], …]]). It must be on
    /// disk before the keys are published, and the filters are not in it: they come from the log.
    pub fn persist(&self) -> Zeroizing<Vec<u8>>
    where
        K::Secret: minicbor::Encode<()>,
    {
        // Room for all of it at once, so that no copy of a secret is left behind by growth.
        let mut record = Zeroizing::new(Vec::with_capacity(64 + 4096 * self.keys.len()));
        let written = self.write(&mut minicbor::Encoder::new(&mut *record));
        debug_assert!(written.is_ok(), "writing to memory does not fail");
        record
    }

    fn write<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
    ) -> Result<(), minicbor::encode::Error<W::Error>>
    where
        K::Secret: minicbor::Encode<()>,
    {
        e.array(3)?
            .u8(RECORD_VERSION)?
            .u8(K::SUITE)?
            .array(self.keys.len() as u64)?;
        for key in &self.keys {
            e.array(2)?.encode(key.index)?.encode(&key.secret)?;
        }
        Ok(())
    }

    /// Restores keys from a record, and their filters from the log. Call [`rotate`](Self::rotate) next.
    pub fn restore(
        record: &[u8],
        log: impl IntoIterator<Item = ReplayEntry>,
        limits: ReplayLimits,
    ) -> Result<Self, RestoreError>
    where
        K::Secret: for<'b> minicbor::Decode<'b, ()>,
    {
        let mut decoder = minicbor::Decoder::new(record);
        let mut restored = Self {
            keys: Vec::new(),
            limits,
            log: Vec::new(),
        };
        let version = restored
            .read(&mut decoder)
            .map_err(|_| RestoreError::Damaged)?;
        version?;
        if decoder.position() != record.len() {
            return Err(RestoreError::Damaged);
        }
        for entry in log {
            let key = restored
                .keys
                .iter_mut()
                .find(|key| key.index.epoch() == entry.epoch);
            if let Some(key) = key {
                // A tag that is logged twice, or a spent filter: nothing left to do.
                let _ = key.filter.insert(entry.tag);
            }
        }
        Ok(restored)
    }

    fn read(
        &mut self,
        d: &mut minicbor::Decoder<'_>,
    ) -> Result<Result<(), RestoreError>, minicbor::decode::Error>
    where
        K::Secret: for<'b> minicbor::Decode<'b, ()>,
    {
        let damaged = minicbor::decode::Error::message("not a record of onion keys");
        let (fields, version, suite) = (d.array()?, d.u8()?, d.u8()?);
        match (fields, version) {
            (Some(3), RECORD_VERSION) if suite == K::SUITE => {}
            (Some(3), RECORD_VERSION) => return Ok(Err(RestoreError::Suite(suite))),
            (Some(3), later) if later > RECORD_VERSION => {
                return Ok(Err(RestoreError::Version(later)));
            }
            _ => return Err(damaged),
        }
        let Some(count) = d.array()?.filter(|count| *count <= MAX_KEYS) else {
            return Err(damaged);
        };
        for _ in 0..count {
            if d.array()? != Some(2) {
                return Err(damaged);
            }
            let (index, secret) = (d.decode()?, d.decode()?);
            self.keys.push(EpochKey {
                index,
                secret,
                filter: ReplayFilter::new(self.limits),
            });
        }
        Ok(Ok(()))
    }
}

impl<K: Kem> fmt::Debug for OnionKeys<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let epochs: Vec<_> = self.keys.iter().map(|key| key.index.epoch()).collect();
        f.debug_struct("OnionKeys")
            .field("epochs", &epochs)
            .finish_non_exhaustive()
    }
}
