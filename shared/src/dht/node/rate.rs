//! How much one relay may ask of this one: a token bucket each, for a bounded number of relays.

use std::collections::BTreeMap;

use crate::id::NodeId;
use crate::time::{Duration, Timestamp};

/// Tokens of who has asked nothing for a while.
const BURST: u32 = 400;
/// A token comes back after this time.
const REFILL: Duration = Duration::from_ms(20);

/// Token buckets by relay.
#[derive(Clone, Debug, Default)]
pub(super) struct Rates {
    spent: BTreeMap<NodeId, Spent>,
}

#[derive(Clone, Copy, Debug)]
struct Spent {
    tokens: u32,
    since: Timestamp,
}

impl Rates {
    /// Whether a relay may ask something of this cost. Keeps account of at most `most` relays: beyond, of those that
    /// have asked recently, and nobody else is served.
    pub(super) fn take(&mut self, node: &NodeId, cost: u32, most: usize, now: Timestamp) -> bool {
        if self.spent.len() >= most && !self.spent.contains_key(node) {
            self.spent.retain(|_, spent| spent.left(now).tokens > 0);
            if self.spent.len() >= most {
                return false;
            }
        }
        let nothing = Spent {
            tokens: 0,
            since: now,
        };
        let spent = self.spent.entry(*node).or_insert(nothing);
        *spent = spent.left(now);
        let after = spent.tokens.saturating_add(cost);
        if after > BURST {
            return false;
        }
        spent.tokens = after;
        true
    }
}

impl Spent {
    /// What is still spent at `now`.
    fn left(self, now: Timestamp) -> Self {
        let back = now.since(self.since).as_ms().checked_div(REFILL.as_ms());
        let back = back.unwrap_or(0).min(u64::from(BURST));
        let rest = Duration::from_ms(back * REFILL.as_ms());
        Self {
            tokens: self.tokens.saturating_sub(back as u32),
            since: match back {
                0 => self.since.min(now),
                _ if self.tokens <= back as u32 => now,
                _ => self.since + rest,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_through_and_comes_back_with_time() {
        let (mut rates, node) = (Rates::default(), NodeId::from_bytes([1; 20]));
        let at = Timestamp::from_secs(1);
        assert!((0..BURST).all(|_| rates.take(&node, 1, 8, at)));
        assert!(!rates.take(&node, 1, 8, at));
        assert!(!rates.take(&node, 1, 8, at + Duration::from_ms(19)));
        assert!(rates.take(&node, 1, 8, at + REFILL));
        assert!(!rates.take(&node, 1, 8, at + REFILL));
        assert!(rates.take(&node, BURST, 8, at + Duration::from_secs(9)));
        assert!(
            rates.take(&NodeId::from_bytes([2; 20]), 1, 8, at),
            "others are not concerned"
        );
    }

    #[test]
    fn accounts_are_bounded_and_idle_ones_make_room() {
        let (mut rates, at) = (Rates::default(), Timestamp::from_secs(1));
        let node = |n| NodeId::from_bytes([n; 20]);
        assert!((0..4).all(|n| rates.take(&node(n), 1, 4, at)));
        assert!(!rates.take(&node(9), 1, 4, at));
        assert!(rates.take(&node(0), 1, 4, at));
        assert!(rates.take(&node(9), 1, 4, at + Duration::from_secs(1)));
        assert_eq!(rates.spent.len(), 1);
    }
}
