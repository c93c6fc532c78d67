//! Relays among themselves in virtual time: many real cores of which each is told of a few seeds only, and somebody who
//! asks one of them something.
//!
//! Frames take 10 to 60 ms and arrive in order; disks take 4 ms; a connection to a relay that is down is refused.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use rand::RngExt;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use zentalk_relay::core::{ConnId, Dial, Input, Output, Relay, Remote};
use zentalk_shared::id::{ConnectionTag, MessageId, NodeId, SurbId};
use zentalk_shared::onion::{Class, Route, Suite, Suites, SurbKeys};
use zentalk_shared::rpc::{Reply, Request};
use zentalk_shared::time::{Duration, Timestamp};
use zentalk_shared::wire::codec::{BoundedList, to_cbor};
use zentalk_shared::wire::link::{Handshake, Role};
use zentalk_shared::wire::{Tag, VERSION, decode_frame, encode_frame};

use super::relay_host::RelayHost;

const START: Timestamp = Timestamp::from_secs(1_800_000_000);
const SYNC: Duration = Duration::from_ms(4);
/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(60);

/// One end of a wire: a relay's, or (`None`) that of who asks.
type End = (Option<usize>, ConnId);

#[derive(Debug)]
enum Happening {
    Opened(Dial, End, End),
    Refused(usize, Dial),
    Frame(End, Vec<u8>),
    Closed(End),
    Timer(usize),
    Sync(usize),
}

/// Relays and their wires.
#[derive(Debug)]
pub struct Mesh {
    now: Timestamp,
    rng: ChaCha20Rng,
    relays: Vec<RelayHost>,
    queue: BTreeMap<(Timestamp, u64), Happening>,
    /// Both ends of every open wire, and when the last frame arrives at the far one.
    wires: BTreeMap<End, (End, Timestamp)>,
    inbox: Vec<Vec<u8>>,
    /// When each relay's next timer is set.
    armed: Vec<Option<Timestamp>>,
    next: u64,
    /// Frames that were carried.
    pub frames: u64,
}

fn url(index: usize) -> String {
    format!("ws://127.0.0.1:{}/v1", 9001 + index)
}

impl Mesh {
    /// So many relays of the pool, none started; each is told of the first `seeds`.
    pub fn new(seed: u64, relays: usize, seeds: usize) -> Self {
        let urls: Vec<String> = (0..relays).map(url).collect();
        let host = |index| {
            let suites = Suites::only(Suite::X25519);
            RelayHost::new(index, &urls, suites, None, START).with_peers(&urls[..seeds])
        };
        Self {
            now: START,
            rng: ChaCha20Rng::seed_from_u64(seed),
            relays: (0..relays).map(host).collect(),
            queue: BTreeMap::new(),
            wires: BTreeMap::new(),
            inbox: Vec::new(),
            armed: vec![None; relays],
            next: 0,
            frames: 0,
        }
    }

    /// Starts a relay from what is on its disk.
    pub fn start(&mut self, index: usize) {
        self.relays[index].start(self.now, &mut self.rng);
        self.after(Duration::ZERO, Happening::Timer(index));
    }

    /// `kill -9`.
    pub fn kill(&mut self, index: usize) {
        self.relays[index].crash(0);
        let theirs = |end: &&End| end.0 == Some(index);
        let ends: Vec<End> = self.wires.keys().filter(theirs).copied().collect();
        ends.into_iter().for_each(|end| self.cut(end));
    }

    /// Which relay it is.
    pub fn node(&self, index: usize) -> NodeId {
        self.relays[index].node()
    }

    /// The time of this world.
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// A relay that runs.
    ///
    /// # Panics
    /// If it does not.
    pub fn relay(&self, index: usize) -> &Relay {
        self.relays[index].core().expect("a relay that runs")
    }

    /// Time passes.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        self.play(end, |_| false);
        self.now = end;
    }

    /// Asks a relay through an onion of one hop, as a client does; `None`: it did not answer.
    ///
    /// # Panics
    /// If the relay has no descriptor, or breaks the protocol.
    pub fn call(&mut self, index: usize, request: &Request) -> Option<Reply> {
        let descriptor = self.relays[index].descriptor(self.now).expect("published");
        let hops = [(&descriptor, Duration::ZERO)];
        let route = Route::through(hops, Suite::X25519, self.now).expect("a route");
        let tag = ConnectionTag::random(&mut self.rng);
        let surb = route.surb(tag, self.now, &mut self.rng);
        let (surb, keys) = surb.expect("a reply block");
        let id = MessageId::random(&mut self.rng);
        let payload = request.encode(id, Class::Bulk).expect("a request");
        let packet = route.request(Some(&surb), &payload, Class::Bulk, &mut self.rng);
        let packet = packet.expect("a packet");
        let hello = Handshake {
            role: Role::Client,
            versions: BoundedList::new(vec![VERSION]).expect("one"),
            suites: BoundedList::new(Suites::only(Suite::X25519).numbers()).expect("one"),
            tag: Some(tag),
            received: None,
            descriptor: None,
            nonce: None,
        };
        let (me, conn) = ((None, self.conn()), self.conn());
        self.wire(me, (Some(index), conn));
        self.input(index, Input::Opened(conn, Remote::Accepted(None)));
        for (tag, body) in [
            (Tag::Handshake, to_cbor(&hello)),
            (Tag::RelayForward, packet),
        ] {
            let frame = encode_frame(tag, MessageId::random(&mut self.rng), &body);
            self.transmit(me, frame);
        }
        let reply = self.answer(keys);
        self.cut(me);
        reply
    }

    fn answer(&mut self, keys: SurbKeys) -> Option<Reply> {
        let id = keys.id();
        let opened = |frame: &Vec<u8>| {
            let frame = decode_frame(frame).ok().filter(|f| f.tag == Tag::Deliver)?;
            let (surb, body) = frame.payload.split_first_chunk::<16>()?;
            (SurbId::from_bytes(*surb) == id).then(|| body.to_vec())
        };
        let came = |mesh: &Self| mesh.inbox.iter().any(|frame| opened(frame).is_some());
        self.play(self.now + PATIENCE, came);
        let inbox = std::mem::take(&mut self.inbox);
        let body = inbox.iter().find_map(opened)?;
        let payload = keys.open(body).expect("a reply");
        Some(Reply::decode(&payload).expect("a reply").1)
    }

    fn play(&mut self, end: Timestamp, done: impl Fn(&Self) -> bool) {
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > end || done(self) {
                return;
            }
            let Some(((at, _), happening)) = self.queue.pop_first() else {
                return;
            };
            self.now = self.now.max(at);
            self.happen(happening);
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Opened(dial, near, far) => {
                if self.wires.contains_key(&near) {
                    let port = u16::try_from(9001 + far.0.unwrap_or(0)).unwrap_or(0);
                    let address = SocketAddr::from(([127, 0, 0, 1], port));
                    self.arrive(far, |conn| Input::Opened(conn, Remote::Accepted(None)));
                    self.arrive(near, |conn| {
                        Input::Opened(conn, Remote::Dialed(dial, address))
                    });
                }
            }
            Happening::Refused(index, dial) => self.input(index, Input::DialFailed(dial)),
            Happening::Frame(end @ (Some(_), _), frame) => {
                if self.wires.contains_key(&end) {
                    self.frames += 1;
                    self.arrive(end, |conn| Input::Frame(conn, frame));
                }
            }
            Happening::Frame((None, _), frame) => self.inbox.push(frame),
            Happening::Closed(end) => {
                if self.wires.remove(&end).is_some() {
                    self.arrive(end, Input::Closed);
                }
            }
            Happening::Timer(index) => {
                self.armed[index] = None;
                let due = self.relays[index].next_timeout();
                if due.is_some_and(|due| due <= self.now) {
                    self.input(index, Input::Timer);
                } else {
                    self.settle(index, Vec::new());
                }
            }
            Happening::Sync(index) => {
                for input in self.relays[index].sync(self.now) {
                    self.input(index, input);
                }
            }
        }
    }

    fn arrive(&mut self, end: End, input: impl FnOnce(ConnId) -> Input) {
        if let (Some(index), conn) = end {
            self.input(index, input(conn));
        }
    }

    fn input(&mut self, index: usize, input: Input) {
        let outputs = self.relays[index].handle(input, self.now, &mut self.rng);
        self.settle(index, outputs);
    }

    fn settle(&mut self, index: usize, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Send(conn, frame) => self.transmit((Some(index), conn), frame),
                Output::Close(conn, _) => self.cut((Some(index), conn)),
                Output::Connect(dial, target) => self.dial(index, dial, &target),
                Output::Store(..)
                | Output::Count(..)
                | Output::Peer(..)
                | Output::ExpectDirectory(..) => {}
            }
        }
        if self.relays[index].is_dirty() {
            self.after(SYNC, Happening::Sync(index));
        }
        // Timers that a later one has made needless find nothing due.
        let due = self.relays[index].next_timeout();
        if let Some(due) = due.filter(|due| self.armed[index].is_none_or(|set| set > *due)) {
            self.armed[index] = Some(due);
            self.at(due.max(self.now), Happening::Timer(index));
        }
    }

    fn dial(&mut self, from: usize, dial: Dial, target: &str) {
        let latency = self.latency();
        let to = (0..self.relays.len()).find(|index| url(*index) == target);
        let Some(to) = to.filter(|to| self.relays[*to].is_up()) else {
            return self.after(latency, Happening::Refused(from, dial));
        };
        let (near, far) = ((Some(from), self.conn()), (Some(to), self.conn()));
        self.wire(near, far);
        self.after(latency, Happening::Opened(dial, near, far));
    }

    fn wire(&mut self, near: End, far: End) {
        self.wires.insert(near, (far, self.now));
        self.wires.insert(far, (near, self.now));
    }

    fn transmit(&mut self, from: End, frame: Vec<u8>) {
        let latency = self.latency();
        if let Some((to, last)) = self.wires.get_mut(&from) {
            let (to, at) = (*to, (self.now + latency).max(*last));
            *last = at;
            self.at(at, Happening::Frame(to, frame));
        }
    }

    /// One end is gone; the other learns it after what was sent before.
    fn cut(&mut self, end: End) {
        let latency = self.latency();
        if let Some((other, last)) = self.wires.remove(&end) {
            let at = (self.now + latency).max(last);
            self.at(at, Happening::Closed(other));
        }
    }

    fn latency(&mut self) -> Duration {
        Duration::from_ms(self.rng.random_range(10..60))
    }

    fn after(&mut self, pause: Duration, happening: Happening) {
        self.at(self.now + pause, happening);
    }

    fn at(&mut self, at: Timestamp, happening: Happening) {
        self.next += 1;
        self.queue.insert((at, self.next), happening);
    }

    fn conn(&mut self) -> ConnId {
        self.next += 1;
        ConnId(self.next)
    }
}
