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
                _ = pace.tick() => {
                    let (people, from) = (self.len(), rng.random_range(0..self.len()));
                    self.say(from, (from + rng.random_range(1..people)) % people);
                }
            }
        }
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
        let ((texts, _), latencies) = (self.counts(), self.latencies());
        let at = |percent: usize| latencies.get((latencies.len() - 1) * percent / 100);
        let (median, slowest) = (at(50), at(100));
        println!("{what}: {texts} texts, median {median:?}, slowest {slowest:?}");
        assert_eq!(self.go().await, [], "{what}");
    }
}
