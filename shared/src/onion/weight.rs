//! How often relays are drawn: by the capacity that they name, and those of one network together no oftener than one relay can be.
//!
//! Both are what a relay says of itself, so a lie gains what [`CAPACITIES`] leave, and many relays behind one address or
//! under one domain gain nothing over one (docs/THREAT_MODEL.md, "What independence costs to fake").

use std::collections::BTreeMap;

use super::descriptor::RelayDescriptor;
use super::party::Party;
use super::url::Subnet;

/// A relay says itself how many connections it takes; what it says counts within these bounds only.
pub const CAPACITIES: (u64, u64) = (1_000, 10_000);

/// What each of these relays weighs, in their order: its capacity, cut down where those of its network are more together
/// than one relay's largest.
pub fn weights<'r, 'a: 'r>(
    relays: impl Iterator<Item = (&'r RelayDescriptor, &'r Party<'a>)> + Clone,
) -> Vec<u64> {
    let (least, most) = CAPACITIES;
    let capacity = |relay: &RelayDescriptor| relay.info().max_connections.clamp(least, most);
    let mut networks: BTreeMap<&Subnet, u64> = BTreeMap::new();
    for (relay, party) in relays.clone() {
        let total = networks.entry(party.subnet()).or_default();
        *total = total.saturating_add(capacity(relay));
    }
    let weigh = |(relay, party): (&RelayDescriptor, &Party<'_>)| {
        let together = networks.get(party.subnet()).copied().unwrap_or(most);
        (capacity(relay) * most / together.max(most)).max(1)
    };
    relays.map(weigh).collect()
}
