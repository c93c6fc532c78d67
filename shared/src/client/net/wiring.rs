//! The links of [`Net`]: which there are, whose they are, and what their events lead to.

use rand_core::CryptoRng;

use super::guard_links::Verdict;
use super::link::{Hello, Link, LinkEvent, LinkFault, LinkId, Step};
use super::requests::Call;
use super::sync::{ASKED, Next};
use super::{Net, NetOutput};
use crate::id::NodeId;
use crate::onion::Class;
use crate::rpc::{DirectorySyncRequest, Request};
use crate::time::Timestamp;

/// A link and whose it is.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) link: Link,
    owner: Owner,
}

#[derive(Clone, Copy, Debug)]
enum Owner {
    /// `guard_links`.
    Guard(NodeId),
    /// `bootstrap`.
    Bootstrap(NodeId),
}

impl Net {
    /// Brings about what should be. Doing it again changes nothing more.
    pub(super) fn settle(&mut self, now: Timestamp, rng: &mut impl CryptoRng) {
        if self.online {
            self.settle_bootstrap(now, rng);
            self.settle_sync(now, rng);
            loop {
                self.want_guards(now, rng);
                self.connect_guards(now, rng);
                if !self.send_waiting(now, rng) {
                    break;
                }
            }
        }
        self.settle_cover(now, rng);
        if self.guards.take_stock_change() {
            self.outputs.push_back(NetOutput::StockLost);
        }
        self.report();
    }

    fn report(&mut self) {
        let (connection, network) = (self.connection(), self.network());
        if self.reported.0 != connection {
            self.outputs.push_back(NetOutput::ConnectionChanged);
        }
        if self.reported.1 != network {
            self.outputs.push_back(NetOutput::NetworkChanged);
        }
        self.reported = (connection, network);
    }

    fn settle_bootstrap(&mut self, now: Timestamp, rng: &mut impl CryptoRng) {
        if self.relays.is_stale(now) {
            self.bootstrap.want(now);
        } else if self.primary_link().is_none()
            && (self.guards.all_failed() || self.relays.is_below_floor())
        {
            self.bootstrap.suggest(now);
        }
        for relay in self.bootstrap.start(now, rng) {
            let seed = self.bootstrap.seed();
            let hello = Hello::Visitor { seed };
            let link = Link::open(relay.node, hello, self.relays.suites(), now);
            self.open(link, Owner::Bootstrap(relay.node), relay.url);
        }
        if let Some(agreed) = self.bootstrap.conclude(now, rng) {
            self.close_visits();
            self.relays.replace(agreed, now);
            self.relays_changed(true, now, rng);
            self.guards.retry_now(now);
            self.sync.first(self.relays.keys_until(), now, rng);
        }
    }

    fn close_visits(&mut self) {
        let visit = |(link, wire): (&LinkId, &Wire)| {
            matches!(wire.owner, Owner::Bootstrap(_)).then_some(*link)
        };
        for link in self.links.iter().filter_map(visit).collect::<Vec<_>>() {
            self.close(link);
        }
    }

    fn connect_guards(&mut self, now: Timestamp, rng: &mut impl CryptoRng) {
        for node in self.guards.due(now) {
            let Some(url) = self.relays.guard_url(node) else {
                // Its descriptor has expired: as good as unreachable until it publishes another.
                self.guard_failed(node, false, now, rng);
                continue;
            };
            let count = self.guards.tag(node, rng);
            let hello = Hello::Guard {
                tag: count.tag,
                received: count.received,
            };
            let link = Link::open(node, hello, self.relays.suites(), now);
            let id = self.open(link, Owner::Guard(node), url);
            self.guards.connecting(node, id);
        }
    }

    fn settle_sync(&mut self, now: Timestamp, rng: &mut impl CryptoRng) {
        if self.primary_link().is_some() && self.sync.is_due(now) {
            let relays = self.relays.directory_relays(ASKED, now, rng);
            let known = self.relays.directory().digest();
            let keys_until = self.relays.keys_until();
            self.sync.begin(relays, known, keys_until, now);
        }
        let keys_until = self.relays.keys_until();
        loop {
            match self.sync.next(keys_until, now, rng) {
                Next::Ask(to, body) => self.ask_directory(to, body, now, rng),
                Next::Done => {
                    self.relays.synced_at(self.sync.coverage(), now);
                    self.relays_changed(true, now, rng);
                }
                Next::Wait => return,
            }
        }
    }

    fn ask_directory(
        &mut self,
        to: NodeId,
        body: DirectorySyncRequest,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) {
        let (id, request) = (self.requests.next_id(), Request::DirectorySync(body));
        let call = Call::new(id, to, &[], request, Class::Bulk);
        self.sync.asked(call.id);
        self.call(call, now, rng);
    }

    /// The directory has changed: guards and vanguards follow, and all is stored. `proven`: the client's
    /// own network works.
    pub(super) fn relays_changed(
        &mut self,
        proven: bool,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) {
        self.relays.maintain(proven, now, rng);
        self.follow_relays(now, rng);
    }

    fn follow_relays(&mut self, now: Timestamp, rng: &mut impl CryptoRng) {
        let (kept, first) = self.relays.kept_guards(now);
        if let Some((old, link)) = self.guards.set_kept(kept, first, now) {
            self.leave(old, link, now, rng);
        }
        let known = self.relays.directory().iter().map(|relay| relay.node());
        let known = known.collect();
        if self.known != known {
            self.known = known;
            self.outputs.push_back(NetOutput::RelaysChanged);
        }
        let writes = self.relays.take_writes();
        self.outputs
            .extend(writes.into_iter().map(NetOutput::Persist));
    }

    /// Descriptors, guards or vanguards may have come to their end.
    pub(super) fn relays_timeout(&mut self, now: Timestamp, rng: &mut impl CryptoRng) {
        if self.relays.next_timeout() <= now {
            self.relays_changed(self.primary_link().is_some(), now, rng);
        }
    }

    /// There is a network, says the host.
    pub(super) fn wake(&mut self, now: Timestamp, rng: &mut impl CryptoRng) {
        self.bootstrap.retry_now(now);
        self.guards.retry_now(now);
        for link in self.links.keys().copied().collect::<Vec<_>>() {
            self.step(link, now, rng, |state, rng| state.probe(now, rng));
        }
    }

    /// There is none.
    pub(super) fn suspend(&mut self, now: Timestamp) {
        self.close_visits();
        self.bootstrap.suspend(now);
        for link in self.guards.suspend(now) {
            self.close(link);
        }
    }

    /// The primary guard's link, if it is up.
    pub(super) fn primary_link(&self) -> Option<LinkId> {
        self.guards.up(self.guards.primary()?)
    }

    fn open(&mut self, link: Link, owner: Owner, url: String) -> LinkId {
        let id = LinkId(self.next_link);
        self.next_link = self.next_link.wrapping_add(1);
        self.links.insert(id, Wire { link, owner });
        self.outputs.push_back(NetOutput::Open { link: id, url });
        id
    }

    /// Something has come through a link.
    pub(super) fn heard(&mut self, link: LinkId, now: Timestamp) {
        let owner = self.links.get(&link).map(|wire| wire.owner);
        if let Some(Owner::Guard(node)) = owner {
            self.guards.heard(node, now);
        }
    }

    /// Ends a link on our side.
    pub(super) fn close(&mut self, link: LinkId) {
        if self.links.remove(&link).is_some() {
            self.outputs.push_back(NetOutput::Close { link });
        }
    }

    /// Lets a link take a step, and does what follows. Links that are gone take none.
    pub(super) fn step<R: CryptoRng>(
        &mut self,
        id: LinkId,
        now: Timestamp,
        rng: &mut R,
        transition: impl FnOnce(Link, &mut R) -> Step,
    ) {
        let Some(Wire { link, owner }) = self.links.remove(&id) else {
            return;
        };
        let step = transition(link, rng);
        for frame in step.send {
            self.outputs.push_back(NetOutput::Send { link: id, frame });
        }
        match step.link {
            Some(link) => {
                self.links.insert(id, Wire { link, owner });
            }
            None => self.outputs.push_back(NetOutput::Close { link: id }),
        }
        if let Some(event) = step.event {
            self.happened(id, owner, event, now, rng);
        }
    }

    /// The host has closed a link.
    pub(super) fn host_closed(&mut self, id: LinkId, now: Timestamp, rng: &mut impl CryptoRng) {
        if let Some(wire) = self.links.remove(&id) {
            let down = LinkEvent::Down(LinkFault::Closed);
            self.happened(id, wire.owner, down, now, rng);
        }
    }

    /// Lets every link do what is due.
    pub(super) fn time_links(&mut self, now: Timestamp, rng: &mut impl CryptoRng) {
        let due = |(id, wire): (&LinkId, &Wire)| (wire.link.next_timeout() <= now).then_some(*id);
        loop {
            let links: Vec<_> = self.links.iter().filter_map(due).collect();
            if links.is_empty() {
                return;
            }
            for link in links {
                self.step(link, now, rng, |state, rng| state.timeout(now, rng));
            }
        }
    }

    fn happened(
        &mut self,
        id: LinkId,
        owner: Owner,
        event: LinkEvent,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) {
        match (owner, event) {
            (Owner::Guard(node), LinkEvent::Up { received, resumed }) => {
                self.guards.count(node, received);
                if self.guards.accepted(node, id, resumed, now) {
                    self.outputs.push_back(NetOutput::PushesLost);
                }
                self.relays.guard_reached(node);
                self.relays_changed(true, now, rng);
            }
            (
                Owner::Guard(node),
                LinkEvent::Deliver {
                    received,
                    surb,
                    body,
                },
            ) => {
                self.guards.count(node, received);
                self.delivered(node, surb, body, now);
            }
            (Owner::Guard(node), LinkEvent::Down(fault)) => {
                self.guard_failed(node, fault.is_peers(), now, rng);
            }
            (Owner::Bootstrap(node), LinkEvent::Directory(directory)) => {
                self.bootstrap.answered(node, directory, now);
            }
            (Owner::Bootstrap(node), _) => self.bootstrap.failed(node, now),
            (Owner::Guard(_), LinkEvent::Directory(_)) => {}
        }
    }

    fn guard_failed(
        &mut self,
        node: NodeId,
        blamed: bool,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) {
        // Whoever cannot be reached from here is not of much use in the middle of a path either.
        self.suspects.failed(&[node], now);
        let verdict = self.guards.failed(node, blamed, now, rng);
        self.judge(node, verdict, now, rng);
    }

    /// Another guard takes the place of a primary that was found wanting, if there is another.
    pub(super) fn judge(
        &mut self,
        node: NodeId,
        verdict: Verdict,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) {
        let Verdict::GiveUp { next_at } = verdict else {
            return;
        };
        self.suspects.failed(&[node], now);
        let next = self.relays.guard_failed(node, now, rng);
        self.follow_relays(now, rng);
        if let Some(next) = next.filter(|next| *next != node) {
            let link = self.guards.replace_primary(next, next_at, now);
            self.leave(node, link, now, rng);
        }
    }

    /// A guard is left: its link closes, and what was in the air through it fails.
    fn leave(
        &mut self,
        guard: NodeId,
        link: Option<LinkId>,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) {
        if let Some(link) = link {
            self.close(link);
        }
        self.cover.forget_via(guard);
        for lost in self.requests.fail_via(guard) {
            self.lose(lost, now, rng);
        }
    }
}
