//! A message to read.

use minicbor::{Decode, Encode};

use super::introduction::Introduction;
use crate::time::Timestamp;
use crate::wire::codec::BoundedText;

/// The longest text, in bytes of UTF-8.
pub const MAX_TEXT_LEN: usize = 16_384;

/// A one-to-one message.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct DirectMessage {
    /// When the sender sent it, by its clock.
    #[n(0)]
    pub sent_at: Timestamp,
    /// Sequence of the sender's own device list: a higher one than known means that it has changed.
    #[n(1)]
    pub list_sequence: u64,
    /// What it says.
    #[n(2)]
    pub text: Option<BoundedText<MAX_TEXT_LEN>>,
    /// On every message until the peer has answered, and whenever it changed.
    #[n(3)]
    pub introduction: Option<Introduction>,
}
