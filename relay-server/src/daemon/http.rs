//! What is served: `/v1` for WebSockets, `/healthz`, `/metrics`, and `/status` to the operator.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tower_service::Service;

use super::actor;
use super::connection::{max_write_buffer, serve};
use super::door::Place;
use super::events::{Event, Events};
use super::inbound::MAX_MESSAGE;
use super::live::Live;
use super::status::Reporter;
use crate::core::Remote;

/// Tungstenite takes this much for every connection as soon as it reads.
const READ_BUFFER: usize = 4096;
/// Frames are flushed to the socket beyond this.
const WRITE_BUFFER: usize = 16 << 10;
/// From the end of the greeting, or of the last answer, to the end of a request's header.
const HEADER_DEADLINE: Duration = Duration::from_secs(10);
/// From the end of the greeting to the upgrade, or to the end of the last request.
const HTTP_DEADLINE: Duration = Duration::from_secs(15);
const HTTP_BUFFER: usize = 16 << 10;
/// A core that does not answer within this time is not healthy.
const PROBE_DEADLINE: Duration = Duration::from_secs(2);

/// A proxy on this machine says by one of these that it speaks for somebody else.
const PROXY_HEADERS: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];

/// What handlers share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) events: Events,
    pub(super) metrics: PrometheusHandle,
    pub(super) live: Arc<Live>,
    pub(super) reporter: Arc<Reporter>,
}

/// Who is at the other end, and the place that it takes as long as this lives.
#[derive(Clone)]
pub(super) struct Visitor {
    /// It comes from this machine, and speaks for itself.
    pub(super) is_local: bool,
    /// It is a proxy that says in each request for whom.
    pub(super) forwards: bool,
    pub(super) place: Arc<Place>,
}

/// For everybody.
pub(super) fn public(shared: Shared) -> Router {
    Router::new()
        .route("/v1", get(websocket))
        .route("/healthz", get(health))
        .route("/metrics", get(render_to_locals))
        .with_state(shared)
}

/// For a collector that the operator has let in.
pub(super) fn collector(shared: Shared) -> Router {
    Router::new()
        .route("/healthz", get(health))
        .route("/metrics", get(render_metrics))
        .with_state(shared)
}

/// For whoever may use the data directory.
pub(super) fn control(shared: Shared) -> Router {
    Router::new()
        .route("/status", get(status))
        .route("/metrics", get(render_metrics))
        .with_state(shared)
}

/// Serves requests on one connection until its deadline, or until it becomes a WebSocket.
pub(super) async fn serve_one(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    visitor: Option<Visitor>,
    router: Router,
) {
    let service = service_fn(move |mut request: Request<Incoming>| {
        if let Some(visitor) = &visitor {
            request.extensions_mut().insert(visitor.clone());
        }
        router.clone().call(request)
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_DEADLINE)
        .max_buf_size(HTTP_BUFFER)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    // It ends with the upgrade: what is left after the deadline asks for ever, or does not read.
    if let Ok(Err(error)) = timeout(HTTP_DEADLINE, served).await {
        tracing::trace!(%error, "an HTTP connection ended");
    }
}

async fn websocket(
    State(shared): State<Shared>,
    Extension(visitor): Extension<Visitor>,
    mut request: Request<Body>,
) -> Response {
    let answer = match create_response_with_body(&request, Body::empty) {
        Ok(answer) => answer,
        Err(_) => {
            let wanted = [(header::UPGRADE, "websocket")];
            return (
                StatusCode::UPGRADE_REQUIRED,
                wanted,
                "this is a WebSocket\n",
            )
                .into_response();
        }
    };
    let place = match visitor.forwards {
        false => visitor.place,
        true => match shared.live.enter_forwarded(request.headers(), actor::now()) {
            Some(place) => Arc::new(place),
            None => return StatusCode::TOO_MANY_REQUESTS.into_response(),
        },
    };
    let remote = Remote::Accepted(place.origin());
    let upgrading = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        // Who has asked for it may have gone.
        if let Ok(stream) = upgrading.await {
            let stream = TokioIo::new(stream);
            let config = Some(socket_config());
            let socket = WebSocketStream::from_raw_socket(stream, Role::Server, config).await;
            serve(socket, remote, None, shared.events).await;
        }
        drop(place);
    });
    answer
}

/// Whoever connects sends nothing longer than a packet: large directories are answers to who has dialed.
fn socket_config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(max_write_buffer(WRITE_BUFFER))
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE))
}

async fn health(State(shared): State<Shared>) -> (StatusCode, &'static str) {
    let (answer, answered) = oneshot::channel();
    let probe = async {
        shared.events.send(Event::Probe(answer)).await.ok()?;
        answered.await.ok()
    };
    match timeout(PROBE_DEADLINE, probe).await {
        Ok(Some(true)) => (StatusCode::OK, "ok\n"),
        Ok(_) => (StatusCode::SERVICE_UNAVAILABLE, "starting or stopping\n"),
        Err(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the core does not answer\n",
        ),
    }
}

/// For this machine only: whoever could watch the counters of a quiet relay would see its packets pass.
async fn render_to_locals(
    State(shared): State<Shared>,
    Extension(visitor): Extension<Visitor>,
    headers: HeaderMap,
) -> Result<String, StatusCode> {
    let proxied = PROXY_HEADERS.iter().any(|name| headers.contains_key(*name));
    match visitor.is_local && !proxied {
        true => Ok(shared.metrics.render()),
        false => Err(StatusCode::NOT_FOUND),
    }
}

async fn render_metrics(State(shared): State<Shared>) -> String {
    shared.metrics.render()
}

async fn status(State(shared): State<Shared>) -> Response {
    let (answer, answered) = oneshot::channel();
    let look = async {
        shared.events.send(Event::Look(answer)).await.ok()?;
        answered.await.ok()
    };
    let seen = timeout(PROBE_DEADLINE, look).await.ok().flatten();
    let report = shared.reporter.report(seen);
    match serde_json::to_string(&report) {
        Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
