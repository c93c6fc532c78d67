//! A device's own secrets. None is derived from another, and none from the account.

use core::fmt;

use minicbor::{Decode, Encode};
use rand_core::CryptoRng;

use super::mailbox_key::MailboxSecret;
use super::sealing_key::{SealingSecrets, UnverifiedSealingKey};
use crate::crypto::dh::X25519Secret;
use crate::crypto::hash::blake2b_128_concat;
use crate::crypto::sign::{SigningKey, VerifyingKey};
use crate::id::DeviceId;
use crate::time::Timestamp;

/// DeviceId = BLAKE2b-128("ZenTalk device v1" ‖ device Ed25519 key).
pub fn device_id(signing_key: &VerifyingKey) -> DeviceId {
    DeviceId::from_bytes(blake2b_128_concat(
        b"ZenTalk device v1",
        signing_key.as_bytes(),
    ))
}

/// The secrets of one device. As CBOR it is a record to be encrypted at rest:
/// `{0: version, 1: signing seed, 2: identity secret, 3: sealing secrets, 4: mailbox seed}`.
/// Every part wipes itself on drop.
#[derive(Clone, Encode, Decode)]
#[cbor(map)]
pub struct DeviceSecret {
    #[n(0)]
    version: RecordVersion,
    #[n(1)]
    signing: SigningKey,
    #[n(2)]
    identity: X25519Secret,
    #[n(3)]
    sealing: SealingSecrets,
    #[n(4)]
    mailbox: MailboxSecret,
}

/// The versions of the record; append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
enum RecordVersion {
    #[n(1)]
    V1,
}

impl DeviceSecret {
    /// A fresh device with its first sealing key.
    pub fn random(now: Timestamp, rng: &mut impl CryptoRng) -> Self {
        Self {
            version: RecordVersion::V1,
            signing: SigningKey::random(rng),
            identity: X25519Secret::random(rng),
            sealing: SealingSecrets::first(now, rng),
            mailbox: MailboxSecret::random(rng),
        }
    }

    /// The device's id.
    pub fn id(&self) -> DeviceId {
        device_id(&self.signing.verifying_key())
    }

    /// The Ed25519 key that signs sealing keys, prekeys and freshness.
    pub const fn signing(&self) -> &SigningKey {
        &self.signing
    }

    /// The X25519 identity key of the key agreement.
    pub const fn identity(&self) -> &X25519Secret {
        &self.identity
    }

    /// The X-Wing sealing keys, newest first.
    pub const fn sealing(&self) -> &SealingSecrets {
        &self.sealing
    }

    /// The current sealing key with the mailbox that it is for, signed, for others to verify.
    pub fn publish_sealing_key(&self) -> UnverifiedSealingKey {
        let current = self.sealing.current();
        current.publish(&self.signing, self.mailbox.id())
    }

    /// The sealing keys, for rotation.
    pub const fn sealing_mut(&mut self) -> &mut SealingSecrets {
        &mut self.sealing
    }

    /// The mailbox key, unrelated to everything else.
    pub const fn mailbox(&self) -> &MailboxSecret {
        &self.mailbox
    }
}

impl fmt::Debug for DeviceSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceSecret(…, {:?})", self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::test_support::device;
    use crate::test_support::{hex, unhex};
    use crate::wire::codec::{from_cbor, to_cbor};

    #[test]
    fn the_record_round_trips() {
        let device = device(1);
        let record = to_cbor(&device);
        let back: DeviceSecret = from_cbor(&record, 4096).unwrap();
        assert_eq!(back.id(), device.id());
        assert_eq!(to_cbor(&back), record);
        assert!(format!("{device:?}").starts_with("DeviceSecret(…"));
    }

    #[test]
    fn a_record_of_version_1_is_still_read() {
        let fixture = include_str!("fixtures/device-secret-v1.hex");
        let record = unhex(fixture.trim());
        let device: DeviceSecret = from_cbor(&record, 4096).unwrap();
        assert_eq!(hex(&to_cbor(&device)), fixture.trim());
    }

    #[test]
    fn an_unknown_version_is_refused() {
        let mut record = to_cbor(&device(1));
        assert_eq!(record[..3], [0xa5, 0x00, 0x01]);
        record[2] = 2;
        assert!(from_cbor::<DeviceSecret>(&record, 4096).is_err());
    }

    #[test]
    fn no_two_keys_are_related_by_accident() {
        let device = device(1);
        let seeds = [
            device.signing.to_seed(),
            device.identity.to_bytes(),
            device.mailbox.seed(),
            device.sealing.current().secret().seed().clone(),
        ];
        for (i, one) in seeds.iter().enumerate() {
            assert!(seeds.iter().skip(i + 1).all(|other| other != one));
        }
    }
}
