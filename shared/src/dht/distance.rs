//! The XOR metric on 160-bit positions (Maymounkov and Mazières, 2002, §2.1).

use rand_core::CryptoRng;

use crate::id::{Position, RecordKey};

/// Buckets of a table: one for each bit of a position.
pub const BUCKETS: u8 = 160;

/// How far two points are from each other: a number of 160 bits, compared with `<`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Distance([u8; 20]);

impl Distance {
    /// Nothing is nearer.
    pub const ZERO: Self = Self([0; 20]);

    /// The bucket that holds points at this distance: ⌊log2⌋. Two relays of one network can share a position;
    /// they are each other's nearest, so distance zero belongs to bucket 0.
    pub fn bucket(&self) -> u8 {
        (BUCKETS - 1).saturating_sub(self.leading_zeros())
    }

    /// Leading bits that the two points have in common: 0 to 160.
    pub fn leading_zeros(&self) -> u8 {
        let mut zeros = 0;
        for byte in self.0 {
            zeros += byte.leading_zeros() as u8;
            if byte != 0 {
                break;
            }
        }
        zeros
    }
}

impl Position {
    /// The XOR distance to another point.
    pub fn to(&self, other: &Self) -> Distance {
        let mut distance = *self.as_bytes();
        let bytes = distance.iter_mut().zip(other.as_bytes());
        bytes.for_each(|(d, b)| *d ^= b);
        Distance(distance)
    }

    /// A random point of a bucket: it shares with this one the bits above `bucket`, and differs in that one.
    pub fn random_in(&self, bucket: u8, rng: &mut impl CryptoRng) -> Self {
        let shared = usize::from((BUCKETS - 1).saturating_sub(bucket));
        self.with_random_tail(shared, true, rng)
    }

    /// A random point that shares the first `shared` bits with this one.
    pub fn random_below(&self, shared: u8, rng: &mut impl CryptoRng) -> Self {
        self.with_random_tail(usize::from(shared), false, rng)
    }

    fn with_random_tail(&self, shared: usize, flip: bool, rng: &mut impl CryptoRng) -> Self {
        let mut random = [0; Self::LEN];
        rng.fill_bytes(&mut random);
        let bytes = random.iter_mut().zip(self.as_bytes()).enumerate();
        for (at, (byte, own)) in bytes {
            // How many bits of this byte are this position's own.
            let keep = shared.saturating_sub(at * 8).min(8);
            let mask = 0xFF_u8.checked_shr(keep as u32).unwrap_or(0);
            *byte = (*own & !mask) | (*byte & mask);
            if flip && shared / 8 == at {
                let bit = 0x80 >> (shared % 8);
                *byte = (*byte & !bit) | (!*own & bit);
            }
        }
        Self::from_bytes(random)
    }

    /// The point with one bit changed, counted from the most significant.
    pub(super) fn with_bit_flipped(&self, bit: u8) -> Self {
        let mut bytes = *self.as_bytes();
        if let Some(byte) = bytes.get_mut(usize::from(bit / 8)) {
            *byte ^= 0x80 >> (bit % 8);
        }
        Self::from_bytes(bytes)
    }
}

impl From<RecordKey> for Position {
    fn from(key: RecordKey) -> Self {
        Self::from_bytes(*key.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::rng;
    use proptest::prelude::*;

    fn point() -> impl Strategy<Value = Position> {
        any::<[u8; 20]>().prop_map(Position::from_bytes)
    }

    #[test]
    fn buckets_are_the_highest_bit_that_differs() {
        let zero = Position::from_bytes([0; 20]);
        let mut one = [0; 20];
        one[19] = 1;
        assert_eq!(zero.to(&zero).bucket(), 0);
        assert_eq!(zero.to(&Position::from_bytes(one)).bucket(), 0);
        one[19] = 2;
        assert_eq!(zero.to(&Position::from_bytes(one)).bucket(), 1);
        one[0] = 0x80;
        assert_eq!(zero.to(&Position::from_bytes(one)).bucket(), 159);
    }

    proptest! {
        #[test]
        fn xor_is_a_metric(a in point(), b in point(), c in point()) {
            prop_assert_eq!(a.to(&b), b.to(&a));
            prop_assert_eq!(a.to(&a), Distance::ZERO);
            prop_assert_eq!(a == b, a.to(&b) == Distance::ZERO);
            // d(a, c) ≤ d(a, b) + d(b, c): x ⊕ y ≤ x + y, checked on the upper 120 bits, rounded up.
            let upper = |d: Distance| {
                let mut high = [0; 16];
                high[1..].copy_from_slice(&d.0[..15]);
                u128::from_be_bytes(high)
            };
            prop_assert!(upper(a.to(&c)) <= upper(a.to(&b)) + upper(b.to(&c)) + 2);
            // Unidirectional: for a point and a distance there is one other point.
            prop_assert_eq!(a.to(&b) == a.to(&c), b == c);
        }

        #[test]
        fn random_points_fall_into_their_bucket(a in point(), bucket in 0..BUCKETS, seed: u64) {
            let random = a.random_in(bucket, &mut rng(seed));
            prop_assert_eq!(a.to(&random).bucket(), bucket);
            let below = a.random_below(bucket, &mut rng(seed));
            prop_assert!(a.to(&below).leading_zeros() >= bucket);
        }

        #[test]
        fn a_flipped_bit_is_a_bucket(a in point(), bit in 0..BUCKETS) {
            prop_assert_eq!(a.to(&a.with_bit_flipped(bit)).leading_zeros(), bit);
        }
    }
}
