//! Which relays a packet takes (DESIGN §3.3, PROTOCOL.md §5 "Paths").
//!
//! ```text
//!  request to a relay       guard → fresh → relay              answer: fresh → guard
//!  to my own mailbox        guard → vanguard → fresh → member   answer: fresh → vanguard → guard
//! ```
//! The guard is the relay that the client's one socket goes to; *fresh* ones are drawn for every path, at
//! random by capacity. The strict rules: all relays of a path are distinct, and so are their operators and
//! subnets; none but the target is a member of the swarm concerned.
//!
//! With fewer than [`ENOUGH_RELAYS`] relays the rules give way one after the other, in this order (with
//! more, but fewer that are independent of each other, the first two only), and each path tells how far ([`Relaxation`]; docs/THREAT_MODEL.md, "Small networks"):
//!
//! 1. two relays of a path may have one operator;
//! 2. two relays of a path may be in one subnet;
//! 3. a relay between guard and target may be a member of the swarm;
//! 4. paths to my own mailbox go without a vanguard;
//! 5. the guard may be a member of the swarm;
//! 6. there is no relay between guard and target (two relays in all);
//! 7. the target is the guard itself (one relay, or the caller insists).
//!
//! A relay is never twice on one path, and all relays of a path have its onion suite: the first of the
//! client's that enough relays have ([`usable`]), or the next one if guard or target lack it. How far the rules may
//! give way goes by the relays with that suite. In a large network nothing gives way: the path fails, and the caller
//! takes another target or another guard.

mod looping;

use rand::seq::SliceRandom;
use rand_core::CryptoRng;
use thiserror::Error;

use super::candidate::{Candidate, weighted};
use super::census::{Census, Counts};
use super::descriptor::Features;
use super::directory::Directory;
use super::guards::VanguardSet;
use super::health::RelayHealth;
use super::mixing::MixMode;
use super::privacy::{NetworkPrivacy, Relaxation};
use super::route::{PathPair, Route};
use super::suites::{Relays, Suites, usable};
use crate::crypto::kem::Suite;
use crate::id::NodeId;
use crate::time::Timestamp;

pub use super::privacy::ENOUGH_RELAYS;

/// How far the rules give way in a small network before a relay that has just failed is taken again. Otherwise one that
/// is dead would be on every path that stricter rules leave, until its descriptor expires.
const AROUND: Relaxation = Relaxation::SwarmOnPath;

/// What is chosen once for a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathRules {
    /// Development: relays on this machine may be guards without TLS, and count as distinct by port.
    pub allow_loopback: bool,
    /// How long relays hold packets.
    pub mixing: MixMode,
    /// Onion suites, best first.
    pub suites: Suites,
    /// No suite weaker than this one, even if there is no path then.
    pub floor: Option<Suite>,
}

impl PathRules {
    /// The suites that paths may ever use, best first.
    pub fn allowed(&self) -> Suites {
        let floor = self.floor;
        floor.map_or(self.suites, |floor| self.suites.not_below(floor))
    }

    /// The floor, or else the weakest suite that is listed.
    pub fn weakest(&self) -> Suite {
        let listed = self.suites.iter().min_by_key(|suite| suite.strength());
        self.floor.or(listed).unwrap_or(self.suites.best())
    }
}

/// No path can be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PathError {
    /// Caller or environment: this relay is not known, or its descriptor has no key for this epoch. An old
    /// directory has none for any relay.
    #[error("{0:?} is not usable now")]
    Unknown(NodeId),
    /// Caller: the target is the guard. Take another target.
    #[error("the target is the guard")]
    TargetIsGuard,
    /// Caller: the guard is a member of the swarm. Take another guard.
    #[error("the guard is a member of the swarm concerned")]
    GuardInSwarm,
    /// Caller: guard and target have one operator or subnet. Take another guard or target.
    #[error("guard and target are not independent")]
    Related,
    /// Caller: guard and target have no onion suite in common. Take another guard or target.
    #[error("guard and target have no onion suite in common")]
    NoCommonSuite,
    /// Environment: too few relays offer this suite or a stronger one, and the client is to use no weaker one.
    #[error("too few relays offer the onion suite {} or a stronger one", .0.name())]
    BelowFloor(Suite),
    /// Environment: no relay is left for the middle.
    #[error("no relay fits between guard and target")]
    TooFewRelays,
}

/// Finds paths through a directory as it is at one moment. Cheap to make with a [`Census`], cheaper to use twice.
pub struct PathFinder<'a> {
    candidates: Vec<Candidate<'a>>,
    rules: PathRules,
    /// Those that paths may use, best first; `None` if too few relays have any that is not below the floor.
    suites: Option<Suites>,
    counts: Counts,
    now: Timestamp,
}

impl<'a> PathFinder<'a> {
    /// Takes the relays of `directory` that can be used at `now`.
    pub fn new(
        directory: &'a Directory,
        rules: PathRules,
        health: &RelayHealth,
        now: Timestamp,
    ) -> Self {
        Self::counted(directory, rules, health, &Census::default(), now)
    }

    /// The same; relays are not counted again if `census` knows how many there are.
    pub fn counted(
        directory: &'a Directory,
        rules: PathRules,
        health: &RelayHealth,
        census: &Census,
        now: Timestamp,
    ) -> Self {
        let health = health.compare(directory.len(), now);
        let take = |relay| Candidate::new(relay, rules.allow_loopback, &health, now);
        let usable_now = directory.iter().filter(|relay| relay.is_valid(now));
        let mut candidates: Vec<_> = usable_now.filter_map(take).collect();
        let counts = census.take(&mut candidates, rules.allow_loopback);
        let having = |suite| counts.having(suite);
        let suites = usable(rules.suites, rules.floor, counts.network, having);
        Self {
            candidates,
            rules,
            suites,
            counts,
            now,
        }
    }

    /// The onion suite of paths whose guard and target have it. Guards and vanguards are drawn from the
    /// relays that do. `None` if too few relays have one that is not below the floor: there is no path then.
    pub fn suite(&self) -> Option<Suite> {
        self.suites.map(|suites| suites.best())
    }

    /// The relays that paths are drawn from: those with the [`suite`](Self::suite). All where there is no path.
    fn preferred(&self) -> Relays {
        let suite = self.suite();
        suite.map_or(self.counts.network, |suite| self.counts.having(suite))
    }

    /// Draws these relays only where no other fits, before any rule gives way: for another try after a
    /// path has failed. In a small network the rules give way up to [`AROUND`] first.
    pub fn avoiding(mut self, suspects: &[NodeId]) -> Self {
        for candidate in &mut self.candidates {
            candidate.suspect = suspects.contains(&candidate.node);
        }
        self
    }

    /// What the network can do for privacy.
    pub fn privacy(&self) -> NetworkPrivacy {
        let preferred = self.preferred();
        let relays = preferred.all;
        let worst = match relays {
            0 | 1 => Relaxation::OneHop,
            2 => Relaxation::TwoHops,
            _ => limit(preferred).min(Relaxation::GuardInSwarm),
        };
        NetworkPrivacy {
            relays,
            independent: preferred.independent,
            hops: relays.min(3),
            worst,
        }
    }

    /// A path to `target` and one back, for a request that concerns the mailbox held by `swarm` (empty if
    /// it concerns none).
    pub fn request_path(
        &self,
        guard: NodeId,
        target: NodeId,
        swarm: &[NodeId],
        rng: &mut impl CryptoRng,
    ) -> Result<PathPair, PathError> {
        self.by_suite(guard, target, |ends| self.pair(ends, None, swarm, rng))
    }

    /// A path to `member` and one back, for a request about one's own mailbox, which `swarm` holds. Both
    /// go by way of a vanguard.
    pub fn own_mailbox_path(
        &self,
        guard: NodeId,
        vanguards: &VanguardSet,
        member: NodeId,
        swarm: &[NodeId],
        rng: &mut impl CryptoRng,
    ) -> Result<PathPair, PathError> {
        self.by_suite(guard, member, |ends| {
            self.pair(ends, Some(vanguards), swarm, rng)
        })
    }

    /// Only the way back of [`own_mailbox_path`](Self::own_mailbox_path): for the stock of reply blocks
    /// that a member gets.
    pub fn own_reply_path(
        &self,
        guard: NodeId,
        vanguards: &VanguardSet,
        member: NodeId,
        swarm: &[NodeId],
        rng: &mut impl CryptoRng,
    ) -> Result<(Route, Relaxation), PathError> {
        self.by_suite(guard, member, |ends| {
            let (middle, relaxed) = self.middle(ends, Some(vanguards), swarm, rng)?;
            Ok((self.back(ends, &middle, rng)?, relaxed))
        })
    }

    /// What `find` finds with the first suite that both ends have and that it finds anything with.
    fn by_suite<T>(
        &self,
        guard: NodeId,
        target: NodeId,
        mut find: impl FnMut(&Ends<'_, 'a>) -> Result<T, PathError>,
    ) -> Result<T, PathError> {
        let suites = self
            .suites
            .ok_or_else(|| PathError::BelowFloor(self.rules.weakest()))?;
        let known = |node| {
            let mut all = self.candidates.iter();
            let usable = |relay: &&Candidate<'_>| {
                relay.node == node && suites.iter().any(|s| relay.suites.contains(s))
            };
            all.find(usable).ok_or(PathError::Unknown(node))
        };
        let (guard, target) = (known(guard)?, known(target)?);
        let mut first_failure = None;
        let common = |suite: &_| guard.suites.contains(*suite) && target.suites.contains(*suite);
        for suite in suites.iter().filter(common) {
            let ends = Ends {
                guard,
                target,
                suite,
            };
            match find(&ends) {
                Ok(found) => return Ok(found),
                Err(error) => first_failure.get_or_insert(error),
            };
        }
        Err(first_failure.unwrap_or(PathError::NoCommonSuite))
    }

    fn pair(
        &self,
        ends: &Ends<'_, 'a>,
        vanguards: Option<&VanguardSet>,
        swarm: &[NodeId],
        rng: &mut impl CryptoRng,
    ) -> Result<PathPair, PathError> {
        let (there, relaxed_there) = self.middle(ends, vanguards, swarm, rng)?;
        let (back, relaxed_back) = self.middle_back(&there, ends, vanguards, swarm, rng)?;
        let mut out = vec![ends.guard];
        out.extend(there);
        out.extend((ends.guard.node != ends.target.node).then_some(ends.target));
        Ok(PathPair {
            out: self.route(&out, ends.suite, rng)?,
            back: self.back(ends, &back, rng)?,
            relaxed: relaxed_there.max(relaxed_back),
        })
    }

    /// `middle` is in the order of the way there.
    fn back(
        &self,
        ends: &Ends<'_, 'a>,
        middle: &[&Candidate<'a>],
        rng: &mut impl CryptoRng,
    ) -> Result<Route, PathError> {
        let path: Vec<_> = middle.iter().copied().rev().chain([ends.guard]).collect();
        self.route(&path, ends.suite, rng)
    }

    fn route(
        &self,
        path: &[&Candidate<'a>],
        suite: Suite,
        rng: &mut impl CryptoRng,
    ) -> Result<Route, PathError> {
        let mut delay = || self.rules.mixing.draw_delay(rng);
        let relays = path.iter().map(|relay| (relay.relay, delay()));
        Route::through(relays, suite, self.now).map_err(PathError::Unknown)
    }

    /// The relays between guard and target, by the strictest rules that allow any.
    fn middle(
        &self,
        ends: &Ends<'_, 'a>,
        vanguards: Option<&VanguardSet>,
        swarm: &[NodeId],
        rng: &mut impl CryptoRng,
    ) -> Result<(Vec<&Candidate<'a>>, Relaxation), PathError> {
        // A target that lacks the preferred suite, and chooses one that few have, loosens nothing by that.
        let limit = limit(self.counts.having(ends.suite)).min(limit(self.preferred()));
        let small = limit == Relaxation::OneHop;
        let up_to = |most, suspects| {
            let steps = Relaxation::ALL.into_iter();
            let steps = steps.filter(move |relaxed| *relaxed <= most);
            steps.map(move |relaxed| (relaxed, suspects))
        };
        let around = up_to(AROUND, false).filter(|_| small);
        for (relaxed, suspects) in around.chain(up_to(limit, true)) {
            if let Some(middle) = self.attempt(ends, vanguards, swarm, (relaxed, suspects), rng) {
                return Ok((middle, relaxed));
            }
        }
        Err(ends.verdict(swarm))
    }

    fn attempt(
        &self,
        ends: &Ends<'_, 'a>,
        vanguards: Option<&VanguardSet>,
        swarm: &[NodeId],
        (relaxed, suspects): (Relaxation, bool),
        rng: &mut impl CryptoRng,
    ) -> Option<Vec<&Candidate<'a>>> {
        let Ends {
            guard,
            target,
            suite,
        } = *ends;
        if relaxed == Relaxation::OneHop {
            return (guard.node == target.node).then(Vec::new);
        }
        let guard_fits = relaxed >= Relaxation::GuardInSwarm || !swarm.contains(&guard.node);
        if guard.clashes(target, relaxed) || !guard_fits {
            return None;
        }
        if relaxed == Relaxation::TwoHops {
            return Some(Vec::new());
        }
        let mut taken = vec![guard, target];
        let Some(vanguards) = vanguards.filter(|_| relaxed < Relaxation::NoVanguard) else {
            return self
                .draw(&taken, suite, swarm, (relaxed, suspects), rng)
                .map(|fresh| vec![fresh]);
        };
        let mut second: Vec<_> = vanguards
            .nodes()
            .filter_map(|node| self.candidates.iter().find(|relay| relay.node == node))
            .collect();
        second.shuffle(rng);
        second.sort_by_key(|vanguard| vanguard.suspect);
        second.retain(|vanguard| {
            let trusted = suspects || !vanguard.suspect;
            trusted && vanguard.suites.contains(suite) && fits(vanguard, &taken, swarm, relaxed)
        });
        second.into_iter().find_map(|vanguard| {
            taken.truncate(2);
            taken.push(vanguard);
            let fresh = self.draw(&taken, suite, swarm, (relaxed, suspects), rng)?;
            Some(vec![vanguard, fresh])
        })
    }

    /// A relay that fits beside those `taken`, at random by weight; a suspect only if there is no other, and one may be.
    fn draw(
        &self,
        taken: &[&Candidate<'_>],
        suite: Suite,
        swarm: &[NodeId],
        (relaxed, suspects): (Relaxation, bool),
        rng: &mut impl CryptoRng,
    ) -> Option<&Candidate<'a>> {
        let fitting = |suspect| {
            let all = self.having(suite);
            let all = all.filter(move |relay| relay.suspect == suspect);
            all.filter(|relay| fits(relay, taken, swarm, relaxed))
        };
        let trusted = weighted(fitting(false), rng);
        trusted.or_else(|| suspects.then(|| weighted(fitting(true), rng)).flatten())
    }

    /// Draws a relay with the [`suite`](Self::suite) that satisfies `wanted`, at random by weight.
    pub(super) fn draw_where(
        &self,
        wanted: impl Fn(&Candidate<'a>) -> bool,
        rng: &mut impl CryptoRng,
    ) -> Option<&Candidate<'a>> {
        weighted(self.preferring().filter(|relay| wanted(relay)), rng)
    }

    /// A relay with the [`suite`](Self::suite).
    pub(super) fn candidate(&self, node: NodeId) -> Option<&Candidate<'a>> {
        self.preferring().find(|candidate| candidate.node == node)
    }

    fn preferring(&self) -> impl Iterator<Item = &Candidate<'a>> + Clone {
        let suite = self.suite().into_iter();
        suite.flat_map(|suite| self.having(suite))
    }

    fn having(&self, suite: Suite) -> impl Iterator<Item = &Candidate<'a>> + Clone {
        let relays = self.candidates.iter();
        relays.filter(move |relay| relay.suites.contains(suite))
    }

    /// Whether a client may connect to the relay: it offers that, behind a public certificate or, in
    /// development, on this machine.
    pub(super) fn is_guard(&self, relay: &Candidate<'_>) -> bool {
        let info = relay.relay.info();
        // By others than the first it could send its clients to whom it likes (PROTOCOL §4).
        let reachable = info
            .urls
            .first()
            .is_some_and(|url| match url.is_loopback() {
                true => self.rules.allow_loopback,
                false => url.is_secure(),
            });
        info.features.has(Features::GUARD) && reachable
    }

    /// Whether there are too few relays with the [`suite`](Self::suite) for strict rules, however independent they are.
    pub fn is_small(&self) -> bool {
        self.preferred().all < ENOUGH_RELAYS
    }

    pub(super) const fn now(&self) -> Timestamp {
        self.now
    }
}

/// How far the rules may give way where paths have these relays to go through.
const fn limit(relays: Relays) -> Relaxation {
    match (
        relays.independent >= ENOUGH_RELAYS,
        relays.all < ENOUGH_RELAYS,
    ) {
        (true, _) => Relaxation::Strict,
        (false, false) => Relaxation::SameSubnet,
        (false, true) => Relaxation::OneHop,
    }
}

/// Guard and target of a path, and its suite.
struct Ends<'c, 'a> {
    guard: &'c Candidate<'a>,
    target: &'c Candidate<'a>,
    suite: Suite,
}

impl Ends<'_, '_> {
    /// Why there is no path: the reason that the caller can do something about comes first.
    fn verdict(&self, swarm: &[NodeId]) -> PathError {
        if self.guard.node == self.target.node {
            PathError::TargetIsGuard
        } else if swarm.contains(&self.guard.node) {
            PathError::GuardInSwarm
        } else if self.guard.clashes(self.target, Relaxation::Strict) {
            PathError::Related
        } else {
            PathError::TooFewRelays
        }
    }
}

fn fits(
    relay: &Candidate<'_>,
    taken: &[&Candidate<'_>],
    swarm: &[NodeId],
    relaxed: Relaxation,
) -> bool {
    let outside = relaxed >= Relaxation::SwarmOnPath || !swarm.contains(&relay.node);
    outside && taken.iter().all(|other| !relay.clashes(other, relaxed))
}
