//! Who somebody is: account and device keys, certificates, the device list, the contact code,
//! the safety number.
//!
//! ```text
//!  AccountSecret (RSA-4096 + ML-DSA-65) ── Address = hash of both public keys
//!     │ signs, as a pair, and signs nothing else
//!     ├─▶ SignedCertificate ── device Ed25519 key, X25519 identity key
//!     │        └─ the device signs: SealingKey (weekly X-Wing), prekeys, Freshness (7 days)
//!     └─▶ DeviceList ── sequence, (DeviceId, certificate hash)… ; certifies the CertificateBody of each, too
//!  MailboxSecret, DirectorySecret: unrelated random keys; ContactCode = Address ‖ directory key
//! ```
//!
//! What comes from outside has an `Unverified…` type and becomes its verified type only through
//! `verify`, which consumes it. Signed bodies keep their exact bytes: hashes and signatures are over
//! what was sent, never over a re-encoding.

mod account;
mod certificate;
mod contact_code;
mod device;
mod device_list;
mod directory_key;
mod mailbox_key;
mod safety_number;
mod sealing_key;

pub use account::{
    AccountKeys, AccountSecret, AccountSecretError, AccountSignature, AccountSigned, AccountToSign,
    BadAccountSignature,
};
pub use certificate::{
    BodyHash, CertificateBody, CertificateError, DeviceCertificate, MAX_CERTIFICATE_LEN,
    SignedCertificate, UnverifiedCertificate,
};
pub use contact_code::{ContactCode, ContactCodeError};
pub use device::{DeviceSecret, device_id};
pub use device_list::{
    DeviceEntry, DeviceList, DeviceListError, Freshness, FreshnessError, ListOrder, ListRollback,
    MAX_DEVICES, UnverifiedDeviceList, UnverifiedFreshness,
};
pub use directory_key::{DirectoryKey, DirectorySecret};
pub use mailbox_key::{MailboxKey, MailboxSecret};
pub use safety_number::{Comparison, SafetyNumber, ScanError, ScannedSafetyNumber};
pub use sealing_key::{
    SealingKey, SealingKeyError, SealingSecret, SealingSecrets, UnverifiedSealingKey,
};

#[cfg(test)]
pub(crate) mod test_support;
#[cfg(test)]
mod vectors;

#[cfg(test)]
mod tests {
    use super::test_support::{account, certificate, device, device_list};
    use super::*;
    use crate::wire::codec::{from_cbor, to_cbor};
    use proptest::prelude::*;

    proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

            #[test]
            fn arbitrary_bytes_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..6000)) {
                prop_assert!(UnverifiedCertificate::decode(&bytes).is_err());
                prop_assert!(UnverifiedDeviceList::decode(&bytes).is_err());
                prop_assert!(from_cbor::<AccountKeys>(&bytes, 4096).is_err());
                prop_assert!(from_cbor::<UnverifiedSealingKey>(&bytes, 4096).is_err());
                prop_assert!(from_cbor::<UnverifiedFreshness>(&bytes, 4096).is_err());
                prop_assert!(from_cbor::<DeviceSecret>(&bytes, 4096).is_err());
            }

            #[test]
            fn no_changed_bit_of_a_certificate_verifies(at in 0usize..32_000, bit in 0u8..8) {
                let genuine = certificate(0, 1);
                let mut bytes = genuine.encode();
                let at = at % bytes.len();
                bytes[at] ^= 1 << bit;
                let verified = UnverifiedCertificate::decode(&bytes)
                    .ok()
                    .and_then(|changed| changed.verify(&account(0).keys()).ok());
                prop_assert!(verified.is_none());
            }

            #[test]
            fn no_changed_bit_of_a_device_list_verifies(at in 0usize..32_000, bit in 0u8..8) {
                let genuine = device_list(0, 1);
                let mut bytes = genuine.encode();
                let at = at % bytes.len();
                bytes[at] ^= 1 << bit;
                let verified = UnverifiedDeviceList::decode(&bytes)
                    .ok()
                    .and_then(|changed| changed.verify(&account(0).keys()).ok());
                prop_assert!(verified.is_none());
            }

            #[test]
            fn no_changed_bit_of_a_sealing_key_verifies(at in 0usize..32_000, bit in 0u8..8) {
                let device = device(1);
                let mut bytes = to_cbor(&device.publish_sealing_key());
                let at = at % bytes.len();
                bytes[at] ^= 1 << bit;
                let verified = from_cbor::<UnverifiedSealingKey>(&bytes, 4096)
                    .ok()
                    .and_then(|changed| changed.verify(&certificate(0, 1), device.mailbox().id()).ok());
                prop_assert!(verified.is_none());
            }
        }
}
