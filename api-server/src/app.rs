//! The routes, and what every response passes through.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;

use crate::bootstrap::Bootstrap;
use crate::config::Limits;
use crate::headers::SecurityHeaders;
use crate::metrics::{Metrics, Route};

/// The list of relays that a client starts from.
pub const BOOTSTRAP: &str = "/bootstrap.json";
/// 200 once the server is ready.
pub const HEALTH: &str = "/healthz";
/// Prometheus' text format.
pub const METRICS: &str = "/metrics";

/// Seconds after which a client may ask again for a list that is not there yet.
const ASK_AGAIN_AFTER: &str = "2";
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the routes read.
#[derive(Clone, Debug)]
pub struct App {
    /// Relays that a client starts from.
    pub bootstrap: Bootstrap,
    /// Counters.
    pub metrics: Metrics,
    /// On every response.
    pub headers: Arc<SecurityHeaders>,
}

/// All routes over the files that `assets` serves.
pub fn router(app: App, assets: Router, limits: &Limits) -> Router {
    let within = Duration::from_secs(limits.request_seconds);
    assets
        .merge(
            Router::new()
                .route(BOOTSTRAP, get(bootstrap))
                .route(HEALTH, get(health))
                .route(METRICS, get(metrics))
                .with_state(app.clone()),
        )
        .layer(RequestBodyLimitLayer::new(limits.body_bytes))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::REQUEST_TIMEOUT,
            within,
        ))
        .layer(middleware::from_fn_with_state(app, finish))
}

/// `{"version":1,"relays":[{"node":"<40 hex digits>","url":"wss://…"}]}`
async fn bootstrap(State(app): State<App>) -> Response {
    match app.bootstrap.json() {
        Some(json) => {
            let headers = [
                (CONTENT_TYPE, "application/json"),
                (CACHE_CONTROL, "no-cache"),
            ];
            (headers, json).into_response()
        }
        None => {
            let headers = [(RETRY_AFTER, ASK_AGAIN_AFTER), (CACHE_CONTROL, "no-store")];
            let text = "No relay has answered yet. Ask again in a moment.\n";
            (StatusCode::SERVICE_UNAVAILABLE, headers, text).into_response()
        }
    }
}

/// Whether the first visits to the relays are over, or have had their time: from then on the list is as
/// good as it gets without waiting.
async fn health(State(app): State<App>) -> Response {
    let headers = [(CACHE_CONTROL, "no-store")];
    match app.bootstrap.is_settled() {
        true => (headers, "ready\n").into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, headers, "starting\n").into_response(),
    }
}

async fn metrics(State(app): State<App>) -> Response {
    let headers = [(CONTENT_TYPE, PROMETHEUS_TEXT), (CACHE_CONTROL, "no-store")];
    (headers, app.metrics.render()).into_response()
}

/// Headers, counters and one line of log for every response. The line names a class of routes, never a
/// path, and no address.
async fn finish(State(app): State<App>, request: Request, next: Next) -> Response {
    let route = Route::of(request.uri().path());
    let began = Instant::now();
    let mut response = next.run(request).await;
    app.headers.apply(response.headers_mut());
    let status = response.status();
    app.metrics.answered(route, status);
    let ms = began.elapsed().as_millis();
    tracing::debug!(
        route = route.name(),
        status = status.as_u16(),
        ms,
        "answered"
    );
    response
}

#[cfg(test)]
mod tests;
