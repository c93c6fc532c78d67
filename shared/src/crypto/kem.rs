//! Key encapsulation for the onion: one trait, three suites.
//!
//! | suite | id | public key | ciphertext | shared secret |
//! |---|---|---|---|---|
//! | [`X25519Kem`] | 1 | 32 | 32 | BLAKE2b-256("ZenTalk kem x25519 v1" ‖ DH ‖ ciphertext ‖ public key) |
//! | [`XWingKem`] | 2 | 1216 | 1120 | as draft-connolly-cfrg-xwing-kem says |
//! | [`Rsa4096Kem`] | 3 | 550 | 512 | BLAKE2b-256("ZenTalk kem rsa4096 v1" ‖ OAEP plaintext ‖ ciphertext) |
//!
//! The X25519 input has 117 bytes: one compression of BLAKE2b. It is a DHKEM whose ciphertext and
//! public key are bound into the secret, which is what makes it IND-CCA2 under gap-DH (RFC 9180 §4.1
//! and §9.1 do the same with HKDF).

use core::fmt;

use rand_core::CryptoRng;
use thiserror::Error;
use zeroize::Zeroize;

use super::dh::{X25519Public, X25519Secret};
use super::hash::blake2b_256_concat;
use super::rsa::{self, RsaPublic, RsaSecret};
use super::secret::Secret32;
use super::wipe::{SMALL, wiping};

pub use super::x_wing::{
    XWING_CIPHERTEXT_LEN, XWING_PUBLIC_LEN, XWingCiphertext, XWingKeyError, XWingPublic,
    XWingSecret,
};

/// The public key that was given cannot be encapsulated to; the fault of whoever published it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the public key cannot be encapsulated to")]
pub struct EncapsulateError;

/// The ciphertext was not made for this key by an honest sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the KEM ciphertext is not acceptable")]
pub struct DecapsulateError;

/// Which key encapsulation an onion uses at every hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Suite {
    /// Classical, small and fast.
    X25519,
    /// Hybrid with ML-KEM-768: also against who records today and has a quantum computer later.
    XWing,
    /// RSA-4096 with OAEP-SHA256.
    Rsa4096,
}

impl Suite {
    /// Every suite, in the order of its number.
    pub const ALL: [Self; 3] = [Self::X25519, Self::XWing, Self::Rsa4096];

    /// Its number on the wire.
    pub const fn number(self) -> u8 {
        match self {
            Self::X25519 => 1,
            Self::XWing => 2,
            Self::Rsa4096 => 3,
        }
    }

    /// The suite of that number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.number() == number)
    }

    /// Its name in configurations and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X25519 => "x25519",
            Self::XWing => "xwing",
            Self::Rsa4096 => "rsa4096",
        }
    }

    /// The suite of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.name() == name)
    }

    /// Its place, weakest first: X25519 (to break one takes about 2^126 steps), RSA-4096 (about 2^140), and X-Wing,
    /// which alone withstands a quantum computer.
    pub const fn strength(self) -> u8 {
        match self {
            Self::X25519 => 0,
            Self::Rsa4096 => 1,
            Self::XWing => 2,
        }
    }

    /// Length of a ciphertext in bytes.
    pub const fn ciphertext_len(self) -> usize {
        match self {
            Self::X25519 => X25519Kem::CIPHERTEXT_LEN,
            Self::XWing => XWingKem::CIPHERTEXT_LEN,
            Self::Rsa4096 => Rsa4096Kem::CIPHERTEXT_LEN,
        }
    }

    /// Whether `bytes` are a public key of the suite to which anybody can seal, as far as that can be told.
    pub fn accepts(self, bytes: &[u8]) -> bool {
        match self {
            Self::X25519 => X25519Public::try_from(bytes).is_ok_and(|key| !key.has_low_order()),
            Self::XWing => XWingPublic::try_from(bytes).is_ok(),
            Self::Rsa4096 => RsaPublic::try_from(bytes).is_ok(),
        }
    }
}

/// A key encapsulation mechanism. A relay may plug a faster native implementation of a suite in.
pub trait Kem {
    /// Which suite it is.
    const ID: Suite;
    /// The suite's number on the wire.
    const SUITE: u8 = Self::ID.number();
    /// Length of an encoded public key in bytes.
    const PUBLIC_LEN: usize;
    /// Length of a ciphertext in bytes.
    const CIPHERTEXT_LEN: usize;

    /// A public key that was checked as far as the suite can.
    type Public: Clone + fmt::Debug + AsRef<[u8]> + for<'a> TryFrom<&'a [u8]>;
    /// A secret key, with its public key cached. Wiped on drop.
    type Secret;
    /// A ciphertext of [`CIPHERTEXT_LEN`](Self::CIPHERTEXT_LEN) bytes.
    type Ciphertext: Clone + AsRef<[u8]> + for<'a> TryFrom<&'a [u8]>;

    /// A fresh secret key.
    fn generate(rng: &mut impl CryptoRng) -> Result<Self::Secret, GenerateError>;

    /// The public key of a secret key.
    fn public(secret: &Self::Secret) -> &Self::Public;

    /// Makes a fresh shared secret and the ciphertext that carries it to `public`.
    fn encapsulate(
        public: &Self::Public,
        rng: &mut impl CryptoRng,
    ) -> Result<(Self::Ciphertext, Secret32), EncapsulateError>;

    /// The shared secret that `ciphertext` carries. The generator is for blinding.
    fn decapsulate(
        secret: &Self::Secret,
        ciphertext: &Self::Ciphertext,
        rng: &mut impl CryptoRng,
    ) -> Result<Secret32, DecapsulateError>;
}

pub use super::rsa::GenerateError;

/// Suite 1, the default: X25519.
#[derive(Clone, Copy, Debug)]
pub struct X25519Kem;

/// Domain of the X25519 suite's key derivation.
const X25519_DOMAIN: &[u8; 21] = b"ZenTalk kem x25519 v1";

impl Kem for X25519Kem {
    const ID: Suite = Suite::X25519;
    const PUBLIC_LEN: usize = 32;
    const CIPHERTEXT_LEN: usize = 32;
    type Public = X25519Public;
    type Secret = X25519Secret;
    type Ciphertext = X25519Public;

    fn generate(rng: &mut impl CryptoRng) -> Result<X25519Secret, GenerateError> {
        Ok(X25519Secret::random(rng))
    }

    fn public(secret: &X25519Secret) -> &X25519Public {
        secret.public()
    }

    fn encapsulate(
        public: &X25519Public,
        rng: &mut impl CryptoRng,
    ) -> Result<(X25519Public, Secret32), EncapsulateError> {
        let ephemeral = X25519Secret::random(rng);
        let shared = ephemeral
            .diffie_hellman(public)
            .map_err(|_| EncapsulateError)?;
        let secret = x25519_secret(&shared, ephemeral.public(), public);
        Ok((*ephemeral.public(), secret))
    }

    fn decapsulate(
        secret: &X25519Secret,
        ciphertext: &X25519Public,
        _: &mut impl CryptoRng,
    ) -> Result<Secret32, DecapsulateError> {
        let shared = secret
            .diffie_hellman(ciphertext)
            .map_err(|_| DecapsulateError)?;
        Ok(x25519_secret(&shared, ciphertext, secret.public()))
    }
}

/// BLAKE2b-256(domain ‖ DH ‖ ciphertext ‖ public key): all lengths fixed, one compression.
fn x25519_secret(shared: &Secret32, ciphertext: &X25519Public, public: &X25519Public) -> Secret32 {
    let mut input = [0; 96];
    for (slot, part) in input.chunks_exact_mut(32).zip([
        shared.as_bytes(),
        ciphertext.as_bytes(),
        public.as_bytes(),
    ]) {
        slot.copy_from_slice(part);
    }
    let secret = hashed(X25519_DOMAIN, &input);
    input.zeroize();
    secret
}

/// BLAKE2b-256 of what is secret.
fn hashed(domain: &[u8], input: &[u8]) -> Secret32 {
    wiping::<SMALL, _>(|| Secret32::from_bytes(blake2b_256_concat(domain, input)))
}

/// Suite 2: X-Wing, the hybrid of X25519 and ML-KEM-768.
#[derive(Clone, Copy, Debug)]
pub struct XWingKem;

impl Kem for XWingKem {
    const ID: Suite = Suite::XWing;
    const PUBLIC_LEN: usize = XWING_PUBLIC_LEN;
    const CIPHERTEXT_LEN: usize = XWING_CIPHERTEXT_LEN;
    type Public = XWingPublic;
    type Secret = XWingSecret;
    type Ciphertext = XWingCiphertext;

    fn generate(rng: &mut impl CryptoRng) -> Result<XWingSecret, GenerateError> {
        Ok(XWingSecret::random(rng))
    }

    fn public(secret: &XWingSecret) -> &XWingPublic {
        secret.public()
    }

    fn encapsulate(
        public: &XWingPublic,
        rng: &mut impl CryptoRng,
    ) -> Result<(XWingCiphertext, Secret32), EncapsulateError> {
        Ok(public.encapsulate(rng))
    }

    fn decapsulate(
        secret: &XWingSecret,
        ciphertext: &XWingCiphertext,
        _: &mut impl CryptoRng,
    ) -> Result<Secret32, DecapsulateError> {
        Ok(secret.decapsulate(ciphertext))
    }
}

/// Suite 3: RSA-4096 with OAEP-SHA256 of a random 32-byte secret.
#[derive(Clone, Copy, Debug)]
pub struct Rsa4096Kem;

/// Domain of the RSA suite's key derivation.
const RSA4096_DOMAIN: &[u8; 22] = b"ZenTalk kem rsa4096 v1";

boxed_bytes! {
    /// An RSA-OAEP ciphertext: 512 bytes.
    RsaCiphertext, rsa::SIGNATURE_LEN, "RSA ciphertext of the wrong length"
}

impl Kem for Rsa4096Kem {
    const ID: Suite = Suite::Rsa4096;
    const PUBLIC_LEN: usize = rsa::SPKI_LEN;
    const CIPHERTEXT_LEN: usize = rsa::SIGNATURE_LEN;
    type Public = RsaPublic;
    type Secret = RsaSecret;
    type Ciphertext = RsaCiphertext;

    fn generate(rng: &mut impl CryptoRng) -> Result<RsaSecret, GenerateError> {
        RsaSecret::generate(rng)
    }

    fn public(secret: &RsaSecret) -> &RsaPublic {
        secret.public()
    }

    fn encapsulate(
        public: &RsaPublic,
        rng: &mut impl CryptoRng,
    ) -> Result<(RsaCiphertext, Secret32), EncapsulateError> {
        let random = Secret32::random(rng);
        let ciphertext = public
            .encrypt_oaep(random.as_bytes(), rng)
            .map_err(|_| EncapsulateError)?;
        let secret = rsa_secret(&random, &ciphertext);
        Ok((RsaCiphertext::from_bytes(ciphertext), secret))
    }

    fn decapsulate(
        secret: &RsaSecret,
        ciphertext: &RsaCiphertext,
        rng: &mut impl CryptoRng,
    ) -> Result<Secret32, DecapsulateError> {
        // Whether the padding is right is a secret (Manger 2001): if not, go on with a secret that nobody
        // has, and let the packet fail where all forged packets fail.
        let fallback = Secret32::random(rng);
        let random = secret
            .decrypt_oaep(ciphertext.as_bytes(), rng)
            .ok()
            .and_then(|plaintext| Secret32::try_from(plaintext.as_slice()).ok())
            .unwrap_or(fallback);
        Ok(rsa_secret(&random, ciphertext.as_bytes()))
    }
}

/// BLAKE2b-256(domain ‖ OAEP plaintext ‖ ciphertext): all lengths fixed.
fn rsa_secret(random: &Secret32, ciphertext: &[u8]) -> Secret32 {
    let mut input = [random.as_bytes().as_slice(), ciphertext].concat();
    let secret = hashed(RSA4096_DOMAIN, &input);
    input.zeroize();
    secret
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{account_rsa, rng};

    fn round_trip<K: Kem>(ours: &K::Secret, other: &K::Secret) {
        let mut rng = rng(7);
        let Ok(public) = K::Public::try_from(K::public(ours).as_ref()) else {
            panic!("the public key parses");
        };
        assert_eq!(public.as_ref().len(), K::PUBLIC_LEN);
        let (ciphertext, secret) = K::encapsulate(&public, &mut rng).unwrap();
        assert_eq!(ciphertext.as_ref().len(), K::CIPHERTEXT_LEN);
        let Ok(received) = K::Ciphertext::try_from(ciphertext.as_ref()) else {
            panic!("the ciphertext parses");
        };
        assert_eq!(K::decapsulate(ours, &received, &mut rng).unwrap(), secret);
        assert_ne!(
            K::decapsulate(other, &received, &mut rng),
            Ok(secret.clone()),
            "wrong key"
        );
        let (again, second) = K::encapsulate(&public, &mut rng).unwrap();
        assert_ne!(again.as_ref(), ciphertext.as_ref());
        assert_ne!(second, secret);
        assert!(K::Public::try_from(&[]).is_err());
        assert!(K::Ciphertext::try_from(&vec![0; K::CIPHERTEXT_LEN + 1]).is_err());
    }

    #[test]
    fn x25519_round_trip() {
        let mut rng = rng(1);
        round_trip::<X25519Kem>(
            &X25519Secret::random(&mut rng),
            &X25519Secret::random(&mut rng),
        );
    }

    #[test]
    fn x_wing_round_trip() {
        let mut rng = rng(1);
        round_trip::<XWingKem>(
            &XWingSecret::random(&mut rng),
            &XWingSecret::random(&mut rng),
        );
    }

    #[test]
    fn rsa_round_trip() {
        round_trip::<Rsa4096Kem>(&account_rsa(0), &account_rsa(1));
    }

    #[test]
    fn a_forged_rsa_ciphertext_gives_a_secret_that_nobody_has() {
        let (ours, mut rng) = (account_rsa(0), rng(1));
        let longer = ours.public().encrypt_oaep(&[7; 33], &mut rng).unwrap();
        for bytes in [[0; 512], [1; 512], longer] {
            let forged = RsaCiphertext::from_bytes(bytes);
            let one = Rsa4096Kem::decapsulate(&ours, &forged, &mut rng).unwrap();
            let two = Rsa4096Kem::decapsulate(&ours, &forged, &mut rng).unwrap();
            assert_ne!(one, two);
        }
    }

    #[test]
    fn a_suite_has_one_number_one_name_and_one_length() {
        for suite in Suite::ALL {
            assert_eq!(Suite::from_number(suite.number()), Some(suite));
            let same = |other: &Suite| other.name() == suite.name();
            assert_eq!(Suite::ALL.into_iter().filter(same).count(), 1);
        }
        assert_eq!(Suite::ALL.map(Suite::ciphertext_len), [32, 1120, 512]);
        assert_eq!([0, 4, 255].map(Suite::from_number), [None; 3]);
    }

    #[test]
    fn a_suite_knows_its_own_public_keys() {
        let mut rng = rng(1);
        let keys = [
            X25519Secret::random(&mut rng).public().as_ref().to_vec(),
            XWingSecret::random(&mut rng).public().as_ref().to_vec(),
            account_rsa(0).public().as_ref().to_vec(),
        ];
        for (suite, key) in Suite::ALL.into_iter().zip(&keys) {
            let known = keys.iter().filter(|other| suite.accepts(other)).count();
            assert!(suite.accepts(key) && known == 1, "{suite:?}");
        }
        assert!(!Suite::XWing.accepts(&[0xff; XWING_PUBLIC_LEN]));
    }

    #[test]
    fn the_suites_have_the_lengths_of_the_byte_budget() {
        assert_eq!((X25519Kem::SUITE, X25519Kem::CIPHERTEXT_LEN), (1, 32));
        assert_eq!((XWingKem::SUITE, XWingKem::CIPHERTEXT_LEN), (2, 1120));
        assert_eq!((Rsa4096Kem::SUITE, Rsa4096Kem::CIPHERTEXT_LEN), (3, 512));
        assert_eq!(X25519_DOMAIN.len() + 96, 117, "one compression of BLAKE2b");
    }

    #[test]
    fn low_order_keys_and_ciphertexts_are_refused() {
        let mut rng = rng(1);
        let zero = X25519Public::from_bytes([0; 32]);
        assert!(X25519Kem::encapsulate(&zero, &mut rng).is_err());
        let ours = X25519Secret::random(&mut rng);
        assert_eq!(
            X25519Kem::decapsulate(&ours, &zero, &mut rng),
            Err(DecapsulateError)
        );
    }
}
