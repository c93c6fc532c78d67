//! The safety number: what two people compare, by voice or by camera, to be sure that nobody sits between
//! them. PROTOCOL §10.
//!
//! ```text
//!   account keys ‖ Address ──BLAKE2b-512, 5200 times──▶ fingerprint[64] ─┬─ first 30 bytes ─▶ 30 digits
//!                                                                        └─ first 32 bytes ─▶ half a QR code
//!   both accounts: 60 digits, the lower half first │ QR text: bech32m of version ‖ mine ‖ theirs
//! ```
//! The scheme is Signal's (`NumericFingerprintGenerator`: 5200 iterations of a 512-bit hash, five digits
//! from every five bytes). Thirty digits are worth 2^99.6, and the iterations make each guess 5200 times
//! as dear: 2^112. Signal repeats the public key in every iteration; ours has 2.5 KB, so that its hash, the
//! Address, is repeated instead and an iteration stays one block of the compression function (a number
//! costs about 2 ms, in wasm about 5).

use core::fmt;

use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32m, Hrp};
use subtle::ConstantTimeEq;
use thiserror::Error;

use super::account::AccountKeys;
use crate::crypto::hash::{blake2b_512, blake2b_512_concat};

/// The only version there is.
const VERSION: u8 = 1;
const DOMAIN: &[u8] = b"ZenTalk safety number v1";
/// Iterations of the hash, as Signal has them.
const ITERATIONS: usize = 5200;
/// Bytes of a fingerprint that the QR text holds.
const QR_LEN: usize = 32;
/// Bytes of a fingerprint that become one group of five digits.
const GROUP_LEN: usize = 5;
/// Groups of five digits from one account.
const GROUPS: usize = 6;
const HRP: Hrp = Hrp::parse_unchecked("zsn");
/// Longest text that is looked at, in bytes; a QR text of version 1 has 114.
const MAX_TEXT_LEN: usize = 512;

/// What one account contributes. Public, but compared in constant time only: a scanned text may come from
/// whoever wants to learn how far it agrees.
#[derive(Clone, Copy)]
struct Fingerprint([u8; 64]);

impl Fingerprint {
    fn of(keys: &AccountKeys) -> Self {
        let address = keys.address();
        let parts = [
            keys.rsa.spki_der(),
            keys.ml_dsa.as_bytes().as_slice(),
            address.as_bytes().as_slice(),
        ];
        let first = blake2b_512(DOMAIN, &parts);
        let next = |hash: [u8; 64], _| blake2b_512_concat(&hash, address.as_bytes());
        Self((0..ITERATIONS).fold(first, next))
    }

    fn digits(&self) -> String {
        let groups = self.0.chunks(GROUP_LEN).take(GROUPS);
        let number = |group: &[u8]| group.iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
        groups.fold(String::new(), |text, group| {
            format!("{text}{:05}", number(group) % 100_000)
        })
    }

    fn front(&self) -> [u8; QR_LEN] {
        let mut front = [0; QR_LEN];
        front
            .iter_mut()
            .zip(self.0)
            .for_each(|(to, from)| *to = from);
        front
    }
}

/// The safety number of two accounts, from the point of view of one of them.
#[derive(Clone, Copy)]
pub struct SafetyNumber {
    mine: Fingerprint,
    theirs: Fingerprint,
}

/// What a scanned text says about a safety number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Both ends see the same two accounts.
    Match,
    /// Somebody sees another account: perhaps someone sits between the two, perhaps the code is a third
    /// person's.
    Different,
}

/// Why a scanned text cannot be compared; nothing is said about anybody's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ScanError {
    /// Something else, or damaged.
    #[error("this is not a safety number")]
    NotASafetyNumber,
    /// A safety number of another version of the protocol.
    #[error("this safety number is of version {0}, which this software does not know")]
    OtherVersion(u8),
}

impl SafetyNumber {
    /// Of the accounts with these keys. About 10,400 hashes of 96 bytes: ask for it when it is to be shown.
    pub fn new(mine: &AccountKeys, theirs: &AccountKeys) -> Self {
        Self {
            mine: Fingerprint::of(mine),
            theirs: Fingerprint::of(theirs),
        }
    }

    /// Sixty digits, the same at both ends; shown in twelve groups of five.
    pub fn digits(&self) -> String {
        let mut halves = [self.mine.digits(), self.theirs.digits()];
        halves.sort();
        halves.concat()
    }

    /// What my QR code holds, for the other end to scan: 114 characters in upper case, which a QR code's
    /// alphanumeric mode halves.
    pub fn qr_text(&self) -> String {
        let scanned = ScannedSafetyNumber {
            theirs: self.mine.front(),
            mine: self.theirs.front(),
        };
        scanned.qr_text()
    }

    /// Compares it with what the other end shows, in constant time.
    pub fn compare(&self, scanned: &ScannedSafetyNumber) -> Comparison {
        let theirs = scanned.theirs.ct_eq(&self.theirs.front());
        let mine = scanned.mine.ct_eq(&self.mine.front());
        match bool::from(theirs & mine) {
            true => Comparison::Match,
            false => Comparison::Different,
        }
    }
}

impl fmt::Debug for SafetyNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SafetyNumber({})", self.digits())
    }
}

/// The text of somebody else's QR code, well-formed and not yet compared with anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScannedSafetyNumber {
    /// First on the wire: who shows the code.
    theirs: [u8; QR_LEN],
    /// Second: whom they show it to.
    mine: [u8; QR_LEN],
}

impl ScannedSafetyNumber {
    /// Reads a QR text. Whitespace and case do not matter.
    pub fn parse(text: &str) -> Result<Self, ScanError> {
        if text.len() > MAX_TEXT_LEN {
            return Err(ScanError::NotASafetyNumber);
        }
        let text: String = text
            .chars()
            .filter(|c| !c.is_whitespace())
            .flat_map(char::to_lowercase)
            .collect();
        let checked = CheckedHrpstring::new::<Bech32m>(&text)
            .ok()
            .filter(|checked| checked.hrp() == HRP)
            .ok_or(ScanError::NotASafetyNumber)?;
        let data: Vec<u8> = checked.byte_iter().collect();
        match data.split_first() {
            Some((&VERSION, rest)) => Self::from_data(rest)
                // One number has one text: no superfluous character hides in the padding.
                .filter(|number| number.qr_text().eq_ignore_ascii_case(&text))
                .ok_or(ScanError::NotASafetyNumber),
            Some((&other, _)) => Err(ScanError::OtherVersion(other)),
            None => Err(ScanError::NotASafetyNumber),
        }
    }

    fn from_data(data: &[u8]) -> Option<Self> {
        let (theirs, mine) = data.split_first_chunk()?;
        let mine = mine.try_into().ok()?;
        Some(Self {
            theirs: *theirs,
            mine,
        })
    }

    /// The text that was scanned, in its one form.
    pub fn qr_text(&self) -> String {
        let data = [[VERSION].as_slice(), &self.theirs, &self.mine].concat();
        // Infallible: 65 bytes are far below the 1023 characters that the encoding allows.
        bech32::encode_upper::<Bech32m>(HRP, &data).expect("65 bytes fit bech32m")
    }
}

#[cfg(test)]
mod tests;
