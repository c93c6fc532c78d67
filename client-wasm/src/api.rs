//! Everything that crosses the border between Rust and TypeScript, as plain values.
//!
//! The TypeScript side of these types is `js/generated.ts`, written from them by the test
//! `typescript_declarations_are_current`: change a type here and the test says so.
//! Times are milliseconds since 1970-01-01 UTC, addresses 64 lower-case hex digits, message ids 32.

mod convert;
#[cfg(test)]
mod declarations;
mod error;
mod host;
mod message;
mod verification;

use serde::{Deserialize, Serialize};
use tsify::Tsify;

pub use convert::MeContext;
pub use error::{ApiError, ErrorCode};
pub use host::{HostNotice, HostOptions, Mixing, OnionSuite};
pub use message::{Cursor, Direction, Message, MessagePage};
pub use verification::{NoticeKind, SafetyComparison, SafetyNumber, Verification};

/// The account of this browser.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct Me {
    /// 64 hex digits.
    pub address: String,
    /// `zen1…`
    pub code: String,
    /// Origin + `/#add/zen1…`
    pub link: String,
    /// The upper-case code, for dense QR codes.
    pub qr: String,
    /// The name that others see.
    pub name: String,
    /// When the account was made.
    pub created_at: u64,
}

/// How a contact came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub enum Origin {
    /// I added their code.
    Added,
    /// They wrote first.
    Incoming,
}

/// A person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct Contact {
    /// Who they are.
    pub address: String,
    /// Their contact code, when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What this person is called here; for `incoming`, what they call themselves. May be empty.
    pub name: String,
    /// Since when.
    pub added_at: u64,
    /// How; `incoming`: they wrote first.
    pub origin: Origin,
    /// Whether their safety number was compared.
    pub verification: Verification,
}

/// One line of the list of conversations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct Conversation {
    /// With whom.
    pub contact: Contact,
    /// The newest message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_message: Option<Message>,
    /// Incoming messages not yet read.
    pub unread: u32,
}

/// Why a message is not out yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub enum WaitReason {
    /// No relay is connected.
    Offline,
    /// Too few relays offer an onion suite that may be used: see `Onion`.
    OnionBelowFloor,
    /// The contact's keys are being looked up.
    LookingUpContact,
    /// No relay has heard of the contact so far; the search goes on.
    ContactNotFound,
    /// Relays have been asked and have not answered yet.
    WaitingForRelays,
    /// A relay wants proof of work for mail to somebody who has not answered yet; it is being computed.
    Preparing,
    /// An attempt failed; another follows.
    Retrying,
    /// The devices of a verified contact have changed: see `acceptKeys` and `setVerified`.
    KeysChanged,
}

/// Why a message will not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub enum FailReason {
    /// No relay knows the contact.
    ContactNotFound,
    /// Seven days of attempts are over.
    Expired,
    /// The contact's published keys do not verify.
    ContactKeysInvalid,
    /// Longer than messages may be.
    TooLarge,
}

/// Where an outgoing message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Tsify)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum MessageState {
    /// Durable here, not yet at the relays.
    Sending {
        /// Why it is not out yet.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<WaitReason>,
    },
    /// Durable on `held` of `of` relays.
    Sent {
        /// Relays that hold it.
        held: u8,
        /// Relays that should.
        of: u8,
    },
    /// On the recipient's device.
    Delivered {
        /// Since when.
        at: u64,
    },
    /// Shown to the recipient.
    Read {
        /// Since when.
        at: u64,
    },
    /// Given up.
    Failed {
        /// Why.
        reason: FailReason,
    },
}

/// The link to the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Tsify)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Connection {
    /// Not trying: the browser says that there is no network.
    Offline,
    /// Trying.
    #[serde(rename_all = "camelCase")]
    Connecting {
        /// Which attempt since the last success, from 1.
        attempt: u32,
        /// When the next one starts, if none is under way.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_at: Option<u64>,
    },
    /// A relay is connected.
    Online {
        /// Since when.
        since: u64,
        /// The mailbox is subscribed: messages arrive by themselves.
        receiving: bool,
    },
}

/// What a small network cannot give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub enum PrivacyWarning {
    /// Under 12 relays: path rules are relaxed.
    FewRelays,
    /// Under 3 relays: one relay may see both ends.
    OneRelay,
}

/// How packets are encrypted for the relays that they pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Tsify)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Onion {
    /// In this way.
    InUse {
        /// By this suite, but for requests to relays that lack it, which go by another that is allowed.
        suite: OnionSuite,
        /// A stronger one is preferred, and too few relays offer it.
        weaker: bool,
    },
    /// Not at all: too few relays offer this suite or a stronger one, and no weaker one may be used. Nothing is sent,
    /// and nothing received.
    BelowFloor {
        /// The weakest suite that may be used.
        floor: OnionSuite,
    },
}

/// The relays known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct Network {
    /// How many.
    pub relays: u32,
    /// Relays on a path.
    pub hops: u8,
    /// What is lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub privacy_warning: Option<PrivacyWarning>,
    /// How packets are encrypted.
    pub onion: Onion,
}

/// Packets that this client has sent to itself since its engine started, so that nobody can tell when it does something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct Cover {
    /// How packets are mixed.
    pub mixing: Mixing,
    /// Packets sent to itself.
    pub sent: u32,
    /// Of these, came back.
    pub returned: u32,
    /// Of these, did not come back in time. Some relay on their way loses packets, or somebody does on the wire.
    pub lost: u32,
}

/// What this browser holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Tsify)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum State {
    /// No identity yet.
    Empty,
    /// An open one.
    Ready {
        /// The account.
        me: Me,
    },
}

/// A stage of making an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub enum CreatingStep {
    /// The RSA key of the account, in WebCrypto.
    AccountKey,
    /// Keys of this device.
    DeviceKeys,
    /// The account certifies the device.
    Certificates,
    /// To disk.
    Saving,
    /// To the relays; goes on in the background.
    Publishing,
}

/// Why the store does not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub enum StorageFailure {
    /// The disk, or what the browser allows, is full.
    Quota,
    /// The browser refuses, or closed the database.
    Unavailable,
    /// What is stored does not authenticate.
    Corrupt,
}

/// Something happened. Reaches every tab of the same identity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Tsify)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum ZenTalkEvent {
    /// An identity is being made.
    Creating {
        /// How far.
        step: CreatingStep,
    },
    /// My profile: new or changed.
    Me {
        /// As it is now.
        me: Me,
    },
    /// A contact: new or changed.
    Contact {
        /// As it is now.
        contact: Contact,
    },
    /// A conversation: new or changed.
    Conversation {
        /// As it is now.
        conversation: Conversation,
    },
    /// A new message, or one whose state changed.
    Message {
        /// As it is now.
        message: Message,
    },
    /// The link to the network changed.
    Connection {
        /// As it is now.
        connection: Connection,
    },
    /// The relays known changed.
    Network {
        /// As it is now.
        network: Network,
    },
    /// `leading`: this tab runs the engine.
    Leader {
        /// Whether this tab does.
        leading: bool,
    },
    /// The store does not work; nothing is sent until it does.
    StorageFailed {
        /// Why.
        reason: StorageFailure,
    },
    /// Every key and message of this browser is gone.
    Erased,
}

/// What a tab asks of the engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Tsify)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Request {
    /// Answered by `state`.
    State,
    /// Answered by `me`.
    Create {
        /// The name that others see.
        name: String,
        /// Set when the request is repeated because its first answer may be lost: an identity that is
        /// there by now is then the answer, not an error.
        again: bool,
    },
    /// Answered by `me`.
    Me,
    /// Answered by `me`.
    Rename {
        /// The name that others see.
        name: String,
    },
    /// Answered by `contact`.
    #[serde(rename_all = "camelCase")]
    AddContact {
        /// A code, a link, or text around either.
        code: String,
        /// What to call them here.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// Answered by `contacts`.
    Contacts,
    /// Answered by `contact`.
    RenameContact {
        /// Whom.
        address: String,
        /// What to call them here.
        name: String,
    },
    /// Answered by `conversations`, newest first.
    Conversations,
    /// Answered by `page`.
    Messages {
        /// With whom.
        address: String,
        /// Only older ones than this.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<Cursor>,
        /// At most so many; 1–100.
        limit: u32,
    },
    /// Answered by `message` when it is durable here.
    Send {
        /// To whom.
        address: String,
        /// What: 1 byte to 16 KiB of UTF-8.
        text: String,
        /// 32 hex digits; sending again with the same id sends once.
        id: String,
    },
    /// Answered by `message`.
    #[serde(rename_all = "camelCase")]
    Retry {
        /// To whom.
        address: String,
        /// Which.
        message_id: String,
    },
    /// Answered by `done`.
    MarkRead {
        /// With whom.
        address: String,
    },
    /// Answered by `safetyNumber`.
    SafetyNumber {
        /// With whom.
        address: String,
    },
    /// Answered by `comparison`; changes nothing.
    CompareSafetyNumber {
        /// With whom.
        address: String,
        /// The text of their QR code.
        scanned: String,
    },
    /// Answered by `contact`.
    SetVerified {
        /// Whose safety number.
        address: String,
        /// Whether it was compared and the same.
        verified: bool,
    },
    /// Answered by `contact`.
    AcceptKeys {
        /// Whose.
        address: String,
    },
    /// Answered by `connection`.
    Connection,
    /// Answered by `network`.
    Network,
    /// Answered by `cover`.
    Cover,
    /// Answered by `done` when it is in effect: if it changes anything, the engine has started anew by then.
    #[serde(rename_all = "camelCase")]
    SetRoute {
        /// The onion suite to prefer.
        onion_suite: OnionSuite,
        /// Rather nothing is sent than by a weaker one than this.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        onion_floor: Option<OnionSuite>,
        /// How packets are mixed.
        mixing: Mixing,
    },
    /// Answered by `done` when nothing is left.
    Erase,
}

/// What the engine answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Tsify)]
#[serde(tag = "kind", content = "value", rename_all = "camelCase")]
pub enum Answer {
    /// What this browser holds.
    State(State),
    /// My profile.
    Me(Me),
    /// One contact.
    Contact(Contact),
    /// All contacts.
    Contacts(Vec<Contact>),
    /// All conversations, newest first.
    Conversations(Vec<Conversation>),
    /// Part of a conversation.
    Page(MessagePage),
    /// One message.
    Message(Message),
    /// The link to the network.
    Connection(Connection),
    /// The relays known.
    Network(Network),
    /// Packets to itself.
    Cover(Cover),
    /// A safety number.
    SafetyNumber(SafetyNumber),
    /// What was scanned.
    Comparison(SafetyComparison),
    /// Done.
    Done,
}
