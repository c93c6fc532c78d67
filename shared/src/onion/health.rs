//! How relays have served a client lately: those that lose or delay packets are drawn less often.
//!
//! A lost packet does not tell who lost it. So each relay is charged with what befell all packets that were to pass
//! it: the one at fault with its own share, every other one with the little that it has in common with that one.
//!
//! Whoever can disturb honest relays must not be able to steer a client to its own:
//!
//! - a relay is compared with the *typical* one, the median of all. Disturbing most relays alike changes nothing, and
//!   the better half always keeps its full weight, so that among equals nobody's share of the paths can more than double;
//! - nothing is excluded, and nothing lasts: what was seen counts half after a quarter of an hour.

use std::collections::BTreeMap;

use crate::id::NodeId;
use crate::time::{Duration, Timestamp};

/// After this long an observation counts half.
const HALF_LIFE: Duration = Duration::from_mins(15);
/// As many packets of a relay are taken to have arrived, before any was seen.
const PRIOR: f64 = 4.0;
/// Relays that served fewer packets than this say nothing of time.
const TIMED: f64 = 2.0;
/// A round trip that is so much longer than the typical one, and by so many ms, is not held against a relay.
const SLACK: f64 = 1.5;
const SLACK_MS: f64 = 100.0;
/// Weight goes with these powers of what arrives and of how fast.
const ARRIVAL_POWER: i32 = 4;
const SPEED_POWER: i32 = 2;
/// Weights are never multiplied by less.
const LEAST: f64 = 1.0 / 64.0;
const LEAST_FOR_SPEED: f64 = 1.0 / 16.0;
/// What has faded to this is forgotten.
const NEGLIGIBLE: f64 = 0.05;

/// What was seen of relays lately. Kept in memory only.
#[derive(Clone, Debug, Default)]
pub struct RelayHealth {
    seen: BTreeMap<NodeId, Seen>,
}

/// Packets that were to pass a relay, as they count at a moment.
#[derive(Clone, Copy, Debug)]
struct Seen {
    at: Timestamp,
    lost: f64,
    served: f64,
    /// Round trips of those that were served, in ms and in all.
    took: f64,
}

/// Relays compared with each other, at one moment.
#[derive(Clone, Debug)]
pub struct Comparison<'a> {
    health: &'a RelayHealth,
    now: Timestamp,
    /// Of the typical relay: which part of its packets is lost, and how long a round trip takes in ms.
    loss: f64,
    took: f64,
}

impl Seen {
    const fn nothing(now: Timestamp) -> Self {
        Self {
            at: now,
            lost: 0.0,
            served: 0.0,
            took: 0.0,
        }
    }

    fn at(self, now: Timestamp) -> Self {
        let half_lives = now.since(self.at).as_ms() as f64 / HALF_LIFE.as_ms() as f64;
        let left = (-half_lives).exp2();
        Self {
            at: now.max(self.at),
            lost: self.lost * left,
            served: self.served * left,
            took: self.took * left,
        }
    }

    fn packets(&self) -> f64 {
        self.lost + self.served
    }

    /// Which part is lost, if `PRIOR` more had arrived.
    fn loss(&self) -> f64 {
        self.lost / (self.packets() + PRIOR)
    }

    fn mean_took(&self) -> Option<f64> {
        (self.served >= TIMED).then(|| self.took / self.served)
    }
}

impl RelayHealth {
    /// Nothing seen.
    pub const fn new() -> Self {
        Self {
            seen: BTreeMap::new(),
        }
    }

    /// A packet that was to pass this relay was lost, or the relay itself was out of reach.
    pub fn note_failure(&mut self, node: NodeId, now: Timestamp) {
        self.note(node, now, |seen| seen.lost += 1.0);
    }

    /// A packet that passed this relay brought its reply, which took so long.
    pub fn note_success(&mut self, node: NodeId, took: Duration, now: Timestamp) {
        self.note(node, now, |seen| {
            seen.served += 1.0;
            seen.took += took.as_ms() as f64;
        });
    }

    fn note(&mut self, node: NodeId, now: Timestamp, add: impl FnOnce(&mut Seen)) {
        self.seen
            .retain(|_, seen| seen.at(now).packets() > NEGLIGIBLE);
        let seen = self.seen.entry(node).or_insert(Seen::nothing(now));
        *seen = seen.at(now);
        add(seen);
    }

    /// Compares so many relays with each other. Those of which nothing was seen are taken to lose nothing.
    pub fn compare(&self, relays: usize, now: Timestamp) -> Comparison<'_> {
        let seen = self.seen.values().map(|seen| seen.at(now));
        let unseen = relays.saturating_sub(self.seen.len());
        let losses = seen.clone().map(|seen| seen.loss());
        Comparison {
            health: self,
            now,
            loss: median(losses.chain(core::iter::repeat_n(0.0, unseen))).unwrap_or(0.0),
            took: median(seen.filter_map(|seen| seen.mean_took())).unwrap_or(f64::MAX),
        }
    }
}

impl Comparison<'_> {
    /// What a relay's weight is multiplied by: 1 if it does no worse than the typical one, at least 1/64.
    pub fn factor(&self, node: &NodeId) -> f64 {
        let Some(seen) = self.health.seen.get(node) else {
            return 1.0;
        };
        let seen = seen.at(self.now);
        let arrives = (1.0 - seen.loss()) / (1.0 - self.loss);
        let slow = seen.mean_took().filter(|took| *took > self.took + SLACK_MS);
        let speed = slow.map_or(1.0, |took| self.took * SLACK / took);
        let speed = speed.min(1.0).powi(SPEED_POWER).max(LEAST_FOR_SPEED);
        (arrives.min(1.0).powi(ARRIVAL_POWER) * speed).max(LEAST)
    }
}

/// The lower of the two in the middle, if there are two.
fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    let middle = values.len().checked_sub(1)? / 2;
    let (_, median, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    Some(*median)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_ms(1_000_000_000);
    const FAST: Duration = Duration::from_ms(200);
    const SLOW: Duration = Duration::from_ms(2200);

    fn node(n: u8) -> NodeId {
        NodeId::from_bytes([n; 20])
    }

    fn factor(health: &RelayHealth, n: u8, now: Timestamp) -> f64 {
        health.compare(20, now).factor(&node(n))
    }

    #[test]
    fn failures_lower_the_weight_and_fade() {
        let mut health = RelayHealth::new();
        assert_eq!(factor(&health, 1, NOW), 1.0);
        health.note_failure(node(1), NOW);
        let one = factor(&health, 1, NOW);
        health.note_failure(node(1), NOW);
        let two = factor(&health, 1, NOW);
        assert!(0.3 < one && one < 0.5 && two < one, "{one} {two}");
        assert!(factor(&health, 1, NOW + HALF_LIFE) > two);
        assert!(factor(&health, 1, NOW + HALF_LIFE * 8) > 0.95);
        assert_eq!(factor(&health, 2, NOW), 1.0);
    }

    #[test]
    fn nothing_is_excluded() {
        let mut health = RelayHealth::new();
        (0..1000).for_each(|_| health.note_failure(node(1), NOW));
        (0..9).for_each(|_| health.note_success(node(1), SLOW, NOW));
        assert_eq!(factor(&health, 1, NOW), LEAST);
    }

    #[test]
    fn what_most_relays_suffer_is_held_against_none() {
        let mut health = RelayHealth::new();
        for n in 0..20 {
            (0..10).for_each(|_| health.note_success(node(n), SLOW, NOW));
            (0..10).for_each(|_| health.note_failure(node(n), NOW));
        }
        for n in 0..20 {
            assert!(factor(&health, n, NOW) > 0.95, "{n}");
        }
    }

    #[test]
    fn the_better_half_keeps_its_weight_whoever_is_disturbed() {
        for disturbed in 0..20 {
            let mut health = RelayHealth::new();
            for n in 0..20 {
                (0..10).for_each(|_| health.note_success(node(n), FAST, NOW));
                if n < disturbed {
                    (0..=n).for_each(|_| health.note_failure(node(n), NOW));
                }
            }
            let full = (0..20).filter(|n| factor(&health, *n, NOW) > 0.99);
            assert!(full.count() >= 10, "{disturbed}");
        }
    }

    #[test]
    fn slow_relays_are_drawn_less_and_a_little_slower_ones_are_not() {
        let mut health = RelayHealth::new();
        for n in 0..20 {
            let took = match n {
                0 => SLOW,
                1 => FAST + Duration::from_ms(90),
                _ => FAST,
            };
            (0..5).for_each(|_| health.note_success(node(n), took, NOW));
        }
        assert_eq!(factor(&health, 0, NOW), LEAST_FOR_SPEED);
        assert_eq!(factor(&health, 1, NOW), 1.0);
        assert_eq!(factor(&health, 2, NOW), 1.0);
    }

    #[test]
    fn what_has_faded_takes_no_room() {
        let mut health = RelayHealth::new();
        (0..100).for_each(|n| health.note_failure(node(n), NOW));
        health.note_failure(node(1), NOW + Duration::from_hours(3));
        assert_eq!(health.seen.len(), 1);
    }

    #[test]
    fn a_clock_set_back_does_not_amplify() {
        let mut health = RelayHealth::new();
        health.note_failure(node(1), NOW);
        let before = factor(&health, 1, NOW);
        assert_eq!(factor(&health, 1, Timestamp::EPOCH), before);
        health.note_failure(node(1), Timestamp::EPOCH);
        assert!(factor(&health, 1, NOW) < before);
    }
}
