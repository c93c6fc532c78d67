//! From the name of a database to an engine: fence, data key, rows.

use std::rc::Rc;

use wasm_bindgen::JsValue;
use zentalk_shared::client::store::StoreCipher;
use zentalk_shared::client::{Bootstrap, Client, Config, NetConfig, StockConfig};

use crate::bootstrap;
use crate::data_key::{self, DataKeyError};
use crate::platform::{now, rng};
use crate::store::{Disk, Head, Store, StoreError};
use crate::web_crypto::WebCryptoError;

/// A database that this engine run, and no earlier one, may write.
pub(super) struct Booted {
    pub(super) store: Store,
    pub(super) relays: Vec<Bootstrap>,
}

/// Opens the database and takes it over. `offered` is the bootstrap list that was loaded just now.
pub(super) async fn boot(database: &str, offered: Option<&str>) -> Result<Booted, StoreError> {
    let disk = Rc::new(Disk::open(database).await?);
    let fence = disk.take_over().await?;
    let data_key = match disk.head(Head::DataKey).await? {
        Some(record) => data_key::open(&record).await?,
        // Rows without their key: making a new key would pass them off as an empty store.
        None if disk.has_rows().await? => return Err(StoreError::Corrupt),
        None => {
            let (data_key, record) = data_key::create(&mut rng()).await?;
            disk.set_head(fence, Head::DataKey, &record).await?;
            data_key
        }
    };
    let store = Store::new(Rc::clone(&disk), StoreCipher::new(&data_key), fence);
    let stored = disk
        .head(Head::Bootstrap)
        .await?
        .and_then(|text| text.as_string());
    let relays = match offered.map(bootstrap::parse) {
        Some(Ok(relays)) => {
            if stored.as_deref() != offered {
                let text = offered.map_or(JsValue::NULL, JsValue::from_str);
                disk.set_head(fence, Head::Bootstrap, &text).await?;
            }
            relays
        }
        Some(Err(_)) | None => stored
            .and_then(|text| bootstrap::parse(&text).ok())
            .unwrap_or_default(),
    };
    Ok(Booted { store, relays })
}

/// The engine of a store; `None` if it holds no identity.
pub(super) async fn restore(store: &Store, net: NetConfig) -> Result<Option<Client>, StoreError> {
    let mut rows = Vec::new();
    for scan in Client::boot_scans() {
        rows.extend(store.scan(&scan).await?);
    }
    let config = Config {
        net,
        stock: StockConfig::default(),
    };
    Client::restore(config, rows, now(), &mut rng()).map_err(|_| StoreError::Corrupt)
}

impl From<DataKeyError> for StoreError {
    fn from(error: DataKeyError) -> Self {
        match error {
            DataKeyError::WebCrypto(WebCryptoError::Missing | WebCryptoError::Failed) => {
                Self::Unavailable
            }
            DataKeyError::Record
            | DataKeyError::NoWrap
            | DataKeyError::WebCrypto(WebCryptoError::Authentication) => Self::Corrupt,
        }
    }
}
