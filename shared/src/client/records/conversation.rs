//! Rows of conversations and of their messages.

use minicbor::{Decode, Encode};

use super::{MAX_TEXT_LEN, MAX_UNREAD_IDS, Record, RecordError, VERSION};
use crate::client::store::{Key, Row, Table};
use crate::client::view::{Direction, FailReason, MessageState, MessageView, Notice};
use crate::id::{Address, MessageId};
use crate::time::Timestamp;
use crate::wire::codec::{BoundedList, BoundedText};

/// A conversation.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(in crate::client) struct ConversationRow {
    #[n(0)]
    pub(in crate::client) version: u8,
    #[n(1)]
    pub(in crate::client) address: Address,
    /// The newest message, so that a list of conversations is one read.
    #[n(2)]
    pub(in crate::client) last: Option<MessageRow>,
    #[n(3)]
    pub(in crate::client) last_order: u64,
    #[n(4)]
    pub(in crate::client) unread: u32,
    /// Those of them that a read receipt will name.
    #[n(5)]
    pub(in crate::client) unread_ids: BoundedList<MessageId, MAX_UNREAD_IDS>,
    /// My last sending time in it: the next is later.
    #[n(6)]
    pub(in crate::client) last_sent: Timestamp,
}

impl ConversationRow {
    pub(in crate::client) fn new(address: Address) -> Self {
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

    pub(in crate::client) fn key(address: &Address) -> Key {
        Key::new(Table::Conversation, address)
    }

    pub(in crate::client) fn row(&self) -> Row {
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
pub(in crate::client) struct MessageRow {
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
    /// 0 incoming, 1 to 5 the outgoing states, 6 a notice.
    #[n(6)]
    state: u8,
    /// `held`, or the number of the failure or notice.
    #[n(7)]
    detail: u8,
    /// `of`.
    #[n(8)]
    of: u8,
    /// When delivered or read; of a notice, what it says of a time.
    #[n(9)]
    at: Timestamp,
}

impl MessageRow {
    pub(in crate::client) fn key(address: &Address, id: &MessageId) -> Key {
        Key::new(
            Table::Message,
            [address.as_bytes().as_slice(), id.as_bytes()].concat(),
        )
    }

    pub(in crate::client) const fn id(&self) -> MessageId {
        self.id
    }

    pub(in crate::client) const fn address(&self) -> Address {
        self.address
    }

    /// `None` only for a text beyond its bound.
    pub(in crate::client) fn new(view: &MessageView) -> Option<Self> {
        let (state, detail, of, at) = match view.direction {
            Direction::In => (0, 0, 0, Timestamp::EPOCH),
            Direction::Notice(notice) => (6, notice_number(notice), 0, notice_time(notice)),
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

    pub(in crate::client) fn view(self) -> Result<MessageView, RecordError> {
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
            6 => Direction::Notice(notice_of(self.detail, self.at)?),
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

    pub(in crate::client) fn row(&self) -> Row {
        Row {
            key: Self::key(&self.address, &self.id),
            partition: self.address.as_bytes().to_vec(),
            sort: self.order,
            value: self.to_value(),
        }
    }
}

const fn notice_number(notice: Notice) -> u8 {
    match notice {
        Notice::SessionRenewed => 0,
        Notice::KeysChanged => 1,
        Notice::DevicesUnconfirmed { .. } => 2,
    }
}

const fn notice_time(notice: Notice) -> Timestamp {
    match notice {
        Notice::SessionRenewed | Notice::KeysChanged => Timestamp::EPOCH,
        Notice::DevicesUnconfirmed { since } => since,
    }
}

fn notice_of(number: u8, at: Timestamp) -> Result<Notice, RecordError> {
    match number {
        0 => Ok(Notice::SessionRenewed),
        1 => Ok(Notice::KeysChanged),
        2 => Ok(Notice::DevicesUnconfirmed { since: at }),
        _ => Err(RecordError::Damaged),
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
