//! Descriptors that are genuine, and whose relay nobody has been found at their first URL yet: *claims*.
//!
//! Whoever makes an RSA key can sign a descriptor that names any URL. A claim is held until this relay has connected
//! there and met the NodeId, or until that has failed for a day; meanwhile it is told to nobody. Claims are bounded in
//! all, by who brought them and by the network that they name, and so are the attempts under way, so that nobody's
//! inventions take the place of others' relays.

use std::collections::{BTreeMap, HashMap};

use zentalk_shared::id::NodeId;
use zentalk_shared::onion::{RelayDescriptor, RelayUrl, Subnet};
use zentalk_shared::time::{Duration, Timestamp};

use super::io::Origin;

/// A claim that nobody could prove is dropped after this long.
const LIFE: Duration = Duration::from_hours(24);
/// First pause after a failure; doubles from there.
const BACKOFF: Duration = Duration::from_secs(30);
/// Longest pause.
const MAX_BACKOFF: Duration = Duration::from_hours(2);
/// The pause after a failure, if the relay has published something new since.
const NEWS_BACKOFF: Duration = Duration::from_mins(2);

/// How many claims there may be, and attempts under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Claims in all.
    pub(super) all: usize,
    /// Claims that one source has brought.
    pub(super) of_source: usize,
    /// Claims of one network.
    pub(super) in_network: usize,
    /// Attempts under way.
    pub(super) at_once: usize,
    /// Of these, on behalf of one source.
    pub(super) at_once_of_source: usize,
    /// Of these, in one network.
    pub(super) at_once_in_network: usize,
}

impl Bounds {
    /// Attempts under way, wherever.
    pub(super) const AT_ONCE: usize = 16;
    /// In the open Internet. Claims of the largest descriptors take some 15 MiB.
    pub(super) const OPEN: Self = Self {
        all: 1024,
        of_source: 256,
        in_network: 32,
        at_once: Self::AT_ONCE,
        at_once_of_source: 8,
        at_once_in_network: 4,
    };
    /// In development, where all relays are in one network.
    pub(super) const PRIVATE: Self = Self {
        in_network: usize::MAX,
        at_once_in_network: usize::MAX,
        ..Self::OPEN
    };
}

/// Who brought a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Source {
    /// A relay has it in its directory.
    Gossip(NodeId),
    /// The relay itself, which connected from there.
    Itself(Option<Origin>),
    /// This relay's own disk.
    Disk,
}

/// Why a claim is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoRoom {
    /// Too many in all.
    Full,
    /// Too many of this source.
    Source,
    /// Too many in this network.
    Network,
}

/// All claims, by the relay that they are of.
#[derive(Debug)]
pub(super) struct Claims {
    /// In order, so that one seed always gives one run.
    claims: BTreeMap<NodeId, Claim>,
    bounds: Bounds,
}

#[derive(Debug)]
struct Claim {
    descriptor: RelayDescriptor,
    network: Subnet,
    source: Source,
    since: Timestamp,
    failures: u32,
    /// When to try; `None`: an attempt is under way.
    due: Option<Timestamp>,
}

/// How many attempts are under way.
#[derive(Default)]
struct UnderWay<'a> {
    all: usize,
    of_source: HashMap<Source, usize>,
    in_network: HashMap<&'a Subnet, usize>,
}

impl Claims {
    /// None yet.
    pub(super) const fn new(bounds: Bounds) -> Self {
        Self {
            claims: BTreeMap::new(),
            bounds,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.claims.len()
    }

    pub(super) fn get(&self, node: &NodeId) -> Option<&RelayDescriptor> {
        self.claims.get(node).map(|claim| &claim.descriptor)
    }

    /// Whether a source may bring another claim: worth asking before a signature is checked.
    pub(super) fn has_room(&self, source: Source) -> bool {
        let of_source = self.of_source(source).count();
        let has_failed = |claim: &Claim| claim.failures > 0 && claim.due.is_some();
        let gives_way = self.of_source(source).any(|(_, claim)| has_failed(claim));
        gives_way || (of_source < self.bounds.of_source && self.claims.len() < self.bounds.all)
    }

    /// Takes a claim, to be tried at `due`; a newer one of the same relay takes the older one's place. A source that has
    /// no room left loses the claim that has failed most.
    pub(super) fn offer(
        &mut self,
        descriptor: RelayDescriptor,
        source: Source,
        due: Timestamp,
        now: Timestamp,
    ) -> Result<(), NoRoom> {
        let node = descriptor.node();
        if let Some(held) = self.claims.get_mut(&node) {
            held.renew(descriptor, now);
            return Ok(());
        }
        let network = first_url(&descriptor).map(|url| url.subnet(true));
        let network = network.unwrap_or_else(|| Subnet::Name(String::new()));
        let in_network = |claim: &&Claim| claim.network == network;
        if self.claims.values().filter(in_network).count() >= self.bounds.in_network {
            return Err(NoRoom::Network);
        }
        let of_source = self.of_source(source).count();
        if of_source >= self.bounds.of_source || self.claims.len() >= self.bounds.all {
            let refused = match of_source >= self.bounds.of_source {
                true => NoRoom::Source,
                false => NoRoom::Full,
            };
            let worst = self.worst_of(source).ok_or(refused)?;
            self.claims.remove(&worst);
        }
        let claim = Claim {
            descriptor,
            network,
            source,
            since: now,
            failures: 0,
            due: Some(due),
        };
        self.claims.insert(node, claim);
        Ok(())
    }

    /// The claim to try next, and the URL to connect to; the attempt is under way then. Those that have failed least
    /// come first.
    pub(super) fn start(&mut self, now: Timestamp) -> Option<(NodeId, RelayUrl)> {
        let node = self.startable(now)?;
        let claim = self.claims.get_mut(&node)?;
        claim.due = None;
        Some((node, first_url(&claim.descriptor)?.clone()))
    }

    /// When the next attempt is due that may start then.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        let under_way = self.under_way();
        let free = self
            .claims
            .values()
            .filter(|claim| self.may_start(claim, &under_way));
        free.filter_map(|claim| claim.due).min()
    }

    /// An attempt has failed. `spread` is a random part of a span.
    pub(super) fn failed(
        &mut self,
        node: &NodeId,
        now: Timestamp,
        spread: impl FnOnce(Duration) -> Duration,
    ) {
        let Some(claim) = self.claims.get_mut(node) else {
            return;
        };
        if now.since(claim.since) >= LIFE {
            self.claims.remove(node);
            return;
        }
        let factor = 1u64.checked_shl(claim.failures.min(16)).unwrap_or(u64::MAX);
        let pause = (BACKOFF * factor).min(MAX_BACKOFF);
        claim.failures = claim.failures.saturating_add(1);
        claim.due = Some(now + pause + spread(pause));
    }

    /// An attempt has ended; if the relay claims something else by now, that is tried next.
    pub(super) fn go_on(&mut self, node: &NodeId, now: Timestamp) {
        if let Some(claim) = self.claims.get_mut(node) {
            claim.due = claim.due.or(Some(now));
        }
    }

    pub(super) fn remove(&mut self, node: &NodeId) -> Option<RelayDescriptor> {
        self.claims.remove(node).map(|claim| claim.descriptor)
    }

    /// Drops descriptors that are over.
    pub(super) fn expire(&mut self, now: Timestamp) {
        self.claims
            .retain(|_, claim| claim.descriptor.until() > now);
    }

    fn of_source(&self, source: Source) -> impl Iterator<Item = (&NodeId, &Claim)> {
        let theirs = move |(_, claim): &(&NodeId, &Claim)| claim.source == source;
        self.claims.iter().filter(theirs)
    }

    /// The claim of a source that has failed most, if one has.
    fn worst_of(&self, source: Source) -> Option<NodeId> {
        let failed = self.of_source(source);
        let failed = failed.filter(|(_, claim)| claim.failures > 0 && claim.due.is_some());
        let worst = failed.max_by_key(|(_, claim)| claim.failures)?;
        Some(*worst.0)
    }

    fn startable(&self, now: Timestamp) -> Option<NodeId> {
        let under_way = self.under_way();
        let startable = self.claims.iter().filter_map(|(node, claim)| {
            let due = claim.due.filter(|due| *due <= now)?;
            let free = self.may_start(claim, &under_way);
            free.then_some((claim.failures, due, *node))
        });
        startable.min().map(|(_, _, node)| node)
    }

    fn may_start(&self, claim: &Claim, under_way: &UnderWay<'_>) -> bool {
        let count = |found: Option<&usize>| found.copied().unwrap_or(0);
        under_way.all < self.bounds.at_once
            && count(under_way.of_source.get(&claim.source)) < self.bounds.at_once_of_source
            && count(under_way.in_network.get(&claim.network)) < self.bounds.at_once_in_network
    }

    fn under_way(&self) -> UnderWay<'_> {
        let mut under_way = UnderWay::default();
        for claim in self.claims.values().filter(|claim| claim.due.is_none()) {
            under_way.all += 1;
            *under_way.of_source.entry(claim.source).or_default() += 1;
            *under_way.in_network.entry(&claim.network).or_default() += 1;
        }
        under_way
    }
}

impl Claim {
    /// The relay has published again: it may have mended what was wrong.
    fn renew(&mut self, descriptor: RelayDescriptor, now: Timestamp) {
        if descriptor.sequence() <= self.descriptor.sequence() {
            return;
        }
        if let Some(url) = first_url(&descriptor) {
            self.network = url.subnet(true);
        }
        self.descriptor = descriptor;
        self.due = self.due.map(|due| due.min(now + NEWS_BACKOFF));
    }
}

/// The URL that a relay must be found at; it is also the one that says which network it is in.
pub(super) fn first_url(descriptor: &RelayDescriptor) -> Option<&RelayUrl> {
    descriptor.info().urls.first()
}

/// Whether a relay says that it is found at this URL.
pub(super) fn is_at(descriptor: &RelayDescriptor, url: &str) -> bool {
    first_url(descriptor).is_some_and(|first| first.as_str() == url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::tests::net::{START, claimed_at};

    const BOUNDS: Bounds = Bounds {
        all: 5,
        of_source: 3,
        in_network: 4,
        at_once: 3,
        at_once_of_source: 2,
        at_once_in_network: 2,
    };
    const A: Source = Source::Disk;
    const B: Source = Source::Itself(None);

    /// A relay in a network of its own.
    fn claim(n: usize) -> RelayDescriptor {
        claimed_at(n, &format!("wss://198.18.{n}.1/v1"), 1)
    }

    fn offer(claims: &mut Claims, n: usize, source: Source) -> Result<(), NoRoom> {
        claims.offer(claim(n), source, START, START)
    }

    fn start(claims: &mut Claims, now: Timestamp) -> Vec<NodeId> {
        std::iter::from_fn(|| claims.start(now).map(|(node, _)| node)).collect()
    }

    fn no_spread(_: Duration) -> Duration {
        Duration::ZERO
    }

    #[test]
    fn fault_20_a_source_has_its_share_and_no_more() {
        let mut claims = Claims::new(BOUNDS);
        for n in 0..3 {
            assert_eq!(offer(&mut claims, n, A), Ok(()));
        }
        assert!(!claims.has_room(A) && claims.has_room(B));
        assert_eq!(offer(&mut claims, 3, A), Err(NoRoom::Source));
        assert_eq!(offer(&mut claims, 3, B), Ok(()));
        assert_eq!(offer(&mut claims, 4, B), Ok(()));
        assert!(!claims.has_room(B));
        assert_eq!(offer(&mut claims, 5, B), Err(NoRoom::Full));
        assert_eq!(claims.len(), 5);
    }

    #[test]
    fn what_has_failed_gives_way_to_what_the_same_source_brings_next() {
        let mut claims = Claims::new(BOUNDS);
        (0..3).for_each(|n| offer(&mut claims, n, A).unwrap());
        let tried = start(&mut claims, START);
        claims.failed(&tried[0], START, no_spread);
        assert!(claims.has_room(A));
        assert_eq!(offer(&mut claims, 3, A), Ok(()));
        assert!(claims.get(&tried[0]).is_none());
        assert!(claims.get(&tried[1]).is_some(), "it is being looked for");
        assert!(!claims.has_room(A));
    }

    #[test]
    fn attempts_are_bounded_in_all_by_source_and_by_network() {
        let mut claims = Claims::new(BOUNDS);
        (0..3).for_each(|n| offer(&mut claims, n, A).unwrap());
        assert_eq!(start(&mut claims, START).len(), 2, "of one source");
        assert_eq!(claims.next_due(), None);
        (3..5).for_each(|n| offer(&mut claims, n, B).unwrap());
        assert_eq!(claims.next_due(), Some(START));
        assert_eq!(start(&mut claims, START).len(), 1, "in all");
        let mut claims = Claims::new(BOUNDS);
        for n in 0..4 {
            let source = if n < 2 { A } else { B };
            let neighbour = claimed_at(n, &format!("wss://198.18.0.{n}/v1"), 1);
            claims.offer(neighbour, source, START, START).unwrap();
        }
        assert_eq!(start(&mut claims, START).len(), 2, "in one network");
        let fifth = claimed_at(5, "wss://198.18.0.5/v1", 1);
        assert_eq!(claims.offer(fifth, B, START, START), Err(NoRoom::Network));
        assert_eq!(offer(&mut claims, 6, B), Ok(()));
    }

    #[test]
    fn pauses_grow_and_after_a_day_it_is_forgotten() {
        let mut claims = Claims::new(BOUNDS);
        offer(&mut claims, 0, A).unwrap();
        let (mut now, mut pauses) = (START, Vec::new());
        while let Some((node, _)) = claims.start(now) {
            claims.failed(&node, now, no_spread);
            let Some(due) = claims.next_due() else { break };
            pauses.push(due.since(now).as_ms() / 1000);
            now = due;
        }
        assert_eq!(pauses[..4], [30, 60, 120, 240]);
        assert_eq!(pauses.iter().max(), Some(&7200));
        assert!(now.since(START) >= Duration::from_hours(24) && claims.len() == 0);
        assert!(pauses.len() < 25);
    }

    #[test]
    fn those_that_have_failed_least_come_first() {
        let mut claims = Claims::new(Bounds {
            at_once_of_source: 1,
            ..BOUNDS
        });
        (0..2).for_each(|n| offer(&mut claims, n, A).unwrap());
        let first = claims.start(START).unwrap().0;
        claims.failed(&first, START, no_spread);
        let later = START + Duration::from_hours(1);
        let second = claims.start(later).unwrap().0;
        assert_ne!(second, first);
    }

    #[test]
    fn who_publishes_again_is_tried_again_soon() {
        let mut claims = Claims::new(BOUNDS);
        offer(&mut claims, 0, A).unwrap();
        let mut now = START;
        for _ in 0..8 {
            now = claims.next_due().unwrap();
            let (node, _) = claims.start(now).unwrap();
            claims.failed(&node, now, no_spread);
        }
        assert!(claims.next_due().unwrap().since(now) > Duration::from_hours(1));
        let same = claimed_at(0, "wss://198.18.9.1/v1", 1);
        claims.offer(same, A, now, now).unwrap();
        assert!(claims.next_due().unwrap().since(now) > Duration::from_hours(1));
        let moved = claimed_at(0, "wss://198.18.9.1/v1", 2);
        claims.offer(moved, A, now, now).unwrap();
        let due = claims.next_due().unwrap();
        assert_eq!(due.since(now), NEWS_BACKOFF);
        assert_eq!(claims.start(due).unwrap().1.as_str(), "wss://198.18.9.1/v1");
    }
}
