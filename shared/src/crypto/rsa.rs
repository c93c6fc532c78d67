//! RSA-4096 (RFC 8017) with e = 65537: PSS and OAEP with SHA-256, no other parameters.
//!
//! Keys travel as SPKI DER (public) and PKCS#8 DER (private). A public key has exactly one accepted
//! encoding, since identifiers are hashes of it. Every private operation is blinded, hence takes a
//! generator. In browsers the account key signs through WebCrypto instead; the bytes are the same.

use core::fmt;

use ::rsa::Oaep;
use ::rsa::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey};
use ::rsa::pss::Pss;
use ::rsa::traits::PublicKeyParts;
use rand_core::CryptoRng;
use sha2::{Digest, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

use super::sign::{BadSignature, framed};

/// Modulus length in bits; no other is accepted.
pub const BITS: usize = 4096;
/// Length of a signature and of a ciphertext in bytes.
pub const SIGNATURE_LEN: usize = BITS / 8;
/// Length of the SPKI DER of a public key in bytes: one value, as modulus and exponent are fixed.
pub const SPKI_LEN: usize = 550;
/// Longest SPKI DER that is looked at, in bytes: keys up to twice the size get a precise refusal.
const MAX_SPKI_LEN: usize = 1_100;
/// Longest PKCS#8 DER of a private key that is looked at, in bytes (real ones have about 2,375).
pub const MAX_PKCS8_LEN: usize = 2_500;
/// PSS salt length in bytes.
const SALT_LEN: usize = 32;
/// Longest plaintext that OAEP-SHA256 carries, in bytes.
const MAX_OAEP_PLAINTEXT: usize = SIGNATURE_LEN - 2 * 32 - 2;

/// Why bytes are not an acceptable RSA key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RsaKeyError {
    /// Not the DER structure of an RSA key, or not its one canonical encoding.
    #[error("not the canonical DER of an RSA key")]
    Encoding,
    /// The modulus is not exactly 4096 bits long.
    #[error("the RSA modulus has {0} bits, not 4096")]
    ModulusBits(usize),
    /// The public exponent is not 65537.
    #[error("the RSA public exponent is not 65537")]
    Exponent,
}

/// Why a private operation failed. None of these depends on a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RsaPrivateError {
    /// The key's components do not fit together, so no result may be released.
    #[error("the RSA key is inconsistent")]
    InconsistentKey,
    /// The ciphertext is not an OAEP encryption to this key.
    #[error("the RSA ciphertext does not decrypt")]
    BadCiphertext,
}

/// The caller gave OAEP more plaintext than it carries (446 bytes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("OAEP-SHA256 carries at most 446 bytes, not {0}")]
pub struct PlaintextTooLong(pub usize);

/// No RSA key could be generated: the generator gave no usable primes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("no RSA key could be generated")]
pub struct GenerateError;

boxed_bytes! {
    /// An RSA-PSS-SHA256 signature: 512 bytes, not yet verified.
    RsaSignature, SIGNATURE_LEN, "RSA signature of the wrong length"
}

/// An RSA-4096 public key with its SPKI DER.
#[derive(Clone)]
pub struct RsaPublic {
    key: ::rsa::RsaPublicKey,
    spki: Box<[u8]>,
}

impl RsaPublic {
    /// Decodes SPKI DER: exactly 4096 bits, e = 65537, canonical.
    pub fn from_spki_der(der: &[u8]) -> Result<Self, RsaKeyError> {
        if der.len() > MAX_SPKI_LEN {
            return Err(RsaKeyError::Encoding);
        }
        let key =
            ::rsa::RsaPublicKey::from_public_key_der(der).map_err(|_| RsaKeyError::Encoding)?;
        let public = Self::checked(key)?;
        match *public.spki == *der {
            true => Ok(public),
            false => Err(RsaKeyError::Encoding),
        }
    }

    fn checked(key: ::rsa::RsaPublicKey) -> Result<Self, RsaKeyError> {
        let bits = key.n().bits_vartime() as usize;
        if bits != BITS {
            return Err(RsaKeyError::ModulusBits(bits));
        }
        if *key.e() != ::rsa::BoxedUint::from(65_537u64) {
            return Err(RsaKeyError::Exponent);
        }
        let spki = key.to_public_key_der().map_err(|_| RsaKeyError::Encoding)?;
        Ok(Self {
            key,
            spki: spki.as_bytes().into(),
        })
    }

    /// The SPKI DER, 550 bytes.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// The SPKI DER under the name that codecs use.
    pub fn as_bytes(&self) -> &[u8] {
        &self.spki
    }

    /// Verifies PSS-SHA256 (salt 32) over domain ‖ 0x00 ‖ message.
    pub fn verify(
        &self,
        domain: &str,
        message: &[u8],
        signature: &RsaSignature,
    ) -> Result<(), BadSignature> {
        self.verify_framed(&framed(domain, message), signature)
    }

    /// Verifies PSS-SHA256 (salt 32) over bytes that have their domain in front already.
    pub(super) fn verify_framed(
        &self,
        framed: &[u8],
        signature: &RsaSignature,
    ) -> Result<(), BadSignature> {
        let digest = Sha256::digest(framed);
        self.key
            .verify(
                Pss::<Sha256>::new_with_salt(SALT_LEN),
                &digest,
                signature.as_ref(),
            )
            .map_err(|_| BadSignature)
    }

    /// Encrypts up to 446 bytes with OAEP-SHA256: 512 bytes of ciphertext.
    pub fn encrypt_oaep(
        &self,
        plaintext: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<[u8; SIGNATURE_LEN], PlaintextTooLong> {
        let too_long = PlaintextTooLong(plaintext.len());
        if plaintext.len() > MAX_OAEP_PLAINTEXT {
            return Err(too_long);
        }
        let sealed = self
            .key
            .encrypt(rng, Oaep::<Sha256>::new(), plaintext)
            .map_err(|_| too_long)?;
        sealed.try_into().map_err(|_| too_long)
    }
}

impl TryFrom<&[u8]> for RsaPublic {
    type Error = RsaKeyError;
    fn try_from(der: &[u8]) -> Result<Self, RsaKeyError> {
        Self::from_spki_der(der)
    }
}

impl AsRef<[u8]> for RsaPublic {
    fn as_ref(&self) -> &[u8] {
        &self.spki
    }
}

impl PartialEq for RsaPublic {
    fn eq(&self, other: &Self) -> bool {
        self.spki == other.spki
    }
}

impl Eq for RsaPublic {}

impl fmt::Debug for RsaPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RsaPublic(")?;
        let modulus = self.spki.iter().skip(33).take(4);
        modulus
            .copied()
            .try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("…)")
    }
}

cbor_as_bytes!(RsaPublic, "not an acceptable RSA-4096 key");

/// An RSA-4096 private key. Wiped on drop.
#[derive(Clone)]
pub struct RsaSecret {
    key: ::rsa::RsaPrivateKey,
    public: RsaPublic,
}

impl RsaSecret {
    /// Generates a key: about a second natively, far too slow in wasm (use WebCrypto there).
    pub fn generate(rng: &mut impl CryptoRng) -> Result<Self, GenerateError> {
        let key = ::rsa::RsaPrivateKey::new(rng, BITS).map_err(|_| GenerateError)?;
        Self::checked(key).map_err(|_| GenerateError)
    }

    /// Decodes PKCS#8 DER and checks that the components fit together.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, RsaKeyError> {
        if der.len() > MAX_PKCS8_LEN {
            return Err(RsaKeyError::Encoding);
        }
        let key = ::rsa::RsaPrivateKey::from_pkcs8_der(der).map_err(|_| RsaKeyError::Encoding)?;
        Self::checked(key)
    }

    fn checked(key: ::rsa::RsaPrivateKey) -> Result<Self, RsaKeyError> {
        let public = RsaPublic::checked(key.to_public_key())?;
        Ok(Self { key, public })
    }

    /// The PKCS#8 DER, for storage in an encrypted record or a `0600` file.
    pub fn to_pkcs8_der(&self) -> Result<Zeroizing<Vec<u8>>, RsaKeyError> {
        let document = self.key.to_pkcs8_der().map_err(|_| RsaKeyError::Encoding)?;
        Ok(Zeroizing::new(document.as_bytes().to_vec()))
    }

    /// The public key.
    pub const fn public(&self) -> &RsaPublic {
        &self.public
    }

    /// Signs domain ‖ 0x00 ‖ message with PSS-SHA256 (salt 32), blinded.
    pub fn sign(
        &self,
        domain: &str,
        message: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<RsaSignature, RsaPrivateError> {
        self.sign_framed(&framed(domain, message), rng)
    }

    /// Signs bytes that have their domain in front already: the host's part of an account signature.
    pub fn sign_framed(
        &self,
        framed: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<RsaSignature, RsaPrivateError> {
        let digest = Sha256::digest(framed);
        let scheme = Pss::<Sha256>::new_blinded_with_salt(SALT_LEN);
        self.key
            .sign_with_rng(rng, scheme, &digest)
            .ok()
            .and_then(|bytes| RsaSignature::try_from(bytes.as_slice()).ok())
            .ok_or(RsaPrivateError::InconsistentKey)
    }

    /// Decrypts OAEP-SHA256, blinded.
    pub fn decrypt_oaep(
        &self,
        ciphertext: &[u8; SIGNATURE_LEN],
        rng: &mut impl CryptoRng,
    ) -> Result<Zeroizing<Vec<u8>>, RsaPrivateError> {
        self.key
            .decrypt_blinded(rng, Oaep::<Sha256>::new(), ciphertext)
            .map(Zeroizing::new)
            .map_err(|_| RsaPrivateError::BadCiphertext)
    }
}

/// The PKCS#8 DER.
impl<C> minicbor::Encode<C> for RsaSecret {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        let der = self.to_pkcs8_der().map_err(|_| {
            minicbor::encode::Error::<W::Error>::message("the RSA key has no encoding")
        })?;
        e.bytes(&der)?.ok()
    }
}

impl<'b, C> minicbor::Decode<'b, C> for RsaSecret {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let at = d.position();
        Self::from_pkcs8_der(d.bytes()?)
            .map_err(|_| minicbor::decode::Error::message("not an RSA-4096 key").at(at))
    }
}

impl fmt::Debug for RsaSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RsaSecret(…, {:?})", self.public)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{account_rsa, rng};

    #[test]
    fn public_keys_have_one_encoding() {
        let public = account_rsa(0).public().clone();
        assert_eq!(public.spki_der().len(), SPKI_LEN);
        assert_eq!(RsaPublic::from_spki_der(public.spki_der()).unwrap(), public);
        let with_tail = [public.spki_der(), &[0]].concat();
        assert_eq!(
            RsaPublic::from_spki_der(&with_tail),
            Err(RsaKeyError::Encoding)
        );
        let huge = [0x30; MAX_SPKI_LEN + 1];
        assert_eq!(RsaPublic::from_spki_der(&huge), Err(RsaKeyError::Encoding));
        let cut = &public.spki_der()[..SPKI_LEN - 1];
        assert_eq!(RsaPublic::from_spki_der(cut), Err(RsaKeyError::Encoding));
    }

    #[test]
    fn other_exponents_and_lengths_are_refused() {
        let mut exponent_three = account_rsa(0).public().spki_der().to_vec();
        exponent_three[SPKI_LEN - 3..].copy_from_slice(&[1, 0, 3]);
        assert_eq!(
            RsaPublic::from_spki_der(&exponent_three),
            Err(RsaKeyError::Exponent)
        );
        let small = ::rsa::RsaPrivateKey::new(&mut rng(1), 2048).unwrap();
        let small = small.to_public_key().to_public_key_der().unwrap();
        let refused = RsaPublic::from_spki_der(small.as_bytes());
        assert_eq!(refused, Err(RsaKeyError::ModulusBits(2048)));
    }

    #[test]
    fn private_keys_restore_from_pkcs8() {
        let key = account_rsa(0);
        let der = key.to_pkcs8_der().unwrap();
        assert!(der.len() <= MAX_PKCS8_LEN);
        assert_eq!(
            RsaSecret::from_pkcs8_der(&der).unwrap().public(),
            key.public()
        );
        assert!(RsaSecret::from_pkcs8_der(&der[1..]).is_err());
        assert!(RsaSecret::from_pkcs8_der(&[0x30; MAX_PKCS8_LEN + 1]).is_err());
        assert!(format!("{key:?}").starts_with("RsaSecret(…"));
    }

    #[test]
    fn pss_verifies_only_the_same_key_domain_and_message() {
        let key = account_rsa(0);
        let signature = key.sign("a", b"m", &mut rng(1)).unwrap();
        assert_eq!(key.public().verify("a", b"m", &signature), Ok(()));
        assert_eq!(
            key.public().verify("b", b"m", &signature),
            Err(BadSignature)
        );
        assert_eq!(
            key.public().verify("a", b"n", &signature),
            Err(BadSignature)
        );
        assert_eq!(
            account_rsa(1).public().verify("a", b"m", &signature),
            Err(BadSignature)
        );
        let mut changed = *signature.as_bytes();
        changed[0] ^= 1;
        let changed = RsaSignature::from_bytes(changed);
        assert_eq!(key.public().verify("a", b"m", &changed), Err(BadSignature));
    }

    #[test]
    fn a_salt_of_another_length_is_refused() {
        let key = account_rsa(0);
        let digest = Sha256::digest(framed("a", b"m"));
        let scheme = Pss::<Sha256>::new_blinded_with_salt(20);
        let bytes = key.key.sign_with_rng(&mut rng(1), scheme, &digest).unwrap();
        let signature = RsaSignature::try_from(bytes.as_slice()).unwrap();
        assert_eq!(
            key.public().verify("a", b"m", &signature),
            Err(BadSignature)
        );
    }

    /// A generator that counts what is drawn from it.
    struct Counting(rand_chacha::ChaCha20Rng, usize);

    impl rand_core::TryRng for Counting {
        type Error = core::convert::Infallible;
        fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
            rand_core::utils::next_word_via_fill(self)
        }
        fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
            rand_core::utils::next_word_via_fill(self)
        }
        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
            self.1 += bytes.len();
            self.0.try_fill_bytes(bytes)
        }
    }

    impl rand_core::TryCryptoRng for Counting {}

    #[test]
    fn every_private_operation_is_blinded() {
        // A blinding factor is a random number below the modulus: 512 bytes at least.
        let (key, mut rng) = (account_rsa(0), Counting(rng(1), 0));
        key.sign("a", b"m", &mut rng).unwrap();
        assert!(rng.1 >= SALT_LEN + SIGNATURE_LEN, "{} bytes", rng.1);
        let sealed = key.public().encrypt_oaep(b"m", &mut rng).unwrap();
        let before = rng.1;
        key.decrypt_oaep(&sealed, &mut rng).unwrap();
        assert!(rng.1 - before >= SIGNATURE_LEN, "{} bytes", rng.1 - before);
        let before = rng.1;
        key.decrypt_oaep(&[1; SIGNATURE_LEN], &mut rng).unwrap_err();
        assert!(rng.1 - before >= SIGNATURE_LEN, "{} bytes", rng.1 - before);
    }

    #[test]
    fn oaep_round_trip_and_limits() {
        let key = account_rsa(0);
        let mut rng = rng(1);
        let longest = [7; MAX_OAEP_PLAINTEXT];
        let sealed = key.public().encrypt_oaep(&longest, &mut rng).unwrap();
        assert_eq!(
            key.decrypt_oaep(&sealed, &mut rng).unwrap().as_slice(),
            longest
        );
        let too_long = key
            .public()
            .encrypt_oaep(&[7; MAX_OAEP_PLAINTEXT + 1], &mut rng);
        assert_eq!(too_long, Err(PlaintextTooLong(447)));
        let wrong = account_rsa(1).decrypt_oaep(&sealed, &mut rng);
        assert_eq!(wrong, Err(RsaPrivateError::BadCiphertext));
    }
}
