//! Keys of the reply blocks that members of my swarm hold, to push mail to me with.
//!
//! They live in memory only: a reload draws a new connection tag, and with it a new stock is minted. A
//! reply block is good for one push; its keys are wiped when it was used, forgotten, displaced or has
//! expired.

use std::collections::{BTreeMap, VecDeque};

use crate::id::{NodeId, SurbId};
use crate::onion::SurbKeys;
use crate::onion::epoch::SURB_MARGIN;
use crate::rpc::MAX_SURBS;
use crate::time::Timestamp;

/// Keys kept for one member: two full subscriptions; beyond, the oldest are wiped.
pub(super) const MAX_PER_MEMBER: usize = 2 * MAX_SURBS;
/// Members that stocks are kept for: six listed ones and former ones.
pub(super) const MAX_MEMBERS: usize = 24;

/// Keys by reply block.
#[derive(Debug, Default)]
pub(super) struct Stock {
    keys: BTreeMap<SurbId, Entry>,
    /// Oldest first. Ids whose keys are gone are skipped.
    members: BTreeMap<NodeId, VecDeque<SurbId>>,
}

#[derive(Debug)]
struct Entry {
    member: NodeId,
    /// The only guard that a push can come through.
    guard: NodeId,
    keys: SurbKeys,
}

impl Stock {
    /// Whether keys for this member can be kept at all.
    pub(super) fn has_room(&self, member: NodeId) -> bool {
        self.members.len() < MAX_MEMBERS || self.members.contains_key(&member)
    }

    /// Keeps the keys of a reply block that is handed to `member`.
    pub(super) fn add(&mut self, member: NodeId, guard: NodeId, keys: SurbKeys) {
        let ids = self.members.entry(member).or_default();
        ids.push_back(keys.id());
        if ids.len() > MAX_PER_MEMBER {
            ids.pop_front().map(|oldest| self.keys.remove(&oldest));
        }
        let entry = Entry {
            member,
            guard,
            keys,
        };
        self.keys.insert(entry.keys.id(), entry);
    }

    /// The keys of a reply block that was used, once, and whose push this is.
    pub(super) fn take(&mut self, surb: SurbId, guard: NodeId) -> Option<(NodeId, SurbKeys)> {
        if self.keys.get(&surb)?.guard != guard {
            return None;
        }
        let entry = self.keys.remove(&surb)?;
        if let Some(ids) = self.members.get_mut(&entry.member) {
            ids.retain(|id| *id != surb);
        }
        Some((entry.member, entry.keys))
    }

    /// Wipes the keys of a member that is to push no more.
    pub(super) fn forget(&mut self, member: NodeId) {
        for surb in self.members.remove(&member).unwrap_or_default() {
            self.keys.remove(&surb);
        }
    }

    /// Wipes keys of reply blocks that have expired, and a margin for pushes on their way.
    pub(super) fn expire(&mut self, now: Timestamp) {
        self.keys
            .retain(|_, entry| entry.keys.expires() + SURB_MARGIN > now);
        let keys = &self.keys;
        self.members.retain(|_, ids| {
            ids.retain(|id| keys.contains_key(id));
            !ids.is_empty()
        });
    }

    /// Keys held for a member.
    #[cfg(test)]
    pub(super) fn held(&self, member: NodeId) -> usize {
        self.members.get(&member).map_or(0, VecDeque::len)
    }
}
