//! The whole of ZenTalk on this machine: relays as separate processes, and an API server that serves
//! the web app and the bootstrap list.
//!
//! ```text
//! build ─▶ configure (.zentalk/*/…toml) ─▶ start relays ─▶ start API server ─▶ supervise until Ctrl-C
//! ```

mod check;
mod network;
mod supervise;

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anstream::println;
use anyhow::{Context, Result, bail};

use crate::build::{self, Flavour};
use crate::setup::{disk, node};
use crate::util::process::Cmd;
use crate::util::ui::{self, Step};
use crate::util::workspace;
use network::{Network, Ports};
use supervise::Supervisor;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Forget every relay's identity and queue, and start anew.
    #[arg(long)]
    fresh: bool,
    /// How many relays; paths have three hops from three relays on.
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=50))]
    relays: u16,
    /// Port of the web app; relays take the ports after it.
    #[arg(long, default_value_t = 7600, value_name = "P", value_parser = clap::value_parser!(u16).range(1024..=65_000))]
    port: u16,
    /// Reload the web app in the browser whenever a file of `www` changes.
    #[arg(long, conflicts_with = "check")]
    dev: bool,
    /// Start on free ports, send a message between two headless browsers, report, and end.
    #[arg(long, conflicts_with_all = ["port", "fresh"])]
    check: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    disk::check()?;
    let folder = if args.check {
        workspace::path("target/xtask/up-check")
    } else {
        workspace::path(".zentalk")
    };
    let _lock = lock(&folder)?;
    if args.fresh || args.check {
        wipe(&folder)?;
    }
    let ports = if args.check {
        Ports::free(args.relays)?
    } else {
        Ports::from(args.port, args.relays, args.dev)?
    };
    build(args.dev)?;

    let network = Network::configure(&folder, &ports)?;
    let mut supervisor = Supervisor::new(&folder)?;
    let step = Step::start(format!("Starting {} relays", args.relays));
    network.start_relays(&mut supervisor)?;
    step.done();
    let step = Step::start("Starting the API server");
    network.start_api(&mut supervisor)?;
    step.done();

    if args.check {
        return check::run(&mut supervisor, &network);
    }
    let url = if args.dev {
        network.start_vite(&mut supervisor)?
    } else {
        network.app_url()
    };
    welcome(&url, &folder, args.relays);
    supervisor.run()
}

/// Native daemons, the wasm client, and the app unless Vite serves it from its sources.
fn build(is_dev: bool) -> Result<()> {
    daemons()?;
    build::wasm_client(Flavour::Development)?;
    // The API server wants an app to serve, though Vite's is the one that is looked at.
    if is_dev && workspace::path("www/dist/index.html").exists() {
        return node::packages(&workspace::path("www"));
    }
    build::web_app()
}

/// The example that plays people over relays and writes down what they send.
pub(crate) const TRAFFIC_RECORDER: &str = "interop_traffic";

/// Builds the relay and the API server, and what records traffic for the interop suite.
///
/// Cargo unites the features of what is built at once. This is what has those of `cargo test --workspace`, whose
/// dependencies are so not compiled a second time; the example brings the features of development dependencies.
pub(crate) fn daemons() -> Result<()> {
    let step = Step::start("Building the relay and the API server");
    Cmd::cargo()
        .args(["build", "--workspace", "--locked"])
        .args(["--bin", "zentalk-relay", "--bin", "zentalk-api"])
        .args(["--example", TRAFFIC_RECORDER])
        .run_in(&step)?;
    step.done();
    Ok(())
}

/// Where the daemons' executables lie once built.
pub(crate) fn daemon_folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR");
    target
        .map_or_else(|| workspace::path("target"), PathBuf::from)
        .join("debug")
}

/// Holds the folder for this process; two runs on one folder would share queues and keys.
fn lock(folder: &Path) -> Result<File> {
    fs::create_dir_all(folder)
        .with_context(|| format!("cannot make {}", workspace::shown(folder)))?;
    let file = File::create(folder.join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!(
            "another `cargo xtask up` is running on {}: end it with Ctrl-C first",
            workspace::shown(folder)
        ),
        Err(TryLockError::Error(error)) => Err(error).context("cannot lock the data folder"),
    }
}

/// Removes everything in the folder but the lock, which this process holds.
fn wipe(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let outcome = if path.is_dir() {
            fs::remove_dir_all(&path)
        } else if path.ends_with("lock") {
            Ok(())
        } else {
            fs::remove_file(&path)
        };
        outcome.with_context(|| format!("cannot remove {}", workspace::shown(&path)))?;
    }
    Ok(())
}

fn welcome(url: &str, folder: &Path, relays: u16) {
    ui::heading(&format!("ZenTalk is running: {url}"));
    println!("  A second person: open the same address in a private window or another browser;");
    println!("  each browser profile is an identity of its own.");
    println!(
        "  {relays} relays; logs and data are in {}.",
        workspace::shown(folder)
    );
    println!(
        "  Ctrl-C ends all of it; the next start keeps identities and queues (--fresh forgets them)."
    );
    println!();
}
