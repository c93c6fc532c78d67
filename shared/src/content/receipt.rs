//! Receipts: messages were delivered, or read.

use minicbor::decode::{self, Decoder};
use minicbor::{Decode, Encode};

use crate::id::MessageId;
use crate::time::Timestamp;
use crate::wire::codec::{BoundedList, OverBound};

/// The most messages of one receipt.
pub const MAX_RECEIPT_IDS: usize = 1000;

/// What happened to the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum ReceiptKind {
    /// They are stored on the receiving device.
    #[n(1)]
    Delivered,
    /// Their reader has seen them.
    #[n(2)]
    Read,
}

/// Says of up to 1000 messages that they were delivered, or read.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Receipt {
    /// What happened to them.
    #[n(0)]
    pub kind: ReceiptKind,
    /// Which messages.
    #[n(1)]
    pub ids: ReceiptIds,
    /// When, by the sender's clock.
    #[n(2)]
    pub at: Timestamp,
}

/// One to 1000 MessageIds.
#[derive(Clone, Debug, PartialEq, Eq, Encode)]
#[cbor(transparent)]
pub struct ReceiptIds(#[n(0)] BoundedList<MessageId, MAX_RECEIPT_IDS>);

impl ReceiptIds {
    /// Wraps one to 1000 ids.
    pub fn new(ids: Vec<MessageId>) -> Result<Self, OverBound> {
        match ids.len() {
            0 => Err(OverBound {
                max: MAX_RECEIPT_IDS,
                actual: 0,
            }),
            _ => BoundedList::new(ids).map(Self),
        }
    }

    /// The ids.
    pub fn as_slice(&self) -> &[MessageId] {
        &self.0
    }
}

impl<'b, C> Decode<'b, C> for ReceiptIds {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
        let ids = BoundedList::<MessageId, MAX_RECEIPT_IDS>::decode(d, ctx)?;
        match ids.is_empty() {
            true => Err(decode::Error::message("a receipt for nothing")),
            false => Ok(Self(ids)),
        }
    }
}
