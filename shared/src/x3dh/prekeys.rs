//! The public halves of prekeys, as they travel.

use minicbor::{Decode, Encode};
use thiserror::Error;

use crate::crypto::dh::X25519Public;
use crate::crypto::ml_kem::MlKemPublic;
use crate::crypto::sign::{BadSignature, Signature, SigningKey, VerifyingKey};
use crate::time::Timestamp;

const SIGNED_DOMAIN: &str = "ZenTalk signed prekey v1";
const KEM_DOMAIN: &str = "ZenTalk kem prekey v1";

/// The device did not sign this prekey.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a prekey is not signed by its device")]
pub struct PreKeySignatureError;

impl From<BadSignature> for PreKeySignatureError {
    fn from(_: BadSignature) -> Self {
        Self
    }
}

/// A signed X25519 prekey, renewed weekly: `{0: id, 1: key, 2: created, 3: signature}`. Not verified.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SignedPreKey {
    #[n(0)]
    pub(super) id: u32,
    #[n(1)]
    pub(super) key: X25519Public,
    #[n(2)]
    pub(super) created: Timestamp,
    #[n(3)]
    pub(super) signature: Signature,
}

impl SignedPreKey {
    pub(super) fn sign(
        id: u32,
        key: X25519Public,
        created: Timestamp,
        signing: &SigningKey,
    ) -> Self {
        let signature = signing.sign(SIGNED_DOMAIN, &Self::signed_bytes(id, &key, created));
        Self {
            id,
            key,
            created,
            signature,
        }
    }

    /// id u32 ‖ key ‖ created u64.
    fn signed_bytes(id: u32, key: &X25519Public, created: Timestamp) -> Vec<u8> {
        let created = created.as_ms().to_be_bytes();
        [id.to_be_bytes().as_slice(), key.as_bytes(), &created].concat()
    }

    pub(super) fn verify(&self, device: &VerifyingKey) -> Result<(), PreKeySignatureError> {
        let message = Self::signed_bytes(self.id, &self.key, self.created);
        Ok(device.verify(SIGNED_DOMAIN, &message, &self.signature)?)
    }
}

/// A signed ML-KEM-768 prekey: `{0: id, 1: key, 2: last resort, 3: signature}`. Not verified. The
/// last-resort one serves everybody who finds no one-time key, until it is rotated.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct KemPreKey {
    #[n(0)]
    pub(super) id: u32,
    #[n(1)]
    pub(super) key: MlKemPublic,
    #[n(2)]
    pub(super) last_resort: bool,
    #[n(3)]
    pub(super) signature: Signature,
}

impl KemPreKey {
    pub(super) fn sign(id: u32, key: MlKemPublic, last_resort: bool, signing: &SigningKey) -> Self {
        let signature = signing.sign(KEM_DOMAIN, &Self::signed_bytes(id, &key, last_resort));
        Self {
            id,
            key,
            last_resort,
            signature,
        }
    }

    /// id u32 ‖ key ‖ last resort u8.
    fn signed_bytes(id: u32, key: &MlKemPublic, last_resort: bool) -> Vec<u8> {
        [
            id.to_be_bytes().as_slice(),
            key.as_bytes(),
            &[u8::from(last_resort)],
        ]
        .concat()
    }

    pub(super) fn verify(&self, device: &VerifyingKey) -> Result<(), PreKeySignatureError> {
        let message = Self::signed_bytes(self.id, &self.key, self.last_resort);
        Ok(device.verify(KEM_DOMAIN, &message, &self.signature)?)
    }
}

/// A one-time X25519 prekey: `{0: id, 1: key}`. Not signed, as in X3DH: who swaps it gains nothing
/// but a failed first message.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct OneTimePreKey {
    #[n(0)]
    pub(super) id: u32,
    #[n(1)]
    pub(super) key: X25519Public,
}
