//! A relay's host in virtual time: the core, and a disk that survives crashes.

use std::sync::OnceLock;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use zentalk_relay::core::Relay;
use zentalk_relay::core::mem_store::MemStore;
use zentalk_relay::core::store::{Owned, Quotas, StoreError, StoreOp, StoreReply};
use zentalk_relay::core::{CoreConfig, Limits, RelaySecrets, WorkPolicy};
use zentalk_relay::core::{Input, Output, Ticket};
use zentalk_shared::crypto::sign::SigningKey;
use zentalk_shared::id::NodeId;
use zentalk_shared::onion::{
    Features, RelayDescriptor, RelayInfo, RelaySigner, RelayUrl, ReplayLimits, Suites,
    UnverifiedDescriptor,
};
use zentalk_shared::time::{Duration, Timestamp};
use zentalk_shared::wire::{Header, Tag};

use super::clock::Clock;
use super::plan::Mutation;
use crate::keys;

/// Broken on purpose: how far the disk lags behind what was answered.
const LAG: Duration = Duration::from_secs(20);

/// One relay: a core while it runs, a disk for ever.
#[derive(Debug)]
pub(super) struct RelayHost {
    config: CoreConfig,
    secrets: RelaySecrets,
    store: MemStore,
    core: Option<Relay>,
    /// Broken on purpose: answers come before the disk has anything; this is what the disk has.
    lagging: Option<(Timestamp, MemStore)>,
    /// Hands out and replicates other bytes under the ids of the envelopes that it holds.
    pub(super) lies: bool,
    /// How often it did.
    pub(super) lied: u64,
    /// Operations at the store, where somebody asks for them.
    watched: Option<Vec<StoreOp>>,
    /// Turns owners away: its store fails at what they ask for.
    pub(super) is_deaf: bool,
    turned_away: Vec<Ticket>,
    pub(super) clock: Clock,
    /// Broken on purpose: it says nothing of what it holds, and hears nothing of it.
    compares: bool,
}

impl RelayHost {
    /// Relay `index` of the pool at `urls[index]`, with an empty disk, not started yet.
    pub(super) fn new(
        index: usize,
        urls: &[String],
        suites: Suites,
        mutation: Option<Mutation>,
        now: Timestamp,
    ) -> Self {
        let url = |text: &String| RelayUrl::parse(text).expect("a relay's URL");
        let info = RelayInfo {
            urls: vec![url(&urls[index])],
            operator: format!("operator {index}"),
            region: String::new(),
            software: "simulated".into(),
            max_connections: 1000,
            features: Features::ALL,
        };
        let config = CoreConfig {
            info,
            peers: urls.iter().map(url).collect(),
            allow_private: true,
            limits: Limits::default(),
            work: WorkPolicy {
                effort: 1,
                ..WorkPolicy::default()
            },
            suites,
            replay: ReplayLimits::small(14),
        };
        let secrets = RelaySecrets {
            signer: signers()[index].clone(),
        };
        let store = MemStore::new(Quotas::default());
        let answers_early = mutation == Some(Mutation::AcknowledgeBeforeCommit);
        let lagging = answers_early.then(|| (now, store.clone()));
        Self {
            config,
            secrets,
            store,
            core: None,
            lagging,
            lies: false,
            lied: 0,
            watched: None,
            is_deaf: false,
            turned_away: Vec::new(),
            clock: Clock::RIGHT,
            compares: mutation != Some(Mutation::NoAntiEntropy),
        }
    }

    /// The same, configured to be connected to these relays alone.
    pub(super) fn with_peers(mut self, urls: &[String]) -> Self {
        let url = |text: &String| RelayUrl::parse(text).expect("a relay's URL");
        self.config.peers = urls.iter().map(url).collect();
        self
    }

    /// The core, while it runs.
    pub(super) const fn core(&self) -> Option<&Relay> {
        self.core.as_ref()
    }

    /// Its own descriptor, once one is on its disk.
    pub(super) fn descriptor(&self, now: Timestamp) -> Option<RelayDescriptor> {
        let saved = self.store.restore().descriptors;
        let own = saved.into_iter().find(|saved| saved.node == self.node())?;
        let claimed = UnverifiedDescriptor::decode(&own.descriptor).ok()?;
        claimed.verify(now).ok()
    }

    /// Which relay.
    pub(super) fn node(&self) -> NodeId {
        self.secrets.signer.node()
    }

    /// Starts the core from what the disk has.
    ///
    /// # Panics
    /// If the disk does not hold what a relay needs: that would be a fault of the relay.
    pub(super) fn start(&mut self, now: Timestamp, rng: &mut ChaCha20Rng) {
        let restored = self.store.restore();
        let core = Relay::new(
            self.config.clone(),
            self.secrets.clone(),
            restored,
            self.clock.read(now),
            rng,
        );
        self.core = Some(core.expect("a whole disk"));
    }

    /// Whether the process runs.
    pub(super) const fn is_up(&self) -> bool {
        self.core.is_some()
    }

    /// When the core wants the next [`Input::Timer`].
    pub(super) fn next_timeout(&self) -> Option<Timestamp> {
        let wanted = self.core.as_ref().and_then(Relay::next_timeout);
        wanted.map(|shown| self.clock.when(shown))
    }

    /// `kill -9`: the first `applied` of the unanswered operations reached the disk.
    pub(super) fn crash(&mut self, applied: usize) {
        self.core = None;
        self.turned_away.clear();
        match &self.lagging {
            Some((_, behind)) => self.store = behind.clone(),
            None => self.store.crash(applied),
        }
    }

    /// A copy of the disk as it is.
    pub(super) fn backup(&self) -> MemStore {
        self.store.clone()
    }

    /// The disk is what it was when the copy was made.
    pub(super) fn restore(&mut self, backup: MemStore) {
        self.store = backup;
    }

    /// One input; what the core wants done. Operations go to the disk, and are answered at its next sync.
    pub(super) fn handle(
        &mut self,
        input: Input,
        now: Timestamp,
        rng: &mut ChaCha20Rng,
    ) -> Vec<Output> {
        let Some(core) = &mut self.core else {
            return Vec::new();
        };
        core.handle(input, self.clock.read(now), rng);
        let mut outputs = Vec::new();
        while let Some(output) = core.poll() {
            match output {
                Output::Store(ticket, op) if self.is_deaf && is_owners(&op) => {
                    self.turned_away.push(ticket);
                }
                Output::Store(ticket, op) => {
                    if let Some(watched) = &mut self.watched {
                        watched.push(op.clone());
                    }
                    self.store.submit(ticket, op);
                }
                Output::Send(_, frame) if !self.compares && is_comparison(&frame) => {}
                other => outputs.push(other),
            }
        }
        if self.lies {
            outputs
                .iter_mut()
                .for_each(|output| self.replicate_lie(output));
        }
        outputs
    }

    fn replicate_lie(&mut self, output: &mut Output) {
        if let Output::Send(_, frame) = output
            && Header::decode(frame).is_ok_and(|(header, _)| header.tag == Tag::ReplicatePut)
        {
            // The envelope is all but the ends of the frame.
            let middle = frame.len() / 2;
            frame[middle] ^= 1;
            self.lied += 1;
        }
    }

    /// What a relay that lies makes of what its disk says.
    fn read_lie(&mut self, answer: &mut Result<StoreReply, StoreError>) {
        let envelopes = match answer {
            Ok(StoreReply::Fetched(Owned::Done(fetched))) => &mut fetched.envelopes,
            Ok(StoreReply::Push(push)) => &mut push.envelopes,
            _ => return,
        };
        for (_, envelope) in envelopes {
            envelope.0[7000] ^= 1;
            self.lied += 1;
        }
    }

    /// From now on keeps the operations at the store.
    pub(super) fn watch(&mut self) {
        self.watched = Some(Vec::new());
    }

    /// Operations since the last call.
    pub(super) fn take_watched(&mut self) -> Vec<StoreOp> {
        self.watched
            .as_mut()
            .map(core::mem::take)
            .unwrap_or_default()
    }

    /// The record of onion keys on disk.
    pub(super) fn onion_record(&self) -> Option<Vec<u8>> {
        self.store
            .restore()
            .onion_keys
            .map(|record| record.to_vec())
    }

    /// Whether operations wait for a sync.
    pub(super) fn is_dirty(&self) -> bool {
        self.store.is_dirty() || !self.turned_away.is_empty()
    }

    /// The disk has everything that was submitted: answers for the core.
    pub(super) fn sync(&mut self, now: Timestamp) -> Vec<Input> {
        let mut answers = self.store.sync();
        let refused = core::mem::take(&mut self.turned_away).into_iter();
        answers.extend(refused.map(|ticket| (ticket, Err(StoreError::Failed))));
        if self.lies {
            answers
                .iter_mut()
                .for_each(|(_, answer)| self.read_lie(answer));
        }
        if let Some((since, behind)) = &mut self.lagging
            && now.since(*since) >= LAG
        {
            (*since, *behind) = (now, self.store.clone());
        }
        answers
            .into_iter()
            .map(|(ticket, answer)| Input::Stored(ticket, answer))
            .collect()
    }
}

/// Whether it is done for a mailbox's owner.
const fn is_owners(op: &StoreOp) -> bool {
    matches!(
        op,
        StoreOp::Subscribe(_) | StoreOp::Fetch { .. } | StoreOp::TakePush { .. }
    )
}

fn is_comparison(frame: &[u8]) -> bool {
    let tags = [
        Tag::SwarmSummary,
        Tag::SwarmIds,
        Tag::SwarmWant,
        Tag::SwarmDescriptor,
    ];
    Header::decode(frame).is_ok_and(|(header, _)| tags.contains(&header.tag))
}

/// Identities of the pool's relays: the RSA signatures are made once a process.
fn signers() -> &'static [RelaySigner] {
    static SIGNERS: OnceLock<Vec<RelaySigner>> = OnceLock::new();
    SIGNERS.get_or_init(|| {
        let mut rng = ChaCha20Rng::seed_from_u64(0);
        let mut sign = |index| {
            let key = SigningKey::random(&mut rng);
            RelaySigner::certify(&keys::relay(index), key, &mut rng).expect("a relay key")
        };
        (0..keys::RELAYS).map(&mut sign).collect()
    })
}
