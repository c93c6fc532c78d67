//! One member of the swarm: its stock of reply blocks, and the mail that waits there.

use super::{FIRST_RETRY, LAST_RETRY};
use crate::time::{Duration, Timestamp};

/// A member that is silent for this long has lost its stock, or is gone.
const SILENCE: Duration = Duration::from_mins(25);
/// Mail that a push has left behind is fetched unless the member pushes it within this time: it pushes mail of
/// strangers once a minute only.
const LINGERS: Duration = Duration::from_secs(12);
/// Reply blocks are replaced before their onion keys run out.
const STOCK_LIFE: Duration = Duration::from_hours(5);
/// Every member is asked for waiting mail at least this often.
pub(super) const POLL: Duration = Duration::from_hours(1);
/// The same while requests fail: the relay that lost them may have lost pushes, too.
const POLL_IN_DOUBT: Duration = Duration::from_secs(12);

#[derive(Debug)]
pub(super) struct Member {
    pub(super) subscription: Subscription,
    pub(super) attempts: u32,
    /// Refills since the member last pushed: one that keeps none is asked later each time.
    pub(super) refills: u32,
    /// When its stock was last filled up, or was to be.
    pub(super) refilled: Timestamp,
    /// Sequence of the descriptor in its last subscription; 0 when it must be told of something else.
    pub(super) told: u64,
    /// Mail that waits there, or may.
    pub(super) fetch: Fetch,
    /// When to ask although nothing but a push has said that mail waits.
    pub(super) lingers: Option<Timestamp>,
    /// Fetches that failed since the last one that was answered.
    pub(super) unanswered: u32,
    pub(super) polled: Timestamp,
    /// Asked again so long after `polled`.
    pub(super) poll_after: Duration,
}

#[derive(Debug)]
pub(super) enum Subscription {
    /// Nothing there; ask when due.
    Idle { due: Timestamp },
    /// Asked; the stock that was there before, if any, goes on serving.
    Asked { before: Option<Stock> },
    /// Reply blocks are there.
    Active(Stock),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Stock {
    pub(super) left: u16,
    pub(super) minted: Timestamp,
    pub(super) heard: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fetch {
    /// Nothing is known to wait.
    None,
    /// Ask from this cursor on, when due.
    Wanted { after: u64, due: Timestamp },
    /// Asked from this cursor on.
    Asked { after: u64 },
}

impl Member {
    pub(super) const fn new(due: Timestamp) -> Self {
        Self {
            subscription: Subscription::Idle { due },
            attempts: 0,
            refills: 0,
            refilled: due,
            told: 0,
            fetch: Fetch::None,
            lingers: None,
            unanswered: 0,
            polled: due,
            poll_after: POLL,
        }
    }

    pub(super) const fn stock(&self) -> Option<Stock> {
        match &self.subscription {
            Subscription::Active(stock) => Some(*stock),
            Subscription::Asked { before } => *before,
            Subscription::Idle { .. } => None,
        }
    }

    /// Asks for whatever waits, as soon as may be.
    pub(super) fn want(&mut self, at: Timestamp) {
        match &mut self.fetch {
            Fetch::None => self.fetch = Fetch::Wanted { after: 0, due: at },
            Fetch::Wanted { due, .. } => *due = at.min(*due),
            Fetch::Asked { .. } => {}
        }
    }

    /// A push has left so much mail behind, and so many reply blocks.
    pub(super) fn pushed(&mut self, left: u16, waiting: u32, now: Timestamp) {
        self.refills = 0;
        if waiting > u32::from(left) {
            // More than the stock can carry.
            self.want(now);
        }
        let later = now.saturating_add(LINGERS);
        let first = self.lingers.unwrap_or(later);
        self.lingers = (waiting > 0).then_some(first.min(later));
    }

    /// When a stock of which this is `left` is to be filled up, if it is. `full` is a full one.
    fn refill_at(&self, left: u16, full: u16) -> Option<Timestamp> {
        let doubled = FIRST_RETRY.as_ms() << self.refills.saturating_sub(1).min(16);
        let pause = LAST_RETRY.min(Duration::from_ms(doubled));
        (left <= full / 2).then(|| self.refilled.saturating_add(pause))
    }

    /// Reply blocks that it needs now, and whether they replace what is there. `sequence`: of the descriptor.
    pub(super) fn refill_due(
        &self,
        sequence: u64,
        full: u16,
        now: Timestamp,
    ) -> Option<(u16, bool)> {
        match &self.subscription {
            Subscription::Idle { due } => (*due <= now).then_some((full, true)),
            Subscription::Active(stock) if stock.is_over(now) => Some((full, true)),
            Subscription::Active(stock) => {
                let refill = self.refill_at(stock.left, full).filter(|at| *at <= now);
                let count = full.saturating_sub(stock.left);
                (refill.is_some() || self.told < sequence).then_some((count, false))
            }
            Subscription::Asked { .. } => None,
        }
    }

    /// Something went wrong that may have cost pushes, too: it is asked soon.
    pub(super) fn doubt(&mut self) {
        self.poll_after = self.poll_after.min(POLL_IN_DOUBT);
    }

    /// From where on and when to fetch, once it is subscribed: before, the answer to the subscription tells.
    fn fetch_at(&self) -> Option<(u64, Timestamp)> {
        match (self.fetch, &self.subscription) {
            (Fetch::Wanted { after, due }, Subscription::Active(_)) => Some((after, due)),
            (Fetch::None, Subscription::Active(_)) => {
                let poll = self.polled.saturating_add(self.poll_after);
                Some((0, self.lingers.unwrap_or(poll).min(poll)))
            }
            _ => None,
        }
    }

    pub(super) fn fetch_due(&self, now: Timestamp) -> Option<u64> {
        let (after, due) = self.fetch_at()?;
        (due <= now).then_some(after)
    }

    pub(super) fn next_timeout(&self, sequence: u64, full: u16) -> Option<Timestamp> {
        let subscription = match &self.subscription {
            Subscription::Idle { due } => Some(*due),
            Subscription::Active(stock) if self.told < sequence => Some(stock.heard),
            Subscription::Active(stock) => {
                let refill = self.refill_at(stock.left, full);
                refill.into_iter().chain([stock.over_at()]).min()
            }
            Subscription::Asked { .. } => None,
        };
        let fetch = self.fetch_at().map(|(_, due)| due);
        subscription.into_iter().chain(fetch).min()
    }
}

impl Stock {
    fn over_at(&self) -> Timestamp {
        self.heard
            .saturating_add(SILENCE)
            .min(self.minted.saturating_add(STOCK_LIFE))
    }

    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        self.over_at() <= now
    }
}
