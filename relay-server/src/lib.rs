//! The relay: a core without IO and a thin daemon around it.
//!
//! ```text
//!  main ─▶ config ─▶ daemon ─┬─ http, connection, dial: sockets
//!                            ├─ actor ─▶ core: what a relay is
//!                            └─ store: SQLite, one writer
//!      └▶ operator: init, check, status, backup
//! ```

pub mod config;
pub mod core;
pub mod daemon;
pub mod files;
pub mod identity;
pub mod log;
pub mod open_files;
pub mod operator;
pub mod store;
