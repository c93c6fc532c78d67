//! The device list of an account, and the proof that it is still the latest.
//!
//! The account signs the list, with a sequence number and no expiry. A device on the list signs a
//! [`Freshness`] from time to time, so that whoever holds back a newer list is found out within days.

use core::cmp::Ordering;

use minicbor::{Decode, Encode};
use thiserror::Error;

use super::account::{AccountKeys, AccountSigned, AccountToSign, BadAccountSignature};
use super::certificate::{BodyHash, CertificateBody, CertificateError, DeviceCertificate};
use super::device::{DeviceSecret, device_id};
use crate::crypto::sign::{BadSignature, Signature};
use crate::id::{Address, DeviceId};
use crate::time::{Duration, Timestamp};
use crate::wire::codec::{BoundedBytes, BoundedList, CodecError, OverBound, from_cbor, to_cbor};

/// Most devices of one account: as many as an account record has room for, whatever their mailboxes.
pub const MAX_DEVICES: usize = 10;
/// Longest list body in bytes: 10 entries of 52, and the rest; the rest of the room is for later versions.
pub(super) const MAX_BODY_LEN: usize = 1024;
/// Longest encoded list, signatures included, in bytes.
pub(super) const MAX_LIST_LEN: usize = 5120;
/// How long a proof of freshness holds.
const FRESH_FOR: Duration = Duration::from_days(7);
const LIST_DOMAIN: &str = "ZenTalk device list v1";
const FRESHNESS_DOMAIN: &str = "ZenTalk freshness v1";

/// One device of a list. On the wire: `[DeviceId, certificate hash]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct DeviceEntry {
    /// The device.
    #[n(0)]
    pub device: DeviceId,
    /// The hash of its certificate.
    #[n(1)]
    pub certificate: BodyHash,
}

impl From<&DeviceCertificate> for DeviceEntry {
    fn from(certificate: &DeviceCertificate) -> Self {
        Self {
            device: certificate.device_id(),
            certificate: certificate.hash(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
struct Body {
    #[n(0)]
    address: Address,
    #[n(1)]
    sequence: u64,
    #[n(2)]
    devices: BoundedList<DeviceEntry, MAX_DEVICES>,
}

/// Why a device list is refused; always the fault of who presents it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DeviceListError {
    /// Not a device list.
    #[error("the device list: {0}")]
    Codec(#[from] CodecError),
    /// It names another account than the keys it is checked against.
    #[error("the device list names another account")]
    OtherAccount,
    /// It has no device, or one of them twice.
    #[error("the device list is empty or names a device twice")]
    Devices,
    /// The account did not sign it.
    #[error("the device list: {0}")]
    Signature(#[from] BadAccountSignature),
}

/// A device list as it came, not verified.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct UnverifiedDeviceList(AccountSigned<MAX_BODY_LEN>);

impl UnverifiedDeviceList {
    /// Decodes exactly one list.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        from_cbor(bytes, MAX_LIST_LEN)
    }

    /// Checks account, devices and both signatures.
    pub fn verify(self, keys: &AccountKeys) -> Result<DeviceList, DeviceListError> {
        let body: Body = from_cbor(self.0.body(), MAX_BODY_LEN)?;
        if body.address != keys.address() {
            return Err(DeviceListError::OtherAccount);
        }
        let repeated = body.devices.iter().enumerate().any(|(i, entry)| {
            body.devices
                .iter()
                .take(i)
                .any(|earlier| earlier.device == entry.device)
        });
        if repeated || body.devices.is_empty() {
            return Err(DeviceListError::Devices);
        }
        self.0.verify(LIST_DOMAIN, keys)?;
        let hash = BodyHash::of(self.0.body());
        Ok(DeviceList {
            body,
            hash,
            signed: self.0,
        })
    }
}

impl From<AccountSigned<MAX_BODY_LEN>> for UnverifiedDeviceList {
    fn from(signed: AccountSigned<MAX_BODY_LEN>) -> Self {
        Self(signed)
    }
}

/// A device list whose account signature verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceList {
    body: Body,
    hash: BodyHash,
    signed: AccountSigned<MAX_BODY_LEN>,
}

/// How a list stands to the one already known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListOrder {
    /// It is the known list.
    Same,
    /// It replaces the known list.
    Newer,
}

/// A list that must not replace the one already known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ListRollback {
    /// It is older than the known one.
    #[error("the device list is older than the one known")]
    Older,
    /// It differs from the known one under the same sequence number: the account signed twice.
    #[error("two device lists share one sequence number")]
    Forked,
}

impl DeviceList {
    /// A list body for the account to sign; `sequence` grows with every change.
    pub fn to_sign(
        address: Address,
        sequence: u64,
        devices: &[DeviceEntry],
    ) -> Result<AccountToSign<MAX_BODY_LEN>, OverBound> {
        let devices = BoundedList::new(devices.to_vec())?;
        let body = BoundedBytes::new(to_cbor(&Body {
            address,
            sequence,
            devices,
        }))?;
        Ok(AccountToSign::new(LIST_DOMAIN, body))
    }

    /// The account.
    pub const fn address(&self) -> Address {
        self.body.address
    }

    /// The sequence number: a higher one replaces this list.
    pub const fn sequence(&self) -> u64 {
        self.body.sequence
    }

    /// The devices: at least one, none twice.
    pub fn devices(&self) -> &[DeviceEntry] {
        &self.body.devices
    }

    /// Whether this very certificate is on the list.
    pub fn contains(&self, certificate: &DeviceCertificate) -> bool {
        self.devices().contains(&DeviceEntry::from(certificate))
    }

    /// The device of a certificate body that travels with this list and has no signature of its own: the
    /// account signed the body's hash with the list. Names of devices, order and number of the bodies do not
    /// matter; a body that the account did not list says nothing.
    pub fn certified(&self, body: CertificateBody) -> Result<DeviceCertificate, CertificateError> {
        let certificate = body.vouched_for(&self.body.address)?;
        match self.contains(&certificate) {
            true => Ok(certificate),
            false => Err(CertificateError::Unlisted),
        }
    }

    /// The hash that proofs of freshness name it by.
    pub const fn hash(&self) -> BodyHash {
        self.hash
    }

    /// The list as bytes that [`UnverifiedDeviceList::decode`] reads.
    pub fn encode(&self) -> Vec<u8> {
        to_cbor(&self.signed)
    }

    /// The list in the form that goes into other bodies.
    pub fn to_unverified(&self) -> UnverifiedDeviceList {
        UnverifiedDeviceList(self.signed.clone())
    }

    /// Whether this list may take the place of one known by sequence and hash.
    pub fn order_after(
        &self,
        known_sequence: u64,
        known_hash: BodyHash,
    ) -> Result<ListOrder, ListRollback> {
        match self.body.sequence.cmp(&known_sequence) {
            Ordering::Greater => Ok(ListOrder::Newer),
            Ordering::Less => Err(ListRollback::Older),
            Ordering::Equal if self.hash == known_hash => Ok(ListOrder::Same),
            Ordering::Equal => Err(ListRollback::Forked),
        }
    }
}

/// Why a proof of freshness is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FreshnessError {
    /// It is about another list or another state of it.
    #[error("the proof of freshness is about another device list")]
    OtherList,
    /// The device that signed it is not the one given, or not on the list.
    #[error("the proof of freshness is by a device that is not on the list")]
    OtherDevice,
    /// It claims to be from more than a day ahead.
    #[error("the proof of freshness is from the future")]
    Future,
    /// The device did not sign it.
    #[error("the proof of freshness: {0}")]
    Signature(#[from] BadSignature),
}

/// A proof of freshness as it came: `{0: list hash, 1: sequence, 2: time, 3: DeviceId, 4: signature}`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct UnverifiedFreshness {
    #[n(0)]
    list: BodyHash,
    #[n(1)]
    sequence: u64,
    #[n(2)]
    time: Timestamp,
    #[n(3)]
    device: DeviceId,
    #[n(4)]
    signature: Signature,
}

impl UnverifiedFreshness {
    /// The device that claims to have signed it: whose certificate to verify with.
    pub const fn device(&self) -> DeviceId {
        self.device
    }

    /// Checks that the device of `certificate`, which must be on `list`, vouched for `list`. When it did is for
    /// the caller to judge: [`Freshness::is_fresh`].
    pub fn verify(
        self,
        list: &DeviceList,
        certificate: &DeviceCertificate,
        now: Timestamp,
    ) -> Result<Freshness, FreshnessError> {
        if self.list != list.hash() || self.sequence != list.sequence() {
            return Err(FreshnessError::OtherList);
        }
        if self.device != certificate.device_id() || !list.contains(certificate) {
            return Err(FreshnessError::OtherDevice);
        }
        if self.time.is_ahead_of(now) {
            return Err(FreshnessError::Future);
        }
        let message = signed_bytes(self.list, self.sequence, self.time);
        certificate
            .signing_key()
            .verify(FRESHNESS_DOMAIN, &message, &self.signature)?;
        Ok(Freshness(self))
    }
}

/// hash ‖ sequence u64 ‖ time u64.
fn signed_bytes(list: BodyHash, sequence: u64, time: Timestamp) -> Vec<u8> {
    [
        list.as_bytes().as_slice(),
        &sequence.to_be_bytes(),
        &time.as_ms().to_be_bytes(),
    ]
    .concat()
}

/// A proof of freshness that verified. It may be old.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freshness(UnverifiedFreshness);

impl Freshness {
    /// Vouches, as a device of the list, that `list` is the latest at `now`.
    pub fn sign(list: &DeviceList, device: &DeviceSecret, now: Timestamp) -> UnverifiedFreshness {
        let (hash, sequence) = (list.hash(), list.sequence());
        let message = signed_bytes(hash, sequence, now);
        UnverifiedFreshness {
            list: hash,
            sequence,
            time: now,
            device: device_id(&device.signing().verifying_key()),
            signature: device.signing().sign(FRESHNESS_DOMAIN, &message),
        }
    }

    /// When the device vouched.
    pub const fn time(&self) -> Timestamp {
        self.0.time
    }

    /// Whether the device vouched within the last 7 days.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        now.since(self.0.time) <= FRESH_FOR
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::test_support::{account, certificate, device, device_list};
    use crate::test_support::rng;
    use crate::time::CLOCK_AHEAD;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    fn signed(by: usize, sequence: u64, devices: &[DeviceEntry]) -> UnverifiedDeviceList {
        let address = account(0).keys().address();
        let job = DeviceList::to_sign(address, sequence, devices).unwrap();
        UnverifiedDeviceList(account(by).sign_and_finish(job, &mut rng(1)).unwrap())
    }

    fn entry(byte: u8) -> DeviceEntry {
        DeviceEntry {
            device: DeviceId::from_bytes([byte; 16]),
            certificate: BodyHash::from_bytes([byte; 32]),
        }
    }

    #[test]
    fn round_trip_within_its_bounds() {
        let all: Vec<_> = (0..10).map(entry).collect();
        let list = signed(0, u64::MAX, &all)
            .verify(&account(0).keys())
            .unwrap();
        let bytes = list.encode();
        assert!(bytes.len() <= MAX_LIST_LEN, "{} bytes", bytes.len());
        let back = UnverifiedDeviceList::decode(&bytes)
            .unwrap()
            .verify(&account(0).keys());
        assert_eq!(back.unwrap(), list);
        assert_eq!(list.devices(), all);
    }

    #[test]
    fn eleven_devices_are_too_many() {
        let eleven: Vec<_> = (0..11).map(entry).collect();
        let refused = DeviceList::to_sign(account(0).keys().address(), 1, &eleven);
        assert_eq!(
            refused,
            Err(OverBound {
                max: 10,
                actual: 11
            })
        );
    }

    #[test]
    fn empty_and_repeating_lists_are_refused() {
        for devices in [vec![], vec![entry(1), entry(2), entry(1)]] {
            let refused = signed(0, 1, &devices).verify(&account(0).keys());
            assert_eq!(refused, Err(DeviceListError::Devices));
        }
    }

    #[test]
    fn only_the_account_can_sign_its_list() {
        let forged = signed(1, 1, &[entry(1)]).verify(&account(0).keys());
        assert_eq!(forged, Err(DeviceListError::Signature(BadAccountSignature)));
        let other = signed(0, 1, &[entry(1)]).verify(&account(1).keys());
        assert_eq!(other, Err(DeviceListError::OtherAccount));
    }

    #[test]
    fn a_rollback_is_noticed() {
        let keys = account(0).keys();
        let list = signed(0, 5, &[entry(1)]).verify(&keys).unwrap();
        assert_eq!(
            list.order_after(4, entry(9).certificate),
            Ok(ListOrder::Newer)
        );
        assert_eq!(list.order_after(5, list.hash()), Ok(ListOrder::Same));
        assert_eq!(
            list.order_after(5, entry(9).certificate),
            Err(ListRollback::Forked)
        );
        assert_eq!(list.order_after(6, list.hash()), Err(ListRollback::Older));
    }

    #[test]
    fn a_list_certifies_the_bodies_that_it_names_and_no_others() {
        let (list, listed) = (device_list(0, 1), certificate(0, 1));
        let certified = |body: &CertificateBody| list.certified(body.clone());
        let got = certified(listed.body()).unwrap();
        assert_eq!(got, *listed);
        // Signed by the account, and still not on its list.
        let refused = certified(certificate(0, 2).body());
        assert_eq!(refused, Err(CertificateError::Unlisted));
        // A list is of one account, whichever bodies its hashes are of.
        let refused = certified(certificate(1, 1).body());
        assert_eq!(refused, Err(CertificateError::OtherAccount));
        // The same device with other keys or another time: other bytes, another hash.
        let job = DeviceCertificate::to_sign(list.address(), &device(1), NOW + CLOCK_AHEAD);
        let signed = account(0).sign_and_finish(job, &mut rng(1)).unwrap();
        let later = super::super::UnverifiedCertificate::from(signed);
        assert_eq!(certified(&later.body()), Err(CertificateError::Unlisted));
    }

    #[test]
    fn a_listed_hash_under_the_name_of_another_device_certifies_nothing() {
        let body = certificate(0, 1).body().clone();
        let entry = DeviceEntry {
            device: device(2).id(),
            certificate: body.hash(),
        };
        let list = signed(0, 1, &[entry]).verify(&account(0).keys()).unwrap();
        assert_eq!(list.certified(body), Err(CertificateError::Unlisted));
    }

    #[test]
    fn a_signed_list_is_no_certificate_although_one_hash_names_both() {
        let listed = device_list(0, 1);
        let body: CertificateBody = from_cbor(
            &to_cbor(&BoundedBytes::<256>::new(listed.signed.body()).unwrap()),
            512,
        )
        .unwrap();
        assert_eq!(body.hash(), listed.hash());
        let entry = DeviceEntry {
            device: device(1).id(),
            certificate: body.hash(),
        };
        let list = signed(0, 2, &[entry]).verify(&account(0).keys()).unwrap();
        let refused = list.certified(body);
        assert!(matches!(refused, Err(CertificateError::Codec(_))));
    }

    #[test]
    fn the_same_devices_in_another_order_are_another_list() {
        let keys = account(0).keys();
        let list = |devices: &[DeviceEntry]| signed(0, 3, devices).verify(&keys).unwrap();
        let (one, other) = (list(&[entry(1), entry(2)]), list(&[entry(2), entry(1)]));
        assert_eq!(
            other.order_after(one.sequence(), one.hash()),
            Err(ListRollback::Forked)
        );
    }

    #[test]
    fn freshness_holds_for_seven_days() {
        let (list, certificate) = (device_list(0, 1), certificate(0, 1));
        let proof = Freshness::sign(&list, &device(1), NOW);
        let bytes = to_cbor(&proof);
        let proof: UnverifiedFreshness = from_cbor(&bytes, 256).unwrap();
        let at = |now| {
            proof
                .clone()
                .verify(&list, &certificate, now)
                .map(|proof| (proof.time(), proof.is_fresh(now)))
        };
        assert_eq!(at(NOW), Ok((NOW, true)));
        assert_eq!(at(NOW + FRESH_FOR), Ok((NOW, true)));
        let late = NOW + FRESH_FOR + Duration::from_ms(1);
        assert_eq!(at(late), Ok((NOW, false)));
        assert_eq!(at(NOW - CLOCK_AHEAD), Ok((NOW, true)));
        assert_eq!(
            at(NOW - CLOCK_AHEAD - Duration::from_ms(1)),
            Err(FreshnessError::Future)
        );
    }

    #[test]
    fn freshness_is_bound_to_list_device_and_signature() {
        let (list, ours) = (device_list(0, 1), certificate(0, 1));
        let proof = Freshness::sign(&list, &device(1), NOW);
        let other_list = device_list(0, 2);
        let refused = proof.clone().verify(&other_list, &certificate(0, 2), NOW);
        assert_eq!(refused, Err(FreshnessError::OtherList));
        let refused = proof.clone().verify(&list, &certificate(0, 2), NOW);
        assert_eq!(refused, Err(FreshnessError::OtherDevice));
        let mut changed = proof;
        changed.time = NOW + Duration::from_ms(1);
        let refused = changed.verify(&list, &ours, NOW);
        assert_eq!(refused, Err(FreshnessError::Signature(BadSignature)));
    }
}
