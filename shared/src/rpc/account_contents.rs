//! What an account record holds once it is opened: keys, device list, devices. PROTOCOL §7.

use minicbor::{Decode, Encode};
use thiserror::Error;

use super::mailbox_descriptor::{DescriptorError, MailboxDescriptor, MailboxDescriptorBytes};
use super::record::MAX_RECORD_LEN;
use crate::id::Address;
use crate::identity::{
    AccountKeys, CertificateError, DeviceCertificate, DeviceList, DeviceListError, FreshnessError,
    MAX_DEVICES, SealingKey, SealingKeyError, UnverifiedCertificate, UnverifiedDeviceList,
    UnverifiedFreshness, UnverifiedSealingKey,
};
use crate::time::Timestamp;
use crate::wire::codec::{BoundedList, CodecError, OverBound, from_cbor, to_cbor};

/// Contents whose every signature holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountContents {
    /// The account's public keys.
    pub keys: AccountKeys,
    /// The devices that the account vouches for.
    pub list: DeviceList,
    /// Those of them that can be written to.
    pub devices: Vec<PublishedDevice>,
    /// Whether a device on the list has vouched for it within the last 7 days. If none has, what is here may be
    /// held back from a newer list: it ends sessions, and begins none.
    pub fresh: bool,
}

/// A device that can be written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedDevice {
    /// Signed by the account, and on its list.
    pub certificate: DeviceCertificate,
    /// What envelopes are sealed to.
    pub sealing_key: SealingKey,
    /// Where its mail goes.
    pub mailbox: MailboxDescriptor,
}

/// Why contents are not believed; the fault of who published them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ContentsError {
    /// Not the contents of a record.
    #[error("account record: {0}")]
    Codec(#[from] CodecError),
    /// The keys are those of another account.
    #[error("account record: the keys do not belong to the address")]
    OtherAccount,
    /// The device list does not hold.
    #[error(transparent)]
    List(#[from] DeviceListError),
    /// A certificate does not hold.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A device is not on the list, or there twice.
    #[error("account record: a device is not on the account's list")]
    UnlistedDevice,
    /// The proof of freshness is about something else, by somebody else, or from the future.
    #[error(transparent)]
    Freshness(#[from] FreshnessError),
    /// A sealing key does not hold.
    #[error(transparent)]
    SealingKey(#[from] SealingKeyError),
    /// A mailbox descriptor does not hold.
    #[error(transparent)]
    Mailbox(#[from] DescriptorError),
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct Contents {
    #[n(0)]
    keys: AccountKeys,
    #[n(1)]
    list: UnverifiedDeviceList,
    #[n(2)]
    freshness: UnverifiedFreshness,
    #[n(3)]
    devices: BoundedList<Device, MAX_DEVICES>,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct Device {
    #[n(0)]
    certificate: UnverifiedCertificate,
    #[n(1)]
    sealing_key: UnverifiedSealingKey,
    #[n(2)]
    mailbox: MailboxDescriptorBytes,
}

impl AccountContents {
    /// The contents as CBOR, to be sealed. `freshness` is a proof by one of the devices.
    pub fn encode(&self, freshness: UnverifiedFreshness) -> Result<Vec<u8>, OverBound> {
        let device = |device: &PublishedDevice| Device {
            certificate: device.certificate.to_unverified(),
            sealing_key: device.sealing_key.to_unverified(),
            mailbox: device.mailbox.bytes().clone(),
        };
        Ok(to_cbor(&Contents {
            keys: self.keys.clone(),
            list: self.list.to_unverified(),
            freshness,
            devices: BoundedList::new(self.devices.iter().map(device).collect())?,
        }))
    }

    /// Reads contents and checks every signature down from `address`. A proof of freshness that is too old is
    /// not an error: see [`fresh`](Self::fresh).
    pub fn verify(bytes: &[u8], address: &Address, now: Timestamp) -> Result<Self, ContentsError> {
        let contents: Contents = from_cbor(bytes, MAX_RECORD_LEN)?;
        if contents.keys.address() != *address {
            return Err(ContentsError::OtherAccount);
        }
        let keys = contents.keys;
        let list = contents.list.verify(&keys)?;
        let mut devices: Vec<PublishedDevice> = Vec::new();
        for device in contents.devices.into_inner() {
            let certificate = device.certificate.verify(&keys)?;
            let again = devices
                .iter()
                .any(|known| known.certificate.device_id() == certificate.device_id());
            if again || !list.contains(&certificate) {
                return Err(ContentsError::UnlistedDevice);
            }
            let sealing_key = device.sealing_key.verify(&certificate)?;
            let mailbox = MailboxDescriptor::verify(&device.mailbox)?;
            devices.push(PublishedDevice {
                certificate,
                sealing_key,
                mailbox,
            });
        }
        let witness = contents.freshness.device();
        let witness = devices
            .iter()
            .find(|device| device.certificate.device_id() == witness);
        let witness = witness.ok_or(FreshnessError::OtherDevice)?;
        let freshness = contents.freshness.verify(&list, &witness.certificate, now);
        let fresh = match freshness {
            Ok(_) => true,
            Err(FreshnessError::Expired) => false,
            Err(error) => return Err(error.into()),
        };
        Ok(Self {
            keys,
            list,
            devices,
            fresh,
        })
    }
}
