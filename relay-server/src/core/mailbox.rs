//! Mailboxes: who may put, where mail waits, and how their owner takes it away.
//!
//! In memory is what every put needs (descriptor, permit) and the push schedule; envelopes, tombstones
//! and quotas are the store's. Memory follows the disk: it changes when the store has answered.

use std::collections::{BTreeSet, HashMap};

use zentalk_shared::id::{EnvelopeId, MailboxId, MessageId, NodeId};
use zentalk_shared::onion::Class;
use zentalk_shared::rpc::{
    AcknowledgeReply, EnvelopeItem, FetchBody, FetchReply, FormerPermit, MAX_FETCH,
    MailboxDescriptor, OwnerOp, OwnerRequest, Permit, PutRequest, Refusal, ReplicateTombstoneAck,
    Reply, Subject, Tombstone, envelope_id,
};
use zentalk_shared::time::Timestamp;
use zentalk_shared::wire::codec::{BoundedList, to_cbor};
use zentalk_shared::wire::link::LinkErrorCode;
use zentalk_shared::wire::{Tag, encode_frame};

use super::admission::{Bucket, Rate};
use super::io::{ConnId, Output};
use super::owner::{owned, verify};
use super::relay::{Relay, Step};
use super::requests::{After, ReplyTo, refusal_of};
use super::store::{Fetched, Hour, Owned, PutEnvelope, RestoredMailbox, StoreError, StoreOp};
use super::subscription::Schedule;

/// Members left that are remembered for one mailbox.
const MAX_LEFT: usize = 12;

/// All mailboxes here.
pub(super) struct Mailboxes {
    boxes: HashMap<MailboxId, Mailbox>,
}

/// One of them.
pub(super) struct Mailbox {
    /// `None`: the one that was stored cannot be read.
    pub(super) descriptor: Option<MailboxDescriptor>,
    /// Members that its owner has left, the last ones last, as far as is known since the start.
    left: Vec<NodeId>,
    pub(super) permits: Permits,
    pub(super) schedule: Schedule,
    /// One-time prekeys that may be handed out.
    pub(super) prekeys: Bucket,
}

/// What contacts may show.
#[derive(Debug, Default)]
pub(super) struct Permits {
    pub(super) current: Option<Permit>,
    pub(super) former: Option<FormerPermit>,
}

impl Permits {
    /// Whether what was shown counts. Compared in constant time, and always with both.
    fn admit(&self, shown: Option<&Permit>, now: Timestamp) -> bool {
        let Some(shown) = shown else { return false };
        let former = self.former.as_ref().filter(|former| former.until > now);
        let is_current = self.current.as_ref().is_some_and(|one| one == shown);
        let is_former = former.is_some_and(|one| one.permit == *shown);
        is_current | is_former
    }
}

impl Mailbox {
    fn new(rate: Rate, now: Timestamp) -> Self {
        Self {
            descriptor: None,
            left: Vec::new(),
            permits: Permits::default(),
            schedule: Schedule::default(),
            prekeys: Bucket::full(rate, now),
        }
    }

    /// Takes up a newer descriptor, or the one that is known.
    pub(super) fn adopt(&mut self, descriptor: MailboxDescriptor) {
        let before = self.descriptor.as_ref().map(MailboxDescriptor::members);
        self.left.extend(before.unwrap_or_default());
        let members = descriptor.members();
        self.left.retain(|node| !members.contains(node));
        let surplus = self.left.len().saturating_sub(MAX_LEFT);
        self.left.drain(..surplus);
        self.descriptor = Some(descriptor);
    }

    /// Whether the owner has left this relay.
    pub(super) fn has_left(&self, node: &NodeId) -> bool {
        self.left.contains(node)
    }

    /// Whether the owner has chosen this relay.
    pub(super) fn is_member(&self, node: &NodeId) -> bool {
        self.descriptor
            .as_ref()
            .is_some_and(|d| d.members().contains(node))
    }
}

impl Mailboxes {
    pub(super) fn restore(restored: Vec<RestoredMailbox>, rate: Rate, now: Timestamp) -> Self {
        let mailbox = |restored: RestoredMailbox| {
            let mut mailbox = Mailbox::new(rate, now);
            let descriptor = restored
                .descriptor
                .as_deref()
                .map(MailboxDescriptor::verify);
            mailbox.descriptor = descriptor.and_then(Result::ok);
            mailbox.permits = Permits {
                current: restored.permit.map(Permit::from_bytes),
                former: restored.former,
            };
            mailbox.schedule = Schedule::restored(restored.stock);
            (restored.mailbox, mailbox)
        };
        Self {
            boxes: restored.into_iter().map(mailbox).collect(),
        }
    }

    pub(super) fn get(&self, mailbox: &MailboxId) -> Option<&Mailbox> {
        self.boxes.get(mailbox)
    }

    pub(super) fn get_mut(&mut self, mailbox: &MailboxId) -> Option<&mut Mailbox> {
        self.boxes.get_mut(mailbox)
    }

    /// The mailbox, made if the store has just made it.
    pub(super) fn open(&mut self, mailbox: MailboxId, rate: Rate, now: Timestamp) -> &mut Mailbox {
        self.boxes
            .entry(mailbox)
            .or_insert_with(|| Mailbox::new(rate, now))
    }

    /// The store has forgotten it.
    pub(super) fn forget(&mut self, mailbox: &MailboxId) {
        self.boxes.remove(mailbox);
    }

    /// The newest descriptor of a mailbox that is known here.
    pub(super) fn descriptor(&self, mailbox: &MailboxId) -> Option<&MailboxDescriptor> {
        self.boxes.get(mailbox)?.descriptor.as_ref()
    }

    /// The descriptor of a mailbox that both are members of.
    pub(super) fn shared(
        &self,
        mailbox: &MailboxId,
        me: &NodeId,
        other: &NodeId,
    ) -> Option<&MailboxDescriptor> {
        let both = |d: &&MailboxDescriptor| d.members().contains(me) && d.members().contains(other);
        self.descriptor(mailbox).filter(both)
    }

    /// Mailboxes that both are members of, in order.
    pub(super) fn in_common(&self, me: &NodeId, other: &NodeId) -> Vec<MailboxId> {
        let both = |mailbox: &&MailboxId| self.shared(mailbox, me, other).is_some();
        let mut common: Vec<_> = self.boxes.keys().filter(both).copied().collect();
        common.sort_unstable();
        common
    }

    /// Every other member of a mailbox that `me` is a member of.
    pub(super) fn fellow_members(&self, me: &NodeId) -> BTreeSet<NodeId> {
        let members = |mailbox: &Mailbox| mailbox.descriptor.as_ref().map(|d| d.members().to_vec());
        let lists = self.boxes.values().filter_map(members);
        let mut others: BTreeSet<_> = lists.filter(|list| list.contains(me)).flatten().collect();
        others.remove(me);
        others
    }

    pub(super) fn ids(&self) -> Vec<MailboxId> {
        let mut ids: Vec<_> = self.boxes.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    pub(super) fn len(&self) -> usize {
        self.boxes.len()
    }
}

impl Relay {
    /// Somebody puts an envelope. A permit that is not good here counts as none: whoever shows it is asked for the
    /// work that strangers do, and the answers are the same.
    pub(super) fn on_put(&mut self, reply: ReplyTo, put: PutRequest, step: &mut Step<'_>) {
        if envelope_id(&put.envelope) != put.id {
            return self.refuse_request(reply, Refusal::Malformed, step);
        }
        let known = self.mailboxes.get(&put.mailbox);
        let Some((mailbox, descriptor)) = known.and_then(|m| Some((m, m.descriptor.as_ref()?)))
        else {
            return self.refuse_request(reply, Refusal::Unknown, step);
        };
        if !descriptor.members().contains(&self.me) {
            return self.refuse_request(reply, Refusal::Moved, step);
        }
        let permitted = mailbox.permits.admit(put.permit.as_ref(), step.now);
        let descriptor = descriptor.clone();
        let reply = if permitted {
            reply
        } else {
            let subject = Subject::put(&self.me, &put.mailbox, &put.id);
            match self.collect(reply, &subject, put.work.as_ref(), step) {
                Some(reply) => reply,
                None => return,
            }
        };
        let put = PutEnvelope {
            mailbox: put.mailbox,
            id: put.id,
            envelope: Box::new(put.envelope),
            hour: Hour::at(step.now),
            permitted,
        };
        self.begin_put(reply, &descriptor, put, step);
    }

    /// The owner reads what waits.
    pub(super) fn on_fetch(&mut self, reply: ReplyTo, request: &OwnerRequest, step: &mut Step<'_>) {
        let verified = match verify::<FetchBody>(request, &self.me, OwnerOp::Fetch) {
            Ok(verified) => verified,
            Err(refusal) => return self.refuse_request(reply, refusal, step),
        };
        let fits = match reply.class {
            Class::Message => 1,
            Class::Bulk => u8::try_from(MAX_FETCH).unwrap_or(1),
        };
        let op = StoreOp::Fetch {
            mailbox: verified.mailbox,
            stamp: verified.stamp,
            after: verified.body.after,
            limit: verified.body.limit.min(fits),
            now: step.now,
        };
        self.store(op, After::Fetch(reply));
    }

    pub(super) fn fetched(
        &mut self,
        reply: ReplyTo,
        answer: Result<Owned<Fetched>, StoreError>,
        step: &mut Step<'_>,
    ) {
        let fetched = match owned(answer) {
            Ok(fetched) => fetched,
            Err(refusal) => return self.refuse_request(reply, refusal, step),
        };
        let items = fetched.envelopes.into_iter();
        let items = items
            .map(|(id, envelope)| EnvelopeItem {
                id,
                envelope: *envelope,
            })
            .collect();
        let body = FetchReply {
            envelopes: BoundedList::new(items).unwrap_or_default(),
            next: fetched.next,
            remaining: fetched.remaining,
        };
        self.respond(reply, &Reply::Fetch(body), step);
    }

    /// The owner has envelopes and says so: the one thing that removes mail before its time.
    pub(super) fn on_acknowledge(
        &mut self,
        reply: ReplyTo,
        tombstone: Tombstone,
        step: &mut Step<'_>,
    ) {
        let Ok((mailbox, ids)) = tombstone.verify() else {
            return self.refuse_request(reply, Refusal::NotAllowed, step);
        };
        let op = StoreOp::Tombstone {
            mailbox,
            ids: ids.to_vec(),
            hour: Hour::at(step.now),
            proof: to_cbor(&tombstone),
        };
        let tombstone = Box::new(tombstone);
        self.store(
            op,
            After::Acknowledge {
                reply,
                mailbox,
                tombstone,
            },
        );
    }

    pub(super) fn acknowledged(
        &mut self,
        reply: ReplyTo,
        mailbox: MailboxId,
        tombstone: &Tombstone,
        answer: Result<Option<u16>, StoreError>,
        step: &mut Step<'_>,
    ) {
        match answer {
            Ok(Some(recorded)) => {
                let ids = tombstone
                    .verify()
                    .map_or_else(|_| Vec::new(), |(_, ids)| ids.to_vec());
                self.forget_pushes(&mailbox, &ids);
                self.replicate_tombstone(mailbox, tombstone, step);
                self.respond(
                    reply,
                    &Reply::Acknowledge(AcknowledgeReply { recorded }),
                    step,
                );
            }
            Ok(None) => self.refuse_request(reply, Refusal::Unknown, step),
            Err(error) => self.refuse_request(reply, refusal_of(error), step),
        }
    }

    /// Another member passes an acknowledgement on. The owner's signature is proof enough.
    pub(super) fn on_replicate_tombstone(
        &mut self,
        conn: ConnId,
        frame: MessageId,
        tombstone: &Tombstone,
        step: &Step<'_>,
    ) -> Result<(), LinkErrorCode> {
        let (mailbox, ids) = tombstone
            .verify()
            .map_err(|_| LinkErrorCode::Unauthenticated)?;
        let ids = ids.to_vec();
        let op = StoreOp::Tombstone {
            mailbox,
            ids: ids.clone(),
            hour: Hour::at(step.now),
            proof: to_cbor(tombstone),
        };
        if !self.is_store_busy() {
            self.store(
                op,
                After::ReplicateTombstone {
                    conn,
                    frame,
                    mailbox,
                    ids,
                },
            );
        }
        Ok(())
    }

    pub(super) fn tombstone_replicated(
        &mut self,
        (conn, frame): (ConnId, MessageId),
        mailbox: MailboxId,
        ids: &[EnvelopeId],
        answer: Result<Option<u16>, StoreError>,
    ) {
        // No answer: the other member tries again.
        let Ok(recorded) = answer else { return };
        self.forget_pushes(&mailbox, ids);
        let ack = ReplicateTombstoneAck {
            mailbox,
            recorded: recorded.unwrap_or(0),
        };
        let ack = encode_frame(Tag::ReplicateTombstoneAck, frame, &to_cbor(&ack));
        self.output(Output::Send(conn, ack));
    }

    fn forget_pushes(&mut self, mailbox: &MailboxId, ids: &[EnvelopeId]) {
        if let Some(mailbox) = self.mailboxes.get_mut(mailbox) {
            mailbox.schedule.forget(ids);
        }
    }
}
