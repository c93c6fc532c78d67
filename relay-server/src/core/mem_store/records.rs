//! Account records.

use zentalk_shared::dht::{RecordId, RecordKind};
use zentalk_shared::id::RecordKey;
use zentalk_shared::time::Timestamp;

use super::Disk;
use crate::core::store::RecordOutcome;

#[derive(Clone, Debug)]
pub(super) struct Record {
    sequence: u64,
    pub(super) expires: Timestamp,
    bytes: Vec<u8>,
}

impl Disk {
    pub(super) fn get_record(&self, key: RecordKey, now: Timestamp) -> Option<Vec<u8>> {
        let put = self.records.get(&key).filter(|put| put.expires > now);
        let put = put.map(|put| (put.sequence, &put.bytes));
        let kind = RecordKind::Account;
        let saved = self.dht_records.get(&RecordId { kind, key });
        let saved = saved.filter(|saved| saved.held.expires > now);
        let saved = saved.map(|saved| (saved.held.sequence, &saved.record));
        let newest = put
            .into_iter()
            .chain(saved)
            .max_by_key(|(sequence, _)| *sequence);
        newest.map(|(_, bytes)| bytes.clone())
    }

    pub(super) fn put_record(
        &mut self,
        key: RecordKey,
        sequence: u64,
        expires: Timestamp,
        bytes: Vec<u8>,
    ) -> RecordOutcome {
        let room = self.records.len() < self.quotas.records as usize;
        match self.records.get(&key) {
            Some(held) if held.sequence == sequence && held.bytes == bytes => RecordOutcome::Stored,
            Some(held) if held.sequence >= sequence => RecordOutcome::Held(held.sequence),
            None if !room => RecordOutcome::Full,
            _ => {
                self.records.insert(
                    key,
                    Record {
                        sequence,
                        expires,
                        bytes,
                    },
                );
                RecordOutcome::Stored
            }
        }
    }
}
