//! The bundle: what an initiator needs of a device, and the checks before it is used.

use minicbor::{Decode, Encode};
use thiserror::Error;

use super::prekeys::{KemPreKey, OneTimePreKey, PreKeySignatureError, SignedPreKey};
use crate::crypto::dh::X25519Public;
use crate::crypto::ml_kem::MlKemPublic;
use crate::id::{Address, DeviceId};
use crate::identity::{BodyHash, DeviceCertificate};
use crate::time::{Duration, Timestamp};
use crate::wire::codec::{CodecError, from_cbor, to_cbor};

/// Longest encoded base and one-time entry in bytes, before a relay's copy is sealed.
const MAX_ENTRY_LEN: usize = 2020;
/// A signed prekey older than this is not used: the device renews it weekly, and who was away for
/// longer than its 30-day record lives cannot be found anyway. Its secret outlives this (`secrets`).
const MAX_AGE: Duration = Duration::from_days(37);

/// What every initiator gets: `{0: DeviceId, 1: certificate hash, 2: signed prekey, 3: last-resort
/// KEM prekey}`. Not verified.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PreKeyBase {
    #[n(0)]
    pub(super) device: DeviceId,
    #[n(1)]
    pub(super) certificate: BodyHash,
    #[n(2)]
    pub(super) signed: SignedPreKey,
    /// Always there in a valid base; optional here so that its absence is named.
    #[n(3)]
    pub(super) kem: Option<KemPreKey>,
}

/// What only one initiator gets: `{0: one-time prekey, ? 1: one-time KEM prekey}`. Not verified.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PreKeyOneTime {
    #[n(0)]
    pub(super) key: OneTimePreKey,
    #[n(1)]
    pub(super) kem: Option<KemPreKey>,
}

impl PreKeyBase {
    /// Decodes exactly one base.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        from_cbor(bytes, MAX_ENTRY_LEN)
    }

    /// The base as bytes.
    pub fn encode(&self) -> Vec<u8> {
        to_cbor(self)
    }

    /// The device that it claims to be of: whose certificate to verify with.
    pub const fn device(&self) -> DeviceId {
        self.device
    }
}

impl PreKeyOneTime {
    /// Decodes exactly one entry.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        from_cbor(bytes, MAX_ENTRY_LEN)
    }

    /// The entry as bytes.
    pub fn encode(&self) -> Vec<u8> {
        to_cbor(self)
    }
}

/// Why a bundle is refused; the fault of who published or served it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BundleError {
    /// It belongs to another device, or to another certificate of this one.
    #[error("the prekeys belong to another device")]
    OtherDevice,
    /// It has no KEM prekey; there is no agreement without one.
    #[error("the prekeys lack a post-quantum key")]
    MissingKemKey,
    /// A last-resort key stands in a one-time key's place, or the reverse.
    #[error("a KEM prekey is not of the kind its place demands")]
    KemKind,
    /// The signed prekey has not been renewed for too long.
    #[error("the signed prekey is too old")]
    Stale,
    /// A prekey is not signed by the device.
    #[error(transparent)]
    Signature(#[from] PreKeySignatureError),
}

/// A bundle as relays served it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnverifiedBundle {
    /// The part for everybody.
    pub base: PreKeyBase,
    /// The part for one initiator, if the relay had one left.
    pub one_time: Option<PreKeyOneTime>,
}

impl UnverifiedBundle {
    /// Checks the bundle against the verified certificate of the device that it should be of.
    pub fn verify(
        self,
        certificate: &DeviceCertificate,
        now: Timestamp,
    ) -> Result<PreKeyBundle, BundleError> {
        let Self { base, one_time } = self;
        if base.device != certificate.device_id() || base.certificate != certificate.hash() {
            return Err(BundleError::OtherDevice);
        }
        let device = certificate.signing_key();
        let last_resort = base.kem.ok_or(BundleError::MissingKemKey)?;
        let (one_time, one_time_kem) = match one_time {
            Some(PreKeyOneTime { key, kem }) => (Some(key), kem),
            None => (None, None),
        };
        if !last_resort.last_resort || one_time_kem.as_ref().is_some_and(|kem| kem.last_resort) {
            return Err(BundleError::KemKind);
        }
        base.signed.verify(device)?;
        last_resort.verify(device)?;
        let kem = match one_time_kem {
            Some(kem) => {
                kem.verify(device)?;
                kem
            }
            None => last_resort,
        };
        if now.since(base.signed.created) > MAX_AGE {
            return Err(BundleError::Stale);
        }
        Ok(PreKeyBundle {
            certificate: certificate.clone(),
            signed: base.signed,
            kem,
            one_time,
        })
    }
}

/// A bundle whose signatures verified. [`initiate`](super::initiate) consumes it: a one-time prekey
/// serves one session.
#[derive(Debug)]
pub struct PreKeyBundle {
    certificate: DeviceCertificate,
    signed: SignedPreKey,
    kem: KemPreKey,
    one_time: Option<OneTimePreKey>,
}

impl PreKeyBundle {
    /// The account that the bundle is of.
    pub const fn address(&self) -> Address {
        self.certificate.address()
    }

    /// The device's certificate.
    pub const fn certificate(&self) -> &DeviceCertificate {
        &self.certificate
    }

    /// The device's X25519 identity key.
    pub const fn identity_key(&self) -> &X25519Public {
        self.certificate.identity_key()
    }

    pub(super) const fn signed(&self) -> (u32, &X25519Public) {
        (self.signed.id, &self.signed.key)
    }

    pub(super) const fn kem(&self) -> (u32, &MlKemPublic) {
        (self.kem.id, &self.kem.key)
    }

    pub(super) fn one_time(&self) -> Option<(u32, &X25519Public)> {
        self.one_time.as_ref().map(|one| (one.id, &one.key))
    }
}
