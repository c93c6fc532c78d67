//! What went wrong, as a code for programs and a sentence for a person.

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tsify::Tsify;

use super::StorageFailure;

/// Kinds of failure that an application can tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub enum ErrorCode {
    /// Not a contact code, nor a link that holds one.
    BadCode,
    /// One's own contact code.
    OwnCode,
    /// No such contact.
    UnknownContact,
    /// No such message.
    UnknownMessage,
    /// Longer than messages may be.
    TooLarge,
    /// Nothing but white space.
    EmptyText,
    /// The contact's keys have not been looked up yet: there is no safety number.
    KeysUnknown,
    /// Needs an identity, and there is none.
    NoIdentity,
    /// There is an identity already.
    IdentityExists,
    /// The browser's storage does not work.
    Storage,
    /// The browser lacks something essential.
    UnsupportedBrowser,
    /// The client was closed.
    Closed,
    /// A fault of ours.
    Internal,
}

/// A failure. Every rejection of the JavaScript API carries one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Tsify, Error)]
#[error("{message}")]
pub struct ApiError {
    /// For programs.
    pub code: ErrorCode,
    /// A sentence for a person.
    pub message: String,
}

impl ApiError {
    /// With the sentence that belongs to the code.
    pub fn new(code: ErrorCode) -> Self {
        Self::with(code, code.sentence())
    }

    /// With a sentence of its own.
    pub fn with(code: ErrorCode, message: &str) -> Self {
        Self {
            code,
            message: message.to_owned(),
        }
    }

    /// A name is empty or too long.
    pub fn name() -> Self {
        Self::with(ErrorCode::TooLarge, "A name has 1 to 64 characters.")
    }

    /// The store does not work.
    pub fn storage(why: StorageFailure) -> Self {
        Self::with(ErrorCode::Storage, why.sentence())
    }
}

impl ErrorCode {
    const fn sentence(self) -> &'static str {
        match self {
            Self::BadCode => "This is not a ZenTalk contact code, or a character of it is wrong.",
            Self::OwnCode => "This is your own contact code.",
            Self::UnknownContact => "This person is not among your contacts.",
            Self::UnknownMessage => "This message is not in this browser.",
            Self::TooLarge => "This message is too long: 16 KiB is the limit.",
            Self::EmptyText => "There is no text to send.",
            Self::KeysUnknown => {
                "The keys of this person are not known yet. They are looked up when you first write to \
                 them."
            }
            Self::NoIdentity => "There is no identity in this browser yet.",
            Self::IdentityExists => "There is an identity in this browser already.",
            Self::Storage => "The browser's storage does not work.",
            Self::UnsupportedBrowser => "This browser lacks something that ZenTalk needs.",
            Self::Closed => "ZenTalk was closed in this tab.",
            Self::Internal => "Something went wrong inside ZenTalk. Reloading the page may help.",
        }
    }
}

impl StorageFailure {
    const fn sentence(self) -> &'static str {
        match self {
            Self::Quota => {
                "There is no space left for this site. Free some on the disk, then try again."
            }
            Self::Unavailable => {
                "The browser does not let ZenTalk store anything. Private windows and strict \
                 settings can cause this."
            }
            Self::Corrupt => {
                "What this browser stored for ZenTalk was changed or damaged and cannot be read."
            }
        }
    }
}
