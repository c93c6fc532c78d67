//! Secret bytes: wiped when dropped, compared in constant time, never printed. They lie on the heap, so
//! that moving a value that holds them leaves no copy behind.

use core::fmt;

use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::id::WrongLength;

/// `N` secret bytes. On the wire (only ever inside an encrypted record): a byte string of length `N`.
#[derive(Clone)]
pub struct Secret<const N: usize>(Box<[u8; N]>);

/// A 32-byte secret: the size of every symmetric key here.
pub type Secret32 = Secret<32>;

impl<const N: usize> Secret<N> {
    /// Zeros, to be filled in place.
    pub fn zeroed() -> Self {
        Self(Box::new([0; N]))
    }

    /// Copies the bytes. The caller's own copy is the caller's to wipe.
    pub fn from_bytes(mut bytes: [u8; N]) -> Self {
        let secret = Self::copy_of(&bytes);
        bytes.zeroize();
        secret
    }

    /// Copies bytes that lie elsewhere: in a type that wipes itself.
    pub fn copy_of(bytes: &[u8; N]) -> Self {
        let mut secret = Self::zeroed();
        secret.0.copy_from_slice(bytes);
        secret
    }

    /// Fresh random bytes.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut secret = Self::zeroed();
        rng.fill_bytes(secret.0.as_mut_slice());
        secret
    }

    /// The bytes, for a primitive to use. Do not copy them into anything that outlives the call.
    pub fn as_bytes(&self) -> &[u8; N] {
        &self.0
    }

    /// Writable access for a primitive that fills the secret in place.
    pub fn as_mut_bytes(&mut self) -> &mut [u8; N] {
        &mut self.0
    }
}

impl<const N: usize> TryFrom<&[u8]> for Secret<N> {
    type Error = WrongLength;
    fn try_from(bytes: &[u8]) -> Result<Self, WrongLength> {
        let same_length: &[u8; N] = bytes.try_into().map_err(|_| WrongLength {
            what: "Secret",
            expected: N,
            actual: bytes.len(),
        })?;
        Ok(Self::copy_of(same_length))
    }
}

impl<const N: usize> Zeroize for Secret<N> {
    fn zeroize(&mut self) {
        self.0.as_mut_slice().zeroize();
    }
}

impl<const N: usize> Drop for Secret<N> {
    fn drop(&mut self) {
        self.zeroize();
    }
}

impl<const N: usize> ZeroizeOnDrop for Secret<N> {}

impl<const N: usize> ConstantTimeEq for Secret<N> {
    fn ct_eq(&self, other: &Self) -> subtle::Choice {
        self.0.as_slice().ct_eq(other.0.as_slice())
    }
}

impl<const N: usize> PartialEq for Secret<N> {
    fn eq(&self, other: &Self) -> bool {
        self.ct_eq(other).into()
    }
}

impl<const N: usize> Eq for Secret<N> {}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl<C, const N: usize> minicbor::Encode<C> for Secret<N> {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(self.0.as_slice())?.ok()
    }
}

impl<'b, C, const N: usize> minicbor::Decode<'b, C> for Secret<N> {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let at = d.position();
        Self::try_from(d.bytes()?)
            .map_err(|_| minicbor::decode::Error::message("secret of the wrong length").at(at))
    }
}

/// Whether all bytes are zero, in a time that depends on their number only: for plaintexts that must not
/// be told apart by where they begin to be wrong.
pub fn is_zero(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .fold(0, |sum: u8, byte| sum | byte)
        .ct_eq(&0)
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_prints_nothing() {
        assert_eq!(
            format!("{:?}", Secret32::from_bytes([0xaa; 32])),
            "Secret(…)"
        );
    }

    #[test]
    fn compares_by_value() {
        assert_eq!(Secret::<4>::from_bytes([1; 4]), Secret::from_bytes([1; 4]));
        assert_ne!(Secret::<4>::from_bytes([1; 4]), Secret::from_bytes([2; 4]));
    }

    #[test]
    fn travels_with_exact_length() {
        let secret = Secret32::from_bytes([3; 32]);
        let bytes = minicbor::to_vec(&secret).unwrap();
        assert_eq!(minicbor::decode::<Secret32>(&bytes).unwrap(), secret);
        assert!(minicbor::decode::<Secret<31>>(&bytes).is_err());
    }

    #[test]
    fn zeros_are_zeros_and_nothing_else_is() {
        assert!(is_zero(&[]) && is_zero(&[0; 100]));
        for at in 0..100 {
            for bit in 0..8 {
                let mut bytes = [0; 100];
                bytes[at] = 1 << bit;
                assert!(!is_zero(&bytes));
            }
        }
    }

    #[test]
    fn zeroize_clears_the_bytes() {
        let mut secret = Secret32::from_bytes([3; 32]);
        secret.zeroize();
        assert_eq!(secret.as_bytes(), &[0; 32]);
    }
}
