//! Relays that are known, this one's own descriptor, and the onion keys that it publishes.
//!
//! ```text
//!  epoch begins ─▶ rotate ─▶ SaveOnionKeys ─Stored─▶ publish: sign, keep, announce
//!  key spent    ─▶ publish without it               packet ─▶ log_soon ─ 1 s ─▶ AppendReplay
//!  all spent, or tags lost ─▶ wipe them, rotate
//! ```
//! Keys are durable before they are published: a key that was lost would take packets with it.

use std::collections::HashMap;

use zentalk_shared::id::NodeId;
use zentalk_shared::onion::descriptor::MAX_VALIDITY;
use zentalk_shared::onion::epoch::EPOCH_LENGTH;
use zentalk_shared::onion::{
    Class, Directory, Epoch, Inserted, Publication, RelayDescriptor, RelayKeys, ReplayEntry,
    UnverifiedDescriptor,
};
use zentalk_shared::rpc::{DirectorySyncReply, DirectorySyncRequest, Reply, SYNC_STEP};
use zentalk_shared::time::{Duration, Timestamp};
use zentalk_shared::wire::codec::{BoundedList, Bytes, to_cbor};
use zentalk_shared::wire::link::{Directory as DirectoryBody, DirectoryGet, MAX_LISTED};
use zentalk_shared::wire::{HEADER_LEN, Tag};

use super::config::CoreConfig;
use super::dial_back::DialBack;
use super::gossip::Questions;
use super::io::{ConnId, Metric, Output};
use super::relay::{Relay, StartError, Step, Timer};
use super::requests::After;
use super::store::{Restored, StoreError, StoreOp};

/// After a failure of the store, the keys are saved again.
const RETRY: Duration = Duration::from_secs(5);
/// A descriptor is good for this long; it is renewed every onion epoch.
const VALIDITY: Duration = Duration::from_hours(12);
/// The tags of packets that have passed are handed to the store after this long at most.
const REPLAY_FLUSH_AFTER: Duration = Duration::from_secs(1);
/// Onion epochs whose keys may still be accepted.
const EPOCHS_BACK: u64 = 3;
/// What a directory frame has room for, less its own CBOR.
const MAX_FRAME: usize = Tag::Directory.max_payload() - 256;
/// What one descriptor adds to a list besides its bytes.
const PER_ITEM: usize = 3;

const _: () = assert!(VALIDITY.as_ms() <= MAX_VALIDITY.as_ms());

/// What this relay knows of all relays.
pub(super) struct RelayDirectory {
    relays: Directory,
    own: Option<NodeId>,
    keys: RelayKeys,
    /// The keys are not on disk as they are.
    unsaved: bool,
    /// When the timer of the next epoch is due.
    rotates: Option<Timestamp>,
    /// A timer is set to log replay tags.
    logs: bool,
    /// Replay tags that the store could not log.
    unlogged: Vec<ReplayEntry>,
    last_sequence: u64,
    /// When this run has taken a descriptor; those that are not named were there when it began.
    taken: HashMap<NodeId, Timestamp>,
    began: Timestamp,
    /// Digest and encoded answer for who has nothing; rebuilt when the directory changes.
    cached: Option<([u8; 32], Vec<u8>)>,
    /// Relays that were asked for theirs.
    pub(super) questions: Questions,
    /// When one is asked next.
    pub(super) sync_at: Timestamp,
}

impl RelayDirectory {
    pub(super) fn restore(
        config: &CoreConfig,
        me: NodeId,
        restored: &Restored,
        dial_back: &mut DialBack,
        step: &mut Step<'_>,
    ) -> Result<Self, StartError> {
        let (suites, limits) = (config.suites, config.replay);
        let keys = match &restored.onion_keys {
            Some(record) => {
                let log = restored.replay.iter().copied();
                RelayKeys::restore(record, log, suites, limits)?
            }
            None => RelayKeys::generate(suites, limits, step.now, &mut step.rng)?,
        };
        let (mut relays, mut last_sequence) = (Directory::new(), 0);
        for saved in &restored.descriptors {
            let claimed = UnverifiedDescriptor::decode(&saved.descriptor);
            // What has expired meanwhile is of no use.
            let Some(descriptor) = claimed.ok().and_then(|d| d.verify(step.now).ok()) else {
                continue;
            };
            match descriptor.node() == me {
                true => last_sequence = descriptor.sequence(),
                false => dial_back.restore(descriptor, saved.proof, &mut relays, step),
            }
        }
        Ok(Self {
            relays,
            own: None,
            keys,
            unsaved: restored.onion_keys.is_none(),
            rotates: None,
            logs: false,
            unlogged: Vec::new(),
            last_sequence,
            taken: HashMap::new(),
            began: step.now,
            cached: None,
            questions: Questions::default(),
            sync_at: step.now,
        })
    }

    /// This relay's descriptor, once it is published.
    pub(super) fn own(&self) -> Option<&RelayDescriptor> {
        self.own.as_ref().and_then(|node| self.relays.get(node))
    }

    pub(super) const fn relays(&self) -> &Directory {
        &self.relays
    }

    pub(super) const fn keys(&mut self) -> &mut RelayKeys {
        &mut self.keys
    }

    pub(super) fn known(&self) -> usize {
        self.relays.len()
    }

    pub(super) fn insert(&mut self, descriptor: RelayDescriptor, now: Timestamp) -> Inserted {
        let node = descriptor.node();
        let inserted = self.relays.insert(descriptor);
        if inserted.changed() {
            self.taken.insert(node, now);
            self.cached = None;
        }
        inserted
    }

    pub(super) fn remove(&mut self, node: &NodeId) {
        if self.relays.remove(node) {
            self.taken.remove(node);
            self.cached = None;
        }
    }

    /// Descriptors that were taken at `since` or later; without that, all.
    fn since(&self, since: Option<Timestamp>) -> impl Iterator<Item = &RelayDescriptor> {
        let is_new = move |descriptor: &&RelayDescriptor| {
            let taken = self.taken.get(&descriptor.node()).unwrap_or(&self.began);
            since.is_none_or(|since| *taken >= since)
        };
        self.relays.iter().filter(is_new)
    }

    pub(super) fn digest(&mut self) -> [u8; 32] {
        self.answer().0
    }

    /// Digest, and the body for who has nothing and drew no seed.
    fn answer(&mut self) -> ([u8; 32], &[u8]) {
        let (relays, own) = (&self.relays, self.own);
        let (digest, body) = self.cached.get_or_insert_with(|| {
            let digest = relays.digest();
            (digest, listing(relays, own, digest, &[0; 16], MAX_LISTED))
        });
        (*digest, body)
    }

    /// The body for who has drawn this seed.
    fn answer_drawn(&mut self, seed: &[u8; 16]) -> Vec<u8> {
        let all_fit = self.relays.len() <= MAX_LISTED;
        match self.answer() {
            (_, body) if all_fit => body.to_vec(),
            (digest, _) => listing(&self.relays, self.own, digest, seed, MAX_LISTED),
        }
    }
}

/// A `Directory`'s body: this relay itself, which visitors may want to know of, and others that a seed draws, `most` in all.
fn listing(
    relays: &Directory,
    own: Option<NodeId>,
    digest: [u8; 32],
    seed: &[u8; 16],
    most: usize,
) -> Vec<u8> {
    let mut room = MAX_FRAME;
    let fits = |descriptor: &&RelayDescriptor| {
        let needs = descriptor.bytes().len() + PER_ITEM;
        room.checked_sub(needs).map(|rest| room = rest).is_some()
    };
    let own = own.and_then(|node| relays.get(&node));
    let is_other = |relay: &&RelayDescriptor| own.is_none_or(|own| own.node() != relay.node());
    let others = relays.sample(seed, most);
    let listed: Vec<_> = own
        .into_iter()
        .chain(others.into_iter().filter(is_other))
        .take(most)
        .filter(fits)
        .map(|descriptor| descriptor.bytes().clone())
        .collect();
    to_cbor(&DirectoryBody {
        digest: Bytes(digest),
        descriptors: BoundedList::new(listed).unwrap_or_default(),
    })
}

impl Relay {
    /// Makes the keys that are due. If there are none to make, publishes what there is.
    pub(super) fn rotate(&mut self, step: &mut Step<'_>) -> Result<(), StartError> {
        let made = self.directory.keys.rotate(step.now, &mut step.rng)?;
        self.directory.unsaved |= made;
        let next = RelayKeys::next_rotation(step.now);
        if self.directory.rotates != Some(next) {
            self.directory.rotates = Some(next);
            self.timers.set(next, Timer::Rotate);
        }
        match (self.directory.unsaved, self.directory.own) {
            (true, _) => self.save_keys(),
            (false, None) => self.publish(step)?,
            (false, Some(_)) => {}
        }
        let around = (0..=EPOCHS_BACK).map(|back| Epoch::at(step.now - EPOCH_LENGTH * back));
        let held = around.chain([Epoch::at(step.now).next()]);
        let held = held
            .filter(|epoch| self.directory.keys.holds(*epoch))
            .collect();
        self.store(StoreOp::KeepReplay(held), After::Nothing);
        Ok(())
    }

    /// A rotation while running: what fails is tried again, with the old keys in use meanwhile.
    pub(super) fn rotate_or_retry(&mut self, step: &mut Step<'_>) {
        if self.rotate(step).is_err() {
            self.timers.set(step.now + RETRY, Timer::Rotate);
        }
    }

    fn save_keys(&mut self) {
        let record = self.directory.keys.persist();
        self.store(StoreOp::SaveOnionKeys(record), After::KeysSaved);
    }

    /// The store has answered: the keys may be published, or must be saved again.
    pub(super) fn keys_saved(&mut self, saved: Result<(), StoreError>, step: &mut Step<'_>) {
        self.directory.unsaved &= saved.is_err();
        let published = saved.is_ok() && self.publish(step).is_ok();
        if !published {
            self.publish_later(step);
        }
    }

    /// Saves the keys again, which publishes again.
    fn publish_later(&mut self, step: &Step<'_>) {
        if !self.stopping {
            self.directory.unsaved = true;
            self.timers.set(step.now + RETRY, Timer::Rotate);
        }
    }

    /// What the descriptor says has changed.
    pub(super) fn publish_again(&mut self, step: &mut Step<'_>) {
        // Before the first one is out, it will say so anyway.
        if self.directory.own.is_some() && self.publish(step).is_err() {
            self.publish_later(step);
        }
    }

    /// A key that has taken as many packets as its filter remembers takes no more: senders must turn to the
    /// next one.
    pub(super) fn publish_without_spent_keys(&mut self, step: &mut Step<'_>) {
        if self.directory.keys.take_spent() && self.publish(step).is_err() {
            self.publish_later(step);
        }
    }

    /// Signs a descriptor with the keys of now and tells every linked relay. If every key is spent there is nothing to
    /// publish: others take their place, are saved, and published then.
    fn publish(&mut self, step: &mut Step<'_>) -> Result<(), StartError> {
        let keys = self.directory.keys.public(step.now);
        if keys.is_empty() {
            self.directory.keys.discard_spent();
            self.timers.set(step.now, Timer::Rotate);
            return Ok(());
        }
        let sequence = step.now.as_ms().max(self.directory.last_sequence + 1);
        let publication = Publication {
            sequence,
            from: step.now,
            until: step.now + VALIDITY,
        };
        let signer = &self.secrets.signer;
        let descriptor = signer.sign_descriptor(&self.config.info, &keys, publication)?;
        self.directory.last_sequence = sequence;
        self.directory.own = Some(self.me);
        let bytes = descriptor.bytes().clone();
        self.keep(descriptor, step);
        self.dht_publish_own(step.now);
        let digest = Bytes(self.directory.digest());
        let descriptors = BoundedList::new(vec![bytes]).unwrap_or_default();
        let announcement = to_cbor(&DirectoryBody {
            digest,
            descriptors,
        });
        let linked: Vec<_> = self
            .peers
            .nodes()
            .filter_map(|node| self.peers.conn(node))
            .collect();
        for conn in linked {
            self.send(conn, Tag::Directory, &announcement, step);
        }
        Ok(())
    }

    /// Takes a descriptor that is to be believed, on disk too if it is news.
    pub(super) fn keep(&mut self, descriptor: RelayDescriptor, step: &Step<'_>) {
        let node = descriptor.node();
        if self.directory.insert(descriptor, step.now).changed() {
            self.save_descriptor(&node);
        }
    }

    /// Forgets descriptors that are over.
    pub(super) fn expire_directory(&mut self, step: &Step<'_>) {
        self.dial_back.claims.expire(step.now);
        let me = self.me;
        let over = |d: &&RelayDescriptor| d.until() <= step.now && d.node() != me;
        let relays = self.directory.relays.iter();
        let gone: Vec<_> = relays.filter(over).map(RelayDescriptor::node).collect();
        gone.iter().for_each(|node| self.forget_relay(node));
    }

    /// A packet has passed: its tag is logged within a second.
    pub(super) fn log_soon(&mut self, step: &Step<'_>) {
        if !self.directory.logs {
            self.directory.logs = true;
            self.timers
                .set(step.now + REPLAY_FLUSH_AFTER, Timer::FlushReplay);
        }
    }

    /// Logs the tags of the packets since the last time.
    pub(super) fn flush_replay(&mut self) {
        self.directory.logs = false;
        let mut entries = core::mem::take(&mut self.directory.unlogged);
        entries.append(&mut self.directory.keys.drain_replay_log());
        if !entries.is_empty() {
            let after = After::ReplayLogged(entries.clone());
            self.store(StoreOp::AppendReplay(entries), after);
        }
    }

    /// The store has logged these tags, or could not: then it is asked again, for as many as there is room for.
    pub(super) fn replay_logged(
        &mut self,
        mut entries: Vec<ReplayEntry>,
        logged: Result<(), StoreError>,
        step: &Step<'_>,
    ) {
        if logged.is_ok() {
            return;
        }
        if self.stopping {
            // Nobody asks again. After the next start these packets could pass once more: the keys go, which takes no room.
            self.output(Output::Count(Metric::ReplayTagsLost, entries.len() as u64));
            return self.store(StoreOp::ForgetOnionKeys, After::Nothing);
        }
        let held = self.directory.unlogged.len();
        let room = self.config.limits.replay_backlog.saturating_sub(held);
        let lost = entries.split_off(room.min(entries.len()));
        self.directory.unlogged.extend(entries);
        if !lost.is_empty() {
            self.discard_keys_of(&lost, step);
        }
        self.log_soon(step);
    }

    /// These tags will not be logged. After a restart their packets could pass again, so the keys that they were for go,
    /// and others take their place.
    fn discard_keys_of(&mut self, lost: &[ReplayEntry], step: &Step<'_>) {
        self.output(Output::Count(Metric::ReplayTagsLost, lost.len() as u64));
        let RelayDirectory { keys, unlogged, .. } = &mut self.directory;
        lost.iter().for_each(|entry| keys.discard(*entry));
        unlogged.retain(|entry| keys.holds_key_of(*entry));
        self.directory.unsaved = true;
        self.timers.set(step.now, Timer::Rotate);
    }

    /// Somebody reads the directory in clear.
    pub(super) fn on_directory_get(
        &mut self,
        conn: ConnId,
        get: DirectoryGet,
        step: &mut Step<'_>,
    ) {
        let digest = self.directory.digest();
        let body = match get.known.is_some_and(|known| known.0 == digest) {
            true => to_cbor(&DirectoryBody {
                digest: Bytes(digest),
                descriptors: BoundedList::default(),
            }),
            false => {
                let seed = get.seed.map_or([0; 16], |seed| seed.0);
                self.directory.answer_drawn(&seed)
            }
        };
        self.send(conn, Tag::Directory, &body, step);
    }

    /// The part of the directory, or of what is new in it, from an offset on, as much as fits.
    pub(super) fn directory_part(
        &mut self,
        ask: DirectorySyncRequest,
        class: Class,
        step: &Step<'_>,
    ) -> Reply {
        let digest = self.directory.digest();
        let total = self.directory.since(ask.since).count();
        let mut room = class.capacity() - HEADER_LEN - 64;
        let fits = |descriptor: &&RelayDescriptor| {
            let needs = descriptor.bytes().len() + PER_ITEM;
            room.checked_sub(needs).map(|rest| room = rest).is_some()
        };
        let skip = match ask.known.0 == digest {
            true => total,
            false => usize::try_from(ask.offset).unwrap_or(usize::MAX),
        };
        let part = self
            .directory
            .since(ask.since)
            .skip(skip)
            .take(16)
            .take_while(fits);
        let descriptors = part.map(|descriptor| descriptor.bytes().clone()).collect();
        Reply::DirectorySync(DirectorySyncReply {
            digest: Bytes(digest),
            total: u32::try_from(total).unwrap_or(u32::MAX),
            descriptors: BoundedList::new(descriptors).unwrap_or_default(),
            time: Some(step.now.floor_to(SYNC_STEP)),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::tests::net::claimed_at;
    use super::*;
    use zentalk_shared::onion::UnverifiedDescriptor;
    use zentalk_shared::wire::codec::from_cbor;

    #[test]
    fn a_directory_that_is_too_long_is_listed_by_a_draw_and_its_relay_always() {
        let claim = |n| claimed_at(n, &format!("ws://relay{n}.internal:9000/v1"), 1);
        let relays: Directory = (0..6).map(claim).collect();
        let own = relays.iter().last().map(RelayDescriptor::node);
        let listed = |seed: u8, most| {
            let body = listing(&relays, own, relays.digest(), &[seed; 16], most);
            let body: DirectoryBody = from_cbor(&body, MAX_FRAME).unwrap();
            assert_eq!(body.digest.0, relays.digest(), "of all");
            let node = |bytes: &_| UnverifiedDescriptor::decode(bytes).unwrap().claimed_node();
            body.descriptors
                .iter()
                .map(|bytes| node(bytes))
                .collect::<Vec<_>>()
        };
        assert_eq!(listed(0, 6).len(), 6);
        let mut seen = BTreeSet::new();
        for seed in 0..40 {
            let some = listed(seed, 3);
            assert_eq!((some.len(), some.first().copied()), (3, own));
            assert_eq!(some, listed(seed, 3));
            seen.extend(some);
        }
        assert_eq!(seen.len(), 6);
    }
}
