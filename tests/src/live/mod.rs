//! People at native hosts and relay processes, on real sockets and in real time; and what the relay's own tests share
//! with these, in [`by_hand`].
//!
//! ```text
//!   talk: texts, and whether all have arrived ─▶ people: engines, sockets, what is shown ─▶ sim's Checker
//!   relay: a process, its folder and its end
//! ```
//! What lies between them is the tests' to say: wires (`faults`), or namespaces and a router (`netns`).

pub mod by_hand;
mod people;
mod programs;
mod relay;
mod talk;

pub use people::{Access, Clock, People, connect};
pub use programs::{free_port, program_folder};
pub use relay::{RelayProcess, Setup, parse_node};
pub use talk::{percentile, spread};
