//! The disk of the daemon: SQLite in WAL mode with `synchronous = FULL`, one writer with group commit.
//!
//! ```text
//!  core ─StoreOp─▶ writer thread: drain the queue ─▶ one transaction ─▶ COMMIT (fsync) ─▶ answers
//!        └reads──▶ reader thread, on its own connection
//! ```
//! Onion keys lie in a file of their own, replaced whole, so that a key of a past epoch does not linger
//! in freed pages of the database.

mod backup;
mod damage;
mod db;
mod dht;
mod keep;
mod mailbox;
mod schema;
mod sweep;
mod threads;
mod tombstones;

pub use backup::{BackupError, Summary, backup, restore};
pub use damage::{Damage, SetAside, examine, set_aside, size};
pub use db::{Db, DbOptions, OpenError};
pub use threads::{Answer, SharedOptions, Started, StoreThreads};
