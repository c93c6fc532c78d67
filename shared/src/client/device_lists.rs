//! Device lists of contacts: when they are read again, and what a new one changes. PROTOCOL §7.
//!
//! ```text
//!   6 h since the last look, something to send ──┐
//!   a message names a higher sequence ───────────┼─▶ lookup ──▶ record ──list not older, not forked──▶ known
//!   a message of a device that is not listed ────┘                │
//!        gone: no envelope more, its sessions end ◀───────────────┼─▶ new, or other keys: the person is told
//!        held messages of listed devices are decrypted ◀──────────┘
//! ```

use super::api::Step;
use super::contacts::{ListChange, Standing};
use super::engine::{Client, Ctx};
use super::sealing::{index_key, load_record, record_key};
use super::store::{Key, Write};
use super::view::MessageState;
use crate::content::Content;
use crate::id::{Address, DeviceId};
use crate::session::{PeerDevice, Received, SessionMessage};
use crate::time::Timestamp;

impl Client {
    /// Whether sending waits for the contact's record to be read: what is known is older than six hours, and no
    /// attempt to read it has failed since.
    pub(super) fn awaits_record(&mut self, address: &Address, now: Timestamp) -> bool {
        if self.contacts.is_stale(address, now) {
            self.lookups.want_first(*address, now);
        }
        self.lookups.is_first(address)
    }

    /// A message names the sequence of its sender's list: a higher one than known is read soon.
    pub(super) fn list_claimed(&mut self, address: &Address, content: &Content, now: Timestamp) {
        let claimed = content.list_sequence().unwrap_or_default();
        let news = |row: &super::records::ContactRow| {
            row.list_sequence < claimed && row.directory_key.is_some()
        };
        if self.contacts.get(address).is_some_and(news) {
            self.lookups.want_news(*address, now);
        }
    }

    /// A contact's list has been read: what it changes beyond the contact's row.
    pub(super) fn list_read(&mut self, address: Address, change: ListChange, ctx: &mut Ctx<'_>) {
        let ListChange { keys_changed, gone } = change;
        if !gone.is_empty() {
            self.devices_gone(address, gone, ctx);
        }
        if keys_changed {
            self.keys_changed(address, ctx);
        }
        let contacts = &self.contacts;
        let listed = |device: &DeviceId| contacts.standing(&address, device, None).is_listed();
        let (messages, writes) = self.held.release(&address, listed);
        ctx.batch.writes.extend(writes);
        for (peer, message) in messages {
            let message = Box::new(message);
            ctx.batch.step(Step::Decrypt { message, peer });
        }
    }

    /// Devices that were removed, or have other keys than those their sessions were begun with.
    fn devices_gone(&mut self, address: Address, gone: Vec<DeviceId>, ctx: &mut Ctx<'_>) {
        let forgotten = self.outbox.forget_devices(&address, &gone);
        ctx.batch.writes.extend(forgotten.writes);
        for (item, (held, of)) in forgotten.held {
            let state = Some(MessageState::Sent { held, of });
            ctx.batch.step(Step::Progress { item, state });
        }
        let ids = forgotten.again;
        if !ids.is_empty() {
            ctx.batch.step(Step::Resend { address, ids });
        }
        let devices = gone;
        ctx.batch.step(Step::EndSessions { address, devices });
    }

    pub(super) fn end_sessions_reads(address: &Address, devices: &[DeviceId]) -> Vec<Key> {
        let keys = devices.iter().map(|device| record_key(address, device));
        keys.collect()
    }

    /// Forgets every session with these devices.
    pub(super) fn end_sessions(
        &mut self,
        address: &Address,
        devices: &[DeviceId],
        ctx: &mut Ctx<'_>,
    ) {
        for device in devices {
            if let Some(record) = load_record(address, device, ctx) {
                let indexes = record.sessions().map(|session| index_key(&session));
                ctx.batch.writes.extend(indexes.map(Write::Delete));
            }
            let record = record_key(address, device);
            ctx.batch.writes.push(Write::Delete(record));
        }
    }

    /// Whether a message that authenticated comes from a device on its account's list. If not, a first message
    /// waits until the list has been read again; nothing of its session is stored.
    pub(super) fn is_from_listed(
        &mut self,
        message: &SessionMessage,
        received: &Received,
        ctx: &mut Ctx<'_>,
    ) -> bool {
        let peer: PeerDevice = *received.record.peer();
        let first = received.first.as_ref();
        let certificate = first.map(|first| first.certificate.hash());
        match self
            .contacts
            .standing(&peer.address, &peer.device, certificate)
        {
            Standing::Listed | Standing::NoList => return true,
            Standing::Unlisted => {}
        }
        if first.is_some() {
            let write = self.held.add(&peer, message, ctx);
            ctx.batch.writes.extend(write);
            self.lookups.want_news(peer.address, ctx.now);
        }
        false
    }
}
