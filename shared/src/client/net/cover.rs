//! Loop cover traffic: packets of this client to itself, at random times.
//!
//! ```text
//!  client ─▶ guard ─▶ fresh ─▶ turn ─▶ guard ─▶ client
//! ```
//! To relays, and to who watches them, a loop is a request and its reply. So they cannot tell when the client does
//! something, nor by counting how much. One that does not come back is held against the relays of its path as a request
//! without a reply is: whoever drops packets to see who falls silent is found out. Source: `onion::mixing`.

use std::collections::{BTreeMap, BTreeSet};

use rand_core::CryptoRng;

use super::link::packet_frame;
use super::requests::{DEADLINE, FlightPath};
use super::{Net, NetOutput};
use crate::client::view::{Loops, Mixing};
use crate::id::{NodeId, SurbId};
use crate::onion::{Class, MixMode, Route, SurbKeys};
use crate::time::Timestamp;

/// The loops of a run.
#[derive(Debug)]
pub(super) struct Cover {
    mode: MixMode,
    /// When the next one leaves; only while a guard is up.
    next: Option<Timestamp>,
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
            next: None,
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

    /// Nothing can leave. The next time that something can, the time of the next loop is drawn anew: one that left as soon
    /// as the guard is up would say nothing but that.
    const fn pause(&mut self) {
        self.next = None;
    }

    /// Whether a loop is to leave now. However long nobody has asked, it is one.
    fn is_due(&mut self, now: Timestamp, rng: &mut impl CryptoRng) -> bool {
        let due = self.next.is_some_and(|next| next <= now);
        if due || self.next.is_none() {
            self.next = self.mode.draw_gap(rng).map(|gap| now + gap);
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
        let paths: Vec<_> = late.map(|(_, entry)| entry.path).collect();
        self.count.lost += paths.len() as u64;
        paths
    }

    /// The guard was given up: nothing comes back through it, and nobody is to blame.
    pub(super) fn forget_via(&mut self, guard: NodeId) {
        self.flying.retain(|_, entry| entry.path.guard != guard);
    }

    /// When something is due.
    pub(super) fn next_timeout(&self) -> Option<Timestamp> {
        let late = self.flying.values().map(|entry| entry.by);
        late.chain(self.next).min()
    }
}

impl Net {
    /// Sends a loop if it is time for one.
    pub(super) fn settle_cover(&mut self, now: Timestamp, rng: &mut impl CryptoRng) {
        if self.primary_link().is_none() {
            return self.cover.pause();
        }
        if self.cover.is_due(now, rng) {
            // Without a path there is nobody to hide from, or nobody to send anything to.
            let _ = self.send_loop(now, rng);
        }
    }

    fn send_loop(&mut self, now: Timestamp, rng: &mut impl CryptoRng) -> Option<()> {
        let guard = self.guards.primary()?;
        let link = self.guards.up(guard)?;
        let finder = self.relays.finder(self.suspects.health(), now);
        let finder = finder.avoiding(&self.suspects.now(now));
        let route = finder.loop_path(guard, rng).ok()?;
        let tag = self.guards.tag(guard, rng).tag;
        let (surb, keys) = route.surb(tag, now, rng).ok()?;
        let packet = surb.reply(&[], Class::Message).ok()?;
        let frame = packet_frame(&packet, rng);
        self.outputs.push_back(NetOutput::Send { link, frame });
        let path = way(guard, &route, now);
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
                self.suspects.succeeded(&path, now);
                self.guards.answered(guard);
            }
            Err(_) => {
                self.cover.count.lost += 1;
                self.dropped.not_authentic += 1;
                self.suspects.lost(&path.behind, path.sent, now);
            }
        }
        true
    }

    /// Loops that are late are held against the relays of their path.
    pub(super) fn expire_loops(&mut self, now: Timestamp, rng: &mut impl CryptoRng) {
        for path in self.cover.expire(now) {
            self.unanswered(&path, now, rng);
        }
    }
}

fn way(guard: NodeId, route: &Route, now: Timestamp) -> FlightPath {
    let behind = route.nodes().into_iter().filter(|node| *node != guard);
    let behind: BTreeSet<_> = behind.collect();
    FlightPath {
        guard,
        behind: behind.into_iter().collect(),
        sent: now,
        held: route.held(),
    }
}
