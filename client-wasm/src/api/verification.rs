//! Safety numbers, and what a person is told when keys change.

use serde::{Deserialize, Serialize};
use tsify::Tsify;

/// What a person has made of a contact's safety number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub enum Verification {
    /// Not compared.
    Unverified,
    /// Compared, and the same at both ends.
    Verified,
    /// Verified, and since then the contact's devices have changed: nothing is sent to them until
    /// `acceptKeys` or `setVerified`.
    Changed,
}

/// What two people compare to be sure that nobody sits between them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct SafetyNumber {
    /// 60 digits, the same at both ends; to be shown in twelve groups of five.
    pub digits: String,
    /// Text for a QR code that the other end scans; 114 characters, upper case.
    pub qr: String,
}

/// What a scanned QR code says about a safety number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub enum SafetyComparison {
    /// Both ends see the same two accounts.
    Match,
    /// The other end sees another account, or the code is a third person's.
    Different,
    /// Something else was scanned, or it is damaged.
    NotASafetyNumber,
    /// A safety number of a version that this software does not know.
    OtherVersion,
}

/// What happened to a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub enum NoticeKind {
    /// Encryption with this contact was set up anew, because one side had lost it.
    SessionRenewed,
    /// The contact has a device that was not known before, or one of them has other keys.
    KeysChanged,
    /// A first message goes to devices that none of them has confirmed for more than a week: `since` of the message
    /// says when one last did. They may be away, or somebody withholds what they have published since.
    DevicesUnconfirmed,
}
