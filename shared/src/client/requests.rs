//! Requests to relays: what each was for, when to make the next, what its answer means.

use std::collections::BTreeSet;

use super::api::Step;
use super::engine::{Client, Ctx, Item};
use super::mailbox::Need;
use super::net::NetFailure;
use super::outbox::Due;
use super::view::{FailReason, MessageState};
use super::work::Task;
use crate::id::{Address, DeviceId, EnvelopeId, MailboxId, NodeId, RecordKey};
use crate::onion::Class;
use crate::rpc::{
    MailboxDescriptor, PutRequest, RecordBytes, Refusal, Refused, Reply, Request, SubscribeReply,
    Work,
};

/// After every so many failed attempts of one envelope its contact is looked up again.
const LOOK_AGAIN: u32 = 6;

/// Whom of a swarm the `attempt`th request asks: the active members from `first` on, then the others.
pub(super) fn in_turn(mailbox: &MailboxDescriptor, first: usize, attempt: u32) -> Option<NodeId> {
    let (active, members) = (mailbox.active(), mailbox.members());
    let turn = usize::try_from(attempt).unwrap_or(0) % members.len().max(1);
    let at = match turn < active.len() {
        true => (first + turn) % active.len(),
        false => turn,
    };
    members.get(at).copied()
}

/// What a request was for.
#[derive(Debug)]
pub(super) enum Purpose {
    Put(PutTo),
    Subscribe {
        member: NodeId,
        replace: bool,
        /// How often every stock had been lost when its reply blocks were minted.
        losses: u64,
        /// How often work was asked for.
        tries: u8,
    },
    TellFormer {
        member: NodeId,
    },
    Fetch {
        member: NodeId,
    },
    Acknowledge {
        ids: Vec<EnvelopeId>,
    },
    PublishRecord(RecordTo),
    PublishPreKeys {
        member: NodeId,
    },
    FindRecord {
        address: Address,
        key: RecordKey,
    },
    TakePreKeys {
        address: Address,
        device: DeviceId,
    },
}

impl Purpose {
    /// The member of my swarm, or former member, that it keeps busy.
    const fn member(&self) -> Option<NodeId> {
        match self {
            Self::Subscribe { member, .. }
            | Self::TellFormer { member }
            | Self::Fetch { member }
            | Self::PublishPreKeys { member } => Some(*member),
            _ => None,
        }
    }
}

/// An envelope, and the member that is to take it.
#[derive(Clone, Copy, Debug)]
pub(super) struct PutTo {
    pub(super) item: Item,
    pub(super) envelope: EnvelopeId,
    pub(super) device: DeviceId,
    pub(super) mailbox: MailboxId,
    pub(super) member: NodeId,
    /// How often work was asked for.
    pub(super) tries: u8,
}

/// My record, and a relay that is to hold it.
#[derive(Clone, Debug)]
pub(super) struct RecordTo {
    pub(super) sequence: u64,
    pub(super) relay: NodeId,
    /// It and others that are asked: none of them is to be the guard.
    pub(super) beside: Vec<NodeId>,
    pub(super) record: RecordBytes,
    /// How often work was asked for.
    pub(super) tries: u8,
}

/// A member of my swarm that does not have the mailbox yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenAt {
    pub(super) member: NodeId,
    /// How often work was asked for.
    pub(super) tries: u8,
}

/// Whom a request is for.
pub(super) struct Target<'a> {
    pub(super) node: NodeId,
    /// The swarm concerned: no guard of the path is a member of it.
    pub(super) swarm: &'a [NodeId],
    /// It concerns me: the path goes by a vanguard.
    pub(super) own: bool,
}

impl Client {
    /// Makes every request whose time has come.
    pub(super) fn pump(&mut self, ctx: &mut Ctx<'_>) {
        self.pump_seal(ctx);
        if !self.is_online() {
            return;
        }
        self.choose_swarm(ctx);
        for due in self.outbox.take_due(ctx.now) {
            self.put(due, ctx);
        }
        for address in self.lookups.due(ctx.now) {
            self.find_record(address, ctx);
        }
        for (member, need) in self
            .mailbox
            .needs(self.stock.surbs, &self.busy_members(), ctx.now)
        {
            match need {
                Need::Subscribe { count, replace } => {
                    self.subscribe(member, count, replace, 0, ctx);
                }
                Need::Fetch { after } => self.fetch(member, after, ctx),
                Need::Tell => self.tell_former(member, ctx),
            }
        }
        for (member, ids) in self.mailbox.take_acknowledgements(ctx.now) {
            self.send_acknowledgement(member, ids, ctx);
        }
        if self.mailbox.descriptor.is_some() && self.publication.record_due(ctx.now) {
            self.publish_record(ctx);
        }
        let prekeys =
            self.publication
                .prekeys_due(self.stock.prekeys, &self.busy_members(), ctx.now);
        if !prekeys.is_empty() && !self.prekeys_queued(ctx) {
            ctx.batch.step(Step::PreKeys);
        }
    }

    /// Members of my swarm that are busy with an owner request, or for whom one is worked for.
    pub(super) fn busy_members(&self) -> BTreeSet<NodeId> {
        let asked = self.requests.values().filter_map(Purpose::member);
        asked.chain(self.works.members()).collect()
    }

    fn prekeys_queued(&self, ctx: &Ctx<'_>) -> bool {
        ctx.batch
            .steps
            .iter()
            .any(|step| matches!(step, Step::PreKeys))
    }

    /// Contacts with something to seal: seal it, or look for a way to.
    fn pump_seal(&mut self, ctx: &mut Ctx<'_>) {
        // Also without a swarm: an item's time is over once it is seen here, and wakes the host no more.
        let waiting: Vec<_> = self.outbox.unsealed(ctx.now).collect();
        if self.mailbox.descriptor.is_none() {
            return;
        }
        for (address, due) in waiting {
            if self.outbox.is_blocked(&address) {
                continue;
            }
            if !self.contacts.is_reachable(&address, ctx.now) {
                self.lookups.want(address, ctx.now);
            } else if due
                && !self.awaits_record(&address, ctx.now)
                && !ctx
                    .batch
                    .steps
                    .iter()
                    .any(|step| matches!(step, Step::Seal(of) if *of == address))
            {
                ctx.batch.step(Step::Seal(address));
            }
        }
    }

    pub(super) fn ask(
        &mut self,
        to: Target<'_>,
        request: Request,
        class: Class,
        purpose: Purpose,
        ctx: &mut Ctx<'_>,
    ) {
        let Target { node, swarm, own } = to;
        let id = self
            .net
            .request(node, swarm, own, request, class, ctx.now, &mut ctx.rng);
        self.requests.insert(id, purpose);
    }

    fn put(&mut self, due: Due, ctx: &mut Ctx<'_>) {
        let (address, _) = due.item;
        let mailbox = self.contacts.mailbox(&address, &due.device);
        let Some(mailbox) = mailbox else {
            return self.put_failed(due.item, due.envelope, ctx);
        };
        // Each attempt asks another member: the active ones first, of which the envelope chooses the first one.
        let first = due.envelope.as_bytes().first().copied().unwrap_or_default();
        let Some(member) = in_turn(&mailbox, first.into(), due.attempt) else {
            return self.put_failed(due.item, due.envelope, ctx);
        };
        let to = PutTo {
            item: due.item,
            envelope: due.envelope,
            device: due.device,
            mailbox: mailbox.mailbox(),
            member,
            tries: 0,
        };
        let is_stranger = self.contacts.write_secret(&address).is_none();
        if !(is_stranger && self.works_first(Task::Put(to), ctx)) {
            self.put_to(to, None, ctx);
        }
    }

    /// Asks a member to take an envelope.
    pub(super) fn put_to(&mut self, to: PutTo, work: Option<Work>, ctx: &mut Ctx<'_>) {
        let (address, _) = to.item;
        // Work takes a while, and the person may have keys to accept since.
        if self.outbox.is_blocked(&address) {
            return self.put_failed(to.item, to.envelope, ctx);
        }
        let mailbox = self.contacts.mailbox(&address, &to.device);
        let (Some(mailbox), Some(bytes)) = (mailbox, self.outbox.bytes(&to.envelope)) else {
            return self.put_failed(to.item, to.envelope, ctx);
        };
        let permit = self.contacts.write_secret(&address);
        let request = Request::Put(PutRequest {
            mailbox: to.mailbox,
            id: to.envelope,
            permit: permit.map(|secret| secret.permit(&to.member)),
            envelope: *bytes,
            work,
        });
        let target = Target {
            node: to.member,
            swarm: mailbox.members(),
            own: false,
        };
        self.ask(target, request, Class::Message, Purpose::Put(to), ctx);
    }

    // --- answers --------------------------------------------------------------------------------

    pub(super) fn on_reply(&mut self, purpose: Purpose, reply: Reply, ctx: &mut Ctx<'_>) {
        self.mailbox.network_answers(ctx.now);
        match (purpose, reply) {
            (Purpose::Put(to), Reply::Put(put)) => {
                let held = self.outbox.held(&to.item, &to.envelope, put.held, put.of);
                let (writes, done) = held;
                ctx.batch.writes.extend(writes);
                if let Some((held, of)) = done {
                    ctx.batch.step(Step::Progress {
                        item: to.item,
                        state: Some(MessageState::Sent { held, of }),
                    });
                }
            }
            (
                Purpose::Subscribe {
                    member,
                    replace,
                    losses,
                    ..
                },
                Reply::Subscribe(SubscribeReply { stock, waiting }),
            ) => {
                self.works.opened(&member);
                match losses == self.mailbox.losses() {
                    true => (self.mailbox).subscribed(member, stock, waiting, replace, ctx.now),
                    false => self.mailbox.subscribed_in_vain(member, ctx.now),
                }
            }
            (Purpose::TellFormer { member }, Reply::Subscribe(_)) => {
                self.mailbox.told(member, ctx.now);
            }
            (Purpose::Fetch { member }, Reply::Fetch(page)) => {
                self.mailbox
                    .fetched(member, page.next, page.remaining, ctx.now);
                self.receive(member, page.envelopes.into_inner(), ctx);
            }
            (Purpose::Acknowledge { ids }, Reply::Acknowledge(_)) => {
                self.mailbox.acknowledged(&ids)
            }
            (Purpose::PublishRecord(to), Reply::RecordPut(put)) => {
                self.record_put(to.sequence, put, ctx);
            }
            (Purpose::PublishPreKeys { member }, Reply::PreKeyPublish(held)) => {
                self.publication
                    .prekeys_held(member, held.held, self.stock.prekeys, ctx.now);
            }
            (Purpose::FindRecord { address, key }, Reply::RecordGet(got)) => {
                self.record_answered(address, key, Some(got), ctx);
            }
            (Purpose::TakePreKeys { address, device }, Reply::PreKeyTake(taken)) => {
                self.prekeys_taken(address, device, &taken, ctx);
            }
            (purpose, Reply::Refused(refused)) => self.on_refused(purpose, refused, ctx),
            // An answer to another question: the same as none.
            (purpose, _) => self.on_no_reply(purpose, NetFailure::Timeout, ctx),
        }
    }

    /// If work is all that it takes, it is done; any other refusal is the same as no answer.
    fn on_refused(&mut self, purpose: Purpose, refused: Refused, ctx: &mut Ctx<'_>) {
        let task = match &purpose {
            Purpose::Put(to) => Some(Task::Put(*to)),
            Purpose::PublishRecord(to) => Some(Task::Record(to.clone())),
            Purpose::Subscribe { member, tries, .. } => Some(Task::Open(OpenAt {
                member: *member,
                tries: *tries,
            })),
            _ => None,
        };
        if let (Purpose::Put(to), Refusal::Moved) = (&purpose, refused.reason) {
            self.lookups.want(to.item.0, ctx.now);
        }
        let wanted = refused
            .work
            .filter(|_| refused.reason == Refusal::WorkNeeded);
        let works = task
            .zip(wanted)
            .is_some_and(|(task, wanted)| self.work_wanted(task, wanted, ctx));
        if !works {
            self.on_no_reply(purpose, NetFailure::Timeout, ctx);
        }
    }

    /// No answer in time, or none that helps. What goes on failing because one member is absent says nothing about
    /// pushes of the others.
    pub(super) fn on_no_reply(&mut self, purpose: Purpose, why: NetFailure, ctx: &mut Ctx<'_>) {
        let member = purpose.member();
        if !member.is_some_and(|member| self.mailbox.is_absent(&member)) {
            self.mailbox.doubt();
        }
        if let Some(member) = member.filter(|_| why.may_be_the_targets()) {
            self.mailbox.missed(member, ctx.now);
        }
        self.on_failed(purpose, ctx);
    }

    fn on_failed(&mut self, purpose: Purpose, ctx: &mut Ctx<'_>) {
        let (now, rng) = (ctx.now, &mut ctx.rng);
        match purpose {
            Purpose::Put(to) => self.put_failed(to.item, to.envelope, ctx),
            Purpose::Subscribe { member, .. } => self.mailbox.subscribe_failed(member, now, rng),
            Purpose::TellFormer { member } => self.mailbox.former_failed(member, now, rng),
            Purpose::Fetch { member } => self.mailbox.fetch_failed(member, now, rng),
            Purpose::Acknowledge { ids } => self.mailbox.acknowledge_failed(&ids, now, rng),
            Purpose::PublishRecord(to) => self.record_stored(to.sequence, false, ctx),
            Purpose::PublishPreKeys { member } => self.publication.prekeys_failed(member, now, rng),
            Purpose::FindRecord { address, key } => self.record_answered(address, key, None, ctx),
            Purpose::TakePreKeys { address, .. } => self.lookup_failed(address, None, ctx),
        }
    }

    /// Another attempt follows after a pause. When every member has been tried the mailbox has perhaps moved.
    fn put_failed(&mut self, item: Item, envelope: EnvelopeId, ctx: &mut Ctx<'_>) {
        let failed = self.outbox.failed(&item, &envelope, ctx.now, &mut ctx.rng);
        if failed.is_multiple_of(LOOK_AGAIN) {
            self.lookups.want(item.0, ctx.now);
        }
    }

    /// Seven days of attempts are over.
    pub(super) fn give_up(&mut self, item: Item, was_sealed: bool, ctx: &mut Ctx<'_>) {
        let failure = if was_sealed {
            None
        } else {
            self.lookups.failure(&item.0)
        };
        let reason = failure.unwrap_or(FailReason::Expired);
        let shown = self.outbox.get(&item).is_some_and(|item| item.row.shown);
        ctx.batch.writes.extend(self.outbox.remove(&item));
        if shown {
            ctx.batch.step(Step::Progress {
                item,
                state: Some(MessageState::Failed(reason)),
            });
        }
    }
}
