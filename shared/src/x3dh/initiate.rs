//! The initiator's side.

use core::fmt;

use rand_core::CryptoRng;
use thiserror::Error;

use super::agreement::{AssociatedData, Inputs, LocalIdentity};
use super::bundle::PreKeyBundle;
use super::initial::InitialHeader;
use crate::crypto::Secret32;
use crate::crypto::dh::{LowOrderPoint, X25519Public, X25519Secret};
use crate::crypto::ml_kem::MlKemPublic;
use crate::time::Timestamp;

/// Why no session can be started with a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InitiateError {
    /// The peer's identity key or one of its prekeys has low order; the peer's fault.
    #[error("the peer's keys: {0}")]
    LowOrder(#[from] LowOrderPoint),
    /// Our certificate is not of our identity key; the caller's fault.
    #[error("our certificate is not of our identity key")]
    OwnCertificate,
}

/// What the initiator has after the agreement.
pub struct Initiated {
    /// SK, the ratchet's first root key.
    pub secret: Secret32,
    /// The associated data of every message of the session.
    pub ad: AssociatedData,
    /// What the responder needs; goes into every message until it has answered.
    pub header: InitialHeader,
    /// The peer's signed prekey: its first ratchet key.
    pub peer_ratchet_key: X25519Public,
    /// The peer's KEM prekey: its first ratchet KEM key.
    pub peer_kem_key: MlKemPublic,
}

impl fmt::Debug for Initiated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Initiated(…)")
    }
}

/// Agrees on a secret with the device of `bundle`, which need not be there. `begun`: now, and later than in
/// every session that this device has begun with that one.
pub fn initiate(
    me: LocalIdentity<'_>,
    bundle: PreKeyBundle,
    begun: Timestamp,
    rng: &mut impl CryptoRng,
) -> Result<Initiated, InitiateError> {
    if !me.fits() {
        return Err(InitiateError::OwnCertificate);
    }
    let (signed_prekey, signed_key) = bundle.signed();
    let (kem_prekey, kem_key) = bundle.kem();
    let one_time = bundle.one_time();

    let ephemeral = X25519Secret::random(rng);
    let (kem_ciphertext, kem_secret) = kem_key.encapsulate(rng);
    let inputs = Inputs {
        dh1: me.identity.diffie_hellman(signed_key)?,
        dh2: ephemeral.diffie_hellman(bundle.identity_key())?,
        dh3: ephemeral.diffie_hellman(signed_key)?,
        dh4: one_time
            .map(|(_, key)| ephemeral.diffie_hellman(key))
            .transpose()?,
        kem: kem_secret,
    };
    Ok(Initiated {
        secret: inputs.derive(),
        ad: AssociatedData::new(me.certificate, bundle.certificate(), kem_key, begun),
        header: InitialHeader {
            ephemeral: *ephemeral.public(),
            signed_prekey,
            kem_prekey,
            kem_ciphertext,
            one_time_prekey: one_time.map(|(id, _)| id),
            begun,
        },
        peer_ratchet_key: *signed_key,
        peer_kem_key: kem_key.clone(),
    })
}
