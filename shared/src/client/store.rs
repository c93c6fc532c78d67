//! What the engine asks of its host's store, and how rows are sealed before they reach a disk.
//!
//! A host needs one table of [`SealedRow`]s: primary key `key`, one index on (`partition`, `sort`). It
//! learns how many rows there are and how long they are, nothing else. [`Fence`] makes every commit of an
//! engine that was replaced fail.

use core::fmt;

use rand_core::CryptoRng;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::crypto::aead::{Aes256GcmKey, NONCE_LEN};
use crate::crypto::hash::keyed_256;
use crate::crypto::kdf::extract_expand;
use crate::crypto::secret::Secret32;

/// A kind of row. The number is part of what is hashed and authenticated; never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// Identity, profile, mailbox, network: one row each, all read at start.
    Meta = 0,
    /// People. All read at start.
    Contact = 1,
    /// One row a conversation; sorted by its last message.
    Conversation = 2,
    /// One row a message; partitioned by conversation, sorted by time.
    Message = 3,
    /// Ratchet sessions with one device.
    Session = 4,
    /// What is to be sent. All read at start.
    Outbox = 5,
    /// Envelope ids that were received; sorted by when.
    Seen = 6,
    /// Secret halves of published prekeys.
    PreKey = 7,
    /// Fragments of messages that are not complete; sorted by when.
    Fragment = 8,
    /// Messages of devices that are not on their account's list as far as it is known. All read at start.
    Held = 9,
}

/// Names one row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Kind.
    pub table: Table,
    /// Which of its kind.
    pub id: Vec<u8>,
}

impl Key {
    /// The row of `table` that `id` names.
    pub fn new(table: Table, id: impl AsRef<[u8]>) -> Self {
        Self {
            table,
            id: id.as_ref().to_vec(),
        }
    }
}

/// What a row says, in clear. Many rows hold secrets, so every copy wipes itself when it is dropped.
pub type Value = Zeroizing<Vec<u8>>;

/// One row in clear, as the engine sees it.
#[derive(Clone, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub key: Key,
    /// Which list it is in, within its table; empty where the table is one list.
    pub partition: Vec<u8>,
    /// Its place in the list.
    pub sort: u64,
    /// A versioned record.
    pub value: Value,
}

impl Row {
    /// A row of a table that is one unordered list.
    pub fn plain(key: Key, value: impl Into<Value>) -> Self {
        Self {
            key,
            partition: Vec::new(),
            sort: 0,
            value: value.into(),
        }
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Row({:?}, {} bytes)", self.key, self.value.len())
    }
}

/// A change. All changes of a batch are committed in one transaction or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Insert or replace.
    Put(Row),
    /// Remove; absent is fine.
    Delete(Key),
}

impl Write {
    /// The row concerned.
    pub const fn key(&self) -> &Key {
        match self {
            Self::Put(row) => &row.key,
            Self::Delete(key) => key,
        }
    }
}

/// Which rows of one list, newest (highest sort, then key) first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// Kind.
    pub table: Table,
    /// List.
    pub partition: Vec<u8>,
    /// Only rows that sort strictly below.
    pub before: Option<u64>,
    /// At most so many.
    pub limit: usize,
}

/// Rows that were read, by key. Absent rows are simply not there.
#[derive(Clone, Default)]
pub struct Loaded(std::collections::BTreeMap<Key, Value>);

impl Loaded {
    /// The value of a row.
    pub fn get(&self, key: &Key) -> Option<&[u8]> {
        self.0.get(key).map(|value| value.as_slice())
    }

    /// Adds a row that the host has read.
    pub fn insert(&mut self, key: Key, value: impl Into<Value>) {
        self.0.insert(key, value.into());
    }

    /// Lays writes that are not committed yet over what was read.
    pub(super) fn overlay<'a>(&mut self, writes: impl Iterator<Item = &'a Write>) {
        for write in writes {
            match write {
                Write::Put(row) => self.0.insert(row.key.clone(), row.value.clone()),
                Write::Delete(key) => self.0.remove(key),
            };
        }
    }
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Which run of the engine may write: a commit checks in its own transaction that its fence is still the
/// newest one (tab leadership, database lease).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fence(pub u64);

/// A row as a host stores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedRow {
    /// Keyed hash of table and id.
    pub key: [u8; 20],
    /// Keyed hash of table and partition.
    pub partition: [u8; 20],
    /// Place in the partition.
    pub sort: u64,
    /// nonce ‖ AES-256-GCM of (table, id, partition, value), bound to the three fields above.
    pub sealed: Vec<u8>,
}

/// The stored row is not what was sealed: another data key, or the disk's contents were changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a stored row does not authenticate")]
pub struct RowError;

/// Seals rows under the data key. Wiped on drop.
#[derive(Clone)]
pub struct StoreCipher {
    names: Secret32,
    values: Aes256GcmKey,
}

impl StoreCipher {
    /// From the store's random data key.
    pub fn new(data_key: &Secret32) -> Self {
        let names = extract_expand::<32>(b"ZenTalk store v1", data_key.as_bytes(), b"names");
        let values = extract_expand::<32>(b"ZenTalk store v1", data_key.as_bytes(), b"values");
        Self {
            names,
            values: Aes256GcmKey::new(&values),
        }
    }

    /// Where the row of a key is stored.
    pub fn key(&self, key: &Key) -> [u8; 20] {
        self.name(b"key", key.table, &key.id)
    }

    /// Which list of the host's index a partition is.
    pub fn partition(&self, table: Table, partition: &[u8]) -> [u8; 20] {
        self.name(b"partition", table, partition)
    }

    /// Seals a row. `None` only beyond AES-GCM's length limit.
    pub fn seal(&self, row: &Row, rng: &mut impl CryptoRng) -> Option<SealedRow> {
        let key = self.key(&row.key);
        let partition = self.partition(row.key.table, &row.partition);
        let mut nonce = [0; NONCE_LEN];
        rng.fill_bytes(&mut nonce);
        let aad = associated(&key, &partition, row.sort);
        let sealed = self.values.seal(&nonce, &aad, &plaintext(row)?).ok()?;
        Some(SealedRow {
            key,
            partition,
            sort: row.sort,
            sealed: [nonce.as_slice(), &sealed].concat(),
        })
    }

    /// Opens a row and checks that it stands where it was put.
    pub fn open(&self, row: &SealedRow) -> Result<Row, RowError> {
        let (nonce, sealed) = row
            .sealed
            .split_first_chunk::<NONCE_LEN>()
            .ok_or(RowError)?;
        let aad = associated(&row.key, &row.partition, row.sort);
        let plain = self.values.open(nonce, &aad, sealed);
        let plain = Zeroizing::new(plain.map_err(|_| RowError)?);
        let (table, rest) = plain.split_first().ok_or(RowError)?;
        let (id, rest) = read_part(rest).ok_or(RowError)?;
        let (partition, value) = read_part(rest).ok_or(RowError)?;
        let key = Key::new(Table::from_number(*table).ok_or(RowError)?, id);
        if self.key(&key) != row.key {
            return Err(RowError);
        }
        Ok(Row {
            key,
            partition: partition.to_vec(),
            sort: row.sort,
            value: value.to_vec().into(),
        })
    }

    fn name(&self, kind: &[u8], table: Table, id: &[u8]) -> [u8; 20] {
        let hash = keyed_256(&self.names, &[kind, &[0, table as u8], id]);
        let mut name = [0; 20];
        name.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
        name
    }
}

impl Table {
    fn from_number(number: u8) -> Option<Self> {
        [
            Self::Meta,
            Self::Contact,
            Self::Conversation,
            Self::Message,
            Self::Session,
            Self::Outbox,
            Self::Seen,
            Self::PreKey,
            Self::Fragment,
            Self::Held,
        ]
        .into_iter()
        .find(|table| *table as u8 == number)
    }
}

fn associated(key: &[u8; 20], partition: &[u8; 20], sort: u64) -> Vec<u8> {
    [key.as_slice(), partition, &sort.to_be_bytes()].concat()
}

fn plaintext(row: &Row) -> Option<Value> {
    let length = |bytes: &[u8]| u16::try_from(bytes.len()).ok().map(u16::to_be_bytes);
    let table = [row.key.table as u8];
    let parts = [
        table.as_slice(),
        &length(&row.key.id)?,
        &row.key.id,
        &length(&row.partition)?,
        &row.partition,
        &row.value,
    ];
    Some(parts.concat().into())
}

fn read_part(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    fn row() -> Row {
        Row {
            key: Key::new(Table::Message, [1; 16]),
            partition: vec![2; 32],
            sort: 77,
            value: b"the quick brown fox".to_vec().into(),
        }
    }

    #[test]
    fn fault_21_a_stored_row_shows_nothing_and_opens_only_where_it_was_put() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let cipher = StoreCipher::new(&Secret32::random(&mut rng));
        let sealed = cipher.seal(&row(), &mut rng).unwrap();
        assert_eq!(cipher.open(&sealed).unwrap(), row());
        assert!(!sealed.sealed.windows(5).any(|window| window == b"quick"));
        assert!(!sealed.sealed.windows(16).any(|window| window == [1; 16]));
        for index in 0..sealed.sealed.len() {
            let mut changed = sealed.clone();
            changed.sealed[index] ^= 1;
            assert_eq!(cipher.open(&changed), Err(RowError));
        }
        let moved = SealedRow {
            sort: 78,
            ..sealed.clone()
        };
        assert_eq!(cipher.open(&moved), Err(RowError));
        let renamed = SealedRow {
            key: [9; 20],
            ..sealed.clone()
        };
        assert_eq!(cipher.open(&renamed), Err(RowError));
        let other = StoreCipher::new(&Secret32::random(&mut rng));
        assert_eq!(other.open(&sealed), Err(RowError));
        assert_ne!(other.key(&row().key), cipher.key(&row().key));
    }

    #[test]
    fn names_differ_by_table_and_kind() {
        let cipher = StoreCipher::new(&Secret32::from_bytes([3; 32]));
        let session = cipher.key(&Key::new(Table::Session, [1; 16]));
        assert_ne!(session, cipher.key(&Key::new(Table::Outbox, [1; 16])));
        assert_ne!(session, cipher.partition(Table::Session, &[1; 16]));
    }

    #[test]
    fn what_a_row_says_is_not_printed() {
        let mut loaded = Loaded::default();
        loaded.insert(row().key, row().value);
        let printed = format!("{:?} {loaded:?}", Write::Put(row()));
        assert!(printed.contains("19 bytes"), "{printed}");
        assert!(!printed.contains("116, 104, 101"), "{printed}");
    }

    #[test]
    fn pending_writes_hide_what_was_read() {
        let mut loaded = Loaded::default();
        let key = Key::new(Table::Meta, b"a");
        loaded.insert(key.clone(), vec![1]);
        loaded.overlay([Write::Put(Row::plain(key.clone(), vec![2]))].iter());
        assert_eq!(loaded.get(&key), Some([2].as_slice()));
        loaded.overlay([Write::Delete(key.clone())].iter());
        assert_eq!(loaded.get(&key), None);
    }
}
