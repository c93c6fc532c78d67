//! Connections to other relays: name, address, TCP, TLS, WebSocket, each within one deadline.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::http::Uri;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message as WsMessage};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config};
use zentalk_shared::wire::{HEADER_LEN, Tag};

use super::actor::Event;
use super::connection::{Message, serve};
use crate::core::{Dial, Remote};

/// From the name to the open WebSocket.
const DEADLINE: Duration = Duration::from_secs(10);
const BUFFER: usize = 16 << 10;

/// Makes connections for the core.
#[derive(Clone)]
pub(super) struct Dialer {
    pub(super) events: mpsc::Sender<Event>,
    pub(super) allow_private: bool,
    pub(super) tls: Arc<rustls::ClientConfig>,
}

/// Why a connection was not made.
#[derive(Debug, Error)]
enum DialError {
    #[error("the URL has no host")]
    Host,
    #[error("the name leads to no address that a relay may have")]
    Address,
    #[error("it took longer than {} s", DEADLINE.as_secs())]
    Deadline,
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    WebSocket(#[from] Box<WsError>),
}

/// TLS with the web's certificate authorities.
pub(super) fn tls() -> Result<Arc<rustls::ClientConfig>, rustls::Error> {
    let roots = webpki_roots::TLS_SERVER_ROOTS
        .iter()
        .cloned()
        .collect::<rustls::RootCertStore>();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

impl Dialer {
    /// Connects and serves the connection, in a task of its own.
    pub(super) fn dial(&self, dial: Dial, url: String, runtime: &Handle) {
        let dialer = self.clone();
        runtime.spawn(async move {
            let connected = timeout(DEADLINE, dialer.connect(&url)).await;
            match connected.unwrap_or(Err(DialError::Deadline)) {
                Ok(socket) => {
                    let remote = Remote::Dialed(dial);
                    serve(socket, remote, dialer.events, read, write).await;
                }
                Err(error) => {
                    tracing::debug!(url, %error, "cannot connect to a relay");
                    // If the core is gone there is nobody to tell.
                    drop(dialer.events.send(Event::DialFailed(dial)).await);
                }
            }
        });
    }

    async fn connect(
        &self,
        url: &str,
    ) -> Result<WebSocketStream<MaybeTlsStream<TcpStream>>, DialError> {
        let uri: Uri = url.parse().map_err(|_| DialError::Host)?;
        let host = uri.host().ok_or(DialError::Host)?;
        let secure = uri.scheme_str() == Some("wss");
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let name = host.trim_start_matches('[').trim_end_matches(']');
        let found = tokio::net::lookup_host((name, port)).await?;
        let usable: Vec<SocketAddr> = found
            .filter(|address| self.may_connect(address.ip()))
            .collect();
        if usable.is_empty() {
            return Err(DialError::Address);
        }
        let stream = TcpStream::connect(&usable[..]).await?;
        stream.set_nodelay(true)?;
        let mut config = WebSocketConfig::default();
        config.read_buffer_size = BUFFER;
        config.write_buffer_size = BUFFER;
        config.max_message_size = Some(HEADER_LEN + Tag::Directory.max_payload());
        config.max_frame_size = config.max_message_size;
        let connector = Connector::Rustls(Arc::clone(&self.tls));
        let opened = client_async_tls_with_config(url, stream, Some(config), Some(connector)).await;
        let (socket, _) = opened.map_err(Box::new)?;
        Ok(socket)
    }

    /// A descriptor must not make this relay knock at its operator's own network.
    fn may_connect(&self, address: IpAddr) -> bool {
        self.allow_private || is_public(address.to_canonical())
    }
}

/// Whether an address is one of the open Internet.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            let shared = a == 100 && (64..128).contains(&b);
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_broadcast()
                || v4.is_documentation()
                || v4.is_unspecified()
                || v4.is_multicast()
                || shared
                || a == 0
                || a >= 240)
        }
        IpAddr::V6(v6) => {
            !(v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || v6.is_unique_local()
                || v6.is_unicast_link_local())
        }
    }
}

fn read(message: WsMessage) -> Message {
    match message {
        WsMessage::Binary(bytes) => Message::Binary(bytes.into()),
        WsMessage::Ping(_) | WsMessage::Pong(_) => Message::Control,
        _ => Message::End,
    }
}

fn write(frame: Vec<u8>) -> WsMessage {
    WsMessage::Binary(frame.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_20_addresses_of_the_own_network_are_not_dialed() {
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "192.168.1.1",
            "172.16.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "::1",
            "fd00::1",
            "fe80::1",
            "::ffff:10.0.0.1",
        ] {
            let address: IpAddr = private.parse().unwrap();
            assert!(!is_public(address.to_canonical()), "{private}");
        }
        for public in ["1.1.1.1", "100.128.0.1", "2606:4700::1111"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }
}
