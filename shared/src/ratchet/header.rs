//! The ratchet header: which step, which chain, which message. Fixed layout, PROTOCOL §8.

use crate::crypto::dh::X25519Public;
use crate::crypto::ml_kem::{CIPHERTEXT_LEN, MlKemCiphertext, PUBLIC_LEN};
use crate::wire::budget::RATCHET_HEADER_LEN;

/// dh ‖ ek ‖ ct ‖ pn ‖ n: the same length always; the first three repeated through a chain, so that
/// any message of a chain can open it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The sender's X25519 key of this step; names the chain.
    pub dh: X25519Public,
    /// The sender's ML-KEM-768 key of this step, encoded and not yet checked.
    pub ek: Box<[u8; PUBLIC_LEN]>,
    /// KEM ciphertext for the receiver's last key.
    pub ct: MlKemCiphertext,
    /// Messages in the sender's previous chain.
    pub pn: u32,
    /// Number of this message in its chain, from zero.
    pub n: u32,
}

impl Header {
    /// Length in bytes: 2312.
    pub const LEN: usize = RATCHET_HEADER_LEN;

    /// The fixed layout.
    pub fn encode(&self) -> Box<[u8; Self::LEN]> {
        let mut out = Box::new([0; Self::LEN]);
        let mut rest = out.as_mut_slice();
        self.fields(|field| {
            let (head, tail) = core::mem::take(&mut rest).split_at_mut(field.len());
            head.copy_from_slice(field);
            rest = tail;
        });
        out
    }

    /// Appends the fixed layout.
    pub(super) fn append_to(&self, out: &mut Vec<u8>) {
        self.fields(|field| out.extend_from_slice(field));
    }

    /// The fields in their order, [`LEN`](Self::LEN) bytes together.
    fn fields(&self, mut each: impl FnMut(&[u8])) {
        each(self.dh.as_bytes());
        each(&*self.ek);
        each(self.ct.as_bytes());
        each(&self.pn.to_be_bytes());
        each(&self.n.to_be_bytes());
    }

    /// Reads the fixed layout: any bytes are a header; whether its keys are any good shows when used.
    pub fn decode(bytes: &[u8; Self::LEN]) -> Self {
        let (dh, rest) = split::<32>(bytes);
        let (ek, rest) = split::<PUBLIC_LEN>(rest);
        let (ct, rest) = split::<CIPHERTEXT_LEN>(rest);
        let (pn, rest) = split::<4>(rest);
        let (n, _) = split::<4>(rest);
        Self {
            dh: X25519Public::from_bytes(dh),
            ek: Box::new(ek),
            ct: MlKemCiphertext::from_bytes(ct),
            pn: u32::from_be_bytes(pn),
            n: u32::from_be_bytes(n),
        }
    }
}

/// The first `N` bytes and the rest. [`Header::decode`] asks for no more than its array has; a shorter
/// slice would read as zeros.
fn split<const N: usize>(bytes: &[u8]) -> ([u8; N], &[u8]) {
    bytes
        .split_first_chunk::<N>()
        .map_or(([0; N], &[]), |(head, rest)| (*head, rest))
}

const _: () = assert!(Header::LEN == 32 + PUBLIC_LEN + CIPHERTEXT_LEN + 4 + 4);
