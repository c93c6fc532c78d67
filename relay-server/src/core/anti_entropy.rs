//! Anti-entropy: members of a swarm compare what they hold, and give each other what is missing. PROTOCOL §6.
//!
//! ```text
//!  link up, newer descriptor, every half hour ─▶ waiting ─▶ round with one member:
//!    SwarmSummary ─answer─▶ mailboxes that differ ─▶ SwarmIds ─answer─▶ next page … next mailbox … over
//!                                       on either side: tombstones out, SwarmWant out
//! ```
//! What is asked for comes as `ReplicatePut`, like any other replica: the quota, the tombstones and the id's
//! being a hash are looked at there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use zentalk_shared::id::{EnvelopeId, MailboxId, MessageId, NodeId};
use zentalk_shared::rpc::{
    MAX_SUMMARIES, MailboxDescriptor, MailboxSummary, SwarmDescriptor, SwarmIds, SwarmSummary,
    SwarmWant,
};
use zentalk_shared::time::{Duration, Timestamp};
use zentalk_shared::wire::codec::{BoundedList, Bytes, to_cbor};
use zentalk_shared::wire::link::LinkErrorCode;
use zentalk_shared::wire::{Tag, encode_frame};

use super::io::{ConnId, Output};
use super::outbox::Item;
use super::relay::{Relay, Step, Timer};
use super::requests::After;
use super::store::{CompareIds, Compared, Held, StoreError, StoreOp, StoreReply};

/// Every member is compared with at least this often, give or take [`SPREAD`].
const EVERY: Duration = Duration::from_mins(30);
const SPREAD: Duration = Duration::from_mins(10);
/// A link that comes up again sooner than this after a comparison leads to no other.
const PAUSE: Duration = Duration::from_mins(1);
/// Rounds begin so long after their reason at most, so that a restart does not begin all at once.
const BEGIN_WITHIN: Duration = Duration::from_secs(3);
/// The other member has so long to store a newer descriptor before it is asked about its mailbox.
const SETTLE: Duration = Duration::from_secs(2);
/// The other member, or the store, has so long to answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// For each envelope asked for the next page waits so long: 200 a second from one member.
const PER_ENVELOPE: Duration = Duration::from_ms(5);
/// Rounds at a time.
const MAX_ROUNDS: usize = 16;
/// Descriptors that one member is told of at a time.
const MAX_MOVED: usize = 256;
/// Pages of one mailbox in one round.
const MAX_PAGES: u32 = 256;
/// A frame about mailboxes costs as much as so many others.
const COST: u32 = 20;
const FIRST: EnvelopeId = EnvelopeId::from_bytes([0; 16]);

/// Comparisons under way, and those to come.
#[derive(Default)]
pub(super) struct AntiEntropy {
    rounds: BTreeMap<NodeId, Round>,
    waiting: BTreeMap<NodeId, Scope>,
    /// When the last comparison with a member began.
    last: BTreeMap<NodeId, Timestamp>,
    /// A timer that begins rounds is set.
    armed: bool,
}

/// What a member is to be compared with about.
#[derive(Default)]
struct Scope {
    /// All mailboxes in common.
    all: bool,
    /// Those whose swarm has changed: the member may not know yet that it has them in common.
    moved: BTreeSet<MailboxId>,
}

/// One comparison with one member, which this relay has begun.
struct Round {
    summaries: VecDeque<MailboxId>,
    ids: VecDeque<Page>,
    stage: Stage,
    deadline: Timestamp,
}

/// Where to go on with a mailbox that differs.
#[derive(Clone, Copy)]
pub(super) struct Page {
    mailbox: MailboxId,
    from: EnvelopeId,
    number: u32,
}

enum Stage {
    /// Goes on when the deadline has come.
    Paused,
    /// The store reads.
    Reading,
    /// The other member has been told this.
    Summaries(MessageId, Vec<MailboxSummary>),
    /// The same for a page.
    Ids(MessageId, Page),
}

/// What goes on when the store has answered.
pub(super) enum Comparison {
    /// Own summaries for the round with this member.
    Ask(NodeId),
    /// Own summaries to answer with.
    Answer {
        to: NodeId,
        frame: MessageId,
        theirs: Vec<MailboxSummary>,
    },
    /// Own ids for the round with this member.
    AskIds(NodeId, Page),
    /// A page of another member's, to be answered.
    AnswerIds {
        to: NodeId,
        frame: MessageId,
        theirs: Box<SwarmIds>,
    },
    /// The answer to a page of one's own.
    AnsweredIds {
        by: NodeId,
        page: Page,
        until: Option<EnvelopeId>,
    },
    /// A newer descriptor.
    Descriptor(Box<MailboxDescriptor>),
}

impl Relay {
    /// Compares with every member that has a mailbox in common with this relay, in time.
    pub(super) fn compare_with_all(&mut self, step: &mut Step<'_>) {
        let others = self.mailboxes.fellow_members(&self.me);
        self.anti_entropy
            .last
            .retain(|node, _| others.contains(node));
        for node in others {
            self.anti_entropy.waiting.entry(node).or_default().all = true;
        }
        self.arm_rounds(step);
        self.schedule_comparisons(step);
    }

    pub(super) fn schedule_comparisons(&mut self, step: &mut Step<'_>) {
        let at = step.now + EVERY + step.jitter(SPREAD);
        self.timers.set(at, Timer::CompareAll);
    }

    /// A member is back, or there for the first time.
    pub(super) fn compare_with_linked(&mut self, node: NodeId, step: &mut Step<'_>) {
        let last = self.anti_entropy.last.get(&node);
        if last.is_none_or(|at| step.now.since(*at) >= PAUSE) {
            self.anti_entropy.waiting.entry(node).or_default().all = true;
            self.arm_rounds(step);
        }
    }

    /// The swarm of a mailbox is another than before: its members learn so from each other, and those that
    /// are new get what waits.
    pub(super) fn swarm_changed(&mut self, mailbox: MailboxId, step: &mut Step<'_>) {
        let Some(descriptor) = self.mailboxes.descriptor(&mailbox) else {
            return;
        };
        let others = descriptor.members().iter().filter(|node| **node != self.me);
        for node in others {
            let waiting = &mut self.anti_entropy.waiting;
            let scope = waiting.entry(*node).or_default();
            // Of more than that the others tell it, or a later round.
            if scope.moved.len() < MAX_MOVED {
                scope.moved.insert(mailbox);
            }
        }
        self.arm_rounds(step);
    }

    fn arm_rounds(&mut self, step: &mut Step<'_>) {
        if !self.anti_entropy.armed && !self.anti_entropy.waiting.is_empty() {
            self.anti_entropy.armed = true;
            let at = step.now + step.jitter(BEGIN_WITHIN);
            self.timers.set(at, Timer::BeginRounds);
        }
    }

    /// Begins as many rounds as there is room for. A member that is not linked is connected to: the link
    /// leads to a round.
    pub(super) fn begin_rounds(&mut self, step: &mut Step<'_>) {
        self.anti_entropy.armed = false;
        let nodes: Vec<NodeId> = self.anti_entropy.waiting.keys().copied().collect();
        for node in nodes {
            if self.anti_entropy.rounds.len() >= MAX_ROUNDS {
                return;
            }
            if self.anti_entropy.rounds.contains_key(&node) {
                continue;
            }
            let Some(scope) = self.anti_entropy.waiting.remove(&node) else {
                continue;
            };
            match self.peers.conn(&node) {
                Some(_) => self.begin_round(node, &scope, step),
                None => self.reach_out(node, step),
            }
        }
    }

    fn begin_round(&mut self, node: NodeId, scope: &Scope, step: &mut Step<'_>) {
        let mut mailboxes = self.mailboxes.in_common(&self.me, &node);
        if !scope.all {
            mailboxes.retain(|mailbox| scope.moved.contains(mailbox));
        }
        for mailbox in mailboxes.iter().filter(|id| scope.moved.contains(*id)) {
            self.send_descriptor(node, mailbox, step);
        }
        if mailboxes.is_empty() {
            return;
        }
        if scope.all {
            self.anti_entropy.last.insert(node, step.now);
        }
        let round = Round {
            summaries: mailboxes.into(),
            ids: VecDeque::new(),
            stage: Stage::Paused,
            deadline: step.now,
        };
        self.anti_entropy.rounds.insert(node, round);
        match scope.moved.is_empty() {
            true => self.advance_round(node, step),
            false => self.pause_round(&node, SETTLE, step),
        }
    }

    /// What is next in the round with a member.
    fn advance_round(&mut self, node: NodeId, step: &mut Step<'_>) {
        let busy = self.is_store_busy();
        let Some(round) = self.anti_entropy.rounds.get_mut(&node) else {
            return;
        };
        if busy {
            return self.pause_round(&node, PATIENCE, step);
        }
        if let Some(page) = round.ids.pop_front() {
            self.set_stage(&node, Stage::Reading, step);
            let compare = CompareIds {
                mailbox: page.mailbox,
                from: page.from,
                until: None,
                theirs: Vec::new(),
            };
            let after = After::Compare(Comparison::AskIds(node, page));
            return self.store(StoreOp::Compare(Box::new(compare)), after);
        }
        let many = round.summaries.len().min(MAX_SUMMARIES);
        let batch: Vec<MailboxId> = round.summaries.drain(..many).collect();
        if batch.is_empty() {
            return self.end_round(&node, step);
        }
        self.set_stage(&node, Stage::Reading, step);
        let after = After::Compare(Comparison::Ask(node));
        self.store(StoreOp::Summarise(batch), after);
    }

    fn set_stage(&mut self, node: &NodeId, stage: Stage, step: &Step<'_>) {
        if let Some(round) = self.anti_entropy.rounds.get_mut(node) {
            round.stage = stage;
            round.deadline = step.now + PATIENCE;
            self.timers.set(round.deadline, Timer::Round(*node));
        }
    }

    fn pause_round(&mut self, node: &NodeId, pause: Duration, step: &Step<'_>) {
        if let Some(round) = self.anti_entropy.rounds.get_mut(node) {
            round.stage = Stage::Paused;
            round.deadline = step.now + pause;
            self.timers.set(round.deadline, Timer::Round(*node));
        }
    }

    /// A pause is over, or the other member says nothing any more. The timer may be that of an earlier step.
    pub(super) fn round_due(&mut self, node: NodeId, step: &mut Step<'_>) {
        let Some(round) = self.anti_entropy.rounds.get(&node) else {
            return;
        };
        match round.stage {
            _ if round.deadline > step.now => {}
            Stage::Paused => self.advance_round(node, step),
            _ => self.end_round(&node, step),
        }
    }

    /// The round with a member is over, for whatever reason; the next periodic one has what is left.
    pub(super) fn end_round(&mut self, node: &NodeId, step: &mut Step<'_>) {
        if self.anti_entropy.rounds.remove(node).is_some() {
            self.arm_rounds(step);
        }
    }

    // --- summaries ------------------------------------------------------------------------------

    pub(super) fn on_swarm_summary(
        &mut self,
        conn: ConnId,
        node: NodeId,
        frame: MessageId,
        summary: SwarmSummary,
        step: &mut Step<'_>,
    ) -> Result<(), LinkErrorCode> {
        self.charge(conn, COST, step)?;
        let theirs = summary.mailboxes.into_inner();
        if summary.answer {
            self.summaries_answered(node, frame, &theirs, step);
            return Ok(());
        }
        let mut about = Vec::with_capacity(theirs.len());
        for their in theirs {
            let common = self.mailboxes.shared(&their.mailbox, &self.me, &node);
            let Some(sequence) = common.map(MailboxDescriptor::sequence) else {
                continue;
            };
            if sequence > their.sequence {
                self.send_descriptor(node, &their.mailbox, step);
            }
            about.push(their);
        }
        if self.is_store_busy() {
            return Ok(());
        }
        let mailboxes = about.iter().map(|their| their.mailbox).collect();
        let answer = Comparison::Answer {
            to: node,
            frame,
            theirs: about,
        };
        self.store(StoreOp::Summarise(mailboxes), After::Compare(answer));
        Ok(())
    }

    /// This relay's own summaries of what the store holds.
    fn summaries_of(&self, held: Vec<Held>) -> Vec<MailboxSummary> {
        let summary = |held: Held| MailboxSummary {
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
        self.advance_round(node, step);
    }

    // --- ids ------------------------------------------------------------------------------------

    pub(super) fn on_swarm_ids(
        &mut self,
        conn: ConnId,
        node: NodeId,
        frame: MessageId,
        theirs: SwarmIds,
        step: &mut Step<'_>,
    ) -> Result<(), LinkErrorCode> {
        self.charge(conn, COST, step)?;
        let common = self.mailboxes.shared(&theirs.mailbox, &self.me, &node);
        if common.is_none() || self.is_store_busy() {
            return Ok(());
        }
        let compare = CompareIds {
            mailbox: theirs.mailbox,
            from: theirs.from,
            until: theirs.until,
            theirs: theirs.ids.to_vec(),
        };
        let after = match theirs.answer {
            false => Comparison::AnswerIds {
                to: node,
                frame,
                theirs: Box::new(theirs),
            },
            true => {
                let round = self.anti_entropy.rounds.get(&node);
                let page = match round.map(|round| &round.stage) {
                    Some(Stage::Ids(asked, page))
                        if *asked == frame && page.mailbox == theirs.mailbox =>
                    {
                        *page
                    }
                    _ => return Ok(()),
                };
                self.set_stage(&node, Stage::Reading, step);
                Comparison::AnsweredIds {
                    by: node,
                    page,
                    until: theirs.until,
                }
            }
        };
        self.store(StoreOp::Compare(Box::new(compare)), After::Compare(after));
        Ok(())
    }

    pub(super) fn on_swarm_want(
        &mut self,
        conn: ConnId,
        node: NodeId,
        want: &SwarmWant,
        step: &mut Step<'_>,
    ) -> Result<(), LinkErrorCode> {
        self.charge(conn, COST, step)?;
        if self
            .mailboxes
            .shared(&want.mailbox, &self.me, &node)
            .is_some()
        {
            for id in want.ids.iter() {
                self.replicate(node, Item::Put((want.mailbox, *id), None), step);
            }
        }
        Ok(())
    }

    /// Proofs go out for what the other member should not hold; what it holds and this relay does not is
    /// asked for. Yields how much that is.
    fn give_and_take(
        &mut self,
        node: NodeId,
        mailbox: MailboxId,
        compared: Compared,
        step: &mut Step<'_>,
    ) -> usize {
        for proof in compared.proofs {
            self.replicate(node, Item::Tombstone(mailbox, proof.into()), step);
        }
        let wanted = compared.missing.len();
        if wanted == 0 || !self.holds_mail_of(&mailbox, step.now) {
            return 0;
        }
        let ids = BoundedList::new(compared.missing).unwrap_or_default();
        self.tell(
            node,
            Tag::SwarmWant,
            &to_cbor(&SwarmWant { mailbox, ids }),
            step,
        );
        wanted
    }

    // --- descriptors ----------------------------------------------------------------------------

    fn send_descriptor(&mut self, node: NodeId, mailbox: &MailboxId, step: &mut Step<'_>) {
        let known = self.mailboxes.descriptor(mailbox);
        let Some(descriptor) = known.map(|known| known.bytes().clone()) else {
            return;
        };
        let body = to_cbor(&SwarmDescriptor { descriptor });
        self.tell(node, Tag::SwarmDescriptor, &body, step);
    }

    pub(super) fn on_swarm_descriptor(
        &mut self,
        conn: ConnId,
        told: &SwarmDescriptor,
        step: &Step<'_>,
    ) -> Result<(), LinkErrorCode> {
        self.charge(conn, COST, step)?;
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

    fn descriptor_kept(&mut self, descriptor: MailboxDescriptor, step: &mut Step<'_>) {
        let mailbox = descriptor.mailbox();
        let newer = self
            .mailboxes
            .descriptor(&mailbox)
            .is_some_and(|known| known.sequence() < descriptor.sequence());
        if let Some(known) = self.mailboxes.get_mut(&mailbox).filter(|_| newer) {
            known.descriptor = Some(descriptor);
            self.swarm_changed(mailbox, step);
        }
    }

    // --- the store's answers --------------------------------------------------------------------

    pub(super) fn compared(
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
            (
                Comparison::AnswerIds { to, frame, theirs },
                Ok(StoreReply::Compared(Some(mut compared))),
            ) => {
                let ids = core::mem::take(&mut compared.held);
                let answer = SwarmIds {
                    mailbox: theirs.mailbox,
                    from: theirs.from,
                    until: compared.until.or(theirs.until),
                    ids: BoundedList::new(ids).unwrap_or_default(),
                    answer: true,
                };
                self.give_and_take(to, theirs.mailbox, compared, step);
                self.answer(to, Tag::SwarmIds, frame, &to_cbor(&answer));
            }
            (
                Comparison::AnsweredIds { by, page, until },
                Ok(StoreReply::Compared(Some(compared))),
            ) => self.page_done(by, page, until, compared, step),
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

    fn ask_summaries(&mut self, node: NodeId, held: Vec<Held>, step: &mut Step<'_>) {
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
        until: Option<EnvelopeId>,
        compared: Compared,
        step: &mut Step<'_>,
    ) {
        // Where this relay's own list ends before theirs does, the next page begins there.
        let ends = [until, compared.until].into_iter().flatten().min();
        let wanted = self.give_and_take(node, page.mailbox, compared, step);
        let next = ends.filter(|from| *from > page.from && page.number < MAX_PAGES);
        if let Some(round) = self.anti_entropy.rounds.get_mut(&node) {
            round.ids.extend(next.map(|from| Page {
                from,
                number: page.number + 1,
                ..page
            }));
        }
        let pause = PER_ENVELOPE * u64::try_from(wanted).unwrap_or(0);
        self.pause_round(&node, pause, step);
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
