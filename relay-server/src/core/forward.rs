//! Packets: one layer off, then on to the next relay, to a client, or to the services here.

use std::collections::{HashMap, VecDeque};

use zentalk_shared::id::{ConnectionTag, NodeId, SurbId};
use zentalk_shared::onion::{PeelError, Peeled, suite_of};
use zentalk_shared::time::Duration;
use zentalk_shared::wire::{Tag, encode_frame};

use super::io::{ConnId, Metric, Output};
use super::relay::{Relay, Step, Timer};
use super::tags::Delivery;

/// One relay may have this part of all packets held back: they come from many senders.
const RELAY_SHARE: usize = 4;

/// A packet held back by its sender's delay.
#[derive(Debug)]
pub(super) struct Held {
    from: Option<ConnId>,
    next: NodeId,
    packet: Vec<u8>,
}

/// Packets on their way.
#[derive(Debug)]
pub(super) struct Forwarder {
    /// Held back by their sender's delay.
    delayed: usize,
    /// Of these, by the connection they came from; `None`: from this relay itself.
    delayed_of: HashMap<Option<ConnId>, usize>,
    /// From this relay to itself: replies whose first hop is where the request ended. Who asked has paid for the peeling.
    own: VecDeque<Vec<u8>>,
}

impl Forwarder {
    pub(super) fn new() -> Self {
        Self {
            delayed: 0,
            delayed_of: HashMap::new(),
            own: VecDeque::new(),
        }
    }

    /// How many are held back.
    pub(super) const fn delayed(&self) -> usize {
        self.delayed
    }

    /// Takes a place among the delayed, if there is one in all and for who has sent it.
    fn hold(&mut self, from: Option<ConnId>, in_all: usize, each: usize) -> bool {
        let held = self.delayed_of.get(&from).copied().unwrap_or(0);
        let room = self.delayed < in_all && held < each;
        if room {
            self.delayed += 1;
            self.delayed_of.insert(from, held + 1);
        }
        room
    }

    fn release(&mut self, from: Option<ConnId>) {
        self.delayed = self.delayed.saturating_sub(1);
        if let Some(held) = self.delayed_of.get_mut(&from) {
            *held -= 1;
            if *held == 0 {
                self.delayed_of.remove(&from);
            }
        }
    }
}

impl Relay {
    /// A packet has come from a client or another relay, or (`None`) is this relay's own. Whatever is wrong with it, nobody
    /// is told.
    pub(super) fn on_packet(&mut self, from: Option<ConnId>, packet: Vec<u8>, step: &mut Step<'_>) {
        let suite = suite_of(&packet);
        let paid = |suite| from.is_none() || self.pay_for_peeling(from, &[suite], step);
        if !suite.is_none_or(paid) {
            return self.count(Metric::PacketDropped("cost"));
        }
        let peeled = self.directory.keys().peel(packet, step.now, &mut step.rng);
        if let (Some(suite), true) = (suite, has_authenticated(&peeled)) {
            self.log_soon(step);
            self.count(Metric::Peeled(suite.name()));
            self.publish_without_spent_keys(step);
        }
        match peeled {
            Err(error) => self.count(Metric::PacketDropped(error.label())),
            Ok(Peeled::Forward {
                next,
                delay,
                packet,
            }) => self.forward(from, next, delay, packet, step),
            Ok(Peeled::Deliver { tag, surb_id, body }) => self.deliver(&tag, surb_id, &body, step),
            Ok(Peeled::Process {
                surb: Some(surb),
                payload,
            }) => {
                self.on_request(from, surb, &payload, step);
            }
            // Nobody could be told what became of it.
            Ok(Peeled::Process { surb: None, .. }) => {
                self.count(Metric::PacketDropped("no_reply_block"));
            }
        }
    }

    fn forward(
        &mut self,
        from: Option<ConnId>,
        next: NodeId,
        delay: Duration,
        packet: Vec<u8>,
        step: &mut Step<'_>,
    ) {
        // The relays of a path are distinct. Who makes one peel again and again would pay for the first layer only.
        if next == self.me {
            return self.count(Metric::PacketDropped("loop"));
        }
        if delay == Duration::ZERO {
            return self.send_packet(next, packet, step);
        }
        let limits = self.config.limits;
        let each = match from.is_some_and(|conn| self.is_client(conn)) {
            true => limits.delayed_of_client,
            false => limits.delayed / RELAY_SHARE,
        };
        if !self.forwarder.hold(from, limits.delayed, each) {
            return self.count(Metric::PacketDropped("delayed"));
        }
        self.count(Metric::Delayed);
        let held = Held { from, next, packet };
        self.timers.set(step.now + delay, Timer::Forward(held));
    }

    pub(super) fn forward_delayed(&mut self, held: Held, step: &mut Step<'_>) {
        self.forwarder.release(held.from);
        self.send_packet(held.next, held.packet, step);
    }

    /// Sends a packet to its next relay, in a frame whose id says nothing about the one it came in.
    pub(super) fn send_packet(&mut self, next: NodeId, packet: Vec<u8>, step: &mut Step<'_>) {
        if next == self.me {
            return self.forwarder.own.push_back(packet);
        }
        self.count(Metric::Forwarded);
        let frame = encode_frame(Tag::RelayForward, step.id(), &packet);
        self.send_to_relay(next, frame, step);
    }

    /// Peels what this relay has sent to itself: answers, of which each comes here once.
    pub(super) fn peel_own_packets(&mut self, step: &mut Step<'_>) {
        while let Some(packet) = self.forwarder.own.pop_front() {
            self.on_packet(None, packet, step);
        }
    }

    fn deliver(&mut self, tag: &ConnectionTag, surb: SurbId, body: &[u8], step: &mut Step<'_>) {
        let payload = [surb.as_bytes(), body].concat();
        let frame = encode_frame(Tag::Deliver, step.id(), &payload);
        match self.tags.deliver(tag, &frame, step.now) {
            Delivery::Send(conn) => {
                self.count(Metric::Delivered);
                self.output(Output::Send(conn, frame));
            }
            Delivery::Kept => self.count(Metric::Delivered),
            Delivery::Dropped => self.count(Metric::PacketDropped("no_client")),
        }
    }
}

/// Whether the packet was made for a key of this relay, by whomever: then its tag is in the filter.
const fn has_authenticated(peeled: &Result<Peeled, PeelError>) -> bool {
    match peeled {
        Ok(_) => true,
        Err(error) => matches!(
            error,
            PeelError::Command(_) | PeelError::BadBody | PeelError::Surb(_)
        ),
    }
}
