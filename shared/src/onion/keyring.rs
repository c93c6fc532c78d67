//! A relay's onion keys of one suite: one per epoch, each with its replay filter (PROTOCOL.md §4, §5).
//! [`RelayKeys`](super::relay_keys::RelayKeys) holds those of all its suites.
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
use super::layout::Writer;
use super::peel::{PeelError, Peeled, epoch_of, peel};
use super::replay::{ReplayFilter, ReplayLimits, ReplayTag};
use crate::crypto::kem::{GenerateError, Kem, Suite};
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
    /// A filter has become full since this was last asked.
    spent: bool,
}

struct EpochKey<K: Kem> {
    index: EpochIndex,
    secret: K::Secret,
    filter: ReplayFilter,
}

/// A line of the replay log: 19 bytes, suite ‖ epoch ‖ tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayEntry {
    suite: u8,
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
    pub const LEN: usize = 1 + 2 + ReplayTag::LEN;

    /// The bytes for the log.
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        let [suite, rest @ ..] = &mut bytes;
        *suite = self.suite;
        let _ = Writer::new(rest)
            .put(&self.epoch.to_bytes())
            .put(self.tag.as_bytes());
        bytes
    }

    /// Reads a line of the log. Every 19 bytes are one.
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        let [suite, high, low, tag @ ..] = *bytes;
        Self {
            suite,
            epoch: Epoch::from_bytes([high, low]),
            tag: ReplayTag::from_bytes(tag),
        }
    }

    /// The epoch whose key the packet was for. When [`OnionKeys::holds`] says no, the line can go.
    pub const fn epoch(self) -> Epoch {
        self.epoch
    }
}

impl ReplayEntry {
    /// The suite of the packet, if this version knows it.
    pub(super) fn suite(self) -> Option<Suite> {
        Suite::from_number(self.suite)
    }
}

impl<K: Kem> OnionKeys<K> {
    /// Fresh keys for the epoch of `now` and the next.
    pub fn generate(
        limits: ReplayLimits,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, GenerateError> {
        let mut keys = Self::none(limits);
        keys.rotate(now, rng)?;
        Ok(keys)
    }

    /// No keys.
    pub(super) const fn none(limits: ReplayLimits) -> Self {
        Self {
            keys: Vec::new(),
            limits,
            log: Vec::new(),
            spent: false,
        }
    }

    /// Wipes the keys that are not accepted any more and makes those of this epoch and the next. `true`
    /// if a key was made: then persist, and publish a new descriptor.
    pub fn rotate(
        &mut self,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<bool, GenerateError> {
        self.expire(now);
        let current = EpochIndex::at(now);
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

    /// Wipes the keys that are not accepted any more.
    pub(super) fn expire(&mut self, now: Timestamp) {
        let current = EpochIndex::at(now);
        self.keys
            .retain(|key| key.index.accepted_until() > now && key.index <= current.next());
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
    ) -> Result<Peeled, PeelError> {
        let epoch = epoch_of::<K>(&packet)?;
        let early = self.accepts_early(now);
        let accepted = |key: &&mut EpochKey<K>| {
            let now = key.index.is_accepted(now) || Some(key.index) == early;
            now && key.index.epoch() == epoch
        };
        let key = self
            .keys
            .iter_mut()
            .find(accepted)
            .ok_or(PeelError::UnknownEpoch(epoch))?;
        let (filter, log, spent) = (&mut key.filter, &mut self.log, &mut self.spent);
        let record = |tag| {
            filter.insert(tag)?;
            *spent |= filter.is_exhausted();
            let suite = K::SUITE;
            log.push(ReplayEntry { suite, epoch, tag });
            Ok(())
        };
        peel::<K>(&key.secret, packet, record, rng)
    }

    /// The next epoch, if senders already use its key because this epoch's is spent.
    fn accepts_early(&self, now: Timestamp) -> Option<EpochIndex> {
        let current = EpochIndex::at(now);
        let mut keys = self.keys.iter();
        let spent = keys.any(|key| key.index == current && key.filter.is_exhausted());
        spent.then_some(current.next())
    }

    /// Whether a key has been spent since the last call: then publish a new descriptor, which does not
    /// list it.
    pub fn take_spent(&mut self) -> bool {
        core::mem::take(&mut self.spent)
    }

    /// What was peeled since the last call. The host appends it to its log and syncs that every second; a
    /// packet of the last second before a crash can pass once more.
    pub fn drain_replay_log(&mut self) -> Vec<ReplayEntry> {
        core::mem::take(&mut self.log)
    }

    /// Wipes keys that take no more packets; [`rotate`](Self::rotate) makes others in their place.
    pub(super) fn discard_spent(&mut self) {
        self.keys.retain(|key| !key.filter.is_exhausted());
    }

    /// Wipes the key of an epoch; [`rotate`](Self::rotate) makes another in its place if it is of now.
    pub(super) fn discard(&mut self, epoch: Epoch) {
        self.keys.retain(|key| key.index.epoch() != epoch);
    }

    /// Whether there is a key of this epoch, so that log lines of it still matter.
    pub fn holds(&self, epoch: Epoch) -> bool {
        self.keys.iter().any(|key| key.index.epoch() == epoch)
    }

    /// How many keys there are.
    pub(super) const fn held(&self) -> usize {
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
        e.array(3)?.u8(RECORD_VERSION)?;
        self.write_suite(e)
    }

    /// Suite and keys, two items.
    pub(super) fn write_suite<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
    ) -> Result<(), minicbor::encode::Error<W::Error>>
    where
        K::Secret: minicbor::Encode<()>,
    {
        e.u8(K::SUITE)?.array(self.keys.len() as u64)?;
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
        let mut restored = Self::none(limits);
        let version = restored
            .read(&mut decoder)
            .map_err(|_| RestoreError::Damaged)?;
        version?;
        if decoder.position() != record.len() {
            return Err(RestoreError::Damaged);
        }
        log.into_iter().for_each(|entry| restored.remember(entry));
        Ok(restored)
    }

    /// Takes a line of the log, if it is of one of these keys.
    pub(super) fn remember(&mut self, entry: ReplayEntry) {
        let ours =
            |key: &&mut EpochKey<K>| entry.suite == K::SUITE && key.index.epoch() == entry.epoch;
        if let Some(key) = self.keys.iter_mut().find(ours) {
            // A tag that is logged twice, or a spent filter: nothing left to do.
            let _ = key.filter.insert(entry.tag);
        }
    }

    fn read(
        &mut self,
        d: &mut minicbor::Decoder<'_>,
    ) -> Result<Result<(), RestoreError>, minicbor::decode::Error>
    where
        K::Secret: for<'b> minicbor::Decode<'b, ()>,
    {
        let (fields, version, suite) = (d.array()?, d.u8()?, d.u8()?);
        match (fields, version) {
            (Some(3), RECORD_VERSION) if suite == K::SUITE => self.read_keys(d).map(Ok),
            (Some(3), RECORD_VERSION) => Ok(Err(RestoreError::Suite(suite))),
            (Some(3), later) if later > RECORD_VERSION => Ok(Err(RestoreError::Version(later))),
            _ => Err(not_keys()),
        }
    }

    /// The keys, after the number of their suite.
    pub(super) fn read_keys(
        &mut self,
        d: &mut minicbor::Decoder<'_>,
    ) -> Result<(), minicbor::decode::Error>
    where
        K::Secret: for<'b> minicbor::Decode<'b, ()>,
    {
        let Some(count) = d.array()?.filter(|count| *count <= MAX_KEYS) else {
            return Err(not_keys());
        };
        for _ in 0..count {
            if d.array()? != Some(2) {
                return Err(not_keys());
            }
            let (index, secret) = (d.decode()?, d.decode()?);
            self.keys.push(EpochKey {
                index,
                secret,
                filter: ReplayFilter::new(self.limits),
            });
        }
        Ok(())
    }
}

/// The record is of something else.
pub(super) fn not_keys() -> minicbor::decode::Error {
    minicbor::decode::Error::message("not a record of onion keys")
}

impl<K: Kem> fmt::Debug for OnionKeys<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let epochs: Vec<_> = self.keys.iter().map(|key| key.index.epoch()).collect();
        f.debug_struct("OnionKeys")
            .field("epochs", &epochs)
            .finish_non_exhaustive()
    }
}
