//! Guards that lose loops (`cover`).
//!
//! When another guard than the primary leaves a request unanswered, a loop is sent through it. One that loses several in a
//! row is not used for an hour where another fits. Whom the request was for, and its swarm, cannot bring that about: they
//! could have guards drawn until one is theirs, which gets to know the client's IP address.

use std::collections::BTreeMap;

use crate::id::NodeId;
use crate::time::{Duration, Timestamp};

/// So many in a row are no accident.
const MAX_LOST: u32 = 3;
/// Then it gets another chance.
const DOUBTED_FOR: Duration = Duration::from_hours(1);

/// What loops say of guards.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    of: BTreeMap<NodeId, Doubt>,
}

#[derive(Debug)]
struct Doubt {
    /// Loops that have not come back since one did.
    lost: u32,
    /// When the last one counted as lost.
    at: Timestamp,
}

impl Doubts {
    /// A loop that left at `sent` through this guard has not come back. True if another one is to tell whether that is the
    /// guard's doing. Those that were under way together count once.
    pub(super) fn lost(&mut self, guard: NodeId, sent: Timestamp, now: Timestamp) -> bool {
        let new = Doubt { lost: 0, at: sent };
        let doubt = self.of.entry(guard).or_insert(new);
        if sent < doubt.at {
            return false;
        }
        doubt.lost = doubt.lost.saturating_add(1);
        doubt.at = now;
        doubt.lost < MAX_LOST
    }

    /// One has come back.
    pub(super) fn returned(&mut self, guard: &NodeId) {
        self.of.remove(guard);
    }

    /// Whether another guard is to be taken.
    pub(super) fn are_grave(&self, guard: &NodeId) -> bool {
        let doubt = self.of.get(guard);
        doubt.is_some_and(|doubt| doubt.lost >= MAX_LOST)
    }

    /// Forgets what is long ago.
    pub(super) fn expire(&mut self, now: Timestamp) {
        self.of.retain(|_, doubt| now.since(doubt.at) < DOUBTED_FOR);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_000_000);
    const GUARD: NodeId = NodeId::from_bytes([1; 20]);

    #[test]
    fn doubts_are_grave_after_several_in_a_row_and_for_an_hour() {
        let mut doubts = Doubts::default();
        for _ in 0..2 {
            assert!(doubts.lost(GUARD, NOW, NOW) && doubts.lost(GUARD, NOW, NOW));
            doubts.returned(&GUARD);
        }
        for again in [true, true, false, false] {
            assert!(!doubts.are_grave(&GUARD) || !again);
            assert_eq!(doubts.lost(GUARD, NOW, NOW), again);
        }
        assert!(doubts.are_grave(&GUARD));
        doubts.expire(NOW + DOUBTED_FOR - Duration::from_ms(1));
        assert!(doubts.are_grave(&GUARD));
        doubts.expire(NOW + DOUBTED_FOR);
        assert!(!doubts.are_grave(&GUARD));
    }

    #[test]
    fn loops_that_are_lost_together_count_once() {
        let mut doubts = Doubts::default();
        let seconds = |n| NOW + Duration::from_secs(n);
        for sent in 0..8 {
            doubts.lost(GUARD, seconds(sent), seconds(sent + 8));
        }
        assert!(!doubts.are_grave(&GUARD));
        doubts.lost(GUARD, seconds(8), seconds(16));
        doubts.lost(GUARD, seconds(16), seconds(24));
        assert!(doubts.are_grave(&GUARD));
    }
}
