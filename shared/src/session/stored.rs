//! The persisted form of a session record, version 1. It holds secrets: it lives only inside an
//! encrypted row, and the buffer given out wipes itself.
//!
//! ```cddl
//! session-record = { 0 => 1, 1 => peer, 2 => session, 3 => [*5 archived], 4 => [*64 bytes .size 16] }
//! peer     = { 0 => bytes .size 32, 1 => bytes .size 16 }      ; Address, DeviceId
//! session  = { 0 => bytes .size 16, 1 => bytes .size 32, 2 => bytes,    ; SessionId, AD, ratchet record
//!              3 => 0 / 1 / 2, ? 4 => pending, 5 => uint }     ; unanswered, answered, peer's; begun
//! pending  = { 0 => bytes .size 32, 1 => uint, 2 => uint, 3 => bytes .size 1088, ? 4 => uint, }
//!            ; ek, signed prekey, KEM prekey, KEM ciphertext, one-time prekey
//! archived = { 0 => session, 1 => uint }                       ; since
//! ```

use minicbor::{Decode, Encode};
use thiserror::Error;
use zeroize::Zeroizing;

use super::peer::PeerDevice;
use super::record::{Archived, MAX_ARCHIVED, MAX_RETIRED, SessionRecord};
use super::session::{Origin, Session};
use crate::crypto::dh::X25519Public;
use crate::crypto::ml_kem::MlKemCiphertext;
use crate::id::SessionId;
use crate::ratchet::{self, Ratchet};
use crate::time::Timestamp;
use crate::wire::codec::{BoundedList, Bytes, CodecError, SecretBytes, from_cbor};
use crate::x3dh::{AssociatedData, InitialHeader};

/// The version that is written.
const VERSION: u8 = 1;
/// What a session adds to its ratchet: ids, associated data, how it began.
const SESSION_LEN: usize = 2 * 1024;
/// What a record adds to its sessions.
const RECORD_LEN: usize = 2 * 1024;

/// The longest session record, in bytes. One with a single session and no skipped keys stays below 5 KB.
pub const MAX_SESSION_RECORD_LEN: usize =
    RECORD_LEN + (1 + MAX_ARCHIVED) * (SESSION_LEN + ratchet::MAX_RECORD_LEN);

/// A stored session record cannot be used: the store's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SessionRecordError {
    /// Not a session record.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// Written by a later version of this software.
    #[error("session record of unknown version {0}")]
    Version(u8),
    /// Well-formed, but no state that a session can be in.
    #[error("session record is inconsistent")]
    Inconsistent,
    /// The ratchet in it.
    #[error(transparent)]
    Ratchet(#[from] ratchet::RecordError),
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct Stored {
    #[n(0)]
    version: u8,
    #[n(1)]
    peer: PeerDevice,
    #[n(2)]
    current: StoredSession,
    #[n(3)]
    archived: BoundedList<StoredArchived, MAX_ARCHIVED>,
    #[n(4)]
    retired: BoundedList<SessionId, MAX_RETIRED>,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct StoredSession {
    #[n(0)]
    id: SessionId,
    #[n(1)]
    ad: Bytes<{ AssociatedData::LEN }>,
    #[n(2)]
    ratchet: SecretBytes<{ ratchet::MAX_RECORD_LEN }>,
    #[n(3)]
    origin: StoredOrigin,
    #[n(4)]
    pending: Option<StoredPending>,
    #[n(5)]
    begun: Timestamp,
}

#[derive(Clone, Copy, Encode, Decode)]
#[cbor(index_only)]
enum StoredOrigin {
    #[n(0)]
    Unanswered,
    #[n(1)]
    Answered,
    #[n(2)]
    Peer,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct StoredPending {
    #[n(0)]
    ephemeral: X25519Public,
    #[n(1)]
    signed_prekey: u32,
    #[n(2)]
    kem_prekey: u32,
    #[n(3)]
    kem_ciphertext: MlKemCiphertext,
    #[n(4)]
    one_time_prekey: Option<u32>,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct StoredArchived {
    #[n(0)]
    session: StoredSession,
    #[n(1)]
    since: Timestamp,
}

impl SessionRecord {
    /// The record of these sessions.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let stored = Stored::from(self);
        let sessions = core::iter::once(&stored.current)
            .chain(stored.archived.iter().map(|archived| &archived.session));
        let room = sessions
            .map(|session| SESSION_LEN + session.ratchet.len())
            .sum::<usize>();
        // Room for all of it at once: a buffer that grows leaves copies of secrets behind.
        let mut out = Zeroizing::new(Vec::with_capacity(RECORD_LEN + room));
        let result = minicbor::encode(&stored, &mut *out);
        debug_assert!(
            result.is_ok() && out.len() <= RECORD_LEN + room,
            "writing to a Vec is infallible"
        );
        out
    }

    /// Reads a record of any version written so far.
    pub fn decode(bytes: &[u8]) -> Result<Self, SessionRecordError> {
        let stored: Stored = from_cbor(bytes, MAX_SESSION_RECORD_LEN)?;
        if stored.version != VERSION {
            return Err(SessionRecordError::Version(stored.version));
        }
        let archived = stored
            .archived
            .into_inner()
            .into_iter()
            .map(Archived::try_from);
        Ok(Self {
            peer: stored.peer,
            current: stored.current.try_into()?,
            archived: archived.collect::<Result<_, _>>()?,
            retired: stored.retired.into_inner(),
        })
    }
}

impl From<&SessionRecord> for Stored {
    fn from(record: &SessionRecord) -> Self {
        let archived = record.archived.iter().map(|archived| StoredArchived {
            session: StoredSession::from(&archived.session),
            since: archived.since,
        });
        Self {
            version: VERSION,
            peer: record.peer,
            current: StoredSession::from(&record.current),
            // Both within their bounds by construction.
            archived: BoundedList::new(archived.collect()).unwrap_or_default(),
            retired: BoundedList::new(record.retired.clone()).unwrap_or_default(),
        }
    }
}

impl From<&Session> for StoredSession {
    fn from(session: &Session) -> Self {
        let (origin, pending) = match &session.origin {
            Origin::Unanswered(initial) => (
                StoredOrigin::Unanswered,
                Some(StoredPending::from(&**initial)),
            ),
            Origin::Answered => (StoredOrigin::Answered, None),
            Origin::Peer => (StoredOrigin::Peer, None),
        };
        Self {
            id: session.id,
            ad: Bytes(*session.ad.as_bytes()),
            ratchet: SecretBytes::new(session.ratchet.encode()).unwrap_or_default(),
            origin,
            pending,
            begun: session.begun,
        }
    }
}

impl From<&InitialHeader> for StoredPending {
    fn from(initial: &InitialHeader) -> Self {
        Self {
            ephemeral: initial.ephemeral,
            signed_prekey: initial.signed_prekey,
            kem_prekey: initial.kem_prekey,
            kem_ciphertext: initial.kem_ciphertext.clone(),
            one_time_prekey: initial.one_time_prekey,
        }
    }
}

impl TryFrom<StoredArchived> for Archived {
    type Error = SessionRecordError;
    fn try_from(archived: StoredArchived) -> Result<Self, SessionRecordError> {
        let StoredArchived { session, since } = archived;
        Ok(Self {
            session: session.try_into()?,
            since,
        })
    }
}

impl TryFrom<StoredSession> for Session {
    type Error = SessionRecordError;
    fn try_from(session: StoredSession) -> Result<Self, SessionRecordError> {
        let origin = match (session.origin, session.pending) {
            (StoredOrigin::Unanswered, Some(pending)) => {
                Origin::Unanswered(Box::new(pending.begun_at(session.begun)))
            }
            (StoredOrigin::Answered, None) => Origin::Answered,
            (StoredOrigin::Peer, None) => Origin::Peer,
            _ => return Err(SessionRecordError::Inconsistent),
        };
        let ratchet = Ratchet::decode(&session.ratchet)?;
        Ok(Self {
            id: session.id,
            ad: AssociatedData::from_bytes(session.ad.0),
            ratchet,
            origin,
            begun: session.begun,
        })
    }
}

impl StoredPending {
    fn begun_at(self, begun: Timestamp) -> InitialHeader {
        InitialHeader {
            ephemeral: self.ephemeral,
            signed_prekey: self.signed_prekey,
            kem_prekey: self.kem_prekey,
            kem_ciphertext: self.kem_ciphertext,
            one_time_prekey: self.one_time_prekey,
            begun,
        }
    }
}
