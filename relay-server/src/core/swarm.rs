//! The members of a mailbox's swarm: an envelope counts as sent when a majority has it on disk.
//!
//! ```text
//!  Put ─▶ own disk ─Stored─▶ ReplicatePut to the other active members ─▶ acks ─ majority ─▶ PutReply
//!                                │ refused, or silent for 2 s                    └ 8 s ─▶ Refused: too few
//!                                ├▶ the next member listed, as well
//!                                └▶ outbox: again and again, in the background
//! ```
//! Active are the first R members listed that can be reached. A member that is away gets what it missed by
//! anti-entropy.

mod away;
mod put;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use zentalk_shared::id::{EnvelopeId, MailboxId, MessageId, NodeId};
use zentalk_shared::rpc::{
    MailboxDescriptor, Refusal, ReplicatePut, ReplicatePutAck, Reply, Tombstone, envelope_id,
};
use zentalk_shared::time::{Duration, Timestamp};
use zentalk_shared::wire::codec::to_cbor;
use zentalk_shared::wire::link::LinkErrorCode;
use zentalk_shared::wire::{Tag, encode_frame};

use super::io::{ConnId, Metric, Output};
use super::outbox::{Item, Next, Outbox, RESEND_AFTER};
use super::relay::{Relay, Step, Timer};
use super::requests::{After, ReplyTo, refusal_of};
use super::store::{Hour, PutEnvelope, PutOutcome, StoreError, StoreOp, StoredEnvelope};
use super::subscription::STAGGER;
use put::{Put, Verdict};

/// An envelope at a mailbox.
pub(super) type PutKey = (MailboxId, EnvelopeId);

/// A member that has not answered by then is taken for away, and the next one listed is asked as well.
const PUT_WIDENS: Duration = Duration::from_secs(2);
/// Senders that wait for one envelope: retries over other paths.
const MAX_WAITERS: usize = 4;
/// Envelopes on their way to one mailbox, so that one whose other members are silent does not take the
/// room of all.
const MAX_PUTS_EACH: usize = 64;

/// Puts on their way to a majority, and what members must still be told.
#[derive(Default)]
pub(super) struct Swarm {
    puts: BTreeMap<PutKey, Put>,
    outboxes: HashMap<NodeId, Outbox>,
    /// Who does not answer, and until when it is not counted on.
    away: BTreeMap<NodeId, Timestamp>,
}

impl Swarm {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Whether another envelope for a mailbox may be on its way.
    fn has_room(&self, mailbox: MailboxId, limit: usize) -> bool {
        let id = |byte| (mailbox, EnvelopeId::from_bytes([byte; 16]));
        let each = self.puts.range(id(0)..=id(u8::MAX)).count();
        self.puts.len() < limit && each < MAX_PUTS_EACH
    }

    #[cfg(test)]
    pub(super) fn on_their_way(&self) -> usize {
        self.puts.len()
    }
}

impl Relay {
    /// Takes an envelope in, or a retry of one that is on its way.
    pub(super) fn begin_put(
        &mut self,
        reply: ReplyTo,
        descriptor: &MailboxDescriptor,
        put: PutEnvelope,
        step: &mut Step<'_>,
    ) {
        let key = (put.mailbox, put.id);
        if let Some(on_its_way) = self.swarm.puts.get_mut(&key) {
            if on_its_way.waiters.len() >= MAX_WAITERS {
                return self.refuse_request(reply, Refusal::Busy, step);
            }
            on_its_way.waiters.push(reply);
            return self.settle_put(key, step);
        }
        if !self.swarm.has_room(put.mailbox, self.config.limits.puts) {
            return self.refuse_request(reply, Refusal::Busy, step);
        }
        let payload = to_cbor(&ReplicatePut {
            mailbox: put.mailbox,
            id: put.id,
            envelope: *put.envelope,
            hour: put.hour.0,
            permitted: put.permitted,
        });
        let reachable = |node: &NodeId| !self.swarm.is_away(node, step.now);
        let payload = payload.into();
        let mut on_its_way = Put::new(descriptor, &self.me, reachable, payload, step.now);
        on_its_way.waiters.push(reply);
        self.swarm.puts.insert(key, on_its_way);
        self.timers.set(step.now + PUT_WIDENS, Timer::Put(key));
        let permitted = put.permitted;
        self.store(StoreOp::Put(put), After::Put { key, permitted });
    }

    /// The own disk has answered: now the others.
    pub(super) fn put_stored(
        &mut self,
        (key, permitted): (PutKey, bool),
        answer: Result<PutOutcome, StoreError>,
        step: &mut Step<'_>,
    ) {
        let refusal = match answer {
            Ok(outcome) if outcome.is_durable() => None,
            Ok(PutOutcome::Unknown) => Some(Refusal::Unknown),
            Ok(_) => Some(Refusal::Full),
            Err(error) => Some(refusal_of(error)),
        };
        if let Some(refusal) = refusal {
            return self.end_put(key, refusal, step);
        }
        if answer == Ok(PutOutcome::Stored) {
            self.schedule_push(key, permitted, step.now);
        }
        // A put whose deadline has passed meanwhile is replicated when its sender tries again.
        let Some(put) = self.swarm.puts.get_mut(&key) else {
            return;
        };
        put.own = true;
        for node in put.others.clone() {
            self.replicate_put(node, key, step);
        }
        self.widen_put(key, step);
        self.settle_put(key, step);
    }

    fn replicate_put(&mut self, node: NodeId, key: PutKey, step: &mut Step<'_>) {
        let Some(put) = self.swarm.puts.get(&key) else {
            return;
        };
        let payload = Some(Arc::clone(&put.payload));
        let sent = self.replicate(node, Item::Put(key, payload), step);
        // Nobody waits for a member that does not exist.
        if let Some(put) = self.swarm.puts.get_mut(&key).filter(|_| !sent) {
            put.on_ack(node, false);
        }
    }

    /// Asks as many spare members as others have failed.
    fn widen_put(&mut self, key: PutKey, step: &mut Step<'_>) {
        while let Some(put) = self.swarm.puts.get_mut(&key)
            && put.own
            && put.lacks()
        {
            let Some(node) = put.widen() else { return };
            self.replicate_put(node, key, step);
        }
    }

    /// Answers the senders and forgets the put, if there is an answer.
    fn settle_put(&mut self, key: PutKey, step: &mut Step<'_>) {
        let Some(put) = self.swarm.puts.get(&key) else {
            return;
        };
        match put.verdict() {
            Verdict::Open => {}
            Verdict::Hopeless => self.end_put(key, Refusal::TooFewMembers, step),
            // The others are told by their outboxes; here it takes no room any more.
            Verdict::Sent(reply) => {
                let put = self.swarm.puts.remove(&key);
                for waiter in put.map(|put| put.waiters).unwrap_or_default() {
                    self.respond(waiter, &Reply::Put(reply), step);
                }
            }
        }
    }

    fn end_put(&mut self, key: PutKey, refusal: Refusal, step: &mut Step<'_>) {
        let put = self.swarm.puts.remove(&key);
        for waiter in put.map(|put| put.waiters).unwrap_or_default() {
            self.refuse_request(waiter, refusal, step);
        }
    }

    /// A put waits for members that are silent, or its time is over; the timer may be that of an earlier put of
    /// the envelope.
    pub(super) fn put_waits(&mut self, key: PutKey, step: &mut Step<'_>) {
        let Some(put) = self.swarm.puts.get_mut(&key) else {
            return;
        };
        if put.deadline <= step.now {
            return self.end_put(key, Refusal::TooFewMembers, step);
        }
        if put.own {
            let silent = put.silent();
            put.late.extend(&silent);
            for node in silent {
                self.swarm.missed(node, step.now);
            }
            self.widen_put(key, step);
            self.settle_put(key, step);
        }
        self.timers.set(step.now + PUT_WIDENS, Timer::Put(key));
    }

    /// Another member has an envelope for a mailbox that this relay is a member of, too. By its id it is
    /// acknowledged, so a member that could choose the id could choose what its owner deletes here.
    pub(super) fn on_replicate_put(
        &mut self,
        conn: ConnId,
        from: NodeId,
        frame: MessageId,
        put: ReplicatePut,
        step: &mut Step<'_>,
    ) -> Result<(), LinkErrorCode> {
        if envelope_id(&put.envelope) != put.id {
            return Err(LinkErrorCode::Malformed);
        }
        let key = (put.mailbox, put.id);
        let mailbox = self.mailboxes.get(&put.mailbox);
        if !mailbox.is_some_and(|mailbox| mailbox.is_member(&from) && mailbox.is_member(&self.me)) {
            self.answer_replica((conn, frame), key, false);
            self.tell_former(from, &key.0, step);
            return Ok(());
        }
        if self.is_store_busy() {
            return Ok(());
        }
        let permitted = put.permitted;
        let put = PutEnvelope {
            mailbox: put.mailbox,
            id: put.id,
            envelope: Box::new(put.envelope),
            // Not from the future, or it would outlive its time.
            hour: Hour(put.hour).min(Hour::at(step.now)),
            permitted: put.permitted,
        };
        self.store(
            StoreOp::Put(put),
            After::ReplicatePut {
                conn,
                frame,
                from,
                key,
                permitted,
            },
        );
        Ok(())
    }

    pub(super) fn replica_stored(
        &mut self,
        to: (ConnId, MessageId),
        from: NodeId,
        (key, permitted): (PutKey, bool),
        answer: Result<PutOutcome, StoreError>,
        step: &Step<'_>,
    ) {
        match answer {
            Ok(outcome) => {
                if outcome == PutOutcome::Stored {
                    self.count(Metric::Replicated);
                    let turn = self.turn_after(&key.0, &from);
                    self.schedule_push(key, permitted, step.now + STAGGER * turn);
                }
                self.answer_replica(to, key, outcome.is_durable());
            }
            Err(StoreError::Full) => self.answer_replica(to, key, false),
            // No answer: the other member tries again.
            Err(StoreError::Failed) => {}
        }
    }

    fn answer_replica(&mut self, (conn, frame): (ConnId, MessageId), key: PutKey, durable: bool) {
        let ack = ReplicatePutAck {
            mailbox: key.0,
            id: key.1,
            durable,
        };
        let ack = encode_frame(Tag::ReplicatePutAck, frame, &to_cbor(&ack));
        self.output(Output::Send(conn, ack));
    }

    /// This relay's place among the members other than the one that took the put, from 1.
    fn turn_after(&self, mailbox: &MailboxId, accepted: &NodeId) -> u64 {
        let descriptor = self
            .mailboxes
            .get(mailbox)
            .and_then(|m| m.descriptor.as_ref());
        let members = descriptor.map(|d| d.members()).unwrap_or_default();
        let place = members
            .iter()
            .filter(|n| *n != accepted)
            .position(|n| *n == self.me);
        place.map_or(1, |place| place as u64 + 1)
    }

    pub(super) fn on_replicate_put_ack(
        &mut self,
        from: NodeId,
        frame: MessageId,
        ack: ReplicatePutAck,
        step: &mut Step<'_>,
    ) {
        self.confirm(&from, &frame, step.now);
        let key = (ack.mailbox, ack.id);
        if let Some(put) = self.swarm.puts.get_mut(&key) {
            put.on_ack(from, ack.durable);
            self.widen_put(key, step);
            self.settle_put(key, step);
        }
        self.pump(from, step);
    }

    pub(super) fn on_replicate_tombstone_ack(
        &mut self,
        from: NodeId,
        frame: MessageId,
        step: &mut Step<'_>,
    ) {
        self.confirm(&from, &frame, step.now);
        self.pump(from, step);
    }

    fn confirm(&mut self, from: &NodeId, frame: &MessageId, now: Timestamp) {
        self.swarm.away.remove(from);
        if let Some(outbox) = self.swarm.outboxes.get_mut(from) {
            outbox.confirmed(frame, now);
        }
    }

    /// Passes an acknowledgement on to every other member.
    pub(super) fn replicate_tombstone(
        &mut self,
        mailbox: MailboxId,
        tombstone: &Tombstone,
        step: &mut Step<'_>,
    ) {
        let known = self.mailboxes.get(&mailbox);
        let members = known
            .and_then(|m| m.descriptor.as_ref())
            .map(|d| d.members().to_vec());
        let mut members = members.unwrap_or_default();
        members.retain(|node| *node != self.me);
        let payload: Arc<[u8]> = to_cbor(tombstone).into();
        for node in members {
            self.replicate(node, Item::Tombstone(mailbox, Arc::clone(&payload)), step);
        }
    }

    /// Puts an item into a member's outbox and sends what can be sent. False: it will not hear of it.
    pub(super) fn replicate(&mut self, node: NodeId, item: Item, step: &mut Step<'_>) -> bool {
        let linked = self.peers.conn(&node).is_some();
        // A mailbox's owner may list members that do not exist; nothing is kept for those.
        if !linked && !self.connect_to(node, step) {
            return false;
        }
        let limits = self.config.limits;
        let known = self.swarm.outboxes.get(&node);
        if known.is_some_and(|outbox| outbox.has(&item)) {
            return true;
        }
        if !self.swarm.make_room(&node, limits.replication) {
            return false;
        }
        let item = match item {
            // It is read again when the member is back.
            Item::Put(key, _) if !linked => Item::Put(key, None),
            item => item,
        };
        let outboxes = self.swarm.outboxes.entry(node);
        let outbox = outboxes.or_insert_with(|| Outbox::new(step.now));
        let added = outbox.add(item, limits.replication_each);
        self.pump(node, step);
        added
    }

    /// Sends a member what its window has room for.
    fn pump(&mut self, node: NodeId, step: &mut Step<'_>) {
        let Some(conn) = self.peers.conn(&node) else {
            return;
        };
        while let Some(outbox) = self.swarm.outboxes.get_mut(&node) {
            match outbox.next(step.now, || MessageId::random(&mut step.rng)) {
                Some(Next::Send(id, item)) => self.output(Output::Send(conn, encode(id, &item))),
                Some(Next::Read(key)) => {
                    let (mailbox, id) = key;
                    let op = StoreOp::ReadEnvelope { mailbox, id };
                    self.store(op, After::Replicate { node, key });
                }
                None => break,
            }
        }
        self.arm_outbox(node, step);
    }

    fn arm_outbox(&mut self, node: NodeId, step: &Step<'_>) {
        let Some(outbox) = self.swarm.outboxes.get_mut(&node) else {
            return;
        };
        if outbox.is_empty() {
            self.swarm.outboxes.remove(&node);
        } else if !outbox.armed {
            outbox.armed = true;
            self.timers
                .set(step.now + RESEND_AFTER, Timer::Outbox(node));
        }
    }

    /// Sends again what a member has not confirmed.
    pub(super) fn check_outbox(&mut self, node: NodeId, step: &mut Step<'_>) {
        let Some(outbox) = self.swarm.outboxes.get_mut(&node) else {
            return;
        };
        if outbox.is_deaf(step.now) {
            self.swarm.outboxes.remove(&node);
            return;
        }
        outbox.armed = false;
        outbox.resend(step.now);
        self.pump(node, step);
    }

    /// An envelope has been read for a member that was away.
    pub(super) fn replica_read(
        &mut self,
        node: NodeId,
        key: PutKey,
        answer: Result<Option<StoredEnvelope>, StoreError>,
        step: &mut Step<'_>,
    ) {
        let payload = answer.ok().flatten().map(|stored| {
            to_cbor(&ReplicatePut {
                mailbox: key.0,
                id: key.1,
                envelope: *stored.envelope,
                hour: stored.hour.0,
                permitted: stored.permitted,
            })
        });
        if let Some(outbox) = self.swarm.outboxes.get_mut(&node) {
            outbox.read(key, payload.map(Into::into));
        }
        self.pump(node, step);
    }

    /// A relay is connected: what waits for it goes out, and what either has missed is looked for.
    pub(super) fn members_linked(&mut self, node: NodeId, step: &mut Step<'_>) {
        self.swarm.away.remove(&node);
        self.compare_with_linked(node, step);
        if let Some(outbox) = self.swarm.outboxes.get_mut(&node) {
            outbox.is_back(step.now);
            outbox.resend(Timestamp::MAX);
        }
        self.pump(node, step);
    }

    /// A relay is gone: what was in flight waits again.
    pub(super) fn members_unlinked(&mut self, node: &NodeId, step: &mut Step<'_>) {
        self.swarm.missed(*node, step.now);
        self.end_round(node, step);
        if let Some(outbox) = self.swarm.outboxes.get_mut(node) {
            outbox.disconnected();
        }
    }
}

fn encode(id: MessageId, item: &Item) -> Vec<u8> {
    match item {
        Item::Put(_, payload) => encode_frame(
            Tag::ReplicatePut,
            id,
            payload.as_deref().unwrap_or_default(),
        ),
        Item::Tombstone(_, payload) => encode_frame(Tag::ReplicateTombstone, id, payload),
    }
}
