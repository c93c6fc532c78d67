//! Tombstones, the signed acknowledgements that prove them, and comparisons with other members.

use rusqlite::{Connection, OptionalExtension, Result, params};
use zentalk_shared::id::{EnvelopeId, MailboxId};
use zentalk_shared::rpc::held_digest;

use super::mailbox::{be_u64, row_of};
use crate::core::store::{
    CompareIds, Compared, HeldMail, Hour, MAX_PROOFS, NAMED_PER_NEW, PAGE_IDS, Quotas,
};

/// `no_room`: only the reserve is left, which is for what makes room: ids of nothing that is held are passed over.
pub(super) fn tombstone(
    db: &Connection,
    (quotas, no_room): (&Quotas, bool),
    mailbox: &MailboxId,
    ids: &[EnvelopeId],
    (hour, proof): (Hour, &[u8]),
) -> Result<Option<u16>> {
    let Some(row) = row_of(db, mailbox)? else {
        return Ok(None);
    };
    let acknowledged = u16::try_from(ids.len()).ok();
    let held = if no_room {
        held_of(db, row, ids)?
    } else {
        ids.to_vec()
    };
    let ids = held.as_slice();
    let proof = keep_proof(db, row, ids, (hour, proof))?;
    let (mut buried, mut freed, mut strangers) = (0u32, 0u32, 0u32);
    let mut bury = db.prepare_cached(
        "INSERT INTO tombstones (mailbox, id, hour, proof) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
    )?;
    let mut free = db.prepare_cached(
        "DELETE FROM envelopes WHERE mailbox = ?1 AND id = ?2 RETURNING permitted",
    )?;
    for id in ids {
        buried += u32::from(bury.execute(params![row, id.as_ref(), hour.0, proof])? > 0);
        let permitted: Option<bool> = free
            .query_row(params![row, id.as_ref()], |row| row.get(0))
            .optional()?;
        freed += u32::from(permitted.is_some());
        strangers += u32::from(permitted == Some(false));
    }
    let total: u32 = db
        .prepare_cached(
            "UPDATE mailboxes SET buried = buried + ?2, held = held - ?3, strangers = strangers - ?4
             WHERE row = ?1 RETURNING buried",
        )?
        .query_row(params![row, buried, freed, strangers], |row| row.get(0))?;
    if total > quotas.tombstones {
        forget_oldest(db, row, total - quotas.tombstones)?;
    }
    Ok(acknowledged)
}

/// Those of the ids that are envelopes here.
fn held_of(db: &Connection, row: i64, ids: &[EnvelopeId]) -> Result<Vec<EnvelopeId>> {
    let mut is_held =
        db.prepare_cached("SELECT 1 FROM envelopes WHERE mailbox = ?1 AND id = ?2")?;
    let mut held = Vec::with_capacity(ids.len());
    for id in ids {
        if is_held.exists(params![row, id.as_ref()])? {
            held.push(*id);
        }
    }
    Ok(held)
}

/// Keeps an acknowledgement if enough of the ids that it names have no tombstone yet.
fn keep_proof(
    db: &Connection,
    mailbox: i64,
    ids: &[EnvelopeId],
    (hour, proof): (Hour, &[u8]),
) -> Result<Option<i64>> {
    let mut known = db.prepare_cached("SELECT 1 FROM tombstones WHERE mailbox = ?1 AND id = ?2")?;
    let mut new = 0;
    for id in ids {
        new += usize::from(!known.exists(params![mailbox, id.as_ref()])?);
    }
    if ids.is_empty() || ids.len() > NAMED_PER_NEW * new {
        return Ok(None);
    }
    db.prepare_cached(
        "INSERT INTO acknowledgements (mailbox, hour, tombstone) VALUES (?1, ?2, ?3)",
    )?
    .execute(params![mailbox, hour.0, proof])?;
    Ok(Some(db.last_insert_rowid()))
}

fn forget_oldest(db: &Connection, row: i64, surplus: u32) -> Result<()> {
    let proofs = db
        .prepare_cached(
            "DELETE FROM tombstones WHERE mailbox = ?1 AND id IN
             (SELECT id FROM tombstones WHERE mailbox = ?1 ORDER BY hour, id LIMIT ?2) RETURNING proof",
        )?
        .query_map(params![row, surplus], |row| row.get::<_, Option<i64>>(0))?
        .collect::<Result<Vec<_>>>()?;
    let mut forget = db.prepare_cached(
        "DELETE FROM acknowledgements WHERE row = ?1
         AND NOT EXISTS (SELECT 1 FROM tombstones WHERE proof = ?1)",
    )?;
    for proof in proofs.into_iter().flatten() {
        forget.execute([proof])?;
    }
    db.prepare_cached("UPDATE mailboxes SET buried = buried - ?2 WHERE row = ?1")?
        .execute(params![row, surplus])?;
    Ok(())
}

/// Ids of a mailbox's envelopes from one on, ascending.
fn ids_from(db: &Connection, row: i64, from: &[u8], limit: i64) -> Result<Vec<EnvelopeId>> {
    db.prepare_cached(
        "SELECT id FROM envelopes WHERE mailbox = ?1 AND id >= ?2 ORDER BY id LIMIT ?3",
    )?
    .query_map(params![row, from, limit], |row| {
        row.get(0).map(EnvelopeId::from_bytes)
    })?
    .collect()
}

pub(super) fn summarise(db: &Connection, mailboxes: &[MailboxId]) -> Result<Vec<HeldMail>> {
    let mut found = Vec::with_capacity(mailboxes.len());
    for mailbox in mailboxes {
        let Some(row) = row_of(db, mailbox)? else {
            continue;
        };
        let ids = ids_from(db, row, &[], i64::MAX)?;
        found.push(HeldMail {
            mailbox: *mailbox,
            count: u32::try_from(ids.len()).unwrap_or(u32::MAX),
            digest: held_digest(ids),
        });
    }
    Ok(found)
}

pub(super) fn compare(
    db: &Connection,
    quotas: &Quotas,
    with: &CompareIds,
) -> Result<Option<Compared>> {
    let sql = "SELECT row, held FROM mailboxes WHERE mailbox = ?1";
    let found: Option<(i64, u32)> = db
        .prepare_cached(sql)?
        .query_row([with.mailbox.as_ref()], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    let Some((row, count)) = found else {
        return Ok(None);
    };
    let limit = i64::try_from(PAGE_IDS + 1).unwrap_or(i64::MAX);
    let mut held = ids_from(db, row, with.from.as_ref(), limit)?;
    held.retain(|id| with.until.is_none_or(|until| *id < until));
    let until = held.get(PAGE_IDS).copied();
    held.truncate(PAGE_IDS);
    let mut compared = Compared {
        held,
        until,
        ..Compared::default()
    };
    let mut here = db.prepare_cached("SELECT 1 FROM envelopes WHERE mailbox = ?1 AND id = ?2")?;
    let mut buried =
        db.prepare_cached("SELECT proof FROM tombstones WHERE mailbox = ?1 AND id = ?2")?;
    let room = quotas.envelopes.saturating_sub(count) as usize;
    let mut proofs = Vec::new();
    for id in &with.theirs {
        let tombstone: Option<Option<i64>> = buried
            .query_row(params![row, id.as_ref()], |row| row.get(0))
            .optional()?;
        match tombstone {
            Some(proof) => proofs.extend(proof),
            None if compared.missing.len() < room && !here.exists(params![row, id.as_ref()])? => {
                compared.missing.push(*id);
            }
            None => {}
        }
    }
    compared.proofs = read_proofs(db, proofs)?;
    Ok(Some(compared))
}

fn read_proofs(db: &Connection, mut rows: Vec<i64>) -> Result<Vec<Vec<u8>>> {
    rows.sort_unstable();
    rows.dedup();
    rows.truncate(MAX_PROOFS);
    let mut read = db.prepare_cached("SELECT tombstone FROM acknowledgements WHERE row = ?1")?;
    let mut proofs = Vec::with_capacity(rows.len());
    for row in rows {
        proofs.extend(read.query_row([row], |row| row.get(0)).optional()?);
    }
    Ok(proofs)
}

/// Keeps a newer descriptor; whether it is one.
pub(super) fn keep_descriptor(
    db: &Connection,
    mailbox: &MailboxId,
    sequence: u64,
    descriptor: &[u8],
) -> Result<bool> {
    let sql = "SELECT row, descriptor_sequence FROM mailboxes
               WHERE mailbox = ?1 AND descriptor IS NOT NULL";
    let found = db
        .prepare_cached(sql)?
        .query_row([mailbox.as_ref()], |row| {
            Ok((row.get::<_, i64>(0)?, be_u64(row.get(1)?)))
        })
        .optional()?;
    let Some((row, _)) = found.filter(|(_, held)| sequence > *held) else {
        return Ok(false);
    };
    db.prepare_cached(
        "UPDATE mailboxes SET descriptor = ?2, descriptor_sequence = ?3 WHERE row = ?1",
    )?
    .execute(params![row, descriptor, sequence.to_be_bytes()])?;
    Ok(true)
}
