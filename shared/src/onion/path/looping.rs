//! The way of a packet that a client sends to itself.

use rand_core::CryptoRng;

use super::{Candidate, Ends, PathError, PathFinder, Relaxation, Route};
use crate::id::NodeId;

impl PathFinder<'_> {
    /// guard → fresh → turn → guard, where *turn* is drawn at random by weight and the rest is as on a path to it. The
    /// guard sees a packet come from its client and one go to it, the others see packets pass: all as with a request and its
    /// reply, and after as many delays.
    ///
    /// With two relays it goes to the other one and back; one alone has nobody to hide anything from.
    pub fn loop_path(&self, guard: NodeId, rng: &mut impl CryptoRng) -> Result<Route, PathError> {
        let suite = self.suite();
        let suite = suite.ok_or_else(|| PathError::BelowFloor(self.rules.weakest()))?;
        let guard = self.candidate(guard).ok_or(PathError::Unknown(guard))?;
        let independent = |other: &Candidate<'_>| !other.clashes(guard, Relaxation::Strict);
        let another = |other: &Candidate<'_>| other.node != guard.node;
        let turn = self.draw_where(|other| independent(other) && !other.suspect, rng);
        let turn = turn.or_else(|| self.draw_where(another, rng));
        let ends = Ends {
            guard,
            target: turn.ok_or(PathError::TooFewRelays)?,
            suite,
        };
        let (middle, _) = self.middle(&ends, None, &[], rng)?;
        let path = [guard].into_iter().chain(middle);
        let path: Vec<_> = path.chain([ends.target, guard]).collect();
        self.route(&path, suite, rng)
    }
}
