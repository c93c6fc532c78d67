//! The engine: live state of one device, and the one place where inputs become batches.
//!
//! ```text
//!                    ┌──────────── Client ────────────┐
//!   Command ───────▶ │ contacts  conversations        │ ──▶ writes (committed first)
//!   Frame, Timer ──▶ │ outbox  lookup  inbox  mailbox │ ──▶ effects: frames, events
//!                    │          publication           │
//!                    ├────────────── net ─────────────┤
//!                    │ links  guards  requests  stock │
//!                    └────────────────────────────────┘
//! ```

use std::collections::BTreeMap;

use rand_core::CryptoRng;
use thiserror::Error;

use super::api::{Batch, Effect, Event, Input, Internal, Step};
use super::contacts::Contacts;
use super::held::Held;
use super::lookup::Lookups;
use super::mailbox::Mailbox;
use super::net::{Net, NetConfig, NetOutput, RequestId};
use super::outbox::{ItemId, Outbox};
use super::publication::Publication;
use super::records::{
    AccountRow, ConversationRow, MailboxRow, MessageRow, OutboxRow, ProfileRow, PublicationRow,
    Record, RecordError, meta,
};
use super::requests::Purpose;
use super::seen::Seen;
use super::store::{Key, Loaded, Row, Scan, Table};
use super::view::{Connection, ContactView, Me, Network, Onion, Verification, WaitReason};
use super::work::Works;
use crate::crypto::ml_dsa::MlDsaSecret;
use crate::crypto::rsa::RsaPublic;
use crate::id::Address;
use crate::identity::{
    AccountKeys, ContactCode, DeviceList, DeviceSecret, DirectorySecret, SignedCertificate,
    UnverifiedCertificate, UnverifiedDeviceList,
};
use crate::session::Reassembly;
use crate::time::Timestamp;
use crate::wire::codec::from_cbor;

/// Longest device record, in bytes.
const MAX_DEVICE_LEN: usize = 65_536;

/// What a host configures.
#[derive(Clone, Debug)]
pub struct Config {
    /// Relays that are asked for the directory when none is known.
    pub net: NetConfig,
    /// How much is kept in stock; smaller in tests.
    pub stock: StockConfig,
}

/// How much this device keeps in stock at relays.
#[derive(Clone, Copy, Debug)]
pub struct StockConfig {
    /// Reply blocks at each member of the swarm.
    pub surbs: u16,
    /// One-time prekeys at each member of the swarm.
    pub prekeys: u16,
}

impl Default for StockConfig {
    fn default() -> Self {
        Self {
            surbs: 32,
            prekeys: 10,
        }
    }
}

/// The store does not hold what an engine can start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RestoreError {
    /// A row is damaged, or newer than this software.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Some of the rows that every identity has are missing.
    #[error("the stored identity is not complete")]
    Incomplete,
    /// The stored keys and certificates do not belong together.
    #[error("the stored identity does not verify")]
    Identity,
}

/// The engine of one device.
#[derive(Debug)]
pub struct Client {
    pub(super) me: Identity,
    pub(super) profile: ProfileRow,
    pub(super) contacts: Contacts,
    pub(super) outbox: Outbox,
    pub(super) lookups: Lookups,
    pub(super) mailbox: Mailbox,
    pub(super) publication: Publication,
    pub(super) reassembly: Reassembly,
    pub(super) held: Held,
    pub(super) seen: Seen,
    pub(super) net: Net,
    pub(super) requests: BTreeMap<RequestId, Purpose>,
    pub(super) works: Works,
    pub(super) stock: StockConfig,
    /// Until when a swarm waits for the directory to grow.
    pub(super) patience: Option<Timestamp>,
    shown: Option<Connection>,
    pub(super) housekeeping: Timestamp,
}

/// Who this engine is.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) address: Address,
    pub(super) keys: AccountKeys,
    pub(super) device: DeviceSecret,
    pub(super) directory: DirectorySecret,
    pub(super) certificate: SignedCertificate,
    pub(super) list: DeviceList,
    created: Timestamp,
}

/// What a handler works with.
pub(super) struct Ctx<'a> {
    pub(super) loaded: &'a Loaded,
    pub(super) batch: &'a mut Batch,
    pub(super) now: Timestamp,
    pub(super) rng: &'a mut dyn CryptoRng,
}

impl Client {
    /// What the host reads before [`Client::restore`]: these lists, whole.
    pub fn boot_scans() -> Vec<Scan> {
        let tables = [
            Table::Meta,
            Table::Contact,
            Table::Outbox,
            Table::Fragment,
            Table::Held,
        ];
        let whole = |table| Scan {
            table,
            partition: Vec::new(),
            before: None,
            limit: usize::MAX,
        };
        tables.into_iter().map(whole).collect()
    }

    /// An engine from what the store has; `None` if there is no identity in it.
    pub fn restore(
        config: Config,
        rows: Vec<Row>,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Option<Self>, RestoreError> {
        let mut tables: BTreeMap<Table, Vec<Row>> = BTreeMap::new();
        for row in rows {
            tables.entry(row.key.table).or_default().push(row);
        }
        let mut take = |table| tables.remove(&table).unwrap_or_default();
        let meta_rows = take(Table::Meta);
        let Some(account) = find(&meta_rows, &meta::account()) else {
            return Ok(None);
        };
        let row = |key| find(&meta_rows, &key).ok_or(RestoreError::Incomplete);
        let me = Identity::restore(&AccountRow::from_value(account)?, row(meta::device())?)?;
        let mailbox = MailboxRow::from_value(row(meta::mailbox())?)?;
        let mailbox = Mailbox::restore(mailbox, now);
        let publication = PublicationRow::from_value(row(meta::publication())?)?;
        let profile = ProfileRow::from_value(row(meta::profile())?)?;
        let (mut items, mut envelopes) = (Vec::new(), Vec::new());
        for row in take(Table::Outbox) {
            match OutboxRow::decode(&row)? {
                OutboxRow::Item(item) => items.push(*item),
                OutboxRow::Envelope(id, bytes) => envelopes.push((id, bytes)),
            }
        }
        let fragments = take(Table::Fragment);
        let mut client = Self {
            me,
            profile,
            contacts: Contacts::restore(&take(Table::Contact))?,
            outbox: Outbox::restore(items, envelopes, now),
            lookups: Lookups::default(),
            publication: Publication::restore(publication, now),
            reassembly: Reassembly::restore(fragments.iter().map(|row| row.value.as_slice()))
                .map_err(|_| RecordError::Damaged)?,
            held: Held::restore(&take(Table::Held))?,
            seen: Seen::restore(find(&meta_rows, &meta::seen()), now)?,
            net: Net::restore(config.net, &meta_rows, mailbox.former_members(), now, rng),
            mailbox,
            requests: BTreeMap::new(),
            works: Works::default(),
            stock: config.stock,
            patience: None,
            shown: None,
            housekeeping: now,
        };
        let members = client.mailbox.members();
        client.publication.set_members(&members, now);
        let contacts = client.contacts.iter();
        for row in contacts.filter(|row| row.verification() == Verification::Changed) {
            client.outbox.block(row.address);
        }
        client.resume_renewals(None, now);
        Ok(Some(client))
    }

    /// Rows that [`Client::handle`] needs for this input.
    pub(super) fn reads(&self, input: &Input) -> Vec<Key> {
        match input {
            Input::Command(command) => self.command_reads(command),
            Input::Internal(Internal(step)) => self.step_reads(step),
            _ => Vec::new(),
        }
    }

    fn step_reads(&self, step: &Step) -> Vec<Key> {
        match step {
            Step::Envelope { id, .. } => vec![Key::new(Table::Seen, *id)],
            Step::Fragment(_) => Vec::new(),
            Step::SessionMessage(message) => Self::session_message_reads(message),
            Step::Decrypt { peer, .. } => Self::decrypt_reads(peer),
            Step::Content(delivered) => Self::content_reads(delivered),
            Step::Seal(address) => self.seal_reads(address),
            Step::StartSession(start) => Self::start_session_reads(start),
            Step::Progress { item, .. } => {
                vec![
                    MessageRow::key(&item.0, &item.1),
                    ConversationRow::key(&item.0),
                ]
            }
            Step::PreKeys => vec![meta::prekeys()],
            Step::SweepSeen => self.sweep_seen_reads(),
            Step::Notice(address, _) => vec![ConversationRow::key(address)],
            Step::EndSessions { address, devices } => Self::end_sessions_reads(address, devices),
            Step::Resend { address, ids } => Self::resend_reads(address, ids),
        }
    }

    /// One input, with the rows that [`Client::reads`] asked for.
    pub(super) fn handle(
        &mut self,
        input: Input,
        loaded: &Loaded,
        batch: &mut Batch,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) {
        let mut ctx = Ctx {
            loaded,
            batch,
            now,
            rng,
        };
        match input {
            Input::LinkOpened(link) => self.net.link_opened(link, now, &mut ctx.rng),
            Input::LinkClosed(link) => self.net.link_closed(link, now, &mut ctx.rng),
            Input::Frame(link, bytes) => self.net.frame(link, &bytes, now, &mut ctx.rng),
            Input::Timer => {
                self.net.timeout(now, &mut ctx.rng);
                self.housekeep(&mut ctx);
            }
            Input::Online(online) => self.net.set_online(online, now, &mut ctx.rng),
            Input::Worked(id, work) => self.worked(id, work, &mut ctx),
            Input::Command(command) => self.command(command, &mut ctx),
            Input::Internal(Internal(step)) => self.step(step, &mut ctx),
        }
        self.drive(&mut ctx);
    }

    fn step(&mut self, step: Step, ctx: &mut Ctx<'_>) {
        match step {
            Step::Envelope { member, id, bytes } => self.on_envelope(member, id, &bytes, ctx),
            Step::Fragment(fragment) => self.on_fragment(*fragment, ctx),
            Step::SessionMessage(message) => self.on_session_message(*message, ctx),
            Step::Decrypt { message, peer } => self.decrypt(&message, &peer, ctx),
            Step::Content(delivered) => self.on_content(*delivered, ctx),
            Step::Seal(address) => self.seal(address, ctx),
            Step::StartSession(start) => self.start_session(*start, ctx),
            Step::Progress { item, state } => self.progress(item, state, ctx),
            Step::PreKeys => self.publish_prekeys(ctx),
            Step::SweepSeen => self.sweep_seen(ctx),
            Step::Notice(address, notice) => self.notice(address, notice, ctx),
            Step::EndSessions { address, devices } => self.end_sessions(&address, &devices, ctx),
            Step::Resend { address, ids } => self.resend_texts(address, ids, ctx),
        }
    }

    /// Carries on whatever can be carried on, until nothing more comes of it.
    fn drive(&mut self, ctx: &mut Ctx<'_>) {
        loop {
            self.pump(ctx);
            let Some(output) = self.net.poll() else { break };
            self.on_net(output, ctx);
        }
        ctx.batch.writes.extend(self.mailbox.take_unsaved());
        let offline = self.offline();
        let lookups = &self.lookups;
        let changed = self
            .outbox
            .changed_reasons(offline, |address| lookups.is_unknown(address));
        for item in changed {
            ctx.batch.step(Step::Progress { item, state: None });
        }
        let connection = self.connection();
        if self.shown != Some(connection) {
            self.shown = Some(connection);
            ctx.batch.event(Event::Connection(connection));
        }
    }

    fn on_net(&mut self, output: NetOutput, ctx: &mut Ctx<'_>) {
        match output {
            NetOutput::Open { link, url } => ctx.batch.effects.push(Effect::Open { link, url }),
            NetOutput::Send { link, frame } => {
                ctx.batch.effects.push(Effect::Frame { link, bytes: frame })
            }
            NetOutput::Close { link } => ctx.batch.effects.push(Effect::Close { link }),
            NetOutput::Persist(write) => ctx.batch.writes.push(write),
            NetOutput::Reply { request, reply, .. } => {
                if let Some(purpose) = self.requests.remove(&request) {
                    self.on_reply(purpose, reply, ctx);
                }
            }
            NetOutput::Failed { request, why } => {
                if let Some(purpose) = self.requests.remove(&request) {
                    self.on_no_reply(purpose, why, ctx);
                }
            }
            NetOutput::Push { member, push } => self.on_push(member, push, ctx),
            NetOutput::ConnectionChanged => {
                if self.is_online() {
                    self.outbox.hurry(ctx.now);
                    self.lookups.hurry(ctx.now);
                }
            }
            NetOutput::NetworkChanged => ctx.batch.event(Event::Network(self.net.network())),
            NetOutput::RelaysChanged => self.relays_changed(ctx),
            NetOutput::StockLost => self.mailbox.reset(ctx.now),
            NetOutput::PushesLost => self.mailbox.pushes_lost(ctx.now),
        }
    }

    /// When the host should hand in [`Input::Timer`] next.
    pub fn next_timeout(&self) -> Option<Timestamp> {
        let online = self.is_online();
        let busy = self.busy_members();
        let own = [
            self.mailbox.next_timeout(self.stock.surbs, &busy),
            self.publication.next_timeout(&busy),
            self.lookups.next_timeout(),
        ];
        let patience = self.patience.filter(|_| self.mailbox.descriptor.is_none());
        let own = own
            .into_iter()
            .chain([patience])
            .flatten()
            .filter(|_| online);
        let always = [
            self.net.next_timeout(),
            self.outbox.next_timeout(online),
            Some(self.housekeeping),
        ];
        own.chain(always.into_iter().flatten()).min()
    }

    /// Me.
    pub fn me(&self) -> Me {
        let code = ContactCode {
            address: self.me.address,
            directory_key: self.me.directory.public(),
        };
        Me {
            address: self.me.address,
            code: code.to_string(),
            name: self.profile.name.to_string(),
            created: self.me.created,
        }
    }

    /// Everybody I know.
    pub fn contacts(&self) -> Vec<ContactView> {
        self.contacts.iter().map(Contacts::view).collect()
    }

    /// The link to the network.
    pub fn connection(&self) -> Connection {
        match self.net.connection() {
            Connection::Online { since, .. } => Connection::Online {
                since,
                receiving: self.mailbox.receiving(),
            },
            other => other,
        }
    }

    /// The relays known.
    pub fn network(&self) -> Network {
        self.net.network()
    }

    /// Why nothing is sent to anybody; `None` while a guard is connected.
    pub(super) fn offline(&self) -> Option<WaitReason> {
        match (self.is_online(), self.net.network().onion) {
            (true, _) => None,
            (false, Onion::BelowFloor { .. }) => Some(WaitReason::OnionBelowFloor),
            (false, Onion::InUse { .. }) => Some(WaitReason::Offline),
        }
    }

    pub(super) fn is_online(&self) -> bool {
        matches!(self.net.connection(), Connection::Online { .. })
    }
}

impl Identity {
    fn restore(account: &AccountRow, device: &[u8]) -> Result<Self, RestoreError> {
        let rsa =
            RsaPublic::from_spki_der(&account.rsa_spki).map_err(|_| RestoreError::Identity)?;
        let ml_dsa = MlDsaSecret::from_seed(account.ml_dsa_seed.clone())
            .public()
            .clone();
        let keys = AccountKeys { rsa, ml_dsa };
        let device: DeviceSecret =
            from_cbor(device, MAX_DEVICE_LEN).map_err(|_| RecordError::Damaged)?;
        let certificate = UnverifiedCertificate::decode(&account.certificate)
            .ok()
            .and_then(|certificate| certificate.verify(&keys).ok())
            .filter(|certificate| certificate.device_id() == device.id())
            .ok_or(RestoreError::Identity)?;
        let list = UnverifiedDeviceList::decode(&account.device_list)
            .ok()
            .and_then(|list| list.verify(&keys).ok())
            .filter(|list| list.contains(&certificate))
            .ok_or(RestoreError::Identity)?;
        let (address, directory, created) =
            (keys.address(), account.directory.clone(), account.created);
        Ok(Self {
            address,
            keys,
            device,
            directory,
            certificate,
            list,
            created,
        })
    }
}

fn find<'a>(rows: &'a [Row], key: &Key) -> Option<&'a [u8]> {
    rows.iter()
        .find(|row| row.key == *key)
        .map(|row| row.value.as_slice())
}

/// A conversation, as loaded or new.
pub(super) fn conversation(loaded: &Loaded, address: Address) -> ConversationRow {
    let stored = loaded
        .get(&ConversationRow::key(&address))
        .map(ConversationRow::from_value);
    // A damaged row costs the unread count, not the messages.
    stored
        .and_then(Result::ok)
        .unwrap_or_else(|| ConversationRow::new(address))
}

/// Names of items are used across the engine.
pub(super) type Item = ItemId;
