//! People at native hosts and relay processes, on real sockets and in real time.
//!
//! ```text
//!   talk: texts, and whether all have arrived ─▶ people: engines, sockets, what is shown ─▶ sim's Checker
//!   relay: a process, its folder and its end
//! ```
//! What lies between them is the tests' to say: wires (`faults`), or namespaces and a router (`netns`).

mod people;
mod relay;
mod talk;

pub use people::{Clock, People};
pub use relay::{RelayProcess, Setup};
