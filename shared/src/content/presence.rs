//! Presence notices: shown while they are fresh, never stored.

use minicbor::{Decode, Encode};

use crate::time::Timestamp;

/// Whether somebody is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Availability {
    /// Not there.
    #[n(0)]
    Offline,
    /// There.
    #[n(1)]
    Online,
    /// Connected, but not looking.
    #[n(2)]
    Away,
}

/// The sender is there, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Presence {
    /// Whether it is.
    #[n(0)]
    pub availability: Availability,
    /// When, by the sender's clock: an old notice is not shown.
    #[n(1)]
    pub at: Timestamp,
}
