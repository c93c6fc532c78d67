//! What a worker and the host that it runs tell each other.

use serde::{Deserialize, Serialize};
use tsify::Tsify;
use zentalk_shared::onion::Suite;

use super::ZenTalkEvent;

/// What a host is opened with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct HostOptions {
    /// Name of the IndexedDB database.
    pub database: String,
    /// Origin of the page, for links to add me.
    pub origin: String,
    /// Whether the browser believes that there is a network.
    pub online: bool,
    /// The onion suite to prefer; `x25519` unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub onion_suite: Option<OnionSuite>,
}

/// How packets are encrypted for the relays that they pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "lowercase")]
pub enum OnionSuite {
    /// Classical: small packets.
    X25519,
    /// X25519 with ML-KEM-768, also against who records packets today and has a quantum computer later.
    /// Packets are twice as large.
    XWing,
    /// RSA-4096. Slow for relays; few offer it.
    Rsa4096,
}

impl From<OnionSuite> for Suite {
    fn from(suite: OnionSuite) -> Self {
        match suite {
            OnionSuite::X25519 => Self::X25519,
            OnionSuite::XWing => Self::XWing,
            OnionSuite::Rsa4096 => Self::Rsa4096,
        }
    }
}

/// What a host tells the worker that runs it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Tsify)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum HostNotice {
    /// For every tab.
    Event {
        /// What happened.
        event: Box<ZenTalkEvent>,
    },
    /// Another tab took over; this host does nothing any more.
    Replaced,
}
