//! The store in memory, for tests and the simulator: the semantics of the disk with an explicit moment
//! of truth.
//!
//! ```text
//!   submit(ticket, op) ─▶ queue ──sync()──▶ applied and answered
//!                           │
//!                           └─crash(n)─▶ the first n applied, none answered, the rest lost
//! ```

mod mailbox;
mod records;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use zentalk_shared::dht::RecordId;
use zentalk_shared::id::{EnvelopeId, MailboxId, NodeId, RecordKey};
use zentalk_shared::onion::ReplayEntry;
use zentalk_shared::rpc::held_digest;
use zentalk_shared::time::Timestamp;
use zeroize::Zeroizing;

use mailbox::Mailbox;
use records::Record;

use super::io::Ticket;
use super::store::{
    Bundle, CompareIds, Compared, ENVELOPE_LIFE, Fetched, HeldMail, Hour, MAILBOX_IDLE_LIFE,
    NAMED_PER_NEW, Owned, OwnerStamp, PushPick, PutEnvelope, PutOutcome, Quotas, RecordOutcome,
    Restored, RestoredMailbox, SavePreKeys, SaveSubscription, SavedDescriptor, SavedRecord, Stock,
    StoreError, StoreOp, StoreReply, StoredEnvelope, Swept, TOMBSTONE_LIFE, TakenPush,
};

/// A disk that exists as long as the value does.
#[derive(Clone, Debug, Default)]
pub struct MemStore {
    disk: Disk,
    queue: VecDeque<(Ticket, StoreOp)>,
    full: bool,
}

/// What is durable.
#[derive(Clone, Debug, Default)]
struct Disk {
    quotas: Quotas,
    mailboxes: BTreeMap<MailboxId, Mailbox>,
    records: BTreeMap<RecordKey, Record>,
    dht_records: BTreeMap<RecordId, SavedRecord>,
    dht_table: Option<Vec<u8>>,
    descriptors: BTreeMap<NodeId, SavedDescriptor>,
    onion_keys: Option<Zeroizing<Vec<u8>>>,
    replay: Vec<ReplayEntry>,
}

impl MemStore {
    /// An empty disk.
    pub fn new(quotas: Quotas) -> Self {
        Self {
            disk: Disk {
                quotas,
                ..Disk::default()
            },
            ..Self::default()
        }
    }

    /// Takes an operation; nothing happens before [`sync`](Self::sync).
    pub fn submit(&mut self, ticket: Ticket, op: StoreOp) {
        self.queue.push_back((ticket, op));
    }

    /// Whether operations wait.
    pub fn is_dirty(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Makes what was submitted durable, in order, and answers it.
    pub fn sync(&mut self) -> Vec<(Ticket, Result<StoreReply, StoreError>)> {
        let queue = core::mem::take(&mut self.queue);
        let answer = |(ticket, op)| match self.full {
            true => (ticket, Err(StoreError::Full)),
            false => (ticket, Ok(self.disk.apply(op))),
        };
        queue.into_iter().map(answer).collect()
    }

    /// Power loss: the first `applied` of the unanswered operations reached the disk, the others did
    /// not, and nobody gets an answer.
    pub fn crash(&mut self, applied: usize) {
        let queue = core::mem::take(&mut self.queue);
        for (_, op) in queue.into_iter().take(applied) {
            self.disk.apply(op);
        }
    }

    /// From now on every operation fails for want of room, or no longer does.
    pub fn set_full(&mut self, full: bool) {
        self.full = full;
    }

    /// What a relay finds when it starts.
    pub fn restore(&self) -> Restored {
        let mailbox = |(id, mailbox): (&MailboxId, &Mailbox)| RestoredMailbox {
            mailbox: *id,
            descriptor: mailbox.descriptor.clone(),
            permit: mailbox.permit,
            former: mailbox.former.clone(),
            stock: mailbox.stock(),
        };
        Restored {
            onion_keys: self.disk.onion_keys.clone(),
            replay: self.disk.replay.clone(),
            descriptors: self.disk.descriptors.values().cloned().collect(),
            mailboxes: self.disk.mailboxes.iter().map(mailbox).collect(),
            dht_table: self.disk.dht_table.clone(),
            dht_records: {
                let saved = self.disk.dht_records.values();
                saved.map(|saved| (saved.id, saved.held.clone())).collect()
            },
        }
    }
}

impl Disk {
    fn apply(&mut self, op: StoreOp) -> StoreReply {
        match op {
            StoreOp::Put(put) => StoreReply::Put(self.put(put)),
            StoreOp::Subscribe(save) => StoreReply::Subscription(self.subscribe(*save)),
            StoreOp::Fetch {
                mailbox,
                stamp,
                after,
                limit,
                now,
            } => StoreReply::Fetched(self.fetch(&mailbox, stamp, after, limit, now)),
            StoreOp::Tombstone {
                mailbox,
                ids,
                hour,
                proof,
            } => StoreReply::Tombstone(self.tombstone(&mailbox, &ids, hour, &proof)),
            StoreOp::Summarise(mailboxes) => StoreReply::Held(self.summarise(&mailboxes)),
            StoreOp::Compare(with) => StoreReply::Compared(self.compare(&with)),
            StoreOp::KeepDescriptor {
                mailbox,
                sequence,
                descriptor,
            } => StoreReply::DescriptorKept(self.keep_descriptor(&mailbox, sequence, descriptor)),
            StoreOp::TakePush { mailbox, pick, now } => {
                StoreReply::Push(self.take_push(&mailbox, pick, now))
            }
            StoreOp::ReadEnvelope { mailbox, id } => {
                StoreReply::Envelope(self.read_envelope(&mailbox, &id))
            }
            StoreOp::SavePreKeys(save) => StoreReply::PreKeys(self.save_prekeys(*save)),
            StoreOp::TakePreKey { mailbox, one_time } => {
                StoreReply::Bundle(self.take_prekey(&mailbox, one_time))
            }
            StoreOp::PutRecord {
                key,
                sequence,
                expires,
                record,
            } => StoreReply::RecordPut(self.put_record(key, sequence, expires, record)),
            StoreOp::GetRecord { key, now } => StoreReply::Record(self.get_record(key, now)),
            StoreOp::SaveDhtRecord(saved) => {
                self.dht_records.insert(saved.id, *saved);
                StoreReply::RecordPut(RecordOutcome::Stored)
            }
            StoreOp::ReadDhtRecord(id) => {
                let saved = self.dht_records.get(&id);
                StoreReply::Record(saved.map(|saved| saved.record.clone()))
            }
            StoreOp::Sweep(now) => {
                let gone = self.sweep(now);
                StoreReply::Swept(Swept { more: false, gone })
            }
            other => {
                self.housekeep(other);
                StoreReply::Done
            }
        }
    }

    /// The operations that answer nothing.
    fn housekeep(&mut self, op: StoreOp) {
        match op {
            StoreOp::SaveOnionKeys(keys) => self.onion_keys = Some(keys),
            StoreOp::ForgetOnionKeys => self.onion_keys = None,
            StoreOp::AppendReplay(tags) => self.replay.extend(tags),
            StoreOp::KeepReplay(epochs) => self.replay.retain(|tag| epochs.contains(&tag.epoch())),
            StoreOp::SaveDescriptor(saved) => {
                self.descriptors.insert(saved.node, saved);
            }
            StoreOp::ForgetDescriptor(node) => {
                self.descriptors.remove(&node);
            }
            StoreOp::ForgetDhtRecord(id) => {
                self.dht_records.remove(&id);
            }
            StoreOp::SaveDhtTable(table) => self.dht_table = Some(table),
            _ => {}
        }
    }

    fn put(&mut self, put: PutEnvelope) -> PutOutcome {
        let quotas = self.quotas;
        let Some(mailbox) = self.mailboxes.get_mut(&put.mailbox) else {
            return PutOutcome::Unknown;
        };
        if mailbox.descriptor.is_none() {
            return PutOutcome::Unknown;
        }
        if mailbox.tombstones.contains_key(&put.id) {
            return PutOutcome::Tombstoned;
        }
        if mailbox.find(&put.id).is_some() {
            return PutOutcome::Held;
        }
        if mailbox.is_full(&quotas, put.permitted) {
            return PutOutcome::Full;
        }
        let stored = StoredEnvelope {
            envelope: put.envelope,
            hour: put.hour,
            permitted: put.permitted,
        };
        mailbox.next_cursor += 1;
        mailbox
            .envelopes
            .insert(mailbox.next_cursor, (put.id, stored));
        PutOutcome::Stored
    }

    /// The mailbox of an owner's request, if the request is in its turn: `Ok(fresh)`.
    fn admit(
        &mut self,
        id: &MailboxId,
        stamp: OwnerStamp,
        create: bool,
        now: Timestamp,
    ) -> Owned<(&mut Mailbox, bool)> {
        let room = self.mailboxes.len() < self.quotas.mailboxes as usize;
        if !self.mailboxes.contains_key(id) {
            match (create, room) {
                (true, true) => self.mailboxes.insert(*id, Mailbox::new(now)),
                (true, false) => return Owned::Full,
                (false, _) => return Owned::Unknown,
            };
        }
        let Some(mailbox) = self.mailboxes.get_mut(id) else {
            return Owned::Unknown;
        };
        let last = mailbox.stamp;
        if stamp.sequence < last.sequence || (stamp.sequence == last.sequence && stamp != last) {
            return Owned::Stale;
        }
        let fresh = stamp != last;
        mailbox.stamp = stamp;
        mailbox.touched = Hour::at(now);
        Owned::Done((mailbox, fresh))
    }

    fn subscribe(&mut self, save: SaveSubscription) -> Owned<Stock> {
        let limit = self.quotas.stock as usize;
        let held = self.mailboxes.get(&save.mailbox);
        if held.is_some_and(|mailbox| mailbox.descriptor_sequence > save.descriptor_sequence) {
            return Owned::Stale;
        }
        let (mailbox, fresh) = match self.admit(&save.mailbox, save.stamp, true, save.now) {
            Owned::Done(admitted) => admitted,
            Owned::Stale => return Owned::Stale,
            Owned::Unknown => return Owned::Unknown,
            Owned::Full => return Owned::Full,
        };
        if fresh {
            if save.replace {
                mailbox.surbs.clear();
            }
            mailbox.surbs.retain(|surb| surb.expires > save.now);
            mailbox.surbs.extend(save.surbs);
            mailbox.surbs.truncate(limit);
            mailbox.descriptor = Some(save.descriptor);
            mailbox.descriptor_sequence = save.descriptor_sequence;
            mailbox.permit = save.permit;
            mailbox.former = save.former;
        }
        Owned::Done(mailbox.stock())
    }

    fn fetch(
        &mut self,
        mailbox: &MailboxId,
        stamp: OwnerStamp,
        after: u64,
        limit: u8,
        now: Timestamp,
    ) -> Owned<Fetched> {
        let (mailbox, _) = match self.admit(mailbox, stamp, false, now) {
            Owned::Done(admitted) => admitted,
            Owned::Stale => return Owned::Stale,
            Owned::Unknown => return Owned::Unknown,
            Owned::Full => return Owned::Full,
        };
        let behind = || {
            mailbox
                .envelopes
                .iter()
                .filter(|(cursor, _)| **cursor > after)
        };
        let page: Vec<_> = behind().take(limit.into()).collect();
        let next = page.last().map_or(after, |(cursor, _)| **cursor);
        let remaining = behind().count().saturating_sub(page.len());
        let envelopes = page
            .iter()
            .map(|(_, (id, stored))| (*id, stored.envelope.clone()))
            .collect();
        Owned::Done(Fetched {
            envelopes,
            next,
            remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
        })
    }

    fn read_envelope(&self, mailbox: &MailboxId, id: &EnvelopeId) -> Option<StoredEnvelope> {
        let found = self.mailboxes.get(mailbox)?.find(id)?;
        Some(found.1.clone())
    }

    fn summarise(&self, mailboxes: &[MailboxId]) -> Vec<HeldMail> {
        let held = |mailbox: &MailboxId| {
            let ids = self.mailboxes.get(mailbox)?.held();
            Some(HeldMail {
                mailbox: *mailbox,
                count: u32::try_from(ids.len()).unwrap_or(u32::MAX),
                digest: held_digest(ids),
            })
        };
        mailboxes.iter().filter_map(held).collect()
    }

    fn compare(&self, with: &CompareIds) -> Option<Compared> {
        let mailbox = self.mailboxes.get(&with.mailbox);
        mailbox.map(|here| here.compare(with, &self.quotas))
    }

    fn keep_descriptor(&mut self, mailbox: &MailboxId, sequence: u64, descriptor: Vec<u8>) -> bool {
        let Some(mailbox) = self.mailboxes.get_mut(mailbox) else {
            return false;
        };
        let newer = mailbox.descriptor.is_some() && sequence > mailbox.descriptor_sequence;
        if newer {
            mailbox.descriptor = Some(descriptor);
            mailbox.descriptor_sequence = sequence;
        }
        newer
    }

    fn tombstone(
        &mut self,
        mailbox: &MailboxId,
        ids: &[EnvelopeId],
        hour: Hour,
        proof: &[u8],
    ) -> Option<u16> {
        let limit = self.quotas.tombstones as usize;
        let mailbox = self.mailboxes.get_mut(mailbox)?;
        let named: BTreeSet<_> = ids.iter().collect();
        mailbox.envelopes.retain(|_, (id, _)| !named.contains(id));
        let known = |id: &&&EnvelopeId| mailbox.tombstones.contains_key(**id);
        let new = named.len() - named.iter().filter(known).count();
        let proof: Option<Arc<[u8]>> = (ids.len() <= NAMED_PER_NEW * new).then(|| proof.into());
        for id in ids {
            let tombstone = || (hour, proof.clone());
            mailbox.tombstones.entry(*id).or_insert_with(tombstone);
        }
        while mailbox.tombstones.len() > limit {
            let oldest = mailbox
                .tombstones
                .iter()
                .min_by_key(|(id, (hour, _))| (*hour, **id));
            let Some(id) = oldest.map(|(id, _)| *id) else {
                break;
            };
            mailbox.tombstones.remove(&id);
        }
        u16::try_from(ids.len()).ok()
    }

    fn take_push(&mut self, mailbox: &MailboxId, pick: PushPick, now: Timestamp) -> TakenPush {
        let Some(mailbox) = self.mailboxes.get_mut(mailbox) else {
            let stock = Stock {
                surbs: 0,
                waiting: 0,
            };
            return TakenPush {
                surb: None,
                envelopes: Vec::new(),
                stock,
            };
        };
        mailbox.surbs.retain(|surb| surb.expires > now);
        let mut envelopes = mailbox.pick(&pick);
        let wanted = pick == PushPick::Heartbeat || !envelopes.is_empty();
        let first = mailbox
            .surbs
            .iter()
            .enumerate()
            .min_by_key(|(_, surb)| surb.expires);
        let surb = first
            .map(|(at, _)| at)
            .filter(|_| wanted)
            .map(|at| mailbox.surbs.remove(at).bytes);
        if surb.is_none() {
            envelopes.clear();
        }
        let mut stock = mailbox.stock();
        stock.waiting = stock
            .waiting
            .saturating_sub(u32::try_from(envelopes.len()).unwrap_or(0));
        TakenPush {
            surb,
            envelopes,
            stock,
        }
    }

    fn save_prekeys(&mut self, save: SavePreKeys) -> Owned<u16> {
        let limit = self.quotas.one_time as usize;
        let (mailbox, fresh) = match self.admit(&save.mailbox, save.stamp, false, save.now) {
            Owned::Done(admitted) => admitted,
            Owned::Stale => return Owned::Stale,
            Owned::Unknown => return Owned::Unknown,
            Owned::Full => return Owned::Full,
        };
        if fresh {
            if save.replace {
                mailbox.one_time.clear();
            }
            mailbox.base = Some(save.base);
            mailbox.one_time.extend(save.one_time);
            mailbox.one_time.truncate(limit);
        }
        Owned::Done(u16::try_from(mailbox.one_time.len()).unwrap_or(u16::MAX))
    }

    fn take_prekey(&mut self, mailbox: &MailboxId, one_time: bool) -> Option<Bundle> {
        let mailbox = self.mailboxes.get_mut(mailbox)?;
        let base = mailbox.base.clone()?;
        let one_time = one_time.then(|| mailbox.one_time.pop_front()).flatten();
        Some(Bundle { base, one_time })
    }

    /// Yields the mailboxes that are gone.
    fn sweep(&mut self, now: Timestamp) -> Vec<MailboxId> {
        self.records.retain(|_, record| record.expires > now);
        let idle = Hour::expired(now, MAILBOX_IDLE_LIFE);
        let is_gone = |_: &MailboxId, mailbox: &mut Mailbox| mailbox.touched <= idle;
        let gone = self.mailboxes.extract_if(.., is_gone);
        let gone = gone.map(|(id, _)| id).collect();
        let envelope = Hour::expired(now, ENVELOPE_LIFE);
        let tombstone = Hour::expired(now, TOMBSTONE_LIFE);
        for mailbox in self.mailboxes.values_mut() {
            mailbox
                .envelopes
                .retain(|_, (_, stored)| stored.hour > envelope);
            mailbox.tombstones.retain(|_, (hour, _)| *hour > tombstone);
            mailbox.surbs.retain(|surb| surb.expires > now);
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::conformance::{self, TestStore};

    impl TestStore for MemStore {
        fn with(quotas: Quotas) -> Self {
            Self::new(quotas)
        }

        fn run(&mut self, op: StoreOp) -> Result<StoreReply, StoreError> {
            self.submit(Ticket(0), op);
            self.sync().remove(0).1
        }

        fn reopen(self) -> (Self, Restored) {
            let restored = self.restore();
            (self, restored)
        }
    }

    conformance::suite!(MemStore);

    #[test]
    fn a_crash_keeps_a_prefix_of_what_was_not_answered() {
        let mut store = conformance::with_mailbox::<MemStore>(Quotas::default());
        for n in 0..3 {
            store.submit(Ticket(n), StoreOp::Put(conformance::envelope(n as u8)));
        }
        store.crash(1);
        assert!(!store.is_dirty());
        assert_eq!(store.restore().mailboxes[0].stock.waiting, 1);
    }

    #[test]
    fn a_full_disk_changes_nothing() {
        let mut store = conformance::with_mailbox::<MemStore>(Quotas::default());
        store.set_full(true);
        assert_eq!(
            store.run(StoreOp::Put(conformance::envelope(1))),
            Err(StoreError::Full)
        );
        store.set_full(false);
        assert_eq!(store.restore().mailboxes[0].stock.waiting, 0);
    }
}
