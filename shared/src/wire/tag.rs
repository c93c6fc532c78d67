//! The table of message types: every tag exactly once, with the bound of its payload.

use thiserror::Error;

use super::budget;

/// A type number that version 1 does not define.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("unknown message type {0:#06x}")]
pub struct UnknownTag(pub u16);

macro_rules! tags {
    ($($(#[$doc:meta])* $name:ident = $value:literal, $bound:expr;)*) => {
        /// What a message is. PROTOCOL §2.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum Tag { $($(#[$doc])* $name = $value,)* }

        impl Tag {
            /// Every tag, in the order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The longest payload of this type, in bytes.
            pub const fn max_payload(self) -> usize {
                match self { $(Self::$name => $bound,)* }
            }

            /// The name as PROTOCOL writes it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }
        }

        impl TryFrom<u16> for Tag {
            type Error = UnknownTag;
            fn try_from(value: u16) -> Result<Self, UnknownTag> {
                match value { $($value => Ok(Self::$name),)* other => Err(UnknownTag(other)) }
            }
        }
    };
}

const MIB: usize = 1 << 20;

tags! {
    /// First frame of who connects.
    Handshake = 0x0001, 16_384;
    /// First frame of who accepts.
    HandshakeAck = 0x0002, 16_384;
    /// Content: a one-to-one message.
    DirectMessage = 0x0003, MIB;
    /// Content: a group message.
    GroupMessage = 0x0004, MIB;
    /// Client to guard: how many deliveries have arrived.
    Ack = 0x0005, 64;
    /// An onion packet.
    RelayForward = 0x0006, budget::MAX_PACKET_LEN;
    /// Asks for a `Pong`.
    Ping = 0x0007, 64;
    /// Answers a `Ping` with its bytes.
    Pong = 0x0008, 64;
    /// Says why the link is about to close.
    Error = 0x0009, 256;
    /// Content: name, mailbox or keys of a contact have changed.
    ProfileUpdate = 0x000A, 65_536;
    /// Content: online or away.
    Presence = 0x000B, 4096;
    /// Guard to client: the body of a reply for the client's connection tag.
    Deliver = 0x0010, budget::MAX_DELIVER_LEN;
    /// Third step of a link between relays.
    LinkProof = 0x0011, 1024;
    /// Asks for the relay directory in clear.
    DirectoryGet = 0x0012, 64;
    /// Relay descriptors: 512 of the longest.
    Directory = 0x0013, 4 * MIB;
    /// Content: the other is typing.
    Typing = 0x0020, 256;
    /// Content: messages delivered or read.
    Receipt = 0x0021, 65_536;
    /// DHT, between relays: are you there?
    DhtPing = 0x0030, 64;
    /// DHT: yes.
    DhtPong = 0x0031, 64;
    /// DHT: hold this record.
    DhtStore = 0x0032, budget::MAX_RPC_LEN;
    /// DHT: what has become of it.
    DhtStored = 0x0033, 64;
    /// DHT: whom do you know near a point?
    DhtFindNode = 0x0034, 64;
    /// DHT: have you this record, or whom do you know near it?
    DhtFindValue = 0x0035, 64;
    /// DHT: relays near the point.
    DhtNodes = 0x0036, 8192;
    /// DHT: the record, and relays near it.
    DhtValue = 0x0037, 36_864;
    /// Between relays: store this envelope too.
    ReplicatePut = 0x0040, 8192;
    /// Between relays: the envelope is durable.
    ReplicatePutAck = 0x0041, 256;
    /// Between relays: the owner has these envelopes.
    ReplicateTombstone = 0x0042, 8192;
    /// Between relays: the tombstone is durable.
    ReplicateTombstoneAck = 0x0043, 256;
    /// Between relays: what the sender holds of mailboxes in common.
    SwarmSummary = 0x0044, 8192;
    /// Between relays: ids of envelopes that the sender holds.
    SwarmIds = 0x0045, 8192;
    /// Between relays: ids of envelopes that the sender lacks.
    SwarmWant = 0x0046, 8192;
    /// Between relays: a newer mailbox descriptor.
    SwarmDescriptor = 0x0047, 2048;
    /// Rpc: put an envelope into a mailbox.
    PutRequest = 0x0060, budget::MAX_RPC_LEN;
    /// Rpc: on how many members it is durable.
    PutReply = 0x0061, budget::MAX_RPC_LEN;
    /// Rpc, owner: reply blocks for pushes.
    SubscribeRequest = 0x0062, budget::MAX_RPC_LEN;
    /// Rpc: stock and waiting envelopes.
    SubscribeReply = 0x0063, budget::MAX_RPC_LEN;
    /// Rpc, owner: read waiting envelopes.
    FetchRequest = 0x0064, budget::MAX_RPC_LEN;
    /// Rpc: waiting envelopes.
    FetchReply = 0x0065, budget::MAX_RPC_LEN;
    /// Rpc: the owner's signed acknowledgement.
    AcknowledgeRequest = 0x0066, budget::MAX_RPC_LEN;
    /// Rpc: how many were recorded.
    AcknowledgeReply = 0x0067, budget::MAX_RPC_LEN;
    /// Rpc, owner: prekeys for this member to hand out.
    PreKeyPublishRequest = 0x0068, budget::MAX_RPC_LEN;
    /// Rpc: one-time prekeys held.
    PreKeyPublishReply = 0x0069, budget::MAX_RPC_LEN;
    /// Rpc: take a prekey bundle of a mailbox.
    PreKeyTakeRequest = 0x006A, budget::MAX_RPC_LEN;
    /// Rpc: a sealed prekey bundle.
    PreKeyTakeReply = 0x006B, budget::MAX_RPC_LEN;
    /// Rpc: store a directory record.
    RecordPutRequest = 0x006C, budget::MAX_RPC_LEN;
    /// Rpc: stored, and the sequence now held.
    RecordPutReply = 0x006D, budget::MAX_RPC_LEN;
    /// Rpc: read a directory record.
    RecordGetRequest = 0x006E, budget::MAX_RPC_LEN;
    /// Rpc: the record, if there is one.
    RecordGetReply = 0x006F, budget::MAX_RPC_LEN;
    /// Rpc: the relay directory, from an offset.
    DirectorySyncRequest = 0x0070, budget::MAX_RPC_LEN;
    /// Rpc: a part of the relay directory.
    DirectorySyncReply = 0x0071, budget::MAX_RPC_LEN;
    /// A relay's message to a mailbox's owner through a reply block.
    Push = 0x0072, budget::MAX_RPC_LEN;
    /// Rpc: in place of any reply.
    Refused = 0x0073, budget::MAX_RPC_LEN;
}
