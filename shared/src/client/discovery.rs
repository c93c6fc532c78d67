//! Finding contacts: their account record at the relays nearest to its key, then a prekey bundle for every
//! device that has no session. Each attempt that finds nothing asks more relays than the one before, since
//! reader and publisher need not know the same relays.

use std::collections::BTreeMap;

use super::api::Step;
use super::engine::{Client, Ctx};
use super::lookup::{Answer, Found, StartSession};
use super::requests::{Purpose, Target};
use super::view::{FailReason, Verification};
use crate::id::{Address, DeviceId, MailboxId, NodeId, RecordKey};
use crate::onion::Class;
use crate::rpc::{
    AccountContents, AccountRecord, MailboxDescriptor, PreKeyTakeReply, PreKeyTakeRequest,
    RecordGetReply, RecordGetRequest, Request, open_prekey_entry, open_record_contents,
};
use crate::time::Timestamp;
use crate::x3dh::{PreKeyBase, PreKeyOneTime, UnverifiedBundle};

/// Relays of the directory that hold an account record.
pub(super) const RECORD_RELAYS: usize = 3;
/// Relays that are asked for one, or to hold one, when the nearest did not help.
const MAX_RECORD_RELAYS: usize = 12;
/// Failed attempts to read news of a contact who can be written to anyway.
const GIVE_UP_NEWS: u32 = 6;

/// How many relays the attempt after so many failed ones turns to: 3, 6, then 12.
pub(super) const fn record_width(attempts: u32) -> usize {
    let width = RECORD_RELAYS << if attempts < 2 { attempts } else { 2 };
    if width < MAX_RECORD_RELAYS {
        width
    } else {
        MAX_RECORD_RELAYS
    }
}

/// Relays that are asked about a record, each with those that are not to be on the path to it: three at a time, nearest
/// first. Were all of them kept off, no path would be left where they are most of the network.
pub(super) fn kept_apart(relays: &[NodeId]) -> impl Iterator<Item = (NodeId, &[NodeId])> {
    let beside = relays.chunks(RECORD_RELAYS);
    beside.flat_map(|beside| beside.iter().map(move |relay| (*relay, beside)))
}

impl Client {
    pub(super) fn find_record(&mut self, address: Address, ctx: &mut Ctx<'_>) {
        let contact = self.contacts.get(&address);
        let Some(key) = contact.and_then(|row| row.directory_key) else {
            return self.lookup_failed(address, Some(FailReason::ContactNotFound), ctx);
        };
        let key = key.record_key();
        let relays = self.record_relays(&key, record_width(self.lookups.attempts(&address)));
        if relays.is_empty() {
            return self.lookup_failed(address, None, ctx);
        }
        self.lookups.record_asked(&address, relays.len());
        for (relay, beside) in kept_apart(&relays) {
            let request = Request::RecordGet(RecordGetRequest { key });
            let purpose = Purpose::FindRecord { address, key };
            let target = Target {
                node: relay,
                swarm: beside,
                own: false,
            };
            self.ask(target, request, Class::Bulk, purpose, ctx);
        }
    }

    /// The relays nearest to a record's key, until the directory is a DHT.
    pub(super) fn record_relays(&self, key: &RecordKey, count: usize) -> Vec<NodeId> {
        let mut relays = self.net.directory_relays();
        relays.sort_by_key(|node| key.distance(node));
        relays.truncate(count);
        relays
    }

    /// A relay was asked for a contact's record; `None`: it did not answer, or not with what was asked.
    pub(super) fn record_answered(
        &mut self,
        address: Address,
        key: RecordKey,
        reply: Option<RecordGetReply>,
        ctx: &mut Ctx<'_>,
    ) {
        let answer = reply.map_or(Answer::Nothing, |got| read_record(got, key, ctx.now));
        match self.lookups.record_answered(&address, answer) {
            Found::NotYet => {}
            Found::Records(records) => self.records_found(address, &records, ctx),
            Found::Absent => self.lookup_failed(address, Some(FailReason::ContactNotFound), ctx),
            Found::NoAnswer => self.lookup_failed(address, None, ctx),
        }
    }

    /// Another attempt follows after a pause. Whoever cannot be found may be known to relays that are not
    /// known here.
    pub(super) fn lookup_failed(
        &mut self,
        address: Address,
        failure: Option<FailReason>,
        ctx: &mut Ctx<'_>,
    ) {
        self.lookups
            .failed(&address, failure, ctx.now, &mut ctx.rng);
        if failure == Some(FailReason::ContactNotFound) {
            self.net.want_directory(ctx.now, &mut ctx.rng);
        }
        // News of somebody to whom nothing is to be said can wait until something is.
        if !self.is_awaited(&address, ctx.now) && self.lookups.attempts(&address) >= GIVE_UP_NEWS {
            self.lookups.done(&address);
        }
    }

    /// Whether something is to be said to a contact.
    fn is_awaited(&self, address: &Address, now: Timestamp) -> bool {
        self.outbox.has_any(address) || self.awaits_renewal(address, now)
    }

    /// Takes up the latest of what relays have. Holders know the record's number only; what its account has signed
    /// is the list in it, and that counts first.
    fn records_found(&mut self, address: Address, records: &[AccountRecord], ctx: &mut Ctx<'_>) {
        let open = |record| {
            let contents = open_record_contents(&address, AccountRecord::sealed(record)).ok()?;
            let contents = AccountContents::verify(&contents, &address, ctx.now).ok()?;
            Some((record, contents))
        };
        // Usually all have the same.
        let different: BTreeMap<_, _> = records
            .iter()
            .map(|one| (one.bytes().as_ref(), one))
            .collect();
        let latest = different
            .into_values()
            .filter_map(open)
            .max_by_key(|(record, contents)| (contents.list.sequence(), record.sequence()));
        let known = latest.and_then(|(record, contents)| {
            // A device list never goes back, nor are there two of one sequence.
            let change = self.contacts.take_up(&address, &contents).ok()?;
            Some((record, contents, change))
        });
        let Some((record, contents, change)) = known else {
            return self.lookup_failed(address, Some(FailReason::ContactKeysInvalid), ctx);
        };
        let write = self.contacts.update(&address, |row| {
            row.record_sequence = record.sequence();
            row.record_read = Some(ctx.now);
        });
        ctx.batch.writes.extend(write);
        self.list_read(address, change, ctx);
        self.outbox.hurry_to(&address, ctx.now);
        if self.outbox.is_blocked(&address) {
            // No session begins with devices that the person has yet to accept, nor later by what was kept of others.
            self.lookups.keep_of(&address, &contents.devices, ctx.now);
            return self.lookups.done(&address);
        }
        self.begin_sessions(address, contents, ctx);
    }

    /// Takes prekeys of every device that has no session, or is to get another. If something is to be said, sessions by
    /// bundles that were kept begin now.
    fn begin_sessions(&mut self, address: Address, contents: AccountContents, ctx: &mut Ctx<'_>) {
        let have = self.contacts.sessions(&address);
        let kept = self.lookups.keep_of(&address, &contents.devices, ctx.now);
        if self.is_awaited(&address, ctx.now) || !have.is_empty() {
            self.begin_kept(&address, ctx);
        }
        let is_stale = contents.stale_since.is_some();
        let may_begin = !is_stale || (have.is_empty() && self.may_begin_by_stale(&address));
        let devices = contents.devices.iter();
        let usable = devices.filter(|d| d.sealing_key.is_usable(ctx.now));
        let named = usable.map(|d| (d.certificate.device_id(), d.mailbox.clone()));
        let wanted: Vec<_> = named
            .filter(|(device, _)| match have.contains(device) {
                // Somebody may hold a newer list back; but what is in use by this one goes on, and so may be renewed.
                true => {
                    let anew = self.contacts.wants_anew(&address, device, ctx.now);
                    anew.is_some()
                }
                false => may_begin && !kept.contains(device),
            })
            .collect();
        if wanted.is_empty() {
            // Only news of their mailbox and keys was wanted.
            return match self.contacts.is_reachable(&address, ctx.now) || !kept.is_empty() {
                true => self.lookups.done(&address),
                false => self.lookup_failed(address, None, ctx),
            };
        }
        let devices = wanted.iter().map(|(device, _)| *device).collect();
        self.lookups.prekeys_asked(&address, contents, devices);
        for (device, mailbox) in wanted {
            self.take_prekeys(address, device, &mailbox, ctx);
        }
    }

    /// Whether first sessions with a contact may be begun by a record that nobody has vouched for within a week.
    /// Who is away must be within reach of a first message, which says so (`Notice::DevicesUnconfirmed`); but not
    /// of one that a person has been promised goes to verified devices only.
    pub(super) fn may_begin_by_stale(&self, address: &Address) -> bool {
        let contact = self.contacts.get(address);
        contact.is_some_and(|row| row.verification() == Verification::Unverified)
    }

    fn take_prekeys(
        &mut self,
        address: Address,
        device: DeviceId,
        mailbox: &MailboxDescriptor,
        ctx: &mut Ctx<'_>,
    ) {
        // One of the active members, and after a failure any that is listed.
        let members = match self.lookups.has_failed(&address) {
            true => mailbox.members(),
            false => mailbox.active(),
        };
        let turn = usize::try_from(ctx.rng.next_u32()).unwrap_or(0) % members.len().max(1);
        let Some(member) = members.get(turn).copied() else {
            return self.lookup_failed(address, None, ctx);
        };
        let request = Request::PreKeyTake(PreKeyTakeRequest {
            mailbox: mailbox.mailbox(),
        });
        let purpose = Purpose::TakePreKeys { address, device };
        let target = Target {
            node: member,
            swarm: mailbox.members(),
            own: false,
        };
        self.ask(target, request, Class::Message, purpose, ctx);
    }

    pub(super) fn prekeys_taken(
        &mut self,
        address: Address,
        device: DeviceId,
        reply: &PreKeyTakeReply,
        ctx: &mut Ctx<'_>,
    ) {
        let Some((published, stale_since)) = self.lookups.device(&address, &device) else {
            return;
        };
        let published = published.clone();
        let mailbox = published.mailbox.mailbox();
        let bundle = open_bundle(&address, &mailbox, reply);
        let bundle = bundle.and_then(|bundle| bundle.verify(&published.certificate, ctx.now).ok());
        let Some(bundle) = bundle else {
            return self.lookup_failed(address, Some(FailReason::ContactKeysInvalid), ctx);
        };
        let start = StartSession {
            address,
            device: published,
            bundle,
            stale_since,
        };
        let has_begun = self.contacts.has_session(&address);
        match self.is_awaited(&address, ctx.now) || has_begun {
            true => ctx.batch.step(Step::StartSession(Box::new(start))),
            false => self.lookups.keep(start, ctx.now),
        }
    }

    /// Something is said to a contact. Devices without a session get one by the bundles that were fetched when the contact was
    /// added, or by others; first words wait for all of them.
    pub(super) fn begin_what_is_kept(&mut self, address: Address, ctx: &mut Ctx<'_>) {
        let has_begun = self.begin_kept(&address, ctx);
        if !self.contacts.has_session(&address) {
            if !has_begun {
                self.lookups.want_now(address, ctx.now);
            }
            self.lookups.wait_for_all(&address);
        }
    }

    /// Sessions by bundles that have waited. True if there were any.
    fn begin_kept(&mut self, address: &Address, ctx: &mut Ctx<'_>) -> bool {
        let kept = self.lookups.take_kept(address, ctx.now);
        let any = !kept.is_empty();
        for start in kept {
            ctx.batch.step(Step::StartSession(Box::new(start)));
        }
        any
    }
}

fn read_record(got: RecordGetReply, key: RecordKey, now: Timestamp) -> Answer {
    let Some(bytes) = got.record else {
        return Answer::Absent;
    };
    // A relay that shows something else is of as much use as one that is silent.
    match AccountRecord::verify(&bytes, now) {
        Ok(record) if record.key() == key => Answer::Record(Box::new(record)),
        Ok(_) | Err(_) => Answer::Nothing,
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
