//! ML-KEM-768 (FIPS 203). Public keys are checked when parsed (FIPS 203 §7.2).

use core::fmt;

use libcrux_ml_kem::mlkem768::{self, MlKem768PrivateKey, MlKem768PublicKey};
use rand_core::CryptoRng;
use thiserror::Error;
use zeroize::Zeroize;

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

/// An ML-KEM-768 public key that passed the modulus check.
#[derive(Clone)]
pub struct MlKemPublic(Box<MlKem768PublicKey>);

impl MlKemPublic {
    /// The encoding, 1184 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.encoding()
    }

    /// The encoding, its length in the type.
    pub(crate) fn encoding(&self) -> &[u8; PUBLIC_LEN] {
        self.0.as_slice()
    }

    /// Makes a fresh shared secret and the ciphertext that carries it.
    pub fn encapsulate(&self, rng: &mut impl CryptoRng) -> (MlKemCiphertext, Secret32) {
        self.encapsulate_with(&Secret::random(rng))
    }

    /// Encapsulates with FIPS 203's m, which must be fresh and secret.
    pub(super) fn encapsulate_with(&self, m: &Secret32) -> (MlKemCiphertext, Secret32) {
        wiping::<LATTICE, _>(|| {
            let (ciphertext, secret) = mlkem768::encapsulate(&self.0, *m.as_bytes());
            (
                MlKemCiphertext::from_bytes(ciphertext.into()),
                Secret32::from_bytes(secret),
            )
        })
    }
}

impl TryFrom<&[u8]> for MlKemPublic {
    type Error = MlKemKeyError;
    fn try_from(bytes: &[u8]) -> Result<Self, MlKemKeyError> {
        let length = MlKemKeyError::Length(bytes.len());
        let key = Box::new(MlKem768PublicKey::try_from(bytes).map_err(|_| length)?);
        match mlkem768::validate_public_key(&key) {
            true => Ok(Self(key)),
            false => Err(MlKemKeyError::Modulus),
        }
    }
}

impl PartialEq for MlKemPublic {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for MlKemPublic {}

impl fmt::Debug for MlKemPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.encoding();
        write!(f, "MlKemPublic({a:02x}{b:02x}{c:02x}{d:02x}…)")
    }
}

cbor_as_bytes!(MlKemPublic, "not an acceptable ML-KEM-768 key");

boxed_bytes! {
    /// An ML-KEM-768 ciphertext: 1088 bytes. Decapsulation never fails; a wrong one yields a secret
    /// that nobody else has (implicit rejection).
    MlKemCiphertext, CIPHERTEXT_LEN, "ML-KEM-768 ciphertext of the wrong length"
}

/// An ML-KEM-768 secret key: its 64-byte seed, by which it is stored, and the key that follows from it,
/// expanded once. Wiped on drop.
#[derive(Clone)]
pub struct MlKemSecret {
    seed: Secret<SEED_LEN>,
    key: Expanded,
    public: MlKemPublic,
}

impl MlKemSecret {
    /// Restores a key from its seed: about as costly as a decapsulation.
    pub fn from_seed(seed: Secret<SEED_LEN>) -> Self {
        let (key, public) = wiping::<LATTICE, _>(|| {
            let (key, public) = mlkem768::generate_key_pair(*seed.as_bytes()).into_parts();
            (Expanded(Box::new(key)), MlKemPublic(Box::new(public)))
        });
        Self { seed, key, public }
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
            let secret = mlkem768::decapsulate(&self.key.0, &ciphertext.as_bytes().into());
            Secret32::from_bytes(secret)
        })
    }
}

impl fmt::Debug for MlKemSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MlKemSecret(…, {:?})", self.public)
    }
}

/// The decapsulation key of FIPS 203 in its 2400 bytes, wiped on drop.
#[derive(Clone)]
struct Expanded(Box<MlKem768PrivateKey>);

impl Drop for Expanded {
    fn drop(&mut self) {
        self.0[..MlKem768PrivateKey::len()].zeroize();
    }
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
    fn agrees_with_another_implementation() {
        use ml_kem::{Decapsulate, KeyExport};
        for seed in 0..4 {
            let ours = MlKemSecret::random(&mut rng(seed));
            let theirs =
                ml_kem::ml_kem_768::DecapsulationKey::from_seed((*ours.seed().as_bytes()).into());
            let public = theirs.encapsulation_key();
            assert_eq!(public.to_bytes().as_slice(), ours.public().as_bytes());
            let m = Secret32::random(&mut rng(100 + seed));
            let (ciphertext, secret) = ours.public().encapsulate_with(&m);
            let (expected, shared) = public.encapsulate_deterministic(&(*m.as_bytes()).into());
            assert_eq!(ciphertext.as_bytes().as_slice(), expected.as_slice());
            assert_eq!(secret.as_bytes().as_slice(), shared.as_slice());
            let mut changed = ciphertext.clone();
            changed.0[usize::try_from(seed).unwrap()] ^= 1;
            for ciphertext in [ciphertext, changed] {
                let expected = theirs.decapsulate(ciphertext.as_bytes().into());
                let secret = ours.decapsulate(&ciphertext);
                assert_eq!(secret.as_bytes().as_slice(), expected.as_slice());
            }
        }
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
