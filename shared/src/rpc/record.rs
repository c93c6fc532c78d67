//! The account record in the directory: signed, and sealed so that who holds it cannot read it. PROTOCOL §7.

use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use thiserror::Error;

use super::prekey_entry::{open_under, seal_under};
use crate::crypto::Secret32;
use crate::crypto::kdf::extract_expand;
use crate::crypto::sign::Signature;
use crate::id::{Address, RecordKey};
use crate::identity::{DirectoryKey, DirectorySecret};
use crate::time::{Duration, Timestamp};
use crate::wire::codec::{BoundedBytes, from_cbor, to_cbor};

/// Longest record, in bytes: what one `bulk` request or reply carries, less what goes with it there and room for
/// later fields. The longest device list fits, see `account_contents`.
pub const MAX_RECORD_LEN: usize = 27 * 1024;
/// A record lives at most this long.
const MAX_LIFE: Duration = Duration::from_days(30);
/// Clocks may differ by this much.
const CLOCK_SKEW: Duration = Duration::from_hours(2);
/// Contents are padded to one of these lengths, with their own of 2 bytes before them: three devices, or as many as a
/// list can have. Who holds a record sees no more of how many there are.
const PADDED_LENS: [usize; 2] = [12 * 1024, 26 * 1024 + 768];
const DOMAIN: &str = "ZenTalk record v1";

/// A record whose signature holds under the key that its RecordKey commits to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRecord {
    signed: Signed,
    bytes: BoundedBytes<MAX_RECORD_LEN>,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
struct Signed {
    #[n(0)]
    key: DirectoryKey,
    #[n(1)]
    sequence: u64,
    #[n(2)]
    expires: Timestamp,
    #[n(3)]
    sealed: BoundedBytes<MAX_RECORD_LEN>,
    #[n(4)]
    signature: Signature,
}

/// Not a record that may be stored or believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RecordError {
    /// Malformed or too long.
    #[error("record is malformed")]
    Malformed,
    /// The signature does not verify.
    #[error("record is not signed by its key")]
    Signature,
    /// Over, or further ahead than a record may live.
    #[error("record has expired or lives too long")]
    Expired,
    /// Numbered as if it were from more than a day ahead.
    #[error("record is numbered ahead of time")]
    Ahead,
    /// Another account's record, or changed since it was sealed.
    #[error("record cannot be opened with this address")]
    Sealed,
}

impl AccountRecord {
    /// Signs sealed contents. `sequence`: unix ms, more than in any before. `expires` is at most 30 days ahead.
    pub fn sign(
        key: &DirectorySecret,
        sequence: u64,
        expires: Timestamp,
        sealed: Vec<u8>,
    ) -> Result<Self, RecordError> {
        let signature = key.sign(DOMAIN, &transcript(sequence, expires, &sealed));
        let signed = Signed {
            key: key.public(),
            sequence,
            expires,
            sealed: BoundedBytes::new(sealed).map_err(|_| RecordError::Malformed)?,
            signature,
        };
        let bytes = BoundedBytes::new(to_cbor(&signed)).map_err(|_| RecordError::Malformed)?;
        Ok(Self { signed, bytes })
    }

    /// Checks form, signature, lifetime and number.
    pub fn verify(bytes: &[u8], now: Timestamp) -> Result<Self, RecordError> {
        let signed: Signed =
            from_cbor(bytes, MAX_RECORD_LEN).map_err(|_| RecordError::Malformed)?;
        let latest = now.saturating_add(MAX_LIFE).saturating_add(CLOCK_SKEW);
        if signed.expires <= now || signed.expires > latest {
            return Err(RecordError::Expired);
        }
        // A number from later would keep its owner from publishing another.
        if Timestamp::from_ms(signed.sequence).is_ahead_of(now) {
            return Err(RecordError::Ahead);
        }
        let transcript = transcript(signed.sequence, signed.expires, &signed.sealed);
        signed
            .key
            .verify(DOMAIN, &transcript, &signed.signature)
            .map_err(|_| RecordError::Signature)?;
        let bytes = BoundedBytes::new(bytes).map_err(|_| RecordError::Malformed)?;
        Ok(Self { signed, bytes })
    }

    /// Where it lives.
    pub fn key(&self) -> RecordKey {
        self.signed.key.record_key()
    }

    /// The newer of two records has the higher.
    pub const fn sequence(&self) -> u64 {
        self.signed.sequence
    }

    /// When holders forget it.
    pub const fn expires(&self) -> Timestamp {
        self.signed.expires
    }

    /// The sealed contents.
    pub fn sealed(&self) -> &[u8] {
        &self.signed.sealed
    }

    /// As it travels.
    pub const fn bytes(&self) -> &BoundedBytes<MAX_RECORD_LEN> {
        &self.bytes
    }
}

/// Pads contents and seals them so that only who knows the Address reads them. `None`: too long.
pub fn seal_record_contents(
    address: &Address,
    contents: &[u8],
    rng: &mut impl CryptoRng,
) -> Option<Vec<u8>> {
    let room = contents.len() + size_of::<u16>();
    let padded_len = PADDED_LENS.into_iter().find(|len| room <= *len)?;
    let mut padded = Vec::with_capacity(padded_len);
    padded.extend(u16::try_from(contents.len()).ok()?.to_be_bytes());
    padded.extend(contents);
    padded.resize(padded_len, 0);
    seal_under(&contents_key(address), &padded, rng)
}

/// Opens what [`seal_record_contents`] sealed.
pub fn open_record_contents(address: &Address, sealed: &[u8]) -> Result<Vec<u8>, RecordError> {
    let mut padded = open_under(&contents_key(address), sealed).ok_or(RecordError::Sealed)?;
    let (length, rest) = padded
        .split_first_chunk::<{ size_of::<u16>() }>()
        .ok_or(RecordError::Sealed)?;
    let length = usize::from(u16::from_be_bytes(*length));
    let padding = rest.get(length..).ok_or(RecordError::Sealed)?;
    if !PADDED_LENS.contains(&padded.len()) || padding.iter().any(|byte| *byte != 0) {
        return Err(RecordError::Sealed);
    }
    padded.drain(..size_of::<u16>());
    padded.truncate(length);
    Ok(padded)
}

fn contents_key(address: &Address) -> Secret32 {
    extract_expand::<32>(b"ZenTalk record v1", address.as_bytes(), b"")
}

fn transcript(sequence: u64, expires: Timestamp, sealed: &[u8]) -> Vec<u8> {
    [
        &sequence.to_be_bytes(),
        expires.as_ms().to_be_bytes().as_slice(),
        sealed,
    ]
    .concat()
}
