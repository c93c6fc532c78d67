//! What strangers pay: a relay asks for proof of work where no permit vouches for the asker. PROTOCOL §6, "Work".
//!
//! ```text
//!   window:        w − 1        w         w + 1
//!   seed, effort:  a, 32      b, 64       c, 64      each good in its own window and in the next
//!   paid:          many ─▶ ×2   some ─▶ =   few ─▶ ÷2
//! ```
//! Only what was paid for counts as load, so nobody raises the price for free.

use std::collections::BTreeSet;

use rand_core::CryptoRng;
use zentalk_shared::crypto::Secret32;
use zentalk_shared::crypto::hash::keyed_256;
use zentalk_shared::rpc::{MAX_EFFORT, Subject, Work, WorkWanted};
use zentalk_shared::time::{Duration, Timestamp};
use zentalk_shared::wire::codec::Bytes;

use super::admission::{Bucket, Rate};

/// How long a seed is the newest one. It is good for as long again.
const WINDOW: Duration = Duration::from_mins(5);
/// Windows without a request that are looked at one by one; after so many the price is the lowest anyway.
const MAX_IDLE_WINDOWS: u64 = 32;

/// What the operator asks of strangers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkPolicy {
    /// Effort while there is little to do; 0 asks for no work, whatever the load.
    pub effort: u32,
    /// Envelopes of strangers, records and new mailboxes that are taken, all together. From half of it on the effort rises.
    pub rate: Rate,
}

impl Default for WorkPolicy {
    fn default() -> Self {
        Self {
            effort: 32,
            rate: Rate {
                per_minute: 600,
                burst: 600,
            },
        }
    }
}

/// Why a request is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unpaid {
    /// It showed no work, or not enough, or of an old seed.
    Wanted(WorkWanted),
    /// All that the relay takes from strangers is taken.
    Busy,
}

/// The price, and who has paid.
#[derive(Debug)]
pub(super) struct Toll {
    policy: WorkPolicy,
    /// Seeds are derived from it; a restart makes new ones.
    secret: Secret32,
    bucket: Bucket,
    window: u64,
    current: Price,
    former: Price,
}

/// One window.
#[derive(Debug, Default)]
struct Price {
    effort: u32,
    /// What was paid for with its seed: a repetition pays no second time, and counts no second time.
    paid: BTreeSet<Subject>,
}

impl Toll {
    pub(super) fn new(policy: WorkPolicy, now: Timestamp, rng: &mut impl CryptoRng) -> Self {
        let price = || Price {
            effort: policy.effort.min(MAX_EFFORT),
            paid: BTreeSet::new(),
        };
        Self {
            policy,
            secret: Secret32::random(rng),
            bucket: Bucket::full(policy.rate, now),
            window: window(now),
            current: price(),
            former: price(),
        }
    }

    /// The effort of the newest window that was looked at.
    pub(super) const fn effort(&self) -> u32 {
        self.current.effort
    }

    /// What it takes now.
    pub(super) fn wanted(&mut self, now: Timestamp) -> WorkWanted {
        self.advance(now);
        WorkWanted {
            seed: self.seed(self.window),
            effort: self.current.effort,
        }
    }

    /// Lets a request in that has been paid for, and remembers it.
    pub(super) fn pay(
        &mut self,
        subject: &Subject,
        work: Option<&Work>,
        now: Timestamp,
    ) -> Result<(), Unpaid> {
        let wanted = self.wanted(now);
        if self.policy.effort == 0 {
            return self.take(now);
        }
        let work = work.ok_or(Unpaid::Wanted(wanted))?;
        let shown = work.wanted();
        let is_current = shown.seed == wanted.seed;
        if !is_current && shown.seed != self.seed(self.window.wrapping_sub(1)) {
            return Err(Unpaid::Wanted(wanted));
        }
        let price = if is_current {
            &self.current
        } else {
            &self.former
        };
        if shown.effort < price.effort || work.verify(subject).is_err() {
            return Err(Unpaid::Wanted(wanted));
        }
        if price.paid.contains(subject) {
            return Ok(());
        }
        self.take(now)?;
        let price = if is_current {
            &mut self.current
        } else {
            &mut self.former
        };
        // Bounded by the bucket.
        price.paid.insert(*subject);
        Ok(())
    }

    fn take(&mut self, now: Timestamp) -> Result<(), Unpaid> {
        match self.bucket.take(self.policy.rate, 1, now) {
            true => Ok(()),
            false => Err(Unpaid::Busy),
        }
    }

    /// Goes on to the window of `now`. A clock that goes back changes nothing.
    pub(super) fn advance(&mut self, now: Timestamp) {
        let passed = window(now).saturating_sub(self.window);
        for _ in 0..passed.min(MAX_IDLE_WINDOWS) {
            let effort = self.next_effort();
            let next = Price {
                effort,
                paid: BTreeSet::new(),
            };
            self.former = core::mem::replace(&mut self.current, next);
        }
        self.window += passed;
    }

    /// Twice as much after a window in which more than half of the rate was used, half as much after one with little.
    fn next_effort(&self) -> u32 {
        let paid = u64::try_from(self.current.paid.len()).unwrap_or(u64::MAX);
        let minutes = WINDOW.as_ms() / Duration::from_mins(1).as_ms();
        let half = u64::from(self.policy.rate.per_minute) * minutes / 2;
        let effort = self.current.effort;
        let next = match paid {
            paid if paid > half => effort.saturating_mul(2),
            paid if paid < half / 2 => effort / 2,
            _ => effort,
        };
        next.max(self.policy.effort).min(MAX_EFFORT)
    }

    fn seed(&self, window: u64) -> Bytes<16> {
        let hash = keyed_256(&self.secret, &[&window.to_be_bytes()]);
        let (seed, _) = hash.split_first_chunk().unwrap_or((&[0; 16], &[]));
        Bytes(*seed)
    }
}

const fn window(now: Timestamp) -> u64 {
    now.as_ms() / WINDOW.as_ms()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;
    use zentalk_shared::id::{EnvelopeId, MailboxId, NodeId};
    use zentalk_shared::rpc::Solver;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn toll(effort: u32, per_minute: u32) -> Toll {
        let rate = Rate {
            per_minute,
            burst: per_minute,
        };
        let policy = WorkPolicy { effort, rate };
        Toll::new(policy, NOW, &mut ChaCha20Rng::seed_from_u64(1))
    }

    fn subject(n: u8) -> Subject {
        let (node, mailbox) = (NodeId::from_bytes([1; 20]), MailboxId::from_bytes([2; 20]));
        Subject::put(&node, &mailbox, &EnvelopeId::from_bytes([n; 16]))
    }

    fn solve(subject: &Subject, wanted: WorkWanted) -> Work {
        let mut solver = Solver::new(subject, wanted, &mut ChaCha20Rng::seed_from_u64(2));
        (0..1000).find_map(|_| solver.step()).unwrap()
    }

    /// Pays for a new request at the price of the moment.
    fn pay(toll: &mut Toll, n: u8, now: Timestamp) -> Result<(), Unpaid> {
        let wanted = toll.wanted(now);
        let work = solve(&subject(n), wanted);
        toll.pay(&subject(n), Some(&work), now)
    }

    #[test]
    fn without_work_one_is_told_what_it_takes_and_with_it_let_in() {
        let mut toll = toll(2, 60);
        let wanted = toll.wanted(NOW);
        assert_eq!(wanted.effort, 2);
        let none = toll.pay(&subject(1), None, NOW);
        assert_eq!(none, Err(Unpaid::Wanted(wanted)));
        let work = solve(&subject(1), wanted);
        let other = toll.pay(&subject(2), Some(&work), NOW);
        assert_eq!(other, Err(Unpaid::Wanted(wanted)), "work for another");
        assert_eq!(toll.pay(&subject(1), Some(&work), NOW), Ok(()));
        let lower = WorkWanted {
            effort: 1,
            ..wanted
        };
        let little = solve(&subject(3), lower);
        let little = toll.pay(&subject(3), Some(&little), NOW);
        assert_eq!(little, Err(Unpaid::Wanted(wanted)), "too little");
    }

    #[test]
    fn a_seed_is_good_in_two_windows_and_at_no_other_relay() {
        let mut here = toll(1, 60);
        let work = solve(&subject(1), here.wanted(NOW));
        let later = NOW + WINDOW;
        assert_eq!(here.pay(&subject(1), Some(&work), later), Ok(()));
        let wanted = here.wanted(later + WINDOW);
        let late = here.pay(&subject(1), Some(&work), later + WINDOW);
        assert_eq!(late, Err(Unpaid::Wanted(wanted)));
        let rate = here.policy.rate;
        let policy = WorkPolicy { effort: 1, rate };
        let mut there = Toll::new(policy, NOW, &mut ChaCha20Rng::seed_from_u64(9));
        let there = there.pay(&subject(1), Some(&work), NOW);
        assert!(matches!(there, Err(Unpaid::Wanted(_))));
    }

    #[test]
    fn fault_16_the_price_rises_while_strangers_come_and_falls_when_they_stop() {
        let mut toll = toll(1, 2);
        let mut now = NOW;
        // Ten a window at most; more than five make it dearer.
        let mut efforts = Vec::new();
        for window in 0..4_u8 {
            for n in 0..8 {
                let paid = pay(&mut toll, 10 * window + n, now);
                now += Duration::from_secs(37);
                assert_eq!(paid, Ok(()));
            }
            efforts.push(toll.wanted(now).effort);
        }
        assert!(efforts.windows(2).all(|pair| pair[0] <= pair[1]));
        assert!(efforts.last() >= Some(&4), "{efforts:?}");
        let rest = toll.wanted(now + WINDOW * 10);
        assert_eq!(rest.effort, 1);
    }

    #[test]
    fn asking_without_paying_and_paying_once_for_many_raise_nothing() {
        let mut toll = toll(1, 2);
        let work = solve(&subject(1), toll.wanted(NOW));
        for _ in 0..100 {
            assert!(toll.pay(&subject(2), None, NOW).is_err());
            assert_eq!(toll.pay(&subject(1), Some(&work), NOW), Ok(()));
        }
        assert_eq!(toll.wanted(NOW + WINDOW).effort, 1);
        assert_eq!(toll.former.paid.len(), 1);
    }

    #[test]
    fn what_is_taken_from_strangers_has_a_rate_whatever_they_pay() {
        let mut toll = toll(1, 3);
        for n in 0..3 {
            assert_eq!(pay(&mut toll, n, NOW), Ok(()));
        }
        assert_eq!(pay(&mut toll, 3, NOW), Err(Unpaid::Busy));
        assert_eq!(pay(&mut toll, 3, NOW + Duration::from_secs(20)), Ok(()));
    }

    #[test]
    fn an_effort_of_zero_asks_for_none() {
        let mut toll = toll(0, 1);
        assert_eq!(toll.pay(&subject(1), None, NOW), Ok(()));
        assert_eq!(toll.pay(&subject(2), None, NOW), Err(Unpaid::Busy));
    }
}
