//! Who sees to the listener's certificate: files that are read again when they change, or an authority.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;

use super::acme::Acme;
use super::actor;
use super::certificate::{Certificate, Loaded, server_config};
use super::run::RunError;
use super::status::Notices;
use crate::config::{Config, TlsConfig, TlsMode};

/// Files are looked at this often.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// What notices are about.
const ABOUT: &str = "certificate";
/// A certificate from files is complained about when so little is left.
const SOON: zentalk_shared::time::Duration = zentalk_shared::time::Duration::from_days(7);

/// TLS of one listener.
pub(super) struct Tls {
    pub(super) server: Arc<ServerConfig>,
    pub(super) certificate: Arc<Certificate>,
    source: Source,
    notices: Notices,
}

enum Source {
    Files(Mutex<TlsConfig>),
    Authority(Acme),
}

impl Tls {
    /// What the configuration asks for; none with `tls.mode = "off"`.
    pub(super) fn start(config: &Config, notices: &Notices) -> Result<Option<Arc<Self>>, RunError> {
        let certificate = Arc::<Certificate>::default();
        let source = match config.tls.mode {
            TlsMode::Off => return Ok(None),
            TlsMode::Files => Source::Files(Mutex::new(config.tls.clone())),
            TlsMode::Acme => Source::Authority(Acme::new(config)?),
        };
        let tls = Self {
            server: server_config(&certificate)?,
            certificate,
            source,
            notices: notices.clone(),
        };
        match &tls.source {
            Source::Files(files) => {
                let files = files.lock().unwrap_or_else(PoisonError::into_inner);
                let loaded = Loaded::read(&files.certificate, &files.key)?;
                if !loaded.is_for(config.host()) {
                    let host = config.host();
                    tls.complain(format!(
                        "the certificate is not for {host}, which `url` names"
                    ));
                }
                tls.certificate.show(loaded);
            }
            Source::Authority(acme) => acme.show_stored(&tls.certificate),
        }
        Ok(Some(Arc::new(tls)))
    }

    /// Keeps the certificate fresh until the task is dropped.
    pub(super) async fn keep(self: Arc<Self>) {
        match &self.source {
            Source::Authority(acme) => acme.keep(&self.certificate, &self.notices).await,
            Source::Files(_) => loop {
                let seen = self.stamps();
                while self.stamps() == seen {
                    self.complain_of_age();
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                self.read_again();
            },
        }
    }

    /// SIGHUP: reads the files again, which may be others now.
    pub(super) fn change(&self, config: &TlsConfig) {
        if let Source::Files(files) = &self.source {
            *files.lock().unwrap_or_else(PoisonError::into_inner) = config.clone();
            self.read_again();
        }
    }

    /// A certificate that cannot be used does not take the place of one that can.
    fn read_again(&self) {
        let Source::Files(files) = &self.source else {
            return;
        };
        let files = files.lock().unwrap_or_else(PoisonError::into_inner);
        match Loaded::read(&files.certificate, &files.key) {
            Ok(loaded) => {
                self.certificate.show(loaded);
                self.notices.clear(ABOUT);
                tracing::info!("the certificate was read again");
            }
            Err(error) => {
                self.complain(format!("the certificate was not read again: {error}"));
            }
        }
    }

    fn complain(&self, notice: String) {
        tracing::warn!("{notice}");
        self.notices.set(ABOUT, notice);
    }

    fn complain_of_age(&self) {
        if let Some((_, until)) = self.certificate.validity()
            && until <= actor::now() + SOON
        {
            let days = until.since(actor::now()).as_ms() / 86_400_000;
            self.notices
                .set(ABOUT, format!("the certificate ends in {days} days"));
        }
    }

    fn stamps(&self) -> Option<[Stamp; 2]> {
        let Source::Files(files) = &self.source else {
            return None;
        };
        let files = files.lock().unwrap_or_else(PoisonError::into_inner);
        Some([stamp(&files.certificate), stamp(&files.key)])
    }
}

/// What tells that a file is another one.
type Stamp = Option<(SystemTime, u64)>;

fn stamp(path: &Path) -> Stamp {
    let file = std::fs::metadata(path).ok()?;
    Some((file.modified().ok()?, file.len()))
}
