//! Reassembly: fragments that wait for the rest of their message. Bounded in sets, bytes and age.
//!
//! Nobody has authenticated a fragment: whoever knows a sealing key can send some that never become a
//! message. They take room up to the bounds here, then the oldest set goes. A message of one fragment
//! passes through without taking any.
//!
//! The state lives in memory; the host stores one row a fragment. [`Reassembly::insert`] says which row
//! to write and which to delete; [`Reassembly::restore`] rebuilds the state from the rows.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};
use thiserror::Error;

use super::fragment::{Fragment, FragmentError, FragmentKey, SetId};
use crate::time::{Duration, Timestamp};
use crate::wire::budget::FRAGMENT_LEN;
use crate::wire::codec::{Bytes, CodecError, from_cbor, to_cbor};

/// Incomplete messages kept: several first messages of three fragments from each of many people at once, and beside
/// them as many as all the members of a swarm hold of strangers.
pub const MAX_SETS: usize = 512;
/// Bytes kept: a few messages of the longest kind.
pub const MAX_BYTES: usize = 4 << 20;
/// How long an incomplete message waits: an envelope is retried for 7 days and then held for 30.
pub const MAX_AGE: Duration = Duration::from_days(37);
/// Version of a stored row.
const VERSION: u8 = 1;
/// The longest stored row.
const MAX_ROW_LEN: usize = FRAGMENT_LEN + 64;

/// What came of a fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// The message is whole. Delete the rows of its fragments together with what the message changes.
    Complete {
        /// The session message.
        message: Vec<u8>,
        /// Rows to delete.
        delete: Vec<FragmentKey>,
    },
    /// More is missing. Write the row before the envelope is acknowledged.
    Kept {
        /// Key of the row.
        key: FragmentKey,
        /// Value of the row, a versioned record.
        row: Vec<u8>,
        /// Rows of sets given up for room or age.
        delete: Vec<FragmentKey>,
    },
    /// It was there already.
    Duplicate,
    /// It contradicts what was there, which stays.
    Conflict,
}

/// A stored row is not a fragment: the store's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RowError {
    /// Not such a row.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// Written by a later version of this software.
    #[error("fragment row of unknown version {0}")]
    Version(u8),
    /// Not a fragment.
    #[error(transparent)]
    Fragment(#[from] FragmentError),
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct Row {
    #[n(0)]
    version: u8,
    #[n(1)]
    received: Timestamp,
    #[n(2)]
    fragment: Bytes<FRAGMENT_LEN>,
}

/// Incomplete messages by set.
#[derive(Clone, Debug, Default)]
pub struct Reassembly {
    sets: BTreeMap<SetId, Set>,
}

#[derive(Clone, Debug)]
struct Set {
    /// When its first fragment came.
    since: Timestamp,
    count: u16,
    parts: BTreeMap<u16, Fragment>,
}

impl Reassembly {
    /// Rebuilds the state from the rows that were stored, in any order.
    pub fn restore<'a>(rows: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, RowError> {
        let mut state = Self::default();
        for row in rows {
            let row: Row = from_cbor(row, MAX_ROW_LEN)?;
            if row.version != VERSION {
                return Err(RowError::Version(row.version));
            }
            state.keep(Fragment::decode(&row.fragment.0)?, row.received);
        }
        Ok(state)
    }

    /// Takes a fragment in.
    pub fn insert(&mut self, fragment: Fragment, now: Timestamp) -> Inserted {
        if fragment.count() == 1 {
            return Inserted::Complete {
                message: fragment.into_data(),
                delete: Vec::new(),
            };
        }
        if let Some(set) = self.sets.get(&fragment.set()) {
            if set.count != fragment.count() {
                return Inserted::Conflict;
            }
            match set.parts.get(&fragment.index()) {
                Some(known) if *known == fragment => return Inserted::Duplicate,
                Some(_) => return Inserted::Conflict,
                None => {}
            }
        }
        let (set, key) = (fragment.set(), fragment.key());
        let row = to_cbor(&Row {
            version: VERSION,
            received: now,
            fragment: Bytes(*fragment.encode()),
        });
        self.keep(fragment, now);
        match self.take_complete(&set) {
            Some(parts) => complete(parts, key),
            None => Inserted::Kept {
                key,
                row,
                delete: self.give_up(&set, now),
            },
        }
    }

    /// Gives up sets that have waited too long; the rows to delete.
    pub fn expire(&mut self, now: Timestamp) -> Vec<FragmentKey> {
        self.expire_but(None, now)
    }

    /// When [`expire`](Self::expire) next has something to do.
    pub fn next_expiry(&self) -> Option<Timestamp> {
        let first = self.sets.values().map(|set| set.since).min()?;
        Some(
            first
                .saturating_add(MAX_AGE)
                .saturating_add(Duration::from_ms(1)),
        )
    }

    /// Incomplete messages that wait.
    pub fn len(&self) -> usize {
        self.sets.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    fn keep(&mut self, fragment: Fragment, now: Timestamp) {
        let count = fragment.count();
        let new = || Set {
            since: now,
            count,
            parts: BTreeMap::new(),
        };
        let set = self.sets.entry(fragment.set()).or_insert_with(new);
        set.since = set.since.min(now);
        set.parts.entry(fragment.index()).or_insert(fragment);
    }

    fn take_complete(&mut self, id: &SetId) -> Option<BTreeMap<u16, Fragment>> {
        let set = self.sets.get(id)?;
        if set.parts.len() < usize::from(set.count) {
            return None;
        }
        self.sets.remove(id).map(|set| set.parts)
    }

    fn expire_but(&mut self, spared: Option<&SetId>, now: Timestamp) -> Vec<FragmentKey> {
        let old = |set: &Set| now.since(set.since) > MAX_AGE;
        let expired = self
            .sets
            .iter()
            .filter(|(id, set)| Some(*id) != spared && old(set));
        let expired: Vec<_> = expired.map(|(id, _)| *id).collect();
        expired.iter().flat_map(|id| self.remove(id)).collect()
    }

    /// Makes room: drops what is too old, then the oldest sets but `newest`, until the bounds hold.
    fn give_up(&mut self, newest: &SetId, now: Timestamp) -> Vec<FragmentKey> {
        let mut deleted = self.expire_but(Some(newest), now);
        while self.sets.len() > MAX_SETS || self.bytes() > MAX_BYTES {
            let others = self.sets.iter().filter(|(id, _)| *id != newest);
            let Some(oldest) = others.min_by_key(|(_, set)| set.since).map(|(id, _)| *id) else {
                break;
            };
            deleted.extend(self.remove(&oldest));
        }
        deleted
    }

    fn bytes(&self) -> usize {
        self.sets
            .values()
            .map(|set| set.parts.len() * FRAGMENT_LEN)
            .sum()
    }

    fn remove(&mut self, id: &SetId) -> Vec<FragmentKey> {
        let parts = self
            .sets
            .remove(id)
            .map(|set| set.parts)
            .unwrap_or_default();
        parts.values().map(Fragment::key).collect()
    }
}

/// Joins the parts of a whole message. The row of `last` was never written.
fn complete(parts: BTreeMap<u16, Fragment>, last: FragmentKey) -> Inserted {
    let delete = parts
        .values()
        .map(Fragment::key)
        .filter(|key| *key != last)
        .collect();
    let message = parts.into_values().flat_map(Fragment::into_data).collect();
    Inserted::Complete { message, delete }
}
