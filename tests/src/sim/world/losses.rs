//! Relays that are lost or away for long, and people who are.

use rand::RngExt;
use zentalk_shared::client::Client;
use zentalk_shared::time::Duration;

use super::{Happening, Who, World};

/// Relays that clients ask for the first directory stay.
const BOOTSTRAP: usize = 3;

impl World {
    /// Losses are spread over the trouble, so that each is noticed before the next.
    pub(super) fn schedule_losses(&mut self) {
        let (plan, hour) = (self.plan.clone(), Duration::from_hours(1).as_ms());
        let part = |n: usize, of: usize| {
            let n = u64::try_from(n).unwrap_or(0);
            plan.trouble.as_ms() * n / u64::try_from(of.max(1)).unwrap_or(1)
        };
        for n in 0..plan.lost_relays {
            let at = part(n, plan.lost_relays + 1) + self.rng.random_range(hour / 6..hour);
            self.schedule(Duration::from_ms(at), Happening::LoseRelay);
        }
        for n in 0..plan.relays_away + plan.relays_restored {
            let index = self.rng.random_range(BOOTSTRAP..self.relays.len());
            let at = part(n, plan.relays_away + plan.relays_restored)
                + self.rng.random_range(hour / 6..hour * 2);
            if n >= plan.relays_away {
                let before = Duration::from_ms(at.saturating_sub(hour / 6));
                self.schedule(before, Happening::BackUp(index));
            }
            self.schedule(Duration::from_ms(at), Happening::RelayAway(index));
        }
        for index in 0..plan.sleepers {
            let at = Duration::from_mins(10);
            let pause = plan.trouble.as_ms().saturating_sub(hour);
            let sleep = Happening::Sleep(index, Duration::from_ms(pause));
            self.schedule(at, sleep);
        }
    }

    /// Whoever is a member of most swarms is lost.
    pub(super) fn lose_relay(&mut self) {
        let swarms = |index: usize| {
            let node = self.relays[index].node();
            let engines = self.clients.iter().filter_map(|client| client.engine());
            engines
                .filter(|engine| engine.swarm().contains(&node))
                .count()
        };
        let candidates = (BOOTSTRAP..self.relays.len()).filter(|index| self.relays[*index].is_up());
        let Some(index) = candidates.max_by_key(|index| swarms(*index)) else {
            return;
        };
        self.bereft += swarms(index);
        self.lost.insert(index);
        self.relays[index].crash(0);
        self.gone(Who::Relay(index));
    }

    pub(super) fn back_up(&mut self, index: usize) {
        self.backups.insert(index, self.relays[index].backup());
    }

    pub(super) fn relay_away(&mut self, index: usize) {
        if !self.relays[index].is_up() {
            return;
        }
        let applied = self.rng.random_range(0..8);
        self.relays[index].crash(applied);
        self.gone(Who::Relay(index));
        if let Some(backup) = self.backups.remove(&index) {
            self.relays[index].restore(backup);
        }
        self.schedule(self.plan.away_for, Happening::StartRelay(index));
    }

    pub(super) fn sleep(&mut self, index: usize, pause: Duration) {
        self.clients[index].stop();
        self.gone(Who::Client(index));
        self.schedule(pause, Happening::StartClient(index));
    }

    /// Swarms that list a lost relay, or fewer relays than hold mail.
    pub(super) fn broken_swarms(&self) -> usize {
        let lost: Vec<_> = self.lost.iter().map(|i| self.relays[*i].node()).collect();
        if lost.is_empty() {
            return 0;
        }
        let broken = |engine: &&Client| {
            let swarm = engine.swarm();
            swarm.len() < 3 || swarm.iter().any(|node| lost.contains(node))
        };
        let engines = self.clients.iter().filter_map(|client| client.engine());
        engines.filter(broken).count()
    }
}
