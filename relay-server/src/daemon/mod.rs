//! The daemon: sockets, clocks, randomness and the disk around the core.
//!
//! ```text
//!  listener ─▶ connection task ─Event─▶ ┌────────────┐ ─Store─▶ store threads ─Stored─┐
//!  dial ─────▶ connection task ─Event─▶ │ core thread│ ◀──────────────────────────────┘
//!              ▲  one writer each       └────────────┘
//!              └────────── Outgoing ──────────┘
//! ```
//! One thread owns the core: what it does is computing, and nothing of it waits.

mod acme;
mod actor;
pub mod certificate;
mod connection;
mod dial;
mod door;
mod events;
mod http;
mod inbound;
mod listen;
mod live;
mod metrics;
mod origin;
mod outbound;
mod own_place;
mod proxy;
mod run;
mod status;
mod tls;

pub(crate) use dial::configured_tls;
pub use metrics::SERIES;
pub use run::{Controls, Prepared, RunError, Stop, lock, prepare, run};
pub use status::{CONTROL_SOCKET, Status, control_socket};
