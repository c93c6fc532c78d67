//! The relays that a client keeps: guards, which see its IP address, and vanguards, which stand behind
//! them on the way to its own mailbox (DESIGN §3.3).
//!
//! Both are kept because drawing new ones is what an attacker waits for: with fresh guards for every path,
//! every client meets the attacker's relay sooner or later (Tor's entry guards, proposal 236; vanguards,
//! proposal 333). A guard is kept for 60 days. A vanguard lives the longer of two uniform draws from 1 to
//! 22 days, so that nobody can tell how long an attack on one will pay.

use minicbor::{Decode, Encode};
use rand::RngExt;
use rand_core::CryptoRng;

use super::candidate::Candidate;
use super::path::PathFinder;
use super::privacy::Relaxation;
use crate::id::NodeId;
use crate::time::{Duration, Timestamp};
use crate::wire::codec::{BoundedList, CodecError, from_cbor, to_cbor};

/// Guards that a client keeps; one in a small network.
pub const GUARDS: usize = 3;
/// How long a guard is kept.
pub const GUARD_LIFETIME: Duration = Duration::from_days(60);
/// Vanguards that a client keeps.
pub const VANGUARDS: usize = 4;
/// The bounds of the two draws for a vanguard's lifetime.
pub const VANGUARD_LIFETIMES: (Duration, Duration) =
    (Duration::from_days(1), Duration::from_days(22));

/// Guards beyond this are not taken even if all fail: then it is the client's own network that fails.
const MAX_GUARDS: usize = 6;
/// Wait after a guard's first failure; doubles with each.
const FIRST_RETRY: Duration = Duration::from_secs(30);
/// The longest wait.
const LAST_RETRY: Duration = Duration::from_hours(1);

const RECORD_VERSION: u8 = 1;
const MAX_RECORD_LEN: usize = 4096;

/// The guards of a client, best first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuardSet {
    guards: Vec<Guard>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
struct Guard {
    #[n(0)]
    node: NodeId,
    #[n(1)]
    chosen: Timestamp,
    #[n(2)]
    failures: u8,
    #[n(3)]
    retry_at: Timestamp,
}

/// The vanguards of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VanguardSet {
    vanguards: Vec<Vanguard>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
struct Vanguard {
    #[n(0)]
    node: NodeId,
    #[n(1)]
    until: Timestamp,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct Record<T> {
    #[n(0)]
    version: u8,
    #[n(1)]
    relays: BoundedList<T, 16>,
}

impl GuardSet {
    /// No guards yet: [`refresh`](Self::refresh) draws them.
    pub const fn new() -> Self {
        Self { guards: Vec::new() }
    }

    /// Lets guards go whose time is over, and draws new ones until enough of them can be reached: not
    /// from `swarm`, the relays of the client's own mailbox, and not of one operator or subnet, as far as
    /// there are others. `true` if the set changed: then persist it.
    pub fn refresh(
        &mut self,
        finder: &PathFinder<'_>,
        swarm: &[NodeId],
        rng: &mut impl CryptoRng,
    ) -> bool {
        self.refresh_avoiding(finder, &[swarm], rng)
    }

    /// The same where several sets are to be avoided: a guard is drawn from outside the first if there is one there, or
    /// else from outside the second, and so on.
    pub fn refresh_avoiding(
        &mut self,
        finder: &PathFinder<'_>,
        avoid: &[&[NodeId]],
        rng: &mut impl CryptoRng,
    ) -> bool {
        let now = finder.now();
        let before = self.guards.len();
        self.guards
            .retain(|guard| now.since(guard.chosen) < GUARD_LIFETIME);
        let mut changed = self.guards.len() != before;
        let wanted = if finder.is_small() { 1 } else { GUARDS };
        while self.reachable(finder).count() < wanted {
            let drawn = self.draw(finder, avoid, rng);
            let Some(node) = drawn.or_else(|| self.draw(finder, &[&[]], rng)) else {
                break;
            };
            if self.guards.len() >= MAX_GUARDS && !self.drop_one_that_is_gone(finder) {
                break;
            }
            self.guards.push(Guard {
                node,
                chosen: now,
                failures: 0,
                retry_at: Timestamp::EPOCH,
            });
            changed = true;
        }
        changed
    }

    /// Guards that are among `swarm` give way to others, each in its place, as far as there are any outside of
    /// `avoid`: where the rules of paths are strict, nothing reaches a mailbox through a guard that holds it. `true` if
    /// the set changed.
    pub fn leave(
        &mut self,
        finder: &PathFinder<'_>,
        swarm: &[NodeId],
        avoid: &[&[NodeId]],
        rng: &mut impl CryptoRng,
    ) -> bool {
        if finder.is_small() {
            return false;
        }
        let mut changed = false;
        for at in 0..self.guards.len() {
            if !swarm.contains(&self.guards[at].node) {
                continue;
            }
            let Some(node) = self.draw(finder, avoid, rng) else {
                break;
            };
            self.guards[at] = Guard {
                node,
                chosen: finder.now(),
                failures: 0,
                retry_at: Timestamp::EPOCH,
            };
            changed = true;
        }
        changed
    }

    fn draw(
        &self,
        finder: &PathFinder<'_>,
        avoid: &[&[NodeId]],
        rng: &mut impl CryptoRng,
    ) -> Option<NodeId> {
        let kept: Vec<_> = self
            .nodes()
            .filter_map(|node| finder.candidate(node))
            .collect();
        let fits = |relay: &Candidate<'_>, relaxed, avoid: &[NodeId]| {
            finder.is_guard(relay)
                && kept.iter().all(|guard| !relay.clashes(guard, relaxed))
                && !avoid.contains(&relay.node)
        };
        let steps = [Relaxation::Strict, Relaxation::SameSubnet];
        let steps = avoid
            .iter()
            .flat_map(|avoid| steps.map(|step| (step, *avoid)));
        steps
            .into_iter()
            .find_map(|(relaxed, avoid)| {
                finder.draw_where(|relay| fits(relay, relaxed, avoid), rng)
            })
            .map(|relay| relay.node)
    }

    /// Makes room by dropping a guard that the directory does not know any more.
    fn drop_one_that_is_gone(&mut self, finder: &PathFinder<'_>) -> bool {
        let gone = self
            .guards
            .iter()
            .position(|guard| finder.candidate(guard.node).is_none());
        gone.map(|at| self.guards.remove(at)).is_some()
    }

    /// The guard to connect to: the first that is not waiting for its next try; if all are, the one whose
    /// wait ends first. `None` if none is known any more.
    pub fn in_use(&self, finder: &PathFinder<'_>) -> Option<NodeId> {
        self.in_use_for(finder, &[])
    }

    /// [`in_use`](Self::in_use) among the guards that are not in `swarm`.
    pub fn in_use_for(&self, finder: &PathFinder<'_>, swarm: &[NodeId]) -> Option<NodeId> {
        let fitting = |guard: &&Guard| !swarm.contains(&guard.node);
        let usable = self
            .guards
            .iter()
            .filter(|guard| finder.candidate(guard.node).is_some());
        let first = self.reachable(finder).find(fitting);
        first
            .or_else(|| usable.filter(fitting).min_by_key(|guard| guard.retry_at))
            .map(|g| g.node)
    }

    /// Known guards that are not waiting for their next try.
    fn reachable(&self, finder: &PathFinder<'_>) -> impl Iterator<Item = &Guard> {
        let now = finder.now();
        let known = self
            .guards
            .iter()
            .filter(|guard| finder.candidate(guard.node).is_some());
        known.filter(move |guard| guard.retry_at <= now)
    }

    /// The guard could not be reached, while the client's own network works. The next try is 30 s later,
    /// doubling up to an hour.
    pub fn note_failure(&mut self, node: NodeId, now: Timestamp) {
        if let Some(guard) = self.guards.iter_mut().find(|guard| guard.node == node) {
            let wait = FIRST_RETRY * (1u64 << guard.failures.min(16));
            guard.failures = guard.failures.saturating_add(1);
            guard.retry_at = now + wait.min(LAST_RETRY);
        }
    }

    /// The guard was reached.
    pub fn note_success(&mut self, node: NodeId) {
        if let Some(guard) = self.guards.iter_mut().find(|guard| guard.node == node) {
            (guard.failures, guard.retry_at) = (0, Timestamp::EPOCH);
        }
    }

    /// The guards, best first.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.guards.iter().map(|guard| guard.node)
    }

    /// The set as a record.
    pub fn encode(&self) -> Vec<u8> {
        encode(self.guards.clone())
    }

    /// Reads a record.
    pub fn decode(record: &[u8]) -> Result<Self, CodecError> {
        Ok(Self {
            guards: decode(record)?,
        })
    }
}

/// How alike two vanguards may be, at last.
const ANY: Relaxation = Relaxation::SameSubnet;
/// The same, in order.
const CLEAR: [Relaxation; 2] = [Relaxation::Strict, ANY];

impl VanguardSet {
    /// No vanguards yet: [`refresh`](Self::refresh) draws them.
    pub const fn new() -> Self {
        Self {
            vanguards: Vec::new(),
        }
    }

    /// Lets vanguards go whose time is over or that the directory does not know any more, and draws new
    /// ones: not from `avoid` (the client's guards and the relays of its mailbox), and not of one operator
    /// or subnet, as far as there are others. One that is among `avoid` by now serves no strict path, and gives its place up
    /// where there is another. `true` if the set changed: then persist it.
    pub fn refresh(
        &mut self,
        finder: &PathFinder<'_>,
        avoid: &[NodeId],
        rng: &mut impl CryptoRng,
    ) -> bool {
        let now = finder.now();
        let before = self.vanguards.clone();
        self.vanguards
            .retain(|kept| now < kept.until && finder.candidate(kept.node).is_some());
        let in_the_way: Vec<_> = self.nodes().filter(|node| avoid.contains(node)).collect();
        for useless in in_the_way {
            let Some(node) = self.draw(finder, avoid, &CLEAR, rng) else {
                break;
            };
            self.vanguards.retain(|kept| kept.node != useless);
            self.add(node, now, rng);
        }
        while self.vanguards.len() < VANGUARDS {
            let clear = self.draw(finder, avoid, &CLEAR, rng);
            let Some(node) = clear.or_else(|| self.draw(finder, &[], &[ANY], rng)) else {
                break;
            };
            self.add(node, now, rng);
        }
        self.vanguards != before
    }

    fn add(&mut self, node: NodeId, now: Timestamp, rng: &mut impl CryptoRng) {
        let until = now + lifetime(rng);
        self.vanguards.push(Vanguard { node, until });
    }

    fn draw(
        &self,
        finder: &PathFinder<'_>,
        avoid: &[NodeId],
        steps: &[Relaxation],
        rng: &mut impl CryptoRng,
    ) -> Option<NodeId> {
        let kept: Vec<_> = self
            .nodes()
            .filter_map(|node| finder.candidate(node))
            .collect();
        let fits = |relay: &Candidate<'_>, relaxed| {
            let clear = !avoid.contains(&relay.node);
            clear && kept.iter().all(|other| !relay.clashes(other, relaxed))
        };
        let mut steps = steps.iter();
        let drawn = steps.find_map(|relaxed| finder.draw_where(|relay| fits(relay, *relaxed), rng));
        drawn.map(|relay| relay.node)
    }

    #[cfg(test)]
    pub(super) fn lifetimes(&self, now: Timestamp) -> impl Iterator<Item = Duration> {
        self.vanguards
            .iter()
            .map(move |vanguard| vanguard.until.since(now))
    }

    /// The vanguards.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.vanguards.iter().map(|vanguard| vanguard.node)
    }

    /// The set as a record.
    pub fn encode(&self) -> Vec<u8> {
        encode(self.vanguards.clone())
    }

    /// Reads a record.
    pub fn decode(record: &[u8]) -> Result<Self, CodecError> {
        Ok(Self {
            vanguards: decode(record)?,
        })
    }
}

/// The longer of two uniform draws.
fn lifetime(rng: &mut impl CryptoRng) -> Duration {
    let (least, most) = VANGUARD_LIFETIMES;
    let mut draw = || rng.random_range(least.as_ms()..=most.as_ms());
    Duration::from_ms(draw().max(draw()))
}

fn encode<T: Encode<()>>(relays: Vec<T>) -> Vec<u8> {
    // Sets hold six at most; a record takes sixteen.
    let relays = BoundedList::new(relays).unwrap_or_default();
    to_cbor(&Record {
        version: RECORD_VERSION,
        relays,
    })
}

fn decode<T: for<'b> Decode<'b, ()>>(record: &[u8]) -> Result<Vec<T>, CodecError> {
    let record: Record<T> = from_cbor(record, MAX_RECORD_LEN)?;
    match record.version {
        RECORD_VERSION => Ok(record.relays.into_inner()),
        _ => Err(CodecError::Malformed),
    }
}
