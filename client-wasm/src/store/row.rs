//! One sealed row as an object of IndexedDB, and the bounds of a list in its index.
//!
//! `list` = partition (20 bytes) ‖ sort (8, big-endian): IndexedDB compares binary keys byte by byte, so
//! that one index holds every list in order. Numbers would not do: they are exact to 2^53 only.

use js_sys::{Object, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use zentalk_shared::client::store::SealedRow;

/// Property that is the primary key.
pub(super) const KEY: &str = "key";
/// Property that the index orders by.
pub(super) const LIST: &str = "list";
const SEALED: &str = "sealed";

const LIST_LEN: usize = 28;

/// The object to store.
pub(super) fn write(row: &SealedRow) -> JsValue {
    let object = Object::new();
    let set = |name: &str, bytes: &[u8]| {
        // Setting a property of a fresh plain object cannot fail.
        let _ = Reflect::set(&object, &name.into(), &Uint8Array::from(bytes));
    };
    set(KEY, &row.key);
    set(LIST, &list_key(&row.partition, row.sort));
    set(SEALED, &row.sealed);
    object.into()
}

/// A stored object; `None` if it is no row.
pub(super) fn read(value: &JsValue) -> Option<SealedRow> {
    let get = |name: &str| -> Option<Vec<u8>> {
        let value = Reflect::get(value, &name.into()).ok()?;
        Some(value.dyn_ref::<Uint8Array>()?.to_vec())
    };
    let list = get(LIST)?;
    let (partition, sort) = list.split_first_chunk::<20>()?;
    Some(SealedRow {
        key: get(KEY)?.try_into().ok()?,
        partition: *partition,
        sort: u64::from_be_bytes(sort.try_into().ok()?),
        sealed: get(SEALED)?,
    })
}

/// Lowest and highest index key of a list's rows, and whether the highest is excluded.
pub(super) fn bounds(partition: &[u8; 20], before: Option<u64>) -> (JsValue, JsValue, bool) {
    let key = |sort| Uint8Array::from(list_key(partition, sort).as_slice()).into();
    (key(0), key(before.unwrap_or(u64::MAX)), before.is_some())
}

fn list_key(partition: &[u8; 20], sort: u64) -> [u8; LIST_LEN] {
    let mut key = [0; LIST_LEN];
    let parts = partition.iter().copied().chain(sort.to_be_bytes());
    key.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
    key
}
