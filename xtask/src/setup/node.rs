//! Node.js, npm, and the web app's packages.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::apt;
use crate::util::process::{self, Cmd};
use crate::util::stamp::Stamp;
use crate::util::ui::Step;
use crate::util::workspace;

/// The oldest Node.js that the web app's tools run on.
pub(crate) const OLDEST: u32 = 20;

/// Makes sure that `node` and `npm` are there and new enough.
pub(crate) fn ensure() -> Result<()> {
    if process::find_program("node").is_none() {
        apt::install(&["nodejs"], "building the web app")?;
    }
    let version = version()?;
    if major(&version).is_none_or(|major| major < OLDEST) {
        bail!(
            "Node.js {version} is too old: the web app's tools need {OLDEST} or newer. \
             Install one from https://nodejs.org (or with nvm, fnm or your package manager), \
             then run this again"
        );
    }
    if process::find_program("npm").is_none() {
        apt::install(&["npm"], "building the web app")?;
    }
    Ok(())
}

/// What `node --version` says.
pub(crate) fn version() -> Result<String> {
    Cmd::new("node").arg("--version").capture()
}

/// `v20.11.1` → 20.
pub(crate) fn major(version: &str) -> Option<u32> {
    version
        .trim_start_matches('v')
        .split('.')
        .next()?
        .parse()
        .ok()
}

/// Installs exactly what the folder's lockfile says, unless that is there already.
pub(crate) fn packages(folder: &Path) -> Result<()> {
    let lock = folder.join("package-lock.json");
    let text = fs::read_to_string(&lock)
        .with_context(|| format!("cannot read {}", workspace::shown(&lock)))?;
    let stamp = Stamp::of_text(folder.join("node_modules/.xtask-lock"), text);
    if stamp.is_current() {
        return Ok(());
    }
    ensure()?;
    let step = Step::start(format!(
        "Installing npm packages of {}",
        workspace::shown(folder)
    ));
    Cmd::new("npm")
        .args(["ci", "--no-audit", "--no-fund"])
        .dir(folder)
        .run_in(&step)?;
    stamp.write()?;
    step.done();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(major("v20.11.1"), Some(20));
        assert_eq!(major("18.0.0"), Some(18));
        assert_eq!(major("nightly"), None);
    }
}
