//! Typing notices: shown for a few seconds, never stored.

use minicbor::{Decode, Encode};

use crate::time::Timestamp;

/// The sender is typing, or has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Typing {
    /// Whether it is typing.
    #[n(0)]
    pub active: bool,
    /// When, by the sender's clock: an old notice is not shown.
    #[n(1)]
    pub at: Timestamp,
}
