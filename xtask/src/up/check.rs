//! `up --check`: proves a fresh build by sending one message from browser to browser.

use anyhow::{Result, bail};

use super::network::Network;
use super::supervise::Supervisor;
use crate::setup::browser;
use crate::util::process::Cmd;
use crate::util::ui;
use crate::util::workspace;

/// The script that drives the two browsers; it prints the message's states and its latency.
const SCRIPT: &str = "www/e2e/check.mjs";

/// Runs the script against the started network; an error means that the message did not arrive.
pub(super) fn run(supervisor: &mut Supervisor, network: &Network) -> Result<()> {
    let browser = browser::ensure()?;
    let command = Cmd::new("node")
        .arg(workspace::path(SCRIPT))
        .arg(network.app_url())
        .dir(workspace::path("www"))
        .env("CHROMIUM", &browser.chromium);
    let status = supervisor.run_beside("check", command)?;
    if !status.success() {
        bail!("the message did not get through; the lines above say how far it came");
    }
    ui::good("a message went from one browser to another");
    Ok(())
}
