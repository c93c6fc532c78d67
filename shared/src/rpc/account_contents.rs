//! What an account record holds once it is opened: keys, device list, devices. PROTOCOL §7.

use minicbor::{Decode, Encode};
use thiserror::Error;

use super::mailbox_descriptor::{DescriptorError, MailboxDescriptor, MailboxDescriptorBytes};
use super::record::MAX_RECORD_LEN;
use crate::id::Address;
use crate::identity::{
    AccountKeys, CertificateBody, CertificateError, DeviceCertificate, DeviceList, DeviceListError,
    FreshnessError, MAX_DEVICES, SealingKey, SealingKeyError, UnverifiedDeviceList,
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
    /// When a device on the list vouched for it, if that was more than 7 days ago. What is here may then stand
    /// in the place of a newer list that somebody withholds: it ends sessions, and begins the first of them only.
    pub stale_since: Option<Timestamp>,
}

/// A device that can be written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedDevice {
    /// On the account's list.
    pub certificate: DeviceCertificate,
    /// What envelopes are sealed to.
    pub sealing_key: SealingKey,
    /// Where its mail goes: the mailbox that the device signed with its sealing key.
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
    /// A device is there twice.
    #[error("account record: a device is there twice")]
    RepeatedDevice,
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
    certificate: CertificateBody,
    #[n(1)]
    sealing_key: UnverifiedSealingKey,
    #[n(2)]
    mailbox: MailboxDescriptorBytes,
}

impl AccountContents {
    /// The contents as CBOR, to be sealed. `freshness` is a proof by one of the devices.
    pub fn encode(&self, freshness: UnverifiedFreshness) -> Result<Vec<u8>, OverBound> {
        let device = |device: &PublishedDevice| Device {
            certificate: device.certificate.body().clone(),
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

    /// Reads contents and checks every signature down from `address`. Certificates have none of their own here:
    /// the list, which the account signed, has the hashes of theirs. A proof of freshness that is old is not an
    /// error: see [`stale_since`](Self::stale_since).
    pub fn verify(bytes: &[u8], address: &Address, now: Timestamp) -> Result<Self, ContentsError> {
        let contents: Contents = from_cbor(bytes, MAX_RECORD_LEN)?;
        if contents.keys.address() != *address {
            return Err(ContentsError::OtherAccount);
        }
        let keys = contents.keys;
        let list = contents.list.verify(&keys)?;
        let mut devices: Vec<PublishedDevice> = Vec::new();
        for device in contents.devices.into_inner() {
            let certificate = list.certified(device.certificate)?;
            let again = devices
                .iter()
                .any(|known| known.certificate.device_id() == certificate.device_id());
            if again {
                return Err(ContentsError::RepeatedDevice);
            }
            let mailbox = MailboxDescriptor::verify(&device.mailbox)?;
            let sealing_key = device.sealing_key.verify(&certificate, mailbox.mailbox())?;
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
        let proof = contents
            .freshness
            .verify(&list, &witness.certificate, now)?;
        let stale_since = (!proof.is_fresh(now)).then(|| proof.time());
        Ok(Self {
            keys,
            list,
            devices,
            stale_since,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::sign::BadSignature;
    use crate::id::NodeId;
    use crate::identity::test_support::{MADE, account, device};
    use crate::identity::{
        BodyHash, DeviceEntry, DirectorySecret, Freshness, MailboxSecret, UnverifiedCertificate,
    };
    use crate::rpc::{AccountRecord, MAX_SWARM, seal_record_contents};
    use crate::test_support::rng;
    use crate::time::Duration;

    fn address() -> Address {
        account(0).keys().address()
    }

    /// The test devices of these numbers, each with the largest mailbox descriptor that there is.
    fn published(numbers: core::ops::Range<u64>) -> Vec<PublishedDevice> {
        let members: Vec<_> = (0..MAX_SWARM as u8)
            .map(|byte| NodeId::from_bytes([byte; 20]))
            .collect();
        let one = |number| {
            let device = device(number);
            let job = DeviceCertificate::to_sign(address(), &device, MADE);
            let signed = account(0).sign_and_finish(job, &mut rng(number)).unwrap();
            let certificate = UnverifiedCertificate::from(signed)
                .verify(&account(0).keys())
                .unwrap()
                .into_certificate();
            let sealing_key = device.publish_sealing_key();
            let (sequence, active) = (u64::MAX, MAX_SWARM as u8);
            let key = device.mailbox();
            PublishedDevice {
                sealing_key: sealing_key.verify(&certificate, key.id()).unwrap(),
                mailbox: MailboxDescriptor::sign(key, sequence, members.clone(), active, MADE)
                    .unwrap(),
                certificate,
            }
        };
        numbers.map(one).collect()
    }

    fn list_of(devices: &[PublishedDevice]) -> DeviceList {
        let entries = devices.iter().map(|device| &device.certificate);
        let entries: Vec<_> = entries.map(DeviceEntry::from).collect();
        let job = DeviceList::to_sign(address(), u64::MAX, &entries).unwrap();
        let signed = account(0).sign_and_finish(job, &mut rng(1)).unwrap();
        let list = UnverifiedDeviceList::from(signed);
        list.verify(&account(0).keys()).unwrap()
    }

    /// Contents with these devices, vouched for by the test device of that number.
    fn encoded(list: &DeviceList, devices: Vec<PublishedDevice>, witness: u64) -> Vec<u8> {
        let contents = AccountContents {
            keys: account(0).keys(),
            list: list.clone(),
            devices,
            stale_since: None,
        };
        let freshness = Freshness::sign(list, &device(witness), MADE);
        contents.encode(freshness).unwrap()
    }

    fn verify(bytes: &[u8]) -> Result<AccountContents, ContentsError> {
        AccountContents::verify(bytes, &address(), MADE)
    }

    fn record_len(count: u64) -> usize {
        let devices = published(1..1 + count);
        let contents = encoded(&list_of(&devices), devices.clone(), 1);
        assert_eq!(verify(&contents).unwrap().devices, devices);
        let sealed = seal_record_contents(&address(), &contents, &mut rng(2)).unwrap();
        let directory = DirectorySecret::random(&mut rng(3));
        let expires = MADE.saturating_add(Duration::from_days(30));
        let record = AccountRecord::sign(&directory, expires.as_ms(), expires, sealed).unwrap();
        record.bytes().len()
    }

    /// PROTOCOL §1: 10 is as many as a list names.
    #[test]
    fn a_record_has_room_for_every_list_and_does_not_tell_how_long_it_is() {
        let contents = |count: u64| {
            let devices = published(1..1 + count);
            encoded(&list_of(&devices), devices, 1).len()
        };
        assert_eq!([1, 3, 4, 10].map(contents), [8_283, 11_771, 13_516, 23_980]);
        let few = 12_443;
        let many = 27_547;
        assert_eq!(
            [1, 3, 4, MAX_DEVICES as u64].map(record_len),
            [few, few, many, many]
        );
        assert!(many <= MAX_RECORD_LEN);
    }

    #[test]
    fn bodies_in_another_order_than_the_list_are_the_same_devices() {
        let devices = published(1..4);
        let list = list_of(&devices);
        let reversed: Vec<_> = devices.into_iter().rev().collect();
        let read = verify(&encoded(&list, reversed.clone(), 2)).unwrap();
        assert_eq!(read.devices, reversed);
        assert_eq!(read.list, list);
    }

    #[test]
    fn fewer_devices_than_the_list_names_can_be_written_to() {
        let devices = published(1..4);
        let list = list_of(&devices);
        let read = verify(&encoded(&list, devices[..2].to_vec(), 1)).unwrap();
        assert_eq!((read.devices.len(), read.list.devices().len()), (2, 3));
    }

    #[test]
    fn a_device_that_the_account_certified_and_did_not_list_does_not_enter() {
        let devices = published(1..4);
        let list = list_of(&devices[..2]);
        assert_eq!(
            verify(&encoded(&list, devices, 1)),
            Err(ContentsError::Certificate(CertificateError::Unlisted))
        );
    }

    /// Whoever has the directory key, and no device, cannot have mail of the account sent elsewhere.
    #[test]
    fn a_mailbox_that_the_device_did_not_sign_is_refused() {
        let mut devices = published(1..3);
        let list = list_of(&devices);
        let own = devices[0].mailbox.clone();
        devices[0].mailbox = devices[1].mailbox.clone();
        let refused = Err(ContentsError::SealingKey(SealingKeyError::Signature(
            BadSignature,
        )));
        assert_eq!(verify(&encoded(&list, devices.clone(), 1)), refused);
        let strange = MailboxSecret::random(&mut rng(9));
        devices[0].mailbox =
            MailboxDescriptor::sign(&strange, u64::MAX, own.members().to_vec(), 1, MADE).unwrap();
        assert_eq!(verify(&encoded(&list, devices.clone(), 1)), refused);
        devices[0].mailbox = own;
        assert!(verify(&encoded(&list, devices, 1)).is_ok());
    }

    #[test]
    fn a_device_twice_is_refused() {
        let devices = published(1..2);
        let list = list_of(&devices);
        let twice = [devices.clone(), devices].concat();
        assert_eq!(
            verify(&encoded(&list, twice, 1)),
            Err(ContentsError::RepeatedDevice)
        );
    }

    #[test]
    fn no_changed_byte_of_a_body_enters() {
        let devices = published(1..2);
        let contents = encoded(&list_of(&devices), devices.clone(), 1);
        let body = to_cbor(devices[0].certificate.body());
        let at = contents.windows(body.len()).position(|part| part == body);
        let at = at.unwrap();
        // From the first byte of the body on: what is before it is the length.
        for changed in at + 2..at + body.len() {
            let mut contents = contents.clone();
            contents[changed] ^= 1;
            assert!(verify(&contents).is_err(), "byte {}", changed - at);
        }
    }

    #[test]
    fn the_hash_of_a_record_is_that_of_a_certificate_alone() {
        let devices = published(1..2);
        let read = verify(&encoded(&list_of(&devices), devices, 1)).unwrap();
        let alone = crate::identity::test_support::certificate(0, 1);
        assert_eq!(read.devices[0].certificate, *alone);
        let hash: BodyHash = alone.to_unverified().body().hash();
        assert_eq!(read.list.devices()[0].certificate, hash);
    }

    #[test]
    fn a_proof_by_a_device_without_a_body_is_refused() {
        let devices = published(1..3);
        let list = list_of(&devices);
        for witness in [2, 3] {
            assert_eq!(
                verify(&encoded(&list, devices[..1].to_vec(), witness)),
                Err(ContentsError::Freshness(FreshnessError::OtherDevice))
            );
        }
    }

    #[test]
    fn an_old_proof_says_how_old_it_is_and_must_hold_all_the_same() {
        let devices = published(1..2);
        let contents = encoded(&list_of(&devices), devices, 1);
        let late = MADE.saturating_add(Duration::from_days(8));
        let read = AccountContents::verify(&contents, &address(), late).unwrap();
        assert_eq!(read.stale_since, Some(MADE));
        // The time in the proof is signed, and so cannot be made younger.
        let time = to_cbor(&MADE);
        let at = contents.windows(time.len()).position(|part| part == time);
        let mut changed = contents;
        changed[at.unwrap() + time.len() - 1] ^= 1;
        assert!(AccountContents::verify(&changed, &address(), late).is_err());
    }
}
