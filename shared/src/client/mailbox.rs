//! My mailbox: choosing its swarm, keeping every member supplied with reply blocks, acknowledging.
//! DESIGN §3.4–3.6.
//!
//! ```text
//!   member:  Idle(due) ──Subscribe──▶ Asked ──SubscribeReply──▶ Active { stock, heard }
//!              ▲    ▲──failed, backoff──┘                          │ stock ≤ refill: Subscribe again
//!              └──────── 25 min of silence, new guard or tag ──────┘ waiting mail: Fetch, page by page
//! ```
//! Members that do not answer are `absent`, and are replaced in time; those that were are `former`.
//! A guard that dies may take pushes along, which members repeat only after a minute. After that every member is asked
//! for waiting mail, again and again until it has answered: with the subscription if the guard is another one, with a
//! fetch if it is the same.

mod acknowledgements;
mod member;
mod permits;

use std::collections::{BTreeMap, BTreeSet};

use super::absent::Absent;
use super::former::Formers;
use super::outbox::backoff;
use super::records::{MailboxRow, Record, meta};
use super::store::{Row, Write};
use crate::id::{EnvelopeId, NodeId};
use crate::rpc::MailboxDescriptor;
use crate::time::{Duration, Timestamp};
use acknowledgements::Acknowledgements;
use member::{Fetch, Member, POLL, Stock, Subscription};
use rand_core::CryptoRng;

const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_mins(2);
/// A member that was asked in vain so often is not asked in such haste any more.
const PATIENT: u32 = 12;
const LATER_RETRY: Duration = Duration::from_mins(10);

/// Live state of the mailbox.
#[derive(Debug)]
pub(super) struct Mailbox {
    pub(super) row: MailboxRow,
    pub(super) descriptor: Option<MailboxDescriptor>,
    members: BTreeMap<NodeId, Member>,
    formers: Formers,
    absent: Absent,
    /// Something about members is to be stored.
    unsaved: bool,
    /// How often every stock was lost.
    losses: u64,
    to_acknowledge: Acknowledgements,
}

/// What a member needs now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Reply blocks: so many, and whether they replace what is there.
    Subscribe { count: u16, replace: bool },
    /// Waiting mail from this cursor on.
    Fetch { after: u64 },
    /// The descriptor, which does not list it any more.
    Tell,
}

impl Mailbox {
    pub(super) fn restore(row: MailboxRow, now: Timestamp) -> Self {
        let descriptor = row
            .descriptor
            .as_ref()
            .and_then(|bytes| MailboxDescriptor::verify(bytes).ok());
        let mut mailbox = Self {
            formers: Formers::restore(row.former_members.as_ref(), now),
            absent: Absent::restore(row.absent.as_ref()),
            unsaved: false,
            row,
            descriptor,
            members: BTreeMap::new(),
            losses: 0,
            to_acknowledge: Acknowledgements::default(),
        };
        mailbox.reset(now);
        mailbox
    }

    /// A new swarm, of which members that were in it before learn with their next subscription, due now, and
    /// those that are no longer in it, too; returns the write.
    pub(super) fn moved(&mut self, descriptor: MailboxDescriptor, now: Timestamp) -> Write {
        self.row.descriptor = Some(descriptor.bytes().clone());
        let mut stay = core::mem::take(&mut self.members);
        let member = |node: &NodeId| (*node, stay.remove(node).unwrap_or_else(|| Member::new(now)));
        self.members = descriptor.members().iter().map(member).collect();
        self.formers
            .moved(stay.into_keys(), descriptor.members(), now);
        self.absent.keep(descriptor.members());
        self.descriptor = Some(descriptor);
        self.note();
        self.write()
    }

    /// Every stock is lost: a new guard, or a new tag.
    pub(super) fn reset(&mut self, now: Timestamp) {
        let members = self.descriptor.as_ref();
        let members = members.map(MailboxDescriptor::members).unwrap_or_default();
        let fresh = |node: &NodeId| (*node, Member::new(now));
        self.members = members.iter().map(fresh).collect();
        self.losses += 1;
        self.formers.reset(now);
    }

    /// What is known of members goes into the row.
    fn note(&mut self) {
        self.row.former_members = self.formers.rows();
        self.row.absent = self.absent.rows();
        self.unsaved = true;
    }

    /// The write, if anything about members has changed since the last one.
    pub(super) fn take_unsaved(&mut self) -> Option<Write> {
        core::mem::take(&mut self.unsaved).then(|| self.write())
    }

    /// Some relay has answered something: who does not is away itself.
    pub(super) const fn network_answers(&mut self, now: Timestamp) {
        self.absent.heard(now);
    }

    /// A member has answered.
    fn answered(&mut self, node: &NodeId) {
        if self.absent.answered(node) {
            self.note();
        }
    }

    /// A member has not answered, or not as it should.
    pub(super) fn missed(&mut self, node: NodeId, now: Timestamp) {
        if self.members.contains_key(&node) && self.absent.missed(node, now) {
            self.note();
        }
    }

    /// Whether a member has not answered when it was last asked.
    pub(super) fn is_absent(&self, node: &NodeId) -> bool {
        self.absent.contains(node)
    }

    /// Members that have not answered for hours.
    pub(super) fn lost_members(&self, now: Timestamp) -> Vec<NodeId> {
        let mut lost = self.absent.lost(now);
        lost.retain(|node| self.members.contains_key(node));
        lost
    }

    /// Forgets former members that have no mail any more.
    pub(super) fn expire_formers(&mut self, now: Timestamp) {
        if self.formers.expire(now) {
            self.note();
        }
    }

    /// Sequence of the descriptor, zero without one.
    fn sequence(&self) -> u64 {
        let descriptor = self.descriptor.as_ref();
        descriptor.map_or(0, MailboxDescriptor::sequence)
    }

    /// The next owner sequence, which the caller stores with [`Mailbox::write`] before it leaves.
    pub(super) fn next_sequence(&mut self, now: Timestamp) -> u64 {
        self.row.owner_sequence = now.as_ms().max(self.row.owner_sequence.saturating_add(1));
        self.row.owner_sequence
    }

    pub(super) fn write(&self) -> Write {
        Write::Put(Row::plain(meta::mailbox(), self.row.to_value()))
    }

    /// The members listed.
    pub(super) fn members(&self) -> Vec<NodeId> {
        self.members.keys().copied().collect()
    }

    /// Relays that were members, of late.
    pub(super) fn former_members(&self) -> Vec<NodeId> {
        self.formers.nodes()
    }

    /// Whether at least one member can push.
    pub(super) fn receiving(&self) -> bool {
        self.members
            .values()
            .any(|member| member.stock().is_some_and(|stock| stock.left > 0))
    }

    /// What is due at each member. `full` is a full stock, in reply blocks.
    /// A member that is `busy` with another owner request waits: two at once could overtake each other, and
    /// the later sequence would make the earlier one stale.
    pub(super) fn needs(
        &self,
        full: u16,
        busy: &BTreeSet<NodeId>,
        now: Timestamp,
    ) -> Vec<(NodeId, Need)> {
        let sequence = self.sequence();
        let mut needs = Vec::new();
        for (node, member) in self.members.iter().filter(|(node, _)| !busy.contains(node)) {
            let before = needs.len();
            if let Some((count, replace)) = member.refill_due(sequence, full, now) {
                needs.push((*node, Need::Subscribe { count, replace }));
            }
            if let Some(after) = member.fetch_due(now).filter(|_| needs.len() == before) {
                needs.push((*node, Need::Fetch { after }));
            }
        }
        needs.extend(self.formers.needs(busy, now));
        needs
    }

    pub(super) fn asked(&mut self, node: NodeId, need: Need, now: Timestamp) {
        self.formers.asked(&node, now);
        let sequence = self.sequence();
        let Some(member) = self.members.get_mut(&node) else {
            return;
        };
        match need {
            Need::Subscribe { .. } => {
                member.told = sequence;
                member.refills = member.refills.saturating_add(1);
                member.refilled = now;
                member.subscription = Subscription::Asked {
                    before: member.stock(),
                }
            }
            Need::Fetch { after } => {
                member.fetch = Fetch::Asked { after };
                member.lingers = None;
                member.polled = now;
            }
            Need::Tell => {}
        }
    }

    /// How often every stock was lost: reply blocks that were minted before the last time reach nobody.
    pub(super) const fn losses(&self) -> u64 {
        self.losses
    }

    /// A member has stored reply blocks that have become useless on their way.
    pub(super) fn subscribed_in_vain(&mut self, node: NodeId, now: Timestamp) {
        self.answered(&node);
        if let Some(member) = self.members.get_mut(&node) {
            member.subscription = Subscription::Idle { due: now };
        }
    }

    /// A former member knows that it is one.
    pub(super) fn told(&mut self, node: NodeId, now: Timestamp) {
        if self.formers.told(&node, now) {
            self.note();
        }
    }

    /// The member holds `left` reply blocks and `waiting` envelopes.
    pub(super) fn subscribed(
        &mut self,
        node: NodeId,
        left: u16,
        waiting: u32,
        replaced: bool,
        now: Timestamp,
    ) {
        self.answered(&node);
        let Some(member) = self.members.get_mut(&node) else {
            return;
        };
        let minted = member
            .stock()
            .filter(|_| !replaced)
            .map_or(now, |stock| stock.minted);
        member.subscription = Subscription::Active(Stock {
            left,
            minted,
            heard: now,
        });
        member.attempts = 0;
        if waiting > 0 {
            member.want(now);
        }
    }

    pub(super) fn subscribe_failed(
        &mut self,
        node: NodeId,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) {
        let Some(member) = self.members.get_mut(&node) else {
            return;
        };
        let longest = match member.attempts < PATIENT {
            true => LAST_RETRY,
            false => LATER_RETRY,
        };
        let due = now.saturating_add(backoff(member.attempts, FIRST_RETRY, longest, rng));
        member.attempts = member.attempts.saturating_add(1);
        member.subscription = Subscription::Idle { due };
    }

    /// The member pushed through the stock.
    pub(super) fn pushed(&mut self, node: NodeId, left: u16, waiting: u32, now: Timestamp) {
        self.absent.heard(now);
        self.answered(&node);
        let Some(member) = self.members.get_mut(&node) else {
            return;
        };
        match &mut member.subscription {
            Subscription::Active(stock)
            | Subscription::Asked {
                before: Some(stock),
            } => {
                stock.left = left;
                stock.heard = now;
            }
            Subscription::Idle { .. } | Subscription::Asked { before: None } => {}
        }
        member.pushed(left, waiting, now);
    }

    /// A page of waiting mail has come.
    pub(super) fn fetched(&mut self, node: NodeId, next: u64, remaining: u32, now: Timestamp) {
        self.answered(&node);
        self.formers.fetched(&node, next, remaining, now);
        if let Some(member) = self.members.get_mut(&node) {
            (member.poll_after, member.unanswered) = (POLL, 0);
            member.fetch = match remaining {
                0 => Fetch::None,
                _ => Fetch::Wanted {
                    after: next,
                    due: now,
                },
            };
        }
    }

    /// It is asked again until it answers, later each time.
    pub(super) fn fetch_failed(&mut self, node: NodeId, now: Timestamp, rng: &mut impl CryptoRng) {
        self.former_failed(node, now, rng);
        let Some(member) = self.members.get_mut(&node) else {
            return;
        };
        if let Fetch::Asked { after } = member.fetch {
            let pause = backoff(member.unanswered, FIRST_RETRY, LAST_RETRY, rng);
            let due = now.saturating_add(pause);
            member.fetch = Fetch::Wanted { after, due };
            member.unanswered = member.unanswered.saturating_add(1);
        }
    }

    /// A former member has not answered: it is asked again later.
    pub(super) fn former_failed(&mut self, node: NodeId, now: Timestamp, rng: &mut impl CryptoRng) {
        self.formers.failed(&node, now, rng);
    }

    /// The guard has forgotten what came for me, stocks serve on: every member says what waits.
    pub(super) fn pushes_lost(&mut self, now: Timestamp) {
        for member in self.members.values_mut() {
            member.want(now);
        }
    }

    /// A request got no reply. Whatever lost it may have lost pushes: those that hold my mail are asked soon.
    pub(super) fn doubt(&mut self) {
        for node in self.holders() {
            if let Some(member) = self.members.get_mut(&node) {
                member.doubt();
            }
        }
    }

    /// The members that should have all of my mail: of those that answer the first ones.
    fn holders(&self) -> Vec<NodeId> {
        let Some(descriptor) = &self.descriptor else {
            return Vec::new();
        };
        let there = descriptor.members().iter();
        let there = there.filter(|node| !self.absent.contains(node));
        there.take(descriptor.active().len()).copied().collect()
    }

    /// An envelope is stored here (or was before): its swarm may forget it.
    pub(super) fn acknowledge(&mut self, id: EnvelopeId, member: NodeId, now: Timestamp) {
        self.to_acknowledge.add(id, member, now);
    }

    /// Acknowledgements that are due, by the member to ask.
    pub(super) fn take_acknowledgements(
        &mut self,
        now: Timestamp,
    ) -> Vec<(NodeId, Vec<EnvelopeId>)> {
        let members = self.members();
        let is_former = |node: &NodeId| self.formers.contains(node);
        self.to_acknowledge.take(&members, is_former, now)
    }

    pub(super) fn acknowledged(&mut self, ids: &[EnvelopeId]) {
        self.to_acknowledge.done(ids);
    }

    pub(super) fn acknowledge_failed(
        &mut self,
        ids: &[EnvelopeId],
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) {
        self.to_acknowledge.failed(ids, now, rng);
    }

    /// When something is due next; only asked while a guard is connected.
    pub(super) fn next_timeout(&self, full: u16, busy: &BTreeSet<NodeId>) -> Option<Timestamp> {
        let free = self.members.iter().filter(|(node, _)| !busy.contains(node));
        let members = free.filter_map(|(_, member)| member.next_timeout(self.sequence(), full));
        let acknowledgements = self.to_acknowledge.next_timeout();
        let formers = self.formers.next_timeout(busy);
        members.chain(acknowledgements).chain(formers).min()
    }
}
