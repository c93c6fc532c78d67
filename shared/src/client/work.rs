//! Proof of work that relays ask for: of mail to people who have given me no permit yet, of my account record, and of a
//! mailbox that is opened.
//!
//! ```text
//!   request ─▶ Refused { work needed } ─▶ queue ─▶ Effect::Work ─▶ host ─▶ Input::Worked ─▶ the same request, with work
//!      └─ what a relay asked for lately is asked for in advance ──▲
//! ```
//! One piece at a time is with the host, the cheapest first. The queue is in memory only: after a restart the requests are made again.
//! A relay can make a seed for one request alone, so a seed is shown with nothing that it could not join with that request anyway.

use std::collections::{BTreeMap, VecDeque};

use super::api::Effect;
use super::engine::{Client, Ctx};
use super::requests::{OpenAt, PutTo, RecordTo};
use crate::id::{MailboxId, NodeId};
use crate::rpc::{MAX_EFFORT, Solver, Subject, Work, WorkWanted};
use crate::time::{Duration, Timestamp};

/// For so long what a relay asked for is taken to be good: its seeds live for 5 to 10 minutes.
const WANTED_LIFE: Duration = Duration::from_mins(4);
/// Relays whose wishes are remembered.
const MAX_WANTED: usize = 256;
/// A member is worked for at most so often in so long to have the mailbox, whatever it says.
const MAX_OPENINGS: u8 = 3;
const OPENINGS_IN: Duration = Duration::from_hours(1);
/// How often one request may be told that its work does not do, before it counts as failed.
const MAX_TRIES: u8 = 3;

/// Names a piece of work; never used twice by one engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkId(u64);

/// A piece of work for the host: it calls [`Solver::step`] until there is a result, giving way in between.
#[derive(Clone, Debug)]
pub struct WorkJob {
    /// For [`super::Input::Worked`].
    pub id: WorkId,
    /// The work.
    pub solver: Solver,
}

/// A request that waits for its work.
#[derive(Clone, Debug)]
pub(super) enum Task {
    Put(PutTo),
    Record(RecordTo),
    Open(OpenAt),
}

/// What a relay that knows one request of it can tell by itself to be of the same person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Matter {
    /// My mail to a mailbox.
    Mail(MailboxId),
    /// My record.
    Record,
    /// My mailbox.
    Mailbox,
}

/// What is to be worked for.
#[derive(Debug, Default)]
pub(super) struct Works {
    last: u64,
    /// The first is with the host if `running` names it.
    queue: VecDeque<Task>,
    running: Option<WorkId>,
    wanted: BTreeMap<(NodeId, Matter), (Timestamp, WorkWanted)>,
    /// Since when, and how often, a member has been worked for to have the mailbox.
    openings: BTreeMap<NodeId, (Timestamp, u8)>,
    /// Work of the last minutes for members that do not have the mailbox yet: it can be shown again.
    kept: BTreeMap<NodeId, (Timestamp, Work)>,
}

impl Works {
    /// A relay has said what it takes.
    fn told(&mut self, about: (NodeId, Matter), wanted: WorkWanted, now: Timestamp) {
        self.wanted
            .retain(|_, (at, _)| now.since(*at) < WANTED_LIFE);
        if self.wanted.len() >= MAX_WANTED && !self.wanted.contains_key(&about) {
            let oldest = self.wanted.iter().min_by_key(|(_, (at, _))| *at);
            let oldest = oldest.map(|(about, _)| *about);
            oldest.and_then(|about| self.wanted.remove(&about));
        }
        self.wanted.insert(about, (now, wanted));
    }

    /// Whether a member may have me work for it to have the mailbox once more.
    fn may_open(&mut self, member: NodeId, now: Timestamp) -> bool {
        self.openings
            .retain(|_, (since, _)| now.since(*since) < OPENINGS_IN);
        let (_, times) = self.openings.entry(member).or_insert((now, 0));
        let may = *times < MAX_OPENINGS;
        *times += u8::from(may);
        may
    }

    /// What has been worked for already to open the mailbox at a member.
    pub(super) fn opening(&self, member: &NodeId, now: Timestamp) -> Option<Work> {
        let (at, work) = self.kept.get(member)?;
        (now.since(*at) < WANTED_LIFE).then_some(*work)
    }

    /// A member has the mailbox.
    pub(super) fn opened(&mut self, member: &NodeId) {
        self.kept.remove(member);
    }

    /// Puts the piece in front that takes least.
    fn cheapest_first(&mut self, now: Timestamp) {
        let effort = |task: &Task| self.known(task.about(), now).map_or(0, |w| w.effort);
        let efforts = self.queue.iter().map(effort).enumerate();
        let cheapest = efforts.min_by_key(|(_, effort)| *effort);
        if let Some(task) = cheapest.and_then(|(at, _)| self.queue.remove(at)) {
            self.queue.push_front(task);
        }
    }

    /// Members of my swarm at which a mailbox is to be opened.
    pub(super) fn members(&self) -> impl Iterator<Item = NodeId> {
        self.queue.iter().filter_map(|task| match task {
            Task::Open(at) => Some(at.member),
            Task::Put(_) | Task::Record(_) => None,
        })
    }

    /// What a relay has asked for lately.
    fn known(&self, about: (NodeId, Matter), now: Timestamp) -> Option<WorkWanted> {
        let (at, wanted) = self.wanted.get(&about)?;
        (now.since(*at) < WANTED_LIFE).then_some(*wanted)
    }
}

impl Task {
    const fn about(&self) -> (NodeId, Matter) {
        match self {
            Self::Put(to) => (to.member, Matter::Mail(to.mailbox)),
            Self::Record(to) => (to.relay, Matter::Record),
            Self::Open(at) => (at.member, Matter::Mailbox),
        }
    }

    fn tries(&mut self) -> &mut u8 {
        match self {
            Self::Put(to) => &mut to.tries,
            Self::Record(to) => &mut to.tries,
            Self::Open(at) => &mut at.tries,
        }
    }
}

impl Client {
    /// A relay wants work for a request. False: more than this device does.
    pub(super) fn work_wanted(
        &mut self,
        mut task: Task,
        wanted: WorkWanted,
        ctx: &mut Ctx<'_>,
    ) -> bool {
        let tries = task.tries();
        *tries += 1;
        if *tries > MAX_TRIES || wanted.effort > MAX_EFFORT {
            return false;
        }
        if let Task::Open(at) = &task {
            // What was kept is not good enough.
            self.works.opened(&at.member);
            if !self.works.may_open(at.member, ctx.now) {
                return false;
            }
        }
        self.works.told(task.about(), wanted, ctx.now);
        self.enqueue_work(task, ctx);
        true
    }

    /// Whether it is known already that a relay wants work for a request: then it is done first.
    pub(super) fn works_first(&mut self, task: Task, ctx: &mut Ctx<'_>) -> bool {
        let is_known = self.works.known(task.about(), ctx.now).is_some();
        if is_known {
            self.enqueue_work(task, ctx);
        }
        is_known
    }

    fn enqueue_work(&mut self, task: Task, ctx: &mut Ctx<'_>) {
        if let Task::Put(to) = &task {
            self.outbox.working(&to.item, &to.envelope, true);
        }
        self.works.queue.push_back(task);
        self.next_work(ctx);
    }

    /// The host has done a piece of work.
    pub(super) fn worked(&mut self, id: WorkId, work: Work, ctx: &mut Ctx<'_>) {
        if self.works.running != Some(id) {
            return;
        }
        self.works.running = None;
        if let Some(task) = self.works.queue.pop_front() {
            self.perform(task, Some(work), ctx);
        }
        self.next_work(ctx);
    }

    /// Gives the host the next piece, unless it has one.
    fn next_work(&mut self, ctx: &mut Ctx<'_>) {
        if self.works.running.is_none() {
            self.works.cheapest_first(ctx.now);
        }
        while self.works.running.is_none()
            && let Some(task) = self.works.queue.front()
        {
            let subject = self.subject(task);
            let wanted = self.works.known(task.about(), ctx.now);
            if let (Some(subject), Some(wanted)) = (subject, wanted) {
                self.works.last += 1;
                let id = WorkId(self.works.last);
                self.works.running = Some(id);
                let solver = Solver::new(&subject, wanted, &mut ctx.rng);
                ctx.batch.effects.push(Effect::Work(WorkJob { id, solver }));
            } else if let Some(task) = self.works.queue.pop_front() {
                // Too late for the seed, or nobody waits any more: the request itself finds out.
                self.perform(task, None, ctx);
            }
        }
    }

    /// What a task's work is for; `None` if nobody waits for it any more.
    fn subject(&self, task: &Task) -> Option<Subject> {
        match task {
            Task::Put(to) => {
                self.outbox.bytes(&to.envelope)?;
                Some(Subject::put(&to.member, &to.mailbox, &to.envelope))
            }
            Task::Record(to) => {
                let key = self.me.directory.public().record_key();
                let is_asked = self.publication.is_asked(to.sequence);
                is_asked.then(|| Subject::record(&to.relay, &key, &to.record))
            }
            Task::Open(at) => {
                let descriptor = self.mailbox.descriptor.as_ref()?;
                let is_member = descriptor.members().contains(&at.member);
                is_member.then(|| Subject::open(&at.member, &descriptor.mailbox()))
            }
        }
    }

    fn perform(&mut self, task: Task, work: Option<Work>, ctx: &mut Ctx<'_>) {
        match task {
            Task::Put(to) => {
                self.outbox.working(&to.item, &to.envelope, false);
                self.put_to(to, work, ctx);
            }
            Task::Record(to) => self.record_to(to, work, ctx),
            Task::Open(at) => {
                if let Some(work) = work {
                    let kept = &mut self.works.kept;
                    kept.retain(|_, (at, _)| ctx.now.since(*at) < WANTED_LIFE);
                    kept.insert(at.member, (ctx.now, work));
                }
                self.open_at(at, ctx);
            }
        }
    }
}
