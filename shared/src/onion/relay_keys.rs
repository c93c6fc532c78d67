//! All onion keys of a relay: of every suite that it offers, and of those that it offered until lately.
//!
//! ```text
//!  rotate(now) ─▶ keys of this epoch and the next exist; keys no longer accepted are wiped
//!  public(now) ─▶ into the descriptor            persist() ─▶ host's secret store, before publishing
//!  peel(packet) ─▶ Peeled                        drain_replay_log() ─▶ host's log, fsync every second
//!               └─▶ take_spent(): a filter is full; publish anew, senders turn to the next key
//!  discard_spent(), rotate(now) ─▶ where no key is left to publish, others of the same epochs
//! ```
//! A suite that the operator has taken off the list is not published and gets no new keys; those that it
//! has go on peeling until their time is over, so that packets and reply blocks on their way arrive.

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::descriptor::OnionKey;
use super::epoch::Epoch;
use super::keyring::{OnionKeys, ReplayEntry, RestoreError, not_keys};
use super::peel::{PeelError, Peeled, suite_of};
use super::replay::ReplayLimits;
use super::suites::Suites;
use crate::crypto::kem::{GenerateError, Rsa4096Kem, Suite, X25519Kem, XWingKem};
use crate::time::Timestamp;

/// Version of the record. Version 1 held the keys of one suite.
const RECORD_VERSION: u8 = 2;
/// The longest record: eight RSA keys in PKCS#8 are the most of it.
pub const MAX_RECORD_LEN: usize = 32 << 10;

/// The secret keys of a relay.
#[derive(Debug)]
pub struct RelayKeys {
    offered: Suites,
    x25519: OnionKeys<X25519Kem>,
    xwing: OnionKeys<XWingKem>,
    rsa4096: OnionKeys<Rsa4096Kem>,
}

/// The same for the keys of a suite.
macro_rules! of_suite {
    ($own:expr, $suite:expr, $keys:ident => $value:expr) => {
        match $suite {
            Suite::X25519 => {
                let $keys = &mut $own.x25519;
                $value
            }
            Suite::XWing => {
                let $keys = &mut $own.xwing;
                $value
            }
            Suite::Rsa4096 => {
                let $keys = &mut $own.rsa4096;
                $value
            }
        }
    };
}

impl RelayKeys {
    /// Fresh keys for the epoch of `now` and the next. RSA keys take a second each.
    pub fn generate(
        offered: Suites,
        limits: ReplayLimits,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, GenerateError> {
        let mut keys = Self::none(offered, limits);
        keys.rotate(now, rng)?;
        Ok(keys)
    }

    const fn none(offered: Suites, limits: ReplayLimits) -> Self {
        Self {
            offered,
            x25519: OnionKeys::none(limits),
            xwing: OnionKeys::none(limits),
            rsa4096: OnionKeys::none(limits),
        }
    }

    /// Wipes the keys that are not accepted any more and makes those of this epoch and the next. `true`
    /// if a key was made: then persist, and publish a new descriptor.
    pub fn rotate(
        &mut self,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<bool, GenerateError> {
        let mut made = false;
        for suite in Suite::ALL {
            made |= match self.offered.contains(suite) {
                true => of_suite!(self, suite, keys => keys.rotate(now, rng)?),
                false => {
                    of_suite!(self, suite, keys => keys.expire(now));
                    false
                }
            };
        }
        Ok(made)
    }

    /// When [`rotate`](Self::rotate) has something to do again: at the beginning of the next epoch.
    pub const fn next_rotation(now: Timestamp) -> Timestamp {
        OnionKeys::<X25519Kem>::next_rotation(now)
    }

    /// The public keys of the suites offered, of this epoch and the next, for the descriptor. A spent key
    /// is not published.
    pub fn public(&self, now: Timestamp) -> Vec<OnionKey> {
        let of = |suite| match suite {
            Suite::X25519 => self.x25519.public(now),
            Suite::XWing => self.xwing.public(now),
            Suite::Rsa4096 => self.rsa4096.public(now),
        };
        self.offered.iter().flat_map(of).collect()
    }

    /// Takes one layer off a packet, with the key that it names. See [`peel`](super::peel::peel).
    pub fn peel(
        &mut self,
        packet: Vec<u8>,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Peeled, PeelError> {
        let suite = suite_of(&packet).ok_or_else(|| match packet.get(1) {
            Some(number) => PeelError::Suite(*number),
            None => PeelError::Length(packet.len()),
        })?;
        of_suite!(self, suite, keys => match keys.held() {
            0 => Err(PeelError::Suite(suite.number())),
            _ => keys.peel(packet, now, rng),
        })
    }

    /// Whether a key has been spent since the last call: then publish a new descriptor, which does not
    /// list it.
    pub fn take_spent(&mut self) -> bool {
        let mut spent = false;
        for suite in Suite::ALL {
            spent |= of_suite!(self, suite, keys => keys.take_spent());
        }
        spent
    }

    /// Wipes all keys that take no more packets, so that [`rotate`](Self::rotate) makes others in their place: for when
    /// none is left to publish. Packets on their way to them are lost, as they would be anyway.
    pub fn discard_spent(&mut self) {
        for suite in Suite::ALL {
            of_suite!(self, suite, keys => keys.discard_spent());
        }
    }

    /// Wipes the key that a packet was for, because the packet will not be remembered; [`rotate`](Self::rotate) makes
    /// another in its place.
    pub fn discard(&mut self, forgotten: ReplayEntry) {
        if let Some(suite) = forgotten.suite() {
            of_suite!(self, suite, keys => keys.discard(forgotten.epoch()));
        }
    }

    /// Whether there is a key that this packet could have been for.
    pub fn holds_key_of(&self, entry: ReplayEntry) -> bool {
        let epoch = entry.epoch();
        entry.suite().is_some_and(|suite| match suite {
            Suite::X25519 => self.x25519.holds(epoch),
            Suite::XWing => self.xwing.holds(epoch),
            Suite::Rsa4096 => self.rsa4096.holds(epoch),
        })
    }

    /// What was peeled since the last call. The host appends it to its log and syncs that every second; a
    /// packet of the last second before a crash can pass once more.
    pub fn drain_replay_log(&mut self) -> Vec<ReplayEntry> {
        let mut log = self.x25519.drain_replay_log();
        log.append(&mut self.xwing.drain_replay_log());
        log.append(&mut self.rsa4096.drain_replay_log());
        log
    }

    /// Whether there is a key of this epoch, so that log lines of it still matter.
    pub fn holds(&self, epoch: Epoch) -> bool {
        self.x25519.holds(epoch) || self.xwing.holds(epoch) || self.rsa4096.holds(epoch)
    }

    /// Bytes that the replay filters occupy.
    pub fn filter_memory(&self) -> usize {
        self.x25519.filter_memory() + self.xwing.filter_memory() + self.rsa4096.filter_memory()
    }

    /// The secret keys as a record (CBOR: [version, suite, keys, suite, keys, …], keys as
    /// [[epoch index, secret], …]). It must be on disk before the keys are published, and the filters are
    /// not in it: they come from the log.
    pub fn persist(&self) -> Zeroizing<Vec<u8>> {
        // Room for all of it at once, so that no copy of a secret is left behind by growth.
        let mut record = Zeroizing::new(Vec::with_capacity(MAX_RECORD_LEN));
        let written = self.write(&mut minicbor::Encoder::new(&mut *record));
        debug_assert!(written.is_ok(), "writing to memory does not fail");
        record
    }

    fn write<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        let held = [self.x25519.held(), self.xwing.held(), self.rsa4096.held()];
        let suites = held.iter().filter(|held| **held > 0).count();
        e.array(1 + 2 * suites as u64)?.u8(RECORD_VERSION)?;
        if self.x25519.held() > 0 {
            self.x25519.write_suite(e)?;
        }
        if self.xwing.held() > 0 {
            self.xwing.write_suite(e)?;
        }
        if self.rsa4096.held() > 0 {
            self.rsa4096.write_suite(e)?;
        }
        Ok(())
    }

    /// Restores keys from a record, and their filters from the log. Call [`rotate`](Self::rotate) next: it
    /// makes what the record lacks.
    pub fn restore(
        record: &[u8],
        log: impl IntoIterator<Item = ReplayEntry>,
        offered: Suites,
        limits: ReplayLimits,
    ) -> Result<Self, RestoreError> {
        let mut restored = Self::none(offered, limits);
        let mut decoder = minicbor::Decoder::new(record);
        restored
            .read(&mut decoder)
            .map_err(|_| RestoreError::Damaged)??;
        if decoder.position() != record.len() {
            return Err(RestoreError::Damaged);
        }
        for entry in log {
            restored.x25519.remember(entry);
            restored.xwing.remember(entry);
            restored.rsa4096.remember(entry);
        }
        Ok(restored)
    }

    fn read(
        &mut self,
        d: &mut minicbor::Decoder<'_>,
    ) -> Result<Result<(), RestoreError>, minicbor::decode::Error> {
        let items = d.array()?.ok_or_else(not_keys)?;
        let suites = match (d.u8()?, items) {
            (1, 3) => 1,
            (RECORD_VERSION, 1 | 3 | 5 | 7) => items / 2,
            (later, _) if later > RECORD_VERSION => return Ok(Err(RestoreError::Version(later))),
            _ => return Err(not_keys()),
        };
        for _ in 0..suites {
            let number = d.u8()?;
            let Some(suite) = Suite::from_number(number) else {
                return Ok(Err(RestoreError::Suite(number)));
            };
            of_suite!(self, suite, keys => match keys.held() {
                0 => keys.read_keys(d)?,
                _ => return Err(not_keys()),
            });
        }
        Ok(Ok(()))
    }
}
