//! Links by hand: what who connects to a relay says and hears, on any stream, without an engine.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::{SinkExt, StreamExt};
use minicbor::Encode;
use rand_core::CryptoRng;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use zentalk_shared::id::{ConnectionTag, MessageId};
use zentalk_shared::onion::{Class, Directory, Route, Surb, UnverifiedDescriptor};
use zentalk_shared::rpc::Request;
use zentalk_shared::time::Timestamp;
use zentalk_shared::wire::codec::{BoundedList, from_cbor, to_cbor};
use zentalk_shared::wire::link::{
    DescriptorBytes, Directory as DirectoryBody, DirectoryGet, Handshake, HandshakeAck, Role,
};
use zentalk_shared::wire::{Tag, VERSION, decode_frame, encode_frame};

/// On a busy machine everything takes its time; what never comes fails all the same.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at a directory; what a visitor may ask for allows more.
const DIRECTORY_PAUSE: Duration = Duration::from_millis(250);

/// Now, as the protocol counts.
///
/// # Panics
/// If the machine's clock is not set.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let since = since.expect("after 1970").as_millis();
    Timestamp::from_ms(u64::try_from(since).expect("before the year 500 million"))
}

/// A frame whose id nobody looks at.
pub fn frame<T: Encode<()>>(tag: Tag, body: &T) -> Message {
    Message::Binary(encode_frame(tag, MessageId::from_bytes([7; 16]), &to_cbor(body)).into())
}

/// The first frame of who connects.
///
/// # Panics
/// Never.
pub fn hello(role: Role, tag: Option<ConnectionTag>) -> Message {
    let hello = Handshake {
        role,
        versions: BoundedList::new(vec![VERSION]).expect("few"),
        suites: BoundedList::new(vec![1, 2, 3]).expect("few"),
        tag,
        received: tag.map(|_| 0),
        descriptor: None,
        nonce: None,
    };
    frame(Tag::Handshake, &hello)
}

/// Shakes hands on an open socket; yields the answer.
///
/// # Panics
/// If there is none, or another than a relay gives to whom it admits.
pub async fn shake_hands<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut WebSocketStream<S>,
    role: Role,
    tag: Option<ConnectionTag>,
) -> HandshakeAck {
    socket.send(hello(role, tag)).await.expect("a relay");
    let answer = next_frame(socket).await.expect("an answer");
    let answer = decode_frame(&answer).expect("a whole frame");
    assert_eq!(answer.tag, Tag::HandshakeAck);
    from_cbor(answer.payload, 20_000).expect("an answer")
}

/// The next frame; `None` at the end.
///
/// # Panics
/// If neither comes in time.
pub async fn next_frame<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut WebSocketStream<S>,
) -> Option<Vec<u8>> {
    loop {
        match timeout(PATIENCE, socket.next()).await.expect("in time") {
            Some(Ok(Message::Binary(bytes))) => return Some(bytes.to_vec()),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            _ => return None,
        }
    }
}

/// Reads a relay's directory as a visitor until it lists `count` relays.
///
/// # Panics
/// If the relay says anything else.
pub async fn complete_directory<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut WebSocketStream<S>,
    count: usize,
) -> Directory {
    loop {
        let ask = frame(Tag::DirectoryGet, &DirectoryGet::default());
        socket.send(ask).await.expect("a relay");
        let answer = next_frame(socket).await.expect("a directory");
        let answer = decode_frame(&answer).expect("a whole frame");
        let body: DirectoryBody = from_cbor(answer.payload, 1 << 20).expect("a directory");
        let read = |bytes: &DescriptorBytes| {
            let descriptor = UnverifiedDescriptor::decode(bytes).ok()?;
            descriptor.verify(now()).ok()
        };
        let directory: Directory = body.descriptors.iter().filter_map(read).collect();
        if directory.len() >= count {
            return directory;
        }
        sleep(DIRECTORY_PAUSE).await;
    }
}

/// A request in an onion as a frame, and its id; the answer comes back by `surb`.
///
/// # Panics
/// If the request does not fit into its class.
pub fn request_frame(
    request: &Request,
    class: Class,
    there: &Route,
    surb: &Surb,
    rng: &mut impl CryptoRng,
) -> (MessageId, Vec<u8>) {
    let id = MessageId::random(rng);
    let payload = request.encode(id, class).expect("it fits");
    let packet = there.request(Some(surb), &payload, class, rng);
    let packet = packet.expect("it fits");
    (id, encode_frame(Tag::RelayForward, id, &packet))
}

/// TLS that trusts this root only.
///
/// # Panics
/// If it is no certificate.
pub fn who_trusts(root: &CertificateDer<'static>) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root.clone()).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions that ring has")
        .with_root_certificates(roots)
        .with_no_client_auth()
}
