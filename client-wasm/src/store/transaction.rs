//! Transactions that are on disk when they are done.
//!
//! `durability: "strict"` makes the browser flush to the disk before it reports completion; the default
//! ("relaxed" in every browser) only hands the bytes to the operating system, so that a power cut may
//! undo a message that was shown as sent. No Rust wrapper passes the option on, hence the one binding.

use std::cell::Cell;
use std::rc::Rc;

use futures_channel::oneshot;
use js_sys::{Array, Object, Reflect};
use wasm_bindgen::prelude::*;
use web_sys::{IdbDatabase, IdbTransaction};

use super::StoreError;

#[wasm_bindgen]
extern "C" {
    /// `IDBDatabase` of Indexed Database API 3.0, whose `transaction` takes options.
    #[wasm_bindgen(extends = Object)]
    type IdbDatabase3;

    #[wasm_bindgen(method, catch, js_name = transaction)]
    fn transaction(
        this: &IdbDatabase3,
        stores: &Array,
        mode: &str,
        options: &Object,
    ) -> Result<IdbTransaction, JsValue>;
}

/// Starts a transaction that writes, and that is on disk when it completes.
pub(super) fn strict(
    database: &IdbDatabase,
    stores: &[&str],
) -> Result<IdbTransaction, StoreError> {
    let stores: Array = stores.iter().map(|name| JsValue::from_str(name)).collect();
    let options = Object::new();
    let _ = Reflect::set(&options, &"durability".into(), &"strict".into());
    database
        .unchecked_ref::<IdbDatabase3>()
        .transaction(&stores, "readwrite", &options)
        .map_err(|error| StoreError::from_exception(&error))
}

/// Waits until the transaction is on disk, or says why it was undone. To be called before control returns
/// to the event loop after the last request was made.
pub(super) async fn finished(transaction: &IdbTransaction) -> Result<(), StoreError> {
    let (sender, receiver) = oneshot::channel();
    let sender = Rc::new(Cell::new(Some(sender)));
    let on = |committed: bool| {
        let sender = Rc::clone(&sender);
        Closure::<dyn FnMut()>::new(move || {
            if let Some(sender) = sender.take() {
                let _ = sender.send(committed);
            }
        })
    };
    let (complete, abort) = (on(true), on(false));
    transaction.set_oncomplete(Some(complete.as_ref().unchecked_ref()));
    transaction.set_onabort(Some(abort.as_ref().unchecked_ref()));
    let committed = receiver.await;
    transaction.set_oncomplete(None);
    transaction.set_onabort(None);
    match committed {
        Ok(true) => Ok(()),
        Ok(false) | Err(oneshot::Canceled) => Err(transaction
            .error()
            .map_or(StoreError::Unavailable, |error| {
                StoreError::from_exception(&error)
            })),
    }
}
