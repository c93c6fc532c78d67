//! ChaCha20 (RFC 8439) as a bare keystream.
//!
//! It hides and does not authenticate: it is one half of the onion's header encryption and
//! wide-block body, which authenticate by other means. The nonce is zero, so every key is used once.

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher, StreamCipherSeek};
use thiserror::Error;

use super::secret::Secret32;
use super::wipe::{SMALL, wiping};

/// More keystream was asked for than one key gives (256 GiB, RFC 8439 §2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the ChaCha20 keystream is exhausted")]
pub struct KeystreamExhausted;

/// XORs the keystream of a one-time `key` (nonce zero, counter zero) into `data`, in place.
pub fn xor(key: &Secret32, data: &mut [u8]) -> Result<(), KeystreamExhausted> {
    xor_at(key, 0, data)
}

/// Like [`xor`], with the keystream from byte `offset` on.
pub fn xor_at(key: &Secret32, offset: u64, data: &mut [u8]) -> Result<(), KeystreamExhausted> {
    wiping::<SMALL, _>(|| {
        let mut cipher = ChaCha20::new(key.as_bytes().into(), &[0; 12].into());
        if offset > 0 {
            cipher.try_seek(offset).map_err(|_| KeystreamExhausted)?;
        }
        cipher
            .try_apply_keystream(data)
            .map_err(|_| KeystreamExhausted)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_8439_appendix_a_1_test_vector_1() {
        let mut block = [0; 64];
        xor(&Secret32::from_bytes([0; 32]), &mut block).unwrap();
        assert_eq!(
            block[..16],
            [
                0x76, 0xb8, 0xe0, 0xad, 0xa0, 0xf1, 0x3d, 0x90, 0x40, 0x5d, 0x6a, 0xe5, 0x53, 0x86,
                0xbd, 0x28
            ]
        );
        assert_eq!(block[60..], [0xb2, 0xee, 0x65, 0x86]);
    }

    #[test]
    fn twice_is_identity() {
        let key = Secret32::from_bytes([5; 32]);
        let mut data = *b"some bytes";
        xor(&key, &mut data).unwrap();
        assert_ne!(&data, b"some bytes");
        xor(&key, &mut data).unwrap();
        assert_eq!(&data, b"some bytes");
    }

    #[test]
    fn an_offset_continues_the_same_stream() {
        let key = Secret32::from_bytes([5; 32]);
        let (mut whole, mut tail) = ([0; 200], [0; 100]);
        xor(&key, &mut whole).unwrap();
        xor_at(&key, 100, &mut tail).unwrap();
        assert_eq!(whole[100..], tail);
    }

    #[test]
    fn beyond_the_stream_is_an_error() {
        let key = Secret32::from_bytes([5; 32]);
        assert_eq!(xor_at(&key, u64::MAX, &mut [0; 1]), Err(KeystreamExhausted));
    }
}
