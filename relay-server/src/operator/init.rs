//! `init`: a configuration that explains itself, and the relay's keys.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use thiserror::Error;
use zentalk_shared::id::NodeId;

use crate::config::{Config, ConfigError, Flags, TlsMode, reference};
use crate::daemon::{self, RunError};
use crate::files;

/// Where the relay listens behind a reverse proxy, unless said otherwise.
const BEHIND_PROXY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9001);

/// What the operator has chosen.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Init {
    /// Flags that `run` takes, too.
    #[command(flatten)]
    pub flags: Flags,
    /// Who runs it
    #[arg(long)]
    pub operator: Option<String>,
    /// Where it stands
    #[arg(long)]
    pub region: Option<String>,
    /// Get a certificate from Let's Encrypt
    #[arg(long, conflicts_with = "certificate")]
    pub acme: bool,
    /// Use this certificate (PEM)
    #[arg(long, requires = "key")]
    pub certificate: Option<PathBuf>,
    /// The certificate's key (PEM)
    #[arg(long, requires = "certificate")]
    pub key: Option<PathBuf>,
}

/// Nothing was set up.
#[derive(Debug, Error)]
pub enum InitError {
    /// Nothing is overwritten.
    #[error("{0} is there already; nothing was overwritten")]
    Exists(PathBuf),
    /// The one thing that cannot be guessed.
    #[error("--url is needed: how others reach this relay, for example wss://relay.example.org/v1")]
    NoUrl,
    /// What was chosen does not go together.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The file cannot be written.
    #[error("cannot write {path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No keys could be made.
    #[error(transparent)]
    Prepare(#[from] RunError),
}

/// Writes the configuration to `path` and makes keys, unless there are some. Yields which relay it is.
pub fn init(path: &Path, chosen: &Init) -> Result<(Config, NodeId), InitError> {
    if path.exists() {
        return Err(InitError::Exists(path.to_owned()));
    }
    let config = configuration(path, chosen)?;
    config.core()?;
    let prepared = daemon::prepare(&config)?;
    let written = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => std::fs::create_dir_all(parent),
        _ => Ok(()),
    };
    let text = reference::file(&config);
    written
        .and_then(|()| files::write_new(path, text.as_bytes()))
        .map_err(|source| InitError::File {
            path: path.to_owned(),
            source,
        })?;
    Ok((config, prepared.signer().node()))
}

fn configuration(path: &Path, chosen: &Init) -> Result<Config, InitError> {
    let flags = &chosen.flags;
    let url = flags.url.clone().ok_or(InitError::NoUrl)?;
    let tls = match (chosen.acme, &chosen.certificate) {
        (true, _) => TlsMode::Acme,
        (false, Some(_)) => TlsMode::Files,
        (false, None) => TlsMode::Off,
    };
    let data_dir = flags.data_dir.clone().unwrap_or_else(|| beside(path));
    let listen = flags.listen.unwrap_or(BEHIND_PROXY);
    let mut config = Config::new(listen, url, data_dir);
    config.tls.mode = tls;
    config.tls.certificate = chosen.certificate.clone().unwrap_or_default();
    config.tls.key = chosen.key.clone().unwrap_or_default();
    config.operator = chosen.operator.clone().unwrap_or_default();
    config.region = chosen.region.clone().unwrap_or_default();
    config.peers = flags.peers.clone();
    config.allow_private = flags.allow_private;
    if flags.listen.is_none() {
        config.listen = guess_listen(&config);
    }
    Ok(config)
}

/// The URL's own port on every address; on this machine only behind a proxy and in development.
fn guess_listen(config: &Config) -> SocketAddr {
    let secure = config.url.starts_with("wss://");
    let port = config.port();
    let host = config.host().trim_matches(['[', ']']).parse::<IpAddr>();
    match (config.tls.mode, host) {
        (TlsMode::Off, Ok(host)) if !secure => SocketAddr::new(host, port),
        (TlsMode::Off, _) if secure => BEHIND_PROXY,
        _ => SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port),
    }
}

fn beside(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.with_file_name("data")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(url: &str, tls: TlsMode) -> String {
        let mut config = Config::new(BEHIND_PROXY, url.to_owned(), PathBuf::new());
        config.tls.mode = tls;
        guess_listen(&config).to_string()
    }

    #[test]
    fn where_to_listen_follows_from_the_url() {
        let name = "wss://relay.example.org/v1";
        assert_eq!(listen(name, TlsMode::Acme), "[::]:443");
        let other = "wss://relay.example.org:8443/v1";
        assert_eq!(listen(other, TlsMode::Files), "[::]:8443");
        assert_eq!(listen(name, TlsMode::Off), "127.0.0.1:9001");
        let development = "ws://127.0.0.1:9003/v1";
        assert_eq!(listen(development, TlsMode::Off), "127.0.0.1:9003");
    }
}
