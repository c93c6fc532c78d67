//! One bucket: up to K contacts of one distance, the one that was seen longest ago first, and others that wait.
//!
//! Contacts that answer stay: who has been there for long will stay for long (Kademlia §4.1), and nobody pushes them
//! out by being new. A newcomer waits until one of them fails.

use super::contact::Contact;
use crate::id::NodeId;
use crate::time::Timestamp;

/// Contacts of one bucket.
pub const K: usize = 20;
/// Contacts of one network in one bucket, and as many that wait.
pub const MAX_OF_NETWORK: usize = 2;
/// Failures in a row after which a contact goes, even if nobody waits.
const PATIENCE: u8 = 2;

/// A k-bucket.
#[derive(Clone, Debug)]
pub(super) struct KBucket {
    /// Seen longest ago first.
    entries: Vec<Entry>,
    /// Seen longest ago first.
    waiting: Vec<Contact>,
    /// When something in it was last looked up.
    pub(super) refreshed: Timestamp,
    /// Who is being pinged for a newcomer's sake.
    probed: Option<NodeId>,
}

/// A contact and how it does.
#[derive(Clone, Debug)]
struct Entry {
    contact: Contact,
    seen: Timestamp,
    failures: u8,
}

/// What has become of a contact that was shown to the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It is in the table, and was not before.
    New,
    /// It was in the table, and has been seen again.
    Known,
    /// The bucket is full: it waits. Whom to ping, if that is not under way, or just now answered.
    Waits(Option<Contact>),
    /// Two of its network are in the bucket already.
    Crowded,
    /// It is this relay itself.
    Myself,
}

impl KBucket {
    pub(super) const fn new(now: Timestamp) -> Self {
        Self {
            entries: Vec::new(),
            waiting: Vec::new(),
            refreshed: now,
            probed: None,
        }
    }

    pub(super) fn contacts(&self) -> impl Iterator<Item = &Contact> {
        self.entries.iter().map(|entry| &entry.contact)
    }

    /// Whether a relay is there, in that network.
    pub(super) fn contains(&self, contact: &Contact) -> bool {
        let same = |c: &Contact| c.node() == contact.node() && c.network() == contact.network();
        self.contacts().any(same)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes a contact that has just been seen, and is nowhere else. Whoever was seen more recently than `fresh` ago is not pinged again.
    pub(super) fn insert(
        &mut self,
        contact: &Contact,
        now: Timestamp,
        fresh: Timestamp,
    ) -> Inserted {
        let node = contact.node();
        if self.probed == Some(node) {
            self.probed = None;
        }
        if let Some(at) = self.position_of(&node) {
            self.entries.remove(at);
            self.push(contact.clone(), now);
            return Inserted::Known;
        }
        if crowded(self.contacts(), contact) {
            return Inserted::Crowded;
        }
        if self.entries.len() < K {
            self.push(contact.clone(), now);
            return Inserted::New;
        }
        self.wait(contact);
        Inserted::Waits(self.probe(fresh))
    }

    /// A contact did not answer. True if it is gone.
    pub(super) fn failed(&mut self, contact: &Contact, now: Timestamp) -> Option<Inserted> {
        self.waiting.retain(|waiting| waiting != contact);
        let at = self.contacts().position(|c| c == contact)?;
        if self.probed == Some(contact.node()) {
            self.probed = None;
        }
        let entry = self.entries.get_mut(at)?;
        entry.failures = entry.failures.saturating_add(1);
        if entry.failures < PATIENCE && self.waiting.is_empty() {
            return None;
        }
        self.entries.remove(at);
        Some(self.promote(now))
    }

    /// A relay has moved away: who waits may have its place, and it comes as a newcomer wherever it is now.
    pub(super) fn leaves(&mut self, node: &NodeId, now: Timestamp) {
        self.waiting.retain(|contact| contact.node() != *node);
        if let Some(at) = self.position_of(node) {
            self.probed = self.probed.filter(|probed| probed != node);
            self.entries.remove(at);
            self.promote(now);
        }
    }

    /// The newest of those that wait takes the free place.
    fn promote(&mut self, now: Timestamp) -> Inserted {
        while let Some(contact) = self.waiting.pop() {
            if !crowded(self.contacts(), &contact) {
                self.push(contact, now);
                return Inserted::New;
            }
        }
        Inserted::Waits(None)
    }

    fn wait(&mut self, contact: &Contact) {
        self.waiting
            .retain(|waiting| waiting.node() != contact.node());
        if crowded(self.waiting.iter(), contact) {
            return;
        }
        if self.waiting.len() >= K {
            self.waiting.remove(0);
        }
        self.waiting.push(contact.clone());
    }

    /// Whom to ping: the one seen longest ago, unless that is recent, or a ping is under way.
    fn probe(&mut self, fresh: Timestamp) -> Option<Contact> {
        let oldest = self.entries.first()?;
        if self.probed.is_some() || oldest.seen >= fresh {
            return None;
        }
        self.probed = Some(oldest.contact.node());
        Some(oldest.contact.clone())
    }

    fn push(&mut self, contact: Contact, now: Timestamp) {
        self.entries.push(Entry {
            contact,
            seen: now,
            failures: 0,
        });
    }

    fn position_of(&self, node: &NodeId) -> Option<usize> {
        self.contacts().position(|contact| contact.node() == *node)
    }
}

fn crowded<'a>(mut contacts: impl Iterator<Item = &'a Contact>, newcomer: &Contact) -> bool {
    let same = |contact: &&Contact| contact.network() == newcomer.network();
    contacts
        .by_ref()
        .filter(same)
        .nth(MAX_OF_NETWORK - 1)
        .is_some()
}
