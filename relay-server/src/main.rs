//! The relay daemon: reads its configuration, runs, and stops when it is told.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use tokio::sync::oneshot;
use zentalk_relay::config::{Config, Flags, LogFormat};
use zentalk_relay::{daemon, log, open_files};

/// A ZenTalk relay: forwards onions and holds sealed mail.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Configuration file (TOML); every key may also be a variable, as ZENTALK_RELAY_LISTEN
    #[arg(long, env = "ZENTALK_RELAY_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    flags: Flags,
    /// Log for people or for machines
    #[arg(long)]
    log_format: Option<LogFormat>,
    /// Print this relay's NodeId, making its keys if there are none, and exit
    #[arg(long)]
    node_id: bool,
    /// Stop when standard input closes
    #[arg(long)]
    exit_with_parent: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match start(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("zentalk-relay: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start(args: &Args) -> anyhow::Result<()> {
    let mut config = Config::load(args.config.as_deref(), &args.flags)?;
    if let Some(format) = args.log_format {
        config.log.format = format;
    }
    log::start(&config.log);
    // Before any key is made: what is wrong shows at once.
    config.core()?;
    let prepared = daemon::prepare(&config)?;
    let node = prepared.signer().node();
    if args.node_id {
        println!("{node}");
        return Ok(());
    }
    open_files::allow(config.limits.connections);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let stop = stop_signal(&runtime, args.exit_with_parent)?;
    let url = config.url.clone();
    let ran = runtime.block_on(daemon::run(&config, prepared, stop, || {
        let mut stdout = std::io::stdout().lock();
        // Whoever started this may not read it.
        let _ = writeln!(stdout, "ready node={node} url={url}").and_then(|()| stdout.flush());
        tracing::info!(%node, url, "ready");
    }));
    runtime.shutdown_background();
    ran?;
    tracing::info!("stopped");
    Ok(())
}

/// Resolves on Ctrl-C, SIGTERM, or the end of standard input if that is asked for.
fn stop_signal(
    runtime: &tokio::runtime::Runtime,
    with_parent: bool,
) -> std::io::Result<daemon::Stop> {
    let (stop, stopped) = oneshot::channel();
    let parent_gone = match with_parent {
        true => Some(watch_stdin()?),
        false => None,
    };
    runtime.spawn(async move {
        tokio::select! {
            () = terminated() => tracing::info!("stopping"),
            () = gone(parent_gone) => tracing::info!("stopping, as the parent has gone"),
        }
        // The relay may have ended by itself.
        let _ = stop.send(());
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

#[cfg(unix)]
async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut term) => tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = term.recv() => {}
        },
        Err(_) => drop(tokio::signal::ctrl_c().await),
    }
}

#[cfg(not(unix))]
async fn terminated() {
    drop(tokio::signal::ctrl_c().await);
}
