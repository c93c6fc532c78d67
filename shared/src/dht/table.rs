//! The table of contacts: 160 buckets around this relay's position (Kademlia §2.2, §4.1).
//!
//! Only [`Verified`] contacts enter. A bucket exists once somebody is in it. What is persisted are claims: after a
//! restart every contact is dialed back again before it counts.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};
use thiserror::Error;

use super::bucket::{Inserted, K, KBucket};
use super::contact::{Contact, Verified};
use crate::id::{NodeId, Position};
use crate::time::{Duration, Timestamp};
use crate::wire::codec::{BoundedList, from_cbor, to_cbor};

/// Contacts that are persisted at most: the nearest buckets' first.
const MAX_PERSISTED: usize = 1024;
/// The longest persisted table in bytes.
pub const MAX_TABLE_RECORD_LEN: usize = MAX_PERSISTED * 320 + 16;
const RECORD_VERSION: u8 = 1;
/// Who was heard of within this time is not pinged for a newcomer's sake.
const FRESH: Duration = Duration::from_mins(5);

/// The contacts of one relay.
#[derive(Clone, Debug)]
pub struct Table {
    me: NodeId,
    position: Position,
    buckets: BTreeMap<u8, KBucket>,
}

/// Bytes are not a persisted table of a version that is known here: the fault of who stored them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TableRecordError {
    /// Not a record.
    #[error("the stored table is malformed")]
    Malformed,
    /// Of a later version.
    #[error("the stored table is of version {0}")]
    Version(u8),
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct TableRecord {
    #[n(0)]
    version: u8,
    #[n(1)]
    contacts: BoundedList<Contact, MAX_PERSISTED>,
}

impl Table {
    /// An empty table around a relay.
    pub const fn new(me: NodeId, position: Position) -> Self {
        Self {
            me,
            position,
            buckets: BTreeMap::new(),
        }
    }

    /// The position that it is around.
    pub const fn position(&self) -> &Position {
        &self.position
    }

    /// A relay has been heard of. If it has moved, its old place is free.
    pub fn insert(&mut self, seen: &Verified, now: Timestamp) -> Inserted {
        let contact = seen.contact();
        if contact.node() == self.me {
            return Inserted::Myself;
        }
        if !self.contains(contact) {
            self.leaves(&contact.node(), now);
        }
        let at = self.bucket_of(contact);
        let bucket = self.buckets.entry(at).or_insert_with(|| KBucket::new(now));
        bucket.insert(contact, now, now.saturating_sub(FRESH))
    }

    /// A contact did not answer. True if it has gone. What is claimed of a relay that is known elsewhere is nothing to it.
    pub fn failed(&mut self, contact: &Contact, now: Timestamp) -> bool {
        let at = self.bucket_of(contact);
        let Some(bucket) = self.buckets.get_mut(&at) else {
            return false;
        };
        let gone = bucket.failed(contact, now).is_some();
        if bucket.is_empty() {
            self.buckets.remove(&at);
        }
        gone
    }

    /// A relay is where it was no more, wherever that is.
    fn leaves(&mut self, node: &NodeId, now: Timestamp) {
        self.buckets.retain(|_, bucket| {
            bucket.leaves(node, now);
            !bucket.is_empty()
        });
    }

    /// Whether a relay is in the table at that position.
    pub fn contains(&self, contact: &Contact) -> bool {
        let bucket = self.buckets.get(&self.bucket_of(contact));
        bucket.is_some_and(|bucket| bucket.contains(contact))
    }

    /// Every contact, the nearest buckets' first.
    pub fn contacts(&self) -> impl Iterator<Item = &Contact> {
        self.buckets.values().flat_map(KBucket::contacts)
    }

    /// How many contacts there are.
    pub fn len(&self) -> usize {
        self.contacts().count()
    }

    /// Whether nobody is known.
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// The `count` contacts nearest to a point, the nearest first.
    pub fn nearest(&self, to: &Position, count: usize) -> Vec<Contact> {
        // Buckets in the order of their distance from `to`: those where own and asked distance agree come first.
        let mut found: Vec<(_, &Contact)> = Vec::with_capacity(count + K);
        let own = self.position.to(to).bucket();
        let near = |bucket: u8| bucket <= own;
        // Every contact in a bucket up to `own` is nearer to `to` than every contact in a bucket above.
        let (inner, outer): (Vec<_>, Vec<_>) = self.buckets.iter().partition(|(at, _)| near(**at));
        for (_, bucket) in inner {
            found.extend(bucket.contacts().map(|c| (c.position().to(to), c)));
        }
        for (_, bucket) in outer {
            if found.len() >= count {
                break;
            }
            found.extend(bucket.contacts().map(|c| (c.position().to(to), c)));
        }
        found.sort_unstable_by_key(|(distance, contact)| (*distance, contact.node()));
        found.truncate(count);
        found
            .into_iter()
            .map(|(_, contact)| contact.clone())
            .collect()
    }

    /// How many contacts are nearer to a point than this relay, counted up to `limit`.
    pub fn nearer_than_me(&self, to: &Position, limit: usize) -> usize {
        let mine = self.position.to(to);
        let nearer = |contact: &&Contact| contact.position().to(to) < mine;
        self.contacts().filter(nearer).take(limit).count()
    }

    /// Buckets with contacts in whose range nothing was looked up since `since`. Empty ones the join and crawls see to.
    pub fn stale_buckets(&self, since: Timestamp) -> Vec<u8> {
        let stale = |(_, bucket): &(&u8, &KBucket)| bucket.refreshed <= since;
        self.buckets
            .iter()
            .filter(stale)
            .map(|(at, _)| *at)
            .collect()
    }

    /// Something near a point was looked up.
    pub fn refreshed(&mut self, near: &Position, now: Timestamp) {
        let at = self.position.to(near).bucket();
        if let Some(bucket) = self.buckets.get_mut(&at) {
            bucket.refreshed = now;
        }
    }

    /// The bucket of the nearest contact: everything beyond may hold somebody.
    pub fn nearest_bucket(&self) -> Option<u8> {
        self.buckets.keys().next().copied()
    }

    /// The record for the host's disk.
    pub fn persist(&self) -> Vec<u8> {
        let contacts = self.contacts().take(MAX_PERSISTED).cloned().collect();
        to_cbor(&TableRecord {
            version: RECORD_VERSION,
            contacts: BoundedList::new(contacts).unwrap_or_default(),
        })
    }

    fn bucket_of(&self, contact: &Contact) -> u8 {
        self.position.to(contact.position()).bucket()
    }
}

/// Reads what [`Table::persist`] has written: claims, to be dialed back.
pub fn decode_table(bytes: &[u8]) -> Result<Vec<Contact>, TableRecordError> {
    #[derive(Decode)]
    #[cbor(map)]
    struct Version {
        #[n(0)]
        version: u8,
    }
    let version = from_cbor::<Version>(bytes, MAX_TABLE_RECORD_LEN);
    match version.map_err(|_| TableRecordError::Malformed)?.version {
        RECORD_VERSION => from_cbor::<TableRecord>(bytes, MAX_TABLE_RECORD_LEN)
            .map(|record| record.contacts.into_inner())
            .map_err(|_| TableRecordError::Malformed),
        other => Err(TableRecordError::Version(other)),
    }
}
