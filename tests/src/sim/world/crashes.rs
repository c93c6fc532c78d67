//! Processes that crash, and links that are cut.

use rand::RngExt;
use zentalk_shared::time::Duration;

use super::{Happening, Who, World};

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
}
