//! Relays of paths that got no reply. Which of them is at fault is not known: for a minute other relays
//! are taken where there are any. What was seen of all relays in the long run decides how often each is taken ([`RelayHealth`]).
//!
//! Blame is narrowed in two ways, as in group testing. A relay that has served another path since the lost
//! packet left is alive. And a relay that is suspected already explains the loss: the others on its path
//! are left alone, or one dead relay, asked again and again, would make all others look dead, too.

use std::collections::{BTreeMap, VecDeque};

use super::requests::FlightPath;
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
    /// When a relay last was on a path that got its reply; only of the last minute.
    served: BTreeMap<NodeId, Timestamp>,
}

impl Suspects {
    /// A packet that left at `sent` through these relays got no reply.
    pub(super) fn lost(&mut self, path: &[NodeId], sent: Timestamp, now: Timestamp) {
        let known = self.now(now);
        let explains = |node: &&NodeId| known.contains(node);
        let silent = |node: &&NodeId| self.served.get(node).is_none_or(|at| *at < sent);
        let blamed: Vec<_> = match path.iter().any(|node| known.contains(node)) {
            true => path.iter().filter(explains).copied().collect(),
            false => path.iter().filter(silent).copied().collect(),
        };
        self.charge(path, now);
        self.avoid(&blamed, now);
    }

    /// Each of these relays has failed.
    pub(super) fn failed(&mut self, relays: &[NodeId], now: Timestamp) {
        self.charge(relays, now);
        self.avoid(relays, now);
    }

    /// Who is at fault shows in the long run, if everybody who might be is charged.
    pub(super) fn charge(&mut self, relays: &[NodeId], now: Timestamp) {
        for node in relays {
            self.health.note_failure(*node, now);
        }
    }

    fn avoid(&mut self, relays: &[NodeId], now: Timestamp) {
        self.recent.retain(|(_, node)| !relays.contains(node));
        for node in relays {
            self.recent.push_back((now + RECENT, *node));
        }
        let excess = self.recent.len().saturating_sub(MAX_RECENT);
        self.recent.drain(..excess);
    }

    /// A packet came back by this way.
    pub(super) fn succeeded(&mut self, path: &FlightPath, now: Timestamp) {
        self.note(path, now);
        self.served.retain(|_, at| now.since(*at) < RECENT);
        for node in &path.behind {
            self.served.insert(*node, now);
        }
        self.recent.retain(|(_, node)| !path.behind.contains(node));
    }

    /// The same, which counts in the long run only.
    pub(super) fn note(&mut self, path: &FlightPath, now: Timestamp) {
        for node in &path.behind {
            self.health.note_success(*node, path.took(now), now);
        }
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
    const C: NodeId = NodeId::from_bytes([3; 20]);

    /// The way of a packet that left at `sent` and passed one relay behind the guard.
    fn by(node: NodeId, sent: Timestamp) -> FlightPath {
        FlightPath {
            guard: NodeId::from_bytes([9; 20]),
            behind: vec![node],
            sent,
            held: Duration::ZERO,
        }
    }

    #[test]
    fn suspects_are_avoided_for_a_minute_unless_a_reply_clears_them() {
        let mut suspects = Suspects::default();
        suspects.failed(&[A, B], NOW);
        assert_eq!(suspects.now(NOW), [A, B]);
        suspects.succeeded(&by(B, NOW), NOW);
        assert_eq!(suspects.now(NOW + Duration::from_secs(59)), [A]);
        assert!(suspects.now(NOW + RECENT).is_empty());
        let health = suspects.health().compare(10, NOW + RECENT);
        assert!(health.factor(&A) < health.factor(&B));
    }

    #[test]
    fn one_dead_relay_does_not_make_the_others_suspect() {
        let mut suspects = Suspects::default();
        suspects.lost(&[A, B], NOW, NOW);
        assert_eq!(suspects.now(NOW), [A, B]);
        suspects.succeeded(&by(B, NOW), NOW);
        suspects.lost(&[A, B, C], NOW - Duration::from_secs(1), NOW);
        assert_eq!(
            suspects.now(NOW),
            [A],
            "explained by the relay that never served"
        );
        suspects.succeeded(&by(A, NOW), NOW + Duration::from_secs(2));
        suspects.lost(
            &[A, B, C],
            NOW + Duration::from_secs(1),
            NOW + Duration::from_secs(2),
        );
        let left = suspects.now(NOW + Duration::from_secs(2));
        assert_eq!(left, [B, C], "A has served after the packet left");
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
