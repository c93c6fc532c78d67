//! Whose a relay is, as far as can be told from its descriptor, and how many relays are independent of each other.
//!
//! Nobody checks what relays say, so a lie must not pay beyond what the lie itself costs
//! (docs/THREAT_MODEL.md, "What independence costs to fake"):
//!
//! - A relay is in *one* network, that of its first URL, and of *one* operator: it can claim kinship with two
//!   groups of relays at most, however many URLs it lists.
//! - A relay that names no operator is its network's. A name is free: to take all without one for one operator's
//!   would cost an attacker nothing, and those who left it out the paths among them.
//! - The count is that of the largest set of independent relays, so another relay never lowers it, whatever it
//!   claims, and raises it by one at most.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::descriptor::RelayDescriptor;
use super::url::Subnet;

/// Counts of independent relays end here: no rule asks for more.
pub const MAX_INDEPENDENT: usize = 256;

/// Who a relay says it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party<'a> {
    operator: Operator<'a>,
    subnet: Subnet,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Operator<'a> {
    Named(&'a str),
    OfNetwork(Subnet),
}

impl<'a> Party<'a> {
    /// Of a relay. With `allow_loopback`, ports of this machine count as networks.
    pub fn of(relay: &'a RelayDescriptor, allow_loopback: bool) -> Self {
        let info = relay.info();
        // A descriptor without a URL does not verify.
        let first = info.urls.first().map(|url| url.subnet(allow_loopback));
        Self::new(
            &info.operator,
            first.unwrap_or_else(|| Subnet::Name(String::new())),
        )
    }

    fn new(operator: &'a str, subnet: Subnet) -> Self {
        let operator = match operator.is_empty() {
            true => Operator::OfNetwork(subnet.clone()),
            false => Operator::Named(operator),
        };
        Self { operator, subnet }
    }

    /// Whether both have one operator.
    pub fn same_operator(&self, other: &Self) -> bool {
        self.operator == other.operator
    }

    /// The network that it is in.
    pub(super) const fn subnet(&self) -> &Subnet {
        &self.subnet
    }

    /// Whether both are reached in one network.
    pub fn same_subnet(&self, other: &Self) -> bool {
        self.subnet == other.subnet
    }

    /// Whether both have one operator or network.
    pub fn is_related(&self, other: &Self) -> bool {
        self.same_operator(other) || self.same_subnet(other)
    }
}

/// How many relays, at most, can be chosen with no two related; counted up to [`MAX_INDEPENDENT`].
///
/// A relay joins an operator and a network, so this is a largest matching between the two (Kuhn's algorithm:
/// whoever finds its network taken asks its holder to move to another one).
pub(super) fn independent<'p, 'a: 'p>(parties: impl Iterator<Item = &'p Party<'a>>) -> usize {
    let mut networks: BTreeMap<&Operator<'_>, BTreeSet<&Subnet>> = BTreeMap::new();
    for party in parties {
        let of_operator = networks.entry(&party.operator).or_default();
        of_operator.insert(&party.subnet);
    }
    let mut matching = Matching::default();
    for operator in networks.keys().copied() {
        if matching.networks.len() >= MAX_INDEPENDENT {
            break;
        }
        matching.settle(operator, &networks);
    }
    matching.networks.len()
}

#[derive(Default)]
struct Matching<'a> {
    networks: BTreeMap<&'a Operator<'a>, &'a Subnet>,
    operators: BTreeMap<&'a Subnet, &'a Operator<'a>>,
    /// Networks from which a search found no way out: no later one will.
    closed: BTreeSet<&'a Subnet>,
}

impl<'a> Matching<'a> {
    /// Finds `newcomer` a network, moving others if need be.
    fn settle(
        &mut self,
        newcomer: &'a Operator<'a>,
        networks: &BTreeMap<&'a Operator<'a>, BTreeSet<&'a Subnet>>,
    ) {
        let mut wanted_by = BTreeMap::new();
        let mut seeking = VecDeque::from([newcomer]);
        while let Some(operator) = seeking.pop_front() {
            for network in networks.get(operator).into_iter().flatten().copied() {
                if self.closed.contains(network) || wanted_by.contains_key(network) {
                    continue;
                }
                wanted_by.insert(network, operator);
                match self.operators.get(network) {
                    Some(holder) => seeking.push_back(holder),
                    None => return self.shift(network, &wanted_by),
                }
            }
        }
        self.closed.extend(wanted_by.into_keys());
    }

    /// Everybody on the way to the `free` network takes the one that it asked for; the newcomer leaves none.
    fn shift(&mut self, free: &'a Subnet, wanted_by: &BTreeMap<&'a Subnet, &'a Operator<'a>>) {
        let mut next = Some(free);
        while let Some((network, operator)) = next.and_then(|at| Some((at, *wanted_by.get(at)?))) {
            self.operators.insert(network, operator);
            next = self.networks.insert(operator, network);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn party(operator: &'static str, network: u8) -> Party<'static> {
        Party::new(operator, Subnet::V4([network, 0, 0]))
    }

    const NAMES: [&str; 6] = ["", "a", "b", "c", "d", "e"];

    fn parties(described: &[(usize, u8)]) -> Vec<Party<'static>> {
        let all = described.iter();
        all.map(|(operator, network)| party(NAMES[*operator], *network))
            .collect()
    }

    /// By trying all sets.
    fn largest_by_hand(parties: &[Party<'_>]) -> usize {
        let sets = 0..1u32 << parties.len();
        let chosen = sets.filter_map(|set| {
            let of: Vec<_> = (0..parties.len()).filter(|n| set & (1 << n) != 0).collect();
            let related = |a: &usize, b: &usize| parties[*a].is_related(&parties[*b]);
            let clash = of
                .iter()
                .any(|a| of.iter().any(|b| a != b && related(a, b)));
            (!clash).then_some(of.len())
        });
        chosen.max().unwrap_or(0)
    }

    #[test]
    fn operators_and_networks_count_once() {
        assert_eq!(independent([].iter()), 0);
        let distinct = parties(&[(1, 1), (2, 2), (3, 3)]);
        assert_eq!(independent(distinct.iter()), 3);
        let one_operator = parties(&[(1, 1), (1, 2), (1, 3)]);
        assert_eq!(independent(one_operator.iter()), 1);
        let one_network = parties(&[(1, 1), (2, 1), (3, 1)]);
        assert_eq!(independent(one_network.iter()), 1);
    }

    #[test]
    fn relays_without_an_operator_are_their_networks() {
        let unnamed = parties(&[(0, 1), (0, 2), (0, 3), (0, 3), (1, 3), (1, 4)]);
        assert_eq!(independent(unnamed.iter()), 4);
        assert!(!unnamed[0].is_related(&unnamed[1]));
        assert!(unnamed[2].is_related(&unnamed[3]) && unnamed[3].is_related(&unnamed[4]));
    }

    #[test]
    fn who_claims_others_names_and_networks_takes_no_place_of_theirs() {
        // Counted greedily, the first would hide the two others.
        let claimed = parties(&[(1, 2), (1, 1), (2, 2)]);
        assert_eq!(independent(claimed.iter()), 2);
    }

    #[test]
    fn counting_ends_where_no_rule_asks_for_more() {
        let names: Vec<_> = (0..300).map(|n| format!("operator {n}")).collect();
        let all: Vec<_> = names
            .iter()
            .zip(0u16..)
            .map(|(operator, n)| {
                let [high, low] = n.to_be_bytes();
                let subnet = Subnet::V4([10, high, low]);
                Party::new(operator, subnet)
            })
            .collect();
        assert_eq!(independent(all.iter()), MAX_INDEPENDENT);
    }

    proptest! {
        #[test]
        fn the_count_is_of_the_largest_set(described in prop::collection::vec((0usize..6, 0u8..6), 0..11)) {
            let parties = parties(&described);
            prop_assert_eq!(independent(parties.iter()), largest_by_hand(&parties));
        }

        #[test]
        fn another_relay_adds_one_at_most_and_takes_none(
            described in prop::collection::vec((0usize..6, 0u8..9), 1..40),
        ) {
            let parties = parties(&described);
            let before = independent(parties[1..].iter());
            let after = independent(parties.iter());
            prop_assert!(after == before || after == before + 1);
        }
    }
}
