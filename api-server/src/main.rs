//! The API server binary: reads the configuration, serves until it is told to stop.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tracing_subscriber::EnvFilter;
use zentalk_api::config::{Config, Flags, LogFormat};
use zentalk_api::serve::Server;

/// What `RUST_LOG` replaces.
const LOG_FILTER: &str = "info,hyper=warn,tungstenite=warn";

/// Serves the ZenTalk web app and the list of relays that it starts from.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// A TOML file with settings
    #[arg(long, value_name = "FILE", env = "ZENTALK_API_CONFIG")]
    config: Option<PathBuf>,
    /// Exit when stdin closes: with whoever started this
    #[arg(long, env = "ZENTALK_API_EXIT_WITH_PARENT")]
    exit_with_parent: bool,
    #[command(flatten)]
    flags: Flags,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("zentalk-api: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<()> {
    let config = Config::load(args.config.as_deref(), &args.flags)?;
    start_logs(config.log);
    // A library that has chosen already has chosen well enough.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the asynchronous runtime cannot start")?;
    runtime.block_on(serve(config, args.exit_with_parent))
}

async fn serve(config: Config, exit_with_parent: bool) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    let parent = parent_is_gone(exit_with_parent)?;
    let server = Server::bind(config).await?;
    let line = format!("ready url={}\n", server.url());
    let ready = move || {
        // Whoever does not read this line can ask /healthz.
        let mut stdout = std::io::stdout().lock();
        let _ = stdout
            .write_all(line.as_bytes())
            .and_then(|()| stdout.flush());
    };
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("stopping: asked to terminate"),
            _ = interrupt.recv() => tracing::info!("stopping: interrupted"),
            () = parent => tracing::info!("stopping: the parent process is gone"),
        }
    };
    server.run(ready, stop).await;
    Ok(())
}

/// Resolves when stdin closes, or never if that is not asked for.
fn parent_is_gone(wanted: bool) -> anyhow::Result<impl Future<Output = ()>> {
    let (gone, is_gone) = oneshot::channel::<()>();
    let watch = move || {
        // Closed or broken, it is over either way.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        drop(gone);
    };
    if wanted {
        // A thread of its own, which the end of the process does not wait for.
        std::thread::Builder::new()
            .name("stdin".into())
            .spawn(watch)
            .context("cannot watch stdin")?;
    }
    Ok(async move {
        match wanted {
            true => drop(is_gone.await),
            false => std::future::pending().await,
        }
    })
}

/// Logs go to stderr: stdout is for the line that says that the server is ready.
fn start_logs(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOG_FILTER));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => logs.init(),
        LogFormat::Json => logs.json().init(),
    }
}
