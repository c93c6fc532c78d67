//! Connections on loopback: what a client may take, and how the server ends.

use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use super::*;

struct Running {
    address: SocketAddr,
    metrics: Metrics,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

async fn start(router: Router, limits: Limits) -> Running {
    let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let (address, metrics) = (listener.local_addr().unwrap(), Metrics::new());
    let (stop, stopped) = oneshot::channel();
    let counted = metrics.clone();
    let ended = tokio::spawn(async move {
        let stopped = async { drop(stopped.await) };
        accept(listener, router, &limits, &counted, stopped).await;
    });
    Running {
        address,
        metrics,
        stop,
        ended,
    }
}

fn hello() -> Router {
    Router::new().route("/", get(async || "hello"))
}

async fn connect(server: &Running) -> TcpStream {
    TcpStream::connect(server.address).await.unwrap()
}

/// Sends and reads until the server closes.
async fn exchange(mut stream: TcpStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    read_all(stream).await
}

async fn read_all(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    // A connection that the server resets has said what it had to say.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

const CLOSE: &str = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
const KEEP: &str = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";

#[tokio::test]
async fn a_request_is_answered() {
    let server = start(hello(), Limits::default()).await;
    let answer = exchange(connect(&server).await, CLOSE).await;
    assert!(
        answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("hello"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let limits = Limits {
        head_bytes: 8192,
        ..Limits::default()
    };
    let server = start(hello(), limits).await;
    let request = format!(
        "GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n",
        "a".repeat(9000)
    );
    let answer = exchange(connect(&server).await, &request).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test]
async fn a_head_that_never_ends_is_cut_off() {
    let limits = Limits {
        header_seconds: 1,
        ..Limits::default()
    };
    let server = start(hello(), limits).await;
    let answer = exchange(connect(&server).await, "GET / HTTP/1.1\r\nhost").await;
    assert!(!answer.contains("hello"), "{answer}");
}

#[tokio::test]
async fn a_connection_has_its_time() {
    let limits = Limits {
        connection_seconds: 1,
        header_seconds: 60,
        ..Limits::default()
    };
    let server = start(hello(), limits).await;
    let answer = exchange(connect(&server).await, KEEP).await;
    assert!(answer.ends_with("hello"), "{answer}");
}

#[tokio::test]
async fn a_connection_too_many_waits_for_another_to_end() {
    let limits = Limits {
        connections: 1,
        ..Limits::default()
    };
    let server = start(hello(), limits).await;
    let mut first = connect(&server).await;
    first.write_all(KEEP.as_bytes()).await.unwrap();
    let mut byte = [0; 1];
    first.read_exact(&mut byte).await.unwrap();
    let second = tokio::spawn(exchange(connect(&server).await, CLOSE));
    assert!(
        server
            .metrics
            .render()
            .contains("zentalk_api_connections 1")
    );
    assert!(!second.is_finished());
    drop(first);
    assert!(second.await.unwrap().ends_with("hello"));
}

#[tokio::test]
async fn what_is_under_way_ends_before_the_server() {
    let (asked, answer) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (asked.clone(), answer.clone());
    let slow = Router::new().route(
        "/",
        get(async move || {
            tell.notify_one();
            wait.notified().await;
            "at last"
        }),
    );
    let server = start(slow, Limits::default()).await;
    let pending = tokio::spawn(exchange(connect(&server).await, KEEP));
    let idle = tokio::spawn(read_all(connect(&server).await));
    asked.notified().await;
    server.stop.send(()).unwrap();
    assert_eq!(
        idle.await.unwrap(),
        "",
        "an idle connection is closed at once"
    );
    assert!(!server.ended.is_finished());
    answer.notify_one();
    let answer = pending.await.unwrap();
    assert!(answer.ends_with("at last"), "{answer}");
    server.ended.await.unwrap();
}

#[tokio::test]
async fn a_taken_port_is_a_sentence() {
    let taken = listen(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let address = taken.local_addr().unwrap();
    let text = listen(address).await.unwrap_err().to_string();
    assert!(
        text.contains(&address.to_string()) && text.contains("--listen"),
        "{text}"
    );
}
