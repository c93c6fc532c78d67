//! What goes wrong: processes that end, sessions that are lost, wires that break.

use rand::RngExt;
use zentalk_shared::time::Duration;

use super::{Happening, Who, World};
use crate::sim::wire::End;

impl World {
    pub(super) fn crash_relay(&mut self) {
        let index = self.rng.random_range(0..self.relays.len());
        if !self.relays[index].is_up() {
            return;
        }
        self.report.0 += 1;
        let applied = self.rng.random_range(0..8);
        self.relays[index].crash(applied);
        self.gone(Who::Relay(index));
        let pause = Duration::from_ms(self.rng.random_range(200..30_000));
        self.schedule(pause, Happening::StartRelay(index));
    }

    /// A client restarts from a store in which its sessions are missing.
    pub(super) fn lose_sessions(&mut self) {
        let index = self.rng.random_range(0..self.clients.len());
        self.clients[index].lose_sessions();
        self.gone(Who::Client(index));
        self.schedule(Duration::from_secs(1), Happening::StartClient(index));
    }

    pub(super) fn cut_any(&mut self) {
        let count = self.wires.len();
        if count == 0 {
            return;
        }
        let chosen = self.rng.random_range(0..count);
        if let Some(wire) = self.wires.keys().nth(chosen).copied() {
            for side in 0..2 {
                self.schedule(Duration::from_ms(1), Happening::Cut { wire, side });
            }
        }
    }

    /// A process is gone: its wires break, its timers mean nothing.
    pub(super) fn gone(&mut self, who: Who) {
        *self.lives.entry(who).or_default() += 1;
        self.timers.remove(&who);
        let mine = |end: &End| match (*end, who) {
            (End::Client(a, _), Who::Client(b)) | (End::Relay(a, _), Who::Relay(b)) => a == b,
            _ => false,
        };
        let broken: Vec<(u64, usize)> = self
            .wires
            .iter()
            .filter_map(|(id, wire)| wire.ends.iter().position(mine).map(|side| (*id, side)))
            .collect();
        for (wire, side) in broken {
            self.ends.remove(&self.wires[&wire].ends[side]);
            self.schedule(
                Duration::from_ms(20),
                Happening::Cut {
                    wire,
                    side: 1 - side,
                },
            );
        }
        if let Who::Relay(index) = who {
            self.syncing[index] = false;
        }
    }
}
