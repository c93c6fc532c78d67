//! Records with a cheap signature, for simulations: a hash that liars do not compute.

use zentalk_shared::crypto::hash::blake2b_160_concat;
use zentalk_shared::dht::{BadRecord, Facts, RecordId, RecordKind, RecordScheme};
use zentalk_shared::id::RecordKey;
use zentalk_shared::time::Timestamp;

/// kind u8 ‖ key[20] ‖ sequence u64 ‖ expires u64 ‖ hash of all that[20].
#[derive(Clone, Copy, Debug, Default)]
pub struct HashedRecords;

/// A record as its owner makes it.
pub fn make(id: &RecordId, sequence: u64, expires: Timestamp) -> Vec<u8> {
    let mut bytes = vec![id.kind as u8];
    bytes.extend(id.key.as_bytes());
    bytes.extend(sequence.to_be_bytes());
    bytes.extend(expires.as_ms().to_be_bytes());
    bytes.extend(seal(&bytes));
    bytes
}

fn seal(bytes: &[u8]) -> [u8; 20] {
    blake2b_160_concat(b"simulated signature", bytes)
}

impl RecordScheme for HashedRecords {
    fn check(&self, kind: RecordKind, bytes: &[u8], now: Timestamp) -> Result<Facts, BadRecord> {
        let (said, signature) = bytes.split_last_chunk::<20>().ok_or(BadRecord::Malformed)?;
        let (head, rest) = said.split_first().ok_or(BadRecord::Malformed)?;
        let (key, rest) = rest.split_first_chunk::<20>().ok_or(BadRecord::Malformed)?;
        let (sequence, rest) = rest.split_first_chunk::<8>().ok_or(BadRecord::Malformed)?;
        let expires: &[u8; 8] = rest.try_into().map_err(|_| BadRecord::Malformed)?;
        if *head != kind as u8 {
            return Err(BadRecord::Malformed);
        }
        if seal(said) != *signature {
            return Err(BadRecord::Signature);
        }
        let expires = Timestamp::from_ms(u64::from_be_bytes(*expires));
        if expires <= now {
            return Err(BadRecord::Expired);
        }
        Ok(Facts {
            id: RecordId {
                kind,
                key: RecordKey::from_bytes(*key),
            },
            sequence: u64::from_be_bytes(*sequence),
            expires,
        })
    }
}
