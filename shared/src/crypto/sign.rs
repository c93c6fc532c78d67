//! Ed25519 (RFC 8032) with domain separation.
//!
//! What is signed is always domain ‖ 0x00 ‖ message; domains are ASCII constants without NUL, so no
//! signature made for one purpose verifies for another. Verification is strict: keys and nonces of
//! small order are refused, and the cofactorless equation is the only one accepted.

use core::fmt;

use ed25519_dalek::Signer;
use rand_core::CryptoRng;
use thiserror::Error;

use super::secret::Secret32;
use super::wipe::{CURVE, wiping};

/// Why bytes are not an acceptable Ed25519 public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum VerifyingKeyError {
    /// Not 32 bytes.
    #[error("an Ed25519 key has 32 bytes, not {0}")]
    Length(usize),
    /// Not the encoding of a point of the curve.
    #[error("not a point of the curve")]
    NotAPoint,
    /// A point of small order: signatures under it prove nothing.
    #[error("the Ed25519 key has small order")]
    SmallOrder,
}

/// A signature does not verify under the key, domain and message given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the signature does not verify")]
pub struct BadSignature;

/// A signature was not 64 bytes long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("an Ed25519 signature has 64 bytes, not {0}")]
pub struct SignatureLength(pub usize);

/// An Ed25519 signature: 64 bytes, not yet verified.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signature([u8; 64]);

impl Signature {
    /// Length in bytes.
    pub const LEN: usize = 64;

    /// Wraps the bytes as they are.
    pub const fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl TryFrom<&[u8]> for Signature {
    type Error = SignatureLength;
    fn try_from(bytes: &[u8]) -> Result<Self, SignatureLength> {
        bytes
            .try_into()
            .map(Self)
            .map_err(|_| SignatureLength(bytes.len()))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "Signature({a:02x}{b:02x}{c:02x}{d:02x}…)")
    }
}

cbor_as_bytes!(Signature, "Ed25519 signature of the wrong length");

/// An Ed25519 public key: a point of the curve, not of small order.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct VerifyingKey(ed25519_dalek::VerifyingKey);

impl VerifyingKey {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// Decodes a key; refuses what is not a point, and points of small order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, VerifyingKeyError> {
        let key = ed25519_dalek::VerifyingKey::from_bytes(bytes)
            .map_err(|_| VerifyingKeyError::NotAPoint)?;
        match key.is_weak() {
            true => Err(VerifyingKeyError::SmallOrder),
            false => Ok(Self(key)),
        }
    }

    /// The encoded key.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// Verifies a signature over domain ‖ 0x00 ‖ message, strictly.
    pub fn verify(
        &self,
        domain: &str,
        message: &[u8],
        signature: &Signature,
    ) -> Result<(), BadSignature> {
        self.verify_framed(&framed(domain, message), signature)
    }

    /// Verifies a signature over bytes that have their domain in front already.
    pub(super) fn verify_framed(
        &self,
        framed: &[u8],
        signature: &Signature,
    ) -> Result<(), BadSignature> {
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        self.0
            .verify_strict(framed, &signature)
            .map_err(|_| BadSignature)
    }
}

impl TryFrom<&[u8]> for VerifyingKey {
    type Error = VerifyingKeyError;
    fn try_from(bytes: &[u8]) -> Result<Self, VerifyingKeyError> {
        let bytes = bytes
            .try_into()
            .map_err(|_| VerifyingKeyError::Length(bytes.len()))?;
        Self::from_bytes(bytes)
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.as_bytes();
        write!(f, "VerifyingKey({a:02x}{b:02x}{c:02x}{d:02x}…)")
    }
}

cbor_as_bytes!(VerifyingKey, "not an acceptable Ed25519 key");

/// An Ed25519 secret key. Stored as its 32-byte seed; wiped on drop.
#[derive(Clone)]
pub struct SigningKey(Box<ed25519_dalek::SigningKey>);

impl SigningKey {
    /// Restores a key from its seed (RFC 8032's "secret key").
    pub fn from_seed(seed: &Secret32) -> Self {
        wiping::<CURVE, _>(|| {
            Self(Box::new(ed25519_dalek::SigningKey::from_bytes(
                seed.as_bytes(),
            )))
        })
    }

    /// A fresh key.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self::from_seed(&Secret32::random(rng))
    }

    /// The seed, for storage in an encrypted record.
    pub fn to_seed(&self) -> Secret32 {
        Secret32::copy_of(self.0.as_bytes())
    }

    /// The public key.
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey(self.0.verifying_key())
    }

    /// Signs domain ‖ 0x00 ‖ message. Deterministic, as RFC 8032 has it.
    pub fn sign(&self, domain: &str, message: &[u8]) -> Signature {
        self.sign_framed(&framed(domain, message))
    }

    /// Signs bytes that have their domain in front already.
    pub(super) fn sign_framed(&self, framed: &[u8]) -> Signature {
        wiping::<CURVE, _>(|| Signature(self.0.sign(framed).to_bytes()))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(…, {:?})", self.verifying_key())
    }
}

impl<C> minicbor::Encode<C> for SigningKey {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(self.0.as_bytes())?.ok()
    }
}

impl<'b, C> minicbor::Decode<'b, C> for SigningKey {
    fn decode(d: &mut minicbor::Decoder<'b>, ctx: &mut C) -> Result<Self, minicbor::decode::Error> {
        Secret32::decode(d, ctx).map(|seed| Self::from_seed(&seed))
    }
}

/// domain ‖ 0x00 ‖ message: the bytes that are really signed.
pub(crate) fn framed(domain: &str, message: &[u8]) -> Vec<u8> {
    debug_assert!(!domain.as_bytes().contains(&0), "a domain without NUL");
    [domain.as_bytes(), &[0], message].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{rng, unhex};

    #[test]
    fn rfc_8032_section_7_1_test_1_public_key() {
        let seed = unhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
        let public = unhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
        let key = SigningKey::from_seed(&Secret32::try_from(seed.as_slice()).unwrap());
        assert_eq!(key.verifying_key().as_bytes().as_slice(), public);
    }

    #[test]
    fn signs_the_domain_a_zero_and_the_message() {
        let key = SigningKey::random(&mut rng(1));
        let raw = key.0.sign(b"ZenTalk test v1\0message");
        assert_eq!(key.sign("ZenTalk test v1", b"message").0, raw.to_bytes());
    }

    #[test]
    fn verifies_only_the_same_key_domain_and_message() {
        let key = SigningKey::random(&mut rng(1));
        let public = key.verifying_key();
        let signature = key.sign("a", b"m");
        assert_eq!(public.verify("a", b"m", &signature), Ok(()));
        assert_eq!(public.verify("b", b"m", &signature), Err(BadSignature));
        assert_eq!(public.verify("a", b"n", &signature), Err(BadSignature));
        let other = SigningKey::random(&mut rng(2)).verifying_key();
        assert_eq!(other.verify("a", b"m", &signature), Err(BadSignature));
        for i in 0..Signature::LEN {
            let mut changed = signature;
            changed.0[i] ^= 1;
            assert_eq!(public.verify("a", b"m", &changed), Err(BadSignature));
        }
    }

    #[test]
    fn small_order_keys_are_refused() {
        let mut identity = [0; 32];
        identity[0] = 1;
        for bytes in [identity, [0; 32]] {
            assert_eq!(
                VerifyingKey::from_bytes(&bytes),
                Err(VerifyingKeyError::SmallOrder)
            );
        }
    }

    #[test]
    fn what_is_not_a_key_is_refused() {
        assert_eq!(
            VerifyingKey::try_from([0; 31].as_slice()),
            Err(VerifyingKeyError::Length(31))
        );
        let mut off_curve = [0; 32];
        off_curve[0] = 2;
        assert_eq!(
            VerifyingKey::from_bytes(&off_curve),
            Err(VerifyingKeyError::NotAPoint)
        );
        let encoded = minicbor::to_vec(minicbor::bytes::ByteArray::from([0; 32])).unwrap();
        assert!(minicbor::decode::<VerifyingKey>(&encoded).is_err());
    }

    #[test]
    fn storage_round_trip_prints_nothing_secret() {
        let key = SigningKey::random(&mut rng(3));
        let back: SigningKey = minicbor::decode(&minicbor::to_vec(&key).unwrap()).unwrap();
        assert_eq!(back.verifying_key(), key.verifying_key());
        assert!(format!("{key:?}").starts_with("SigningKey(…"));
    }
}
