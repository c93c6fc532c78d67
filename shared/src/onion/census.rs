//! How many relays paths can be drawn from, by onion suite, how many of them are independent of each other, and what each weighs.
//! To find that out takes long in a large network: it is done once for the relays that there are, not for every path.

use core::fmt;
use std::cell::Cell;

use super::candidate::Candidate;
use super::party::independent;
use super::suites::{Relays, SuiteSet};
use super::weight::weights;
use crate::crypto::kem::Suite;

/// Remembers what was counted last, until the relays are others: some came or went, say something else of themselves,
/// or have another suite's key for now.
#[derive(Default)]
pub struct Census {
    last: Cell<Option<Taken>>,
    #[cfg(test)]
    taken: Cell<usize>,
}

struct Taken {
    loopback: bool,
    /// The hash of each relay's descriptor, and the suites that it has a key of.
    relays: Vec<([u8; 32], SuiteSet)>,
    weights: Vec<u64>,
    counts: Counts,
}

/// All relays, and those with each suite.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counts {
    pub(super) network: Relays,
    having: [(Suite, Relays); Suite::ALL.len()],
}

impl Census {
    /// Counts these candidates, and gives each its weight. `loopback`: ports of this machine count as networks.
    pub(super) fn take(&self, candidates: &mut [Candidate<'_>], loopback: bool) -> Counts {
        let of = |candidate: &Candidate<'_>| (*candidate.relay.hash(), candidate.suites);
        let is_of = |taken: &Taken| {
            let relays = taken.relays.iter().copied();
            taken.loopback == loopback && relays.eq(candidates.iter().map(of))
        };
        let last = self.last.take().filter(is_of);
        let taken = last.unwrap_or_else(|| {
            #[cfg(test)]
            self.taken.update(|taken| taken + 1);
            Taken {
                loopback,
                relays: candidates.iter().map(of).collect(),
                weights: weights(candidates.iter().map(|one| (one.relay, &one.party))),
                counts: Counts::of(candidates),
            }
        });
        for (candidate, weight) in candidates.iter_mut().zip(&taken.weights) {
            candidate.weight = *weight;
        }
        let counts = taken.counts;
        self.last.set(Some(taken));
        counts
    }

    /// How often relays were counted.
    #[cfg(test)]
    pub(crate) fn taken(&self) -> usize {
        self.taken.get()
    }
}

impl fmt::Debug for Census {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Census").finish_non_exhaustive()
    }
}

impl Counts {
    fn of(candidates: &[Candidate<'_>]) -> Self {
        let with = |suite| count(candidates.iter().filter(|c| c.suites.contains(suite)));
        Self {
            network: count(candidates.iter()),
            having: Suite::ALL.map(|suite| (suite, with(suite))),
        }
    }

    /// The relays with a suite.
    pub(super) fn having(&self, suite: Suite) -> Relays {
        let known = self.having.iter().find(|(of, _)| *of == suite);
        known.map_or_else(Relays::default, |(_, relays)| *relays)
    }
}

fn count<'c, 'a: 'c>(candidates: impl Iterator<Item = &'c Candidate<'a>> + Clone) -> Relays {
    Relays {
        all: candidates.clone().count(),
        independent: independent(candidates.map(|candidate| &candidate.party)),
    }
}
