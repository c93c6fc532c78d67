//! Positions in their order, as in a trie: who shares how many bits with whom, and who is nearest to a point.

use std::ops::Range;

use zentalk_shared::id::Position;

/// Values in the order of their positions.
#[derive(Clone, Debug)]
pub struct Sorted<T>(Vec<(Position, T)>);

impl<T> Default for Sorted<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Sorted<T> {
    /// No two have one position.
    pub fn new(mut values: Vec<(Position, T)>) -> Self {
        values.sort_unstable_by_key(|(position, _)| *position);
        Self(values)
    }

    /// All of them.
    pub fn all(&self) -> Range<usize> {
        0..self.0.len()
    }

    /// The value at an index.
    pub fn get(&self, at: usize) -> Option<&T> {
        self.0.get(at).map(|(_, value)| value)
    }

    /// Of a range whose positions have all bits before `bit` in common: the part that has `point`'s bit, and the other.
    pub fn halves(
        &self,
        range: Range<usize>,
        bit: u8,
        point: &Position,
    ) -> (Range<usize>, Range<usize>) {
        let is_set = |position: &Position| {
            position.as_bytes()[usize::from(bit / 8)] & (0x80 >> (bit % 8)) != 0
        };
        let part = &self.0[range.clone()];
        let middle = range.start + part.partition_point(|(position, _)| !is_set(position));
        match is_set(point) {
            true => (middle..range.end, range.start..middle),
            false => (range.start..middle, middle..range.end),
        }
    }

    /// The `count` nearest to a point, the nearest first.
    pub fn nearest(&self, point: &Position, count: usize) -> Vec<&T> {
        let mut found = Vec::with_capacity(count);
        self.gather(self.all(), 0, point, count, &mut found);
        found
    }

    fn gather<'a>(
        &'a self,
        range: Range<usize>,
        bit: u8,
        point: &Position,
        count: usize,
        found: &mut Vec<&'a T>,
    ) {
        if found.len() >= count || range.is_empty() {
            return;
        }
        if range.len() == 1 {
            found.extend(self.get(range.start));
            return;
        }
        // Whoever shares this bit with the point is nearer to it than whoever does not.
        let (near, far) = self.halves(range, bit, point);
        self.gather(near, bit + 1, point, count, found);
        self.gather(far, bit + 1, point, count, found);
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_core::{Rng, SeedableRng};

    use super::*;

    #[test]
    fn the_nearest_are_those_that_comparing_all_finds() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut position = || {
            let mut bytes = [0; 20];
            rng.fill_bytes(&mut bytes);
            Position::from_bytes(bytes)
        };
        let all: Vec<Position> = (0..300).map(|_| position()).collect();
        let sorted = Sorted::new(all.iter().map(|p| (*p, *p)).collect());
        for _ in 0..50 {
            let point = position();
            let mut expected = all.clone();
            expected.sort_by_key(|p| p.to(&point));
            let found: Vec<Position> = sorted.nearest(&point, 20).into_iter().copied().collect();
            assert_eq!(found, expected[..20]);
        }
        assert!(Sorted::<u8>::default().nearest(&position(), 20).is_empty());
    }
}
