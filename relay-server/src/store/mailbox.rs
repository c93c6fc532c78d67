//! Operations on mailboxes: envelopes, subscriptions and pushes.

use rusqlite::{Connection, OptionalExtension, params};
use zentalk_shared::id::{EnvelopeId, MailboxId};
use zentalk_shared::rpc::EnvelopeBytes;
use zentalk_shared::time::Timestamp;
use zentalk_shared::wire::budget::ENVELOPE_LEN;
use zentalk_shared::wire::codec::Bytes;
use zeroize::Zeroizing;

use crate::core::store::{
    Fetched, Hour, Owned, OwnerStamp, PushPick, PutEnvelope, PutOutcome, Quotas, SaveSubscription,
    Stock, StoredEnvelope, TakenPush,
};

use rusqlite::Result;

/// What decides whether a put has room.
struct Room {
    row: i64,
    open: bool,
    held: u32,
    strangers: u32,
}

pub(super) fn put(db: &Connection, quotas: &Quotas, put: &PutEnvelope) -> Result<PutOutcome> {
    let sql =
        "SELECT row, descriptor IS NOT NULL, held, strangers FROM mailboxes WHERE mailbox = ?1";
    let room = db
        .prepare_cached(sql)?
        .query_row([put.mailbox.as_ref()], |row| {
            Ok(Room {
                row: row.get(0)?,
                open: row.get(1)?,
                held: row.get(2)?,
                strangers: row.get(3)?,
            })
        })
        .optional()?;
    let Some(room) = room.filter(|room| room.open) else {
        return Ok(PutOutcome::Unknown);
    };
    if exists(
        db,
        "SELECT 1 FROM tombstones WHERE mailbox = ?1 AND id = ?2",
        room.row,
        &put.id,
    )? {
        return Ok(PutOutcome::Tombstoned);
    }
    if exists(
        db,
        "SELECT 1 FROM envelopes WHERE mailbox = ?1 AND id = ?2",
        room.row,
        &put.id,
    )? {
        return Ok(PutOutcome::Held);
    }
    if !room.fits(quotas, put.permitted) {
        return Ok(PutOutcome::Full);
    }
    let cursor: i64 = db
        .prepare_cached(
            "UPDATE mailboxes SET held = held + 1, strangers = strangers + ?2,
             next_cursor = next_cursor + 1 WHERE row = ?1 RETURNING next_cursor",
        )?
        .query_row(params![room.row, !put.permitted], |row| row.get(0))?;
    db.prepare_cached(
        "INSERT INTO envelopes (mailbox, cursor, id, hour, permitted, envelope)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        room.row,
        cursor,
        put.id.as_ref(),
        put.hour.0,
        put.permitted,
        put.envelope.0.as_slice()
    ])?;
    Ok(PutOutcome::Stored)
}

impl Room {
    fn fits(&self, quotas: &Quotas, permitted: bool) -> bool {
        let contacts = self.held.saturating_sub(self.strangers);
        match permitted {
            true => {
                contacts < quotas.envelopes
                    && (u64::from(contacts) + 1) * ENVELOPE_LEN as u64 <= quotas.bytes
            }
            false => self.strangers < quotas.first_contact,
        }
    }
}

fn exists(db: &Connection, sql: &str, mailbox: i64, id: &EnvelopeId) -> Result<bool> {
    db.prepare_cached(sql)?
        .exists(params![mailbox, id.as_ref()])
}

/// A mailbox whose owner's request is in its turn.
pub(super) struct Admitted {
    pub(super) row: i64,
    /// False: this very request has taken effect before.
    pub(super) fresh: bool,
}

/// Checks an owner's sequence and takes it.
pub(super) fn admit(
    db: &Connection,
    mailbox: &MailboxId,
    stamp: OwnerStamp,
    now: Timestamp,
) -> Result<Owned<Admitted>> {
    let found = db
        .prepare_cached("SELECT row, sequence, digest FROM mailboxes WHERE mailbox = ?1")?
        .query_row([mailbox.as_ref()], |row| {
            let (sequence, digest) = (be_u64(row.get(1)?), row.get::<_, [u8; 32]>(2)?);
            Ok((row.get::<_, i64>(0)?, OwnerStamp { sequence, digest }))
        })
        .optional()?;
    let Some((row, last)) = found else {
        return Ok(Owned::Unknown);
    };
    let fresh = stamp != last;
    if stamp.sequence < last.sequence || (stamp.sequence == last.sequence && fresh) {
        return Ok(Owned::Stale);
    }
    if fresh {
        db.prepare_cached(
            "UPDATE mailboxes SET sequence = ?2, digest = ?3, touched = ?4 WHERE row = ?1",
        )?
        .execute(params![
            row,
            stamp.sequence.to_be_bytes(),
            stamp.digest,
            Hour::at(now).0
        ])?;
    }
    Ok(Owned::Done(Admitted { row, fresh }))
}

/// Like [`admit`], for the request that opens a mailbox which is not there yet.
fn admit_or_create(
    db: &Connection,
    quotas: &Quotas,
    mailbox: &MailboxId,
    stamp: OwnerStamp,
    now: Timestamp,
) -> Result<Owned<Admitted>> {
    match admit(db, mailbox, stamp, now)? {
        Owned::Unknown => {}
        other => return Ok(other),
    }
    let count: u32 = db
        .prepare_cached("SELECT count(*) FROM mailboxes")?
        .query_row([], |row| row.get(0))?;
    if count >= quotas.mailboxes {
        return Ok(Owned::Full);
    }
    let zero = 0u64.to_be_bytes();
    db.prepare_cached(
        "INSERT INTO mailboxes (mailbox, sequence, digest, descriptor_sequence, touched)
         VALUES (?1, ?2, ?3, ?2, ?4)",
    )?
    .execute(params![mailbox.as_ref(), zero, [0u8; 32], Hour::at(now).0])?;
    admit(db, mailbox, stamp, now)
}

pub(super) fn subscribe(
    db: &Connection,
    quotas: &Quotas,
    save: &SaveSubscription,
) -> Result<Owned<Stock>> {
    let newest = db
        .prepare_cached("SELECT descriptor_sequence FROM mailboxes WHERE mailbox = ?1")?
        .query_row([save.mailbox.as_ref()], |row| row.get(0).map(be_u64))
        .optional()?;
    if newest.is_some_and(|newest| newest > save.descriptor_sequence) {
        return Ok(Owned::Stale);
    }
    let admitted = match admit_or_create(db, quotas, &save.mailbox, save.stamp, save.now)? {
        Owned::Done(admitted) => admitted,
        Owned::Stale => return Ok(Owned::Stale),
        Owned::Unknown => return Ok(Owned::Unknown),
        Owned::Full => return Ok(Owned::Full),
    };
    if admitted.fresh {
        db.prepare_cached(
            "UPDATE mailboxes SET descriptor = ?2, descriptor_sequence = ?3, permit = ?4,
             former_permit = ?5, former_until = ?6 WHERE row = ?1",
        )?
        .execute(params![
            admitted.row,
            save.descriptor,
            save.descriptor_sequence.to_be_bytes(),
            save.permit,
            save.former.as_ref().map(|former| *former.permit.as_bytes()),
            save.former.as_ref().map(|former| ms(former.until))
        ])?;
        restock(db, quotas, admitted.row, save)?;
    }
    stock(db, admitted.row).map(Owned::Done)
}

fn restock(db: &Connection, quotas: &Quotas, row: i64, save: &SaveSubscription) -> Result<()> {
    match save.replace {
        true => db
            .prepare_cached("DELETE FROM surbs WHERE mailbox = ?1")?
            .execute([row])?,
        false => forget_expired_surbs(db, row, save.now)?,
    };
    let room = quotas.stock.saturating_sub(stock(db, row)?.surbs.into());
    let mut insert =
        db.prepare_cached("INSERT INTO surbs (mailbox, expires, surb) VALUES (?1, ?2, ?3)")?;
    for surb in save.surbs.iter().take(room as usize) {
        insert.execute(params![row, ms(surb.expires), *surb.bytes])?;
    }
    Ok(())
}

fn forget_expired_surbs(db: &Connection, row: i64, now: Timestamp) -> Result<usize> {
    db.prepare_cached("DELETE FROM surbs WHERE mailbox = ?1 AND expires <= ?2")?
        .execute(params![row, ms(now)])
}

fn stock(db: &Connection, row: i64) -> Result<Stock> {
    db.prepare_cached(
        "SELECT (SELECT count(*) FROM surbs WHERE mailbox = ?1), held FROM mailboxes WHERE row = ?1",
    )?
    .query_row([row], |row| Ok(Stock { surbs: row.get(0)?, waiting: row.get(1)? }))
}

pub(super) fn fetch(
    db: &Connection,
    mailbox: &MailboxId,
    stamp: OwnerStamp,
    page: (u64, u8),
    now: Timestamp,
) -> Result<Owned<Fetched>> {
    let admitted = match admit(db, mailbox, stamp, now)? {
        Owned::Done(admitted) => admitted,
        Owned::Stale => return Ok(Owned::Stale),
        Owned::Unknown => return Ok(Owned::Unknown),
        Owned::Full => return Ok(Owned::Full),
    };
    let (after, limit) = (i64::try_from(page.0).unwrap_or(i64::MAX), page.1);
    let sql = "SELECT cursor, id, envelope FROM envelopes WHERE mailbox = ?1 AND cursor > ?2
               ORDER BY cursor LIMIT ?3";
    let rows = db
        .prepare_cached(sql)?
        .query_map(params![admitted.row, after, limit], |row| {
            Ok((
                row.get::<_, i64>(0)?,
                EnvelopeId::from_bytes(row.get(1)?),
                blob(row, 2)?,
            ))
        })?
        .collect::<Result<Vec<_>>>()?;
    let next = rows.last().map_or(after, |(cursor, ..)| *cursor);
    let remaining = db
        .prepare_cached("SELECT count(*) FROM envelopes WHERE mailbox = ?1 AND cursor > ?2")?
        .query_row(params![admitted.row, next], |row| row.get(0))?;
    Ok(Owned::Done(Fetched {
        envelopes: rows
            .into_iter()
            .map(|(_, id, envelope)| (id, envelope))
            .collect(),
        next: if next == after {
            page.0
        } else {
            u64::try_from(next).unwrap_or(0)
        },
        remaining,
    }))
}

pub(super) fn take_push(
    db: &Connection,
    mailbox: &MailboxId,
    pick: &PushPick,
    now: Timestamp,
) -> Result<TakenPush> {
    let Some(row) = row_of(db, mailbox)? else {
        let stock = Stock {
            surbs: 0,
            waiting: 0,
        };
        return Ok(TakenPush {
            surb: None,
            envelopes: Vec::new(),
            stock,
        });
    };
    forget_expired_surbs(db, row, now)?;
    let mut envelopes = picked(db, row, pick)?;
    let surb = match *pick == PushPick::Heartbeat || !envelopes.is_empty() {
        true => take_surb(db, row)?,
        false => None,
    };
    if surb.is_none() {
        envelopes.clear();
    }
    let mut stock = stock(db, row)?;
    stock.waiting = stock
        .waiting
        .saturating_sub(u32::try_from(envelopes.len()).unwrap_or(0));
    Ok(TakenPush {
        surb,
        envelopes,
        stock,
    })
}

/// The live reply block that expires first.
fn take_surb(db: &Connection, row: i64) -> Result<Option<Zeroizing<Vec<u8>>>> {
    db.prepare_cached(
        "DELETE FROM surbs WHERE row = (SELECT row FROM surbs WHERE mailbox = ?1 ORDER BY expires, row LIMIT 1)
         RETURNING surb",
    )?
    .query_row([row], |row| row.get(0).map(Zeroizing::new))
    .optional()
}

fn picked(
    db: &Connection,
    row: i64,
    pick: &PushPick,
) -> Result<Vec<(EnvelopeId, Box<EnvelopeBytes>)>> {
    match pick {
        PushPick::Heartbeat => Ok(Vec::new()),
        PushPick::These(ids) => {
            let mut read =
                db.prepare_cached("SELECT envelope FROM envelopes WHERE mailbox = ?1 AND id = ?2")?;
            let mut found = Vec::new();
            for id in ids {
                let envelope = read
                    .query_row(params![row, id.as_ref()], |row| blob(row, 0))
                    .optional()?;
                found.extend(envelope.map(|envelope| (*id, envelope)));
            }
            Ok(found)
        }
        PushPick::Oldest(limit) => db
            .prepare_cached(
                "SELECT id, envelope FROM envelopes WHERE mailbox = ?1 ORDER BY cursor LIMIT ?2",
            )?
            .query_map(params![row, limit], |row| {
                Ok((EnvelopeId::from_bytes(row.get(0)?), blob(row, 1)?))
            })?
            .collect(),
    }
}

pub(super) fn read_envelope(
    db: &Connection,
    mailbox: &MailboxId,
    id: &EnvelopeId,
) -> Result<Option<StoredEnvelope>> {
    let Some(row) = row_of(db, mailbox)? else {
        return Ok(None);
    };
    db.prepare_cached(
        "SELECT envelope, hour, permitted FROM envelopes WHERE mailbox = ?1 AND id = ?2",
    )?
    .query_row(params![row, id.as_ref()], |row| {
        let (envelope, hour) = (blob(row, 0)?, Hour(row.get(1)?));
        Ok(StoredEnvelope {
            envelope,
            hour,
            permitted: row.get(2)?,
        })
    })
    .optional()
}

pub(super) fn row_of(db: &Connection, mailbox: &MailboxId) -> Result<Option<i64>> {
    db.prepare_cached("SELECT row FROM mailboxes WHERE mailbox = ?1")?
        .query_row([mailbox.as_ref()], |row| row.get(0))
        .optional()
}

fn blob(row: &rusqlite::Row<'_>, column: usize) -> Result<Box<EnvelopeBytes>> {
    row.get::<_, [u8; ENVELOPE_LEN]>(column)
        .map(|bytes| Box::new(Bytes(bytes)))
}

pub(super) const fn be_u64(bytes: [u8; 8]) -> u64 {
    u64::from_be_bytes(bytes)
}

/// SQLite's integers are signed; a moment beyond them is as good as never.
pub(super) fn ms(time: Timestamp) -> i64 {
    i64::try_from(time.as_ms()).unwrap_or(i64::MAX)
}
