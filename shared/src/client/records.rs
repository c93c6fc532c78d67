//! Rows of the store as records: versioned CBOR, migrations append-only.
//!
//! Every record carries its version in key 0. A new field gets a new key and is optional for ever; a
//! change of meaning gets a new version and a branch in `decode`.

use minicbor::{Decode, Encode};
use thiserror::Error;

use super::store::{Key, Row, Table};
use super::view::{Direction, FailReason, MessageState, MessageView, Origin};
use crate::crypto::secret::Secret32;
use crate::id::{Address, DeviceId, EnvelopeId, MessageId};
use crate::identity::{
    AccountKeys, DirectoryKey, DirectorySecret, UnverifiedCertificate, UnverifiedSealingKey,
};
use crate::rpc::{EnvelopeBytes, MailboxDescriptorBytes, WriteSecret};
use crate::time::Timestamp;
use crate::wire::codec::{BoundedBytes, BoundedList, BoundedText, Bytes, from_cbor, to_cbor};

/// Longest row, in bytes: a device list of 16 with certificates stays far below.
const MAX_ROW_LEN: usize = 1 << 20;
/// Version that this code writes.
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
    /// Reads the value of a row.
    fn from_value(bytes: &[u8]) -> Result<Self, RecordError>;
    /// The value of a row.
    fn to_value(&self) -> Vec<u8>;
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct VersionOnly {
    #[n(0)]
    version: u8,
}

macro_rules! record {
    ($($name:ident),*) => {$(
        impl Record for $name {
            fn from_value(bytes: &[u8]) -> Result<Self, RecordError> {
                let head: VersionOnly = from_cbor(bytes, MAX_ROW_LEN).map_err(|_| RecordError::Damaged)?;
                if head.version > VERSION {
                    return Err(RecordError::Newer(head.version));
                }
                from_cbor(bytes, MAX_ROW_LEN).map_err(|_| RecordError::Damaged)
            }

            fn to_value(&self) -> Vec<u8> {
                to_cbor(self)
            }
        }
    )*};
}

record!(
    AccountRow,
    ProfileRow,
    MailboxRow,
    PublicationRow,
    ContactRow,
    ConversationRow,
    MessageRow,
    ItemRow
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
    pub(super) rsa_pkcs8: BoundedBytes<4096>,
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
}

/// A device of a contact: what was verified about it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) struct PeerDeviceRow {
    #[n(0)]
    pub(super) device: DeviceId,
    /// Verified when it was stored, and again when it is first used in a run.
    #[n(1)]
    pub(super) certificate: UnverifiedCertificate,
    /// X-Wing key that envelopes are sealed to; signed by the device.
    #[n(2)]
    pub(super) sealing_key: UnverifiedSealingKey,
    #[n(3)]
    pub(super) mailbox: MailboxDescriptorBytes,
    /// A ratchet session exists.
    #[n(4)]
    pub(super) has_session: bool,
}

/// A person.
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
}

impl ContactRow {
    pub(super) fn origin(&self) -> Origin {
        if self.incoming {
            Origin::Incoming
        } else {
            Origin::Added
        }
    }

    pub(super) fn row(&self) -> Row {
        Row::plain(Key::new(Table::Contact, self.address), self.to_value())
    }
}

/// A conversation.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) struct ConversationRow {
    #[n(0)]
    pub(super) version: u8,
    #[n(1)]
    pub(super) address: Address,
    /// The newest message, so that a list of conversations is one read.
    #[n(2)]
    pub(super) last: Option<MessageRow>,
    #[n(3)]
    pub(super) last_order: u64,
    #[n(4)]
    pub(super) unread: u32,
    /// Those of them that a read receipt will name.
    #[n(5)]
    pub(super) unread_ids: BoundedList<MessageId, MAX_UNREAD_IDS>,
    /// My last sending time in it: the next is later.
    #[n(6)]
    pub(super) last_sent: Timestamp,
}

impl ConversationRow {
    pub(super) fn new(address: Address) -> Self {
        Self {
            version: VERSION,
            address,
            last: None,
            last_order: 0,
            unread: 0,
            unread_ids: BoundedList::default(),
            last_sent: Timestamp::EPOCH,
        }
    }

    pub(super) fn key(address: &Address) -> Key {
        Key::new(Table::Conversation, address)
    }

    pub(super) fn row(&self) -> Row {
        let key = Self::key(&self.address);
        Row {
            key,
            partition: Vec::new(),
            sort: self.last_order,
            value: self.to_value(),
        }
    }
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) struct MessageRow {
    #[n(0)]
    version: u8,
    #[n(1)]
    id: MessageId,
    #[n(2)]
    address: Address,
    #[n(3)]
    text: BoundedText<MAX_TEXT_LEN>,
    #[n(4)]
    sent: Timestamp,
    #[n(5)]
    order: u64,
    /// 0 incoming, then the outgoing states.
    #[n(6)]
    state: u8,
    /// `held`, or the failure's number.
    #[n(7)]
    detail: u8,
    /// `of`.
    #[n(8)]
    of: u8,
    /// When delivered or read.
    #[n(9)]
    at: Timestamp,
}

impl MessageRow {
    pub(super) fn key(address: &Address, id: &MessageId) -> Key {
        Key::new(
            Table::Message,
            [address.as_bytes().as_slice(), id.as_bytes()].concat(),
        )
    }

    pub(super) const fn id(&self) -> MessageId {
        self.id
    }

    pub(super) const fn address(&self) -> Address {
        self.address
    }

    /// `None` only for a text beyond its bound.
    pub(super) fn new(view: &MessageView) -> Option<Self> {
        let (state, detail, of, at) = match view.direction {
            Direction::In => (0, 0, 0, Timestamp::EPOCH),
            Direction::Out(MessageState::Sending(_)) => (1, 0, 0, Timestamp::EPOCH),
            Direction::Out(MessageState::Sent { held, of }) => (2, held, of, Timestamp::EPOCH),
            Direction::Out(MessageState::Delivered(at)) => (3, 0, 0, at),
            Direction::Out(MessageState::Read(at)) => (4, 0, 0, at),
            Direction::Out(MessageState::Failed(reason)) => {
                (5, fail_number(reason), 0, Timestamp::EPOCH)
            }
        };
        Some(Self {
            version: VERSION,
            id: view.id,
            address: view.address,
            text: BoundedText::new(view.text.clone()).ok()?,
            sent: view.sent,
            order: view.order,
            state,
            detail,
            of,
            at,
        })
    }

    pub(super) fn view(self) -> Result<MessageView, RecordError> {
        let direction = match self.state {
            0 => Direction::In,
            1 => Direction::Out(MessageState::Sending(None)),
            2 => Direction::Out(MessageState::Sent {
                held: self.detail,
                of: self.of,
            }),
            3 => Direction::Out(MessageState::Delivered(self.at)),
            4 => Direction::Out(MessageState::Read(self.at)),
            5 => Direction::Out(MessageState::Failed(fail_reason(self.detail)?)),
            _ => return Err(RecordError::Damaged),
        };
        Ok(MessageView {
            id: self.id,
            address: self.address,
            direction,
            text: self.text.into_inner(),
            sent: self.sent,
            order: self.order,
        })
    }

    pub(super) fn row(&self) -> Row {
        Row {
            key: Self::key(&self.address, &self.id),
            partition: self.address.as_bytes().to_vec(),
            sort: self.order,
            value: self.to_value(),
        }
    }
}

const fn fail_number(reason: FailReason) -> u8 {
    match reason {
        FailReason::ContactNotFound => 1,
        FailReason::Expired => 2,
        FailReason::ContactKeysInvalid => 3,
    }
}

fn fail_reason(number: u8) -> Result<FailReason, RecordError> {
    match number {
        1 => Ok(FailReason::ContactNotFound),
        2 => Ok(FailReason::Expired),
        3 => Ok(FailReason::ContactKeysInvalid),
        _ => Err(RecordError::Damaged),
    }
}

/// What an outbox item will say once it is sealed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) enum ItemBody {
    /// A message.
    #[n(0)]
    Text {
        #[n(0)]
        text: BoundedText<MAX_TEXT_LEN>,
        #[n(1)]
        sent: Timestamp,
    },
    /// These were delivered, or read if `read`.
    #[n(1)]
    Receipt {
        #[n(0)]
        read: bool,
        #[n(1)]
        ids: BoundedList<MessageId, MAX_UNREAD_IDS>,
        #[n(2)]
        at: Timestamp,
    },
    /// My introduction has changed.
    #[n(2)]
    Profile,
}

/// An envelope that a swarm is to hold.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) struct EnvelopeEntry {
    #[n(0)]
    pub(super) id: EnvelopeId,
    #[n(1)]
    pub(super) device: DeviceId,
    /// Held by so many of so many; absent: not yet by a majority.
    #[n(2)]
    pub(super) held: Option<(u8, u8)>,
}

/// Something on its way to a contact.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) struct ItemRow {
    #[n(0)]
    pub(super) version: u8,
    /// MessageId of the content; also names the item.
    #[n(1)]
    pub(super) id: MessageId,
    #[n(2)]
    pub(super) address: Address,
    #[n(3)]
    pub(super) created: Timestamp,
    /// Whether a message of mine shows its state.
    #[n(4)]
    pub(super) shown: bool,
    /// Present until it is sealed.
    #[n(5)]
    pub(super) body: Option<ItemBody>,
    #[n(6)]
    pub(super) envelopes: Vec<EnvelopeEntry>,
}

impl ItemRow {
    pub(super) const fn new(
        id: MessageId,
        address: Address,
        created: Timestamp,
        shown: bool,
        body: ItemBody,
    ) -> Self {
        Self {
            version: VERSION,
            id,
            address,
            created,
            shown,
            body: Some(body),
            envelopes: Vec::new(),
        }
    }

    pub(super) fn key(address: &Address, id: &MessageId) -> Key {
        let id = [b"item".as_slice(), address.as_bytes(), id.as_bytes()].concat();
        Key::new(Table::Outbox, id)
    }

    pub(super) fn row(&self) -> Row {
        Row::plain(Self::key(&self.address, &self.id), self.to_value())
    }
}

/// The bytes of an envelope: the same in every retry.
pub(super) fn envelope_key(id: &EnvelopeId) -> Key {
    Key::new(Table::Outbox, [b"env".as_slice(), id.as_bytes()].concat())
}

/// A row of the outbox is an item or an envelope, told apart by its key.
pub(super) enum OutboxRow {
    /// An item.
    Item(Box<ItemRow>),
    /// The bytes of an envelope.
    Envelope(EnvelopeId, Box<EnvelopeBytes>),
}

impl OutboxRow {
    pub(super) fn decode(row: &Row) -> Result<Self, RecordError> {
        if let Some(id) = row.key.id.strip_prefix(b"env".as_slice()) {
            let id = EnvelopeId::try_from(id).map_err(|_| RecordError::Damaged)?;
            let bytes = row
                .value
                .as_slice()
                .try_into()
                .map_err(|_| RecordError::Damaged)?;
            return Ok(Self::Envelope(id, Box::new(Bytes(bytes))));
        }
        ItemRow::from_value(&row.value).map(|item| Self::Item(Box::new(item)))
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
    pub(in crate::client) fn prekeys() -> Key {
        Key::new(Table::PreKey, b"secrets")
    }
}

/// Version that new records carry.
pub(super) const fn current_version() -> u8 {
    VERSION
}
