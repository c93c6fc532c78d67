//! What is counted, for Prometheus. No label ever holds an address, a path or anything else of a client.

use std::fmt;
use std::sync::Arc;

use axum::http::StatusCode;
use metrics::{Counter, Gauge, Key, Label, Level, Metadata, Recorder, Unit};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

const REQUESTS: &str = "zentalk_api_requests_total";
const CONNECTIONS: &str = "zentalk_api_connections";
const RELAYS_KNOWN: &str = "zentalk_api_bootstrap_relays_known";
const VISITS: &str = "zentalk_api_bootstrap_visits_total";

const METADATA: Metadata<'static> =
    Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

/// What a request was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// `/`, the app.
    App,
    /// A hashed file of the app.
    Asset,
    /// Any other path: a file beside the app, or nothing.
    Other,
    /// `/bootstrap.json`.
    Bootstrap,
    /// `/healthz`.
    Health,
    /// `/metrics`.
    Metrics,
}

/// The counters. Cheap to clone; all clones count together.
#[derive(Clone)]
pub struct Metrics {
    recorder: Arc<PrometheusRecorder>,
    handle: PrometheusHandle,
    connections: Gauge,
    relays_known: Gauge,
}

/// Counts a connection for as long as it lives.
#[derive(Debug)]
pub struct OpenConnection(Metrics);

impl Route {
    /// The route that serves a path.
    pub fn of(path: &str) -> Self {
        match path {
            "/" => Self::App,
            crate::app::BOOTSTRAP => Self::Bootstrap,
            crate::app::HEALTH => Self::Health,
            crate::app::METRICS => Self::Metrics,
            path if path.starts_with(crate::assets::HASHED) => Self::Asset,
            _ => Self::Other,
        }
    }

    /// As logs and labels name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Asset => "asset",
            Self::Other => "other",
            Self::Bootstrap => "bootstrap",
            Self::Health => "health",
            Self::Metrics => "metrics",
        }
    }
}

impl Metrics {
    /// Counters at zero, apart from those of every other `Metrics`.
    pub fn new() -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        let describe_counter = |name: &'static str, text: &'static str| {
            recorder.describe_counter(name.into(), Some(Unit::Count), text.into());
        };
        let describe_gauge = |name: &'static str, text: &'static str| {
            recorder.describe_gauge(name.into(), Some(Unit::Count), text.into());
        };
        describe_counter(REQUESTS, "Requests answered, by route and status");
        describe_counter(VISITS, "Visits to bootstrap relays, by outcome");
        describe_gauge(CONNECTIONS, "Open connections");
        describe_gauge(RELAYS_KNOWN, "Bootstrap relays whose NodeId is known");
        Self {
            handle: recorder.handle(),
            connections: recorder.register_gauge(&Key::from_static_name(CONNECTIONS), &METADATA),
            relays_known: recorder.register_gauge(&Key::from_static_name(RELAYS_KNOWN), &METADATA),
            recorder: Arc::new(recorder),
        }
    }

    /// A request has been answered.
    pub fn answered(&self, route: Route, status: StatusCode) {
        let labels = vec![
            Label::from_static_parts("route", route.name()),
            Label::new("status", status.as_str().to_owned()),
        ];
        self.counter(REQUESTS, labels).increment(1);
    }

    /// A relay has been visited.
    pub fn visited(&self, succeeded: bool) {
        let outcome = match succeeded {
            true => "answered",
            false => "failed",
        };
        let labels = vec![Label::from_static_parts("outcome", outcome)];
        self.counter(VISITS, labels).increment(1);
    }

    /// So many relays are in the bootstrap list.
    pub fn relays_known(&self, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.relays_known.set(f64::from(count));
    }

    /// A connection has been accepted.
    pub fn connection(&self) -> OpenConnection {
        self.connections.increment(1);
        OpenConnection(self.clone())
    }

    /// All of it in Prometheus' text format.
    pub fn render(&self) -> String {
        self.handle.render()
    }

    fn counter(&self, name: &'static str, labels: Vec<Label>) -> Counter {
        let key = Key::from_parts(name, labels);
        self.recorder.register_counter(&key, &METADATA)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.connections.decrement(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_counted_by_class_only() {
        assert_eq!(Route::of("/"), Route::App);
        assert_eq!(Route::of("/assets/index-Bb8VGrTG.js"), Route::Asset);
        assert_eq!(Route::of("/bootstrap.json"), Route::Bootstrap);
        assert_eq!(Route::of("/favicon.svg"), Route::Other);
        let metrics = Metrics::new();
        metrics.answered(Route::of("/somebody's-secret"), StatusCode::NOT_FOUND);
        let text = metrics.render();
        assert!(
            text.contains("zentalk_api_requests_total{route=\"other\",status=\"404\"} 1"),
            "{text}"
        );
        assert!(!text.contains("secret"));
    }

    #[test]
    fn connections_are_counted_while_they_live() {
        let metrics = Metrics::new();
        let (one, two) = (metrics.connection(), metrics.connection());
        assert!(metrics.render().contains("zentalk_api_connections 2"));
        drop((one, two));
        assert!(metrics.render().contains("zentalk_api_connections 0"));
    }

    #[test]
    fn visits_are_counted_by_outcome() {
        let metrics = Metrics::new();
        metrics.visited(true);
        metrics.visited(false);
        metrics.visited(false);
        let text = metrics.render();
        assert!(
            text.contains("visits_total{outcome=\"answered\"} 1"),
            "{text}"
        );
        assert!(
            text.contains("visits_total{outcome=\"failed\"} 2"),
            "{text}"
        );
    }
}
