//! What an operator does besides running a relay: set it up, check it, look at it, copy it.

mod check;
mod init;
mod probe;
mod status;

pub use check::{Finding, Verdict, check};
pub use init::{Init, InitError, init};
pub use status::{StatusError, describe, status};
