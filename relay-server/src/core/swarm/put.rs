//! One envelope on its way to a majority of the members: who is asked, who has it, what that comes to.

use std::collections::VecDeque;
use std::sync::Arc;

use zentalk_shared::id::NodeId;
use zentalk_shared::rpc::{MailboxDescriptor, PutReply};
use zentalk_shared::time::{Duration, Timestamp};

use super::super::requests::ReplyTo;

/// A sender is told that too few members answered after this long.
const DEADLINE: Duration = Duration::from_secs(8);

/// One envelope on its way.
pub(super) struct Put {
    pub(super) waiters: Vec<ReplyTo>,
    /// The other members that are asked.
    pub(super) others: Vec<NodeId>,
    /// Members that are asked should those fail, the next one first.
    spare: VecDeque<NodeId>,
    /// Of `others`, who has been silent for long: a spare member was asked in its place.
    pub(super) late: Vec<NodeId>,
    /// Of these, who has it on disk.
    held: Vec<NodeId>,
    /// Of these, who will not take it.
    refused: Vec<NodeId>,
    /// It is on this relay's disk.
    pub(super) own: bool,
    of: u8,
    majority: u8,
    /// When its senders are told that too few have answered.
    pub(super) deadline: Timestamp,
    /// The payload of the frame for the others.
    pub(super) payload: Arc<[u8]>,
}

/// What a put has come to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Sent(PutReply),
    Open,
    Hopeless,
}

impl Put {
    /// `reachable`: who can be counted on.
    pub(super) fn new(
        descriptor: &MailboxDescriptor,
        me: &NodeId,
        reachable: impl Fn(&NodeId) -> bool,
        payload: Arc<[u8]>,
        now: Timestamp,
    ) -> Self {
        let listed = descriptor.members().iter().filter(|node| *node != me);
        let mut others: Vec<NodeId> = listed.copied().collect();
        others.sort_by_key(|node| !reachable(node));
        let asked = descriptor.active().len().saturating_sub(1);
        let spare = others.split_off(asked.min(others.len()));
        Self {
            waiters: Vec::new(),
            others,
            spare: spare.into(),
            late: Vec::new(),
            held: Vec::new(),
            refused: Vec::new(),
            own: false,
            of: u8::try_from(descriptor.active().len()).unwrap_or(u8::MAX),
            majority: descriptor.majority(),
            deadline: now + DEADLINE,
            payload,
        }
    }

    pub(super) fn verdict(&self) -> Verdict {
        let own = usize::from(self.own);
        let held = u8::try_from(own + self.held.len())
            .unwrap_or(u8::MAX)
            .min(self.of);
        let possible = self.others.len() + 1 + self.spare.len() - self.refused.len();
        match self.own && held >= self.majority {
            true => Verdict::Sent(PutReply { held, of: self.of }),
            false if possible < usize::from(self.majority) => Verdict::Hopeless,
            false => Verdict::Open,
        }
    }

    pub(super) fn on_ack(&mut self, from: NodeId, durable: bool) {
        if self.others.contains(&from) && !self.held.contains(&from) {
            self.refused.retain(|node| *node != from);
            let list = if durable {
                &mut self.held
            } else {
                &mut self.refused
            };
            list.push(from);
        }
    }

    /// Others that have not answered, but may soon.
    pub(super) fn silent(&self) -> Vec<NodeId> {
        let silent = |node: &&NodeId| {
            let lists = [&self.held, &self.refused, &self.late];
            lists.iter().all(|list| !list.contains(node))
        };
        self.others.iter().filter(silent).copied().collect()
    }

    /// Whether a spare member is to be asked: others have refused, or were silent for long.
    pub(super) fn lacks(&self) -> bool {
        let hoped_for = 1 + self.held.len() + self.silent().len();
        hoped_for < usize::from(self.of)
    }

    /// The next spare member, asked from now on.
    pub(super) fn widen(&mut self) -> Option<NodeId> {
        let next = self.spare.pop_front()?;
        self.others.push(next);
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;
    use zentalk_shared::identity::MailboxSecret;

    fn node(n: u8) -> NodeId {
        NodeId::from_bytes([n; 20])
    }

    fn put(members: u8, active: u8) -> Put {
        let key = MailboxSecret::random(&mut ChaCha20Rng::seed_from_u64(1));
        let members = (1..=members).map(node).collect();
        let descriptor =
            MailboxDescriptor::sign(&key, 1, members, active, Timestamp::EPOCH).unwrap();
        let payload = [].as_slice().into();
        Put::new(&descriptor, &node(1), |_| true, payload, Timestamp::EPOCH)
    }

    #[test]
    fn two_of_three_are_a_majority_but_never_without_the_own_disk() {
        let mut put = put(3, 3);
        put.on_ack(node(2), true);
        put.on_ack(node(3), true);
        assert_eq!(put.verdict(), Verdict::Open);
        put.own = true;
        assert_eq!(put.verdict(), Verdict::Sent(PutReply { held: 3, of: 3 }));
    }

    #[test]
    fn a_member_counts_once_and_strangers_never() {
        let mut put = put(3, 3);
        put.own = true;
        put.on_ack(node(9), true);
        assert_eq!(put.verdict(), Verdict::Open);
        put.on_ack(node(2), true);
        put.on_ack(node(2), true);
        assert_eq!(put.verdict(), Verdict::Sent(PutReply { held: 2, of: 3 }));
    }

    #[test]
    fn refusals_make_it_hopeless_and_may_be_taken_back() {
        let mut put = put(3, 3);
        put.own = true;
        put.on_ack(node(2), false);
        assert_eq!(put.verdict(), Verdict::Open);
        put.on_ack(node(3), false);
        assert_eq!(put.verdict(), Verdict::Hopeless);
        put.on_ack(node(3), true);
        assert_eq!(put.verdict(), Verdict::Sent(PutReply { held: 2, of: 3 }));
    }

    #[test]
    fn a_spare_member_is_asked_for_each_that_fails() {
        let mut put = put(6, 3);
        put.own = true;
        assert_eq!(put.others, [node(2), node(3)]);
        assert!(!put.lacks());
        put.on_ack(node(2), false);
        assert!(put.lacks());
        assert_eq!(put.widen(), Some(node(4)));
        assert!(!put.lacks(), "the third may still answer");
        put.late = put.silent();
        assert!(put.lacks());
        assert_eq!((put.widen(), put.widen()), (Some(node(5)), Some(node(6))));
        assert_eq!((put.lacks(), put.widen()), (false, None));
        put.on_ack(node(6), true);
        assert_eq!(put.verdict(), Verdict::Sent(PutReply { held: 2, of: 3 }));
        put.on_ack(node(3), true);
        put.on_ack(node(5), true);
        assert_eq!(
            put.verdict(),
            Verdict::Sent(PutReply { held: 3, of: 3 }),
            "four hold it, of three that should"
        );
    }

    #[test]
    fn it_is_hopeless_when_no_spare_member_is_left() {
        let mut put = put(4, 3);
        put.own = true;
        put.on_ack(node(2), false);
        put.on_ack(node(3), false);
        assert_eq!(put.verdict(), Verdict::Open);
        assert_eq!(put.widen(), Some(node(4)));
        put.on_ack(node(4), false);
        assert_eq!(put.verdict(), Verdict::Hopeless);
    }

    #[test]
    fn who_is_away_is_asked_last() {
        let key = MailboxSecret::random(&mut ChaCha20Rng::seed_from_u64(1));
        let members = (1..=6).map(node).collect();
        let descriptor = MailboxDescriptor::sign(&key, 1, members, 3, Timestamp::EPOCH).unwrap();
        let there = |n: &NodeId| *n != node(2) && *n != node(4);
        let payload = [].as_slice().into();
        let put = Put::new(&descriptor, &node(6), there, payload, Timestamp::EPOCH);
        assert_eq!(put.others, [node(1), node(3)]);
        assert_eq!(put.spare, [node(5), node(2), node(4)]);
    }

    #[test]
    fn one_member_is_a_majority_of_one() {
        let mut put = put(2, 1);
        assert_eq!(put.verdict(), Verdict::Open);
        put.own = true;
        assert_eq!(put.verdict(), Verdict::Sent(PutReply { held: 1, of: 1 }));
    }
}
