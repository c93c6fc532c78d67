//! Anti-entropy: members of a swarm compare what they hold, and give each other what is missing. PROTOCOL §6.
//!
//! ```text
//!  link up, newer descriptor, every half hour ─▶ waiting ─▶ round with one member:
//!    SwarmSummary ─answer─▶ mailboxes that differ ─▶ SwarmIds ─answer─▶ next page … next mailbox … over
//!                                       on either side: tombstones out, SwarmWant out
//! ```
//! What is asked for comes as `ReplicatePut`, like any other replica: the quota, the tombstones and the id's
//! being a hash are looked at there. Here is when a round begins, goes on and ends; the frames are in `exchange`.

mod exchange;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use zentalk_shared::id::{EnvelopeId, MailboxId, MessageId, NodeId};
use zentalk_shared::rpc::{MAX_SUMMARIES, MailboxDescriptor, MailboxSummary};
use zentalk_shared::time::{Duration, Timestamp};

use super::io::Metric;
use super::relay::{Relay, Step, Timer};
use super::requests::After;
use super::store::{CompareIds, StoreOp};

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
/// A round ends after so long, whatever is left: a member that answers slowly holds up no others.
const ROUND_LIFE: Duration = Duration::from_mins(5);
/// Between two summaries, and between two pages, so that what the other member allows is not used up.
const PER_SUMMARY: Duration = Duration::from_ms(150);
const PER_PAGE: Duration = Duration::from_ms(100);
/// For each envelope that either lacks the next page waits so long: 200 a second.
const PER_ENVELOPE: Duration = Duration::from_ms(5);
/// Rounds at a time.
const MAX_ROUNDS: usize = 16;
/// Members that wait for a round, or for a link.
const MAX_WAITING: usize = 4096;
/// Descriptors that one member is told of at a time.
const MAX_MOVED: usize = 256;
/// Pages of one mailbox in one round.
const MAX_PAGES: u32 = 256;
const FIRST: EnvelopeId = EnvelopeId::from_bytes([0; 16]);

/// Comparisons under way, and those to come.
#[derive(Default)]
pub(super) struct AntiEntropy {
    rounds: BTreeMap<NodeId, Round>,
    waiting: BTreeMap<NodeId, Scope>,
    /// What is to be compared with members that are being connected to.
    unlinked: BTreeMap<NodeId, Scope>,
    /// When the last comparison with a member began.
    last: BTreeMap<NodeId, Timestamp>,
    /// A timer that begins rounds is set.
    armed: bool,
}

/// What a member is to be compared with about.
#[derive(Debug, Default)]
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
    /// When it is over in any case.
    ends: Timestamp,
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
    AnswerIds(AskedIds),
    /// The answer to a page of one's own.
    AnsweredIds {
        by: NodeId,
        page: Page,
        until: Option<EnvelopeId>,
        /// Ids that it lists.
        count: usize,
    },
    /// A newer descriptor.
    Descriptor(Box<MailboxDescriptor>),
}

/// A range of a mailbox's ids that another member has asked about.
pub(super) struct AskedIds {
    by: NodeId,
    frame: MessageId,
    mailbox: MailboxId,
    from: EnvelopeId,
    until: Option<EnvelopeId>,
}

impl AntiEntropy {
    /// What is to be compared with a member, if there is room for another one.
    fn scope(&mut self, node: NodeId) -> Option<&mut Scope> {
        let room = self.waiting.len() < MAX_WAITING || self.waiting.contains_key(&node);
        room.then(|| self.waiting.entry(node).or_default())
    }

    /// Members that wait, those first that were compared with longest ago: nobody comes twice before all have come.
    fn in_turn(&self) -> Vec<NodeId> {
        let mut nodes: Vec<NodeId> = self.waiting.keys().copied().collect();
        nodes.sort_by_key(|node| self.last.get(node).copied());
        nodes
    }
}

impl Relay {
    /// Compares with every member that has a mailbox in common with this relay, in time.
    pub(super) fn compare_with_all(&mut self, step: &mut Step<'_>) {
        self.swarm.forget_deaf(step.now);
        let others = self.mailboxes.fellow_members(&self.me);
        let state = &mut self.anti_entropy;
        state.last.retain(|node, _| others.contains(node));
        state.unlinked.retain(|node, _| others.contains(node));
        for node in others {
            if let Some(scope) = state.scope(node) {
                scope.all = true;
            }
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
        let state = &mut self.anti_entropy;
        let last = state.last.get(&node);
        let due = last.is_none_or(|at| step.now.since(*at) >= PAUSE);
        let unlinked = state.unlinked.remove(&node);
        if !due && unlinked.is_none() {
            return;
        }
        if let Some(scope) = state.scope(node) {
            let unlinked = unlinked.unwrap_or_default();
            scope.all |= due || unlinked.all;
            scope.moved.extend(unlinked.moved);
        }
        self.arm_rounds(step);
    }

    /// The swarm of a mailbox is another than before: its members learn so from each other, and those that
    /// are new get what waits.
    pub(super) fn swarm_changed(&mut self, mailbox: MailboxId, step: &mut Step<'_>) {
        let Some(descriptor) = self.mailboxes.descriptor(&mailbox) else {
            return;
        };
        let others = descriptor.members().iter().filter(|node| **node != self.me);
        for node in others {
            // Of more than that the others tell it, or a later round.
            if let Some(scope) = self.anti_entropy.scope(*node)
                && scope.moved.len() < MAX_MOVED
            {
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
        for node in self.anti_entropy.in_turn() {
            let state = &mut self.anti_entropy;
            if state.rounds.len() >= MAX_ROUNDS {
                return;
            }
            if state.rounds.contains_key(&node) {
                continue;
            }
            let Some(scope) = state.waiting.remove(&node) else {
                continue;
            };
            if self.peers.conn(&node).is_some() {
                self.begin_round(node, &scope, step);
            } else if self.reach_out(node, step) {
                let unlinked = &mut self.anti_entropy.unlinked;
                if unlinked.len() < MAX_WAITING || unlinked.contains_key(&node) {
                    let known = unlinked.entry(node).or_default();
                    known.all |= scope.all;
                    known.moved.extend(scope.moved);
                    while known.moved.len() > MAX_MOVED {
                        known.moved.pop_first();
                    }
                }
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
        // A round that is cut short is not always cut short before the same mailboxes.
        let first = usize::try_from(step.rng.next_u32()).unwrap_or(0) % mailboxes.len();
        mailboxes.rotate_left(first);
        let round = Round {
            summaries: mailboxes.into(),
            ids: VecDeque::new(),
            stage: Stage::Paused,
            deadline: step.now,
            ends: step.now + ROUND_LIFE,
        };
        self.anti_entropy.rounds.insert(node, round);
        self.count(Metric::Compared("begun"));
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
        if round.ends <= step.now {
            return self.end_round(&node, step);
        }
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(n: u16) -> NodeId {
        let mut bytes = [0; 20];
        bytes[..2].copy_from_slice(&n.to_be_bytes());
        NodeId::from_bytes(bytes)
    }

    #[test]
    fn who_was_compared_with_longest_ago_is_next() {
        let mut state = AntiEntropy::default();
        for n in 1..=3 {
            assert!(state.scope(node(n)).is_some());
        }
        state.last.insert(node(1), Timestamp::from_secs(9));
        state.last.insert(node(2), Timestamp::from_secs(5));
        assert_eq!(state.in_turn(), [node(3), node(2), node(1)]);
    }

    #[test]
    fn members_that_wait_are_bounded() {
        let mut state = AntiEntropy::default();
        let room = (0..=MAX_WAITING as u16).filter(|n| state.scope(node(*n)).is_some());
        assert_eq!(room.count(), MAX_WAITING);
        assert!(state.scope(node(0)).is_some(), "who waits already");
    }
}
