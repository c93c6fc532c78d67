//! A certificate from an authority that speaks ACME (RFC 8555), for a name or an address (RFC 8738), proven by
//! TLS-ALPN-01 (RFC 8737) on the listener itself.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, HttpClient, Identifier,
    LetsEncrypt, NewAccount, NewOrder, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zentalk_shared::time::{Duration, Timestamp};

use super::actor;
use super::certificate::{Certificate, CertificateError, Loaded, provider, read_roots};
use super::dial::client_tls;
use super::status::Notices;
use crate::config::Config;
use crate::files;

/// What was got from the authority: account and certificate, each with what it is for.
const ACCOUNT: &str = "acme-account.json";
const CERTIFICATE: &str = "acme-certificate.json";
const MAX_FILE: u64 = 1 << 20;
/// Let's Encrypt gives certificates for addresses in this profile only.
const SHORT_LIVED: &str = "shortlived";
/// After a failure; doubles up to the second. Authorities limit failures by the hour.
const FIRST_PAUSE: Duration = Duration::from_mins(2);
const LONGEST_PAUSE: Duration = Duration::from_hours(6);
/// The clock may be set: the calendar is looked at again this often.
const LONGEST_SLEEP: Duration = Duration::from_hours(1);
/// What notices are about.
const ABOUT: &str = "certificate";

/// No certificate was got.
#[derive(Debug, Error)]
pub enum AcmeError {
    /// A file of the operator's or ours cannot be used.
    #[error("cannot use {path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// TLS is not available.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
    /// The authority refuses, or cannot be reached.
    #[error("the authority says: {0}")]
    Authority(#[from] instant_acme::Error),
    /// No way to prove anything.
    #[error("the authority does not offer tls-alpn-01 for {0}")]
    NoChallenge(String),
    /// The authority did not find the proof.
    #[error(
        "the authority did not get its proof: {0} must lead to this relay, and port 443 there to `listen`"
    )]
    NotProven(String),
    /// The proof could not be made.
    #[error("no certificate could be made as a proof: {0}")]
    Proof(#[from] rcgen::Error),
    /// What was got cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// Gets certificates and keeps them.
pub(super) struct Acme {
    directory: String,
    contact: Vec<String>,
    host: String,
    folder: PathBuf,
    roots: Vec<CertificateDer<'static>>,
}

/// What is stored, with what it is for: neither another authority's nor another host's is taken for it.
#[derive(Serialize, Deserialize)]
struct StoredAccount {
    directory: String,
    credentials: AccountCredentials,
}

#[derive(Serialize, Deserialize)]
struct StoredCertificate {
    directory: String,
    host: String,
    key: String,
    chain: String,
}

impl Acme {
    pub(super) fn new(config: &Config) -> Result<Self, AcmeError> {
        let tls = &config.tls;
        let directory = match (tls.acme_directory.as_str(), tls.acme_staging) {
            ("", true) => LetsEncrypt::Staging.url().to_owned(),
            ("", false) => LetsEncrypt::Production.url().to_owned(),
            (directory, _) => directory.to_owned(),
        };
        let contact = match tls.acme_contact.as_str() {
            "" => Vec::new(),
            mail if mail.contains(':') => vec![mail.to_owned()],
            mail => vec![format!("mailto:{mail}")],
        };
        Ok(Self {
            directory,
            contact,
            host: config.host().to_owned(),
            folder: config.data_dir.clone(),
            roots: read_roots(&tls.acme_root)?,
        })
    }

    /// Shows what was got before, if it is for this host and from this authority.
    pub(super) fn show_stored(&self, certificate: &Certificate) {
        let stored: Option<StoredCertificate> = self.read(CERTIFICATE);
        let fits = |stored: &StoredCertificate| {
            stored.host == self.host && stored.directory == self.directory
        };
        if let Some(Ok(loaded)) = stored.filter(fits).map(|stored| stored.load()) {
            certificate.show(loaded);
        }
    }

    /// Gets a certificate when there is none, and another one in time, for ever.
    pub(super) async fn keep(&self, certificate: &Certificate, notices: &Notices) {
        let mut failures = 0;
        let mut not_before = Timestamp::from_ms(0);
        loop {
            let due = certificate.validity().map_or(actor::now(), renew_at);
            let due = due.max(not_before);
            if due > actor::now() {
                sleep(due.since(actor::now()).min(LONGEST_SLEEP)).await;
                continue;
            }
            match self.order(certificate).await {
                Ok(loaded) => {
                    tracing::info!(host = self.host, "a new certificate is in use");
                    certificate.show(loaded);
                    notices.clear(ABOUT);
                    (failures, not_before) = (0, actor::now() + FIRST_PAUSE);
                }
                Err(error) => {
                    let pause = pause(failures);
                    failures += 1;
                    let minutes = pause.as_ms() / 60_000;
                    let notice = format!(
                        "no certificate for {}: {error}; the next attempt is in {minutes} minutes",
                        self.host
                    );
                    tracing::warn!("{notice}");
                    notices.set(ABOUT, notice);
                    not_before = actor::now() + pause;
                }
            }
            certificate.prove(None);
        }
    }

    async fn order(&self, certificate: &Certificate) -> Result<Loaded, AcmeError> {
        let account = self.account().await?;
        let address = self.host.trim_matches(['[', ']']).parse::<IpAddr>();
        let identifiers = [match address {
            Ok(address) => Identifier::Ip(address),
            Err(_) => Identifier::Dns(self.host.clone()),
        }];
        let mut wanted = NewOrder::new(&identifiers);
        let has_profile = account
            .profiles()
            .any(|profile| profile.name == SHORT_LIVED);
        if address.is_ok() && has_profile {
            wanted = wanted.profile(SHORT_LIVED);
        }
        let mut order = account.new_order(&wanted).await?;
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let mut challenge = authorization
                .challenge(ChallengeType::TlsAlpn01)
                .ok_or_else(|| AcmeError::NoChallenge(self.host.clone()))?;
            let digest = challenge.key_authorization().digest();
            certificate.prove(Some(Arc::new(self.proof(digest.as_ref())?)));
            challenge.set_ready().await?;
        }
        if order.poll_ready(&RetryPolicy::default()).await? != OrderStatus::Ready {
            return Err(AcmeError::NotProven(self.host.clone()));
        }
        let key = order.finalize().await?;
        let chain = order.poll_certificate(&RetryPolicy::default()).await?;
        let stored = StoredCertificate {
            directory: self.directory.clone(),
            host: self.host.clone(),
            key,
            chain,
        };
        let loaded = stored.load()?;
        self.write(CERTIFICATE, &stored)?;
        Ok(loaded)
    }

    /// The account of before, or a new one.
    async fn account(&self) -> Result<Account, AcmeError> {
        let builder = Account::builder_with_http(self.client()?);
        let stored: Option<StoredAccount> = self.read(ACCOUNT);
        if let Some(stored) = stored.filter(|stored| stored.directory == self.directory) {
            return Ok(builder.from_credentials(stored.credentials).await?);
        }
        let contact: Vec<&str> = self.contact.iter().map(String::as_str).collect();
        let new = NewAccount {
            contact: &contact,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let (account, credentials) = builder.create(&new, self.directory.clone(), None).await?;
        let directory = self.directory.clone();
        self.write(
            ACCOUNT,
            &StoredAccount {
                directory,
                credentials,
            },
        )?;
        Ok(account)
    }

    fn client(&self) -> Result<Box<dyn HttpClient>, AcmeError> {
        let tls = client_tls(self.roots.iter().cloned())?;
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(Arc::unwrap_or_clone(tls))
            .https_only()
            .enable_http1()
            .build();
        Ok(Box::new(
            Client::builder(TokioExecutor::new())
                .build::<_, instant_acme::BodyWrapper<axum::body::Bytes>>(connector),
        ))
    }

    /// The certificate that only the holder of the account's key could make (RFC 8737, section 3).
    fn proof(&self, digest: &[u8]) -> Result<CertifiedKey, AcmeError> {
        let host = self.host.trim_matches(['[', ']']).to_owned();
        let mut params = CertificateParams::new([host])?;
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
        let key = KeyPair::generate()?;
        let chain = vec![params.self_signed(&key)?.der().clone()];
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let key = provider().key_provider.load_private_key(key)?;
        // Not `from_der`: it refuses certificates with extensions such as this one's.
        Ok(CertifiedKey::new(chain, key))
    }

    /// A file of ours that cannot be read is as good as none: everything in it can be had again.
    fn read<T: for<'de> Deserialize<'de>>(&self, name: &str) -> Option<T> {
        let bytes = files::read_private(&self.folder.join(name), MAX_FILE).ok()??;
        serde_json::from_slice(&bytes).ok()
    }

    fn write(&self, name: &str, value: &impl Serialize) -> Result<(), AcmeError> {
        let path = self.folder.join(name);
        let bytes = serde_json::to_vec(value).map_err(io::Error::from);
        let written = bytes.and_then(|bytes| files::write_private(&path, &bytes));
        written.map_err(|source| AcmeError::File { path, source })
    }
}

impl StoredCertificate {
    fn load(&self) -> Result<Loaded, CertificateError> {
        let name = Path::new(CERTIFICATE);
        Loaded::parse((name, self.chain.as_bytes()), (name, self.key.as_bytes()))
    }
}

/// When a third of its life is left.
fn renew_at((from, until): (Timestamp, Timestamp)) -> Timestamp {
    until - Duration::from_ms(until.since(from).as_ms() / 3)
}

fn pause(failures: u32) -> Duration {
    let factor = 1u64.checked_shl(failures.min(16)).unwrap_or(u64::MAX);
    (FIRST_PAUSE * factor).min(LONGEST_PAUSE)
}

async fn sleep(duration: Duration) {
    tokio::time::sleep(std::time::Duration::from_millis(duration.as_ms())).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_when_a_third_is_left_and_failures_are_spaced() {
        let day = |n| Timestamp::from_secs(0) + Duration::from_days(n);
        assert_eq!(renew_at((day(10), day(100))), day(70));
        assert_eq!(pause(0), FIRST_PAUSE);
        assert_eq!(pause(1), FIRST_PAUSE * 2);
        assert_eq!(pause(u32::MAX), LONGEST_PAUSE);
    }
}
