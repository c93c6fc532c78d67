//! The relay daemon and what its operator needs beside it.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::sync::{mpsc, oneshot};
use zentalk_relay::config::{Config, Flags, LogConfig, LogFormat};
use zentalk_relay::operator::{self, Init, Verdict};
use zentalk_relay::{daemon, identity, log, open_files, store};

/// A ZenTalk relay: forwards onions and holds sealed mail.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Configuration file (TOML); every key may also be a variable, as ZENTALK_RELAY_LISTEN
    #[arg(long, global = true, env = "ZENTALK_RELAY_CONFIG")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a configuration that explains itself, and make the relay's keys
    Init(Box<Init>),
    /// Run the relay until SIGTERM; SIGHUP reads the configuration again
    Run(Run),
    /// Ask the relay that runs here how it is (0: it serves, 1: it does not)
    Status {
        /// For machines
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        flags: Flags,
    },
    /// Look at configuration, keys, disk, certificate, clock and network (0: it would run, 1: it would not)
    Check(Flags),
    /// Copy the relay's mail and keys to one file, while it runs
    Backup {
        /// The file to make; it holds the relay's keys
        to: PathBuf,
        #[command(flatten)]
        flags: Flags,
    },
    /// Put a backup into the data directory, where no relay runs
    Restore {
        /// The backup
        from: PathBuf,
        /// Set aside the database that is there
        #[arg(long)]
        replace: bool,
        #[command(flatten)]
        flags: Flags,
    },
    /// Print this relay's NodeId, making its keys if there are none
    NodeId(Flags),
}

#[derive(Debug, clap::Args)]
struct Run {
    #[command(flatten)]
    flags: Flags,
    /// Log for people or for machines
    #[arg(long)]
    log_format: Option<LogFormat>,
    /// Stop when standard input closes
    #[arg(long)]
    exit_with_parent: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match start(args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("zentalk-relay: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start(args: Args) -> anyhow::Result<ExitCode> {
    let file = args.config.as_deref();
    match args.command {
        Command::Init(chosen) => init(file, &chosen),
        Command::Run(options) => run(file, &options),
        Command::Status { json, flags } => status(&Config::load(file, &flags)?, json),
        Command::Check(flags) => check(&Config::load(file, &flags)?),
        Command::Backup { to, flags } => {
            let config = Config::load(file, &flags)?;
            let made = store::backup(&config.data_dir, &identity::KEY_FILES, &to)?;
            println!("{}: {}", to.display(), contents(made));
            println!("it holds this relay's keys: whoever has it can be this relay");
            Ok(ExitCode::SUCCESS)
        }
        Command::Restore {
            from,
            replace,
            flags,
        } => restore(&Config::load(file, &flags)?, &from, replace),
        Command::NodeId(flags) => {
            let config = Config::load(file, &flags)?;
            log::start(&config.log);
            config.core()?;
            println!("{}", daemon::prepare(&config)?.signer().node());
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn init(file: Option<&Path>, chosen: &Init) -> anyhow::Result<ExitCode> {
    let path = file.unwrap_or(Path::new("relay.toml"));
    log::start(&LogConfig::default());
    let (config, node) = operator::init(path, chosen)?;
    let shown = path.display();
    println!("wrote {shown}");
    println!(
        "this relay is {node}; its keys are in {}",
        config.data_dir.display()
    );
    println!("next: zentalk-relay check --config {shown}");
    println!("then: zentalk-relay run --config {shown}");
    Ok(ExitCode::SUCCESS)
}

fn status(config: &Config, json: bool) -> anyhow::Result<ExitCode> {
    let status = operator::status(&config.data_dir)?;
    match json {
        true => println!("{}", serde_json::to_string(&status)?),
        false => print!("{}", operator::describe(&status)),
    }
    Ok(match status.ready {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn check(config: &Config) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let found = runtime.block_on(operator::check(config));
    for finding in &found {
        println!("{finding}");
    }
    Ok(
        match found
            .iter()
            .any(|finding| finding.verdict == Verdict::Wrong)
        {
            true => ExitCode::FAILURE,
            false => ExitCode::SUCCESS,
        },
    )
}

fn restore(config: &Config, from: &Path, replace: bool) -> anyhow::Result<ExitCode> {
    let lock = daemon::lock(&config.data_dir)?;
    let restored = store::restore(from, &config.data_dir, replace)?;
    drop(lock);
    println!("{}: {}", config.data_dir.display(), contents(restored));
    println!(
        "senders and owners bring what came after the backup by themselves, as far as other relays hold it"
    );
    Ok(ExitCode::SUCCESS)
}

fn contents(copy: store::Summary) -> String {
    let store::Summary {
        mailboxes,
        envelopes,
        records,
        bytes,
    } = copy;
    format!("{mailboxes} mailboxes, {envelopes} envelopes, {records} records; {bytes} bytes")
}

fn run(file: Option<&Path>, options: &Run) -> anyhow::Result<ExitCode> {
    let config = load(file, options)?;
    log::start(&config.log);
    // Before any key is made: what is wrong shows at once.
    config.core()?;
    let prepared = daemon::prepare(&config)?;
    let node = prepared.signer().node();
    open_files::allow(config.limits.connections);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let controls = daemon::Controls {
        stop: stop_signal(&runtime, options.exit_with_parent)?,
        reload: reload_signal(&runtime, file, options),
    };
    let url = config.url.clone();
    let ran = runtime.block_on(daemon::run(&config, prepared, controls, || {
        tell_manager(&[Told::Ready]);
        let mut stdout = std::io::stdout().lock();
        // Whoever started this may not read it.
        let _ = writeln!(stdout, "ready node={node} url={url}").and_then(|()| stdout.flush());
        tracing::info!(%node, url, "ready");
    }));
    runtime.shutdown_background();
    ran?;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

fn load(file: Option<&Path>, options: &Run) -> anyhow::Result<Config> {
    let mut config = Config::load(file, &options.flags)?;
    if let Some(format) = options.log_format {
        config.log.format = format;
    }
    Ok(config)
}

/// Resolves on Ctrl-C, SIGTERM, or the end of standard input if that is asked for. A second signal ends the
/// process at once: what was acknowledged is on the disk.
fn stop_signal(
    runtime: &tokio::runtime::Runtime,
    with_parent: bool,
) -> std::io::Result<daemon::Stop> {
    let (stop, stopped) = oneshot::channel();
    let parent_gone = match with_parent {
        true => Some(watch_stdin()?),
        false => None,
    };
    let mut signals = {
        let _guard = runtime.enter();
        StopSignals::listen()?
    };
    runtime.spawn(async move {
        tokio::select! {
            () = signals.next() => tracing::info!("stopping"),
            () = gone(parent_gone) => tracing::info!("stopping, as the parent has gone"),
        }
        tell_manager(&[Told::Stopping]);
        // The relay may have ended by itself.
        let _ = stop.send(());
        signals.next().await;
        tracing::warn!("told to stop a second time: ending at once");
        std::process::exit(1);
    });
    Ok(stopped)
}

/// Resolves when whoever started this process has closed its standard input.
fn watch_stdin() -> std::io::Result<oneshot::Receiver<()>> {
    let (parent, parent_gone) = oneshot::channel();
    std::thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(move || {
            let mut sink = [0; 256];
            while std::io::stdin().read(&mut sink).is_ok_and(|read| read > 0) {}
            drop(parent);
        })?;
    Ok(parent_gone)
}

async fn gone(parent: Option<oneshot::Receiver<()>>) {
    match parent {
        Some(parent) => drop(parent.await),
        None => std::future::pending().await,
    }
}

/// On SIGHUP the configuration is read again; one that cannot be used changes nothing.
fn reload_signal(
    runtime: &tokio::runtime::Runtime,
    file: Option<&Path>,
    options: &Run,
) -> mpsc::Receiver<Config> {
    let (configs, reload) = mpsc::channel(1);
    let (file, options) = (
        file.map(Path::to_owned),
        Run {
            flags: options.flags.clone(),
            ..*options
        },
    );
    runtime.spawn(async move {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let Ok(mut hangups) = signal(SignalKind::hangup()) else {
                return;
            };
            while hangups.recv().await.is_some() {
                tell_manager(&[Told::Reloading]);
                let read = load(file.as_deref(), &options)
                    .and_then(|config| config.core().map(|_| config).map_err(Into::into));
                match read {
                    Ok(config) => {
                        if configs.send(config).await.is_err() {
                            return;
                        }
                    }
                    Err(error) => tracing::error!("nothing was reloaded: {error}"),
                }
                tell_manager(&[Told::Ready]);
            }
        }
        #[cfg(not(unix))]
        {
            let _ = (file, options);
            configs.closed().await;
        }
    });
    reload
}

#[cfg(unix)]
struct StopSignals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl StopSignals {
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct StopSignals;

#[cfg(not(unix))]
impl StopSignals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        drop(tokio::signal::ctrl_c().await);
    }
}

/// What the service manager is told.
enum Told {
    Ready,
    Reloading,
    Stopping,
}

/// If this runs under systemd as `Type=notify-reload`; otherwise nobody listens.
#[cfg(unix)]
fn tell_manager(all: &[Told]) {
    use sd_notify::NotifyState;
    for told in all {
        let states = match told {
            Told::Ready => vec![NotifyState::Ready],
            Told::Stopping => vec![NotifyState::Stopping],
            Told::Reloading => match NotifyState::monotonic_usec_now() {
                Ok(now) => vec![NotifyState::Reloading, now],
                Err(_) => vec![NotifyState::Reloading],
            },
        };
        // A manager that does not listen is told nothing.
        let _ = sd_notify::notify(false, &states);
    }
}

#[cfg(not(unix))]
fn tell_manager(_: &[Told]) {}
