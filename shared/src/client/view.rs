//! What hosts show: plain values without keys or protocol bytes.

use minicbor::{Decode, Encode};

use crate::id::{Address, MessageId};
use crate::onion::{MixMode, Suite};
use crate::time::Timestamp;

/// The account of this engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Me {
    /// Who I am.
    pub address: Address,
    /// What others need to reach me: bech32m text.
    pub code: String,
    /// The name that I give to others.
    pub name: String,
    /// When the account was made.
    pub created: Timestamp,
}

/// How a contact came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// I added their code.
    Added,
    /// They wrote first.
    Incoming,
}

/// What a person has made of a contact's safety number. Stored by number: append only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Verification {
    /// Not compared.
    #[default]
    #[n(0)]
    Unverified,
    /// Compared, and the same at both ends.
    #[n(1)]
    Verified,
    /// Compared; since then the contact's devices have changed, and nothing is sent until the person
    /// accepts it or verifies again.
    #[n(2)]
    Changed,
}

/// A person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContactView {
    /// Who they are.
    pub address: Address,
    /// Their contact code, when known.
    pub code: Option<String>,
    /// My name for them, or the one that they claim.
    pub name: String,
    /// Since when.
    pub added: Timestamp,
    /// How.
    pub origin: Origin,
    /// Whether their safety number was compared.
    pub verification: Verification,
}

/// One conversation of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConversationView {
    /// With whom.
    pub contact: ContactView,
    /// The newest message.
    pub last: Option<MessageView>,
    /// Incoming messages not yet read.
    pub unread: u32,
}

/// Why a message is still `Sending`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitReason {
    /// No guard is connected.
    Offline,
    /// Too few relays offer an onion suite that may be used: see [`Onion::BelowFloor`].
    OnionBelowFloor,
    /// Their record or prekeys are being looked up.
    LookingUpContact,
    /// No relay has heard of them, several times over: they have not been online yet, or their code is
    /// wrong. The search goes on.
    ContactNotFound,
    /// Relays have been asked and have not answered yet.
    WaitingForRelays,
    /// A relay wants proof of work for mail to somebody who has not answered yet: this device computes it.
    Preparing,
    /// An attempt failed; another follows.
    Retrying,
    /// The contact's devices have changed since they were verified: a person is to accept it first.
    KeysChanged,
}

/// Why a message will not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailReason {
    /// No relay knows the contact.
    ContactNotFound,
    /// Seven days of attempts are over.
    Expired,
    /// The contact's published keys do not verify.
    ContactKeysInvalid,
}

/// Where an outgoing message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageState {
    /// Durable here, not yet on a majority of the recipient's relays.
    Sending(Option<WaitReason>),
    /// On the disks of `held` of `of` relays.
    Sent {
        /// Relays that hold it.
        held: u8,
        /// Relays that should.
        of: u8,
    },
    /// On the recipient's device.
    Delivered(Timestamp),
    /// Shown to the recipient.
    Read(Timestamp),
    /// Given up.
    Failed(FailReason),
}

/// Who wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// They did.
    In,
    /// I did, and this is where it is.
    Out(MessageState),
    /// Nobody: something happened to the conversation. No text.
    Notice(Notice),
}

/// What happened to a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Encryption with this contact was set up anew, because one side had lost it.
    SessionRenewed,
    /// The contact has a device that was not known before, or one of them has other keys.
    KeysChanged,
    /// A first message goes to devices that none of them has confirmed for more than a week: whoever withholds what
    /// the contact has published since could hide that one of them is theirs no longer.
    DevicesUnconfirmed {
        /// When one of them last did.
        since: Timestamp,
    },
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageView {
    /// Its id, the same at both ends.
    pub id: MessageId,
    /// The conversation.
    pub address: Address,
    /// Who wrote, and where it is.
    pub direction: Direction,
    /// What.
    pub text: String,
    /// Sender's clock.
    pub sent: Timestamp,
    /// Place in the conversation: unique within it.
    pub order: u64,
}

/// A page of a conversation, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessagePage {
    /// The messages.
    pub messages: Vec<MessageView>,
    /// Pass as `before` for the page above; `None` at the top.
    pub before: Option<u64>,
}

/// The link to the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// Not trying: the host said that there is no network.
    Offline,
    /// Trying.
    Connecting {
        /// Which attempt since the last success, from 1.
        attempt: u32,
        /// When the next one starts, if none is under way.
        retry: Option<Timestamp>,
    },
    /// A guard is connected.
    Online {
        /// Since when.
        since: Timestamp,
        /// At least one member of my swarm can push to me.
        receiving: bool,
    },
}

/// What a small network cannot give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrivacyWarning {
    /// Under 12 relays: path rules are relaxed.
    FewRelays,
    /// Under 3 relays: one relay may see both ends.
    OneRelay,
}

/// How packets are encrypted for the relays that they pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Onion {
    /// In this way.
    InUse {
        /// By this suite, but for requests to relays that lack it, which go by another that is allowed.
        suite: Suite,
        /// A stronger one is preferred, and too few relays offer it.
        weaker: bool,
    },
    /// Not at all: too few relays offer this suite or a stronger one, and the host has said never to use a weaker one.
    /// Nothing is sent, and nothing received.
    BelowFloor {
        /// The weakest suite that is allowed.
        floor: Suite,
    },
}

/// The relays known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// How many.
    pub relays: u32,
    /// Relays on a path.
    pub hops: u8,
    /// What is lost.
    pub warning: Option<PrivacyWarning>,
    /// How packets are encrypted.
    pub onion: Onion,
}

/// How packets are mixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mixing {
    /// What the host has asked for.
    pub mode: MixMode,
    /// What became of this run's loops.
    pub loops: Loops,
}

/// Packets that the client has sent to itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loops {
    /// All of them.
    pub sent: u64,
    /// Came back.
    pub returned: u64,
    /// Did not come back in time, or changed.
    pub lost: u64,
}
