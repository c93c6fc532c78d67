//! What a relay answers to others.

use super::stores::After;
use super::{Node, Output, Peer};
use crate::dht::admission::{Admission, Application, Proof};
use crate::dht::bucket::K;
use crate::dht::contact::Contact;
use crate::dht::message::{
    Contacts, FindValueRequest, NodesReply, PongReply, Reply, Request, StoreOutcome, StoreRequest,
    StoredReply, ValueReply,
};
use crate::dht::record::{DhtRecordBytes, Facts, RecordId, RecordScheme};
use crate::dht::store::{Held, Offer, expiry};
use crate::id::{MessageId, NodeId, Position};
use crate::time::Timestamp;

/// A store costs as much as so many other questions: a signature is verified, and the disk is written.
const STORE_COST: u32 = 8;
/// A record that so many known relays are nearer to is others' to hold.
const FAR: usize = 2 * K;

impl<R: RecordScheme, A: Admission> Node<R, A> {
    pub(super) fn on_request(
        &mut self,
        peer: &Peer,
        id: MessageId,
        request: Request,
        now: Timestamp,
    ) {
        let from = peer.node();
        let cost = match request {
            Request::Store(_) => STORE_COST,
            _ => 1,
        };
        if !self.rates.take(&from, cost, self.config.max_askers, now) {
            // Who asks too much hears nothing, except that a record was not taken.
            if cost == STORE_COST {
                self.answer(
                    from,
                    id,
                    &Reply::Stored(StoredReply::of(StoreOutcome::Busy)),
                );
            }
            return;
        }
        match request {
            Request::Ping(_) => self.answer(from, id, &Reply::Pong(PongReply {})),
            Request::FindNode(find) => self.answer_nodes(from, id, &find.target),
            Request::FindValue(find) => self.on_find_value(from, id, find, now),
            Request::Store(store) => self.on_store(from, id, store, now),
        }
    }

    fn on_find_value(
        &mut self,
        from: NodeId,
        id: MessageId,
        find: FindValueRequest,
        now: Timestamp,
    ) {
        let record = find.id();
        let held = self
            .store
            .get(&record)
            .is_some_and(|held| held.expires > now);
        if held && self.pending.len() < self.config.max_operations {
            return self.read(
                record,
                After::Value {
                    to: from,
                    id,
                    record,
                },
            );
        }
        self.answer_nodes(from, id, &record.position());
    }

    /// A record that was asked for has been read.
    pub(super) fn answer_value(
        &mut self,
        to: NodeId,
        id: MessageId,
        which: &RecordId,
        bytes: Option<Vec<u8>>,
    ) {
        let near = which.position();
        let Some(record) = bytes.and_then(|bytes| DhtRecordBytes::new(bytes).ok()) else {
            return self.answer_nodes(to, id, &near);
        };
        let value = ValueReply {
            record,
            contacts: self.contacts_for(&to, &near),
            proof: self.store.get(which).and_then(|held| held.proof.clone()),
        };
        self.answer(to, id, &Reply::Value(value));
    }

    fn answer_nodes(&mut self, to: NodeId, id: MessageId, near: &Position) {
        let contacts = self.contacts_for(&to, near);
        self.answer(to, id, &Reply::Nodes(NodesReply { contacts }));
    }

    fn contacts_for(&self, to: &NodeId, near: &Position) -> Contacts {
        let mut contacts = self.table.nearest(near, K + 1);
        contacts.retain(|contact: &Contact| contact.node() != *to);
        contacts.truncate(K);
        Contacts::new(contacts).unwrap_or_default()
    }

    fn on_store(&mut self, from: NodeId, id: MessageId, store: StoreRequest, now: Timestamp) {
        let StoreRequest {
            kind,
            record,
            proof,
        } = store;
        let checked = match record.len() <= kind.max_len() {
            true => self.records.check(kind, &record, now).ok(),
            false => None,
        };
        let Some(facts) = checked.filter(|facts| facts.id.kind == kind) else {
            return self.answer(from, id, &Reply::Stored(StoredReply::of(StoreOutcome::Bad)));
        };
        let after = |facts, held| After::Stored {
            facts,
            held,
            reply: Some((from, id)),
            job: None,
        };
        if let Some(reply) = self.take_record(from, facts, record.into_inner(), proof, after, now) {
            self.answer(from, id, &Reply::Stored(reply));
        }
    }

    /// Decides about a checked record. `None`: it is being written, and the answer comes with that.
    pub(super) fn take_record(
        &mut self,
        giver: NodeId,
        facts: Facts,
        record: Vec<u8>,
        proof: Option<Proof>,
        after: impl FnOnce(Facts, Held) -> After,
        now: Timestamp,
    ) -> Option<StoredReply> {
        let known = self.store.get(&facts.id).is_some();
        if !known && self.table.nearer_than_me(&facts.id.position(), FAR) >= FAR {
            return Some(StoredReply::of(StoreOutcome::Far));
        }
        // What is held already, or has no room, is not worth a look at its proof.
        let improves = proof.is_some() && self.store.lacks_proof(&facts);
        let offer = self
            .store
            .offer(&facts, record.len(), &giver, improves, now);
        if let Some(refusal) = refusal(&offer) {
            return Some(refusal);
        }
        let proof = proof.filter(|proof| self.admission.is_worth(&facts, &record, proof));
        if improves && proof.is_none() {
            self.store.not_written(&facts.id);
            return refusal(&Offer::Held(facts.sequence));
        }
        let application = Application {
            facts,
            record: &record,
            proof: proof.as_ref(),
            giver,
            renews: known,
            from_contact: giver == self.me.node()
                || self.table.contacts().any(|c| c.node() == giver),
        };
        if let Err(cost) = self.admission.admit(&application, now) {
            self.store.not_written(&facts.id);
            let mut reply = StoredReply::of(StoreOutcome::Costs);
            reply.cost = Some(cost);
            return Some(reply);
        }
        let held = Held {
            sequence: facts.sequence,
            expires: expiry(&facts, now),
            length: record.len(),
            giver,
            proof,
            touched: now,
        };
        self.write(record, after(facts, held.clone()), facts.id, held);
        None
    }

    pub(super) fn answer(&mut self, to: NodeId, id: MessageId, reply: &Reply) {
        self.outputs.push_back(Output::Answer(to, reply.encode(id)));
    }
}

/// What is said to who brings a record that is not to be written.
const fn refusal(offer: &Offer) -> Option<StoredReply> {
    let outcome = match offer {
        Offer::Write => return None,
        Offer::Held(_) => StoreOutcome::Held,
        Offer::Full => StoreOutcome::Full,
        Offer::Busy => StoreOutcome::Busy,
    };
    let mut reply = StoredReply::of(outcome);
    if let Offer::Held(sequence) = offer {
        reply.sequence = Some(*sequence);
    }
    Some(reply)
}
