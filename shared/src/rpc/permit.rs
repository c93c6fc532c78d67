//! Write permission: how a relay tells mail of contacts from first contact. DESIGN §5.

use minicbor::{Decode, Encode};
use rand_core::CryptoRng;

use crate::crypto::kdf::hmac_sha256;
use crate::crypto::secret::Secret32;
use crate::id::NodeId;
use crate::time::{Duration, Timestamp};

/// As long as an envelope lives: who has not read its mail for so long falls back to first contact.
pub const MAX_PERMIT_OVERLAP: Duration = Duration::from_days(30);

const DOMAIN: &[u8] = b"ZenTalk permit v1";

/// The secret T of a mailbox, given to contacts. Blocking somebody replaces it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct WriteSecret(#[n(0)] Secret32);

/// HMAC(T, NodeId): the same for all contacts, good at one relay. Compared in constant time.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct Permit(#[n(0)] Secret32);

/// A permit of the secret before the last one, and until when it is to count: contacts learn of a new secret by and by.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct FormerPermit {
    /// What it was.
    #[n(0)]
    pub permit: Permit,
    /// A relay takes it for [`MAX_PERMIT_OVERLAP`] at most.
    #[n(1)]
    pub until: Timestamp,
}

impl WriteSecret {
    /// A fresh one.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self(Secret32::random(rng))
    }

    /// From its 32 bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Secret32::from_bytes(bytes))
    }

    /// The bytes, for contacts and the store.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// What a contact shows to `node`.
    pub fn permit(&self, node: &NodeId) -> Permit {
        Permit(hmac_sha256(&self.0, &[DOMAIN, node.as_bytes()]))
    }
}

impl Permit {
    /// From its 32 bytes, as a relay stores it.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Secret32::from_bytes(bytes))
    }

    /// The bytes, for the relay's store.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
}
