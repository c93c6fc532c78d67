//! Connections: who is at the other end, what they may send, and when they have been silent too long.
//!
//! Whatever a peer sends can at worst close its own connection.

use std::collections::BTreeMap;

use zentalk_shared::id::{ConnectionTag, MessageId, NodeId};
use zentalk_shared::time::{Duration, Timestamp};
use zentalk_shared::wire::codec::{BoundedText, to_cbor};
use zentalk_shared::wire::link::{LinkError, LinkErrorCode};
use zentalk_shared::wire::{Frame, FrameError, Tag, decode_frame, encode_frame};

use super::admission::{Bucket, Doorkeeper, Rate};
use super::config::Limits;
use super::handshake::{Challenged, Dialing, Me};
use super::io::{ConnId, Dial, Metric, Origin, Output, Remote};
use super::relay::{Relay, Step, Timer};

/// From the opening of a connection to the end of its handshake.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// After this much silence a peer is pinged.
const SILENCE: Duration = Duration::from_secs(90);
/// After this much more it is dropped.
const PING_PATIENCE: Duration = Duration::from_secs(30);
/// A link that was made for a question or two is closed after this much silence on both sides; less than [`SILENCE`], so
/// that nobody pings it.
const IDLE: Duration = Duration::from_secs(60);
/// Links that this relay has made for a question or two; another one closes the one not used for longest. At the rate at
/// which they are made that is a dozen seconds, and an answer takes three at most.
pub(super) const MAX_ON_DEMAND: usize = 256;
/// A link that another one has replaced is read for this long.
const DRAIN: Duration = Duration::from_secs(5);

/// All connections.
#[derive(Default)]
pub(super) struct Links {
    /// In order, so that one seed always gives one run.
    pub(super) links: BTreeMap<ConnId, Link>,
    door: Doorkeeper,
}

pub(super) struct Link {
    /// Where it comes from, if it was accepted.
    accepted: Option<Option<Origin>>,
    heard: Timestamp,
    pinged: bool,
    /// When something was last sent on it that counts as use.
    used: Timestamp,
    /// Made for a question or two.
    on_demand: bool,
    /// When a replaced link closes.
    drains: Option<Timestamp>,
    bucket: Bucket,
    /// What it may still make this relay peel.
    peeling: Bucket,
    /// What it may still ask to be compared.
    comparing: Bucket,
    pub(super) state: State,
}

pub(super) enum State {
    /// Accepted; the handshake is awaited.
    Greeting,
    /// Accepted; a relay was answered and its proof is awaited.
    Challenged(Box<Challenged>),
    /// Dialed; the answer is awaited.
    Dialing(Dial, Dialing),
    /// Open.
    Client(ConnectionTag),
    /// Open.
    Visitor,
    /// Open.
    Relay(NodeId),
    /// Between two states, or at the end.
    Closed,
}

impl Links {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// A link is made for a question or two. Gives the one that has to go for it.
    pub(super) fn set_on_demand(&mut self, conn: ConnId) -> Option<ConnId> {
        let others = self.links.iter().filter(|(_, link)| link.on_demand);
        let gives_way = match others.clone().count() >= MAX_ON_DEMAND {
            true => others.min_by_key(|(_, link)| link.heard.max(link.used)),
            false => None,
        };
        let gives_way = gives_way.map(|(conn, _)| *conn);
        if let Some(link) = self.links.get_mut(&conn) {
            link.on_demand = true;
        }
        gives_way
    }

    /// Whether a link was made for a question or two.
    pub(super) fn is_on_demand(&self, conn: ConnId) -> bool {
        self.links.get(&conn).is_some_and(|link| link.on_demand)
    }

    /// Something is sent that keeps a link.
    pub(super) fn used(&mut self, conn: ConnId, now: Timestamp) {
        if let Some(link) = self.links.get_mut(&conn) {
            link.used = now;
        }
    }
}

impl Link {
    fn new(
        accepted: Option<Option<Origin>>,
        state: State,
        limits: &Limits,
        now: Timestamp,
    ) -> Self {
        let (frames, peeling) = rates(&state, limits);
        Self {
            accepted,
            heard: now,
            pinged: false,
            used: now,
            on_demand: false,
            drains: None,
            bucket: Bucket::full(frames, now),
            peeling: Bucket::full(peeling, now),
            comparing: Bucket::full(limits.comparing, now),
            state,
        }
    }

    const fn is_open(&self) -> bool {
        matches!(
            self.state,
            State::Client(_) | State::Visitor | State::Relay(_)
        )
    }
}

/// How many frames, and how much peeling, whoever is at the other end may ask for.
const fn rates(state: &State, limits: &Limits) -> (Rate, Rate) {
    match state {
        State::Relay(_) | State::Dialing(..) => (limits.relay_frames, limits.relay_peeling),
        _ => (limits.client_frames, limits.client_peeling),
    }
}

impl Relay {
    pub(super) fn on_opened(&mut self, conn: ConnId, remote: Remote, step: &mut Step<'_>) {
        match remote {
            Remote::Accepted(origin) => self.on_accepted(conn, origin, step),
            Remote::Dialed(dial, address) => {
                self.peers.opened(dial, address);
                self.on_dialed(conn, dial, step);
            }
        }
    }

    fn on_accepted(&mut self, conn: ConnId, origin: Option<Origin>, step: &mut Step<'_>) {
        let limits = self.config.limits;
        let ready = self.is_ready();
        let each = limits.connections_per_origin;
        if !ready || !self.links.door.enter(origin, limits.connections, each) {
            let code = if self.stopping {
                LinkErrorCode::ShuttingDown
            } else {
                LinkErrorCode::Full
            };
            return self.refuse(conn, code, step);
        }
        let link = Link::new(Some(origin), State::Greeting, &limits, step.now);
        self.add_link(conn, link, step);
    }

    fn on_dialed(&mut self, conn: ConnId, dial: Dial, step: &mut Step<'_>) {
        let expects = self.peers.expected(dial);
        let Some(descriptor) = self.directory.own().filter(|_| !self.stopping) else {
            self.output(Output::Close(conn, None));
            return self.on_dial_failed(dial, step);
        };
        let me = Me {
            signer: &self.secrets.signer,
            descriptor,
            directory: self.directory.relays(),
            suites: self.config.suites,
        };
        let (dialing, hello) = Dialing::start(&me, expects, &mut step.rng);
        let state = State::Dialing(dial, dialing);
        let link = Link::new(None, state, &self.config.limits, step.now);
        self.add_link(conn, link, step);
        self.send(conn, Tag::Handshake, &to_cbor(&hello), step);
    }

    fn add_link(&mut self, conn: ConnId, link: Link, step: &Step<'_>) {
        self.links.links.insert(conn, link);
        self.timers
            .set(step.now + HANDSHAKE_DEADLINE, Timer::Link(conn));
    }

    /// Looks at a link whose time has come.
    pub(super) fn check_link(&mut self, conn: ConnId, step: &mut Step<'_>) {
        let Some(link) = self.links.links.get_mut(&conn) else {
            return;
        };
        let silent = step.now.since(link.heard);
        if link.drains.is_some_and(|end| end <= step.now) {
            return self.close(conn, None, step);
        }
        if !link.is_open() || silent >= SILENCE + PING_PATIENCE {
            return self.close(conn, Some(LinkErrorCode::Timeout), step);
        }
        if link.on_demand {
            let idle = link.heard.max(link.used) + IDLE;
            return match idle <= step.now {
                true => self.close(conn, None, step),
                false => self.timers.set(idle, Timer::Link(conn)),
            };
        }
        if silent < SILENCE {
            let at = link.heard + SILENCE;
            return self.timers.set(at, Timer::Link(conn));
        }
        if !link.pinged {
            link.pinged = true;
            self.send(conn, Tag::Ping, b"", step);
        }
        self.timers.set(step.now + PING_PATIENCE, Timer::Link(conn));
    }

    pub(super) fn on_frame(&mut self, conn: ConnId, bytes: &[u8], step: &mut Step<'_>) {
        let Some(link) = self.links.links.get_mut(&conn) else {
            return;
        };
        let (rate, _) = rates(&link.state, &self.config.limits);
        if !link.bucket.take(rate, 1, step.now) {
            return match link.state {
                // Its packets are those of many, who try again; to close would lose the others, too.
                State::Relay(_) => self.count(Metric::PacketDropped("rate")),
                _ => self.close(conn, Some(LinkErrorCode::Rate), step),
            };
        }
        if link.is_open() {
            link.heard = step.now;
            link.pinged = false;
        }
        let frame = match decode_frame(bytes) {
            Ok(frame) => frame,
            // A type of a later version: nothing for us, and no harm to the frames after it.
            Err(FrameError::Tag(_)) if link.is_open() => return,
            Err(error) => return self.close(conn, Some(code_of(error)), step),
        };
        if let Err(code) = self.dispatch(conn, &frame, step) {
            self.close(conn, Some(code), step);
        }
    }

    fn dispatch(
        &mut self,
        conn: ConnId,
        frame: &Frame<'_>,
        step: &mut Step<'_>,
    ) -> Result<(), LinkErrorCode> {
        let Some(link) = self.links.links.get_mut(&conn) else {
            return Ok(());
        };
        match link.state {
            State::Client(tag) => self.on_client_frame(conn, tag, frame, step),
            State::Visitor => self.on_common_frame(conn, frame, step),
            State::Relay(node) => self.on_relay_frame(conn, node, frame, step),
            _ if frame.tag == Tag::Error => Ok(()),
            _ => {
                let state = core::mem::replace(&mut link.state, State::Closed);
                self.on_handshake_frame(conn, state, frame, step)
            }
        }
    }

    pub(super) fn open_link(&mut self, conn: ConnId, state: State, step: &Step<'_>) {
        let Some(link) = self.links.links.get_mut(&conn) else {
            return;
        };
        if matches!(state, State::Relay(_)) {
            let (frames, peeling) = rates(&state, &self.config.limits);
            link.bucket = Bucket::full(frames, step.now);
            link.peeling = Bucket::full(peeling, step.now);
        }
        link.state = state;
        link.heard = step.now;
        let first_look = if link.on_demand { IDLE } else { SILENCE };
        self.timers.set(step.now + first_look, Timer::Link(conn));
    }

    /// From which network somebody has connected, as far as that is known.
    pub(super) fn origin(&self, conn: ConnId) -> Option<Origin> {
        self.links.links.get(&conn)?.accepted?
    }

    pub(super) fn is_client(&self, conn: ConnId) -> bool {
        let link = self.links.links.get(&conn);
        link.is_some_and(|link| matches!(link.state, State::Client(_)))
    }

    /// Makes a frame cost as much as so many.
    pub(super) fn charge(
        &mut self,
        conn: ConnId,
        cost: u32,
        step: &Step<'_>,
    ) -> Result<(), LinkErrorCode> {
        let Some(link) = self.links.links.get_mut(&conn) else {
            return Ok(());
        };
        let (rate, _) = rates(&link.state, &self.config.limits);
        match link.bucket.take(rate, cost, step.now) {
            true => Ok(()),
            false => Err(LinkErrorCode::Rate),
        }
    }

    /// Takes the cost of a peel from what the connection may use up; `false` if there is not so much.
    pub(super) fn charge_peeling(&mut self, conn: ConnId, cost: u32, now: Timestamp) -> bool {
        let Some(link) = self.links.links.get_mut(&conn) else {
            return false;
        };
        let (_, rate) = rates(&link.state, &self.config.limits);
        link.peeling.take(rate, cost, now)
    }

    /// The same for questions of anti-entropy.
    pub(super) fn charge_comparing(&mut self, conn: ConnId, cost: u32, now: Timestamp) -> bool {
        let rate = self.config.limits.comparing;
        let link = self.links.links.get_mut(&conn);
        link.is_some_and(|link| link.comparing.take(rate, cost, now))
    }

    /// Takes what an answer to one has cost.
    pub(super) fn owe_comparing(&mut self, conn: ConnId, cost: u32, now: Timestamp) {
        let rate = self.config.limits.comparing;
        if let Some(link) = self.links.links.get_mut(&conn) {
            link.comparing.owe(rate, cost, now);
        }
    }

    /// A replaced link: nothing more is sent on it, and it closes when what was sent has been read.
    pub(super) fn drain(&mut self, conn: ConnId, step: &Step<'_>) {
        if let Some(link) = self.links.links.get_mut(&conn) {
            link.drains = Some(step.now + DRAIN);
            self.timers.set(step.now + DRAIN, Timer::Link(conn));
        }
    }

    /// Tells the peer why, if there is a reason, and closes.
    pub(super) fn close(&mut self, conn: ConnId, code: Option<LinkErrorCode>, step: &mut Step<'_>) {
        match code {
            Some(code) => self.refuse(conn, code, step),
            None => self.output(Output::Close(conn, None)),
        }
        self.on_closed(conn, step);
    }

    fn refuse(&mut self, conn: ConnId, code: LinkErrorCode, step: &mut Step<'_>) {
        self.count(Metric::LinkRefused(label(code)));
        let frame = encode_frame(Tag::Error, step.id(), &error_body(code));
        self.output(Output::Send(conn, frame));
        self.output(Output::Close(conn, Some(code)));
    }

    pub(super) fn on_closed(&mut self, conn: ConnId, step: &mut Step<'_>) {
        let Some(link) = self.links.links.remove(&conn) else {
            return;
        };
        if let Some(origin) = link.accepted {
            self.links.door.leave(origin);
        }
        match link.state {
            State::Client(tag) => self.tags.detach(&tag, conn, step.now),
            State::Relay(node) => {
                self.directory.questions.close(conn);
                self.relay_unlinked(node, conn, step);
            }
            State::Dialing(dial, _) => self.on_dial_failed(dial, step),
            _ => {}
        }
        for dial in core::mem::take(&mut self.peers.failed) {
            self.on_dial_failed(dial, step);
        }
    }

    pub(super) fn close_all_links(&mut self) {
        let code = LinkErrorCode::ShuttingDown;
        let frame = encode_frame(
            Tag::Error,
            MessageId::from_bytes([0; 16]),
            &error_body(code),
        );
        let links = core::mem::take(&mut self.links);
        for conn in links.links.into_keys() {
            self.output(Output::Send(conn, frame.clone()));
            self.output(Output::Close(conn, Some(code)));
        }
    }

    /// Open connections by role, for gauges: clients, relays, others.
    pub fn connections(&self) -> [usize; 3] {
        let mut counts = [0; 3];
        for link in self.links.links.values() {
            let [clients, relays, others] = &mut counts;
            match link.state {
                State::Client(_) => *clients += 1,
                State::Relay(_) => *relays += 1,
                _ => *others += 1,
            }
        }
        counts
    }
}

fn error_body(code: LinkErrorCode) -> Vec<u8> {
    let message = BoundedText::new(sentence(code)).unwrap_or_default();
    to_cbor(&LinkError { code, message })
}

const fn code_of(error: FrameError) -> LinkErrorCode {
    match error {
        FrameError::TooLarge { .. } => LinkErrorCode::TooLarge,
        FrameError::Version(_) => LinkErrorCode::Version,
        _ => LinkErrorCode::Malformed,
    }
}

/// What the peer reads.
const fn sentence(code: LinkErrorCode) -> &'static str {
    match code {
        LinkErrorCode::Malformed => "A frame broke the protocol.",
        LinkErrorCode::Version => "No protocol version in common.",
        LinkErrorCode::TooLarge => "A frame was larger than its type may be.",
        LinkErrorCode::Rate => "Too many frames.",
        LinkErrorCode::Full => "No room for this connection; try another relay.",
        LinkErrorCode::Unauthenticated => "A proof did not verify, or a frame needs one.",
        LinkErrorCode::Timeout => "Silent for too long.",
        LinkErrorCode::ShuttingDown => "The relay is stopping.",
    }
}

/// What the counter is called.
pub(super) const fn label(code: LinkErrorCode) -> &'static str {
    match code {
        LinkErrorCode::Malformed => "malformed",
        LinkErrorCode::Version => "version",
        LinkErrorCode::TooLarge => "too_large",
        LinkErrorCode::Rate => "rate",
        LinkErrorCode::Full => "full",
        LinkErrorCode::Unauthenticated => "unauthenticated",
        LinkErrorCode::Timeout => "timeout",
        LinkErrorCode::ShuttingDown => "shutting_down",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_links_made_for_a_question_so_many_stay_and_the_one_not_used_for_longest_goes() {
        let mut links = Links::new();
        let add = |links: &mut Links, n: usize, now: u64| {
            let (conn, now) = (ConnId(n as u64), Timestamp::from_secs(now));
            let link = Link::new(None, State::Closed, &Limits::default(), now);
            links.links.insert(conn, link);
            conn
        };
        add(&mut links, MAX_ON_DEMAND + 9, 1);
        for n in 0..MAX_ON_DEMAND {
            let conn = add(&mut links, n, 100 + n as u64);
            assert_eq!(links.set_on_demand(conn), None);
        }
        links.used(ConnId(0), Timestamp::from_secs(1000));
        let conn = add(&mut links, MAX_ON_DEMAND, 1000);
        assert_eq!(links.set_on_demand(conn), Some(ConnId(1)));
    }
}
