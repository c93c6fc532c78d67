//! Clocks that are wrong.

use zentalk_shared::time::{Duration, Timestamp};

/// How far clocks are off, at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skew {
    /// Those that are ahead.
    pub ahead: Duration,
    /// Those that are behind.
    pub behind: Duration,
}

impl Skew {
    /// None is.
    pub const NONE: Self = Self {
        ahead: Duration::ZERO,
        behind: Duration::ZERO,
    };
}

/// How the clock of a host differs from the world's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clock {
    /// It shows a time that is so much later,
    Ahead(Duration),
    /// or earlier.
    Behind(Duration),
}

impl Clock {
    /// A right one.
    pub(super) const RIGHT: Self = Self::Ahead(Duration::ZERO);

    /// Of the host with that number: of three, one has it right, one is ahead, one behind.
    pub(super) const fn of(index: usize, skew: Skew) -> Self {
        match index % 3 {
            0 => Self::RIGHT,
            1 => Self::Ahead(skew.ahead),
            _ => Self::Behind(skew.behind),
        }
    }

    /// What it shows.
    pub(super) const fn read(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Ahead(skew) => now.saturating_add(skew),
            Self::Behind(skew) => now.saturating_sub(skew),
        }
    }

    /// When it shows that.
    pub(super) const fn when(self, shown: Timestamp) -> Timestamp {
        match self {
            Self::Ahead(skew) => shown.saturating_sub(skew),
            Self::Behind(skew) => shown.saturating_add(skew),
        }
    }
}
