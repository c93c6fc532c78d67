//! Exponential backoff with full jitter: a crowd that lost the same relay does not come back as one.
//! Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.

use rand::RngExt;
use rand_core::CryptoRng;

use crate::time::{Duration, Timestamp};

/// How long to wait after the n-th failure in a row: uniform between nothing and `base · 2^(n−1)`, at
/// most `cap`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Backoff {
    base: Duration,
    cap: Duration,
    failures: u32,
}

impl Backoff {
    /// No failure so far.
    pub(super) const fn new(base: Duration, cap: Duration) -> Self {
        Self {
            base,
            cap,
            failures: 0,
        }
    }

    /// Failures since the last success.
    pub(super) const fn failures(&self) -> u32 {
        self.failures
    }

    /// An attempt succeeded, or there is reason to believe that the next one will.
    pub(super) const fn reset(&mut self) {
        self.failures = 0;
    }

    /// An attempt failed: when to start the next one.
    pub(super) fn fail(&mut self, now: Timestamp, rng: &mut impl CryptoRng) -> Timestamp {
        self.failures = self.failures.saturating_add(1);
        now + jitter(self.ceiling(), rng)
    }

    /// The longest wait after as many failures as there were.
    fn ceiling(&self) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(32);
        (self.base * (1 << doublings)).min(self.cap)
    }
}

/// A span that is uniform in `0..=most`.
pub(super) fn jitter(most: Duration, rng: &mut impl CryptoRng) -> Duration {
    Duration::from_ms(rng.random_range(0..=most.as_ms()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::rng;

    const NOW: Timestamp = Timestamp::from_secs(1_000);

    #[test]
    fn waits_lie_between_nothing_and_a_ceiling_that_doubles_up_to_the_cap() {
        let mut rng = rng(1);
        let (base, cap) = (Duration::from_ms(250), Duration::from_secs(60));
        let mut longest = [0; 12];
        for _ in 0..2_000 {
            let mut backoff = Backoff::new(base, cap);
            for (n, longest) in longest.iter_mut().enumerate() {
                let wait = backoff.fail(NOW, &mut rng).since(NOW);
                let ceiling = (base * (1 << n)).min(cap);
                assert!(wait <= ceiling, "failure {n}: {wait:?}");
                *longest = wait.as_ms().max(*longest);
            }
        }
        for (n, longest) in longest.into_iter().enumerate() {
            let ceiling = (base * (1 << n)).min(cap).as_ms();
            assert!(longest > ceiling * 9 / 10, "the whole range is used");
        }
    }

    #[test]
    fn a_success_starts_over_and_absurd_counts_do_not_overflow() {
        let mut rng = rng(2);
        let mut backoff = Backoff::new(Duration::from_ms(250), Duration::from_secs(60));
        backoff.failures = u32::MAX;
        assert!(backoff.fail(NOW, &mut rng).since(NOW) <= Duration::from_secs(60));
        backoff.reset();
        assert_eq!(backoff.failures(), 0);
        assert!(backoff.fail(NOW, &mut rng).since(NOW) <= Duration::from_ms(250));
    }
}
