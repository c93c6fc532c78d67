//! Rows of the outbox: items, and the envelopes that carry them.

use minicbor::{Decode, Encode};

use super::{MAX_TEXT_LEN, MAX_UNREAD_IDS, Record, RecordError, VERSION};
use crate::client::store::{Key, Row, Table};
use crate::id::{Address, DeviceId, EnvelopeId, MessageId};
use crate::rpc::EnvelopeBytes;
use crate::time::Timestamp;
use crate::wire::codec::{BoundedList, BoundedText, Bytes};

/// What an outbox item will say once it is sealed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(in crate::client) enum ItemBody {
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
pub(in crate::client) struct EnvelopeEntry {
    #[n(0)]
    pub(in crate::client) id: EnvelopeId,
    #[n(1)]
    pub(in crate::client) device: DeviceId,
    /// Held by so many of so many; absent: not yet by a majority.
    #[n(2)]
    pub(in crate::client) held: Option<(u8, u8)>,
}

/// Something on its way to a contact.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(in crate::client) struct ItemRow {
    #[n(0)]
    pub(in crate::client) version: u8,
    /// MessageId of the content; also names the item.
    #[n(1)]
    pub(in crate::client) id: MessageId,
    #[n(2)]
    pub(in crate::client) address: Address,
    #[n(3)]
    pub(in crate::client) created: Timestamp,
    /// Whether a message of mine shows its state.
    #[n(4)]
    pub(in crate::client) shown: bool,
    /// Present until it is sealed.
    #[n(5)]
    pub(in crate::client) body: Option<ItemBody>,
    #[n(6)]
    pub(in crate::client) envelopes: Vec<EnvelopeEntry>,
}

impl ItemRow {
    pub(in crate::client) const fn new(
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

    pub(in crate::client) fn key(address: &Address, id: &MessageId) -> Key {
        let id = [b"item".as_slice(), address.as_bytes(), id.as_bytes()].concat();
        Key::new(Table::Outbox, id)
    }

    pub(in crate::client) fn row(&self) -> Row {
        Row::plain(Self::key(&self.address, &self.id), self.to_value())
    }
}

/// The bytes of an envelope: the same in every retry.
pub(in crate::client) fn envelope_key(id: &EnvelopeId) -> Key {
    Key::new(Table::Outbox, [b"env".as_slice(), id.as_bytes()].concat())
}

/// A row of the outbox is an item or an envelope, told apart by its key.
pub(in crate::client) enum OutboxRow {
    /// An item.
    Item(Box<ItemRow>),
    /// The bytes of an envelope.
    Envelope(EnvelopeId, Box<EnvelopeBytes>),
}

impl OutboxRow {
    pub(in crate::client) fn decode(row: &Row) -> Result<Self, RecordError> {
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
