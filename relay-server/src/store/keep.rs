//! Operations on prekeys, account records, relay descriptors and the replay log.

use rusqlite::{Connection, OptionalExtension, Result, Row, params};
use zentalk_shared::id::{MailboxId, NodeId, RecordKey};
use zentalk_shared::onion::{Epoch, ReplayEntry};
use zentalk_shared::rpc::{FormerPermit, Permit};
use zentalk_shared::time::Timestamp;
use zentalk_shared::wire::codec::BoundedBytes;

use super::dht;
use super::mailbox::{admit, be_u64, ms};
use crate::core::Proof;
use crate::core::store::{
    Bundle, Owned, Quotas, RecordOutcome, Restored, RestoredMailbox, SavePreKeys, SavedDescriptor,
    Stock,
};

pub(super) fn save_prekeys(
    db: &Connection,
    quotas: &Quotas,
    save: &SavePreKeys,
) -> Result<Owned<u16>> {
    let admitted = match admit(db, &save.mailbox, save.stamp, save.now)? {
        Owned::Done(admitted) => admitted,
        Owned::Stale => return Ok(Owned::Stale),
        Owned::Unknown => return Ok(Owned::Unknown),
        Owned::Full => return Ok(Owned::Full),
    };
    let row = admitted.row;
    if admitted.fresh {
        if save.replace {
            db.prepare_cached("DELETE FROM one_time_prekeys WHERE mailbox = ?1")?
                .execute([row])?;
        }
        db.prepare_cached("UPDATE mailboxes SET base = ?2 WHERE row = ?1")?
            .execute(params![row, &save.base[..]])?;
        let room = quotas
            .one_time
            .saturating_sub(one_time_held(db, row)?.into());
        let mut insert =
            db.prepare_cached("INSERT INTO one_time_prekeys (mailbox, prekey) VALUES (?1, ?2)")?;
        for prekey in save.one_time.iter().take(room as usize) {
            insert.execute(params![row, &prekey[..]])?;
        }
    }
    one_time_held(db, row).map(Owned::Done)
}

fn one_time_held(db: &Connection, row: i64) -> Result<u16> {
    db.prepare_cached("SELECT count(*) FROM one_time_prekeys WHERE mailbox = ?1")?
        .query_row([row], |row| row.get(0))
}

pub(super) fn take_prekey(
    db: &Connection,
    mailbox: &MailboxId,
    one_time: bool,
) -> Result<Option<Bundle>> {
    let found = db
        .prepare_cached("SELECT row, base FROM mailboxes WHERE mailbox = ?1 AND base IS NOT NULL")?
        .query_row([mailbox.as_ref()], |row| {
            Ok((row.get::<_, i64>(0)?, bounded(row.get(1)?, 1)?))
        })
        .optional()?;
    let Some((row, base)) = found else {
        return Ok(None);
    };
    let one_time = match one_time {
        false => None,
        true => db
            .prepare_cached(
                "DELETE FROM one_time_prekeys WHERE row =
                 (SELECT min(row) FROM one_time_prekeys WHERE mailbox = ?1) RETURNING prekey",
            )?
            .query_row([row], |row| bounded(row.get(0)?, 0))
            .optional()?,
    };
    Ok(Some(Bundle { base, one_time }))
}

fn bounded<const MAX: usize>(bytes: Vec<u8>, column: usize) -> Result<BoundedBytes<MAX>> {
    BoundedBytes::new(bytes).map_err(|error| {
        let kind = rusqlite::types::Type::Blob;
        rusqlite::Error::FromSqlConversionFailure(column, kind, Box::new(error))
    })
}

pub(super) fn put_record(
    db: &Connection,
    quotas: &Quotas,
    key: &RecordKey,
    (sequence, expires): (u64, Timestamp),
    record: &[u8],
) -> Result<RecordOutcome> {
    let held = db
        .prepare_cached("SELECT sequence, record = ?2 FROM records WHERE key = ?1")?
        .query_row(params![key.as_ref(), record], |row| {
            Ok((be_u64(row.get(0)?), row.get::<_, bool>(1)?))
        })
        .optional()?;
    match held {
        Some((held, same)) if held == sequence && same => return Ok(RecordOutcome::Stored),
        Some((held, _)) if held >= sequence => return Ok(RecordOutcome::Held(held)),
        Some(_) => {}
        None => {
            let sql = "SELECT count(*) FROM records";
            let count: u32 = db.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
            if count >= quotas.records {
                return Ok(RecordOutcome::Full);
            }
        }
    }
    db.prepare_cached(
        "INSERT OR REPLACE INTO records (key, sequence, expires, record) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![
        key.as_ref(),
        sequence.to_be_bytes(),
        ms(expires),
        record
    ])?;
    Ok(RecordOutcome::Stored)
}

pub(super) fn get_record(
    db: &Connection,
    key: &RecordKey,
    now: Timestamp,
) -> Result<Option<Vec<u8>>> {
    let sql = "SELECT record FROM (
                   SELECT record, sequence, expires FROM records WHERE key = ?1
                   UNION ALL SELECT record, sequence, expires FROM dht_records WHERE kind = 2 AND key = ?1)
               WHERE expires > ?2 ORDER BY sequence DESC LIMIT 1";
    db.prepare_cached(sql)?
        .query_row(params![key.as_ref(), ms(now)], |row| row.get(0))
        .optional()
}

pub(super) fn append_replay(db: &Connection, entries: &[ReplayEntry]) -> Result<()> {
    let mut insert = db.prepare_cached("INSERT INTO replay (epoch, entry) VALUES (?1, ?2)")?;
    entries.iter().try_for_each(|entry| {
        insert
            .execute(params![entry.epoch().number(), entry.to_bytes()])
            .map(drop)
    })
}

pub(super) fn keep_replay(db: &Connection, epochs: &[Epoch]) -> Result<()> {
    let logged = db
        .prepare_cached("SELECT DISTINCT epoch FROM replay")?
        .query_map([], |row| row.get(0).map(Epoch::from_number))?
        .collect::<Result<Vec<_>>>()?;
    let mut forget = db.prepare_cached("DELETE FROM replay WHERE epoch = ?1")?;
    for epoch in logged.iter().filter(|epoch| !epochs.contains(epoch)) {
        forget.execute([epoch.number()])?;
    }
    Ok(())
}

pub(super) fn save_descriptor(db: &Connection, saved: &SavedDescriptor) -> Result<()> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO descriptors (node, descriptor, found, address)
         VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![
        saved.node.as_ref(),
        saved.descriptor,
        saved.proof.map(|proof| ms(proof.at)),
        saved.proof.map(|proof| proof.address.to_string()),
    ])
    .map(drop)
}

fn restore_descriptor(row: &Row<'_>) -> Result<SavedDescriptor> {
    let found: Option<i64> = row.get(2)?;
    let at = found.and_then(|at| u64::try_from(at).ok());
    let address: Option<String> = row.get(3)?;
    // An address that cannot be read is none: the relay is looked for again.
    let address = address.and_then(|address| address.parse().ok());
    Ok(SavedDescriptor {
        node: NodeId::from_bytes(row.get(0)?),
        descriptor: row.get(1)?,
        proof: at.zip(address).map(|(at, address)| Proof {
            at: Timestamp::from_ms(at),
            address,
        }),
    })
}

pub(super) fn forget_descriptor(db: &Connection, node: &NodeId) -> Result<()> {
    db.prepare_cached("DELETE FROM descriptors WHERE node = ?1")?
        .execute([node.as_ref()])
        .map(drop)
}

fn former(permit: Option<[u8; 32]>, until: Option<i64>) -> Option<FormerPermit> {
    Some(FormerPermit {
        permit: Permit::from_bytes(permit?),
        until: Timestamp::from_ms(u64::try_from(until?).ok()?),
    })
}

/// What a relay finds when it starts; the onion keys lie elsewhere.
pub(super) fn restore(db: &Connection) -> Result<Restored> {
    let replay = db
        .prepare("SELECT entry FROM replay ORDER BY row")?
        .query_map([], |row| {
            row.get(0).map(|bytes| ReplayEntry::from_bytes(&bytes))
        })?
        .collect::<Result<Vec<_>>>()?;
    let descriptors = db
        .prepare("SELECT node, descriptor, found, address FROM descriptors ORDER BY node")?
        .query_map([], restore_descriptor)?
        .collect::<Result<Vec<_>>>()?;
    let sql = "SELECT mailbox, descriptor, permit, held,
               (SELECT count(*) FROM surbs WHERE surbs.mailbox = mailboxes.row), former_permit, former_until
               FROM mailboxes";
    let mailboxes = db
        .prepare(sql)?
        .query_map([], |row| {
            Ok(RestoredMailbox {
                mailbox: MailboxId::from_bytes(row.get(0)?),
                descriptor: row.get(1)?,
                permit: row.get(2)?,
                former: former(row.get(5)?, row.get(6)?),
                stock: Stock {
                    waiting: row.get(3)?,
                    surbs: row.get(4)?,
                },
            })
        })?
        .collect::<Result<Vec<_>>>()?;
    Ok(Restored {
        onion_keys: None,
        replay,
        descriptors,
        mailboxes,
        dht_table: dht::restore_table(db)?,
        dht_records: dht::restore_records(db)?,
    })
}
