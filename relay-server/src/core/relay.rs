//! The relay itself: what it holds, and how an input finds the noun that it is about.

use std::collections::{HashMap, VecDeque};

use rand_core::CryptoRng;
use thiserror::Error;
use zentalk_shared::crypto::kem::GenerateError;
use zentalk_shared::id::{MailboxId, MessageId, NodeId};
use zentalk_shared::onion::{DescriptorError, Features, RestoreError};
use zentalk_shared::time::{Duration, Timestamp};
use zentalk_shared::wire::{Tag, encode_frame};

use super::anti_entropy::AntiEntropy;
use super::config::{CoreConfig, RelaySecrets};
use super::dial_back::DialBack;
use super::directory::RelayDirectory;
use super::forward::{Forwarder, Held};
use super::io::{ConnId, Input, Metric, Output, Ticket};
use super::kademlia::Kademlia;
use super::links::Links;
use super::mailbox::Mailboxes;
use super::peeling::DearPeeling;
use super::peers::Peers;
use super::requests::After;
use super::store::{Restored, StoreError, StoreOp, StoreReply, Swept};
use super::swarm::{PutKey, Swarm};
use super::tags::Tags;
use super::timers::Timers;
use super::toll::Toll;

/// How often expired mail, records, tags and descriptors are swept away.
const SWEEP_EVERY: Duration = Duration::from_hours(1);
/// How often buffers of connection tags are looked through.
const TAG_SWEEP_EVERY: Duration = Duration::from_secs(30);

/// A relay. Inputs go in by [`handle`](Self::handle), outputs come out by [`poll`](Self::poll).
pub struct Relay {
    pub(super) config: CoreConfig,
    pub(super) secrets: RelaySecrets,
    pub(super) me: NodeId,
    pub(super) links: Links,
    pub(super) tags: Tags,
    pub(super) peers: Peers,
    pub(super) forwarder: Forwarder,
    pub(super) dear_peeling: DearPeeling,
    pub(super) directory: RelayDirectory,
    pub(super) dial_back: DialBack,
    pub(super) dht: Kademlia,
    pub(super) mailboxes: Mailboxes,
    pub(super) swarm: Swarm,
    pub(super) toll: Toll,
    pub(super) anti_entropy: AntiEntropy,
    pub(super) timers: Timers<Timer>,
    pub(super) stopping: bool,
    pending: HashMap<Ticket, After>,
    next_ticket: u64,
    outputs: VecDeque<Output>,
}

/// What is to be done at a moment.
#[derive(Debug)]
pub(super) enum Timer {
    /// Look at a link: handshake, silence, end of a draining link.
    Link(ConnId),
    /// Connect to this URL.
    Dial(String),
    /// Give up on what waits for this relay.
    PeerQueue(NodeId),
    /// Pass a packet on.
    Forward(Held),
    /// Push, push again or send a heartbeat.
    Mailbox(MailboxId),
    /// No majority so far: ask others, or give up.
    Put(PutKey),
    /// Look for members that have not confirmed.
    Outbox(NodeId),
    /// Compare with every member of a swarm that this relay is in.
    CompareAll,
    /// Begin comparisons that wait.
    BeginRounds,
    /// Go on with a comparison, or give it up.
    Round(NodeId),
    /// Make onion keys and publish them.
    Rotate,
    /// Ask a peer for its directory.
    SyncDirectory,
    /// Look for relays where they claim to be.
    DialBack,
    /// See to the DHT.
    Dht,
    /// Log the replay tags of the last second.
    FlushReplay,
    /// Forget tags and their frames.
    SweepTags,
    /// Forget what has expired on disk and in the directory.
    Sweep,
}

/// One call of `handle`: when it is, and where randomness comes from.
pub(super) struct Step<'a> {
    pub(super) now: Timestamp,
    pub(super) rng: &'a mut dyn CryptoRng,
}

impl Step<'_> {
    /// A random span shorter than `bound`.
    pub(super) fn jitter(&mut self, bound: Duration) -> Duration {
        Duration::from_ms(self.rng.next_u64().checked_rem(bound.as_ms()).unwrap_or(0))
    }

    /// A fresh message id.
    pub(super) fn id(&mut self) -> MessageId {
        MessageId::random(&mut self.rng)
    }
}

/// Why a relay cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The onion keys on disk are unusable. Without them packets of the last hours are lost; with
    /// others in their place their reply blocks are, too.
    #[error(transparent)]
    OnionKeys(#[from] RestoreError),
    /// No onion key could be made.
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// The configuration makes a descriptor that no reader would accept.
    #[error("the relay's descriptor would not be acceptable: {0}")]
    Descriptor(#[from] DescriptorError),
}

impl Relay {
    /// A relay with what was found on its disk. It is ready once [`is_ready`](Self::is_ready) says so.
    pub fn new(
        config: CoreConfig,
        secrets: RelaySecrets,
        mut restored: Restored,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, StartError> {
        let me = secrets.signer.node();
        let step = &mut Step { now, rng };
        let mut dial_back = DialBack::new(&config, now);
        let dht = Kademlia::restore(&config, &mut restored, now);
        let directory = RelayDirectory::restore(&config, me, &restored, &mut dial_back, step)?;
        let mut relay = Self {
            links: Links::new(),
            tags: Tags::new(config.limits.tags, config.limits.tag_bytes),
            peers: Peers::new(),
            forwarder: Forwarder::new(),
            dear_peeling: DearPeeling::new(config.limits.dear_peeling, now),
            directory,
            dial_back,
            dht,
            mailboxes: Mailboxes::restore(restored.mailboxes, config.limits.prekeys, now),
            swarm: Swarm::new(),
            toll: Toll::new(config.work, now, &mut step.rng),
            anti_entropy: AntiEntropy::default(),
            timers: Timers::new(),
            stopping: false,
            pending: HashMap::new(),
            next_ticket: 0,
            outputs: VecDeque::new(),
            config,
            secrets,
            me,
        };
        relay.rotate(step)?;
        relay.start_dialing(step);
        relay.schedule_dial_back();
        relay.resume_pushes(step);
        relay.timers.set(now + TAG_SWEEP_EVERY, Timer::SweepTags);
        relay.timers.set(now, Timer::Sweep);
        relay.schedule_comparisons(step);
        relay.schedule_directory_sync(step);
        relay.drive_dht(step);
        Ok(relay)
    }

    /// Which relay this is.
    pub const fn node(&self) -> NodeId {
        self.me
    }

    /// Whether the onion keys are durable and published: before that nobody is let in.
    pub fn is_ready(&self) -> bool {
        self.directory.own().is_some() && !self.stopping
    }

    /// Links to other relays, for a gauge.
    pub fn linked_relays(&self) -> usize {
        self.peers.linked()
    }

    /// Packets held back by their senders' delays, for a gauge.
    pub const fn packets_held(&self) -> usize {
        self.forwarder.delayed()
    }

    /// Relays known, this one included, for a gauge.
    pub fn known_relays(&self) -> usize {
        self.directory.known()
    }

    /// Relays that were told of and have not been found, for a gauge.
    pub fn claimed_relays(&self) -> usize {
        self.dial_back.claims.len()
    }

    /// Mailboxes held, for a gauge.
    pub fn mailboxes_held(&self) -> usize {
        self.mailboxes.len()
    }

    /// Effort that strangers are asked for, for a gauge.
    pub const fn work_effort(&self) -> u32 {
        self.toll.effort()
    }

    /// Something has happened. What is to be done about it comes from [`poll`](Self::poll).
    pub fn handle(&mut self, input: Input, now: Timestamp, rng: &mut impl CryptoRng) {
        let step = &mut Step { now, rng };
        match input {
            Input::Opened(conn, remote) => self.on_opened(conn, remote, step),
            Input::DialFailed(dial) => self.on_dial_failed(dial, step),
            Input::Frame(conn, bytes) => self.on_frame(conn, &bytes, step),
            Input::Closed(conn) => self.on_closed(conn, step),
            Input::Timer => self.on_timers(step),
            Input::Stored(ticket, result) => self.on_stored(ticket, result, step),
            Input::Configure(config) => self.configure(*config, step),
            Input::Shutdown => self.shut_down(),
        }
        self.drive_dht(step);
        self.peel_own_packets(step);
    }

    /// What is to be done next.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Timer`] is due.
    pub fn next_timeout(&self) -> Option<Timestamp> {
        self.timers.next()
    }

    fn on_timers(&mut self, step: &mut Step<'_>) {
        while let Some(timer) = self.timers.pop(step.now) {
            match timer {
                Timer::Link(conn) => self.check_link(conn, step),
                Timer::Dial(url) => self.dial(&url, step),
                Timer::PeerQueue(node) => self.queue_timed_out(&node, step),
                Timer::Forward(held) => self.forward_delayed(held, step),
                Timer::Mailbox(mailbox) => self.push_due(mailbox, step),
                Timer::Put(key) => self.put_waits(key, step),
                Timer::Outbox(node) => self.check_outbox(node, step),
                Timer::CompareAll => self.compare_with_all(step),
                Timer::BeginRounds => self.begin_rounds(step),
                Timer::Round(node) => self.round_due(node, step),
                Timer::Rotate => self.rotate_or_retry(step),
                Timer::SyncDirectory => self.sync_directory(step),
                Timer::DialBack => self.dial_back(step),
                Timer::Dht => self.dht_due(step),
                Timer::FlushReplay => self.flush_replay(),
                Timer::SweepTags => {
                    self.tags.expire(step.now);
                    self.toll.advance(step.now);
                    self.timers
                        .set(step.now + TAG_SWEEP_EVERY, Timer::SweepTags);
                }
                Timer::Sweep => self.sweep(step),
            }
        }
    }

    fn sweep(&mut self, step: &mut Step<'_>) {
        self.store(StoreOp::Sweep(step.now), After::Swept);
        self.expire_directory(step);
        self.timers.set(step.now + SWEEP_EVERY, Timer::Sweep);
    }

    /// The store forgets in bounded steps, so that mail gets its turn between them.
    pub(super) fn swept(&mut self, swept: Result<Swept, StoreError>, step: &mut Step<'_>) {
        // After a failure the next hour is soon enough.
        let Swept { more, gone } = swept.unwrap_or_default();
        gone.iter()
            .for_each(|mailbox| self.mailboxes.forget(mailbox));
        if more && !self.stopping {
            self.store(StoreOp::Sweep(step.now), After::Swept);
        }
    }

    fn on_stored(
        &mut self,
        ticket: Ticket,
        result: Result<StoreReply, StoreError>,
        step: &mut Step<'_>,
    ) {
        let Some(after) = self.pending.remove(&ticket) else {
            return;
        };
        if result.is_err() {
            self.count(Metric::StoreFailed);
        }
        self.resume(after, result, step);
    }

    fn configure(&mut self, config: CoreConfig, step: &mut Step<'_>) {
        let said = core::mem::replace(&mut self.config.info, config.info);
        self.config.limits = config.limits;
        self.config.peers = config.peers;
        self.follow_peers(step);
        if said.urls != self.config.info.urls {
            self.find_own_place_again(step.now);
        }
        if said != self.config.info {
            self.publish_again(step);
        }
    }

    /// Whether the store still works on something that was asked for.
    pub fn is_at_work(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Every link is told and closed; nobody is let in any more.
    fn shut_down(&mut self) {
        self.stopping = true;
        self.flush_replay();
        self.save_dht_table();
        self.close_all_links();
    }

    pub(super) fn is_guard(&self) -> bool {
        self.config.info.features.has(Features::GUARD)
    }

    pub(super) fn output(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(super) fn count(&mut self, metric: Metric) {
        self.outputs.push_back(Output::Count(metric, 1));
    }

    /// Submits an operation; `after` is what goes on when it is answered.
    pub(super) fn store(&mut self, op: StoreOp, after: After) {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.pending.insert(ticket, after);
        self.output(Output::Store(ticket, op));
    }

    /// Whether so many operations are under way that nobody may start another one.
    pub(super) fn is_store_busy(&self) -> bool {
        self.pending.len() >= self.config.limits.operations
    }

    /// Sends a frame with a fresh id.
    pub(super) fn send(&mut self, conn: ConnId, tag: Tag, payload: &[u8], step: &mut Step<'_>) {
        let frame = encode_frame(tag, step.id(), payload);
        self.output(Output::Send(conn, frame));
    }
}

impl core::fmt::Debug for Relay {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Relay")
            .field("node", &self.me)
            .finish_non_exhaustive()
    }
}
