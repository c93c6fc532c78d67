//! Rows of the store as records: versioned CBOR, migrations append-only.
//!
//! Every record carries its version in key 0. A new field gets a new key and is optional for ever; a
//! change of meaning gets a new version and a branch in `decode`.

mod conversation;
mod outbox;

use minicbor::{Decode, Encode};
use thiserror::Error;

use super::absent::AbsentMembers;
use super::former::FormerMembers;
use super::held::HeldRow;
use super::seen::SeenRow;
use super::store::{Key, Row, Table, Value};
use super::view::{Origin, Verification};
use crate::crypto::secret::Secret32;
use crate::id::{Address, DeviceId, NodeId};
use crate::identity::{
    AccountKeys, BodyHash, CertificateBody, DeviceEntry, DirectoryKey, DirectorySecret,
    UnverifiedCertificate, UnverifiedSealingKey,
};
use crate::rpc::{MailboxDescriptorBytes, WriteSecret};
use crate::time::Timestamp;
use crate::wire::codec::{
    BoundedBytes, BoundedList, BoundedText, SecretBytes, from_cbor, to_secret_cbor,
};

pub(super) use conversation::{ConversationRow, MessageRow};
pub(super) use outbox::{EnvelopeEntry, ItemBody, ItemRow, OutboxRow, envelope_key};

/// Longest row, in bytes: a contact with 16 devices stays far below.
const MAX_ROW_LEN: usize = 1 << 20;
/// Version that most records have.
const VERSION: u8 = 1;
/// Unread ids kept for read receipts; beyond, only the count grows.
pub(super) const MAX_UNREAD_IDS: usize = 500;
/// Longest text of a message, in bytes.
pub const MAX_TEXT_LEN: usize = 16_384;
/// Longest name, in bytes.
pub const MAX_NAME_LEN: usize = 256;

/// A row does not hold the record that it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RecordError {
    /// Written by a newer version of this software.
    #[error("stored by a newer version ({0})")]
    Newer(u8),
    /// Damaged.
    #[error("a stored record is damaged")]
    Damaged,
}

/// A record of one table.
pub(super) trait Record: Sized {
    /// The version that this code writes; it reads every older one.
    const VERSION: u8;

    /// Reads the value of a row.
    fn from_value(bytes: &[u8]) -> Result<Self, RecordError>;
    /// The value of a row.
    fn to_value(&self) -> Value;
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct VersionOnly {
    #[n(0)]
    version: u8,
}

macro_rules! record {
    ($($name:ident: $version:expr),* $(,)?) => {$(
        impl Record for $name {
            const VERSION: u8 = $version;

            fn from_value(bytes: &[u8]) -> Result<Self, RecordError> {
                let head: VersionOnly = from_cbor(bytes, MAX_ROW_LEN).map_err(|_| RecordError::Damaged)?;
                if head.version > $version {
                    return Err(RecordError::Newer(head.version));
                }
                from_cbor(bytes, MAX_ROW_LEN).map_err(|_| RecordError::Damaged)
            }

            fn to_value(&self) -> Value {
                to_secret_cbor(self)
            }
        }
    )*};
}

record!(
    AccountRow: VERSION,
    ProfileRow: VERSION,
    MailboxRow: VERSION,
    PublicationRow: VERSION,
    ContactRow: 4,
    ConversationRow: VERSION,
    MessageRow: VERSION,
    ItemRow: VERSION,
    SeenRow: VERSION,
    HeldRow: VERSION,
);

/// Secret and public parts of the account. Used when devices are linked and backups are made, never on a
/// hot path.
#[derive(Encode, Decode)]
#[cbor(map)]
pub(super) struct AccountRow {
    #[n(0)]
    pub(super) version: u8,
    /// RSA public key, SPKI DER.
    #[n(1)]
    pub(super) rsa_spki: BoundedBytes<1024>,
    /// RSA private key, PKCS#8 DER.
    #[n(2)]
    pub(super) rsa_pkcs8: SecretBytes<4096>,
    #[n(3)]
    pub(super) ml_dsa_seed: Secret32,
    #[n(4)]
    pub(super) directory: DirectorySecret,
    /// Account-signed certificate of this device.
    #[n(5)]
    pub(super) certificate: BoundedBytes<8192>,
    /// Account-signed device list.
    #[n(6)]
    pub(super) device_list: BoundedBytes<8192>,
    #[n(7)]
    pub(super) created: Timestamp,
}

/// What I tell others about me.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(super) struct ProfileRow {
    #[n(0)]
    pub(super) version: u8,
    #[n(1)]
    pub(super) name: BoundedText<MAX_NAME_LEN>,
    /// Grows whenever an introduction changes.
    #[n(2)]
    pub(super) introduction: u64,
}

/// My mailbox.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(super) struct MailboxRow {
    #[n(0)]
    pub(super) version: u8,
    #[n(1)]
    pub(super) write_secret: WriteSecret,
    /// Absent until relays are known.
    #[n(2)]
    pub(super) descriptor: Option<MailboxDescriptorBytes>,
    /// Of the last owner request.
    #[n(3)]
    pub(super) owner_sequence: u64,
    /// The secret before this one, while it still counts.
    #[n(4)]
    pub(super) former: Option<FormerSecret>,
    /// Relays that were in the swarm.
    #[n(5)]
    pub(super) former_members: Option<FormerMembers>,
    /// Members that do not answer.
    #[n(6)]
    pub(super) absent: Option<AbsentMembers>,
}

/// A secret that was replaced.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(super) struct FormerSecret {
    #[n(0)]
    pub(super) secret: WriteSecret,
    #[n(1)]
    pub(super) until: Timestamp,
}

/// What I have published, and when.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(map)]
pub(super) struct PublicationRow {
    #[n(0)]
    pub(super) version: u8,
    /// Sequence of the account record.
    #[n(1)]
    pub(super) record_sequence: u64,
    /// When it was last stored on enough relays.
    #[n(2)]
    pub(super) record_stored: Option<Timestamp>,
    /// The relays nearest to its key when it was last published.
    #[n(3)]
    pub(super) relays: Option<BoundedList<NodeId, 16>>,
}

/// A device of a contact: what was verified about it. Before version 3 of the contact the certificate had its
/// account signature with it, which a record no longer brings.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) struct PeerDeviceRow {
    #[n(0)]
    pub(super) device: DeviceId,
    /// The account vouched for it, by itself or by its list, when it was stored.
    #[n(1)]
    #[cbor(decode_with = "stored_certificate")]
    pub(super) certificate: CertificateBody,
    /// X-Wing key that envelopes are sealed to; signed by the device.
    #[n(2)]
    pub(super) sealing_key: UnverifiedSealingKey,
    #[n(3)]
    pub(super) mailbox: MailboxDescriptorBytes,
    /// A ratchet session exists.
    #[n(4)]
    pub(super) has_session: bool,
    /// Until when sessions that were begun anew, because one side had lost them, count: each for a day, one after the
    /// other.
    #[n(5)]
    pub(super) renewed: Option<Timestamp>,
    /// A session is to be begun anew, then or later; absent: none is. Software that does not know this key
    /// loses the wish until the next message that cannot be opened.
    #[n(6)]
    pub(super) wanted: Option<Timestamp>,
}

/// A certificate's body, or a signed certificate of former versions for its body.
fn stored_certificate<C>(
    d: &mut minicbor::Decoder<'_>,
    ctx: &mut C,
) -> Result<CertificateBody, minicbor::decode::Error> {
    match d.datatype()? {
        minicbor::data::Type::Map => Ok(d.decode_with::<C, UnverifiedCertificate>(ctx)?.body()),
        _ => d.decode_with(ctx),
    }
}

/// The device list of a contact that was last verified.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) struct KnownList {
    /// Of the signed bytes: another list under the same sequence is a fork.
    #[n(0)]
    pub(super) hash: BodyHash,
    #[n(1)]
    pub(super) devices: BoundedList<DeviceEntry, 16>,
}

/// A person. Version 2 added keys 14 and 15; software that does not know them must not write the row, or
/// a verified contact would be an unverified one again. Version 3 stores certificates without signatures.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) struct ContactRow {
    #[n(0)]
    pub(super) version: u8,
    #[n(1)]
    pub(super) address: Address,
    #[n(2)]
    pub(super) directory_key: Option<DirectoryKey>,
    /// My name for them.
    #[n(3)]
    pub(super) name: Option<BoundedText<MAX_NAME_LEN>>,
    /// The name that they give.
    #[n(4)]
    pub(super) claimed_name: Option<BoundedText<MAX_NAME_LEN>>,
    #[n(5)]
    pub(super) added: Timestamp,
    #[n(6)]
    pub(super) incoming: bool,
    #[n(7)]
    pub(super) devices: BoundedList<PeerDeviceRow, 16>,
    /// Of the account record that was last read.
    #[n(8)]
    pub(super) record_sequence: u64,
    #[n(9)]
    pub(super) record_read: Option<Timestamp>,
    #[n(10)]
    pub(super) write_secret: Option<WriteSecret>,
    /// Introduction that was last sealed for them.
    #[n(11)]
    pub(super) introduced: u64,
    /// Of the device list that was last verified.
    #[n(12)]
    pub(super) list_sequence: u64,
    /// The account's public keys, once seen.
    #[n(13)]
    pub(super) keys: Option<AccountKeys>,
    /// What the person has made of the safety number; absent: unverified.
    #[n(14)]
    pub(super) verification: Option<Verification>,
    /// The list of `list_sequence`; absent until a record was read.
    #[n(15)]
    pub(super) list: Option<KnownList>,
}

impl ContactRow {
    pub(super) fn origin(&self) -> Origin {
        if self.incoming {
            Origin::Incoming
        } else {
            Origin::Added
        }
    }

    pub(super) fn verification(&self) -> Verification {
        self.verification.unwrap_or_default()
    }

    pub(super) fn row(&self) -> Row {
        Row::plain(Key::new(Table::Contact, self.address), self.to_value())
    }
}

/// Keys of the rows of which there is one each.
pub(super) mod meta {
    use super::{Key, Table};

    pub(in crate::client) fn account() -> Key {
        Key::new(Table::Meta, b"account")
    }
    pub(in crate::client) fn device() -> Key {
        Key::new(Table::Meta, b"device")
    }
    pub(in crate::client) fn profile() -> Key {
        Key::new(Table::Meta, b"profile")
    }
    pub(in crate::client) fn mailbox() -> Key {
        Key::new(Table::Meta, b"mailbox")
    }
    pub(in crate::client) fn publication() -> Key {
        Key::new(Table::Meta, b"publication")
    }
    pub(in crate::client) fn seen() -> Key {
        Key::new(Table::Meta, b"seen")
    }
    pub(in crate::client) fn prekeys() -> Key {
        Key::new(Table::PreKey, b"secrets")
    }
}

/// Version that new records carry.
pub(super) const fn current_version() -> u8 {
    VERSION
}
