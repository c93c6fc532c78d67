//! What both sides compute: the shared secret and the associated data.

use core::fmt;

use zeroize::Zeroizing;

use super::initial::InitialHeader;
use crate::crypto::Secret32;
use crate::crypto::dh::X25519Secret;
use crate::crypto::hash::{blake2b_128_concat, blake2b_256_concat};
use crate::crypto::kdf::extract_expand;
use crate::crypto::ml_kem::MlKemPublic;
use crate::id::SessionId;
use crate::identity::DeviceCertificate;
use crate::time::Timestamp;

/// PQXDH's `info`.
const INFO: &[u8] = b"ZenTalk PQXDH v1";
/// Domain of session ids.
const SESSION_DOMAIN: &[u8] = b"ZenTalk session v1";
/// Domain of the associated data.
const AD_DOMAIN: &[u8] = b"ZenTalk agreement v1";

/// This device's part in an agreement: its identity key and the certificate that others know it by.
#[derive(Clone, Copy, Debug)]
pub struct LocalIdentity<'a> {
    /// The secret of the certificate's identity key.
    pub identity: &'a X25519Secret,
    /// This device's own certificate.
    pub certificate: &'a DeviceCertificate,
}

impl LocalIdentity<'_> {
    /// Whether the certificate is of this key.
    pub(super) fn fits(&self) -> bool {
        self.identity.public() == self.certificate.identity_key()
    }
}

/// AD: BLAKE2b-256("ZenTalk agreement v1" ‖ Address(A) ‖ Address(B) ‖ certificate hash(A) ‖ certificate hash(B) ‖
/// KEM key ‖ begun), 32 bytes: what both ends must agree on, short because every message authenticates it.
#[derive(Clone, PartialEq, Eq)]
pub struct AssociatedData([u8; 32]);

impl AssociatedData {
    /// Length in bytes.
    pub const LEN: usize = 32;

    pub(super) fn new(
        initiator: &DeviceCertificate,
        responder: &DeviceCertificate,
        kem_key: &MlKemPublic,
        begun: Timestamp,
    ) -> Self {
        let bound = [
            initiator.address().as_bytes().as_slice(),
            responder.address().as_bytes(),
            initiator.hash().as_bytes(),
            responder.hash().as_bytes(),
            kem_key.as_bytes(),
            &begun.as_ms().to_be_bytes(),
        ]
        .concat();
        Self(blake2b_256_concat(AD_DOMAIN, &bound))
    }

    /// As it was stored.
    pub(crate) const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// Names the session that this agreement begins: BLAKE2b-128("ZenTalk session v1" ‖ AD ‖ ek ‖ kem
    /// ciphertext).
    pub fn session_id(&self, header: &InitialHeader) -> SessionId {
        let ek = header.ephemeral.as_bytes();
        let ct = header.kem_ciphertext.as_bytes();
        let bytes = [self.as_bytes().as_slice(), ek, ct.as_slice()].concat();
        SessionId::from_bytes(blake2b_128_concat(SESSION_DOMAIN, &bytes))
    }
}

impl fmt::Debug for AssociatedData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AssociatedData(…)")
    }
}

/// The inputs of PQXDH's key derivation, in its order.
pub(super) struct Inputs {
    /// DH(identity A, signed prekey B).
    pub(super) dh1: Secret32,
    /// DH(ephemeral A, identity B).
    pub(super) dh2: Secret32,
    /// DH(ephemeral A, signed prekey B).
    pub(super) dh3: Secret32,
    /// DH(ephemeral A, one-time prekey B).
    pub(super) dh4: Option<Secret32>,
    /// The KEM's shared secret.
    pub(super) kem: Secret32,
}

impl Inputs {
    /// SK = HKDF(0³², 0xFF³² ‖ DH1 ‖ DH2 ‖ DH3 ‖ (DH4) ‖ SS, info).
    pub(super) fn derive(&self) -> Secret32 {
        let mut ikm = Zeroizing::new(Vec::with_capacity(6 * 32));
        ikm.extend_from_slice(&[0xff; 32]);
        let secrets = [
            Some(&self.dh1),
            Some(&self.dh2),
            Some(&self.dh3),
            self.dh4.as_ref(),
        ];
        for secret in secrets.into_iter().flatten().chain([&self.kem]) {
            ikm.extend_from_slice(secret.as_bytes());
        }
        extract_expand(&[0; 32], &ikm, INFO)
    }
}
