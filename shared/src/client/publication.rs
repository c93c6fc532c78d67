//! What I publish so that others can write to me: the account record in the directory, and prekeys at
//! the members of my swarm.

use std::collections::{BTreeMap, BTreeSet};

use rand::RngExt;
use rand_core::CryptoRng;

use super::discovery::RECORD_RELAYS;
use super::outbox::backoff;
use super::records::{PublicationRow, Record, meta};
use super::store::{Row, Write};
use crate::id::NodeId;
use crate::time::{Duration, Timestamp};
use crate::wire::codec::BoundedList;

/// The record, and the proof of freshness in it, are renewed this often.
const RENEW: Duration = Duration::from_days(1);
/// What a record tells of its time.
pub(super) const TOLD: Duration = Duration::from_hours(1);
/// Members are asked how many one-time prekeys they still hold this often.
const CHECK: Duration = Duration::from_hours(1);
/// How far ahead a sequence may be that a relay names: less than what relays refuse, since their clocks differ.
const SEQUENCE_AHEAD: Duration = Duration::from_hours(22);
const FIRST_RETRY: Duration = Duration::from_secs(2);
const LAST_RETRY: Duration = Duration::from_mins(5);

/// Live state of what is published.
#[derive(Debug)]
pub(super) struct Publication {
    pub(super) row: PublicationRow,
    record: RecordState,
    members: BTreeMap<NodeId, PreKeyState>,
}

#[derive(Debug)]
enum RecordState {
    /// Not before this time.
    Waiting { due: Timestamp, attempts: u32 },
    /// Relays have been asked.
    Asked {
        sequence: u64,
        asked: usize,
        answered: usize,
        stored: usize,
        attempts: u32,
    },
}

#[derive(Clone, Copy, Debug)]
struct PreKeyState {
    due: Timestamp,
    attempts: u32,
    /// One-time prekeys of the publication that is under way.
    in_flight: Option<usize>,
    /// One-time prekeys that the member said it holds; unknown before the first answer.
    held: Option<u16>,
}

/// What to publish to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PreKeyDue {
    pub(super) node: NodeId,
    /// One-time prekeys to make for it.
    pub(super) count: usize,
}

impl Publication {
    pub(super) fn restore(row: PublicationRow, now: Timestamp) -> Self {
        let due = row.record_stored.map_or(now, |at| at.saturating_add(RENEW));
        Self {
            row,
            record: RecordState::Waiting { due, attempts: 0 },
            members: BTreeMap::new(),
        }
    }

    /// The swarm, the sealing key or a prekey has changed: publish now.
    pub(super) fn touch(&mut self, members: &[NodeId], now: Timestamp) {
        self.record = RecordState::Waiting {
            due: now,
            attempts: 0,
        };
        self.set_members(members, now);
    }

    /// Which relays hold my prekeys.
    pub(super) fn set_members(&mut self, members: &[NodeId], now: Timestamp) {
        let fresh = PreKeyState {
            due: now,
            attempts: 0,
            in_flight: None,
            held: None,
        };
        self.members = members.iter().map(|node| (*node, fresh)).collect();
    }

    pub(super) fn record_due(&self, now: Timestamp) -> bool {
        matches!(&self.record, RecordState::Waiting { due, .. } if *due <= now)
    }

    /// Readers ask these relays first: if they are others than those that were asked to hold the record, it
    /// is published again at once.
    pub(super) fn relays_are(&mut self, nearest: &[NodeId], now: Timestamp) {
        if !nearest.is_empty() && self.row.relays.as_deref() != Some(nearest) {
            self.record = RecordState::Waiting {
                due: now,
                attempts: 0,
            };
        }
    }

    /// Publications of the record that have failed in a row.
    pub(super) const fn record_attempts(&self) -> u32 {
        match &self.record {
            RecordState::Waiting { attempts, .. } | RecordState::Asked { attempts, .. } => {
                *attempts
            }
        }
    }

    /// Whether relays are being asked to hold the record of this sequence.
    pub(super) fn is_asked(&self, of: u64) -> bool {
        matches!(&self.record, RecordState::Asked { sequence, .. } if *sequence == of)
    }

    /// Nobody to ask: try again later.
    pub(super) fn record_postponed(&mut self, now: Timestamp) {
        self.record = RecordState::Waiting {
            due: now.saturating_add(LAST_RETRY),
            attempts: 0,
        };
    }

    /// A new sequence for the record, larger than any before that relays may hold; the caller stores the row. `nearest`: where
    /// readers look first. `asked`: how many relays are asked to hold it.
    ///
    /// It tells the hour and no more: requests about my mailbox, perhaps to the same relays, tell theirs to the
    /// millisecond, and the same one would join the two.
    pub(super) fn record_asked(
        &mut self,
        nearest: &[NodeId],
        asked: usize,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> u64 {
        let within = rng.random_range(0..TOLD.as_ms());
        let drawn = now.floor_to(TOLD).as_ms().saturating_add(within);
        // No relay holds one further ahead: this clock once was, and what it numbered then is of no use.
        let last = Some(self.row.record_sequence)
            .filter(|last| !Timestamp::from_ms(*last).is_ahead_of(now));
        let next = last.map_or(0, |last| last.saturating_add(1));
        let sequence = drawn.max(next);
        self.row.record_sequence = sequence;
        self.row.relays = BoundedList::new(nearest.to_vec()).ok();
        let attempts = self.record_attempts();
        self.record = RecordState::Asked {
            sequence,
            asked,
            answered: 0,
            stored: 0,
            attempts,
        };
        sequence
    }

    /// A relay holds a record of this sequence. Whoever has the directory key may have published it: the next one
    /// goes above it, unless the relay claims what other relays would refuse.
    pub(super) fn held_elsewhere(&mut self, sequence: u64, now: Timestamp) {
        if sequence <= now.saturating_add(SEQUENCE_AHEAD).as_ms() {
            self.row.record_sequence = self.row.record_sequence.max(sequence);
        }
    }

    /// One of the relays answered, or did not. True when a majority has stored it: store the row.
    pub(super) fn record_answered(
        &mut self,
        of: u64,
        was_stored: bool,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> bool {
        let RecordState::Asked {
            sequence,
            asked,
            answered,
            stored,
            attempts,
        } = &mut self.record
        else {
            return false;
        };
        if *sequence != of {
            return false;
        }
        *answered += 1;
        *stored += usize::from(was_stored);
        if answered < asked {
            return false;
        }
        // Of those further away that were asked as well, none needs to hold it.
        if *stored > (*asked).min(RECORD_RELAYS) / 2 {
            self.row.record_stored = Some(now);
            self.record = RecordState::Waiting {
                due: now.saturating_add(RENEW),
                attempts: 0,
            };
            return true;
        }
        let due = now.saturating_add(backoff(*attempts, FIRST_RETRY, LAST_RETRY, rng));
        self.record = RecordState::Waiting {
            due,
            attempts: attempts.saturating_add(1),
        };
        false
    }

    pub(super) fn write(&self) -> Write {
        Write::Put(Row::plain(meta::publication(), self.row.to_value()))
    }

    /// Members that want prekeys or have not been asked for long. `batch` is a full batch.
    pub(super) fn prekeys_due(
        &self,
        batch: u16,
        busy: &BTreeSet<NodeId>,
        now: Timestamp,
    ) -> Vec<PreKeyDue> {
        let free = self.members.iter().filter(|(node, _)| !busy.contains(node));
        let due = free.filter(|(_, state)| state.in_flight.is_none() && state.due <= now);
        due.map(|(node, state)| {
            let count = match state.held {
                // Ask first how many are left from before.
                None => 0,
                Some(held) if held < batch / 2 => batch - held,
                Some(_) => 0,
            };
            PreKeyDue {
                node: *node,
                count: usize::from(count),
            }
        })
        .collect()
    }

    pub(super) fn prekeys_asked(&mut self, due: PreKeyDue) {
        if let Some(state) = self.members.get_mut(&due.node) {
            state.in_flight = Some(due.count);
        }
    }

    /// The member now holds so many.
    pub(super) fn prekeys_held(&mut self, node: NodeId, held: u16, batch: u16, now: Timestamp) {
        if let Some(state) = self.members.get_mut(&node) {
            // A member that has just got a batch and says that it holds few is not given another at once.
            let only_asked = state.in_flight == Some(0);
            let due = if held < batch / 2 && only_asked {
                now
            } else {
                now.saturating_add(CHECK)
            };
            *state = PreKeyState {
                due,
                attempts: 0,
                in_flight: None,
                held: Some(held),
            };
        }
    }

    pub(super) fn prekeys_failed(
        &mut self,
        node: NodeId,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) {
        if let Some(state) = self.members.get_mut(&node) {
            state.in_flight = None;
            // It may have taken them all the same: it is asked before others are made.
            state.held = None;
            state.due = now.saturating_add(backoff(state.attempts, FIRST_RETRY, LAST_RETRY, rng));
            state.attempts = state.attempts.saturating_add(1);
        }
    }

    /// When something is due next; only asked while a guard is connected.
    pub(super) fn next_timeout(&self, busy: &BTreeSet<NodeId>) -> Option<Timestamp> {
        let record = match &self.record {
            RecordState::Waiting { due, .. } => Some(*due),
            RecordState::Asked { .. } => None,
        };
        let free = self
            .members
            .iter()
            .filter(|(node, state)| !busy.contains(node) && state.in_flight.is_none());
        let members = free.map(|(_, state)| state.due);
        record.into_iter().chain(members).min()
    }
}
