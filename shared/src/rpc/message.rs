//! Requests and replies as whole messages: one frame, padded to the capacity of its packet class.

use minicbor::{Decode, Encode};
use thiserror::Error;

use super::body::{
    AcknowledgeReply, DirectorySyncReply, DirectorySyncRequest, FetchReply, PreKeyPublishReply,
    PreKeyTakeReply, PreKeyTakeRequest, Push, PutReply, PutRequest, RecordGetReply,
    RecordGetRequest, RecordPutReply, RecordPutRequest, Refused, SubscribeReply,
};
use super::owner::OwnerRequest;
use super::tombstone::Tombstone;
use crate::id::MessageId;
use crate::onion::Class;
use crate::wire::codec::{CodecError, from_cbor, to_cbor};
use crate::wire::{FrameError, Tag, decode_padded_frame, encode_padded_frame};

/// What came out of an onion is not a remote call: the fault of who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RpcError {
    /// Not a frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// Not the body of its type.
    #[error(transparent)]
    Body(#[from] CodecError),
    /// A type that has no place here.
    #[error("{} is not expected here", .0.name())]
    Unexpected(Tag),
}

/// The message does not fit the packet class that the caller chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{} does not fit a packet of its class", .0.name())]
pub struct TooLarge(pub Tag);

macro_rules! messages {
    ($(#[$doc:meta])* $enum:ident { $($(#[$item:meta])* $variant:ident($body:ty) = $tag:ident,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[allow(clippy::large_enum_variant, reason = "made, encoded and dropped; never kept in numbers")]
        pub enum $enum { $($(#[$item])* $variant($body),)* }

        impl $enum {
            /// Type of this message.
            pub const fn tag(&self) -> Tag {
                match self { $(Self::$variant(_) => Tag::$tag,)* }
            }

            /// The frame, padded to the capacity of `class`.
            pub fn encode(&self, id: MessageId, class: Class) -> Result<Vec<u8>, TooLarge> {
                let body = match self { $(Self::$variant(body) => to_cbor(body),)* };
                encode_padded_frame(self.tag(), id, &body, class.capacity()).ok_or(TooLarge(self.tag()))
            }

            /// Reads a padded frame.
            pub fn decode(bytes: &[u8]) -> Result<(MessageId, Self), RpcError> {
                let frame = decode_padded_frame(bytes)?;
                let message = match frame.tag {
                    $(Tag::$tag => Self::$variant(body(frame.payload, frame.tag)?),)*
                    other => return Err(RpcError::Unexpected(other)),
                };
                Ok((frame.id, message))
            }
        }
    };
}

fn body<'b, T: Decode<'b, ()> + Encode<()>>(payload: &'b [u8], tag: Tag) -> Result<T, CodecError> {
    from_cbor(payload, tag.max_payload())
}

messages! {
    /// To a relay.
    Request {
        /// Put an envelope.
        Put(PutRequest) = PutRequest,
        /// Owner: reply blocks for pushes.
        Subscribe(OwnerRequest) = SubscribeRequest,
        /// Owner: read what waits.
        Fetch(OwnerRequest) = FetchRequest,
        /// Owner: these have arrived.
        Acknowledge(Tombstone) = AcknowledgeRequest,
        /// Owner: prekeys to hand out.
        PreKeyPublish(OwnerRequest) = PreKeyPublishRequest,
        /// Take a prekey bundle.
        PreKeyTake(PreKeyTakeRequest) = PreKeyTakeRequest,
        /// Store an account record.
        RecordPut(RecordPutRequest) = RecordPutRequest,
        /// Read an account record.
        RecordGet(RecordGetRequest) = RecordGetRequest,
        /// Read the relay directory.
        DirectorySync(DirectorySyncRequest) = DirectorySyncRequest,
    }
}

messages! {
    /// From a relay, through a reply block.
    Reply {
        /// The envelope is durable.
        Put(PutReply) = PutReply,
        /// Stock and waiting envelopes.
        Subscribe(SubscribeReply) = SubscribeReply,
        /// Waiting envelopes.
        Fetch(FetchReply) = FetchReply,
        /// The acknowledgement is durable.
        Acknowledge(AcknowledgeReply) = AcknowledgeReply,
        /// Prekeys held.
        PreKeyPublish(PreKeyPublishReply) = PreKeyPublishReply,
        /// A prekey bundle.
        PreKeyTake(PreKeyTakeReply) = PreKeyTakeReply,
        /// The record's fate.
        RecordPut(RecordPutReply) = RecordPutReply,
        /// The record.
        RecordGet(RecordGetReply) = RecordGetReply,
        /// Part of the directory.
        DirectorySync(DirectorySyncReply) = DirectorySyncReply,
        /// Unasked: mail or a heartbeat, through the stock.
        Push(Push) = Push,
        /// In place of any reply.
        Refused(Refused) = Refused,
    }
}
