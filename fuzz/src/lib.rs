//! Fuzz targets: every decoder of `shared`, fed with bytes of anybody's making.
//!
//! A target may return whatever it likes; it must not panic, and what it accepts must survive the
//! way back: encoded and decoded again, it is the same value. `cargo xtask fuzz` searches for
//! inputs that break this; those kept under `fuzz/corpus/TARGET/` replay in the ordinary tests.

use zentalk_shared::rpc::{PacketClass, Reply, Request};
use zentalk_shared::wire::{Header, decode_frame, decode_padded_frame};

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
    Target {
        name: "frame",
        run: frame,
    },
    Target {
        name: "padded_frame",
        run: padded_frame,
    },
    Target {
        name: "rpc",
        run: rpc,
    },
];

/// The target of that name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

fn frame(data: &[u8]) {
    if let Ok((header, rest)) = Header::decode(data) {
        assert_eq!([&header.encode()[..], rest].concat(), data);
    }
    if let Ok(frame) = decode_frame(data) {
        assert!(data.ends_with(frame.payload));
    }
}

fn padded_frame(data: &[u8]) {
    if let Ok(frame) = decode_padded_frame(data) {
        assert!(frame.payload.len() <= frame.tag.max_payload());
    }
}

fn rpc(data: &[u8]) {
    if let Ok((id, request)) = Request::decode(data)
        && let Ok(bytes) = request.encode(id, PacketClass::Bulk)
    {
        assert_eq!(Request::decode(&bytes), Ok((id, request)));
    }
    if let Ok((id, reply)) = Reply::decode(data)
        && let Ok(bytes) = reply.encode(id, PacketClass::Bulk)
    {
        assert_eq!(Reply::decode(&bytes), Ok((id, reply)));
    }
}
