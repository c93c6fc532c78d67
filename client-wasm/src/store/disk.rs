//! The database itself: opaque rows in one object store, and a head that is read before the data key
//! is known.
//!
//! ```text
//!   database NAME, version 1
//!     rows   { key: 20 bytes, list: partition ‖ sort (28 bytes), sealed } by key, index "list"
//!     head   "fence" → number, "dataKey" → wraps of the data key, "bootstrap" → text
//! ```
//! Later versions append a step to `open`; they never change one.

use std::cell::Cell;
use std::rc::Rc;

use idb::builder::{DatabaseBuilder, IndexBuilder, ObjectStoreBuilder};
use idb::{CursorDirection, Factory, KeyPath, KeyRange, ObjectStore, Query, Transaction};
use js_sys::{Array, Uint8Array};
use wasm_bindgen::prelude::*;
use web_sys::{IdbDatabase, IdbTransaction, IdbTransactionMode};
use zentalk_shared::client::store::Fence;

use super::transaction::{finished, strict};
use super::{StoreError, row};

const VERSION: u32 = 1;
const ROWS: &str = "rows";
const HEAD: &str = "head";
const FENCE: &str = "fence";

/// Beyond so many rows a list is read in one go instead of row by row.
const CURSOR_LIMIT: usize = 1000;

/// What is stored in clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// The wrapped data key.
    DataKey,
    /// The last bootstrap list that could be loaded.
    Bootstrap,
}

impl Head {
    const fn name(self) -> &'static str {
        match self {
            Self::DataKey => "dataKey",
            Self::Bootstrap => "bootstrap",
        }
    }
}

/// One change of a commit, as IndexedDB takes it.
#[derive(Debug)]
pub enum Change {
    /// Insert or replace a row.
    Put(JsValue),
    /// Remove the row of a key.
    Delete(JsValue),
}

/// An open connection, closed on drop.
#[derive(Debug)]
pub struct Disk {
    database: IdbDatabase,
    /// Set when the browser or another tab took the database away.
    lost: Rc<Cell<bool>>,
    _on_loss: Closure<dyn FnMut()>,
}

impl Disk {
    /// Opens the database, making it if need be.
    pub async fn open(name: &str) -> Result<Self, StoreError> {
        let list = IndexBuilder::new(row::LIST.into(), KeyPath::new_single(row::LIST));
        let rows = ObjectStoreBuilder::new(ROWS)
            .key_path(Some(KeyPath::new_single(row::KEY)))
            .add_index(list);
        let database: IdbDatabase = DatabaseBuilder::new(name)
            .version(VERSION)
            .add_object_store(rows)
            .add_object_store(ObjectStoreBuilder::new(HEAD))
            .build()
            .await?
            .into();
        let lost = Rc::new(Cell::new(false));
        let on_loss = {
            let (lost, database) = (Rc::clone(&lost), database.clone());
            Closure::new(move || {
                lost.set(true);
                // Whoever erases or upgrades the database must not wait for us.
                database.close();
            })
        };
        database.set_onversionchange(Some(on_loss.as_ref().unchecked_ref()));
        database.set_onclose(Some(on_loss.as_ref().unchecked_ref()));
        Ok(Self {
            database,
            lost,
            _on_loss: on_loss,
        })
    }

    /// Deletes the database with everything in it. Other connections close themselves first.
    pub async fn delete(name: &str) -> Result<(), StoreError> {
        Factory::new()?.delete(name)?.await?;
        Ok(())
    }

    /// Makes every engine that ran before unable to write.
    pub async fn take_over(&self) -> Result<Fence, StoreError> {
        let transaction = self.writing(&[HEAD])?;
        let head = store(&transaction, HEAD)?;
        let fence = Fence(read_fence(&head).await?.0.saturating_add(1));
        let value = JsValue::from_f64(fence.0 as f64);
        let _ = head.put(&value, Some(&FENCE.into()))?;
        finished(&transaction).await?;
        Ok(fence)
    }

    /// A part of the head.
    pub async fn head(&self, part: Head) -> Result<Option<JsValue>, StoreError> {
        let head = store(&self.reading(&[HEAD])?, HEAD)?;
        Ok(head.get(key(part.name()))?.await?)
    }

    /// Replaces a part of the head.
    pub async fn set_head(
        &self,
        fence: Fence,
        part: Head,
        value: &JsValue,
    ) -> Result<(), StoreError> {
        let transaction = self.fenced(fence).await?;
        let _ = store(&transaction, HEAD)?.put(value, Some(&part.name().into()))?;
        finished(&transaction).await
    }

    /// Makes all changes or none.
    pub async fn commit(&self, fence: Fence, changes: &[Change]) -> Result<(), StoreError> {
        let transaction = self.fenced(fence).await?;
        let rows = store(&transaction, ROWS)?;
        for change in changes {
            let made = match change {
                Change::Put(value) => rows.put(value, None).map(drop),
                Change::Delete(key) => rows.delete(Query::Key(key.clone())).map(drop),
            };
            if let Err(error) = made {
                // What was asked for before must not be committed without the rest.
                let _ = transaction.abort();
                return Err(error.into());
            }
        }
        finished(&transaction).await
    }

    /// The rows of `keys`, in their order.
    pub async fn get(&self, keys: &[[u8; 20]]) -> Result<Vec<Option<JsValue>>, StoreError> {
        let rows = store(&self.reading(&[ROWS])?, ROWS)?;
        let requests = keys
            .iter()
            .map(|key| rows.get(JsValue::from(Uint8Array::from(key.as_slice()))))
            .collect::<Result<Vec<_>, _>>()?;
        let requests = requests.into_iter().map(IntoFuture::into_future);
        Ok(futures_util::future::try_join_all(requests).await?)
    }

    /// Rows of one list, highest sort first, then highest key.
    pub async fn list(
        &self,
        partition: &[u8; 20],
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<JsValue>, StoreError> {
        let (low, high, open) = row::bounds(partition, before);
        let range = KeyRange::bound(&low, &high, Some(false), Some(open))?;
        let list = store(&self.reading(&[ROWS])?, ROWS)?.index(row::LIST)?;
        if limit > CURSOR_LIMIT {
            let mut all = list.get_all(Some(range.into()), None)?.await?;
            all.reverse();
            all.truncate(limit);
            return Ok(all);
        }
        let mut values = Vec::new();
        let mut cursor = list
            .open_cursor(Some(range.into()), Some(CursorDirection::Prev))?
            .await?;
        while let Some(at) = cursor.filter(|_| values.len() < limit) {
            values.push(at.value()?);
            cursor = at.next(None)?.await?;
        }
        Ok(values)
    }

    #[cfg(all(test, target_arch = "wasm32"))]
    pub(super) fn connection(&self) -> &IdbDatabase {
        &self.database
    }

    /// Whether there is any row.
    pub async fn has_rows(&self) -> Result<bool, StoreError> {
        let rows = store(&self.reading(&[ROWS])?, ROWS)?;
        Ok(rows.count(None)?.await? > 0)
    }

    /// A transaction over everything, once the fence was found to be the newest.
    async fn fenced(&self, fence: Fence) -> Result<IdbTransaction, StoreError> {
        let transaction = self.writing(&[ROWS, HEAD])?;
        if read_fence(&store(&transaction, HEAD)?).await? != fence {
            let _ = transaction.abort();
            return Err(StoreError::Fenced);
        }
        Ok(transaction)
    }

    fn writing(&self, stores: &[&str]) -> Result<IdbTransaction, StoreError> {
        self.check()?;
        strict(&self.database, stores)
    }

    fn reading(&self, stores: &[&str]) -> Result<IdbTransaction, StoreError> {
        self.check()?;
        let names: Array = stores.iter().map(|name| JsValue::from_str(name)).collect();
        self.database
            .transaction_with_str_sequence_and_mode(&names, IdbTransactionMode::Readonly)
            .map_err(|error| StoreError::from_exception(&error))
    }

    fn check(&self) -> Result<(), StoreError> {
        if self.lost.get() {
            return Err(StoreError::Unavailable);
        }
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.database.set_onversionchange(None);
        self.database.set_onclose(None);
        self.database.close();
    }
}

fn store(transaction: &IdbTransaction, name: &str) -> Result<ObjectStore, StoreError> {
    Ok(Transaction::from(transaction.clone()).object_store(name)?)
}

/// No fence yet is fence 0. A fence that is no number would let two engines write: damaged.
async fn read_fence(head: &ObjectStore) -> Result<Fence, StoreError> {
    let Some(value) = head.get(key(FENCE))?.await? else {
        return Ok(Fence(0));
    };
    let number = value.as_f64().filter(|number| *number >= 0.0);
    number
        .map(|number| Fence(number as u64))
        .ok_or(StoreError::Corrupt)
}

fn key(name: &str) -> Query {
    Query::Key(JsValue::from_str(name))
}
