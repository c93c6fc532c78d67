//! The mailbox key: an Ed25519 key of its own, so that a mailbox says nothing about whose it is.

use core::fmt;

use minicbor::{Decode, Encode};
use rand_core::CryptoRng;

use crate::crypto::Secret32;
use crate::crypto::hash::blake2b_160_concat;
use crate::crypto::sign::{BadSignature, Signature, SigningKey, VerifyingKey};
use crate::id::MailboxId;

/// The public key of a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct MailboxKey(VerifyingKey);

impl MailboxKey {
    /// MailboxId = BLAKE2b-160("ZenTalk mailbox v1" ‖ key).
    pub fn id(&self) -> MailboxId {
        MailboxId::from_bytes(blake2b_160_concat(b"ZenTalk mailbox v1", self.0.as_bytes()))
    }

    /// The Ed25519 key itself.
    pub const fn verifying_key(&self) -> &VerifyingKey {
        &self.0
    }

    /// The encoded Ed25519 key.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// Verifies what the mailbox's owner signed.
    pub fn verify(
        &self,
        domain: &str,
        message: &[u8],
        signature: &Signature,
    ) -> Result<(), BadSignature> {
        self.0.verify(domain, message, signature)
    }
}

impl From<VerifyingKey> for MailboxKey {
    fn from(key: VerifyingKey) -> Self {
        Self(key)
    }
}

/// The secret key of a mailbox. As CBOR: its seed. Wiped on drop.
#[derive(Clone, Encode, Decode)]
#[cbor(transparent)]
pub struct MailboxSecret(SigningKey);

impl MailboxSecret {
    /// A fresh mailbox.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self(SigningKey::random(rng))
    }

    /// The public key.
    pub fn public(&self) -> MailboxKey {
        MailboxKey(self.0.verifying_key())
    }

    /// The mailbox's id.
    pub fn id(&self) -> MailboxId {
        self.public().id()
    }

    /// Signs as the mailbox's owner.
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

impl fmt::Debug for MailboxSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MailboxSecret(…, {:?})", self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::rng;
    use crate::wire::codec::{from_cbor, to_cbor};

    #[test]
    fn the_id_commits_to_the_key() {
        let (one, two) = (
            MailboxSecret::random(&mut rng(1)),
            MailboxSecret::random(&mut rng(2)),
        );
        assert_eq!(one.id(), one.public().id());
        assert_ne!(one.id(), two.id());
    }

    #[test]
    fn the_owner_signs_and_others_verify() {
        let secret = MailboxSecret::random(&mut rng(1));
        let signature = secret.sign("ZenTalk owner v1", b"m");
        assert_eq!(
            secret.public().verify("ZenTalk owner v1", b"m", &signature),
            Ok(())
        );
        let other = MailboxSecret::random(&mut rng(2)).public();
        assert_eq!(
            other.verify("ZenTalk owner v1", b"m", &signature),
            Err(BadSignature)
        );
    }

    #[test]
    fn keys_and_secrets_round_trip() {
        let secret = MailboxSecret::random(&mut rng(1));
        let back: MailboxSecret = from_cbor(&to_cbor(&secret), 64).unwrap();
        assert_eq!(back.seed(), secret.seed());
        let public: MailboxKey = from_cbor(&to_cbor(&secret.public()), 64).unwrap();
        assert_eq!(public, secret.public());
    }
}
