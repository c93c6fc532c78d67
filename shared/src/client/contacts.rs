//! The people this device knows, in memory as in the store, and what was verified about their devices.

use std::collections::BTreeMap;

use super::records::{
    ContactRow, MAX_NAME_LEN, PeerDeviceRow, Record, RecordError, current_version,
};
use super::renewal::RENEW_PAUSE;
use super::store::{Row, Write};
use super::view::ContactView;
use crate::id::{Address, DeviceId};
use crate::identity::{AccountKeys, ContactCode, DeviceCertificate, SealingKey};
use crate::rpc::{MailboxDescriptor, MailboxDescriptorBytes, PublishedDevice, WriteSecret};
use crate::session::PeerDevice;
use crate::time::Timestamp;
use crate::wire::codec::{BoundedList, BoundedText};

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

impl Contacts {
    pub(super) fn restore(rows: &[Row]) -> Result<Self, RecordError> {
        let decode = |row: &Row| {
            ContactRow::from_value(&row.value).map(|contact| (contact.address, contact))
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
            version: current_version(),
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
        let row = self.rows.get(address)?;
        let stored = row.devices.iter().find(|stored| stored.device == *device)?;
        let peer = Peer::verify(stored, row.keys.as_ref()?)?;
        self.verified.insert((*address, *device), peer.clone());
        Some(peer)
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
            if known.mailbox.mailbox() == peer.mailbox.mailbox()
                && known.mailbox.sequence() > peer.mailbox.sequence()
            {
                peer.mailbox = known.mailbox;
            }
            if known.sealing_key.created() > peer.sealing_key.created() {
                peer.sealing_key = known.sealing_key;
            }
        }
        row.keys = Some(keys.clone());
        let mut devices = core::mem::take(&mut row.devices).into_inner();
        let has_session = devices
            .iter()
            .any(|stored| stored.device == id && stored.has_session);
        let renewed = devices
            .iter()
            .find(|stored| stored.device == id)
            .and_then(|stored| stored.renewed);
        devices.retain(|stored| stored.device != id);
        devices.push(PeerDeviceRow {
            device: id,
            certificate: peer.certificate.to_unverified(),
            sealing_key: peer.sealing_key.to_unverified(),
            mailbox: peer.mailbox.bytes().clone(),
            has_session,
            renewed,
        });
        // Beyond the bound the one that was heard of longest ago goes.
        devices.drain(..devices.len().saturating_sub(crate::identity::MAX_DEVICES));
        row.devices = BoundedList::new(devices).unwrap_or_default();
        self.verified.insert((*address, id), peer);
    }

    /// Records whether a ratchet session with a device exists.
    pub(super) fn set_session(&mut self, address: &Address, device: &DeviceId, exists: bool) {
        let Some(row) = self.rows.get_mut(address) else {
            return;
        };
        let mut devices = core::mem::take(&mut row.devices).into_inner();
        for stored in devices.iter_mut().filter(|stored| stored.device == *device) {
            stored.has_session = exists;
        }
        row.devices = BoundedList::new(devices).unwrap_or_default();
    }

    /// A session with a known device is to be begun anew: the write that notes it, or nothing if one was within
    /// [`RENEW_PAUSE`].
    pub(super) fn renew(&mut self, peer: &PeerDevice, now: Timestamp) -> Option<Write> {
        let row = self.rows.get_mut(&peer.address)?;
        let mut devices = row.devices.clone().into_inner();
        let stored = devices
            .iter_mut()
            .find(|stored| stored.device == peer.device)?;
        if stored.renewed.is_some_and(|at| now.since(at) < RENEW_PAUSE) {
            return None;
        }
        stored.renewed = Some(now);
        row.devices = BoundedList::new(devices).ok()?;
        Some(Write::Put(row.row()))
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
        }
    }
}

impl Peer {
    fn verify(stored: &PeerDeviceRow, keys: &AccountKeys) -> Option<Self> {
        let certificate = stored.certificate.clone().verify(keys).ok()?;
        let sealing_key = stored.sealing_key.clone().verify(&certificate).ok()?;
        let mailbox = mailbox_of(&stored.mailbox)?;
        Some(Self {
            certificate,
            sealing_key,
            mailbox,
        })
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
