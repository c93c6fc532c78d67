//! The message key: encrypts one message and is gone.

use minicbor::{Decode, Encode};

use super::header::Header;
use crate::crypto::aead::{self, NONCE_LEN, OpenError, TooLong};
use crate::crypto::kdf;
use crate::crypto::{Secret, Secret32};

const INFO: &[u8] = b"ZenTalk message v1";

/// The key of one message. AES-256-GCM key and nonce are expanded from it, so a nonce never meets two
/// messages under one key.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub(super) struct MessageKey(#[n(0)] Secret32);

impl MessageKey {
    /// Wraps what a chain key gave.
    pub(super) const fn new(key: Secret32) -> Self {
        Self(key)
    }

    /// Ciphertext and tag of `plaintext`, bound to `ad` and `header`.
    pub(super) fn seal(
        &self,
        ad: &[u8],
        header: &Header,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, TooLong> {
        let (key, nonce) = self.expand();
        aead::seal_once(&key, &nonce, &associated_data(ad, header), plaintext)
    }

    /// Opens what [`seal`](Self::seal) made.
    pub(super) fn open(
        &self,
        ad: &[u8],
        header: &Header,
        ciphertext: &[u8],
    ) -> Result<Vec<u8>, OpenError> {
        let (key, nonce) = self.expand();
        aead::open_once(&key, &nonce, &associated_data(ad, header), ciphertext)
    }

    /// (key[32], nonce[12]) = HKDF(0[32], mk).
    pub(super) fn expand(&self) -> (Secret32, [u8; NONCE_LEN]) {
        let okm: Secret<44> = kdf::extract_expand_unsalted(self.0.as_bytes(), INFO);
        let (mut key, mut nonce) = (Secret::zeroed(), [0; NONCE_LEN]);
        let (head, tail) = okm.as_bytes().split_at(32);
        key.as_mut_bytes().copy_from_slice(head);
        nonce.copy_from_slice(tail);
        (key, nonce)
    }
}

/// ad ‖ hash of what the chain's headers repeat ‖ pn ‖ n.
fn associated_data(ad: &[u8], header: &Header) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ad.len() + Header::AUTHENTICATED_LEN);
    bytes.extend_from_slice(ad);
    header.append_authenticated(&mut bytes);
    bytes
}
