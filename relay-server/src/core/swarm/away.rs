//! Who of a swarm can be counted on: members that do not answer are passed over for a while, and what waits for them is
//! not kept for ever.

use zentalk_shared::id::{MailboxId, NodeId};
use zentalk_shared::time::{Duration, Timestamp};

use super::super::outbox::Outbox;
use super::super::relay::{Relay, Step};
use super::Swarm;

/// Who does not answer, or has lost its link, counts as away for so long unless it is heard of.
const AWAY: Duration = Duration::from_mins(1);
/// Relays that are remembered as away.
const MAX_AWAY: usize = 4096;

impl Swarm {
    pub(super) fn is_away(&self, node: &NodeId, now: Timestamp) -> bool {
        self.away.get(node).is_some_and(|until| now < *until)
    }

    /// A relay does not answer.
    pub(super) fn missed(&mut self, node: NodeId, now: Timestamp) {
        if self.away.len() >= MAX_AWAY {
            self.away.retain(|_, until| now < *until);
        }
        if self.away.len() < MAX_AWAY {
            self.away.insert(node, now + AWAY);
        }
    }

    /// Makes room for one more item for a member. Of a full `limit` the member that takes most of it gives way, so
    /// that those who confirm nothing do not keep others from being told. False: that member is this one.
    pub(super) fn make_room(&mut self, node: &NodeId, limit: usize) -> bool {
        let kept: usize = self.outboxes.values().map(Outbox::len).sum();
        if kept < limit {
            return true;
        }
        let own = self.outboxes.get(node).map_or(0, Outbox::len);
        let longest = self.outboxes.iter_mut();
        let longest = longest.max_by_key(|(node, outbox)| (outbox.len(), **node));
        match longest.filter(|(_, outbox)| outbox.len() > own + 1) {
            // What is in flight stays: no more than a window of it.
            Some((_, outbox)) => {
                outbox.drop_last();
                true
            }
            None => false,
        }
    }

    /// Forgets what waits for members that have confirmed nothing for too long, linked or not.
    pub(in super::super) fn forget_deaf(&mut self, now: Timestamp) {
        self.outboxes.retain(|_, outbox| !outbox.is_deaf(now));
    }
}

impl Relay {
    /// Whether this relay is one of those that hold the mail: of the first R members that can be reached.
    pub(in super::super) fn holds_mail_of(&self, mailbox: &MailboxId, now: Timestamp) -> bool {
        let Some(descriptor) = self.mailboxes.descriptor(mailbox) else {
            return false;
        };
        let there = |node: &&NodeId| **node == self.me || !self.swarm.is_away(node, now);
        let mut active = descriptor.members().iter().filter(there);
        let active = active.by_ref().take(descriptor.active().len());
        active.copied().any(|node| node == self.me)
    }

    /// Connects to a member that is not linked, or notes that it cannot be: false.
    pub(in super::super) fn reach_out(&mut self, node: NodeId, step: &Step<'_>) -> bool {
        let known = self.connect_to(node, step);
        if !known {
            self.swarm.missed(node, step.now);
        }
        known
    }
}
