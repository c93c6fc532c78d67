//! The device certificate: an account says that a device is its own. It says so in two ways: by a signature
//! on the certificate itself, where the certificate travels alone, or by a signed device list that names the
//! hash of its body, where list and body travel together.
//!
//! ```text
//!   UnverifiedCertificate ──its own account signature──▶ SignedCertificate ──┐
//!   CertificateBody ──────the list that names its hash───────────────────────┴─▶ DeviceCertificate
//! ```

use minicbor::{Decode, Encode};
use thiserror::Error;

use super::account::{AccountKeys, AccountSigned, AccountToSign, BadAccountSignature};
use super::device::{DeviceSecret, device_id};
use crate::crypto::dh::X25519Public;
use crate::crypto::hash::blake2b_256_concat;
use crate::crypto::sign::VerifyingKey;
use crate::id::{Address, DeviceId};
use crate::time::Timestamp;
use crate::wire::codec::{BoundedBytes, CodecError, from_cbor, to_cbor};

/// Longest encoded certificate, signatures included, in bytes.
pub const MAX_CERTIFICATE_LEN: usize = 4096;
/// Longest certificate body in bytes.
pub(super) const MAX_BODY_LEN: usize = 256;
/// The only body version there is.
const VERSION: u64 = 1;
const DOMAIN: &str = "ZenTalk device certificate v1";

/// Hash of a signed body: BLAKE2b-256("ZenTalk hash v1" ‖ signed bytes).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BodyHash([u8; 32]);

impl BodyHash {
    /// Length in bytes.
    pub const LEN: usize = 32;

    pub(super) fn of(body: &[u8]) -> Self {
        Self(blake2b_256_concat(b"ZenTalk hash v1", body))
    }

    /// Wraps a hash as it is.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl TryFrom<&[u8]> for BodyHash {
    type Error = core::array::TryFromSliceError;
    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        bytes.try_into().map(Self)
    }
}

impl core::fmt::Debug for BodyHash {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "BodyHash({a:02x}{b:02x}{c:02x}{d:02x}…)")
    }
}

cbor_as_bytes!(BodyHash, "hash of the wrong length");

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
struct Body {
    #[n(0)]
    version: u64,
    #[n(1)]
    address: Address,
    #[n(2)]
    signing_key: VerifyingKey,
    #[n(3)]
    identity_key: X25519Public,
    #[n(4)]
    created: Timestamp,
}

/// Why a certificate is refused; always the fault of who presents it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CertificateError {
    /// Not a certificate.
    #[error("the device certificate: {0}")]
    Codec(#[from] CodecError),
    /// A version that this build does not know.
    #[error("device certificate version {0} is not known")]
    Version(u64),
    /// It names another account than the keys it is checked against.
    #[error("the device certificate names another account")]
    OtherAccount,
    /// The account did not sign it.
    #[error("the device certificate: {0}")]
    Signature(#[from] BadAccountSignature),
    /// The account's list does not name it.
    #[error("the device certificate is not on the account's list")]
    Unlisted,
}

/// The body of a certificate as it came, without a signature: a byte string on the wire. By itself it says
/// nothing; [`DeviceList::certified`](super::DeviceList::certified) says whether the account vouches for it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct CertificateBody(BoundedBytes<MAX_BODY_LEN>);

impl CertificateBody {
    /// The hash that device lists name it by: of the bytes as they came.
    pub fn hash(&self) -> BodyHash {
        BodyHash::of(&self.0)
    }

    /// Reads a body that the account of `address` vouches for: the caller has checked that, now or before it
    /// was stored.
    pub(crate) fn vouched_for(
        self,
        address: &Address,
    ) -> Result<DeviceCertificate, CertificateError> {
        let body: Body = from_cbor(&self.0, MAX_BODY_LEN)?;
        if body.version != VERSION {
            return Err(CertificateError::Version(body.version));
        }
        if body.address != *address {
            return Err(CertificateError::OtherAccount);
        }
        let hash = self.hash();
        let bytes = self;
        Ok(DeviceCertificate { body, hash, bytes })
    }
}

/// A certificate as it came, not verified.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct UnverifiedCertificate(AccountSigned<MAX_BODY_LEN>);

impl UnverifiedCertificate {
    /// Decodes exactly one certificate.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        from_cbor(bytes, MAX_CERTIFICATE_LEN)
    }

    /// The body without its signatures.
    pub fn body(&self) -> CertificateBody {
        CertificateBody(self.0.bounded_body().clone())
    }

    /// Checks version, account and both signatures.
    pub fn verify(self, keys: &AccountKeys) -> Result<SignedCertificate, CertificateError> {
        let certificate = self.body().vouched_for(&keys.address())?;
        self.0.verify(DOMAIN, keys)?;
        Ok(SignedCertificate {
            certificate,
            signed: self.0,
        })
    }
}

/// A certificate with the account's signature on it, which verified: what a device shows of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCertificate {
    certificate: DeviceCertificate,
    signed: AccountSigned<MAX_BODY_LEN>,
}

impl SignedCertificate {
    /// The certificate as bytes that [`UnverifiedCertificate::decode`] reads.
    pub fn encode(&self) -> Vec<u8> {
        to_cbor(&self.signed)
    }

    /// The certificate in the form that goes into other bodies.
    pub fn to_unverified(&self) -> UnverifiedCertificate {
        UnverifiedCertificate(self.signed.clone())
    }

    /// What it says, without the signature.
    pub fn into_certificate(self) -> DeviceCertificate {
        self.certificate
    }
}

/// A signed certificate is a certificate wherever only what it says counts.
impl core::ops::Deref for SignedCertificate {
    type Target = DeviceCertificate;
    fn deref(&self) -> &DeviceCertificate {
        &self.certificate
    }
}

/// What an account says of a device, once it is known that the account says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceCertificate {
    body: Body,
    hash: BodyHash,
    bytes: CertificateBody,
}

impl DeviceCertificate {
    /// The certificate body for `device`, for the account at `address` to sign.
    pub fn to_sign(
        address: Address,
        device: &DeviceSecret,
        created: Timestamp,
    ) -> AccountToSign<MAX_BODY_LEN> {
        let body = to_cbor(&Body {
            version: VERSION,
            address,
            signing_key: device.signing().verifying_key(),
            identity_key: *device.identity().public(),
            created,
        });
        // Infallible: all fields have fixed lengths, far below the bound.
        let body = BoundedBytes::new(body).expect("a certificate body has about 120 bytes");
        AccountToSign::new(DOMAIN, body)
    }

    /// The account that certified the device.
    pub const fn address(&self) -> Address {
        self.body.address
    }

    /// The device.
    pub fn device_id(&self) -> DeviceId {
        device_id(&self.body.signing_key)
    }

    /// The device's Ed25519 signing key.
    pub const fn signing_key(&self) -> &VerifyingKey {
        &self.body.signing_key
    }

    /// The device's X25519 identity key.
    pub const fn identity_key(&self) -> &X25519Public {
        &self.body.identity_key
    }

    /// When the device was certified.
    pub const fn created(&self) -> Timestamp {
        self.body.created
    }

    /// The hash that device lists and sessions name it by.
    pub const fn hash(&self) -> BodyHash {
        self.hash
    }

    /// The bytes that the account vouches for, as they came.
    pub const fn body(&self) -> &CertificateBody {
        &self.bytes
    }
}

impl From<AccountSigned<MAX_BODY_LEN>> for UnverifiedCertificate {
    fn from(signed: AccountSigned<MAX_BODY_LEN>) -> Self {
        Self(signed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::test_support::{account, certificate, device};
    use crate::test_support::rng;

    #[test]
    fn round_trip_and_hash() {
        let certificate = certificate(0, 1);
        let bytes = certificate.encode();
        assert!(bytes.len() <= MAX_CERTIFICATE_LEN, "{} bytes", bytes.len());
        let back = UnverifiedCertificate::decode(&bytes)
            .unwrap()
            .verify(&account(0).keys());
        assert_eq!(back.unwrap(), certificate);
        assert_eq!(certificate.device_id(), device(1).id());
        assert_eq!(certificate.hash(), BodyHash::of(certificate.signed.body()));
        assert_eq!(certificate.body().hash(), certificate.hash());
    }

    #[test]
    fn another_account_cannot_claim_it() {
        let refused = certificate(0, 1).to_unverified().verify(&account(1).keys());
        assert_eq!(refused, Err(CertificateError::OtherAccount));
    }

    #[test]
    fn a_certificate_signed_by_another_account_is_refused() {
        let job =
            DeviceCertificate::to_sign(account(0).keys().address(), &device(1), Timestamp::EPOCH);
        let forged = account(1).sign_and_finish(job, &mut rng(1)).unwrap();
        let refused = UnverifiedCertificate(forged).verify(&account(0).keys());
        assert_eq!(
            refused,
            Err(CertificateError::Signature(BadAccountSignature))
        );
    }

    #[test]
    fn another_domain_is_refused() {
        let job =
            DeviceCertificate::to_sign(account(0).keys().address(), &device(1), Timestamp::EPOCH);
        let body = BoundedBytes::new(job.ml_dsa_message()).unwrap();
        let job = AccountToSign::new("ZenTalk device list v1", body);
        let forged = account(0).sign_and_finish(job, &mut rng(1)).unwrap();
        let refused = UnverifiedCertificate(forged).verify(&account(0).keys());
        assert_eq!(
            refused,
            Err(CertificateError::Signature(BadAccountSignature))
        );
    }

    #[test]
    fn trailing_and_missing_bytes_are_refused() {
        let bytes = certificate(0, 1).encode();
        let longer = [bytes.as_slice(), &[0]].concat();
        assert_eq!(
            UnverifiedCertificate::decode(&longer),
            Err(CodecError::Trailing)
        );
        for cut in [0, 1, 100, bytes.len() - 1] {
            let refused = UnverifiedCertificate::decode(&bytes[..cut]);
            assert_eq!(refused, Err(CodecError::Malformed));
        }
        let huge = vec![0; MAX_CERTIFICATE_LEN + 1];
        assert_eq!(
            UnverifiedCertificate::decode(&huge),
            Err(CodecError::TooLong(4096))
        );
    }

    #[test]
    fn unknown_versions_are_named_and_unknown_keys_ignored() {
        let address = account(0).keys().address();
        let signed = |version: u64, extra: bool| {
            let device = device(1);
            let mut body = Vec::new();
            let mut e = minicbor::Encoder::new(&mut body);
            e.map(if extra { 6 } else { 5 }).unwrap();
            e.u8(0).unwrap().u64(version).unwrap();
            e.u8(1).unwrap().bytes(address.as_bytes()).unwrap();
            e.u8(2)
                .unwrap()
                .bytes(device.signing().verifying_key().as_bytes())
                .unwrap();
            e.u8(3)
                .unwrap()
                .bytes(device.identity().public().as_bytes())
                .unwrap();
            e.u8(4).unwrap().u64(0).unwrap();
            if extra {
                e.u8(99).unwrap().str("later").unwrap();
            }
            let job = AccountToSign::new(DOMAIN, BoundedBytes::new(body).unwrap());
            UnverifiedCertificate(account(0).sign_and_finish(job, &mut rng(1)).unwrap())
        };
        let keys = account(0).keys();
        assert_eq!(
            signed(2, false).verify(&keys),
            Err(CertificateError::Version(2))
        );
        assert_ne!(
            signed(1, false).verify(&keys).unwrap().hash(),
            signed(1, true).verify(&keys).unwrap().hash(),
            "the hash is over the exact bytes"
        );
    }
}
