//! Visits over a WebSocket: connects, passes frames to [`super::link`], keeps deadlines and bounds.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{self, Bytes, Message, protocol::WebSocketConfig};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};
use zentalk_shared::id::MessageId;
use zentalk_shared::onion::RelayUrl;
use zentalk_shared::time::Timestamp;
use zentalk_shared::wire::{HEADER_LEN, Tag};

use super::keep::{Seen, Visitor};
use super::link::{Greeting, VisitError};

/// A whole visit, from the name's resolution to the directory's last byte.
const VISIT_WITHIN: Duration = Duration::from_secs(20);
/// For a farewell that nobody waits for.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);
/// The largest message that a visitor is sent.
const MAX_MESSAGE: usize = HEADER_LEN + Tag::Directory.max_payload();
/// Enough for everything but the directory (tungstenite would take 128 KiB).
const READ_BUFFER: usize = 4096;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Visits relays over the network.
#[derive(Clone, Copy, Debug, Default)]
pub struct SocketVisitor;

impl Visitor for SocketVisitor {
    async fn visit(&self, url: &RelayUrl) -> Result<Seen, VisitError> {
        tokio::time::timeout(VISIT_WITHIN, visit(url))
            .await
            .unwrap_or(Err(VisitError::TimedOut))
    }
}

async fn visit(url: &RelayUrl) -> Result<Seen, VisitError> {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE));
    let (mut socket, _) = connect_async_with_config(url.as_str(), Some(config), true)
        .await
        .map_err(Box::new)?;
    let seen = converse(&mut socket, url).await;
    let _ = tokio::time::timeout(CLOSE_WITHIN, socket.close(None)).await;
    seen
}

async fn converse(socket: &mut Socket, url: &RelayUrl) -> Result<Seen, VisitError> {
    let (greeting, frame) = Greeting::start(fresh_id()?);
    send(socket, frame).await?;
    let (asking, frame) = greeting.answered(&receive(socket).await?, fresh_id()?)?;
    send(socket, frame).await?;
    let directory = receive(socket).await?;
    let now = now();
    let descriptor = asking.answered(&directory, url, now)?;
    Ok(Seen {
        node: descriptor.node(),
        good_for: Duration::from_millis(descriptor.until().since(now).as_ms()),
    })
}

async fn send(socket: &mut Socket, frame: Vec<u8>) -> Result<(), VisitError> {
    let sent = socket.send(Message::Binary(frame.into())).await;
    sent.map_err(failed)
}

/// The next binary message; WebSocket's own pings are answered below us.
async fn receive(socket: &mut Socket) -> Result<Bytes, VisitError> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Binary(bytes))) => return Ok(bytes),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Close(_))) | None => return Err(VisitError::Closed),
            Some(Ok(_)) => return Err(VisitError::Unexpected),
            Some(Err(error)) => return Err(failed(error)),
        }
    }
}

fn failed(error: tungstenite::Error) -> VisitError {
    VisitError::Connection(Box::new(error))
}

fn fresh_id() -> Result<MessageId, VisitError> {
    let mut id = [0; MessageId::LEN];
    getrandom::fill(&mut id)?;
    Ok(MessageId::from_bytes(id))
}

fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_ms(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::super::test_relay::TestRelay;
    use super::*;
    use tokio::net::TcpListener;

    async fn listen() -> (TcpListener, RelayUrl) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let url = RelayUrl::parse(&format!("ws://127.0.0.1:{port}/v1")).unwrap();
        (listener, url)
    }

    #[tokio::test]
    async fn a_relay_on_loopback_is_visited() {
        let (listener, url) = listen().await;
        let relay = TestRelay::at(url.as_str(), now());
        let serving = tokio::spawn(relay.clone().serve_one(listener));
        let seen = SocketVisitor.visit(&url).await.unwrap();
        assert_eq!(seen.node, relay.node());
        assert!(seen.good_for > Duration::from_secs(3600), "{seen:?}");
        serving.await.unwrap();
    }

    #[tokio::test]
    async fn nobody_there_is_a_failed_connection() {
        let (listener, url) = listen().await;
        drop(listener);
        let error = SocketVisitor.visit(&url).await.unwrap_err();
        assert!(matches!(error, VisitError::Connection(_)), "{error:?}");
    }

    #[tokio::test]
    async fn a_relay_that_hangs_up_has_closed() {
        let (listener, url) = listen().await;
        let serving = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
            socket.close(None).await.unwrap();
        });
        let error = SocketVisitor.visit(&url).await.unwrap_err();
        assert!(
            matches!(error, VisitError::Closed | VisitError::Connection(_)),
            "{error:?}"
        );
        serving.await.unwrap();
    }
}
