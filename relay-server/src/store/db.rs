//! The database: opened, migrated, and one batch of operations as one transaction.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use thiserror::Error;
use zeroize::Zeroizing;

use super::{damage, dht, keep, mailbox, schema, sweep, tombstones};
use crate::core::store::{Quotas, Restored, StoreError, StoreOp, StoreReply};
use crate::files;

pub(super) const DATABASE: &str = "relay.sqlite";
pub(super) const ONION_KEYS: &str = "onion.keys";
/// A sealed envelope and its row fit one page, so that no envelope needs overflow pages.
const PAGE_SIZE: u32 = 8192;
/// Longest file of onion keys that is read.
const MAX_ONION_KEYS: u64 = 1 << 20;
const CACHED_STATEMENTS: usize = 64;
/// As many pages as SQLite can count.
const MAX_PAGES: u64 = 0xffff_fffe;
/// Of the room that an operator grants, this part is left for what makes room: acknowledgements, the
/// sweep, owners' sequences, the replay log.
const RESERVE: u64 = 10;
/// And never more than so many pages.
const MAX_RESERVE: u64 = 512;
/// The same of the disk, in bytes: the log of one transaction, and then some.
pub(super) const DISK_RESERVE: u64 = 32 << 20;
/// What is kept for others when only the reserve is left.
const NOTHING_MORE: Quotas = Quotas {
    mailboxes: 0,
    envelopes: 0,
    bytes: 0,
    first_contact: 0,
    stock: 0,
    tombstones: u32::MAX,
    one_time: 0,
    records: 0,
};

/// How the database is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DbOptions {
    /// How much is kept for others.
    pub quotas: Quotas,
    /// The database never grows beyond this.
    pub max_bytes: Option<u64>,
}

/// Why there is no store.
#[derive(Debug, Error)]
pub enum OpenError {
    /// SQLite cannot open, read or migrate it.
    #[error("cannot open the database {path}: {source}")]
    Database {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// A newer relay has been here.
    #[error(
        "the database {path} has schema {found}, but this relay knows only up to {known}: it was written by a newer version"
    )]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// A file beside the database.
    #[error("cannot use {path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// One connection to the database.
#[derive(Debug)]
pub struct Db {
    connection: Connection,
    options: DbOptions,
    directory: PathBuf,
    /// What is free on the disk that a directory is on, if the system says.
    free_bytes: fn(&Path) -> Option<u64>,
    /// There was no room the last time; it is said once.
    full: bool,
}

impl Db {
    /// Opens or creates the database in `directory`, which exists and is private.
    pub fn open(directory: &Path, options: DbOptions) -> Result<Self, OpenError> {
        let path = directory.join(DATABASE);
        files::create_private(&path).map_err(|source| OpenError::File {
            path: path.clone(),
            source,
        })?;
        let database = |source| OpenError::Database {
            path: path.clone(),
            source,
        };
        let mut connection = connect(&path).map_err(database)?;
        // Before anything is set: the settings below lie in the file.
        if let Some(found) = schema::newer(&connection).map_err(database)? {
            let known = schema::VERSION;
            return Err(OpenError::Newer { path, found, known });
        }
        configure(&connection, options)
            .and_then(|()| schema::migrate(&mut connection))
            .map_err(database)?;
        Ok(Self {
            connection,
            options,
            directory: directory.to_owned(),
            free_bytes: files::free_bytes,
            full: false,
        })
    }

    /// Changes how much is kept from the next operation on.
    pub fn set_options(&mut self, options: DbOptions) {
        if options == self.options {
            return;
        }
        self.options = options;
        if let Err(error) = limit_size(&self.connection, options.max_bytes) {
            tracing::error!(%error, "the database's limit could not be changed");
        }
    }

    /// What is there.
    pub fn restore(&self) -> Result<Restored, OpenError> {
        let database = |source| OpenError::Database {
            path: self.directory.join(DATABASE),
            source,
        };
        let mut restored = keep::restore(&self.connection).map_err(database)?;
        let path = self.directory.join(ONION_KEYS);
        restored.onion_keys = files::read_private(&path, MAX_ONION_KEYS)
            .map_err(|source| OpenError::File { path, source })?
            .map(Zeroizing::new);
        Ok(restored)
    }

    /// Applies operations in order in one transaction; the answers are true once this returns.
    /// If the transaction fails, each operation gets one of its own, so that only those fail that must.
    pub fn apply(&mut self, ops: &[StoreOp]) -> Vec<Result<StoreReply, StoreError>> {
        match self.transaction(ops) {
            Ok(replies) => replies.into_iter().map(Ok).collect(),
            Err(error) if ops.len() == 1 => vec![Err(self.report(&error))],
            Err(_) => ops.iter().map(|op| self.apply_alone(op)).collect(),
        }
    }

    fn apply_alone(&mut self, op: &StoreOp) -> Result<StoreReply, StoreError> {
        match self.transaction(std::slice::from_ref(op)) {
            Ok(mut replies) => replies.pop().ok_or(StoreError::Failed),
            Err(error) => Err(self.report(&error)),
        }
    }

    fn transaction(&mut self, ops: &[StoreOp]) -> Result<Vec<StoreReply>, ApplyError> {
        let takes_room = |op: &StoreOp| adds(op) || matches!(op, StoreOp::Tombstone { .. });
        let disk_full = ops.iter().any(takes_room)
            && (self.free_bytes)(&self.directory).is_some_and(|free| free < DISK_RESERVE);
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut replies = Vec::with_capacity(ops.len());
        let mut full = false;
        for op in ops {
            let no_room =
                takes_room(op) && (disk_full || !has_room(&transaction, self.options.max_bytes)?);
            full |= no_room && adds(op);
            let quotas = if no_room && adds(op) {
                &NOTHING_MORE
            } else {
                &self.options.quotas
            };
            replies.push(match op {
                StoreOp::SaveOnionKeys(keys) => {
                    files::write_private(&self.directory.join(ONION_KEYS), keys)?;
                    StoreReply::Done
                }
                StoreOp::ForgetOnionKeys => {
                    damage::forget_onion_keys(&self.directory)?;
                    StoreReply::Done
                }
                op => apply_one(&transaction, (quotas, no_room), op)?,
            });
        }
        transaction.commit()?;
        if ops.iter().any(adds) {
            self.say_full(full);
        }
        Ok(replies)
    }

    /// Tells the operator what the core need not know.
    fn report(&mut self, error: &ApplyError) -> StoreError {
        let store_error = error.kind();
        match store_error {
            StoreError::Full => self.say_full(true),
            StoreError::Failed => tracing::error!(%error, "the store failed"),
        }
        store_error
    }

    /// Says once that there is no room, and once that there is again.
    fn say_full(&mut self, full: bool) {
        match (self.full, full) {
            (false, true) => {
                tracing::warn!("the disk is full: nothing more is accepted until there is room");
            }
            (true, false) => tracing::info!("there is room on the disk again"),
            _ => {}
        }
        self.full = full;
    }

    #[cfg(test)]
    pub(super) const fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Answers an operation that only reads, outside any transaction.
    pub fn read(&self, op: &StoreOp) -> Result<StoreReply, StoreError> {
        apply_one(&self.connection, (&self.options.quotas, false), op)
            .map_err(|error| ApplyError::Database(error).kind())
    }
}

/// Whether the operation may run beside the writer.
pub(super) fn is_read(op: &StoreOp) -> bool {
    matches!(
        op,
        StoreOp::GetRecord { .. }
            | StoreOp::ReadDhtRecord(_)
            | StoreOp::ReadEnvelope { .. }
            | StoreOp::Summarise(_)
            | StoreOp::Compare(_)
    )
}

/// Whether the operation keeps something more for others.
fn adds(op: &StoreOp) -> bool {
    matches!(
        op,
        StoreOp::Put(_)
            | StoreOp::Subscribe(_)
            | StoreOp::SavePreKeys(_)
            | StoreOp::PutRecord { .. }
            | StoreOp::SaveDhtRecord(_)
    )
}

/// Whether more than the reserve is left of what the database may grow to.
fn has_room(db: &Connection, max_bytes: Option<u64>) -> rusqlite::Result<bool> {
    let Some(max_bytes) = max_bytes else {
        return Ok(true);
    };
    let pages = max_bytes / u64::from(PAGE_SIZE);
    let reserve = pages.div_ceil(RESERVE).min(MAX_RESERVE);
    let used: i64 = db
        .prepare_cached(
            "SELECT page_count - freelist_count FROM pragma_page_count, pragma_freelist_count",
        )?
        .query_row([], |row| row.get(0))?;
    Ok(u64::try_from(used).unwrap_or(0) + reserve < pages)
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    Ok(connection)
}

fn configure(connection: &Connection, options: DbOptions) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    connection.pragma_update(None, "page_size", PAGE_SIZE)?;
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "secure_delete", "FAST")?;
    limit_size(connection, options.max_bytes)
}

/// SQLite never lets the limit fall below what is there already.
fn limit_size(connection: &Connection, max_bytes: Option<u64>) -> rusqlite::Result<()> {
    let pages = max_bytes.map_or(MAX_PAGES, |bytes| bytes / u64::from(PAGE_SIZE));
    let pages = pages.clamp(1, MAX_PAGES);
    connection.pragma_update_and_check(None, "max_page_count", pages.cast_signed(), |_| Ok(()))
}

fn apply_one(
    db: &Connection,
    (quotas, no_room): (&Quotas, bool),
    op: &StoreOp,
) -> rusqlite::Result<StoreReply> {
    match op {
        StoreOp::Put(put) => mailbox::put(db, quotas, put).map(StoreReply::Put),
        StoreOp::Subscribe(save) => {
            mailbox::subscribe(db, quotas, save).map(StoreReply::Subscription)
        }
        StoreOp::Fetch {
            mailbox,
            stamp,
            after,
            limit,
            now,
        } => mailbox::fetch(db, mailbox, *stamp, (*after, *limit), *now).map(StoreReply::Fetched),
        StoreOp::Tombstone {
            mailbox,
            ids,
            hour,
            proof,
        } => tombstones::tombstone(db, (quotas, no_room), mailbox, ids, (*hour, proof))
            .map(StoreReply::Tombstone),
        StoreOp::Summarise(mailboxes) => tombstones::summarise(db, mailboxes).map(StoreReply::Held),
        StoreOp::Compare(with) => tombstones::compare(db, quotas, with).map(StoreReply::Compared),
        StoreOp::KeepDescriptor {
            mailbox,
            sequence,
            descriptor,
        } => tombstones::keep_descriptor(db, mailbox, *sequence, descriptor)
            .map(StoreReply::DescriptorKept),
        StoreOp::TakePush { mailbox, pick, now } => {
            mailbox::take_push(db, mailbox, pick, *now).map(StoreReply::Push)
        }
        StoreOp::ReadEnvelope { mailbox, id } => {
            mailbox::read_envelope(db, mailbox, id).map(StoreReply::Envelope)
        }
        StoreOp::SavePreKeys(save) => keep::save_prekeys(db, quotas, save).map(StoreReply::PreKeys),
        StoreOp::TakePreKey { mailbox, one_time } => {
            keep::take_prekey(db, mailbox, *one_time).map(StoreReply::Bundle)
        }
        StoreOp::PutRecord {
            key,
            sequence,
            expires,
            record,
        } => keep::put_record(db, quotas, key, (*sequence, *expires), record)
            .map(StoreReply::RecordPut),
        StoreOp::GetRecord { key, now } => keep::get_record(db, key, *now).map(StoreReply::Record),
        StoreOp::SaveDhtRecord(saved) => {
            dht::save_record(db, quotas, saved).map(StoreReply::RecordPut)
        }
        StoreOp::ReadDhtRecord(id) => dht::read_record(db, id).map(StoreReply::Record),
        StoreOp::Sweep(now) => sweep::slice(db, *now).map(StoreReply::Swept),
        other => housekeep(db, other).map(|()| StoreReply::Done),
    }
}

/// The operations that answer nothing.
fn housekeep(db: &Connection, op: &StoreOp) -> rusqlite::Result<()> {
    match op {
        StoreOp::AppendReplay(tags) => keep::append_replay(db, tags),
        StoreOp::KeepReplay(epochs) => keep::keep_replay(db, epochs),
        StoreOp::SaveDescriptor(saved) => keep::save_descriptor(db, saved),
        StoreOp::ForgetDescriptor(node) => keep::forget_descriptor(db, node),
        StoreOp::ForgetDhtRecord(id) => dht::forget_record(db, id),
        StoreOp::SaveDhtTable(table) => dht::save_table(db, table),
        _ => Ok(()),
    }
}

/// Why a transaction did not happen.
#[derive(Debug, Error)]
enum ApplyError {
    #[error(transparent)]
    Database(#[from] rusqlite::Error),
    #[error(transparent)]
    File(#[from] io::Error),
}

impl ApplyError {
    fn kind(&self) -> StoreError {
        let full = match self {
            Self::Database(error) => error.sqlite_error_code() == Some(ErrorCode::DiskFull),
            Self::File(error) => error.kind() == io::ErrorKind::StorageFull,
        };
        if full {
            StoreError::Full
        } else {
            StoreError::Failed
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::core::conformance::{self, TestStore};
    use crate::core::store::PutOutcome;

    /// A database in a directory of its own.
    pub(in crate::store) struct Scratch {
        pub(in crate::store) db: Db,
        pub(in crate::store) directory: tempfile::TempDir,
    }

    impl TestStore for Scratch {
        fn with(quotas: Quotas) -> Self {
            let directory = tempfile::tempdir().unwrap();
            let options = DbOptions {
                quotas,
                max_bytes: None,
            };
            Self {
                db: Db::open(directory.path(), options).unwrap(),
                directory,
            }
        }

        fn run(&mut self, op: StoreOp) -> Result<StoreReply, StoreError> {
            self.db.apply(&[op]).remove(0)
        }

        fn reopen(self) -> (Self, Restored) {
            let Self { db, directory } = self;
            let options = db.options;
            drop(db);
            let db = Db::open(directory.path(), options).unwrap();
            let restored = db.restore().unwrap();
            (Self { db, directory }, restored)
        }
    }

    conformance::suite!(Scratch);

    #[test]
    fn a_batch_is_one_transaction_in_order() {
        let mut store = conformance::with_mailbox::<Scratch>(Quotas::default());
        let put = |n| StoreOp::Put(conformance::envelope(n));
        let replies = store.db.apply(&[put(1), put(1), put(2)]);
        let outcomes = [PutOutcome::Stored, PutOutcome::Held, PutOutcome::Stored];
        assert_eq!(
            replies,
            outcomes.map(|outcome| Ok(StoreReply::Put(outcome)))
        );
    }

    #[test]
    fn a_full_disk_fails_what_it_must_and_keeps_the_rest() {
        let directory = tempfile::tempdir().unwrap();
        let options = DbOptions {
            quotas: Quotas::default(),
            max_bytes: Some(60 * 8192),
        };
        let mut store = Scratch {
            db: Db::open(directory.path(), options).unwrap(),
            directory,
        };
        let subscribed = conformance::with_mailbox_in(&mut store);
        assert!(subscribed);
        let ops: Vec<_> = (0..80)
            .map(|n| StoreOp::Put(conformance::envelope(n)))
            .collect();
        let replies = store.db.apply(&ops);
        let stored = replies
            .iter()
            .filter(|reply| **reply == Ok(StoreReply::Put(PutOutcome::Stored)));
        let refused = replies
            .iter()
            .filter(|reply| **reply == Ok(StoreReply::Put(PutOutcome::Full)));
        let (stored, refused) = (stored.count(), refused.count());
        assert!(
            stored > 5 && refused > 20,
            "{stored} stored, {refused} refused"
        );
        assert_eq!(stored + refused, 80);
        let (mut store, restored) = store.reopen();
        assert_eq!(
            restored.mailboxes[0].stock.waiting as usize, stored,
            "exactly what was acknowledged"
        );
        // What makes room is possible all the same, and then there is room.
        let ids = (0..80).map(|n| conformance::envelope(n).id).collect();
        let (mailbox, hour) = (conformance::MAILBOX, conformance::envelope(0).hour);
        let proof = vec![1];
        let tombstone = StoreOp::Tombstone {
            mailbox,
            ids,
            hour,
            proof,
        };
        assert_eq!(store.run(tombstone), Ok(StoreReply::Tombstone(Some(80))));
        let put = store.run(StoreOp::Put(conformance::envelope(81)));
        assert_eq!(put, Ok(StoreReply::Put(PutOutcome::Stored)));
    }

    #[test]
    fn limits_change_while_it_is_open() {
        let mut store = conformance::with_mailbox::<Scratch>(Quotas::default());
        let put = |n| StoreOp::Put(conformance::envelope(n));
        let mut options = DbOptions::default();
        options.quotas.envelopes = 1;
        store.db.set_options(options);
        assert_eq!(store.run(put(1)), Ok(StoreReply::Put(PutOutcome::Stored)));
        assert_eq!(store.run(put(2)), Ok(StoreReply::Put(PutOutcome::Full)));
        options.quotas.envelopes = 9;
        options.max_bytes = Some(8192);
        store.db.set_options(options);
        assert_eq!(store.run(put(2)), Ok(StoreReply::Put(PutOutcome::Full)));
        options.max_bytes = None;
        store.db.set_options(options);
        assert_eq!(store.run(put(2)), Ok(StoreReply::Put(PutOutcome::Stored)));
    }

    #[test]
    fn on_a_full_disk_acknowledgements_still_make_room() {
        let mut store = conformance::with_mailbox::<Scratch>(Quotas::default());
        let put = |n| StoreOp::Put(conformance::envelope(n));
        assert_eq!(store.run(put(1)), Ok(StoreReply::Put(PutOutcome::Stored)));
        store.db.free_bytes = |_| Some(DISK_RESERVE - 1);
        assert_eq!(store.run(put(2)), Ok(StoreReply::Put(PutOutcome::Full)));
        let (mailbox, hour) = (conformance::MAILBOX, conformance::envelope(0).hour);
        // Of what is not here, nothing is written down: the reserve is for what makes room.
        let ids = vec![conformance::id(1), conformance::id(9)];
        let proof = vec![1];
        let tombstone = StoreOp::Tombstone {
            mailbox,
            ids,
            hour,
            proof,
        };
        assert_eq!(store.run(tombstone), Ok(StoreReply::Tombstone(Some(2))));
        store.db.free_bytes = |_| Some(DISK_RESERVE);
        assert_eq!(store.run(put(2)), Ok(StoreReply::Put(PutOutcome::Stored)));
        assert_eq!(store.run(put(9)), Ok(StoreReply::Put(PutOutcome::Stored)));
        assert_eq!(
            store.run(put(1)),
            Ok(StoreReply::Put(PutOutcome::Tombstoned))
        );
        store.db.free_bytes = |_| None;
        assert_eq!(store.run(put(3)), Ok(StoreReply::Put(PutOutcome::Stored)));
    }

    #[test]
    fn a_database_of_a_newer_version_is_left_alone() {
        let store = conformance::with_mailbox::<Scratch>(Quotas::default());
        store
            .db
            .connection
            .pragma_update(None, "user_version", schema::VERSION + 1)
            .unwrap();
        let again = Db::open(store.directory.path(), store.db.options);
        assert!(matches!(again, Err(OpenError::Newer { .. })));
    }
}
