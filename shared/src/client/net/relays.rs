//! The relays known, the guards kept among them, and paths through them.

use rand_core::CryptoRng;

use super::bootstrap::Agreed;
use super::guard_links::Shunned;
use super::records::{Coverage, DirectoryRow, GuardRow, NetRow};
use super::{Bootstrap, NetConfig};
use crate::client::store::{Row, Write};
use crate::client::view::{Network, Onion, PrivacyWarning};
use crate::id::NodeId;
use crate::onion::epoch::{ACCEPTED_FOR, EPOCH_LENGTH};
use crate::onion::{
    Census, Directory, Features, GuardSet, NetworkPrivacy, PathFinder, PathRules, Relaxation,
    RelayDescriptor, RelayHealth, Suite, Suites, UnverifiedDescriptor, VanguardSet,
};
use crate::time::{Duration, Timestamp};

/// How often guards and vanguards are looked after when nothing else calls for it.
const MAINTENANCE: Duration = Duration::from_hours(1);

/// Directory, guards and vanguards.
#[derive(Debug)]
pub(super) struct Relays {
    directory: Directory,
    rules: PathRules,
    guards: GuardSet,
    vanguards: VanguardSet,
    census: Census,
    /// Relays of my own mailbox, as requests last named them: no guards or vanguards.
    own_swarm: Vec<NodeId>,
    /// Relays that were in it: no guards either, as long as there are others.
    former_swarm: Vec<NodeId>,
    network: Network,
    /// Of paths, as relays are now; `None` if too few have one that may be used.
    suite: Option<Suite>,
    /// Too few relays have it for strict rules.
    small: bool,
    synced: Timestamp,
    coverage: Coverage,
    seen: usize,
    /// When fewer than half of the relays seen can be used.
    keys_until: Timestamp,
    next_check: Timestamp,
    unsaved_directory: bool,
    unsaved_guards: bool,
}

impl Relays {
    /// From stored rows. Descriptors that have expired or do not verify are left out.
    pub(super) fn restore(
        config: &NetConfig,
        rows: &[Row],
        former_swarm: Vec<NodeId>,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Self {
        let row = DirectoryRow::find(rows);
        let (synced, seen) = row
            .as_ref()
            .map_or((Timestamp::EPOCH, 0), |row| (row.synced, row.seen));
        let coverage = row
            .as_ref()
            .and_then(|row| row.coverage)
            .unwrap_or_default();
        let stored = row
            .map(|row| row.descriptors.into_inner())
            .unwrap_or_default();
        let verified = stored.iter().filter_map(|bytes| {
            let descriptor = UnverifiedDescriptor::decode(bytes).ok()?;
            descriptor.verify(now).ok()
        });
        let kept = GuardRow::find(rows);
        let (guards, vanguards) = kept.as_ref().and_then(GuardRow::sets).unwrap_or_default();
        let allow_loopback = config.bootstrap.iter().any(Bootstrap::is_loopback);
        let mut relays = Self {
            directory: verified.collect(),
            rules: PathRules {
                allow_loopback,
                mixing: config.mixing,
                suites: config.suites,
                floor: config.floor,
            },
            guards,
            vanguards,
            census: Census::default(),
            own_swarm: kept.map(GuardRow::into_own_swarm).unwrap_or_default(),
            former_swarm,
            network: nobody(config.suites.best()),
            suite: None,
            small: true,
            synced,
            coverage,
            seen: usize::try_from(seen).unwrap_or(usize::MAX),
            keys_until: now,
            next_check: now,
            unsaved_directory: false,
            unsaved_guards: false,
        };
        relays.maintain(false, now, rng);
        relays
    }

    /// All of them.
    pub(super) const fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The rules for paths.
    pub(super) const fn rules(&self) -> &PathRules {
        &self.rules
    }

    /// Onion suites that may be used, best first.
    pub(super) fn suites(&self) -> Suites {
        self.rules.allowed()
    }

    /// Whether the relay has the suite that paths are of now. Others serve too, by paths of another.
    pub(super) fn has_suite(&self, relay: &RelayDescriptor) -> bool {
        let mut keys = relay.onion_keys().iter();
        keys.any(|key| self.suite.is_some_and(|suite| key.suite == suite.number()))
    }

    /// Whether the relay has a suite that may be used: nobody else can ever be asked anything.
    fn is_allowed(&self, relay: &RelayDescriptor) -> bool {
        let suites = self.suites();
        let mut keys = relay.onion_keys().iter();
        keys.any(|key| Suite::from_number(key.suite).is_some_and(|suite| suites.contains(suite)))
    }

    /// What people are told of the network.
    pub(super) const fn network(&self) -> Network {
        self.network
    }

    /// Finds paths as things are now.
    pub(super) fn finder(&self, health: &RelayHealth, now: Timestamp) -> PathFinder<'_> {
        PathFinder::counted(&self.directory, self.rules, health, &self.census, now)
    }

    /// How often relays were counted.
    #[cfg(test)]
    pub(super) fn counted(&self) -> usize {
        self.census.taken()
    }

    /// Relays that stand behind the guard on the way to my own mailbox.
    pub(super) const fn vanguards(&self) -> &VanguardSet {
        &self.vanguards
    }

    /// When other relays last confirmed the directory.
    pub(super) const fn synced(&self) -> Timestamp {
        self.synced
    }

    /// What the directory covered when it was stored.
    pub(super) const fn coverage(&self) -> Coverage {
        self.coverage
    }

    /// When fewer than half of the relays can be used, for want of descriptors or of onion keys.
    pub(super) const fn keys_until(&self) -> Timestamp {
        self.keys_until
    }

    /// Whether so few relays can be used that the directory must be asked for anew.
    pub(super) fn is_stale(&self, now: Timestamp) -> bool {
        self.keys_until <= now
    }

    /// Whether too few relays have a suite that may be used: then none is a guard.
    pub(super) const fn is_below_floor(&self) -> bool {
        self.suite.is_none()
    }

    /// Whether there are so few relays that the rules of paths relax.
    pub(super) const fn is_small(&self) -> bool {
        self.small
    }

    /// Takes what pinned relays agree on in place of what was known; newer descriptors stay, and where there are more relays
    /// than could be listed, the other relays do, too: guards and members are among them.
    pub(super) fn replace(&mut self, agreed: Agreed, now: Timestamp) {
        let Agreed { directory, whole } = agreed;
        let old = core::mem::replace(&mut self.directory, directory);
        for descriptor in old.iter() {
            if !whole || self.directory.get(&descriptor.node()).is_some() {
                self.directory.insert(descriptor.clone());
            }
        }
        self.synced_at(Coverage::default(), now);
    }

    /// Relays have confirmed the directory, which covers so much.
    pub(super) fn synced_at(&mut self, coverage: Coverage, now: Timestamp) {
        self.coverage = coverage;
        self.synced = now;
        self.seen = self.directory.len();
        self.unsaved_directory = true;
    }

    /// A descriptor that some relay has listed. `vouch` decides whether a relay that is not known is taken. False if it does
    /// not verify, or not yet.
    pub(super) fn offer(
        &mut self,
        bytes: &[u8],
        vouch: impl FnOnce(NodeId) -> bool,
        now: Timestamp,
    ) -> bool {
        let Ok(offered) = UnverifiedDescriptor::decode(bytes) else {
            return false;
        };
        let node = offered.claimed_node();
        let known = self.directory.get(&node);
        let verified = match known {
            Some(known) if known.bytes()[..] == *bytes => return true,
            Some(known) => offered.verify_renewal(known, now),
            None => offered.verify(now),
        };
        let Ok(descriptor) = verified else {
            return false;
        };
        if known.is_some() || vouch(node) {
            self.unsaved_directory |= self.directory.insert(descriptor).changed();
        }
        true
    }

    /// Drops what has expired, and looks after guards and vanguards. `proven`: the client's own network
    /// works, so a guard that cannot be reached is itself to blame, and may be replaced.
    pub(super) fn maintain(&mut self, proven: bool, now: Timestamp, rng: &mut impl CryptoRng) {
        self.unsaved_directory |= self.directory.expire(now) > 0;
        self.keys_until = self.usable_until(now);
        let (health, census) = (RelayHealth::new(), &self.census);
        let finder = PathFinder::counted(&self.directory, self.rules, &health, census, now);
        if proven || finder.is_small() || self.guards.in_use(&finder).is_none() {
            let unfit = self.unfit_for_guards();
            let unfit = unfit.each_ref().map(Vec::as_slice);
            let refreshed = self.guards.refresh_avoiding(&finder, &unfit, rng);
            let left = self.guards.leave(&finder, &self.own_swarm, &unfit, rng);
            self.unsaved_guards |= refreshed || left;
        }
        let avoid: Vec<_> = self
            .guards
            .nodes()
            .chain(self.own_swarm.iter().copied())
            .collect();
        let (suite, small) = (finder.suite(), finder.is_small());
        // Those that are kept wait for better times.
        if suite.is_some() {
            self.unsaved_guards |= self.vanguards.refresh(&finder, &avoid, rng);
        }
        self.network = network(&finder.privacy(), suite, &self.rules);
        (self.suite, self.small) = (suite, small);
        let ends = self.directory.iter().map(RelayDescriptor::until);
        let guards = self.guards.nodes().map(|node| self.guard_until(node, now));
        let ends = ends.chain(guards).chain([self.keys_until]);
        let ends = ends.filter(|at| *at > now);
        self.next_check = ends.min().unwrap_or(Timestamp::MAX).min(now + MAINTENANCE);
    }

    /// The guards that are kept, as far as they can be used, most preferred first, and the one to begin with.
    pub(super) fn kept_guards(&self, now: Timestamp) -> (Vec<NodeId>, Option<NodeId>) {
        let finder = self.finder(&RelayHealth::new(), now);
        let usable = |node: &NodeId| {
            let relay = self.directory.get(node);
            self.guard_until(*node, now) > now && relay.is_some_and(|relay| self.has_suite(relay))
        };
        let kept = self.guards.nodes().filter(usable).collect();
        (kept, self.primary(&finder))
    }

    /// The guard to begin with: none that holds my mailbox where the rules are strict, if there is another.
    fn primary(&self, finder: &PathFinder<'_>) -> Option<NodeId> {
        let outside = self.guards.in_use_for(finder, &self.own_swarm);
        let outside = outside.filter(|_| !finder.is_small());
        outside.or_else(|| self.guards.in_use(finder))
    }

    /// The primary guard was given up: which one to try next. With few relays another is drawn when every
    /// kept one fails; with many only once it is known that the client's own network works.
    pub(super) fn guard_failed(
        &mut self,
        node: NodeId,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Option<NodeId> {
        self.guards.note_failure(node, now);
        self.unsaved_guards = true;
        let (health, census) = (RelayHealth::new(), &self.census);
        let finder = PathFinder::counted(&self.directory, self.rules, &health, census, now);
        if finder.is_small() {
            let unfit = self.unfit_for_guards();
            let unfit = unfit.each_ref().map(Vec::as_slice);
            self.guards.refresh_avoiding(&finder, &unfit, rng);
        }
        self.primary(&finder)
    }

    /// A guard has been reached.
    pub(super) fn guard_reached(&mut self, node: NodeId) {
        let before = self.guards.clone();
        self.guards.note_success(node);
        self.unsaved_guards |= self.guards != before;
    }

    /// My own mailbox is held by these relays. True if that is news: then look after guards and vanguards.
    pub(super) fn set_own_swarm(&mut self, swarm: &[NodeId]) -> bool {
        let news = self.own_swarm != swarm;
        if news {
            self.own_swarm = swarm.to_vec();
            self.unsaved_guards = true;
        }
        news
    }

    /// My own mailbox was held by these.
    pub(super) fn set_former_swarm(&mut self, swarm: Vec<NodeId>) {
        self.former_swarm = swarm;
    }

    /// Relays that are no guards for me, which know my IP address, as far as there are others: those of my mailbox,
    /// those of the same operators and subnets, and those that held it once; without the last; the first alone.
    fn unfit_for_guards(&self) -> [Vec<NodeId>; 3] {
        let kin = self.kin_of(&self.own_swarm);
        let all = [kin.clone(), self.former_swarm.clone()].concat();
        [all, kin, self.own_swarm.clone()]
    }

    /// These relays, and those that say that they have the operator or the subnet of one of them.
    fn kin_of(&self, swarm: &[NodeId]) -> Vec<NodeId> {
        let members = swarm.iter();
        let members = members.filter_map(|node| self.directory.get(node));
        let members: Vec<_> = members.map(|relay| self.party(relay)).collect();
        let related = |relay: &&RelayDescriptor| {
            let party = self.party(relay);
            members.iter().any(|member| member.is_related(&party))
        };
        let related = self.directory.iter().filter(related);
        let related = related.map(RelayDescriptor::node);
        related.chain(swarm.iter().copied()).collect()
    }

    /// A guard for requests that no kept one may carry, none of those that are `known`.
    pub(super) fn spare_guard(
        &self,
        shunned: &Shunned,
        known: &[NodeId],
        rng: &mut impl CryptoRng,
    ) -> Option<NodeId> {
        let offers = |relay: &&RelayDescriptor| {
            relay.info().features.has(Features::GUARD) && self.has_suite(relay)
        };
        let relays = self.directory.iter().filter(offers);
        let is_new = |node: &NodeId| !shunned.never.contains(node) && !known.contains(node);
        let fits = |relay: &&RelayDescriptor| {
            is_new(&relay.node()) && self.guard_url(relay.node()).is_some()
        };
        let guards = self.shuffled(relays.filter(fits), rng);
        let mut nodes = guards.iter().map(|relay| relay.node());
        let outside = nodes.clone().find(|node| !shunned.swarm.contains(node));
        outside.or_else(|| nodes.next().filter(|_| self.is_small()))
    }

    fn guard_until(&self, node: NodeId, now: Timestamp) -> Timestamp {
        let relay = self.directory.get(&node);
        relay.map_or(Timestamp::EPOCH, |relay| {
            usable_until(relay, self.suites(), now)
        })
    }

    fn usable_until(&self, now: Timestamp) -> Timestamp {
        let mut ends: Vec<_> = self
            .directory
            .iter()
            .map(|relay| usable_until(relay, self.suites(), now))
            .collect();
        ends.sort_unstable_by(|a, b| b.cmp(a));
        let half = self.seen.max(1).div_ceil(2);
        ends.get(half - 1).copied().unwrap_or(Timestamp::EPOCH)
    }

    /// When [`maintain`](Self::maintain) is due.
    pub(super) const fn next_timeout(&self) -> Timestamp {
        self.next_check
    }

    /// What has changed since it was last stored.
    pub(super) fn take_writes(&mut self) -> Vec<Write> {
        let mut writes = Vec::new();
        if core::mem::take(&mut self.unsaved_directory) {
            let descriptors = self.directory.iter().map(|relay| relay.bytes().clone());
            let seen = u32::try_from(self.seen).unwrap_or(u32::MAX);
            writes.push(
                DirectoryRow::new(self.synced, seen, descriptors.collect(), self.coverage).write(),
            );
        }
        if core::mem::take(&mut self.unsaved_guards) {
            let row = GuardRow::new(&self.guards, &self.vanguards, &self.own_swarm);
            writes.push(row.write());
        }
        writes
    }

    /// Relays that offer something, and can be asked for it.
    pub(super) fn offering(&self, features: Features) -> Vec<NodeId> {
        let offers = |relay: &&RelayDescriptor| {
            relay.info().features.has(features) && self.is_allowed(relay)
        };
        self.directory
            .iter()
            .filter(offers)
            .map(RelayDescriptor::node)
            .collect()
    }

    /// Where a guard is reached: `wss://`, or on this machine in development. Only by its first URL: that it is there
    /// relays have proven (PROTOCOL §4), and by others it could send its clients to whom it likes.
    pub(super) fn guard_url(&self, node: NodeId) -> Option<String> {
        let first = self.directory.get(&node)?.info().urls.first()?;
        let reachable = match first.is_loopback() {
            true => self.rules.allow_loopback,
            false => first.is_secure(),
        };
        reachable.then(|| first.to_string())
    }
}

/// No relay is known.
const fn nobody(suite: Suite) -> Network {
    let weaker = false;
    Network {
        relays: 0,
        hops: 0,
        warning: Some(PrivacyWarning::OneRelay),
        onion: Onion::InUse { suite, weaker },
    }
}

/// What `privacy`, and the suite of paths, mean to people.
fn network(privacy: &NetworkPrivacy, suite: Option<Suite>, rules: &PathRules) -> Network {
    let warning = match (privacy.relays, privacy.worst) {
        (0..3, _) => Some(PrivacyWarning::OneRelay),
        (_, Relaxation::Strict) => None,
        _ => Some(PrivacyWarning::FewRelays),
    };
    Network {
        relays: u32::try_from(privacy.relays).unwrap_or(u32::MAX),
        hops: u8::try_from(privacy.hops).unwrap_or(u8::MAX),
        warning,
        onion: match suite {
            Some(suite) => Onion::InUse {
                suite,
                weaker: suite.strength() < rules.allowed().best().strength(),
            },
            None => Onion::BelowFloor {
                floor: rules.weakest(),
            },
        },
    }
}

impl Relays {
    /// Whether a relay can be sent to now, and offers something.
    pub(super) fn is_usable(
        &self,
        relay: &RelayDescriptor,
        features: Features,
        now: Timestamp,
    ) -> bool {
        let until = usable_until(relay, self.suites(), now);
        until > now && relay.info().features.has(features)
    }
}

/// When the last onion key that is published for senders runs out, or the descriptor does.
fn usable_until(relay: &RelayDescriptor, suites: Suites, now: Timestamp) -> Timestamp {
    let ours = |number| Suite::from_number(number).is_some_and(|suite| suites.contains(suite));
    let keys = relay.onion_keys().iter().filter(|key| ours(key.suite));
    let ends = keys.map(|key| key.epoch.accepted_until(now) - (ACCEPTED_FOR - EPOCH_LENGTH));
    ends.max().unwrap_or(Timestamp::EPOCH).min(relay.until())
}
