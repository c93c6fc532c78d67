//! Questions to others, and the lookups that they belong to.

use rand_core::CryptoRng;

use super::stores::{StoreJob, StoreJobId};
use super::{Answer, Node, Output, QueryId};
use crate::dht::admission::{Admission, Proof};
use crate::dht::bucket::K;
use crate::dht::contact::Contact;
use crate::dht::lookup::{Breadth, FoundRecord, Goal, Lookup, Outcome};
use crate::dht::message::{FindNodeRequest, FindValueRequest, Reply, Request};
use crate::dht::record::{Facts, RecordId, RecordKind, RecordScheme};
use crate::id::{MessageId, NodeId, Position};
use crate::time::Timestamp;

/// Contacts that a lookup begins with: two for each path, and some in reserve.
const START: usize = 2 * K;
/// Relays with an outdated record that are given the newer one after a lookup.
const MAX_REPAIRS: usize = 3;

/// One lookup of this relay's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LookupId(u64);

pub(super) struct Running {
    lookup: Lookup,
    purpose: Purpose,
}

/// What is done with what a lookup finds.
pub(super) enum Purpose {
    /// The host is told.
    Query(QueryId),
    /// A record is stored there.
    Store(Box<StoreJob>),
    /// The table has learnt something: that was all.
    Refresh,
    /// A part of the network has been looked at.
    Crawl,
}

/// A question under way.
pub(super) struct Outstanding {
    pub(super) to: Contact,
    asked: Asked,
    deadline: Timestamp,
}

/// What a question is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked {
    /// To see whether somebody is there.
    Ping,
    /// A step of a lookup.
    Lookup(LookupId),
    /// A record was sent.
    Store(StoreJobId),
}

impl<R: RecordScheme, A: Admission> Node<R, A> {
    /// Sends a question; false if too many are under way.
    pub(super) fn ask(
        &mut self,
        to: Contact,
        request: &Request,
        asked: Asked,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> bool {
        if self.questions.len() >= self.config.max_questions {
            return false;
        }
        let id = MessageId::random(rng);
        let deadline = now + self.config.request_timeout;
        self.outputs
            .push_back(Output::Ask(to.clone(), request.encode(id)));
        self.deadlines.insert((deadline, id));
        self.questions.insert(
            id,
            Outstanding {
                to,
                asked,
                deadline,
            },
        );
        true
    }

    pub(super) fn on_reply(
        &mut self,
        from: NodeId,
        id: &MessageId,
        reply: Reply,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) {
        // Nobody answers for somebody else.
        let theirs = |question: &Outstanding| question.to.node() == from;
        if !self.questions.get(id).is_some_and(theirs) {
            return;
        }
        let Some(question) = self.forget_question(id) else {
            return;
        };
        match (question.asked, reply) {
            (Asked::Ping, Reply::Pong(_)) => {}
            (Asked::Store(job), Reply::Stored(stored)) => {
                self.on_stored(job, Some(stored), now, rng)
            }
            (Asked::Lookup(lookup), Reply::Nodes(nodes)) => {
                self.on_found(lookup, &question.to, &nodes.contacts, None, now, rng);
            }
            (Asked::Lookup(lookup), Reply::Value(value)) => {
                let record = Some((value.record.into_inner(), value.proof));
                self.on_found(lookup, &question.to, &value.contacts, record, now, rng);
            }
            // An answer to something else.
            (asked, _) => self.failed(&question.to, asked, now, rng),
        }
    }

    /// A question will not be answered.
    pub(super) fn question_failed(
        &mut self,
        id: &MessageId,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) {
        if let Some(question) = self.forget_question(id) {
            self.failed(&question.to, question.asked, now, rng);
        }
    }

    fn forget_question(&mut self, id: &MessageId) -> Option<Outstanding> {
        let question = self.questions.remove(id)?;
        self.deadlines.remove(&(question.deadline, *id));
        Some(question)
    }

    fn failed(
        &mut self,
        contact: &Contact,
        asked: Asked,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) {
        self.table.failed(contact, now);
        match asked {
            Asked::Ping => {}
            Asked::Store(job) => self.on_stored(job, None, now, rng),
            Asked::Lookup(id) => {
                if let Some(running) = self.lookups.get_mut(&id) {
                    running.lookup.failed(contact);
                    self.advance(id, now, rng);
                }
            }
        }
    }

    /// Begins a lookup.
    pub(super) fn look_up(
        &mut self,
        target: Position,
        goal: Goal,
        breadth: Breadth,
        purpose: Purpose,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) {
        let start = self.table.nearest(&target, START);
        self.table.refreshed(&target, now);
        let lookup = Lookup::new(self.me.node(), target, goal, breadth, start);
        let id = LookupId(self.number());
        self.lookups.insert(id, Running { lookup, purpose });
        self.advance(id, now, rng);
    }

    /// Finds the relays nearest to a checked record and stores it there.
    pub(super) fn look_up_and_store(
        &mut self,
        facts: Facts,
        record: Vec<u8>,
        proof: Option<Proof>,
        query: Option<QueryId>,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) {
        let job = StoreJob::new(facts, record, proof, query);
        let purpose = Purpose::Store(Box::new(job));
        let target = facts.id.position();
        self.look_up(target, Goal::Nodes, Breadth::WIDE, purpose, now, rng);
    }

    /// A step of a lookup was answered. A record that is not the one asked for makes it no answer.
    fn on_found(
        &mut self,
        id: LookupId,
        from: &Contact,
        contacts: &[Contact],
        record: Option<(Vec<u8>, Option<Proof>)>,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) {
        let Some(running) = self.lookups.get_mut(&id) else {
            return;
        };
        let value = match (record, running.lookup.goal()) {
            (None, _) => None,
            (Some((bytes, proof)), Goal::Value(wanted)) => {
                match checked(&self.records, &wanted, bytes, now) {
                    Some((facts, bytes)) => Some(FoundRecord {
                        proof: proof.filter(|p| self.admission.is_worth(&facts, &bytes, p)),
                        sequence: facts.sequence,
                        bytes,
                    }),
                    None => return self.failed(from, Asked::Lookup(id), now, rng),
                }
            }
            (Some(_), Goal::Nodes) => return self.failed(from, Asked::Lookup(id), now, rng),
        };
        running.lookup.answered(from, contacts, value);
        self.advance(id, now, rng);
    }

    fn advance(&mut self, id: LookupId, now: Timestamp, rng: &mut impl CryptoRng) {
        while let Some(running) = self.lookups.get_mut(&id)
            && let Some(to) = running.lookup.next()
        {
            let request = running.lookup.request();
            if !self.ask(to.clone(), &request, Asked::Lookup(id), now, rng)
                && let Some(running) = self.lookups.get_mut(&id)
            {
                running.lookup.failed(&to);
            }
        }
        if self
            .lookups
            .get(&id)
            .is_some_and(|running| running.lookup.is_done())
            && let Some(running) = self.lookups.remove(&id)
        {
            let target = *running.lookup.target();
            let goal = running.lookup.goal();
            let outcome = running.lookup.finish();
            self.finish(goal, target, running.purpose, outcome, now, rng);
        }
    }

    fn finish(
        &mut self,
        goal: Goal,
        target: Position,
        purpose: Purpose,
        outcome: Outcome,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) {
        match purpose {
            Purpose::Query(query) => {
                self.repair(goal, &outcome, now, rng);
                self.outputs
                    .push_back(Output::Done(query, Answer::Found(outcome)));
            }
            Purpose::Store(job) => self.store_at_nearest(*job, outcome.nearest, now, rng),
            Purpose::Refresh => {}
            Purpose::Crawl => self.crawled(&target, outcome.nearest, now, rng),
        }
    }

    /// Who has an older account record is given the newer one.
    fn repair(&mut self, goal: Goal, outcome: &Outcome, now: Timestamp, rng: &mut impl CryptoRng) {
        let (Goal::Value(id), Some(value)) = (goal, &outcome.value) else {
            return;
        };
        if outcome.outdated.is_empty() || id.kind != RecordKind::Account {
            return;
        }
        if let Ok(facts) = self.records.check(id.kind, &value.bytes, now) {
            let targets = outcome.outdated.iter().take(MAX_REPAIRS).cloned().collect();
            let (bytes, proof) = (value.bytes.clone(), value.proof.clone());
            self.store_at(facts, bytes, proof, targets, None, now, rng);
        }
    }
}

/// A record that has come in as an answer, if it is the one that was asked for.
fn checked(
    records: &impl RecordScheme,
    wanted: &RecordId,
    bytes: Vec<u8>,
    now: Timestamp,
) -> Option<(Facts, Vec<u8>)> {
    let facts = records.check(wanted.kind, &bytes, now).ok()?;
    (facts.id == *wanted).then_some((facts, bytes))
}

impl Lookup {
    /// What it asks.
    fn request(&self) -> Request {
        match self.goal() {
            Goal::Nodes => Request::FindNode(FindNodeRequest {
                target: *self.target(),
            }),
            Goal::Value(id) => Request::FindValue(FindValueRequest {
                kind: id.kind,
                key: id.key,
            }),
        }
    }
}
