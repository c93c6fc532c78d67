//! People at native hosts of the engine: the loop that every host has, on tokio and real sockets.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::{SinkExt, StreamExt};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use zentalk_shared::client::{Client, Command, Config, Effect, Event, Input, LinkId};
use zentalk_shared::id::{Address, MessageId};
use zentalk_shared::identity::ContactCode;
use zentalk_shared::time::Timestamp;
use zentalk_tests::sim::{Checker, ClientHost, Sent, Turned};

/// Longest sleep: the clock may be set.
const NAP: Duration = Duration::from_secs(5);
const OPENING: Duration = Duration::from_secs(10);

/// Everybody, and what they see.
pub(crate) struct People {
    inputs: Vec<mpsc::UnboundedSender<Input>>,
    hosts: Vec<JoinHandle<ClientHost>>,
    pub(crate) codes: Vec<ContactCode>,
    seen: Arc<Seen>,
    texts: u64,
}

struct Seen {
    checker: Mutex<Checker>,
    addresses: Vec<Address>,
    /// When each text was said, and shown to whom it was for.
    said: Mutex<HashMap<MessageId, Timestamp>>,
    took: Mutex<Vec<Duration>>,
}

impl Seen {
    fn checker(&self) -> MutexGuard<'_, Checker> {
        self.checker.lock().expect("nobody panics with it")
    }
}

impl People {
    /// So many people, who come online.
    pub(crate) fn come(count: usize, config: &Config) -> Self {
        let mut rng = ChaCha20Rng::from_rng(&mut rand::rng());
        let hosts: Vec<_> = (0..count)
            .map(|index| ClientHost::new(index, config.clone(), now(), &mut rng))
            .collect();
        let me = |host: &ClientHost| host.engine().map(Client::me).expect("an engine");
        let codes = hosts.iter().map(|host| ContactCode::parse(&me(host).code).expect("a code"));
        let seen = Arc::new(Seen {
            checker: Mutex::default(),
            addresses: hosts.iter().map(|host| me(host).address).collect(),
            said: Mutex::default(),
            took: Mutex::default(),
        });
        let mut people = Self {
            inputs: Vec::new(),
            codes: codes.collect(),
            hosts: Vec::new(),
            seen,
            texts: 0,
        };
        for (index, host) in hosts.into_iter().enumerate() {
            let (inputs, queue) = mpsc::unbounded_channel();
            let person = Person {
                index,
                host,
                rng: ChaCha20Rng::from_rng(&mut rng),
                links: HashMap::new(),
                inputs: inputs.downgrade(),
                seen: Arc::clone(&people.seen),
            };
            people.hosts.push(tokio::spawn(person.live(queue)));
            people.inputs.push(inputs);
        }
        people
    }

    /// One person writes to another.
    pub(crate) fn say(&mut self, from: usize, to: usize) {
        self.texts += 1;
        let mut id = [0; 16];
        id[8..].copy_from_slice(&self.texts.to_be_bytes());
        let (id, text) = (MessageId::from_bytes(id), format!("text {}", self.texts));
        let add = Command::AddContact {
            code: self.codes[to],
            name: None,
        };
        self.seen.checker().sent(
            id,
            Sent {
                from,
                to,
                text: text.clone(),
                shown: 0,
            },
        );
        let mut said = self.seen.said.lock().expect("nobody panics with it");
        said.insert(id, now());
        let address = self.seen.addresses[to];
        let send = Command::Send { address, id, text };
        for command in [add, send] {
            self.inputs[from].send(Input::Command(command)).expect("a host");
        }
    }

    /// Whether every text was shown to its recipient, and its sender knows.
    pub(crate) fn is_complete(&self) -> bool {
        self.seen.checker().is_complete()
    }

    /// Texts so far, and those of them that were shown as sent.
    pub(crate) fn counts(&self) -> (u64, usize) {
        (self.texts, self.seen.checker().arrived())
    }

    /// From Enter to the other's screen, sorted, since the last call.
    pub(crate) fn latencies(&self) -> Vec<Duration> {
        let mut took = std::mem::take(&mut *self.seen.took.lock().expect("nobody panics with it"));
        took.sort_unstable();
        took
    }

    /// Everybody goes; what was promised and not kept.
    pub(crate) async fn go(self) -> Vec<zentalk_tests::sim::Violation> {
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
    host: ClientHost,
    rng: ChaCha20Rng,
    links: HashMap<LinkId, mpsc::UnboundedSender<Message>>,
    /// For what sockets have to say; the host ends when nobody else speaks to it.
    inputs: mpsc::WeakUnboundedSender<Input>,
    seen: Arc<Seen>,
}

impl Person {
    async fn live(mut self, mut queue: mpsc::UnboundedReceiver<Input>) -> ClientHost {
        let mut input = Some(Input::Online(true));
        loop {
            if let Some(input) = input.take() {
                self.turn(input);
            }
            let timeout_at = self.host.engine().and_then(Client::next_timeout);
            let nap = timeout_at.map_or(NAP, |at| Duration::from_millis(at.since(now()).as_ms()));
            input = tokio::select! {
                received = queue.recv() => match received {
                    Some(input) => Some(input),
                    None => return self.host,
                },
                () = tokio::time::sleep(nap.min(NAP)) => Some(Input::Timer),
            };
        }
    }

    fn turn(&mut self, input: Input) {
        let Turned::Effects(effects) = self.host.turn(input, now(), &mut self.rng) else {
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
                Effect::Event(Event::Message(view)) => {
                    let address = |client: usize| self.seen.addresses[client];
                    self.seen.checker().seen(self.index, &view, address);
                    self.clock(view.id, view.direction);
                }
                Effect::Event(_) => {}
            }
        }
    }

    fn clock(&self, id: MessageId, direction: zentalk_shared::client::view::Direction) {
        let said = self.seen.said.lock().expect("nobody panics with it").get(&id).copied();
        if let (zentalk_shared::client::view::Direction::In, Some(said)) = (direction, said) {
            let took = Duration::from_millis(now().since(said).as_ms());
            self.seen.took.lock().expect("nobody panics with it").push(took);
        }
    }

    fn open(&mut self, link: LinkId, url: String) {
        let (socket, mut outgoing) = mpsc::unbounded_channel();
        self.links.insert(link, socket);
        let inputs = self.inputs.clone();
        let say = move |input| inputs.upgrade().is_some_and(|inputs| inputs.send(input).is_ok());
        tokio::spawn(async move {
            if let Ok(Ok((socket, _))) = timeout(OPENING, connect_async(url)).await {
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
        });
    }
}

pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    Timestamp::from_ms(u64::try_from(since.as_millis()).expect("before the year 500 million"))
}
