//! The outbox: what is on its way to contacts, in memory and in the store.
//!
//! ```text
//!   waiting for a session ──seal──▶ envelopes ──put, again and again──▶ each held by a majority
//!                                                  gone ◀──receipt, or 7 days──┘ (texts; others at once)
//! ```
//! Envelope bytes are stored before the first attempt and are the same in every later one, and so is their id.

mod withdraw;

use core::ops::RangeInclusive;
use std::collections::{BTreeMap, BTreeSet};

use rand_core::CryptoRng;

use super::records::{EnvelopeEntry, ItemBody, ItemRow, envelope_key};
use super::store::{Row, Write};
use super::view::WaitReason;
use crate::id::{Address, DeviceId, EnvelopeId, MessageId};
use crate::rpc::{EnvelopeBytes, envelope_id};
use crate::time::{Duration, Timestamp};

/// Attempts are given up after this time.
pub(super) const GIVE_UP: Duration = Duration::from_days(7);
/// Envelopes on their way to relays at once.
const MAX_PUTS: usize = 16;
/// Items that may wait; beyond, the caller is told.
pub const MAX_ITEMS: usize = 1000;
const FIRST_RETRY: Duration = Duration::from_secs(2);
const LAST_RETRY: Duration = Duration::from_mins(5);

/// Names an item: the conversation and the MessageId of its content.
pub(super) type ItemId = (Address, MessageId);

/// Live state of everything that waits.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    items: BTreeMap<ItemId, Item>,
    bytes: BTreeMap<EnvelopeId, Box<EnvelopeBytes>>,
    /// Contacts to whom nothing leaves until a person accepts their keys.
    blocked: BTreeSet<Address>,
}

/// One item.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) row: ItemRow,
    /// Not sealed before this time, so that receipts can gather; `None` once it has come.
    not_before: Option<Timestamp>,
    tries: BTreeMap<EnvelopeId, Try>,
    /// Reason last shown.
    shown_reason: Option<WaitReason>,
}

/// Attempts for one envelope.
#[derive(Clone, Copy, Debug)]
struct Try {
    attempts: u32,
    next: Timestamp,
    in_flight: bool,
    /// A relay wants work for it, which is being done.
    working: bool,
}

/// An envelope whose turn it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Due {
    pub(super) item: ItemId,
    pub(super) envelope: EnvelopeId,
    pub(super) device: DeviceId,
    pub(super) attempt: u32,
}

impl Outbox {
    /// Takes up what the store had; everything is due at once.
    pub(super) fn restore(
        items: Vec<ItemRow>,
        envelopes: Vec<(EnvelopeId, Box<EnvelopeBytes>)>,
        now: Timestamp,
    ) -> Self {
        let mut outbox = Self {
            items: BTreeMap::new(),
            bytes: envelopes.into_iter().collect(),
            blocked: BTreeSet::new(),
        };
        for row in items {
            outbox.insert(Item::new(row, now));
        }
        outbox
    }

    /// Adds an item; the caller writes its row.
    pub(super) fn add(&mut self, row: ItemRow, not_before: Timestamp) {
        self.insert(Item::new(row, not_before));
    }

    fn insert(&mut self, item: Item) {
        self.items.insert((item.row.address, item.row.id), item);
    }

    /// Nothing more leaves for this contact.
    pub(super) fn block(&mut self, address: Address) {
        self.blocked.insert(address);
    }

    /// What waits may leave.
    pub(super) fn unblock(&mut self, address: &Address) {
        self.blocked.remove(address);
    }

    pub(super) fn is_blocked(&self, address: &Address) -> bool {
        self.blocked.contains(address)
    }

    pub(super) fn is_full(&self) -> bool {
        let waiting = self.items.values().filter(|item| !item.is_held());
        waiting.count() >= MAX_ITEMS
    }

    pub(super) fn get(&self, id: &ItemId) -> Option<&Item> {
        self.items.get(id)
    }

    /// A receipt of the same kind for the same contact that is not sealed yet: more ids can join it.
    pub(super) fn open_receipt(&mut self, address: &Address, read: bool) -> Option<&mut ItemRow> {
        self.of_mut(address).map(|item| &mut item.row).find(
            |row| matches!(&row.body, Some(ItemBody::Receipt { read: kind, .. }) if *kind == read),
        )
    }

    fn of(&self, address: &Address) -> impl Iterator<Item = &Item> {
        self.items.range(of(address)).map(|(_, item)| item)
    }

    fn of_mut(&mut self, address: &Address) -> impl Iterator<Item = &mut Item> {
        self.items.range_mut(of(address)).map(|(_, item)| item)
    }

    /// Contacts for whom something waits to be sealed, and whether its time has come.
    pub(super) fn unsealed(
        &mut self,
        now: Timestamp,
    ) -> impl Iterator<Item = (Address, bool)> + use<> {
        let mut contacts = BTreeMap::new();
        for item in self
            .items
            .values_mut()
            .filter(|item| item.row.body.is_some())
        {
            item.not_before = item.not_before.filter(|time| *time > now);
            *contacts.entry(item.row.address).or_default() |= item.not_before.is_none();
        }
        contacts.into_iter()
    }

    /// Items of one contact that are due to be sealed, oldest first.
    pub(super) fn to_seal(&self, address: &Address) -> Vec<ItemRow> {
        let due = |item: &&Item| item.row.body.is_some() && item.not_before.is_none();
        let due = self.of(address).filter(due);
        let mut rows: Vec<_> = due.map(|item| item.row.clone()).collect();
        rows.sort_by_key(|row| (sent_at(row), row.id));
        rows
    }

    /// Replaces the body of an item by its envelopes; returns the writes.
    pub(super) fn sealed(
        &mut self,
        id: &ItemId,
        envelopes: Vec<(DeviceId, Box<EnvelopeBytes>)>,
        now: Timestamp,
    ) -> Vec<Write> {
        let Some(item) = self.items.get_mut(id) else {
            return Vec::new();
        };
        item.row.body = None;
        let mut writes = Vec::with_capacity(envelopes.len() + 1);
        for (device, bytes) in envelopes {
            let envelope = envelope_id(&bytes);
            item.row.envelopes.push(EnvelopeEntry {
                id: envelope,
                device,
                held: None,
            });
            item.tries.insert(envelope, Try::new(now));
            writes.push(Write::Put(Row::plain(
                envelope_key(&envelope),
                bytes.0.to_vec(),
            )));
            self.bytes.insert(envelope, bytes);
        }
        writes.push(Write::Put(item.row.row()));
        writes
    }

    /// Envelopes whose turn has come, marked as under way.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Vec<Due> {
        let mut room = self.room();
        let mut due = Vec::new();
        let blocked = &self.blocked;
        let items = self.items.iter_mut();
        for (id, item) in items.filter(|(id, _)| !blocked.contains(&id.0)) {
            let Item { row, tries, .. } = item;
            for entry in row.envelopes.iter().filter(|entry| entry.held.is_none()) {
                let Some(state) = tries.get_mut(&entry.id) else {
                    continue;
                };
                if room == 0 || state.in_flight || state.next > now {
                    continue;
                }
                room -= 1;
                state.in_flight = true;
                due.push(Due {
                    item: *id,
                    envelope: entry.id,
                    device: entry.device,
                    attempt: state.attempts,
                });
            }
        }
        due
    }

    /// How many more may be under way at once.
    fn room(&self) -> usize {
        let tries = self.items.values().flat_map(|item| item.tries.values());
        MAX_PUTS.saturating_sub(tries.filter(|state| state.in_flight).count())
    }

    /// The bytes of an envelope.
    pub(super) fn bytes(&self, envelope: &EnvelopeId) -> Option<&EnvelopeBytes> {
        self.bytes.get(envelope).map(Box::as_ref)
    }

    /// Work for an envelope that is under way begins or ends.
    pub(super) fn working(&mut self, id: &ItemId, envelope: &EnvelopeId, working: bool) {
        let item = self.items.get_mut(id);
        if let Some(state) = item.and_then(|item| item.tries.get_mut(envelope)) {
            state.working = working;
        }
    }

    /// An attempt failed: another follows after a growing pause. Returns how many have failed.
    pub(super) fn failed(
        &mut self,
        id: &ItemId,
        envelope: &EnvelopeId,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> u32 {
        let Some(state) = self
            .items
            .get_mut(id)
            .and_then(|item| item.tries.get_mut(envelope))
        else {
            return 0;
        };
        state.in_flight = false;
        state.working = false;
        state.next = now.saturating_add(backoff(state.attempts, FIRST_RETRY, LAST_RETRY, rng));
        state.attempts = state.attempts.saturating_add(1);
        state.attempts
    }

    /// A majority holds the envelope. Returns the writes, and (held, of) if that was the item's last one.
    pub(super) fn held(
        &mut self,
        id: &ItemId,
        envelope: &EnvelopeId,
        held: u8,
        of: u8,
    ) -> (Vec<Write>, Option<(u8, u8)>) {
        let Some(item) = self.items.get_mut(id) else {
            return (Vec::new(), None);
        };
        let mut entries = item.row.envelopes.iter_mut();
        let Some(entry) = entries.find(|entry| entry.id == *envelope) else {
            return (Vec::new(), None);
        };
        entry.held = Some((held, of));
        item.tries.remove(envelope);
        let all = item
            .row
            .envelopes
            .iter()
            .map(|entry| entry.held)
            .collect::<Option<Vec<_>>>();
        match all.filter(|_| item.row.body.is_none()) {
            // The worst-held envelope speaks for the message.
            Some(all) => (self.all_held(id), all.into_iter().min()),
            None => (vec![Write::Put(item.row.row())], None),
        }
    }

    /// A majority holds every envelope: their bytes go. A text stays until its receipt, so that it can be sent
    /// again should its session turn out to be lost.
    fn all_held(&mut self, id: &ItemId) -> Vec<Write> {
        let held = self.items.values().filter(|item| item.is_held()).count();
        let row = self.items.get(id).map(|item| item.row.clone());
        let mut writes = self.remove(id);
        if let Some(mut row) = row.filter(|row| row.shown && held < MAX_ITEMS) {
            row.envelopes.clear();
            let item = ItemRow::key(&id.0, &id.1);
            writes.retain(|write| *write.key() != item);
            writes.push(Write::Put(row.row()));
            self.insert(Item::new(row, Timestamp::EPOCH));
        }
        writes
    }

    /// Texts to a contact that were sealed and have no receipt yet.
    pub(super) fn unconfirmed(&self, address: &Address) -> Vec<MessageId> {
        let sealed = |item: &&Item| item.row.shown && item.row.body.is_none();
        let sealed = self.of(address).filter(sealed);
        sealed.map(|item| item.row.id).collect()
    }

    /// Forgets an item; returns the writes.
    pub(super) fn remove(&mut self, id: &ItemId) -> Vec<Write> {
        let Some(item) = self.items.remove(id) else {
            return Vec::new();
        };
        let mut writes = vec![Write::Delete(ItemRow::key(&id.0, &id.1))];
        for entry in &item.row.envelopes {
            self.bytes.remove(&entry.id);
            writes.push(Write::Delete(envelope_key(&entry.id)));
        }
        writes
    }

    /// Everything that waits is due now: a link came up, or the contact's mailbox has moved.
    pub(super) fn hurry(&mut self, now: Timestamp) {
        for state in self
            .items
            .values_mut()
            .flat_map(|item| item.tries.values_mut())
        {
            state.next = state.next.min(now);
        }
    }

    /// The same for one contact.
    pub(super) fn hurry_to(&mut self, address: &Address, now: Timestamp) {
        let tries = self
            .of_mut(address)
            .flat_map(|item| item.tries.values_mut());
        for state in tries {
            state.next = state.next.min(now);
        }
    }

    /// Whether anything waits for this contact.
    pub(super) fn has_any(&self, address: &Address) -> bool {
        self.of(address).any(|item| !item.is_held())
    }

    /// Items whose seven days are over.
    pub(super) fn expired(&self, now: Timestamp) -> Vec<(ItemId, bool)> {
        let over = |item: &&Item| now.since(item.row.created) >= GIVE_UP;
        self.items
            .values()
            .filter(over)
            .map(|item| (item.id(), item.row.body.is_none()))
            .collect()
    }

    /// Why a message is still waiting. `offline`: why nothing is sent to anybody; `unknown`: nobody knows its contact.
    pub(super) fn reason(
        &self,
        id: &ItemId,
        offline: Option<WaitReason>,
        unknown: bool,
    ) -> Option<WaitReason> {
        let item = self.items.get(id)?;
        Some(if self.is_blocked(&id.0) {
            WaitReason::KeysChanged
        } else if let Some(reason) = offline {
            reason
        } else if item.row.body.is_some() && unknown {
            WaitReason::ContactNotFound
        } else if item.row.body.is_some() {
            WaitReason::LookingUpContact
        } else if item.tries.values().any(|state| state.working) {
            WaitReason::Preparing
        } else if item.tries.values().any(|state| state.attempts > 0) {
            WaitReason::Retrying
        } else {
            WaitReason::WaitingForRelays
        })
    }

    /// Messages whose reason is another than was shown last.
    pub(super) fn changed_reasons(
        &mut self,
        offline: Option<WaitReason>,
        is_unknown: impl Fn(&Address) -> bool,
    ) -> Vec<ItemId> {
        let ids: Vec<_> = self
            .items
            .values()
            .filter(|item| item.row.shown && !item.is_held())
            .map(Item::id)
            .collect();
        ids.into_iter()
            .filter(|id| {
                let reason = self.reason(id, offline, is_unknown(&id.0));
                let item = self.items.get_mut(id);
                item.is_some_and(|item| {
                    core::mem::replace(&mut item.shown_reason, reason) != reason
                })
            })
            .collect()
    }

    /// When something is due next.
    pub(super) fn next_timeout(&self, online: bool) -> Option<Timestamp> {
        // What is past its time to be sealed waits for a session, not for the clock.
        let seal = self
            .items
            .values()
            .filter(|item| item.row.body.is_some())
            .filter_map(|item| item.not_before);
        let can_put = online && self.room() > 0;
        let free = self.items.values();
        let free = free.filter(|item| !self.is_blocked(&item.row.address));
        let tries = free.flat_map(|item| item.tries.values());
        let put = tries
            .filter(|state| can_put && !state.in_flight)
            .map(|state| state.next);
        seal.chain(put).min()
    }
}

impl Item {
    fn new(row: ItemRow, not_before: Timestamp) -> Self {
        let open = row.envelopes.iter().filter(|entry| entry.held.is_none());
        let tries = open.map(|entry| (entry.id, Try::new(not_before))).collect();
        Self {
            row,
            not_before: Some(not_before),
            tries,
            shown_reason: None,
        }
    }

    /// Nothing is left to do but to wait for the receipt.
    const fn is_held(&self) -> bool {
        self.row.body.is_none() && self.row.envelopes.is_empty()
    }

    const fn id(&self) -> ItemId {
        (self.row.address, self.row.id)
    }
}

impl Try {
    const fn new(now: Timestamp) -> Self {
        Self {
            attempts: 0,
            next: now,
            in_flight: false,
            working: false,
        }
    }
}

/// Names of all items of one contact.
fn of(address: &Address) -> RangeInclusive<ItemId> {
    let low = (*address, MessageId::from_bytes([0; 16]));
    let high = (*address, MessageId::from_bytes([0xff; 16]));
    low..=high
}

fn sent_at(row: &ItemRow) -> Timestamp {
    match &row.body {
        Some(ItemBody::Text { sent, .. }) => *sent,
        _ => row.created,
    }
}

/// Exponential backoff with equal jitter: between half and all of `first` · 2^attempts, at most `last`.
pub(super) fn backoff(
    attempts: u32,
    first: Duration,
    last: Duration,
    rng: &mut impl CryptoRng,
) -> Duration {
    let whole = first
        .saturating_mul(1 << attempts.min(20))
        .as_ms()
        .min(last.as_ms())
        .max(2);
    Duration::from_ms(whole / 2 + rng.next_u64() % (whole / 2 + 1))
}
