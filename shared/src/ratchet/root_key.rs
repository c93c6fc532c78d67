//! The root key: what ties every step of a session to all steps before it.

use minicbor::{Decode, Encode};

use super::chain_key::ChainKey;
use crate::crypto::kdf;
use crate::crypto::{Secret, Secret32};

const INFO: &[u8] = b"ZenTalk ratchet v1";

/// The root key of a session, replaced at every step.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub(super) struct RootKey(#[n(0)] Secret32);

impl RootKey {
    /// The root key before any step: the secret of the agreement.
    pub(super) const fn new(shared: Secret32) -> Self {
        Self(shared)
    }

    /// One step: (rk, ck) = HKDF(rk, DH ‖ KEM secret).
    pub(super) fn step(&self, dh: &Secret32, kem: &Secret32) -> (Self, ChainKey) {
        let mut ikm = Secret::<64>::zeroed();
        let bytes = ikm.as_mut_bytes().iter_mut();
        bytes
            .zip(dh.as_bytes().iter().chain(kem.as_bytes()))
            .for_each(|(to, from)| *to = *from);
        let keys = kdf::extract_expand::<64>(self.0.as_bytes(), ikm.as_bytes(), INFO);
        let (root, chain) = halves(&keys);
        (Self(root), ChainKey::new(chain))
    }
}

/// The two 32-byte halves of 64 bytes.
fn halves(keys: &Secret<64>) -> (Secret32, Secret32) {
    let (mut first, mut second) = (Secret::zeroed(), Secret::zeroed());
    let (head, tail) = keys.as_bytes().split_at(32);
    first.as_mut_bytes().copy_from_slice(head);
    second.as_mut_bytes().copy_from_slice(tail);
    (first, second)
}
