//! What goes into the engine and what comes out of it.

use thiserror::Error;

use super::inbox::Delivered;
use super::lookup::StartSession;
use super::net::LinkId;
use super::outbox::ItemId;
use super::store::Write;
use super::view::{
    Connection, ContactView, ConversationView, Me, MessageState, MessageView, Network, Notice,
};
use super::work::{WorkId, WorkJob};
use crate::id::{Address, DeviceId, EnvelopeId, MessageId, NodeId};
use crate::identity::ContactCode;
use crate::rpc::{EnvelopeBytes, Work};
use crate::session::{Fragment, PeerDevice, SessionMessage};
use crate::time::Duration;

/// What happens to an engine.
#[derive(Debug)]
pub enum Input {
    /// The WebSocket that [`Effect::Open`] asked for is open.
    LinkOpened(LinkId),
    /// It could not be opened, or it has closed.
    LinkClosed(LinkId),
    /// One binary message has arrived on it.
    Frame(LinkId, Vec<u8>),
    /// The time of [`super::Client::next_timeout`] has come.
    Timer,
    /// The host's opinion on whether there is a network at all.
    Online(bool),
    /// The host has done what [`Effect::Work`] asked for.
    Worked(WorkId, Work),
    /// A person or a program wants something. Check it first with [`super::Client::check`].
    Command(Command),
    /// A step of the same turn.
    Internal(Internal),
}

/// A step that must be committed together with the input that caused it.
#[derive(Debug)]
pub struct Internal(pub(super) Step);

#[derive(Debug)]
pub(super) enum Step {
    /// An envelope has come from a member of my swarm, under its own id.
    Envelope {
        member: NodeId,
        id: EnvelopeId,
        bytes: Box<EnvelopeBytes>,
    },
    /// Its fragment has been opened.
    Fragment(Box<Fragment>),
    /// A whole session message: whose record is it?
    SessionMessage(Box<SessionMessage>),
    /// It is of this device's record.
    Decrypt {
        message: Box<SessionMessage>,
        peer: PeerDevice,
    },
    /// Its plaintext, from a device that was verified.
    Content(Box<Delivered>),
    /// Encrypt what waits for this contact.
    Seal(Address),
    /// A prekey bundle has been taken and verified.
    StartSession(Box<StartSession>),
    /// An outgoing message's state has changed; `None`: show it again.
    Progress {
        item: ItemId,
        state: Option<MessageState>,
    },
    /// Rotate or refill prekeys and publish them.
    PreKeys,
    /// Forget the oldest envelopes that were seen, if it is time.
    SweepSeen,
    /// Something happened to a conversation: say so in it.
    Notice(Address, Notice),
    /// These devices of a contact are no longer on its list.
    EndSessions {
        address: Address,
        devices: Vec<DeviceId>,
    },
    /// Send these texts to a contact once more.
    Resend {
        address: Address,
        ids: Vec<MessageId>,
    },
}

/// What a person or a program wants. Each is idempotent: doing it again changes nothing more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Add a person by code.
    AddContact {
        /// Who.
        code: ContactCode,
        /// My name for them.
        name: Option<String>,
    },
    /// Name a contact.
    RenameContact {
        /// Who.
        address: Address,
        /// The new name.
        name: String,
    },
    /// Name myself.
    Rename {
        /// The new name.
        name: String,
    },
    /// Send a text.
    Send {
        /// To whom.
        address: Address,
        /// Drawn by the caller; the same id is sent once.
        id: MessageId,
        /// What.
        text: String,
    },
    /// Try a failed message again.
    Retry {
        /// To whom.
        address: Address,
        /// Which.
        id: MessageId,
    },
    /// I have seen this conversation.
    MarkRead {
        /// With whom.
        address: Address,
    },
    /// I have compared safety numbers with this contact, or take it back. Either way what waited because
    /// their devices had changed is sent.
    SetVerified {
        /// Whose.
        address: Address,
        /// Whether they were the same.
        verified: bool,
    },
    /// Nobody is to write to me by the permit that my contacts have, but for those whom I tell of another: all of
    /// them, with their next message from me. Who does not know it falls back to first contact.
    RenewWriteSecret {
        /// The permit that they have counts for as long as this, at most 30 days; zero ends it at once.
        overlap: Duration,
    },
    /// I accept that a verified contact's devices have changed, without comparing again.
    AcceptKeys {
        /// Whose.
        address: Address,
    },
}

/// Why a command was not taken: the caller's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CommandError {
    /// The code is the account's own.
    #[error("this is your own code")]
    OwnCode,
    /// No such contact.
    #[error("there is no such contact")]
    UnknownContact,
    /// Nothing to send.
    #[error("a message needs some text")]
    EmptyText,
    /// Longer than 16 KiB.
    #[error("the message is too long: {0} bytes, at most 16384")]
    TextTooLong(usize),
    /// Longer than 64 characters, or empty.
    #[error("a name has 1 to 64 characters")]
    Name,
    /// Their account keys have not been looked up yet.
    #[error("the keys of this contact are not known yet")]
    KeysUnknown,
    /// A thousand messages wait already.
    #[error("too many messages are waiting to be sent")]
    OutboxFull,
}

/// What the host is to do after the commit, in order.
#[derive(Debug)]
pub enum Effect {
    /// Open a WebSocket.
    Open {
        /// Its name from now on.
        link: LinkId,
        /// Where to.
        url: String,
    },
    /// Send one binary message.
    Frame {
        /// On which link.
        link: LinkId,
        /// What.
        bytes: Vec<u8>,
    },
    /// Close a WebSocket.
    Close {
        /// Which.
        link: LinkId,
    },
    /// Do a piece of proof of work, beside everything else; its result is [`Input::Worked`]. There is one at a time.
    Work(WorkJob),
    /// Tell whoever listens.
    Event(Event),
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// My name.
    Me(Me),
    /// A contact is new or has changed.
    Contact(ContactView),
    /// A conversation is new, has a new message, or was read.
    Conversation(ConversationView),
    /// A message is new, or its state has changed.
    Message(MessageView),
    /// The link to the network.
    Connection(Connection),
    /// The relays known.
    Network(Network),
}

/// Everything that a turn wants done.
#[derive(Debug, Default)]
pub struct Batch {
    /// To commit in one transaction, before anything else. Later writes of a key win.
    pub writes: Vec<Write>,
    /// To carry out in order, after the commit.
    pub effects: Vec<Effect>,
    /// Steps that belong to the same turn.
    pub(super) steps: Vec<Step>,
}

impl Batch {
    pub(super) fn put(&mut self, row: super::store::Row) {
        self.writes.push(Write::Put(row));
    }

    pub(super) fn event(&mut self, event: Event) {
        self.effects.push(Effect::Event(event));
    }

    pub(super) fn step(&mut self, step: Step) {
        self.steps.push(step);
    }
}
