//! Which guards are wanted, and in which state each is. Pure bookkeeping: links themselves are in `link`.
//!
//! ```text
//!  kept [A B C]   primary A: always wanted; twice failed ─▶ B becomes primary
//!                 others:    wanted while a request's swarm contains the primary, then idle for 60 s
//!
//!  slot:  Waiting(at) ──due, connecting──▶ Connecting ──accepted──▶ Up
//!              ▲────────────────failed───────────┴───────────────────┘
//! ```
//! Every guard has one connection tag a run. Reply blocks are bound to the tag of one guard, so a reply
//! can only come back through the guard that its request left by.

use std::collections::{BTreeMap, BTreeSet};

use rand_core::CryptoRng;

use super::backoff::{Backoff, jitter};
use super::doubts::Doubts;
use super::link::LinkId;
use crate::client::view::Connection;
use crate::id::{ConnectionTag, NodeId};
use crate::time::{Duration, Timestamp};

/// Shortest ceiling of the wait before another attempt.
pub(super) const RETRY_BASE: Duration = Duration::from_ms(250);
/// Longest wait before another attempt.
pub(super) const RETRY_CAP: Duration = Duration::from_secs(60);
/// Failures in a row after which the next kept guard becomes primary.
pub(super) const MAX_FAILURES: u32 = 2;
/// Requests in a row without any reply after which a guard counts as failed though its link is up.
pub(super) const MAX_UNANSWERED: u32 = 8;
/// A link to another guard than the primary is closed after so long without a request.
pub(super) const IDLE: Duration = Duration::from_secs(60);
/// Spare guards of a run: each learns the client's IP address.
const MAX_SPARE: usize = 4;
/// A guard keeps what comes for a tag that has no link for a minute (PROTOCOL §3), counted from when it came there.
const GUARD_KEEPS: Duration = Duration::from_secs(45);
/// A link that was up for less, and brought no reply, counts as a failed attempt when it is lost.
const STABLE: Duration = Duration::from_secs(30);

/// The guards of a run.
#[derive(Debug)]
pub(super) struct GuardLinks {
    kept: Vec<NodeId>,
    /// Guards of this run for requests whose swarm holds every kept one.
    spare: Vec<NodeId>,
    primary: Option<NodeId>,
    slots: BTreeMap<NodeId, Slot>,
    tags: BTreeMap<NodeId, TagCount>,
    /// Of others than the primary.
    pub(super) doubts: Doubts,
    /// How fast primaries are tried, whichever they are.
    pace: Backoff,
    /// The guard whose tag stocks are bound to.
    stock: Option<NodeId>,
}

/// A connection tag and how far its deliveries have been counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct TagCount {
    /// Shown to this guard only.
    pub(super) tag: ConnectionTag,
    /// `Deliver` frames received under it.
    pub(super) received: u64,
    /// The guard has accepted it, in this run.
    accepted: bool,
    /// When the guard was last heard.
    heard: Option<Timestamp>,
}

/// Relays that a request must not leave by.
#[derive(Clone, Debug, Default)]
pub(super) struct Shunned {
    /// The swarm concerned; with few relays it gives way.
    pub(super) swarm: Vec<NodeId>,
    /// The target, and guards that turned out not to fit.
    pub(super) never: Vec<NodeId>,
    /// Guards whose kin the target says that it is. Nobody checks that: another guard may take it, none is drawn for it.
    pub(super) kin: Vec<NodeId>,
}

impl Shunned {
    fn all(&self) -> Vec<NodeId> {
        let never = self.never();
        self.swarm.iter().copied().chain(never).collect()
    }

    fn never(&self) -> Vec<NodeId> {
        self.never.iter().chain(&self.kin).copied().collect()
    }

    /// Guards that turned out not to fit, and the target.
    pub(super) const fn tried(&self) -> usize {
        self.never.len() + self.kin.len()
    }
}

/// What a failure means for the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing more.
    Stay,
    /// Another guard should take its place and be tried then.
    GiveUp {
        /// Not before.
        next_at: Timestamp,
    },
}

/// A guard that is wanted.
#[derive(Debug)]
struct Slot {
    state: SlotState,
    backoff: Backoff,
    /// When a request last needed it.
    used: Timestamp,
    /// Requests without a reply since the last reply.
    unanswered: u32,
    /// A reply has come through the link that is up.
    useful: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SlotState {
    /// No link; the next attempt starts then.
    Waiting(Timestamp),
    /// The socket or the handshake is under way.
    Connecting(LinkId),
    /// Packets can be sent, since then.
    Up(LinkId, Timestamp),
}

impl Slot {
    const fn new(start: Timestamp, now: Timestamp) -> Self {
        Self {
            state: SlotState::Waiting(start),
            backoff: Backoff::new(RETRY_BASE, RETRY_CAP),
            used: now,
            unanswered: 0,
            useful: false,
        }
    }

    /// Whether its link held: it was up for a while, or of use.
    fn held(&self, now: Timestamp) -> bool {
        match self.state {
            SlotState::Up(_, since) => self.useful || now.since(since) >= STABLE,
            _ => false,
        }
    }

    const fn link(&self) -> Option<LinkId> {
        match self.state {
            SlotState::Waiting(_) => None,
            SlotState::Connecting(link) | SlotState::Up(link, _) => Some(link),
        }
    }
}

impl GuardLinks {
    /// No guard yet.
    pub(super) fn new() -> Self {
        Self {
            kept: Vec::new(),
            spare: Vec::new(),
            primary: None,
            slots: BTreeMap::new(),
            tags: BTreeMap::new(),
            doubts: Doubts::default(),
            pace: Backoff::new(RETRY_BASE, RETRY_CAP),
            stock: None,
        }
    }

    /// The kept guards, most preferred first, and the one to begin with. Yields a primary that is kept no
    /// more, and its link.
    pub(super) fn set_kept(
        &mut self,
        kept: Vec<NodeId>,
        first: Option<NodeId>,
        now: Timestamp,
    ) -> Option<(NodeId, Option<LinkId>)> {
        self.kept = kept;
        let old = self.primary.filter(|node| !self.kept.contains(node));
        if old.is_some() || self.primary.is_none() {
            self.primary = first;
        }
        if let Some(primary) = self.primary {
            self.want(primary, now);
        }
        let old = old?;
        Some((old, self.slots.remove(&old).and_then(|slot| slot.link())))
    }

    /// The guards of [`set_kept`](Self::set_kept).
    #[cfg(test)]
    pub(super) fn kept(&self) -> &[NodeId] {
        &self.kept
    }

    /// The guard that stocks are bound to and that most requests leave by.
    pub(super) const fn primary(&self) -> Option<NodeId> {
        self.primary
    }

    /// The link of a guard that is up.
    pub(super) fn up(&self, node: NodeId) -> Option<LinkId> {
        match self.slots.get(&node)?.state {
            SlotState::Up(link, _) => Some(link),
            _ => None,
        }
    }

    /// The guards that are up.
    pub(super) fn all_up(&self) -> BTreeSet<NodeId> {
        let slots = self.slots.keys().copied();
        slots.filter(|node| self.up(*node).is_some()).collect()
    }

    /// The guard for a request. In a `small` network a member of its swarm will do. `None`: a spare one is
    /// needed.
    pub(super) fn choose(&self, shunned: &Shunned, small: bool) -> Option<NodeId> {
        let strict = self.best(&shunned.all(), false);
        strict.or_else(|| self.best(&shunned.never(), false).filter(|_| small))
    }

    /// The guard for a request when [`choose`](Self::choose) finds none and no spare one can be drawn: one
    /// that keeps failing, or in a `small` network the primary, whatever it is.
    pub(super) fn last_resort(&self, shunned: &Shunned, small: bool) -> Option<NodeId> {
        let primary = self.primary.filter(|_| small);
        primary.or_else(|| self.best(&shunned.all(), true))
    }

    /// The primary if it fits; else a guard that is up, one that has not failed of late, the most preferred.
    fn best(&self, excluded: &[NodeId], failing_too: bool) -> Option<NodeId> {
        let fits = |node: &&NodeId| !excluded.contains(node);
        if let Some(primary) = self.primary.as_ref().filter(fits) {
            return Some(*primary);
        }
        let reluctance = |node: &NodeId| match self.slots.get(node) {
            _ if self.doubts.are_grave(node) => MAX_FAILURES + 1,
            Some(slot) if matches!(slot.state, SlotState::Up(..)) => 0,
            Some(slot) => 1 + slot.backoff.failures(),
            None => 1,
        };
        let candidates = self.kept.iter().chain(&self.spare).filter(fits);
        let candidates = candidates.filter(|node| failing_too || reluctance(node) <= MAX_FAILURES);
        candidates.min_by_key(|node| reluctance(node)).copied()
    }

    /// Whether another guard may be drawn for this run.
    pub(super) fn has_room_for_spare(&self) -> bool {
        self.spare.len() < MAX_SPARE
    }

    /// The guards that are kept, and those of this run.
    pub(super) fn known(&self) -> Vec<NodeId> {
        [self.kept.as_slice(), &self.spare].concat()
    }

    /// Another guard for this run.
    pub(super) fn add_spare(&mut self, node: NodeId) {
        if self.has_room_for_spare() {
            self.spare.push(node);
        }
    }

    /// A request needs this guard now.
    pub(super) fn want(&mut self, node: NodeId, now: Timestamp) {
        let slot = self
            .slots
            .entry(node)
            .or_insert_with(|| Slot::new(now, now));
        slot.used = now;
    }

    /// The tag of a guard, drawn when it is first asked for.
    pub(super) fn tag(&mut self, node: NodeId, rng: &mut impl CryptoRng) -> TagCount {
        *self.tags.entry(node).or_insert_with(|| TagCount {
            tag: ConnectionTag::random(rng),
            received: 0,
            accepted: false,
            heard: None,
        })
    }

    /// So many deliveries have been counted under the guard's tag.
    pub(super) fn count(&mut self, node: NodeId, received: u64) {
        if let Some(tag) = self.tags.get_mut(&node) {
            tag.received = received;
        }
    }

    /// Something has come from the guard.
    pub(super) fn heard(&mut self, node: NodeId, now: Timestamp) {
        if let Some(tag) = self.tags.get_mut(&node) {
            tag.heard = Some(now);
        }
    }

    /// Whether something has come from the primary since then.
    pub(super) fn hears_primary(&self, since: Timestamp) -> bool {
        let tag = self.primary.and_then(|primary| self.tags.get(&primary));
        tag.and_then(|tag| tag.heard) >= Some(since)
    }

    /// Guards to connect to now.
    pub(super) fn due(&self, now: Timestamp) -> Vec<NodeId> {
        let due = |slot: &Slot| matches!(slot.state, SlotState::Waiting(at) if at <= now);
        let slots = self.slots.iter().filter(|(_, slot)| due(slot));
        slots.map(|(node, _)| *node).collect()
    }

    /// The host has been asked for a link to this guard.
    pub(super) fn connecting(&mut self, node: NodeId, link: LinkId) {
        if let Some(slot) = self.slots.get_mut(&node) {
            slot.state = SlotState::Connecting(link);
        }
    }

    /// The guard has accepted the handshake. True if it may have forgotten what came for the tag of the stocks since it
    /// accepted that before: it was dead in between, or it has not been heard for longer than it keeps anything.
    pub(super) fn accepted(
        &mut self,
        node: NodeId,
        link: LinkId,
        resumed: bool,
        now: Timestamp,
    ) -> bool {
        if let Some(slot) = self.slots.get_mut(&node) {
            slot.state = SlotState::Up(link, now);
            slot.unanswered = 0;
            slot.useful = false;
        }
        let Some(tag) = self.tags.get_mut(&node) else {
            return false;
        };
        let known = core::mem::replace(&mut tag.accepted, true);
        let heard = tag.heard.replace(now);
        let kept = resumed && heard.is_some_and(|heard| now.since(heard) < GUARD_KEEPS);
        known && !kept && self.stock == Some(node)
    }

    /// An attempt failed, or a link was lost. `blamed`: the guard broke a rule or refused.
    pub(super) fn failed(
        &mut self,
        node: NodeId,
        blamed: bool,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Verdict {
        let primary = self.primary == Some(node);
        let Some(slot) = self.slots.get_mut(&node) else {
            return Verdict::Stay;
        };
        if slot.held(now) && !blamed {
            // Losing a link that held is no failed attempt.
            slot.backoff.reset();
            self.pace.reset();
            slot.state = SlotState::Waiting(now + jitter(RETRY_BASE, rng));
            return Verdict::Stay;
        }
        let own = slot.backoff.fail(now, rng);
        let at = if primary {
            self.pace.fail(now, rng)
        } else {
            own
        };
        slot.state = SlotState::Waiting(at);
        match primary && slot.backoff.failures() >= MAX_FAILURES {
            true => Verdict::GiveUp { next_at: at },
            false => Verdict::Stay,
        }
    }

    /// A request through this guard got no reply. After many in a row a primary is of no use though its
    /// link is up.
    pub(super) fn unanswered(&mut self, node: NodeId, now: Timestamp) -> Verdict {
        let Some(slot) = self.slots.get_mut(&node) else {
            return Verdict::Stay;
        };
        slot.unanswered = slot.unanswered.saturating_add(1);
        if slot.unanswered < MAX_UNANSWERED || self.primary != Some(node) {
            return Verdict::Stay;
        }
        slot.unanswered = 0;
        Verdict::GiveUp { next_at: now }
    }

    /// A reply has come through this guard.
    pub(super) fn answered(&mut self, node: NodeId) {
        if let Some(slot) = self.slots.get_mut(&node) {
            slot.unanswered = 0;
            slot.useful = true;
        }
    }

    /// Makes another guard the primary, to be tried at `start`. Yields the link of the old one.
    pub(super) fn replace_primary(
        &mut self,
        next: NodeId,
        start: Timestamp,
        now: Timestamp,
    ) -> Option<LinkId> {
        let old = self.primary.replace(next);
        let link = old
            .and_then(|old| self.slots.remove(&old))
            .and_then(|slot| slot.link());
        self.slots
            .entry(next)
            .or_insert_with(|| Slot::new(start, now));
        link
    }

    /// Whether every kept guard has failed as often as a guard may.
    pub(super) fn all_failed(&self) -> bool {
        let kept = u32::try_from(self.kept.len()).unwrap_or(u32::MAX);
        kept > 0 && self.pace.failures() >= kept.saturating_mul(MAX_FAILURES)
    }

    /// True once for every primary that is up and has another tag than the stocks so far.
    pub(super) fn take_stock_change(&mut self) -> bool {
        let Some(primary) = self.primary.filter(|node| self.up(*node).is_some()) else {
            return false;
        };
        self.stock.replace(primary) != Some(primary)
    }

    /// There is a network again: every wait is over.
    pub(super) fn retry_now(&mut self, now: Timestamp) {
        self.pace.reset();
        for slot in self.slots.values_mut() {
            if let SlotState::Waiting(at) = &mut slot.state {
                *at = now.min(*at);
                slot.backoff.reset();
            }
        }
    }

    /// There is no network: yields every link, to be closed. Only the primary stays wanted.
    pub(super) fn suspend(&mut self, now: Timestamp) -> Vec<LinkId> {
        let links = self.slots.values().filter_map(Slot::link).collect();
        self.slots.clear();
        if let Some(primary) = self.primary {
            self.want(primary, now);
        }
        links
    }

    /// Forgets guards other than the primary that no request has needed for long; yields their links.
    pub(super) fn drop_idle(&mut self, now: Timestamp) -> Vec<LinkId> {
        self.doubts.expire(now);
        let primary = self.primary;
        let mut links = Vec::new();
        self.slots.retain(|node, slot| {
            let stays = Some(*node) == primary || slot.used + IDLE > now;
            if !stays {
                links.extend(slot.link());
            }
            stays
        });
        links
    }

    /// When an attempt is due or a guard becomes idle.
    pub(super) fn next_timeout(&self) -> Option<Timestamp> {
        let of_slot = |(node, slot): (&NodeId, &Slot)| {
            let attempt = match slot.state {
                SlotState::Waiting(at) => Some(at),
                _ => None,
            };
            let idle = (Some(*node) != self.primary).then_some(slot.used + IDLE);
            [attempt, idle]
        };
        self.slots.iter().flat_map(of_slot).flatten().min()
    }

    /// How the primary stands. Whether anybody can push to it is for the engine to say.
    pub(super) fn connection(&self) -> Connection {
        let attempt = self.pace.failures().saturating_add(1);
        let slot = self.primary.and_then(|node| self.slots.get(&node));
        match slot.map(|slot| slot.state) {
            Some(SlotState::Up(_, since)) => Connection::Online {
                since,
                receiving: false,
            },
            Some(SlotState::Waiting(at)) => Connection::Connecting {
                attempt,
                retry: Some(at),
            },
            Some(SlotState::Connecting(_)) | None => Connection::Connecting {
                attempt,
                retry: None,
            },
        }
    }
}

#[cfg(test)]
mod tests;
