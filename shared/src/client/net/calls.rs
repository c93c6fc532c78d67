//! The requests of [`Net`]: sent through a guard, answered, lost; and pushes through the stock.

use rand_core::CryptoRng;

use super::guard_links::Shunned;
use super::link::{LinkId, packet_frame};
use super::requests::{Call, Flight, FlightPath, Lost, NetFailure, ReplyKeys, Waiting};
use super::{Net, NetOutput};
use crate::id::{MessageId, NodeId, SurbId};
use crate::onion::{BuildError, Features, PathError, PathPair};
use crate::rpc::{Reply, SubscribeBody, SurbBytes};
use crate::time::Timestamp;

/// Guards that are tried for a request before it fails.
const MAX_GUARDS_TRIED: usize = 4;

impl Net {
    /// Takes a request on: [`settle`](Self::settle) sends it as soon as its guard is up.
    pub(super) fn call(&mut self, call: Call, now: Timestamp, rng: &mut impl CryptoRng) {
        if let Some(displaced) = self.requests.wait(call, now) {
            self.lose(displaced, now, rng);
        }
    }

    /// Wants the guards that waiting requests need.
    pub(super) fn want_guards(&mut self, now: Timestamp, rng: &mut impl CryptoRng) {
        let waiting = self.requests.waiting();
        let needs: Vec<_> = waiting.map(|call| call.shunned.clone()).collect();
        for shunned in needs {
            if let Some(guard) = self.guard_for(&shunned, rng) {
                self.guards.want(guard, now);
            }
        }
    }

    /// Sends the waiting requests whose guard is up. True if one of them turned out to need another guard.
    pub(super) fn send_waiting(&mut self, now: Timestamp, rng: &mut impl CryptoRng) -> bool {
        let mut again = false;
        for waiting in self.requests.take_waiting() {
            let Some((guard, link)) = self.ready_guard(&waiting.call) else {
                self.requests.wait_on(waiting);
                continue;
            };
            let id = waiting.call.id;
            match self.send(&waiting.call, guard, link, now, rng) {
                Ok(()) => {}
                Err(Unsent::Failed(why)) => self.lose(Lost::unsent(id, why), now, rng),
                Err(unfit) => {
                    let waiting = match unfit {
                        Unsent::Kin => waiting.not_via_kin(guard),
                        _ => waiting.not_via(guard),
                    };
                    again |= self.try_another_guard(waiting, now, rng);
                }
            }
        }
        again
    }

    /// A request turned out to need another guard: whether it is tried with one.
    fn try_another_guard(
        &mut self,
        waiting: Waiting,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> bool {
        let (shunned, small) = (&waiting.call.shunned, self.relays.is_small());
        let kept = self.guards.choose(shunned, small);
        let kept = kept.or_else(|| self.guards.last_resort(shunned, small));
        let is_left = kept.is_some() || shunned.kin.is_empty();
        let tried = shunned.tried();
        if is_left && tried <= 1 + MAX_GUARDS_TRIED {
            self.requests.wait_on(waiting);
            return true;
        }
        let lost = Lost::unsent(waiting.call.id, NetFailure::NoPath);
        self.lose(lost, now, rng);
        false
    }

    /// The guard that a request is to leave by, and its link if that is up.
    fn ready_guard(&self, call: &Call) -> Option<(NodeId, LinkId)> {
        let (shunned, small) = (&call.shunned, self.relays.is_small());
        let guard = self.guards.choose(shunned, small);
        let guard = guard.or_else(|| self.guards.last_resort(shunned, small))?;
        Some((guard, self.guards.up(guard)?))
    }

    /// The guard that a request needs: a kept one, or else a spare one, drawn for this run once it is known
    /// that it is not the client's own network that fails. None is drawn for what a target says of itself: whoever
    /// wants to become a guard could have all others say that they are kin of those that are kept.
    fn guard_for(&mut self, shunned: &Shunned, rng: &mut impl CryptoRng) -> Option<NodeId> {
        let small = self.relays.is_small();
        if let Some(guard) = self.guards.choose(shunned, small) {
            return Some(guard);
        }
        let may_draw = self.primary_link().is_some()
            && self.guards.has_room_for_spare()
            && shunned.kin.is_empty();
        let spare = may_draw
            .then(|| self.relays.spare_guard(shunned, &self.guards.known(), rng))
            .flatten();
        match spare {
            Some(spare) => self.guards.add_spare(spare),
            None => return self.guards.last_resort(shunned, small),
        }
        spare
    }

    fn send(
        &mut self,
        call: &Call,
        guard: NodeId,
        link: LinkId,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<(), Unsent> {
        let path = match self.path(call, guard, now, rng) {
            Err(PathError::Unknown(node)) if node == guard => return Err(Unsent::AnotherGuard),
            Err(unknown @ PathError::Unknown(_)) => {
                self.sync.hurry(now, rng);
                return Err(unknown.into());
            }
            path => path?,
        };
        let rpc = MessageId::random(rng);
        let payload = call.request.encode(rpc, call.class);
        let payload = payload.map_err(|_| Unsent::Failed(NetFailure::TooLarge))?;
        let tag = self.guards.tag(guard, rng).tag;
        let (surb, keys) = path.back.surb(tag, now, rng)?;
        let packet = path.out.request(Some(&surb), &payload, call.class, rng);
        let frame = packet_frame(&packet?, rng);
        self.outputs.push_back(NetOutput::Send { link, frame });
        self.guards.want(guard, now);
        let flight = Flight::new(call, guard, rpc, &path, now);
        if let Some(displaced) = self.requests.sent(call.id, flight, keys, now) {
            self.lose(displaced, now, rng);
        }
        Ok(())
    }

    fn path(
        &self,
        call: &Call,
        guard: NodeId,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<PathPair, PathError> {
        let finder = self.relays.finder(self.suspects.health(), now);
        let finder = finder.avoiding(&self.suspects.now(now));
        let vanguards = self.relays.vanguards();
        match call.own {
            true => finder.own_mailbox_path(guard, vanguards, call.to, &call.shunned.swarm, rng),
            false => finder.request_path(guard, call.to, &call.shunned.swarm, rng),
        }
    }

    /// A request is over without a reply.
    pub(super) fn lose(&mut self, lost: Lost, now: Timestamp, rng: &mut impl CryptoRng) {
        match self.sync.owns(lost.request) {
            true => self.sync.failed(),
            false => self.outputs.push_back(NetOutput::Failed {
                request: lost.request,
                why: lost.why,
            }),
        }
        if let (NetFailure::Timeout, Some(path)) = (lost.why, &lost.path) {
            self.unanswered(path, now, rng);
        }
    }

    /// Nothing came back by this way in time.
    fn unanswered(&mut self, path: &FlightPath, now: Timestamp, rng: &mut impl CryptoRng) {
        // With the guard's link down it is no wonder.
        if self.guards.up(path.guard).is_some() {
            let is_primary = self.guards.primary() == Some(path.guard);
            if is_primary || !self.guards.doubts.are_grave(&path.guard) {
                self.suspects.lost(&path.behind, path.sent, now);
                self.probe(path.guard, now, rng);
            }
            let verdict = self.guards.unanswered(path.guard, now);
            self.judge(path.guard, verdict, now, rng);
        }
    }

    /// A `Deliver` frame has come through `guard`.
    pub(super) fn delivered(&mut self, guard: NodeId, surb: SurbId, body: Vec<u8>, now: Timestamp) {
        if let Some(entry) = self.requests.take(surb, guard) {
            self.replied(guard, entry, body, now);
        } else if let Some((member, keys)) = self.stock.take(surb, guard) {
            let Ok(payload) = keys.open(body) else {
                self.dropped.not_authentic += 1;
                return;
            };
            let Ok((_, Reply::Push(push))) = Reply::decode(&payload) else {
                self.dropped.unexpected += 1;
                return;
            };
            self.guards.answered(guard);
            self.outputs.push_back(NetOutput::Push { member, push });
        } else if !self.looped(guard, surb, body, now) {
            self.dropped.unknown += 1;
        }
    }

    fn replied(&mut self, guard: NodeId, entry: ReplyKeys, body: Vec<u8>, now: Timestamp) {
        let ReplyKeys {
            request,
            flight,
            keys,
        } = entry;
        let Ok(payload) = keys.open(body) else {
            self.dropped.not_authentic += 1;
            return;
        };
        let reply = match Reply::decode(&payload) {
            Ok((id, reply))
                if flight.accepts(id, &reply) && payload.len() == flight.class.capacity() =>
            {
                reply
            }
            _ => {
                self.dropped.unexpected += 1;
                return;
            }
        };
        self.requests.answered(request, flight.path.took(now));
        self.suspects.succeeded(&flight.path, now);
        self.guards.answered(guard);
        match self.sync.owns(request) {
            true => self.sync_replied(reply, now),
            false => self.outputs.push_back(NetOutput::Reply { request, reply }),
        }
    }

    /// A part of the directory has come through an onion.
    fn sync_replied(&mut self, reply: Reply, now: Timestamp) {
        let Reply::DirectorySync(part) = reply else {
            self.sync.failed();
            return;
        };
        let Some(lister) = self.sync.page(&part) else {
            return;
        };
        let enough = self.relays.offering(Features::DIRECTORY).len() < 2;
        for bytes in part.descriptors.iter() {
            let sync = &mut self.sync;
            let vouch = |node| sync.vouch(node, lister, enough);
            if !self.relays.offer(bytes, vouch, now) {
                self.sync.has_gap();
            }
        }
    }

    /// Reply blocks to `guard` for a member of the own swarm, and their keys into the stock: as many as are
    /// wanted and one subscription can carry.
    pub(super) fn mint(
        &mut self,
        guard: NodeId,
        member: NodeId,
        swarm: &[NodeId],
        count: usize,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Option<Vec<SurbBytes>> {
        if !self.stock.has_room(member) {
            return None;
        }
        let tag = self.guards.tag(guard, rng).tag;
        let finder = self.relays.finder(self.suspects.health(), now);
        let finder = finder.avoiding(&self.suspects.now(now));
        let vanguards = self.relays.vanguards();
        let mut minted = Vec::new();
        let mut room = SubscribeBody::SURBS_ROOM;
        while minted.len() < count {
            let route = finder.own_reply_path(guard, vanguards, member, swarm, rng);
            let route = route.ok()?.0;
            let Some(rest) = room.checked_sub(SubscribeBody::surb_needs(route.suite())) else {
                break;
            };
            room = rest;
            let (surb, keys) = route.surb(tag, now, rng).ok()?;
            minted.push(SurbBytes::new(surb.encode()).ok()?);
            self.stock.add(member, guard, keys);
        }
        Some(minted)
    }
}

impl Flight {
    fn new(call: &Call, guard: NodeId, rpc: MessageId, path: &PathPair, now: Timestamp) -> Self {
        let hops = path.out.nodes().into_iter().chain(path.back.nodes());
        Self {
            path: FlightPath::by(guard, hops, path.held(), now),
            rpc,
            asked: call.request.tag(),
            class: call.class,
        }
    }
}

/// Why a request was not sent.
enum Unsent {
    /// Its guard and its target do not go together.
    AnotherGuard,
    /// They do not, says the target: it has the guard's operator or network.
    Kin,
    /// It cannot be sent.
    Failed(NetFailure),
}

impl From<PathError> for Unsent {
    fn from(error: PathError) -> Self {
        match error {
            PathError::GuardInSwarm | PathError::TargetIsGuard => Self::AnotherGuard,
            PathError::Related => Self::Kin,
            // Suites are the target's own word: it must not choose who becomes a guard.
            PathError::NoCommonSuite | PathError::Unknown(_) | PathError::TooFewRelays => {
                Self::Failed(NetFailure::NoPath)
            }
            PathError::BelowFloor(_) => Self::Failed(NetFailure::BelowFloor),
        }
    }
}

impl From<BuildError> for Unsent {
    fn from(error: BuildError) -> Self {
        Self::Failed(match error {
            BuildError::PayloadTooLong { .. } => NetFailure::TooLarge,
            BuildError::PathLength(_)
            | BuildError::DelayTooLong(_)
            | BuildError::KeyExpires(_)
            | BuildError::SurbSuite { .. }
            | BuildError::UnusableKey(..) => NetFailure::NoPath,
        })
    }
}
