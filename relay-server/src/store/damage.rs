//! A database that is torn or not ours: found when the relay starts, set aside whole, never deleted.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use rusqlite::{Connection, Error, ErrorCode, Result};
use thiserror::Error as ThisError;

use super::db::{DATABASE, ONION_KEYS};
use super::schema;

/// A large database is not looked through to its end: whoever restarts a relay waits for it.
const CHECK_DEADLINE: Duration = Duration::from_secs(10);
/// Files of one database, by what follows its name.
const PARTS: [&str; 3] = ["", "-wal", "-shm"];
/// Those that hold data.
const DATA: [&str; 2] = ["", "-wal"];

/// What is wrong with a database file.
#[derive(Debug, ThisError)]
pub enum Damage {
    /// SQLite does not take it for a database, or finds it inconsistent.
    #[error("it is damaged ({0})")]
    Torn(String),
    /// Some other program's.
    #[error("it is not a relay's database")]
    Foreign,
}

/// A database that was set aside.
#[derive(Debug)]
pub struct SetAside {
    /// What is wrong with it.
    pub why: Damage,
    /// Where it is now.
    pub path: PathBuf,
}

/// Looks at the database in a directory before anything is read from it. An error is the environment's.
pub fn examine(directory: &Path) -> Result<Option<Damage>> {
    examine_within(directory, CHECK_DEADLINE)
}

fn examine_within(directory: &Path, deadline: Duration) -> Result<Option<Damage>> {
    let path = directory.join(DATABASE);
    // A new relay has none, or has died before the first write.
    if !fs::metadata(&path).is_ok_and(|file| file.len() > 0) {
        return Ok(None);
    }
    let examined = Connection::open(&path).and_then(|db| {
        db.busy_timeout(Duration::from_secs(10))?;
        match is_ours(&db)? {
            true => quick_check(&db, deadline),
            false => Ok(Some(Damage::Foreign)),
        }
    });
    match examined {
        Err(error) => as_damage(error).map(Some),
        examined => examined,
    }
}

/// Errors that say that the file is torn, apart from those of the environment.
pub(super) fn as_damage(error: Error) -> Result<Damage> {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            Ok(Damage::Torn(error.to_string()))
        }
        _ => Err(error),
    }
}

fn is_ours(db: &Connection) -> Result<bool> {
    let pragma = |name| db.pragma_query_value(None, name, |row| row.get::<_, u32>(0));
    let (id, version) = (pragma("application_id")?, pragma("user_version")?);
    let tables = |name: &str| {
        let sql = "SELECT count(*) FROM sqlite_schema WHERE name LIKE ?1";
        db.query_row(sql, [name], |row| row.get::<_, u32>(0))
    };
    Ok(match version {
        // Made, and not filled before the relay died.
        0 => tables("%")? == 0,
        version if version < schema::SAYS_WHOSE_SINCE => tables("mailboxes")? == 1,
        _ => id == schema::APPLICATION_ID,
    })
}

/// SQLite's own look at every page, as far as it gets in time.
fn quick_check(db: &Connection, deadline: Duration) -> Result<Option<Damage>> {
    let interrupt = db.get_interrupt_handle();
    let (done, watched) = channel::<()>();
    let watch = std::thread::spawn(move || {
        if watched.recv_timeout(deadline) == Err(RecvTimeoutError::Timeout) {
            interrupt.interrupt();
        }
    });
    let found = db.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    drop(done);
    // It holds nothing and ends by itself.
    drop(watch.join());
    match found {
        Ok(found) if found == "ok" => Ok(None),
        Ok(found) => Ok(Some(Damage::Torn(found.replace('\n', " ")))),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
            tracing::info!("the database is large; its first part was found sound");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Moves a database away under a name that tells what it is. The onion keys go with its replay log: with
/// the keys and without the log, packets could pass twice.
pub fn set_aside(directory: &Path, why: Damage) -> io::Result<SetAside> {
    forget_onion_keys(directory)?;
    let path = move_away(directory, "damaged")?;
    Ok(SetAside { why, path })
}

/// Gives a database and its log another name, which is free.
pub(super) fn move_away(directory: &Path, what: &str) -> io::Result<PathBuf> {
    let aside = (1..)
        .map(|n: u32| directory.join(format!("{DATABASE}.{what}-{n}")))
        .find(|path| !path.exists())
        .ok_or(io::ErrorKind::AlreadyExists)?;
    for part in PARTS {
        rename_if_there(&with(&directory.join(DATABASE), part), &with(&aside, part))?;
    }
    Ok(aside)
}

/// Bytes that the database in a directory and its log take.
pub fn size(directory: &Path) -> u64 {
    let length =
        |part| fs::metadata(with(&directory.join(DATABASE), part)).map_or(0, |file| file.len());
    DATA.into_iter().map(length).sum()
}

/// Without its replay log no onion key may be used again.
pub(super) fn forget_onion_keys(directory: &Path) -> io::Result<()> {
    match fs::remove_file(directory.join(ONION_KEYS)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn with(path: &Path, part: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(part);
    name.into()
}

fn rename_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::conformance;
    use crate::core::store::{Quotas, Restored};
    use crate::store::db::tests::Scratch;
    use crate::store::{Answer, DbOptions, StoreThreads};

    /// A closed database with mail in it.
    fn closed() -> tempfile::TempDir {
        let mut store = conformance::with_mailbox::<Scratch>(Quotas::default());
        let ops: Vec<_> = (0..50)
            .map(|n| crate::core::store::StoreOp::Put(conformance::envelope(n)))
            .collect();
        assert!(store.db.apply(&ops).iter().all(Result::is_ok));
        store.directory
    }

    fn start(directory: &Path) -> (Restored, Option<SetAside>) {
        let answer = || Box::new(|_, _| {}) as Answer;
        let started = StoreThreads::start(directory, DbOptions::default(), answer).unwrap();
        started.store.finish();
        (started.restored, started.set_aside)
    }

    #[test]
    fn a_sound_database_stays() {
        let directory = closed();
        let (restored, aside) = start(directory.path());
        assert_eq!(restored.mailboxes[0].stock.waiting, 50);
        assert!(aside.is_none());
    }

    #[test]
    fn a_torn_or_foreign_file_is_set_aside_whole_and_the_relay_starts_empty() {
        type Spoil = fn(&Path, &mut Vec<u8>);
        let spoils: [(&str, Spoil); 5] = [
            ("cut short", |_, bytes| bytes.truncate(bytes.len() / 2 + 77)),
            ("wrong magic", |_, bytes| bytes[..16].fill(b'x')),
            ("a page of noise", |_, bytes| {
                bytes[8192 * 3..8192 * 4].fill(0xa5)
            }),
            ("text", |_, bytes| {
                *bytes = b"hello, I am somebody's shopping list\n".repeat(99)
            }),
            ("another program's", |path, bytes| {
                fs::remove_file(path).unwrap();
                let db = Connection::open(path).unwrap();
                db.execute_batch("CREATE TABLE songs (name TEXT); PRAGMA user_version = 7;")
                    .unwrap();
                drop(db);
                *bytes = fs::read(path).unwrap();
            }),
        ];
        for (what, spoil) in spoils {
            let directory = closed();
            let (path, keys) = (
                directory.path().join(DATABASE),
                directory.path().join(ONION_KEYS),
            );
            crate::files::write_private(&keys, b"keys").unwrap();
            let mut bytes = fs::read(&path).unwrap();
            spoil(&path, &mut bytes);
            fs::write(&path, &bytes).unwrap();
            let (restored, aside) = start(directory.path());
            assert_eq!(restored, Restored::default(), "{what}");
            let aside = aside.unwrap_or_else(|| panic!("{what} is noticed"));
            assert_eq!(fs::read(&aside.path).unwrap(), bytes, "{what}");
            assert!(!keys.exists(), "no key without its replay log");
            let (_, again) = start(directory.path());
            assert!(again.is_none(), "{what}: the new one is sound");
        }
    }

    #[test]
    fn an_earlier_one_that_was_set_aside_is_not_overwritten() {
        let directory = closed();
        for n in 1..3 {
            fs::write(directory.path().join(DATABASE), b"not a database at all").unwrap();
            let (_, aside) = start(directory.path());
            let name = format!("{DATABASE}.damaged-{n}");
            assert_eq!(aside.unwrap().path, directory.path().join(name));
        }
    }

    #[test]
    fn a_check_that_takes_too_long_ends() {
        let directory = closed();
        let examined = examine_within(directory.path(), Duration::ZERO);
        assert!(matches!(examined, Ok(None)));
    }
}
