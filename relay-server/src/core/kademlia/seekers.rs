//! Relays that packets are for and that the directory does not know: their descriptors are looked up.
//!
//! The packet that asked is dropped, and those that come once the relay was found pass. A packet says no more of its next
//! relay than a NodeId, which anybody can make up: so lookups are few, whoever causes them.

use std::collections::BTreeMap;

use zentalk_shared::dht::{Outcome, QueryId, RecordId};
use zentalk_shared::id::NodeId;
use zentalk_shared::onion::{RelayDescriptor, UnverifiedDescriptor};
use zentalk_shared::time::{Duration, Timestamp};

use super::super::admission::{Bucket, Rate};
use super::super::claims::Source;
use super::super::io::Metric;
use super::super::relay::{Relay, Step};

/// Found or not, a relay is not looked for again for so long.
const AGAIN: Duration = Duration::from_mins(10);
/// Lookups under way.
const AT_ONCE: usize = 4;
/// Lookups. Each asks some twenty relays.
const LOOKUPS: Rate = Rate {
    per_minute: 30,
    burst: 10,
};
/// Relays that were looked for lately: more than the rate allows for meanwhile.
const MAX_REMEMBERED: usize = 512;

/// Who is looked for, and who was.
pub(super) struct Seekers {
    under_way: BTreeMap<QueryId, NodeId>,
    sought: BTreeMap<NodeId, Timestamp>,
    rate: Bucket,
}

impl Seekers {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            under_way: BTreeMap::new(),
            sought: BTreeMap::new(),
            rate: Bucket::full(LOOKUPS, now),
        }
    }

    /// Whether a relay is to be looked for now.
    fn may_begin(&mut self, node: &NodeId, now: Timestamp) -> bool {
        let is_recent = |at: &Timestamp| now.since(*at) < AGAIN;
        if self.under_way.len() >= AT_ONCE || self.sought.get(node).is_some_and(is_recent) {
            return false;
        }
        if self.sought.len() >= MAX_REMEMBERED {
            self.sought.retain(|_, at| is_recent(at));
        }
        self.sought.len() < MAX_REMEMBERED && self.rate.take(LOOKUPS, 1, now)
    }

    fn begun(&mut self, query: QueryId, node: NodeId, now: Timestamp) {
        self.under_way.insert(query, node);
        self.sought.insert(node, now);
    }

    /// What is under way comes to nothing.
    pub(super) fn forget(&mut self) {
        self.under_way.clear();
        self.sought.clear();
    }
}

impl Relay {
    /// A packet is for a relay that cannot be connected to.
    pub(in crate::core) fn look_for_relay(&mut self, node: &NodeId, step: &mut Step<'_>) {
        let is_known = self.directory.relays().get(node).is_some();
        // A claim is being looked for where it says.
        if is_known || self.dial_back.claims.get(node).is_some() {
            return;
        }
        let dht = self.dht.node.as_mut();
        let Some(dht) = dht.filter(|dht| !dht.table().is_empty()) else {
            return;
        };
        if !self.dht.seekers.may_begin(node, step.now) {
            return;
        }
        if let Ok(query) = dht.find_value(RecordId::relay(node), step.now, &mut step.rng) {
            self.dht.seekers.begun(query, *node, step.now);
            self.count(Metric::Dht("sought"));
        }
    }

    /// A lookup is at its end; false if it was not for a relay. What was found is a claim, as of a directory.
    pub(super) fn relay_sought(
        &mut self,
        query: QueryId,
        outcome: &Outcome,
        step: &mut Step<'_>,
    ) -> bool {
        let Some(node) = self.dht.seekers.under_way.remove(&query) else {
            return false;
        };
        if let (Some(value), Some(giver)) = (&outcome.value, outcome.giver)
            && let Some(descriptor) = descriptor(&value.bytes, step.now)
            && descriptor.node() == node
        {
            self.count(Metric::Dht("sought_found"));
            self.learn(descriptor, Source::Gossip(giver), step);
        }
        true
    }
}

fn descriptor(bytes: &[u8], now: Timestamp) -> Option<RelayDescriptor> {
    UnverifiedDescriptor::decode(bytes).ok()?.verify(now).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn node(n: u32) -> NodeId {
        let mut bytes = [0; 20];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        NodeId::from_bytes(bytes)
    }

    /// A lookup that is over at once.
    fn begin(seekers: &mut Seekers, node: NodeId, now: Timestamp) -> bool {
        let may = seekers.may_begin(&node, now);
        if may {
            seekers.sought.insert(node, now);
        }
        may
    }

    #[test]
    fn a_relay_is_looked_for_once_in_ten_minutes() {
        let mut seekers = Seekers::new(NOW);
        let minutes = |n| NOW + Duration::from_mins(n);
        let begun = (0..25).filter(|n| begin(&mut seekers, node(1), minutes(*n)));
        assert_eq!(begun.collect::<Vec<_>>(), [0, 10, 20]);
        // One that could not begin does not count.
        assert!(seekers.may_begin(&node(2), NOW) && seekers.may_begin(&node(2), NOW));
    }

    #[test]
    fn fault_15_ids_that_are_made_up_cost_few_lookups_and_little_memory() {
        let mut seekers = Seekers::new(NOW);
        let mut begun = 0;
        for n in 0..72_000 {
            let now = NOW + Duration::from_ms(50) * u64::from(n);
            begun += u32::from(begin(&mut seekers, node(n), now));
            assert!(seekers.sought.len() <= MAX_REMEMBERED);
        }
        // An hour of twenty a second.
        assert!((1_790..=1_810).contains(&begun), "{begun}");
    }
}
