//! The schema, as an append-only list of migrations. A migration that was released is never edited.

use rusqlite::Connection;

/// `MIGRATIONS[n]` leads from version n to n + 1.
const MIGRATIONS: &[&str] = &[
    "
CREATE TABLE mailboxes (
    row                 INTEGER PRIMARY KEY,
    mailbox             BLOB NOT NULL UNIQUE,
    sequence            BLOB NOT NULL,             -- owner's, u64 big-endian
    digest              BLOB NOT NULL,             -- of the request with that sequence
    descriptor_sequence BLOB NOT NULL,             -- u64 big-endian
    descriptor          BLOB,
    permit              BLOB,
    touched             INTEGER NOT NULL,          -- hour of the owner's last request
    next_cursor         INTEGER NOT NULL DEFAULT 0,
    held                INTEGER NOT NULL DEFAULT 0, -- envelopes
    strangers           INTEGER NOT NULL DEFAULT 0, -- of these, without a permit
    buried              INTEGER NOT NULL DEFAULT 0, -- tombstones
    base                BLOB                       -- sealed prekey base
) STRICT;
CREATE TABLE envelopes (
    row       INTEGER PRIMARY KEY,
    mailbox   INTEGER NOT NULL,
    cursor    INTEGER NOT NULL,
    id        BLOB NOT NULL,
    hour      INTEGER NOT NULL,
    permitted INTEGER NOT NULL,
    envelope  BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX envelopes_by_id ON envelopes (mailbox, id);
CREATE UNIQUE INDEX envelopes_by_cursor ON envelopes (mailbox, cursor);
CREATE INDEX envelopes_by_hour ON envelopes (hour);
CREATE TABLE tombstones (
    mailbox INTEGER NOT NULL,
    id      BLOB NOT NULL,
    hour    INTEGER NOT NULL,
    PRIMARY KEY (mailbox, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX tombstones_by_hour ON tombstones (hour);
CREATE TABLE surbs (
    row     INTEGER PRIMARY KEY,
    mailbox INTEGER NOT NULL,
    expires INTEGER NOT NULL,                      -- unix ms
    surb    BLOB NOT NULL
) STRICT;
CREATE INDEX surbs_by_mailbox ON surbs (mailbox, expires);
CREATE INDEX surbs_by_expiry ON surbs (expires);
CREATE TABLE one_time_prekeys (
    row     INTEGER PRIMARY KEY,
    mailbox INTEGER NOT NULL,
    prekey  BLOB NOT NULL
) STRICT;
CREATE INDEX one_time_by_mailbox ON one_time_prekeys (mailbox);
CREATE TABLE records (
    key      BLOB PRIMARY KEY,
    sequence BLOB NOT NULL,                        -- u64 big-endian
    expires  INTEGER NOT NULL,                     -- unix ms
    record   BLOB NOT NULL
) STRICT;
CREATE INDEX records_by_expiry ON records (expires);
CREATE TABLE replay (
    row   INTEGER PRIMARY KEY,
    epoch INTEGER NOT NULL,
    entry BLOB NOT NULL
) STRICT;
CREATE INDEX replay_by_epoch ON replay (epoch);
CREATE TABLE descriptors (
    node       BLOB PRIMARY KEY,
    descriptor BLOB NOT NULL
) STRICT;
",
    // Replay tags name their onion suite; those there are of the only suite that there was.
    "UPDATE replay SET entry = CAST(x'01' || entry AS BLOB);",
    // When a relay was found, and at which address: of those there are nobody knows.
    "
ALTER TABLE descriptors ADD COLUMN found INTEGER;      -- unix ms
ALTER TABLE descriptors ADD COLUMN address TEXT;       -- and port
",
    // The permit before the present one, until when it counts in unix ms.
    "ALTER TABLE mailboxes ADD COLUMN former_permit BLOB;
     ALTER TABLE mailboxes ADD COLUMN former_until INTEGER;",
    // The file says whose it is ("ZTrl"), and mailboxes nobody comes for are found without a scan.
    "PRAGMA application_id = 0x5a54726c;
CREATE INDEX mailboxes_by_touch ON mailboxes (touched);",
    // The DHT: records held for other relays, and the table of contacts.
    "
CREATE TABLE dht_records (
    kind     INTEGER NOT NULL,                     -- 1 a relay's, 2 an account's
    key      BLOB NOT NULL,
    sequence BLOB NOT NULL,                        -- u64 big-endian
    expires  INTEGER NOT NULL,                     -- unix ms
    touched  INTEGER NOT NULL,                     -- unix ms
    giver    BLOB NOT NULL,
    proof    BLOB,
    record   BLOB NOT NULL,
    PRIMARY KEY (kind, key)
) STRICT;
CREATE INDEX dht_records_by_expiry ON dht_records (expires);
CREATE TABLE dht_table (
    row      INTEGER PRIMARY KEY CHECK (row = 1),
    contacts BLOB NOT NULL
) STRICT;
",
    // Signed acknowledgements, so that other members can be shown why an envelope is gone. Tombstones of
    // before have none.
    "
CREATE TABLE acknowledgements (
    row       INTEGER PRIMARY KEY,
    mailbox   INTEGER NOT NULL,
    hour      INTEGER NOT NULL,
    tombstone BLOB NOT NULL
) STRICT;
CREATE INDEX acknowledgements_by_mailbox ON acknowledgements (mailbox);
CREATE INDEX acknowledgements_by_hour ON acknowledgements (hour);
ALTER TABLE tombstones ADD COLUMN proof INTEGER;
CREATE INDEX tombstones_by_proof ON tombstones (proof) WHERE proof IS NOT NULL;
",
];

/// What [`MIGRATIONS`] write into the file's header: "ZTrl".
pub(super) const APPLICATION_ID: u32 = 0x5a54_726c;
/// The first version that writes it.
pub(super) const SAYS_WHOSE_SINCE: u32 = 5;

/// What the newest migration leads to.
pub(super) const VERSION: u32 = MIGRATIONS.len() as u32;

/// Brings the database to [`VERSION`], one transaction per step. Yields the version found if it is newer.
pub(super) fn migrate(connection: &mut Connection) -> rusqlite::Result<Result<(), u32>> {
    let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for (version, sql) in (1u32..).zip(MIGRATIONS).skip(found as usize) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(if found > VERSION { Err(found) } else { Ok(()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::conformance;
    use crate::core::store::{Stock, StoreOp, StoreReply};
    use crate::store::db::DATABASE;
    use crate::store::{Db, DbOptions, StoreThreads};
    use zentalk_shared::onion::ReplayEntry;

    #[test]
    fn replay_tags_of_version_1_become_tags_of_x25519() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(MIGRATIONS[0]).unwrap();
        connection.pragma_update(None, "user_version", 1).unwrap();
        let old: [u8; 18] = core::array::from_fn(|n| 0xf0 ^ n as u8);
        let insert = "INSERT INTO replay (epoch, entry) VALUES (?1, ?2)";
        connection.execute(insert, (0xf0f1, old)).unwrap();
        connection.execute(insert, (0, [0u8; 18])).unwrap();
        migrate(&mut connection).unwrap().unwrap();
        let read = |row: &rusqlite::Row<'_>| row.get::<_, [u8; ReplayEntry::LEN]>(0);
        let mut statement = connection
            .prepare("SELECT entry FROM replay ORDER BY row")
            .unwrap();
        let entries = statement.query_map([], read).unwrap();
        let entries: Vec<_> = entries.map(Result::unwrap).collect();
        assert_eq!(entries[0][0], 1);
        assert_eq!(entries[0][1..], old);
        assert_eq!(
            entries[1],
            [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(
            ReplayEntry::from_bytes(&entries[0]).epoch().number(),
            0xf0f1
        );
    }
    /// A directory with the database of a fixture.
    fn fixture(sql: &str) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(DATABASE);
        crate::files::create_private(&path).unwrap();
        let connection = Connection::open(path).unwrap();
        connection.pragma_update(None, "page_size", 8192).unwrap();
        connection.execute_batch(sql).unwrap();
        directory
    }

    #[test]
    fn what_version_2_held_is_there_and_the_schema_is_that_of_a_new_database() {
        let directory = fixture(include_str!("../../tests/fixtures/schema-2.sql"));
        let answer = || Box::new(|_, _| {}) as crate::store::Answer;
        let options = DbOptions::default();
        let old = StoreThreads::start(directory.path(), options, answer).unwrap();
        assert!(old.set_aside.is_none());
        old.store.finish();
        let restored = old.restored;
        let mailbox = &restored.mailboxes[0];
        assert_eq!(mailbox.mailbox, conformance::MAILBOX);
        assert_eq!(
            mailbox.stock,
            Stock {
                surbs: 1,
                waiting: 1
            }
        );
        assert_eq!((restored.replay.len(), restored.descriptors.len()), (1, 1));
        assert_eq!(restored.replay[0].epoch().number(), 77);
        let schema = |directory: &std::path::Path| {
            let db = Connection::open(directory.join(DATABASE)).unwrap();
            let sql = "SELECT name || ': ' || coalesce(sql, '') FROM sqlite_schema ORDER BY name";
            let mut all = db.prepare(sql).unwrap();
            let rows = all.query_map([], |row| row.get::<_, String>(0)).unwrap();
            rows.map(Result::unwrap).collect::<Vec<_>>()
        };
        let new = tempfile::tempdir().unwrap();
        drop(Db::open(new.path(), options).unwrap());
        assert_eq!(schema(directory.path()), schema(new.path()));
        let mut db = Db::open(directory.path(), options).unwrap();
        let (mailbox, id) = (conformance::MAILBOX, conformance::id(1));
        let read = db.apply(&[StoreOp::ReadEnvelope { mailbox, id }]);
        assert!(matches!(&read[..], [Ok(StoreReply::Envelope(Some(_)))]));
    }
}
