//! Requests to relays: what each was for, when to make the next, what its answer means.

use std::collections::BTreeSet;

use super::api::Step;
use super::engine::{Client, Ctx, Item};
use super::lookup::{Found, StartSession};
use super::mailbox::Need;
use super::outbox::Due;
use super::publication::PreKeyDue;
use super::records::meta;
use super::store::Row;
use super::view::{FailReason, MessageState};
use crate::id::{Address, DeviceId, EnvelopeId, MailboxId, NodeId, RecordKey};
use crate::identity::Freshness;
use crate::rpc::{
    AccountContents, AccountRecord, EnvelopeItem, FetchBody, MAX_FETCH, MailboxDescriptor, OwnerOp,
    OwnerRequest, PacketClass, PreKeyPublishBody, PreKeyTakeReply, PreKeyTakeRequest,
    PublishedDevice, Push, PutRequest, RecordGetRequest, RecordPutRequest, Reply, Request,
    SubscribeBody, Tombstone, open_prekey_entry, open_record_contents, seal_prekey_entry,
    seal_record_contents,
};
use crate::time::Duration;
use crate::wire::codec::{BoundedBytes, BoundedList, from_cbor, to_cbor};
use crate::x3dh::{PreKeyBase, PreKeyOneTime, PreKeySecrets, UnverifiedBundle};

/// Relays of the directory that hold an account record.
const RECORD_RELAYS: usize = 3;
/// An account record lives this long.
const RECORD_LIFE: Duration = Duration::from_days(29);
/// Relays that hold my mail, in networks that are large enough.
const SWARM: usize = 6;
/// A directory with fewer relays than this may still be growing.
const FEW: u32 = 5;
/// How long a small directory is waited for.
const GROWING: Duration = Duration::from_secs(15);
/// Those of them that are active.
const ACTIVE: usize = 3;
/// After every so many failed attempts of one envelope its contact is looked up again.
const LOOK_AGAIN: u32 = 6;
/// Longest prekey record, in bytes.
const MAX_PREKEYS_LEN: usize = 1 << 20;

/// What a request was for.
#[derive(Debug)]
pub(super) enum Purpose {
    Put { item: Item, envelope: EnvelopeId },
    Subscribe { member: NodeId, replace: bool },
    Fetch { member: NodeId },
    Acknowledge { ids: Vec<EnvelopeId> },
    PublishRecord { sequence: u64 },
    PublishPreKeys { member: NodeId },
    FindRecord { address: Address, key: RecordKey },
    TakePreKeys { address: Address, device: DeviceId },
}

/// Whom a request is for.
struct Target<'a> {
    node: NodeId,
    /// The swarm concerned: no guard of the path is a member of it.
    swarm: &'a [NodeId],
    /// It is my own.
    own: bool,
}

impl Client {
    /// Makes every request whose time has come.
    pub(super) fn pump(&mut self, ctx: &mut Ctx<'_>) {
        self.pump_seal(ctx);
        if !self.is_online() {
            return;
        }
        self.choose_swarm(ctx);
        for due in self.outbox.take_due(ctx.now) {
            self.put(due, ctx);
        }
        for address in self.lookups.due(ctx.now) {
            self.find_record(address, ctx);
        }
        for (member, need) in self
            .mailbox
            .needs(self.stock.surbs, &self.busy_members(), ctx.now)
        {
            match need {
                Need::Subscribe { count, replace } => self.subscribe(member, count, replace, ctx),
                Need::Fetch { after } => self.fetch(member, after, ctx),
            }
        }
        for (member, ids) in self.mailbox.take_acknowledgements(ctx.now) {
            self.send_acknowledgement(member, ids, ctx);
        }
        if self.mailbox.descriptor.is_some() && self.publication.record_due(ctx.now) {
            self.publish_record(ctx);
        }
        let prekeys =
            self.publication
                .prekeys_due(self.stock.prekeys, &self.busy_members(), ctx.now);
        if !prekeys.is_empty() && !self.prekeys_queued(ctx) {
            ctx.batch.step(Step::PreKeys);
        }
    }

    /// Members of my swarm that are busy with an owner request.
    pub(super) fn busy_members(&self) -> BTreeSet<NodeId> {
        let member = |purpose: &Purpose| match purpose {
            Purpose::Subscribe { member, .. }
            | Purpose::Fetch { member }
            | Purpose::PublishPreKeys { member } => Some(*member),
            _ => None,
        };
        self.requests.values().filter_map(member).collect()
    }

    fn prekeys_queued(&self, ctx: &Ctx<'_>) -> bool {
        ctx.batch
            .steps
            .iter()
            .any(|step| matches!(step, Step::PreKeys))
    }

    /// Contacts with something to seal: seal it, or look for a way to.
    fn pump_seal(&mut self, ctx: &mut Ctx<'_>) {
        if self.mailbox.descriptor.is_none() {
            return;
        }
        let waiting: Vec<_> = self.outbox.unsealed(ctx.now).collect();
        for (address, due) in waiting {
            if !self.contacts.has_session(&address) {
                self.lookups.want(address, ctx.now);
            } else if due
                && !ctx
                    .batch
                    .steps
                    .iter()
                    .any(|step| matches!(step, Step::Seal(of) if *of == address))
            {
                ctx.batch.step(Step::Seal(address));
            }
        }
    }

    fn ask(
        &mut self,
        to: Target<'_>,
        request: Request,
        class: PacketClass,
        purpose: Purpose,
        ctx: &mut Ctx<'_>,
    ) {
        let Target { node, swarm, own } = to;
        let id = self
            .net
            .request(node, swarm, own, request, class, ctx.now, &mut ctx.rng);
        self.requests.insert(id, purpose);
    }

    // --- mail to others -------------------------------------------------------------------------

    fn put(&mut self, due: Due, ctx: &mut Ctx<'_>) {
        let (address, _) = due.item;
        let mailbox = self.contacts.mailbox(&address, &due.device);
        let (Some(mailbox), Some(bytes)) = (mailbox, self.outbox.bytes(&due.envelope)) else {
            self.outbox
                .failed(&due.item, &due.envelope, ctx.now, &mut ctx.rng);
            return;
        };
        // Each attempt asks another member; which is first depends on the envelope.
        let active = mailbox.active();
        let first = due.envelope.as_bytes().first().copied().unwrap_or_default();
        let turn = usize::from(first).wrapping_add(usize::try_from(due.attempt).unwrap_or(0));
        let Some(member) = active.get(turn % active.len().max(1)).copied() else {
            return;
        };
        let request = Request::Put(PutRequest {
            mailbox: mailbox.mailbox(),
            id: due.envelope,
            permit: self
                .contacts
                .write_secret(&address)
                .map(|secret| secret.permit(&member)),
            envelope: *bytes,
        });
        let purpose = Purpose::Put {
            item: due.item,
            envelope: due.envelope,
        };
        self.ask(
            Target {
                node: member,
                swarm: mailbox.members(),
                own: false,
            },
            request,
            PacketClass::Message,
            purpose,
            ctx,
        );
    }

    // --- contacts -------------------------------------------------------------------------------

    fn find_record(&mut self, address: Address, ctx: &mut Ctx<'_>) {
        let Some(key) = self
            .contacts
            .get(&address)
            .and_then(|row| row.directory_key)
        else {
            self.lookups.failed(
                &address,
                Some(FailReason::ContactNotFound),
                ctx.now,
                &mut ctx.rng,
            );
            return;
        };
        let key = key.record_key();
        let relays = self.record_relays(&key);
        if relays.is_empty() {
            self.lookups.failed(&address, None, ctx.now, &mut ctx.rng);
            return;
        }
        self.lookups.record_asked(&address, relays.len());
        for relay in &relays {
            let request = Request::RecordGet(RecordGetRequest { key });
            let purpose = Purpose::FindRecord { address, key };
            self.ask(
                Target {
                    node: *relay,
                    swarm: &relays,
                    own: false,
                },
                request,
                PacketClass::Bulk,
                purpose,
                ctx,
            );
        }
    }

    /// The relays nearest to a record's key, until the directory is a DHT.
    fn record_relays(&self, key: &RecordKey) -> Vec<NodeId> {
        let mut relays = self.net.directory_relays();
        relays.sort_by_key(|node| key.distance(node));
        relays.truncate(RECORD_RELAYS);
        relays
    }

    fn record_found(&mut self, address: Address, found: Found, ctx: &mut Ctx<'_>) {
        let record = match found {
            Found::NotYet => return,
            Found::Nothing => {
                self.lookups.failed(
                    &address,
                    Some(FailReason::ContactNotFound),
                    ctx.now,
                    &mut ctx.rng,
                );
                return;
            }
            Found::Record(record) => record,
        };
        let contents = open_record_contents(&address, record.sealed())
            .ok()
            .and_then(|contents| AccountContents::verify(&contents, &address, ctx.now).ok())
            .filter(|contents| self.is_current(&address, contents));
        let Some(contents) = contents else {
            self.lookups.failed(
                &address,
                Some(FailReason::ContactKeysInvalid),
                ctx.now,
                &mut ctx.rng,
            );
            return;
        };
        for device in &contents.devices {
            self.contacts.set_device(&address, &contents.keys, device);
        }
        let write = self.contacts.update(&address, |row| {
            row.record_sequence = record.sequence();
            row.record_read = Some(ctx.now);
            row.list_sequence = contents.list.sequence();
        });
        ctx.batch.writes.extend(write);
        let have = self.contacts.sessions(&address);
        let wanted: Vec<_> = contents
            .devices
            .iter()
            .map(|d| (d.certificate.device_id(), d.mailbox.clone()))
            .collect();
        let wanted: Vec<_> = wanted
            .into_iter()
            .filter(|(device, _)| !have.contains(device))
            .collect();
        if wanted.is_empty() {
            // Only news of their mailbox and keys was wanted.
            self.lookups.done(&address);
            self.outbox.hurry(ctx.now);
            return;
        }
        let devices = wanted.iter().map(|(device, _)| *device).collect();
        self.lookups.prekeys_asked(&address, contents, devices);
        for (device, mailbox) in wanted {
            self.take_prekeys(address, device, &mailbox, ctx);
        }
    }

    /// A device list never goes back.
    fn is_current(&self, address: &Address, contents: &AccountContents) -> bool {
        self.contacts
            .get(address)
            .is_some_and(|row| contents.list.sequence() >= row.list_sequence)
    }

    fn take_prekeys(
        &mut self,
        address: Address,
        device: DeviceId,
        mailbox: &MailboxDescriptor,
        ctx: &mut Ctx<'_>,
    ) {
        let active = mailbox.active();
        let turn = usize::try_from(ctx.rng.next_u32()).unwrap_or(0) % active.len().max(1);
        let Some(member) = active.get(turn).copied() else {
            return;
        };
        let request = Request::PreKeyTake(PreKeyTakeRequest {
            mailbox: mailbox.mailbox(),
        });
        let purpose = Purpose::TakePreKeys { address, device };
        self.ask(
            Target {
                node: member,
                swarm: mailbox.members(),
                own: false,
            },
            request,
            PacketClass::Message,
            purpose,
            ctx,
        );
    }

    fn prekeys_taken(
        &mut self,
        address: Address,
        device: DeviceId,
        reply: &PreKeyTakeReply,
        ctx: &mut Ctx<'_>,
    ) {
        let Some(published) = self.lookups.device(&address, &device).cloned() else {
            return;
        };
        let mailbox = published.mailbox.mailbox();
        let bundle = open_bundle(&address, &mailbox, reply);
        let bundle = bundle.and_then(|bundle| bundle.verify(&published.certificate, ctx.now).ok());
        match bundle {
            Some(bundle) => {
                let start = StartSession {
                    address,
                    device: published,
                    bundle,
                };
                ctx.batch.step(Step::StartSession(Box::new(start)));
            }
            None => {
                self.lookups.failed(
                    &address,
                    Some(FailReason::ContactKeysInvalid),
                    ctx.now,
                    &mut ctx.rng,
                );
            }
        }
    }

    // --- my mailbox -----------------------------------------------------------------------------

    /// The directory has changed: the record may belong elsewhere, because readers ask
    /// the relays nearest to its key.
    pub(super) fn network_changed(&mut self, ctx: &mut Ctx<'_>) {
        let relays = self.record_relays(&self.me.directory.public().record_key());
        self.publication.relays_are(&relays, ctx.now);
    }

    /// Chooses the swarm once. A directory with few relays may be one that is still growing: it gets
    /// a few seconds to do so.
    fn choose_swarm(&mut self, ctx: &mut Ctx<'_>) {
        if self.mailbox.descriptor.is_some() {
            return;
        }
        let patience = *self.patience.get_or_insert(ctx.now.saturating_add(GROWING));
        if self.net.network().relays < FEW && ctx.now < patience {
            return;
        }
        let members = self.net.choose_swarm(SWARM, ctx.now, &mut ctx.rng);
        let active = u8::try_from(members.len().min(ACTIVE)).unwrap_or(0);
        let key = self.me.device.mailbox();
        let sequence = ctx.now.as_ms();
        let Ok(descriptor) = MailboxDescriptor::sign(key, sequence, members, active, ctx.now)
        else {
            return;
        };
        let write = self.mailbox.moved(descriptor, ctx.now);
        ctx.batch.writes.push(write);
        self.publication
            .touch(&self.mailbox.active_members(), ctx.now);
        self.introduction_changed(ctx);
    }

    fn owner_request(
        &mut self,
        node: &NodeId,
        op: OwnerOp,
        body: Vec<u8>,
        ctx: &mut Ctx<'_>,
    ) -> Option<OwnerRequest> {
        let sequence = self.mailbox.next_sequence(ctx.now);
        ctx.batch.writes.push(self.mailbox.write());
        let body = BoundedBytes::new(body).ok()?;
        Some(OwnerRequest::sign(
            self.me.device.mailbox(),
            node,
            op,
            sequence,
            body,
        ))
    }

    fn subscribe(&mut self, member: NodeId, count: u16, replace: bool, ctx: &mut Ctx<'_>) {
        let Some(descriptor) = self.mailbox.descriptor.clone() else {
            return;
        };
        if replace {
            self.net.forget_stock(member);
        }
        let surbs = self.net.mint_stock(
            member,
            descriptor.members(),
            usize::from(count),
            ctx.now,
            &mut ctx.rng,
        );
        let Some(surbs) = surbs.and_then(|surbs| BoundedList::new(surbs).ok()) else {
            self.mailbox.subscribe_failed(member, ctx.now, &mut ctx.rng);
            return;
        };
        let permit = Some(self.mailbox.row.write_secret.permit(&member));
        let body = SubscribeBody {
            replace,
            descriptor: descriptor.bytes().clone(),
            surbs,
            permit,
        };
        let Some(request) = self.owner_request(&member, OwnerOp::Subscribe, to_cbor(&body), ctx)
        else {
            return;
        };
        self.mailbox
            .asked(member, Need::Subscribe { count, replace }, ctx.now);
        let purpose = Purpose::Subscribe { member, replace };
        self.ask(
            Target {
                node: member,
                swarm: descriptor.members(),
                own: true,
            },
            Request::Subscribe(request),
            PacketClass::Bulk,
            purpose,
            ctx,
        );
    }

    fn fetch(&mut self, member: NodeId, after: u64, ctx: &mut Ctx<'_>) {
        let Some(descriptor) = self.mailbox.descriptor.clone() else {
            return;
        };
        let body = FetchBody {
            after,
            limit: u8::try_from(MAX_FETCH).unwrap_or(1),
        };
        let Some(request) = self.owner_request(&member, OwnerOp::Fetch, to_cbor(&body), ctx) else {
            return;
        };
        self.mailbox.asked(member, Need::Fetch { after }, ctx.now);
        let purpose = Purpose::Fetch { member };
        self.ask(
            Target {
                node: member,
                swarm: descriptor.members(),
                own: true,
            },
            Request::Fetch(request),
            PacketClass::Bulk,
            purpose,
            ctx,
        );
    }

    fn send_acknowledgement(&mut self, member: NodeId, ids: Vec<EnvelopeId>, ctx: &mut Ctx<'_>) {
        let Some(descriptor) = self.mailbox.descriptor.clone() else {
            return;
        };
        let Ok(tombstone) = Tombstone::sign(self.me.device.mailbox(), ids.clone()) else {
            return;
        };
        let purpose = Purpose::Acknowledge { ids };
        self.ask(
            Target {
                node: member,
                swarm: descriptor.members(),
                own: true,
            },
            Request::Acknowledge(tombstone),
            PacketClass::Message,
            purpose,
            ctx,
        );
    }

    pub(super) fn on_push(&mut self, member: NodeId, push: Push, ctx: &mut Ctx<'_>) {
        self.mailbox
            .pushed(member, push.stock, push.waiting, ctx.now);
        receive(member, push.envelopes.into_inner(), ctx);
    }

    // --- publication ----------------------------------------------------------------------------

    fn publish_record(&mut self, ctx: &mut Ctx<'_>) {
        let Some(mailbox) = self.mailbox.descriptor.clone() else {
            return;
        };
        let relays = self.record_relays(&self.me.directory.public().record_key());
        if relays.is_empty() {
            self.publication.record_postponed(ctx.now);
            return;
        }
        let sequence = self.publication.record_asked(&relays, ctx.now);
        ctx.batch.writes.push(self.publication.write());
        let Some(record) = self.account_record(mailbox, sequence, ctx) else {
            return;
        };
        for relay in &relays {
            let request = Request::RecordPut(RecordPutRequest {
                record: record.bytes().clone(),
            });
            let purpose = Purpose::PublishRecord { sequence };
            self.ask(
                Target {
                    node: *relay,
                    swarm: &relays,
                    own: true,
                },
                request,
                PacketClass::Bulk,
                purpose,
                ctx,
            );
        }
    }

    fn account_record(
        &self,
        mailbox: MailboxDescriptor,
        sequence: u64,
        ctx: &mut Ctx<'_>,
    ) -> Option<AccountRecord> {
        let me = &self.me;
        let sealing_key = me
            .device
            .sealing()
            .current()
            .publish(me.device.signing())
            .verify(&me.certificate)
            .ok()?;
        let device = PublishedDevice {
            certificate: me.certificate.clone(),
            sealing_key,
            mailbox,
        };
        let contents = AccountContents {
            keys: me.keys.clone(),
            list: me.list.clone(),
            devices: vec![device],
        };
        let contents = contents
            .encode(Freshness::sign(&me.list, &me.device, ctx.now))
            .ok()?;
        let sealed = seal_record_contents(&me.address, &contents, &mut ctx.rng)?;
        AccountRecord::sign(
            &me.directory,
            sequence,
            ctx.now.saturating_add(RECORD_LIFE),
            sealed,
        )
        .ok()
    }

    /// Makes prekeys for every member that wants some; their secrets are committed before they leave.
    pub(super) fn publish_prekeys(&mut self, ctx: &mut Ctx<'_>) {
        let stored = ctx.loaded.get(&meta::prekeys());
        let stored =
            stored.and_then(|bytes| from_cbor::<PreKeySecrets>(bytes, MAX_PREKEYS_LEN).ok());
        let mut secrets = stored.unwrap_or_else(|| PreKeySecrets::random(ctx.now, &mut ctx.rng));
        secrets.rotate(ctx.now, &mut ctx.rng);
        let mailbox = self.me.device.mailbox().id();
        for due in self
            .publication
            .prekeys_due(self.stock.prekeys, &self.busy_members(), ctx.now)
        {
            self.publication.prekeys_asked(due);
            if self
                .publish_prekeys_to(due, &mailbox, &mut secrets, ctx)
                .is_none()
            {
                self.publication
                    .prekeys_failed(due.node, ctx.now, &mut ctx.rng);
            }
        }
        ctx.batch
            .put(Row::plain(meta::prekeys(), to_cbor(&secrets)));
    }

    fn publish_prekeys_to(
        &mut self,
        due: PreKeyDue,
        mailbox: &MailboxId,
        secrets: &mut PreKeySecrets,
        ctx: &mut Ctx<'_>,
    ) -> Option<()> {
        let descriptor = self.mailbox.descriptor.clone()?;
        let address = self.me.address;
        let base = secrets
            .base(self.me.device.signing(), &self.me.certificate)
            .encode();
        let base =
            BoundedBytes::new(seal_prekey_entry(&address, mailbox, &base, &mut ctx.rng)?).ok()?;
        let entries =
            secrets.make_one_time(due.count, self.me.device.signing(), ctx.now, &mut ctx.rng);
        let mut one_time = Vec::with_capacity(entries.len());
        for entry in entries {
            let sealed = seal_prekey_entry(&address, mailbox, &entry.encode(), &mut ctx.rng)?;
            one_time.push(BoundedBytes::new(sealed).ok()?);
        }
        let body = PreKeyPublishBody {
            replace: false,
            base,
            one_time: BoundedList::new(one_time).ok()?,
        };
        let request = self.owner_request(&due.node, OwnerOp::PreKeyPublish, to_cbor(&body), ctx)?;
        let purpose = Purpose::PublishPreKeys { member: due.node };
        let request = Request::PreKeyPublish(request);
        self.ask(
            Target {
                node: due.node,
                swarm: descriptor.members(),
                own: true,
            },
            request,
            PacketClass::Bulk,
            purpose,
            ctx,
        );
        Some(())
    }

    // --- answers --------------------------------------------------------------------------------

    pub(super) fn on_reply(&mut self, purpose: Purpose, reply: Reply, ctx: &mut Ctx<'_>) {
        match (purpose, reply) {
            (Purpose::Put { item, envelope }, Reply::Put(put)) => {
                let (writes, done) = self.outbox.held(&item, &envelope, put.held, put.of);
                ctx.batch.writes.extend(writes);
                if let Some((held, of)) = done {
                    ctx.batch.step(Step::Progress {
                        item,
                        state: Some(MessageState::Sent { held, of }),
                    });
                }
            }
            (Purpose::Subscribe { member, replace }, Reply::Subscribe(subscribed)) => {
                self.mailbox.subscribed(
                    member,
                    subscribed.stock,
                    subscribed.waiting,
                    replace,
                    ctx.now,
                );
            }
            (Purpose::Fetch { member }, Reply::Fetch(page)) => {
                self.mailbox.fetched(member, page.next, page.remaining);
                receive(member, page.envelopes.into_inner(), ctx);
            }
            (Purpose::Acknowledge { ids }, Reply::Acknowledge(_)) => {
                self.mailbox.acknowledged(&ids)
            }
            (Purpose::PublishRecord { sequence }, Reply::RecordPut(put)) => {
                self.record_answered(sequence, put.stored || put.sequence >= sequence, ctx);
            }
            (Purpose::PublishPreKeys { member }, Reply::PreKeyPublish(held)) => {
                self.publication
                    .prekeys_held(member, held.held, self.stock.prekeys, ctx.now);
            }
            (Purpose::FindRecord { address, key }, Reply::RecordGet(got)) => {
                let record = got
                    .record
                    .and_then(|bytes| AccountRecord::verify(&bytes, ctx.now).ok());
                let record = record.filter(|record| record.key() == key);
                let found = self.lookups.record_answered(&address, record);
                self.record_found(address, found, ctx);
            }
            (Purpose::TakePreKeys { address, device }, Reply::PreKeyTake(taken)) => {
                self.prekeys_taken(address, device, &taken, ctx);
            }
            // Refused, or an answer to another question: the same as none.
            (purpose, _) => {
                self.on_failed(purpose, ctx);
            }
        }
    }

    /// No answer in time, or none that helps.
    pub(super) fn on_failed(&mut self, purpose: Purpose, ctx: &mut Ctx<'_>) {
        let (now, rng) = (ctx.now, &mut ctx.rng);
        self.mailbox.doubt();
        match purpose {
            Purpose::Put { item, envelope } => {
                // Every member has been tried twice: perhaps the mailbox has moved.
                if self
                    .outbox
                    .failed(&item, &envelope, now, rng)
                    .is_multiple_of(LOOK_AGAIN)
                {
                    self.lookups.want(item.0, now);
                }
            }
            Purpose::Subscribe { member, .. } => self.mailbox.subscribe_failed(member, now, rng),
            Purpose::Fetch { member } => self.mailbox.fetch_failed(member),
            Purpose::Acknowledge { ids } => self.mailbox.acknowledge_failed(&ids, now, rng),
            Purpose::PublishRecord { sequence } => self.record_answered(sequence, false, ctx),
            Purpose::PublishPreKeys { member } => self.publication.prekeys_failed(member, now, rng),
            Purpose::FindRecord { address, .. } => {
                let found = self.lookups.record_answered(&address, None);
                self.record_found(address, found, ctx);
            }
            Purpose::TakePreKeys { address, .. } => self.lookups.failed(&address, None, now, rng),
        }
    }

    fn record_answered(&mut self, sequence: u64, stored: bool, ctx: &mut Ctx<'_>) {
        if self
            .publication
            .record_answered(sequence, stored, ctx.now, &mut ctx.rng)
        {
            ctx.batch.writes.push(self.publication.write());
        }
    }

    /// Seven days of attempts are over.
    pub(super) fn give_up(&mut self, item: Item, was_sealed: bool, ctx: &mut Ctx<'_>) {
        let failure = if was_sealed {
            None
        } else {
            self.lookups.failure(&item.0)
        };
        let reason = failure.unwrap_or(FailReason::Expired);
        let shown = self.outbox.get(&item).is_some_and(|item| item.row.shown);
        ctx.batch.writes.extend(self.outbox.remove(&item));
        if shown {
            ctx.batch.step(Step::Progress {
                item,
                state: Some(MessageState::Failed(reason)),
            });
        }
    }
}

/// Takes in what a member has sent, in its order.
fn receive(member: NodeId, envelopes: Vec<EnvelopeItem>, ctx: &mut Ctx<'_>) {
    for item in envelopes {
        ctx.batch.step(Step::Envelope {
            member,
            id: item.id,
            bytes: Box::new(item.envelope),
        });
    }
}

fn open_bundle(
    address: &Address,
    mailbox: &MailboxId,
    reply: &PreKeyTakeReply,
) -> Option<UnverifiedBundle> {
    let base = PreKeyBase::decode(&open_prekey_entry(address, mailbox, &reply.base)?).ok()?;
    // A spoiled one-time part does not keep two people apart: the last-resort key serves.
    let one_time = reply
        .one_time
        .as_ref()
        .and_then(|sealed| open_prekey_entry(address, mailbox, sealed));
    let one_time = one_time.and_then(|entry| PreKeyOneTime::decode(&entry).ok());
    Some(UnverifiedBundle { base, one_time })
}
