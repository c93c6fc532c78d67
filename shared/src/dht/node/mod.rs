//! One relay's whole part in the DHT: what it answers, what it looks up, and what it does by itself.
//!
//! # How a host drives it
//!
//! ```text
//!  link to a relay proven ─▶ dial back ─▶ handle_verified          publish, find_value, find_node, crawl
//!  DHT frame ─▶ handle_frame                 │                          │ QueryId
//!  timer ─▶ handle_timeout                   ▼                          ▼
//!                              ┌──────────── Node ────────────┐
//!                              poll: Ask · Answer · Verify · Write · Read · Remove · Persist · Done · Discovered
//! ```
//! After *every* call take all outputs with [`poll`](Node::poll), and set a timer for
//! [`next_timeout`](Node::next_timeout). In detail:
//!
//! 1. **Links.** When a relay has proven its NodeId, in whichever direction, find out where it really is: if this
//!    host has dialed, the address that it has dialed; if the other has, connect to the URL of its descriptor. Make a
//!    [`Verified`] of that and call [`handle_verified`](Node::handle_verified). Until then its frames come in with
//!    [`Peer::Linked`]: it gets answers, but does not enter the table.
//! 2. [`Output::Ask`]: send the frame on the link to that relay, if it was found in the contact's network: a link says
//!    nothing of that. If there is none, or nothing was found yet, dial the contact's URL; if the relay there is not the
//!    contact's or not in its network ([`Verified::check`]), or nobody is there, call
//!    [`handle_unreachable`](Node::handle_unreachable), else send. Never send before the check.
//! 3. [`Output::Answer`]: send the frame on the link on which the request came, if it still is there.
//! 4. [`Output::Verify`]: dial back when convenient; `handle_verified` if it holds, else `handle_unreachable`.
//! 5. **Records** lie in the host's store. [`Output::Write`]: once it is *durable* (or has failed) call
//!    [`handle_written`](Node::handle_written): only then does the node say that it is stored. [`Output::Read`]: call
//!    [`handle_read`](Node::handle_read). [`Output::Remove`] needs no answer. At start hand over what is in the store
//!    with [`restore_record`](Node::restore_record).
//! 6. **Table.** Keep the bytes of [`Output::Persist`]; at start hand them to [`restore`](Node::restore), and
//!    connect to configured seeds (`handle_verified` of the first contact begins to join).
//! 7. **Own descriptor.** Call [`publish_own`](Node::publish_own) with every new one; the node repeats it.
//! 8. **Faults.** `handle_frame` gives an error if the peer has broken the protocol: close its link.
//!
//! Nothing here is unbounded: questions, lookups, operations of the store, and what one relay may ask are counted.

mod answers;
mod crawl;
mod queries;
mod rate;
mod stores;
mod upkeep;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand_core::CryptoRng;
use thiserror::Error;

use super::admission::{Admission, Cost, Proof};
use super::bucket::Inserted;
use super::contact::{Contact, Verified};
use super::lookup::{ALPHA, Breadth, Goal, Outcome};
use super::message::{MessageError, PingRequest, Reply, Request};
use super::record::{BadRecord, Facts, RecordId, RecordKind, RecordScheme};
use super::store::{Held, LocalStore, StoreLimits};
use super::table::{Table, TableRecordError, decode_table};
use crate::id::{MessageId, NodeId, Position};
use crate::time::{Duration, Timestamp};
use crate::wire::{Frame, Tag};

use crawl::Crawl;
use queries::{Asked, LookupId, Outstanding, Purpose, Running};
use rate::Rates;
use stores::{After, StoreJob, StoreJobId};
use upkeep::Upkeep;

/// Times and bounds. The defaults are PROTOCOL §11's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeConfig {
    /// An answer that has not come by then does not come; the time to connect is in it.
    pub request_timeout: Duration,
    /// What is due is looked for this often.
    pub upkeep_every: Duration,
    /// From the first contact to the join: other seeds may come meanwhile. [`Duration::MAX`]: never.
    pub join_after: Duration,
    /// A bucket in which nothing was looked up for so long is refreshed.
    pub refresh_every: Duration,
    /// The own descriptor is published this often.
    pub publish_every: Duration,
    /// A record that nobody has stored again for so long is republished by who notices.
    pub republish_every: Duration,
    /// The table is persisted this often.
    pub persist_every: Duration,
    /// Questions under way.
    pub max_questions: usize,
    /// Lookups under way; a quarter of them are left to the host's own queries.
    pub max_lookups: usize,
    /// Operations of the store under way.
    pub max_operations: usize,
    /// Relays whose questions are kept account of.
    pub max_askers: usize,
    /// What is held.
    pub store: StoreLimits,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(3),
            upkeep_every: Duration::from_mins(1),
            join_after: Duration::from_secs(1),
            refresh_every: Duration::from_hours(1),
            publish_every: Duration::from_mins(30),
            republish_every: Duration::from_hours(1),
            persist_every: Duration::from_mins(10),
            max_questions: 512,
            max_lookups: 64,
            max_operations: 256,
            max_askers: 4096,
            store: StoreLimits::default(),
        }
    }
}

/// Who is at the other end of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A relay that has proven its NodeId, and has been dialed back.
    Verified(Verified),
    /// A relay that has proven its NodeId.
    Linked(NodeId),
}

impl Peer {
    /// Which relay.
    pub const fn node(&self) -> NodeId {
        match self {
            Self::Verified(verified) => verified.contact().node(),
            Self::Linked(node) => *node,
        }
    }
}

/// A query of the host's; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueryId(u64);

/// An operation of the host's store; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// What has come of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Of `find_value` and `find_node`.
    Found(Outcome),
    /// Of `publish`.
    Published(Published),
    /// Of `crawl`: every relay that has answered.
    Crawled(Vec<Contact>),
}

/// How a record was received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Relays that have it on disk, this one included: at most K.
    pub stored: usize,
    /// Relays that were asked.
    pub asked: usize,
    /// The highest sequence that somebody holds who refused it for that.
    pub newer: Option<u64>,
    /// The highest cost that was named by who refused it for that.
    pub cost: Option<Cost>,
}

/// What is to be done. What each asks of the host is said at the top of this module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a question, to nobody but this contact.
    Ask(Contact, Vec<u8>),
    /// Send an answer, on the link on which the question came.
    Answer(NodeId, Vec<u8>),
    /// Find out whether a contact is where it says.
    Verify(Contact),
    /// Write a record in the place of the one of the same id.
    Write(Ticket, RecordId, Held, Vec<u8>),
    /// Read a record.
    Read(Ticket, RecordId),
    /// Forget a record.
    Remove(RecordId),
    /// Keep the table.
    Persist(Vec<u8>),
    /// A query has come to its end.
    Done(QueryId, Answer),
    /// A relay has entered the table.
    Discovered(Contact),
}

/// Too much is under way: the caller may come back later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("too many lookups are under way")]
pub struct Busy;

/// A relay in the DHT. `R` checks records, `A` admits them.
pub struct Node<R, A> {
    me: Contact,
    config: NodeConfig,
    records: R,
    admission: A,
    table: Table,
    store: LocalStore,
    rates: Rates,
    questions: BTreeMap<MessageId, Outstanding>,
    deadlines: BTreeSet<(Timestamp, MessageId)>,
    lookups: BTreeMap<LookupId, Running>,
    jobs: BTreeMap<StoreJobId, StoreJob>,
    pending: BTreeMap<Ticket, After>,
    crawl: Option<Crawl>,
    upkeep: Upkeep,
    next_number: u64,
    outputs: VecDeque<Output>,
}

impl<R: RecordScheme, A: Admission> Node<R, A> {
    /// A relay that knows nobody. `me` is its own contact: the URL and the network that others reach it under.
    pub fn new(me: Contact, config: NodeConfig, records: R, admission: A, now: Timestamp) -> Self {
        Self {
            table: Table::new(me.node(), *me.position()),
            store: LocalStore::new(*me.position(), config.store),
            rates: Rates::default(),
            questions: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            lookups: BTreeMap::new(),
            jobs: BTreeMap::new(),
            pending: BTreeMap::new(),
            crawl: None,
            upkeep: Upkeep::new(now),
            next_number: 0,
            outputs: VecDeque::new(),
            me,
            config,
            records,
            admission,
        }
    }

    /// A persisted table: its contacts are to be dialed back, and are tried again whenever nobody is known.
    pub fn restore(&mut self, table: &[u8]) -> Result<(), TableRecordError> {
        for contact in decode_table(table)? {
            self.add_seed(contact);
        }
        Ok(())
    }

    /// A contact to begin with. It is to be dialed back.
    pub fn add_seed(&mut self, contact: Contact) {
        if contact.node() != self.me.node() && self.upkeep.add_seed(contact.clone()) {
            self.outputs.push_back(Output::Verify(contact));
        }
    }

    /// A record that was in the host's store at start, as [`Output::Write`] had it.
    pub fn restore_record(&mut self, id: RecordId, held: Held) {
        let facts = Facts {
            id,
            sequence: held.sequence,
            expires: held.expires,
        };
        for evicted in self.store.written(&facts, held) {
            self.outputs.push_back(Output::Remove(evicted));
        }
    }

    /// A relay is there, and where it says.
    pub fn handle_verified(&mut self, seen: &Verified, now: Timestamp, rng: &mut impl CryptoRng) {
        match self.table.insert(seen, now) {
            Inserted::New => {
                let contact = seen.contact().clone();
                self.upkeep.newcomer(&contact, self.config.join_after, now);
                self.outputs.push_back(Output::Discovered(contact));
            }
            Inserted::Waits(Some(oldest)) => {
                self.ask(
                    oldest,
                    &Request::Ping(PingRequest {}),
                    Asked::Ping,
                    now,
                    rng,
                );
            }
            Inserted::Known | Inserted::Waits(None) | Inserted::Crowded | Inserted::Myself => {}
        }
    }

    /// A contact cannot be reached, or is not where, or who, it should be. What is asked of the same relay at
    /// another place goes on.
    pub fn handle_unreachable(
        &mut self,
        contact: &Contact,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) {
        let to =
            |(id, question): (&MessageId, &Outstanding)| (question.to == *contact).then_some(*id);
        let ids: Vec<_> = self.questions.iter().filter_map(to).collect();
        for id in ids {
            self.question_failed(&id, now, rng);
        }
    }

    /// A frame of the DHT has come. The error is the peer's fault.
    pub fn handle_frame(
        &mut self,
        peer: &Peer,
        frame: &Frame<'_>,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<(), MessageError> {
        match frame.tag {
            Tag::DhtPing | Tag::DhtStore | Tag::DhtFindNode | Tag::DhtFindValue => {
                let request = Request::decode(frame)?;
                self.on_request(peer, frame.id, request, now);
            }
            _ => {
                let reply = Reply::decode(frame)?;
                self.on_reply(peer.node(), &frame.id, reply, now, rng);
            }
        }
        if let Peer::Verified(verified) = peer {
            self.handle_verified(verified, now, rng);
        }
        Ok(())
    }

    /// The moment that [`next_timeout`](Self::next_timeout) has named is here, or has passed.
    pub fn handle_timeout(&mut self, now: Timestamp, rng: &mut impl CryptoRng) {
        while let Some((due, id)) = self.deadlines.first().copied()
            && due <= now
        {
            self.question_failed(&id, now, rng);
            self.deadlines.remove(&(due, id));
        }
        if self.upkeep.next <= now {
            self.on_upkeep(now, rng);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn next_timeout(&self) -> Timestamp {
        let deadline = self.deadlines.first().map(|(due, _)| *due);
        deadline.unwrap_or(Timestamp::MAX).min(self.upkeep.next)
    }

    /// What is to be done next.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Looks for a record. The answer is an [`Answer::Found`].
    pub fn find_value(
        &mut self,
        id: RecordId,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<QueryId, Busy> {
        self.query(id.position(), Goal::Value(id), Breadth::WIDE, now, rng)
    }

    /// Looks for the relays nearest to a point. The answer is an [`Answer::Found`].
    pub fn find_node(
        &mut self,
        target: Position,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<QueryId, Busy> {
        self.query(target, Goal::Nodes, Breadth::WIDE, now, rng)
    }

    fn query(
        &mut self,
        target: Position,
        goal: Goal,
        breadth: Breadth,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<QueryId, Busy> {
        if self.is_busy() {
            return Err(Busy);
        }
        let query = QueryId(self.number());
        self.look_up(target, goal, breadth, Purpose::Query(query), now, rng);
        Ok(query)
    }

    /// Has a record stored at the K relays nearest to it. The answer is an [`Answer::Published`].
    pub fn publish(
        &mut self,
        kind: RecordKind,
        record: Vec<u8>,
        proof: Option<Proof>,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<QueryId, PublishError> {
        let facts = self.records.check(kind, &record, now)?;
        if self.is_busy() {
            return Err(Busy.into());
        }
        let query = QueryId(self.number());
        self.look_up_and_store(facts, record, proof, Some(query), now, rng);
        Ok(query)
    }

    /// This relay's own descriptor: published now, and again every half hour until there is another.
    pub fn publish_own(&mut self, record: Vec<u8>, now: Timestamp) {
        self.upkeep.publish_own(record, now);
    }

    /// Which relay this is, and where.
    pub const fn contact(&self) -> &Contact {
        &self.me
    }

    /// Its table.
    pub const fn table(&self) -> &Table {
        &self.table
    }

    /// What it holds.
    pub const fn store(&self) -> &LocalStore {
        &self.store
    }

    /// What decides about records, to change it.
    pub const fn admission(&mut self) -> &mut A {
        &mut self.admission
    }

    /// Whether another lookup would have too few questions.
    fn is_busy(&self) -> bool {
        let full = self.questions.len() + ALPHA > self.config.max_questions;
        full || self.lookups.len() >= self.config.max_lookups
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }
}

/// A record cannot be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PublishError {
    /// The caller's fault: nobody would take it.
    #[error(transparent)]
    Record(#[from] BadRecord),
    /// Too much is under way.
    #[error(transparent)]
    Busy(#[from] Busy),
}

impl<R, A> core::fmt::Debug for Node<R, A> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Node")
            .field("me", &self.me.node())
            .finish_non_exhaustive()
    }
}
