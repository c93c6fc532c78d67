//! What relays say to each other about the DHT: four requests and four replies. PROTOCOL §11.
//!
//! A reply repeats the frame id of its request. All travel on links whose ends have proven their NodeIds, so there
//! is no sender in a body that could be missing or forged, and a reply cannot be sent to somebody who has not asked.

use minicbor::{Decode, Encode};
use thiserror::Error;

use super::admission::{Cost, Proof};
use super::bucket::K;
use super::contact::Contact;
use super::record::{DhtRecordBytes, RecordId, RecordKind};
use crate::id::{MessageId, Position, RecordKey};
use crate::wire::codec::{BoundedList, CodecError, from_cbor, to_cbor};
use crate::wire::{Frame, Tag, encode_frame};

/// Contacts of one reply.
pub type Contacts = BoundedList<Contact, K>;

/// Asks for a `PongReply`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PingRequest {}

/// Asks to hold a record.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct StoreRequest {
    /// What the record is.
    #[n(0)]
    pub kind: RecordKind,
    /// The record.
    #[n(1)]
    pub record: DhtRecordBytes,
    /// What admission asks for, if it asks for something.
    #[n(2)]
    pub proof: Option<Proof>,
}

/// Asks for the contacts nearest to a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct FindNodeRequest {
    /// The point.
    #[n(0)]
    pub target: Position,
}

/// Asks for a record, and for the contacts nearest to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct FindValueRequest {
    /// What the record is.
    #[n(0)]
    pub kind: RecordKind,
    /// Its key.
    #[n(1)]
    pub key: RecordKey,
}

/// Is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PongReply {}

/// What has become of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct StoredReply {
    /// The outcome.
    #[n(0)]
    pub outcome: StoreOutcome,
    /// The sequence of the record that is held now, if one is.
    #[n(1)]
    pub sequence: Option<u64>,
    /// What a proof must be worth, if that was lacking.
    #[n(2)]
    pub cost: Option<Cost>,
}

/// What a `StoreRequest` came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum StoreOutcome {
    /// On disk.
    #[n(0)]
    Stored,
    /// One of the same or a higher sequence is held.
    #[n(1)]
    Held,
    /// Malformed, not signed by its key, over, or of another kind.
    #[n(2)]
    Bad,
    /// The proof is worth too little.
    #[n(3)]
    Costs,
    /// No room.
    #[n(4)]
    Full,
    /// Too many others are nearer.
    #[n(5)]
    Far,
    /// Later, perhaps.
    #[n(6)]
    Busy,
}

/// Contacts nearest to what was asked for, the nearest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct NodesReply {
    /// The contacts.
    #[n(0)]
    pub contacts: Contacts,
}

/// The record that was asked for, and contacts nearest to it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ValueReply {
    /// The record.
    #[n(0)]
    pub record: DhtRecordBytes,
    /// The contacts.
    #[n(1)]
    pub contacts: Contacts,
    /// What was shown for its admission: who brings it to others needs it.
    #[n(2)]
    pub proof: Option<Proof>,
}

/// A message is not one of the DHT's, or not well-formed: the fault of who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MessageError {
    /// Not the body of its type.
    #[error(transparent)]
    Body(#[from] CodecError),
    /// A type of another part of the protocol.
    #[error("{} is not the DHT's", .0.name())]
    Unexpected(Tag),
}

macro_rules! messages {
    ($(#[$doc:meta])* $enum:ident { $($(#[$item:meta])* $variant:ident($body:ty) = $tag:ident,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum $enum { $($(#[$item])* $variant($body),)* }

        impl $enum {
            /// Type of this message.
            pub const fn tag(&self) -> Tag {
                match self { $(Self::$variant(_) => Tag::$tag,)* }
            }

            /// The frame.
            pub fn encode(&self, id: MessageId) -> Vec<u8> {
                let body = match self { $(Self::$variant(body) => to_cbor(body),)* };
                encode_frame(self.tag(), id, &body)
            }

            /// Reads the body of a frame.
            pub fn decode(frame: &Frame<'_>) -> Result<Self, MessageError> {
                let (payload, max) = (frame.payload, frame.tag.max_payload());
                match frame.tag {
                    $(Tag::$tag => Ok(Self::$variant(from_cbor(payload, max)?)),)*
                    other => Err(MessageError::Unexpected(other)),
                }
            }
        }
    };
}

messages! {
    /// What one relay asks of another.
    Request {
        /// Are you there?
        Ping(PingRequest) = DhtPing,
        /// Hold this record.
        Store(StoreRequest) = DhtStore,
        /// Whom do you know near a point?
        FindNode(FindNodeRequest) = DhtFindNode,
        /// Have you this record?
        FindValue(FindValueRequest) = DhtFindValue,
    }
}

messages! {
    /// What it answers.
    Reply {
        /// Yes.
        Pong(PongReply) = DhtPong,
        /// What has become of the record.
        Stored(StoredReply) = DhtStored,
        /// Contacts.
        Nodes(NodesReply) = DhtNodes,
        /// The record, and contacts.
        Value(ValueReply) = DhtValue,
    }
}

/// Whether a frame is the DHT's.
pub const fn is_dht(tag: Tag) -> bool {
    matches!(
        tag,
        Tag::DhtPing
            | Tag::DhtPong
            | Tag::DhtStore
            | Tag::DhtStored
            | Tag::DhtFindNode
            | Tag::DhtFindValue
            | Tag::DhtNodes
            | Tag::DhtValue
    )
}

impl FindValueRequest {
    /// Which record.
    pub const fn id(&self) -> RecordId {
        RecordId {
            kind: self.kind,
            key: self.key,
        }
    }
}

impl StoredReply {
    /// An outcome that needs no more words.
    pub const fn of(outcome: StoreOutcome) -> Self {
        Self {
            outcome,
            sequence: None,
            cost: None,
        }
    }
}

const _: () = {
    // Contacts: 20 of the longest, with NodeId, network, URL and their CBOR heads.
    let contacts = K * (1 + (1 + 21) + (1 + 19) + (1 + 3 + super::contact::MAX_URL_LEN)) + 8;
    assert!(contacts <= Tag::DhtNodes.max_payload());
    let record = super::record::MAX_LEN + 16 + super::admission::MAX_PROOF_LEN;
    assert!(record + contacts <= Tag::DhtValue.max_payload());
    assert!(record <= Tag::DhtStore.max_payload());
};
