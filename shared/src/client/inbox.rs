//! Receiving: envelope, fragment, session message, content. Each step is committed with the ones before
//! it, so that a crash anywhere leaves either nothing or everything of a message.
//!
//! ```text
//!   Push ─▶ its id? ──no──▶ dropped: not acknowledged, and asked of the other members
//!           Envelope ──seen?──▶ acknowledge again
//!              └─open─▶ Fragment ──others missing──▶ store, acknowledge
//!                          └─whole─▶ SessionMessage ──ratchet──▶ Content ─▶ message, receipt, event
//! ```
//! What cannot be opened is acknowledged and forgotten: it will not open the next time either.

use super::api::{Event, Step};
use super::commands::order;
use super::engine::{Client, Ctx, conversation};
use super::records::{ContactRow, ConversationRow, MAX_UNREAD_IDS, MessageRow};
use super::store::{Key, Row, Table, Write};
use super::view::{Direction, MessageState, MessageView};
use crate::content::{Content, DirectMessage, Introduction, ReceiptKind};
use crate::id::{Address, DeviceId, EnvelopeId, MessageId, NodeId};
use crate::identity::{AccountKeys, DeviceCertificate};
use crate::rpc::{EnvelopeBytes, MailboxDescriptor, PublishedDevice, WriteSecret};
use crate::session::{self, Fragment, Inserted, SessionMessage};
use crate::time::{Duration, Timestamp};
use crate::wire::codec::{BoundedList, BoundedText};

/// How far a sender's clock may place a message before it came.
const OLDEST: Duration = Duration::from_days(37);

/// A plaintext that a session has authenticated.
#[derive(Debug)]
pub(super) struct Delivered {
    pub(super) address: Address,
    pub(super) device: DeviceId,
    /// Of a first message: who the peer proved to be.
    pub(super) first: Option<(AccountKeys, DeviceCertificate)>,
    pub(super) id: MessageId,
    pub(super) content: Content,
}

impl Client {
    pub(super) fn on_envelope(
        &mut self,
        member: NodeId,
        id: EnvelopeId,
        bytes: &EnvelopeBytes,
        ctx: &mut Ctx<'_>,
    ) {
        let is_new = ctx.loaded.get(&Key::new(Table::Seen, id)).is_none();
        self.mailbox.acknowledge(id, member, ctx.now);
        if !is_new {
            return;
        }
        ctx.batch.writes.extend(self.seen.add(id, ctx.now));
        if let Ok(fragment) = session::open(&bytes.0, self.me.device.sealing(), self.me.device.id())
        {
            ctx.batch.step(Step::Fragment(Box::new(fragment)));
        }
    }

    pub(super) fn on_fragment(&mut self, fragment: Fragment, ctx: &mut Ctx<'_>) {
        let (delete, message) = match self.reassembly.insert(fragment, ctx.now) {
            Inserted::Complete { message, delete } => (delete, Some(message)),
            Inserted::Kept { key, row, delete } => {
                let key = Key::new(Table::Fragment, key.0);
                ctx.batch.put(Row {
                    key,
                    partition: Vec::new(),
                    sort: ctx.now.as_ms(),
                    value: row.into(),
                });
                (delete, None)
            }
            Inserted::Duplicate | Inserted::Conflict => (Vec::new(), None),
        };
        let deletes = delete
            .into_iter()
            .map(|key| Write::Delete(Key::new(Table::Fragment, key.0)));
        ctx.batch.writes.extend(deletes);
        if let Some(message) = message.and_then(|message| SessionMessage::decode(&message).ok()) {
            ctx.batch.step(Step::SessionMessage(Box::new(message)));
        }
    }

    pub(super) fn content_reads(delivered: &Delivered) -> Vec<Key> {
        let address = &delivered.address;
        let mut keys = vec![ConversationRow::key(address)];
        match &delivered.content {
            Content::Message(_) => keys.push(MessageRow::key(address, &delivered.id)),
            Content::Receipt(receipt) => {
                keys.extend(
                    receipt
                        .ids
                        .as_slice()
                        .iter()
                        .map(|id| MessageRow::key(address, id)),
                );
            }
            Content::Profile(_) | Content::Typing(_) | Content::Presence(_) => {}
        }
        keys
    }

    pub(super) fn on_content(&mut self, delivered: Delivered, ctx: &mut Ctx<'_>) {
        let Delivered {
            address,
            device,
            first,
            id,
            content,
        } = delivered;
        let introduction = content.introduction();
        if let Some(introduction) = introduction {
            self.introduced(&address, &device, first, introduction, ctx);
        } else if self
            .contacts
            .get(&address)
            .is_some_and(|row| !has_session(row, &device))
        {
            self.contacts.set_session(&address, &device, true);
            ctx.batch
                .writes
                .extend(self.contacts.update(&address, |_| {}));
        }
        if self.contacts.get(&address).is_none() {
            // Somebody unknown who does not say where to answer.
            return;
        }
        self.list_claimed(&address, &content, ctx.now);
        match content {
            Content::Message(message) => self.on_message(address, id, message, ctx),
            Content::Receipt(receipt) => {
                let state = match receipt.kind {
                    ReceiptKind::Delivered => MessageState::Delivered(receipt.at),
                    ReceiptKind::Read => MessageState::Read(receipt.at),
                };
                for id in receipt.ids.as_slice() {
                    self.confirmed((address, *id), state, ctx);
                }
            }
            // Typing and presence are for the next issue's conversation view.
            Content::Profile(_) | Content::Typing(_) | Content::Presence(_) => {}
        }
    }

    /// Delivered or read: nothing is left to be sent.
    fn confirmed(&mut self, item: (Address, MessageId), state: MessageState, ctx: &mut Ctx<'_>) {
        ctx.batch.writes.extend(self.outbox.remove(&item));
        self.progress(item, Some(state), ctx);
    }

    /// Takes up who a peer says they are and where to answer. A person that was not known becomes a
    /// contact, marked as one who wrote first.
    fn introduced(
        &mut self,
        address: &Address,
        device: &DeviceId,
        first: Option<(AccountKeys, DeviceCertificate)>,
        introduction: &Introduction,
        ctx: &mut Ctx<'_>,
    ) {
        let known = || {
            let keys = self.contacts.get(address)?.keys.clone()?;
            Some((keys, None))
        };
        let proven = first
            .map(|(keys, certificate)| (keys, Some(certificate)))
            .or_else(known);
        let Some((keys, certificate)) = proven else {
            return;
        };
        let certificate = certificate.or_else(|| {
            self.contacts
                .peer(address, device)
                .map(|peer| peer.certificate)
        });
        let Some(certificate) = certificate else {
            return;
        };
        let Ok(mailbox) = MailboxDescriptor::verify(&introduction.mailbox) else {
            return;
        };
        let sealing_key = introduction.sealing_key.clone();
        let Ok(sealing_key) = sealing_key.verify(&certificate, mailbox.mailbox()) else {
            return;
        };
        self.device_introduced(address, &certificate, ctx);
        self.contacts.add(*address, true, ctx.now);
        self.contacts.set_device(
            address,
            &keys,
            &PublishedDevice {
                certificate,
                sealing_key,
                mailbox,
            },
        );
        self.contacts.set_session(address, device, true);
        let claimed = introduction
            .display_name()
            .and_then(|name| BoundedText::new(name).ok());
        let write = self.contacts.update(address, |row| {
            row.directory_key.get_or_insert(introduction.directory_key);
            row.claimed_name = claimed;
            row.write_secret = Some(WriteSecret::from_bytes(
                *introduction.write_secret.as_bytes(),
            ));
        });
        ctx.batch.writes.extend(write);
        self.contact_changed(address, ctx);
    }

    fn on_message(
        &mut self,
        address: Address,
        id: MessageId,
        message: DirectMessage,
        ctx: &mut Ctx<'_>,
    ) {
        // Encrypted again after a session was lost, it is still the same message.
        let is_new = ctx.loaded.get(&MessageRow::key(&address, &id)).is_none();
        if let Some(text) = message.text.filter(|_| is_new) {
            self.show(address, id, message.sent_at, text.into_inner(), ctx);
        }
        self.receipt(address, false, &[id], ctx);
    }

    fn show(
        &mut self,
        address: Address,
        id: MessageId,
        sent: Timestamp,
        text: String,
        ctx: &mut Ctx<'_>,
    ) {
        // The sender's clock decides the place, within what is possible.
        let oldest = Timestamp::from_ms(ctx.now.as_ms().saturating_sub(OLDEST.as_ms()));
        let place = sent.max(oldest).min(ctx.now);
        let view = MessageView {
            id,
            address,
            direction: Direction::In,
            text,
            sent: place,
            order: order(place, &id),
        };
        let Some(row) = MessageRow::new(&view) else {
            return;
        };
        ctx.batch.put(row.row());
        let mut talk = conversation(ctx.loaded, address);
        if view.order >= talk.last_order || talk.last.is_none() {
            talk.last_order = talk.last_order.max(view.order);
            talk.last = Some(row);
        }
        talk.unread = talk.unread.saturating_add(1);
        let mut unread = core::mem::take(&mut talk.unread_ids).into_inner();
        if unread.len() < MAX_UNREAD_IDS {
            unread.push(id);
        }
        talk.unread_ids = BoundedList::new(unread).unwrap_or_default();
        ctx.batch.put(talk.row());
        ctx.batch.event(Event::Message(view));
        self.conversation_changed(&talk, ctx);
    }
}

fn has_session(row: &ContactRow, device: &DeviceId) -> bool {
    row.devices
        .iter()
        .any(|stored| stored.device == *device && stored.has_session)
}
