//! The directory key: an Ed25519 key that signs an account's directory record and names it.
//!
//! It is part of the contact code. Who has the code finds the record; who has not cannot even tell
//! which record is whose.

use core::fmt;

use minicbor::{Decode, Encode};
use rand_core::CryptoRng;

use crate::crypto::Secret32;
use crate::crypto::hash::blake2b_160_concat;
use crate::crypto::sign::{BadSignature, Signature, SigningKey, VerifyingKey, VerifyingKeyError};
use crate::id::RecordKey;

/// The public key of a directory record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct DirectoryKey(VerifyingKey);

impl DirectoryKey {
    /// RecordKey = BLAKE2b-160("ZenTalk dir v1" ‖ key).
    pub fn record_key(&self) -> RecordKey {
        RecordKey::from_bytes(blake2b_160_concat(b"ZenTalk dir v1", self.0.as_bytes()))
    }

    /// The Ed25519 key itself.
    pub const fn verifying_key(&self) -> &VerifyingKey {
        &self.0
    }

    /// The encoded Ed25519 key.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// Verifies what the record's owner signed.
    pub fn verify(
        &self,
        domain: &str,
        message: &[u8],
        signature: &Signature,
    ) -> Result<(), BadSignature> {
        self.0.verify(domain, message, signature)
    }
}

impl From<VerifyingKey> for DirectoryKey {
    fn from(key: VerifyingKey) -> Self {
        Self(key)
    }
}

impl TryFrom<&[u8]> for DirectoryKey {
    type Error = VerifyingKeyError;
    fn try_from(bytes: &[u8]) -> Result<Self, VerifyingKeyError> {
        VerifyingKey::try_from(bytes).map(Self)
    }
}

/// The secret key of a directory record. As CBOR: its seed. Wiped on drop.
#[derive(Clone, Encode, Decode)]
#[cbor(transparent)]
pub struct DirectorySecret(SigningKey);

impl DirectorySecret {
    /// A fresh key.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self(SigningKey::random(rng))
    }

    /// The public key.
    pub fn public(&self) -> DirectoryKey {
        DirectoryKey(self.0.verifying_key())
    }

    /// Signs as the record's owner.
    pub fn sign(&self, domain: &str, message: &[u8]) -> Signature {
        self.0.sign(domain, message)
    }

    /// The key itself, for the modules that define what it signs.
    pub const fn signing_key(&self) -> &SigningKey {
        &self.0
    }

    /// The seed, for an encrypted record.
    pub fn seed(&self) -> Secret32 {
        self.0.to_seed()
    }
}

impl fmt::Debug for DirectorySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DirectorySecret(…, {:?})", self.public().record_key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::rng;
    use crate::wire::codec::{from_cbor, to_cbor};

    #[test]
    fn the_record_key_commits_to_the_key() {
        let (one, two) = (
            DirectorySecret::random(&mut rng(1)),
            DirectorySecret::random(&mut rng(2)),
        );
        assert_eq!(one.public().record_key(), one.public().record_key());
        assert_ne!(one.public().record_key(), two.public().record_key());
    }

    #[test]
    fn the_owner_signs_and_others_verify() {
        let secret = DirectorySecret::random(&mut rng(1));
        let signature = secret.sign("ZenTalk record v1", b"m");
        assert_eq!(
            secret
                .public()
                .verify("ZenTalk record v1", b"m", &signature),
            Ok(())
        );
        let other = DirectorySecret::random(&mut rng(2)).public();
        assert_eq!(
            other.verify("ZenTalk record v1", b"m", &signature),
            Err(BadSignature)
        );
    }

    #[test]
    fn keys_and_secrets_round_trip() {
        let secret = DirectorySecret::random(&mut rng(1));
        let back: DirectorySecret = from_cbor(&to_cbor(&secret), 64).unwrap();
        assert_eq!(back.seed(), secret.seed());
        let public: DirectoryKey = from_cbor(&to_cbor(&secret.public()), 64).unwrap();
        assert_eq!(public, secret.public());
    }
}
