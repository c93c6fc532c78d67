//! Epochs of onion keys: 6 hours each, counted from the Unix epoch (PROTOCOL.md §4).
//!
//! ```text
//!            start                   start + 6 h             start + 12 h
//!   ─────┬─────┼───────────────────────┼───────────────────────┤
//!        −3 h  │ senders use the key   │                       │
//!        └─────┴─ relays accept it ────┴───────────────────────┘
//! ```

use core::fmt;

use minicbor::{Decode, Encode};

use crate::time::{Duration, Timestamp};

/// How long senders use one key.
pub const EPOCH_LENGTH: Duration = Duration::from_hours(6);
/// How long before its epoch a key is accepted, for senders whose clock is fast, or the relay's slow: two hours off is a
/// wrong zone or summer time. Senders whose clock is slow find the epoch's key as the first that is listed.
pub const ACCEPTED_BEFORE: Duration = Duration::from_hours(3);
/// How long after the beginning of its epoch a key is accepted: reply blocks live on it.
pub const ACCEPTED_FOR: Duration = Duration::from_hours(12);
/// How long before its keys a reply block expires.
pub const SURB_MARGIN: Duration = Duration::from_mins(10);

/// Which epoch a key belongs to, as packets and descriptors name it: the count of epochs since 1970,
/// modulo 2^16 (which is 44 years).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Epoch(u16);

impl Epoch {
    /// The epoch with this number.
    pub const fn from_number(number: u16) -> Self {
        Self(number)
    }

    /// The number that packets carry.
    pub const fn number(self) -> u16 {
        self.0
    }

    /// The epoch that `now` falls into.
    pub const fn at(now: Timestamp) -> Self {
        EpochIndex::at(now).epoch()
    }

    /// The epoch after this one.
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// When a key of this epoch stops being accepted. The number repeats every 44 years; the one
    /// nearest to `now` is meant.
    pub const fn accepted_until(self, now: Timestamp) -> Timestamp {
        EpochIndex::near(self, now).accepted_until()
    }

    /// Whether senders use a key of this epoch at `now`.
    pub fn is_current(self, now: Timestamp) -> bool {
        self == Self::at(now)
    }

    pub(super) const fn to_bytes(self) -> [u8; 2] {
        self.0.to_be_bytes()
    }

    pub(super) const fn from_bytes(bytes: [u8; 2]) -> Self {
        Self(u16::from_be_bytes(bytes))
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Epoch({})", self.0)
    }
}

/// Epochs since 1970, never wrapping: what a relay stores beside its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub(super) struct EpochIndex(u64);

impl EpochIndex {
    pub(super) const fn at(now: Timestamp) -> Self {
        Self(now.as_ms() / EPOCH_LENGTH.as_ms())
    }

    /// The index nearest to `now` whose low 16 bits are `epoch`.
    const fn near(epoch: Epoch, now: Timestamp) -> Self {
        let current = Self::at(now);
        let ahead = epoch.0.wrapping_sub(current.epoch().0);
        match ahead < 0x8000 {
            true => Self(current.0.saturating_add(ahead as u64)),
            false => Self(current.0.saturating_sub(ahead.wrapping_neg() as u64)),
        }
    }

    pub(super) const fn epoch(self) -> Epoch {
        Epoch((self.0 & 0xffff) as u16)
    }

    pub(super) const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    pub(super) const fn starts(self) -> Timestamp {
        Timestamp::from_ms(self.0.saturating_mul(EPOCH_LENGTH.as_ms()))
    }

    pub(super) const fn accepted_until(self) -> Timestamp {
        self.starts().saturating_add(ACCEPTED_FOR)
    }

    pub(super) fn is_accepted(self, now: Timestamp) -> bool {
        self.starts().saturating_sub(ACCEPTED_BEFORE) <= now && now < self.accepted_until()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEAR_THE_END: Timestamp = Timestamp::from_ms(u64::MAX - (1 << 50));
    const START: Timestamp = Timestamp::from_ms(80_000 * 21_600_000);

    #[test]
    fn the_number_is_the_count_modulo_65536() {
        assert_eq!(Epoch::at(Timestamp::EPOCH).number(), 0);
        assert_eq!(Epoch::at(START).number(), (80_000 % 65_536) as u16);
        assert_eq!(
            Epoch::at(START - Duration::from_ms(1)).next(),
            Epoch::at(START)
        );
        assert_eq!(Epoch::from_number(u16::MAX).next(), Epoch::from_number(0));
    }

    #[test]
    fn accepted_from_ten_minutes_before_until_twelve_hours_after() {
        let index = EpochIndex::at(START);
        let ms = Duration::from_ms(1);
        assert!(!index.is_accepted(START - ACCEPTED_BEFORE - ms));
        assert!(index.is_accepted(START - ACCEPTED_BEFORE));
        assert!(index.is_accepted(START + Duration::from_hours(12) - ms));
        assert!(!index.is_accepted(START + Duration::from_hours(12)));
    }

    #[test]
    fn a_number_means_the_epoch_nearest_to_now() {
        let until = START + ACCEPTED_FOR;
        let epoch = Epoch::at(START);
        for hours in [0, 5, 11, 24, 1000] {
            assert_eq!(
                epoch.accepted_until(START + Duration::from_hours(hours)),
                until
            );
            assert_eq!(
                epoch.accepted_until(START - Duration::from_hours(hours)),
                until
            );
        }
        let wrapping = Timestamp::from_ms(65_536 * 21_600_000);
        assert_eq!(
            Epoch::from_number(0).accepted_until(wrapping - Duration::from_ms(1)),
            wrapping + ACCEPTED_FOR
        );
    }

    #[test]
    fn absurd_times_do_not_overflow() {
        assert!(Epoch::from_number(7).accepted_until(Timestamp::MAX) > NEAR_THE_END);
        assert!(!EpochIndex(u64::MAX).is_accepted(Timestamp::EPOCH));
        assert_eq!(EpochIndex(u64::MAX).next(), EpochIndex(u64::MAX));
    }

    #[test]
    fn is_current_within_its_epoch_only() {
        let epoch = Epoch::at(START);
        assert!(epoch.is_current(START));
        assert!(!epoch.is_current(START - Duration::from_ms(1)));
        assert!(!epoch.is_current(START + EPOCH_LENGTH));
    }
}
