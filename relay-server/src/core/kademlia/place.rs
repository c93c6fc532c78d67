//! Where this relay stands: it dials its own URL and sees which address that leads to.

use core::net::SocketAddr;

use zentalk_shared::dht::{Contact, Network};
use zentalk_shared::id::NodeId;
use zentalk_shared::time::{Duration, Timestamp};

use super::super::io::{Metric, Output};
use super::super::peers::Target;
use super::super::relay::{Relay, Step};

/// While the keys are not published yet.
const NOT_READY: Duration = Duration::from_ms(500);
/// First pause after a failure; doubles from there.
const BACKOFF: Duration = Duration::from_secs(5);
/// Longest pause.
const MAX_BACKOFF: Duration = Duration::from_mins(10);
/// An address may change: it is looked up this often.
const LOOK_AGAIN: Duration = Duration::from_hours(2);

/// When to look.
pub(super) struct Place {
    /// `None`: an attempt is under way.
    due: Option<Timestamp>,
    failures: u32,
}

impl Place {
    pub(super) const fn unknown(now: Timestamp) -> Self {
        Self {
            due: Some(now),
            failures: 0,
        }
    }

    pub(super) const fn due(&self) -> Option<Timestamp> {
        self.due
    }
}

impl Relay {
    /// Looks when the timer is due next: what this relay says of itself has changed.
    pub(in crate::core) fn find_own_place_again(&mut self, now: Timestamp) {
        self.dht.place.due = self.dht.place.due.map(|_| now);
    }

    pub(super) fn look_for_own_place(&mut self, step: &Step<'_>) {
        let url = self.config.info.urls.first().cloned();
        let (Some(url), true) = (url, self.is_ready()) else {
            self.dht.place.due = Some(step.now + NOT_READY);
            return;
        };
        self.dht.place.due = None;
        let text = url.as_str().to_owned();
        let dial = self.peers.start(Target::Myself(text.clone()));
        self.output(Output::Connect(dial, text));
    }

    /// The own URL leads nowhere, or to somebody else: tried again, and meanwhile what was found before counts.
    pub(in crate::core) fn own_place_not_found(&mut self, step: &mut Step<'_>) {
        let place = &mut self.dht.place;
        let factor = 1u64.checked_shl(place.failures.min(16)).unwrap_or(u64::MAX);
        let pause = (BACKOFF * factor).min(MAX_BACKOFF);
        place.failures = place.failures.saturating_add(1);
        place.due = Some(step.now + pause + step.jitter(pause));
        self.count(Metric::Dht("own_place_not_found"));
    }

    /// This relay was met at its own URL.
    pub(in crate::core) fn own_place_found(&mut self, address: SocketAddr, step: &mut Step<'_>) {
        let url = self.config.info.urls.first().cloned();
        let network = Network::of(address.ip(), address.port(), self.config.allow_private);
        let (Some(url), Some(network)) = (url, network) else {
            return self.own_place_not_found(step);
        };
        self.dht.place = Place {
            due: Some(step.now + LOOK_AGAIN + step.jitter(LOOK_AGAIN)),
            failures: 0,
        };
        self.count(Metric::Dht("own_place_found"));
        let me = Contact::new(self.me, network, &url);
        let same = self
            .dht
            .node
            .as_ref()
            .is_some_and(|node| *node.contact() == me);
        if same {
            return;
        }
        if self.dht.begin(me, step.now).is_err() {
            self.count(Metric::Dht("table_unreadable"));
        }
        self.forget_lookups(step);
        let known = self.directory.relays().iter();
        let known: Vec<NodeId> = known.map(|relay| relay.node()).collect();
        for relay in known {
            self.dht_found(relay, step);
        }
        self.dht_publish_own(step.now);
    }
}
