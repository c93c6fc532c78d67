//! Mixing: how long relays hold a client's packets back, and how many packets it sends to itself, so that who watches
//! relays or wires cannot tell by time which packet that came in is which that goes out (docs/PROTOCOL.md §5 "Mixing").
//!
//! Every delay is drawn by the sender, from an exponential distribution: it has no memory, so that of the packets that
//! a relay holds each is as likely as the other to be the next, whenever it came. Loops leave in a Poisson process, for
//! the same reason. Source: Piotrowska et al., "The Loopix Anonymity System", USENIX Security 2017, §3.2 and §4.1.

use rand::RngExt;
use rand_core::CryptoRng;

use super::command::MAX_DELAY;
use crate::time::Duration;

/// How much a client mixes: a choice between privacy on one side, time and bytes on the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MixMode {
    /// Packets are passed on at once, and all of them are for something.
    #[default]
    Off,
    /// Relays hold a packet for a tenth of a second on average; a loop every half minute.
    Light,
    /// Relays hold a packet for a second on average; a loop every five seconds.
    Strong,
}

impl MixMode {
    /// All of them, the weakest first.
    pub const ALL: [Self; 3] = [Self::Off, Self::Light, Self::Strong];

    /// What settings call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Light => "light",
            Self::Strong => "strong",
        }
    }

    /// The mode of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }

    /// How long a relay holds a packet, on average.
    pub const fn mean_delay(self) -> Duration {
        match self {
            Self::Off => Duration::ZERO,
            Self::Light => Duration::from_ms(100),
            Self::Strong => Duration::from_secs(1),
        }
    }

    /// From one loop to the next, on average. `None`: there are none.
    pub const fn mean_gap(self) -> Option<Duration> {
        match self {
            Self::Off => None,
            Self::Light => Some(Duration::from_secs(30)),
            Self::Strong => Some(Duration::from_secs(5)),
        }
    }

    /// How long one relay is to hold one packet.
    pub fn draw_delay(self, rng: &mut impl CryptoRng) -> Duration {
        match self {
            Self::Off => Duration::ZERO,
            Self::Light | Self::Strong => exponential(self.mean_delay(), rng).min(MAX_DELAY),
        }
    }

    /// How long until the next loop.
    pub fn draw_gap(self, rng: &mut impl CryptoRng) -> Option<Duration> {
        self.mean_gap().map(|mean| exponential(mean, rng))
    }
}

/// By inversion: the mean times −ln of a number that is even over (0, 1].
fn exponential(mean: Duration, rng: &mut impl CryptoRng) -> Duration {
    let even = 1.0 - rng.random::<f64>();
    Duration::from_ms((mean.as_ms() as f64 * -even.ln()).round() as u64)
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;

    const DRAWS: usize = 20_000;

    fn draws(mut draw: impl FnMut(&mut ChaCha20Rng) -> Duration) -> Vec<f64> {
        let mut rng = ChaCha20Rng::seed_from_u64(7);
        let mut all: Vec<f64> = (0..DRAWS).map(|_| draw(&mut rng).as_ms() as f64).collect();
        all.sort_unstable_by(f64::total_cmp);
        all
    }

    /// Largest distance between the distribution of what was drawn and the exponential one (Kolmogorov–Smirnov).
    fn distance(sorted: &[f64], mean: Duration) -> f64 {
        let of_mean = |(rank, ms): (usize, &f64)| {
            let is = (rank as f64 + 0.5) / sorted.len() as f64;
            let should = 1.0 - (-ms / mean.as_ms() as f64).exp();
            (is - should).abs()
        };
        sorted.iter().enumerate().map(of_mean).fold(0.0, f64::max)
    }

    #[test]
    fn delays_and_gaps_are_exponential_with_the_mean_that_is_said() {
        // Rounding to milliseconds moves a delay of Light by half a percent of its mean at most.
        let most = 1.63 / (DRAWS as f64).sqrt() + 0.005;
        for mode in [MixMode::Light, MixMode::Strong] {
            let delays = draws(|rng| mode.draw_delay(rng));
            assert!(distance(&delays, mode.mean_delay()) < most, "{mode:?}");
            let gaps = draws(|rng| mode.draw_gap(rng).unwrap());
            assert!(distance(&gaps, mode.mean_gap().unwrap()) < most, "{mode:?}");
        }
        let other = draws(|rng| MixMode::Light.draw_delay(rng));
        let off_by_a_tenth = Duration::from_ms(110);
        assert!(
            distance(&other, off_by_a_tenth) > most,
            "the test sees a difference"
        );
    }

    #[test]
    fn without_mixing_nothing_waits_and_nothing_loops() {
        let delays = draws(|rng| MixMode::Off.draw_delay(rng));
        assert!(delays.iter().all(|ms| *ms == 0.0));
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        assert_eq!(MixMode::Off.draw_gap(&mut rng), None);
    }

    #[test]
    fn no_delay_is_longer_than_a_hop_accepts() {
        let longest = exponential(Duration::from_hours(1), &mut ChaCha20Rng::seed_from_u64(1));
        assert!(longest > MAX_DELAY);
        let delays = draws(|rng| MixMode::Strong.draw_delay(rng));
        assert!(
            delays
                .last()
                .is_some_and(|ms| *ms <= MAX_DELAY.as_ms() as f64)
        );
    }

    #[test]
    fn names_are_found_again() {
        for mode in MixMode::ALL {
            assert_eq!(MixMode::from_name(mode.name()), Some(mode));
        }
        assert_eq!(MixMode::from_name("Light"), None);
    }
}
