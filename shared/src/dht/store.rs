//! What this relay holds for others: an index in memory; the bytes are on the host's disk.
//!
//! A signer has one record of a kind, because the place follows from its key. Who brings records has a share, and the
//! whole has a bound: beyond it, a record takes the place of the one farthest away, or none.

use core::ops::Bound;
use std::collections::{BTreeMap, BTreeSet};

use super::admission::Proof;
use super::distance::Distance;
use super::record::{Facts, RecordId, RecordKind};
use crate::id::{NodeId, Position};
use crate::time::{Duration, Timestamp};

/// How much is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreLimits {
    /// Records in all.
    pub records: usize,
    /// Bytes in all.
    pub bytes: usize,
    /// Records that one relay has brought. Holders hand over many, so it is a large share of the whole.
    pub per_giver: usize,
    /// Writes under way.
    pub writing: usize,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self {
            records: 100_000,
            bytes: 1 << 30,
            per_giver: 20_000,
            writing: 256,
        }
    }
}

/// A record that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The newer of two has the higher.
    pub sequence: u64,
    /// When it is forgotten.
    pub expires: Timestamp,
    /// Its length in bytes.
    pub length: usize,
    /// Who has brought it.
    pub giver: NodeId,
    /// What was shown for its admission.
    pub proof: Option<Proof>,
    /// When it was stored last, by anybody.
    pub touched: Timestamp,
}

/// What is to be done with a record that has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// Write it, then [`LocalStore::written`].
    Write,
    /// One as new is held, of this sequence.
    Held(u64),
    /// No room for it.
    Full,
    /// A write of the same record, or too many others, are under way.
    Busy,
}

/// The index of the records held.
#[derive(Clone, Debug)]
pub struct LocalStore {
    limits: StoreLimits,
    held: BTreeMap<RecordId, Held>,
    /// The farthest first, to give way.
    by_distance: BTreeSet<(Distance, RecordId)>,
    given: BTreeMap<NodeId, usize>,
    bytes: usize,
    writing: BTreeSet<RecordId>,
    position: Position,
}

impl LocalStore {
    /// An empty store of the relay at a position.
    pub const fn new(position: Position, limits: StoreLimits) -> Self {
        Self {
            limits,
            held: BTreeMap::new(),
            by_distance: BTreeSet::new(),
            given: BTreeMap::new(),
            bytes: 0,
            writing: BTreeSet::new(),
            position,
        }
    }

    /// The record of that id, if it is held.
    pub fn get(&self, id: &RecordId) -> Option<&Held> {
        self.held.get(id)
    }

    /// Every record held.
    pub fn iter(&self) -> impl Iterator<Item = (&RecordId, &Held)> {
        self.held.iter()
    }

    /// The ids of the records held, from one on.
    pub(super) fn from(&self, begin: Bound<RecordId>) -> impl Iterator<Item = &RecordId> {
        self.held.range((begin, Bound::Unbounded)).map(|(id, _)| id)
    }

    /// How many records are held.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// How many bytes they have.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// A checked and admitted record has come. `improves`: it takes the place of one of its sequence. `Write`: its place is
    /// kept until [`written`](Self::written).
    pub(super) fn offer(
        &mut self,
        facts: &Facts,
        length: usize,
        giver: &NodeId,
        improves: bool,
        now: Timestamp,
    ) -> Offer {
        if let Some(held) = self.held.get_mut(&facts.id)
            && held.sequence >= facts.sequence
            && !improves
        {
            // Stored again: whoever did this has republished it.
            if held.sequence == facts.sequence {
                held.touched = now;
                held.expires = held.expires.max(expiry(facts, now));
            }
            return Offer::Held(held.sequence);
        }
        if self.writing.contains(&facts.id) || self.writing.len() >= self.limits.writing {
            return Offer::Busy;
        }
        if !self.has_room(&facts.id, length, giver) {
            return Offer::Full;
        }
        self.writing.insert(facts.id);
        Offer::Write
    }

    /// A record is on disk: it counts. Gives the records that have to go for it.
    pub(super) fn written(&mut self, facts: &Facts, held: Held) -> Vec<RecordId> {
        self.writing.remove(&facts.id);
        self.remove(&facts.id);
        self.bytes = self.bytes.saturating_add(held.length);
        *self.given.entry(held.giver).or_default() += 1;
        self.by_distance
            .insert((self.distance(&facts.id), facts.id));
        self.held.insert(facts.id, held);
        let mut evicted = Vec::new();
        while self.held.len() > self.limits.records || self.bytes > self.limits.bytes {
            let Some((_, farthest)) = self.by_distance.last().copied() else {
                break;
            };
            self.remove(&farthest);
            evicted.push(farthest);
        }
        evicted
    }

    /// A record could not be written.
    pub(super) fn not_written(&mut self, id: &RecordId) {
        self.writing.remove(id);
    }

    /// Whether a record of the same sequence is held for which nothing was shown: nobody would take that one from here.
    pub(super) fn lacks_proof(&self, facts: &Facts) -> bool {
        let same = |held: &Held| held.sequence == facts.sequence && held.proof.is_none();
        self.held.get(&facts.id).is_some_and(same)
    }

    /// Forgets a record.
    pub(super) fn remove(&mut self, id: &RecordId) -> Option<Held> {
        let held = self.held.remove(id)?;
        self.bytes = self.bytes.saturating_sub(held.length);
        self.by_distance.remove(&(self.distance(id), *id));
        if let Some(given) = self.given.get_mut(&held.giver) {
            *given = given.saturating_sub(1);
            if *given == 0 {
                self.given.remove(&held.giver);
            }
        }
        Some(held)
    }

    /// Forgets what is over; gives what that is.
    pub(super) fn expire(&mut self, now: Timestamp) -> Vec<RecordId> {
        let over = |(_, held): &(&RecordId, &Held)| held.expires <= now;
        let gone: Vec<_> = self.held.iter().filter(over).map(|(id, _)| *id).collect();
        for id in &gone {
            self.remove(id);
        }
        gone
    }

    /// Records of accounts that nobody has stored for `age`: they are this relay's to republish. Marks them.
    pub(super) fn due(&mut self, age: Duration, most: usize, now: Timestamp) -> Vec<RecordId> {
        let due = |(id, held): &(&RecordId, &mut Held)| {
            id.kind == RecordKind::Account && now.since(held.touched) >= age
        };
        let mut found = Vec::new();
        for (id, held) in self.held.iter_mut().filter(due).take(most) {
            held.touched = now;
            found.push(*id);
        }
        found
    }

    fn has_room(&self, id: &RecordId, length: usize, giver: &NodeId) -> bool {
        let replaced = self.held.get(id);
        let new = usize::from(replaced.is_none());
        let bytes = self.bytes + length - replaced.map_or(0, |held| held.length.min(length));
        let given = self.given.get(giver).copied().unwrap_or(0);
        let theirs = replaced.is_some_and(|held| held.giver == *giver);
        if !theirs && given >= self.limits.per_giver {
            return false;
        }
        if self.held.len() + new <= self.limits.records && bytes <= self.limits.bytes {
            return true;
        }
        // Somebody has to go, and it must not be the newcomer.
        let farthest = self.by_distance.last();
        farthest.is_some_and(|(distance, _)| self.distance(id) < *distance)
    }

    fn distance(&self, id: &RecordId) -> Distance {
        self.position.to(&id.position())
    }
}

/// When a record that is stored at `now` is forgotten.
pub(super) fn expiry(facts: &Facts, now: Timestamp) -> Timestamp {
    facts.expires.min(now + facts.id.kind.time_to_live())
}
