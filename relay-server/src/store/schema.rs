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

fn version_of(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// The version of a database that is newer than this software. Changes nothing in it.
pub(super) fn newer(connection: &Connection) -> rusqlite::Result<Option<u32>> {
    version_of(connection).map(|found| Some(found).filter(|found| *found > VERSION))
}

/// Brings the database to [`VERSION`], one transaction per step.
pub(super) fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let found = version_of(connection)?;
    for (version, sql) in (1u32..).zip(MIGRATIONS).skip(found as usize) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Proof;
    use crate::core::conformance::{self, MAILBOX, NOW, OTHER, id};
    use crate::core::store::*;
    use crate::store::db::DATABASE;
    use crate::store::{Db, DbOptions, OpenError, StoreThreads};
    use std::path::Path;
    use zentalk_shared::dht::{Held, RecordId, RecordKind};
    use zentalk_shared::id::{EnvelopeId, MailboxId, NodeId, RecordKey};
    use zentalk_shared::onion::ReplayEntry;
    use zentalk_shared::rpc::{FormerPermit, Permit};
    use zentalk_shared::time::Timestamp;
    use zentalk_shared::wire::budget::ENVELOPE_LEN;
    use zentalk_shared::wire::codec::{BoundedBytes, Bytes};
    use zeroize::Zeroizing;

    /// A database of every version, as it was left, with rows in every table. Whoever adds a migration adds
    /// one of what it leads to; none is ever edited.
    const FIXTURES: [&str; VERSION as usize] = [
        include_str!("../../tests/fixtures/schema-1.sql"),
        include_str!("../../tests/fixtures/schema-2.sql"),
        include_str!("../../tests/fixtures/schema-3.sql"),
        include_str!("../../tests/fixtures/schema-4.sql"),
        include_str!("../../tests/fixtures/schema-5.sql"),
        include_str!("../../tests/fixtures/schema-6.sql"),
        include_str!("../../tests/fixtures/schema-7.sql"),
    ];

    #[test]
    fn replay_tags_of_version_1_become_tags_of_x25519() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(MIGRATIONS[0]).unwrap();
        connection.pragma_update(None, "user_version", 1).unwrap();
        let old: [u8; 18] = core::array::from_fn(|n| 0xf0 ^ n as u8);
        let insert = "INSERT INTO replay (epoch, entry) VALUES (?1, ?2)";
        connection.execute(insert, (0xf0f1, old)).unwrap();
        connection.execute(insert, (0, [0u8; 18])).unwrap();
        migrate(&mut connection).unwrap();
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
        let directory = fixture(FIXTURES[1]);
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
        let schema =
            |directory: &Path| schema_of(&Connection::open(directory.join(DATABASE)).unwrap());
        let new = tempfile::tempdir().unwrap();
        drop(Db::open(new.path(), options).unwrap());
        assert_eq!(schema(directory.path()), schema(new.path()));
        let mut db = Db::open(directory.path(), options).unwrap();
        let (mailbox, id) = (conformance::MAILBOX, conformance::id(1));
        let read = db.apply(&[StoreOp::ReadEnvelope { mailbox, id }]);
        assert!(matches!(&read[..], [Ok(StoreReply::Envelope(Some(_)))]));
    }

    fn schema_of(db: &Connection) -> Vec<String> {
        let sql = "SELECT name || ': ' || coalesce(sql, '') FROM sqlite_schema ORDER BY name";
        let mut all = db.prepare(sql).unwrap();
        let rows = all.query_map([], |row| row.get::<_, String>(0)).unwrap();
        rows.map(Result::unwrap).collect()
    }

    #[test]
    fn every_fixture_is_what_the_migrations_up_to_it_make_with_rows_in_every_table() {
        for (version, sql) in (1u32..).zip(FIXTURES) {
            let left = Connection::open_in_memory().unwrap();
            left.execute_batch(sql).unwrap();
            let made = Connection::open_in_memory().unwrap();
            let migrations = MIGRATIONS[..version as usize].concat();
            made.execute_batch(&migrations).unwrap();
            let released = "was released: a change of it is a new migration";
            assert_eq!(
                schema_of(&left),
                schema_of(&made),
                "schema {version} {released}"
            );
            assert_eq!(version_of(&left).unwrap(), version);
            let application = |db: &Connection| {
                db.pragma_query_value(None, "application_id", |row| row.get::<_, u32>(0))
            };
            assert_eq!(application(&left).unwrap(), application(&made).unwrap());
            let sql = "SELECT name FROM sqlite_schema WHERE type = 'table'";
            let mut tables = left.prepare(sql).unwrap();
            let tables = tables.query_map([], |row| row.get::<_, String>(0)).unwrap();
            for table in tables.map(Result::unwrap) {
                let sql = format!("SELECT EXISTS (SELECT 1 FROM {table})");
                let filled: bool = left.query_row(&sql, [], |row| row.get(0)).unwrap();
                assert!(filled, "schema {version} has no row in {table}");
            }
        }
    }

    /// What was written into the fixtures but that of version 2, as a relay of today finds it when it starts.
    fn left_in(version: u32) -> Restored {
        let time = Timestamp::from_ms;
        let descriptor = |n, proof| SavedDescriptor {
            node: NodeId::from_bytes([n; 20]),
            descriptor: vec![15, n],
            proof,
        };
        let found = Proof {
            at: time(1_800_000_000_123),
            address: "[2001:db8::7]:9001".parse().unwrap(),
        };
        let former = FormerPermit {
            permit: Permit::from_bytes([6; 32]),
            until: time(1_900_000_000_123),
        };
        let mailbox = |mailbox, descriptor, permit, former, stock: (u16, u32)| RestoredMailbox {
            mailbox,
            descriptor,
            permit,
            former,
            stock: Stock {
                surbs: stock.0,
                waiting: stock.1,
            },
        };
        let former = (version >= 4).then_some(former);
        let tag = |suite, epoch, last: [u8; 3]| {
            let mut bytes = [0; ReplayEntry::LEN];
            (bytes[0], bytes[2]) = (suite, epoch);
            bytes[16..].copy_from_slice(&last);
            ReplayEntry::from_bytes(&bytes)
        };
        // In version 1 there was one suite.
        let second = if version == 1 { 1 } else { 2 };
        Restored {
            onion_keys: None,
            replay: vec![tag(1, 77, [1, 2, 3]), tag(second, 78, [10, 11, 12])],
            descriptors: vec![
                descriptor(5, (version >= 3).then_some(found)),
                descriptor(6, None),
            ],
            mailboxes: vec![
                mailbox(MAILBOX, Some(vec![9; 2]), Some([7; 32]), former, (2, 2)),
                mailbox(OTHER, None, None, None, (0, 0)),
            ],
            dht_table: (version >= 6).then(|| vec![1, 1, 2, 3, 4]),
            dht_records: if version >= 6 { dht_left() } else { Vec::new() },
        }
    }

    fn dht_left() -> Vec<(RecordId, Held)> {
        let time = Timestamp::from_ms;
        let record = |kind, sequence, ms: u64, giver, proof| {
            let key = RecordKey::from_bytes([7; 20]);
            let held = Held {
                sequence,
                expires: time(1_900_000_000_000 + ms),
                touched: time(1_800_000_000_000 + ms),
                giver: NodeId::from_bytes([giver; 20]),
                proof,
                length: 2,
            };
            (RecordId { kind, key }, held)
        };
        let proof = BoundedBytes::new(vec![3; 65]).unwrap();
        vec![
            record(RecordKind::Relay, 9, 0, 8, None),
            record(RecordKind::Account, 10, 1, 9, Some(proof)),
        ]
    }

    fn run(db: &mut Db, op: StoreOp) -> StoreReply {
        db.apply(&[op]).remove(0).unwrap()
    }

    #[test]
    fn every_row_of_every_former_version_is_found_again() {
        let versions = (1u32..).zip(FIXTURES);
        // That of version 2 holds less, and has a test of its own.
        for (version, sql) in versions.filter(|(version, _)| *version != 2) {
            let directory = fixture(sql);
            let answer = || Box::new(|_, _| {}) as crate::store::Answer;
            let options = DbOptions::default();
            let started = StoreThreads::start(directory.path(), options, answer).unwrap();
            started.store.finish();
            assert!(started.set_aside.is_none());
            assert_eq!(started.restored, left_in(version), "of version {version}");
            let mut db = Db::open(directory.path(), options).unwrap();
            finds_mail(&mut db);
            finds_tombstones(&mut db, version);
            finds_owners(&mut db);
            finds_records(&mut db, version);
        }
    }

    fn finds_mail(db: &mut Db) {
        let letter = |byte| Box::new(Bytes([byte; ENVELOPE_LEN]));
        let fetch = |sequence| StoreOp::Fetch {
            mailbox: MAILBOX,
            stamp: conformance::stamp(sequence),
            after: 0,
            limit: 3,
            now: NOW,
        };
        let stale = StoreReply::Fetched(Owned::Stale);
        assert_eq!(run(db, fetch(0)), stale, "the sequence is known");
        let fetched = Fetched {
            envelopes: vec![(id(1), letter(b'A')), (id(3), letter(b'C'))],
            next: 4,
            remaining: 0,
        };
        let fetched = StoreReply::Fetched(Owned::Done(fetched));
        assert_eq!(run(db, fetch(2)), fetched);
        for (n, byte, hour, permitted) in [(1, b'A', 500_000, true), (3, b'C', 499_999, false)] {
            let (mailbox, id) = (MAILBOX, id(n));
            let stored = StoredEnvelope {
                envelope: letter(byte),
                hour: Hour(hour),
                permitted,
            };
            let read = run(db, StoreOp::ReadEnvelope { mailbox, id });
            assert_eq!(read, StoreReply::Envelope(Some(stored)));
        }
    }

    fn finds_tombstones(db: &mut Db, version: u32) {
        for n in [2, 4] {
            let put = run(db, StoreOp::Put(conformance::envelope(n)));
            assert_eq!(put, StoreReply::Put(PutOutcome::Tombstoned));
        }
        let with = CompareIds {
            mailbox: MAILBOX,
            from: id(0),
            until: None,
            theirs: vec![id(2), id(4)],
        };
        let compared = Compared {
            held: vec![id(1), id(3)],
            until: None,
            missing: Vec::<EnvelopeId>::new(),
            proofs: if version >= 7 {
                vec![vec![2; 2]]
            } else {
                vec![]
            },
        };
        let compared = StoreReply::Compared(Some(compared));
        assert_eq!(run(db, StoreOp::Compare(Box::new(with))), compared);
    }

    fn finds_owners(db: &mut Db) {
        for n in [2, 1] {
            let push = StoreOp::TakePush {
                mailbox: MAILBOX,
                pick: PushPick::Heartbeat,
                now: NOW,
            };
            let taken = TakenPush {
                surb: Some(Zeroizing::new(vec![12, n])),
                envelopes: Vec::new(),
                stock: Stock {
                    surbs: u16::from(n) - 1,
                    waiting: 2,
                },
            };
            assert_eq!(run(db, push), StoreReply::Push(taken), "what ends first");
        }
        let keep = |sequence| StoreOp::KeepDescriptor {
            mailbox: MAILBOX,
            sequence,
            descriptor: vec![1],
        };
        for (sequence, newer) in [(1, false), (2, true)] {
            let kept = StoreReply::DescriptorKept(newer);
            assert_eq!(run(db, keep(sequence)), kept);
        }
        finds_prekeys(db, MAILBOX, vec![11, 11], vec![13, 1]);
        finds_prekeys(db, OTHER, vec![11, 2], vec![13, 2]);
    }

    fn finds_prekeys(db: &mut Db, mailbox: MailboxId, base: Vec<u8>, last: Vec<u8>) {
        for last in [Some(last), None] {
            let bundle = Bundle {
                base: BoundedBytes::new(base.clone()).unwrap(),
                one_time: last.map(|key| BoundedBytes::new(key).unwrap()),
            };
            let one_time = true;
            let taken = run(db, StoreOp::TakePreKey { mailbox, one_time });
            assert_eq!(taken, StoreReply::Bundle(Some(bundle)));
        }
    }

    fn finds_records(db: &mut Db, version: u32) {
        let expires = Timestamp::from_ms(1_900_000_000_000);
        for (n, sequence) in [(4, 5), (5, u64::MAX)] {
            let key = RecordKey::from_bytes([n; 20]);
            let record = |record| StoreReply::Record(record);
            let get = |now| StoreOp::GetRecord { key, now };
            assert_eq!(run(db, get(NOW)), record(Some(vec![14, n])));
            let end = expires + zentalk_shared::time::Duration::from_ms(u64::from(n) - 4);
            assert_eq!(run(db, get(end)), record(None));
            let put = StoreOp::PutRecord {
                key,
                sequence,
                expires,
                record: vec![0],
            };
            let held = StoreReply::RecordPut(RecordOutcome::Held(sequence));
            assert_eq!(run(db, put), held);
        }
        for (record, n) in dht_left().into_iter().zip(1..) {
            let expected = (version >= 6).then(|| vec![10, n]);
            let read = run(db, StoreOp::ReadDhtRecord(record.0));
            assert_eq!(read, StoreReply::Record(expected));
        }
    }

    #[test]
    fn a_database_of_a_newer_version_is_refused_in_words_and_left_untouched() {
        let tomorrow = format!(
            "{} CREATE TABLE tomorrow (x ANY) STRICT; PRAGMA user_version = {};",
            FIXTURES[VERSION as usize - 1],
            VERSION + 1
        );
        let directory = fixture(&tomorrow);
        let files = || {
            let files = std::fs::read_dir(directory.path()).unwrap();
            let file = |file: std::io::Result<std::fs::DirEntry>| {
                let path = file.unwrap().path();
                (std::fs::read(&path).unwrap(), path)
            };
            files.map(file).collect::<Vec<_>>()
        };
        let before = files();
        let options = DbOptions::default();
        let answer = || Box::new(|_, _| {}) as crate::store::Answer;
        let started = StoreThreads::start(directory.path(), options, answer);
        let error = started.map(drop).unwrap_err();
        assert!(
            matches!(error, OpenError::Newer { found, known: VERSION, .. } if found == VERSION + 1)
        );
        let said = error.to_string();
        let expected = format!(
            "has schema {}, but this relay knows only up to",
            VERSION + 1
        );
        assert!(said.contains(&expected), "{said}");
        assert!(said.contains("written by a newer version"), "{said}");
        assert!(files() == before, "not a byte of it has changed");
    }
}
