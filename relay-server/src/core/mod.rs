//! The relay without IO: frames, answers of the store and `now` go in; frames, operations at the store
//! and closings come out. The daemon and the simulator drive the same code.
//!
//! ```text
//!            Input::Frame                                          Output::Send
//!  links ─────────┬──────────▶ forward: peel ─┬─ next relay ─▶ peers ─────▶
//!  handshake,     │                           ├─ client ─▶ tags ──────────▶
//!  roles, rates   │                           └─ request ─▶ requests
//!                 │                                           │ mailbox, subscription, prekeys,
//!                 │                                           │ records, directory
//!                 └─ ReplicatePut … ─▶ swarm, anti_entropy ◀──┤
//!                                                             ▼ Output::Store(ticket, op)
//!  Input::Stored(ticket, answer) ─▶ After ─▶ reply through the reply block, ack to a member
//! ```
//! Nothing is acknowledged before the store has said `Ok`. Nothing that grows is without a bound.

mod admission;
mod anti_entropy;
mod claims;
mod config;
mod dial_back;
mod directory;
mod forward;
mod frames;
mod gossip;
mod handshake;
mod held;
mod io;
mod kademlia;
mod links;
mod mailbox;
pub mod mem_store;
mod opening;
mod outbox;
mod owner;
mod peeling;
mod peers;
mod prekeys;
mod proofs;
mod records;
mod relay;
mod requests;
pub mod store;
mod subscription;
mod swarm;
mod tags;
mod timers;
mod toll;

pub use admission::{Bucket, Doorkeeper, Rate};
pub use config::{CoreConfig, Limits, RelaySecrets};
pub use gossip::DIRECTORY_DEADLINE;
pub use io::{ConnId, Dial, Input, Metric, Origin, Output, Remote, Ticket};
pub use peers::MAX_OUTGOING;
pub use proofs::Proof;
pub use relay::{Relay, StartError};
pub use toll::WorkPolicy;

#[cfg(test)]
pub(crate) mod conformance;

#[cfg(test)]
mod tests;
