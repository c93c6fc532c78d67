//! Which onion suites somebody uses, and which of them a network is ready for (PROTOCOL.md §5).
//!
//! A path has one suite, which all its relays have. A suite that few relays have would lead all who
//! prefer it through those few: it is used only while enough relays have it. Nor may a few relays without it
//! talk everybody out of it. Both are decided by relays that are independent of each other, which cost
//! something to make (docs/THREAT_MODEL.md). Whoever would rather not talk than use a weaker suite sets a floor.

use thiserror::Error;

use super::privacy::ENOUGH_RELAYS;
use crate::crypto::kem::Suite;

/// Guard, vanguard, fresh relay and target: fewer relays than that make no whole path.
const LONGEST_PATH: usize = 4;

/// One to three suites, each once, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suites {
    best: Suite,
    others: [Option<Suite>; Suite::ALL.len() - 1],
}

/// A list is not one of suites: the caller's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SuitesError {
    /// Nothing is listed.
    #[error("no onion suite is named")]
    Empty,
    /// One is listed again.
    #[error("the onion suite {} is named twice", .0.name())]
    Twice(Suite),
}

impl Suites {
    /// What a relay offers unless its operator says otherwise: an RSA operation for every packet is
    /// hundreds of times as dear.
    pub const OFFERED: Self = Self {
        best: Suite::X25519,
        others: [Some(Suite::XWing), None],
    };

    /// The suites listed, best first.
    pub fn new(listed: &[Suite]) -> Result<Self, SuitesError> {
        let (best, rest) = listed.split_first().ok_or(SuitesError::Empty)?;
        let mut suites = Self::only(*best);
        for suite in rest {
            let known = suites.contains(*suite);
            match suites.others.iter_mut().find(|slot| slot.is_none()) {
                Some(slot) if !known => *slot = Some(*suite),
                _ => return Err(SuitesError::Twice(*suite)),
            }
        }
        Ok(suites)
    }

    /// This one.
    pub const fn only(best: Suite) -> Self {
        Self {
            best,
            others: [None, None],
        }
    }

    /// All of them: `best` first, then the others in the order of their numbers.
    pub const fn preferring(best: Suite) -> Self {
        let [second, third] = match best {
            Suite::X25519 => [Suite::XWing, Suite::Rsa4096],
            Suite::XWing => [Suite::X25519, Suite::Rsa4096],
            Suite::Rsa4096 => [Suite::X25519, Suite::XWing],
        };
        Self {
            best,
            others: [Some(second), Some(third)],
        }
    }

    /// Those that are no weaker than `floor`; only that one if all listed are.
    pub fn not_below(&self, floor: Suite) -> Self {
        let strong = |suite: &Suite| suite.strength() >= floor.strength();
        let left: Vec<_> = self.iter().filter(strong).collect();
        Self::new(&left).unwrap_or_else(|_| Self::only(floor))
    }

    /// The first.
    pub const fn best(&self) -> Suite {
        self.best
    }

    /// The suites, best first.
    pub fn iter(&self) -> impl Iterator<Item = Suite> + Clone + use<> {
        core::iter::once(self.best).chain(self.others.into_iter().flatten())
    }

    /// Whether it is one of them.
    pub fn contains(&self, suite: Suite) -> bool {
        self.iter().any(|own| own == suite)
    }

    /// Their numbers, as handshakes carry them.
    pub fn numbers(&self) -> Vec<u8> {
        self.iter().map(Suite::number).collect()
    }
}

/// All suites, X25519 first.
impl Default for Suites {
    fn default() -> Self {
        Self::preferring(Suite::X25519)
    }
}

/// How many relays there are, and how many of them are independent of each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Relays {
    /// All.
    pub all: usize,
    /// The largest number with no two of one operator or subnet, as far as it is counted
    /// ([`MAX_INDEPENDENT`](super::party::MAX_INDEPENDENT)).
    pub independent: usize,
}

impl Relays {
    /// Whether paths may keep to these relays, which have some suite, out of `network`. They must be
    ///
    /// - most of it and make a whole path, so that a minority without the suite changes nothing; or
    /// - enough for strict rules and a third of it, so that it takes half as many relays as all others together to have
    ///   everybody who prefers the suite to oneself; or
    /// - all there are.
    ///
    /// Independent relays are counted, or all where too few are independent for that to mean anything.
    pub const fn suffice(self, network: Self) -> bool {
        let (own, whole) = match network.independent >= LONGEST_PATH {
            true => (self.independent, network.independent),
            false => (self.all, network.all),
        };
        let most = own >= LONGEST_PATH && 2 * own > whole;
        let enough = own >= ENOUGH_RELAYS && 3 * own >= whole;
        most || enough || self.all == network.all
    }

    const fn are_most_of(self, network: Self) -> bool {
        self.all >= LONGEST_PATH && 2 * self.all > network.all
    }
}

/// The suites that paths may use, best first: those `wanted` that enough relays of the `network` have. If there is none,
/// the one that most relays have, the better one of equals; but `None` if there is a `floor`.
pub fn usable(
    wanted: Suites,
    floor: Option<Suite>,
    network: Relays,
    having: impl Fn(Suite) -> Relays,
) -> Option<Suites> {
    let wanted = floor.map_or(wanted, |floor| wanted.not_below(floor));
    let fit = |suite: &Suite| {
        let own = having(*suite);
        // Everybody's suite goes by number too: else four relays without it, of as many names, would make a fleet that
        // has it under one name unusable.
        own.suffice(network) || (*suite == Suite::X25519 && own.are_most_of(network))
    };
    let fitting: Vec<Suite> = wanted.iter().filter(fit).collect();
    match (Suites::new(&fitting), floor) {
        (Ok(fitting), _) => Some(fitting),
        (Err(_), Some(_)) => None,
        (Err(_), None) => Some(Suites::only(most_common(wanted, having))),
    }
}

fn most_common(wanted: Suites, having: impl Fn(Suite) -> Relays) -> Suite {
    let count = |suite| {
        let Relays { all, independent } = having(suite);
        (independent, all)
    };
    let more = |best, other| match count(other) > count(best) {
        true => other,
        false => best,
    };
    wanted.iter().fold(wanted.best(), more)
}

/// A set of suites.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SuiteSet(u8);

impl SuiteSet {
    pub(super) const fn contains(self, suite: Suite) -> bool {
        self.0 & Self::bit(suite) != 0
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    const fn bit(suite: Suite) -> u8 {
        1 << suite.number()
    }
}

impl FromIterator<Suite> for SuiteSet {
    fn from_iter<I: IntoIterator<Item = Suite>>(suites: I) -> Self {
        let bits = suites.into_iter().map(Self::bit);
        Self(bits.fold(0, |all, bit| all | bit))
    }
}

#[cfg(test)]
mod tests {
    use super::Suite::{Rsa4096, X25519, XWing};
    use super::*;

    /// Relays that are independent of each other.
    const fn relays(all: usize) -> Relays {
        Relays {
            all,
            independent: all,
        }
    }

    fn choose(
        wanted: &[Suite],
        floor: Option<Suite>,
        network: usize,
        counts: [usize; 3],
    ) -> Option<Vec<Suite>> {
        let having = |suite: Suite| {
            let [x25519, xwing, rsa] = counts;
            relays(match suite {
                X25519 => x25519,
                XWing => xwing,
                Rsa4096 => rsa,
            })
        };
        let wanted = Suites::new(wanted).unwrap();
        let usable = usable(wanted, floor, relays(network), having);
        usable.map(|suites| suites.iter().collect())
    }

    fn chosen(wanted: &[Suite], network: usize, counts: [usize; 3]) -> Vec<Suite> {
        choose(wanted, None, network, counts).unwrap()
    }

    #[test]
    fn a_list_names_one_to_three_suites_once() {
        let listed = [Rsa4096, X25519];
        let suites = Suites::new(&listed).unwrap();
        assert_eq!(suites.iter().collect::<Vec<_>>(), listed);
        assert_eq!(suites.numbers(), [3, 1]);
        assert!(suites.contains(X25519) && !suites.contains(XWing));
        assert_eq!(Suites::new(&[]), Err(SuitesError::Empty));
        let twice = [XWing, X25519, XWing];
        assert_eq!(Suites::new(&twice), Err(SuitesError::Twice(XWing)));
        let four = [XWing, X25519, Rsa4096, X25519];
        assert_eq!(Suites::new(&four), Err(SuitesError::Twice(X25519)));
    }

    #[test]
    fn a_preference_names_all_suites() {
        for best in Suite::ALL {
            let order: Vec<_> = Suites::preferring(best).iter().collect();
            assert_eq!((order[0], order.len()), (best, 3));
            let listed = Suites::new(&order).unwrap();
            assert_eq!(listed, Suites::preferring(best));
        }
        assert_eq!(Suites::default().iter().next(), Some(X25519));
        assert!(!Suites::OFFERED.contains(Rsa4096));
    }

    #[test]
    fn the_preferred_suite_is_used_where_all_have_it() {
        for network in [1, 2, 3, 9, 12, 100] {
            assert_eq!(
                chosen(&[XWing, X25519], network, [network, network, 0]),
                [XWing, X25519]
            );
        }
    }

    #[test]
    fn a_minority_without_it_talks_nobody_out_of_it() {
        for network in 7_usize..60 {
            for without in 0..network.div_ceil(2) {
                let with = network - without;
                let chosen = chosen(&[XWing, X25519], network, [network, with, 0]);
                assert_eq!(chosen[0], XWing, "{without} of {network} lack it");
            }
        }
        assert_eq!(chosen(&[XWing, X25519], 9, [9, 4, 0]), [X25519]);
        assert_eq!(chosen(&[XWing, X25519], 5, [5, 4, 0])[0], XWing);
        assert_eq!(chosen(&[XWing, X25519], 4, [4, 3, 0]), [X25519]);
    }

    #[test]
    fn a_rare_suite_needs_a_third_of_the_network() {
        assert_eq!(chosen(&[XWing, X25519], 36, [36, 12, 0])[0], XWing);
        assert_eq!(chosen(&[XWing, X25519], 37, [37, 12, 0]), [X25519]);
        assert_eq!(chosen(&[XWing, X25519], 100, [100, 34, 0])[0], XWing);
        assert_eq!(chosen(&[XWing, X25519], 100, [100, 33, 0]), [X25519]);
        assert_eq!(chosen(&[XWing, X25519], 22, [22, 11, 0]), [X25519]);
    }

    #[test]
    fn relays_that_are_not_independent_neither_help_nor_harm() {
        let honest = relays(20);
        // A hundred relays of one party, with and without the suite.
        let network = Relays {
            all: 120,
            independent: 21,
        };
        let theirs = Relays {
            all: 100,
            independent: 1,
        };
        assert!(honest.suffice(network), "they cannot talk others out of it");
        assert!(!theirs.suffice(network), "nor draw others to themselves");
    }

    #[test]
    fn a_few_with_many_names_do_not_make_a_fleet_with_one_unusable() {
        let of = |all, independent| Relays { all, independent };
        let network = of(34, 5);
        let having = |suite: Suite| match suite {
            Rsa4096 => of(4, 4),
            X25519 | XWing => of(30, 1),
        };
        let chosen = usable(Suites::default(), None, network, having).unwrap();
        assert_eq!(chosen.best(), X25519);
        let floor = Some(XWing);
        assert_eq!(usable(Suites::default(), floor, network, having), None);
    }

    #[test]
    fn a_network_of_one_operator_is_counted_by_relays() {
        let network = Relays {
            all: 20,
            independent: 1,
        };
        let with = |all| Relays {
            all,
            independent: 1,
        };
        assert!(with(19).suffice(network) && with(11).suffice(network));
        assert!(!with(6).suffice(network));
    }

    #[test]
    fn below_a_floor_nothing_is_used() {
        let any = |floor, counts| choose(&[XWing, X25519, Rsa4096], Some(floor), 9, counts);
        assert_eq!(any(XWing, [9, 5, 0]), Some(vec![XWing]));
        assert_eq!(any(XWing, [9, 4, 0]), None);
        assert_eq!(any(X25519, [9, 4, 0]), Some(vec![X25519]));
        assert_eq!(any(Rsa4096, [9, 5, 9]), Some(vec![XWing, Rsa4096]));
        assert_eq!(
            any(X25519, [4, 4, 4]),
            None,
            "no suite that few relays have"
        );
        assert_eq!(
            choose(&[X25519], Some(XWing), 9, [9, 9, 0]),
            Some(vec![XWing])
        );
        assert_eq!(any(XWing, [9, 9, 9]), Some(vec![XWing]));
    }

    #[test]
    fn suites_are_ordered_by_strength() {
        let order = [X25519, Rsa4096, XWing];
        assert!(order.is_sorted_by_key(|suite| suite.strength()));
        let all = Suites::preferring(X25519);
        assert_eq!(all.not_below(X25519), all);
        assert_eq!(all.not_below(XWing), Suites::only(XWing));
    }

    #[test]
    fn a_suite_of_few_relays_is_never_second_choice() {
        // Who serves a request could otherwise force its path through the few relays of its own suite.
        assert_eq!(
            chosen(&[X25519, XWing, Rsa4096], 60, [60, 60, 5]),
            [X25519, XWing]
        );
    }

    #[test]
    fn if_none_is_enough_the_most_common_one_is_used() {
        assert_eq!(chosen(&[XWing, X25519], 3, [2, 1, 0]), [X25519]);
        assert_eq!(chosen(&[XWing, X25519], 3, [2, 2, 0]), [XWing]);
        assert_eq!(chosen(&[Rsa4096], 9, [9, 9, 2]), [Rsa4096]);
        assert_eq!(chosen(&[XWing, X25519], 30, [10, 11, 0]), [XWing]);
    }

    #[test]
    fn an_empty_network_changes_nothing() {
        assert_eq!(chosen(&[XWing, X25519], 0, [0; 3]), [XWing, X25519]);
    }

    #[test]
    fn a_set_holds_what_it_was_made_of() {
        let set = SuiteSet::from_iter([X25519, Rsa4096]);
        assert!(set.contains(X25519) && set.contains(Rsa4096) && !set.contains(XWing));
        assert!(!set.is_empty() && SuiteSet::default().is_empty());
    }
}
