//! The account: RSA-4096 and ML-DSA-65 together. A signature counts only if both verify, so it stands
//! as long as either of them does.
//!
//! Signing is a two-step job. The engine makes an [`AccountToSign`]; whoever holds the private keys
//! (WebCrypto and wasm in a browser, [`AccountSecret`] natively) answers with an
//! [`AccountSignature`]; [`AccountToSign::finish`] checks it and gives the [`AccountSigned`] body.

use core::fmt;

use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::crypto::Secret32;
use crate::crypto::hash::blake2b_256;
use crate::crypto::ml_dsa::{MlDsaPublic, MlDsaSecret, MlDsaSignature};
use crate::crypto::rsa::{GenerateError, RsaKeyError, RsaPublic, RsaSecret, RsaSignature};
use crate::id::Address;
use crate::wire::codec::BoundedBytes;

/// Domain of the address hash.
const ADDRESS_DOMAIN: &[u8] = b"ZenTalk address v1";

/// One of the pair does not verify (or both).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the account signature does not verify")]
pub struct BadAccountSignature;

/// The pair of public keys of an account. On the wire: `{0: RSA SPKI DER, 1: ML-DSA-65 key}`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct AccountKeys {
    /// The RSA-4096 key.
    #[n(0)]
    pub rsa: RsaPublic,
    /// The ML-DSA-65 key.
    #[n(1)]
    pub ml_dsa: MlDsaPublic,
}

impl AccountKeys {
    /// BLAKE2b-256("ZenTalk address v1" ‖ lengths ‖ RSA SPKI DER ‖ ML-DSA key).
    pub fn address(&self) -> Address {
        let parts = [self.rsa.spki_der(), self.ml_dsa.as_bytes().as_slice()];
        Address::from_bytes(blake2b_256(ADDRESS_DOMAIN, &parts))
    }

    /// Verifies both signatures of the pair over `body` under `domain`.
    pub fn verify(
        &self,
        domain: &str,
        body: &[u8],
        signature: &AccountSignature,
    ) -> Result<(), BadAccountSignature> {
        let rsa = self.rsa.verify(domain, body, &signature.rsa);
        let ml_dsa = self.ml_dsa.verify(domain, body, &signature.ml_dsa);
        rsa.and(ml_dsa).map_err(|_| BadAccountSignature)
    }
}

/// Both signatures of an account over one body; not yet verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountSignature {
    /// RSA-PSS-SHA256 (salt 32) over domain ‖ 0x00 ‖ body.
    pub rsa: RsaSignature,
    /// ML-DSA-65 over body, with the domain as context.
    pub ml_dsa: MlDsaSignature,
}

/// A body of at most `MAX` bytes, exactly as it was signed, with its pair of signatures.
/// On the wire: `{0: body, 1: RSA signature, 2: ML-DSA signature}`. Not yet verified.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct AccountSigned<const MAX: usize> {
    #[n(0)]
    body: BoundedBytes<MAX>,
    #[n(1)]
    rsa: RsaSignature,
    #[n(2)]
    ml_dsa: MlDsaSignature,
}

impl<const MAX: usize> AccountSigned<MAX> {
    /// The signed bytes.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The same, with its bound.
    pub(super) const fn bounded_body(&self) -> &BoundedBytes<MAX> {
        &self.body
    }

    /// Verifies the pair under `domain`.
    pub(super) fn verify(
        &self,
        domain: &str,
        keys: &AccountKeys,
    ) -> Result<(), BadAccountSignature> {
        let signature = AccountSignature {
            rsa: self.rsa.clone(),
            ml_dsa: self.ml_dsa.clone(),
        };
        keys.verify(domain, &self.body, &signature)
    }
}

/// What an account has to sign: the first step of the job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountToSign<const MAX: usize> {
    domain: &'static str,
    body: BoundedBytes<MAX>,
}

impl<const MAX: usize> AccountToSign<MAX> {
    pub(super) fn new(domain: &'static str, body: BoundedBytes<MAX>) -> Self {
        Self { domain, body }
    }

    /// The domain: ML-DSA's context string.
    pub fn domain(&self) -> &'static str {
        self.domain
    }

    /// The bytes that ML-DSA signs.
    pub fn ml_dsa_message(&self) -> &[u8] {
        &self.body
    }

    /// The bytes that RSA-PSS signs (WebCrypto: `{name: "RSA-PSS", saltLength: 32}`, which hashes
    /// them itself): domain ‖ 0x00 ‖ body.
    pub fn rsa_message(&self) -> Vec<u8> {
        crate::crypto::sign::framed(self.domain, &self.body)
    }

    /// The second step: checks what the holder of the keys made, and joins it to the body.
    pub fn finish(
        self,
        keys: &AccountKeys,
        signature: AccountSignature,
    ) -> Result<AccountSigned<MAX>, BadAccountSignature> {
        keys.verify(self.domain, &self.body, &signature)?;
        let AccountSignature { rsa, ml_dsa } = signature;
        Ok(AccountSigned {
            body: self.body,
            rsa,
            ml_dsa,
        })
    }
}

/// Why an account's private keys cannot be used; always a fault of this side or its storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AccountSecretError {
    /// The stored RSA key is not acceptable.
    #[error("the account's RSA key: {0}")]
    Rsa(#[from] RsaKeyError),
    /// No RSA key could be generated.
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// A signing operation failed.
    #[error("the account's keys cannot sign")]
    Sign,
}

/// Both private keys of an account, where the host can hold them itself (not in a browser, where the
/// RSA half stays in WebCrypto). Wiped on drop.
#[derive(Clone)]
pub struct AccountSecret {
    rsa: RsaSecret,
    ml_dsa: MlDsaSecret,
}

impl AccountSecret {
    /// Generates both keys: about a second natively.
    pub fn generate(rng: &mut impl CryptoRng) -> Result<Self, AccountSecretError> {
        let ml_dsa = MlDsaSecret::random(rng);
        Ok(Self {
            rsa: RsaSecret::generate(rng)?,
            ml_dsa,
        })
    }

    /// Joins an RSA key with the ML-DSA key of a seed.
    pub fn from_parts(rsa: RsaSecret, ml_dsa_seed: Secret32) -> Self {
        Self {
            rsa,
            ml_dsa: MlDsaSecret::from_seed(ml_dsa_seed),
        }
    }

    /// The PKCS#8 DER of the RSA key, for an encrypted record.
    pub fn rsa_pkcs8_der(&self) -> Result<Zeroizing<Vec<u8>>, AccountSecretError> {
        Ok(self.rsa.to_pkcs8_der()?)
    }

    /// The seed of the ML-DSA key, for an encrypted record.
    pub const fn ml_dsa_seed(&self) -> &Secret32 {
        self.ml_dsa.seed()
    }

    /// The public pair.
    pub fn keys(&self) -> AccountKeys {
        AccountKeys {
            rsa: self.rsa.public().clone(),
            ml_dsa: self.ml_dsa.public().clone(),
        }
    }

    /// Both signatures over what is to be signed.
    pub fn sign<const MAX: usize>(
        &self,
        job: &AccountToSign<MAX>,
        rng: &mut impl CryptoRng,
    ) -> Result<AccountSignature, AccountSecretError> {
        let rsa = self
            .rsa
            .sign(job.domain, &job.body, rng)
            .map_err(|_| AccountSecretError::Sign)?;
        let ml_dsa = self
            .ml_dsa
            .sign(job.domain, &job.body, rng)
            .map_err(|_| AccountSecretError::Sign)?;
        Ok(AccountSignature { rsa, ml_dsa })
    }

    /// Both steps of the job at once, where the keys are at hand.
    pub fn sign_and_finish<const MAX: usize>(
        &self,
        job: AccountToSign<MAX>,
        rng: &mut impl CryptoRng,
    ) -> Result<AccountSigned<MAX>, AccountSecretError> {
        let signature = self.sign(&job, rng)?;
        job.finish(&self.keys(), signature)
            .map_err(|_| AccountSecretError::Sign)
    }
}

impl fmt::Debug for AccountSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccountSecret(…, {:?})", self.keys().address())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::test_support::account;
    use crate::test_support::rng;
    use crate::wire::codec::{from_cbor, to_cbor};

    fn job(domain: &'static str) -> AccountToSign<16> {
        AccountToSign::new(domain, BoundedBytes::new(b"body".to_vec()).unwrap())
    }

    #[test]
    fn the_address_commits_to_both_keys() {
        let (one, two) = (account(0).keys(), account(1).keys());
        assert_eq!(one.address(), account(0).keys().address());
        let mixed = AccountKeys {
            rsa: one.rsa.clone(),
            ml_dsa: two.ml_dsa.clone(),
        };
        assert_ne!(mixed.address(), one.address());
        assert_ne!(mixed.address(), two.address());
    }

    #[test]
    fn the_address_is_the_framed_hash_of_the_protocol() {
        let keys = account(0).keys();
        let framed = [
            b"ZenTalk address v1".as_slice(),
            &550u32.to_be_bytes(),
            &1952u32.to_be_bytes(),
            keys.rsa.spki_der(),
            keys.ml_dsa.as_bytes(),
        ]
        .concat();
        let expected = crate::crypto::hash::blake2b_256_concat(b"", &framed);
        assert_eq!(keys.address().as_bytes(), &expected);
    }

    #[test]
    fn both_signatures_must_verify() {
        let (ours, other) = (account(0), account(1));
        let mut rng = rng(1);
        let (good, bad) = (
            ours.sign(&job("d"), &mut rng).unwrap(),
            other.sign(&job("d"), &mut rng).unwrap(),
        );
        let keys = ours.keys();
        assert_eq!(keys.verify("d", b"body", &good), Ok(()));
        let wrong_rsa = AccountSignature {
            rsa: bad.rsa.clone(),
            ml_dsa: good.ml_dsa.clone(),
        };
        let wrong_ml_dsa = AccountSignature {
            rsa: good.rsa.clone(),
            ml_dsa: bad.ml_dsa.clone(),
        };
        assert_eq!(
            keys.verify("d", b"body", &wrong_rsa),
            Err(BadAccountSignature)
        );
        assert_eq!(
            keys.verify("d", b"body", &wrong_ml_dsa),
            Err(BadAccountSignature)
        );
        assert_eq!(keys.verify("e", b"body", &good), Err(BadAccountSignature));
        assert_eq!(keys.verify("d", b"bodY", &good), Err(BadAccountSignature));
    }

    #[test]
    fn an_external_rsa_signature_over_the_framed_message_is_accepted() {
        // As WebCrypto does it: RSA-PSS over the bytes that `rsa_message` gives.
        let account = account(0);
        let job = job("ZenTalk test v1");
        assert_eq!(job.rsa_message(), b"ZenTalk test v1\0body");
        let mut rng = rng(1);
        let signature = account.sign(&job, &mut rng).unwrap();
        let ml_dsa = MlDsaSecret::from_seed(account.ml_dsa_seed().clone())
            .sign(job.domain(), job.ml_dsa_message(), &mut rng)
            .unwrap();
        let signature = AccountSignature {
            rsa: signature.rsa,
            ml_dsa,
        };
        assert!(job.finish(&account.keys(), signature).is_ok());
    }

    #[test]
    fn finishing_with_a_bad_signature_is_refused() {
        let mut rng = rng(1);
        let signature = account(1).sign(&job("d"), &mut rng).unwrap();
        assert_eq!(
            job("d").finish(&account(0).keys(), signature),
            Err(BadAccountSignature)
        );
    }

    #[test]
    fn keys_and_signed_bodies_survive_the_wire() {
        let account = account(0);
        let keys = account.keys();
        let encoded = to_cbor(&keys);
        assert_eq!(from_cbor::<AccountKeys>(&encoded, 4096).unwrap(), keys);
        let signed = account.sign_and_finish(job("d"), &mut rng(1)).unwrap();
        let encoded = to_cbor(&signed);
        let back: AccountSigned<16> = from_cbor(&encoded, 4096).unwrap();
        assert_eq!(back, signed);
        assert!(
            from_cbor::<AccountSigned<3>>(&encoded, 4096).is_err(),
            "a body over its bound"
        );
    }

    #[test]
    fn the_parts_restore_the_account() {
        let account = account(0);
        let rsa = RsaSecret::from_pkcs8_der(&account.rsa_pkcs8_der().unwrap()).unwrap();
        let back = AccountSecret::from_parts(rsa, account.ml_dsa_seed().clone());
        assert_eq!(back.keys(), account.keys());
        assert!(format!("{account:?}").starts_with("AccountSecret(…"));
    }
}
