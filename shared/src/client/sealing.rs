//! Where contents meet sessions: what waits is encrypted for every device of a contact, what arrives is
//! decrypted, new sessions begin.

use zeroize::Zeroizing;

use super::api::Step;
use super::engine::{Client, Ctx};
use super::inbox::Delivered;
use super::lookup::StartSession;
use super::records::{ItemBody, ItemRow, meta};
use super::store::{Key, Row, Table, Write};
use super::view::{FailReason, MessageState, Notice};
use crate::content::{
    Content, DirectMessage, Introduction, ProfileUpdate, Receipt, ReceiptIds, ReceiptKind,
};
use crate::crypto::Secret32;
use crate::id::{Address, DeviceId, MessageId, SessionId};
use crate::rpc::EnvelopeBytes;
use crate::session::{
    self, Envelope, LocalDevice, PeerDevice, SessionMessage, SessionRecord, seal_message,
};
use crate::wire::codec::{BoundedBytes, Bytes, from_cbor, to_secret_cbor};
use crate::x3dh::PreKeySecrets;

/// Longest prekey record, in bytes.
const MAX_PREKEYS_LEN: usize = 1 << 20;

/// An envelope for one device.
type Sealed = (DeviceId, Box<EnvelopeBytes>);

impl Client {
    pub(super) fn seal_reads(&self, address: &Address) -> Vec<Key> {
        self.contacts
            .sessions(address)
            .iter()
            .map(|device| record_key(address, device))
            .collect()
    }

    /// Encrypts everything that is due for a contact, in order, for each of their devices.
    pub(super) fn seal(&mut self, address: Address, ctx: &mut Ctx<'_>) {
        if self.mailbox.descriptor.is_none() || self.outbox.is_blocked(&address) {
            // Nowhere to answer yet: it waits until there is a swarm. Or a person is to accept keys first.
            return;
        }
        let mut sessions = self.load_sessions(&address, ctx);
        sessions.retain(|(device, _)| self.contacts.may_seal_to(&address, device, ctx.now));
        if sessions.is_empty() {
            return;
        }
        let mut introduced = false;
        for item in self.outbox.to_seal(&address) {
            let id = (item.address, item.id);
            let mut envelopes: Vec<Sealed> = Vec::new();
            for (device, record) in &mut sessions {
                let Some(content) = self.compose(&item, !record.is_confirmed()) else {
                    continue;
                };
                introduced |= content.introduction().is_some();
                let plaintext = Zeroizing::new(content.encode(item.id));
                envelopes.extend(
                    self.seal_for(&address, device, record, &plaintext, ctx)
                        .unwrap_or_default(),
                );
            }
            if envelopes.is_empty() {
                // Nobody can be told any more: the keys of every device have failed.
                ctx.batch.writes.extend(self.outbox.remove(&id));
                if item.shown {
                    let state = Some(MessageState::Failed(FailReason::ContactKeysInvalid));
                    ctx.batch.step(Step::Progress { item: id, state });
                }
            } else {
                ctx.batch
                    .writes
                    .extend(self.outbox.sealed(&id, envelopes, ctx.now));
            }
        }
        for (device, record) in &sessions {
            store_record(record, None, ctx);
            let peer = PeerDevice {
                address,
                device: *device,
            };
            self.renew_if_unheard(&peer, record, ctx);
        }
        // Receipts carry none: after them alone the peer still lacks it.
        if introduced {
            let version = self.profile.introduction;
            let write = self
                .contacts
                .update(&address, |row| row.introduced = version);
            ctx.batch.writes.extend(write);
        }
    }

    /// The stored sessions of a contact; a device whose record is gone has none, and what was sealed in it goes again
    /// in the next one.
    fn load_sessions(
        &mut self,
        address: &Address,
        ctx: &mut Ctx<'_>,
    ) -> Vec<(DeviceId, SessionRecord)> {
        let mut sessions = Vec::new();
        for device in self.contacts.sessions(address) {
            match load_record(address, &device, ctx) {
                Some(record) => sessions.push((device, record)),
                None => {
                    self.contacts.set_session(address, &device, false);
                    ctx.batch
                        .writes
                        .extend(self.contacts.update(address, |_| {}));
                    self.resend(*address, ctx);
                }
            }
        }
        sessions
    }

    fn seal_for(
        &mut self,
        address: &Address,
        device: &DeviceId,
        record: &mut SessionRecord,
        plaintext: &[u8],
        ctx: &mut Ctx<'_>,
    ) -> Option<Vec<Sealed>> {
        let peer = self.contacts.peer(address, device)?;
        let message = record.encrypt(self.local(), plaintext, &mut ctx.rng).ok()?;
        let envelopes = seal_message(&message, &peer.sealing_key, &mut ctx.rng).ok()?;
        let sealed = |bytes: Envelope| (*device, Box::new(Bytes(*bytes)));
        Some(envelopes.into_iter().map(sealed).collect())
    }

    /// What an item says, with my introduction where the peer may lack it.
    fn compose(&self, item: &ItemRow, unanswered: bool) -> Option<Content> {
        let stale = self.contacts.get(&item.address)?.introduced < self.profile.introduction;
        let list_sequence = self.me.list.sequence();
        match item.body.as_ref()? {
            ItemBody::Text { text, sent } => {
                let introduction = if unanswered || stale {
                    Some(self.introduction()?)
                } else {
                    None
                };
                let text = Some(text.clone());
                Some(Content::Message(DirectMessage {
                    sent_at: *sent,
                    list_sequence,
                    text,
                    introduction,
                }))
            }
            ItemBody::Receipt { read, ids, at } => {
                let kind = if *read {
                    ReceiptKind::Read
                } else {
                    ReceiptKind::Delivered
                };
                let ids = ReceiptIds::new(ids.to_vec()).ok()?;
                Some(Content::Receipt(Receipt { kind, ids, at: *at }))
            }
            ItemBody::Profile => {
                let introduction = self.introduction()?;
                Some(Content::Profile(ProfileUpdate {
                    sent_at: item.created,
                    list_sequence,
                    introduction,
                }))
            }
        }
    }

    fn introduction(&self) -> Option<Introduction> {
        let device = &self.me.device;
        Some(Introduction {
            name: self.profile.name.clone(),
            directory_key: self.me.directory.public(),
            mailbox: BoundedBytes::new(self.mailbox.descriptor.as_ref()?.bytes().to_vec()).ok()?,
            write_secret: Secret32::from_bytes(*self.mailbox.row.write_secret.as_bytes()),
            sealing_key: device.publish_sealing_key(),
        })
    }

    pub(super) fn start_session_reads(start: &StartSession) -> Vec<Key> {
        vec![record_key(
            &start.address,
            &start.device.certificate.device_id(),
        )]
    }

    /// A bundle was taken: begin a session with its device, then seal what waits.
    pub(super) fn start_session(&mut self, start: StartSession, ctx: &mut Ctx<'_>) {
        let StartSession {
            address,
            device,
            bundle,
            stale_since,
        } = start;
        let id = device.certificate.device_id();
        // Somebody who wrote while their prekeys were on the way has opened a session already.
        let due = self.contacts.wants_anew(&address, &id, ctx.now).is_some();
        if !due && self.contacts.sessions(&address).contains(&id) {
            self.session_ready(&address, &id, ctx);
            return;
        }
        let anew = self.contacts.wish(&address, &id);
        if anew.is_none() && stale_since.is_some() && !self.may_begin_by_stale(&address) {
            // Verified while the prekeys were on the way.
            return self.lookup_failed(address, None, ctx);
        }
        // A clock that was far ahead may have said when.
        let sane = anew.filter(|begun| !begun.is_ahead_of(ctx.now));
        let not_before = sane.unwrap_or(ctx.now);
        let before = load_record(&address, &id, ctx);
        let record = match &before {
            Some(record) => {
                record.start_over(self.local(), bundle, not_before, ctx.now, &mut ctx.rng)
            }
            None => {
                let begun = ctx.now.max(not_before);
                SessionRecord::start(self.local(), bundle, begun, &mut ctx.rng)
            }
        };
        let Ok(record) = record else {
            self.lookups.failed(&address, None, ctx.now, &mut ctx.rng);
            return;
        };
        store_record(&record, before.as_ref(), ctx);
        if let Some(since) = stale_since.filter(|_| !self.contacts.has_session(&address)) {
            let notice = Notice::DevicesUnconfirmed { since };
            ctx.batch.step(Step::Notice(address, notice));
        }
        self.contacts.set_session(&address, &id, true);
        ctx.batch
            .writes
            .extend(self.contacts.update(&address, |_| {}));
        if anew.is_some() {
            self.begun_anew(address, id, ctx);
        }
        self.session_ready(&address, &id, ctx);
    }

    /// A session took the place of another one: people are told, and so is the peer.
    fn begun_anew(&mut self, address: Address, device: DeviceId, ctx: &mut Ctx<'_>) {
        let peer = PeerDevice { address, device };
        ctx.batch
            .writes
            .extend(self.contacts.renewed(&peer, ctx.now));
        ctx.batch
            .step(Step::Notice(address, Notice::SessionRenewed));
        // The peer learns of the session from the first message in it: there has to be one.
        let introduction = ItemRow::new(
            MessageId::random(&mut ctx.rng),
            address,
            ctx.now,
            false,
            ItemBody::Profile,
        );
        self.enqueue(introduction, ctx.now, ctx);
        self.resend(address, ctx);
    }

    fn session_ready(&mut self, address: &Address, device: &DeviceId, ctx: &mut Ctx<'_>) {
        if self.lookups.started(address, device) {
            ctx.batch.step(Step::Seal(*address));
        }
    }

    fn local(&self) -> LocalDevice<'_> {
        let me = &self.me;
        LocalDevice {
            account: &me.keys,
            certificate: &me.certificate,
            identity: me.device.identity(),
        }
    }

    /// Which record a message belongs to: a first message says so, any other is found by its session.
    pub(super) fn session_message_reads(message: &SessionMessage) -> Vec<Key> {
        vec![index_key(&message.session())]
    }

    pub(super) fn on_session_message(&mut self, message: SessionMessage, ctx: &mut Ctx<'_>) {
        let device = message.claimed_sender();
        let peer = match message.claimed_address() {
            Some(address) => Some(PeerDevice { address, device }),
            None => ctx
                .loaded
                .get(&index_key(&message.session()))
                .and_then(read_index),
        };
        let peers = match peer {
            Some(peer) => vec![peer],
            None => self.claimed_contacts(device).collect(),
        };
        for peer in peers {
            ctx.batch.step(Step::Decrypt {
                message: Box::new(message.clone()),
                peer,
            });
        }
    }

    pub(super) fn decrypt_reads(peer: &PeerDevice) -> Vec<Key> {
        vec![record_key(&peer.address, &peer.device), meta::prekeys()]
    }

    /// Decrypts a message. The new session state and whatever the content changes are one commit.
    pub(super) fn decrypt(
        &mut self,
        message: &SessionMessage,
        peer: &PeerDevice,
        ctx: &mut Ctx<'_>,
    ) {
        let record = load_record(&peer.address, &peer.device, ctx);
        let prekeys = ctx.loaded.get(&meta::prekeys());
        let prekeys =
            prekeys.and_then(|bytes| from_cbor::<PreKeySecrets>(bytes, MAX_PREKEYS_LEN).ok());
        // Lost prekeys cost first messages, not the sessions that there are: what is made here opens none.
        let mut prekeys = prekeys.unwrap_or_else(|| PreKeySecrets::random(ctx.now, &mut ctx.rng));
        let received = session::receive(record.as_ref(), self.local(), &prekeys, message, ctx.now);
        let received = match received {
            Ok(received) => received,
            Err(error) if error.calls_for_new_session() => {
                return self.renew_session(peer, message.time_to_begin_anew(ctx.now), ctx);
            }
            Err(_) => return,
        };
        if !self.is_from_listed(message, &received, ctx) {
            return;
        }
        store_record(&received.record, record.as_ref(), ctx);
        let PeerDevice { address, device } = *received.record.peer();
        // The peer begins what this side has lost.
        let lost = record.is_none() && self.contacts.sessions(&address).contains(&device);
        let first = received.first.map(|first| {
            if !first.used.is_empty() {
                prekeys.consume(&first.used);
                ctx.batch
                    .put(Row::plain(meta::prekeys(), to_secret_cbor(&prekeys)));
            }
            if first.started_over || lost {
                self.resend(address, ctx);
            }
            // Not where two merely began at once: one session took the place of another that both had.
            let had = record.as_ref().is_some_and(SessionRecord::is_confirmed);
            if lost || (first.started_over && had) {
                ctx.batch
                    .step(Step::Notice(address, Notice::SessionRenewed));
            }
            (first.account, first.certificate)
        });
        let plaintext = Zeroizing::new(received.plaintext);
        if let Ok((id, content)) = Content::decode(&plaintext) {
            ctx.batch.step(Step::Content(Box::new(Delivered {
                address,
                device,
                first,
                id,
                content,
            })));
        }
    }
}

/// The sessions with one device. Two accounts can certify the same device key: both are in the name.
pub(super) fn record_key(address: &Address, device: &DeviceId) -> Key {
    Key::new(
        Table::Session,
        [address.as_bytes().as_slice(), device.as_bytes()].concat(),
    )
}

/// From a session to the record that has it.
pub(super) fn index_key(session: &SessionId) -> Key {
    Key::new(Table::Session, session)
}

fn read_index(bytes: &[u8]) -> Option<PeerDevice> {
    let (address, device) = bytes.split_at_checked(Address::LEN)?;
    Some(PeerDevice {
        address: Address::try_from(address).ok()?,
        device: DeviceId::try_from(device).ok()?,
    })
}

pub(super) fn load_record(
    address: &Address,
    device: &DeviceId,
    ctx: &Ctx<'_>,
) -> Option<SessionRecord> {
    SessionRecord::decode(ctx.loaded.get(&record_key(address, device))?).ok()
}

/// The writes of a record that follows `before`: itself, and the index of its sessions, without those that
/// have ended.
fn store_record(record: &SessionRecord, before: Option<&SessionRecord>, ctx: &mut Ctx<'_>) {
    let PeerDevice { address, device } = record.peer();
    for session in record.sessions() {
        let peer = [address.as_bytes().as_slice(), device.as_bytes()].concat();
        ctx.batch.put(Row::plain(index_key(&session), peer));
    }
    ctx.batch
        .put(Row::plain(record_key(address, device), record.encode()));
    let ended = before
        .into_iter()
        .flat_map(SessionRecord::sessions)
        .filter(|session| record.sessions().all(|kept| kept != *session));
    let ended = ended.map(|session| Write::Delete(index_key(&session)));
    ctx.batch.writes.extend(ended);
}
