//! Keeps the list true: a task per relay that visits it, hourly once it has answered, with growing pauses
//! while it does not.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use zentalk_shared::id::NodeId;
use zentalk_shared::onion::RelayUrl;

use super::Bootstrap;
use super::link::VisitError;
use crate::config::ConfiguredRelay;
use crate::metrics::Metrics;

/// A relay that has answered is visited again after this.
const REFRESH: Duration = Duration::from_secs(3600);
/// The first pause after a failure; doubled for each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause after a failure.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What a visit has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Which relay it is.
    pub node: NodeId,
    /// How long its descriptor is still valid.
    pub good_for: Duration,
}

/// Who visits relays: the network, or a test.
pub trait Visitor: Clone + Send + Sync + 'static {
    /// Learns who is behind a URL. Ends within a time of its own choice.
    fn visit(&self, url: &RelayUrl) -> impl Future<Output = Result<Seen, VisitError>> + Send;
}

/// Starts a task for every relay whose NodeId the configuration does not give. They end with the set.
pub fn keep_all(
    relays: &[ConfiguredRelay],
    bootstrap: &Bootstrap,
    metrics: &Metrics,
    visitor: &impl Visitor,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    metrics.relays_known(bootstrap.known());
    for (position, relay) in relays.iter().enumerate() {
        if relay.node.is_none() {
            let kept = Kept {
                position,
                url: relay.url.clone(),
                bootstrap: bootstrap.clone(),
                metrics: metrics.clone(),
                last: None,
                failures: 0,
            };
            tasks.spawn(kept.keep(visitor.clone()));
        }
    }
    tasks
}

/// One relay of the list.
struct Kept {
    /// Where it stands in the list; logs name it by this, counted from 1, since a URL may hold an address.
    position: usize,
    url: RelayUrl,
    bootstrap: Bootstrap,
    metrics: Metrics,
    /// Who it was, and until when that counts.
    last: Option<(NodeId, Instant)>,
    /// Since it last answered.
    failures: u32,
}

impl Kept {
    async fn keep(mut self, visitor: impl Visitor) {
        loop {
            let found = visitor.visit(&self.url).await;
            self.metrics.visited(found.is_ok());
            let pause = match found {
                Ok(seen) => self.answered(seen),
                Err(error) => self.failed(&error),
            };
            let node = self.last.map(|(node, _)| node);
            self.bootstrap.visited(self.position, node);
            self.metrics.relays_known(self.bootstrap.known());
            sleep(jittered(pause, dice())).await;
        }
    }

    fn answered(&mut self, seen: Seen) -> Duration {
        let relay = self.position + 1;
        if self.last.is_none_or(|(node, _)| node != seen.node) {
            tracing::info!(relay, node = %seen.node, "bootstrap relay answers");
        } else if self.failures > 0 {
            tracing::info!(relay, "bootstrap relay answers again");
        }
        self.last = Some((seen.node, Instant::now() + seen.good_for));
        self.failures = 0;
        REFRESH
    }

    fn failed(&mut self, error: &VisitError) -> Duration {
        let relay = self.position + 1;
        self.failures = self.failures.saturating_add(1);
        // Often at first, then ever more seldom.
        if self.failures.is_power_of_two() {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            let failures = self.failures;
            tracing::warn!(
                relay,
                failures,
                cause,
                "bootstrap relay cannot be visited: {error}"
            );
        }
        if self.last.is_some_and(|(_, until)| until <= Instant::now()) {
            tracing::warn!(
                relay,
                "bootstrap relay is left out: its descriptor has run out"
            );
            self.last = None;
        }
        pause_after(self.failures)
    }
}

/// The pause after so many failures in a row.
fn pause_after(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    FIRST_PAUSE
        .saturating_mul(1 << doublings)
        .min(LONGEST_PAUSE)
}

/// Between three quarters of the pause and all of it, so that servers do not visit in step.
fn jittered(pause: Duration, dice: u32) -> Duration {
    let quarter = pause / 4;
    pause - quarter.mul_f64(f64::from(dice) / f64::from(u32::MAX))
}

/// Without randomness there is no jitter; nothing depends on it.
fn dice() -> u32 {
    getrandom::u32().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use std::sync::{Arc, Mutex};

    const NODE: NodeId = NodeId::from_bytes([1; 20]);
    const OTHER: NodeId = NodeId::from_bytes([2; 20]);
    const DAY: Duration = Duration::from_secs(24 * 3600);

    /// Answers from a list, then fails for ever; notes when it was asked.
    #[derive(Clone, Default)]
    struct Scripted {
        answers: Arc<Mutex<VecDeque<Result<Seen, VisitError>>>>,
        visits: Arc<Mutex<Vec<Instant>>>,
    }

    impl Scripted {
        fn new(answers: impl IntoIterator<Item = Result<Seen, VisitError>>) -> Self {
            let answers = Arc::new(Mutex::new(answers.into_iter().collect()));
            Self {
                answers,
                ..Self::default()
            }
        }

        fn visits(&self) -> Vec<Instant> {
            self.visits.lock().unwrap().clone()
        }
    }

    impl Visitor for Scripted {
        async fn visit(&self, _: &RelayUrl) -> Result<Seen, VisitError> {
            self.visits.lock().unwrap().push(Instant::now());
            let answer = self.answers.lock().unwrap().pop_front();
            answer.unwrap_or(Err(VisitError::TimedOut))
        }
    }

    fn seen(node: NodeId, good_for: Duration) -> Result<Seen, VisitError> {
        Ok(Seen { node, good_for })
    }

    fn keep(visitor: &Scripted) -> (Bootstrap, Metrics, JoinSet<()>) {
        let url = RelayUrl::parse("ws://localhost:1/v1").unwrap();
        let relays = [ConfiguredRelay { url, node: None }];
        let (bootstrap, metrics) = (Bootstrap::new(&relays), Metrics::new());
        let tasks = keep_all(&relays, &bootstrap, &metrics, visitor);
        (bootstrap, metrics, tasks)
    }

    fn lists(bootstrap: &Bootstrap, node: NodeId) -> bool {
        let json = bootstrap.json().unwrap_or_default();
        String::from_utf8_lossy(&json).contains(&node.to_string())
    }

    /// Lets virtual time pass, in steps so that every task runs at its time.
    async fn pass(time: Duration) {
        tokio::time::sleep(time).await;
    }

    #[test]
    fn pauses_double_up_to_a_minute() {
        let pauses = (1..=9).map(|failures| pause_after(failures).as_millis());
        let expected = [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000];
        assert_eq!(pauses.collect::<Vec<_>>(), expected);
        assert_eq!(pause_after(u32::MAX), LONGEST_PAUSE);
    }

    #[test]
    fn jitter_takes_up_to_a_quarter() {
        let pause = Duration::from_secs(4);
        assert_eq!(jittered(pause, 0), pause);
        assert_eq!(jittered(pause, u32::MAX), Duration::from_secs(3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_relay_that_comes_late_is_found_and_then_visited_hourly() {
        let failures = (0..3).map(|_| Err(VisitError::Closed));
        let visitor = Scripted::new(failures.chain([seen(NODE, DAY), seen(NODE, DAY)]));
        let (bootstrap, metrics, _tasks) = keep(&visitor);
        bootstrap.tried_all().await;
        assert_eq!(bootstrap.json(), None, "a failed visit counts as tried");
        pass(Duration::from_secs(10)).await;
        assert!(lists(&bootstrap, NODE));
        assert!(metrics.render().contains("relays_known 1"));
        assert_eq!(visitor.visits().len(), 4);
        pass(REFRESH).await;
        let visits = visitor.visits();
        assert_eq!(visits.len(), 5);
        assert!(visits[4] - visits[3] >= REFRESH * 3 / 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_relay_that_fails_is_kept_until_its_descriptor_runs_out() {
        let visitor = Scripted::new([seen(NODE, Duration::from_secs(2 * 3600))]);
        let (bootstrap, _, _tasks) = keep(&visitor);
        pass(Duration::from_secs(7100)).await;
        assert!(lists(&bootstrap, NODE));
        assert!(visitor.visits().len() > 10, "it is visited often meanwhile");
        pass(Duration::from_secs(200)).await;
        assert_eq!(bootstrap.json(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn new_keys_replace_the_old_ones() {
        let visitor = Scripted::new([seen(NODE, DAY), seen(OTHER, DAY)]);
        let (bootstrap, _, _tasks) = keep(&visitor);
        pass(Duration::from_secs(1)).await;
        assert!(lists(&bootstrap, NODE));
        pass(REFRESH).await;
        assert!(lists(&bootstrap, OTHER) && !lists(&bootstrap, NODE));
    }

    #[tokio::test(start_paused = true)]
    async fn configured_node_ids_are_not_visited() {
        let url = RelayUrl::parse("wss://a.example/v1").unwrap();
        let relays = [ConfiguredRelay {
            url,
            node: Some(NODE),
        }];
        let (bootstrap, visitor) = (Bootstrap::new(&relays), Scripted::default());
        let tasks = keep_all(&relays, &bootstrap, &Metrics::new(), &visitor);
        assert!(tasks.is_empty());
        bootstrap.tried_all().await;
        assert!(lists(&bootstrap, NODE));
    }
}
