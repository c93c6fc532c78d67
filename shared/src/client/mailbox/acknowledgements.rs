//! Envelopes that are stored here, and are not yet known to be tombstoned: who is told, and when.

use std::collections::BTreeMap;

use rand_core::CryptoRng;

use super::{FIRST_RETRY, LAST_RETRY};
use crate::client::outbox::backoff;
use crate::id::{EnvelopeId, NodeId};
use crate::rpc::MAX_TOMBSTONE_IDS;
use crate::time::Timestamp;

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Acknowledgements(BTreeMap<EnvelopeId, Acknowledgement>);

#[derive(Clone, Copy, Debug)]
struct Acknowledgement {
    /// Who pushed it: asked first.
    member: NodeId,
    due: Timestamp,
    attempts: u32,
    in_flight: bool,
}

impl Acknowledgements {
    pub(super) fn add(&mut self, id: EnvelopeId, member: NodeId, now: Timestamp) {
        let new = Acknowledgement {
            member,
            due: now,
            attempts: 0,
            in_flight: false,
        };
        self.0.entry(id).or_insert(new);
    }

    /// Those that are due, by the member to ask: first who pushed, then the others in turn. A former member is
    /// asked once; it passes them on to those of now.
    pub(super) fn take(
        &mut self,
        members: &[NodeId],
        is_former: impl Fn(&NodeId) -> bool,
        now: Timestamp,
    ) -> Vec<(NodeId, Vec<EnvelopeId>)> {
        let mut batches: BTreeMap<NodeId, Vec<EnvelopeId>> = BTreeMap::new();
        for (id, ack) in &mut self.0 {
            if ack.in_flight || ack.due > now {
                continue;
            }
            let Some(node) = ack.asks(members, &is_former) else {
                continue;
            };
            let batch = batches.entry(node).or_default();
            if batch.len() < MAX_TOMBSTONE_IDS {
                batch.push(*id);
                ack.in_flight = true;
            }
        }
        batches.into_iter().collect()
    }

    pub(super) fn done(&mut self, ids: &[EnvelopeId]) {
        for id in ids {
            self.0.remove(id);
        }
    }

    pub(super) fn failed(&mut self, ids: &[EnvelopeId], now: Timestamp, rng: &mut impl CryptoRng) {
        for id in ids {
            if let Some(ack) = self.0.get_mut(id) {
                ack.in_flight = false;
                ack.due = now.saturating_add(backoff(ack.attempts, FIRST_RETRY, LAST_RETRY, rng));
                ack.attempts = ack.attempts.saturating_add(1);
            }
        }
    }

    /// When the next one is due.
    pub(super) fn next_timeout(&self) -> Option<Timestamp> {
        let waiting = self.0.values().filter(|ack| !ack.in_flight);
        waiting.map(|ack| ack.due).min()
    }
}

impl Acknowledgement {
    fn asks(&self, members: &[NodeId], is_former: impl Fn(&NodeId) -> bool) -> Option<NodeId> {
        if self.attempts == 0 && is_former(&self.member) {
            return Some(self.member);
        }
        let place = members.iter().position(|node| *node == self.member);
        let turn = usize::try_from(self.attempts).unwrap_or(0) + place.unwrap_or(0);
        members.get(turn.checked_rem(members.len())?).copied()
    }
}
