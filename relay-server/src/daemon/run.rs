//! From the configuration to a relay that serves, and back to silence.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, PrometheusBuilder};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use zentalk_shared::onion::RelaySigner;
use zeroize::Zeroizing;

use super::actor::{self, Actor, EVENT_QUEUE, Event};
use super::dial::{self, Dialer};
use super::door::Door;
use super::http::{self, Shared};
use super::{metrics, origin};
use crate::config::{Config, ConfigError};
use crate::core::{Relay, RelaySecrets, StartError};
use crate::files;
use crate::identity::{self, IdentityError};
use crate::store::{OpenError, StoreThreads};

/// Sockets get this long to take what was queued for them.
const FLUSH_DEADLINE: Duration = Duration::from_secs(3);
/// Between two looks at whether the relay is ready.
const READY_POLL: Duration = Duration::from_millis(20);

/// Why the relay does not run. Each is a sentence for the operator.
#[derive(Debug, Error)]
pub enum RunError {
    /// The configuration is not usable.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data directory is not usable.
    #[error("cannot use the data directory {path}: {source}")]
    DataDir {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another relay uses the data directory.
    #[error("the data directory {0} is in use by another relay")]
    InUse(PathBuf),
    /// No identity.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// No store.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The core does not start.
    #[error(transparent)]
    Core(#[from] StartError),
    /// The address is taken or not ours.
    #[error("cannot listen on {address}: {source}{}", hint(source))]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// TLS is not available.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
    /// Metrics are not available.
    #[error(transparent)]
    Metrics(#[from] BuildError),
    /// The operating system gave no randomness or no thread.
    #[error("the operating system failed: {0}")]
    System(#[from] io::Error),
    /// The core ended by itself.
    #[error("the core has ended; the log says why")]
    CoreEnded,
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; another process uses that port, choose another `listen`",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need a privilege",
        io::ErrorKind::AddrNotAvailable => "; this machine does not have that address",
        _ => "",
    }
}

/// What has to hold before anything starts: a private directory that nobody else uses, and keys.
pub struct Prepared {
    signer: RelaySigner,
    rng: ChaCha20Rng,
    /// Held as long as the relay runs.
    _lock: File,
}

impl Prepared {
    /// Which relay this is.
    pub const fn signer(&self) -> &RelaySigner {
        &self.signer
    }
}

/// Makes or opens the data directory and the keys in it.
pub fn prepare(config: &Config) -> Result<Prepared, RunError> {
    let path = &config.data_dir;
    let failed = |source| RunError::DataDir {
        path: path.clone(),
        source,
    };
    files::private_directory(path).map_err(failed)?;
    let lock = path.join("lock");
    files::create_private(&lock).map_err(failed)?;
    let lock = File::options().write(true).open(lock).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => return Err(RunError::InUse(path.clone())),
        Err(std::fs::TryLockError::Error(source)) => return Err(failed(source)),
    }
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *seed).map_err(|error| io::Error::other(error.to_string()))?;
    let mut rng = ChaCha20Rng::from_seed(*seed);
    let signer = identity::load_or_create(path, &mut rng)?;
    Ok(Prepared {
        signer,
        rng,
        _lock: lock,
    })
}

/// What ends a relay from outside.
pub type Stop = oneshot::Receiver<()>;

/// Runs the relay until `stop`. `ready` is called once it serves.
pub async fn run(
    config: &Config,
    prepared: Prepared,
    stop: Stop,
    ready: impl FnOnce(),
) -> Result<(), RunError> {
    let recorder = PrometheusBuilder::new().install_recorder()?;
    metrics::describe();
    let address = config.listen;
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| RunError::Listen { address, source })?;
    let (events, core) = start_core(config, prepared)?;
    let shared = Shared {
        events: events.clone(),
        metrics: recorder,
        origins: Arc::new(origin::Origins::default()),
    };
    let limits = &config.limits;
    let door = Door::new(limits.connections, limits.connections_per_subnet);
    let serving = tokio::spawn(http::serve_all(listener, shared, door));
    if wait_until_ready(&events).await {
        ready();
        tokio::select! {
            _ = stop => {}
            () = events.closed() => {}
        }
    }
    serving.abort();
    let asked = events.send(Event::Shutdown).await.is_ok();
    let joined = tokio::task::spawn_blocking(move || core.join()).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    flush(&events).await;
    match asked && matches!(joined, Ok(Ok(()))) {
        true => Ok(()),
        false => Err(RunError::CoreEnded),
    }
}

/// Starts the store and the thread that owns the core.
fn start_core(
    config: &Config,
    prepared: Prepared,
) -> Result<(mpsc::Sender<Event>, JoinHandle<()>), RunError> {
    let Prepared {
        signer,
        mut rng,
        _lock: lock,
    } = prepared;
    let core_config = config.core()?;
    let (answer, answers) = mpsc::unbounded_channel();
    let (store, restored) = StoreThreads::start(&config.data_dir, config.store(), || {
        let answer = answer.clone();
        // After the core has ended nobody waits for answers.
        Box::new(move |ticket, reply| drop(answer.send((ticket, reply))))
    })?;
    let secrets = RelaySecrets { signer };
    let relay = Relay::new(core_config, secrets, restored, actor::now(), &mut rng)?;
    let (events, incoming) = mpsc::channel(EVENT_QUEUE);
    let dialer = Dialer {
        events: events.clone(),
        allow_private: config.allow_private,
        tls: dial::tls()?,
    };
    let actor = Actor {
        relay,
        rng,
        store,
        events: incoming,
        answers,
        dialer,
    };
    let thread = actor::start(actor, Handle::current())?;
    let thread = std::thread::spawn(move || {
        // The directory is free for another relay when this one has closed its store.
        drop((thread.join(), lock));
    });
    Ok((events, thread))
}

/// True once the core says so; false if it ends before.
async fn wait_until_ready(events: &mpsc::Sender<Event>) -> bool {
    loop {
        let (answer, answered) = oneshot::channel();
        if events.send(Event::Probe(answer)).await.is_err() {
            return false;
        }
        match answered.await {
            Ok(true) => return true,
            Ok(false) => tokio::time::sleep(READY_POLL).await,
            Err(_) => return false,
        }
    }
}

/// Connection tasks end when they have sent what was queued; their senders go with them.
async fn flush(events: &mpsc::Sender<Event>) {
    let started = tokio::time::Instant::now();
    while events.strong_count() > 1 && started.elapsed() < FLUSH_DEADLINE {
        tokio::time::sleep(READY_POLL).await;
    }
}
