//! Making an identity: RSA in WebCrypto, the rest in the engine's code. Runs beside the loop, which
//! commits what comes out.

use zentalk_shared::client::store::Write;
use zentalk_shared::client::{NewAccount, NewAccountError};

use super::Notify;
use crate::api::{ApiError, CreatingStep, ErrorCode, ZenTalkEvent};
use crate::platform::{now, rng};
use crate::web_crypto::{RsaKeyPair, WebCryptoError};

/// How the making of an identity ended.
pub(super) struct Created {
    /// Which attempt; an attempt that was abandoned meanwhile is ignored.
    pub(super) attempt: u64,
    /// Rows of a new store.
    pub(super) rows: Result<Vec<Write>, ApiError>,
}

/// Makes every key and certificate of a new identity; 1–3 s.
pub(super) async fn create(name: String, notify: Notify) -> Result<Vec<Write>, ApiError> {
    let step = |step| notify.event(ZenTalkEvent::Creating { step });
    step(CreatingStep::AccountKey);
    let rsa = RsaKeyPair::generate().await?;
    step(CreatingStep::DeviceKeys);
    let account = NewAccount::begin(&rsa.spki, rsa.pkcs8, &name, now(), &mut rng())?;
    step(CreatingStep::Certificates);
    let signature = rsa.signer.sign(&account.to_sign()).await?;
    let account = account.certified(&signature, &mut rng())?;
    let signature = rsa.signer.sign(&account.to_sign()).await?;
    let rows = account.finish(&signature, &mut rng())?;
    step(CreatingStep::Saving);
    Ok(rows)
}

impl From<NewAccountError> for ApiError {
    fn from(error: NewAccountError) -> Self {
        match error {
            NewAccountError::Name => Self::name(),
            NewAccountError::Key | NewAccountError::Signature => Self::new(ErrorCode::Internal),
        }
    }
}

impl From<WebCryptoError> for ApiError {
    fn from(error: WebCryptoError) -> Self {
        match error {
            WebCryptoError::Missing => Self::with(
                ErrorCode::UnsupportedBrowser,
                "ZenTalk needs WebCrypto, which browsers offer over HTTPS only.",
            ),
            WebCryptoError::Failed | WebCryptoError::Authentication => Self::with(
                ErrorCode::UnsupportedBrowser,
                "The browser's cryptography failed. Another browser, or a newer version, may do.",
            ),
        }
    }
}
