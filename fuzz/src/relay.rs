//! A relay's core under onion packets: authentic ones, changed ones, the same again, and noise, while time
//! passes. The input is a program; every byte string is one.
//!
//! The relay must not panic, must send no more packets than it got, must hold back no more than its bound,
//! and must let no packet pass twice.

use std::sync::OnceLock;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use zentalk_relay::core::mem_store::MemStore;
use zentalk_relay::core::store::{Quotas, StoreOp};
use zentalk_relay::core::{
    ConnId, CoreConfig, Input, Limits, Metric, Output, Relay, RelaySecrets, Remote, WorkPolicy,
};
use zentalk_shared::crypto::rsa::RsaSecret;
use zentalk_shared::crypto::sign::SigningKey;
use zentalk_shared::id::{ConnectionTag, MessageId};
use zentalk_shared::onion::epoch::EPOCH_LENGTH;
use zentalk_shared::onion::{
    Class, Epoch, Features, Layout, RelayDescriptor, RelayInfo, RelaySigner, RelayUrl,
    ReplayLimits, Route, Suite, Suites, UnverifiedDescriptor,
};
use zentalk_shared::rpc::{DirectorySyncRequest, Request};
use zentalk_shared::time::{Duration, Timestamp};
use zentalk_shared::wire::codec::{BoundedList, Bytes, to_cbor};
use zentalk_shared::wire::link::{Handshake, Role};
use zentalk_shared::wire::{Tag, VERSION, decode_frame, encode_frame};

/// What others have sent in one program; beyond, nothing new comes to light.
const MAX_STEPS: usize = 64;
/// Packets that the relay may hold back.
const MAX_DELAYED: usize = 4;
const START: Timestamp = Timestamp::from_secs(1_800_000_000);
const TAG: ConnectionTag = ConnectionTag::from_bytes([7; 16]);

pub(crate) fn packets(data: &[u8]) {
    let mut world = World::new();
    let mut program = Program(data);
    for _ in 0..MAX_STEPS {
        let Some(order) = program.byte() else { break };
        world.step(order, &mut program);
    }
    world.finish();
}

/// Takes orders and their arguments off the input. Where it ends, arguments are zero.
struct Program<'a>(&'a [u8]);

impl Program<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn argument(&mut self) -> usize {
        usize::from(self.byte().unwrap_or(0))
    }
}

/// A relay, its disk, one client, and everything that the client has sent.
struct World {
    relay: Relay,
    store: MemStore,
    rng: ChaCha20Rng,
    now: Timestamp,
    descriptor: Option<RelayDescriptor>,
    client: Option<ConnId>,
    clients: u64,
    sent: Vec<Vec<u8>>,
    /// Frames with packets that came in, and deliveries that went out.
    received: usize,
    delivered: usize,
    /// Packets that authenticated, and tags that were logged for them.
    peeled: u64,
    logged: usize,
}

pub(crate) fn signer() -> RelaySigner {
    static SIGNER: OnceLock<RelaySigner> = OnceLock::new();
    let make = || {
        let pool = include_bytes!("../../tests/keys/relay-rsa4096.TEST-ONLY.bin");
        let length = usize::from(u16::from_be_bytes([pool[0], pool[1]]));
        let key = RsaSecret::from_pkcs8_der(&pool[2..2 + length]).expect("a key");
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        RelaySigner::certify(&key, SigningKey::random(&mut rng), &mut rng).expect("a signature")
    };
    SIGNER.get_or_init(make).clone()
}

fn config() -> CoreConfig {
    CoreConfig {
        info: RelayInfo {
            urls: vec![RelayUrl::parse("ws://127.0.0.1:9000/v1").expect("a URL")],
            operator: String::new(),
            region: String::new(),
            software: String::new(),
            max_connections: 1,
            features: Features::ALL,
        },
        peers: Vec::new(),
        allow_private: true,
        limits: Limits {
            delayed: MAX_DELAYED,
            delayed_of_client: MAX_DELAYED,
            ..Limits::default()
        },
        work: WorkPolicy::default(),
        suites: Suites::OFFERED,
        // Eight tags a segment: a program can spend no key, but fills segments.
        replay: ReplayLimits::small(3),
    }
}

impl World {
    fn new() -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let store = MemStore::new(Quotas::default());
        let secrets = RelaySecrets { signer: signer() };
        let relay = Relay::new(config(), secrets, store.restore(), START, &mut rng);
        let mut world = Self {
            relay: relay.expect("a relay starts from an empty disk"),
            store,
            rng,
            now: START,
            descriptor: None,
            client: None,
            clients: 0,
            sent: Vec::new(),
            received: 0,
            delivered: 0,
            peeled: 0,
            logged: 0,
        };
        world.settle();
        assert!(world.relay.is_ready());
        world.descriptor = world.published();
        world
    }

    /// What the relay has last published, if it is of now.
    fn published(&self) -> Option<RelayDescriptor> {
        let descriptors = self.store.restore().descriptors;
        let verified = descriptors.iter().filter_map(|saved| {
            let descriptor = UnverifiedDescriptor::decode(&saved.descriptor).ok()?;
            descriptor.verify(self.now).ok()
        });
        verified.max_by_key(RelayDescriptor::sequence)
    }

    /// The client's connection; the relay closes one that is silent for long.
    fn connection(&mut self) -> ConnId {
        if let Some(client) = self.client {
            return client;
        }
        self.clients += 1;
        let client = ConnId(self.clients);
        self.client = Some(client);
        let hello = Handshake {
            role: Role::Client,
            versions: BoundedList::new(vec![VERSION]).expect("one"),
            suites: BoundedList::new(Suites::default().numbers()).expect("three"),
            tag: Some(TAG),
            received: Some(self.delivered as u64),
            descriptor: None,
            nonce: None,
        };
        let id = MessageId::from_bytes([1; 16]);
        self.handle(Input::Opened(client, Remote::Accepted(None)));
        let hello = encode_frame(Tag::Handshake, id, &to_cbor(&hello));
        self.handle(Input::Frame(client, hello));
        client
    }

    fn step(&mut self, order: u8, program: &mut Program<'_>) {
        match order % 8 {
            0 => self.request(program),
            1 => self.reply(program),
            2 => self.changed(program),
            3 => self.again(program),
            4 => self.noise(program),
            5 => self.pass(Duration::from_ms(100 * program.argument() as u64)),
            6 => self.pass(EPOCH_LENGTH),
            _ => self.cut(program),
        }
    }

    /// Through this relay as often as there are hops, each with a delay of its own.
    fn route(&self, program: &mut Program<'_>) -> Option<Route> {
        let shape = program.argument();
        let suite = match shape & 1 {
            0 => Suite::X25519,
            _ => Suite::XWing,
        };
        let hops = 1 + (shape >> 1) % 4;
        let delay = |n: usize| {
            let held = shape >> 3 & 1 << n != 0;
            Duration::from_ms(if held { 500 * (n as u64 + 1) } else { 0 })
        };
        let relay = self.descriptor.as_ref()?;
        let relays = (0..hops).map(|n| (relay, delay(n)));
        Route::through(relays, suite, self.now).ok()
    }

    fn request(&mut self, program: &mut Program<'_>) {
        let Some(route) = self.route(program) else {
            return;
        };
        let content = program.argument();
        let class = Class::ALL[content & 1];
        let id = MessageId::from_bytes([2; 16]);
        let ask = Request::DirectorySync(DirectorySyncRequest {
            known: Bytes([0; 32]),
            offset: 0,
            since: None,
        });
        let payload = match content & 2 {
            0 => ask.encode(id, class).expect("a small request"),
            _ => vec![content as u8; 100],
        };
        let surb = route.surb(TAG, self.now, &mut self.rng).ok();
        let surb = surb.map(|(surb, _)| surb).filter(|_| content & 4 == 0);
        let packet = route.request(surb.as_ref(), &payload, class, &mut self.rng);
        self.send(packet.expect("a packet"));
    }

    fn reply(&mut self, program: &mut Program<'_>) {
        let Some(route) = self.route(program) else {
            return;
        };
        let tag = match program.argument() % 3 {
            0 => ConnectionTag::from_bytes([9; 16]),
            _ => TAG,
        };
        if let Ok((surb, _)) = route.surb(tag, self.now, &mut self.rng) {
            self.send(surb.reply(b"reply", Class::Message).expect("it fits"));
        }
    }

    fn earlier(&self, program: &mut Program<'_>) -> Option<Vec<u8>> {
        let at = program.argument().checked_rem(self.sent.len())?;
        self.sent.get(at).cloned()
    }

    /// One of those before with a byte changed: in the header as often as in the body.
    fn changed(&mut self, program: &mut Program<'_>) {
        let Some(mut packet) = self.earlier(program) else {
            return;
        };
        let place = program.argument() << 8 | program.argument();
        let range = match place & 1 {
            0 => packet.len(),
            _ => packet.len().min(404),
        };
        if let Some(byte) = (place >> 1)
            .checked_rem(range)
            .and_then(|at| packet.get_mut(at))
        {
            *byte ^= 1 << (program.argument() % 8);
        }
        self.send(packet);
    }

    fn again(&mut self, program: &mut Program<'_>) {
        if let Some(packet) = self.earlier(program) {
            let before = self.delivered;
            self.send(packet);
            assert!(self.delivered <= before + 1);
        }
    }

    /// Bytes of the program, as long as a packet of some suite, behind a plausible prefix or none.
    fn noise(&mut self, program: &mut Program<'_>) {
        let shape = program.argument();
        let suite = Suite::ALL[shape % 3];
        let mut packet: Vec<u8> = program.0.iter().copied().take(64).collect();
        packet.resize(
            Layout::of_suite(suite).packet(Class::ALL[shape >> 2 & 1]),
            0x5a,
        );
        if shape & 8 != 0 {
            let epoch = Epoch::at(self.now).number();
            let [high, low] = epoch.to_be_bytes();
            packet[..4].copy_from_slice(&[1, suite.number(), high, low]);
        }
        self.send(packet);
    }

    /// One of those before, cut short.
    fn cut(&mut self, program: &mut Program<'_>) {
        if let Some(mut packet) = self.earlier(program) {
            packet.truncate(program.argument() << 6);
            self.send(packet);
        }
    }

    fn send(&mut self, packet: Vec<u8>) {
        let frame = encode_frame(Tag::RelayForward, MessageId::from_bytes([3; 16]), &packet);
        self.received += 1;
        if self.sent.len() < MAX_STEPS {
            self.sent.push(packet);
        }
        let client = self.connection();
        self.handle(Input::Frame(client, frame));
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.relay.next_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.handle(Input::Timer);
        }
        self.now = end;
        self.descriptor = self.published();
    }

    fn handle(&mut self, input: Input) {
        self.relay.handle(input, self.now, &mut self.rng);
        self.settle();
        assert!(
            self.delivered <= self.received,
            "more came out than went in"
        );
    }

    /// Carries out what the relay wants done, until it wants nothing more.
    fn settle(&mut self) {
        loop {
            while let Some(output) = self.relay.poll() {
                self.carry_out(output);
            }
            let answers = self.store.sync();
            if answers.is_empty() {
                return;
            }
            for (ticket, answer) in answers {
                let stored = Input::Stored(ticket, answer);
                self.relay.handle(stored, self.now, &mut self.rng);
            }
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Send(_, frame) => {
                let frame = decode_frame(&frame).expect("a relay sends whole frames");
                assert_ne!(frame.tag, Tag::RelayForward, "there is no other relay");
                self.delivered += usize::from(frame.tag == Tag::Deliver);
            }
            Output::Store(ticket, op) => {
                if let StoreOp::AppendReplay(tags) = &op {
                    self.logged += tags.len();
                }
                self.store.submit(ticket, op);
            }
            Output::Count(Metric::Peeled(_), n) => self.peeled += n,
            Output::Close(client, _) if self.client == Some(client) => self.client = None,
            Output::Count(..)
            | Output::Close(..)
            | Output::Connect(..)
            | Output::ExpectDirectory(..)
            | Output::Peer(..) => {}
        }
    }

    /// What was held back comes out, bounded; every packet that passed was logged, once.
    fn finish(mut self) {
        let before = self.delivered;
        // Longer than all delays of one packet together, shorter than a client may be silent.
        self.pass(Duration::from_secs(10));
        assert!(
            self.delivered - before <= MAX_DELAYED,
            "too many were held back"
        );
        assert_eq!(self.logged as u64, self.peeled);
    }
}
