//! The daemon: sockets, clocks, randomness and the disk around the core.
//!
//! ```text
//!  listener ─▶ connection task ─Event─▶ ┌────────────┐ ─Store─▶ store threads ─Stored─┐
//!  dial ─────▶ connection task ─Event─▶ │ core thread│ ◀──────────────────────────────┘
//!              ▲  one writer each       └────────────┘
//!              └────────── Outgoing ──────────┘
//! ```
//! One thread owns the core: what it does is computing, and nothing of it waits.

mod actor;
mod connection;
mod dial;
mod door;
mod http;
mod metrics;
mod origin;
mod run;

pub use run::{RunError, Stop, prepare, run};
