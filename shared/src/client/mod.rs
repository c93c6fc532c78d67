//! The client engine: one [`Client`] per device, driven by a host that owns clock, sockets and store.
//! DESIGN §7.

pub mod store;
pub mod view;
