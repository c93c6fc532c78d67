//! Sessions: from a plaintext to sealed envelopes for one device, and back to a plaintext and whose it
//! is. PROTOCOL §8.
//!
//! ```text
//!  plaintext ─encrypt─▶ SessionMessage ─split─▶ Fragment… ─seal─▶ Envelope (8000 bytes) …
//!                 ▲ SessionRecord: the sessions with one device          │
//!                 ▼                                                      ▼
//!  plaintext ◀─receive─ SessionMessage ◀─Reassembly─ Fragment… ◀─open─ Envelope …
//! ```
//!
//! ```ignore
//! LocalDevice { account: &AccountKeys, certificate: &SignedCertificate, identity: &X25519Secret }     // Copy
//! PeerDevice { address: Address, device: DeviceId }                           // proven by the session
//!
//! // sending: one record per (Address, DeviceId)
//! SessionRecord::start(me: LocalDevice, bundle: PreKeyBundle, now, rng) -> Result<SessionRecord, InitiateError>
//! record.start_over(&self, me, bundle, not_before, now, rng) -> Result<SessionRecord, InitiateError>
//! record.encrypt(&mut self, me, plaintext: &[u8], rng) -> Result<Vec<u8>, EncryptError>    // session message
//! seal_message(message: &[u8], to: &SealingKey, rng) -> Result<Vec<Envelope>, SealError>   // Box<[u8; 8000]>
//!
//! // receiving
//! open(envelope: &[u8; 8000], secrets: &SealingSecrets, me: DeviceId) -> Result<Fragment, OpenError>
//! reassembly.insert(fragment, now) -> Inserted::{Complete { message, delete }, Kept { key, row, delete }, Duplicate, Conflict}
//! SessionMessage::decode(&[u8]); .session(), .claimed_sender() -> DeviceId, .claimed_address() -> Option<Address>
//! receive(record: Option<&SessionRecord>, me, prekeys: &PreKeySecrets, message: &SessionMessage, now)
//!     -> Result<Received { plaintext, record, first: Option<FirstMessage { account, certificate, used, started_over }> }, ReceiveError>
//!
//! // storing
//! record.encode() -> Zeroizing<Vec<u8>>; SessionRecord::decode(&[u8]); record.peer(), .sessions(), .is_confirmed()
//! Reassembly::restore(rows); reassembly.expire(now) -> Vec<FragmentKey>
//! ```
//!
//! Invariants: nothing of a message is released, and no state changes, before it authenticates. Who sent
//! a message is what the session proved, never what the message says. A failed `receive` returns no
//! record, so what is stored stays byte for byte.

mod envelope;
mod fragment;
mod message;
mod peer;
mod reassembly;
mod receive;
mod record;
#[allow(clippy::module_inception)] // the spec's noun
mod session;
mod stored;

pub use crate::ratchet::EncryptError;
pub use envelope::{Envelope, OpenError, SealError, open, seal, seal_message};
pub use fragment::{
    Fragment, FragmentError, FragmentKey, MAX_FRAGMENTS, MessageLength, SetId, split,
};
pub use message::SessionMessage;
pub use peer::{LocalDevice, PeerDevice};
pub use reassembly::{Inserted, MAX_AGE, MAX_BYTES, MAX_SETS, Reassembly, RowError};
pub use receive::{FirstMessage, ReceiveError, Received, receive};
pub use record::{ARCHIVE_LIFETIME, MAX_ARCHIVED, MAX_RETIRED, SessionRecord};
pub use stored::{MAX_SESSION_RECORD_LEN, SessionRecordError};

#[cfg(test)]
mod tests;
