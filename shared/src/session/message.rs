//! The session message: what fragments carry. PROTOCOL §8.

use minicbor::{Decode, Encode};

use crate::id::{Address, DeviceId, SessionId};
use crate::ratchet::Header;
use crate::time::{Duration, Timestamp};
use crate::wire::budget::MAX_SESSION_MESSAGE_LEN;
use crate::wire::codec::{BoundedBytes, Bytes, CodecError, from_cbor, to_cbor};
use crate::x3dh::Initial;

/// How far two clocks that are in use may be apart: less than what counts as nonsense.
/// How much clocks of two devices usually differ, at most.
const CLOCKS_DIFFER: Duration = Duration::from_hours(1);
const CLOCK_OFF: Duration = Duration::from_hours(12);

/// A ratchet message with what is needed to find its session. As it came: the sender is a claim until
/// [`receive`](super::receive) has authenticated the message.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SessionMessage {
    /// Which session.
    #[n(0)]
    pub(super) session: SessionId,
    /// Which device claims to have sent it.
    #[n(1)]
    pub(super) sender: DeviceId,
    /// Who claims so, and how the session began: until the recipient has answered.
    #[n(2)]
    pub(super) initial: Option<Initial>,
    #[n(3)]
    pub(super) header: Bytes<{ Header::LEN }>,
    #[n(4)]
    pub(super) ciphertext: BoundedBytes<MAX_SESSION_MESSAGE_LEN>,
}

impl SessionMessage {
    /// Reads exactly one message of at most [`MAX_SESSION_MESSAGE_LEN`] bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        from_cbor(bytes, MAX_SESSION_MESSAGE_LEN)
    }

    /// The bytes for [`split`](super::split).
    pub fn encode(&self) -> Vec<u8> {
        to_cbor(self)
    }

    /// The session that it belongs to.
    pub const fn session(&self) -> SessionId {
        self.session
    }

    /// The device that claims to have sent it.
    pub const fn claimed_sender(&self) -> DeviceId {
        self.sender
    }

    /// The account that claims to have sent it: in first messages only. Else the sender is whoever has
    /// a record with this session.
    pub fn claimed_address(&self) -> Option<Address> {
        self.initial.as_ref().map(Initial::claimed_address)
    }

    /// When to begin a session that is to take the place of this message's, which this device cannot open, so that it
    /// counts as the later one: just after the beginning that the message claims, if the sender's clock is ahead. A message
    /// of a session that both had does not say when that was begun: then as much later than now as clocks usually
    /// differ at most.
    pub fn time_to_begin_anew(&self, now: Timestamp) -> Timestamp {
        match self.initial.as_ref().map(Initial::claimed_beginning) {
            None => now.saturating_add(CLOCKS_DIFFER),
            Some(begun) if begun <= now.saturating_add(CLOCK_OFF) => {
                now.max(begun + Duration::from_ms(1))
            }
            // Anybody may have claimed it. The new session must not be of a time that the peer takes for nonsense.
            Some(_) => now,
        }
    }

    pub(super) fn header(&self) -> Header {
        Header::decode(&self.header.0)
    }
}
