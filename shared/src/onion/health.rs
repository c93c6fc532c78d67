//! What a client remembers of relays that failed it: they are chosen less often for a while.
//!
//! Nothing is excluded and nothing lasts. Whoever can make honest relays look dead must not be able to
//! push a client onto the others for good.

use std::collections::BTreeMap;

use crate::id::NodeId;
use crate::time::{Duration, Timestamp};

/// After this long a failure counts half.
const HALF_LIFE: Duration = Duration::from_mins(10);
/// More failures than this, at one moment, change nothing.
const MAX_SCORE: f64 = 6.0;
/// A score below this is forgotten.
const NEGLIGIBLE: f64 = 0.05;

/// Recent failures by relay. Kept in memory only.
#[derive(Clone, Debug, Default)]
pub struct RelayHealth {
    scores: BTreeMap<NodeId, Score>,
}

#[derive(Clone, Copy, Debug)]
struct Score {
    failures: f64,
    at: Timestamp,
}

impl Score {
    fn now(self, now: Timestamp) -> f64 {
        let half_lives = now.since(self.at).as_ms() as f64 / HALF_LIFE.as_ms() as f64;
        self.failures * (-half_lives).exp2()
    }
}

impl RelayHealth {
    /// No failures known.
    pub const fn new() -> Self {
        Self {
            scores: BTreeMap::new(),
        }
    }

    /// A path through this relay failed, or the relay itself did.
    pub fn note_failure(&mut self, node: NodeId, now: Timestamp) {
        self.scores.retain(|_, score| score.now(now) > NEGLIGIBLE);
        let score = self.scores.entry(node).or_insert(Score {
            failures: 0.0,
            at: now,
        });
        let failures = (score.now(now) + 1.0).min(MAX_SCORE);
        *score = Score { failures, at: now };
    }

    /// The relay has served: it is forgiven.
    pub fn note_success(&mut self, node: &NodeId) {
        self.scores.remove(node);
    }

    /// What a relay's weight is multiplied by: 1 without failures, halved by each, at least 1/64.
    pub fn factor(&self, node: &NodeId, now: Timestamp) -> f64 {
        self.scores
            .get(node)
            .map_or(1.0, |score| (-score.now(now)).exp2())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId::from_bytes([1; 20]);
    const NOW: Timestamp = Timestamp::from_ms(1_000_000_000);

    #[test]
    fn failures_halve_the_weight_and_fade() {
        let mut health = RelayHealth::new();
        assert_eq!(health.factor(&NODE, NOW), 1.0);
        health.note_failure(NODE, NOW);
        assert_eq!(health.factor(&NODE, NOW), 0.5);
        health.note_failure(NODE, NOW);
        assert_eq!(health.factor(&NODE, NOW), 0.25);
        assert_eq!(health.factor(&NODE, NOW + HALF_LIFE), 0.5);
        assert!(health.factor(&NODE, NOW + HALF_LIFE * 10) > 0.99);
        assert_eq!(health.factor(&NodeId::from_bytes([2; 20]), NOW), 1.0);
    }

    #[test]
    fn nothing_is_excluded() {
        let mut health = RelayHealth::new();
        (0..1000).for_each(|_| health.note_failure(NODE, NOW));
        assert_eq!(health.factor(&NODE, NOW), 1.0 / 64.0);
        health.note_success(&NODE);
        assert_eq!(health.factor(&NODE, NOW), 1.0);
    }

    #[test]
    fn what_has_faded_takes_no_room() {
        let mut health = RelayHealth::new();
        for index in 0..100u8 {
            health.note_failure(NodeId::from_bytes([index; 20]), NOW);
        }
        health.note_failure(NODE, NOW + Duration::from_hours(2));
        assert_eq!(health.scores.len(), 1);
    }

    #[test]
    fn a_clock_set_back_does_not_amplify() {
        let mut health = RelayHealth::new();
        health.note_failure(NODE, NOW);
        assert_eq!(health.factor(&NODE, Timestamp::EPOCH), 0.5);
    }
}
