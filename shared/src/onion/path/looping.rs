//! The way of a packet that a client sends to itself, and what requests have in common with it.

use rand::RngExt;
use rand::seq::IteratorRandom;
use rand_core::CryptoRng;

use super::{Candidate, Ends, PathError, PathFinder, Relaxation, Route, VanguardSet};
use crate::crypto::kem::Suite;
use crate::id::NodeId;
use crate::onion::MixMode;

/// Draws for a way back that begins for the guard with another relay than the way there.
const TRIES: usize = 8;

/// A middle of a path, and how far the rules gave way for it.
type Middle<'c, 'a> = (Vec<&'c Candidate<'a>>, Relaxation);

impl<'a> PathFinder<'a> {
    /// guard → first → turn → guard. The guard sees a packet come from its client and one go to it, the others see packets
    /// pass, as with a request and its reply.
    ///
    /// What a client says to its own mailbox goes by one of its vanguards and comes back by one, all else by any relay: half
    /// of all loops have vanguards on both sides, half are drawn as the path to a target that is drawn by weight. With two relays
    /// it goes to the other one and back; one alone has nobody to hide anything from.
    pub fn loop_path(
        &self,
        guard: NodeId,
        vanguards: &VanguardSet,
        rng: &mut impl CryptoRng,
    ) -> Result<Route, PathError> {
        let suite = self.suite();
        let suite = suite.ok_or_else(|| PathError::BelowFloor(self.rules.weakest()))?;
        let guard = self.candidate(guard).ok_or(PathError::Unknown(guard))?;
        let by_vanguards = rng.random_bool(0.5);
        let between = by_vanguards.then(|| self.two_vanguards(guard, suite, vanguards, rng));
        let between = match between.flatten() {
            Some(between) => between,
            None => self.as_to_a_target(guard, suite, rng)?,
        };
        let path: Vec<_> = [guard].into_iter().chain(between).chain([guard]).collect();
        self.route(&path, suite, rng)
    }

    fn as_to_a_target(
        &self,
        guard: &Candidate<'a>,
        suite: Suite,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<&Candidate<'a>>, PathError> {
        let independent = |other: &Candidate<'_>| !other.clashes(guard, Relaxation::Strict);
        let another = |other: &Candidate<'_>| other.node != guard.node;
        let turn = self.draw_where(|other| independent(other) && !other.suspect, rng);
        let turn = turn.or_else(|| self.draw_where(another, rng));
        let target = turn.ok_or(PathError::TooFewRelays)?;
        let ends = Ends {
            guard,
            target,
            suite,
        };
        let (mut between, _) = self.middle(&ends, None, &[], rng)?;
        between.push(target);
        Ok(between)
    }

    /// Two of the vanguards that fit beside the guard and each other.
    fn two_vanguards(
        &self,
        guard: &Candidate<'a>,
        suite: Suite,
        vanguards: &VanguardSet,
        rng: &mut impl CryptoRng,
    ) -> Option<Vec<&Candidate<'a>>> {
        let fits = |relay: &&Candidate<'a>, other: &Candidate<'a>| {
            relay.suites.contains(suite) && !relay.clashes(other, Relaxation::Strict)
        };
        let known = vanguards.nodes().filter_map(|node| self.candidate(node));
        let usable: Vec<_> = known
            .filter(|relay| fits(relay, guard) && !relay.suspect)
            .collect();
        let first = usable.iter().copied().choose(rng)?;
        let others = usable.iter().copied().filter(|relay| fits(relay, first));
        Some(vec![first, others.choose(rng)?])
    }

    /// The relays between guard and target for the way back. Who mixes takes another one beside the guard than on the way
    /// `there`, if there is one: on no loop it is the same.
    pub(super) fn middle_back(
        &self,
        there: &[&Candidate<'a>],
        ends: &Ends<'_, 'a>,
        vanguards: Option<&VanguardSet>,
        swarm: &[NodeId],
        rng: &mut impl CryptoRng,
    ) -> Result<Middle<'_, 'a>, PathError> {
        let beside = |middle: &[&Candidate<'_>]| middle.first().map(|relay| relay.node);
        let mut back = self.middle(ends, vanguards, swarm, rng)?;
        for _ in 0..TRIES {
            let same = beside(&back.0) == beside(there);
            if self.rules.mixing == MixMode::Off || there.is_empty() || !same {
                break;
            }
            back = self.middle(ends, vanguards, swarm, rng)?;
        }
        Ok(back)
    }
}
