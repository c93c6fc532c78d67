//! Messages, and pages of them.

use serde::{Deserialize, Serialize};
use tsify::Tsify;

use super::{MessageState, NoticeKind};

/// Who wrote a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub enum Direction {
    /// I did.
    Out,
    /// They did.
    In,
    /// Nobody: something happened, see `notice`. No text.
    Notice,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// 32 hex digits, the same at both ends.
    pub id: String,
    /// The conversation's contact.
    pub address: String,
    /// Who wrote.
    pub direction: Direction,
    /// What.
    pub text: String,
    /// The sender's clock.
    pub sent_at: u64,
    /// Local order within the conversation.
    pub ordered_at: u64,
    /// Only of `out`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<MessageState>,
    /// Only of `notice`, and always there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<NoticeKind>,
    /// Only of the notice `devicesUnconfirmed`, and always there: when they were last confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
}

/// A place in a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct Cursor {
    /// Order of the message that stands there.
    pub ordered_at: u64,
    /// Its id.
    pub id: String,
}

/// Part of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct MessagePage {
    /// Oldest first.
    pub messages: Vec<Message>,
    /// Present when older ones exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Cursor>,
}
