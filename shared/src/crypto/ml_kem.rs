//! ML-KEM-768 (FIPS 203). Public keys are checked when parsed (FIPS 203 §7.2).

use core::fmt;

use ml_kem::ml_kem_768::{DecapsulationKey, EncapsulationKey};
use ml_kem::{Decapsulate, Encapsulate, KeyExport};
use rand_core::CryptoRng;
use thiserror::Error;

use super::secret::{Secret, Secret32};
use super::wipe::{LATTICE, wiping};

/// Length of an encoded public key in bytes.
pub const PUBLIC_LEN: usize = 1184;
/// Length of a ciphertext in bytes.
pub const CIPHERTEXT_LEN: usize = 1088;
/// Length of the seed that a secret key is kept as, in bytes (FIPS 203's d ‖ z).
pub const SEED_LEN: usize = 64;

/// Why bytes are not an acceptable ML-KEM-768 public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MlKemKeyError {
    /// Not 1184 bytes.
    #[error("an ML-KEM-768 key has 1184 bytes, not {0}")]
    Length(usize),
    /// A coefficient is not reduced modulo q (FIPS 203 §7.2, modulus check).
    #[error("the ML-KEM-768 key fails the modulus check")]
    Modulus,
}

/// An ML-KEM-768 public key that passed the modulus check, kept with its encoding.
#[derive(Clone)]
pub struct MlKemPublic {
    key: EncapsulationKey,
    encoded: Box<[u8]>,
}

impl MlKemPublic {
    /// The encoding, 1184 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.encoded
    }

    /// Makes a fresh shared secret and the ciphertext that carries it.
    pub fn encapsulate(&self, rng: &mut impl CryptoRng) -> (MlKemCiphertext, Secret32) {
        wiping::<LATTICE, _>(|| {
            let (ciphertext, secret) = self.key.encapsulate_with_rng(rng);
            (
                MlKemCiphertext::from_bytes(ciphertext.into()),
                Secret32::from_bytes(secret.into()),
            )
        })
    }
}

impl TryFrom<&[u8]> for MlKemPublic {
    type Error = MlKemKeyError;
    fn try_from(bytes: &[u8]) -> Result<Self, MlKemKeyError> {
        let array = bytes
            .try_into()
            .map_err(|_| MlKemKeyError::Length(bytes.len()))?;
        let key = EncapsulationKey::new(array).map_err(|_| MlKemKeyError::Modulus)?;
        Ok(Self {
            key,
            encoded: bytes.into(),
        })
    }
}

impl PartialEq for MlKemPublic {
    fn eq(&self, other: &Self) -> bool {
        self.encoded == other.encoded
    }
}

impl Eq for MlKemPublic {}

impl fmt::Debug for MlKemPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MlKemPublic(")?;
        self.encoded
            .iter()
            .take(4)
            .try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("…)")
    }
}

cbor_as_bytes!(MlKemPublic, "not an acceptable ML-KEM-768 key");

boxed_bytes! {
    /// An ML-KEM-768 ciphertext: 1088 bytes. Decapsulation never fails; a wrong one yields a secret
    /// that nobody else has (implicit rejection).
    MlKemCiphertext, CIPHERTEXT_LEN, "ML-KEM-768 ciphertext of the wrong length"
}

/// An ML-KEM-768 secret key, kept as its 64-byte seed and expanded for each use. Wiped on drop.
#[derive(Clone)]
pub struct MlKemSecret {
    seed: Secret<SEED_LEN>,
    public: MlKemPublic,
}

impl MlKemSecret {
    /// Restores a key from its seed.
    pub fn from_seed(seed: Secret<SEED_LEN>) -> Self {
        let key = wiping::<LATTICE, _>(|| expand(&seed).encapsulation_key().clone());
        let encoded = key.to_bytes().as_slice().into();
        Self {
            seed,
            public: MlKemPublic { key, encoded },
        }
    }

    /// A fresh key.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self::from_seed(Secret::random(rng))
    }

    /// The seed, for storage in an encrypted record.
    pub const fn seed(&self) -> &Secret<SEED_LEN> {
        &self.seed
    }

    /// The public key.
    pub const fn public(&self) -> &MlKemPublic {
        &self.public
    }

    /// The shared secret that `ciphertext` carries; noise if it was not made for this key.
    pub fn decapsulate(&self, ciphertext: &MlKemCiphertext) -> Secret32 {
        wiping::<LATTICE, _>(|| {
            let secret = expand(&self.seed).decapsulate(ciphertext.as_bytes().into());
            Secret32::from_bytes(secret.into())
        })
    }
}

impl fmt::Debug for MlKemSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MlKemSecret(…, {:?})", self.public)
    }
}

fn expand(seed: &Secret<SEED_LEN>) -> DecapsulationKey {
    DecapsulationKey::from_seed((*seed.as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::rng;

    #[test]
    fn round_trip_with_the_lengths_of_fips_203() {
        let key = MlKemSecret::random(&mut rng(1));
        let public = MlKemPublic::try_from(key.public().as_bytes()).unwrap();
        assert_eq!(public.as_bytes().len(), PUBLIC_LEN);
        let (ciphertext, secret) = public.encapsulate(&mut rng(2));
        assert_eq!(ciphertext.as_bytes().len(), CIPHERTEXT_LEN);
        assert_eq!(key.decapsulate(&ciphertext), secret);
    }

    #[test]
    fn a_wrong_key_or_ciphertext_gives_another_secret() {
        let (key, other) = (
            MlKemSecret::random(&mut rng(1)),
            MlKemSecret::random(&mut rng(3)),
        );
        let (ciphertext, secret) = key.public().encapsulate(&mut rng(2));
        assert_ne!(other.decapsulate(&ciphertext), secret);
        let mut changed = ciphertext.clone();
        changed.0[7] ^= 1;
        assert_ne!(key.decapsulate(&changed), secret);
    }

    #[test]
    fn unreduced_and_short_public_keys_are_refused() {
        let unreduced = [0xff; PUBLIC_LEN];
        assert_eq!(
            MlKemPublic::try_from(unreduced.as_slice()),
            Err(MlKemKeyError::Modulus)
        );
        let short = &unreduced[1..];
        assert_eq!(
            MlKemPublic::try_from(short),
            Err(MlKemKeyError::Length(PUBLIC_LEN - 1))
        );
    }

    #[test]
    fn a_seed_restores_the_key() {
        let key = MlKemSecret::random(&mut rng(1));
        assert_eq!(
            MlKemSecret::from_seed(key.seed().clone()).public(),
            key.public()
        );
        assert!(format!("{key:?}").starts_with("MlKemSecret(…"));
    }
}
