//! Operations on the DHT's records and table.

use rusqlite::{Connection, OptionalExtension, Result, Row, params};
use zentalk_shared::dht::{Held, Proof, RecordId, RecordKind};
use zentalk_shared::id::{NodeId, RecordKey};
use zentalk_shared::time::Timestamp;

use super::mailbox::{be_u64, ms};
use crate::core::store::{Quotas, RecordOutcome, SavedRecord};

const fn number(kind: RecordKind) -> i64 {
    match kind {
        RecordKind::Relay => 1,
        RecordKind::Account => 2,
    }
}

pub(super) fn save_record(
    db: &Connection,
    quotas: &Quotas,
    saved: &SavedRecord,
) -> Result<RecordOutcome> {
    // How many there may be is the DHT's matter; none, if the disk is full.
    if quotas.records == 0 {
        return Ok(RecordOutcome::Full);
    }
    let SavedRecord { id, held, record } = saved;
    db.prepare_cached(
        "INSERT OR REPLACE INTO dht_records (kind, key, sequence, expires, touched, giver, proof, record)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        number(id.kind),
        id.key.as_ref(),
        held.sequence.to_be_bytes(),
        ms(held.expires),
        ms(held.touched),
        held.giver.as_ref(),
        held.proof.as_ref().map(|proof| &proof[..]),
        record,
    ])?;
    Ok(RecordOutcome::Stored)
}

pub(super) fn read_record(db: &Connection, id: &RecordId) -> Result<Option<Vec<u8>>> {
    db.prepare_cached("SELECT record FROM dht_records WHERE kind = ?1 AND key = ?2")?
        .query_row(params![number(id.kind), id.key.as_ref()], |row| row.get(0))
        .optional()
}

pub(super) fn forget_record(db: &Connection, id: &RecordId) -> Result<()> {
    db.prepare_cached("DELETE FROM dht_records WHERE kind = ?1 AND key = ?2")?
        .execute(params![number(id.kind), id.key.as_ref()])
        .map(drop)
}

pub(super) fn save_table(db: &Connection, contacts: &[u8]) -> Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO dht_table (row, contacts) VALUES (1, ?1)")?
        .execute([contacts])
        .map(drop)
}

pub(super) fn restore_table(db: &Connection) -> Result<Option<Vec<u8>>> {
    db.prepare("SELECT contacts FROM dht_table")?
        .query_row([], |row| row.get(0))
        .optional()
}

/// Every record but its bytes; one of a kind that is not known here is left where it is.
pub(super) fn restore_records(db: &Connection) -> Result<Vec<(RecordId, Held)>> {
    let sql = "SELECT kind, key, sequence, expires, touched, giver, proof, length(record)
               FROM dht_records WHERE kind IN (1, 2) ORDER BY kind, key";
    db.prepare(sql)?.query_map([], restore_one)?.collect()
}

fn restore_one(row: &Row<'_>) -> Result<(RecordId, Held)> {
    let time = |column| -> Result<Timestamp> {
        let ms: i64 = row.get(column)?;
        Ok(Timestamp::from_ms(u64::try_from(ms).unwrap_or(0)))
    };
    let kind = match row.get(0)? {
        1_i64 => RecordKind::Relay,
        _ => RecordKind::Account,
    };
    let key = RecordKey::from_bytes(row.get(1)?);
    let proof: Option<Vec<u8>> = row.get(6)?;
    let held = Held {
        sequence: be_u64(row.get(2)?),
        expires: time(3)?,
        touched: time(4)?,
        giver: NodeId::from_bytes(row.get(5)?),
        proof: proof.and_then(|proof| Proof::new(proof).ok()),
        length: usize::try_from(row.get::<_, i64>(7)?).unwrap_or(0),
    };
    Ok((RecordId { kind, key }, held))
}
