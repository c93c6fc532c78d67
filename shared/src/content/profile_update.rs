//! A changed introduction, sent when there is nothing else to say.

use minicbor::{Decode, Encode};

use super::introduction::Introduction;
use crate::time::Timestamp;

/// The sender's name, mailbox, write permission or keys have changed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ProfileUpdate {
    /// When, by the sender's clock: the latest counts.
    #[n(0)]
    pub sent_at: Timestamp,
    /// Sequence of the sender's own device list.
    #[n(1)]
    pub list_sequence: u64,
    /// How things are now.
    #[n(3)]
    pub introduction: Introduction,
}
