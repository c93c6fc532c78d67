//! The store in a real browser.

use std::rc::Rc;

use js_sys::{Array, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_test::wasm_bindgen_test;
use web_sys::{DomException, IdbTransaction};
use zentalk_shared::client::store::{Fence, Key, Row, Scan, StoreCipher, Table, Write};
use zentalk_shared::crypto::secret::Secret32;

use super::transaction::{finished, strict};
use super::{Change, Disk, Head, Store, StoreError};
use crate::platform::rng;

async fn fresh(name: &str) -> (Rc<Disk>, Store) {
    Disk::delete(name).await.unwrap();
    let disk = Rc::new(Disk::open(name).await.unwrap());
    let fence = disk.take_over().await.unwrap();
    (Rc::clone(&disk), Store::new(disk, cipher(), fence))
}

fn cipher() -> StoreCipher {
    StoreCipher::new(&Secret32::from_bytes([7; 32]))
}

fn message(id: u8, sort: u64, text: &str) -> Row {
    Row {
        key: Key::new(Table::Message, [id; 16]),
        partition: vec![9; 32],
        sort,
        value: text.as_bytes().to_vec().into(),
    }
}

fn page(before: Option<u64>, limit: usize) -> Scan {
    Scan {
        table: Table::Message,
        partition: vec![9; 32],
        before,
        limit,
    }
}

async fn sorts(store: &Store, scan: &Scan) -> Vec<u64> {
    let rows = store.scan(scan).await.unwrap();
    rows.iter().map(|row| row.sort).collect()
}

#[wasm_bindgen_test]
async fn what_was_committed_is_read_by_key_and_survives_reopening() {
    let name = "test-store-commit";
    let key = message(1, 5, "x").key;
    {
        let (_, store) = fresh(name).await;
        let put = Write::Put(message(1, 5, "hello"));
        let gone = message(2, 6, "gone");
        let deleted = Write::Delete(gone.key.clone());
        let writes = [put, Write::Put(gone), deleted];
        store.commit(&writes, &mut rng()).await.unwrap();
    }
    let disk = Rc::new(Disk::open(name).await.unwrap());
    let fence = disk.take_over().await.unwrap();
    assert_eq!(fence, Fence(2));
    let store = Store::new(disk, cipher(), fence);
    let absent = message(2, 6, "gone").key;
    let loaded = store.load(&[key.clone(), absent.clone()]).await.unwrap();
    assert_eq!(loaded.get(&key), Some(b"hello".as_slice()));
    assert_eq!(loaded.get(&absent), None);
}

#[wasm_bindgen_test]
async fn a_list_is_read_newest_first_page_by_page() {
    let (_, store) = fresh("test-store-list").await;
    let big = 1 << 60;
    let order = [3, 1, 256, 2, big, big + 1];
    let mut writes: Vec<Write> = (0_u8..)
        .zip(order)
        .map(|(id, sort)| Write::Put(message(id, sort, "m")))
        .collect();
    let elsewhere = Row {
        partition: vec![8; 32],
        ..message(99, 4, "another conversation")
    };
    writes.push(Write::Put(elsewhere));
    store.commit(&writes, &mut rng()).await.unwrap();
    let newest = sorts(&store, &page(None, 3)).await;
    assert_eq!(newest, [big + 1, big, 256]);
    assert_eq!(sorts(&store, &page(Some(256), 3)).await, [3, 2, 1]);
    assert_eq!(sorts(&store, &page(Some(1), 3)).await, [0_u64; 0]);
    assert_eq!(sorts(&store, &page(None, usize::MAX)).await.len(), 6);
}

#[wasm_bindgen_test]
async fn an_old_leader_cannot_write_any_more() {
    let (disk, old) = fresh("test-store-fence").await;
    let fence = disk.take_over().await.unwrap();
    let new = Store::new(Rc::clone(&disk), cipher(), fence);
    let write = [Write::Put(message(1, 1, "old"))];
    let refused = old.commit(&write, &mut rng()).await;
    assert_eq!(refused, Err(StoreError::Fenced));
    let value = JsValue::from_str("x");
    let refused = disk.set_head(Fence(1), Head::Bootstrap, &value).await;
    assert_eq!(refused, Err(StoreError::Fenced));
    assert!(disk.head(Head::Bootstrap).await.unwrap().is_none());
    assert_eq!(sorts(&new, &page(None, 10)).await, [0_u64; 0]);
    new.commit(&write, &mut rng()).await.unwrap();
}

#[wasm_bindgen_test]
async fn a_commit_that_fails_half_way_leaves_nothing() {
    let (disk, store) = fresh("test-store-atomic").await;
    let good = store
        .sealed(&Write::Put(message(1, 1, "good")), &mut rng())
        .unwrap();
    // An object without the property that is the primary key.
    let bad = Change::Put(js_sys::Object::new().into());
    assert!(disk.commit(store.fence, &[good, bad]).await.is_err());
    assert!(!disk.has_rows().await.unwrap());
    // An object that cannot be cloned.
    let good = store
        .sealed(&Write::Put(message(1, 1, "good")), &mut rng())
        .unwrap();
    let value = js_sys::Object::new();
    let function = js_sys::Function::new_no_args("");
    Reflect::set(&value, &"key".into(), &function).unwrap();
    let bad = Change::Put(value.into());
    assert!(disk.commit(store.fence, &[good, bad]).await.is_err());
    assert!(!disk.has_rows().await.unwrap());
}

#[wasm_bindgen_test]
async fn an_aborted_transaction_is_a_failure() {
    let (disk, _) = fresh("test-store-abort").await;
    let transaction = strict(disk.connection(), &["rows"]).unwrap();
    transaction.abort().unwrap();
    assert_eq!(finished(&transaction).await, Err(StoreError::Unavailable));
}

#[wasm_bindgen_test]
async fn commits_ask_for_strict_durability() {
    let (disk, store) = fresh("test-store-strict").await;
    // Every transaction that writes goes through `strict`; watch what reaches the browser.
    let watch = "
        const asked = [];
        const real = IDBDatabase.prototype.transaction;
        IDBDatabase.prototype.transaction = function (...args) {
            const made = real.apply(this, args);
            asked.push([made.mode, made.durability]);
            return made;
        };
        asked.restore = () => { IDBDatabase.prototype.transaction = real; };
        return asked;";
    let asked = js_sys::Function::new_no_args(watch)
        .call0(&JsValue::UNDEFINED)
        .unwrap();
    let write = [Write::Put(message(1, 1, "m"))];
    store.commit(&write, &mut rng()).await.unwrap();
    disk.take_over().await.unwrap();
    let restore = Reflect::get(&asked, &"restore".into()).unwrap();
    let restore: js_sys::Function = restore.unchecked_into();
    restore.call0(&JsValue::UNDEFINED).unwrap();
    let asked: Vec<String> = asked
        .unchecked_into::<Array>()
        .iter()
        .map(|pair| pair.unchecked_into::<Array>().join(" ").into())
        .collect();
    assert_eq!(asked, ["readwrite strict", "readwrite strict"]);
}

#[wasm_bindgen_test]
async fn fault_21_stored_rows_show_nothing() {
    let (disk, store) = fresh("test-store-sealed").await;
    let row = message(0x41, 77, "the quick brown fox");
    store.commit(&[Write::Put(row)], &mut rng()).await.unwrap();
    let partition = cipher().partition(Table::Message, &[9; 32]);
    let stored = disk.list(&partition, None, 10).await.unwrap().remove(0);
    let names: Vec<String> = js_sys::Object::keys(stored.unchecked_ref::<js_sys::Object>())
        .iter()
        .filter_map(|name| name.as_string())
        .collect();
    assert_eq!(names, ["key", "list", "sealed"]);
    for name in names {
        let bytes = Reflect::get(&stored, &name.into()).unwrap();
        let bytes = js_sys::Uint8Array::new(&bytes).to_vec();
        assert!(!bytes.windows(5).any(|window| window == b"quick"));
        assert!(!bytes.windows(4).any(|window| window == [0x41; 4]));
        assert!(!bytes.windows(4).any(|window| window == [9; 4]));
    }
}

#[wasm_bindgen_test]
async fn damaged_rows_and_another_data_key_are_told_as_damage() {
    let (disk, store) = fresh("test-store-damage").await;
    let write = [Write::Put(message(1, 1, "m"))];
    store.commit(&write, &mut rng()).await.unwrap();
    let key = message(1, 1, "m").key;
    let other = StoreCipher::new(&Secret32::from_bytes([8; 32]));
    let other = Store::new(Rc::clone(&disk), other, store.fence);
    assert!(
        other
            .load(std::slice::from_ref(&key))
            .await
            .unwrap()
            .get(&key)
            .is_none()
    );
    let row = disk
        .get(&[cipher().key(&key)])
        .await
        .unwrap()
        .remove(0)
        .unwrap();
    // The object's own bytes: `Uint8Array::new` would copy them.
    let sealed = Reflect::get(&row, &"sealed".into()).unwrap();
    let sealed: js_sys::Uint8Array = sealed.dyn_into().unwrap();
    sealed.set_index(20, sealed.get_index(20) ^ 1);
    disk.commit(store.fence, &[Change::Put(row)]).await.unwrap();
    let refused = store.load(&[key]).await.map(|_| ());
    assert_eq!(refused, Err(StoreError::Corrupt));
    let refused = store.scan(&page(None, 10)).await.map(|_| ());
    assert_eq!(refused, Err(StoreError::Corrupt));
}

#[wasm_bindgen_test]
async fn a_deleted_database_is_unavailable_to_who_had_it_open() {
    let name = "test-store-delete";
    let (_disk, store) = fresh(name).await;
    // Resolves although the connection is open: it closes itself.
    Disk::delete(name).await.unwrap();
    let write = [Write::Put(message(1, 1, "m"))];
    let refused = store.commit(&write, &mut rng()).await;
    assert_eq!(refused, Err(StoreError::Unavailable));
}

#[wasm_bindgen_test]
fn exceptions_become_reasons() {
    let exception = |name: &str| -> JsValue {
        DomException::new_with_message_and_name("…", name)
            .unwrap()
            .into()
    };
    let reason = |name| StoreError::from_exception(&exception(name));
    assert_eq!(reason("QuotaExceededError"), StoreError::Quota);
    assert_eq!(reason("InvalidStateError"), StoreError::Unavailable);
    assert_eq!(reason("DataError"), StoreError::Corrupt);
    let plain = js_sys::Object::new();
    Reflect::set(&plain, &"name".into(), &"QuotaExceededError".into()).unwrap();
    assert_eq!(StoreError::from_exception(&plain), StoreError::Quota);
    assert_eq!(
        StoreError::from_exception(&JsValue::UNDEFINED),
        StoreError::Unavailable
    );
}

#[wasm_bindgen_test]
async fn a_transaction_without_the_option_would_not_be_strict() {
    // Guards the test above: the browser's default is something else.
    let (disk, _) = fresh("test-store-default").await;
    let names = Array::of1(&"rows".into());
    let transaction: IdbTransaction = disk
        .connection()
        .transaction_with_str_sequence_and_mode(&names, web_sys::IdbTransactionMode::Readwrite)
        .unwrap();
    let durability = Reflect::get(&transaction, &"durability".into()).unwrap();
    assert_eq!(durability.as_string().as_deref(), Some("default"));
}
