//! The sealing key: a device's X-Wing key for envelopes, renewed weekly, signed by the device.
//!
//! With it the device signs which mailbox is its own: what is sealed to the key goes there and nowhere else,
//! whoever publishes the two side by side.
//!
//! A key is published for a week and good for 30 days, as long as the record that carries it: who is
//! offline for three weeks must stay reachable. Its secret is kept 37 days longer, since an envelope may
//! be retried for 7 days and then wait for 30. After that nobody can open what was sealed to it.

use core::fmt;

use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use thiserror::Error;

use super::certificate::DeviceCertificate;
use super::device::device_id;
use crate::crypto::Secret32;
use crate::crypto::kem::{XWingPublic, XWingSecret};
use crate::crypto::sign::{BadSignature, Signature, SigningKey};
use crate::id::{DeviceId, MailboxId};
use crate::time::{Duration, Timestamp};
use crate::wire::codec::BoundedList;

/// A new key is made this long after the last.
const ROTATE_AFTER: Duration = Duration::from_days(7);
/// Senders may use a key for this long after its making.
const LIFETIME: Duration = Duration::from_days(30);
/// A secret is kept for this long after its key expired.
const KEEP_AFTER_EXPIRY: Duration = Duration::from_days(37);
/// Most secrets held at once: ten weekly ones, and room for clocks that jump.
const MAX_SECRETS: usize = 16;
const DOMAIN: &str = "ZenTalk sealing key v1";

/// Why a sealing key is refused; the fault of who published it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SealingKeyError {
    /// It would be good for longer than 30 days, or expires before it begins.
    #[error("the sealing key has an impossible lifetime")]
    Lifetime,
    /// The device did not sign it, or not for this mailbox.
    #[error("the sealing key: {0}")]
    Signature(#[from] BadSignature),
}

/// A sealing key as it came: `{0: X-Wing key, 1: created, 2: expires, 3: signature}`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct UnverifiedSealingKey {
    #[n(0)]
    key: XWingPublic,
    #[n(1)]
    created: Timestamp,
    #[n(2)]
    expires: Timestamp,
    #[n(3)]
    signature: Signature,
}

impl UnverifiedSealingKey {
    /// Checks that `certificate`'s device signed the key for mail to `mailbox`, and its lifetime.
    pub fn verify(
        self,
        certificate: &DeviceCertificate,
        mailbox: MailboxId,
    ) -> Result<SealingKey, SealingKeyError> {
        let device = certificate.device_id();
        if self.expires <= self.created || self.expires.since(self.created) > LIFETIME {
            return Err(SealingKeyError::Lifetime);
        }
        let message = signed_bytes(device, mailbox, &self.key, self.created, self.expires);
        certificate
            .signing_key()
            .verify(DOMAIN, &message, &self.signature)?;
        Ok(SealingKey {
            device,
            mailbox,
            inner: self,
        })
    }
}

/// DeviceId ‖ MailboxId ‖ key ‖ created u64 ‖ expires u64.
fn signed_bytes(
    device: DeviceId,
    mailbox: MailboxId,
    key: &XWingPublic,
    created: Timestamp,
    expires: Timestamp,
) -> Vec<u8> {
    [
        device.as_bytes().as_slice(),
        mailbox.as_bytes(),
        key.as_bytes(),
        &created.as_ms().to_be_bytes(),
        &expires.as_ms().to_be_bytes(),
    ]
    .concat()
}

/// A sealing key that its device signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealingKey {
    device: DeviceId,
    mailbox: MailboxId,
    inner: UnverifiedSealingKey,
}

impl SealingKey {
    /// The device whose key it is.
    pub const fn device(&self) -> DeviceId {
        self.device
    }

    /// The mailbox that mail for the device goes to.
    pub const fn mailbox(&self) -> MailboxId {
        self.mailbox
    }

    /// The key to seal to.
    pub const fn key(&self) -> &XWingPublic {
        &self.inner.key
    }

    /// When the key was made; a newer one replaces it.
    pub const fn created(&self) -> Timestamp {
        self.inner.created
    }

    /// From when on nobody may seal to it.
    pub const fn expires(&self) -> Timestamp {
        self.inner.expires
    }

    /// Whether a sender may still seal to it.
    pub fn is_usable(&self, now: Timestamp) -> bool {
        now < self.inner.expires
    }

    /// The key in the form that goes into other bodies.
    pub fn to_unverified(&self) -> UnverifiedSealingKey {
        self.inner.clone()
    }
}

/// One sealing secret with its lifetime. Wiped on drop.
#[derive(Clone)]
pub struct SealingSecret {
    secret: XWingSecret,
    created: Timestamp,
}

impl SealingSecret {
    fn random(now: Timestamp, rng: &mut impl CryptoRng) -> Self {
        Self {
            secret: XWingSecret::random(rng),
            created: now,
        }
    }

    /// The secret key to open envelopes with.
    pub const fn secret(&self) -> &XWingSecret {
        &self.secret
    }

    /// When it was made.
    pub const fn created(&self) -> Timestamp {
        self.created
    }

    /// From when on nobody may seal to it.
    pub const fn expires(&self) -> Timestamp {
        self.created.saturating_add(LIFETIME)
    }

    /// The public key, signed by the device for mail to its `mailbox`, for others to verify.
    pub fn publish(&self, signing: &SigningKey, mailbox: MailboxId) -> UnverifiedSealingKey {
        let device = device_id(&signing.verifying_key());
        let (created, expires) = (self.created, self.expires());
        let key = self.secret.public().clone();
        let signature = signing.sign(
            DOMAIN,
            &signed_bytes(device, mailbox, &key, created, expires),
        );
        UnverifiedSealingKey {
            key,
            created,
            expires,
            signature,
        }
    }
}

impl fmt::Debug for SealingSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingSecret(…, {:?})", self.created)
    }
}

/// A device's sealing secrets, newest first; never empty. Part of the device's record.
#[derive(Clone, Debug)]
pub struct SealingSecrets {
    current: SealingSecret,
    former: Vec<SealingSecret>,
}

impl SealingSecrets {
    pub(super) fn first(now: Timestamp, rng: &mut impl CryptoRng) -> Self {
        Self {
            current: SealingSecret::random(now, rng),
            former: Vec::new(),
        }
    }

    /// The one to publish.
    pub const fn current(&self) -> &SealingSecret {
        &self.current
    }

    /// All of them, newest first, to try on an envelope.
    pub fn iter(&self) -> impl Iterator<Item = &SealingSecret> {
        core::iter::once(&self.current).chain(&self.former)
    }

    /// When the next rotation is due.
    pub const fn rotation_due(&self) -> Timestamp {
        self.current.created.saturating_add(ROTATE_AFTER)
    }

    /// Makes a new key if one is due, and drops those that no envelope can need any more. True if
    /// anything changed, so that the record must be stored and the key published.
    pub fn rotate(&mut self, now: Timestamp, rng: &mut impl CryptoRng) -> bool {
        let before = self.former.len();
        self.former
            .retain(|old| now < old.expires().saturating_add(KEEP_AFTER_EXPIRY));
        let dropped = self.former.len() != before;
        if now < self.rotation_due() && !self.current.created.is_ahead_of(now) {
            return dropped;
        }
        let next = SealingSecret::random(now, rng);
        self.former
            .insert(0, core::mem::replace(&mut self.current, next));
        self.former.truncate(MAX_SECRETS - 1);
        true
    }
}

/// One entry of the record: `{0: seed, 1: created}`.
#[derive(Encode, Decode)]
#[cbor(map)]
struct Stored {
    #[n(0)]
    seed: Secret32,
    #[n(1)]
    created: Timestamp,
}

impl<C> Encode<C> for SealingSecrets {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.array(1 + self.former.len() as u64)?;
        self.iter().try_for_each(|one| {
            Stored {
                seed: one.secret.seed().clone(),
                created: one.created,
            }
            .encode(e, ctx)
        })
    }
}

impl<'b, C> Decode<'b, C> for SealingSecrets {
    fn decode(d: &mut minicbor::Decoder<'b>, ctx: &mut C) -> Result<Self, minicbor::decode::Error> {
        let stored = BoundedList::<Stored, MAX_SECRETS>::decode(d, ctx)?;
        let mut secrets = stored
            .into_inner()
            .into_iter()
            .map(|Stored { seed, created }| SealingSecret {
                secret: XWingSecret::from_seed(seed),
                created,
            });
        let empty = || minicbor::decode::Error::message("a device without a sealing key");
        Ok(Self {
            current: secrets.next().ok_or_else(empty)?,
            former: secrets.collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::test_support::{certificate, device};
    use crate::test_support::rng;
    use crate::wire::codec::{from_cbor, to_cbor};

    const NOW: Timestamp = Timestamp::from_secs(1_000_000_000);

    fn published() -> UnverifiedSealingKey {
        device(1).publish_sealing_key()
    }

    fn mailbox() -> MailboxId {
        device(1).mailbox().id()
    }

    #[test]
    fn a_published_key_verifies_and_survives_the_wire() {
        let bytes = to_cbor(&published());
        let back: UnverifiedSealingKey = from_cbor(&bytes, 1400).unwrap();
        let key = back.verify(&certificate(0, 1), mailbox()).unwrap();
        assert_eq!(key.key(), device(1).sealing().current().secret().public());
        assert_eq!(key.device(), device(1).id());
        assert!(key.is_usable(key.created()));
        assert!(!key.is_usable(key.expires()));
    }

    #[test]
    fn another_device_did_not_sign_it() {
        let refused = published().verify(&certificate(0, 2), mailbox());
        assert_eq!(refused, Err(SealingKeyError::Signature(BadSignature)));
    }

    #[test]
    fn it_names_its_mailbox_and_no_other() {
        let key = published().verify(&certificate(0, 1), mailbox()).unwrap();
        assert_eq!(key.mailbox(), mailbox());
        let refused = published().verify(&certificate(0, 1), device(2).mailbox().id());
        assert_eq!(refused, Err(SealingKeyError::Signature(BadSignature)));
    }

    #[test]
    fn no_field_can_be_changed() {
        let mut later = published();
        later.created += Duration::from_ms(1);
        let mut sooner = published();
        sooner.expires = sooner.expires - Duration::from_ms(1);
        let mut other = published();
        other.key = device(2).sealing().current().secret().public().clone();
        for changed in [later, sooner, other] {
            let refused = changed.verify(&certificate(0, 1), mailbox());
            assert_eq!(refused, Err(SealingKeyError::Signature(BadSignature)));
        }
    }

    #[test]
    fn impossible_lifetimes_are_refused() {
        let mut endless = published();
        endless.expires = Timestamp::MAX;
        assert_eq!(
            endless.verify(&certificate(0, 1), mailbox()),
            Err(SealingKeyError::Lifetime)
        );
        let mut backward = published();
        backward.expires = backward.created;
        assert_eq!(
            backward.verify(&certificate(0, 1), mailbox()),
            Err(SealingKeyError::Lifetime)
        );
    }

    #[test]
    fn rotation_is_weekly_and_keeps_what_envelopes_need() {
        let mut rng = rng(1);
        let mut secrets = SealingSecrets::first(NOW, &mut rng);
        let first = secrets.current().secret().public().clone();
        assert!(!secrets.rotate(NOW + Duration::from_days(6), &mut rng));
        let mut now = NOW;
        for week in 1..=9 {
            now = NOW + ROTATE_AFTER * week;
            assert!(secrets.rotate(now, &mut rng));
        }
        assert!(
            secrets.iter().any(|one| *one.secret().public() == first),
            "day 63"
        );
        assert!(
            secrets
                .iter()
                .zip(secrets.iter().skip(1))
                .all(|(a, b)| a.created() > b.created())
        );
        secrets.rotate(NOW + LIFETIME + KEEP_AFTER_EXPIRY, &mut rng);
        assert!(
            secrets.iter().all(|one| *one.secret().public() != first),
            "day 67"
        );
        assert!(now < secrets.rotation_due());
    }

    #[test]
    fn the_number_of_secrets_is_bounded() {
        let mut rng = rng(1);
        let mut secrets = SealingSecrets::first(NOW, &mut rng);
        for _ in 0..2 * MAX_SECRETS {
            secrets.rotate(secrets.rotation_due(), &mut rng);
        }
        assert!(secrets.iter().count() <= MAX_SECRETS);
    }
}
