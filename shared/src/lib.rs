//! The ZenTalk protocol: formats, cryptography and the client engine as pure state machines.
//!
//! Nothing here opens a socket, reads a clock, draws randomness or touches a disk: bytes, `now` and a
//! generator come in; bytes, records and events go out. The browser, the relay, the API server and the
//! simulator drive the same code.
//!
//! ```text
//!  text ─▶ content ─▶ ratchet ─▶ session: fragment, seal ─▶ rpc: Put ─▶ onion: wrap ─▶ wire ─▶ guard
//!            ▲           ▲               ▲                                  ▲
//!            │        x3dh: first key    identity: to which devices         crypto: a KEM per hop
//!  text ◀─ content ◀─ ratchet ◀─ session: open, join ◀───── rpc: Push ◀─ onion: reply block ◀─ guard
//! ```
//!
//! Modules are listed lowest first; each imports only from those above it.

#[macro_use]
mod macros;

pub mod time;

pub mod id;

pub mod wire;

pub mod crypto;

pub mod identity;

pub mod x3dh;

pub mod ratchet;

pub mod session;

pub mod content;

pub mod onion;

pub mod rpc;

pub mod dht;

pub mod client;

#[cfg(test)]
mod test_support;
