//! Two engines that exchange envelopes by hand, and whatever else an account publishes or signs.

use super::*;
use crate::client::api::{Internal, Step};
use crate::client::engine::Ctx;
use crate::client::lookup::StartSession;
use crate::client::records::{AccountRow, OutboxRow, Record, meta};
use crate::client::store::Table;
use crate::client::view::{Direction, MessageView, Notice};
use crate::client::{Command, Query};
use crate::id::{Address, DeviceId, EnvelopeId, MessageId, NodeId};
use crate::identity::{
    AccountSecret, ContactCode, DeviceCertificate, DeviceEntry, DeviceList, DeviceSecret,
    DirectorySecret, Freshness, SignedCertificate, UnverifiedCertificate, UnverifiedDeviceList,
};
use crate::rpc::{
    AccountContents, AccountRecord, EnvelopeBytes, MailboxDescriptor, PublishedDevice,
    RecordGetReply, seal_record_contents,
};
use crate::session::PeerDevice;
use crate::time::Duration;
use crate::wire::codec::{BoundedBytes, BoundedList, from_cbor, to_secret_cbor};
use crate::x3dh::{PreKeySecrets, UnverifiedBundle};

pub(super) const MEMBER: NodeId = NodeId::from_bytes([5; 20]);

pub(super) fn id(number: u8) -> MessageId {
    MessageId::from_bytes([number; 16])
}

pub(super) fn later(by: Duration) -> Timestamp {
    NOW.saturating_add(by)
}

pub(super) fn address(host: &Host) -> Address {
    host.client.me.address
}

pub(super) fn descriptor(host: &Host) -> MailboxDescriptor {
    let key = host.client.me.device.mailbox();
    MailboxDescriptor::sign(key, 1, vec![MEMBER], 1, NOW).unwrap()
}

pub(super) fn step(host: &mut Host, step: Step, now: Timestamp) {
    host.turn(Input::Internal(Internal(step)), now);
}

pub(super) fn send(host: &mut Host, to: Address, number: u8, now: Timestamp) {
    let command = Command::Send {
        address: to,
        id: id(number),
        text: format!("text {number}"),
    };
    host.turn(Input::Command(command), now);
    step(host, Step::Seal(to), now);
}

/// Two people, the first of whom has added the second.
pub(super) fn pair() -> (Host, Host) {
    let (mut ada, bob) = (Host::new(0), Host::new(1));
    let code = ContactCode::parse(&bob.client.me().code).unwrap();
    let name = Some("Bob".into());
    ada.turn(Input::Command(Command::AddContact { code, name }), NOW);
    (ada, bob)
}

/// Gives a host a swarm, as if it had found relays.
pub(super) fn settle(host: &mut Host) {
    let write = host.client.mailbox.moved(descriptor(host), NOW);
    commit(&mut host.rows, vec![write]);
}

/// What `host` publishes, and a bundle of it.
pub(super) fn bundle(host: &Host) -> StartSession {
    let me = &host.client.me;
    let sealing_key = me.device.publish_sealing_key();
    let prekeys = &host.rows[&meta::prekeys()].value;
    let prekeys: PreKeySecrets = from_cbor(prekeys, 1 << 20).unwrap();
    let bundle = UnverifiedBundle {
        base: prekeys.base(me.device.signing(), &me.certificate),
        one_time: None,
    };
    StartSession {
        address: me.address,
        device: PublishedDevice {
            certificate: me.certificate.clone().into_certificate(),
            sealing_key: sealing_key
                .verify(&me.certificate, me.device.mailbox().id())
                .unwrap(),
            mailbox: descriptor(host),
        },
        bundle: bundle.verify(&me.certificate, NOW).unwrap(),
        stale_since: None,
    }
}

/// `host` has looked `peer` up.
pub(super) fn start(host: &mut Host, peer: &Host, now: Timestamp) {
    let start = bundle(peer);
    let (keys, device) = (&peer.client.me.keys, &start.device);
    let contacts = &mut host.client.contacts;
    contacts.set_device(&start.address, keys, device);
    step(host, Step::StartSession(Box::new(start)), now);
}

/// A session of `host` with this device is to be begun anew, at once.
pub(super) fn want_anew(host: &mut Host, address: Address, device: DeviceId, begun: Timestamp) {
    let peer = PeerDevice { address, device };
    host.client.contacts.update(&address, |row| {
        let mut devices = core::mem::take(&mut row.devices).into_inner();
        devices.iter_mut().for_each(|stored| stored.renewed = None);
        row.devices = BoundedList::new(devices).unwrap();
    });
    let write = host.client.contacts.want_anew(&peer, begun);
    commit(&mut host.rows, write.into_iter().collect());
}

/// An item, and an envelope of it.
type InFlight = ((Address, MessageId), EnvelopeId, Box<EnvelopeBytes>);

/// Everything that `from` has sealed for the device `to`.
pub(super) fn in_flight(from: &Host, to: &Host) -> Vec<InFlight> {
    let sealed = from
        .rows
        .values()
        .filter(|row| row.key.table == Table::Outbox);
    let rows: Vec<_> = sealed.map(|row| OutboxRow::decode(row).unwrap()).collect();
    let mut items = Vec::new();
    let mut envelopes = BTreeMap::new();
    for row in rows {
        match row {
            OutboxRow::Item(item) => items.push(item),
            OutboxRow::Envelope(id, bytes) => drop(envelopes.insert(id, bytes)),
        }
    }
    let device = to.client.me.device.id();
    let mut flying = Vec::new();
    for item in items {
        let own = item.envelopes.iter().filter(|one| one.device == device);
        let name = (item.address, item.id);
        flying.extend(own.map(|entry| (name, entry.id, envelopes[&entry.id].clone())));
    }
    flying
}

/// Hands everything that `from` has sealed for the device `to` to it, and tells `from` that it is held.
pub(super) fn deliver(from: &mut Host, to: &mut Host, now: Timestamp) {
    for (name, id, bytes) in in_flight(from, to) {
        let member = MEMBER;
        step(to, Step::Envelope { member, id, bytes }, now);
        let (writes, _) = from.client.outbox.held(&name, &id, 1, 1);
        commit(&mut from.rows, writes);
    }
}

pub(super) fn talk(host: &Host, with: Address) -> Vec<MessageView> {
    let query = Query::Messages {
        address: with,
        before: None,
        limit: 100,
    };
    let rows = host.scan(&query.scan());
    host.client.messages(&rows, 100).messages
}

/// Sorted: no time passes between them.
pub(super) fn texts(host: &Host, with: Address) -> Vec<String> {
    let texts = talk(host, with).into_iter().map(|view| view.text);
    let mut texts: Vec<_> = texts.filter(|text| !text.is_empty()).collect();
    texts.sort();
    texts
}

/// Ada and Bob, who have written to each other.
pub(super) fn acquainted() -> (Host, Host, Address, Address) {
    let (mut ada, mut bob) = pair();
    let (a, b) = (address(&ada), address(&bob));
    settle(&mut ada);
    settle(&mut bob);
    start(&mut ada, &bob, NOW);
    send(&mut ada, b, 1, NOW);
    deliver(&mut ada, &mut bob, NOW);
    send(&mut bob, a, 2, NOW);
    deliver(&mut bob, &mut ada, NOW);
    assert_eq!(texts(&ada, b), ["text 1", "text 2"]);
    assert_eq!(texts(&bob, a), ["text 1", "text 2"]);
    (ada, bob, a, b)
}

pub(super) fn notices_of(host: &Host, with: Address, notice: Notice) -> usize {
    let talk = talk(host, with);
    let is_it = |view: &&MessageView| view.direction == Direction::Notice(notice);
    talk.iter().filter(is_it).count()
}

/// Every envelope that waits in a host's outbox, by the device that it is for.
pub(super) fn envelopes(host: &Host) -> Vec<DeviceId> {
    let rows = host.rows.values();
    let rows = rows.filter(|row| row.key.table == Table::Outbox);
    let mut devices = Vec::new();
    for row in rows {
        if let OutboxRow::Item(item) = OutboxRow::decode(row).unwrap() {
            let open = item.envelopes.iter().filter(|one| one.held.is_none());
            devices.extend(open.map(|one| one.device));
        }
    }
    devices
}

/// What can sign for an account.
pub(super) struct Account {
    secret: AccountSecret,
    directory: DirectorySecret,
    pub(super) address: Address,
}

impl Account {
    /// Of the host with that index.
    pub(super) fn of(host: &Host, index: usize) -> Self {
        let row = AccountRow::from_value(&host.rows[&meta::account()].value).unwrap();
        let secret = AccountSecret::from_parts(account_rsa(index), row.ml_dsa_seed);
        Self {
            address: secret.keys().address(),
            secret,
            directory: row.directory,
        }
    }

    pub(super) fn list(&self, sequence: u64, devices: &[&Host]) -> DeviceList {
        let entries = devices.iter().map(|host| &*host.client.me.certificate);
        let entries: Vec<_> = entries.map(DeviceEntry::from).collect();
        self.list_of(sequence, &entries)
    }

    fn list_of(&self, sequence: u64, entries: &[DeviceEntry]) -> DeviceList {
        let job = DeviceList::to_sign(self.address, sequence, entries).unwrap();
        let signed = self
            .secret
            .sign_and_finish(job, &mut rng(sequence))
            .unwrap();
        let list = UnverifiedDeviceList::from(signed);
        list.verify(&self.secret.keys()).unwrap()
    }

    fn certify(&self, device: &DeviceSecret, created: Timestamp) -> SignedCertificate {
        let job = DeviceCertificate::to_sign(self.address, device, created);
        let signed = self.secret.sign_and_finish(job, &mut rng(1)).unwrap();
        let certificate = UnverifiedCertificate::from(signed);
        certificate.verify(&self.secret.keys()).unwrap()
    }

    /// The record of an account with these devices, in which the first can be written to and vouches at `at`.
    pub(super) fn record(
        &self,
        list: &DeviceList,
        devices: &[&Host],
        at: Timestamp,
    ) -> AccountRecord {
        self.record_of(list, &devices[..1], at)
    }

    /// The same, in which all of these can be written to.
    pub(super) fn record_of(
        &self,
        list: &DeviceList,
        devices: &[&Host],
        at: Timestamp,
    ) -> AccountRecord {
        let published = devices.iter().map(|host| bundle(host).device).collect();
        let contents = AccountContents {
            keys: self.secret.keys(),
            list: list.clone(),
            devices: published,
            stale_since: None,
        };
        let freshness = Freshness::sign(list, &devices[0].client.me.device, at);
        let contents = contents.encode(freshness).unwrap();
        self.numbered(at.as_ms(), &contents, at)
    }

    /// A record of any contents and number, as whoever has the directory key can make it.
    pub(super) fn numbered(&self, sequence: u64, contents: &[u8], at: Timestamp) -> AccountRecord {
        let sealed = seal_record_contents(&self.address, contents, &mut rng(2)).unwrap();
        let expires = at.saturating_add(Duration::from_days(29));
        AccountRecord::sign(&self.directory, sequence, expires, sealed).unwrap()
    }

    /// A device with a host of its own, and what it knows: nothing.
    pub(super) fn link(&self, like: &Host, seed: u64) -> Host {
        let mut rng = rng(seed);
        let device = DeviceSecret::random(NOW, &mut rng);
        let certificate = self.certify(&device, NOW);
        let list = self.list_of(1, &[DeviceEntry::from(&*certificate)]);
        let prekeys = PreKeySecrets::random(NOW, &mut rng);
        let mut rows = like.rows.clone();
        rows.retain(|key, _| matches!(key.table, Table::Meta | Table::PreKey));
        let mut put = |key: Key, value| drop(rows.insert(key.clone(), Row::plain(key, value)));
        put(meta::device(), to_secret_cbor(&device));
        put(meta::prekeys(), to_secret_cbor(&prekeys));
        let mut account = AccountRow::from_value(&like.rows[&meta::account()].value).unwrap();
        account.certificate = BoundedBytes::new(certificate.encode()).unwrap();
        account.device_list = BoundedBytes::new(list.encode()).unwrap();
        put(meta::account(), account.to_value());
        let client = restore(&rows, &mut rng);
        let mut host = Host { rows, client, rng };
        settle(&mut host);
        host
    }

    /// Certifies a host's device once more: the same keys, another certificate.
    pub(super) fn certify_again(&self, host: &mut Host) {
        let later = later(Duration::from_days(1));
        host.client.me.certificate = self.certify(&host.client.me.device, later);
    }
}

/// What a part of the engine does on its own, as a turn; what it shows.
pub(super) fn by_hand(
    host: &mut Host,
    now: Timestamp,
    act: impl FnOnce(&mut Client, &mut Ctx<'_>),
) -> Vec<Event> {
    let (mut batch, loaded) = (Batch::default(), Loaded::default());
    let mut ctx = Ctx {
        loaded: &loaded,
        batch: &mut batch,
        now,
        rng: &mut host.rng,
    };
    act(&mut host.client, &mut ctx);
    commit(&mut host.rows, batch.writes);
    let mut effects = batch.effects;
    for step in batch.steps {
        effects.extend(host.turn(Input::Internal(Internal(step)), now));
    }
    events(effects)
}

/// A relay shows `record` to `host`; what it shows to the person.
pub(super) fn read(
    host: &mut Host,
    record: &AccountRecord,
    of: Address,
    now: Timestamp,
) -> Vec<Event> {
    read_all(host, core::slice::from_ref(record), of, now)
}

/// The same with several relays, each of which has another.
pub(super) fn read_all(
    host: &mut Host,
    records: &[AccountRecord],
    of: Address,
    now: Timestamp,
) -> Vec<Event> {
    by_hand(host, now, |client, ctx| {
        client.lookups.want_now(of, now);
        client.lookups.record_asked(&of, records.len());
        for record in records {
            let reply = RecordGetReply {
                record: Some(record.bytes().clone()),
            };
            client.record_answered(of, record.key(), Some(reply), ctx);
        }
    })
}
