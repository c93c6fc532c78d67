//! Packets: one layer off, then on to the next relay, to a client, or to the services here.

use std::collections::VecDeque;

use zentalk_shared::id::{ConnectionTag, NodeId, SurbId};
use zentalk_shared::onion::Peeled;
use zentalk_shared::time::Duration;
use zentalk_shared::wire::{Tag, encode_frame};

use super::io::{Metric, Output};
use super::relay::{Relay, Step, Timer};
use super::tags::Delivery;

/// Packets on their way.
#[derive(Debug)]
pub(super) struct Forwarder {
    /// Held back by their sender's delay.
    delayed: usize,
    /// From this relay to itself: a reply whose first hop is where the request ended.
    own: VecDeque<Vec<u8>>,
}

impl Forwarder {
    pub(super) const fn new() -> Self {
        Self {
            delayed: 0,
            own: VecDeque::new(),
        }
    }
}

impl Relay {
    /// A packet has come from a client or another relay. Whatever is wrong with it, nobody is told.
    pub(super) fn on_packet(&mut self, packet: Vec<u8>, step: &mut Step<'_>) {
        self.log_soon(step);
        match self.directory.keys().peel(packet, step.now, &mut step.rng) {
            Err(error) => self.count(Metric::PacketDropped(error.label())),
            Ok(Peeled::Forward {
                next,
                delay,
                packet,
            }) => self.forward(next, delay, packet, step),
            Ok(Peeled::Deliver { tag, surb_id, body }) => self.deliver(&tag, surb_id, &body, step),
            Ok(Peeled::Process {
                surb: Some(surb),
                payload,
            }) => {
                self.on_request(surb, &payload, step);
            }
            // Nobody could be told what became of it.
            Ok(Peeled::Process { surb: None, .. }) => {
                self.count(Metric::PacketDropped("no_reply_block"));
            }
        }
    }

    fn forward(&mut self, next: NodeId, delay: Duration, packet: Vec<u8>, step: &mut Step<'_>) {
        if delay == Duration::ZERO {
            return self.send_packet(next, packet, step);
        }
        if self.forwarder.delayed >= self.config.limits.delayed {
            return self.count(Metric::PacketDropped("delayed"));
        }
        self.forwarder.delayed += 1;
        self.timers
            .set(step.now + delay, Timer::Forward(next, packet));
    }

    pub(super) fn forward_delayed(&mut self, next: NodeId, packet: Vec<u8>, step: &mut Step<'_>) {
        self.forwarder.delayed = self.forwarder.delayed.saturating_sub(1);
        self.send_packet(next, packet, step);
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

    /// Peels what this relay has sent to itself. Each packet has at most four hops, so this ends.
    pub(super) fn peel_own_packets(&mut self, step: &mut Step<'_>) {
        while let Some(packet) = self.forwarder.own.pop_front() {
            self.on_packet(packet, step);
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
