//! What a worker and the host that it runs tell each other.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tsify::Tsify;
use zentalk_shared::onion::{MixMode, Suite};

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
    /// Rather nothing is sent than by a suite that is weaker than this one (weakest first: `x25519`, `rsa4096`, `xwing`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub onion_floor: Option<OnionSuite>,
    /// How packets are mixed; `off` unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mixing: Option<Mixing>,
}

/// How packets are encrypted for the relays that they pass: `x25519` is classical, with small packets; `xwing` adds
/// ML-KEM-768, also against who records packets today and has a quantum computer later, and makes packets twice as large;
/// `rsa4096` is slow for relays, and few offer it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Tsify)]
pub struct OnionSuite(#[tsify(type = "\"x25519\" | \"xwing\" | \"rsa4096\"")] pub Suite);

impl Serialize for OnionSuite {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.name())
    }
}

impl<'de> Deserialize<'de> for OnionSuite {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let suite = Suite::from_name(&name).map(Self);
        suite.ok_or_else(|| D::Error::custom("not the name of an onion suite"))
    }
}

/// How packets are mixed, so that who watches relays or wires cannot follow them by time: `light` has each relay hold a
/// packet for 0.1 s on average and sends a packet to itself every 30 s, which is 3 MB an hour; `strong` 1 s, every 5 s,
/// 17 MB an hour (twice that with `xwing`); `off` does neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Tsify)]
pub struct Mixing(#[tsify(type = "\"off\" | \"light\" | \"strong\"")] pub MixMode);

impl Serialize for Mixing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.name())
    }
}

impl<'de> Deserialize<'de> for Mixing {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let mode = MixMode::from_name(&name).map(Self);
        mode.ok_or_else(|| D::Error::custom("not the name of a way to mix"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_declaration_names_every_suite() {
        let names = Suite::ALL.map(|suite| format!("\"{}\"", suite.name()));
        assert!(names.iter().all(|name| OnionSuite::DECL.contains(name)));
    }

    #[test]
    fn the_declaration_names_every_way_to_mix() {
        let names = MixMode::ALL.map(|mode| format!("\"{}\"", mode.name()));
        assert!(names.iter().all(|name| Mixing::DECL.contains(name)));
        assert!(serde_json::from_str::<Mixing>("\"medium\"").is_err());
    }
}
