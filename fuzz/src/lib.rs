//! Fuzz targets: every decoder of `shared`, fed with bytes of anybody's making.
//!
//! A target may return whatever it likes; it must not panic, and what it accepts must survive the
//! way back: encoded and decoded again, it is the same value. `cargo xtask fuzz` searches for inputs
//! that break this; those kept under `fuzz/corpus/TARGET/` replay in the ordinary tests. Each module
//! covers the layer of `shared` whose name it has.

pub mod client;
mod content;
pub mod devices;
mod dht;
pub mod honest;
mod identity;
mod onion;
mod ratchet;
mod relay;
mod rpc;
mod session;
mod wire;
mod x3dh;

/// A named target.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Also the name of its corpus folder.
    pub name: &'static str,
    /// What it does with an input; panics where the code under test is wrong.
    pub run: fn(&[u8]),
}

/// All targets.
pub const TARGETS: &[Target] = &[
    target("frame", wire::frame),
    target("padded_frame", wire::padded_frame),
    target("certificate", identity::certificate),
    target("device_list", identity::device_list),
    target("sealing_key", identity::sealing_key),
    target("device_secret", identity::device_secret),
    target("contact_code", identity::contact_code),
    target("safety_number", identity::safety_number),
    target("prekeys", x3dh::prekeys),
    target("prekey_secrets", x3dh::secrets),
    target("ratchet_record", ratchet::record),
    target("ratchet_two_parties", ratchet::two_parties),
    target("session_message", session::message),
    target("session_record", session::record),
    target("session_store", session::store),
    target("fragment", session::fragment),
    target("fragment_row", session::fragment_row),
    target("content", content::content),
    target("surb", onion::surb),
    target("surb_keys", onion::surb_keys),
    target("descriptor", onion::descriptor),
    target("relay_url", onion::relay_url),
    target("onion_packet", onion::packet),
    target("onion_authentic_packet", onion::authentic_packet),
    target("onion_keys", onion::onion_keys),
    target("guards", onion::guards),
    target("relay_packets", relay::packets),
    target("record_contents", rpc::record_contents),
    target("rpc", rpc::messages),
    target("dht_message", dht::message),
    target("dht_table", dht::table),
    target("dht_node", dht::node),
    target("swarm", rpc::between_members),
    target("client_rows", client::rows),
];

const fn target(name: &'static str, run: fn(&[u8])) -> Target {
    Target { name, run }
}

/// The target of that name.
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
