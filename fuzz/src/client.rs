//! An engine that starts from rows of its store, one of which is the input's.

use std::sync::LazyLock;

use rand_chacha::rand_core::CryptoRng;
use zentalk_shared::client::store::{Key, Loaded, Row, Table, Write};
use zentalk_shared::client::{Client, Config, Input, NetConfig, NewAccount, StockConfig, Turn};
use zentalk_shared::time::Timestamp;

use crate::devices::{NOW, rng, rsa};

/// Rows read in one turn, at most: an engine that asks for ever has no end.
const MAX_READS: usize = 64;

/// What a new account stores.
static ROWS: LazyLock<Vec<Row>> = LazyLock::new(|| new_account(&mut rng(30), &mut rng(32)));

/// The rows of an account that is made as a host makes it. `salts` are for signatures.
pub fn new_account(rng: &mut impl CryptoRng, salts: &mut impl CryptoRng) -> Vec<Row> {
    let rsa = rsa(2);
    let pkcs8 = rsa.to_pkcs8_der().expect("a key");
    let account = NewAccount::begin(rsa.public().spki_der(), pkcs8, "Ada", NOW, rng);
    let account = account.expect("a key and a name");
    let signature = rsa.sign_framed(&account.to_sign(), salts).expect("signs");
    let account = account.certified(signature.as_ref(), salts);
    let account = account.expect("certified");
    let signature = rsa.sign_framed(&account.to_sign(), salts).expect("signs");
    let writes = account.finish(signature.as_ref(), rng).expect("finished");
    put(writes)
}

fn put(writes: Vec<Write>) -> Vec<Row> {
    let put = |write| match write {
        Write::Put(row) => Some(row),
        Write::Delete(_) => None,
    };
    writes.into_iter().filter_map(put).collect()
}

/// An engine that starts from these rows and takes one turn; the rows that it puts. `None` if it refuses them.
pub fn first_turn(rows: &[Row], now: Timestamp, rng: &mut impl CryptoRng) -> Option<Vec<Row>> {
    let config = Config {
        net: NetConfig::default(),
        stock: StockConfig::default(),
    };
    let mut client = Client::restore(config, rows.to_vec(), now, rng).ok()??;
    let mut turn = Turn::new([Input::Timer]);
    for _ in 0..MAX_READS {
        let Some(keys) = turn.reads(&client) else {
            return Some(put(turn.finish().writes));
        };
        let mut loaded = Loaded::default();
        for row in rows.iter().filter(|row| keys.contains(&row.key)) {
            loaded.insert(row.key.clone(), row.value.clone());
        }
        turn.step(&mut client, loaded, now, rng);
    }
    panic!("a turn without an end");
}

/// Tables that an engine reads at its start, with rows of any name.
const LISTS: [Table; 4] = [Table::Contact, Table::Outbox, Table::Fragment, Table::Held];

/// The first byte says which row the others are: one of the account's, or one in a list. The engine refuses it, or
/// starts and goes on without a panic.
pub(crate) fn rows(data: &[u8]) {
    let Some((which, value)) = data.split_first() else {
        return;
    };
    let mut rows = ROWS.clone();
    let which = usize::from(*which) % (rows.len() + LISTS.len());
    match which.checked_sub(rows.len()) {
        None => rows[which].value = value.to_vec().into(),
        Some(list) => rows.push(Row::plain(Key::new(LISTS[list], [1; 32]), value.to_vec())),
    }
    drop(first_turn(&rows, NOW, &mut rng(31)));
}

/// Every row as it is, and a row of each list that says nothing.
pub(crate) fn honest() -> Vec<(String, Vec<u8>)> {
    let rows = ROWS.iter().enumerate().map(|(at, row)| {
        let value = row.value.as_slice();
        (format!("row_{at}"), [&[at as u8], value].concat())
    });
    let lists = (0..LISTS.len()).map(|list| {
        let which = (ROWS.len() + list) as u8;
        (format!("list_{list}"), vec![which, 0xa1, 0x00, 0x01])
    });
    rows.chain(lists).collect()
}
