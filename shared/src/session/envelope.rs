//! The sealed envelope: one fragment, sealed to one device. Exactly 8000 bytes, nothing in clear.
//!
//! HPKE base mode (RFC 9180; X-Wing, HKDF-SHA256, AES-256-GCM) to the device's sealing key, with the
//! recipient's DeviceId as associated data: enc[1120] ‖ ciphertext[6880].

use rand_core::CryptoRng;
use thiserror::Error;

use super::fragment::{Fragment, FragmentError, MessageLength, split};
use crate::crypto::hpke;
use crate::id::DeviceId;
use crate::identity::{SealingKey, SealingSecrets};
use crate::wire::budget::{ENVELOPE_LEN, ENVELOPE_OVERHEAD, FRAGMENT_LEN};

const INFO: &[u8] = b"ZenTalk envelope v1";

/// An envelope: always of one length.
pub type Envelope = Box<[u8; ENVELOPE_LEN]>;

/// Sealing failed: the caller's message, or the peer's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SealError {
    /// The message is empty or longer than fragments can carry.
    #[error(transparent)]
    Length(#[from] MessageLength),
    /// The cipher refused, which it does for no fragment and no verified key.
    #[error("the envelope cannot be sealed")]
    Cipher,
}

/// An envelope was refused; the fault of who sent it, or of who delivered it here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OpenError {
    /// None of this device's sealing keys opens it: for somebody else, for a key long gone, or changed.
    #[error("the envelope is not for this device")]
    NotForMe,
    /// It opens, but does not hold a fragment.
    #[error(transparent)]
    Fragment(#[from] FragmentError),
}

/// Cuts a session message and seals every part to the device of `to`.
pub fn seal_message(
    message: &[u8],
    to: &SealingKey,
    rng: &mut impl CryptoRng,
) -> Result<Vec<Envelope>, SealError> {
    let fragments = split(message, rng)?;
    fragments
        .iter()
        .map(|fragment| seal(fragment, to, rng))
        .collect()
}

/// Seals a fragment to the device of `to`.
pub fn seal(
    fragment: &Fragment,
    to: &SealingKey,
    rng: &mut impl CryptoRng,
) -> Result<Envelope, SealError> {
    let plaintext = fragment.encode();
    let sealed = hpke::seal(
        to.key(),
        INFO,
        to.device().as_bytes(),
        plaintext.as_slice(),
        rng,
    );
    let sealed = sealed.map_err(|_| SealError::Cipher)?;
    sealed
        .into_boxed_slice()
        .try_into()
        .map_err(|_| SealError::Cipher)
}

/// Opens an envelope with whichever of this device's sealing secrets it was sealed to.
pub fn open(
    envelope: &[u8; ENVELOPE_LEN],
    secrets: &SealingSecrets,
    me: DeviceId,
) -> Result<Fragment, OpenError> {
    let mut opened = secrets
        .iter()
        .filter_map(|secret| hpke::open(secret.secret(), INFO, me.as_bytes(), envelope).ok());
    let plaintext = opened.next().ok_or(OpenError::NotForMe)?;
    let plaintext: &[u8; FRAGMENT_LEN] = plaintext
        .as_slice()
        .try_into()
        .map_err(|_| OpenError::NotForMe)?;
    Ok(Fragment::decode(plaintext)?)
}

const _: () = assert!(ENVELOPE_OVERHEAD == hpke::OVERHEAD);
