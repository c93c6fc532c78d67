//! Requests under way: those that wait for a guard, those in the air, and the keys of their replies.
//!
//! ```text
//!  request ─▶ waiting ──guard up──▶ flying ──reply──▶ Reply
//!               │ 8 s, or displaced    │ 3 to 8 s, by how long replies take, and the delays asked for
//!               ▼                      ▼
//!             Failed                 Failed, the keys stay: a late reply is still a Reply
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::guard_links::Shunned;
use crate::id::{MessageId, NodeId, SurbId};
use crate::onion::epoch::SURB_MARGIN;
use crate::onion::{Class, SurbKeys};
use crate::rpc::{Reply, Request};
use crate::time::{Duration, Timestamp};
use crate::wire::Tag;

/// A request waits so long for a guard, and then at most so long for its reply.
pub(super) const DEADLINE: Duration = Duration::from_secs(8);
/// However fast replies are, one is waited for so long.
const SHORTEST_DEADLINE: Duration = Duration::from_secs(3);
/// Requests that wait for a guard; beyond, the oldest fails.
pub(super) const MAX_WAITING: usize = 256;
/// Requests in the air; beyond, the oldest fails.
pub(super) const MAX_FLYING: usize = 256;
/// Keys of replies, late ones included; beyond, the oldest are wiped.
pub(super) const MAX_REPLY_KEYS: usize = 1024;

/// Names a request of this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::client) struct RequestId(u64);

/// A request that got no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::client) enum NetFailure {
    /// No reply in time: the target, a relay of the path or the network is at fault. Another path is
    /// taken next time.
    Timeout,
    /// No guard was up in time.
    NoGuard,
    /// The guard was given up while the request was under way.
    GuardLost,
    /// The directory does not know the target, or has no path to it.
    NoPath,
    /// Too few relays offer an onion suite that may be used.
    BelowFloor,
    /// Too many other requests were made since.
    Displaced,
    /// The request does not fit its packet class: the caller's fault.
    TooLarge,
}

impl NetFailure {
    /// Whether the target may be gone: of all else it knows nothing.
    pub(in crate::client) const fn may_be_the_targets(self) -> bool {
        matches!(self, Self::Timeout | Self::NoPath)
    }
}

/// What a caller wants to be sent.
#[derive(Debug)]
pub(super) struct Call {
    /// Its name.
    pub(super) id: RequestId,
    /// The relay that serves it.
    pub(super) to: NodeId,
    /// Relays that its guard must not be one of.
    pub(super) shunned: Shunned,
    /// To a member of the caller's own swarm: goes by a vanguard.
    pub(super) own: bool,
    /// What.
    pub(super) request: Request,
    /// How large its packets are, both ways.
    pub(super) class: Class,
}

/// A request that no guard has taken yet.
#[derive(Debug)]
pub(super) struct Waiting {
    by: Timestamp,
    /// The request.
    pub(super) call: Call,
}

/// A request that was sent.
#[derive(Debug)]
pub(super) struct Flight {
    /// The way it took.
    pub(super) path: FlightPath,
    /// The frame id that the reply must repeat.
    pub(super) rpc: MessageId,
    /// What was asked.
    pub(super) asked: Tag,
    /// The reply's class is the request's.
    pub(super) class: Class,
}

/// The way of a request and of its reply.
#[derive(Clone, Debug)]
pub(super) struct FlightPath {
    /// Where its packet left, and where the reply comes in.
    pub(super) guard: NodeId,
    /// The other relays, both ways, the target among them.
    pub(super) behind: Vec<NodeId>,
    /// When it left.
    pub(super) sent: Timestamp,
    /// How long its relays were asked to hold the packets, in all.
    pub(super) held: Duration,
}

/// A reply block in use and the request that it belongs to.
#[derive(Debug)]
pub(super) struct ReplyKeys {
    /// The request.
    pub(super) request: RequestId,
    /// How it was sent.
    pub(super) flight: Flight,
    /// Opens the reply.
    pub(super) keys: SurbKeys,
}

/// A request that is over without a reply.
#[derive(Debug)]
pub(super) struct Lost {
    /// Which.
    pub(super) request: RequestId,
    /// Why.
    pub(super) why: NetFailure,
    /// Its way, if it was sent.
    pub(super) path: Option<FlightPath>,
}

/// All requests.
#[derive(Debug, Default)]
pub(super) struct Requests {
    waiting: VecDeque<Waiting>,
    flying: BTreeMap<RequestId, (Timestamp, SurbId)>,
    keys: BTreeMap<SurbId, ReplyKeys>,
    /// Oldest first. Ids whose keys are gone are skipped.
    oldest: VecDeque<SurbId>,
    last: u64,
    patience: Patience,
}

/// How long a reply is waited for: the retransmission timer of RFC 6298 §2, within bounds. Waiting too short
/// costs one request more, for a late reply still counts.
#[derive(Debug, Default)]
struct Patience {
    /// Smoothed time of a round trip and its mean deviation, in ms, once there is a sample.
    round_trip: Option<(u64, u64)>,
    /// Replies that failed to come since the last one that came.
    late: u32,
}

impl Patience {
    fn sample(&mut self, took: Duration) {
        let took = took.as_ms();
        self.late = 0;
        self.round_trip = Some(match self.round_trip {
            None => (took, took / 2),
            Some((mean, deviation)) => {
                let deviation = (3 * deviation + mean.abs_diff(took)) / 4;
                ((7 * mean + took) / 8, deviation)
            }
        });
    }

    fn deadline(&self) -> Duration {
        let Some((mean, deviation)) = self.round_trip else {
            return DEADLINE;
        };
        let usual = Duration::from_ms(mean.saturating_add(4 * deviation)).max(SHORTEST_DEADLINE);
        (usual * (1 << self.late.min(2))).min(DEADLINE)
    }
}

impl Requests {
    /// A name for a new request.
    pub(super) const fn next_id(&mut self) -> RequestId {
        self.last += 1;
        RequestId(self.last)
    }

    /// A request that cannot be sent yet. Yields the one that it displaces.
    pub(super) fn wait(&mut self, call: Call, now: Timestamp) -> Option<Lost> {
        let by = now + DEADLINE;
        self.waiting.push_back(Waiting { by, call });
        let displaced = match self.waiting.len() > MAX_WAITING {
            true => self.waiting.pop_front()?,
            false => return None,
        };
        Some(Lost::unsent(displaced.call.id, NetFailure::Displaced))
    }

    /// Takes every waiting request, oldest first.
    pub(super) fn take_waiting(&mut self) -> VecDeque<Waiting> {
        core::mem::take(&mut self.waiting)
    }

    /// Puts one back.
    pub(super) fn wait_on(&mut self, waiting: Waiting) {
        self.waiting.push_back(waiting);
    }

    /// The requests that wait.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &Call> {
        self.waiting.iter().map(|waiting| &waiting.call)
    }

    /// A request was sent. Yields the one that it displaces.
    pub(super) fn sent(
        &mut self,
        request: RequestId,
        flight: Flight,
        keys: SurbKeys,
        now: Timestamp,
    ) -> Option<Lost> {
        let (surb, held) = (keys.id(), flight.path.held);
        let by = now + self.patience.deadline() + held;
        self.flying.insert(request, (by, surb));
        self.oldest.push_back(surb);
        let entry = ReplyKeys {
            request,
            flight,
            keys,
        };
        self.keys.insert(surb, entry);
        self.bound_keys();
        let oldest = *self.flying.keys().next()?;
        match self.flying.len() > MAX_FLYING {
            true => self.land(oldest, NetFailure::Displaced),
            false => None,
        }
    }

    fn bound_keys(&mut self) {
        while self.keys.len() > MAX_REPLY_KEYS {
            match self.oldest.pop_front() {
                Some(surb) => self.keys.remove(&surb),
                None => return,
            };
        }
        if self.oldest.len() > 2 * MAX_REPLY_KEYS {
            let keys = &self.keys;
            self.oldest.retain(|surb| keys.contains_key(surb));
        }
    }

    /// The keys of a reply block that was used, once; only through the guard that it was made for.
    pub(super) fn take(&mut self, surb: SurbId, guard: NodeId) -> Option<ReplyKeys> {
        if self.keys.get(&surb)?.flight.path.guard != guard {
            return None;
        }
        self.keys.remove(&surb)
    }

    /// The request has its reply, so long after it left, delays that were asked for not counted.
    pub(super) fn answered(&mut self, request: RequestId, took: Duration) {
        self.patience.sample(took.min(DEADLINE));
        self.flying.remove(&request);
    }

    /// A request that was sent has failed; the keys of its reply stay.
    fn land(&mut self, request: RequestId, why: NetFailure) -> Option<Lost> {
        let (_, surb) = self.flying.remove(&request)?;
        if why == NetFailure::Timeout {
            self.patience.late = self.patience.late.saturating_add(1);
        }
        let path = self.keys.get(&surb);
        let path = path.map(|entry| entry.flight.path.clone());
        Some(Lost { request, why, path })
    }

    /// Requests that have waited or flown too long; wipes the keys of expired reply blocks.
    pub(super) fn expire(&mut self, now: Timestamp) -> Vec<Lost> {
        let late = |(id, (by, _)): (&RequestId, &(Timestamp, SurbId))| (*by <= now).then_some(*id);
        let late: Vec<_> = self.flying.iter().filter_map(late).collect();
        let mut lost: Vec<_> = late
            .into_iter()
            .filter_map(|id| self.land(id, NetFailure::Timeout))
            .collect();
        self.waiting.retain(|waiting| {
            let stays = waiting.by > now;
            if !stays {
                lost.push(Lost::unsent(waiting.call.id, NetFailure::NoGuard));
            }
            stays
        });
        self.keys
            .retain(|_, entry| entry.keys.expires() + SURB_MARGIN > now);
        lost
    }

    /// The guard was given up: nothing in the air comes back through it.
    pub(super) fn fail_via(&mut self, guard: NodeId) -> Vec<Lost> {
        let via = |surb: &SurbId| {
            let entry = self.keys.get(surb);
            entry.is_some_and(|entry| entry.flight.path.guard == guard)
        };
        let flying = self.flying.iter().filter(|(_, (_, surb))| via(surb));
        let lost: Vec<_> = flying.map(|(id, _)| *id).collect();
        lost.into_iter()
            .filter_map(|id| self.land(id, NetFailure::GuardLost))
            .collect()
    }

    /// When a request is late.
    pub(super) fn next_timeout(&self) -> Option<Timestamp> {
        let waiting = self.waiting.iter().map(|waiting| waiting.by);
        let flying = self.flying.values().map(|(by, _)| *by);
        waiting.chain(flying).min()
    }
}

impl Call {
    /// A request for `to`, which concerns the mailbox that `swarm` holds.
    pub(super) fn new(
        id: RequestId,
        to: NodeId,
        swarm: &[NodeId],
        request: Request,
        class: Class,
    ) -> Self {
        let shunned = Shunned {
            swarm: swarm.to_vec(),
            never: vec![to],
            kin: Vec::new(),
        };
        Self {
            id,
            to,
            shunned,
            own: false,
            request,
            class,
        }
    }
}

impl Waiting {
    /// The same, not by this guard.
    pub(super) fn not_via(mut self, guard: NodeId) -> Self {
        self.call.shunned.never.push(guard);
        self
    }

    /// The same, not by this guard, of which its target says that it is kin.
    pub(super) fn not_via_kin(mut self, guard: NodeId) -> Self {
        self.call.shunned.kin.push(guard);
        self
    }
}

impl FlightPath {
    /// Of packets that leave by a guard now, and pass these relays.
    pub(super) fn by(
        guard: NodeId,
        hops: impl IntoIterator<Item = NodeId>,
        held: Duration,
        now: Timestamp,
    ) -> Self {
        let behind = hops.into_iter().filter(|node| *node != guard);
        let behind: BTreeSet<_> = behind.collect();
        Self {
            guard,
            behind: behind.into_iter().collect(),
            sent: now,
            held,
        }
    }

    /// How long the way took, without the delays that were asked for.
    pub(super) fn took(&self, now: Timestamp) -> Duration {
        now.since(self.sent).saturating_sub(self.held)
    }
}

impl Lost {
    /// A request that was never sent.
    pub(super) const fn unsent(request: RequestId, why: NetFailure) -> Self {
        Self {
            request,
            why,
            path: None,
        }
    }
}

impl Flight {
    /// Whether `reply` is one that this request can have: in kind, and with its id.
    pub(super) fn accepts(&self, id: MessageId, reply: &Reply) -> bool {
        let kind = matches!(
            (self.asked, reply),
            (_, Reply::Refused(_))
                | (Tag::PutRequest, Reply::Put(_))
                | (Tag::SubscribeRequest, Reply::Subscribe(_))
                | (Tag::FetchRequest, Reply::Fetch(_))
                | (Tag::AcknowledgeRequest, Reply::Acknowledge(_))
                | (Tag::PreKeyPublishRequest, Reply::PreKeyPublish(_))
                | (Tag::PreKeyTakeRequest, Reply::PreKeyTake(_))
                | (Tag::RecordPutRequest, Reply::RecordPut(_))
                | (Tag::RecordGetRequest, Reply::RecordGet(_))
                | (Tag::DirectorySyncRequest, Reply::DirectorySync(_))
        );
        kind && id == self.rpc
    }
}
