//! The bootstrap list: relays that a new client asks for the directory.
//!
//! ```text
//!   { "version": 1, "relays": [ { "node": "<40 hex digits>", "url": "wss://…" } ] }
//! ```

use serde::Deserialize;
use thiserror::Error;
use zentalk_shared::client::Bootstrap;
use zentalk_shared::id::NodeId;

use crate::hex;
use crate::link::is_allowed;

/// Longest list that is looked at, in bytes.
const MAX_LEN: usize = 64 * 1024;
/// More relays than that are of no use to a first start.
const MAX_RELAYS: usize = 64;

/// The text is no bootstrap list: whoever serves it made a mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BootstrapError {
    /// More than 64 KiB.
    #[error("the bootstrap list is longer than 64 KiB")]
    TooLong,
    /// Not JSON of the right shape.
    #[error("the bootstrap list is not JSON of the expected shape")]
    Shape,
    /// Another version than 1.
    #[error("the bootstrap list has version {0}, not 1")]
    Version(u32),
    /// Not a single relay that can be used.
    #[error("the bootstrap list names no usable relay")]
    Empty,
}

#[derive(Deserialize)]
struct List {
    version: u32,
    relays: Vec<Relay>,
}

#[derive(Deserialize)]
struct Relay {
    node: String,
    url: String,
}

/// Reads a list. Relays that cannot be used (no node id, neither TLS nor this machine) are left out.
pub fn parse(text: &str) -> Result<Vec<Bootstrap>, BootstrapError> {
    if text.len() > MAX_LEN {
        return Err(BootstrapError::TooLong);
    }
    let list: List = serde_json::from_str(text).map_err(|_| BootstrapError::Shape)?;
    if list.version != 1 {
        return Err(BootstrapError::Version(list.version));
    }
    let usable = list.relays.into_iter().filter_map(|relay| {
        let node = NodeId::from_bytes(hex::read(&relay.node)?);
        is_allowed(&relay.url).then_some(Bootstrap {
            node,
            url: relay.url,
        })
    });
    let relays: Vec<Bootstrap> = usable.take(MAX_RELAYS).collect();
    if relays.is_empty() {
        return Err(BootstrapError::Empty);
    }
    Ok(relays)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(version: u32, node: &str, url: &str) -> String {
        format!(r#"{{"version":{version},"relays":[{{"node":"{node}","url":"{url}"}}]}}"#)
    }

    #[test]
    fn a_list_is_read() {
        let node = "0a".repeat(20);
        let relays = parse(&list(1, &node, "ws://127.0.0.1:9001/v1")).unwrap();
        assert_eq!(relays.len(), 1);
        assert_eq!(relays[0].node, NodeId::from_bytes([10; 20]));
        assert_eq!(relays[0].url, "ws://127.0.0.1:9001/v1");
    }

    #[test]
    fn what_is_no_list_is_refused_with_its_reason() {
        let node = "0a".repeat(20);
        let refused = |text: &str| parse(text).map(|_| ()).unwrap_err();
        assert_eq!(refused("<!doctype html>"), BootstrapError::Shape);
        assert_eq!(refused(r#"{"version":1}"#), BootstrapError::Shape);
        let newer = list(2, &node, "wss://a.example/v1");
        assert_eq!(refused(&newer), BootstrapError::Version(2));
        let insecure = list(1, &node, "ws://a.example/v1");
        assert_eq!(refused(&insecure), BootstrapError::Empty);
        let short = list(1, "0a", "wss://a.example/v1");
        assert_eq!(refused(&short), BootstrapError::Empty);
        assert_eq!(refused(&" ".repeat(MAX_LEN + 1)), BootstrapError::TooLong);
    }
}
