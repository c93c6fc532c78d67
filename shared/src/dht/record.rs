//! Records: what they are, where they belong, and who may say what is in them.
//!
//! A record is signed by the key that its place commits to, so that nobody else can write there (FAULTS 18), and
//! carries a sequence and an expiry. It is checked when it is stored, when it is read from disk and when it comes in
//! as an answer. Kinds have key spaces of their own: a place is kind *and* key, and keys are hashed per kind.

use minicbor::{Decode, Encode};
use thiserror::Error;

use crate::crypto::hash::blake2b_160_concat;
use crate::id::{NodeId, Position, RecordKey};
use crate::onion::UnverifiedDescriptor;
use crate::rpc::{AccountRecord, MAX_RECORD_LEN, RecordError};
use crate::time::{Duration, Timestamp};
use crate::wire::codec::BoundedBytes;
use crate::wire::link::MAX_DESCRIPTOR_LEN;

const RELAY_RECORD_DOMAIN: &[u8] = b"ZenTalk relay record v1";

/// The longest record of any kind: an account's.
pub const MAX_LEN: usize = MAX_RECORD_LEN;

/// A record as it travels.
pub type DhtRecordBytes = BoundedBytes<MAX_LEN>;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum RecordKind {
    /// A relay's descriptor (PROTOCOL §4), published by the relay.
    #[n(1)]
    Relay,
    /// An account's record (PROTOCOL §7), published for somebody who shows a proof of work.
    #[n(2)]
    Account,
}

impl RecordKind {
    /// How long holders keep one that is not stored again.
    pub const fn time_to_live(self) -> Duration {
        match self {
            Self::Relay => Duration::from_hours(1),
            Self::Account => Duration::from_days(30),
        }
    }

    /// The longest one in bytes.
    pub const fn max_len(self) -> usize {
        match self {
            Self::Relay => MAX_DESCRIPTOR_LEN,
            Self::Account => MAX_RECORD_LEN,
        }
    }
}

/// Where a record belongs: its kind, and the key that its signer follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId {
    /// What it is.
    pub kind: RecordKind,
    /// Its key in the space of its kind.
    pub key: RecordKey,
}

impl RecordId {
    /// A relay's: B2-160("ZenTalk relay record v1", NodeId).
    pub fn relay(node: &NodeId) -> Self {
        let key = blake2b_160_concat(RELAY_RECORD_DOMAIN, node.as_bytes());
        Self {
            kind: RecordKind::Relay,
            key: RecordKey::from_bytes(key),
        }
    }

    /// An account's: its record key, B2-160("ZenTalk dir v1", directory key).
    pub const fn account(key: RecordKey) -> Self {
        Self {
            kind: RecordKind::Account,
            key,
        }
    }

    /// Relays near this point hold it.
    pub fn position(&self) -> Position {
        self.key.into()
    }
}

/// What a checked record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Where it belongs.
    pub id: RecordId,
    /// The newer of two has the higher.
    pub sequence: u64,
    /// Holders forget it then, at the latest.
    pub expires: Timestamp,
}

/// A record that must not be stored or believed: the fault of who sent it, or of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BadRecord {
    /// Not a record of its kind.
    #[error("record is malformed")]
    Malformed,
    /// Not signed by the key that its place commits to.
    #[error("record is not signed by its key")]
    Signature,
    /// Over, or further ahead than a record may live.
    #[error("record has expired or lives too long")]
    Expired,
    /// Numbered as if it were from more than a day ahead.
    #[error("record is numbered ahead of time")]
    Ahead,
}

/// How records are checked. The real one is [`SignedRecords`]; simulations of many thousand relays take a cheap one.
pub trait RecordScheme {
    /// Checks a record of a kind: form, signature, lifetime, number.
    fn check(&self, kind: RecordKind, bytes: &[u8], now: Timestamp) -> Result<Facts, BadRecord>;
}

/// Records as PROTOCOL §4 and §7 sign them. A relay's costs an RSA verification.
#[derive(Clone, Copy, Debug, Default)]
pub struct SignedRecords;

impl RecordScheme for SignedRecords {
    fn check(&self, kind: RecordKind, bytes: &[u8], now: Timestamp) -> Result<Facts, BadRecord> {
        match kind {
            RecordKind::Relay => check_relay(bytes, now),
            RecordKind::Account => check_account(bytes, now),
        }
    }
}

fn check_relay(bytes: &[u8], now: Timestamp) -> Result<Facts, BadRecord> {
    use crate::onion::DescriptorError as E;
    let claimed = UnverifiedDescriptor::decode(bytes).map_err(|_| BadRecord::Malformed)?;
    let descriptor = claimed.verify(now).map_err(|error| match error {
        E::Certificate | E::Signature | E::NodeId => BadRecord::Signature,
        E::Validity { .. } | E::NotYetValid(_) | E::Expired(_) => BadRecord::Expired,
        _ => BadRecord::Malformed,
    })?;
    // A number from later would keep its owner from publishing another.
    if Timestamp::from_ms(descriptor.sequence()).is_ahead_of(now) {
        return Err(BadRecord::Ahead);
    }
    Ok(Facts {
        id: RecordId::relay(&descriptor.node()),
        sequence: descriptor.sequence(),
        expires: descriptor.until(),
    })
}

fn check_account(bytes: &[u8], now: Timestamp) -> Result<Facts, BadRecord> {
    let record = AccountRecord::verify(bytes, now).map_err(|error| match error {
        RecordError::Malformed | RecordError::Sealed => BadRecord::Malformed,
        RecordError::Signature => BadRecord::Signature,
        RecordError::Expired => BadRecord::Expired,
        RecordError::Ahead => BadRecord::Ahead,
    })?;
    Ok(Facts {
        id: RecordId::account(record.key()),
        sequence: record.sequence(),
        expires: record.expires(),
    })
}
