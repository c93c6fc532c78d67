//! What a person or a program may ask for. Every command is idempotent: a follower tab repeats it on a
//! new leader when the old one has gone without an answer.

use super::api::{Command, CommandError, Event};
use super::contacts::Contacts;
use super::engine::{Client, Ctx, Item, conversation};
use super::records::{
    ConversationRow, ItemBody, ItemRow, MAX_NAME_LEN, MAX_TEXT_LEN, MAX_UNREAD_IDS, MessageRow,
    Record, meta,
};
use super::store::{Key, Row};
use super::view::{ConversationView, Direction, MessageState, MessageView};
use crate::content::{MAX_NAME_CHARS, display_name};
use crate::id::{Address, MessageId};
use crate::identity::ContactCode;
use crate::time::{Duration, Timestamp};
use crate::wire::codec::{BoundedList, BoundedText};

/// Receipts wait this long for others to join them.
const RECEIPT_PAUSE: Duration = Duration::from_ms(150);

impl Client {
    /// Whether a command can be taken. The host asks before it hands the command in.
    pub fn check(&self, command: &Command) -> Result<(), CommandError> {
        match command {
            Command::AddContact { code, name } => {
                if code.address == self.me.address {
                    return Err(CommandError::OwnCode);
                }
                name.as_deref().map_or(Ok(()), check_name)
            }
            Command::RenameContact { address, name } => {
                self.known(address)?;
                check_name(name)
            }
            Command::Rename { name } => check_name(name),
            Command::Send { address, text, .. } => {
                self.known(address)?;
                if text.trim().is_empty() {
                    return Err(CommandError::EmptyText);
                }
                if text.len() > MAX_TEXT_LEN {
                    return Err(CommandError::TextTooLong(text.len()));
                }
                if self.outbox.is_full() {
                    Err(CommandError::OutboxFull)
                } else {
                    Ok(())
                }
            }
            Command::SetVerified { address, verified } => self.check_verified(address, *verified),
            Command::Retry { address, .. }
            | Command::MarkRead { address }
            | Command::AcceptKeys { address } => self.known(address),
            Command::RenewWriteSecret { .. } => Ok(()),
        }
    }

    fn known(&self, address: &Address) -> Result<(), CommandError> {
        self.contacts
            .get(address)
            .map(|_| ())
            .ok_or(CommandError::UnknownContact)
    }

    pub(super) fn command_reads(&self, command: &Command) -> Vec<Key> {
        match command {
            Command::Send { address, id, .. } | Command::Retry { address, id } => {
                vec![MessageRow::key(address, id), ConversationRow::key(address)]
            }
            Command::MarkRead { address } => vec![ConversationRow::key(address)],
            Command::AddContact { code, .. } => vec![ConversationRow::key(&code.address)],
            Command::RenameContact { .. }
            | Command::Rename { .. }
            | Command::SetVerified { .. }
            | Command::AcceptKeys { .. }
            | Command::RenewWriteSecret { .. } => Vec::new(),
        }
    }

    pub(super) fn command(&mut self, command: Command, ctx: &mut Ctx<'_>) {
        if self.check(&command).is_err() {
            return;
        }
        match command {
            Command::AddContact { code, name } => self.add_contact(&code, name.as_deref(), ctx),
            Command::RenameContact { address, name } => self.rename_contact(&address, &name, ctx),
            Command::Rename { name } => self.rename(&name, ctx),
            Command::Send { address, id, text } => self.send(address, id, text, ctx),
            Command::Retry { address, id } => self.retry(address, id, ctx),
            Command::MarkRead { address } => self.mark_read(address, ctx),
            Command::SetVerified { address, verified } => self.set_verified(address, verified, ctx),
            Command::AcceptKeys { address } => self.accept_keys(address, ctx),
            Command::RenewWriteSecret { overlap } => self.renew_write_secret(overlap, ctx),
        }
    }

    fn add_contact(&mut self, code: &ContactCode, name: Option<&str>, ctx: &mut Ctx<'_>) {
        let address = code.address;
        let is_new = self.contacts.add(address, false, ctx.now);
        let write = self.contacts.update(&address, |row| {
            row.directory_key = Some(code.directory_key);
            // Whoever wrote first is a contact once I have added them.
            row.incoming = false;
            if let Some(name) = name.and_then(bounded_name) {
                row.name = Some(name);
            }
        });
        ctx.batch.writes.extend(write);
        let mut talk = conversation(ctx.loaded, address);
        if is_new {
            talk.last_order = talk
                .last_order
                .max(order(ctx.now, &MessageId::from_bytes([0; 16])));
            ctx.batch.put(talk.row());
        }
        if !self.contacts.has_session(&address) {
            // So that the first message need not wait for it.
            self.lookups.want_early(address, ctx.now);
        }
        self.contact_changed(&address, ctx);
        self.conversation_changed(&talk, ctx);
    }

    fn renew_write_secret(&mut self, overlap: Duration, ctx: &mut Ctx<'_>) {
        let write = self.mailbox.renew_secret(overlap, ctx.now, &mut ctx.rng);
        ctx.batch.writes.push(write);
        self.introduction_changed(ctx);
    }

    fn rename_contact(&mut self, address: &Address, name: &str, ctx: &mut Ctx<'_>) {
        let write = self.contacts.update(address, |row| {
            row.name = bounded_name(name);
            // Whom I name I know.
            row.incoming = false;
        });
        ctx.batch.writes.extend(write);
        self.contact_changed(address, ctx);
    }

    fn rename(&mut self, name: &str, ctx: &mut Ctx<'_>) {
        if let Some(name) = bounded_name(name) {
            self.profile.name = name;
            self.introduction_changed(ctx);
            ctx.batch.event(Event::Me(self.me()));
        }
    }

    fn send(&mut self, address: Address, id: MessageId, text: String, ctx: &mut Ctx<'_>) {
        let stored = ctx.loaded.get(&MessageRow::key(&address, &id));
        let known = stored
            .and_then(|row| MessageRow::from_value(row).ok())
            .and_then(|row| row.view().ok());
        if let Some(view) = known {
            // The same command again: show what became of it.
            ctx.batch.event(Event::Message(self.with_reason(view)));
            return;
        }
        let mut talk = conversation(ctx.loaded, address);
        // Later than anything shown so far, so that my message stands below what I answered.
        let above = Timestamp::from_ms(talk.last_order >> ORDER_BITS).max(talk.last_sent);
        let sent = ctx.now.max(above.saturating_add(Duration::from_ms(1)));
        let order = order(sent, &id);
        let direction = Direction::Out(MessageState::Sending(None));
        let view = MessageView {
            id,
            address,
            direction,
            text: text.clone(),
            sent,
            order,
        };
        let (Some(row), Ok(text)) = (MessageRow::new(&view), BoundedText::new(text)) else {
            return;
        };
        ctx.batch.put(row.row());
        (talk.last, talk.last_order, talk.last_sent) = (Some(row), order, sent);
        ctx.batch.put(talk.row());
        self.enqueue(
            ItemRow::new(id, address, ctx.now, true, ItemBody::Text { text, sent }),
            ctx.now,
            ctx,
        );
        self.accept(&address, ctx);
        if !self.outbox.is_blocked(&address) {
            self.begin_what_is_kept(address, ctx);
        }
        let view = self.with_reason(view);
        ctx.batch.event(Event::Message(view));
        self.conversation_changed(&talk, ctx);
    }

    /// Whoever wrote first is a contact like any other once I have answered.
    fn accept(&mut self, address: &Address, ctx: &mut Ctx<'_>) {
        if self.contacts.get(address).is_some_and(|row| row.incoming) {
            let write = self.contacts.update(address, |row| row.incoming = false);
            ctx.batch.writes.extend(write);
            self.contact_changed(address, ctx);
        }
    }

    fn retry(&mut self, address: Address, id: MessageId, ctx: &mut Ctx<'_>) {
        let stored = ctx.loaded.get(&MessageRow::key(&address, &id));
        let view = stored
            .and_then(|row| MessageRow::from_value(row).ok())
            .and_then(|row| row.view().ok());
        let Some(mut view) = view else { return };
        if !matches!(view.direction, Direction::Out(MessageState::Failed(_))) {
            return;
        }
        let Ok(text) = BoundedText::new(view.text.clone()) else {
            return;
        };
        view.direction = Direction::Out(MessageState::Sending(None));
        if let Some(row) = MessageRow::new(&view) {
            ctx.batch.put(row.row());
            self.last_changed(row, ctx);
        }
        let body = ItemBody::Text {
            text,
            sent: view.sent,
        };
        self.enqueue(ItemRow::new(id, address, ctx.now, true, body), ctx.now, ctx);
        ctx.batch.event(Event::Message(self.with_reason(view)));
    }

    fn mark_read(&mut self, address: Address, ctx: &mut Ctx<'_>) {
        let mut talk = conversation(ctx.loaded, address);
        if talk.unread == 0 {
            return;
        }
        talk.unread = 0;
        let ids = core::mem::take(&mut talk.unread_ids).into_inner();
        ctx.batch.put(talk.row());
        self.receipt(address, true, &ids, ctx);
        self.conversation_changed(&talk, ctx);
    }

    /// Tells a contact that messages were delivered or read, soon.
    pub(super) fn receipt(
        &mut self,
        address: Address,
        read: bool,
        ids: &[MessageId],
        ctx: &mut Ctx<'_>,
    ) {
        if ids.is_empty() {
            return;
        }
        if let Some(row) = self.outbox.open_receipt(&address, read) {
            if let Some(ItemBody::Receipt { ids: waiting, .. }) = &mut row.body {
                let mut all = core::mem::take(waiting).into_inner();
                let new: Vec<_> = ids.iter().filter(|id| !all.contains(id)).copied().collect();
                all.extend(new);
                all.truncate(MAX_UNREAD_IDS);
                *waiting = BoundedList::new(all).unwrap_or_default();
            }
            ctx.batch.put(row.row());
            return;
        }
        let ids = BoundedList::new(ids.iter().take(MAX_UNREAD_IDS).copied().collect())
            .unwrap_or_default();
        let body = ItemBody::Receipt {
            read,
            ids,
            at: ctx.now,
        };
        let item = ItemRow::new(
            MessageId::random(&mut ctx.rng),
            address,
            ctx.now,
            false,
            body,
        );
        let not_before = ctx.now.saturating_add(RECEIPT_PAUSE);
        self.enqueue(item, not_before, ctx);
    }

    pub(super) fn enqueue(&mut self, item: ItemRow, not_before: Timestamp, ctx: &mut Ctx<'_>) {
        ctx.batch.put(item.row());
        self.outbox.add(item, not_before);
    }

    /// My name, mailbox or keys are others than contacts know: every contact with a session is told.
    pub(super) fn introduction_changed(&mut self, ctx: &mut Ctx<'_>) {
        self.profile.introduction = self.profile.introduction.saturating_add(1);
        ctx.batch
            .put(Row::plain(meta::profile(), self.profile.to_value()));
        let known = self.contacts.iter().map(|row| row.address);
        let known: Vec<Address> = known
            .filter(|address| self.contacts.has_session(address))
            .collect();
        for address in known {
            let id = MessageId::random(&mut ctx.rng);
            self.enqueue(
                ItemRow::new(id, address, ctx.now, false, ItemBody::Profile),
                ctx.now,
                ctx,
            );
        }
    }

    /// Sets an outgoing message's state, or shows it again with its present reason.
    pub(super) fn progress(&mut self, item: Item, state: Option<MessageState>, ctx: &mut Ctx<'_>) {
        let stored = ctx.loaded.get(&MessageRow::key(&item.0, &item.1));
        let view = stored
            .and_then(|row| MessageRow::from_value(row).ok())
            .and_then(|row| row.view().ok());
        let Some(mut view) = view else { return };
        let Direction::Out(old) = view.direction else {
            return;
        };
        if let Some(state) = state {
            if rank(&state) <= rank(&old) {
                return;
            }
            view.direction = Direction::Out(state);
            if let Some(row) = MessageRow::new(&view) {
                ctx.batch.put(row.row());
                self.last_changed(row, ctx);
            }
        }
        ctx.batch.event(Event::Message(self.with_reason(view)));
    }

    /// Fills in why a message is still waiting, which is not stored.
    pub fn with_reason(&self, mut view: MessageView) -> MessageView {
        if let Direction::Out(MessageState::Sending(reason)) = &mut view.direction {
            let unknown = self.lookups.is_unknown(&view.address);
            let item = (view.address, view.id);
            *reason = self.outbox.reason(&item, self.offline(), unknown);
        }
        view
    }

    pub(super) fn contact_changed(&self, address: &Address, ctx: &mut Ctx<'_>) {
        if let Some(row) = self.contacts.get(address) {
            ctx.batch.event(Event::Contact(Contacts::view(row)));
        }
    }

    /// The conversation shows its newest message: keep the two the same.
    fn last_changed(&self, row: MessageRow, ctx: &mut Ctx<'_>) {
        let mut talk = conversation(ctx.loaded, row.address());
        if talk.last.as_ref().is_some_and(|last| last.id() == row.id()) {
            talk.last = Some(row);
            ctx.batch.put(talk.row());
            self.conversation_changed(&talk, ctx);
        }
    }

    pub(super) fn conversation_changed(&self, talk: &ConversationRow, ctx: &mut Ctx<'_>) {
        if let Some(view) = self.conversation_view(talk) {
            ctx.batch.event(Event::Conversation(view));
        }
    }

    pub(super) fn conversation_view(&self, talk: &ConversationRow) -> Option<ConversationView> {
        let contact = Contacts::view(self.contacts.get(&talk.address)?);
        let last = talk
            .last
            .clone()
            .and_then(|row| row.view().ok())
            .map(|view| self.with_reason(view));
        Some(ConversationView {
            contact,
            last,
            unread: talk.unread,
        })
    }
}

/// Bits of a place that tell messages of one millisecond apart. With them a place stays below 2^53, which
/// is what JavaScript counts exactly, for two centuries.
pub(super) const ORDER_BITS: u32 = 10;

/// A message's place in its conversation: its time, then its id.
pub(super) fn order(sent: Timestamp, id: &MessageId) -> u64 {
    let [.., high, low] = *id.as_bytes();
    let tie = u64::from(u16::from_be_bytes([high, low])) & ((1 << ORDER_BITS) - 1);
    (sent.as_ms() << ORDER_BITS) | tie
}

/// States only ever move up; a failure can be retried.
pub(super) const fn rank(state: &MessageState) -> u8 {
    match state {
        MessageState::Sending(_) => 0,
        MessageState::Failed(_) => 1,
        MessageState::Sent { .. } => 2,
        MessageState::Delivered(_) => 3,
        MessageState::Read(_) => 4,
    }
}

fn check_name(name: &str) -> Result<(), CommandError> {
    let fits = name.trim().chars().count() <= MAX_NAME_CHARS;
    display_name(name)
        .filter(|_| fits)
        .map(|_| ())
        .ok_or(CommandError::Name)
}

fn bounded_name(name: &str) -> Option<BoundedText<MAX_NAME_LEN>> {
    display_name(name).and_then(|name| BoundedText::new(name).ok())
}
