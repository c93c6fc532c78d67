//! What people send each other: the plaintext of the ratchet. PROTOCOL §9.
//!
//! ```text
//!   Content ──encode(MessageId)──▶ one frame: header[32] ‖ CBOR body ──▶ ratchet
//! ```
//! The frame's message id is the MessageId; it exists nowhere outside the ratchet.
//!
//! ```ignore
//! enum Content { Message(DirectMessage), Receipt(Receipt), Profile(ProfileUpdate), Typing(Typing), Presence(Presence) }
//! content.encode(id: MessageId) -> Vec<u8>
//! Content::decode(plaintext: &[u8]) -> Result<(MessageId, Content), ContentError>
//! display_name(&str) -> Option<String>
//! ```
//!
//! Nothing here says who sent it: that is what [`session`](crate::session) proved. A body from a later
//! version decodes as far as it is known; a type that is not known is [`ContentError::Unsupported`],
//! to be acknowledged and passed over.

mod direct_message;
mod display_name;
mod introduction;
mod presence;
mod profile_update;
mod receipt;
mod typing;

use minicbor::Encode;
use thiserror::Error;
use zeroize::Zeroizing;

pub use direct_message::{DirectMessage, MAX_TEXT_LEN};
pub use display_name::{MAX_NAME_CHARS, display_name};
pub use introduction::{Introduction, MAX_MAILBOX_DESCRIPTOR_LEN, MAX_NAME_LEN};
pub use presence::{Availability, Presence};
pub use profile_update::ProfileUpdate;
pub use receipt::{MAX_RECEIPT_IDS, Receipt, ReceiptIds, ReceiptKind};
pub use typing::Typing;

use crate::id::MessageId;
use crate::wire::codec::{CodecError, from_cbor, to_secret_cbor};
use crate::wire::{FrameError, Tag, decode_frame, encode_frame};

/// One thing that somebody sends to somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A message to read.
    Message(DirectMessage),
    /// Messages have been delivered, or read.
    Receipt(Receipt),
    /// Name, mailbox or keys of the sender have changed.
    Profile(ProfileUpdate),
    /// The sender is typing, or has stopped.
    Typing(Typing),
    /// The sender is there, or not.
    Presence(Presence),
}

/// A plaintext is not content; the fault of the peer, whose session authenticated it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ContentError {
    /// Not a frame.
    #[error(transparent)]
    Frame(FrameError),
    /// A type that this version does not know, or that has no place here.
    #[error("content of type {0:#06x} is not supported")]
    Unsupported(u16),
    /// The body is malformed or beyond its bounds.
    #[error(transparent)]
    Body(#[from] CodecError),
}

impl Content {
    /// The type of the frame.
    pub const fn tag(&self) -> Tag {
        match self {
            Self::Message(_) => Tag::DirectMessage,
            Self::Receipt(_) => Tag::Receipt,
            Self::Profile(_) => Tag::ProfileUpdate,
            Self::Typing(_) => Tag::Typing,
            Self::Presence(_) => Tag::Presence,
        }
    }

    /// What it says about its sender, if it does.
    pub const fn introduction(&self) -> Option<&Introduction> {
        match self {
            Self::Message(message) => message.introduction.as_ref(),
            Self::Profile(update) => Some(&update.introduction),
            Self::Receipt(_) | Self::Typing(_) | Self::Presence(_) => None,
        }
    }

    /// The sequence of the sender's own device list, if it says so.
    pub const fn list_sequence(&self) -> Option<u64> {
        match self {
            Self::Message(message) => Some(message.list_sequence),
            Self::Profile(update) => Some(update.list_sequence),
            Self::Receipt(_) | Self::Typing(_) | Self::Presence(_) => None,
        }
    }

    /// The frame, with `id` as the MessageId.
    pub fn encode(&self, id: MessageId) -> Vec<u8> {
        let body = match self {
            Self::Message(body) => body_of(body),
            Self::Receipt(body) => body_of(body),
            Self::Profile(body) => body_of(body),
            Self::Typing(body) => body_of(body),
            Self::Presence(body) => body_of(body),
        };
        encode_frame(self.tag(), id, &body)
    }

    /// Reads exactly one frame of content.
    pub fn decode(plaintext: &[u8]) -> Result<(MessageId, Self), ContentError> {
        let frame = decode_frame(plaintext).map_err(|error| match error {
            FrameError::Tag(unknown) => ContentError::Unsupported(unknown.0),
            other => ContentError::Frame(other),
        })?;
        let max = frame.tag.max_payload();
        let content = match frame.tag {
            Tag::DirectMessage => Self::Message(from_cbor(frame.payload, max)?),
            Tag::Receipt => Self::Receipt(from_cbor(frame.payload, max)?),
            Tag::ProfileUpdate => Self::Profile(from_cbor(frame.payload, max)?),
            Tag::Typing => Self::Typing(from_cbor(frame.payload, max)?),
            Tag::Presence => Self::Presence(from_cbor(frame.payload, max)?),
            other => return Err(ContentError::Unsupported(other as u16)),
        };
        Ok((frame.id, content))
    }
}

/// Texts, and the secret of an introduction: no copy is left behind.
fn body_of<T: Encode<()>>(body: &T) -> Zeroizing<Vec<u8>> {
    to_secret_cbor(body)
}

#[cfg(test)]
mod tests;
