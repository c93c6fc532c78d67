//! A copy of a relay in one file, made while it runs, and the way back.
//!
//! What must not exist twice is left out: one-time prekeys and reply blocks are handed out once, and the
//! replay log is of use only with the onion keys that it belongs to, which never leave the relay.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags, params};
use thiserror::Error;
use zeroize::Zeroizing;

use super::damage;
use super::db::DATABASE;
use super::schema;
use crate::files;

/// What says that a file is a backup: "ZTrb".
const APPLICATION_ID: u32 = 0x5a54_7262;
/// Longest file of keys.
const MAX_KEYS: u64 = 1 << 16;
const BUSY: Duration = Duration::from_secs(10);

/// No backup was made, or none was restored.
#[derive(Debug, Error)]
pub enum BackupError {
    /// Nothing is overwritten.
    #[error("{0} is there already; nothing was overwritten")]
    Exists(PathBuf),
    /// There is no relay.
    #[error("there is no relay's database in {0}")]
    Nothing(PathBuf),
    /// SQLite fails.
    #[error("cannot copy the database {path}: {source}")]
    Database {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// A file cannot be read or written.
    #[error("cannot use {path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not a backup.
    #[error("{0} is not a backup of a relay")]
    Foreign(PathBuf),
    /// A backup that has suffered.
    #[error("the backup {0} is damaged")]
    Damaged(PathBuf),
    /// A backup of a later version.
    #[error("the backup {0} was made by a newer version of the relay")]
    Newer(PathBuf),
    /// Keys of somebody else are there.
    #[error("{0} holds another relay's key; restore into an empty directory")]
    OtherIdentity(PathBuf),
}

/// What a backup holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Mailboxes.
    pub mailboxes: u32,
    /// Envelopes that wait in them.
    pub envelopes: u32,
    /// Account records.
    pub records: u32,
    /// Size of the file.
    pub bytes: u64,
}

/// Copies a relay's database and the files named, all in `directory`, to one private file. The relay may run.
pub fn backup(directory: &Path, keys: &[&str], to: &Path) -> Result<Summary, BackupError> {
    let path = directory.join(DATABASE);
    if !path.exists() {
        return Err(BackupError::Nothing(directory.to_owned()));
    }
    if to.exists() {
        return Err(BackupError::Exists(to.to_owned()));
    }
    let new = beside(to);
    let made = write_backup(directory, keys, &new).and_then(|summary| {
        publish(&new, to).map_err(|source| file(to, source))?;
        Ok(summary)
    });
    if made.is_err() {
        // What is left of it is of no use; that it cannot be removed either is not what matters.
        let _ = fs::remove_file(&new);
    }
    made
}

fn write_backup(directory: &Path, keys: &[&str], new: &Path) -> Result<Summary, BackupError> {
    // Left by one that was interrupted.
    let _ = fs::remove_file(new);
    files::create_private(new).map_err(|source| file(new, source))?;
    let path = directory.join(DATABASE);
    let database = |source| BackupError::Database {
        path: path.clone(),
        source,
    };
    let mut target = Connection::open(new).map_err(database)?;
    copy(&path, &mut target).map_err(database)?;
    strip(&target).map_err(database)?;
    for name in keys {
        let key = directory.join(name);
        let bytes = files::read_private(&key, MAX_KEYS).map_err(|source| file(&key, source))?;
        let bytes = Zeroizing::new(bytes.unwrap_or_default());
        let sql = "INSERT INTO relay_files (name, bytes) VALUES (?1, ?2)";
        target
            .execute(sql, params![name, bytes.as_slice()])
            .map_err(database)?;
    }
    target.execute_batch("VACUUM").map_err(database)?;
    let mut summary = summary(&target).map_err(database)?;
    target.close().map_err(|(_, source)| database(source))?;
    summary.bytes = fs::metadata(new).map_or(0, |file| file.len());
    Ok(summary)
}

/// All pages of one moment; the relay goes on writing meanwhile.
fn copy(from: &Path, target: &mut Connection) -> rusqlite::Result<()> {
    let source = Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    source.busy_timeout(BUSY)?;
    let backup = Backup::new(&source, target)?;
    for _ in 0..100 {
        if backup.step(-1)? == StepResult::Done {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Err(rusqlite::Error::SqliteFailure(
        rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY),
        None,
    ))
}

fn strip(target: &Connection) -> rusqlite::Result<()> {
    target.pragma_update(None, "journal_mode", "DELETE")?;
    target.pragma_update(None, "synchronous", "FULL")?;
    target.pragma_update(None, "application_id", APPLICATION_ID)?;
    target.execute_batch(
        "DELETE FROM one_time_prekeys;
         DELETE FROM surbs;
         DELETE FROM replay;
         UPDATE mailboxes SET base = NULL;
         CREATE TABLE relay_files (name TEXT PRIMARY KEY, bytes BLOB NOT NULL) STRICT;",
    )
}

fn summary(db: &Connection) -> rusqlite::Result<Summary> {
    let count = |table: &str| {
        db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| {
            row.get(0)
        })
    };
    Ok(Summary {
        mailboxes: count("mailboxes")?,
        envelopes: count("envelopes")?,
        records: count("records")?,
        bytes: 0,
    })
}

/// Puts a backup's database and keys into `directory`, where no relay may run. A database that is there is
/// set aside if `replace` says so; keys of another relay are never replaced.
pub fn restore(from: &Path, directory: &Path, replace: bool) -> Result<Summary, BackupError> {
    let path = directory.join(DATABASE);
    let is_there = fs::metadata(&path).is_ok_and(|file| file.len() > 0);
    if is_there && !replace {
        return Err(BackupError::Exists(path));
    }
    let new = beside(&path);
    let restored = unpack(from, directory, &new).and_then(|summary| {
        if is_there {
            damage::move_away(directory, "replaced").map_err(|source| file(&path, source))?;
        }
        damage::forget_onion_keys(directory).map_err(|source| file(directory, source))?;
        publish(&new, &path).map_err(|source| file(&path, source))?;
        Ok(summary)
    });
    if restored.is_err() {
        let _ = fs::remove_file(&new);
    }
    restored
}

fn unpack(from: &Path, directory: &Path, new: &Path) -> Result<Summary, BackupError> {
    check_backup(from)?;
    let _ = fs::remove_file(new);
    files::create_private(new).map_err(|source| file(new, source))?;
    fs::copy(from, new).map_err(|source| file(from, source))?;
    let database = |source| BackupError::Database {
        path: from.to_owned(),
        source,
    };
    let db = Connection::open(new).map_err(database)?;
    for (name, bytes) in packed_files(&db).map_err(database)? {
        put_key(&directory.join(name), &bytes)?;
    }
    db.pragma_update(None, "secure_delete", "ON")
        .and_then(|()| db.execute_batch("DROP TABLE relay_files"))
        .and_then(|()| db.pragma_update(None, "application_id", schema::APPLICATION_ID))
        .map_err(database)?;
    let mut summary = summary(&db).map_err(database)?;
    db.close().map_err(|(_, source)| database(source))?;
    summary.bytes = fs::metadata(from).map_or(0, |file| file.len());
    Ok(summary)
}

fn check_backup(from: &Path) -> Result<(), BackupError> {
    if let Err(source) = fs::File::open(from) {
        return Err(file(from, source));
    }
    let checked =
        Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_ONLY).and_then(|db| {
            let pragma = |name| db.pragma_query_value(None, name, |row| row.get::<_, u32>(0));
            let (id, version) = (pragma("application_id")?, pragma("user_version")?);
            let sound = db.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0))?;
            Ok((id, version, sound))
        });
    match checked {
        Ok((APPLICATION_ID, version, _)) if version > schema::VERSION => {
            Err(BackupError::Newer(from.to_owned()))
        }
        Ok((APPLICATION_ID, _, sound)) if sound == "ok" => Ok(()),
        Ok((APPLICATION_ID, ..)) => Err(BackupError::Damaged(from.to_owned())),
        Ok(_) => Err(BackupError::Foreign(from.to_owned())),
        Err(error) => Err(match damage::as_damage(error) {
            Ok(damage::Damage::Torn(_)) if is_sqlite(from) => BackupError::Damaged(from.to_owned()),
            Ok(_) => BackupError::Foreign(from.to_owned()),
            Err(source) => BackupError::Database {
                path: from.to_owned(),
                source,
            },
        }),
    }
}

fn is_sqlite(path: &Path) -> bool {
    let mut magic = [0; 16];
    let read = fs::File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    read.is_ok() && magic == *b"SQLite format 3\0"
}

/// Names are of our own making, and checked all the same: a backup may come from anywhere.
fn packed_files(db: &Connection) -> rusqlite::Result<Vec<(String, Zeroizing<Vec<u8>>)>> {
    let sql = "SELECT name, bytes FROM relay_files ORDER BY name";
    let mut select = db.prepare(sql)?;
    let all = select
        .query_map([], |row| {
            Ok((row.get::<_, String>(0)?, Zeroizing::new(row.get(1)?)))
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let is_plain = |name: &str| {
        let mut allowed = name
            .bytes()
            .map(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
        name.starts_with("relay-") && allowed.all(|allowed| allowed)
    };
    Ok(all
        .into_iter()
        .filter(|(name, bytes): &(String, Zeroizing<Vec<u8>>)| is_plain(name) && !bytes.is_empty())
        .collect())
}

fn put_key(path: &Path, bytes: &[u8]) -> Result<(), BackupError> {
    let held = files::read_private(path, MAX_KEYS).map_err(|source| file(path, source))?;
    match held.map(Zeroizing::new) {
        Some(held) if held.as_slice() == bytes => Ok(()),
        Some(_) => Err(BackupError::OtherIdentity(path.to_owned())),
        None => files::write_private(path, bytes).map_err(|source| file(path, source)),
    }
}

fn file(path: &Path, source: io::Error) -> BackupError {
    BackupError::File {
        path: path.to_owned(),
        source,
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

/// Makes a finished file appear under its name, for good.
fn publish(new: &Path, path: &Path) -> io::Result<()> {
    fs::File::open(new)?.sync_all()?;
    fs::rename(new, path)?;
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => fs::File::open(".")?.sync_all(),
        Some(parent) => fs::File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Ticket;
    use crate::core::conformance;
    use crate::core::store::{Quotas, StoreOp};
    use crate::store::db::tests::Scratch;
    use crate::store::{Answer, DbOptions, StoreThreads};

    const KEYS: [&str; 1] = ["relay-test.key"];

    /// A database with mail in it that is open and being written to.
    fn with_mail() -> Scratch {
        let mut store = conformance::with_mailbox::<Scratch>(Quotas::default());
        let ops: Vec<_> = (0..20)
            .map(|n| StoreOp::Put(conformance::envelope(n)))
            .collect();
        assert!(store.db.apply(&ops).iter().all(Result::is_ok));
        for sql in [
            "INSERT INTO surbs (mailbox, expires, surb) VALUES (1, 9, x'5ec0')",
            "INSERT INTO one_time_prekeys (mailbox, prekey) VALUES (1, x'5ec1')",
            "INSERT INTO replay (epoch, entry) VALUES (1, zeroblob(19))",
            "UPDATE mailboxes SET base = x'5ec2'",
        ] {
            store.db.connection().execute(sql, []).unwrap();
        }
        let key = store.directory.path().join(KEYS[0]);
        files::write_private(&key, b"who this relay is").unwrap();
        store
    }

    fn waiting(directory: &Path) -> u32 {
        let answer = || Box::new(|_, _| {}) as Answer;
        let started = StoreThreads::start(directory, DbOptions::default(), answer).unwrap();
        assert!(started.set_aside.is_none());
        started.store.finish();
        started.restored.mailboxes[0].stock.waiting
    }

    #[test]
    fn a_backup_of_a_running_relay_comes_back_elsewhere() {
        let store = with_mail();
        let (new, copies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let copy = copies.path().join("copy");
        let made = backup(store.directory.path(), &KEYS, &copy).unwrap();
        assert_eq!((made.mailboxes, made.envelopes, made.records), (1, 20, 0));
        assert!(made.bytes > 20 * 8000);
        let restored = restore(&copy, new.path(), false).unwrap();
        assert_eq!(restored, made);
        assert_eq!(waiting(new.path()), 20);
        let key = fs::read(new.path().join(KEYS[0])).unwrap();
        assert_eq!(key, b"who this relay is");
    }

    #[test]
    fn what_may_be_used_once_only_is_not_in_a_backup() {
        let store = with_mail();
        let copies = tempfile::tempdir().unwrap();
        let copy = copies.path().join("copy");
        backup(store.directory.path(), &KEYS, &copy).unwrap();
        let db = Connection::open(&copy).unwrap();
        for table in [
            "surbs",
            "one_time_prekeys",
            "replay",
            "mailboxes WHERE base NOT NULL",
        ] {
            let sql = format!("SELECT count(*) FROM {table}");
            let left: u32 = db.query_row(&sql, [], |row| row.get(0)).unwrap();
            assert_eq!(left, 0, "{table}");
        }
        assert!(
            files::read_private(&copy, u64::MAX - 1).is_ok(),
            "for its owner only"
        );
    }

    #[test]
    fn a_restore_ends_what_depends_on_the_log_that_is_gone() {
        let store = with_mail();
        let directory = store.directory.path();
        let copies = tempfile::tempdir().unwrap();
        let copy = copies.path().join("copy");
        backup(directory, &KEYS, &copy).unwrap();
        let onion_keys = directory.join("onion.keys");
        files::write_private(&onion_keys, b"keys").unwrap();
        drop(store.db);
        let refused = restore(&copy, directory, false);
        assert!(matches!(refused, Err(BackupError::Exists(_))));
        assert!(onion_keys.exists(), "nothing has happened");
        restore(&copy, directory, true).unwrap();
        assert!(!onion_keys.exists());
        assert!(directory.join("relay.sqlite.replaced-1").exists());
        assert_eq!(waiting(directory), 20);
    }

    #[test]
    fn what_is_no_backup_or_another_relays_is_refused() {
        let store = with_mail();
        let (new, copies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let copy = copies.path().join("copy");
        backup(store.directory.path(), &KEYS, &copy).unwrap();
        let again = backup(store.directory.path(), &KEYS, &copy);
        assert!(matches!(again, Err(BackupError::Exists(_))));
        let try_restore = |from: &Path| restore(from, new.path(), false).unwrap_err();
        let text = copies.path().join("text");
        fs::write(&text, "hello").unwrap();
        assert!(matches!(try_restore(&text), BackupError::Foreign(_)));
        let database = store.directory.path().join(DATABASE);
        assert!(matches!(try_restore(&database), BackupError::Foreign(_)));
        let absent = copies.path().join("absent");
        assert!(matches!(try_restore(&absent), BackupError::File { .. }));
        assert!(!absent.exists());
        let mut bytes = fs::read(&copy).unwrap();
        bytes.truncate(bytes.len() / 2);
        let torn = copies.path().join("torn");
        fs::write(&torn, bytes).unwrap();
        assert!(matches!(try_restore(&torn), BackupError::Damaged(_)));
        files::write_private(&new.path().join(KEYS[0]), b"another relay").unwrap();
        assert!(matches!(try_restore(&copy), BackupError::OtherIdentity(_)));
        assert!(!new.path().join(DATABASE).exists());
    }

    #[test]
    fn writers_go_on_during_a_backup() {
        let directory = tempfile::tempdir().unwrap();
        let (answers, answered) = std::sync::mpsc::channel();
        let started = StoreThreads::start(directory.path(), DbOptions::default(), || {
            let answers = answers.clone();
            Box::new(move |ticket, reply| drop(answers.send((ticket, reply))))
        });
        let store = started.unwrap().store;
        for n in 0..200u64 {
            let put = StoreOp::Put(conformance::envelope(n as u8));
            assert!(store.submit(Ticket(n), put));
        }
        backup(directory.path(), &[], &directory.path().join("copy")).unwrap();
        store.finish();
        drop(answers);
        assert!(answered.into_iter().all(|(_, reply)| reply.is_ok()));
    }
}
