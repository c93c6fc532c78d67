//! From the configuration to a relay that serves, and back to silence.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout_at;
use zentalk_shared::onion::RelaySigner;
use zeroize::Zeroizing;

use super::acme::AcmeError;
use super::actor::{self, Actor};
use super::certificate::CertificateError;
use super::dial::{self, Dialer};
use super::events::{self, Event, Events};
use super::http::{self, Shared};
use super::listen::{self, Front};
use super::live::Live;
use super::metrics;
use super::status::{Notices, Reporter, control_socket};
use super::tls::Tls;
use crate::config::{Config, ConfigError, reference};
use crate::core::{Relay, RelaySecrets, StartError};
use crate::identity::{self, IdentityError};
use crate::store::{OpenError, SetAside, SharedOptions, StoreThreads};
use crate::{files, log, open_files};

/// From the order to stop to the end, whatever takes long: the core, the store, sockets. Who ends the process from
/// outside waits longer (`TimeoutStopSec` of the unit).
const STOP_DEADLINE: Duration = Duration::from_secs(25);
/// Gauges of the disk and the certificate are set this often.
const GAUGES_EVERY: Duration = Duration::from_secs(15);
/// Of that, sockets get so much to take what was queued for them, once the store is closed.
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
    /// The certificate is not usable.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// ACME is not usable.
    #[error(transparent)]
    Acme(#[from] AcmeError),
    /// The core did not end, most likely because the disk does not take what the store has to write.
    #[error("the store did not finish within {} s; nothing that was acknowledged is lost", STOP_DEADLINE.as_secs())]
    StoreHangs,
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

/// Makes or opens a data directory, for this process alone as long as what this yields lives.
pub fn lock(path: &Path) -> Result<File, RunError> {
    let failed = |source| RunError::DataDir {
        path: path.to_owned(),
        source,
    };
    files::private_directory(path).map_err(failed)?;
    let lock = path.join("lock");
    files::create_private(&lock).map_err(failed)?;
    let lock = File::options().write(true).open(lock).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(std::fs::TryLockError::WouldBlock) => Err(RunError::InUse(path.to_owned())),
        Err(std::fs::TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Makes or opens the data directory and the keys in it.
pub fn prepare(config: &Config) -> Result<Prepared, RunError> {
    let lock = lock(&config.data_dir)?;
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *seed).map_err(|error| io::Error::other(error.to_string()))?;
    let mut rng = ChaCha20Rng::from_seed(*seed);
    let signer = identity::load_or_create(&config.data_dir, &mut rng)?;
    Ok(Prepared {
        signer,
        rng,
        _lock: lock,
    })
}

/// What ends a relay from outside.
pub type Stop = oneshot::Receiver<()>;

/// How a relay is told what to do while it runs.
pub struct Controls {
    /// Ends it.
    pub stop: Stop,
    /// A configuration that was read again.
    pub reload: mpsc::Receiver<Config>,
}

/// Runs the relay until it is told to stop. `ready` is called once it serves.
pub async fn run(
    config: &Config,
    prepared: Prepared,
    controls: Controls,
    ready: impl FnOnce(),
) -> Result<(), RunError> {
    let recorder = PrometheusBuilder::new().install_recorder()?;
    metrics::describe();
    let notices = Notices::default();
    let sockets = Sockets::open(config).await?;
    let tls = Tls::start(config, &notices)?;
    let reporter = Arc::new(Reporter {
        node: prepared.signer.node().to_string(),
        url: config.url.clone(),
        data_dir: config.data_dir.clone(),
        started: Instant::now(),
        certificate: tls.as_ref().map(|tls| Arc::clone(&tls.certificate)),
        notices: notices.clone(),
    });
    let (events, core, store) = start_core(config, prepared, &notices)?;
    let running = Running {
        config: config.clone(),
        live: Arc::new(Live::new(config)),
        events,
        store,
        tls,
        reporter,
    };
    let serving = running.serve(sockets, recorder);
    let asked = running.until_told(controls, ready).await;
    drop(serving);
    end(asked, core).await
}

/// Where connections come in.
struct Sockets {
    front: TcpListener,
    collector: Option<TcpListener>,
}

impl Sockets {
    async fn open(config: &Config) -> Result<Self, RunError> {
        let bind = |address: SocketAddr| async move {
            let bound = TcpListener::bind(address).await;
            bound.map_err(|source| RunError::Listen { address, source })
        };
        Ok(Self {
            front: bind(config.listen).await?,
            collector: match config.metrics.listen {
                Some(address) => Some(bind(address).await?),
                None => None,
            },
        })
    }
}

/// The socket of the operator's commands; without it the relay runs all the same.
#[cfg(unix)]
fn control(data_dir: &Path) -> Option<tokio::net::UnixListener> {
    let path = control_socket(data_dir);
    // What is there was left by a relay that is gone: the directory is locked.
    let _ = std::fs::remove_file(&path);
    let bound = tokio::net::UnixListener::bind(&path);
    // The directory keeps others out; the socket does, too.
    let bound = bound.and_then(|listener| files::make_private(&path).map(|()| listener));
    bound
        .inspect_err(|error| {
            tracing::warn!(%error, "`zentalk-relay status` will not work: {} cannot be made", path.display());
        })
        .ok()
}

/// A relay at work.
struct Running {
    config: Config,
    live: Arc<Live>,
    events: Events,
    store: SharedOptions,
    tls: Option<Arc<Tls>>,
    reporter: Arc<Reporter>,
}

impl Running {
    /// Starts to serve; dropping what this yields ends that.
    fn serve(&self, sockets: Sockets, recorder: PrometheusHandle) -> JoinSet<()> {
        let shared = Shared {
            events: self.events.clone(),
            metrics: recorder,
            live: Arc::clone(&self.live),
            reporter: Arc::clone(&self.reporter),
        };
        let mut tasks = JoinSet::new();
        let front = Front {
            live: Arc::clone(&self.live),
            tls: self.tls.as_ref().map(|tls| Arc::clone(&tls.server)),
            router: http::public(shared.clone()),
        };
        tasks.spawn(front.serve_all(sockets.front));
        if let Some(tls) = &self.tls {
            tasks.spawn(Arc::clone(tls).keep());
        }
        if let Some(listener) = sockets.collector {
            let router = http::collector(shared.clone());
            tasks.spawn(listen::serve_collector(listener, router));
        }
        #[cfg(unix)]
        if let Some(listener) = control(&self.config.data_dir) {
            tasks.spawn(listen::serve_control(listener, http::control(shared)));
        }
        let reporter = Arc::clone(&self.reporter);
        tasks.spawn(async move {
            loop {
                reporter.set_gauges();
                tokio::time::sleep(GAUGES_EVERY).await;
            }
        });
        tasks
    }

    /// Works until it is told to stop, whatever it does then, or the core ends. Yields the way to the core.
    async fn until_told(mut self, controls: Controls, ready: impl FnOnce()) -> Events {
        tokio::select! {
            _ = controls.stop => {}
            () = self.work(controls.reload, ready) => {}
        }
        self.events
    }

    /// Works until the core ends.
    async fn work(&mut self, mut reload: mpsc::Receiver<Config>, ready: impl FnOnce()) {
        if !wait_until_ready(&self.events).await {
            return;
        }
        ready();
        loop {
            tokio::select! {
                () = self.events.closed() => return,
                Some(new) = reload.recv() => self.reload(&new).await,
            }
        }
    }

    /// Takes over what may change while the relay runs, and says what may not.
    async fn reload(&mut self, new: &Config) {
        let later: Vec<_> = reference::changed(&self.config, new)
            .into_iter()
            .filter(|key| !key.reloads)
            .map(|key| key.name)
            .collect();
        if !later.is_empty() {
            tracing::warn!("changed, but only at the next start: {}", later.join(", "));
        }
        let config = self.config.reloaded(new);
        let core = match config.core() {
            Ok(core) => core,
            Err(error) => {
                tracing::error!("nothing was reloaded: {error}");
                return;
            }
        };
        let now: Vec<_> = reference::changed(&self.config, &config)
            .into_iter()
            .map(|key| key.name)
            .collect();
        *self.store.lock().unwrap_or_else(PoisonError::into_inner) = config.store();
        self.live.change(&config);
        log::set_level(&config.log.level);
        open_files::allow(config.limits.connections);
        if let Some(tls) = &self.tls {
            tls.change(&config.tls);
        }
        // If the core is gone, the relay ends anyway.
        drop(self.events.send(Event::Configure(Box::new(core))).await);
        self.config = config;
        match now.is_empty() {
            true => tracing::info!("reloaded; no key has changed"),
            false => tracing::info!("reloaded: {}", now.join(", ")),
        }
    }
}

/// Resolves when the thread of the core has ended, with the store closed: whether it did not panic.
type CoreEnd = oneshot::Receiver<bool>;

/// Nobody is let in any more: tells the core to finish, and waits for it, for the store, and for sockets; for all of
/// them together no longer than [`STOP_DEADLINE`].
async fn end(events: Events, core: CoreEnd) -> Result<(), RunError> {
    let until = tokio::time::Instant::now() + STOP_DEADLINE;
    let ending = async {
        let asked = events.send(Event::Shutdown).await.is_ok();
        core.await.unwrap_or(false) && asked
    };
    let Ok(ended_well) = timeout_at(until, ending).await else {
        return Err(RunError::StoreHangs);
    };
    flush(&events, until).await;
    match ended_well {
        true => Ok(()),
        false => Err(RunError::CoreEnded),
    }
}

/// Starts the store and the thread that owns the core.
fn start_core(
    config: &Config,
    prepared: Prepared,
    notices: &Notices,
) -> Result<(Events, CoreEnd, SharedOptions), RunError> {
    let Prepared {
        signer,
        mut rng,
        _lock: lock,
    } = prepared;
    let core_config = config.core()?;
    let (answer, answers) = mpsc::unbounded_channel();
    let started = StoreThreads::start(&config.data_dir, config.store(), || {
        let answer = answer.clone();
        // After the core has ended nobody waits for answers.
        Box::new(move |ticket, reply| drop(answer.send((ticket, reply))))
    })?;
    if let Some(SetAside { why, path }) = started.set_aside {
        let notice = format!(
            "the database could not be used: {why}. It was set aside as {}, and an empty one took its place. \
             Mailboxes, waiting mail, prekeys and account records that were held here are lost unless a backup \
             is restored; the relay's identity has not changed",
            path.display()
        );
        tracing::error!("{notice}");
        notices.set("database", notice);
    }
    let options = started.store.options();
    let secrets = RelaySecrets { signer };
    let relay = Relay::new(
        core_config,
        secrets,
        started.restored,
        actor::now(),
        &mut rng,
    )?;
    let (events, incoming) = events::events();
    let dialer = Dialer {
        events: events.clone(),
        allow_private: config.allow_private,
        tls: dial::configured_tls(&config.tls)?,
    };
    let actor = Actor {
        relay,
        rng,
        store: started.store,
        events: incoming,
        answers,
        dialer,
    };
    let thread = actor::start(actor, Handle::current())?;
    Ok((events, when_it_ends(thread, lock), options))
}

/// The lock is kept until the core has ended.
fn when_it_ends<L: Send + 'static>(core: JoinHandle<()>, lock: L) -> CoreEnd {
    let (tell, ended) = oneshot::channel();
    std::thread::spawn(move || {
        let ended_well = core.join().is_ok();
        // The directory is free for another relay when this one has closed its store.
        drop(lock);
        // Nobody waits for it any longer than a while.
        let _ = tell.send(ended_well);
    });
    ended
}

/// True once the core says so; false if it ends before.
async fn wait_until_ready(events: &Events) -> bool {
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
async fn flush(events: &Events, until: tokio::time::Instant) {
    let until = until.min(tokio::time::Instant::now() + FLUSH_DEADLINE);
    while events.is_shared() && tokio::time::Instant::now() < until {
        tokio::time::sleep(READY_POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ConnId;
    use tokio::time::{Instant, sleep, timeout};

    /// What became of the end, and how many milliseconds it took.
    async fn timed(
        end: impl Future<Output = Result<(), RunError>>,
    ) -> (Result<(), RunError>, u128) {
        let began = Instant::now();
        (end.await, began.elapsed().as_millis())
    }

    /// A core that ends so many seconds after it was told to.
    fn core_that_takes(seconds: u64, mut told: mpsc::Receiver<Event>) -> CoreEnd {
        let (tell, ended) = oneshot::channel();
        tokio::spawn(async move {
            while !matches!(told.recv().await, Some(Event::Shutdown)) {}
            sleep(Duration::from_secs(seconds)).await;
            let _ = tell.send(true);
        });
        ended
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_waits_for_the_core_and_then_a_while_for_sockets() {
        let (events, told) = events::events();
        let (ended, took) = timed(end(events, core_that_takes(4, told))).await;
        assert!(ended.is_ok() && took == 4_000, "{ended:?} {took}");
        let (events, told) = events::events();
        let socket = events.clone();
        let (ended, took) = timed(end(events, core_that_takes(4, told))).await;
        assert!(ended.is_ok() && took == 7_000, "{ended:?} {took}");
        drop(socket);
    }

    #[tokio::test(start_paused = true)]
    async fn all_phases_of_the_end_share_one_deadline() {
        // The core took long, and sockets have what is left.
        let (events, told) = events::events();
        let socket = events.clone();
        let (ended, took) = timed(end(events, core_that_takes(24, told))).await;
        assert!(ended.is_ok() && took == 25_000, "{ended:?} {took}");
        drop(socket);
        // It does not end.
        let (events, told) = events::events();
        let (ended, took) = timed(end(events, core_that_takes(60, told))).await;
        assert!(matches!(ended, Err(RunError::StoreHangs)) && took == 25_000);
        // It does not even take the order: its queue has room after 20 s, and it then needs another 20.
        let (events, told) = events::events();
        let send = || events.send(Event::Closed(ConnId(1)));
        while timeout(Duration::from_millis(1), send()).await.is_ok() {}
        let (tell, core) = oneshot::channel();
        tokio::spawn(async move {
            sleep(Duration::from_secs(20)).await;
            let core = core_that_takes(20, told);
            let _ = tell.send(core.await.unwrap_or(false));
        });
        let (ended, took) = timed(end(events, core)).await;
        assert!(matches!(ended, Err(RunError::StoreHangs)) && took == 25_000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_core_that_is_gone_is_no_good_end() {
        let (events, told) = events::events();
        drop(told);
        let (tell, core) = oneshot::channel();
        let _ = tell.send(true);
        let (ended, took) = timed(end(events, core)).await;
        assert!(matches!(ended, Err(RunError::CoreEnded)) && took == 0);
        // It took the order, and panicked.
        let (events, _told) = events::events();
        let (tell, core) = oneshot::channel();
        let _ = tell.send(false);
        let (ended, _) = timed(end(events, core)).await;
        assert!(matches!(ended, Err(RunError::CoreEnded)));
    }

    #[test]
    fn the_unit_and_the_container_wait_for_longer_than_the_end_may_take() {
        let seconds = STOP_DEADLINE.as_secs();
        let unit = include_str!("../../deploy/zentalk-relay.service");
        let says = format!("at most {seconds} seconds");
        assert!(unit.contains(&says), "{says}");
        let container = include_str!("../../deploy/Containerfile");
        for (text, key) in [(unit, "TimeoutStopSec="), (container, "--stop-timeout ")] {
            let (_, rest) = text.split_once(key).expect(key);
            let wait = rest.split_whitespace().next().unwrap();
            assert!(wait.parse::<u64>().unwrap() >= seconds + 5, "{key}{wait}");
        }
    }
}
