//! The responder's side.

use core::fmt;

use thiserror::Error;

use super::agreement::{AssociatedData, Inputs, LocalIdentity};
use super::initial::InitialHeader;
use super::last_resort::LastResortUse;
use super::secrets::{PreKeySecrets, UsedPreKeys};
use crate::crypto::Secret32;
use crate::crypto::dh::{LowOrderPoint, X25519Secret};
use crate::crypto::ml_kem::MlKemSecret;
use crate::id::SessionId;
use crate::identity::DeviceCertificate;

/// Why a first message cannot be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AcceptError {
    /// The signed prekey was never ours, or was dropped after its time.
    #[error("signed prekey {0} is not known")]
    UnknownSignedPreKey(u32),
    /// The KEM prekey was never ours, was used, or was dropped after its time.
    #[error("KEM prekey {0} is not known")]
    UnknownKemPreKey(u32),
    /// The one-time prekey was never ours or has been used.
    #[error("one-time prekey {0} is not known")]
    UnknownOneTimePreKey(u32),
    /// The first message has begun its session before, with a last-resort key: a replay, or this side
    /// has lost the session.
    #[error("the first message was accepted before")]
    Replayed,
    /// The peer's identity or ephemeral key has low order.
    #[error("the peer's keys: {0}")]
    LowOrder(#[from] LowOrderPoint),
    /// Our certificate is not of our identity key; the caller's fault.
    #[error("our certificate is not of our identity key")]
    OwnCertificate,
}

/// What the responder has after the agreement; worth nothing until the first message authenticates.
pub struct Accepted {
    /// SK, the ratchet's first root key.
    pub secret: Secret32,
    /// The associated data of every message of the session.
    pub ad: AssociatedData,
    /// The session that the agreement begins.
    pub session: SessionId,
    /// Our signed prekey: our first ratchet key.
    pub ratchet_key: X25519Secret,
    /// Our KEM prekey: our first ratchet KEM key.
    pub kem_key: MlKemSecret,
    /// What to [`consume`](PreKeySecrets::consume) once the first message authenticated, and not before:
    /// otherwise anybody could burn prekeys with forged messages.
    pub used: UsedPreKeys,
}

impl fmt::Debug for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Accepted(…, {:?})", self.used)
    }
}

/// Computes the secret that `peer` agreed on with our prekeys. Changes nothing.
pub fn accept(
    me: LocalIdentity<'_>,
    prekeys: &PreKeySecrets,
    header: &InitialHeader,
    peer: &DeviceCertificate,
) -> Result<Accepted, AcceptError> {
    if !me.fits() {
        return Err(AcceptError::OwnCertificate);
    }
    let signed = prekeys
        .signed(header.signed_prekey)
        .ok_or(AcceptError::UnknownSignedPreKey(header.signed_prekey))?;
    let (kem, kem_is_one_time) = prekeys
        .kem(header.kem_prekey)
        .ok_or(AcceptError::UnknownKemPreKey(header.kem_prekey))?;
    let one_time = header
        .one_time_prekey
        .map(|id| {
            prekeys
                .one_time(id)
                .ok_or(AcceptError::UnknownOneTimePreKey(id))
        })
        .transpose()?;

    let ad = AssociatedData::new(peer, me.certificate, kem.public(), header.begun);
    let session = ad.session_id(header);
    let only_last_resort = !kem_is_one_time && one_time.is_none();
    let last_resort = only_last_resort.then_some(LastResortUse {
        key: header.kem_prekey,
        session,
    });
    if let Some(used) = &last_resort {
        prekeys.may_begin(used)?;
    }
    let ephemeral = &header.ephemeral;
    let inputs = Inputs {
        dh1: signed.diffie_hellman(peer.identity_key())?,
        dh2: me.identity.diffie_hellman(ephemeral)?,
        dh3: signed.diffie_hellman(ephemeral)?,
        dh4: one_time
            .map(|key| key.diffie_hellman(ephemeral))
            .transpose()?,
        kem: kem.decapsulate(&header.kem_ciphertext),
    };
    Ok(Accepted {
        secret: inputs.derive(),
        ad,
        session,
        ratchet_key: signed,
        kem_key: kem,
        used: UsedPreKeys {
            one_time: header.one_time_prekey,
            kem: kem_is_one_time.then_some(header.kem_prekey),
            last_resort,
        },
    })
}
