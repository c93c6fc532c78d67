//! Sessions that one side has lost: a new one is begun, seldom and visibly, and what was on its way is sent
//! again in it.
//!
//! ```text
//!   a message we cannot open: no such session, no such prekey ──seldom──────▶ look up, begin anew ─┐
//!   a first message of a peer who had a session with us ───────────────────────────────────────────┤
//!   one of ours that a peer who was there since has not answered, when we write in it ─────────────┤
//!   a session of ours whose record is gone ────────────────────────────────────────────────────────┤
//!                                         texts without a receipt are sent again ◀─────────────────┘
//! ```
//! That a session is to be begun anew is stored with the contact in the turn that finds it out, also if it is not time
//! for another one, and stays so until one was: the message that called for it is acknowledged, and may be the last that the peer writes for long.
//!
//! A text that arrives twice is shown once: its MessageId tells. It is confirmed again, so a receipt that was
//! lost with the session is made good.

use super::api::{Event, Step};
use super::commands::order;
use super::engine::{Client, Ctx, conversation};
use super::records::{ItemBody, ItemRow, MessageRow, Record};
use super::store::Key;
use super::view::{Direction, MessageState, MessageView, Notice};
use crate::id::{Address, DeviceId, MessageId};
use crate::session::{PeerDevice, SessionRecord};
use crate::time::{CLOCK_AHEAD, Duration, Timestamp};
use crate::wire::codec::BoundedText;

/// Anybody can send what cannot be opened: so many new sessions per device at once,
pub(super) const RENEW_AT_ONCE: u64 = 3;
/// and one more in this time. Those beyond wait for it.
pub(super) const RENEW_EVERY: Duration = Duration::from_days(1);

impl Client {
    /// The contacts that have the device which a message claims to be from, when nothing else tells whose it is. More
    /// than one, if somebody names a device of somebody else: none of them hides the others.
    pub(super) fn claimed_contacts(
        &self,
        device: DeviceId,
    ) -> impl Iterator<Item = PeerDevice> + '_ {
        let has = move |stored: &super::records::PeerDeviceRow| stored.device == device;
        let rows = self.contacts.iter();
        let rows = rows.filter(move |row| row.devices.iter().any(has));
        rows.map(move |row| PeerDevice {
            address: row.address,
            device,
        })
    }

    /// A contact relies on a session or on prekeys that this device has not. The new one is begun at `begun`, or later.
    pub(super) fn renew_session(&mut self, peer: &PeerDevice, begun: Timestamp, ctx: &mut Ctx<'_>) {
        let write = self.contacts.want_anew(peer, begun);
        ctx.batch.writes.extend(write);
        if self.awaits_renewal(&peer.address, ctx.now) {
            self.lookups.want(peer.address, ctx.now);
        }
    }

    /// Something was sealed in a session of ours that the peer has not answered, though it was there: a sealing key that
    /// it made since says so. It may lack the prekeys that the session was begun with, and cannot tell us as long
    /// as it does not know us. At most once for each of its keys: the next session is younger than this one.
    pub(super) fn renew_if_unheard(
        &mut self,
        peer: &PeerDevice,
        record: &SessionRecord,
        ctx: &mut Ctx<'_>,
    ) {
        let known = self.contacts.peer(&peer.address, &peer.device);
        let (Some(begun), Some(known)) = (record.unanswered_since(), known) else {
            return;
        };
        // The two times are of two clocks.
        if known.sealing_key.created() > begun.saturating_add(CLOCK_AHEAD) {
            self.renew_session(peer, ctx.now, ctx);
        }
    }

    /// Whether a session with a contact is to be begun anew as soon as that can be. Not while the person has keys to
    /// accept: nothing could be said in it. What they decide leads to a lookup.
    pub(super) fn awaits_renewal(&self, address: &Address, now: Timestamp) -> bool {
        !self.outbox.is_blocked(address) && self.contacts.wants_any_anew(address, now)
    }

    /// After a start: sessions that were to be begun anew still are. Later: the time of some has come since `before`.
    pub(super) fn resume_renewals(&mut self, before: Option<Timestamp>, now: Timestamp) {
        let addresses: Vec<Address> = self.contacts.iter().map(|row| row.address).collect();
        for address in addresses {
            let was_due = before.is_some_and(|before| self.awaits_renewal(&address, before));
            if !was_due && self.awaits_renewal(&address, now) {
                self.lookups.want(address, now);
            }
        }
    }

    /// Texts whose arrival nobody has confirmed were perhaps sealed in a session that is lost.
    pub(super) fn resend(&mut self, address: Address, ctx: &mut Ctx<'_>) {
        // So was what carried my introduction: the next text has it again.
        let write = self.contacts.update(&address, |row| row.introduced = 0);
        ctx.batch.writes.extend(write);
        let ids = self.outbox.unconfirmed(&address);
        if !ids.is_empty() {
            ctx.batch.step(Step::Resend { address, ids });
        }
    }

    pub(super) fn resend_reads(address: &Address, ids: &[MessageId]) -> Vec<Key> {
        ids.iter().map(|id| MessageRow::key(address, id)).collect()
    }

    /// Back into the outbox as they were written; the next seal is in the session that is current then.
    pub(super) fn resend_texts(
        &mut self,
        address: Address,
        ids: Vec<MessageId>,
        ctx: &mut Ctx<'_>,
    ) {
        for id in ids {
            let stored = ctx.loaded.get(&MessageRow::key(&address, &id));
            let view = stored
                .and_then(|row| MessageRow::from_value(row).ok())
                .and_then(|row| row.view().ok());
            let Some(view) = view.filter(is_on_its_way) else {
                continue;
            };
            let Ok(text) = BoundedText::new(view.text) else {
                continue;
            };
            ctx.batch.writes.extend(self.outbox.remove(&(address, id)));
            let sent = view.sent;
            let body = ItemBody::Text { text, sent };
            self.enqueue(ItemRow::new(id, address, ctx.now, true, body), ctx.now, ctx);
        }
    }

    /// A line in the conversation that nobody has written.
    pub(super) fn notice(&mut self, address: Address, notice: Notice, ctx: &mut Ctx<'_>) {
        let talk = conversation(ctx.loaded, address);
        let id = MessageId::random(&mut ctx.rng);
        let above = Timestamp::from_ms(talk.last_order >> super::commands::ORDER_BITS);
        let sent = ctx.now.max(above.saturating_add(Duration::from_ms(1)));
        let view = MessageView {
            id,
            address,
            direction: Direction::Notice(notice),
            text: String::new(),
            sent,
            order: order(sent, &id),
        };
        if let Some(row) = MessageRow::new(&view) {
            ctx.batch.put(row.row());
            ctx.batch.event(Event::Message(view));
        }
    }
}

fn is_on_its_way(view: &MessageView) -> bool {
    let state = MessageState::Sent { held: 0, of: 0 };
    match view.direction {
        Direction::Out(of) => super::commands::rank(&of) <= super::commands::rank(&state),
        Direction::In | Direction::Notice(_) => false,
    }
}
