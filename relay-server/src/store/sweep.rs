//! The sweep: forgets what has expired, a slice at a time, so that mail never waits for a long transaction.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Params, Result, params};
use zentalk_shared::id::MailboxId;
use zentalk_shared::time::{Duration, Timestamp};

use super::mailbox::ms;
use crate::core::store::{ENVELOPE_LIFE, Hour, MAILBOX_IDLE_LIFE, Swept, TOMBSTONE_LIFE};

/// The DHT forgets its records itself, and may have prolonged one without writing it down.
const DHT_GRACE: Duration = Duration::from_days(1);
/// Rows that one slice forgets: some milliseconds of a slow disk.
pub(super) const SLICE: u32 = 500;

/// Forgets up to [`SLICE`] expired rows.
pub(super) fn slice(db: &Connection, now: Timestamp) -> Result<Swept> {
    let mut left = SLICE;
    for sql in [
        "DELETE FROM surbs WHERE row IN (SELECT row FROM surbs WHERE expires <= ?1 LIMIT ?2)",
        "DELETE FROM records WHERE key IN (SELECT key FROM records WHERE expires <= ?1 LIMIT ?2)",
    ] {
        left -= rows(db.prepare_cached(sql)?.execute(params![ms(now), left])?);
    }
    let late = ms(now - DHT_GRACE);
    let sql = "DELETE FROM dht_records WHERE (kind, key) IN
               (SELECT kind, key FROM dht_records WHERE expires <= ?1 LIMIT ?2)";
    left -= rows(db.prepare_cached(sql)?.execute(params![late, left])?);
    let expired = "SELECT row FROM envelopes WHERE hour <= ?1 LIMIT ?2";
    let hour = Hour::expired(now, ENVELOPE_LIFE).0;
    left -= forget_envelopes(db, expired, params![hour, left])?;
    let expired = "SELECT mailbox, id FROM tombstones WHERE hour <= ?1 LIMIT ?2";
    let hour = Hour::expired(now, TOMBSTONE_LIFE).0;
    left -= forget_tombstones(db, expired, params![hour, left])?;
    // After the tombstones that point to them.
    let sql = "DELETE FROM acknowledgements WHERE row IN
               (SELECT row FROM acknowledgements WHERE hour <= ?1 LIMIT ?2)";
    left -= rows(db.prepare_cached(sql)?.execute(params![hour, left])?);
    forget_idle(db, Hour::expired(now, MAILBOX_IDLE_LIFE).0, left)
}

/// Forgets mailboxes whose owner has not come since `hour`; a large one takes several slices.
fn forget_idle(db: &Connection, hour: u32, mut left: u32) -> Result<Swept> {
    let mut gone = Vec::new();
    while left > 0 {
        let idle = db
            .prepare_cached("SELECT row FROM mailboxes WHERE touched <= ?1 LIMIT 1")?
            .query_row([hour], |row| row.get::<_, i64>(0))
            .optional()?;
        let Some(row) = idle else {
            return Ok(Swept { more: false, gone });
        };
        let its = "SELECT row FROM envelopes WHERE mailbox = ?1 LIMIT ?2";
        left -= forget_envelopes(db, its, params![row, left])?;
        let its = "SELECT mailbox, id FROM tombstones WHERE mailbox = ?1 LIMIT ?2";
        left -= forget_tombstones(db, its, params![row, left])?;
        for table in ["acknowledgements", "surbs", "one_time_prekeys"] {
            let sql = format!(
                "DELETE FROM {table} WHERE row IN (SELECT row FROM {table} WHERE mailbox = ?1 LIMIT ?2)"
            );
            left -= rows(db.prepare_cached(&sql)?.execute(params![row, left])?);
        }
        if left > 0 {
            let id = db
                .prepare_cached("DELETE FROM mailboxes WHERE row = ?1 RETURNING mailbox")?
                .query_row([row], |row| row.get(0))?;
            gone.push(MailboxId::from_bytes(id));
            left -= 1;
        }
    }
    Ok(Swept { more: true, gone })
}

/// What a statement with a limit of [`SLICE`] has changed.
fn rows(changed: usize) -> u32 {
    u32::try_from(changed).unwrap_or(u32::MAX)
}

/// Deletes the envelopes that a query names, and counts them off their mailboxes.
fn forget_envelopes(db: &Connection, named: &str, params: impl Params) -> Result<u32> {
    let sql =
        format!("DELETE FROM envelopes WHERE row IN ({named}) RETURNING mailbox, NOT permitted");
    let mut gone = BTreeMap::<i64, (u32, u32)>::new();
    let mut delete = db.prepare_cached(&sql)?;
    let mut deleted = delete.query(params)?;
    while let Some(row) = deleted.next()? {
        let (held, strangers) = gone.entry(row.get(0)?).or_default();
        *held += 1;
        *strangers += row.get::<_, u32>(1)?;
    }
    let mut count = db.prepare_cached(
        "UPDATE mailboxes SET held = held - ?2, strangers = strangers - ?3 WHERE row = ?1",
    )?;
    for (mailbox, (held, strangers)) in &gone {
        count.execute(params![mailbox, held, strangers])?;
    }
    Ok(gone.values().map(|(held, _)| held).sum())
}

/// The same for tombstones.
fn forget_tombstones(db: &Connection, named: &str, params: impl Params) -> Result<u32> {
    let sql = format!("DELETE FROM tombstones WHERE (mailbox, id) IN ({named}) RETURNING mailbox");
    let mut gone = BTreeMap::<i64, u32>::new();
    let mut delete = db.prepare_cached(&sql)?;
    let mut deleted = delete.query(params)?;
    while let Some(row) = deleted.next()? {
        *gone.entry(row.get(0)?).or_default() += 1;
    }
    let mut count =
        db.prepare_cached("UPDATE mailboxes SET buried = buried - ?2 WHERE row = ?1")?;
    for (mailbox, buried) in &gone {
        count.execute(params![mailbox, buried])?;
    }
    Ok(gone.values().sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::conformance::{self, NOW};
    use crate::core::store::{PutOutcome, Quotas, StoreOp, StoreReply};
    use crate::store::db::Db;
    use crate::store::db::tests::Scratch;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// A mailbox of the suite, open, with so many expired envelopes and tombstones of another one.
    fn with_expired(rows: u32) -> Scratch {
        let mut store = conformance::with_mailbox::<Scratch>(Quotas::default());
        let other = "INSERT INTO mailboxes (row, mailbox, sequence, digest, descriptor_sequence, touched, held, strangers, buried)
             VALUES (99, x'6363636363636363636363636363636363636363', x'0000000000000000', x'', x'0000000000000000', 1000000, ?1, ?1 / 2, ?1)";
        store.db.connection().execute(other, [rows]).unwrap();
        let numbers = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?1)";
        for fill in [
            "INSERT INTO envelopes (mailbox, cursor, id, hour, permitted, envelope)
             SELECT 99, n, CAST(n AS BLOB), 1, n % 2 = 0, x'00' FROM numbers",
            "INSERT INTO tombstones (mailbox, id, hour) SELECT 99, CAST(n AS BLOB), 1 FROM numbers",
        ] {
            let filled = store
                .db
                .connection()
                .execute(&format!("{numbers} {fill}"), [rows]);
            assert_eq!(filled.unwrap(), rows as usize);
        }
        store
    }

    fn slice(more: bool, gone: usize) -> StoreReply {
        let gone = vec![MailboxId::from_bytes([0x63; 20]); gone];
        StoreReply::Swept(Swept { more, gone })
    }

    /// Steps of SQLite's machine that `work` takes, in thousands.
    fn steps<T>(db: &mut Db, work: impl FnOnce(&mut Db) -> T) -> (T, u64) {
        let count = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&count);
        let handler = move || {
            counter.fetch_add(1, Ordering::Relaxed);
            false
        };
        db.connection()
            .progress_handler(1000, Some(handler))
            .unwrap();
        let done = work(db);
        db.connection()
            .progress_handler(0, None::<fn() -> bool>)
            .unwrap();
        (done, count.load(Ordering::Relaxed))
    }

    #[test]
    fn a_hundred_thousand_expired_rows_let_a_put_in_after_each_slice() {
        const ROWS: u32 = 100_000;
        let mut store = with_expired(ROWS);
        let db = &mut store.db;
        let sweep = |db: &mut Db| db.apply(&[StoreOp::Sweep(NOW)]).remove(0).unwrap();
        let slices = 2 * ROWS / SLICE;
        for n in 0..slices {
            let (swept, cost) = steps(db, sweep);
            assert_eq!(swept, slice(true, 0));
            // Thirty to fifty steps a row; a scan of the table would take a hundred times as many.
            assert!(cost < 100, "slice {n}: {cost} thousand steps");
            if n < 100 {
                let put = db.apply(&[StoreOp::Put(conformance::envelope(n as u8))]);
                assert_eq!(put, [Ok(StoreReply::Put(PutOutcome::Stored))]);
            }
        }
        assert_eq!(sweep(db), slice(false, 0));
        let counters = "SELECT held + strangers + buried FROM mailboxes WHERE row = 99";
        let left: i64 = db
            .connection()
            .query_row(counters, [], |row| row.get(0))
            .unwrap();
        assert_eq!(left, 0);
    }

    #[test]
    fn a_large_mailbox_whose_owner_is_gone_takes_several_slices() {
        let rows = 2 * SLICE;
        let mut store = with_expired(rows);
        let db = &mut store.db;
        let hour = Hour::at(NOW).0;
        for sql in [
            "UPDATE envelopes SET hour = ?1",
            "UPDATE tombstones SET hour = ?1",
        ] {
            db.connection().execute(sql, [hour]).unwrap();
        }
        let mut slices = 0;
        let later = NOW + Duration::from_hours(1);
        let idle = "UPDATE mailboxes SET touched = 1 WHERE row = 99";
        db.connection().execute(idle, []).unwrap();
        let sweep = |db: &mut Db| db.apply(&[StoreOp::Sweep(later)]).remove(0).unwrap();
        let last = loop {
            match sweep(db) {
                more if more == slice(true, 0) => slices += 1,
                last => break last,
            }
        };
        assert_eq!(last, slice(false, 1));
        assert_eq!(slices, 4, "two for envelopes, two for tombstones");
        for table in ["envelopes", "tombstones", "mailboxes"] {
            let sql = format!("SELECT count(*) FROM {table}");
            let left: i64 = db
                .connection()
                .query_row(&sql, [], |row| row.get(0))
                .unwrap();
            assert_eq!(left, i64::from(table == "mailboxes"), "{table}");
        }
    }
}
