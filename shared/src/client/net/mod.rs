//! The engine's lower half: from a request for a relay to frames on a link, and back. DESIGN §3.
//!
//! ```text
//!  engine ─ request ─▶ requests ─▶ relays: path ─▶ onion ─▶ guard_links ─▶ link ─▶ NetOutput::Send
//!  engine ◀─ Reply ──┐                                                      │
//!  engine ◀─ Push ── stock ◀── SurbKeys::open ◀──────────── Deliver ◀───────┘
//!                    cover: packets to myself, which come back in the same way
//!
//!  bootstrap: the first directory, in clear from pinned relays     sync: later ones, through onions
//! ```
//! No sockets, no clock: every method takes `now` and a generator, and what it wants done is taken with
//! [`Net::poll`]. After every input [`Net::settle`] brings about what should be: links to wanted guards,
//! waiting requests sent, changes reported.

mod backoff;
mod bootstrap;
mod calls;
mod cover;
mod doubts;
mod guard_links;
mod link;
mod records;
mod relays;
mod requests;
mod stock;
mod suspects;
mod swarm;
mod sync;
mod wiring;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand_core::CryptoRng;

use super::store::{Row, Write};
use super::view::{Connection, Mixing, Network};
use crate::id::NodeId;
#[cfg(test)]
use crate::onion::Directory;
use crate::onion::{Class, Features, MixMode, Suite, Suites};
use crate::rpc::{Push, Reply, Request, SurbBytes};
use crate::time::Timestamp;
use bootstrap::Bootstrapping;
use cover::Cover;
use guard_links::GuardLinks;
use relays::Relays;
use requests::{Call, Requests};
use stock::Stock;
use suspects::Suspects;
use sync::DirectorySync;
use wiring::Wire;

pub use bootstrap::Bootstrap;
pub use link::LinkId;
pub(in crate::client) use requests::{NetFailure, RequestId};

/// What the application ships with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetConfig {
    /// Relays that the first directory is asked of. If one of them is on this machine, relays on this
    /// machine are taken for real ones: development.
    pub bootstrap: Vec<Bootstrap>,
    /// Onion suites for paths, best first: the first that enough relays have. X25519 unless said otherwise.
    pub suites: Suites,
    /// Rather nothing is sent than by a suite that is weaker than this one.
    pub floor: Option<Suite>,
    /// How long relays hold packets, and how many this client sends to itself.
    pub mixing: MixMode,
}

/// Links, relays and requests of one run of the engine.
#[derive(Debug)]
pub(in crate::client) struct Net {
    online: bool,
    relays: Relays,
    bootstrap: Bootstrapping,
    sync: DirectorySync,
    guards: GuardLinks,
    requests: Requests,
    suspects: Suspects,
    stock: Stock,
    cover: Cover,
    links: BTreeMap<LinkId, Wire>,
    next_link: u64,
    dropped: Dropped,
    outputs: VecDeque<NetOutput>,
    reported: (Connection, Network),
    known: BTreeSet<NodeId>,
}

/// What the net wants done, in order.
#[derive(Debug)]
pub(in crate::client) enum NetOutput {
    /// Open a WebSocket.
    Open {
        /// Its name from now on.
        link: LinkId,
        /// Where to.
        url: String,
    },
    /// Send one binary message.
    Send {
        /// On which link.
        link: LinkId,
        /// What.
        frame: Vec<u8>,
    },
    /// Close a WebSocket. Nothing more is expected of it.
    Close {
        /// Which.
        link: LinkId,
    },
    /// Store this.
    Persist(Write),
    /// The answer to a request; it can come after the request has failed.
    Reply {
        /// The request.
        request: RequestId,
        /// Of the request's kind, or [`Reply::Refused`].
        reply: Reply,
    },
    /// A request got no answer in time, or could not be sent.
    Failed {
        /// The request.
        request: RequestId,
        /// Why.
        why: NetFailure,
    },
    /// A member of my swarm has used a reply block of its stock.
    Push {
        /// Which member.
        member: NodeId,
        /// Mail, or a heartbeat.
        push: Push,
    },
    /// [`Net::connection`] has changed.
    ConnectionChanged,
    /// [`Net::network`] has changed.
    NetworkChanged,
    /// Other relays are known than before.
    RelaysChanged,
    /// The primary guard was dead, or not heard for longer than it keeps what comes for me: pushes may have been lost with it.
    PushesLost,
    /// A primary guard is up whose tag no stock was made for: the first of a run, or another one. What
    /// members hold reaches nobody any more: replace all subscriptions.
    StockLost,
}

/// Deliveries that were dropped, by reason. None of them has any other effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::client) struct Dropped {
    /// No keys: a reply block used twice, expired, forgotten, or never made.
    pub(in crate::client) unknown: u64,
    /// The body was changed on its way.
    pub(in crate::client) not_authentic: u64,
    /// Not the reply that the request can have, or not a push.
    pub(in crate::client) unexpected: u64,
    /// Envelopes under the id of other bytes.
    pub(in crate::client) mislabelled: u64,
}

impl NetConfig {
    /// With these relays to ask for the first directory, and paths of X25519.
    pub const fn new(bootstrap: Vec<Bootstrap>) -> Self {
        let suites = Suites::preferring(Suite::X25519);
        Self {
            bootstrap,
            suites,
            floor: None,
            mixing: MixMode::Off,
        }
    }
}

impl Net {
    /// From the rows that [`NetOutput::Persist`] stored; other rows are passed over, and ones that cannot
    /// be read count as absent: the directory is then asked for again, and guards are drawn anew.
    pub(in crate::client) fn restore(
        config: NetConfig,
        rows: &[Row],
        former_swarm: Vec<NodeId>,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Self {
        let relays = Relays::restore(&config, rows, former_swarm, now, rng);
        let (synced, covers) = (relays.synced(), relays.coverage());
        let keys_until = relays.keys_until();
        let mut net = Self {
            online: true,
            bootstrap: Bootstrapping::new(config.bootstrap),
            sync: DirectorySync::new(synced, covers, keys_until, now, rng),
            guards: GuardLinks::new(),
            requests: Requests::default(),
            suspects: Suspects::default(),
            stock: Stock::default(),
            cover: Cover::new(config.mixing),
            links: BTreeMap::new(),
            // Numbers of an earlier run do not come again, and fit a JavaScript number.
            next_link: rng.next_u64() >> 16,
            dropped: Dropped::default(),
            outputs: VecDeque::new(),
            reported: (Connection::Offline, relays.network()),
            known: BTreeSet::new(),
            relays,
        };
        net.reported.0 = net.connection();
        net.relays_changed(false, now, rng);
        net.settle(now, rng);
        net
    }

    /// The socket is open.
    pub(in crate::client) fn link_opened(
        &mut self,
        link: LinkId,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) {
        self.step(link, now, rng, |state, rng| state.opened(rng));
        self.settle(now, rng);
    }

    /// The socket could not be opened, or has closed.
    pub(in crate::client) fn link_closed(
        &mut self,
        link: LinkId,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) {
        self.host_closed(link, now, rng);
        self.settle(now, rng);
    }

    /// One binary message has arrived.
    pub(in crate::client) fn frame(
        &mut self,
        link: LinkId,
        bytes: &[u8],
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) {
        self.step(link, now, rng, |state, rng| state.frame(bytes, now, rng));
        self.heard(link, now);
        self.settle(now, rng);
    }

    /// The time of [`next_timeout`](Self::next_timeout) has come.
    pub(in crate::client) fn timeout(&mut self, now: Timestamp, rng: &mut impl CryptoRng) {
        self.time_links(now, rng);
        for lost in self.requests.expire(now) {
            self.lose(lost, now, rng);
        }
        self.expire_loops(now, rng);
        self.send_loops(now, rng);
        self.stock.expire(now);
        self.relays_timeout(now, rng);
        for link in self.guards.drop_idle(now) {
            self.close(link);
        }
        self.settle(now, rng);
    }

    /// When something is due.
    pub(in crate::client) fn next_timeout(&self) -> Option<Timestamp> {
        let links = self.links.values().map(|wire| wire.link.next_timeout());
        let always = [
            self.requests.next_timeout(),
            self.cover.next_timeout(),
            Some(self.relays.next_timeout()),
        ];
        let connected = self.primary_link().and_then(|_| self.sync.next_timeout());
        let online = [self.guards.next_timeout(), self.bootstrap.next_timeout()];
        let online = online.into_iter().filter(|_| self.online);
        let rest = always.into_iter().chain(online).chain([connected]);
        links.chain(rest.flatten()).min()
    }

    /// The host's opinion on whether there is a network: `false` stops every attempt, `true` starts one at
    /// once and finds out whether links that are up still work.
    pub(in crate::client) fn set_online(
        &mut self,
        online: bool,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) {
        self.online = online;
        match online {
            true => self.wake(now, rng),
            false => self.suspend(now),
        }
        self.settle(now, rng);
    }

    /// Asks relay `to`. `swarm`: relays that the guard must not be one of; `own`: the request is about me, as
    /// its relay can tell again and again, so a vanguard keeps it from learning my guard. The outcome comes as [`NetOutput::Reply`] or [`NetOutput::Failed`].
    #[allow(
        clippy::too_many_arguments,
        reason = "a request is what these seven say"
    )]
    pub(in crate::client) fn request(
        &mut self,
        to: NodeId,
        swarm: &[NodeId],
        own: bool,
        request: Request,
        class: Class,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> RequestId {
        let id = self.requests.next_id();
        let mut call = Call::new(id, to, swarm, request, class);
        call.own = own;
        self.call(call, now, rng);
        self.settle(now, rng);
        id
    }

    /// My own mailbox is held by these relays: guards and vanguards are to be others.
    pub(in crate::client) fn own_swarm_is(
        &mut self,
        swarm: &[NodeId],
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) {
        if self.relays.set_own_swarm(swarm) {
            self.relays_changed(self.primary_link().is_some(), now, rng);
        }
    }

    /// My own mailbox was held by these relays until a while ago.
    pub(in crate::client) fn former_swarm_is(&mut self, swarm: Vec<NodeId>) {
        self.relays.set_former_swarm(swarm);
    }

    /// Somebody misses a relay, or what relays should hold: the directory is read again soon, but the less
    /// often the longer this brings nothing.
    pub(in crate::client) fn want_directory(&mut self, now: Timestamp, rng: &mut impl CryptoRng) {
        self.sync.hurry(now, rng);
    }

    /// Reply blocks for `member` of my swarm to push to me with, each through a path of its own to the
    /// primary guard. Fewer than `count` if paths run out; `None` while no guard is up.
    pub(in crate::client) fn mint_stock(
        &mut self,
        member: NodeId,
        swarm: &[NodeId],
        count: usize,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Option<Vec<SurbBytes>> {
        self.own_swarm_is(swarm, now, rng);
        let guard = self.guards.primary();
        let guard = guard.filter(|node| self.guards.up(*node).is_some())?;
        self.mint(guard, member, swarm, count, now, rng)
    }

    /// Wipes the keys of everything minted for `member` so far.
    pub(in crate::client) fn forget_stock(&mut self, member: NodeId) {
        self.stock.forget(member);
    }

    /// The relays known.
    #[cfg(test)]
    pub(in crate::client) const fn directory(&self) -> &Directory {
        self.relays.directory()
    }

    /// Relays that hold account records.
    pub(in crate::client) fn directory_relays(&self) -> Vec<NodeId> {
        self.relays.offering(Features::DIRECTORY)
    }

    /// Relays that make a mailbox of mine one of `count`, beside those that it `keeps`, none of them `not`: drawn
    /// at random by weight, of distinct operators and subnets and none of my guards, as far as there are enough
    /// relays for that.
    pub(in crate::client) fn choose_members(
        &self,
        keeps: &[NodeId],
        not: &[NodeId],
        count: usize,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Vec<NodeId> {
        self.relays.choose_members(keeps, not, count, now, rng)
    }

    /// The guards kept.
    #[cfg(test)]
    pub(in crate::client) fn kept_guards(&self) -> Vec<NodeId> {
        self.guards.kept().to_vec()
    }

    /// The link to the network; `receiving` is the engine's to fill in.
    pub(in crate::client) fn connection(&self) -> Connection {
        if !self.online {
            return Connection::Offline;
        }
        if self.guards.primary().is_some() {
            return self.guards.connection();
        }
        let (attempt, retry) = self.bootstrap.attempt();
        Connection::Connecting { attempt, retry }
    }

    /// How many relays there are and what privacy that allows.
    pub(in crate::client) fn network(&self) -> Network {
        self.relays.network()
    }

    /// Whether relays were asked for others in this run, and knew none that are not known here.
    pub(in crate::client) const fn directory_is_settled(&self) -> bool {
        self.sync.is_settled()
    }

    /// How packets are mixed, and what became of this run's loops.
    pub(in crate::client) const fn mixing(&self) -> Mixing {
        self.cover.mixing()
    }

    /// A member has handed out an envelope under the id of other bytes.
    pub(in crate::client) const fn mislabelled(&mut self) {
        self.dropped.mislabelled += 1;
    }

    /// Deliveries dropped so far.
    #[cfg(test)]
    pub(in crate::client) const fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// What is to be done next.
    pub(in crate::client) fn poll(&mut self) -> Option<NetOutput> {
        self.outputs.pop_front()
    }
}

#[cfg(test)]
mod tests;
