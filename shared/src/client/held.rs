//! Messages of devices that are not on their account's list, as far as the list is known here.
//!
//! ```text
//!   authentic first message, device not on the list ──▶ held ──list is read, device on it──▶ decrypted
//!                                                         └──7 days, or never listed──▶ forgotten, unread
//! ```
//! A device that was added a moment ago writes before its new list is read; a device that was removed can
//! say the same. Nobody can tell the two apart but by the list, so neither is shown before it.

use minicbor::{Decode, Encode};

use super::engine::Ctx;
use super::records::{Record, RecordError, current_version};
use super::store::{Key, Row, Table, Write};
use crate::id::{Address, DeviceId, MessageId};
use crate::session::{PeerDevice, SessionMessage};
use crate::time::{Duration, Timestamp};
use crate::wire::codec::BoundedBytes;

/// Longest message that is held, in bytes: the longest text, and the longest first message's head.
const MAX_LEN: usize = 65_536;
/// Messages held of one device.
const MAX_OF_DEVICE: usize = 16;
/// Messages held in all.
const MAX_ALL: usize = 64;
/// How long a message is held.
pub(super) const HOLD: Duration = Duration::from_days(7);

/// A message that waits.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) struct HeldRow {
    #[n(0)]
    pub(super) version: u8,
    /// Names the row; random.
    #[n(1)]
    id: MessageId,
    /// Proven by the message.
    #[n(2)]
    address: Address,
    #[n(3)]
    device: DeviceId,
    #[n(4)]
    since: Timestamp,
    /// The session message as it came: nothing of its session is stored.
    #[n(5)]
    message: BoundedBytes<MAX_LEN>,
}

impl HeldRow {
    fn key(&self) -> Key {
        Key::new(Table::Held, self.id)
    }
}

/// Everything that waits, oldest first.
#[derive(Debug, Default)]
pub(super) struct Held(Vec<HeldRow>);

impl Held {
    pub(super) fn restore(rows: &[Row]) -> Result<Self, RecordError> {
        let rows = rows.iter().map(|row| HeldRow::from_value(&row.value));
        let mut held = rows.collect::<Result<Vec<_>, _>>()?;
        held.sort_by_key(|row| (row.since, row.id));
        Ok(Self(held))
    }

    /// Holds a message; the write. `None`: too long, or too many wait already.
    pub(super) fn add(
        &mut self,
        peer: &PeerDevice,
        message: &SessionMessage,
        ctx: &mut Ctx<'_>,
    ) -> Option<Write> {
        let of_device = self.0.iter().filter(|row| row.is_of(peer)).count();
        if of_device >= MAX_OF_DEVICE || self.0.len() >= MAX_ALL {
            return None;
        }
        let row = HeldRow {
            version: current_version(),
            id: MessageId::random(&mut ctx.rng),
            address: peer.address,
            device: peer.device,
            since: ctx.now,
            message: BoundedBytes::new(message.encode()).ok()?,
        };
        let write = Write::Put(Row::plain(row.key(), row.to_value()));
        self.0.push(row);
        Some(write)
    }

    /// Messages of a contact's devices that are `listed` by now, oldest first, and the writes that forget
    /// them.
    pub(super) fn release(
        &mut self,
        address: &Address,
        listed: impl Fn(&DeviceId) -> bool,
    ) -> (Vec<(PeerDevice, SessionMessage)>, Vec<Write>) {
        let ready = |row: &mut HeldRow| row.address == *address && listed(&row.device);
        let ready: Vec<HeldRow> = self.0.extract_if(.., ready).collect();
        let writes = ready.iter().map(|row| Write::Delete(row.key())).collect();
        let message = |row: HeldRow| {
            let message = SessionMessage::decode(&row.message).ok()?;
            let (address, device) = (row.address, row.device);
            Some((PeerDevice { address, device }, message))
        };
        (ready.into_iter().filter_map(message).collect(), writes)
    }

    /// Forgets what nobody's list has named for a week; the writes.
    pub(super) fn expire(&mut self, now: Timestamp) -> Vec<Write> {
        let old = |row: &mut HeldRow| now.since(row.since) >= HOLD;
        let old = self.0.extract_if(.., old);
        old.map(|row| Write::Delete(row.key())).collect()
    }
}

impl HeldRow {
    fn is_of(&self, peer: &PeerDevice) -> bool {
        self.address == peer.address && self.device == peer.device
    }
}
