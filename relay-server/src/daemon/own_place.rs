//! What the operator is told about whether this relay reaches its own URL: without that it has no place in the DHT.

use std::time::{Duration, Instant};

use crate::core::Metric;

/// The first failures may be those of a start: a certificate or a name that is about to be there.
const FAILURES_BEFORE_SAID: u32 = 3;
/// It is said again this often.
const SAY_EVERY: Duration = Duration::from_hours(1);

/// Attempts of the core to find this relay at its own URL.
#[derive(Debug, Default)]
pub(super) struct OwnPlace {
    /// In a row.
    failures: u32,
    said: Option<Instant>,
}

/// A line for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    NotFound,
    FoundAgain,
}

impl OwnPlace {
    /// Looks at what the core counts.
    pub(super) fn heard(&mut self, metric: Metric, now: Instant) {
        match self.line(metric, now) {
            Some(Line::NotFound) => tracing::warn!(
                "this relay does not reach its own `url` from its own machine; until it does it takes no part in the DHT, or \
                 keeps the place that it had: `zentalk-relay check` looks at name, port and certificate, and behind a home \
                 router \"NAT loopback\" must be on"
            ),
            Some(Line::FoundAgain) => tracing::info!("this relay reaches its own `url` again"),
            None => {}
        }
    }

    fn line(&mut self, metric: Metric, now: Instant) -> Option<Line> {
        match metric {
            Metric::Dht("own_place_not_found") => {
                self.failures = self.failures.saturating_add(1);
                let is_due = |said| now.duration_since(said) >= SAY_EVERY;
                let is_new = self.failures >= FAILURES_BEFORE_SAID && self.said.is_none_or(is_due);
                is_new.then(|| {
                    self.said = Some(now);
                    Line::NotFound
                })
            }
            Metric::Dht("own_place_found") => {
                self.failures = 0;
                self.said.take().map(|_| Line::FoundAgain)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOST: Metric = Metric::Dht("own_place_not_found");
    const FOUND: Metric = Metric::Dht("own_place_found");

    #[test]
    fn a_url_that_is_not_reached_is_said_once_an_hour_and_that_it_is_again_once() {
        let mut place = OwnPlace::default();
        let start = Instant::now();
        let minutes = |n| start + Duration::from_mins(n);
        let lost: Vec<_> = (0..70).map(|n| place.line(LOST, minutes(n))).collect();
        let said = |n: usize| lost[n] == Some(Line::NotFound);
        let times: Vec<usize> = (0..lost.len()).filter(|n| said(*n)).collect();
        assert_eq!(times, [2, 62]);
        assert_eq!(place.line(FOUND, minutes(71)), Some(Line::FoundAgain));
        assert_eq!(place.line(FOUND, minutes(72)), None);
        assert_eq!(place.line(LOST, minutes(73)), None, "three in a row");
    }

    #[test]
    fn a_start_that_takes_a_moment_and_other_events_are_passed_over() {
        let mut place = OwnPlace::default();
        let now = Instant::now();
        for metric in [LOST, LOST, FOUND, LOST, Metric::Dht("crawled"), LOST, FOUND] {
            assert_eq!(place.line(metric, now), None, "{metric:?}");
        }
    }
}
