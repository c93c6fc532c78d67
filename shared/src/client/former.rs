//! Relays that were in my swarm: they are told of the move, and asked for mail of senders who have not heard
//! of it, for as long as mail can wait. DESIGN §3.4.

use std::collections::{BTreeMap, BTreeSet};

use minicbor::{Decode, Encode};
use rand_core::CryptoRng;

use super::mailbox::Need;
use super::outbox::backoff;
use crate::id::NodeId;
use crate::time::{Duration, Timestamp};
use crate::wire::codec::BoundedList;

/// Former members that are remembered; beyond, those that left first are not.
pub(super) const MAX_FORMER: usize = 12;
/// They are asked for so long: envelopes live no longer.
const ASKED_FOR: Duration = Duration::from_days(30);
/// Each is asked at least this often.
const POLL: Duration = Duration::from_hours(1);
const FIRST_RETRY: Duration = Duration::from_mins(1);

/// One of them, as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) struct FormerMember {
    #[n(0)]
    pub(super) node: NodeId,
    #[n(1)]
    pub(super) left: Timestamp,
    /// It has the descriptor that it is not in.
    #[n(2)]
    pub(super) told: bool,
}

/// As they are stored.
pub(super) type FormerMembers = BoundedList<FormerMember, MAX_FORMER>;

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Formers(BTreeMap<NodeId, Former>);

#[derive(Clone, Copy, Debug)]
struct Former {
    stored: FormerMember,
    due: Timestamp,
    /// Where the next fetch goes on.
    after: u64,
    attempts: u32,
}

impl Former {
    const fn new(stored: FormerMember, due: Timestamp) -> Self {
        Self {
            stored,
            due,
            after: 0,
            attempts: 0,
        }
    }
}

impl Formers {
    pub(super) fn restore(stored: Option<&FormerMembers>, now: Timestamp) -> Self {
        let stored = stored.into_iter().flat_map(|stored| stored.iter());
        let all = stored.map(|one| (one.node, Former::new(*one, now)));
        Self(all.collect())
    }

    /// As they are to be stored.
    pub(super) fn rows(&self) -> Option<FormerMembers> {
        let rows: Vec<_> = self.0.values().map(|former| former.stored).collect();
        BoundedList::new(rows).ok()
    }

    /// The swarm is `listed` now; `gone` were in it until now.
    pub(super) fn moved(
        &mut self,
        gone: impl Iterator<Item = NodeId>,
        listed: &[NodeId],
        now: Timestamp,
    ) {
        for node in gone {
            let stored = FormerMember {
                node,
                left: now,
                told: false,
            };
            self.0.insert(node, Former::new(stored, now));
        }
        self.0.retain(|node, _| !listed.contains(node));
        while self.0.len() > MAX_FORMER {
            let first = self.0.values().min_by_key(|former| former.stored.left);
            let Some(node) = first.map(|former| former.stored.node) else {
                break;
            };
            self.0.remove(&node);
        }
    }

    /// Everybody is asked at once: a connection came up.
    pub(super) fn reset(&mut self, now: Timestamp) {
        self.0.values_mut().for_each(|former| former.due = now);
    }

    /// Forgets those that can have no mail any more; whether there were any.
    pub(super) fn expire(&mut self, now: Timestamp) -> bool {
        let before = self.0.len();
        self.0
            .retain(|_, former| now.since(former.stored.left) < ASKED_FOR);
        self.0.len() < before
    }

    pub(super) fn nodes(&self) -> Vec<NodeId> {
        self.0.keys().copied().collect()
    }

    pub(super) fn contains(&self, node: &NodeId) -> bool {
        self.0.contains_key(node)
    }

    /// What is due at each.
    pub(super) fn needs<'a>(
        &'a self,
        busy: &'a BTreeSet<NodeId>,
        now: Timestamp,
    ) -> impl Iterator<Item = (NodeId, Need)> + 'a {
        let due =
            move |(node, former): &(&NodeId, &Former)| former.due <= now && !busy.contains(*node);
        let need = |former: &Former| match former.stored.told {
            true => Need::Fetch {
                after: former.after,
            },
            false => Need::Tell,
        };
        let due = self.0.iter().filter(due);
        due.map(move |(node, former)| (*node, need(former)))
    }

    pub(super) fn asked(&mut self, node: &NodeId, now: Timestamp) {
        if let Some(former) = self.0.get_mut(node) {
            former.due = now.saturating_add(POLL);
        }
    }

    /// It knows of the move. True: store that.
    pub(super) fn told(&mut self, node: &NodeId, now: Timestamp) -> bool {
        let former = self.0.get_mut(node).map(|former| {
            former.stored.told = true;
            former.attempts = 0;
            former.due = now;
        });
        former.is_some()
    }

    /// A page of its mail has come.
    pub(super) fn fetched(&mut self, node: &NodeId, next: u64, remaining: u32, now: Timestamp) {
        if let Some(former) = self.0.get_mut(node) {
            former.attempts = 0;
            (former.after, former.due) = match remaining {
                0 => (0, now.saturating_add(POLL)),
                _ => (next, now),
            };
        }
    }

    pub(super) fn failed(&mut self, node: &NodeId, now: Timestamp, rng: &mut impl CryptoRng) {
        if let Some(former) = self.0.get_mut(node) {
            let pause = backoff(former.attempts, FIRST_RETRY, POLL, rng);
            former.due = now.saturating_add(pause);
            former.attempts = former.attempts.saturating_add(1);
        }
    }

    /// When something is due next.
    pub(super) fn next_timeout(&self, busy: &BTreeSet<NodeId>) -> Option<Timestamp> {
        let free = self.0.iter().filter(|(node, _)| !busy.contains(node));
        free.map(|(_, former)| former.due).min()
    }
}
