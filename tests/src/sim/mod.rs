//! The seeded network simulator: the real client engine and the real relay core in virtual time.
//!
//! ```text
//!   World ── queue of (time, event) ──▶ ClientHost: Client + rows that survive a crash
//!     │                                 RelayHost:  Relay + MemStore that survives a crash
//!     └── Wire: latency, loss and reordering of packets, cuts of links
//! ```
//! One thread, one generator: a seed gives the same run every time. Nothing sleeps; virtual time jumps from
//! event to event. What is lost or reordered are onion packets (`RelayForward`, `Deliver`), which relays
//! may drop and delay; the other frames of a link arrive in order until the link is cut, as on TCP.

mod checker;
mod client_host;
mod clock;
mod mesh;
mod plan;
mod recording;
mod relay_host;
mod report;
mod sightings;
mod wire;
mod world;

pub use checker::{Checker, Sent, Violation};
pub use client_host::{ClientHost, Turned};
pub use clock::Skew;
pub use mesh::Mesh;
pub use plan::{GuardDeath, Mutation, Plan};
pub use recording::{Recording, hex};
pub use report::Report;
pub use sightings::{Peer, Sight, Sighting, Sightings};
pub use world::World;
