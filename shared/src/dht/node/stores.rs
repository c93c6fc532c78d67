//! Records on their way: to the host's disk, and to other relays.

use rand_core::CryptoRng;

use super::queries::Asked;
use super::{Answer, Node, Output, Published, QueryId, Ticket};
use crate::dht::admission::{Admission, Proof};
use crate::dht::bucket::K;
use crate::dht::contact::Contact;
use crate::dht::message::{Reply, Request, StoreOutcome, StoreRequest, StoredReply};
use crate::dht::record::{DhtRecordBytes, Facts, RecordId, RecordScheme};
use crate::dht::store::Held;
use crate::id::{MessageId, NodeId};
use crate::time::Timestamp;

/// Questions of one job under way.
const PARALLEL: usize = 8;

/// One record on its way to several relays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StoreJobId(pub(super) u64);

#[derive(Clone, Debug)]
pub(super) struct StoreJob {
    facts: Facts,
    record: Vec<u8>,
    proof: Option<Proof>,
    /// The nearest last.
    targets: Vec<Contact>,
    under_way: usize,
    published: Published,
    query: Option<QueryId>,
}

/// What goes on when the host's store has answered.
#[derive(Clone, Debug)]
pub(super) enum After {
    /// A record is written: it counts, and whoever brought it is told.
    Stored {
        facts: Facts,
        held: Held,
        reply: Option<(NodeId, MessageId)>,
        job: Option<StoreJobId>,
    },
    /// A record is read that somebody has asked for.
    Value {
        to: NodeId,
        id: MessageId,
        record: RecordId,
    },
    /// A record is read that is to be published again.
    Republish(RecordId),
    /// A record is read that belongs to a newcomer, too.
    HandOver(RecordId, Contact),
}

impl<R: RecordScheme, A: Admission> Node<R, A> {
    pub(super) fn write(&mut self, record: Vec<u8>, after: After, id: RecordId, held: Held) {
        let ticket = Ticket(self.number());
        self.pending.insert(ticket, after);
        self.outputs
            .push_back(Output::Write(ticket, id, held, record));
    }

    pub(super) fn read(&mut self, id: RecordId, after: After) {
        let ticket = Ticket(self.number());
        self.pending.insert(ticket, after);
        self.outputs.push_back(Output::Read(ticket, id));
    }

    /// The host's store has written a record, durably, or could not.
    pub fn handle_written(
        &mut self,
        ticket: Ticket,
        durable: bool,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) {
        let Some(After::Stored {
            facts,
            held,
            reply,
            job,
        }) = self.pending.remove(&ticket)
        else {
            return;
        };
        let mut stored = StoredReply::of(StoreOutcome::Busy);
        if durable {
            stored.outcome = StoreOutcome::Stored;
            stored.sequence = Some(facts.sequence);
            for evicted in self.store.written(&facts, held) {
                self.outputs.push_back(Output::Remove(evicted));
            }
        } else {
            self.store.not_written(&facts.id);
        }
        if let Some((to, id)) = reply {
            self.answer(to, id, &Reply::Stored(stored));
        }
        if let Some(job) = job {
            self.on_stored(job, Some(stored), now, rng);
        }
    }

    /// The host's store has read a record, or has it no more.
    pub fn handle_read(
        &mut self,
        ticket: Ticket,
        bytes: Option<Vec<u8>>,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) {
        let (id, after) = match self.pending.remove(&ticket) {
            Some(After::Value { to, id, record }) => {
                let bytes = self.checked(&record, bytes, now).map(|(_, bytes)| bytes);
                return self.answer_value(to, id, &record, bytes);
            }
            Some(After::Republish(id)) => (id, None),
            Some(After::HandOver(id, to)) => (id, Some(to)),
            Some(After::Stored { .. }) | None => return,
        };
        let proof = self.store.get(&id).and_then(|held| held.proof.clone());
        let Some((facts, bytes)) = self.checked(&id, bytes, now) else {
            return;
        };
        match after {
            None => self.look_up_and_store(facts, bytes, proof, None, now, rng),
            Some(to) => self.store_at(facts, bytes, proof, vec![to], None, now, rng),
        }
    }

    /// What was read, if it is what was written. What is not is forgotten.
    fn checked(
        &mut self,
        id: &RecordId,
        bytes: Option<Vec<u8>>,
        now: Timestamp,
    ) -> Option<(Facts, Vec<u8>)> {
        let genuine = bytes.and_then(|bytes| {
            let facts = self.records.check(id.kind, &bytes, now).ok()?;
            (facts.id == *id).then_some((facts, bytes))
        });
        if genuine.is_none() && self.store.remove(id).is_some() {
            self.outputs.push_back(Output::Remove(*id));
        }
        genuine
    }

    /// The relays nearest to a record are known: it goes to them, and to this relay if it is one of them.
    pub(super) fn store_at_nearest(
        &mut self,
        mut job: StoreJob,
        nearest: Vec<Contact>,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) {
        let target = job.facts.id.position();
        let mine = self.me.position().to(&target);
        let nearer = nearest.iter().filter(|c| c.position().to(&target) < mine);
        let own = nearer.count() < K;
        job.targets = nearest
            .into_iter()
            .take(K - usize::from(own))
            .rev()
            .collect();
        self.start_job(job, own, now, rng);
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "what a store is made of, and what every step takes"
    )]
    pub(super) fn store_at(
        &mut self,
        facts: Facts,
        record: Vec<u8>,
        proof: Option<Proof>,
        targets: Vec<Contact>,
        query: Option<QueryId>,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) {
        let mut job = StoreJob::new(facts, record, proof, query);
        job.targets = targets;
        self.start_job(job, false, now, rng);
    }

    fn start_job(
        &mut self,
        mut job: StoreJob,
        own: bool,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) {
        let id = StoreJobId(self.number());
        let mut own_reply = None;
        if own {
            job.under_way += 1;
            job.published.asked += 1;
            let after = |facts, held| After::Stored {
                facts,
                held,
                reply: None,
                job: Some(id),
            };
            let (facts, record, proof) = (job.facts, job.record.clone(), job.proof.clone());
            own_reply = self.take_record(self.me.node(), facts, record, proof, after, now);
        }
        self.jobs.insert(id, job);
        match own_reply {
            Some(reply) => self.on_stored(id, Some(reply), now, rng),
            None => self.advance_job(id, now, rng),
        }
    }

    /// A relay has said what has become of the record; `None`: it has not.
    pub(super) fn on_stored(
        &mut self,
        id: StoreJobId,
        reply: Option<StoredReply>,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.under_way = job.under_way.saturating_sub(1);
            if let Some(reply) = reply {
                job.published.count(&reply, job.facts.sequence);
            }
            self.advance_job(id, now, rng);
        }
    }

    fn advance_job(&mut self, id: StoreJobId, now: Timestamp, rng: &mut impl CryptoRng) {
        while let Some(job) = self.jobs.get_mut(&id)
            && job.under_way < PARALLEL
            && let Some(to) = job.targets.pop()
        {
            let Ok(record) = DhtRecordBytes::new(job.record.as_slice()) else {
                continue;
            };
            job.under_way += 1;
            job.published.asked += 1;
            let (kind, proof) = (job.facts.id.kind, job.proof.clone());
            let request = Request::Store(StoreRequest {
                kind,
                record,
                proof,
            });
            if !self.ask(to, &request, Asked::Store(id), now, rng)
                && let Some(job) = self.jobs.get_mut(&id)
            {
                job.under_way -= 1;
            }
        }
        let ended = |job: &StoreJob| job.under_way == 0 && job.targets.is_empty();
        if self.jobs.get(&id).is_some_and(ended)
            && let Some(job) = self.jobs.remove(&id)
            && let Some(query) = job.query
        {
            let answer = Answer::Published(job.published);
            self.outputs.push_back(Output::Done(query, answer));
        }
    }
}

impl StoreJob {
    pub(super) const fn new(
        facts: Facts,
        record: Vec<u8>,
        proof: Option<Proof>,
        query: Option<QueryId>,
    ) -> Self {
        Self {
            facts,
            record,
            proof,
            targets: Vec::new(),
            under_way: 0,
            published: Published {
                stored: 0,
                asked: 0,
                newer: None,
                cost: None,
            },
            query,
        }
    }
}

impl Published {
    fn count(&mut self, reply: &StoredReply, sequence: u64) {
        match reply.outcome {
            StoreOutcome::Stored => self.stored += 1,
            // The same one was there already, or a newer one.
            StoreOutcome::Held if reply.sequence == Some(sequence) => self.stored += 1,
            StoreOutcome::Held => self.newer = self.newer.max(reply.sequence),
            StoreOutcome::Costs => self.cost = self.cost.max(reply.cost),
            StoreOutcome::Bad | StoreOutcome::Full | StoreOutcome::Far | StoreOutcome::Busy => {}
        }
    }
}
