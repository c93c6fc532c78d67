//! What a worker and the host that it runs tell each other.

use serde::{Deserialize, Serialize};
use tsify::Tsify;

use super::{OnionSuite, ZenTalkEvent};

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
