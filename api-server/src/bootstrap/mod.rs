//! The list of relays that a client starts from: `/bootstrap.json`.
//!
//! ```text
//!  configured URL ─▶ keep: a task per relay ─ visit ─▶ NodeId ─▶ Bootstrap ─▶ JSON
//!                    again after an hour,      link: the handshake as types
//!                    or soon after a failure   socket: WebSocket, deadlines
//! ```
//!
//! A relay's NodeId is taken from its own descriptor, which must be signed and name the configured URL: a
//! browser then knows whom it expects behind that URL. Until every relay has answered, the list holds
//! those that have; a NodeId given in the configuration is believed as it stands.

mod keep;
mod link;
mod socket;

use std::sync::Arc;

use axum::body::Bytes;
use serde::Serialize;
use tokio::sync::watch;
use zentalk_shared::id::NodeId;

pub use keep::{Seen, Visitor, keep_all};
pub use link::VisitError;
pub use socket::SocketVisitor;

use crate::config::ConfiguredRelay;

/// Version of the list's format.
const VERSION: u32 = 1;

/// What is known of the relays so far. Clones share it.
#[derive(Clone, Debug)]
pub struct Bootstrap(Arc<watch::Sender<Known>>);

#[derive(Clone, Debug)]
struct Known {
    relays: Vec<Relay>,
    /// The list, if there is anything in it.
    json: Option<Bytes>,
    /// Waiting for the first answers is over.
    settled: bool,
}

#[derive(Clone, Debug)]
struct Relay {
    url: String,
    node: Option<NodeId>,
    /// Its first visit has ended, well or not.
    tried: bool,
}

#[derive(Serialize)]
struct List<'a> {
    version: u32,
    relays: Vec<ListedRelay<'a>>,
}

#[derive(Serialize)]
struct ListedRelay<'a> {
    node: String,
    url: &'a str,
}

impl Bootstrap {
    /// Knows what the configuration says.
    pub fn new(relays: &[ConfiguredRelay]) -> Self {
        let relays = relays.iter().map(|relay| Relay {
            url: relay.url.to_string(),
            node: relay.node,
            tried: relay.node.is_some(),
        });
        let mut known = Known {
            relays: relays.collect(),
            json: None,
            settled: false,
        };
        known.render();
        Self(Arc::new(watch::Sender::new(known)))
    }

    /// The list as JSON; `None` while no relay is known.
    pub fn json(&self) -> Option<Bytes> {
        self.0.borrow().json.clone()
    }

    /// How many relays are in the list.
    pub fn known(&self) -> usize {
        let known = self.0.borrow();
        known.relays.iter().filter(|r| r.node.is_some()).count()
    }

    /// Whether waiting for the first answers is over.
    pub fn is_settled(&self) -> bool {
        self.0.borrow().settled
    }

    /// Waiting for the first answers is over.
    pub fn settle(&self) {
        self.0.send_modify(|known| known.settled = true);
    }

    /// Resolves when the first visit of every relay has ended.
    pub async fn tried_all(&self) {
        let mut known = self.0.subscribe();
        // Infallible: the sender lives as long as `self`.
        let _ = known
            .wait_for(|known| known.relays.iter().all(|relay| relay.tried))
            .await;
    }

    /// What a visit to the relay at `position` has found: its NodeId, or that none is known any more.
    fn visited(&self, position: usize, node: Option<NodeId>) {
        self.0.send_modify(|known| {
            let Some(relay) = known.relays.get_mut(position) else {
                return;
            };
            relay.tried = true;
            if relay.node != node {
                relay.node = node;
                known.render();
            }
        });
    }
}

impl Known {
    fn render(&mut self) {
        let listed = self.relays.iter().filter_map(|relay| {
            Some(ListedRelay {
                node: relay.node?.to_string(),
                url: &relay.url,
            })
        });
        let relays: Vec<_> = listed.collect();
        let list = List {
            version: VERSION,
            relays,
        };
        self.json = match list.relays.is_empty() {
            true => None,
            false => serde_json::to_vec(&list).ok().map(Bytes::from),
        };
    }
}

#[cfg(test)]
pub(crate) mod test_relay;

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use zentalk_shared::onion::RelayUrl;

    fn relay(url: &str, node: Option<u8>) -> ConfiguredRelay {
        ConfiguredRelay {
            url: RelayUrl::parse(url).unwrap(),
            node: node.map(|byte| NodeId::from_bytes([byte; 20])),
        }
    }

    fn text(bootstrap: &Bootstrap) -> Option<String> {
        let json = bootstrap.json()?;
        Some(String::from_utf8(json.to_vec()).unwrap())
    }

    #[test]
    fn nothing_is_listed_before_anything_is_known() {
        let bootstrap = Bootstrap::new(&[relay("ws://localhost:1/v1", None)]);
        assert_eq!(bootstrap.json(), None);
        assert_eq!(bootstrap.known(), 0);
    }

    #[test]
    fn the_list_has_the_documented_form_and_the_configured_order() {
        let bootstrap = Bootstrap::new(&[
            relay("ws://localhost:1/v1", None),
            relay("wss://b.example/v1", Some(0xbb)),
        ]);
        let b = format!(
            r#"{{"node":"{}","url":"wss://b.example/v1"}}"#,
            "bb".repeat(20)
        );
        let expected = format!(r#"{{"version":1,"relays":[{b}]}}"#);
        assert_eq!(text(&bootstrap), Some(expected));

        bootstrap.visited(0, Some(NodeId::from_bytes([0x0a; 20])));
        let a = format!(
            r#"{{"node":"{}","url":"ws://localhost:1/v1"}}"#,
            "0a".repeat(20)
        );
        let expected = format!(r#"{{"version":1,"relays":[{a},{b}]}}"#);
        assert_eq!(text(&bootstrap), Some(expected));
        assert_eq!(bootstrap.known(), 2);
    }

    #[test]
    fn a_relay_can_be_forgotten_again() {
        let bootstrap = Bootstrap::new(&[relay("ws://localhost:1/v1", Some(1))]);
        bootstrap.visited(0, None);
        assert_eq!(bootstrap.json(), None);
    }

    #[test]
    fn every_first_visit_is_waited_for() {
        let relays = [
            relay("ws://localhost:1/v1", None),
            relay("ws://localhost:2/v1", None),
            relay("wss://c.example/v1", Some(3)),
        ];
        let bootstrap = Bootstrap::new(&relays);
        let have_all = || bootstrap.tried_all().now_or_never().is_some();
        assert!(!have_all());
        bootstrap.visited(0, None);
        assert!(!have_all());
        bootstrap.visited(1, Some(NodeId::from_bytes([2; 20])));
        assert!(have_all());
    }
}
