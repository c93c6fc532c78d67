//! One HTTP request to a relay's URL, as far as `check` needs it: does it answer, and what time is it there?

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::ServerName;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::config::Config;

const PATIENCE: Duration = Duration::from_secs(8);
const MAX_ANSWER: u64 = 16 << 10;

/// It does not answer.
#[derive(Debug, Error)]
pub(super) enum ProbeError {
    #[error("the name {0} leads nowhere ({1})")]
    Name(String, std::io::Error),
    #[error("no connection to port {0} ({1})")]
    Connect(u16, std::io::Error),
    #[error("TLS fails ({0})")]
    Tls(std::io::Error),
    #[error("the connection breaks ({0})")]
    Broken(#[from] std::io::Error),
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Silent,
    #[error("what answers there is no relay (HTTP {0})")]
    Stranger(u16),
}

/// The relay's clock, if it says.
pub(super) async fn probe(
    url: &str,
    tls: &Arc<rustls::ClientConfig>,
) -> Result<Option<SystemTime>, ProbeError> {
    let asked = tokio::time::timeout(PATIENCE, ask(url, tls)).await;
    asked.unwrap_or(Err(ProbeError::Silent))
}

async fn ask(url: &str, tls: &Arc<rustls::ClientConfig>) -> Result<Option<SystemTime>, ProbeError> {
    let (host, port) = (Config::host_of(url), Config::port_of(url));
    let name = host.trim_matches(['[', ']']);
    let found = tokio::net::lookup_host((name, port)).await;
    let found: Vec<_> = found
        .map_err(|error| ProbeError::Name(name.to_owned(), error))?
        .collect();
    let stream = TcpStream::connect(&found[..]).await;
    let stream = stream.map_err(|error| ProbeError::Connect(port, error))?;
    if !url.starts_with("wss://") {
        return talk(stream, host).await;
    }
    let server = ServerName::try_from(name.to_owned())
        .map_err(|error| ProbeError::Tls(std::io::Error::other(error)))?;
    let secured = TlsConnector::from(Arc::clone(tls))
        .connect(server, stream)
        .await;
    talk(secured.map_err(ProbeError::Tls)?, host).await
}

async fn talk(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    host: &str,
) -> Result<Option<SystemTime>, ProbeError> {
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    let read = stream.take(MAX_ANSWER).read_to_end(&mut answer).await;
    if answer.is_empty() {
        read?;
    }
    let text = String::from_utf8_lossy(&answer);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    // 503 is a relay's way to say that it is not ready.
    match code.unwrap_or(0) {
        200 if body == "ok\n" => Ok(date(head)),
        503 => Ok(date(head)),
        code => Err(ProbeError::Stranger(code)),
    }
}

fn date(head: &str) -> Option<SystemTime> {
    let is_date = |line: &&str| {
        let name = line.get(..5);
        name.is_some_and(|name| name.eq_ignore_ascii_case("date:"))
    };
    let line = head.lines().find(is_date)?;
    httpdate::parse_http_date(line.get(5..)?.trim()).ok()
}
