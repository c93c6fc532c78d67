//! What members say to each other in a comparison, and what the store says to that.
//!
//! Questions are paid for out of a budget that every link has for them, and are passed over when it is used up; so
//! whoever asks too much is compared less often, and loses nothing else.

use zentalk_shared::id::{EnvelopeId, MailboxId, MessageId, NodeId};
use zentalk_shared::rpc::{
    MailboxDescriptor, MailboxSummary, SwarmDescriptor, SwarmIds, SwarmSummary, SwarmWant,
};
use zentalk_shared::wire::codec::{BoundedList, Bytes, to_cbor};
use zentalk_shared::wire::link::LinkErrorCode;
use zentalk_shared::wire::{Tag, encode_frame};

use super::super::io::{ConnId, Metric, Output};
use super::super::outbox::Item;
use super::super::relay::{Relay, Step};
use super::super::requests::After;
use super::super::store::{CompareIds, Compared, HeldMail, StoreError, StoreOp, StoreReply};
use super::{
    AskedIds, Comparison, FIRST, MAX_PAGES, PER_ENVELOPE, PER_PAGE, PER_SUMMARY, Page, Stage,
};

/// Costs are in units of about 25 µs of the store. Of every frame:
const FRAME: u32 = 16;
/// Of a mailbox in a summary.
const PER_MAILBOX: u32 = 2;
/// So many ids that are read for a digest cost one.
const IDS_READ: u32 = 64;
/// So many ids that are looked up cost one.
const IDS_COMPARED: usize = 4;
/// Of an envelope or an acknowledgement that is read and sent.
const SENT: u32 = 4;

impl Relay {
    // --- summaries ------------------------------------------------------------------------------

    pub(in super::super) fn on_swarm_summary(
        &mut self,
        conn: ConnId,
        node: NodeId,
        frame: MessageId,
        summary: SwarmSummary,
        step: &mut Step<'_>,
    ) {
        let theirs = summary.mailboxes.into_inner();
        if summary.answer {
            self.summaries_answered(node, frame, &theirs, step);
            return;
        }
        let mailboxes = u32::try_from(theirs.len()).unwrap_or(u32::MAX);
        if !self.may_compare(conn, FRAME + PER_MAILBOX * mailboxes, step) {
            return;
        }
        let mut about = Vec::with_capacity(theirs.len());
        for their in theirs {
            let common = self.mailboxes.shared(&their.mailbox, &self.me, &node);
            let Some(sequence) = common.map(MailboxDescriptor::sequence) else {
                self.tell_former(node, &their.mailbox, step);
                continue;
            };
            if sequence > their.sequence {
                self.send_descriptor(node, &their.mailbox, step);
            }
            about.push(their);
        }
        if self.is_store_busy() {
            return;
        }
        let mailboxes = about.iter().map(|their| their.mailbox).collect();
        let answer = Comparison::Answer {
            to: node,
            frame,
            theirs: about,
        };
        self.store(StoreOp::Summarise(mailboxes), After::Compare(answer));
    }

    /// This relay's own summaries of what the store holds.
    fn summaries_of(&self, held: Vec<HeldMail>) -> Vec<MailboxSummary> {
        let summary = |held: HeldMail| MailboxSummary {
            mailbox: held.mailbox,
            sequence: self
                .mailboxes
                .descriptor(&held.mailbox)
                .map_or(0, MailboxDescriptor::sequence),
            held: held.count,
            digest: Bytes(held.digest),
        };
        held.into_iter().map(summary).collect()
    }

    fn summaries_answered(
        &mut self,
        node: NodeId,
        frame: MessageId,
        theirs: &[MailboxSummary],
        step: &mut Step<'_>,
    ) {
        let Some(round) = self.anti_entropy.rounds.get_mut(&node) else {
            return;
        };
        let stage = core::mem::replace(&mut round.stage, Stage::Reading);
        let Stage::Summaries(asked, mine) = stage else {
            round.stage = stage;
            return;
        };
        if asked != frame {
            round.stage = Stage::Summaries(asked, mine);
            return;
        }
        let mut older = Vec::new();
        for mine in mine {
            let Some(their) = theirs.iter().find(|their| their.mailbox == mine.mailbox) else {
                continue;
            };
            if their.sequence < mine.sequence {
                older.push(mine.mailbox);
            }
            if their.digest != mine.digest {
                round.ids.push_back(Page {
                    mailbox: mine.mailbox,
                    from: FIRST,
                    number: 0,
                });
            }
        }
        for mailbox in older {
            self.send_descriptor(node, &mailbox, step);
        }
        self.pause_round(&node, PER_SUMMARY, step);
    }

    // --- ids ------------------------------------------------------------------------------------

    pub(in super::super) fn on_swarm_ids(
        &mut self,
        conn: ConnId,
        node: NodeId,
        frame: MessageId,
        mut theirs: SwarmIds,
        step: &mut Step<'_>,
    ) {
        let common = self.mailboxes.shared(&theirs.mailbox, &self.me, &node);
        if common.is_none() || self.is_store_busy() {
            return;
        }
        let mut ids = core::mem::take(&mut theirs.ids).into_inner();
        ids.retain(|id| *id >= theirs.from && theirs.until.is_none_or(|until| *id < until));
        let after = match theirs.answer {
            false => {
                let cost = u32::try_from(ids.len() / IDS_COMPARED).unwrap_or(u32::MAX);
                if !self.may_compare(conn, FRAME.saturating_add(cost), step) {
                    return;
                }
                Comparison::AnswerIds(AskedIds {
                    by: node,
                    frame,
                    mailbox: theirs.mailbox,
                    from: theirs.from,
                    until: theirs.until,
                })
            }
            true => {
                let round = self.anti_entropy.rounds.get(&node);
                let page = match round.map(|round| &round.stage) {
                    Some(Stage::Ids(asked, page))
                        if *asked == frame && page.mailbox == theirs.mailbox =>
                    {
                        *page
                    }
                    _ => return,
                };
                self.set_stage(&node, Stage::Reading, step);
                Comparison::AnsweredIds {
                    by: node,
                    page,
                    until: theirs.until,
                    count: ids.len(),
                }
            }
        };
        let compare = CompareIds {
            mailbox: theirs.mailbox,
            from: theirs.from,
            until: theirs.until,
            theirs: ids,
        };
        self.store(StoreOp::Compare(Box::new(compare)), After::Compare(after));
    }

    pub(in super::super) fn on_swarm_want(
        &mut self,
        conn: ConnId,
        node: NodeId,
        want: &SwarmWant,
        step: &mut Step<'_>,
    ) {
        let common = self.mailboxes.shared(&want.mailbox, &self.me, &node);
        let many = u32::try_from(want.ids.len()).unwrap_or(u32::MAX);
        if common.is_none() || !self.may_compare(conn, FRAME + SENT * many, step) {
            return;
        }
        for id in want.ids.iter() {
            self.replicate(node, Item::Put((want.mailbox, *id), None), step);
        }
    }

    /// Takes what a question costs from what the member has for questions.
    fn may_compare(&mut self, conn: ConnId, cost: u32, step: &Step<'_>) -> bool {
        let may = self.charge_comparing(conn, cost, step.now);
        if !may {
            self.count(Metric::Compared("passed_over"));
        }
        may
    }

    /// Proofs go out for what the other member should not hold; what it holds and this relay does not is
    /// asked for. Yields how much that is.
    fn give_and_take(
        &mut self,
        node: NodeId,
        mailbox: MailboxId,
        proofs: Vec<Vec<u8>>,
        missing: Vec<EnvelopeId>,
        step: &mut Step<'_>,
    ) -> usize {
        // Nothing waits for their confirmation: the next comparison finds what has not arrived.
        for proof in proofs {
            self.tell(node, Tag::ReplicateTombstone, &proof, step);
        }
        let wanted = missing.len();
        if wanted == 0 || !self.holds_mail_of(&mailbox, step.now) {
            return 0;
        }
        let ids = BoundedList::new(missing).unwrap_or_default();
        let want = to_cbor(&SwarmWant { mailbox, ids });
        self.tell(node, Tag::SwarmWant, &want, step);
        wanted
    }

    // --- descriptors ----------------------------------------------------------------------------

    pub(super) fn send_descriptor(
        &mut self,
        node: NodeId,
        mailbox: &MailboxId,
        step: &mut Step<'_>,
    ) {
        let known = self.mailboxes.descriptor(mailbox);
        let Some(descriptor) = known.map(|known| known.bytes().clone()) else {
            return;
        };
        let body = to_cbor(&SwarmDescriptor { descriptor });
        self.tell(node, Tag::SwarmDescriptor, &body, step);
    }

    pub(in super::super) fn on_swarm_descriptor(
        &mut self,
        conn: ConnId,
        told: &SwarmDescriptor,
        step: &Step<'_>,
    ) -> Result<(), LinkErrorCode> {
        if !self.may_compare(conn, SENT, step) {
            return Ok(());
        }
        let descriptor = MailboxDescriptor::verify(&told.descriptor)
            .map_err(|_| LinkErrorCode::Unauthenticated)?;
        let mailbox = descriptor.mailbox();
        let known = self.mailboxes.descriptor(&mailbox);
        let newer = known.is_some_and(|known| known.sequence() < descriptor.sequence());
        if newer && !self.is_store_busy() {
            let op = StoreOp::KeepDescriptor {
                mailbox,
                sequence: descriptor.sequence(),
                descriptor: descriptor.bytes().to_vec(),
            };
            let after = Comparison::Descriptor(Box::new(descriptor));
            self.store(op, After::Compare(after));
        }
        Ok(())
    }

    /// A relay that was a member speaks of a mailbox as if it still were: it is told of the move.
    pub(in super::super) fn tell_former(
        &mut self,
        node: NodeId,
        mailbox: &MailboxId,
        step: &mut Step<'_>,
    ) {
        let known = self.mailboxes.get(mailbox);
        if known.is_some_and(|known| known.is_member(&self.me) && known.has_left(&node)) {
            self.owes(&node, SENT, step);
            self.send_descriptor(node, mailbox, step);
        }
    }

    fn descriptor_kept(&mut self, descriptor: MailboxDescriptor, step: &mut Step<'_>) {
        let mailbox = descriptor.mailbox();
        let newer = self
            .mailboxes
            .descriptor(&mailbox)
            .is_some_and(|known| known.sequence() < descriptor.sequence());
        if let Some(known) = self.mailboxes.get_mut(&mailbox).filter(|_| newer) {
            known.adopt(descriptor);
            self.swarm_changed(mailbox, step);
        }
    }

    // --- the store's answers --------------------------------------------------------------------

    pub(in super::super) fn compared(
        &mut self,
        comparison: Comparison,
        answer: Result<StoreReply, StoreError>,
        step: &mut Step<'_>,
    ) {
        match (comparison, answer) {
            (Comparison::Ask(node), Ok(StoreReply::Held(held))) => {
                self.ask_summaries(node, held, step);
            }
            (Comparison::Answer { to, frame, theirs }, Ok(StoreReply::Held(held))) => {
                let read: u32 = held.iter().map(|held| held.count / IDS_READ).sum();
                self.owes(&to, read, step);
                let mut mine = self.summaries_of(held);
                mine.retain(|mine| !theirs.contains(mine));
                let answer = SwarmSummary {
                    mailboxes: BoundedList::new(mine).unwrap_or_default(),
                    answer: true,
                };
                self.answer(to, Tag::SwarmSummary, frame, &to_cbor(&answer));
            }
            (Comparison::AskIds(node, page), Ok(StoreReply::Compared(Some(compared)))) => {
                self.ask_ids(node, page, compared, step);
            }
            (Comparison::AnswerIds(asked), Ok(StoreReply::Compared(Some(compared)))) => {
                self.answer_ids(asked, compared, step);
            }
            (
                Comparison::AnsweredIds {
                    by,
                    page,
                    until,
                    count,
                },
                Ok(StoreReply::Compared(Some(compared))),
            ) => self.page_done(by, page, (until, count), compared, step),
            (Comparison::Descriptor(descriptor), Ok(StoreReply::DescriptorKept(true))) => {
                self.descriptor_kept(*descriptor, step);
            }
            // The mailbox is gone, or the store has failed: a later round tries again.
            (
                Comparison::Ask(node)
                | Comparison::AskIds(node, _)
                | Comparison::AnsweredIds { by: node, .. },
                _,
            ) => self.end_round(&node, step),
            _ => {}
        }
    }

    fn answer_ids(&mut self, asked: AskedIds, compared: Compared, step: &mut Step<'_>) {
        let AskedIds {
            by,
            frame,
            mailbox,
            from,
            until,
        } = asked;
        let proofs = u32::try_from(compared.proofs.len()).unwrap_or(u32::MAX);
        self.owes(&by, SENT.saturating_mul(proofs), step);
        self.give_and_take(by, mailbox, compared.proofs, compared.missing, step);
        let answer = SwarmIds {
            mailbox,
            from,
            until: compared.until.or(until),
            ids: BoundedList::new(compared.held).unwrap_or_default(),
            answer: true,
        };
        self.answer(by, Tag::SwarmIds, frame, &to_cbor(&answer));
    }

    fn ask_summaries(&mut self, node: NodeId, held: Vec<HeldMail>, step: &mut Step<'_>) {
        let mine = self.summaries_of(held);
        let question = SwarmSummary {
            mailboxes: BoundedList::new(mine.clone()).unwrap_or_default(),
            answer: false,
        };
        let frame = self.tell(node, Tag::SwarmSummary, &to_cbor(&question), step);
        self.set_stage(&node, Stage::Summaries(frame, mine), step);
    }

    fn ask_ids(&mut self, node: NodeId, page: Page, compared: Compared, step: &mut Step<'_>) {
        let question = SwarmIds {
            mailbox: page.mailbox,
            from: page.from,
            until: compared.until,
            ids: BoundedList::new(compared.held).unwrap_or_default(),
            answer: false,
        };
        let frame = self.tell(node, Tag::SwarmIds, &to_cbor(&question), step);
        self.set_stage(&node, Stage::Ids(frame, page), step);
    }

    fn page_done(
        &mut self,
        node: NodeId,
        page: Page,
        (until, count): (Option<EnvelopeId>, usize),
        compared: Compared,
        step: &mut Step<'_>,
    ) {
        // Where this relay's own list ends before theirs does, the next page begins there.
        let ends = [until, compared.until].into_iter().flatten().min();
        let lacking = compared.held.len().saturating_sub(count);
        let wanted =
            self.give_and_take(node, page.mailbox, compared.proofs, compared.missing, step);
        let next = ends.filter(|from| *from > page.from && page.number < MAX_PAGES);
        if let Some(round) = self.anti_entropy.rounds.get_mut(&node) {
            round.ids.extend(next.map(|from| Page {
                from,
                number: page.number + 1,
                ..page
            }));
        }
        let pause = PER_ENVELOPE * u64::try_from(wanted.max(lacking)).unwrap_or(0);
        self.pause_round(&node, PER_PAGE + pause, step);
    }

    /// Takes what an answer has cost from what the member has for questions to come.
    fn owes(&mut self, node: &NodeId, cost: u32, step: &Step<'_>) {
        if let Some(conn) = self.peers.conn(node) {
            self.owe_comparing(conn, cost, step.now);
        }
    }

    /// Sends a frame to a member if it is linked; yields the frame's id.
    fn tell(&mut self, node: NodeId, tag: Tag, body: &[u8], step: &mut Step<'_>) -> MessageId {
        let id = step.id();
        self.answer(node, tag, id, body);
        id
    }

    fn answer(&mut self, node: NodeId, tag: Tag, frame: MessageId, body: &[u8]) {
        if let Some(conn) = self.peers.conn(&node) {
            self.output(Output::Send(conn, encode_frame(tag, frame, body)));
        }
    }
}
