//! Sockets that listen: who comes in, what a trusted proxy says first, TLS, each within its deadline.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::certificate::ACME_ALPN;
use super::dial::TLS_BUFFER;
use super::door::Place;
use super::http::{Visitor, serve_one};
use super::live::Live;
use super::{actor, proxy};

/// From the TCP connection to the end of what a proxy says and of the TLS handshake.
const GREETING_DEADLINE: Duration = Duration::from_secs(10);
/// Connections to a collector's or the operator's socket at a time.
const MAX_LOCAL: usize = 32;

/// The listener for everybody.
#[derive(Clone)]
pub(super) struct Front {
    pub(super) live: Arc<Live>,
    pub(super) tls: Option<Arc<ServerConfig>>,
    pub(super) router: Router,
}

impl Front {
    /// Serves connections until the task is dropped.
    pub(super) async fn serve_all(self, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, address)) => self.welcome(stream, address.ip()),
                Err(error) => wait_for_descriptors(&error).await,
            }
        }
    }

    /// Whoever comes when every place is taken is hung up on.
    fn welcome(&self, stream: TcpStream, address: IpAddr) {
        let proxied = self.live.proxy(address);
        let origin = match proxied {
            Some(_) => None,
            None => self.live.origins.of(address),
        };
        let Some(place) = self.live.door.enter(origin, actor::now()) else {
            return;
        };
        let visitor = Visitor {
            is_local: proxied.is_none() && address.to_canonical().is_loopback(),
            forwards: proxied == Some(false),
            place: Arc::new(place),
        };
        let front = self.clone();
        tokio::spawn(async move {
            // Without it frames wait for each other; with it failing the socket is broken anyway.
            let _ = stream.set_nodelay(true);
            front.greet(stream, visitor, proxied == Some(true)).await;
        });
    }

    async fn greet(self, mut stream: TcpStream, mut visitor: Visitor, has_header: bool) {
        let greeting = async {
            if has_header {
                visitor.place = Arc::new(self.behind_proxy(&mut stream).await?);
            }
            match self.tls.clone() {
                None => Some(Greeted::Plain(stream)),
                Some(tls) => accept_tls(tls, stream).await.map(Greeted::Tls),
            }
        };
        match timeout(GREETING_DEADLINE, greeting).await {
            Ok(Some(Greeted::Plain(stream))) => {
                serve_one(stream, Some(visitor), self.router).await;
            }
            Ok(Some(Greeted::Tls(stream))) => {
                serve_one(stream, Some(visitor), self.router).await;
            }
            Ok(None) | Err(_) => {}
        }
    }

    /// The place of whom the proxy speaks for.
    async fn behind_proxy(&self, stream: &mut TcpStream) -> Option<Place> {
        let said = proxy::read_header(stream).await;
        let client = said
            .inspect_err(|error| tracing::debug!(%error, "a trusted proxy is not understood"))
            .ok()?;
        let origin = client.and_then(|client| self.live.origins.of(client));
        self.live.door.enter(origin, actor::now())
    }
}

enum Greeted {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::server::TlsStream<TcpStream>>),
}

/// `None`: it came to nothing, or was an authority that has seen what it wanted.
async fn accept_tls(
    tls: Arc<ServerConfig>,
    stream: TcpStream,
) -> Option<Box<tokio_rustls::server::TlsStream<TcpStream>>> {
    let mut accepted = TlsAcceptor::from(tls).accept(stream).await.ok()?;
    accepted.get_mut().1.set_buffer_limit(Some(TLS_BUFFER));
    let is_proof = accepted.get_ref().1.alpn_protocol() == Some(ACME_ALPN);
    (!is_proof).then(|| Box::new(accepted))
}

/// Serves a collector until the task is dropped.
pub(super) async fn serve_collector(listener: TcpListener, router: Router) {
    let places = places();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => serve_local(stream, &router, &places),
            Err(error) => wait_for_descriptors(&error).await,
        }
    }
}

/// Serves the operator's commands until the task is dropped.
#[cfg(unix)]
pub(super) async fn serve_control(listener: tokio::net::UnixListener, router: Router) {
    let places = places();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => serve_local(stream, &router, &places),
            Err(error) => wait_for_descriptors(&error).await,
        }
    }
}

fn places() -> Arc<tokio::sync::Semaphore> {
    Arc::new(tokio::sync::Semaphore::new(MAX_LOCAL))
}

fn serve_local(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: &Router,
    places: &Arc<tokio::sync::Semaphore>,
) {
    let Ok(place) = Arc::clone(places).try_acquire_owned() else {
        return;
    };
    let router = router.clone();
    tokio::spawn(async move {
        serve_one(stream, None, router).await;
        drop(place);
    });
}

/// Out of descriptors, most likely: wait for some to come back.
async fn wait_for_descriptors(error: &std::io::Error) {
    tracing::warn!(%error, "cannot accept a connection");
    tokio::time::sleep(Duration::from_millis(100)).await;
}
