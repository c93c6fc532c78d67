//! Relays that are lost or away for long, and people who are.

use rand::RngExt;
use zentalk_shared::client::Client;
use zentalk_shared::time::Duration;

use super::{Happening, Who, World};

/// The acts of [`World::survivor`], in order.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    /// The owner stops, and then one member of its swarm.
    Leaves,
    /// All other relays restart: none remembers what the member has missed.
    Restarts,
    /// The member is back.
    Returns,
    /// All other members are gone for good.
    IsAlone,
    /// The owner starts.
    IsAsked,
}

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
        for n in 0..plan.deaf_relays {
            let at = part(n, plan.deaf_relays + 1) + self.rng.random_range(hour / 6..hour);
            self.schedule(Duration::from_ms(at), Happening::Deafen);
        }
        if plan.survivor {
            let acts = [
                (3, Act::Leaves),
                (20, Act::Restarts),
                (25, Act::Returns),
                (80, Act::IsAlone),
                (90, Act::IsAsked),
            ];
            for (minutes, act) in acts {
                self.schedule(Duration::from_mins(minutes), Happening::Survivor(act));
            }
        }
        for index in 0..plan.sleepers {
            let at = Duration::from_mins(10);
            let pause = plan.trouble.as_ms().saturating_sub(hour);
            let sleep = Happening::Sleep(index, Duration::from_ms(pause));
            self.schedule(at, sleep);
        }
    }

    /// Clients that run and have a relay in their swarm.
    fn owners(&self, relay: usize) -> Vec<usize> {
        let node = self.relays[relay].node();
        let lists = |client: &usize| {
            let engine = self.clients[*client].engine();
            engine.is_some_and(|engine| engine.swarm().contains(&node))
        };
        (0..self.clients.len()).filter(lists).collect()
    }

    /// Whoever is a member of most swarms.
    fn busiest_relay(&self) -> Option<usize> {
        let candidates = (BOOTSTRAP..self.relays.len()).filter(|index| self.relays[*index].is_up());
        candidates.max_by_key(|index| self.owners(*index).len())
    }

    /// A member of many swarms is lost.
    pub(super) fn lose_relay(&mut self) {
        if let Some(index) = self.busiest_relay() {
            self.bereft += self.owners(index).len();
            self.bury(index);
        }
    }

    fn bury(&mut self, index: usize) {
        self.lost.insert(index);
        self.relays[index].crash(0);
        self.gone(Who::Relay(index));
    }

    pub(super) fn deafen(&mut self) {
        if let Some(index) = self.busiest_relay() {
            self.turned_away.extend(self.owners(index));
            self.relays[index].is_deaf = true;
            self.schedule(self.plan.deaf_for, Happening::Hear(index));
        }
    }

    pub(super) fn hear(&mut self, index: usize) {
        self.relays[index].is_deaf = false;
        let stayed = self.owners(index);
        let left = self.turned_away.iter().filter(|one| !stayed.contains(one));
        self.left += left.count();
    }

    /// A member returns that has missed mail, and when the owner comes all others are gone for good.
    pub(super) fn survivor(&mut self, act: Act) {
        let survivor = self.survivor;
        match act {
            Act::Leaves => {
                let swarm = self.swarm_of(0);
                self.survivor = swarm[0];
                self.sleepers_swarm = swarm;
                self.clients[0].stop();
                self.gone(Who::Client(0));
                self.relays[self.survivor].crash(0);
                self.gone(Who::Relay(self.survivor));
            }
            Act::Restarts => {
                for index in (0..self.relays.len()).filter(|index| *index != survivor) {
                    self.relays[index].crash(0);
                    self.gone(Who::Relay(index));
                    self.schedule(Duration::from_secs(1), Happening::StartRelay(index));
                }
            }
            Act::Returns => self.happen(Happening::StartRelay(self.survivor)),
            Act::IsAlone => {
                let others = self.sleepers_swarm.clone();
                for index in others.into_iter().filter(|index| *index != survivor) {
                    self.bereft += 1;
                    self.bury(index);
                }
            }
            Act::IsAsked => self.happen(Happening::StartClient(0)),
        }
    }

    fn swarm_of(&self, client: usize) -> Vec<usize> {
        let engine = self.clients[client].engine();
        let nodes = engine.map(Client::swarm).unwrap_or_default();
        let place = |node| self.relays.iter().position(|relay| relay.node() == node);
        nodes.into_iter().filter_map(place).collect()
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
