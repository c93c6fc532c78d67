//! This relay's part in the DHT: the host of [`Node`] inside the core. PROTOCOL §11.
//!
//! ```text
//!  own URL dialed ─▶ place ─▶ Node ◀─ DHT frames of links, relays found by dialing back
//!                              │ Ask, Verify ─▶ contacting: link, or Connect to the contact, which must be there
//!                              │ Answer      ─▶ link
//!                              │ Write, Read, Remove, Persist ─▶ store
//!                              └ Done        ─▶ readers: account records for clients; seekers: relays that packets are for; crawls
//! ```
//! Until this relay has dialed itself it does not know where it stands, and takes no part. Relays that a crawl or a
//! lookup has met are in the directory: whoever is asked is met first.

pub(super) mod contacting;
#[cfg(test)]
mod handing;
mod payment;
mod place;
mod readers;
mod seekers;

use zentalk_shared::dht::{
    Answer, Contact, DialBack as Met, Held, Node, NodeConfig, Output as DhtOutput, Peer, QueryId,
    RecordId, SignedRecords, StoreLimits, Ticket, Verified,
};
use zentalk_shared::id::NodeId;
use zentalk_shared::time::{Duration, Timestamp};
use zentalk_shared::wire::Frame;
use zentalk_shared::wire::link::LinkErrorCode;

use super::claims::first_url;
use super::config::CoreConfig;
use super::io::{Metric, Output};
use super::relay::{Relay, Step, Timer};
use super::requests::After;
use super::store::{Restored, SavedRecord, StoreOp};

use contacting::Contacting;
use payment::Payment;
use place::Place;
use readers::Readers;
use seekers::Seekers;

/// From the first place to the first crawl: others join meanwhile.
const FIRST_CRAWL: Duration = Duration::from_secs(30);
/// From one crawl to the next. Directories that relays exchange tell of newcomers sooner.
const CRAWL_EVERY: Duration = Duration::from_hours(2);
/// Newcomers are written down this soon: who is killed soon after its start must find them again.
const PERSIST_EVERY: Duration = Duration::from_mins(1);
/// A crawl that could not begin is tried again after this.
const CRAWL_AGAIN: Duration = Duration::from_mins(1);

/// The DHT of this relay.
pub(super) struct Kademlia {
    /// Once it is known where this relay stands.
    node: Option<Node<SignedRecords, Payment>>,
    /// Counts places: what the store answers to a former node is nobody's.
    life: u64,
    /// Found on disk, until there is a node.
    kept: Kept,
    place: Place,
    pub(super) contacting: Contacting,
    readers: Readers,
    seekers: Seekers,
    crawls: Timestamp,
    /// When the timer is due that counts; others are left over.
    timer: Option<Timestamp>,
    payment: Payment,
    /// What is held for others.
    limits: StoreLimits,
}

/// What a former run has left.
#[derive(Default)]
struct Kept {
    table: Option<Vec<u8>>,
    records: Vec<(RecordId, Held)>,
}

/// What is to be done when the store has answered the DHT.
#[derive(Clone, Copy, Debug)]
pub(super) enum DhtAfter {
    /// A record is on disk, or is not.
    Written(u64, Ticket),
    /// A record is read, or is not there.
    Read(u64, Ticket),
}

impl Kademlia {
    pub(super) fn restore(config: &CoreConfig, restored: &mut Restored, now: Timestamp) -> Self {
        Self {
            node: None,
            life: 0,
            kept: Kept {
                table: restored.dht_table.take(),
                records: core::mem::take(&mut restored.dht_records),
            },
            place: Place::unknown(now),
            contacting: Contacting::new(now),
            readers: Readers::new(now),
            seekers: Seekers::new(now),
            crawls: Timestamp::MAX,
            timer: None,
            payment: Payment::with(config.work),
            limits: StoreLimits {
                records: config.limits.dht_records,
                bytes: config.limits.dht_bytes,
                ..StoreLimits::default()
            },
        }
    }

    /// A node at a place; it keeps what a former one knew and held.
    fn begin(&mut self, me: Contact, now: Timestamp) -> Result<(), StaleTable> {
        let config = NodeConfig {
            persist_every: PERSIST_EVERY,
            store: self.limits,
            ..NodeConfig::default()
        };
        let mut node = Node::new(me, config, SignedRecords, self.payment, now);
        let kept = core::mem::take(&mut self.kept);
        let restored = kept.table.is_none_or(|table| node.restore(&table).is_ok());
        for (id, held) in kept.records {
            node.restore_record(id, held);
        }
        if let Some(former) = self.node.take() {
            former
                .table()
                .contacts()
                .for_each(|c| node.add_seed(c.clone()));
            for (id, held) in former.store().iter() {
                node.restore_record(*id, held.clone());
            }
        }
        self.node = Some(node);
        self.life += 1;
        self.crawls = now + FIRST_CRAWL;
        restored.then_some(()).ok_or(StaleTable)
    }

    fn next_due(&self) -> Option<Timestamp> {
        let node = self.node.as_ref();
        let node = node.map(|node| node.next_timeout().min(self.crawls));
        node.into_iter().chain(self.place.due()).min()
    }
}

/// The table on disk could not be read: the configured relays are where to begin.
struct StaleTable;

impl Relay {
    /// Contacts of the table, records held and their bytes, for gauges. `None`: it is not known where this relay stands.
    pub fn dht_holdings(&self) -> Option<[usize; 3]> {
        let node = self.dht.node.as_ref()?;
        let store = node.store();
        Some([node.table().len(), store.len(), store.bytes()])
    }

    /// A frame of the DHT has come from another relay.
    pub(super) fn on_dht_frame(
        &mut self,
        from: NodeId,
        frame: &Frame<'_>,
        step: &mut Step<'_>,
    ) -> Result<(), LinkErrorCode> {
        let peer = self.dht_peer(from);
        // Without a place nothing can be answered; who asks will ask others.
        let Some(node) = &mut self.dht.node else {
            return Ok(());
        };
        let handled = node.handle_frame(&peer, frame, step.now, &mut step.rng);
        handled.map_err(|_| {
            self.count(Metric::Dht("malformed"));
            LinkErrorCode::Malformed
        })
    }

    /// Who is at the other end, and whether it was found where it says.
    pub(super) fn dht_peer(&self, node: NodeId) -> Peer {
        let descriptor = self.directory.relays().get(&node);
        let url = descriptor.and_then(first_url);
        let proof = self.dial_back.proofs.get(&node);
        let verified = url.zip(proof).and_then(|(url, proof)| {
            let (address, port) = (proof.address.ip(), proof.address.port());
            let met = Met {
                node,
                address,
                port,
            };
            Verified::found(url, met, self.config.allow_private).ok()
        });
        let met = || self.dht.contacting.met(&node).cloned();
        let verified = verified.or_else(met);
        verified.map_or(Peer::Linked(node), Peer::Verified)
    }

    /// A relay was found where it says that it is.
    pub(super) fn dht_found(&mut self, node: NodeId, step: &mut Step<'_>) {
        if let Peer::Verified(verified) = self.dht_peer(node)
            && let Some(node) = &mut self.dht.node
        {
            node.handle_verified(&verified, step.now, &mut step.rng);
        }
    }

    /// A relay was not found there.
    pub(super) fn dht_unreachable(&mut self, contact: &Contact, step: &mut Step<'_>) {
        if let Some(node) = &mut self.dht.node {
            node.handle_unreachable(contact, step.now, &mut step.rng);
        }
    }

    /// This relay's descriptor is to be found by its NodeId.
    pub(super) fn dht_publish_own(&mut self, now: Timestamp) {
        let own = self.directory.own().map(|own| own.bytes().to_vec());
        if let (Some(node), Some(own)) = (&mut self.dht.node, own) {
            node.publish_own(own, now);
        }
    }

    /// The timer of the DHT is due.
    pub(super) fn dht_due(&mut self, step: &mut Step<'_>) {
        if self.dht.timer.is_none_or(|due| due > step.now) {
            return;
        }
        self.dht.timer = None;
        if self.stopping {
            return;
        }
        if self.dht.place.due().is_some_and(|due| due <= step.now) {
            self.look_for_own_place(step);
        }
        let Some(node) = &mut self.dht.node else {
            return;
        };
        if node.next_timeout() <= step.now {
            node.handle_timeout(step.now, &mut step.rng);
        }
        if self.dht.crawls <= step.now {
            let began = !node.table().is_empty() && node.crawl(step.now, &mut step.rng).is_ok();
            let every = if began { CRAWL_EVERY } else { CRAWL_AGAIN };
            self.dht.crawls = step.now + every + step.jitter(every);
        }
        self.publish_waiting(step);
    }

    /// Carries out what the DHT wants done, until it wants nothing more.
    pub(super) fn drive_dht(&mut self, step: &mut Step<'_>) {
        while let Some(output) = self.dht.node.as_mut().and_then(Node::poll) {
            self.carry_out_for_dht(output, step);
        }
        if let Some(due) = self.dht.next_due()
            && !self.stopping
            && self.dht.timer.is_none_or(|set| set > due)
        {
            self.dht.timer = Some(due);
            self.timers.set(due, Timer::Dht);
        }
    }

    fn carry_out_for_dht(&mut self, output: DhtOutput, step: &mut Step<'_>) {
        let life = self.dht.life;
        match output {
            DhtOutput::Ask(contact, frame) => self.ask_contact(contact, frame, step),
            DhtOutput::Verify(contact) => self.verify_contact(contact, step),
            DhtOutput::Answer(to, frame) => {
                if let Some(conn) = self.peers.conn(&to) {
                    self.count(Metric::Dht("answered"));
                    self.links.used(conn, step.now);
                    self.output(Output::Send(conn, frame));
                }
            }
            DhtOutput::Write(ticket, id, held, record) => {
                let saved = SavedRecord { id, held, record };
                let after = After::Dht(DhtAfter::Written(life, ticket));
                self.store(StoreOp::SaveDhtRecord(Box::new(saved)), after);
            }
            DhtOutput::Read(ticket, id) => {
                let after = After::Dht(DhtAfter::Read(life, ticket));
                self.store(StoreOp::ReadDhtRecord(id), after);
            }
            DhtOutput::Remove(id) => self.store(StoreOp::ForgetDhtRecord(id), After::Nothing),
            DhtOutput::Persist(table) => self.store(StoreOp::SaveDhtTable(table), After::Nothing),
            DhtOutput::Done(query, answer) => self.dht_answered(query, answer, step),
            DhtOutput::Discovered(_) => self.count(Metric::Dht("discovered")),
        }
    }

    fn dht_answered(&mut self, query: QueryId, answer: Answer, step: &mut Step<'_>) {
        match answer {
            Answer::Found(outcome) => {
                if !self.relay_sought(query, &outcome, step) {
                    let value = outcome.value.map(|value| value.bytes);
                    self.record_looked_up(query, value, step);
                }
            }
            Answer::Published(published) => {
                self.count(Metric::Dht(match published.stored {
                    0 => "not_published",
                    _ => "published",
                }));
            }
            Answer::Crawled(_) => self.count(Metric::Dht("crawled")),
        }
        self.publish_waiting(step);
    }

    /// A record is on disk, or could not be written.
    pub(super) fn dht_written(&mut self, ticket: Ticket, durable: bool, step: &mut Step<'_>) {
        if let Some(node) = &mut self.dht.node {
            node.handle_written(ticket, durable, step.now, &mut step.rng);
        }
    }

    /// A record was read, or is not there.
    pub(super) fn dht_read(
        &mut self,
        ticket: Ticket,
        record: Option<Vec<u8>>,
        step: &mut Step<'_>,
    ) {
        if let Some(node) = &mut self.dht.node {
            node.handle_read(ticket, record, step.now, &mut step.rng);
        }
    }

    /// Whether an answer of the store is for the DHT of now.
    pub(super) const fn is_of_this_life(&self, life: u64) -> bool {
        self.dht.life == life
    }

    /// The table is kept for the next run.
    pub(super) fn save_dht_table(&mut self) {
        let table = self.dht.node.as_ref().map(|node| node.table().persist());
        if let Some(table) = table.filter(|_| self.dht_holdings().is_some_and(|[all, ..]| all > 0))
        {
            self.store(StoreOp::SaveDhtTable(table), After::Nothing);
        }
    }
}
