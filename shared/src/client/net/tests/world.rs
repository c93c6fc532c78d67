//! A network in memory: relays with real onion keys, links without loss, time by hand.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::OnceLock;

use rand_chacha::ChaCha20Rng;

use crate::client::net::{Bootstrap, LinkId, Net, NetConfig, NetFailure, NetOutput, RequestId};
use crate::client::store::{Key, Row, Write};
use crate::client::view::Connection;
use crate::crypto::Secret32;
use crate::crypto::sign::SigningKey;
use crate::id::{ConnectionTag, MailboxId, MessageId, NodeId, SurbId};
use crate::onion::{
    Class, Directory, Features, MixMode, Peeled, Publication, RelayDescriptor, RelayInfo,
    RelayKeys, RelaySigner, RelayUrl, ReplayLimits, Suite, Suites, Surb, suite_of,
};
use crate::rpc::{
    DirectorySyncReply, DirectorySyncRequest, PreKeyTakeRequest, Push, Refusal, Refused, Reply,
    Request, SYNC_STEP, SurbBytes,
};
use crate::test_support::{account_rsa, rng};
use crate::time::{Duration, Timestamp};
use crate::wire::codec::{BoundedList, Bytes, from_cbor, to_cbor};
use crate::wire::link::{Ack, Directory as DirectoryBody, Handshake, HandshakeAck, Role};
use crate::wire::{Tag, VERSION, decode_frame, encode_frame};

/// When every test begins: an hour into an epoch.
pub(super) const START: Timestamp = Timestamp::from_ms(83_333 * 21_600_000 + 3_600_000);

/// How a relay answers requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    Honest,
    /// Takes requests, answers none.
    Silent,
    /// Answers with another id.
    WrongId,
    /// Answers with another kind.
    WrongKind,
    /// Answers with noise.
    Noise,
}

/// What a guard keeps for a tag.
#[derive(Debug, Default)]
struct Buffer {
    /// Deliveries that the client has counted.
    base: u64,
    frames: VecDeque<Vec<u8>>,
    link: Option<LinkId>,
}

pub(super) struct Relay {
    pub(super) node: NodeId,
    pub(super) url: String,
    pub(super) signer: RelaySigner,
    pub(super) keys: RelayKeys,
    pub(super) info: RelayInfo,
    /// Publishes descriptors.
    pub(super) member: bool,
    /// Refuses and loses connections while false.
    pub(super) up: bool,
    /// Drops packets that it should forward.
    pub(super) hole: bool,
    /// Says to be another in handshakes.
    pub(super) claims: Option<NodeId>,
    /// Accepts sockets and says nothing.
    pub(super) mute: bool,
    pub(super) manner: Manner,
    /// Says what time it is in a part of the directory, as relays did not always.
    pub(super) tells_time: bool,
    /// What it tells visitors in place of the truth.
    pub(super) lies: Option<Vec<RelayDescriptor>>,
    tags: BTreeMap<ConnectionTag, Buffer>,
    /// Requests that it processed.
    pub(super) served: Vec<Request>,
    /// Packets that it forwarded.
    pub(super) forwarded: usize,
}

struct Socket {
    relay: usize,
    tag: Option<ConnectionTag>,
}

pub(super) struct World {
    pub(super) now: Timestamp,
    pub(super) rng: ChaCha20Rng,
    pub(super) relays: Vec<Relay>,
    pub(super) directory: Directory,
    pub(super) net: Net,
    sockets: BTreeMap<LinkId, Socket>,
    pub(super) rows: BTreeMap<Key, Row>,
    pub(super) replies: BTreeMap<RequestId, Reply>,
    pub(super) failures: BTreeMap<RequestId, NetFailure>,
    pub(super) pushes: Vec<(NodeId, Push)>,
    pub(super) stock_lost: usize,
    pub(super) pushes_lost: usize,
    pub(super) relays_changed: usize,
    /// Relays that a link was opened to, in order.
    pub(super) opened: Vec<(Timestamp, usize)>,
    /// Guards whose `Deliver` frames are lost on the link, not in the buffer.
    pub(super) cut: BTreeSet<usize>,
    /// What a relay last sent.
    pub(super) last_frame: Option<Vec<u8>>,
    pinned: usize,
    wishes: Wishes,
    /// Packets that relays hold back, by when and in which order they pass them on, and to whom.
    held: BTreeMap<(Timestamp, usize), (usize, Vec<u8>)>,
    /// Packets peeled, by suite and relay.
    pub(super) peeled: Vec<(Suite, usize)>,
    /// When every relay publishes a descriptor next.
    next_publication: Timestamp,
    publishes_every: Duration,
    /// Of packets that the client has sent.
    pub(super) packet_lengths: Vec<usize>,
}

/// What the client was told of its packets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wishes {
    /// The onion suite that it prefers.
    pub(super) prefers: Suite,
    /// The weakest that it may use.
    pub(super) floor: Option<Suite>,
    pub(super) mixing: MixMode,
}

impl Wishes {
    /// Nothing but a preference.
    pub(super) const fn preferring(prefers: Suite) -> Self {
        Self {
            prefers,
            floor: None,
            mixing: MixMode::Off,
        }
    }
}

/// What relays offer unless a test says otherwise.
const CLASSICAL: Suites = Suites::only(Suite::X25519);

/// How often relays publish.
const PUBLICATION: Duration = Duration::from_hours(1);

/// Identities are certified once for all tests: RSA is slow.
fn signer(index: usize) -> RelaySigner {
    static SIGNERS: OnceLock<Vec<RelaySigner>> = OnceLock::new();
    let all = SIGNERS.get_or_init(|| {
        (0..16u8)
            .map(|n| {
                let key = SigningKey::from_seed(&Secret32::from_bytes([n + 1; 32]));
                let rsa = account_rsa(n.into());
                RelaySigner::certify(&rsa, key, &mut rng(n.into())).unwrap()
            })
            .collect()
    });
    all[index].clone()
}

impl Relay {
    /// Offers these suites from its next descriptor on.
    pub(super) fn offer(&mut self, suites: Suites) {
        let record = self.keys.persist();
        self.keys = RelayKeys::restore(&record, [], suites, ReplayLimits::small(8)).unwrap();
    }

    fn new(index: usize, now: Timestamp, rng: &mut ChaCha20Rng) -> Self {
        let signer = signer(index);
        let url = format!("ws://127.0.0.1:{}/v1", 9001 + index);
        Self {
            node: signer.node(),
            info: RelayInfo {
                urls: vec![RelayUrl::parse(&url).unwrap()],
                operator: format!("operator {index}"),
                region: "test".into(),
                software: "zentalk".into(),
                max_connections: 1_000,
                features: Features::ALL,
            },
            url,
            signer,
            keys: RelayKeys::generate(CLASSICAL, ReplayLimits::small(8), now, rng).unwrap(),
            member: true,
            up: true,
            hole: false,
            claims: None,
            mute: false,
            manner: Manner::Honest,
            tells_time: true,
            lies: None,
            tags: BTreeMap::new(),
            served: Vec::new(),
            forwarded: 0,
        }
    }

    pub(super) fn publish(&mut self, now: Timestamp, rng: &mut ChaCha20Rng) -> RelayDescriptor {
        self.keys.rotate(now, rng).unwrap();
        let publication = Publication {
            sequence: now.as_ms(),
            from: now,
            until: now + Duration::from_hours(18),
        };
        let keys = self.keys.public(now);
        self.signer
            .sign_descriptor(&self.info, &keys, publication)
            .unwrap()
    }
}

impl World {
    /// `count` relays, of which the first `pinned` are bootstrap relays, and a net that has nothing stored.
    pub(super) fn new(count: usize, pinned: usize, seed: u64) -> Self {
        Self::with(count, pinned, seed, |_| {})
    }

    /// The same, with a chance to set the relays up before the client starts.
    pub(super) fn with(
        count: usize,
        pinned: usize,
        seed: u64,
        prepare: impl FnOnce(&mut Vec<Relay>),
    ) -> Self {
        Self::preferring(Suite::X25519, count, pinned, seed, prepare)
    }

    /// The same with a client that prefers some onion suite.
    pub(super) fn preferring(
        prefers: Suite,
        count: usize,
        pinned: usize,
        seed: u64,
        prepare: impl FnOnce(&mut Vec<Relay>),
    ) -> Self {
        Self::wishing(Wishes::preferring(prefers), count, pinned, seed, prepare)
    }

    /// The same with a client that was told more.
    pub(super) fn wishing(
        wishes: Wishes,
        count: usize,
        pinned: usize,
        seed: u64,
        prepare: impl FnOnce(&mut Vec<Relay>),
    ) -> Self {
        let mut rng = rng(seed);
        let mut relays: Vec<_> = (0..count).map(|n| Relay::new(n, START, &mut rng)).collect();
        prepare(&mut relays);
        let directory = relays
            .iter_mut()
            .map(|relay| relay.publish(START, &mut rng))
            .collect();
        let net = Net::restore(
            config(&relays, pinned, wishes),
            &[],
            Vec::new(),
            START,
            &mut rng,
        );
        let mut world = Self {
            now: START,
            rng,
            relays,
            directory,
            net,
            sockets: BTreeMap::new(),
            rows: BTreeMap::new(),
            replies: BTreeMap::new(),
            failures: BTreeMap::new(),
            pushes: Vec::new(),
            stock_lost: 0,
            pushes_lost: 0,
            relays_changed: 0,
            opened: Vec::new(),
            cut: BTreeSet::new(),
            last_frame: None,
            pinned,
            wishes,
            held: BTreeMap::new(),
            peeled: Vec::new(),
            next_publication: START + PUBLICATION,
            publishes_every: PUBLICATION,
            packet_lengths: Vec::new(),
        };
        world.run();
        world
    }

    /// A network whose client is connected.
    pub(super) fn connected(count: usize, seed: u64) -> Self {
        let mut world = Self::new(count, 3.min(count), seed);
        world.advance(Duration::from_secs(5));
        assert!(world.is_up());
        world
    }

    /// The engine is dropped and restored from what it stored.
    pub(super) fn restart_net(&mut self) {
        let rows: Vec<_> = self.rows.values().cloned().collect();
        for (_, socket) in core::mem::take(&mut self.sockets) {
            self.unlink(&socket);
        }
        self.replies.clear();
        self.failures.clear();
        let config = config(&self.relays, self.pinned, self.wishes);
        self.net = Net::restore(config, &rows, Vec::new(), self.now, &mut self.rng);
        self.run();
    }

    /// Does everything that can be done now.
    pub(super) fn run(&mut self) {
        while let Some(output) = self.net.poll() {
            match output {
                NetOutput::Open { link, url } => self.open(link, &url),
                NetOutput::Send { link, frame } => self.receive(link, &frame),
                NetOutput::Close { link } => {
                    if let Some(socket) = self.sockets.remove(&link) {
                        self.unlink(&socket);
                    }
                }
                NetOutput::Persist(Write::Put(row)) => {
                    self.rows.insert(row.key.clone(), row);
                }
                NetOutput::Persist(Write::Delete(key)) => {
                    self.rows.remove(&key);
                }
                NetOutput::Reply { request, reply } => {
                    assert!(self.replies.insert(request, reply).is_none());
                }
                NetOutput::Failed { request, why } => {
                    assert!(self.failures.insert(request, why).is_none());
                }
                NetOutput::Push { member, push } => self.pushes.push((member, push)),
                NetOutput::StockLost => self.stock_lost += 1,
                NetOutput::PushesLost => self.pushes_lost += 1,
                NetOutput::RelaysChanged => self.relays_changed += 1,
                NetOutput::ConnectionChanged | NetOutput::NetworkChanged => {}
            }
        }
    }

    /// Lets time pass, timer by timer. Relays that are up publish a descriptor every hour.
    pub(super) fn advance(&mut self, by: Duration) {
        let end = self.now + by;
        let mut timers = 0;
        loop {
            let timer = self.net.next_timeout().unwrap_or(Timestamp::MAX);
            let held = self.held.keys().next();
            let held = held.map_or(Timestamp::MAX, |(due, _)| *due);
            let next = timer.min(self.next_publication).min(held);
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            if next == held {
                if let Some((_, (relay, packet))) = self.held.pop_first() {
                    self.packet(relay, packet);
                    self.run();
                }
            } else if next == self.next_publication {
                self.publish();
            } else {
                self.net.timeout(self.now, &mut self.rng);
                self.run();
            }
            timers += 1;
            assert!(timers < 20_000, "timers do not come to rest");
        }
        self.now = end;
    }

    fn publish(&mut self) {
        self.next_publication = self.now + self.publishes_every;
        self.directory.expire(self.now);
        for relay in self
            .relays
            .iter_mut()
            .filter(|relay| relay.up && relay.member)
        {
            self.directory
                .insert(relay.publish(self.now, &mut self.rng));
        }
    }

    /// Relays publish so seldom from the next time on.
    pub(super) fn publish_every(&mut self, pause: Duration) {
        self.publishes_every = pause;
    }

    /// One relay publishes now.
    pub(super) fn publish_one(&mut self, index: usize) {
        let descriptor = self.relays[index].publish(self.now, &mut self.rng);
        self.directory.insert(descriptor);
    }

    /// Lets time pass until the client has sent a request to a relay that answers `id`, or given up.
    pub(super) fn outcome(&mut self, id: RequestId) -> Result<&Reply, NetFailure> {
        for _ in 0..40 {
            if self.replies.contains_key(&id) || self.failures.contains_key(&id) {
                break;
            }
            self.advance(Duration::from_ms(500));
        }
        match (self.replies.get(&id), self.failures.get(&id)) {
            (Some(reply), _) => Ok(reply),
            (None, Some(why)) => Err(*why),
            (None, None) => panic!("no outcome in twenty seconds"),
        }
    }

    /// A relay that is not part of the network yet.
    pub(super) fn outsider(&mut self, index: usize) -> RelayDescriptor {
        let mut relay = Relay::new(index, self.now, &mut self.rng);
        relay.member = false;
        let descriptor = relay.publish(self.now, &mut self.rng);
        self.relays.push(relay);
        descriptor
    }

    pub(super) fn index(&self, node: NodeId) -> usize {
        self.relays
            .iter()
            .position(|relay| relay.node == node)
            .unwrap()
    }

    pub(super) fn node(&self, index: usize) -> NodeId {
        self.relays[index].node
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(self.net.connection(), Connection::Online { .. })
    }

    /// The relay that the primary guard's link leads to.
    pub(super) fn guard(&self) -> usize {
        self.index(self.net.guards.primary().unwrap())
    }

    /// A relay that is no guard of the client.
    pub(super) fn stranger(&self) -> usize {
        let guards = self.net.kept_guards();
        (0..self.relays.len())
            .find(|n| !guards.contains(&self.node(*n)))
            .unwrap()
    }

    /// Asks relay `to` something small.
    pub(super) fn ask(&mut self, to: usize, swarm: &[usize]) -> RequestId {
        let mailbox = MailboxId::from_bytes([to as u8; 20]);
        let request = Request::PreKeyTake(PreKeyTakeRequest { mailbox });
        let swarm: Vec<_> = swarm.iter().map(|n| self.node(*n)).collect();
        let (to, now) = (self.node(to), self.now);
        let class = Class::Message;
        let id = self
            .net
            .request(to, &swarm, false, request, class, now, &mut self.rng);
        self.run();
        id
    }

    pub(super) fn mint(&mut self, member: usize, count: usize) -> Option<Vec<SurbBytes>> {
        let member = self.node(member);
        self.net
            .mint_stock(member, &[member], count, self.now, &mut self.rng)
    }

    /// A member uses a reply block.
    pub(super) fn push(&mut self, surb: &SurbBytes, waiting: u32) {
        let push = Push {
            envelopes: BoundedList::default(),
            stock: 0,
            waiting,
        };
        let id = MessageId::random(&mut self.rng);
        self.reply(surb, &Reply::Push(push), id);
    }

    pub(super) fn reply(&mut self, surb: &SurbBytes, reply: &Reply, id: MessageId) {
        let payload = reply.encode(id, Class::Message).unwrap();
        self.send_back(Surb::decode(surb).unwrap(), &payload, Class::Message);
        self.run();
    }

    fn send_back(&mut self, surb: Surb, payload: &[u8], class: Class) {
        let first = self.index(surb.first_hop());
        let packet = surb.reply(payload, class).unwrap();
        self.packet(first, packet);
    }

    pub(super) fn set_online(&mut self, online: bool) {
        self.net.set_online(online, self.now, &mut self.rng);
        self.run();
    }

    /// Takes a relay down with its links, or up again.
    pub(super) fn set_up(&mut self, index: usize, up: bool) {
        self.relays[index].up = up;
        if !up {
            self.cut_links(index);
        }
    }

    /// The links to a relay break.
    pub(super) fn cut_links(&mut self, index: usize) {
        let links: Vec<_> = self
            .sockets
            .iter()
            .filter(|(_, s)| s.relay == index)
            .map(|(l, _)| *l)
            .collect();
        for link in links {
            if let Some(socket) = self.sockets.remove(&link) {
                self.unlink(&socket);
            }
            self.net.link_closed(link, self.now, &mut self.rng);
        }
        self.run();
    }

    /// Takes a relay down with everything that it had in memory.
    pub(super) fn crash(&mut self, index: usize) {
        self.relays[index].tags.clear();
        self.set_up(index, false);
    }

    pub(super) fn links_to(&self, index: usize) -> usize {
        self.sockets
            .values()
            .filter(|socket| socket.relay == index)
            .count()
    }

    /// A frame from a relay on its link.
    pub(super) fn frame_from(&mut self, index: usize, bytes: &[u8]) {
        let link = self
            .sockets
            .iter()
            .find(|(_, s)| s.relay == index)
            .map(|(l, _)| *l)
            .unwrap();
        self.net.frame(link, bytes, self.now, &mut self.rng);
        self.run();
    }

    fn unlink(&mut self, socket: &Socket) {
        let tags = &mut self.relays[socket.relay].tags;
        if let Some(buffer) = socket.tag.and_then(|tag| tags.get_mut(&tag)) {
            buffer.link = None;
        }
    }

    fn open(&mut self, link: LinkId, url: &str) {
        let relay = self
            .relays
            .iter()
            .position(|relay| relay.url == url)
            .unwrap();
        self.opened.push((self.now, relay));
        if self.relays[relay].up {
            self.sockets.insert(link, Socket { relay, tag: None });
            self.net.link_opened(link, self.now, &mut self.rng);
        } else {
            self.net.link_closed(link, self.now, &mut self.rng);
        }
    }

    fn send(&mut self, link: LinkId, tag: Tag, payload: &[u8]) {
        let frame = encode_frame(tag, MessageId::random(&mut self.rng), payload);
        self.last_frame = Some(frame.clone());
        self.net.frame(link, &frame, self.now, &mut self.rng);
    }

    /// A frame from the client.
    fn receive(&mut self, link: LinkId, bytes: &[u8]) {
        let Some(socket) = self.sockets.get(&link) else {
            return;
        };
        let relay = socket.relay;
        if self.relays[relay].mute {
            return;
        }
        let frame = decode_frame(bytes).unwrap();
        match frame.tag {
            Tag::Handshake => {
                self.handshake(link, relay, &from_cbor(frame.payload, 16_384).unwrap())
            }
            Tag::DirectoryGet => {
                let listed = match &self.relays[relay].lies {
                    Some(lies) => lies.clone(),
                    None => self.directory.iter().cloned().collect(),
                };
                let descriptors = listed.iter().map(|d| d.bytes().clone()).collect();
                let body = DirectoryBody {
                    digest: Bytes(listed.iter().cloned().collect::<Directory>().digest()),
                    descriptors: BoundedList::new(descriptors).unwrap(),
                };
                self.send(link, Tag::Directory, &to_cbor(&body));
            }
            Tag::RelayForward => {
                self.packet_lengths.push(frame.payload.len());
                self.packet(relay, frame.payload.to_vec());
            }
            Tag::Ack => {
                let ack: Ack = from_cbor(frame.payload, 64).unwrap();
                let tag = socket.tag.unwrap();
                self.relays[relay]
                    .tags
                    .get_mut(&tag)
                    .unwrap()
                    .counted(ack.received);
            }
            Tag::Ping => self.send(link, Tag::Pong, frame.payload),
            Tag::Error => {}
            other => panic!("a client sent {other:?}"),
        }
    }

    fn handshake(&mut self, link: LinkId, relay: usize, hello: &Handshake) {
        let resumed = hello
            .tag
            .is_some_and(|tag| self.relays[relay].tags.contains_key(&tag));
        let ack = HandshakeAck {
            version: VERSION,
            suites: hello.suites.clone(),
            node: self.relays[relay].claims.unwrap_or(self.relays[relay].node),
            time: self.now,
            resumed,
            descriptor: None,
            nonce: None,
            signature: None,
        };
        self.send(link, Tag::HandshakeAck, &to_cbor(&ack));
        if hello.role != Role::Client {
            return;
        }
        let tag = hello.tag.unwrap();
        if let Some(socket) = self.sockets.get_mut(&link) {
            socket.tag = Some(tag);
        }
        let buffer = self.relays[relay].tags.entry(tag).or_default();
        if resumed {
            buffer.counted(hello.received.unwrap());
        }
        buffer.link = Some(link);
        for frame in buffer.frames.clone() {
            self.send(link, Tag::Deliver, &frame);
        }
    }

    /// A packet at a relay.
    fn packet(&mut self, relay: usize, packet: Vec<u8>) {
        if !self.relays[relay].up {
            return;
        }
        self.peeled.push((suite_of(&packet).unwrap(), relay));
        let peeled = self.relays[relay]
            .keys
            .peel(packet, self.now, &mut self.rng);
        match peeled.expect("the net builds what relays accept") {
            Peeled::Forward {
                next,
                delay,
                packet,
            } => {
                self.relays[relay].forwarded += 1;
                let next = self.index(next);
                match delay == Duration::ZERO {
                    _ if self.relays[relay].hole => {}
                    true => self.packet(next, packet),
                    false => {
                        let due = (self.now + delay, self.peeled.len());
                        self.held.insert(due, (next, packet));
                    }
                }
            }
            Peeled::Process { surb, payload } => self.process(relay, surb.unwrap(), &payload),
            Peeled::Deliver { tag, surb_id, body } => self.deliver(relay, tag, surb_id, &body),
        }
    }

    fn deliver(&mut self, relay: usize, tag: ConnectionTag, surb: SurbId, body: &[u8]) {
        let frame = [surb.as_bytes().as_slice(), body].concat();
        let Some(buffer) = self.relays[relay].tags.get_mut(&tag) else {
            return;
        };
        buffer.frames.push_back(frame.clone());
        if let Some(link) = buffer.link.filter(|_| !self.cut.contains(&relay)) {
            self.send(link, Tag::Deliver, &frame);
        }
    }

    fn process(&mut self, relay: usize, surb: Surb, payload: &[u8]) {
        let (id, request) = Request::decode(payload).unwrap();
        self.relays[relay].served.push(request.clone());
        let class = match payload.len() {
            8192 => Class::Message,
            _ => Class::Bulk,
        };
        let refused = Reply::Refused(Refused::because(Refusal::Unknown));
        let honest = match &request {
            Request::DirectorySync(ask) => Reply::DirectorySync(self.sync(relay, ask)),
            _ => refused,
        };
        let wrong = Reply::Push(Push {
            envelopes: BoundedList::default(),
            stock: 0,
            waiting: 0,
        });
        let payload = match self.relays[relay].manner {
            Manner::Silent => return,
            Manner::Honest => honest.encode(id, class).unwrap(),
            Manner::WrongId => honest
                .encode(MessageId::from_bytes([9; 16]), class)
                .unwrap(),
            Manner::WrongKind => wrong.encode(id, class).unwrap(),
            Manner::Noise => vec![0xa5; 8192],
        };
        self.send_back(surb, &payload, class);
    }

    fn sync(&self, relay: usize, ask: &DirectorySyncRequest) -> DirectorySyncReply {
        let all: Vec<_> = match &self.relays[relay].lies {
            Some(lies) => lies.clone(),
            None => self.directory.iter().cloned().collect(),
        };
        let digest = all.iter().cloned().collect::<Directory>().digest();
        // Relays of this world take descriptors as soon as they are published.
        let since = ask.since.map_or(0, Timestamp::as_ms);
        let listed: Vec<_> = all.into_iter().filter(|d| d.sequence() >= since).collect();
        let part = listed
            .iter()
            .skip(ask.offset as usize)
            .take(4)
            .map(|d| d.bytes().clone());
        let part = if digest == ask.known.0 {
            Vec::new()
        } else {
            part.collect()
        };
        DirectorySyncReply {
            digest: Bytes(digest),
            total: listed.len() as u32,
            descriptors: BoundedList::new(part).unwrap(),
            time: self.relays[relay]
                .tells_time
                .then(|| self.now.floor_to(SYNC_STEP)),
        }
    }
}

impl Buffer {
    /// The client has counted so many.
    fn counted(&mut self, received: u64) {
        let covered = received
            .saturating_sub(self.base)
            .min(self.frames.len() as u64);
        self.frames.drain(..covered as usize);
        self.base += covered;
    }
}

fn config(relays: &[Relay], pinned: usize, wishes: Wishes) -> NetConfig {
    let pinned = relays.iter().take(pinned);
    let bootstrap = pinned.map(|relay| Bootstrap {
        node: relay.node,
        url: relay.url.clone(),
    });
    NetConfig {
        suites: Suites::preferring(wishes.prefers),
        floor: wishes.floor,
        mixing: wishes.mixing,
        ..NetConfig::new(bootstrap.collect())
    }
}
