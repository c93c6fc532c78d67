//! Links to other relays: whom to connect to and when, one link per relay, and what waits for one.
//!
//! If two relays connect to each other at the same moment, the link that the lower NodeId has dialed
//! stays; the other is read until what was sent on it has arrived, so that no frame is lost.

use core::net::SocketAddr;
use std::collections::{BTreeMap, HashMap, VecDeque};

use zentalk_shared::dht::Contact;
use zentalk_shared::id::NodeId;
use zentalk_shared::onion::RelayUrl;
use zentalk_shared::time::{Duration, Timestamp};

use super::claims::{Bounds, first_url};
use super::gossip::Why;
use super::io::{ConnId, Dial, Metric, Output};
use super::kademlia::contacting;
use super::links::MAX_ON_DEMAND;
use super::proofs;
use super::relay::{Relay, Step, Timer};

/// Two links that began within this time of each other have crossed; otherwise the newer one is right,
/// because who dials again has lost the older one.
const CROSSING: Duration = Duration::from_secs(10);
/// First pause after a failure; doubles from there.
const BACKOFF: Duration = Duration::from_ms(500);
/// Longest pause.
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// Frames wait this long for a relay that is not connected.
const QUEUE_LIFE: Duration = Duration::from_secs(30);
/// Failures after which a relay that is not configured is given up.
const PATIENCE: u32 = 3;
/// Relays dialed at a time that are not configured.
const MAX_DYNAMIC: usize = 256;
/// Connections that this relay makes, beside those to configured relays: links, links for a question of the DHT, attempts
/// for one, attempts to find relays and those found before, and one to itself.
pub const MAX_OUTGOING: usize =
    MAX_DYNAMIC + MAX_ON_DEMAND + contacting::AT_ONCE + Bounds::AT_ONCE + proofs::AT_ONCE + 1;

/// All other relays.
#[derive(Default)]
pub(super) struct Peers {
    /// In order, so that one seed always gives one run.
    links: BTreeMap<NodeId, PeerLink>,
    dialers: BTreeMap<String, Dialer>,
    dials: HashMap<Dial, Attempt>,
    queues: HashMap<NodeId, Queue>,
    next_dial: u64,
    /// Attempts that a handshake has ended; seen to when their connection is cleaned up.
    pub(super) failed: Vec<Dial>,
}

/// An attempt to connect.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) target: Target,
    /// Where it has led to.
    pub(super) address: Option<SocketAddr>,
}

/// What an attempt to connect is for, and its URL.
#[derive(Debug)]
pub(super) enum Target {
    /// A link.
    Link(String),
    /// To see whether a relay is where it claims to be.
    Claim(NodeId, String),
    /// To see whether a relay is still where it was found.
    Proof(NodeId, String),
    /// To see whether a contact of the DHT is where it says, and to ask it something.
    Contact(Contact),
    /// To see where this relay's own URL leads to.
    Myself(String),
}

impl Target {
    pub(super) fn url(&self) -> &str {
        match self {
            Self::Link(url) | Self::Claim(_, url) | Self::Proof(_, url) | Self::Myself(url) => url,
            Self::Contact(contact) => contact.url(),
        }
    }
}

/// What waits for a relay that is being connected to.
struct Queue {
    since: Timestamp,
    frames: VecDeque<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PeerLink {
    conn: ConnId,
    /// This relay has dialed it.
    dialed: bool,
    since: Timestamp,
}

/// One URL that this relay connects to.
#[derive(Debug)]
struct Dialer {
    /// Configured: never given up.
    pinned: bool,
    /// Who is there, once that is known.
    node: Option<NodeId>,
    failures: u32,
    state: DialState,
}

#[derive(Debug, PartialEq, Eq)]
enum DialState {
    /// A timer is set.
    Waiting,
    /// An attempt is under way.
    Dialing,
    /// There is a link to who is there.
    Linked,
    /// This relay itself is there.
    Myself,
}

impl PeerLink {
    /// Which of two links to `peer` stays: true for `self`, the newer one.
    fn replaces(&self, old: &Self, me: NodeId, peer: NodeId) -> bool {
        let crossed = self.dialed != old.dialed && self.since.since(old.since) < CROSSING;
        !crossed || self.dialed == (me < peer)
    }
}

impl Peers {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn linked(&self) -> usize {
        self.links.len()
    }

    /// The connection to a relay, if there is one.
    pub(super) fn conn(&self, node: &NodeId) -> Option<ConnId> {
        self.links.get(node).map(|link| link.conn)
    }

    /// Relays that there is a link to.
    pub(super) fn nodes(&self) -> impl Iterator<Item = &NodeId> {
        self.links.keys()
    }

    /// Connections that this relay has made itself: on the others, answers have to be small.
    pub(super) fn dialed(&self) -> Vec<ConnId> {
        let dialed = self.links.values().filter(|link| link.dialed);
        let mut conns: Vec<_> = dialed.map(|link| link.conn).collect();
        conns.sort_unstable();
        conns
    }

    /// Who must answer an attempt, if that is known.
    pub(super) fn expected(&self, dial: Dial) -> Option<NodeId> {
        match &self.dials.get(&dial)?.target {
            Target::Link(url) => {
                let dialer = self.dialers.get(url)?;
                // Who is behind a configured URL may change; who is behind a descriptor's may not.
                dialer.node.filter(|_| !dialer.pinned)
            }
            Target::Claim(node, _) | Target::Proof(node, _) => Some(*node),
            Target::Contact(contact) => Some(contact.node()),
            Target::Myself(_) => None,
        }
    }

    /// A new attempt.
    pub(super) fn start(&mut self, target: Target) -> Dial {
        let dial = Dial(self.next_dial);
        self.next_dial += 1;
        let attempt = Attempt {
            target,
            address: None,
        };
        self.dials.insert(dial, attempt);
        dial
    }

    /// An attempt has led to a connection.
    pub(super) fn opened(&mut self, dial: Dial, address: SocketAddr) {
        if let Some(attempt) = self.dials.get_mut(&dial) {
            attempt.address = Some(address);
        }
    }

    /// An attempt is at its end.
    pub(super) fn end(&mut self, dial: Dial) -> Option<Attempt> {
        self.dials.remove(&dial)
    }

    /// Whether this relay is about to connect to a URL for a link.
    pub(super) fn dials_url(&self, url: &RelayUrl) -> bool {
        let dialer = self.dialers.get(url.as_str());
        dialer.is_some_and(|dialer| matches!(dialer.state, DialState::Waiting | DialState::Dialing))
    }

    /// Frames that wait in each queue.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> Vec<usize> {
        self.queues
            .values()
            .map(|queue| queue.frames.len())
            .collect()
    }

    fn is_dialing(&self, node: &NodeId) -> bool {
        self.dialers
            .values()
            .any(|dialer| dialer.node == Some(*node))
    }
}

/// The pause before the next attempt: doubles with every failure, and is spread by half of itself.
fn backoff(failures: u32, step: &mut Step<'_>) -> Duration {
    let factor = 1u64.checked_shl(failures.min(16)).unwrap_or(u64::MAX);
    let pause = (BACKOFF * factor).min(MAX_BACKOFF);
    Duration::from_ms(pause.as_ms() / 2) + step.jitter(pause)
}

impl Relay {
    /// Connects to every configured relay.
    pub(super) fn start_dialing(&mut self, step: &mut Step<'_>) {
        let own = self.config.info.urls.clone();
        let peers = self.config.peers.clone();
        for url in peers.iter().filter(|url| !own.contains(url)) {
            self.add_dialer(url, true, None, step.now);
        }
    }

    /// The configured relays have changed: connects to new ones; those no longer named keep their links and
    /// are not dialed again once those end.
    pub(super) fn follow_peers(&mut self, step: &mut Step<'_>) {
        let (peers, own) = (self.config.peers.clone(), &self.config.info.urls);
        for (url, dialer) in &mut self.peers.dialers {
            dialer.pinned = peers.iter().any(|peer| peer.as_str() == url);
        }
        let new = peers.iter().filter(|url| !own.contains(url));
        let new: Vec<_> = new
            .filter(|url| !self.peers.dialers.contains_key(url.as_str()))
            .collect();
        for url in new {
            self.add_dialer(url, true, None, step.now);
        }
    }

    fn add_dialer(&mut self, url: &RelayUrl, pinned: bool, node: Option<NodeId>, at: Timestamp) {
        let dialer = Dialer {
            pinned,
            node,
            failures: 0,
            state: DialState::Waiting,
        };
        self.peers.dialers.insert(url.as_str().to_owned(), dialer);
        self.timers.set(at, Timer::Dial(url.as_str().to_owned()));
    }

    /// A dialer's time has come.
    pub(super) fn dial(&mut self, url: &str, step: &mut Step<'_>) {
        let not_ready = !self.is_ready();
        let Some(dialer) = self.peers.dialers.get_mut(url) else {
            return;
        };
        if dialer.state != DialState::Waiting || self.stopping {
            return;
        }
        if dialer
            .node
            .is_some_and(|node| self.peers.links.contains_key(&node))
        {
            dialer.state = DialState::Linked;
            return;
        }
        if not_ready {
            let at = step.now + BACKOFF;
            return self.timers.set(at, Timer::Dial(url.to_owned()));
        }
        dialer.state = DialState::Dialing;
        let dial = self.peers.start(Target::Link(url.to_owned()));
        self.output(Output::Connect(dial, url.to_owned()));
    }

    pub(super) fn on_dial_failed(&mut self, dial: Dial, step: &mut Step<'_>) {
        let url = match self.peers.end(dial).map(|attempt| attempt.target) {
            Some(Target::Link(url)) => url,
            Some(looking) => return self.not_found(&looking, step),
            None => return,
        };
        let Some(dialer) = self.peers.dialers.get_mut(&url) else {
            return;
        };
        if dialer.state == DialState::Myself {
            return;
        }
        dialer.failures = dialer.failures.saturating_add(1);
        dialer.state = DialState::Waiting;
        if !dialer.pinned && dialer.failures >= PATIENCE {
            let node = dialer.node;
            self.peers.dialers.remove(&url);
            return node.iter().for_each(|node| self.drop_queue(node));
        }
        let pause = backoff(dialer.failures - 1, step);
        self.timers.set(step.now + pause, Timer::Dial(url));
    }

    /// The URL is one of this relay's own.
    pub(super) fn dialed_myself(&mut self, dial: Dial, step: &mut Step<'_>) {
        let Some(Attempt { target, address }) = self.peers.end(dial) else {
            return;
        };
        match (target, address) {
            (Target::Link(url), _) => {
                if let Some(dialer) = self.peers.dialers.get_mut(&url) {
                    dialer.state = DialState::Myself;
                }
            }
            (Target::Myself(_), Some(address)) => self.own_place_found(address, step),
            (looking, _) => self.not_found(&looking, step),
        }
    }

    /// A URL that is to be linked has led to a relay.
    pub(super) fn dial_succeeded(&mut self, url: &str, node: NodeId) {
        if let Some(dialer) = self.peers.dialers.get_mut(url) {
            dialer.node = Some(node);
            dialer.failures = 0;
            dialer.state = DialState::Linked;
        }
    }

    /// A relay has proven itself on a connection.
    pub(super) fn relay_linked(
        &mut self,
        conn: ConnId,
        node: NodeId,
        dialed: bool,
        step: &mut Step<'_>,
    ) {
        let link = PeerLink {
            conn,
            dialed,
            since: step.now,
        };
        match self.peers.links.get(&node).copied() {
            Some(old) if !link.replaces(&old, self.me, node) => return self.drain(conn, step),
            Some(old) => self.drain(old.conn, step),
            None => self.output(Output::Peer(node, true)),
        }
        self.peers.links.insert(node, link);
        let queue = self.peers.queues.remove(&node);
        let queued = queue.map(|queue| queue.frames).unwrap_or_default();
        let asked = self.take_questions(node);
        for frame in queued.into_iter().chain(asked) {
            self.output(Output::Send(conn, frame));
        }
        // Links for a question or two are many.
        if dialed && !self.links.is_on_demand(conn) && !self.ask_directory(conn, Why::Linked, step)
        {
            self.sync_soon(step);
        }
        self.members_linked(node, step);
    }

    /// A relay's connection is gone; unless another one has replaced it, connect again.
    pub(super) fn relay_unlinked(&mut self, node: NodeId, conn: ConnId, step: &mut Step<'_>) {
        if self.peers.conn(&node) != Some(conn) {
            return;
        }
        self.peers.links.remove(&node);
        self.dht.contacting.unlinked(&node);
        self.output(Output::Peer(node, false));
        self.members_unlinked(&node, step);
        let theirs =
            |dialer: &Dialer| dialer.node == Some(node) && dialer.state != DialState::Myself;
        self.peers
            .dialers
            .retain(|_, dialer| dialer.pinned || !theirs(dialer));
        let lost = |(_, dialer): &(&String, &mut Dialer)| {
            theirs(dialer) && dialer.state == DialState::Linked
        };
        let mut again = Vec::new();
        for (url, dialer) in self.peers.dialers.iter_mut().filter(lost) {
            dialer.state = DialState::Waiting;
            again.push(url.clone());
        }
        for url in again {
            let pause = backoff(0, step);
            self.timers.set(step.now + pause, Timer::Dial(url));
        }
    }

    /// Sends a frame to another relay, at once or when it is connected. What it says must not depend on
    /// its arrival: links break, and queues are bounded.
    pub(super) fn send_to_relay(&mut self, node: NodeId, frame: Vec<u8>, step: &mut Step<'_>) {
        if let Some(conn) = self.peers.conn(&node) {
            self.links.used(conn, step.now);
            return self.output(Output::Send(conn, frame));
        }
        if !self.connect_to(node, step) {
            self.look_for_relay(&node, step);
            return self.count(Metric::PacketDropped("unknown_relay"));
        }
        let limits = self.config.limits;
        let queues = self.peers.queues.len();
        if !self.peers.queues.contains_key(&node) {
            if queues >= limits.peer_queues {
                return self.count(Metric::PacketDropped("peer_queues"));
            }
            self.timers
                .set(step.now + QUEUE_LIFE, Timer::PeerQueue(node));
        }
        let queue = self.peers.queues.entry(node).or_insert_with(|| Queue {
            since: step.now,
            frames: VecDeque::new(),
        });
        match queue.frames.len() < limits.peer_queue {
            true => queue.frames.push_back(frame),
            false => self.count(Metric::PacketDropped("peer_queue")),
        }
    }

    /// Sees to it that a relay is being connected to. False: it is not known, or cannot be dialed.
    pub(super) fn connect_to(&mut self, node: NodeId, step: &Step<'_>) -> bool {
        if self.peers.is_dialing(&node) {
            return true;
        }
        let known = self.directory.relays().get(&node);
        // Where it was found; what else it says has not been looked at.
        let url = known.and_then(first_url).cloned();
        match url {
            Some(url) if self.peers.dialers.contains_key(url.as_str()) => true,
            Some(url) if self.peers.dialers.len() < self.config.peers.len() + MAX_DYNAMIC => {
                self.add_dialer(&url, false, Some(node), step.now);
                true
            }
            _ => false,
        }
    }

    /// Frames have waited for a relay in vain; the timer may be that of an earlier queue.
    pub(super) fn queue_timed_out(&mut self, node: &NodeId, step: &Step<'_>) {
        let queue = self.peers.queues.get(node);
        if queue.is_some_and(|queue| step.now.since(queue.since) >= QUEUE_LIFE) {
            self.drop_queue(node);
        }
    }

    fn drop_queue(&mut self, node: &NodeId) {
        let queue = self.peers.queues.remove(node);
        let dropped = queue.map_or(0, |queue| queue.frames.len());
        self.output(Output::Count(
            Metric::PacketDropped("relay_away"),
            dropped as u64,
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_crossing_links_both_sides_keep_the_same_one() {
        let (low, high) = (NodeId::from_bytes([1; 20]), NodeId::from_bytes([2; 20]));
        let at = Timestamp::from_secs;
        let link = |dialed, since| PeerLink {
            conn: ConnId(0),
            dialed,
            since: at(since),
        };
        // The low side sees its own dialed link first and the accepted one later; the high side the
        // other way round.
        assert!(!link(false, 101).replaces(&link(true, 100), low, high));
        assert!(link(false, 101).replaces(&link(true, 100), high, low));
        assert!(link(true, 101).replaces(&link(false, 100), low, high));
        assert!(!link(true, 101).replaces(&link(false, 100), high, low));
    }

    #[test]
    fn who_connects_again_has_lost_the_older_link() {
        let (low, high) = (NodeId::from_bytes([1; 20]), NodeId::from_bytes([2; 20]));
        let link = |dialed, since| PeerLink {
            conn: ConnId(0),
            dialed,
            since: Timestamp::from_secs(since),
        };
        for dialed in [true, false] {
            assert!(
                link(dialed, 101).replaces(&link(dialed, 100), low, high),
                "the same side"
            );
            assert!(
                link(dialed, 110).replaces(&link(!dialed, 100), low, high),
                "much later"
            );
        }
    }
}
