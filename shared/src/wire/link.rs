//! Bodies of the messages that live on one link. PROTOCOL §3.

use minicbor::{Decode, Encode};

use super::codec::{BoundedBytes, BoundedList, BoundedText, Bytes};
use crate::id::{ConnectionTag, NodeId};
use crate::time::Timestamp;

/// Largest descriptor, in bytes.
pub const MAX_DESCRIPTOR_LEN: usize = 8192;

/// A signed relay descriptor as bytes; `onion::descriptor` verifies it.
pub type DescriptorBytes = BoundedBytes<MAX_DESCRIPTOR_LEN>;

/// Who connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Role {
    /// A client; sends its connection tag.
    #[n(0)]
    Client,
    /// A relay; proves its NodeId.
    #[n(1)]
    Relay,
    /// Reads the directory in clear, nothing else.
    #[n(2)]
    Visitor,
}

/// First frame of who connects.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Handshake {
    /// Who connects.
    #[n(0)]
    pub role: Role,
    /// Versions offered, best first.
    #[n(1)]
    pub versions: BoundedList<u16, 8>,
    /// Onion suites offered.
    #[n(2)]
    pub suites: BoundedList<u8, 8>,
    /// Client: names its buffer.
    #[n(3)]
    pub tag: Option<ConnectionTag>,
    /// Client: `Deliver` frames received so far under the tag.
    #[n(4)]
    pub received: Option<u64>,
    /// Relay: its descriptor.
    #[n(5)]
    pub descriptor: Option<DescriptorBytes>,
    /// Relay: nonce for the transcript.
    #[n(6)]
    pub nonce: Option<Bytes<32>>,
}

/// First frame of who accepts.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct HandshakeAck {
    /// Version chosen.
    #[n(0)]
    pub version: u16,
    /// Suites in common.
    #[n(1)]
    pub suites: BoundedList<u8, 8>,
    /// Who accepts.
    #[n(2)]
    pub node: NodeId,
    /// Its clock.
    #[n(3)]
    pub time: Timestamp,
    /// The tag was known; what its buffer holds follows.
    #[n(4)]
    pub resumed: bool,
    /// Relay link: its descriptor.
    #[n(5)]
    pub descriptor: Option<DescriptorBytes>,
    /// Relay link: nonce for the transcript.
    #[n(6)]
    pub nonce: Option<Bytes<32>>,
    /// Relay link: signature of the transcript.
    #[n(7)]
    pub signature: Option<Bytes<64>>,
}

/// Third step of a relay link: the connecting side's signature of the transcript.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct LinkProof {
    /// Signature of the transcript.
    #[n(0)]
    pub signature: Bytes<64>,
}

/// Client to guard: deliveries received so far under this tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Ack {
    /// How many since the tag was first used.
    #[n(0)]
    pub received: u64,
}

/// Why a link closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum LinkErrorCode {
    /// A frame or body broke a rule.
    #[n(1)]
    Malformed,
    /// No version in common.
    #[n(2)]
    Version,
    /// A payload beyond its bound.
    #[n(3)]
    TooLarge,
    /// Too many frames.
    #[n(4)]
    Rate,
    /// No room for another connection.
    #[n(5)]
    Full,
    /// A proof did not verify, or a frame needs one.
    #[n(6)]
    Unauthenticated,
    /// A deadline passed.
    #[n(7)]
    Timeout,
    /// The relay is stopping.
    #[n(8)]
    ShuttingDown,
}

/// Last frame before a link closes.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct LinkError {
    /// Machine-readable reason.
    #[n(0)]
    pub code: LinkErrorCode,
    /// A sentence.
    #[n(1)]
    pub message: BoundedText<128>,
}

/// Asks for the directory in clear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct DirectoryGet {
    /// Digest of what the asker has.
    #[n(0)]
    pub known: Option<Bytes<32>>,
    /// Drawn at random: which relays are listed where not all fit.
    #[n(1)]
    pub seed: Option<Bytes<16>>,
}

/// The most descriptors in one `Directory`.
pub const MAX_LISTED: usize = 512;

/// Relay descriptors: the answer to `DirectoryGet`, or a relay's announcement to another.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Directory {
    /// Digest of the whole directory.
    #[n(0)]
    pub digest: Bytes<32>,
    /// Empty if the asker's digest was current.
    #[n(1)]
    pub descriptors: BoundedList<DescriptorBytes, MAX_LISTED>,
}
