//! Writing down what happens, where somebody wants to know.

use zentalk_shared::client::Client;

use super::{Report, World};
use crate::sim::plan::Plan;
use crate::sim::recording::Recording;
use crate::sim::relay_host::RelayHost;
use crate::sim::sightings::Sightings;
use crate::sim::wire::End;

impl World {
    /// Plays the run to its end; what every relay sees of it, from the first frame on.
    pub fn run_seen(plan: Plan) -> (Report, Sightings) {
        let mut world = Self::prepared(plan, Some(Sightings::default()));
        world.play();
        let mut sightings = world.sightings.take().unwrap_or_default();
        let record = |relay: &RelayHost| relay.onion_record().unwrap_or_default();
        sightings.onion_records = world.relays.iter().map(record).collect();
        let node = |relay: &RelayHost| *relay.node().as_bytes();
        sightings.nodes = world.relays.iter().map(node).collect();
        sightings.codes.clone_from(&world.codes);
        (world.finish(), sightings)
    }

    /// Everybody's names, and what is stored already; from now on, everything.
    pub(super) fn watch(&mut self) {
        let mut recording = Recording::default();
        for (index, relay) in self.relays.iter().enumerate() {
            recording.relay(index, relay.node());
        }
        for (index, client) in self.clients.iter_mut().enumerate() {
            recording.client(index, self.addresses[index], &self.codes[index]);
            client.watch();
            recording.rows(index, &client.take_written());
        }
        self.recording = Some(recording);
    }

    /// A frame reaches a relay that runs.
    pub(super) fn see_came(&mut self, here: End, there: End, frame: &[u8]) {
        if let (Some(sightings), End::Relay(relay, _)) = (&mut self.sightings, here)
            && self.relays[relay].is_up()
        {
            sightings.came(self.now, here, there, frame);
        }
    }

    /// Operations that a relay has submitted to its store.
    pub(super) fn see_rows(&mut self, relay: usize) {
        if let Some(sightings) = &mut self.sightings {
            for op in self.relays[relay].take_watched() {
                sightings.row(self.now, relay, op);
            }
        }
    }

    pub(super) fn record_arrived(&mut self, relay: usize, frame: &[u8]) {
        if let Some(recording) = &mut self.recording
            && self.relays[relay].is_up()
        {
            recording.arrived(self.now, relay, frame);
        }
    }

    /// What relays send, also if it is lost on the wire.
    pub(super) fn record_sent(&mut self, from: End, wire: u64, frame: &[u8]) {
        let there = self.wires.get(&wire).and_then(|wire| wire.other(from));
        if let (Some(sightings), Some(there)) = (&mut self.sightings, there) {
            sightings.sent(self.now, from, there, frame);
        }
        let (Some(recording), End::Relay(relay, _)) = (&mut self.recording, from) else {
            return;
        };
        if let Some(to) = there {
            recording.sent(self.now, relay, to, frame);
        }
    }

    /// A connection is there, for both of its ends.
    pub(super) fn record_joined(&mut self, ends: [End; 2]) {
        let Some(recording) = &mut self.recording else {
            return;
        };
        for (here, there) in [(ends[0], ends[1]), (ends[1], ends[0])] {
            if let End::Relay(relay, _) = here {
                recording.joined(self.now, relay, there);
            }
        }
    }

    /// A connection is over, for the end `here` of a wire.
    pub(super) fn record_left(&mut self, here: End, there: End) {
        if let (Some(recording), End::Relay(relay, _)) = (&mut self.recording, here) {
            recording.left(self.now, relay, there);
        }
    }

    /// What was only known at the end: the relays' keys, and what people see.
    pub(super) fn conclude_recording(&mut self) -> Recording {
        let mut recording = self.recording.take().unwrap_or_default();
        for (index, relay) in self.relays.iter().enumerate() {
            if let Some(record) = relay.onion_record() {
                recording.onion_keys(index, &record);
            }
        }
        for (index, client) in self.clients.iter().enumerate() {
            if client.engine().map(Client::me).is_none() {
                continue;
            }
            for other in 0..self.clients.len() {
                for view in self.conversation(index, other) {
                    recording.message(index, &view);
                }
            }
        }
        recording
    }
}
