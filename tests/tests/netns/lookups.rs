//! Somebody who asks a relay for records by hand, through onions: what a look-up in the DHT takes, and nothing else.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::SinkExt;
use rand_chacha::ChaCha20Rng;
use rand_core::Rng;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use zentalk_shared::id::{ConnectionTag, RecordKey};
use zentalk_shared::onion::{Class, RelayDescriptor, Route, Suite};
use zentalk_shared::rpc::{RecordGetRequest, Reply, Request};
use zentalk_shared::time::Duration as Span;
use zentalk_shared::wire::link::Role;
use zentalk_shared::wire::{Tag, decode_frame};
use zentalk_tests::live::by_hand::{self, complete_directory, next_frame, now, request_frame};
use zentalk_tests::live::connect;

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
        let mut visitor = shake_hands(from, &urls[0], None).await;
        let directory = complete_directory(&mut visitor, known).await;
        drop(visitor);
        let tag = ConnectionTag::random(&mut rng);
        let socket = shake_hands(from, &urls[0], Some(tag)).await;
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
        let (_, frame) = request_frame(request, Class::Bulk, &there, &surb, &mut self.rng);
        self.socket
            .send(Message::Binary(frame.into()))
            .await
            .unwrap();
        loop {
            let bytes = next_frame(&mut self.socket).await.expect("an answer");
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

/// With a tag as a client, and without one as a visitor.
async fn shake_hands(from: &From, url: &str, tag: Option<ConnectionTag>) -> Socket {
    let opened = connect(from.address, url.to_owned(), Some(Arc::clone(&from.tls))).await;
    let mut socket = opened.expect("a relay");
    let role = match tag {
        Some(_) => Role::Client,
        None => Role::Visitor,
    };
    by_hand::shake_hands(&mut socket, role, tag).await;
    socket
}
