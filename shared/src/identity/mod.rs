//! Who somebody is: account and device keys, certificates, the device list, the contact code.
//!
//! ```text
//!  AccountSecret (RSA-4096 + ML-DSA-65) ── Address = hash of both public keys
//!     │ signs, as a pair, and signs nothing else
//!     ├─▶ DeviceCertificate ── device Ed25519 key, X25519 identity key
//!     │        └─ the device signs: SealingKey (weekly X-Wing), prekeys, Freshness (7 days)
//!     └─▶ DeviceList ── sequence, (DeviceId, certificate hash)…
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
mod sealing_key;

pub use account::{
    AccountKeys, AccountSecret, AccountSecretError, AccountSignature, AccountSigned, AccountToSign,
    BadAccountSignature,
};
pub use certificate::{
    BodyHash, CertificateError, DeviceCertificate, MAX_CERTIFICATE_LEN, UnverifiedCertificate,
};
pub use contact_code::{ContactCode, ContactCodeError};
pub use device::{DeviceSecret, device_id};
pub use device_list::{
    DeviceEntry, DeviceList, DeviceListError, Freshness, FreshnessError, ListOrder, ListRollback,
    MAX_DEVICES, UnverifiedDeviceList, UnverifiedFreshness,
};
pub use directory_key::{DirectoryKey, DirectorySecret};
pub use mailbox_key::{MailboxKey, MailboxSecret};
pub use sealing_key::{
    SealingKey, SealingKeyError, SealingSecret, SealingSecrets, UnverifiedSealingKey,
};

#[cfg(test)]
pub(crate) mod test_support;
