//! AES-256-GCM (NIST SP 800-38D) with an explicit 12-byte nonce.
//!
//! The caller answers for the nonce: a key seals at most one message per nonce, ever. Every use in
//! the protocol either draws a fresh key per message or counts.

use core::fmt;

use aes_gcm::aead::array::typenum::U12;
use aes_gcm::aead::{Aead, AeadInOut, KeyInit, Payload};
use aes_gcm::aes::Aes256Enc;
use aes_gcm::{AesGcm, Nonce};
use thiserror::Error;

use super::secret::Secret32;
use super::wipe::{SMALL, wiping};

/// Bytes that sealing adds to a plaintext.
pub const TAG_LEN: usize = 16;
/// Length of a nonce in bytes.
pub const NONCE_LEN: usize = 12;

/// The caller's plaintext is beyond what GCM can seal (64 GiB).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the plaintext is too long for AES-GCM")]
pub struct TooLong;

/// The ciphertext, its nonce or its associated data is not what was sealed under this key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the ciphertext does not authenticate")]
pub struct OpenError;

/// A 256-bit AES-GCM key, expanded and ready. Wiped on drop.
#[derive(Clone)]
pub struct Aes256GcmKey(Box<Aes256Gcm>);

/// AES in counter mode only ever encrypts: half of the round keys.
type Aes256Gcm = AesGcm<Aes256Enc, U12>;

impl Aes256GcmKey {
    /// Expands a key.
    pub fn new(key: &Secret32) -> Self {
        wiping::<SMALL, _>(|| Self(Box::new(Aes256Gcm::new(key.as_bytes().into()))))
    }

    /// Seals `plaintext`: ciphertext of the same length ‖ 16-byte tag.
    pub fn seal(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        plaintext: &[u8],
    ) -> Result<Vec<u8>, TooLong> {
        seal(&self.0, nonce, aad, plaintext)
    }

    /// Opens what [`seal`](Self::seal) made. Nothing of the plaintext is released on failure.
    pub fn open(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        sealed: &[u8],
    ) -> Result<Vec<u8>, OpenError> {
        open(&self.0, nonce, aad, sealed)
    }

    /// Seals `buffer` in place and appends the tag.
    pub fn seal_in_place(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        buffer: &mut Vec<u8>,
    ) -> Result<(), TooLong> {
        self.0
            .encrypt_in_place(&Nonce::from(*nonce), aad, buffer)
            .map_err(|_| TooLong)
    }
}

/// [`Aes256GcmKey::seal`] with a key that seals nothing else: expanded on the stack, which is wiped.
pub fn seal_once(
    key: &Secret32,
    nonce: &[u8; NONCE_LEN],
    aad: &[u8],
    plaintext: &[u8],
) -> Result<Vec<u8>, TooLong> {
    wiping::<SMALL, _>(|| {
        let key = Aes256Gcm::new(key.as_bytes().into());
        seal(&key, nonce, aad, plaintext)
    })
}

/// [`Aes256GcmKey::open`] of what [`seal_once`] made.
pub fn open_once(
    key: &Secret32,
    nonce: &[u8; NONCE_LEN],
    aad: &[u8],
    sealed: &[u8],
) -> Result<Vec<u8>, OpenError> {
    wiping::<SMALL, _>(|| {
        let key = Aes256Gcm::new(key.as_bytes().into());
        open(&key, nonce, aad, sealed)
    })
}

fn seal(
    key: &Aes256Gcm,
    nonce: &[u8; NONCE_LEN],
    aad: &[u8],
    msg: &[u8],
) -> Result<Vec<u8>, TooLong> {
    let payload = Payload { msg, aad };
    key.encrypt(&Nonce::from(*nonce), payload)
        .map_err(|_| TooLong)
}

fn open(
    key: &Aes256Gcm,
    nonce: &[u8; NONCE_LEN],
    aad: &[u8],
    msg: &[u8],
) -> Result<Vec<u8>, OpenError> {
    let payload = Payload { msg, aad };
    key.decrypt(&Nonce::from(*nonce), payload)
        .map_err(|_| OpenError)
}

impl fmt::Debug for Aes256GcmKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Aes256GcmKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::hex;

    #[test]
    fn known_answers_with_a_zero_key() {
        // The GCM specification (McGrew, Viega), appendix B, test cases 13 and 14.
        let key = Aes256GcmKey::new(&Secret32::from_bytes([0; 32]));
        assert_eq!(
            hex(&key.seal(&[0; 12], b"", b"").unwrap()),
            "530f8afbc74536b9a963b4f1c4cb738b"
        );
        assert_eq!(
            hex(&key.seal(&[0; 12], b"", &[0; 16]).unwrap()),
            "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"
        );
    }

    #[test]
    fn round_trip_and_every_change_fails() {
        let key = Aes256GcmKey::new(&Secret32::from_bytes([1; 32]));
        let sealed = key.seal(&[2; 12], b"aad", b"plaintext").unwrap();
        assert_eq!(sealed.len(), 9 + TAG_LEN);
        assert_eq!(key.open(&[2; 12], b"aad", &sealed).unwrap(), b"plaintext");
        assert_eq!(key.open(&[3; 12], b"aad", &sealed), Err(OpenError));
        assert_eq!(key.open(&[2; 12], b"aaD", &sealed), Err(OpenError));
        for i in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[i] ^= 1;
            assert_eq!(key.open(&[2; 12], b"aad", &changed), Err(OpenError));
            assert_eq!(key.open(&[2; 12], b"aad", &sealed[..i]), Err(OpenError));
        }
        let other = Aes256GcmKey::new(&Secret32::from_bytes([9; 32]));
        assert_eq!(other.open(&[2; 12], b"aad", &sealed), Err(OpenError));
    }

    #[test]
    fn once_equals_many_times() {
        let secret = Secret32::from_bytes([1; 32]);
        let sealed = seal_once(&secret, &[2; 12], b"aad", b"plaintext").unwrap();
        let key = Aes256GcmKey::new(&secret);
        assert_eq!(sealed, key.seal(&[2; 12], b"aad", b"plaintext").unwrap());
        let open = |aad| open_once(&secret, &[2; 12], aad, &sealed);
        assert_eq!(open(b"aad").unwrap(), b"plaintext");
        assert_eq!(open(b"aaD"), Err(OpenError));
    }

    #[test]
    fn in_place_equals_allocating() {
        let key = Aes256GcmKey::new(&Secret32::from_bytes([1; 32]));
        let mut buffer = b"plaintext".to_vec();
        key.seal_in_place(&[2; 12], b"aad", &mut buffer).unwrap();
        assert_eq!(buffer, key.seal(&[2; 12], b"aad", b"plaintext").unwrap());
    }
}
