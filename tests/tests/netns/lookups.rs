//! Somebody who asks a relay for records by hand, through onions: what a look-up in the DHT takes, and nothing else.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::{SinkExt, StreamExt};
use minicbor::Encode;
use rand_chacha::ChaCha20Rng;
use rand_core::Rng;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use zentalk_shared::id::{ConnectionTag, MessageId, NodeId, RecordKey};
use zentalk_shared::onion::{
    Class, Directory, RelayDescriptor, Route, Suite, UnverifiedDescriptor,
};
use zentalk_shared::rpc::{RecordGetRequest, Reply, Request};
use zentalk_shared::time::{Duration as Span, Timestamp};
use zentalk_shared::wire::codec::{BoundedList, from_cbor, to_cbor};
use zentalk_shared::wire::link::{
    DescriptorBytes, Directory as DirectoryBody, DirectoryGet, Handshake, HandshakeAck, Role,
};
use zentalk_shared::wire::{Tag, VERSION, decode_frame, encode_frame};
use zentalk_tests::live::connect;

/// What a visitor may ask for allows more.
const PAUSE: Duration = Duration::from_millis(250);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Where somebody is, and whom they trust.
#[derive(Clone)]
pub(crate) struct From {
    pub(crate) address: SocketAddr,
    pub(crate) tls: Arc<rustls::ClientConfig>,
}

/// A client with a path of three relays, the last of which it asks.
pub(crate) struct Asker {
    socket: Socket,
    tag: ConnectionTag,
    path: Vec<RelayDescriptor>,
    rng: ChaCha20Rng,
}

impl Asker {
    /// Connects to the first of these relays; `known` is how many relays there are.
    pub(crate) async fn new(
        from: &From,
        urls: &[String; 3],
        known: usize,
        mut rng: ChaCha20Rng,
    ) -> Self {
        let directory = complete_directory(from, &urls[0], known).await;
        let tag = ConnectionTag::random(&mut rng);
        let (socket, _) = shake_hands(from, &urls[0], Some(tag)).await;
        let at = |url: &String| {
            let is_there =
                |relay: &&RelayDescriptor| relay.info().urls.iter().any(|its| its.as_str() == url);
            let relay = directory.iter().find(is_there);
            relay.expect("a known relay").clone()
        };
        Self {
            socket,
            tag,
            path: urls.iter().map(at).collect(),
            rng,
        }
    }

    /// A record that nobody holds.
    pub(crate) fn absent_record(&mut self) -> RecordKey {
        let mut key = [0; RecordKey::LEN];
        self.rng.fill_bytes(&mut key);
        RecordKey::from_bytes(key)
    }

    /// Looks up a record that nobody holds. The relay that is asked looks at all who are nearest to it, the first time.
    pub(crate) async fn look_up(&mut self, key: RecordKey) -> Duration {
        let began = Instant::now();
        let reply = self
            .ask(&Request::RecordGet(RecordGetRequest { key }))
            .await;
        assert!(
            matches!(&reply, Reply::RecordGet(got) if got.record.is_none()),
            "{reply:?}"
        );
        began.elapsed()
    }

    async fn ask(&mut self, request: &Request) -> Reply {
        let there = route(self.path.iter());
        let back = route(self.path.iter().rev().skip(1));
        let (surb, keys) = back.surb(self.tag, now(), &mut self.rng).unwrap();
        let id = MessageId::random(&mut self.rng);
        let payload = request.encode(id, Class::Bulk).unwrap();
        let packet = there.request(Some(&surb), &payload, Class::Bulk, &mut self.rng);
        let frame = encode_frame(Tag::RelayForward, id, &packet.unwrap());
        self.socket
            .send(Message::Binary(frame.into()))
            .await
            .unwrap();
        loop {
            let bytes = next_frame(&mut self.socket).await;
            let frame = decode_frame(&bytes).unwrap();
            assert_ne!(frame.tag, Tag::Error);
            if frame.tag == Tag::Deliver {
                // Behind the name of the reply block.
                let (_, body) = frame.payload.split_first_chunk::<16>().unwrap();
                return Reply::decode(&keys.open(body.to_vec()).unwrap()).unwrap().1;
            }
        }
    }
}

fn route<'a>(relays: impl Iterator<Item = &'a RelayDescriptor>) -> Route {
    let relays = relays.map(|relay| (relay, Span::ZERO));
    Route::through(relays, Suite::X25519, now()).expect("keys of now")
}

/// Reads a relay's directory until it lists `count` relays.
async fn complete_directory(from: &From, url: &str, count: usize) -> Directory {
    let (mut socket, _) = shake_hands(from, url, None).await;
    loop {
        let ask = frame(Tag::DirectoryGet, &DirectoryGet::default());
        socket.send(ask).await.unwrap();
        let answer = next_frame(&mut socket).await;
        let body: DirectoryBody =
            from_cbor(decode_frame(&answer).unwrap().payload, 1 << 20).unwrap();
        let read = |bytes: &DescriptorBytes| {
            let descriptor = UnverifiedDescriptor::decode(bytes).ok()?;
            descriptor.verify(now()).ok()
        };
        let directory: Directory = body.descriptors.iter().filter_map(read).collect();
        if directory.len() >= count {
            return directory;
        }
        sleep(PAUSE).await;
    }
}

/// With a tag as a client, and without one as a visitor.
async fn shake_hands(from: &From, url: &str, tag: Option<ConnectionTag>) -> (Socket, NodeId) {
    let opened = connect(from.address, url.to_owned(), Some(Arc::clone(&from.tls))).await;
    let mut socket = opened.expect("a relay");
    let hello = Handshake {
        role: match tag {
            Some(_) => Role::Client,
            None => Role::Visitor,
        },
        versions: BoundedList::new(vec![VERSION]).unwrap(),
        suites: BoundedList::new(vec![1, 2, 3]).unwrap(),
        tag,
        received: tag.map(|_| 0),
        descriptor: None,
        nonce: None,
    };
    socket.send(frame(Tag::Handshake, &hello)).await.unwrap();
    let answer = next_frame(&mut socket).await;
    let answer = decode_frame(&answer).unwrap();
    assert_eq!(answer.tag, Tag::HandshakeAck);
    let ack: HandshakeAck = from_cbor(answer.payload, 20_000).unwrap();
    (socket, ack.node)
}

fn frame<T: Encode<()>>(tag: Tag, body: &T) -> Message {
    let id = MessageId::from_bytes([7; 16]);
    Message::Binary(encode_frame(tag, id, &to_cbor(body)).into())
}

async fn next_frame(socket: &mut Socket) -> Vec<u8> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Binary(bytes))) => return bytes.to_vec(),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_ms(u64::try_from(since.as_millis()).unwrap())
}
