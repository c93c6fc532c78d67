//! A relay as path selection sees it: whether it can be used now, what it may share a path with, and how
//! often it is drawn.

use rand::RngExt;
use rand_core::CryptoRng;

use super::descriptor::RelayDescriptor;
use super::health::Comparison;
use super::party::Party;
use super::privacy::Relaxation;
use super::suites::SuiteSet;
use crate::crypto::kem::Suite;
use crate::id::NodeId;
use crate::time::Timestamp;

/// A relay that can be used now.
pub(super) struct Candidate<'a> {
    pub(super) relay: &'a RelayDescriptor,
    pub(super) node: NodeId,
    /// Suites that it has published a key of for now.
    pub(super) suites: SuiteSet,
    pub(super) suspect: bool,
    pub(super) party: Party<'a>,
    /// Among the others, as [`weights`](super::weight::weights) has it; the census sets it.
    pub(super) weight: u64,
    /// By which what it is known to lose or delay lowers its weight.
    health: f64,
}

impl<'a> Candidate<'a> {
    /// `None` if the relay has published no key for this epoch, of any suite that is known.
    pub(super) fn new(
        relay: &'a RelayDescriptor,
        allow_loopback: bool,
        health: &Comparison<'_>,
        now: Timestamp,
    ) -> Option<Self> {
        let offers = |suite: &_| relay.onion_key(*suite, now).is_some();
        let suites = SuiteSet::from_iter(Suite::ALL.into_iter().filter(offers));
        (!suites.is_empty()).then(|| Self {
            relay,
            node: relay.node(),
            suites,
            suspect: false,
            party: Party::of(relay, allow_loopback),
            weight: 0,
            health: health.factor(&relay.node()),
        })
    }

    /// Whether the two may not be on one path.
    pub(super) fn clashes(&self, other: &Self, relaxed: Relaxation) -> bool {
        self.node == other.node
            || (relaxed < Relaxation::SameOperator && self.party.same_operator(&other.party))
            || (relaxed < Relaxation::SameSubnet && self.party.same_subnet(&other.party))
    }
}

/// One of the candidates, with a probability in proportion to its weight.
pub(super) fn weighted<'c, 'a>(
    candidates: impl Iterator<Item = &'c Candidate<'a>> + Clone,
    rng: &mut impl CryptoRng,
) -> Option<&'c Candidate<'a>> {
    let weight = |candidate: &Candidate<'_>| candidate.weight as f64 * candidate.health;
    let total: f64 = candidates.clone().map(weight).sum();
    let mut draw = rng.random::<f64>() * total;
    let mut last = None;
    for candidate in candidates {
        last = Some(candidate);
        draw -= weight(candidate);
        if draw < 0.0 {
            break;
        }
    }
    last
}
