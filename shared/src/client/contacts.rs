//! The people this device knows, in memory as in the store, and what was verified about their devices.

use std::collections::BTreeMap;

use super::records::{ContactRow, KnownList, MAX_NAME_LEN, PeerDeviceRow, Record, RecordError};
use super::renewal::{RENEW_AT_ONCE, RENEW_EVERY};
use super::store::{Row, Write};
use super::view::{ContactView, Verification};
use crate::id::{Address, DeviceId};
use crate::identity::{
    AccountKeys, BodyHash, ContactCode, DeviceCertificate, DeviceEntry, ListRollback, SealingKey,
};
use crate::rpc::{
    AccountContents, MailboxDescriptor, MailboxDescriptorBytes, PublishedDevice, WriteSecret,
};
use crate::session::PeerDevice;
use crate::time::{Duration, Timestamp};
use crate::wire::codec::{BoundedList, BoundedText};

/// Senders read a contact's record again after this time. DESIGN §5.
const REFRESH: Duration = Duration::from_hours(6);

/// Everybody, by address.
#[derive(Debug, Default)]
pub(super) struct Contacts {
    rows: BTreeMap<Address, ContactRow>,
    /// Devices whose certificates were verified in this run: once each, not for every message.
    verified: BTreeMap<(Address, DeviceId), Peer>,
}

/// A device of a contact, verified.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) certificate: DeviceCertificate,
    pub(super) sealing_key: SealingKey,
    pub(super) mailbox: MailboxDescriptor,
}

/// How a device stands to the list last read of its account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is on it.
    Listed,
    /// It is not, or not with this certificate: removed, or added since.
    Unlisted,
    /// No list has been read yet.
    NoList,
}

impl Standing {
    pub(super) const fn is_listed(self) -> bool {
        matches!(self, Self::Listed)
    }
}

/// What a list that was read changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ListChange {
    /// A device is new, or one of them has another certificate.
    pub(super) keys_changed: bool,
    /// Devices that were known and are not on it any more with the certificate that they had.
    pub(super) gone: Vec<DeviceId>,
}

impl Contacts {
    pub(super) fn restore(rows: &[Row]) -> Result<Self, RecordError> {
        let decode = |row: &Row| {
            let mut contact = ContactRow::from_value(&row.value)?;
            // Their sealing keys named no mailbox, and serve no more: the record has others.
            if contact.version < 4 {
                contact.record_read = None;
            }
            contact.version = ContactRow::VERSION;
            Ok::<_, RecordError>((contact.address, contact))
        };
        let rows = rows.iter().map(decode).collect::<Result<_, _>>()?;
        Ok(Self {
            rows,
            verified: BTreeMap::new(),
        })
    }

    pub(super) fn get(&self, address: &Address) -> Option<&ContactRow> {
        self.rows.get(address)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &ContactRow> {
        self.rows.values()
    }

    /// Changes a contact; the write to store it, if there is such a contact.
    pub(super) fn update(
        &mut self,
        address: &Address,
        change: impl FnOnce(&mut ContactRow),
    ) -> Option<Write> {
        let row = self.rows.get_mut(address)?;
        change(row);
        Some(Write::Put(row.row()))
    }

    /// Adds a contact, or does nothing if there is one. True if it is new.
    pub(super) fn add(&mut self, address: Address, incoming: bool, now: Timestamp) -> bool {
        if self.rows.contains_key(&address) {
            return false;
        }
        let row = ContactRow {
            version: ContactRow::VERSION,
            address,
            directory_key: None,
            name: None,
            claimed_name: None,
            added: now,
            incoming,
            devices: BoundedList::default(),
            record_sequence: 0,
            record_read: None,
            write_secret: None,
            introduced: 0,
            list_sequence: 0,
            keys: None,
            verification: None,
            list: None,
        };
        self.rows.insert(address, row);
        true
    }

    /// Whether a message can be encrypted for at least one of their devices.
    pub(super) fn has_session(&self, address: &Address) -> bool {
        self.rows
            .get(address)
            .is_some_and(|row| row.devices.iter().any(|device| device.has_session))
    }

    /// Their devices that have a session.
    pub(super) fn sessions(&self, address: &Address) -> Vec<DeviceId> {
        let devices = self
            .rows
            .get(address)
            .map(|row| row.devices.iter())
            .into_iter()
            .flatten();
        devices
            .filter(|device| device.has_session)
            .map(|device| device.device)
            .collect()
    }

    /// The keys of a device, verified.
    pub(super) fn peer(&mut self, address: &Address, device: &DeviceId) -> Option<Peer> {
        if let Some(peer) = self.verified.get(&(*address, *device)) {
            return Some(peer.clone());
        }
        let peer = Peer::verify(self.device(address, device)?, address)?;
        self.verified.insert((*address, *device), peer.clone());
        Some(peer)
    }

    /// Whether the sealing key of a device is one that may still be sealed to.
    pub(super) fn may_seal_to(
        &mut self,
        address: &Address,
        device: &DeviceId,
        now: Timestamp,
    ) -> bool {
        let peer = self.peer(address, device);
        peer.is_some_and(|peer| peer.sealing_key.is_usable(now))
    }

    /// Whether something can be said to a contact: there is a device with a session and a sealing key that serves.
    pub(super) fn is_reachable(&mut self, address: &Address, now: Timestamp) -> bool {
        let devices = self.sessions(address);
        devices
            .iter()
            .any(|device| self.may_seal_to(address, device, now))
    }

    /// Where a device's mail goes, from memory only.
    pub(super) fn mailbox(
        &mut self,
        address: &Address,
        device: &DeviceId,
    ) -> Option<MailboxDescriptor> {
        self.peer(address, device).map(|peer| peer.mailbox)
    }

    pub(super) fn write_secret(&self, address: &Address) -> Option<&WriteSecret> {
        self.rows
            .get(address)
            .and_then(|row| row.write_secret.as_ref())
    }

    /// Whether what is known of a contact is too old to send by it, and can be read again.
    pub(super) fn is_stale(&self, address: &Address, now: Timestamp) -> bool {
        let old = |read: Timestamp| now.since(read) >= REFRESH;
        let row = self.rows.get(address);
        row.is_some_and(|row| row.directory_key.is_some() && row.record_read.is_none_or(old))
    }

    /// How a device stands to its account's list. `certificate`: the one that it shows, if it shows one.
    pub(super) fn standing(
        &self,
        address: &Address,
        device: &DeviceId,
        certificate: Option<BodyHash>,
    ) -> Standing {
        let Some(list) = self.rows.get(address).and_then(|row| row.list.as_ref()) else {
            return Standing::NoList;
        };
        let is_it = |entry: &DeviceEntry| {
            entry.device == *device && certificate.is_none_or(|hash| hash == entry.certificate)
        };
        match list.devices.iter().any(is_it) {
            true => Standing::Listed,
            false => Standing::Unlisted,
        }
    }

    /// Takes up an account's list and the devices on it; nothing changes if it is refused. The caller stores
    /// the contact.
    pub(super) fn take_up(
        &mut self,
        address: &Address,
        contents: &AccountContents,
    ) -> Result<ListChange, ListRollback> {
        let list = &contents.list;
        let row = self.rows.get_mut(address).ok_or(ListRollback::Older)?;
        match &row.list {
            Some(known) => {
                list.order_after(row.list_sequence, known.hash)?;
            }
            None if list.sequence() < row.list_sequence => return Err(ListRollback::Older),
            None => {}
        }
        let used: Vec<_> = row.devices.iter().map(entry).collect();
        let gone = used.iter().filter(|used| !list.devices().contains(used));
        let gone: Vec<DeviceId> = gone.map(|used| used.device).collect();
        let keys_changed = keys_changed(row, &used, list.devices());
        row.list_sequence = list.sequence();
        row.list = Some(KnownList {
            hash: list.hash(),
            devices: BoundedList::new(list.devices().to_vec()).unwrap_or_default(),
        });
        let mut devices = core::mem::take(&mut row.devices).into_inner();
        devices.retain(|stored| !gone.contains(&stored.device));
        row.devices = BoundedList::new(devices).unwrap_or_default();
        self.verified
            .retain(|(of, device), _| of != address || !gone.contains(device));
        for device in &contents.devices {
            self.set_device(address, &contents.keys, device);
        }
        Ok(ListChange { keys_changed, gone })
    }

    /// Whether a device that wrote by itself is one more than those known, before any list was read.
    pub(super) fn is_gain(&self, address: &Address, certificate: &DeviceCertificate) -> bool {
        let new = DeviceEntry::from(certificate);
        let row = self.rows.get(address).filter(|row| row.list.is_none());
        row.is_some_and(|row| {
            !row.devices.is_empty() && row.devices.iter().all(|stored| entry(stored) != new)
        })
    }

    /// Puts a verified device in the place of what was known of it. A mailbox descriptor or sealing key
    /// that is older than the known one does not replace it.
    pub(super) fn set_device(
        &mut self,
        address: &Address,
        keys: &AccountKeys,
        device: &PublishedDevice,
    ) {
        let id = device.certificate.device_id();
        let known = self.peer(address, &id);
        let Some(row) = self.rows.get_mut(address) else {
            return;
        };
        let mut peer = Peer {
            certificate: device.certificate.clone(),
            sealing_key: device.sealing_key.clone(),
            mailbox: device.mailbox.clone(),
        };
        if let Some(known) = known {
            let same_mailbox = known.sealing_key.mailbox() == peer.sealing_key.mailbox();
            if known.sealing_key.created() > peer.sealing_key.created() {
                peer.sealing_key = known.sealing_key;
                // The device signed its mailbox with the key: of two mailboxes the newer key's is the newer.
                if !same_mailbox {
                    peer.mailbox = known.mailbox.clone();
                }
            }
            if same_mailbox && known.mailbox.sequence() > peer.mailbox.sequence() {
                peer.mailbox = known.mailbox;
            }
        }
        row.keys = Some(keys.clone());
        let mut devices = core::mem::take(&mut row.devices).into_inner();
        let before = devices.iter().position(|stored| stored.device == id);
        let before = before.map(|at| devices.remove(at));
        devices.push(PeerDeviceRow {
            device: id,
            certificate: peer.certificate.body().clone(),
            sealing_key: peer.sealing_key.to_unverified(),
            mailbox: peer.mailbox.bytes().clone(),
            has_session: before.as_ref().is_some_and(|stored| stored.has_session),
            renewed: before.as_ref().and_then(|stored| stored.renewed),
            wanted: before.and_then(|stored| stored.wanted),
        });
        // Beyond the bound the one that was heard of longest ago goes.
        devices.drain(..devices.len().saturating_sub(crate::identity::MAX_DEVICES));
        row.devices = BoundedList::new(devices).unwrap_or_default();
        self.verified.insert((*address, id), peer);
    }

    /// Records whether a ratchet session with a device exists.
    pub(super) fn set_session(&mut self, address: &Address, device: &DeviceId, exists: bool) {
        let peer = PeerDevice {
            address: *address,
            device: *device,
        };
        self.update_device(&peer, |stored| stored.has_session = exists);
    }

    /// Changes what is known of a device; the write to store it, if there is such a device.
    fn update_device(
        &mut self,
        peer: &PeerDevice,
        change: impl FnOnce(&mut PeerDeviceRow),
    ) -> Option<Write> {
        let row = self.rows.get_mut(&peer.address)?;
        let mut devices = core::mem::take(&mut row.devices).into_inner();
        let stored = devices.iter_mut().find(|one| one.device == peer.device);
        let found = stored.map(change).is_some();
        row.devices = BoundedList::new(devices).unwrap_or_default();
        found.then(|| Write::Put(row.row()))
    }

    fn device(&self, address: &Address, device: &DeviceId) -> Option<&PeerDeviceRow> {
        let row = self.rows.get(address)?;
        row.devices.iter().find(|stored| stored.device == *device)
    }

    /// A session with a known device is to be begun anew, at `begun` or later: the write that notes it, if that is
    /// news. It is wanted until one was [begun](Self::renewed), or the device is gone.
    pub(super) fn want_anew(&mut self, peer: &PeerDevice, begun: Timestamp) -> Option<Write> {
        let known = self.wish(&peer.address, &peer.device);
        if known.is_some_and(|known| known >= begun) {
            return None;
        }
        self.update_device(peer, |stored| stored.wanted = Some(begun))
    }

    /// If a session with this device is to be begun anew, now or when its time has come: when that one begins, at the
    /// earliest.
    pub(super) fn wish(&self, address: &Address, device: &DeviceId) -> Option<Timestamp> {
        self.device(address, device)?.wanted
    }

    /// The same of one whose time has come.
    pub(super) fn wants_anew(
        &self,
        address: &Address,
        device: &DeviceId,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let stored = self.device(address, device)?;
        stored.wanted.filter(|_| may_renew(stored, now))
    }

    /// Whether a session with any device of this contact is to be begun anew, and the time for that has come.
    pub(super) fn wants_any_anew(&self, address: &Address, now: Timestamp) -> bool {
        let due = |stored: &PeerDeviceRow| stored.wanted.is_some() && may_renew(stored, now);
        let row = self.rows.get(address);
        row.is_some_and(|row| row.devices.iter().any(due))
    }

    /// A session with a device was begun anew: the write that notes it.
    pub(super) fn renewed(&mut self, peer: &PeerDevice, now: Timestamp) -> Option<Write> {
        self.update_device(peer, |stored| {
            let used = used_until(stored, now).saturating_add(RENEW_EVERY);
            stored.renewed = Some(used.min(all_used_until(now)));
            stored.wanted = None;
        })
    }

    pub(super) fn view(row: &ContactRow) -> ContactView {
        let code = row.directory_key.map(|directory_key| ContactCode {
            address: row.address,
            directory_key,
        });
        ContactView {
            address: row.address,
            code: code.map(|code| code.to_string()),
            name: display_name(row),
            added: row.added,
            origin: row.origin(),
            verification: row.verification(),
        }
    }
}

/// Whether a session with a device may be begun anew: the generic cell rate algorithm (ITU-T I.371), [`RENEW_AT_ONCE`]
/// and then one each [`RENEW_EVERY`].
fn may_renew(stored: &PeerDeviceRow, now: Timestamp) -> bool {
    used_until(stored, now).saturating_add(RENEW_EVERY) <= all_used_until(now)
}

/// When all sessions that were begun anew will be forgotten. A later time than can be is of a clock that was wrong.
fn used_until(stored: &PeerDeviceRow, now: Timestamp) -> Timestamp {
    let noted = stored.renewed.filter(|at| *at <= all_used_until(now));
    noted.unwrap_or(now).max(now)
}

const fn all_used_until(now: Timestamp) -> Timestamp {
    now.saturating_add(RENEW_EVERY.saturating_mul(RENEW_AT_ONCE))
}

impl Peer {
    /// The account's word for the certificate was checked before it was stored; what the device signed is checked
    /// here, too.
    fn verify(stored: &PeerDeviceRow, address: &Address) -> Option<Self> {
        let certificate = stored.certificate.clone().vouched_for(address).ok()?;
        let mailbox = mailbox_of(&stored.mailbox)?;
        let sealing_key = stored.sealing_key.clone();
        let sealing_key = sealing_key.verify(&certificate, mailbox.mailbox()).ok()?;
        Some(Self {
            certificate,
            sealing_key,
            mailbox,
        })
    }
}

fn entry(stored: &PeerDeviceRow) -> DeviceEntry {
    DeviceEntry {
        device: stored.device,
        certificate: stored.certificate.hash(),
    }
}

/// Whether `listed` has a device that is new to whoever knows the contact by `row`, or another certificate of
/// one. The first list of somebody who was not verified says who they are; it is a change only if a device
/// that wrote by itself is not on it.
fn keys_changed(row: &ContactRow, used: &[DeviceEntry], listed: &[DeviceEntry]) -> bool {
    match &row.list {
        Some(known) => listed.iter().any(|one| !known.devices.contains(one)),
        None if row.verification() == Verification::Unverified => {
            used.iter().any(|one| !listed.contains(one))
        }
        None => listed.iter().any(|one| !used.contains(one)),
    }
}

fn mailbox_of(bytes: &MailboxDescriptorBytes) -> Option<MailboxDescriptor> {
    MailboxDescriptor::verify(bytes).ok()
}

/// My name for them, else theirs, else the front of their address.
fn display_name(row: &ContactRow) -> String {
    let name = row
        .name
        .as_ref()
        .or(row.claimed_name.as_ref())
        .filter(|name| !name.is_empty());
    name.map_or_else(
        || row.address.to_string().chars().take(8).collect(),
        |name: &BoundedText<MAX_NAME_LEN>| name.to_string(),
    )
}
