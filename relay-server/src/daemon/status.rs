//! What the operator asks a running relay, through a socket in its data directory.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::actor;
use super::certificate::Certificate;
use crate::core::Relay;
use crate::files;
use crate::store;

/// The socket's name in the data directory, which only its owner may enter.
pub const CONTROL_SOCKET: &str = "control.sock";

/// Counts of the core at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    ready: bool,
    connections: [usize; 3],
    relays_linked: usize,
    relays_known: usize,
    mailboxes: usize,
    dht: Option<[usize; 3]>,
}

impl Seen {
    pub(super) fn of(relay: &Relay) -> Self {
        Self {
            ready: relay.is_ready(),
            connections: relay.connections(),
            relays_linked: relay.linked_relays(),
            relays_known: relay.known_relays(),
            mailboxes: relay.mailboxes_held(),
            dht: relay.dht_holdings(),
        }
    }
}

/// How a relay is. Numbers only: nothing here names a client, an address or a mailbox.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Status {
    /// Its version.
    pub version: String,
    /// Its NodeId.
    pub node: String,
    /// Its URL.
    pub url: String,
    /// It serves.
    pub ready: bool,
    /// Seconds since it started.
    pub uptime_seconds: u64,
    /// Clients connected.
    pub clients: usize,
    /// Connections to and from other relays.
    pub relay_connections: usize,
    /// Connections that have not said yet what they are.
    pub other_connections: usize,
    /// Relays linked.
    pub relays_linked: usize,
    /// Relays known, itself included.
    pub relays_known: usize,
    /// Mailboxes held.
    pub mailboxes: usize,
    /// Relays in the table of the DHT; none until this relay has found its own URL, like the next two.
    pub dht_contacts: Option<usize>,
    /// Records held for the DHT.
    pub dht_records: Option<usize>,
    /// Their bytes.
    pub dht_bytes: Option<usize>,
    /// Size of the database and its log.
    pub database_bytes: u64,
    /// Free on its disk.
    pub disk_free_bytes: Option<u64>,
    /// When its certificate ends, in seconds since 1970; none without TLS, or before the first one.
    pub certificate_until: Option<u64>,
    /// What the operator should see to.
    pub notices: Vec<String>,
}

/// What is known outside the core.
#[derive(Debug)]
pub(super) struct Reporter {
    pub(super) node: String,
    pub(super) url: String,
    pub(super) data_dir: PathBuf,
    pub(super) started: Instant,
    pub(super) certificate: Option<Arc<Certificate>>,
    pub(super) notices: Notices,
}

/// Things to see to, by what they are about; a new one takes the place of the old one.
#[derive(Clone, Debug, Default)]
pub(super) struct Notices(Arc<Mutex<std::collections::BTreeMap<&'static str, String>>>);

impl Notices {
    pub(super) fn set(&self, about: &'static str, notice: String) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(about, notice);
    }

    pub(super) fn clear(&self, about: &'static str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(about);
    }

    fn all(&self) -> Vec<String> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.values().cloned().collect()
    }
}

impl Reporter {
    /// `seen` is none if the core does not answer.
    pub(super) fn report(&self, seen: Option<Seen>) -> Status {
        let mut notices = self.notices.all();
        if seen.is_none() {
            notices.push("the core does not answer".to_owned());
        }
        let seen = seen.unwrap_or_default();
        let [clients, relay_connections, other_connections] = seen.connections;
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            node: self.node.clone(),
            url: self.url.clone(),
            ready: seen.ready,
            uptime_seconds: self.started.elapsed().as_secs(),
            clients,
            relay_connections,
            other_connections,
            relays_linked: seen.relays_linked,
            relays_known: seen.relays_known,
            mailboxes: seen.mailboxes,
            dht_contacts: seen.dht.map(|[contacts, ..]| contacts),
            dht_records: seen.dht.map(|[_, records, _]| records),
            dht_bytes: seen.dht.map(|[.., bytes]| bytes),
            database_bytes: store::size(&self.data_dir),
            disk_free_bytes: files::free_bytes(&self.data_dir),
            certificate_until: self.certificate_until(),
            notices,
        }
    }

    fn certificate_until(&self) -> Option<u64> {
        let (_, until) = self.certificate.as_ref()?.validity()?;
        Some(until.as_ms() / 1000)
    }

    /// Gauges of what the core does not know.
    pub(super) fn set_gauges(&self) {
        super::metrics::set_surroundings(
            store::size(&self.data_dir),
            files::free_bytes(&self.data_dir),
            self.certificate_until()
                .map(|until| until as f64 - (actor::now().as_ms() / 1000) as f64),
        );
    }
}

/// Where the socket of a data directory is.
pub fn control_socket(data_dir: &Path) -> PathBuf {
    data_dir.join(CONTROL_SOCKET)
}
