//! One mailbox in memory.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use zentalk_shared::id::EnvelopeId;
use zentalk_shared::rpc::{EnvelopeBytes, FormerPermit, OneTimeBytes, PreKeyBaseBytes};
use zentalk_shared::time::Timestamp;
use zentalk_shared::wire::budget::ENVELOPE_LEN;

use crate::core::store::{
    CompareIds, Compared, Hour, MAX_PROOFS, OwnerStamp, PAGE_IDS, PushPick, Quotas, Stock,
    StockedSurb, StoredEnvelope,
};

/// When an envelope was acknowledged, and the acknowledgement if it is kept.
pub(super) type Buried = (Hour, Option<Arc<[u8]>>);

#[derive(Clone, Debug)]
pub(super) struct Mailbox {
    pub(super) stamp: OwnerStamp,
    pub(super) descriptor_sequence: u64,
    pub(super) descriptor: Option<Vec<u8>>,
    pub(super) permit: Option<[u8; 32]>,
    pub(super) former: Option<FormerPermit>,
    pub(super) touched: Hour,
    pub(super) next_cursor: u64,
    pub(super) envelopes: BTreeMap<u64, (EnvelopeId, StoredEnvelope)>,
    /// With the acknowledgement that each is from, if that was kept.
    pub(super) tombstones: BTreeMap<EnvelopeId, Buried>,
    pub(super) surbs: Vec<StockedSurb>,
    pub(super) base: Option<PreKeyBaseBytes>,
    pub(super) one_time: VecDeque<OneTimeBytes>,
}

impl Mailbox {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            stamp: OwnerStamp {
                sequence: 0,
                digest: [0; 32],
            },
            descriptor_sequence: 0,
            descriptor: None,
            permit: None,
            former: None,
            touched: Hour::at(now),
            next_cursor: 0,
            envelopes: BTreeMap::new(),
            tombstones: BTreeMap::new(),
            surbs: Vec::new(),
            base: None,
            one_time: VecDeque::new(),
        }
    }

    pub(super) fn find(&self, id: &EnvelopeId) -> Option<&(EnvelopeId, StoredEnvelope)> {
        self.envelopes.values().find(|(held, _)| held == id)
    }

    pub(super) fn is_full(&self, quotas: &Quotas, permitted: bool) -> bool {
        let stored = self.envelopes.values();
        let alike = stored.filter(|(_, stored)| stored.permitted == permitted);
        let held = alike.count();
        match permitted {
            true => {
                held >= quotas.envelopes as usize
                    || (held as u64 + 1) * ENVELOPE_LEN as u64 > quotas.bytes
            }
            false => held >= quotas.first_contact as usize,
        }
    }

    pub(super) fn pick(&self, pick: &PushPick) -> Vec<(EnvelopeId, Box<EnvelopeBytes>)> {
        let item = |(id, stored): &(EnvelopeId, StoredEnvelope)| (*id, stored.envelope.clone());
        match pick {
            PushPick::Heartbeat => Vec::new(),
            PushPick::These(ids) => ids
                .iter()
                .filter_map(|id| self.find(id))
                .map(item)
                .collect(),
            PushPick::Oldest(limit) => self
                .envelopes
                .values()
                .take(usize::from(*limit))
                .map(item)
                .collect(),
        }
    }

    pub(super) fn stock(&self) -> Stock {
        Stock {
            surbs: u16::try_from(self.surbs.len()).unwrap_or(u16::MAX),
            waiting: u32::try_from(self.envelopes.len()).unwrap_or(u32::MAX),
        }
    }

    /// Ids of what waits, ascending.
    pub(super) fn held(&self) -> BTreeSet<EnvelopeId> {
        self.envelopes.values().map(|(id, _)| *id).collect()
    }

    pub(super) fn compare(&self, with: &CompareIds, quotas: &Quotas) -> Compared {
        let all = self.held();
        let in_range = |id: &&EnvelopeId| with.until.is_none_or(|until| **id < until);
        let mut range = all.range(with.from..).take_while(in_range).copied();
        let held = range.by_ref().take(PAGE_IDS).collect();
        let until = range.next();
        let buried = |id: &EnvelopeId| self.tombstones.get(id);
        let theirs = || with.theirs.iter();
        let room = (quotas.envelopes as usize).saturating_sub(all.len());
        let missing = theirs().filter(|id| !all.contains(*id) && buried(id).is_none());
        let missing = missing.take(room).copied().collect();
        let mut proofs: Vec<Vec<u8>> = Vec::new();
        for proof in theirs()
            .filter_map(buried)
            .filter_map(|(_, proof)| proof.as_ref())
        {
            if proofs.len() < MAX_PROOFS && !proofs.iter().any(|known| **known == **proof) {
                proofs.push(proof.to_vec());
            }
        }
        Compared {
            held,
            until,
            missing,
            proofs,
        }
    }
}
