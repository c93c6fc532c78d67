//! The certificate that the listener shows: read from files or got from an authority, and replaced while it
//! is in use.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use thiserror::Error;
use zentalk_shared::time::Timestamp;

/// What an authority that checks a claim to a name asks for (RFC 8737).
pub(super) const ACME_ALPN: &[u8] = b"acme-tls/1";
const HTTP_ALPN: &[u8] = b"http/1.1";
/// Longest PEM file that is read.
const MAX_PEM: u64 = 1 << 20;

/// A certificate cannot be used; says what to change.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}{}", permission_hint(source))]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No certificate in it.
    #[error("{0} holds no certificate; it must be a PEM file with -----BEGIN CERTIFICATE-----{1}")]
    NoCertificate(PathBuf, &'static str),
    /// No key in it.
    #[error("{0} holds no private key; it must be a PEM file with -----BEGIN PRIVATE KEY-----{1}")]
    NoKey(PathBuf, &'static str),
    /// Two files that do not belong together.
    #[error("the key in {key} is not the one of the certificate in {certificate}")]
    Mismatch {
        /// One.
        certificate: PathBuf,
        /// The other.
        key: PathBuf,
    },
    /// TLS cannot use it.
    #[error("the certificate in {path} cannot be used: {source}")]
    Unusable {
        /// Where it is.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

fn permission_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "; the user that the relay runs as must be able to read it"
        }
        _ => "",
    }
}

const SWAPPED: &str = "; are `tls.certificate` and `tls.key` the wrong way round?";

/// A certificate with its key, ready to be shown.
#[derive(Clone, Debug)]
pub struct Loaded {
    key: Arc<CertifiedKey>,
    /// Valid from here.
    pub from: Timestamp,
    /// To here.
    pub until: Timestamp,
}

impl Loaded {
    /// Reads and checks two PEM files.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, CertificateError> {
        let read = |path: &Path| {
            read_bounded(path).map_err(|source| CertificateError::File {
                path: path.to_owned(),
                source,
            })
        };
        Self::parse((certificate, &read(certificate)?), (key, &read(key)?))
    }

    /// The same of bytes, with the names of the files that they are from.
    pub(super) fn parse(
        (certificate, chain): (&Path, &[u8]),
        (key, secret): (&Path, &[u8]),
    ) -> Result<Self, CertificateError> {
        let parsed: Vec<_> = CertificateDer::pem_slice_iter(chain)
            .filter_map(Result::ok)
            .collect();
        if parsed.is_empty() {
            let is_key = PrivateKeyDer::from_pem_slice(chain).is_ok();
            let hint = if is_key { SWAPPED } else { "" };
            return Err(CertificateError::NoCertificate(
                certificate.to_owned(),
                hint,
            ));
        }
        let Ok(secret) = PrivateKeyDer::from_pem_slice(secret) else {
            let is_certificate = CertificateDer::from_pem_slice(secret).is_ok();
            let hint = if is_certificate { SWAPPED } else { "" };
            return Err(CertificateError::NoKey(key.to_owned(), hint));
        };
        let certified = CertifiedKey::from_der(parsed, secret, &provider());
        let certified = certified.map_err(|source| match source {
            rustls::Error::InconsistentKeys(_) => CertificateError::Mismatch {
                certificate: certificate.to_owned(),
                key: key.to_owned(),
            },
            source => CertificateError::Unusable {
                path: certificate.to_owned(),
                source,
            },
        })?;
        let (from, until) = validity(&certified).ok_or_else(|| CertificateError::Unusable {
            path: certificate.to_owned(),
            source: rustls::Error::InvalidCertificate(rustls::CertificateError::BadEncoding),
        })?;
        Ok(Self {
            key: Arc::new(certified),
            from,
            until,
        })
    }

    /// Whether it is one of this host: a name, or an address.
    pub fn is_for(&self, host: &str) -> bool {
        let name = ServerName::try_from(host.trim_matches(['[', ']']));
        let parsed = self.key.end_entity_cert().map(ParsedCertificate::try_from);
        match (name, parsed) {
            (Ok(name), Ok(Ok(parsed))) => verify_server_name(&parsed, &name).is_ok(),
            _ => false,
        }
    }
}

/// The certificates of authorities in a PEM file; none where no file is named.
pub(crate) fn read_roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    if path.as_os_str().is_empty() {
        return Ok(Vec::new());
    }
    let bytes = read_bounded(path).map_err(|source| CertificateError::File {
        path: path.to_owned(),
        source,
    })?;
    let roots: Vec<_> = CertificateDer::pem_slice_iter(&bytes)
        .filter_map(Result::ok)
        .collect();
    match roots.is_empty() {
        true => Err(CertificateError::NoCertificate(path.to_owned(), "")),
        false => Ok(roots),
    }
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    use io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?
        .take(MAX_PEM)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn validity(key: &CertifiedKey) -> Option<(Timestamp, Timestamp)> {
    let (_, parsed) = x509_parser::parse_x509_certificate(key.end_entity_cert().ok()?).ok()?;
    let at = |time: x509_parser::time::ASN1Time| {
        Timestamp::from_secs(u64::try_from(time.timestamp()).unwrap_or(0))
    };
    let validity = parsed.validity();
    Some((at(validity.not_before), at(validity.not_after)))
}

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// What is shown now. Connections that are open keep what they were shown.
#[derive(Default)]
pub struct Certificate(RwLock<Shown>);

#[derive(Default)]
struct Shown {
    loaded: Option<Loaded>,
    /// Proves a claim to an authority that asks for [`ACME_ALPN`].
    proof: Option<Arc<CertifiedKey>>,
}

impl Certificate {
    /// Shows another one from now on.
    pub(super) fn show(&self, loaded: Loaded) {
        self.write().loaded = Some(loaded);
    }

    /// Shows a proof, or none any more.
    pub(super) fn prove(&self, proof: Option<Arc<CertifiedKey>>) {
        self.write().proof = proof;
    }

    /// Its first and last moment.
    pub fn validity(&self) -> Option<(Timestamp, Timestamp)> {
        let shown = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let loaded = shown.loaded.as_ref();
        loaded.map(|loaded| (loaded.from, loaded.until))
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Shown> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Certificate")
            .field(&self.validity())
            .finish()
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let asks = hello.alpn().into_iter().flatten();
        let shown = self.0.read().unwrap_or_else(PoisonError::into_inner);
        match asks.eq([ACME_ALPN]) {
            true => shown.proof.clone(),
            false => shown.loaded.as_ref().map(|loaded| Arc::clone(&loaded.key)),
        }
    }
}

/// TLS as the listener speaks it.
pub(super) fn server_config(
    certificate: &Arc<Certificate>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let resolver: Arc<Certificate> = Arc::clone(certificate);
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = vec![HTTP_ALPN.to_vec(), ACME_ALPN.to_vec()];
    // A client's visits must not be linkable by a ticket, and a resumed session saves it little.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn pair(directory: &Path, name: &str, host: &str) -> (PathBuf, PathBuf) {
        let made = rcgen::generate_simple_self_signed([host.to_owned()]).unwrap();
        let paths = (
            directory.join(format!("{name}.pem")),
            directory.join(format!("{name}.key")),
        );
        fs::write(&paths.0, made.cert.pem()).unwrap();
        fs::write(&paths.1, made.signing_key.serialize_pem()).unwrap();
        paths
    }

    #[test]
    fn a_pair_is_read_and_knows_its_host() {
        let directory = tempfile::tempdir().unwrap();
        let (certificate, key) = pair(directory.path(), "a", "relay.example.org");
        let loaded = Loaded::read(&certificate, &key).unwrap();
        assert!(loaded.is_for("relay.example.org") && !loaded.is_for("other.example.org"));
        assert!(loaded.from < loaded.until);
        let (certificate, key) = pair(directory.path(), "b", "127.0.0.1");
        let loaded = Loaded::read(&certificate, &key).unwrap();
        assert!(loaded.is_for("127.0.0.1") && !loaded.is_for("127.0.0.2"));
    }

    #[test]
    fn what_is_wrong_is_a_sentence() {
        let directory = tempfile::tempdir().unwrap();
        let (certificate, key) = pair(directory.path(), "a", "relay.example.org");
        let (_, other) = pair(directory.path(), "b", "relay.example.org");
        let text = directory.path().join("text");
        fs::write(&text, "hello\n").unwrap();
        let absent = directory.path().join("absent.pem");
        for (certificate, key, needle) in [
            (&absent, &key, "absent.pem"),
            (&text, &key, "holds no certificate"),
            (&certificate, &text, "holds no private key"),
            (&key, &certificate, "the wrong way round"),
            (&certificate, &certificate, "the wrong way round"),
            (&certificate, &other, "is not the one of the certificate"),
        ] {
            let error = Loaded::read(certificate, key).unwrap_err().to_string();
            assert!(error.contains(needle), "{needle}: {error}");
        }
    }
}
