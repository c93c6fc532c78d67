//! HPKE base mode (RFC 9180) with X-Wing, HKDF-SHA256 and AES-256-GCM: one message per sealing.
//!
//! Anyone can seal to a public key; nothing says who did. The sealed form is the encapsulated key
//! (1120 bytes) ‖ ciphertext ‖ tag (16 bytes).

use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use hpke::{Deserializable, OpModeR, OpModeS, Serializable};
use rand_core::CryptoRng;
use thiserror::Error;

use super::kem::{XWING_CIPHERTEXT_LEN, XWingPublic, XWingSecret};
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
    let public =
        <XWing as hpke::Kem>::PublicKey::from_bytes(public.as_bytes()).map_err(|_| SealError)?;
    let (enc, ciphertext) = wiping::<LATTICE, _>(|| {
        hpke::single_shot_seal_with_rng::<AesGcm256, HkdfSha256, XWing>(
            &OpModeS::Base,
            &public,
            info,
            plaintext,
            aad,
            rng,
        )
        .map_err(|_| SealError)
    })?;
    let mut sealed = enc.to_bytes().to_vec();
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
    let enc = <XWing as hpke::Kem>::EncappedKey::from_bytes(enc).map_err(|_| OpenError)?;
    wiping::<LATTICE, _>(|| {
        let secret = <XWing as hpke::Kem>::PrivateKey::from_bytes(secret.seed().as_bytes())
            .map_err(|_| OpenError)?;
        hpke::single_shot_open::<AesGcm256, HkdfSha256, XWing>(
            &OpModeR::Base,
            &secret,
            &enc,
            info,
            ciphertext,
            aad,
        )
        .map_err(|_| OpenError)
    })
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
    fn sealing_twice_differs() {
        let key = XWingSecret::random(&mut rng(1));
        let mut rng = rng(2);
        let one = seal(key.public(), b"", b"", b"same", &mut rng).unwrap();
        let two = seal(key.public(), b"", b"", b"same", &mut rng).unwrap();
        assert_ne!(one, two);
    }
}
