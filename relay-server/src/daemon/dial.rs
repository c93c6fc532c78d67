//! Connections to other relays: name, address, TCP, TLS, WebSocket, each within one deadline.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::http::Uri;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config};
use zentalk_shared::onion::address::is_public;

use super::certificate::{self, CertificateError};
use super::connection::{max_write_buffer, serve};
use super::events::{Event, Events};
use super::inbound::{Allowance, MAX_LONG_MESSAGE, MAX_MESSAGE, Metered};
use crate::config::TlsConfig;
use crate::core::{Dial, Remote};

/// From the name to the open WebSocket.
const DEADLINE: Duration = Duration::from_secs(10);
/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 4;
const BUFFER: usize = 16 << 10;
/// What TLS holds of what the peer does not read; without a bound of ours 64 KiB.
pub(super) const TLS_BUFFER: usize = 16 << 10;

type Socket = WebSocketStream<MaybeTlsStream<Metered<TcpStream>>>;

/// Makes connections for the core.
#[derive(Clone)]
pub(super) struct Dialer {
    pub(super) events: Events,
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

/// TLS with the web's certificate authorities, and others that the operator trusts.
pub(crate) fn client_tls(
    others: impl IntoIterator<Item = CertificateDer<'static>>,
) -> Result<Arc<rustls::ClientConfig>, rustls::Error> {
    let mut roots = webpki_roots::TLS_SERVER_ROOTS
        .iter()
        .cloned()
        .collect::<rustls::RootCertStore>();
    others.into_iter().try_for_each(|root| roots.add(root))?;
    let config = rustls::ClientConfig::builder_with_provider(certificate::provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// The same, with the authorities that the configuration names.
pub(crate) fn configured_tls(
    tls: &TlsConfig,
) -> Result<Arc<rustls::ClientConfig>, CertificateError> {
    let roots = certificate::read_roots(&tls.roots)?;
    client_tls(roots).map_err(|source| CertificateError::Unusable {
        path: tls.roots.clone(),
        source,
    })
}

impl Dialer {
    /// Connects and serves the connection, in a task of its own.
    pub(super) fn dial(&self, dial: Dial, url: String, runtime: &Handle) {
        let dialer = self.clone();
        runtime.spawn(async move {
            let allowance = Arc::<Allowance>::default();
            let connecting = dialer.connect(&url, Arc::clone(&allowance));
            let connected = timeout(DEADLINE, connecting).await;
            match connected.unwrap_or(Err(DialError::Deadline)) {
                Ok((socket, address)) => {
                    let remote = Remote::Dialed(dial, address);
                    let allowance = Some(allowance);
                    serve(socket, remote, allowance, dialer.events).await;
                }
                Err(error) => {
                    tracing::debug!(url, %error, "cannot connect to a relay");
                    // If the core is gone there is nobody to tell.
                    drop(dialer.events.send(Event::DialFailed(dial)).await);
                }
            }
        });
    }

    /// The open socket, and the address that the name has led to.
    async fn connect(
        &self,
        url: &str,
        allowance: Arc<Allowance>,
    ) -> Result<(Socket, SocketAddr), DialError> {
        let uri: Uri = url.parse().map_err(|_| DialError::Host)?;
        let host = uri.host().ok_or(DialError::Host)?;
        let secure = uri.scheme_str() == Some("wss");
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let name = host.trim_start_matches('[').trim_end_matches(']');
        let found = tokio::net::lookup_host((name, port)).await?;
        // What is checked is what is connected to: the name is not looked up again.
        let usable = self.usable(found);
        if usable.is_empty() {
            return Err(DialError::Address);
        }
        let stream = TcpStream::connect(&usable[..]).await?;
        stream.set_nodelay(true)?;
        let address = stream.peer_addr()?;
        let mut config = WebSocketConfig::default();
        config.read_buffer_size = BUFFER;
        config.write_buffer_size = BUFFER;
        config.max_write_buffer_size = max_write_buffer(BUFFER);
        config.max_message_size = Some(MAX_LONG_MESSAGE);
        config.max_frame_size = Some(MAX_MESSAGE);
        let stream = Metered::new(stream, allowance);
        let connector = Connector::Rustls(Arc::clone(&self.tls));
        let opened = client_async_tls_with_config(url, stream, Some(config), Some(connector)).await;
        let (mut socket, _) = opened.map_err(Box::new)?;
        if let MaybeTlsStream::Rustls(stream) = socket.get_mut() {
            stream.get_mut().1.set_buffer_limit(Some(TLS_BUFFER));
        }
        Ok((socket, address))
    }

    /// Of what a name leads to, the first few that may be connected to: a descriptor must not make this relay knock at
    /// its operator's own network.
    fn usable(&self, found: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
        found
            .filter(|address| self.allow_private || is_public(address.ip()))
            .take(MAX_ADDRESSES)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{SinkExt, StreamExt};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::frame::Frame;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

    use super::super::events::events;
    use super::*;

    fn dialer(allow_private: bool) -> Dialer {
        Dialer {
            events: events().0,
            allow_private,
            tls: client_tls([]).unwrap(),
        }
    }

    #[test]
    fn fault_20_of_a_names_addresses_only_those_of_the_open_internet_are_used() {
        let found = [
            "10.0.0.1:443",
            "1.1.1.1:443",
            "[::ffff:127.0.0.1]:443",
            "[fd00::1]:443",
        ];
        let found = || found.iter().map(|address| address.parse().unwrap());
        let public: Vec<SocketAddr> = vec!["1.1.1.1:443".parse().unwrap()];
        assert_eq!(dialer(false).usable(found()), public);
        assert_eq!(dialer(true).usable(found()).len(), 4);
        let many = (0..100).map(|n| SocketAddr::from(([1, 1, 1, n], 443)));
        assert_eq!(dialer(false).usable(many).len(), MAX_ADDRESSES);
    }

    #[tokio::test]
    async fn fault_20_what_a_name_leads_to_counts_and_not_the_name() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in ["localhost", "127.0.0.1", "[::ffff:127.0.0.1]"] {
            let refused = dialer(false)
                .connect(&format!("ws://{host}:{port}/v1"), Arc::default())
                .await;
            assert!(matches!(refused, Err(DialError::Address)), "{host}");
        }
        let mine = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let (_, first) = listener.accept().await.unwrap();
        assert_eq!(
            first,
            mine.local_addr().unwrap(),
            "nobody has knocked before"
        );
    }

    #[tokio::test]
    async fn fault_20_redirections_are_not_followed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let there = elsewhere.local_addr().unwrap();
        let redirect = async {
            let (mut socket, _) = listener.accept().await.unwrap();
            let _ = socket.read(&mut [0; 1024]).await.unwrap();
            let answer = format!(
                "HTTP/1.1 302 Found\r\nLocation: ws://{there}/v1\r\nContent-Length: 0\r\n\r\n"
            );
            socket.write_all(answer.as_bytes()).await.unwrap();
            socket
        };
        let url = format!("ws://127.0.0.1:{port}/v1");
        let dialer = dialer(true);
        let (dialed, _socket) = tokio::join!(dialer.connect(&url, Arc::default()), redirect);
        let Err(DialError::WebSocket(error)) = dialed else {
            panic!("a redirection is no relay");
        };
        assert!(matches!(*error, WsError::Http(answer) if answer.status() == 302));
    }

    /// A peer that answers the first message with one of a length, in fragments of at most another.
    async fn one_that_answers(length: usize, fragment: usize) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/v1", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (socket, _) = listener.accept().await.unwrap();
            let mut socket = tokio_tungstenite::accept_async(socket).await.unwrap();
            socket.next().await.unwrap().unwrap();
            let all = vec![7; length];
            let parts = all.chunks(fragment).enumerate();
            for (n, part) in parts {
                let kind = if n == 0 { Data::Binary } else { Data::Continue };
                let is_last = n + 1 == length.div_ceil(fragment);
                let frame = Frame::message(part.to_vec(), OpCode::Data(kind), is_last);
                // It may be hung up on meanwhile.
                if socket.send(Message::Frame(frame)).await.is_err() {
                    return;
                }
            }
            while let Some(Ok(_)) = socket.next().await {}
        });
        url
    }

    #[tokio::test]
    async fn a_long_message_is_taken_only_when_it_was_asked_for_and_in_fragments() {
        let longest = MAX_LONG_MESSAGE;
        let cases = [
            (MAX_MESSAGE, MAX_MESSAGE, false, true),
            (MAX_MESSAGE + 1, MAX_MESSAGE + 1, true, false),
            (longest, MAX_MESSAGE, false, false),
            (longest, MAX_MESSAGE, true, true),
            (longest, 1000, true, true),
            (longest, longest, true, false),
            (longest + 1, MAX_MESSAGE, true, false),
        ];
        for (length, fragment, asked, taken) in cases {
            let url = one_that_answers(length, fragment).await;
            let (events, mut received) = events();
            let dialer = Dialer {
                events,
                ..dialer(true)
            };
            dialer.dial(Dial(1), url, &Handle::current());
            let opened = received.recv().await;
            let Some(Event::Opened(conn, _, outbound)) = opened else {
                panic!("it opens")
            };
            if asked {
                outbound.expect_long_message();
            }
            assert!(outbound.send(vec![1]));
            match received.recv().await {
                Some(Event::Frame(from, frame, _)) => {
                    assert!(taken && from == conn && frame.len() == length, "{length}");
                }
                Some(Event::Closed(from)) => assert!(!taken && from == conn, "{length}"),
                _ => panic!("one or the other"),
            }
        }
    }
}
