//! A relay's complete log: each frame peeled with the relay's own keys, and taken apart.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use zentalk_relay::core::ConnId;
use zentalk_relay::core::store::StoreOp;
use zentalk_shared::id::NodeId;
use zentalk_shared::onion::{Class, Layout, Peeled, RelayKeys, ReplayLimits, Suite, Suites, Surb};
use zentalk_shared::rpc::{MailboxSummary, SwarmSummary};
use zentalk_shared::time::Timestamp;
use zentalk_shared::wire::codec::from_cbor;
use zentalk_shared::wire::{Frame, Tag, decode_frame, decode_padded_frame};

use super::Counts;
use super::truth::{Persona, Truth};
use super::values::{self, Value};
use crate::sim::{Peer, Sight, Sightings};

/// Something that a relay saw: all of its values belong together.
#[derive(Debug, Default)]
pub(super) struct Event {
    pub(super) relay: usize,
    pub(super) at: u64,
    pub(super) what: String,
    pub(super) values: Vec<Value>,
    /// Numbers that clients have put into it.
    pub(super) numbers: Vec<u64>,
    /// Who is named in it.
    pub(super) personas: Vec<Persona>,
    /// The request, with its reply, that it is part of.
    pub(super) flow: Option<Value>,
}

impl Event {
    pub(super) fn describe(&self) -> String {
        format!("{} ms, relay {}: {}", self.at, self.relay, self.what)
    }
}

/// Everything that the relays saw.
pub(super) fn events(sightings: &Sightings) -> (Vec<Event>, Counts) {
    let mut reader = Reader::new(sightings);
    let mut events = Vec::new();
    for sighting in &sightings.all {
        let event = match &sighting.sight {
            Sight::Came(conn, peer, frame) => {
                reader.came(sighting.at, sighting.relay, *conn, *peer, frame)
            }
            Sight::Sent(conn, peer, frame) => reader.sent(sighting.relay, *conn, *peer, frame),
            Sight::Row(op) => row(op),
        };
        let summaries = match &sighting.sight {
            Sight::Came(_, _, frame) | Sight::Sent(_, _, frame) => summaries(frame),
            Sight::Row(_) => Vec::new(),
        };
        for event in summaries.into_iter().chain([event]) {
            let personas: Vec<Persona> = event
                .values
                .iter()
                .filter_map(|v| reader.truth.persona(*v))
                .collect();
            let mut event = Event {
                relay: sighting.relay,
                at: sighting.at.as_ms(),
                ..event
            };
            event.personas.extend(personas);
            event.values.retain(|value| !reader.public.contains(value));
            events.push(event);
        }
    }
    for event in &mut events {
        event.flow = event.flow.map(|flow| reader.flow(flow));
    }
    reader.counts.sightings = events.len();
    reader.counts.known = reader.truth.known();
    (events, reader.counts)
}

struct Reader {
    truth: Truth,
    keys: Vec<RelayKeys>,
    nodes: Vec<NodeId>,
    /// What everybody knows of relays: equal everywhere, so it tells nobody apart.
    public: HashSet<Value>,
    /// Whom each frame names, looked for once.
    scanned: HashMap<*const u8, Vec<Persona>>,
    /// Packets and reply blocks of one request: each with another one of it.
    flows: HashMap<Value, Value>,
    counts: Counts,
    rng: ChaCha20Rng,
}

impl Reader {
    fn new(sightings: &Sightings) -> Self {
        let keys = |record: &Vec<u8>| {
            RelayKeys::restore(record, [], Suites::OFFERED, ReplayLimits::small(14))
                .expect("a relay's own record")
        };
        Self {
            truth: Truth::of(sightings),
            keys: sightings.onion_records.iter().map(keys).collect(),
            nodes: sightings
                .nodes
                .iter()
                .map(|node| NodeId::from_bytes(*node))
                .collect(),
            public: public(sightings),
            scanned: HashMap::new(),
            flows: HashMap::new(),
            counts: Counts::default(),
            rng: ChaCha20Rng::seed_from_u64(0),
        }
    }

    fn came(
        &mut self,
        at: Timestamp,
        relay: usize,
        conn: ConnId,
        peer: Peer,
        bytes: &Rc<[u8]>,
    ) -> Event {
        let mut event = self.frame(relay, conn, peer, bytes, "from");
        if let Ok(frame) = decode_frame(bytes)
            && frame.tag == Tag::RelayForward
        {
            self.peel(at, relay, frame.payload.to_vec(), &mut event);
        }
        event
    }

    fn sent(&mut self, relay: usize, conn: ConnId, peer: Peer, bytes: &Rc<[u8]>) -> Event {
        self.frame(relay, conn, peer, bytes, "to")
    }

    /// A frame as it is on the wire.
    fn frame(
        &mut self,
        relay: usize,
        conn: ConnId,
        peer: Peer,
        bytes: &Rc<[u8]>,
        way: &str,
    ) -> Event {
        let mut event = Event::default();
        let Ok(frame) = decode_frame(bytes) else {
            return event;
        };
        event.what = format!("{} {way} {peer:?}", frame.tag.name());
        event.values.push(Value::of(frame.id.as_bytes()));
        if let Peer::Client(client) = peer {
            event.personas.push(Persona::Network { client, relay });
            event.values.push(Value::named("connection", (relay, conn)));
        }
        match frame.tag {
            Tag::RelayForward => {
                event.values.extend(values::packet(frame.payload));
                event.flow = Some(values::ciphertext(frame.payload));
            }
            Tag::Deliver => {
                let (surb, body) = frame.payload.split_at(16.min(frame.payload.len()));
                event.values.extend([Value::of(surb), Value::of(body)]);
            }
            // A digest of a directory: many have the same, and it comes with nothing else.
            Tag::DirectoryGet => {}
            Tag::Ping | Tag::Pong => {
                if frame.payload.len() >= 8 {
                    event.values.push(Value::of(frame.payload));
                }
            }
            // Of many people's mailboxes: each of the `summaries` is an event of its own.
            Tag::SwarmSummary => return event,
            // The first range of every mailbox begins with the same id.
            Tag::SwarmIds => {
                let first = Value::of(&[0; 16]);
                let values = values::body(frame.payload).into_iter();
                event.values.extend(values.filter(|value| *value != first));
            }
            _ => event.values.extend(values::body(frame.payload)),
        }
        self.flow_of_link(&frame, &mut event);
        let named = self
            .scanned
            .entry(bytes.as_ptr())
            .or_insert_with(|| self.truth.in_bytes(bytes));
        event.personas.extend(named.iter().copied());
        event
    }

    /// What members tell each other belongs to the request that it comes of.
    fn flow_of_link(&self, frame: &Frame<'_>, event: &mut Event) {
        match frame.tag {
            Tag::ReplicatePut => {
                // Mailbox, envelope id, envelope.
                let strings = values::byte_strings(frame.payload);
                event.flow = strings.get(1).map(|id| Value::named("put", id));
            }
            Tag::ReplicateTombstone => {
                event.flow = Some(Value::named("tombstone", frame.payload));
            }
            _ => {}
        }
    }

    /// A packet in clear, as far as the relay's keys go.
    fn peel(&mut self, at: Timestamp, relay: usize, packet: Vec<u8>, event: &mut Event) {
        let flow = values::ciphertext(&packet);
        let class = Layout::of_suite(Suite::X25519).class_of_packet(packet.len());
        let Some(keys) = self.keys.get_mut(relay) else {
            return;
        };
        match keys.peel(packet, at, &mut self.rng) {
            Err(_) => self.counts.dropped += 1,
            Ok(Peeled::Forward { packet, .. }) => {
                self.counts.forwarded += 1;
                event.values.extend(values::packet(&packet));
                self.join(flow, values::ciphertext(&packet));
            }
            Ok(Peeled::Deliver { tag, surb_id, body }) => {
                self.counts.delivered += 1;
                let parts = [&tag.as_bytes()[..], surb_id.as_bytes(), &body];
                event.values.extend(parts.map(Value::of));
            }
            Ok(Peeled::Process { surb, payload }) => {
                self.counts.processed += 1;
                event.personas.extend(self.truth.in_bytes(&payload));
                self.request(flow, &payload, event);
                if let Some(surb) = surb {
                    let bytes = surb.encode();
                    event.values.extend(values::surb(&bytes));
                    self.join(flow, values::surb_ciphertext(&bytes));
                    self.peel_own(at, relay, surb, class, event);
                }
            }
        }
    }

    /// A reply whose first hop is this relay itself never is on a wire.
    fn peel_own(
        &mut self,
        at: Timestamp,
        relay: usize,
        surb: Surb,
        class: Option<Class>,
        event: &mut Event,
    ) {
        if self.nodes.get(relay) == Some(&surb.first_hop())
            && let Some(class) = class
            && let Ok(packet) = surb.reply(&[], class)
        {
            self.peel(at, relay, packet, event);
        }
    }

    fn request(&mut self, flow: Value, payload: &[u8], event: &mut Event) {
        let Ok(frame) = decode_padded_frame(payload) else {
            return;
        };
        event.what = format!("{}, a {}", event.what, frame.tag.name());
        event.values.push(Value::of(frame.id.as_bytes()));
        if frame.tag != Tag::DirectorySyncRequest {
            event.values.extend(values::body(frame.payload));
        }
        event.numbers.extend(values::numbers(frame.payload));
        match frame.tag {
            Tag::PutRequest => {
                if let Some(id) = values::byte_strings(frame.payload).get(1) {
                    self.join(flow, Value::named("put", id));
                }
            }
            Tag::AcknowledgeRequest => self.join(flow, Value::named("tombstone", frame.payload)),
            _ => {}
        }
    }

    fn join(&mut self, one: Value, other: Value) {
        let (one, other) = (self.flow(one), self.flow(other));
        if one != other {
            self.flows.insert(one, other);
        }
    }

    /// What all of a flow have in common.
    fn flow(&self, mut of: Value) -> Value {
        while let Some(next) = self.flows.get(&of) {
            of = *next;
        }
        of
    }
}

/// What two members tell each other of the mailboxes that they have in common. That both hold them is all that these
/// have to do with each other.
fn summaries(frame: &[u8]) -> Vec<Event> {
    let frame = decode_frame(frame).ok();
    let frame = frame.filter(|frame| frame.tag == Tag::SwarmSummary);
    let summary = frame.and_then(|frame| {
        let max = Tag::SwarmSummary.max_payload();
        from_cbor::<SwarmSummary>(frame.payload, max).ok()
    });
    let mailboxes = summary.map(|summary| summary.mailboxes.into_inner());
    let event = |of: MailboxSummary| {
        let mut values = vec![Value::of(of.mailbox.as_bytes())];
        // All empty mailboxes have one digest.
        if of.held > 0 {
            values.push(Value::of(&of.digest.0));
        }
        Event {
            what: "summary of a mailbox".to_owned(),
            values,
            ..Event::default()
        }
    };
    mailboxes
        .unwrap_or_default()
        .into_iter()
        .map(event)
        .collect()
}

/// What relays publish of themselves, and tell each other of relays.
fn public(sightings: &Sightings) -> HashSet<Value> {
    let mut public: HashSet<Value> = sightings.nodes.iter().map(|node| Value::of(node)).collect();
    for sighting in &sightings.all {
        let Sight::Sent(_, _, frame) = &sighting.sight else {
            continue;
        };
        if let Ok(frame) = decode_frame(frame)
            && matches!(frame.tag, Tag::Directory | Tag::DhtNodes)
        {
            public.extend(values::body(frame.payload));
        }
    }
    public
}

/// An operation at the store. What is not here holds nothing of clients.
fn row(op: &StoreOp) -> Event {
    let of = |bytes: &[u8]| Value::of(bytes);
    let (what, values) = match op {
        StoreOp::Put(put) => (
            "put",
            vec![
                of(put.mailbox.as_bytes()),
                of(put.id.as_bytes()),
                of(&put.envelope.0),
            ],
        ),
        StoreOp::Subscribe(save) => {
            let mut values = vec![of(save.mailbox.as_bytes()), of(&save.descriptor)];
            values.extend(values::body(&save.descriptor));
            values.extend(save.permit.iter().map(|permit| of(permit)));
            values.extend(save.surbs.iter().flat_map(|surb| values::surb(&surb.bytes)));
            ("subscription", values)
        }
        StoreOp::Fetch { mailbox, .. } => ("fetch", vec![of(mailbox.as_bytes())]),
        StoreOp::TakePush { mailbox, .. } => ("push", vec![of(mailbox.as_bytes())]),
        StoreOp::TakePreKey { mailbox, .. } => ("take of a prekey", vec![of(mailbox.as_bytes())]),
        StoreOp::ReadEnvelope { mailbox, id } => {
            ("read", vec![of(mailbox.as_bytes()), of(id.as_bytes())])
        }
        StoreOp::Tombstone { mailbox, ids, .. } => {
            let mut values = vec![of(mailbox.as_bytes())];
            values.extend(ids.iter().map(|id| of(id.as_bytes())));
            ("tombstone", values)
        }
        StoreOp::SavePreKeys(save) => {
            let mut values = vec![of(save.mailbox.as_bytes()), of(&save.base)];
            values.extend(save.one_time.iter().map(|key| of(key)));
            ("prekeys", values)
        }
        StoreOp::PutRecord { key, record, .. } => ("record", signed(key.as_bytes(), record)),
        StoreOp::GetRecord { key, .. } => ("get of a record", vec![of(key.as_bytes())]),
        StoreOp::Compare(compare) => {
            let mut values = vec![of(compare.mailbox.as_bytes())];
            values.extend(compare.theirs.iter().map(|id| of(id.as_bytes())));
            ("comparison", values)
        }
        StoreOp::KeepDescriptor {
            mailbox,
            descriptor,
            ..
        } => ("descriptor", signed(mailbox.as_bytes(), descriptor)),
        _ => ("housekeeping", Vec::new()),
    };
    Event {
        what: format!("row: {what}"),
        values,
        ..Event::default()
    }
}

/// A signed object that is stored, and its key.
fn signed(key: &[u8], object: &[u8]) -> Vec<Value> {
    let mut values = vec![Value::of(key), Value::of(object)];
    values.extend(values::body(object));
    values
}
