//! Members of my swarm that do not answer, and from when on they count as lost.
//!
//! ```text
//!   no answer, while others answer ──▶ absent ──six times in three hours or more──▶ lost: replaced
//!                                        └── any answer: forgotten
//! ```
//! Stored, because a tab may be open for minutes a day only. What fails while nobody answers is the fault of
//! the connection, and counts against nobody.

use minicbor::{Decode, Encode};

use crate::id::NodeId;
use crate::rpc::MAX_SWARM;
use crate::time::{Duration, Timestamp};
use crate::wire::codec::BoundedList;

/// A member that has been absent for this long may be lost.
const LOST_AFTER: Duration = Duration::from_hours(3);
/// And is, if it was asked in vain so often.
const LOST_ATTEMPTS: u32 = 6;
/// Attempts count this far apart: a relay that is restarted is not lost.
const APART: Duration = Duration::from_mins(10);
/// Somebody else has answered within this time before an attempt that counts.
const OTHERS_WITHIN: Duration = Duration::from_mins(15);

/// One of them, as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) struct AbsentMember {
    #[n(0)]
    node: NodeId,
    #[n(1)]
    since: Timestamp,
    /// When an attempt was counted last.
    #[n(2)]
    counted: Timestamp,
    #[n(3)]
    attempts: u32,
}

/// As they are stored.
pub(super) type AbsentMembers = BoundedList<AbsentMember, MAX_SWARM>;

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Absent {
    members: Vec<AbsentMember>,
    /// When any relay has last answered anything.
    heard: Option<Timestamp>,
}

impl Absent {
    pub(super) fn restore(stored: Option<&AbsentMembers>) -> Self {
        let members = stored.map(|stored: &AbsentMembers| stored.to_vec());
        Self {
            members: members.unwrap_or_default(),
            heard: None,
        }
    }

    /// As they are to be stored.
    pub(super) fn rows(&self) -> Option<AbsentMembers> {
        BoundedList::new(self.members.clone()).ok()
    }

    /// Some relay has answered something.
    pub(super) const fn heard(&mut self, now: Timestamp) {
        self.heard = Some(now);
    }

    /// A member has answered. True: store that.
    pub(super) fn answered(&mut self, node: &NodeId) -> bool {
        let before = self.members.len();
        self.members.retain(|absent| absent.node != *node);
        self.members.len() < before
    }

    /// A member has not answered, or has refused. True: it counts; store that.
    pub(super) fn missed(&mut self, node: NodeId, now: Timestamp) -> bool {
        let heard = self.heard.filter(|at| now.since(*at) < OTHERS_WITHIN);
        let Some(heard) = heard else { return false };
        let full = self.members.len() >= MAX_SWARM;
        match self.members.iter_mut().find(|absent| absent.node == node) {
            Some(absent) if now.since(absent.counted) < APART || heard <= absent.counted => false,
            Some(absent) => {
                absent.counted = now;
                absent.attempts = absent.attempts.saturating_add(1);
                true
            }
            None if full => false,
            None => {
                self.members.push(AbsentMember {
                    node,
                    since: now,
                    counted: now,
                    attempts: 1,
                });
                true
            }
        }
    }

    /// Whether a member has not answered since it last did.
    pub(super) fn contains(&self, node: &NodeId) -> bool {
        self.members.iter().any(|absent| absent.node == *node)
    }

    /// Those that are lost.
    pub(super) fn lost(&self, now: Timestamp) -> Vec<NodeId> {
        let lost = |absent: &&AbsentMember| {
            absent.attempts >= LOST_ATTEMPTS && now.since(absent.since) >= LOST_AFTER
        };
        let lost = self.members.iter().filter(lost);
        lost.map(|absent| absent.node).collect()
    }

    /// The swarm has changed.
    pub(super) fn keep(&mut self, listed: &[NodeId]) {
        self.members.retain(|absent| listed.contains(&absent.node));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId::from_bytes([1; 20]);

    fn at(mins: u64) -> Timestamp {
        Timestamp::from_secs(1_800_000_000).saturating_add(Duration::from_mins(mins))
    }

    #[test]
    fn a_member_is_lost_after_hours_and_several_attempts_not_before() {
        let mut absent = Absent::default();
        for minute in 0..=180 {
            absent.heard(at(minute));
            assert_eq!(absent.missed(NODE, at(minute)), minute % 10 == 0);
            assert_eq!(absent.lost(at(minute)).len(), usize::from(minute == 180));
        }
        let again = Absent::restore(absent.rows().as_ref());
        assert_eq!(again.lost(at(180)), [NODE]);
        assert!(absent.answered(&NODE) && !absent.answered(&NODE));
        assert!(absent.lost(at(180)).is_empty());
    }

    #[test]
    fn days_with_few_attempts_are_not_enough() {
        let mut absent = Absent::default();
        for day in 0..5 {
            absent.heard(at(day * 1440));
            assert!(absent.missed(NODE, at(day * 1440)));
        }
        assert!(absent.lost(at(10_000)).is_empty());
    }

    #[test]
    fn nothing_counts_while_nobody_else_answers() {
        let mut absent = Absent::default();
        assert!(!absent.missed(NODE, at(0)), "nobody has ever answered");
        absent.heard(at(1));
        assert!(absent.missed(NODE, at(2)));
        assert!(!absent.missed(NODE, at(14)), "nothing since the last one");
        absent.heard(at(15));
        assert!(absent.missed(NODE, at(16)));
        assert!(!absent.missed(NODE, at(31)), "too long ago");
    }
}
