//! Which relays serve: for a mailbox of mine, and for the directory.
//!
//! A mailbox's relays are drawn at random by weight, of distinct operators and subnets. Not the nearest to
//! a key: an attacker can make keys near to anything. DESIGN §3.4.

use rand::RngExt;
use rand_core::CryptoRng;

use super::relays::Relays;
use crate::id::NodeId;
use crate::onion::weight::weights;
use crate::onion::{Features, Party, RelayDescriptor};
use crate::time::Timestamp;

/// A swarm of three survives the loss of one. Fewer distinct relays than that are filled up with others.
const ENOUGH: usize = 3;

impl Relays {
    /// Relays that make a mailbox's swarm one of `count`, beside those that it `keeps`, none of them `not`: none of
    /// the guards or their kin, distinct operators and subnets, those with the onion suite of now first,
    /// vanguards behind others. If that gives fewer than three in all, other relays follow, guards last and the first guard
    /// very last.
    pub(super) fn choose_members(
        &self,
        keeps: &[NodeId],
        not: &[NodeId],
        count: usize,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Vec<NodeId> {
        let (guards, _) = self.kept_guards(now);
        let (mut fit, mut rest): (Vec<_>, Vec<_>) = self
            .shuffled(self.offering_now(Features::MAILBOX, now), rng)
            .into_iter()
            .filter(|relay| !keeps.contains(&relay.node()) && !not.contains(&relay.node()))
            .partition(|relay| !guards.contains(&relay.node()));
        // A swarm that took every vanguard would leave no path to itself.
        let is_vanguard = |node| self.vanguards().nodes().any(|vanguard| vanguard == node);
        fit.sort_by_key(|relay| (!self.has_suite(relay), is_vanguard(relay.node())));
        let mut chosen = Vec::new();
        let count = count.saturating_sub(keeps.len());
        let kept = guards.iter().chain(keeps);
        let kept = kept.filter_map(|node| self.directory().get(node));
        let mut taken: Vec<_> = kept.map(|guard| self.party(guard)).collect();
        let mut similar = Vec::new();
        for relay in fit {
            let party = self.party(relay);
            let distinct = !taken.iter().any(|other| other.is_related(&party));
            match distinct && chosen.len() < count {
                true => {
                    taken.push(party);
                    chosen.push(relay.node());
                }
                false => similar.push(relay.node()),
            }
        }
        rest.sort_by_key(|relay| guards.first() == Some(&relay.node()));
        let rest = similar
            .into_iter()
            .chain(rest.into_iter().map(RelayDescriptor::node));
        let enough = ENOUGH.saturating_sub(keeps.len());
        let missing = count.min(enough).saturating_sub(chosen.len());
        chosen.extend(rest.take(missing));
        chosen
    }

    /// Relays to ask for the directory: at random by weight, of two parties where there are two, and guards behind others of one
    /// party.
    pub(super) fn directory_relays(
        &self,
        count: usize,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Vec<NodeId> {
        let (guards, _) = self.kept_guards(now);
        let mut relays = self.shuffled(self.offering_now(Features::DIRECTORY, now), rng);
        relays.sort_by_key(|relay| guards.contains(&relay.node()));
        // Two of one party could vouch for each other's relays.
        let mut chosen: Vec<&RelayDescriptor> = Vec::new();
        let mut related = Vec::new();
        for relay in relays {
            if chosen.len() >= count {
                break;
            }
            let party = self.party(relay);
            match chosen.iter().any(|one| self.party(one).is_related(&party)) {
                true => related.push(relay),
                false => chosen.push(relay),
            }
        }
        let relays = chosen.into_iter().chain(related);
        relays.map(RelayDescriptor::node).take(count).collect()
    }

    /// Relays that offer something now.
    fn offering_now(
        &self,
        features: Features,
        now: Timestamp,
    ) -> impl Iterator<Item = &RelayDescriptor> {
        let relays = self.directory().iter();
        relays.filter(move |relay| self.is_usable(relay, features, now))
    }

    /// These relays in an order drawn by weight: each next one is drawn from what is left. Those that have the onion
    /// suite of now come first.
    pub(super) fn shuffled<'r>(
        &self,
        relays: impl Iterator<Item = &'r RelayDescriptor>,
        rng: &mut impl CryptoRng,
    ) -> Vec<&'r RelayDescriptor> {
        let offering: Vec<_> = relays.map(|relay| (relay, self.party(relay))).collect();
        let weights = weights(offering.iter().map(|(relay, party)| (*relay, party)));
        let relays = offering.iter().map(|(relay, _)| *relay);
        let mut left: Vec<_> = weights.into_iter().zip(relays).collect();
        let mut order = Vec::with_capacity(left.len());
        while !left.is_empty() {
            let total: u64 = left.iter().map(|(weight, _)| weight).sum();
            let mut draw = rng.random_range(0..total.max(1));
            let at = left.iter().position(|(weight, _)| {
                let here = draw < *weight;
                draw = draw.saturating_sub(*weight);
                here
            });
            order.push(left.swap_remove(at.unwrap_or(0)).1);
        }
        order.sort_by_key(|relay| !self.has_suite(relay));
        order
    }

    /// Whose a relay says it is.
    pub(super) fn party<'r>(&self, relay: &'r RelayDescriptor) -> Party<'r> {
        Party::of(relay, self.rules().allow_loopback)
    }
}
