//! The threads that own the database: one writes, one reads.

use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use super::damage::{self, SetAside};
use super::db::{DATABASE, Db, DbOptions, OpenError, is_read};
use crate::core::Ticket;
use crate::core::store::{Restored, StoreError, StoreOp, StoreReply};

/// Operations in one transaction; beyond this the gain is gone and the first waits for the last.
const MAX_BATCH: usize = 256;

/// Where answers go. Called on a thread of the store; must not block.
pub type Answer = Box<dyn Fn(Ticket, Result<StoreReply, StoreError>) + Send>;

/// The running store. [`finish`](Self::finish) carries out what was submitted and closes the database.
#[derive(Debug)]
pub struct StoreThreads {
    writer: Thread,
    reader: Thread,
    options: SharedOptions,
}

/// What the operator may change while the threads run.
pub type SharedOptions = Arc<Mutex<DbOptions>>;

impl StoreThreads {
    /// Opens the database and starts the threads. `answer` makes one callback per thread. A database that
    /// is damaged is set aside, and an empty one takes its place.
    pub fn start(
        directory: &Path,
        options: DbOptions,
        answer: impl Fn() -> Answer,
    ) -> Result<Started, OpenError> {
        let set_aside = set_aside_damage(directory)?;
        let writer = Db::open(directory, options)?;
        let restored = writer.restore()?;
        let reader = Db::open(directory, options)?;
        let shared_options = Arc::new(Mutex::new(options));
        let shared = Arc::clone(&shared_options);
        let file = |source: io::Error| OpenError::File {
            path: directory.to_owned(),
            source,
        };
        let store = Self {
            writer: spawn("store-writer", write(writer, shared, answer())).map_err(file)?,
            reader: spawn("store-reader", read(reader, answer())).map_err(file)?,
            options: shared_options,
        };
        Ok(Started {
            store,
            restored,
            set_aside,
        })
    }

    /// Where to change how much is kept; the next transaction heeds it.
    pub fn options(&self) -> SharedOptions {
        Arc::clone(&self.options)
    }

    /// Submits an operation; the answer comes later. False: a thread has died, and nothing will be
    /// answered any more.
    #[must_use]
    pub fn submit(&self, ticket: Ticket, op: StoreOp) -> bool {
        let (sender, _) = if is_read(&op) {
            &self.reader
        } else {
            &self.writer
        };
        sender.send((ticket, op)).is_ok()
    }

    /// Carries out and answers what was submitted, then closes. Blocks.
    pub fn finish(self) {
        for (sender, thread) in [self.writer, self.reader] {
            drop(sender);
            if thread.join().is_err() {
                tracing::error!("a thread of the store has panicked");
            }
        }
    }
}

/// A store that has started.
#[derive(Debug)]
pub struct Started {
    /// The store.
    pub store: StoreThreads,
    /// What was in it.
    pub restored: Restored,
    /// A damaged database that was there.
    pub set_aside: Option<SetAside>,
}

fn set_aside_damage(directory: &Path) -> Result<Option<SetAside>, OpenError> {
    let found = damage::examine(directory).map_err(|source| OpenError::Database {
        path: directory.join(DATABASE),
        source,
    })?;
    let Some(why) = found else { return Ok(None) };
    let aside = damage::set_aside(directory, why);
    aside.map(Some).map_err(|source| OpenError::File {
        path: directory.join(DATABASE),
        source,
    })
}

/// The way to a thread, and its end.
type Thread = (Sender<(Ticket, StoreOp)>, JoinHandle<()>);
type Queue = Receiver<(Ticket, StoreOp)>;

fn spawn(name: &str, body: impl FnOnce(Queue) + Send + 'static) -> io::Result<Thread> {
    let (sender, queue) = channel();
    let thread = Builder::new()
        .name(name.to_owned())
        .spawn(move || body(queue))?;
    Ok((sender, thread))
}

/// Group commit: whatever has queued up while the last transaction ran goes into the next one.
fn write(mut db: Db, options: SharedOptions, answer: Answer) -> impl FnOnce(Queue) {
    move |queue| {
        while let Ok(first) = queue.recv() {
            let batch = std::iter::once(first).chain(queue.try_iter().take(MAX_BATCH - 1));
            let (tickets, ops): (Vec<_>, Vec<_>) = batch.unzip();
            let wanted = *options.lock().unwrap_or_else(PoisonError::into_inner);
            db.set_options(wanted);
            let replies = db.apply(&ops);
            tickets
                .into_iter()
                .zip(replies)
                .for_each(|(ticket, reply)| answer(ticket, reply));
        }
    }
}

fn read(db: Db, answer: Answer) -> impl FnOnce(Queue) {
    move |queue| {
        while let Ok((ticket, op)) = queue.recv() {
            answer(ticket, db.read(&op));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::conformance::{self, TestStore};
    use crate::core::store::{PutOutcome, Quotas};
    use crate::store::db::tests::Scratch;
    use std::time::Duration;

    #[test]
    fn everything_submitted_is_answered_before_the_store_closes() {
        let directory = tempfile::tempdir().unwrap();
        let options = DbOptions {
            quotas: Quotas::default(),
            max_bytes: None,
        };
        let (answers, answered) = channel();
        let started = StoreThreads::start(directory.path(), options, || {
            let answers = answers.clone();
            Box::new(move |ticket, reply| answers.send((ticket, reply)).unwrap())
        })
        .unwrap();
        let store = started.store;
        assert_eq!(started.restored, Restored::default());
        for n in 0..100 {
            assert!(store.submit(Ticket(n), StoreOp::Put(conformance::envelope(n as u8))));
        }
        let (mailbox, id) = (conformance::MAILBOX, conformance::id(1));
        assert!(store.submit(Ticket(100), StoreOp::ReadEnvelope { mailbox, id }));
        store.finish();
        drop(answers);
        let mut answered: Vec<_> = answered.into_iter().collect();
        answered.sort_by_key(|(ticket, _)| *ticket);
        assert_eq!(answered.len(), 101);
        let unknown = Ok(StoreReply::Put(PutOutcome::Unknown));
        assert!(answered[..100].iter().all(|(_, reply)| *reply == unknown));
        assert_eq!(answered[100].1, Ok(StoreReply::Envelope(None)));
    }

    #[test]
    fn who_reads_does_not_wait_for_the_writer() {
        let mut scratch = conformance::with_mailbox::<Scratch>(Quotas::default());
        let put = |n| StoreOp::Put(conformance::envelope(n));
        let stored = Ok(StoreReply::Put(PutOutcome::Stored));
        assert_eq!(scratch.run(put(1)), stored);
        let (mut writer, directory) = (scratch.db, scratch.directory);
        let patience = Duration::from_hours(1);
        writer.connection().busy_timeout(patience).unwrap();
        let reader = Db::open(directory.path(), DbOptions::default()).unwrap();
        let (answers, answered) = channel();
        let answer = || {
            let answers = answers.clone();
            Box::new(move |ticket, reply| answers.send((ticket, reply)).unwrap()) as Answer
        };
        let options = SharedOptions::default();
        let store = StoreThreads {
            writer: spawn("writer", write(writer, Arc::clone(&options), answer())).unwrap(),
            reader: spawn("reader", read(reader, answer())).unwrap(),
            options,
        };
        // A transaction that has changed what is read, and does not end.
        let long = rusqlite::Connection::open(directory.path().join(DATABASE)).unwrap();
        let sql = "BEGIN IMMEDIATE; DELETE FROM envelopes";
        long.execute_batch(sql).unwrap();
        assert!(store.submit(Ticket(1), put(2)));
        let (mailbox, id) = (conformance::MAILBOX, conformance::id(1));
        let op = StoreOp::ReadEnvelope { mailbox, id };
        assert!(store.submit(Ticket(2), op));
        let (ticket, reply) = answered.recv_timeout(Duration::from_mins(1)).unwrap();
        assert_eq!(ticket, Ticket(2), "the other one is not done yet");
        assert!(matches!(reply, Ok(StoreReply::Envelope(Some(_)))));
        long.execute_batch("ROLLBACK").unwrap();
        let (ticket, reply) = answered.recv_timeout(Duration::from_mins(1)).unwrap();
        assert_eq!((ticket, reply), (Ticket(1), stored));
        store.finish();
    }

    #[test]
    fn a_dead_thread_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let died = || Box::new(|ticket, _| assert_eq!(ticket, Ticket(0), "for the test")) as Answer;
        let started = StoreThreads::start(directory.path(), DbOptions::default(), died).unwrap();
        let store = started.store;
        let put = || StoreOp::Put(conformance::envelope(1));
        let began = std::time::Instant::now();
        while store.submit(Ticket(1), put()) {
            assert!(began.elapsed() < std::time::Duration::from_secs(60));
            std::thread::yield_now();
        }
    }
}
