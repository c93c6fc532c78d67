//! HPKE base mode (RFC 9180) with X-Wing, HKDF-SHA256 and AES-256-GCM: one message per sealing.
//!
//! Anyone can seal to a public key; nothing says who did. The sealed form is the encapsulated key
//! (1120 bytes) ‖ ciphertext ‖ tag (16 bytes).

use aes_gcm::aead::array::typenum::{Prod, Sum, U3, U32, U64, U1024};
use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::SharedSecret;
use hpke::{Deserializable, HpkeError, OpModeR, OpModeS, Serializable};
use rand_core::CryptoRng;
use thiserror::Error;

use super::kem::{XWING_CIPHERTEXT_LEN, XWingCiphertext, XWingPublic, XWingSecret};
use super::secret::Secret32;
use super::wipe::{LATTICE, wiping};

/// Length of the encapsulated key in front of the ciphertext, in bytes.
pub const ENC_LEN: usize = XWING_CIPHERTEXT_LEN;
/// What sealing adds to a plaintext, in bytes.
pub const OVERHEAD: usize = ENC_LEN + 16;

/// Sealing failed: the plaintext is beyond what AES-GCM can seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the message cannot be sealed")]
pub struct SealError;

/// The bytes were not sealed to this key with this info and associated data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the message does not open")]
pub struct OpenError;

/// Seals `plaintext` to `public`.
pub fn seal(
    public: &XWingPublic,
    info: &[u8],
    aad: &[u8],
    plaintext: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>, SealError> {
    let (enc, ciphertext) = wiping::<LATTICE, _>(|| {
        hpke::single_shot_seal_with_rng::<AesGcm256, HkdfSha256, XWing>(
            &OpModeS::Base,
            public,
            info,
            plaintext,
            aad,
            rng,
        )
        .map_err(|_| SealError)
    })?;
    let mut sealed = Vec::with_capacity(ENC_LEN + ciphertext.len());
    sealed.extend_from_slice(enc.as_bytes());
    sealed.extend_from_slice(&ciphertext);
    Ok(sealed)
}

/// Opens what [`seal`] made.
pub fn open(
    secret: &XWingSecret,
    info: &[u8],
    aad: &[u8],
    sealed: &[u8],
) -> Result<Vec<u8>, OpenError> {
    let (enc, ciphertext) = sealed.split_at_checked(ENC_LEN).ok_or(OpenError)?;
    let enc = XWingCiphertext::try_from(enc).map_err(|_| OpenError)?;
    wiping::<LATTICE, _>(|| {
        hpke::single_shot_open::<AesGcm256, HkdfSha256, XWing>(
            &OpModeR::Base,
            secret,
            &enc,
            info,
            ciphertext,
            aad,
        )
        .map_err(|_| OpenError)
    })
}

/// [`x_wing`](super::x_wing) as a KEM of the crate `hpke`, whose own expands the seed for every use.
struct XWing;

impl hpke::Kem for XWing {
    type PublicKey = XWingPublic;
    type PrivateKey = XWingSecret;
    type EncappedKey = XWingCiphertext;
    type NSecret = U32;
    const KEM_ID: u16 = <hpke::kem::XWing as hpke::Kem>::KEM_ID;

    fn sk_to_pk(secret: &XWingSecret) -> XWingPublic {
        secret.public().clone()
    }

    fn derive_keypair(ikm: &[u8]) -> (XWingSecret, XWingPublic) {
        let (seed, _) = hpke::kem::XWing::derive_keypair(ikm);
        let secret = XWingSecret::from_seed(Secret32::from_bytes(seed.to_bytes().into()));
        let public = secret.public().clone();
        (secret, public)
    }

    fn decap(
        secret: &XWingSecret,
        sender: Option<&XWingPublic>,
        enc: &XWingCiphertext,
    ) -> Result<SharedSecret<Self>, HpkeError> {
        match sender {
            None => Ok(shared(&secret.decapsulate(enc))),
            Some(_) => Err(HpkeError::DecapError),
        }
    }

    fn encap_with_rng(
        public: &XWingPublic,
        sender: Option<(&XWingSecret, &XWingPublic)>,
        rng: &mut impl CryptoRng,
    ) -> Result<(SharedSecret<Self>, XWingCiphertext), HpkeError> {
        match sender {
            None => {
                let (enc, secret) = public.encapsulate(rng);
                Ok((shared(&secret), enc))
            }
            Some(_) => Err(HpkeError::EncapError),
        }
    }
}

fn shared(secret: &Secret32) -> SharedSecret<XWing> {
    SharedSecret((*secret.as_bytes()).into())
}

impl Serializable for XWingSecret {
    type OutputSize = U32;
    fn write_exact(&self, buf: &mut [u8]) {
        buf.copy_from_slice(self.seed().as_bytes());
    }
}

impl Deserializable for XWingSecret {
    fn from_bytes(bytes: &[u8]) -> Result<Self, HpkeError> {
        let seed = Secret32::try_from(bytes).map_err(|_| HpkeError::ValidationError)?;
        Ok(Self::from_seed(seed))
    }
}

impl Serializable for XWingPublic {
    type OutputSize = Sum<U1024, Prod<U64, U3>>;
    fn write_exact(&self, buf: &mut [u8]) {
        buf.copy_from_slice(self.as_bytes());
    }
}

impl Deserializable for XWingPublic {
    fn from_bytes(bytes: &[u8]) -> Result<Self, HpkeError> {
        Self::try_from(bytes).map_err(|_| HpkeError::ValidationError)
    }
}

impl Serializable for XWingCiphertext {
    type OutputSize = Sum<U1024, Sum<U64, U32>>;
    fn write_exact(&self, buf: &mut [u8]) {
        buf.copy_from_slice(self.as_bytes());
    }
}

impl Deserializable for XWingCiphertext {
    fn from_bytes(bytes: &[u8]) -> Result<Self, HpkeError> {
        Self::try_from(bytes).map_err(|_| HpkeError::ValidationError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::rng;

    #[test]
    fn round_trip_with_the_stated_overhead() {
        let key = XWingSecret::random(&mut rng(1));
        let sealed = seal(key.public(), b"info", b"aad", b"hello", &mut rng(2)).unwrap();
        assert_eq!(sealed.len(), 5 + OVERHEAD);
        assert_eq!(open(&key, b"info", b"aad", &sealed).unwrap(), b"hello");
    }

    #[test]
    fn every_change_fails() {
        let key = XWingSecret::random(&mut rng(1));
        let sealed = seal(key.public(), b"info", b"aad", b"hello", &mut rng(2)).unwrap();
        assert_eq!(open(&key, b"Info", b"aad", &sealed), Err(OpenError));
        assert_eq!(open(&key, b"info", b"Aad", &sealed), Err(OpenError));
        let other = XWingSecret::random(&mut rng(3));
        assert_eq!(open(&other, b"info", b"aad", &sealed), Err(OpenError));
        for i in [0, 1087, 1088, 1119, 1120, sealed.len() - 1] {
            let mut changed = sealed.clone();
            changed[i] ^= 1;
            assert_eq!(
                open(&key, b"info", b"aad", &changed),
                Err(OpenError),
                "byte {i}"
            );
        }
        for len in [0, 1, 1119, 1120, sealed.len() - 1] {
            assert_eq!(
                open(&key, b"info", b"aad", &sealed[..len]),
                Err(OpenError),
                "{len} bytes"
            );
        }
    }

    #[test]
    fn opens_what_the_crate_seals_and_the_other_way_around() {
        type Theirs = hpke::kem::XWing;
        let key = XWingSecret::random(&mut rng(1));
        let public = <Theirs as hpke::Kem>::PublicKey::from_bytes(key.public().as_bytes()).unwrap();
        let (enc, ciphertext) = hpke::single_shot_seal_with_rng::<AesGcm256, HkdfSha256, Theirs>(
            &OpModeS::Base,
            &public,
            b"info",
            b"hello",
            b"aad",
            &mut rng(2),
        )
        .unwrap();
        let theirs = [enc.to_bytes().as_slice(), &ciphertext].concat();
        let ours = seal(key.public(), b"info", b"aad", b"hello", &mut rng(2)).unwrap();
        assert_eq!(ours, theirs);
        assert_eq!(open(&key, b"info", b"aad", &theirs).unwrap(), b"hello");
    }

    #[test]
    fn sealing_twice_differs() {
        let key = XWingSecret::random(&mut rng(1));
        let mut rng = rng(2);
        let one = seal(key.public(), b"", b"", b"same", &mut rng).unwrap();
        let two = seal(key.public(), b"", b"", b"same", &mut rng).unwrap();
        assert_ne!(one, two);
    }
}
