//! The replay filter of one onion key: a packet passes a relay once (PROTOCOL.md §5).
//!
//! Bloom filters (Bloom, CACM 1970) in segments: a segment takes `tags` tags in 32 bits each with 20
//! probes, so a full one is wrong about a fresh tag with probability (1 − e^(−20/32))^20 ≈ 2^-22,
//! inside the protocol's 2^-20. A wrong answer drops an honest packet, which its sender retries. When
//! all segments are full the key is spent: dropping history would let old packets pass again.
//!
//! Tags come out of HKDF, so no hash is needed to spread them: the 20 probes are a short pseudo-random
//! sequence seeded by the tag. A sender who chooses its tags sets 20 bits per tag like everyone.

use core::fmt;

use thiserror::Error;

/// Bits of a segment for every tag that it takes.
const BITS_PER_TAG: usize = 32;
/// Bits set by one tag.
const PROBES: u64 = 20;

/// What a relay remembers of a packet: 16 bytes that only it and the sender can compute.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReplayTag([u8; Self::LEN]);

impl ReplayTag {
    /// Length in bytes.
    pub const LEN: usize = 16;

    /// Wraps the bytes, as read back from a log.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes, for a log.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// Bit positions, to be taken modulo the segment's length: SplitMix64 (Steele, Lea and Flood,
    /// OOPSLA 2014) with one half of the tag as its state and the other as its step.
    fn probes(self) -> impl Iterator<Item = u64> {
        let tag = u128::from_be_bytes(self.0);
        let (mut state, step) = ((tag >> 64) as u64, tag as u64 | 1);
        (0..PROBES).map(move |_| {
            state = state.wrapping_add(step);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        })
    }
}

impl fmt::Debug for ReplayTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReplayTag(…)")
    }
}

/// Why a tag is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ReplayError {
    /// The tag was seen before (or, with probability 2^-20 per full segment, looks as if).
    #[error("the packet was seen before")]
    Seen,
    /// Every segment is full: this key takes no more packets.
    #[error("the onion key is spent")]
    KeyExhausted,
}

/// How large a filter may grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayLimits {
    tags_per_segment: usize,
    segments: usize,
}

impl ReplayLimits {
    /// What the protocol says: segments of 2^20 tags in 4 MiB, 128 of them.
    pub const PROTOCOL: Self = Self {
        tags_per_segment: 1 << 20,
        segments: 128,
    };

    /// Smaller segments (2^`log2_tags` tags in four bytes each) for simulations of many relays; at
    /// least one tag, at most the protocol's.
    pub const fn small(log2_tags: u32) -> Self {
        let log2_tags = if log2_tags > 20 { 20 } else { log2_tags };
        Self {
            tags_per_segment: 1 << log2_tags,
            ..Self::PROTOCOL
        }
    }
}

/// The tags of one onion key. Memory is taken when the first tag of a segment arrives.
#[derive(Clone)]
pub struct ReplayFilter {
    limits: ReplayLimits,
    segments: Vec<Segment>,
}

impl ReplayFilter {
    /// An empty filter.
    pub const fn new(limits: ReplayLimits) -> Self {
        Self {
            limits,
            segments: Vec::new(),
        }
    }

    /// Takes a tag that is new; refuses one that was seen, and any once the filter is full.
    pub fn insert(&mut self, tag: ReplayTag) -> Result<(), ReplayError> {
        if self.contains(tag) {
            return Err(ReplayError::Seen);
        }
        self.open_segment()?.insert(tag);
        Ok(())
    }

    /// Whether the tag was seen.
    pub fn contains(&self, tag: ReplayTag) -> bool {
        self.segments.iter().any(|segment| segment.contains(tag))
    }

    /// Whether every segment is full.
    pub fn is_exhausted(&self) -> bool {
        self.segments.len() >= self.limits.segments && self.room().is_none()
    }

    /// Bytes that the filter occupies.
    pub fn memory(&self) -> usize {
        self.segments
            .iter()
            .map(|segment| size_of_val(segment.bits.as_slice()))
            .sum()
    }

    fn room(&self) -> Option<&Segment> {
        self.segments
            .last()
            .filter(|segment| segment.tags < self.limits.tags_per_segment)
    }

    fn open_segment(&mut self) -> Result<&mut Segment, ReplayError> {
        if self.room().is_none() {
            if self.segments.len() >= self.limits.segments {
                return Err(ReplayError::KeyExhausted);
            }
            self.segments
                .push(Segment::new(self.limits.tags_per_segment));
        }
        self.segments.last_mut().ok_or(ReplayError::KeyExhausted)
    }
}

impl fmt::Debug for ReplayFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayFilter")
            .field("segments", &self.segments.len())
            .finish_non_exhaustive()
    }
}

/// One Bloom filter.
#[derive(Clone)]
struct Segment {
    bits: Vec<u64>,
    tags: usize,
}

impl Segment {
    /// At least one word; a power of two of them, so that a mask takes the modulus.
    fn new(tags: usize) -> Self {
        let words = (tags * BITS_PER_TAG).div_ceil(64).next_power_of_two();
        Self {
            bits: vec![0; words],
            tags: 0,
        }
    }

    fn contains(&self, tag: ReplayTag) -> bool {
        tag.probes().all(|probe| {
            let (word, bit) = self.locate(probe);
            self.bits.get(word).is_some_and(|bits| bits & bit != 0)
        })
    }

    fn insert(&mut self, tag: ReplayTag) {
        for probe in tag.probes() {
            let (word, bit) = self.locate(probe);
            if let Some(bits) = self.bits.get_mut(word) {
                *bits |= bit;
            }
        }
        self.tags += 1;
    }

    /// Word and bit of a probe: its low bits name the word, its top six the bit.
    fn locate(&self, probe: u64) -> (usize, u64) {
        let mask = self.bits.len().wrapping_sub(1);
        ((probe as usize) & mask, 1 << (probe >> 58))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::rng;
    use rand_core::Rng;

    fn tags(seed: u64, count: usize) -> impl Iterator<Item = ReplayTag> {
        let mut rng = rng(seed);
        (0..count).map(move |_| {
            let mut tag = [0; 16];
            rng.fill_bytes(&mut tag);
            ReplayTag(tag)
        })
    }

    #[test]
    fn fault_14_a_tag_passes_once() {
        let mut filter = ReplayFilter::new(ReplayLimits::small(10));
        for tag in tags(1, 5_000) {
            assert_eq!(filter.insert(tag), Ok(()));
        }
        for tag in tags(1, 5_000) {
            assert_eq!(filter.insert(tag), Err(ReplayError::Seen));
        }
    }

    #[test]
    fn memory_is_taken_segment_by_segment() {
        let mut filter = ReplayFilter::new(ReplayLimits::PROTOCOL);
        assert_eq!(filter.memory(), 0);
        filter.insert(ReplayTag([1; 16])).unwrap();
        assert_eq!(filter.memory(), 4 << 20, "2^25 bits");
        let mut small = ReplayFilter::new(ReplayLimits::small(9));
        small.insert(ReplayTag([1; 16])).unwrap();
        assert_eq!(
            small.memory(),
            2 << 10,
            "a relay of a simulation costs 2 KiB"
        );
    }

    #[test]
    fn a_full_filter_refuses_its_key_and_still_knows_its_tags() {
        let limits = ReplayLimits {
            tags_per_segment: 8,
            segments: 3,
        };
        let mut filter = ReplayFilter::new(limits);
        for tag in tags(2, 24) {
            assert!(!filter.is_exhausted());
            filter.insert(tag).unwrap();
        }
        assert!(filter.is_exhausted());
        let fresh = tags(3, 1).next().unwrap();
        assert_eq!(filter.insert(fresh), Err(ReplayError::KeyExhausted));
        assert!(tags(2, 24).all(|tag| filter.insert(tag) == Err(ReplayError::Seen)));
    }

    /// The rate of a full segment of the protocol's own size, twice: exactly, from the share of its bits
    /// that are set, and as measured with 2^22 fresh tags, of which 2^-20 are four.
    #[test]
    fn a_full_segment_is_wrong_less_often_than_the_protocol_allows() {
        let mut filter = ReplayFilter::new(ReplayLimits::PROTOCOL);
        let inserted = tags(4, 1 << 20)
            .filter(|tag| filter.insert(*tag).is_ok())
            .count();
        assert!(inserted >= (1 << 20) - 4);
        assert_eq!(filter.segments.len(), 1);
        let rate = share_of_bits(&filter.segments[0]).powi(20);
        assert!(rate < 2f64.powi(-22), "{rate:e}");
        let wrong = tags(5, 1 << 22).filter(|tag| filter.contains(*tag)).count();
        assert!(wrong <= 4, "{wrong} of 2^22 fresh tags looked seen");
    }

    fn share_of_bits(segment: &Segment) -> f64 {
        let set: u32 = segment.bits.iter().map(|word| word.count_ones()).sum();
        f64::from(set) / (64.0 * segment.bits.len() as f64)
    }

    #[test]
    fn a_full_segment_has_the_expected_share_of_bits() {
        let mut segment = Segment::new(1 << 14);
        tags(6, 1 << 14).for_each(|tag| segment.insert(tag));
        let share = share_of_bits(&segment);
        assert!(
            (share - 0.4647).abs() < 0.005,
            "1 - e^(-20/32) = 0.4647, got {share}"
        );
    }

    #[test]
    fn probes_of_extreme_tags_differ() {
        for tag in [[0; 16], [0xff; 16]] {
            let mut probes: Vec<u64> = ReplayTag(tag).probes().map(|p| p & 0x1f_ffff).collect();
            probes.sort_unstable();
            probes.dedup();
            assert!(
                probes.len() >= 15,
                "{} distinct probes of {tag:?}",
                probes.len()
            );
        }
    }

    #[test]
    fn debug_prints_no_tag() {
        let mut filter = ReplayFilter::new(ReplayLimits::small(4));
        filter.insert(ReplayTag([0xab; 16])).unwrap();
        assert_eq!(format!("{filter:?}"), "ReplayFilter { segments: 1, .. }");
        assert_eq!(format!("{:?}", ReplayTag([0xab; 16])), "ReplayTag(…)");
    }
}
