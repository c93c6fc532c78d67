//! Python for docs/interop: an environment of its own in `target/`, with exactly what its lockfile says.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::apt;
use crate::util::process::{self, Cmd};
use crate::util::stamp::Stamp;
use crate::util::ui::Step;
use crate::util::workspace;

/// The oldest Python that docs/interop runs on, as (major, minor).
pub(crate) const OLDEST: (u32, u32) = (3, 10);

const PURPOSE: &str = "the second implementation in docs/interop";

/// The environment's interpreter, with the packages of `docs/interop/requirements.txt`.
pub(crate) fn ensure() -> Result<PathBuf> {
    let lock = workspace::path("docs/interop/requirements.txt");
    let text = fs::read_to_string(&lock)
        .with_context(|| format!("cannot read {}", workspace::shown(&lock)))?;
    let home = workspace::path("target/interop/venv");
    let python = home.join("bin/python");
    let stamp = Stamp::of_text(home.join(".xtask-requirements"), text);
    if stamp.is_current() && runs(&python) {
        return Ok(python);
    }
    interpreter()?;
    let step = Step::start("Installing the Python packages of docs/interop");
    Cmd::new("python3")
        .args(["-m", "venv", "--clear"])
        .arg(&home)
        .run_in(&step)?;
    Cmd::new(&python)
        .args(["-m", "pip", "install", "--disable-pip-version-check"])
        .args(["--no-deps", "--require-hashes", "--only-binary", ":all:"])
        .arg("--requirement")
        .arg(&lock)
        .run_in(&step)
        .context(
            "the packages of docs/interop/requirements.txt cannot be installed: pip must reach \
             the Python package index (or a mirror that PIP_INDEX_URL names), and the index must \
             have them for this system",
        )?;
    stamp.write()?;
    step.done();
    Ok(python)
}

/// Makes sure that `python3` is there, new enough and able to make environments.
fn interpreter() -> Result<()> {
    if process::find_program("python3").is_none() {
        apt::install(&["python3", "python3-venv"], PURPOSE)?;
    }
    let version = version()?;
    if parsed(&version).is_none_or(|version| version < OLDEST) {
        let (major, minor) = OLDEST;
        bail!(
            "{version} is too old: docs/interop needs Python {major}.{minor} or newer. \
             Install one as `python3`, then run this again"
        );
    }
    let can_make_environments = Cmd::new("python3").args(["-c", "import venv, ensurepip"]);
    if !can_make_environments.succeeds() {
        apt::install(&["python3-venv"], PURPOSE)?;
    }
    Ok(())
}

/// What `python3 --version` says.
pub(crate) fn version() -> Result<String> {
    Cmd::new("python3").arg("--version").capture()
}

/// `Python 3.11.7` → (3, 11).
pub(crate) fn parsed(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.strip_prefix("Python ")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// An environment breaks when the system's Python is replaced.
fn runs(python: &PathBuf) -> bool {
    Cmd::new(python)
        .args(["-c", "import blake3, cbor2, cryptography, kyber_py"])
        .succeeds()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(parsed("Python 3.11.7"), Some((3, 11)));
        assert_eq!(parsed("Python 3.14.0rc1"), Some((3, 14)));
        assert_eq!(parsed("3.11.7"), None);
        assert!(parsed("Python 3.9.2") < Some(OLDEST));
    }
}
