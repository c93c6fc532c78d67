//! Wires between the ends: opened, refused, closed, and the frames on them.

use rand::RngExt;
use zentalk_relay::core::{ConnId, Dial, Input as RelayInput, Remote};
use zentalk_shared::client::Input as ClientInput;
use zentalk_shared::time::Duration;

use super::{Happening, World};
use crate::sim::wire::{End, Wire, is_packet};

impl World {
    pub(super) fn connect(&mut self, from: End, url: &str, dial: Option<Dial>) {
        let latency = self.latency();
        let target = (0..self.relays.len()).find(|index| Self::url(*index) == url);
        let Some(target) = target.filter(|index| self.relays[*index].is_up()) else {
            self.schedule(latency, Happening::Refused { end: from, dial });
            return;
        };
        self.next_wire += 1;
        let wire = self.next_wire;
        // Connections of relays are named by their wire: one number serves both ends.
        let from = match from {
            End::Relay(index, _) => End::Relay(index, ConnId(2 * wire)),
            client @ End::Client(..) => client,
        };
        let to = End::Relay(target, ConnId(2 * wire + 1));
        self.wires.insert(
            wire,
            Wire {
                ends: [from, to],
                last: [self.now; 2],
            },
        );
        self.ends.insert(from, wire);
        self.ends.insert(to, wire);
        if let Some(dial) = dial {
            self.dials.insert(wire, dial);
        }
        self.schedule(latency, Happening::Opened { wire });
    }

    pub(super) fn opened(&mut self, wire: u64) {
        let dial = self.dials.remove(&wire);
        let Some(ends) = self.wires.get(&wire).map(|wire| wire.ends) else {
            return;
        };
        // Both are still there?
        if ends.iter().any(|end| !self.ends.contains_key(end)) {
            return;
        }
        self.record_joined(ends);
        if let End::Relay(index, conn) = ends[1] {
            self.relay(index, RelayInput::Opened(conn, Remote::Accepted(None)));
        }
        match (ends[0], dial) {
            (End::Client(index, link), _) => self.client(index, ClientInput::LinkOpened(link)),
            (End::Relay(index, conn), Some(dial)) => {
                let address = Self::address(ends[1]);
                self.relay(
                    index,
                    RelayInput::Opened(conn, Remote::Dialed(dial, address)),
                );
            }
            (End::Relay(..), None) => {}
        }
    }

    pub(super) fn refused(&mut self, end: End, dial: Option<Dial>) {
        match (end, dial) {
            (End::Client(index, link), _) => self.client(index, ClientInput::LinkClosed(link)),
            (End::Relay(index, _), Some(dial)) => self.relay(index, RelayInput::DialFailed(dial)),
            (End::Relay(..), None) => {}
        }
    }

    /// The end at `side` learns that the wire is gone.
    pub(super) fn closed(&mut self, wire: u64, side: usize) {
        let Some(end) = self.wires.get(&wire).map(|wire| wire.ends[side]) else {
            return;
        };
        if self.ends.remove(&end).is_none() {
            return;
        }
        let other = self.wires[&wire].ends[1 - side];
        self.record_left(end, other);
        if !self.ends.contains_key(&other) {
            self.wires.remove(&wire);
        }
        match end {
            End::Client(index, link) => self.client(index, ClientInput::LinkClosed(link)),
            End::Relay(index, conn) => self.relay(index, RelayInput::Closed(conn)),
        }
    }

    /// The end `from` closes its wire: the other end learns of it.
    pub(super) fn close(&mut self, from: End) {
        let Some(wire) = self.ends.remove(&from) else {
            return;
        };
        let side = self
            .wires
            .get(&wire)
            .and_then(|wire| wire.side(from))
            .unwrap_or(0);
        if let Some(there) = self.wires.get(&wire).map(|wire| wire.ends[1 - side]) {
            self.record_left(from, there);
        }
        let latency = self.latency();
        self.schedule(
            latency,
            Happening::Cut {
                wire,
                side: 1 - side,
            },
        );
    }

    pub(super) fn transmit(&mut self, from: End, bytes: Vec<u8>) {
        let Some(wire) = self.ends.get(&from).copied() else {
            return;
        };
        let to = self.wires.get(&wire).and_then(|wire| wire.other(from));
        if to.is_some_and(|to| self.dies_with(from, to, &bytes)) {
            return;
        }
        let bytes = self.with_only_tag(from, bytes);
        self.record_sent(from, wire, &bytes);
        let packet = is_packet(&bytes);
        let troubled = self.now < self.calm();
        if packet && troubled && self.rng.random_range(0..100) < self.plan.loss {
            self.report.2 += 1;
            return;
        }
        let mut latency = self.latency();
        if packet && self.is_dropper(from) {
            let Some(late_by) = self.plan.late_by else {
                return;
            };
            latency = late_by;
        }
        let Some(state) = self.wires.get_mut(&wire) else {
            return;
        };
        let Some(side) = state.side(from).map(|side| 1 - side) else {
            return;
        };
        let mut at = self.now.saturating_add(latency);
        if !packet {
            at = at.max(state.last[side]);
            state.last[side] = at;
        }
        self.schedule_at(at, Happening::Frame { wire, side, bytes });
    }

    pub(super) fn arrive(&mut self, wire: u64, side: usize, bytes: Vec<u8>) {
        let Some(end) = self.wires.get(&wire).map(|wire| wire.ends[side]) else {
            return;
        };
        if !self.ends.contains_key(&end) {
            return;
        }
        match end {
            End::Client(index, link) => self.client(index, ClientInput::Frame(link, bytes)),
            End::Relay(index, conn) => {
                let there = self.wires[&wire].ends[1 - side];
                self.see_came(end, there, &bytes);
                self.record_arrived(index, &bytes);
                self.count_reached(end, &bytes);
                self.relay(index, RelayInput::Frame(conn, bytes));
            }
        }
    }

    fn is_dropper(&self, end: End) -> bool {
        let is_late = |index| index + self.plan.droppers >= self.plan.relays;
        matches!(end, End::Relay(index, _) if is_late(index))
    }

    fn count_reached(&mut self, end: End, bytes: &[u8]) {
        if !is_packet(bytes) || self.now < self.begin() || self.now > self.calm() {
            return;
        }
        let half = usize::from(self.now.since(self.begin()) * 2 > self.plan.trouble);
        let is_dropper = self.is_dropper(end);
        let (droppers, all) = &mut self.reached[half];
        *droppers += u64::from(is_dropper);
        *all += 1;
    }

    /// 10 to 60 ms, sometimes much more.
    fn latency(&mut self) -> Duration {
        let slow = self.rng.random_bool(0.02);
        Duration::from_ms(if slow {
            self.rng.random_range(200..1500)
        } else {
            self.rng.random_range(10..60)
        })
    }
}
