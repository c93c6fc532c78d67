//! The data key: 32 random bytes that seal every row, stored only wrapped.
//!
//! ```text
//!   { version: 1, wraps: [ { kind: "browser", key: CryptoKey, iv: 12 bytes, sealed: 48 bytes } ] }
//! ```
//! A record holds one or more wraps of the same data key; opening any of them opens the store. Today there
//! is one kind. `browser` is an AES-256-GCM key made by the browser, not extractable, which IndexedDB stores
//! without ever showing its bytes to a script.
//!
//! What `browser` protects against: the rows on their own. A copy of them, a swap file, a script that
//! reads the database without running in this origin, show opaque keys and ciphertext; a script that does
//! run in this origin can use the key while it runs but cannot carry it away. What it does **not** protect
//! against: whoever has the whole browser profile. The browser keeps the wrapping key in the same profile,
//! readable to anybody who can read that folder and knows its format. Only a secret that is not on the disk
//! helps there: Argon2id over a passphrase, or a WebAuthn PRF output. They become further variants of
//! [`Wrap`], and further `kind`s of the record, and need no change to any row.

use js_sys::{Array, Object, Reflect, Uint8Array};
use rand_core::CryptoRng;
use thiserror::Error;
use wasm_bindgen::{JsCast, JsValue};
use zentalk_shared::crypto::secret::Secret32;

use crate::web_crypto::{AesKey, IV_LEN, WebCryptoError};

const VERSION: u32 = 1;
const ASSOCIATED: &[u8] = b"ZenTalk data key v1";
const BROWSER: &str = "browser";
/// Data key and authentication tag.
const SEALED_LEN: usize = 48;

/// The data key cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DataKeyError {
    /// The record is not one, or not of a version known here.
    #[error("the record of the data key is damaged, or newer than this software")]
    Record,
    /// No wrap of a kind that can be opened here.
    #[error("the data key is wrapped in a way that this software does not know")]
    NoWrap,
    /// The browser's cryptography failed, or the wrap does not authenticate.
    #[error(transparent)]
    WebCrypto(#[from] WebCryptoError),
}

/// One way to the data key.
#[derive(Clone, Debug)]
pub enum Wrap {
    /// Sealed by a key that the browser keeps.
    Browser {
        /// The browser's key.
        key: AesKey,
        /// Nonce of the one use of that key.
        iv: [u8; IV_LEN],
        /// The sealed data key.
        sealed: [u8; SEALED_LEN],
    },
}

impl Wrap {
    /// Wraps `data_key` under a fresh browser key.
    pub async fn by_browser(
        data_key: &Secret32,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, DataKeyError> {
        let key = AesKey::generate().await?;
        let mut iv = [0; IV_LEN];
        rng.fill_bytes(&mut iv);
        let sealed = key.seal(&iv, ASSOCIATED, data_key.as_bytes()).await?;
        let sealed = sealed.try_into().map_err(|_| WebCryptoError::Failed)?;
        Ok(Self::Browser { key, iv, sealed })
    }

    /// The data key.
    pub async fn open(&self) -> Result<Secret32, DataKeyError> {
        let Self::Browser { key, iv, sealed } = self;
        let plain = key.open(iv, ASSOCIATED, sealed).await?;
        Secret32::try_from(plain.as_slice()).map_err(|_| DataKeyError::Record)
    }
}

/// A fresh data key, and the record of it to store.
pub async fn create(rng: &mut impl CryptoRng) -> Result<(Secret32, JsValue), DataKeyError> {
    let data_key = Secret32::random(rng);
    let wrap = Wrap::by_browser(&data_key, rng).await?;
    Ok((data_key, write(&[wrap])))
}

/// The data key of a stored record.
pub async fn open(record: &JsValue) -> Result<Secret32, DataKeyError> {
    let wraps = read(record)?;
    let wrap = wraps.first().ok_or(DataKeyError::NoWrap)?;
    wrap.open().await
}

fn write(wraps: &[Wrap]) -> JsValue {
    let wraps: Array = wraps
        .iter()
        .map(|Wrap::Browser { key, iv, sealed }| {
            object(&[
                ("kind", BROWSER.into()),
                ("key", key.stored()),
                ("iv", Uint8Array::from(iv.as_slice()).into()),
                ("sealed", Uint8Array::from(sealed.as_slice()).into()),
            ])
        })
        .collect();
    object(&[("version", VERSION.into()), ("wraps", wraps.into())])
}

/// Wraps of unknown kinds are passed over: a newer version may have added one beside ours.
fn read(record: &JsValue) -> Result<Vec<Wrap>, DataKeyError> {
    if get(record, "version").and_then(|version| version.as_f64()) != Some(f64::from(VERSION)) {
        return Err(DataKeyError::Record);
    }
    let wraps: Array = get(record, "wraps")
        .and_then(|wraps| wraps.dyn_into().ok())
        .ok_or(DataKeyError::Record)?;
    let known = wraps.iter().filter(|wrap| {
        get(wrap, "kind")
            .and_then(|kind| kind.as_string())
            .as_deref()
            == Some(BROWSER)
    });
    known
        .map(|wrap| read_browser(&wrap).ok_or(DataKeyError::Record))
        .collect()
}

fn read_browser(wrap: &JsValue) -> Option<Wrap> {
    let bytes = |name| Some(get(wrap, name)?.dyn_into::<Uint8Array>().ok()?.to_vec());
    Some(Wrap::Browser {
        key: AesKey::from_stored(get(wrap, "key")?)?,
        iv: bytes("iv")?.try_into().ok()?,
        sealed: bytes("sealed")?.try_into().ok()?,
    })
}

fn get(object: &JsValue, name: &str) -> Option<JsValue> {
    Reflect::get(object, &JsValue::from_str(name)).ok()
}

fn object(fields: &[(&str, JsValue)]) -> JsValue {
    let object = Object::new();
    for (name, value) in fields {
        // Setting a property of a fresh plain object cannot fail.
        let _ = Reflect::set(&object, &JsValue::from_str(name), value);
    }
    object.into()
}

#[cfg(all(test, target_arch = "wasm32"))]
mod tests {
    use super::*;
    use crate::platform::rng;
    use crate::store::{Disk, Head};
    use wasm_bindgen_test::wasm_bindgen_test;

    #[wasm_bindgen_test]
    async fn a_stored_record_opens_to_the_same_key() {
        let name = "test-data-key";
        Disk::delete(name).await.unwrap();
        let (key, record) = create(&mut rng()).await.unwrap();
        {
            let disk = Disk::open(name).await.unwrap();
            let fence = disk.take_over().await.unwrap();
            disk.set_head(fence, Head::DataKey, &record).await.unwrap();
        }
        let disk = Disk::open(name).await.unwrap();
        let stored = disk.head(Head::DataKey).await.unwrap().unwrap();
        assert_eq!(open(&stored).await.unwrap(), key);
    }

    #[wasm_bindgen_test]
    async fn a_changed_wrap_is_refused() {
        let (_, record) = create(&mut rng()).await.unwrap();
        let Some(Wrap::Browser {
            key,
            iv,
            mut sealed,
        }) = read(&record).unwrap().pop()
        else {
            panic!("one wrap");
        };
        sealed[7] ^= 1;
        let refused = Wrap::Browser { key, iv, sealed }.open().await.unwrap_err();
        assert_eq!(refused, WebCryptoError::Authentication.into());
    }

    #[wasm_bindgen_test]
    async fn other_versions_are_refused_and_other_kinds_passed_over() {
        let (_, record) = create(&mut rng()).await.unwrap();
        Reflect::set(&record, &"version".into(), &2.into()).unwrap();
        assert_eq!(open(&record).await.unwrap_err(), DataKeyError::Record);
        let unknown = object(&[("kind", "passphrase".into())]);
        let wraps: Array = [unknown].iter().collect();
        let record = object(&[("version", 1.into()), ("wraps", wraps.into())]);
        assert_eq!(open(&record).await.unwrap_err(), DataKeyError::NoWrap);
        assert_eq!(
            open(&JsValue::UNDEFINED).await.unwrap_err(),
            DataKeyError::Record
        );
    }
}
