//! X-Wing (draft-connolly-cfrg-xwing-kem-10): the KEM that is as strong as the better of X25519 and
//! ML-KEM-768.
//!
//! Composed here of the two, rather than taken from the crate `x-wing`, which expands the seed twice for
//! every decapsulation: a relay decapsulates for every packet. That crate is what the tests compare with.
//!
//! ```text
//! seed[32] ─SHAKE256─▶ d ‖ z [64], sk_X [32]
//! key        = ek_M [1184] ‖ pk_X [32]
//! ciphertext = ct_M [1088] ‖ ct_X [32]
//! secret     = SHA3-256(ss_M ‖ ss_X ‖ ct_X ‖ pk_X ‖ "\.//^\")
//! ```

use core::fmt;

use rand_core::CryptoRng;
use sha3::{Digest, Sha3_256};
use shake::{ExtendableOutput, Shake256, Update, XofReader};
use subtle::{Choice, ConstantTimeEq};
use thiserror::Error;

use super::dh::{X25519Public, X25519Secret};
use super::ml_kem::{self, MlKemCiphertext, MlKemKeyError, MlKemPublic, MlKemSecret, SEED_LEN};
use super::secret::{Secret, Secret32};
use super::wipe::{SMALL, wiping};

/// Length of an encoded X-Wing public key in bytes.
pub const XWING_PUBLIC_LEN: usize = ml_kem::PUBLIC_LEN + X25519Public::LEN;
/// Length of an X-Wing ciphertext in bytes.
pub const XWING_CIPHERTEXT_LEN: usize = ml_kem::CIPHERTEXT_LEN + X25519Public::LEN;

/// The draft's XWingLabel.
const LABEL: &[u8; 6] = br"\.//^\";

/// Why bytes are not an acceptable X-Wing public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum XWingKeyError {
    /// Not 1216 bytes.
    #[error("an X-Wing key has 1216 bytes, not {0}")]
    Length(usize),
    /// The ML-KEM half fails the modulus check (FIPS 203 §7.2).
    #[error("the X-Wing key fails the modulus check")]
    Modulus,
}

/// An X-Wing public key whose ML-KEM half passed the modulus check: 1216 bytes.
#[derive(Clone)]
pub struct XWingPublic {
    encoded: Box<[u8; XWING_PUBLIC_LEN]>,
    ml_kem: MlKemPublic,
    x25519: X25519Public,
}

impl XWingPublic {
    fn new(ml_kem: MlKemPublic, x25519: X25519Public) -> Self {
        Self {
            encoded: Box::new(join(ml_kem.encoding(), x25519.as_bytes())),
            ml_kem,
            x25519,
        }
    }

    /// The encoding.
    pub fn as_bytes(&self) -> &[u8; XWING_PUBLIC_LEN] {
        &self.encoded
    }

    /// Makes a fresh shared secret and the ciphertext that carries it.
    pub fn encapsulate(&self, rng: &mut impl CryptoRng) -> (XWingCiphertext, Secret32) {
        let (m, ephemeral) = split_secret::<64, 32>(&Secret::random(rng));
        let ephemeral = X25519Secret::from_bytes(&ephemeral);
        let (ct_m, ss_m) = self.ml_kem.encapsulate_with(&m);
        let ss_x = ephemeral.shared_with(&self.x25519);
        let secret = combine(&ss_m, &ss_x, ephemeral.public(), &self.x25519);
        let ciphertext = join(ct_m.as_bytes(), ephemeral.public().as_bytes());
        (XWingCiphertext::from_bytes(ciphertext), secret)
    }
}

impl TryFrom<&[u8]> for XWingPublic {
    type Error = XWingKeyError;
    fn try_from(bytes: &[u8]) -> Result<Self, XWingKeyError> {
        let encoded: &[u8; XWING_PUBLIC_LEN] = bytes
            .try_into()
            .map_err(|_| XWingKeyError::Length(bytes.len()))?;
        let (ml_kem, x25519) = split::<_, { ml_kem::PUBLIC_LEN }>(encoded);
        let ml_kem = MlKemPublic::try_from(ml_kem.as_slice()).map_err(|error| match error {
            MlKemKeyError::Length(_) => XWingKeyError::Length(bytes.len()),
            MlKemKeyError::Modulus => XWingKeyError::Modulus,
        })?;
        Ok(Self::new(ml_kem, X25519Public::from_bytes(x25519)))
    }
}

impl AsRef<[u8]> for XWingPublic {
    fn as_ref(&self) -> &[u8] {
        &*self.encoded
    }
}

impl PartialEq for XWingPublic {
    fn eq(&self, other: &Self) -> bool {
        self.encoded == other.encoded
    }
}

impl Eq for XWingPublic {}

impl fmt::Debug for XWingPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = *self.encoded;
        write!(f, "XWingPublic({a:02x}{b:02x}{c:02x}{d:02x}…)")
    }
}

cbor_as_bytes!(XWingPublic, "not an acceptable X-Wing key");

boxed_bytes! {
    /// An X-Wing ciphertext: 1120 bytes.
    XWingCiphertext, XWING_CIPHERTEXT_LEN, "X-Wing ciphertext of the wrong length"
}

/// An X-Wing secret key: its 32-byte seed, by which it is stored, and the keys that follow from it,
/// expanded once. Wiped on drop.
#[derive(Clone)]
pub struct XWingSecret {
    seed: Secret32,
    ml_kem: MlKemSecret,
    x25519: X25519Secret,
    public: XWingPublic,
}

impl XWingSecret {
    /// Restores a key from its seed: about as costly as a decapsulation.
    pub fn from_seed(seed: Secret32) -> Self {
        let (ml_kem, x25519) = split_secret::<_, SEED_LEN>(&expand(&seed));
        let (ml_kem, x25519) = (
            MlKemSecret::from_seed(ml_kem),
            X25519Secret::from_bytes(&x25519),
        );
        Self {
            seed,
            public: XWingPublic::new(ml_kem.public().clone(), *x25519.public()),
            ml_kem,
            x25519,
        }
    }

    /// A fresh key.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self::from_seed(Secret32::random(rng))
    }

    /// The seed, for storage in an encrypted record.
    pub const fn seed(&self) -> &Secret32 {
        &self.seed
    }

    /// The public key.
    pub const fn public(&self) -> &XWingPublic {
        &self.public
    }

    /// The shared secret that `ciphertext` carries; noise if it was not made for this key.
    pub fn decapsulate(&self, ciphertext: &XWingCiphertext) -> Secret32 {
        let (ct_m, ct_x) = split::<_, { ml_kem::CIPHERTEXT_LEN }>(ciphertext.as_bytes());
        let ct_x = X25519Public::from_bytes(ct_x);
        let ss_m = self.ml_kem.decapsulate(&MlKemCiphertext::from_bytes(ct_m));
        let ss_x = self.x25519.shared_with(&ct_x);
        combine(&ss_m, &ss_x, &ct_x, &self.public.x25519)
    }
}

/// The 32-byte seed.
impl<C> minicbor::Encode<C> for XWingSecret {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        self.seed.encode(e, ctx)
    }
}

impl<'b, C> minicbor::Decode<'b, C> for XWingSecret {
    fn decode(d: &mut minicbor::Decoder<'b>, ctx: &mut C) -> Result<Self, minicbor::decode::Error> {
        Secret32::decode(d, ctx).map(Self::from_seed)
    }
}

impl ConstantTimeEq for XWingSecret {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.seed.ct_eq(&other.seed)
    }
}

impl fmt::Debug for XWingSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "XWingSecret(…, {:?})", self.public)
    }
}

/// SHAKE256(seed): ML-KEM's seed, then X25519's secret key.
fn expand(seed: &Secret32) -> Secret<{ SEED_LEN + 32 }> {
    wiping::<SMALL, _>(|| {
        let mut expanded = Secret::zeroed();
        let mut shake = Shake256::default();
        shake.update(seed.as_bytes());
        shake.finalize_xof().read(expanded.as_mut_bytes());
        expanded
    })
}

/// The draft's Combiner. Whether an X25519 half is of low order does not matter: ML-KEM's is there.
fn combine(ss_m: &Secret32, ss_x: &Secret32, ct_x: &X25519Public, pk_x: &X25519Public) -> Secret32 {
    wiping::<SMALL, _>(|| {
        let hash = Sha3_256::new()
            .chain_update(ss_m.as_bytes())
            .chain_update(ss_x.as_bytes())
            .chain_update(ct_x.as_bytes())
            .chain_update(pk_x.as_bytes())
            .chain_update(LABEL);
        Secret32::from_bytes(hash.finalize().into())
    })
}

/// `head ‖ tail`.
fn join<const N: usize, const H: usize>(head: &[u8; H], tail: &[u8; 32]) -> [u8; N] {
    const { assert!(N == H + 32) };
    let mut joined = [0; N];
    let (first, last) = joined.split_at_mut(H);
    first.copy_from_slice(head);
    last.copy_from_slice(tail);
    joined
}

/// The first `H` bytes and the other 32.
fn split<const N: usize, const H: usize>(bytes: &[u8; N]) -> ([u8; H], [u8; 32]) {
    const { assert!(N == H + 32) };
    let (mut head, mut tail) = ([0; H], [0; 32]);
    let (first, last) = bytes.split_at(H);
    head.copy_from_slice(first);
    tail.copy_from_slice(last);
    (head, tail)
}

/// [`split`] for secrets: straight into what wipes itself.
fn split_secret<const N: usize, const H: usize>(bytes: &Secret<N>) -> (Secret<H>, Secret32) {
    const { assert!(N == H + 32) };
    let (mut head, mut tail) = (Secret::zeroed(), Secret::zeroed());
    let (first, last) = bytes.as_bytes().split_at(H);
    head.as_mut_bytes().copy_from_slice(first);
    tail.as_mut_bytes().copy_from_slice(last);
    (head, tail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::rng;
    use x_wing::{Decapsulate, Decapsulator, Encapsulate, KeyExport};

    #[test]
    fn agrees_with_the_crate_x_wing() {
        for seed in 0..4 {
            let ours = XWingSecret::random(&mut rng(seed));
            let theirs = x_wing::DecapsulationKey::from(*ours.seed().as_bytes());
            let public = theirs.encapsulation_key();
            assert_eq!(public.to_bytes().as_slice(), ours.public().as_bytes());
            let (ciphertext, secret) = ours.public().encapsulate(&mut rng(100 + seed));
            let (expected, shared) = public.encapsulate_with_rng(&mut rng(100 + seed));
            assert_eq!(ciphertext.as_bytes().as_slice(), expected.as_slice());
            assert_eq!(secret.as_bytes().as_slice(), shared.as_slice());
            assert_eq!(ours.decapsulate(&ciphertext), secret);
            assert_eq!(theirs.decapsulate(&expected), shared);
        }
    }

    #[test]
    fn rejects_implicitly_as_the_crate_does() {
        let ours = XWingSecret::random(&mut rng(1));
        let theirs = x_wing::DecapsulationKey::from(*ours.seed().as_bytes());
        let (ciphertext, _) = ours.public().encapsulate(&mut rng(2));
        for at in [0, 1087, 1088, 1119] {
            let mut changed = *ciphertext.as_bytes();
            changed[at] ^= 1;
            let expected = theirs.decapsulate((&changed).into());
            let secret = ours.decapsulate(&XWingCiphertext::from_bytes(changed));
            assert_eq!(secret.as_bytes().as_slice(), expected.as_slice());
        }
        let mut low_order = *ciphertext.as_bytes();
        low_order[1088..].fill(0);
        let expected = theirs.decapsulate((&low_order).into());
        let secret = ours.decapsulate(&XWingCiphertext::from_bytes(low_order));
        assert_eq!(secret.as_bytes().as_slice(), expected.as_slice());
    }

    #[test]
    fn keys_are_checked() {
        let unreduced = [0xff; XWING_PUBLIC_LEN];
        assert_eq!(
            XWingPublic::try_from(unreduced.as_slice()),
            Err(XWingKeyError::Modulus)
        );
        assert_eq!(
            XWingPublic::try_from(&unreduced[1..]),
            Err(XWingKeyError::Length(1215))
        );
        let key = XWingSecret::random(&mut rng(3));
        let again = XWingPublic::try_from(key.public().as_ref()).unwrap();
        assert_eq!(&again, key.public());
    }

    #[test]
    fn debug_prints_no_secret() {
        let key = XWingSecret::random(&mut rng(1));
        assert!(format!("{key:?}").starts_with("XWingSecret(…, XWingPublic("));
    }
}
