//! The few operations that belong to the browser's own cryptography: RSA, which it does ten times faster
//! than we could, and keys that scripts cannot read.

use js_sys::{ArrayBuffer, Object, Reflect, Uint8Array};
use thiserror::Error;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Crypto, CryptoKey, CryptoKeyPair, SubtleCrypto};
use zeroize::Zeroizing;

/// Length of the nonce of [`AesKey`].
pub const IV_LEN: usize = 12;

/// The browser refused an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WebCryptoError {
    /// There is no WebCrypto: an old browser, or a page that did not come over HTTPS.
    #[error("the browser offers no WebCrypto")]
    Missing,
    /// It is there and failed.
    #[error("WebCrypto failed")]
    Failed,
    /// What was to be opened does not authenticate.
    #[error("the wrapped bytes do not authenticate")]
    Authentication,
}

impl From<JsValue> for WebCryptoError {
    fn from(_: JsValue) -> Self {
        Self::Failed
    }
}

fn subtle() -> Result<SubtleCrypto, WebCryptoError> {
    let crypto = Reflect::get(&js_sys::global(), &"crypto".into())?;
    let crypto: Crypto = crypto.dyn_into().map_err(|_| WebCryptoError::Missing)?;
    let subtle = Reflect::get(&crypto, &"subtle".into())?;
    subtle.dyn_into().map_err(|_| WebCryptoError::Missing)
}

/// An AES-256-GCM key that no script can read, this one included. IndexedDB can store it.
#[derive(Clone, Debug)]
pub struct AesKey(CryptoKey);

impl AesKey {
    /// A fresh key.
    pub async fn generate() -> Result<Self, WebCryptoError> {
        let algorithm = object(&[("name", "AES-GCM".into()), ("length", 256.into())]);
        let key = subtle()?.generate_key_with_object(
            &algorithm,
            false,
            &usages(&["encrypt", "decrypt"]),
        )?;
        let key = JsFuture::from(key).await?;
        Ok(Self(key.dyn_into()?))
    }

    /// A key that was stored; `None` if the value is none, or one that can be read out.
    pub fn from_stored(value: JsValue) -> Option<Self> {
        let key: CryptoKey = value.dyn_into().ok()?;
        (!key.extractable()).then_some(Self(key))
    }

    /// The value to store.
    pub fn stored(&self) -> JsValue {
        self.0.clone().into()
    }

    /// Encrypts. An iv is used once.
    pub async fn seal(
        &self,
        iv: &[u8; IV_LEN],
        associated: &[u8],
        plain: &[u8],
    ) -> Result<Vec<u8>, WebCryptoError> {
        let plain = Uint8Array::from(plain);
        let sealed =
            subtle()?.encrypt_with_object_and_js_u8_array(&gcm(iv, associated), &self.0, &plain)?;
        let sealed = JsFuture::from(sealed).await;
        plain.fill(0, 0, plain.length());
        Ok(bytes(sealed?))
    }

    /// Decrypts what [`AesKey::seal`] made.
    pub async fn open(
        &self,
        iv: &[u8; IV_LEN],
        associated: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, WebCryptoError> {
        let sealed = Uint8Array::from(sealed);
        let plain = subtle()?.decrypt_with_object_and_js_u8_array(
            &gcm(iv, associated),
            &self.0,
            &sealed,
        )?;
        let plain = JsFuture::from(plain)
            .await
            .map_err(|_| WebCryptoError::Authentication)?;
        Ok(secret_bytes(plain))
    }
}

/// A fresh RSA-4096 key pair for RSA-PSS with SHA-256, e = 65537.
pub struct RsaKeyPair {
    /// Public half as SubjectPublicKeyInfo (DER).
    pub spki: Vec<u8>,
    /// Private half as PKCS#8 (DER). Goes into the sealed store and nowhere else.
    pub pkcs8: Zeroizing<Vec<u8>>,
    /// The private half again, for signing; cannot be read out.
    pub signer: RsaSigner,
}

/// A private RSA key that signs and cannot be read.
#[derive(Clone, Debug)]
pub struct RsaSigner(CryptoKey);

impl RsaKeyPair {
    /// Makes a key pair; about a second.
    pub async fn generate() -> Result<Self, WebCryptoError> {
        let subtle = subtle()?;
        let algorithm = rsa_pss();
        let _ = Reflect::set(&algorithm, &"modulusLength".into(), &4096.into());
        let exponent = Uint8Array::from([1, 0, 1].as_slice());
        let _ = Reflect::set(&algorithm, &"publicExponent".into(), &exponent);
        let pair =
            subtle.generate_key_with_object(&algorithm, true, &usages(&["sign", "verify"]))?;
        let pair: CryptoKeyPair = JsFuture::from(pair).await?.unchecked_into();
        let spki = subtle.export_key("spki", &pair.get_public_key())?;
        let spki = bytes(JsFuture::from(spki).await?);
        let pkcs8 = subtle.export_key("pkcs8", &pair.get_private_key())?;
        let pkcs8 = secret_bytes(JsFuture::from(pkcs8).await?);
        let signer = RsaSigner::import(&pkcs8).await?;
        Ok(Self {
            spki,
            pkcs8,
            signer,
        })
    }
}

impl RsaSigner {
    /// Takes a private key (PKCS#8, DER) for signing.
    pub async fn import(pkcs8: &[u8]) -> Result<Self, WebCryptoError> {
        let data = Uint8Array::from(pkcs8);
        let key = subtle()?.import_key_with_object(
            "pkcs8",
            &data,
            &rsa_pss(),
            false,
            &usages(&["sign"]),
        )?;
        let key = JsFuture::from(key).await;
        data.fill(0, 0, data.length());
        Ok(Self(key?.dyn_into()?))
    }

    /// RSA-PSS, SHA-256, salt of 32 bytes.
    pub async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, WebCryptoError> {
        let algorithm = object(&[("name", "RSA-PSS".into()), ("saltLength", 32.into())]);
        let message = Uint8Array::from(message);
        let signature =
            subtle()?.sign_with_object_and_js_u8_array(&algorithm, &self.0, &message)?;
        Ok(bytes(JsFuture::from(signature).await?))
    }
}

fn rsa_pss() -> Object {
    object(&[("name", "RSA-PSS".into()), ("hash", "SHA-256".into())])
}

fn gcm(iv: &[u8; IV_LEN], associated: &[u8]) -> Object {
    object(&[
        ("name", "AES-GCM".into()),
        ("iv", Uint8Array::from(iv.as_slice()).into()),
        ("additionalData", Uint8Array::from(associated).into()),
        ("tagLength", 128.into()),
    ])
}

fn object(fields: &[(&str, JsValue)]) -> Object {
    let object = Object::new();
    for (name, value) in fields {
        // Setting a property of a fresh plain object cannot fail.
        let _ = Reflect::set(&object, &JsValue::from_str(name), value);
    }
    object
}

fn usages(names: &[&str]) -> JsValue {
    let names: js_sys::Array = names.iter().map(|name| JsValue::from_str(name)).collect();
    names.into()
}

fn bytes(buffer: JsValue) -> Vec<u8> {
    Uint8Array::new(&buffer).to_vec()
}

/// Copies a secret in and wipes the buffer it came in.
fn secret_bytes(buffer: JsValue) -> Zeroizing<Vec<u8>> {
    let view = Uint8Array::new(buffer.unchecked_ref::<ArrayBuffer>());
    let secret = Zeroizing::new(view.to_vec());
    view.fill(0, 0, view.length());
    secret
}

#[cfg(all(test, target_arch = "wasm32"))]
mod tests {
    use super::*;
    use wasm_bindgen_test::wasm_bindgen_test;

    #[wasm_bindgen_test]
    async fn an_aes_key_opens_only_what_it_sealed_as_it_was_sealed() {
        let key = AesKey::generate().await.unwrap();
        let sealed = key.seal(&[1; 12], b"for", b"secret").await.unwrap();
        assert_eq!(
            key.open(&[1; 12], b"for", &sealed)
                .await
                .unwrap()
                .as_slice(),
            b"secret"
        );
        let other = AesKey::generate().await.unwrap();
        for (key, iv, associated) in [
            (&other, [1; 12], b"for".as_slice()),
            (&key, [2; 12], b"for"),
            (&key, [1; 12], b"fox"),
        ] {
            let refused = key.open(&iv, associated, &sealed).await.unwrap_err();
            assert_eq!(refused, WebCryptoError::Authentication);
        }
    }

    #[wasm_bindgen_test]
    async fn an_aes_key_cannot_be_exported() {
        let key = AesKey::generate().await.unwrap();
        let exported = subtle().unwrap().export_key("raw", &key.0).unwrap();
        assert!(JsFuture::from(exported).await.is_err());
    }

    #[wasm_bindgen_test]
    async fn a_signature_of_webcrypto_verifies_in_rust() {
        use zentalk_shared::crypto::rsa::{RsaPublic, RsaSignature};
        let pair = RsaKeyPair::generate().await.unwrap();
        // The engine frames what is signed: domain ‖ 0x00 ‖ message.
        let signature = pair.signer.sign(b"domain\0a message").await.unwrap();
        let public = RsaPublic::from_spki_der(&pair.spki).unwrap();
        let signature = RsaSignature::try_from(signature.as_slice()).unwrap();
        assert!(public.verify("domain", b"a message", &signature).is_ok());
        assert!(public.verify("domain", b"another", &signature).is_err());
        let again = RsaSigner::import(&pair.pkcs8).await.unwrap();
        assert_eq!(again.sign(b"x").await.unwrap().len(), 512);
        let exported = subtle().unwrap().export_key("pkcs8", &again.0).unwrap();
        assert!(JsFuture::from(exported).await.is_err(), "not extractable");
    }
}
