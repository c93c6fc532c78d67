//! Relays of paths that got no reply. Which of them is at fault is not known: for a minute other relays
//! are taken where there are any, and for longer they are taken less often ([`RelayHealth`]).

use std::collections::VecDeque;

use crate::id::NodeId;
use crate::onion::RelayHealth;
use crate::time::{Duration, Timestamp};

/// How long others are preferred.
const RECENT: Duration = Duration::from_secs(60);
/// Relays avoided at most; beyond, the earliest are only taken less often.
const MAX_RECENT: usize = 32;

/// Suspected relays.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    health: RelayHealth,
    /// Oldest first.
    recent: VecDeque<(Timestamp, NodeId)>,
}

impl Suspects {
    /// A path through these relays got no reply.
    pub(super) fn failed(&mut self, path: &[NodeId], now: Timestamp) {
        for node in path {
            self.health.note_failure(*node, now);
            self.recent.push_back((now + RECENT, *node));
        }
        let excess = self.recent.len().saturating_sub(MAX_RECENT);
        self.recent.drain(..excess);
    }

    /// A reply came back through these relays.
    pub(super) fn succeeded(&mut self, path: &[NodeId]) {
        for node in path {
            self.health.note_success(node);
        }
        self.recent.retain(|(_, node)| !path.contains(node));
    }

    /// Whom to avoid now.
    pub(super) fn now(&self, now: Timestamp) -> Vec<NodeId> {
        let recent = self.recent.iter().filter(|(until, _)| *until > now);
        recent.map(|(_, node)| *node).collect()
    }

    /// How often each relay is to be taken.
    pub(super) const fn health(&self) -> &RelayHealth {
        &self.health
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_000);
    const A: NodeId = NodeId::from_bytes([1; 20]);
    const B: NodeId = NodeId::from_bytes([2; 20]);

    #[test]
    fn suspects_are_avoided_for_a_minute_unless_a_reply_clears_them() {
        let mut suspects = Suspects::default();
        suspects.failed(&[A, B], NOW);
        assert_eq!(suspects.now(NOW), [A, B]);
        suspects.succeeded(&[B]);
        assert_eq!(suspects.now(NOW + Duration::from_secs(59)), [A]);
        assert!(suspects.now(NOW + RECENT).is_empty());
        assert!(suspects.health().factor(&A, NOW + RECENT) < 0.6);
        assert!(suspects.health().factor(&B, NOW) > 0.9);
    }

    #[test]
    fn few_are_avoided_at_once() {
        let mut suspects = Suspects::default();
        for n in 0..=255 {
            suspects.failed(&[NodeId::from_bytes([n; 20])], NOW);
        }
        assert_eq!(suspects.now(NOW).len(), MAX_RECENT);
    }
}
