//! Tests of the engine's parts as pure state machines, and of the engine on a store in memory. What needs
//! relays is in the simulator (`tests/src/sim`).

mod commands;
mod devices;
mod first_words;
mod mailbox;
mod outbox;
mod people;
mod publication;
mod renewal;
mod seen;
mod verification;
mod work;
mod write_secret;

use std::collections::BTreeMap;

use rand_chacha::ChaCha20Rng;

use super::store::{Key, Loaded, Row, Scan, Write};
use super::{
    Batch, Client, Config, Effect, Event, Input, NetConfig, NewAccount, StockConfig, Turn,
};
use crate::test_support::{account_rsa, rng};
use crate::time::Timestamp;

pub(super) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// A host with a store in memory and no network.
pub(super) struct Host {
    pub(super) rows: BTreeMap<Key, Row>,
    pub(super) client: Client,
    pub(super) rng: ChaCha20Rng,
}

impl Host {
    pub(super) fn new(index: usize) -> Self {
        let mut rng = rng(u64::try_from(index).unwrap());
        let rows = new_rows(index, &mut rng);
        let client = restore(&rows, &mut rng);
        Self { rows, client, rng }
    }

    /// One turn, committed; its effects.
    pub(super) fn turn(&mut self, input: Input, now: Timestamp) -> Vec<Effect> {
        let batch = self.uncommitted(input, now);
        commit(&mut self.rows, batch.writes);
        let due = self.client.next_timeout();
        if due.is_some_and(|due| due <= now) {
            let more = self.uncommitted(Input::Timer, now);
            commit(&mut self.rows, more.writes);
            let still = self.client.next_timeout();
            assert!(
                still > Some(now),
                "an engine that cannot go on must not keep its host awake"
            );
        }
        batch.effects
    }

    /// One turn that is never committed.
    pub(super) fn uncommitted(&mut self, input: Input, now: Timestamp) -> Batch {
        let mut turn = Turn::new([input]);
        while let Some(keys) = turn.reads(&self.client) {
            let mut loaded = Loaded::default();
            for key in keys {
                if let Some(row) = self.rows.get(&key) {
                    loaded.insert(key, row.value.clone());
                }
            }
            turn.step(&mut self.client, loaded, now, &mut self.rng);
        }
        turn.finish()
    }

    pub(super) fn restart(&mut self) {
        self.client = restore(&self.rows, &mut self.rng);
    }

    pub(super) fn scan(&self, scan: &Scan) -> Vec<Row> {
        let fits = |row: &&Row| row.key.table == scan.table && row.partition == scan.partition;
        let above = |row: &&Row| scan.before.is_none_or(|before| row.sort < before);
        let mut rows: Vec<Row> = self
            .rows
            .values()
            .filter(fits)
            .filter(above)
            .cloned()
            .collect();
        rows.sort_by_key(|row| core::cmp::Reverse(row.sort));
        rows.truncate(scan.limit);
        rows
    }
}

pub(super) fn events(effects: Vec<Effect>) -> Vec<Event> {
    let event = |effect| {
        if let Effect::Event(event) = effect {
            Some(event)
        } else {
            None
        }
    };
    effects.into_iter().filter_map(event).collect()
}

pub(super) fn config() -> Config {
    Config {
        net: NetConfig::default(),
        stock: StockConfig::default(),
    }
}

/// The rows of a new account, made as a host makes it.
pub(super) fn new_rows(index: usize, rng: &mut ChaCha20Rng) -> BTreeMap<Key, Row> {
    let rsa = account_rsa(index);
    let pkcs8 = rsa.to_pkcs8_der().unwrap();
    let account =
        NewAccount::begin(rsa.public().spki_der(), pkcs8, "  Ada \u{202e} ", NOW, rng).unwrap();
    let signature = rsa.sign_framed(&account.to_sign(), rng).unwrap();
    let account = account.certified(signature.as_ref(), rng).unwrap();
    let signature = rsa.sign_framed(&account.to_sign(), rng).unwrap();
    let mut rows = BTreeMap::new();
    commit(&mut rows, account.finish(signature.as_ref(), rng).unwrap());
    rows
}

pub(super) fn commit(rows: &mut BTreeMap<Key, Row>, writes: Vec<Write>) {
    for write in writes {
        match write {
            Write::Put(row) => rows.insert(row.key.clone(), row),
            Write::Delete(key) => rows.remove(&key),
        };
    }
}

fn restore(rows: &BTreeMap<Key, Row>, rng: &mut ChaCha20Rng) -> Client {
    let tables: Vec<_> = Client::boot_scans()
        .into_iter()
        .map(|scan| scan.table)
        .collect();
    let rows = rows
        .values()
        .filter(|row| tables.contains(&row.key.table))
        .cloned()
        .collect();
    Client::restore(config(), rows, NOW, rng).unwrap().unwrap()
}
