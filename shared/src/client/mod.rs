//! The client engine: one [`Client`] per device, driven by a host that owns clock, sockets and store.
//! DESIGN §7.
//!
//! ```text
//!   inputs ──▶ Turn ──reads──▶ host's store
//!                │ ◀─loaded──────┘
//!                ▼
//!              Batch { writes, effects }: the host commits the writes in one transaction, fence checked in
//!              it; then it sends and shows. A failed commit sends nothing: the engine is dropped, restored.
//! ```
//! Live protocol state is in memory, history and idle sessions stay in the store. Nothing here waits,
//! sleeps or knows the time: `now` and the generator are arguments.

mod absent;
mod account;
mod api;
mod commands;
mod contacts;
mod device_lists;
mod discovery;
mod engine;
mod former;
mod held;
mod housekeeping;
mod inbox;
mod lookup;
mod mailbox;
mod my_swarm;
pub mod net;
mod outbox;
mod publication;
mod publishing;
mod query;
mod records;
mod renewal;
mod requests;
mod sealing;
mod seen;
pub mod store;
mod turn;
mod verification;
pub mod view;
mod work;

pub use account::{CertifiedAccount, NewAccount, NewAccountError};
pub use api::{Batch, Command, CommandError, Effect, Event, Input, Internal};
pub use engine::{Client, Config, RestoreError, StockConfig};
pub use net::{Bootstrap, LinkId, NetConfig};
pub use outbox::MAX_ITEMS;
pub use query::{MAX_PAGE, Query};
pub use records::{MAX_NAME_LEN, MAX_TEXT_LEN, RecordError};
pub use turn::Turn;
pub use work::{WorkId, WorkJob};

#[cfg(test)]
mod tests;
