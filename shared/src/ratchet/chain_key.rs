//! The chain key: one per direction and step, advanced with every message.

use minicbor::{Decode, Encode};

use super::message_key::MessageKey;
use crate::crypto::Secret32;
use crate::crypto::kdf;

const MESSAGE: &[u8] = &[0x01];
const NEXT: &[u8] = &[0x02];

/// The key of one position in a chain. Message keys follow from it; earlier ones do not.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub(super) struct ChainKey(#[n(0)] Secret32);

impl ChainKey {
    /// Wraps the second half of a step.
    pub(super) const fn new(key: Secret32) -> Self {
        Self(key)
    }

    /// mk = HMAC(ck, 0x01).
    #[cfg(test)]
    pub(super) fn message_key(&self) -> MessageKey {
        MessageKey::new(kdf::hmac_sha256(&self.0, &[MESSAGE]))
    }

    /// The message key of this position, HMAC(ck, 0x01), and the key of the next, HMAC(ck, 0x02).
    pub(super) fn step(&self) -> (MessageKey, Self) {
        let (message, next) = kdf::hmac_sha256_pair(&self.0, MESSAGE, NEXT);
        (MessageKey::new(message), Self(next))
    }

    /// ck' = HMAC(ck, 0x02).
    pub(super) fn next(&self) -> Self {
        Self(kdf::hmac_sha256(&self.0, &[NEXT]))
    }

    /// [`step`](Self::step), `ahead` messages later.
    pub(super) fn step_ahead(&self, ahead: u32) -> (MessageKey, Self) {
        match ahead {
            0 => self.step(),
            _ => self.advance(ahead).step(),
        }
    }

    /// The key `steps` messages later.
    pub(super) fn advance(&self, steps: u32) -> Self {
        (0..steps).fold(self.clone(), |key, _| key.next())
    }
}
