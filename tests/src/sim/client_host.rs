//! A client's host in virtual time: the loop that every host has, on a store that survives crashes.

use std::collections::BTreeMap;
use std::sync::Mutex;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use zentalk_shared::client::store::{Key, Loaded, Row, Scan, Table, Write};
use zentalk_shared::client::{Batch, Client, Config, Effect, Input, NewAccount, Turn};
use zentalk_shared::id::MessageId;
use zentalk_shared::time::Timestamp;

use super::clock::Clock;
use crate::keys;

/// Where a crash hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Crash {
    /// The batch is lost, nothing was sent.
    BeforeCommit,
    /// The batch is stored, nothing was sent.
    AfterCommit,
}

/// One client: an engine while it runs, rows for ever.
#[derive(Debug)]
pub struct ClientHost {
    config: Config,
    rows: BTreeMap<Key, Row>,
    engine: Option<Client>,
    /// The next turn that writes anything crashes here.
    pub(super) crash: Option<Crash>,
    /// Broken on purpose: effects leave before the commit, and a crash comes between.
    pub(super) commits_late: bool,
    pub(super) clock: Clock,
    /// What was stored, in order, where somebody asks for it.
    written: Option<Vec<Write>>,
}

/// What came of a turn.
#[derive(Debug)]
pub enum Turned {
    /// Carry these out.
    Effects(Vec<Effect>),
    /// The process is gone; these left before.
    Crashed(Vec<Effect>),
}

impl ClientHost {
    /// A new identity, from the pool's account key `index`.
    ///
    /// # Panics
    /// If the pool's keys do not make an account.
    pub fn new(index: usize, config: Config, now: Timestamp, rng: &mut ChaCha20Rng) -> Self {
        let mut host = Self {
            config,
            rows: new_rows(index, now),
            engine: None,
            crash: None,
            commits_late: false,
            clock: Clock::RIGHT,
            written: None,
        };
        host.start(now, rng);
        host
    }

    /// Starts the engine from what the store has.
    ///
    /// # Panics
    /// If the store does not hold what an engine needs: that would be a fault of the engine.
    pub(super) fn start(&mut self, now: Timestamp, rng: &mut ChaCha20Rng) {
        let scans = Client::boot_scans();
        let rows = scans.iter().flat_map(|scan| self.scan(scan)).collect();
        let now = self.clock.read(now);
        let engine = Client::restore(self.config.clone(), rows, now, rng).expect("a whole store");
        self.engine = Some(engine.expect("an identity"));
    }

    /// The process ends in good order.
    pub(super) fn stop(&mut self) {
        self.engine = None;
    }

    /// The process ends, and its sessions are gone from the store.
    pub(super) fn lose_sessions(&mut self) {
        self.engine = None;
        self.rows.retain(|key, _| key.table != Table::Session);
    }

    /// From now on keeps what is stored, and what is there already.
    pub(super) fn watch(&mut self) {
        let rows = self.rows.values().cloned().map(Write::Put);
        self.written = Some(rows.collect());
    }

    /// What was stored since the last call.
    pub(super) fn take_written(&mut self) -> Vec<Write> {
        self.written
            .as_mut()
            .map(core::mem::take)
            .unwrap_or_default()
    }

    /// The engine, while the process runs.
    pub const fn engine(&self) -> Option<&Client> {
        self.engine.as_ref()
    }

    /// When the engine wants the next [`Input::Timer`].
    pub(super) fn next_timeout(&self) -> Option<Timestamp> {
        let wanted = self.engine.as_ref().and_then(Client::next_timeout);
        wanted.map(|shown| self.clock.when(shown))
    }

    /// One turn of the host's loop.
    pub fn turn(&mut self, input: Input, now: Timestamp, rng: &mut ChaCha20Rng) -> Turned {
        let now = self.clock.read(now);
        let Some(engine) = &mut self.engine else {
            return Turned::Effects(Vec::new());
        };
        let mut turn = Turn::new([input]);
        while let Some(keys) = turn.reads(engine) {
            let mut loaded = Loaded::default();
            for key in keys {
                if let Some(row) = self.rows.get(&key) {
                    loaded.insert(key, row.value.clone());
                }
            }
            turn.step(engine, loaded, now, rng);
        }
        self.conclude(turn.finish())
    }

    fn conclude(&mut self, batch: Batch) -> Turned {
        let writes_mail = batch
            .writes
            .iter()
            .any(|write| write.key().table != Table::Meta);
        let crash = if writes_mail { self.crash.take() } else { None };
        match crash {
            None => {
                self.commit(batch.writes);
                Turned::Effects(batch.effects)
            }
            Some(_) if self.commits_late => {
                self.engine = None;
                Turned::Crashed(batch.effects)
            }
            Some(Crash::BeforeCommit) => {
                self.engine = None;
                Turned::Crashed(Vec::new())
            }
            Some(Crash::AfterCommit) => {
                self.commit(batch.writes);
                self.engine = None;
                Turned::Crashed(Vec::new())
            }
        }
    }

    fn commit(&mut self, writes: Vec<Write>) {
        if let Some(written) = &mut self.written {
            written.extend(writes.iter().cloned());
        }
        apply(&mut self.rows, writes);
    }

    /// Rows of one list, newest first.
    pub(super) fn scan(&self, scan: &Scan) -> Vec<Row> {
        let fits = |row: &&Row| {
            row.key.table == scan.table
                && row.partition == scan.partition
                && scan.before.is_none_or(|before| row.sort < before)
        };
        let mut rows: Vec<Row> = self.rows.values().filter(fits).cloned().collect();
        rows.sort_by(|a, b| (b.sort, &b.key).cmp(&(a.sort, &a.key)));
        rows.truncate(scan.limit);
        rows
    }

    /// All rows of a table.
    pub(super) fn rows_of(&self, table: Table) -> Vec<&Row> {
        let rows = self.rows.values();
        rows.filter(|row| row.key.table == table).collect()
    }

    /// Ids of all messages stored, with how often each occurs.
    pub fn stored_messages(&self) -> BTreeMap<MessageId, u32> {
        let mut ids = BTreeMap::new();
        for key in self.rows.keys().filter(|key| key.table == Table::Message) {
            // Named by address and MessageId.
            if let Some(id) = key.id.get(32..).and_then(|id| MessageId::try_from(id).ok()) {
                *ids.entry(id).or_default() += 1;
            }
        }
        ids
    }
}

/// The rows of the pool's account `index`, made once a process: RSA signatures take long.
fn new_rows(index: usize, now: Timestamp) -> BTreeMap<Key, Row> {
    static ROWS: Mutex<BTreeMap<usize, BTreeMap<Key, Row>>> = Mutex::new(BTreeMap::new());
    let mut pool = ROWS.lock().expect("nobody panics with it");
    pool.entry(index)
        .or_insert_with(|| make_rows(index, now))
        .clone()
}

fn make_rows(index: usize, now: Timestamp) -> BTreeMap<Key, Row> {
    let mut rng = ChaCha20Rng::seed_from_u64(u64::try_from(index).unwrap_or(0));
    let rsa = keys::account(index);
    let pkcs8 = keys::account_der(index).to_vec().into();
    let name = format!("client {index}");
    let account =
        NewAccount::begin(rsa.public().spki_der(), pkcs8, &name, now, &mut rng).expect("keys");
    let signature = rsa
        .sign_framed(&account.to_sign(), &mut rng)
        .expect("signature");
    let account = account
        .certified(signature.as_ref(), &mut rng)
        .expect("certificate");
    let signature = rsa
        .sign_framed(&account.to_sign(), &mut rng)
        .expect("signature");
    let mut rows = BTreeMap::new();
    apply(
        &mut rows,
        account
            .finish(signature.as_ref(), &mut rng)
            .expect("account"),
    );
    rows
}

fn apply(rows: &mut BTreeMap<Key, Row>, writes: Vec<Write>) {
    for write in writes {
        match write {
            Write::Put(row) => rows.insert(row.key.clone(), row),
            Write::Delete(key) => rows.remove(&key),
        };
    }
}
