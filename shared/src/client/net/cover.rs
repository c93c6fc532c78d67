//! Loop cover traffic: packets of this client to itself, at random times.
//!
//! ```text
//!  client ─▶ guard ─▶ fresh ─▶ turn ─▶ guard ─▶ client
//! ```
//! To relays, and to who watches them, a loop is a request and its reply. So they cannot tell when the client asks
//! something. What they still can tell is in docs/THREAT_MODEL.md, "Mixing". Loops that do not come back are held against
//! the relays of their path in the long run; whoever drops packets to see who falls silent is found out. But no single one
//! has others avoided, nor a primary guard given up or kept: guards could steer by that, or please. Other guards are probed
//! by loops when they leave requests unanswered, and lose their place if they lose several in a row. Source: `onion::mixing`.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use rand::RngExt;
use rand_core::CryptoRng;

use super::link::packet_frame;
use super::requests::{DEADLINE, FlightPath};
use super::{Net, NetOutput};
use crate::client::view::{Loops, Mixing};
use crate::id::{NodeId, SurbId};
use crate::onion::{Class, MixMode, SurbKeys, VanguardSet};
use crate::time::{Duration, Timestamp};

/// One loop in so many is of class `bulk`, as what is fetched, looked up and published is.
const BULK: u32 = 8;
/// A loop that has not left so long after its time does not leave.
const LATE: Duration = Duration::from_secs(1);

/// The loops of a run.
#[derive(Debug)]
pub(super) struct Cover {
    mode: MixMode,
    /// When the next one leaves, by each guard that is up.
    next: BTreeMap<NodeId, Timestamp>,
    flying: BTreeMap<SurbId, Loop>,
    count: Loops,
}

/// One that has left.
#[derive(Debug)]
struct Loop {
    path: FlightPath,
    keys: SurbKeys,
    /// Later it counts as lost.
    by: Timestamp,
}

impl Cover {
    pub(super) const fn new(mode: MixMode) -> Self {
        Self {
            mode,
            next: BTreeMap::new(),
            flying: BTreeMap::new(),
            count: Loops {
                sent: 0,
                returned: 0,
                lost: 0,
            },
        }
    }

    /// What people are told of it.
    pub(super) const fn mixing(&self) -> Mixing {
        Mixing {
            mode: self.mode,
            loops: self.count,
        }
    }

    /// These guards are up. By one that has come up the first loop leaves at a time of its own: one that left at once
    /// would say nothing but that it has come up.
    fn follow(&mut self, up: BTreeSet<NodeId>, now: Timestamp, rng: &mut impl CryptoRng) {
        // A clock that was set back would have the next one wait for as long.
        let latest = self.mode.mean_gap().map_or(now, |mean| now + mean * 40);
        self.next
            .retain(|node, next| up.contains(node) && *next <= latest);
        for node in up {
            if let Some(gap) = self.mode.draw_gap(rng)
                && let Entry::Vacant(vacant) = self.next.entry(node)
            {
                vacant.insert(now + gap);
            }
        }
    }

    /// Guards by which a loop is to leave now. If nobody has asked in time none leaves, but later: whatever woke this
    /// client would show by it. The process has no memory, so that another time is as good.
    fn due(&mut self, now: Timestamp, rng: &mut impl CryptoRng) -> Vec<NodeId> {
        let mut due = Vec::new();
        for (node, next) in self.next.iter_mut().filter(|(_, next)| **next <= now) {
            if now.since(*next) <= LATE {
                due.push(*node);
            }
            if let Some(gap) = self.mode.draw_gap(rng) {
                *next = now + gap;
            }
        }
        due
    }

    /// A loop whose reply block was used, through the guard that it was made for.
    fn take(&mut self, surb: SurbId, guard: NodeId) -> Option<Loop> {
        if self.flying.get(&surb)?.path.guard != guard {
            return None;
        }
        self.flying.remove(&surb)
    }

    /// The ways of loops that are late.
    fn expire(&mut self, now: Timestamp) -> Vec<FlightPath> {
        let late = self.flying.extract_if(.., |_, entry| entry.by <= now);
        late.map(|(_, entry)| entry.path).collect()
    }

    fn flies_via(&self, guard: NodeId) -> bool {
        self.flying.values().any(|entry| entry.path.guard == guard)
    }

    /// The guard was given up: nothing comes back through it, and nobody is to blame.
    pub(super) fn forget_via(&mut self, guard: NodeId) {
        self.flying.retain(|_, entry| entry.path.guard != guard);
    }

    /// When something is due.
    pub(super) fn next_timeout(&self) -> Option<Timestamp> {
        let late = self.flying.values().map(|entry| entry.by);
        late.chain(self.next.values().copied()).min()
    }
}

impl Net {
    /// Loops leave by the guards that are up.
    pub(super) fn settle_cover(&mut self, now: Timestamp, rng: &mut impl CryptoRng) {
        self.cover.follow(self.guards.all_up(), now, rng);
    }

    /// Sends the loops that are due.
    pub(super) fn send_loops(&mut self, now: Timestamp, rng: &mut impl CryptoRng) {
        for guard in self.cover.due(now, rng) {
            // Without a path there is nobody to hide from, or nobody to send anything to.
            let _ = self.send_loop(guard, now, rng);
        }
    }

    /// A request through this guard was not answered. If it is not the primary, a loop is to tell whether that is the guard's
    /// doing: its other relays are of this client's choice, not of anybody whom the request is for. Another one by the
    /// primary tells whether the client's own network works.
    pub(super) fn probe(&mut self, guard: NodeId, now: Timestamp, rng: &mut impl CryptoRng) {
        let primary = self.guards.primary();
        if primary == Some(guard) {
            return;
        }
        for by in [Some(guard), primary].into_iter().flatten() {
            if !self.cover.flies_via(by) {
                let _ = self.send_loop(by, now, rng);
            }
        }
    }

    fn send_loop(&mut self, guard: NodeId, now: Timestamp, rng: &mut impl CryptoRng) -> Option<()> {
        let link = self.guards.up(guard)?;
        let finder = self.relays.finder(self.suspects.health(), now);
        let finder = finder.avoiding(&self.suspects.now(now));
        // What leaves by another guard than the primary is for others' mailboxes.
        let own = self.guards.primary() == Some(guard);
        let (vanguards, none) = (self.relays.vanguards(), VanguardSet::new());
        let vanguards = if own { vanguards } else { &none };
        let route = finder.loop_path(guard, vanguards, rng).ok()?;
        let class = match rng.random_ratio(1, BULK) {
            true => Class::Bulk,
            false => Class::Message,
        };
        let tag = self.guards.tag(guard, rng).tag;
        let (surb, keys) = route.surb(tag, now, rng).ok()?;
        let packet = surb.reply(&[], class).ok()?;
        let frame = packet_frame(&packet, rng);
        self.outputs.push_back(NetOutput::Send { link, frame });
        let path = FlightPath::by(guard, route.nodes(), route.held(), now);
        let by = now + DEADLINE + path.held;
        let entry = Loop { path, keys, by };
        self.cover.flying.insert(entry.keys.id(), entry);
        self.cover.count.sent += 1;
        Some(())
    }

    /// A `Deliver` frame that is neither a reply nor a push: whether it is a loop that has come back.
    pub(super) fn looped(
        &mut self,
        guard: NodeId,
        surb: SurbId,
        body: Vec<u8>,
        now: Timestamp,
    ) -> bool {
        let Some(Loop { path, keys, .. }) = self.cover.take(surb, guard) else {
            return false;
        };
        match keys.open(body) {
            Ok(_) => {
                self.cover.count.returned += 1;
                self.guards.doubts.returned(&guard);
                self.suspects.note(&path, now);
            }
            Err(_) => {
                self.dropped.not_authentic += 1;
                self.lost_loop(&path, now);
            }
        }
        true
    }

    /// Loops that are late are held against the relays of their path.
    pub(super) fn expire_loops(&mut self, now: Timestamp, rng: &mut impl CryptoRng) {
        for path in self.cover.expire(now) {
            // With the guard's link down it is no wonder.
            if self.guards.up(path.guard).is_none() {
                continue;
            }
            if self.lost_loop(&path, now) {
                self.probe(path.guard, now, rng);
            }
        }
    }

    /// True if another one is to tell whether that is the guard's doing. Of the primary it says nothing that counts; nor of
    /// another guard, if nothing has come by the primary since: it is tried again, until its link is idle or down.
    fn lost_loop(&mut self, path: &FlightPath, now: Timestamp) -> bool {
        self.cover.count.lost += 1;
        self.suspects.charge(&path.behind, now);
        match self.guards.primary() {
            Some(primary) if primary != path.guard => {
                !self.guards.hears_primary(path.sent)
                    || self.guards.doubts.lost(path.guard, path.sent, now)
            }
            _ => false,
        }
    }
}
