//! The server: one socket, HTTP/1.1 connections with bounds on all that a client could take, and an end
//! in order. TLS is the business of what stands in front.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::app::{self, App};
use crate::assets::{self, WwwError};
use crate::bootstrap::{Bootstrap, SocketVisitor, keep_all};
use crate::config::{Config, Limits};
use crate::headers::SecurityHeaders;
use crate::metrics::{Metrics, OpenConnection};

/// The server calls itself ready after this, even if not every relay has answered.
const SETTLES_WITHIN: Duration = Duration::from_secs(3);
/// What is under way when the server stops, or when a connection's time is up, may take this long.
const ENDS_WITHIN: Duration = Duration::from_secs(5);
/// Out of file descriptors: accepting again at once would only burn the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The server cannot begin.
#[derive(Debug, Error)]
pub enum StartError {
    /// The web app is not where the configuration says.
    #[error(transparent)]
    Www(#[from] WwwError),
    /// Somebody else has the port.
    #[error(
        "another program listens on {0}; stop it, or choose another port with --listen or `listen`"
    )]
    PortTaken(SocketAddr),
    /// The operating system refuses the address or the port.
    #[error("cannot listen on {0}; choose another address with --listen or `listen`")]
    Listen(SocketAddr, #[source] io::Error),
}

/// A server that has its socket and has not begun to accept.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
    config: Config,
    bootstrap: Bootstrap,
    metrics: Metrics,
}

/// What every connection gets.
#[derive(Clone)]
struct Connections {
    http: http1::Builder,
    router: Router,
    lifetime: Duration,
    stopping: watch::Receiver<bool>,
}

/// Held for as long as a connection lives.
struct Slot {
    _permit: OwnedSemaphorePermit,
    _counted: OpenConnection,
}

impl Server {
    /// Checks the app's directory and takes the port.
    pub async fn bind(config: Config) -> Result<Self, StartError> {
        let assets = assets::router(&config.www)?;
        let listener = listen(config.listen).await?;
        let address = listener
            .local_addr()
            .map_err(|error| StartError::Listen(config.listen, error))?;
        let (bootstrap, metrics) = (Bootstrap::new(&config.relays), Metrics::new());
        let app = App {
            bootstrap: bootstrap.clone(),
            metrics: metrics.clone(),
            headers: Arc::new(SecurityHeaders::new(config.development)),
        };
        Ok(Self {
            listener,
            address,
            router: app::router(app, assets, &config.limits),
            config,
            bootstrap,
            metrics,
        })
    }

    /// Where it listens, for a browser on the same machine.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Serves until `stop` resolves and what is then under way has ended, or had its time. Calls `ready`
    /// once: when every relay has been visited, or has had its time for that.
    pub async fn run(self, ready: impl FnOnce() + Send + 'static, stop: impl Future<Output = ()>) {
        let relays = &self.config.relays;
        let mut tasks = keep_all(relays, &self.bootstrap, &self.metrics, &SocketVisitor);
        let bootstrap = self.bootstrap.clone();
        tasks.spawn(async move {
            let _ = timeout(SETTLES_WITHIN, bootstrap.tried_all()).await;
            bootstrap.settle();
            ready();
        });
        accept(
            self.listener,
            self.router,
            &self.config.limits,
            &self.metrics,
            stop,
        )
        .await;
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => StartError::PortTaken(address),
        _ => StartError::Listen(address, error),
    })
}

/// Accepts connections until `stop`, then lets them end.
async fn accept(
    listener: TcpListener,
    router: Router,
    limits: &Limits,
    metrics: &Metrics,
    stop: impl Future<Output = ()>,
) {
    let (stopping, stopped) = watch::channel(false);
    let connections = Connections {
        http: http(limits),
        router,
        lifetime: Duration::from_secs(limits.connection_seconds),
        stopping: stopped,
    };
    let slots = Arc::new(Semaphore::new(limits.connections));
    let mut open = JoinSet::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let next = next_connection(&listener, &slots);
        let accepted = tokio::select! {
            accepted = next => accepted,
            () = stop.as_mut() => break,
        };
        while open.try_join_next().is_some() {}
        let Some((stream, permit)) = accepted else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let slot = Slot {
            _permit: permit,
            _counted: metrics.connection(),
        };
        open.spawn(connections.clone().serve(stream, slot));
    }
    drop(listener);
    stopping.send_replace(true);
    let all_ended = async { while open.join_next().await.is_some() {} };
    let _ = timeout(ENDS_WITHIN, all_ended).await;
}

/// The next connection, once there is room for it.
async fn next_connection(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    // Infallible: the semaphore is never closed.
    let permit = slots.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        // The peer's address is dropped here: nothing above ever sees it.
        Ok((stream, _)) => Some((stream, permit)),
        Err(error) => {
            tracing::warn!(kind = ?error.kind(), "a connection could not be accepted");
            None
        }
    }
}

fn http(limits: &Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(limits.header_seconds))
        .max_buf_size(limits.head_bytes)
        .max_header_size(limits.head_bytes);
    http
}

impl Connections {
    async fn serve(mut self, stream: TcpStream, slot: Slot) {
        // Small answers are not held back; if it cannot be set they merely are.
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(self.router);
        let connection = self.http.serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let has_ended = tokio::select! {
            // What goes wrong on a connection is the client's affair.
            _ = connection.as_mut() => true,
            () = stopped(&mut self.stopping) => false,
            () = sleep(self.lifetime) => false,
        };
        if !has_ended {
            connection.as_mut().graceful_shutdown();
            let _ = timeout(ENDS_WITHIN, connection).await;
        }
        drop(slot);
    }
}

async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // An error means that the server is gone, which is no different.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

#[cfg(test)]
mod tests;
