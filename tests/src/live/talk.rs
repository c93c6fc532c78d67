//! What people say to each other while something happens, and that all of it arrives.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha20Rng;
use tokio::time::{Instant, interval, sleep};

use super::People;

/// Until something is so on a busy machine; what never comes fails all the same.
pub(super) const PATIENCE: Duration = Duration::from_secs(240);
/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Between two texts of anybody.
const PACE: Duration = Duration::from_millis(150);
/// The same where nothing should wait for anything else, such as new reply blocks that are under way.
const SLOWLY: Duration = Duration::from_secs(1);

/// What so many per cent of these times keep within, if there are any; they are sorted.
pub fn percentile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let last = sorted.len().saturating_sub(1);
    sorted.get(last * percent / 100).copied()
}

/// What half of these times, 99 of 100, and all of them keep within; they are sorted.
pub fn spread(sorted: &[Duration]) -> String {
    let at = |percent| {
        let time = percentile(sorted, percent);
        time.map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
    };
    let (half, most, all) = (at(50), at(99), at(100));
    format!("p50 {half:.0} ms, p99 {most:.0} ms, slowest {all:.0} ms")
}

impl People {
    /// Everybody writes to everybody, and all of it arrives.
    ///
    /// # Panics
    /// If it does not in four minutes.
    pub async fn greet(&mut self) {
        for from in 0..self.len() {
            let others = (0..self.len()).filter(|to| *to != from);
            others.for_each(|to| self.say(from, to));
        }
        self.all_arrives().await;
    }

    /// Somebody writes to somebody now and then, until `happening` is over.
    pub async fn talk_while<T>(
        &mut self,
        rng: &mut ChaCha20Rng,
        happening: impl Future<Output = T>,
    ) -> T {
        let (mut pace, mut happening) = (interval(PACE), pin!(happening));
        loop {
            tokio::select! {
                over = &mut happening => return over,
                _ = pace.tick() => self.say_something(rng),
            }
        }
    }

    /// Somebody writes to somebody, so many times, at most once a second, and only when the last text has arrived: none
    /// waits for another.
    ///
    /// # Panics
    /// If one does not arrive in four minutes.
    pub async fn talk_in_turns(&mut self, rng: &mut ChaCha20Rng, texts: usize) {
        let mut pace = interval(SLOWLY);
        for _ in 0..texts {
            pace.tick().await;
            self.say_something(rng);
            self.all_arrives().await;
        }
    }

    fn say_something(&mut self, rng: &mut ChaCha20Rng) {
        let (people, from) = (self.len(), rng.random_range(0..self.len()));
        self.say(from, (from + rng.random_range(1..people)) % people);
    }

    /// Waits until every text was shown to its recipient, and its sender knows.
    ///
    /// # Panics
    /// If that is not so in four minutes.
    pub async fn all_arrives(&self) {
        let (began, (texts, _)) = (Instant::now(), self.counts());
        while !self.is_complete() {
            let (_, sent) = self.counts();
            assert!(
                began.elapsed() < PATIENCE,
                "of {texts} texts {sent} were sent, and not all have arrived"
            );
            sleep(LOOK_AGAIN).await;
        }
    }

    /// All arrives, and nothing was promised that was not kept.
    ///
    /// # Panics
    /// If something was.
    pub async fn close(self, what: &str) {
        self.all_arrives().await;
        self.print_latencies(what);
        assert_eq!(self.go().await, [], "{what}");
    }

    /// Prints how long the texts since the last call took, from Enter to the other's screen, if there were any; yields
    /// that, sorted.
    pub fn print_latencies(&self, what: &str) -> Vec<Duration> {
        let latencies = self.latencies();
        if !latencies.is_empty() {
            println!("{what}: {} texts, {}", latencies.len(), spread(&latencies));
        }
        latencies
    }
}
