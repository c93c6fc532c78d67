//! A small network in memory: relays with their disks, connections that deliver in order, one clock.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::OnceLock;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use zentalk_shared::crypto::rsa::RsaSecret;
use zentalk_shared::crypto::sign::SigningKey;
use zentalk_shared::id::NodeId;
use zentalk_shared::onion::{
    Features, Publication, RelayDescriptor, RelayInfo, RelayKeys, RelaySigner, RelayUrl,
    ReplayLimits, Route, Suite, Suites, UnverifiedDescriptor,
};
use zentalk_shared::time::{Duration, Timestamp};
use zentalk_shared::wire::budget::MAX_PACKET_LEN;
use zentalk_shared::wire::{HEADER_LEN, Header, Tag};

use crate::core::mem_store::MemStore;
use crate::core::store::{Quotas, StoreError, StoreOp};
use crate::core::{
    ConnId, CoreConfig, Dial, Input, Limits, Metric, Output, Relay, RelaySecrets, Remote,
    WorkPolicy,
};

/// A relay's end of a connection, or a client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum End {
    Relay(usize, ConnId),
    Client(u64),
}

pub(super) struct Node {
    pub(super) relay: Option<Relay>,
    pub(super) store: MemStore,
    pub(super) counts: HashMap<Metric, u64>,
    /// The disk takes its time: operations wait until this is false again.
    pub(super) slow_disk: bool,
    /// The disk refuses replay tags.
    pub(super) cannot_log: bool,
    /// Whatever is sent to it is lost, without a sign.
    pub(super) deaf: bool,
    pub(super) config: CoreConfig,
    signer: RelaySigner,
}

pub(super) struct Net {
    pub(super) now: Timestamp,
    pub(super) rng: ChaCha20Rng,
    pub(super) nodes: Vec<Node>,
    /// Both ends of every open connection.
    wires: BTreeMap<End, End>,
    /// Frames on their way, in order; `None` closes.
    flying: VecDeque<(End, Option<Vec<u8>>)>,
    /// What was sent to relays that are deaf.
    pub(super) unheard: Vec<Vec<u8>>,
    /// Frames that relays have sent to each other: from, to, what.
    pub(super) told: Vec<(usize, usize, Tag)>,
    /// What clients have received; `None`: closed.
    pub(super) inboxes: HashMap<u64, Vec<Option<Vec<u8>>>>,
    next: u64,
    /// URLs at which connections are neither made nor refused.
    pub(super) hanging: BTreeSet<String>,
    /// Attempts that hang, by the relay that makes them.
    pub(super) hung: Vec<(usize, Dial)>,
    /// Names that lead to a relay besides its own, and the address that they stand for.
    pub(super) names: BTreeMap<String, (usize, SocketAddr)>,
    /// Where the relay has said that a directory will come.
    expecting: BTreeSet<(usize, ConnId)>,
    /// How often a URL was connected to.
    pub(super) dialed: BTreeMap<String, usize>,
}

pub(in crate::core) const START: Timestamp = Timestamp::from_secs(1_800_000_000);

/// The relay keys of the test pool, certified once.
fn signers() -> &'static [RelaySigner] {
    static SIGNERS: OnceLock<Vec<RelaySigner>> = OnceLock::new();
    SIGNERS.get_or_init(|| {
        let mut pool =
            include_bytes!("../../../../tests/keys/relay-rsa4096.TEST-ONLY.bin").as_slice();
        let mut rng = ChaCha20Rng::seed_from_u64(77);
        let mut next = || {
            let length = usize::from(u16::from_be_bytes([pool[0], pool[1]]));
            let key = RsaSecret::from_pkcs8_der(&pool[2..2 + length]).unwrap();
            pool = &pool[2 + length..];
            RelaySigner::certify(&key, SigningKey::random(&mut rng), &mut rng).unwrap()
        };
        (0..12).map(|_| next()).collect()
    })
}

pub(super) fn url(index: usize) -> RelayUrl {
    RelayUrl::parse(&format!("ws://127.0.0.1:{}/v1", 9000 + index)).unwrap()
}

/// The key of a relay of the pool, whether it runs or not.
pub(super) fn signer(index: usize) -> &'static RelaySigner {
    &signers()[index]
}

/// A descriptor that a relay of the pool might sign: it says that it is found at this URL.
pub(in crate::core) fn claimed_at(signer: usize, url: &str, sequence: u64) -> RelayDescriptor {
    let mut rng = ChaCha20Rng::seed_from_u64(sequence);
    let keys = RelayKeys::generate(
        Suites::only(Suite::X25519),
        ReplayLimits::small(10),
        START,
        &mut rng,
    );
    let mut info = config(signer, 0, Limits::default()).info;
    info.urls = vec![RelayUrl::parse(url).unwrap()];
    let publication = Publication {
        sequence,
        from: START,
        until: START + Duration::from_hours(24),
    };
    let keys = keys.unwrap().public(START);
    let signed = signers()[signer].sign_descriptor(&info, &keys, publication);
    signed.unwrap()
}

fn config(index: usize, relays: usize, limits: Limits) -> CoreConfig {
    CoreConfig {
        info: RelayInfo {
            urls: vec![url(index)],
            operator: format!("operator {index}"),
            region: String::new(),
            software: "test".to_owned(),
            max_connections: 100,
            features: Features::ALL,
        },
        peers: (0..relays).map(url).collect(),
        allow_private: true,
        limits,
        work: WorkPolicy {
            effort: 0,
            ..WorkPolicy::default()
        },
        suites: Suites::OFFERED,
        replay: ReplayLimits::small(10),
    }
}

impl Net {
    pub(super) fn new(relays: usize) -> Self {
        Self::with(relays, Limits::default(), Quotas::default())
    }

    pub(super) fn with(relays: usize, limits: Limits, quotas: Quotas) -> Self {
        let mut net = Self::cold(relays, limits, quotas);
        (0..relays).for_each(|index| net.start(index));
        net.settle();
        net.advance(Duration::from_secs(1));
        net
    }

    /// Relays that have not been started.
    pub(super) fn cold(relays: usize, limits: Limits, quotas: Quotas) -> Self {
        let node = |index| Node {
            relay: None,
            store: MemStore::new(quotas),
            counts: HashMap::new(),
            slow_disk: false,
            cannot_log: false,
            deaf: false,
            config: config(index, relays, limits),
            signer: signers()[index].clone(),
        };
        Self {
            now: START,
            rng: ChaCha20Rng::seed_from_u64(5),
            nodes: (0..relays).map(node).collect(),
            wires: BTreeMap::new(),
            flying: VecDeque::new(),
            unheard: Vec::new(),
            told: Vec::new(),
            inboxes: HashMap::new(),
            next: 0,
            hanging: BTreeSet::new(),
            hung: Vec::new(),
            names: BTreeMap::new(),
            expecting: BTreeSet::new(),
            dialed: BTreeMap::new(),
        }
    }

    pub(super) fn start(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let secrets = RelaySecrets {
            signer: node.signer.clone(),
        };
        let restored = node.store.restore();
        let relay = Relay::new(
            node.config.clone(),
            secrets,
            restored,
            self.now,
            &mut self.rng,
        );
        node.relay = Some(relay.unwrap());
    }

    /// `kill -9`: `applied` of the operations under way reach the disk.
    pub(super) fn kill(&mut self, index: usize, applied: usize) {
        self.nodes[index].store.crash(applied);
        self.nodes[index].relay = None;
        let ends: Vec<End> = self.wires.keys().copied().collect();
        for end in ends
            .into_iter()
            .filter(|end| matches!(end, End::Relay(i, _) if *i == index))
        {
            self.cut(end);
        }
        self.flying
            .retain(|(to, _)| !matches!(to, End::Relay(i, _) if *i == index));
    }

    pub(super) fn relay(&mut self, index: usize) -> &mut Relay {
        self.nodes[index].relay.as_mut().unwrap()
    }

    pub(super) fn id(&self, index: usize) -> NodeId {
        self.nodes[index].signer.node()
    }

    pub(super) fn signer(&self, index: usize) -> &RelaySigner {
        &self.nodes[index].signer
    }

    pub(super) fn count(&self, index: usize, metric: Metric) -> u64 {
        self.nodes[index].counts.get(&metric).copied().unwrap_or(0)
    }

    /// Relays to send through, by the descriptors that they have saved themselves.
    pub(super) fn route(&self, path: &[usize], suite: Suite) -> Route {
        self.slow_route(path, &[], suite)
    }

    /// The same; the first ones hold a packet back for these times before they pass it on.
    pub(super) fn slow_route(&self, path: &[usize], delays: &[Duration], suite: Suite) -> Route {
        let relays: Vec<_> = path.iter().map(|index| self.descriptor(*index)).collect();
        let delays = delays
            .iter()
            .copied()
            .chain(std::iter::repeat(Duration::ZERO));
        Route::through(relays.iter().zip(delays), suite, self.now).unwrap()
    }

    /// The descriptor that a relay has saved itself.
    pub(super) fn descriptor(&self, index: usize) -> RelayDescriptor {
        let restored = self.nodes[index].store.restore();
        let mut all = restored.descriptors.iter();
        let own = all.find(|saved| saved.node == self.id(index)).unwrap();
        let own = UnverifiedDescriptor::decode(&own.descriptor).unwrap();
        own.verify(self.now).unwrap()
    }

    /// A client's connection to a relay.
    pub(super) fn connect(&mut self, index: usize) -> u64 {
        let client = self.number();
        let conn = ConnId(self.number());
        self.wire(End::Client(client), End::Relay(index, conn));
        self.input(index, Input::Opened(conn, Remote::Accepted(None)));
        client
    }

    pub(super) fn send(&mut self, client: u64, frame: Vec<u8>) {
        if let Some(to) = self.wires.get(&End::Client(client)) {
            self.flying.push_back((*to, Some(frame)));
        }
        self.settle();
    }

    /// A frame from relay to relay, as one would send it that breaks rules; yields its end of the wire.
    pub(super) fn send_as(&mut self, from: usize, to: usize, frame: Vec<u8>) -> End {
        let joins = |(a, b): &(&End, &End)| matches!((a, b), (End::Relay(x, _), End::Relay(y, _)) if (*x, *y) == (from, to));
        let (near, far) = self.wires.iter().find(joins).unwrap();
        let (near, far) = (*near, *far);
        self.flying.push_back((far, Some(frame)));
        self.settle();
        near
    }

    pub(super) fn is_wired(&self, end: End) -> bool {
        self.wires.contains_key(&end)
    }

    /// The client's socket breaks.
    pub(super) fn hang_up(&mut self, client: u64) {
        self.cut(End::Client(client));
        self.settle();
    }

    pub(super) fn is_open(&self, client: u64) -> bool {
        self.wires.contains_key(&End::Client(client))
    }

    /// What a client has received since the last call, closings left out.
    pub(super) fn take_inbox(&mut self, client: u64) -> Vec<Vec<u8>> {
        self.inboxes
            .remove(&client)
            .unwrap_or_default()
            .into_iter()
            .flatten()
            .collect()
    }

    /// Open connections between two relays.
    pub(super) fn wires_between(&self, a: usize, b: usize) -> usize {
        let joins = |(from, to): (&End, &End)| matches!((from, to), (End::Relay(x, _), End::Relay(y, _)) if (*x, *y) == (a, b));
        self.wires.iter().filter(|wire| joins(*wire)).count()
    }

    /// An input whose outputs wait for [`settle`](Self::settle).
    pub(super) fn handle_only(&mut self, index: usize, input: Input) {
        if let Some(relay) = &mut self.nodes[index].relay {
            relay.handle(input, self.now, &mut self.rng);
        }
    }

    pub(super) fn input(&mut self, index: usize, input: Input) {
        self.handle_only(index, input);
        self.settle();
    }

    /// Delivers, and does what is due, until nothing moves; time stands still.
    pub(super) fn settle(&mut self) {
        loop {
            let mut moved = false;
            for index in 0..self.nodes.len() {
                moved |= self.carry_out(index);
                moved |= self.sync(index);
                moved |= self.fire(index);
            }
            if let Some((to, frame)) = self.flying.pop_front() {
                self.deliver(to, frame);
                moved = true;
            }
            if !moved {
                return;
            }
        }
    }

    /// Lets time pass, timer by timer.
    pub(super) fn advance(&mut self, by: Duration) {
        let end = self.now + by;
        self.settle();
        loop {
            let relays = self.nodes.iter().enumerate();
            let due = relays.filter_map(|(i, n)| Some((n.relay.as_ref()?.next_timeout()?, i)));
            match due.min().filter(|(at, _)| *at <= end) {
                Some((at, index)) => {
                    self.now = self.now.max(at);
                    self.input(index, Input::Timer);
                }
                None => break,
            }
        }
        self.now = end;
    }

    fn fire(&mut self, index: usize) -> bool {
        let relay = self.nodes[index].relay.as_ref();
        let due = relay.and_then(Relay::next_timeout);
        let due = due.is_some_and(|at| at <= self.now);
        if due {
            self.handle_only(index, Input::Timer);
        }
        due
    }

    fn carry_out(&mut self, index: usize) -> bool {
        let Some(relay) = &mut self.nodes[index].relay else {
            return false;
        };
        let Some(output) = relay.poll() else {
            return false;
        };
        match output {
            Output::Send(conn, frame) => {
                if let Some(to) = self.wires.get(&End::Relay(index, conn)) {
                    if let (End::Relay(to, _), Ok((header, _))) = (to, Header::decode(&frame)) {
                        self.told.push((index, *to, header.tag));
                    }
                    self.flying.push_back((*to, Some(frame)));
                }
            }
            Output::Close(conn, _) => self.cut(End::Relay(index, conn)),
            Output::Connect(dial, url) => self.dial(index, dial, &url),
            Output::Store(ticket, StoreOp::AppendReplay(_)) if self.nodes[index].cannot_log => {
                let failed = Input::Stored(ticket, Err(StoreError::Failed));
                self.handle_only(index, failed);
            }
            Output::Store(ticket, op) => self.nodes[index].store.submit(ticket, op),
            Output::Count(metric, n) => *self.nodes[index].counts.entry(metric).or_default() += n,
            Output::ExpectDirectory(conn, true) => drop(self.expecting.insert((index, conn))),
            Output::ExpectDirectory(conn, false) => drop(self.expecting.remove(&(index, conn))),
            Output::Peer(..) => {}
        }
        true
    }

    fn sync(&mut self, index: usize) -> bool {
        let node = &mut self.nodes[index];
        if node.slow_disk || node.relay.is_none() || !node.store.is_dirty() {
            return false;
        }
        for (ticket, answer) in node.store.sync() {
            if let Some(relay) = &mut self.nodes[index].relay {
                relay.handle(Input::Stored(ticket, answer), self.now, &mut self.rng);
            }
        }
        true
    }

    fn dial(&mut self, from: usize, dial: Dial, target: &str) {
        *self.dialed.entry(target.to_owned()).or_default() += 1;
        if self.hanging.contains(target) {
            return self.hung.push((from, dial));
        }
        let own = |index: usize| SocketAddr::from(([127, 0, 0, 1], 9000 + index as u16));
        let to = (0..self.nodes.len()).find(|index| url(*index).as_str() == target);
        let to = to.map(|to| (to, own(to)));
        let to = to.or_else(|| self.names.get(target).copied());
        let Some((to, address)) = to.filter(|(to, _)| self.nodes[*to].relay.is_some()) else {
            let relay = self.nodes[from].relay.as_mut().unwrap();
            return relay.handle(Input::DialFailed(dial), self.now, &mut self.rng);
        };
        let (near, far) = (ConnId(self.number()), ConnId(self.number()));
        self.wire(End::Relay(from, near), End::Relay(to, far));
        let opened = Input::Opened(far, Remote::Accepted(None));
        self.nodes[to]
            .relay
            .as_mut()
            .unwrap()
            .handle(opened, self.now, &mut self.rng);
        let opened = Input::Opened(near, Remote::Dialed(dial, address));
        self.nodes[from]
            .relay
            .as_mut()
            .unwrap()
            .handle(opened, self.now, &mut self.rng);
    }

    fn deliver(&mut self, to: End, frame: Option<Vec<u8>>) {
        match (to, frame) {
            (End::Relay(index, _), frame) if self.nodes[index].deaf => self.unheard.extend(frame),
            (End::Client(client), frame) => self.inboxes.entry(client).or_default().push(frame),
            (End::Relay(index, conn), Some(frame)) => {
                let is_long = frame.len() > HEADER_LEN + MAX_PACKET_LEN;
                assert!(
                    !is_long || self.expecting.remove(&(index, conn)),
                    "a host hangs up on long frames that the relay did not expect"
                );
                if let Some(relay) = &mut self.nodes[index].relay {
                    relay.handle(Input::Frame(conn, frame), self.now, &mut self.rng);
                }
            }
            (End::Relay(index, conn), None) => {
                if let Some(relay) = &mut self.nodes[index].relay {
                    relay.handle(Input::Closed(conn), self.now, &mut self.rng);
                }
            }
        }
    }

    fn wire(&mut self, a: End, b: End) {
        self.wires.insert(a, b);
        self.wires.insert(b, a);
    }

    /// One end is gone; the other learns it after what was sent before.
    fn cut(&mut self, end: End) {
        if let Some(other) = self.wires.remove(&end) {
            self.wires.remove(&other);
            self.flying.push_back((other, None));
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}
