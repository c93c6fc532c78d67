//! Time as a value: milliseconds since the Unix epoch, and spans of milliseconds.
//!
//! Nothing here reads a clock. Whoever drives the protocol passes `now` in, which is what lets the
//! simulator run weeks in milliseconds. All arithmetic saturates: a hostile timestamp can be absurd,
//! but it cannot overflow.

use core::fmt;
use core::ops::{Add, AddAssign, Mul, Sub};

use minicbor::{Decode, Encode};

/// How far somebody's clock may be ahead of ours: what claims to be later is refused, or counts as the oldest.
pub const CLOCK_AHEAD: Duration = Duration::from_days(1);

/// A moment: milliseconds since 1970-01-01T00:00:00Z. On the wire: a CBOR unsigned integer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode, Decode)]
#[cbor(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The Unix epoch itself.
    pub const EPOCH: Self = Self(0);
    /// The latest representable moment.
    pub const MAX: Self = Self(u64::MAX);

    /// The moment `ms` milliseconds after the epoch.
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms)
    }

    /// The moment `secs` seconds after the epoch (saturating).
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000))
    }

    /// Milliseconds since the epoch.
    pub const fn as_ms(self) -> u64 {
        self.0
    }

    /// Whether it lies more than [`CLOCK_AHEAD`] after `now`: no time to wait for, but what a wrong clock once said.
    pub fn is_ahead_of(self, now: Self) -> bool {
        self > now.saturating_add(CLOCK_AHEAD)
    }

    /// How long ago `earlier` was; zero if it lies in the future.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration(self.0.saturating_sub(earlier.0))
    }

    /// This moment moved later by `by`.
    pub const fn saturating_add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(by.0))
    }

    /// This moment moved earlier by `by`, not before the epoch.
    pub const fn saturating_sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(by.0))
    }

    /// The start of the period of length `period` that this moment falls into (epochs, coarse times).
    /// A zero period leaves the moment as it is.
    pub const fn floor_to(self, period: Duration) -> Self {
        match self.0.checked_rem(period.0) {
            Some(rest) => Self(self.0 - rest),
            None => self,
        }
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, by: Duration) -> Self {
        self.saturating_add(by)
    }
}

impl AddAssign<Duration> for Timestamp {
    fn add_assign(&mut self, by: Duration) {
        *self = self.saturating_add(by);
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, by: Duration) -> Self {
        self.saturating_sub(by)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{}ms", self.0)
    }
}

/// A span of time in milliseconds. On the wire: a CBOR unsigned integer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode, Decode)]
#[cbor(transparent)]
pub struct Duration(u64);

impl Duration {
    /// No time at all.
    pub const ZERO: Self = Self(0);
    /// The longest representable span.
    pub const MAX: Self = Self(u64::MAX);

    /// A span of `ms` milliseconds.
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms)
    }

    /// A span of `secs` seconds (saturating).
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000))
    }

    /// A span of `mins` minutes (saturating).
    pub const fn from_mins(mins: u64) -> Self {
        Self(mins.saturating_mul(60_000))
    }

    /// A span of `hours` hours (saturating).
    pub const fn from_hours(hours: u64) -> Self {
        Self(hours.saturating_mul(3_600_000))
    }

    /// A span of `days` days of 24 hours (saturating).
    pub const fn from_days(days: u64) -> Self {
        Self(days.saturating_mul(86_400_000))
    }

    /// The span in milliseconds.
    pub const fn as_ms(self) -> u64 {
        self.0
    }

    /// The span in whole seconds, rounded down.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000
    }

    /// The sum of two spans.
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference of two spans, not below zero.
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// The span `times` over.
    pub const fn saturating_mul(self, times: u64) -> Self {
        Self(self.0.saturating_mul(times))
    }
}

impl Add for Duration {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        self.saturating_add(other)
    }
}

impl Sub for Duration {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self.saturating_sub(other)
    }
}

impl Mul<u64> for Duration {
    type Output = Self;
    fn mul(self, times: u64) -> Self {
        self.saturating_mul(times)
    }
}

impl fmt::Debug for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_agree() {
        assert_eq!(Duration::from_days(1), Duration::from_hours(24));
        assert_eq!(Duration::from_hours(1), Duration::from_mins(60));
        assert_eq!(Duration::from_mins(1), Duration::from_secs(60));
        assert_eq!(Duration::from_secs(1), Duration::from_ms(1_000));
        assert_eq!(Duration::from_ms(1_999).as_secs(), 1);
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Timestamp::MAX + Duration::MAX, Timestamp::MAX);
        assert_eq!(Timestamp::EPOCH - Duration::from_ms(1), Timestamp::EPOCH);
        assert_eq!(Duration::from_days(u64::MAX), Duration::MAX);
        assert_eq!(Duration::MAX * 2, Duration::MAX);
        assert_eq!(Duration::ZERO - Duration::MAX, Duration::ZERO);
    }

    #[test]
    fn since_is_zero_for_the_future() {
        let (early, late) = (Timestamp::from_ms(5), Timestamp::from_ms(9));
        assert_eq!(late.since(early), Duration::from_ms(4));
        assert_eq!(early.since(late), Duration::ZERO);
    }

    #[test]
    fn floors_to_a_period() {
        let hour = Duration::from_hours(1);
        assert_eq!(
            Timestamp::from_ms(3_600_001).floor_to(hour),
            Timestamp::from_ms(3_600_000)
        );
        assert_eq!(
            Timestamp::from_ms(7).floor_to(Duration::ZERO),
            Timestamp::from_ms(7)
        );
    }

    #[test]
    fn travels_as_an_unsigned_integer() {
        let bytes = minicbor::to_vec(Timestamp::from_ms(24)).unwrap();
        assert_eq!(bytes, [0x18, 24]);
        assert_eq!(
            minicbor::decode::<Timestamp>(&bytes).unwrap(),
            Timestamp::from_ms(24)
        );
        assert!(
            minicbor::decode::<Timestamp>(&[0x20]).is_err(),
            "a negative time is refused"
        );
    }
}
