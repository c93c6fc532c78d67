//! X25519 (RFC 7748). With the feature `hacl-x25519`, which native hosts have, the ladder is HACL*'s, in Rust, of `libcrux`; in
//! wasm, where that is slow, it is dalek's. Public keys come from dalek everywhere, whose tables make multiples of the base point cheaper.

use core::fmt;

use rand_core::CryptoRng;
use thiserror::Error;
use x25519_dalek::StaticSecret;

use super::secret::{Secret32, is_zero};
use super::wipe::{CURVE, wiping};
use crate::id::WrongLength;

/// The peer's public key has small order: the shared secret would be zero whatever our key is
/// (RFC 7748 §6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the X25519 public key has low order")]
pub struct LowOrderPoint;

/// An X25519 public key: 32 bytes, any of which is a valid encoding. Low-order points are refused
/// where they would do harm, in [`X25519Secret::diffie_hellman`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct X25519Public([u8; 32]);

impl X25519Public {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// Wraps an encoded u-coordinate.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The encoded u-coordinate.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether it is a point of small order, with which nobody agrees on a secret: every scalar is a multiple of
    /// eight, and takes such a point to zero.
    pub fn has_low_order(&self) -> bool {
        let any = Secret32::from_bytes([8; 32]);
        X25519Secret::from_bytes(&any).diffie_hellman(self).is_err()
    }
}

impl TryFrom<&[u8]> for X25519Public {
    type Error = WrongLength;
    fn try_from(bytes: &[u8]) -> Result<Self, WrongLength> {
        let what = "X25519Public";
        bytes.try_into().map(Self).map_err(|_| WrongLength {
            what,
            expected: Self::LEN,
            actual: bytes.len(),
        })
    }
}

impl AsRef<[u8]> for X25519Public {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for X25519Public {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "X25519Public({a:02x}{b:02x}{c:02x}{d:02x}…)")
    }
}

cbor_as_bytes!(X25519Public, "X25519 key of the wrong length");

/// An X25519 secret key with its public key beside it. Wiped on drop.
#[derive(Clone)]
pub struct X25519Secret {
    /// On the heap: moving a key copies no secret.
    secret: Box<StaticSecret>,
    public: X25519Public,
}

impl X25519Secret {
    /// Restores a key from its 32 secret bytes.
    pub fn from_bytes(bytes: &Secret32) -> Self {
        wiping::<CURVE, _>(|| {
            let secret = Box::new(StaticSecret::from(*bytes.as_bytes()));
            let public = X25519Public(x25519_dalek::PublicKey::from(&*secret).to_bytes());
            Self { secret, public }
        })
    }

    /// A fresh key.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self::from_bytes(&Secret32::random(rng))
    }

    /// The secret bytes, for storage in an encrypted record.
    pub fn to_bytes(&self) -> Secret32 {
        Secret32::copy_of(self.secret.as_bytes())
    }

    /// The public key.
    pub const fn public(&self) -> &X25519Public {
        &self.public
    }

    /// The shared secret with `peer`; refuses a peer key of low order, in constant time.
    pub fn diffie_hellman(&self, peer: &X25519Public) -> Result<Secret32, LowOrderPoint> {
        let shared = self.shared_with(peer);
        match is_zero(shared.as_bytes()) {
            true => Err(LowOrderPoint),
            false => Ok(shared),
        }
    }

    /// The shared secret with `peer` as RFC 7748 computes it, zero if `peer` has low order: for X-Wing,
    /// whose combiner does not depend on it.
    pub(super) fn shared_with(&self, peer: &X25519Public) -> Secret32 {
        wiping::<CURVE, _>(|| {
            let mut shared = Secret32::zeroed();
            ladder(shared.as_mut_bytes(), &self.secret, peer);
            shared
        })
    }
}

impl fmt::Debug for X25519Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "X25519Secret(…, {:?})", self.public)
    }
}

#[cfg(feature = "hacl-x25519")]
fn ladder(shared: &mut [u8; 32], secret: &StaticSecret, peer: &X25519Public) {
    libcrux_curve25519::hacl::scalarmult(shared, secret.as_bytes(), &peer.0);
}

#[cfg(not(feature = "hacl-x25519"))]
fn ladder(shared: &mut [u8; 32], secret: &StaticSecret, peer: &X25519Public) {
    shared.copy_from_slice(secret.diffie_hellman(&peer.0.into()).as_bytes());
}

impl<C> minicbor::Encode<C> for X25519Secret {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(self.secret.as_bytes())?.ok()
    }
}

impl<'b, C> minicbor::Decode<'b, C> for X25519Secret {
    fn decode(d: &mut minicbor::Decoder<'b>, ctx: &mut C) -> Result<Self, minicbor::decode::Error> {
        Secret32::decode(d, ctx).map(|bytes| Self::from_bytes(&bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{rng, unhex};

    fn secret(hex: &str) -> X25519Secret {
        X25519Secret::from_bytes(&Secret32::try_from(unhex(hex).as_slice()).unwrap())
    }

    #[test]
    fn rfc_7748_section_6_1() {
        let alice = secret("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
        let bob = secret("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
        let alice_public = "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a";
        let bob_public = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f";
        let shared = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";
        assert_eq!(alice.public().as_bytes().as_slice(), unhex(alice_public));
        assert_eq!(bob.public().as_bytes().as_slice(), unhex(bob_public));
        let ours = alice.diffie_hellman(bob.public()).unwrap();
        assert_eq!(ours.as_bytes().as_slice(), unhex(shared));
        assert_eq!(bob.diffie_hellman(alice.public()).unwrap(), ours);
    }

    #[test]
    fn agrees_with_dalek() {
        let rng = &mut rng(3);
        let key = || Secret32::random(&mut *rng);
        let keys: Vec<Secret32> = core::iter::repeat_with(key).take(64).collect();
        // Random bytes are not clamped, and half of them are the coordinate of a point on the twist.
        for pair in keys.windows(2) {
            let (secret, peer) = (&pair[0], *pair[1].as_bytes());
            let theirs = StaticSecret::from(*secret.as_bytes()).diffie_hellman(&peer.into());
            let ours = X25519Secret::from_bytes(secret);
            let shared = ours
                .diffie_hellman(&X25519Public::from_bytes(peer))
                .unwrap();
            assert_eq!(shared.as_bytes(), theirs.as_bytes());
        }
    }

    #[test]
    fn low_order_points_are_refused() {
        let ours = X25519Secret::random(&mut rng(1));
        let mut one = [0; 32];
        one[0] = 1;
        let order_eight = "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800";
        let p_minus_one = "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f";
        let p = "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f";
        let mut points = vec![
            X25519Public::from_bytes([0; 32]),
            X25519Public::from_bytes(one),
        ];
        for text in [order_eight, p_minus_one, p] {
            points.push(X25519Public::try_from(unhex(text).as_slice()).unwrap());
        }
        assert!(!ours.public().has_low_order());
        for point in points {
            assert_eq!(ours.diffie_hellman(&point), Err(LowOrderPoint), "{point:?}");
            assert!(point.has_low_order(), "{point:?}");
        }
    }

    #[test]
    fn storage_round_trip() {
        let key = X25519Secret::random(&mut rng(2));
        let record = minicbor::to_vec(&key).unwrap();
        let back: X25519Secret = minicbor::decode(&record).unwrap();
        assert_eq!(back.public(), key.public());
        assert_eq!(back.to_bytes(), key.to_bytes());
        assert!(format!("{key:?}").starts_with("X25519Secret(…"));
    }
}
