//! ML-DSA-65 (FIPS 204). The context string is the domain; signing is hedged with randomness.

use core::fmt;

use ml_dsa::MlDsa65;
use ml_dsa::signature::Keypair;
use rand_core::CryptoRng;
use thiserror::Error;

use super::secret::Secret32;
use super::sign::BadSignature;
use super::wipe::{LATTICE, wiping};

/// Length of an encoded public key in bytes.
pub const PUBLIC_LEN: usize = 1952;
/// Length of a signature in bytes.
pub const SIGNATURE_LEN: usize = 3309;

/// FIPS 204 could not sign: the domain is longer than 255 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("an ML-DSA context is at most 255 bytes")]
pub struct DomainTooLong;

boxed_bytes! {
    /// An encoded ML-DSA-65 public key. Every string of the right length encodes one.
    MlDsaPublic, PUBLIC_LEN, "ML-DSA-65 key of the wrong length"
}

boxed_bytes! {
    /// An ML-DSA-65 signature of the right length, not yet verified.
    MlDsaSignature, SIGNATURE_LEN, "ML-DSA-65 signature of the wrong length"
}

impl MlDsaPublic {
    /// Verifies a signature with `domain` as FIPS 204's context string.
    pub fn verify(
        &self,
        domain: &str,
        message: &[u8],
        signature: &MlDsaSignature,
    ) -> Result<(), BadSignature> {
        let signature = ml_dsa::Signature::<MlDsa65>::decode(signature.as_bytes().into())
            .ok_or(BadSignature)?;
        let key = ml_dsa::VerifyingKey::<MlDsa65>::decode(self.as_bytes().into());
        match key.verify_with_context(message, domain.as_bytes(), &signature) {
            true => Ok(()),
            false => Err(BadSignature),
        }
    }
}

/// An ML-DSA-65 secret key, kept as its 32-byte seed and expanded for each signature: it signs a few
/// times in the life of an account. Wiped on drop.
#[derive(Clone)]
pub struct MlDsaSecret {
    seed: Secret32,
    public: MlDsaPublic,
}

impl MlDsaSecret {
    /// Restores a key from its seed (FIPS 204's ξ).
    pub fn from_seed(seed: Secret32) -> Self {
        let public = wiping::<LATTICE, _>(|| expand(&seed).verifying_key().encode());
        Self {
            seed,
            public: MlDsaPublic::from_bytes(public.into()),
        }
    }

    /// A fresh key.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self::from_seed(Secret32::random(rng))
    }

    /// The seed, for storage in an encrypted record.
    pub const fn seed(&self) -> &Secret32 {
        &self.seed
    }

    /// The public key.
    pub const fn public(&self) -> &MlDsaPublic {
        &self.public
    }

    /// Signs `message` with `domain` as FIPS 204's context string.
    pub fn sign(
        &self,
        domain: &str,
        message: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<MlDsaSignature, DomainTooLong> {
        let signature = wiping::<LATTICE, _>(|| {
            expand(&self.seed)
                .expanded_key()
                .sign_randomized(message, domain.as_bytes(), rng)
                .map_err(|_| DomainTooLong)
        })?;
        Ok(MlDsaSignature::from_bytes(signature.encode().into()))
    }
}

impl fmt::Debug for MlDsaSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MlDsaSecret(…, {:?})", self.public)
    }
}

fn expand(seed: &Secret32) -> ml_dsa::SigningKey<MlDsa65> {
    ml_dsa::SigningKey::from_seed(seed.as_bytes().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::rng;

    #[test]
    fn lengths_are_those_of_fips_204() {
        let key = MlDsaSecret::random(&mut rng(1));
        assert_eq!(key.public().as_bytes().len(), PUBLIC_LEN);
        let signature = key.sign("d", b"m", &mut rng(2)).unwrap();
        assert_eq!(signature.as_bytes().len(), SIGNATURE_LEN);
        assert!(MlDsaPublic::try_from([0; PUBLIC_LEN - 1].as_slice()).is_err());
        assert!(MlDsaSignature::try_from([0; SIGNATURE_LEN + 1].as_slice()).is_err());
    }

    #[test]
    fn verifies_only_the_same_key_domain_and_message() {
        let key = MlDsaSecret::random(&mut rng(1));
        let signature = key.sign("a", b"m", &mut rng(2)).unwrap();
        assert_eq!(key.public().verify("a", b"m", &signature), Ok(()));
        assert_eq!(
            key.public().verify("b", b"m", &signature),
            Err(BadSignature)
        );
        assert_eq!(
            key.public().verify("a", b"n", &signature),
            Err(BadSignature)
        );
        let other = MlDsaSecret::random(&mut rng(3));
        assert_eq!(
            other.public().verify("a", b"m", &signature),
            Err(BadSignature)
        );
        for i in [0, 100, SIGNATURE_LEN - 1] {
            let mut changed = signature.clone();
            changed.0[i] ^= 1;
            assert_eq!(key.public().verify("a", b"m", &changed), Err(BadSignature));
        }
    }

    #[test]
    fn signing_is_hedged() {
        let key = MlDsaSecret::random(&mut rng(1));
        let (one, two) = (
            key.sign("a", b"m", &mut rng(2)),
            key.sign("a", b"m", &mut rng(3)),
        );
        assert_ne!(one, two);
    }

    #[test]
    fn a_seed_restores_the_key() {
        let key = MlDsaSecret::random(&mut rng(1));
        let back = MlDsaSecret::from_seed(key.seed().clone());
        assert_eq!(back.public(), key.public());
        assert!(format!("{key:?}").starts_with("MlDsaSecret(…"));
    }

    #[test]
    fn an_overlong_domain_is_refused() {
        let key = MlDsaSecret::random(&mut rng(1));
        assert_eq!(
            key.sign(&"x".repeat(256), b"m", &mut rng(2)),
            Err(DomainTooLong)
        );
    }
}
