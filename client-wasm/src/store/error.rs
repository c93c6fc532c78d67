//! Why the store does not do what it was asked, by what can be done about it.

use thiserror::Error;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::DomException;

use crate::api::StorageFailure;

/// A read or a commit failed; a commit that failed has changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum StoreError {
    /// Another engine has taken over this database.
    #[error("another tab has taken over")]
    Fenced,
    /// The disk, or what the browser allows, is full.
    #[error("no space left")]
    Quota,
    /// The browser refuses, or closed the database.
    #[error("the browser's storage is unavailable")]
    Unavailable,
    /// What is stored does not authenticate, or is not what a store holds.
    #[error("the stored data is damaged")]
    Corrupt,
}

impl StoreError {
    /// What to show, unless it is only that another tab leads.
    pub const fn failure(self) -> Option<StorageFailure> {
        match self {
            Self::Fenced => None,
            Self::Quota => Some(StorageFailure::Quota),
            Self::Unavailable => Some(StorageFailure::Unavailable),
            Self::Corrupt => Some(StorageFailure::Corrupt),
        }
    }

    /// Reads the exception that IndexedDB reports. Its name says it all: in newer browsers quota has
    /// an exception class of its own, in older ones it is a `DOMException`; the name is the same.
    pub fn from_exception(exception: &JsValue) -> Self {
        let name = exception.dyn_ref::<DomException>().map_or_else(
            || {
                js_sys::Reflect::get(exception, &JsValue::from_str("name"))
                    .ok()
                    .and_then(|name| name.as_string())
                    .unwrap_or_default()
            },
            DomException::name,
        );
        match name.as_str() {
            "QuotaExceededError" => Self::Quota,
            // Chromium's answer to a damaged database, and to a structured clone that cannot be read.
            "DataError" | "DataCloneError" => Self::Corrupt,
            _ => Self::Unavailable,
        }
    }
}

impl From<idb::Error> for StoreError {
    fn from(error: idb::Error) -> Self {
        match error {
            idb::Error::DomException(exception) => Self::from_exception(&exception),
            idb::Error::UpdateFailed(value)
            | idb::Error::DeleteFailed(value)
            | idb::Error::GetFailed(value)
            | idb::Error::IndexedDbOpenFailed(value)
            | idb::Error::TransactionOpenFailed(value) => Self::from_exception(&value),
            _ => Self::Unavailable,
        }
    }
}
