//! People at native hosts of the engine: the loop that every host has, on tokio and real sockets.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc::{
    UnboundedReceiver, UnboundedSender, WeakUnboundedSender, unbounded_channel,
};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::http::Uri;
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config};
use zentalk_shared::client::view::{Direction, MessageView};
use zentalk_shared::client::{Client, Command, Config, Effect, Event, Input, LinkId, WorkJob};
use zentalk_shared::id::{Address, MessageId};
use zentalk_shared::identity::ContactCode;
use zentalk_shared::time::{Duration as Span, Timestamp};

use super::by_hand::now;
use crate::sim::{Checker, ClientHost, Sent, Turned, Violation};

/// Longest sleep: the clock may be set.
const NAP: Duration = Duration::from_secs(5);
const OPENING: Duration = Duration::from_secs(10);

/// How a person's clock goes wrong.
#[derive(Clone, Copy, Debug, Default)]
pub enum Clock {
    /// It does not.
    #[default]
    Right,
    /// Fast by so much.
    Ahead(Span),
    /// Slow by so much.
    Behind(Span),
}

impl Clock {
    fn now(self) -> Timestamp {
        match self {
            Self::Right => now(),
            Self::Ahead(by) => now() + by,
            Self::Behind(by) => now() - by,
        }
    }
}

/// How people get to relays.
#[derive(Clone, Debug)]
pub struct Access {
    /// Where each connects from.
    pub from: fn(usize) -> SocketAddr,
    /// Whom they trust at `wss://`.
    pub tls: Option<Arc<rustls::ClientConfig>>,
}

impl Access {
    /// To relays of `ws://`.
    pub const fn plain(from: fn(usize) -> SocketAddr) -> Self {
        Self { from, tls: None }
    }
}

/// Everybody, and what they see.
#[derive(Debug)]
pub struct People {
    inputs: Vec<UnboundedSender<Input>>,
    hosts: Vec<JoinHandle<ClientHost>>,
    codes: Vec<ContactCode>,
    seen: Arc<Seen>,
    texts: u64,
}

#[derive(Debug)]
struct Seen {
    checker: Mutex<Checker>,
    addresses: Vec<Address>,
    /// When each text was said, and how long it took until whom it was for saw it.
    said: Mutex<HashMap<MessageId, Timestamp>>,
    took: Mutex<Vec<Duration>>,
}

impl Seen {
    fn checker(&self) -> MutexGuard<'_, Checker> {
        self.checker.lock().expect("nobody panics with it")
    }

    fn clock(&self, view: &MessageView) {
        let said = self.said.lock().expect("nobody panics with it");
        if let (Direction::In, Some(said)) = (view.direction, said.get(&view.id)) {
            let took = Duration::from_millis(now().since(*said).as_ms());
            self.took.lock().expect("nobody panics with it").push(took);
        }
    }
}

impl People {
    /// So many people, by these clocks, who come online.
    ///
    /// # Panics
    /// Outside a runtime, and if there are more than the pool of keys has accounts.
    pub fn come(clocks: &[Clock], config: &Config, access: &Access, rng: &mut ChaCha20Rng) -> Self {
        let host = |(index, clock): (usize, &Clock)| {
            ClientHost::new(index, config.clone(), clock.now(), rng)
        };
        let hosts: Vec<_> = clocks.iter().enumerate().map(host).collect();
        let me = |host: &ClientHost| host.engine().map(Client::me).expect("an engine");
        let code = |host| ContactCode::parse(&me(host).code).expect("a code");
        let seen = Arc::new(Seen {
            checker: Mutex::default(),
            addresses: hosts.iter().map(|host| me(host).address).collect(),
            said: Mutex::default(),
            took: Mutex::default(),
        });
        let mut people = Self {
            inputs: Vec::new(),
            codes: hosts.iter().map(code).collect(),
            hosts: Vec::new(),
            seen,
            texts: 0,
        };
        for (index, host) in hosts.into_iter().enumerate() {
            let (inputs, queue) = unbounded_channel();
            let person = Person {
                index,
                address: (access.from)(index),
                tls: access.tls.clone(),
                host,
                clock: clocks[index],
                rng: ChaCha20Rng::from_rng(rng),
                links: HashMap::new(),
                inputs: inputs.downgrade(),
                seen: Arc::clone(&people.seen),
            };
            people.hosts.push(tokio::spawn(person.live(queue)));
            people.inputs.push(inputs);
        }
        people
    }

    /// How many they are.
    pub(super) const fn len(&self) -> usize {
        self.codes.len()
    }

    /// One person writes to another.
    ///
    /// # Panics
    /// If there is nobody of that number.
    pub fn say(&mut self, from: usize, to: usize) {
        self.texts += 1;
        let mut id = [0; 16];
        id[8..].copy_from_slice(&self.texts.to_be_bytes());
        let (id, text) = (MessageId::from_bytes(id), format!("text {}", self.texts));
        let sent = Sent {
            from,
            to,
            text: text.clone(),
            shown: 0,
        };
        self.seen.checker().sent(id, sent);
        let mut said = self.seen.said.lock().expect("nobody panics with it");
        said.insert(id, now());
        drop(said);
        let add = Command::AddContact {
            code: self.codes[to],
            name: None,
        };
        let address = self.seen.addresses[to];
        for command in [add, Command::Send { address, id, text }] {
            let input = Input::Command(command);
            self.inputs[from].send(input).expect("a host");
        }
    }

    /// A person's device gets or loses its network.
    ///
    /// # Panics
    /// If there is nobody of that number.
    pub fn is_online(&self, who: usize, online: bool) {
        self.inputs[who]
            .send(Input::Online(online))
            .expect("a host");
    }

    /// Whether every text was shown to its recipient, and its sender knows.
    pub fn is_complete(&self) -> bool {
        self.seen.checker().is_complete()
    }

    /// Texts so far, and those of them that were shown as sent.
    pub(super) fn counts(&self) -> (u64, usize) {
        (self.texts, self.seen.checker().arrived())
    }

    /// From Enter to the other's screen, sorted, since the last call.
    pub(super) fn latencies(&self) -> Vec<Duration> {
        let mut took = self.seen.took.lock().expect("nobody panics with it");
        let mut took = std::mem::take(&mut *took);
        took.sort_unstable();
        took
    }

    /// Everybody goes; what was promised and not kept.
    pub(super) async fn go(self) -> Vec<Violation> {
        drop(self.inputs);
        let mut stored = BTreeMap::new();
        for (index, host) in self.hosts.into_iter().enumerate() {
            let host = host.await.expect("a host does not panic");
            let messages = host.stored_messages().into_iter();
            stored.extend(messages.map(|(id, count)| ((index, id), count)));
        }
        let checker = std::mem::take(&mut *self.seen.checker());
        checker.finish(&stored)
    }
}

/// One person's host.
struct Person {
    index: usize,
    address: SocketAddr,
    tls: Option<Arc<rustls::ClientConfig>>,
    host: ClientHost,
    clock: Clock,
    rng: ChaCha20Rng,
    links: HashMap<LinkId, UnboundedSender<Message>>,
    /// For what sockets have to say; the host ends when nobody else speaks to it.
    inputs: WeakUnboundedSender<Input>,
    seen: Arc<Seen>,
}

impl Person {
    async fn live(mut self, mut queue: UnboundedReceiver<Input>) -> ClientHost {
        self.turn(Input::Online(true));
        loop {
            let due = self.host.engine().and_then(Client::next_timeout);
            let left = |due: Timestamp| Duration::from_millis(due.since(self.clock.now()).as_ms());
            let nap = due.map_or(NAP, left).min(NAP);
            let input = match timeout(nap, queue.recv()).await {
                Ok(Some(input)) => input,
                Ok(None) => return self.host,
                Err(_) => Input::Timer,
            };
            self.turn(input);
        }
    }

    fn turn(&mut self, input: Input) {
        if let Input::LinkClosed(link) = &input {
            self.links.remove(link);
        }
        let turned = self.host.turn(input, self.clock.now(), &mut self.rng);
        let Turned::Effects(effects) = turned else {
            return;
        };
        for effect in effects {
            match effect {
                Effect::Open { link, url } => self.open(link, url),
                Effect::Frame { link, bytes } => {
                    if let Some(socket) = self.links.get(&link) {
                        // A socket that has closed says so by itself.
                        drop(socket.send(Message::Binary(bytes.into())));
                    }
                }
                Effect::Close { link } => drop(self.links.remove(&link)),
                Effect::Work(job) => self.work(job),
                Effect::Event(Event::Message(view)) => {
                    let address = |client: usize| self.seen.addresses[client];
                    self.seen.checker().seen(self.index, &view, address);
                    self.seen.clock(&view);
                }
                Effect::Event(_) => {}
            }
        }
    }

    /// What is said to a host by another task; whether it is still there.
    fn speaker(&self) -> impl Fn(Input) -> bool + Send + 'static {
        let inputs = self.inputs.clone();
        move |input| {
            let inputs = inputs.upgrade();
            inputs.is_some_and(|inputs| inputs.send(input).is_ok())
        }
    }

    fn work(&self, mut job: WorkJob) {
        let say = self.speaker();
        spawn_blocking(move || {
            let steps = std::iter::repeat_with(|| job.solver.step());
            if let Some(work) = steps.flatten().next() {
                say(Input::Worked(job.id, work));
            }
        });
    }

    fn open(&mut self, link: LinkId, url: String) {
        let (socket, outgoing) = unbounded_channel();
        self.links.insert(link, socket);
        let opening = connect(self.address, url, self.tls.clone());
        tokio::spawn(carry(opening, link, outgoing, self.speaker()));
    }
}

/// A link's socket, from its opening to its end.
async fn carry(
    opening: impl Future<Output = Option<WebSocketStream<MaybeTlsStream<TcpStream>>>>,
    link: LinkId,
    mut outgoing: UnboundedReceiver<Message>,
    say: impl Fn(Input) -> bool,
) {
    if let Ok(Some(socket)) = timeout(OPENING, opening).await {
        say(Input::LinkOpened(link));
        let (mut sink, mut stream) = socket.split();
        let write = async {
            while let Some(message) = outgoing.recv().await {
                if sink.send(message).await.is_err() {
                    return;
                }
            }
        };
        let read = async {
            while let Some(Ok(message)) = stream.next().await {
                if let Message::Binary(bytes) = message
                    && !say(Input::Frame(link, bytes.to_vec()))
                {
                    return;
                }
            }
        };
        tokio::select! { () = write => {}, () = read => {} }
    }
    say(Input::LinkClosed(link));
}

/// A WebSocket from a person's own address, by which the network knows them.
pub async fn connect(
    from: SocketAddr,
    url: String,
    tls: Option<Arc<rustls::ClientConfig>>,
) -> Option<WebSocketStream<MaybeTlsStream<TcpStream>>> {
    let uri: Uri = url.parse().ok()?;
    let default = match uri.scheme_str()? {
        "wss" => 443,
        _ => 80,
    };
    let relay = SocketAddr::new(uri.host()?.parse().ok()?, uri.port_u16().unwrap_or(default));
    let tcp = TcpSocket::new_v4().ok()?;
    tcp.bind(from).ok()?;
    let stream = tcp.connect(relay).await.ok()?;
    // As browsers do: a small frame does not wait for what is under way.
    stream.set_nodelay(true).ok()?;
    let connector = tls.map(Connector::Rustls);
    let opened = client_async_tls_with_config(url, stream, None, connector).await;
    Some(opened.ok()?.0)
}
