//! Where and when relays of the directory were found: a connection to a relay's first URL led to its NodeId.
//!
//! A proof is renewed every few hours. One that could not be renewed for long is over, and its relay is forgotten.

use core::net::SocketAddr;
use std::collections::BTreeMap;

use zentalk_shared::id::NodeId;
use zentalk_shared::onion::Subnet;
use zentalk_shared::time::{Duration, Timestamp};

/// A proof is renewed after this long.
pub(super) const RENEW_AFTER: Duration = Duration::from_hours(2);
/// A proof that could not be renewed is believed for this long.
const LIFE: Duration = Duration::from_hours(8);
/// First pause after a failure; doubles from there.
const BACKOFF: Duration = Duration::from_mins(1);
/// Longest pause.
const MAX_BACKOFF: Duration = Duration::from_mins(30);
/// A proof of less age is not doubted.
const UNDOUBTED: Duration = Duration::from_mins(10);
/// Renewals under way.
pub(super) const AT_ONCE: usize = 8;
/// Relays of one network, in the open Internet: one machine may pass for thousands.
const MAX_IN_NETWORK: usize = 64;

/// A relay was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// When.
    pub at: Timestamp,
    /// At which address.
    pub address: SocketAddr,
}

/// All proofs.
#[derive(Debug)]
pub(super) struct Proofs {
    /// In order, so that one seed always gives one run.
    proofs: BTreeMap<NodeId, Held>,
    /// How many may stand in one network.
    in_network: usize,
}

#[derive(Debug)]
struct Held {
    proof: Proof,
    failures: u32,
    /// When to renew it; `None`: that is under way.
    due: Option<Timestamp>,
}

impl Proofs {
    /// None yet. In development all relays are in one network.
    pub(super) const fn new(is_private: bool) -> Self {
        Self {
            proofs: BTreeMap::new(),
            in_network: if is_private {
                usize::MAX
            } else {
                MAX_IN_NETWORK
            },
        }
    }

    /// Whether a proof found on the disk is still worth something.
    pub(super) fn is_fresh(proof: &Proof, now: Timestamp) -> bool {
        now.since(proof.at) < LIFE
    }

    pub(super) fn get(&self, node: &NodeId) -> Option<&Proof> {
        self.proofs.get(node).map(|held| &held.proof)
    }

    /// Whether there is room for another relay at an address.
    pub(super) fn has_room(&self, node: &NodeId, address: SocketAddr) -> bool {
        let network = Subnet::of(address, true);
        let there = |(other, held): &(&NodeId, &Held)| {
            *other != node && Subnet::of(held.proof.address, true) == network
        };
        self.proofs.iter().filter(there).count() < self.in_network
    }

    /// Takes a proof, to be renewed after [`RENEW_AFTER`] and `spread`.
    pub(super) fn insert(&mut self, node: NodeId, proof: Proof, spread: Duration) {
        let held = Held {
            proof,
            failures: 0,
            due: Some(proof.at + RENEW_AFTER + spread),
        };
        self.proofs.insert(node, held);
    }

    pub(super) fn remove(&mut self, node: &NodeId) {
        self.proofs.remove(node);
    }

    /// The relay to look for next; the attempt is under way then.
    pub(super) fn start(&mut self, now: Timestamp) -> Option<NodeId> {
        if self.under_way() >= AT_ONCE {
            return None;
        }
        let due =
            |(node, held): (&NodeId, &Held)| Some((held.due.filter(|due| *due <= now)?, *node));
        let (_, node) = self.proofs.iter().filter_map(due).min()?;
        self.proofs.get_mut(&node)?.due = None;
        Some(node)
    }

    /// Somebody says that a relay is elsewhere: it is looked for now, unless it was lately, or cannot be found.
    pub(super) fn doubt(&mut self, node: &NodeId, now: Timestamp) {
        if let Some(held) = self.proofs.get_mut(node)
            && held.failures == 0
            && now.since(held.proof.at) >= UNDOUBTED
        {
            held.due = held.due.map(|due| due.min(now));
        }
    }

    /// When the next attempt is due that may start then.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        match self.under_way() < AT_ONCE {
            true => self.proofs.values().filter_map(|held| held.due).min(),
            false => None,
        }
    }

    /// The relay was not found. True: not for so long that its proof is over.
    pub(super) fn failed(
        &mut self,
        node: &NodeId,
        now: Timestamp,
        spread: impl FnOnce(Duration) -> Duration,
    ) -> bool {
        let Some(held) = self.proofs.get_mut(node) else {
            return false;
        };
        if !Self::is_fresh(&held.proof, now) {
            self.proofs.remove(node);
            return true;
        }
        let factor = 1u64.checked_shl(held.failures.min(16)).unwrap_or(u64::MAX);
        let pause = (BACKOFF * factor).min(MAX_BACKOFF);
        held.failures = held.failures.saturating_add(1);
        held.due = Some(now + pause + spread(pause));
        false
    }

    fn under_way(&self) -> usize {
        self.proofs
            .values()
            .filter(|held| held.due.is_none())
            .count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn node(n: u8) -> NodeId {
        NodeId::from_bytes([n; 20])
    }

    fn proof(n: u8) -> Proof {
        let address = SocketAddr::from(([198, 18, n, 1], 443));
        Proof { at: NOW, address }
    }

    fn no_spread(_: Duration) -> Duration {
        Duration::ZERO
    }

    #[test]
    fn a_proof_is_renewed_and_ends_if_it_cannot_be() {
        let mut proofs = Proofs::new(false);
        proofs.insert(node(1), proof(1), Duration::ZERO);
        assert_eq!(proofs.start(NOW), None);
        let mut now = NOW;
        let mut attempts = 0;
        loop {
            now = now.max(proofs.next_due().unwrap());
            assert_eq!(proofs.start(now), Some(node(1)));
            assert_eq!(proofs.next_due(), None, "it is under way");
            attempts += 1;
            if proofs.failed(&node(1), now, no_spread) {
                break;
            }
        }
        assert_eq!(proofs.get(&node(1)), None);
        let took = now.since(NOW);
        assert!(took >= LIFE && took < LIFE + MAX_BACKOFF);
        assert!((10..30).contains(&attempts), "{attempts}");
    }

    #[test]
    fn fault_20_one_network_holds_so_many_relays_only() {
        let mut proofs = Proofs::new(false);
        for n in 0..MAX_IN_NETWORK as u8 {
            assert!(proofs.has_room(&node(n), proof(1).address));
            proofs.insert(node(n), proof(1), Duration::ZERO);
        }
        assert!(!proofs.has_room(&node(100), proof(1).address));
        assert!(proofs.has_room(&node(100), proof(2).address));
        assert!(proofs.has_room(&node(3), proof(1).address), "it is there");
        assert!(Proofs::new(true).has_room(&node(100), proof(1).address));
    }

    #[test]
    fn renewals_are_few_at_a_time() {
        let mut proofs = Proofs::new(false);
        (0..20).for_each(|n| proofs.insert(node(n), proof(n), Duration::ZERO));
        let later = NOW + RENEW_AFTER;
        let started = std::iter::from_fn(|| proofs.start(later)).count();
        assert_eq!(started, AT_ONCE);
        proofs.insert(
            node(0),
            Proof {
                at: later,
                ..proof(0)
            },
            Duration::ZERO,
        );
        assert_eq!(proofs.start(later), Some(node(8)));
    }
}
