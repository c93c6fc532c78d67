//! The engine's rows in IndexedDB, sealed under the data key and guarded by a fence.
//!
//! ```text
//!   Disk::open ──▶ take_over: fence + 1 ──▶ data key (see crate::data_key) ──▶ Store: load, scan, commit
//! ```
//! A commit is one transaction with `durability: "strict"` that first checks the fence: an engine that
//! another tab's has replaced cannot write any more.

mod disk;
mod error;
mod row;
#[cfg(all(test, target_arch = "wasm32"))]
mod tests;
mod transaction;

use std::rc::Rc;

use js_sys::Uint8Array;
use rand_core::CryptoRng;
use zentalk_shared::client::store::{Fence, Key, Loaded, Row, Scan, StoreCipher, Write};

pub use disk::{Change, Disk, Head};
pub use error::StoreError;

/// The rows of one database, in clear to whoever holds this.
pub struct Store {
    disk: Rc<Disk>,
    cipher: StoreCipher,
    fence: Fence,
}

impl Store {
    /// The rows of `disk` for the run of the engine that took `fence`.
    pub fn new(disk: Rc<Disk>, cipher: StoreCipher, fence: Fence) -> Self {
        Self {
            disk,
            cipher,
            fence,
        }
    }

    /// The rows that `keys` name, those that exist.
    pub async fn load(&self, keys: &[Key]) -> Result<Loaded, StoreError> {
        let mut loaded = Loaded::default();
        if keys.is_empty() {
            return Ok(loaded);
        }
        let names: Vec<[u8; 20]> = keys.iter().map(|key| self.cipher.key(key)).collect();
        let found = self.disk.get(&names).await?;
        for (key, value) in keys.iter().zip(found) {
            let Some(value) = value else { continue };
            let row = self.open(&value)?;
            if row.key != *key {
                return Err(StoreError::Corrupt);
            }
            loaded.insert(row.key, row.value);
        }
        Ok(loaded)
    }

    /// Part of one list, newest first.
    pub async fn scan(&self, scan: &Scan) -> Result<Vec<Row>, StoreError> {
        let partition = self.cipher.partition(scan.table, &scan.partition);
        let values = self.disk.list(&partition, scan.before, scan.limit).await?;
        values.iter().map(|value| self.open(value)).collect()
    }

    /// Writes all changes or none, to disk. Fails with [`StoreError::Fenced`] once another engine has
    /// taken over.
    pub async fn commit(
        &self,
        writes: &[Write],
        rng: &mut impl CryptoRng,
    ) -> Result<(), StoreError> {
        let changes = writes
            .iter()
            .map(|write| self.sealed(write, rng))
            .collect::<Result<Vec<Change>, StoreError>>()?;
        self.disk.commit(self.fence, &changes).await
    }

    fn sealed(&self, write: &Write, rng: &mut impl CryptoRng) -> Result<Change, StoreError> {
        Ok(match write {
            Write::Put(row) => {
                let sealed = self.cipher.seal(row, rng).ok_or(StoreError::Corrupt)?;
                Change::Put(row::write(&sealed))
            }
            Write::Delete(key) => {
                Change::Delete(Uint8Array::from(self.cipher.key(key).as_slice()).into())
            }
        })
    }

    fn open(&self, value: &wasm_bindgen::JsValue) -> Result<Row, StoreError> {
        let sealed = row::read(value).ok_or(StoreError::Corrupt)?;
        self.cipher.open(&sealed).map_err(|_| StoreError::Corrupt)
    }
}
