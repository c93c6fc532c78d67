//! How much anybody may ask for: connections, frames, requests. Whoever exceeds it harms itself only.

use std::collections::HashMap;

use zentalk_shared::time::{Duration, Timestamp};

use super::io::Origin;

/// A rate with room for bursts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many per minute, on average.
    pub per_minute: u32,
    /// How many at once.
    pub burst: u32,
}

/// A token bucket.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    /// In 60,000ths of a token: what one token per minute gives per millisecond.
    level: u64,
    filled: Timestamp,
}

const TOKEN: u64 = 60_000;

impl Bucket {
    /// As many tokens as a burst takes.
    pub fn full(rate: Rate, now: Timestamp) -> Self {
        Self {
            level: u64::from(rate.burst) * TOKEN,
            filled: now,
        }
    }

    /// Takes `cost` tokens if there are so many.
    pub fn take(&mut self, rate: Rate, cost: u32, now: Timestamp) -> bool {
        self.level = self.level_at(rate, now);
        self.filled = self.filled.max(now);
        match self.level.checked_sub(u64::from(cost) * TOKEN) {
            Some(rest) => {
                self.level = rest;
                true
            }
            None => false,
        }
    }
}

impl Bucket {
    /// Takes `cost` tokens that were used up before anybody knew how many: those that are not there are taken from
    /// what comes next.
    pub fn owe(&mut self, rate: Rate, cost: u32, now: Timestamp) {
        let level = self.level_at(rate, now);
        let cost = u64::from(cost) * TOKEN;
        self.level = level.saturating_sub(cost);
        let pause = cost.saturating_sub(level) / u64::from(rate.per_minute.max(1));
        self.filled = self.filled.max(now) + Duration::from_ms(pause);
    }

    /// Whether it is as if nothing had been taken.
    pub fn is_full(&self, rate: Rate, now: Timestamp) -> bool {
        self.level_at(rate, now) == u64::from(rate.burst) * TOKEN
    }

    fn level_at(&self, rate: Rate, now: Timestamp) -> u64 {
        let passed = now.since(self.filled).as_ms();
        self.level
            .saturating_add(passed.saturating_mul(rate.per_minute.into()))
            .min(u64::from(rate.burst) * TOKEN)
    }
}

/// Counts accepted connections, in all and by origin.
#[derive(Debug, Default)]
pub struct Doorkeeper {
    accepted: usize,
    by_origin: HashMap<Origin, usize>,
}

impl Doorkeeper {
    /// Lets a connection in if there is room for it.
    pub fn enter(&mut self, origin: Option<Origin>, total: usize, each: usize) -> bool {
        let from_there = origin
            .and_then(|origin| self.by_origin.get(&origin))
            .copied()
            .unwrap_or(0);
        if self.accepted >= total || from_there >= each {
            return false;
        }
        self.accepted += 1;
        if let Some(origin) = origin {
            *self.by_origin.entry(origin).or_default() += 1;
        }
        true
    }

    /// A connection that was let in has gone.
    pub fn leave(&mut self, origin: Option<Origin>) {
        self.accepted = self.accepted.saturating_sub(1);
        let Some(origin) = origin else { return };
        if let Some(count) = self.by_origin.get_mut(&origin) {
            *count -= 1;
            if *count == 0 {
                self.by_origin.remove(&origin);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate {
        per_minute: 60,
        burst: 3,
    };

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let start = Timestamp::from_secs(100);
        let mut bucket = Bucket::full(RATE, start);
        assert!(bucket.take(RATE, 2, start) && bucket.take(RATE, 1, start));
        assert!(!bucket.take(RATE, 1, start + Duration::from_ms(999)));
        assert!(bucket.take(RATE, 1, start + Duration::from_ms(1000)));
        assert!(!bucket.take(RATE, 1, start + Duration::from_ms(1000)));
        assert!(bucket.take(RATE, 3, start + Duration::from_hours(1)));
        assert!(
            !bucket.take(RATE, 1, start + Duration::from_hours(1)),
            "never more than the burst"
        );
    }

    #[test]
    fn what_is_owed_is_paid_back_by_waiting() {
        let start = Timestamp::from_secs(100);
        let mut bucket = Bucket::full(RATE, start);
        bucket.owe(RATE, 2, start);
        assert!(bucket.take(RATE, 1, start), "one was left");
        bucket.owe(RATE, 5, start);
        assert!(!bucket.take(RATE, 1, start + Duration::from_secs(5)));
        assert!(bucket.take(RATE, 1, start + Duration::from_secs(6)));
        assert!(bucket.take(RATE, 3, start + Duration::from_hours(1)));
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing() {
        let start = Timestamp::from_secs(100);
        let mut bucket = Bucket::full(RATE, start);
        assert!(bucket.take(RATE, 3, start));
        assert!(!bucket.take(RATE, 1, Timestamp::from_secs(1)));
        assert!(
            !bucket.take(RATE, 1, start),
            "the second was not counted twice"
        );
    }

    #[test]
    fn fault_15_connections_are_capped_in_all_and_by_origin() {
        let (here, there) = (Some(Origin(1)), Some(Origin(2)));
        let mut door = Doorkeeper::default();
        assert!(door.enter(here, 3, 2) && door.enter(here, 3, 2));
        assert!(!door.enter(here, 3, 2), "two from here");
        assert!(door.enter(there, 3, 2));
        assert!(!door.enter(None, 3, 2), "three in all");
        door.leave(here);
        assert!(door.enter(here, 3, 2));
        door.leave(here);
        door.leave(here);
        door.leave(there);
        assert!(door.by_origin.is_empty());
    }
}
