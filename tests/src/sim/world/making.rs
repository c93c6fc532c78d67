//! Making a world: its relays, its clients, and what is going to happen.

use std::net::SocketAddr;

use rand::RngExt;
use zentalk_shared::client::{
    Bootstrap, Client, Config, Input as ClientInput, NetConfig, StockConfig,
};
use zentalk_shared::identity::ContactCode;
use zentalk_shared::onion::{Suite, Suites};
use zentalk_shared::time::Duration;

use super::{Happening, World};
use crate::sim::client_host::{ClientHost, Crash};
use crate::sim::clock::Clock;
use crate::sim::plan::Mutation;
use crate::sim::relay_host::RelayHost;
use crate::sim::wire::End;

impl World {
    pub(super) fn url(index: usize) -> String {
        format!("ws://127.0.0.1:{}/v1", 9001 + index)
    }

    /// Where a relay listens.
    pub(super) fn address(end: End) -> SocketAddr {
        let port = match end {
            End::Relay(index, _) => 9001 + index,
            End::Client(..) => 1,
        };
        SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).unwrap_or(1)))
    }

    pub(super) fn make_relays(&mut self) {
        let urls: Vec<String> = (0..self.plan.relays).map(Self::url).collect();
        for index in 0..self.plan.relays {
            let suites = match index < self.plan.classical_relays {
                true => Suites::only(Suite::X25519),
                false => Suites::OFFERED,
            };
            let mut host = RelayHost::new(index, &urls, suites, self.plan.mutation, self.now);
            host.lies = index + self.plan.liars >= self.plan.relays;
            host.clock = Clock::of(index, self.plan.skew);
            if self.sightings.is_some() {
                host.watch();
            }
            host.start(self.now, &mut self.rng);
            self.relays.push(host);
            self.settle_relay(index, Vec::new());
        }
    }

    pub(super) fn make_clients(&mut self) {
        let bootstrap = (0..self.plan.relays.min(3)).map(|index| Bootstrap {
            node: self.relays[index].node(),
            url: Self::url(index),
        });
        let stock = StockConfig {
            surbs: 6,
            prekeys: 4,
        };
        let config = Config {
            net: NetConfig {
                bootstrap: bootstrap.collect(),
                suites: Suites::preferring(self.plan.suite),
                floor: self.plan.floor,
                mixing: self.plan.mixing,
            },
            stock,
        };
        for index in 0..self.plan.clients {
            let mut host = ClientHost::new(index, config.clone(), self.now, &mut self.rng);
            host.clock = Clock::of(index, self.plan.skew);
            host.commits_late = self.plan.mutation == Some(Mutation::CommitAfterSend);
            let me = host.engine().map(Client::me).expect("a running engine");
            self.addresses.push(me.address);
            self.codes
                .push(ContactCode::parse(&me.code).expect("own code"));
            self.clients.push(host);
            if index + self.plan.late < self.plan.clients {
                self.client(index, ClientInput::Online(true));
            } else {
                let after = Duration::from_ms(self.plan.trouble.as_ms() / 2);
                self.schedule(after, Happening::Come(index));
            }
        }
    }

    pub(super) fn schedule_plan(&mut self) {
        let trouble = self.plan.trouble.as_ms();
        for index in 0..self.plan.messages {
            let from = self.rng.random_range(0..self.plan.clients);
            let to = (from + self.rng.random_range(1..self.plan.clients)) % self.plan.clients;
            // Half of the texts go between few pairs, so that conversations go back and forth.
            let (from, to) = if self.rng.random_bool(0.5) {
                (
                    from % 4 % self.plan.clients,
                    (from + 1) % 4 % self.plan.clients,
                )
            } else {
                (from, to)
            };
            let (from, to) = match self.plan.guard_death {
                Some(_) => (index % 2, 1 - index % 2),
                // All to the first, by all others.
                None if self.plan.survivor => (1 + index % (self.plan.clients - 1), 0),
                None => (from, to),
            };
            self.texts.push((from, to));
            let at = match self.plan.guard_death {
                // Each in its turn, with time to come to rest before the last one.
                Some(_) => 20_000 * (1 + index) as u64,
                None if self.plan.survivor => 60_000 * (1 + index) as u64,
                None => self.rng.random_range(1_000..trouble),
            };
            self.schedule(Duration::from_ms(at), Happening::Say(index));
        }
        self.schedule_losses();
        let faults = [
            (self.plan.crashes_after_commit, 0),
            (self.plan.crashes_before_commit, 1),
            (self.plan.relay_crashes, 2),
            (self.plan.cuts, 3),
            (self.plan.lost_sessions, 4),
        ];
        for (count, kind) in faults {
            for _ in 0..count {
                let at = Duration::from_ms(self.rng.random_range(5_000..trouble));
                let happening = match kind {
                    0 => Happening::CrashClient(Crash::AfterCommit),
                    1 => Happening::CrashClient(Crash::BeforeCommit),
                    2 => Happening::CrashRelay,
                    4 => Happening::LoseSessions,
                    _ => Happening::CutAny,
                };
                self.schedule(at, happening);
            }
        }
    }
}
