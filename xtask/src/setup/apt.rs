//! Debian packages, with `sudo` where it is needed.

use std::path::Path;

use anyhow::{Result, bail};

use crate::util::process::{self, Cmd};
use crate::util::ui::Step;

/// True when dpkg has the package installed and configured.
pub(crate) fn is_installed(package: &str) -> bool {
    Cmd::new("dpkg-query")
        .args(["--show", "--showformat=${db:Status-Status}", package])
        .capture()
        .is_ok_and(|status| status == "installed")
}

/// Installs what is missing of `packages`; `purpose` completes "… is needed for".
pub(crate) fn install(packages: &[&str], purpose: &str) -> Result<()> {
    let missing: Vec<&str> = packages
        .iter()
        .copied()
        .filter(|package| !is_installed(package))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    if process::find_program("apt-get").is_none() {
        bail!(
            "{names} is needed for {purpose}, and this system has no apt-get: \
             install it with your package manager, then run this again"
        );
    }
    let step = Step::start(format!("Installing {names} for {purpose}"));
    // Package lists may be absent (a fresh container) or too old to name files that still exist.
    if !has_candidates(&missing) {
        privileged("apt-get", &["update", "-q"], &names)?.run_in(&step)?;
    }
    if !has_candidates(&missing) {
        bail!("{names} is needed for {purpose}, but no package source of this system has it");
    }
    let arguments: Vec<&str> = ["install", "-y", "-q", "--no-install-recommends"]
        .into_iter()
        .chain(missing.iter().copied())
        .collect();
    if privileged("apt-get", &arguments, &names)?
        .run_in(&step)
        .is_err()
    {
        privileged("apt-get", &["update", "-q"], &names)?.run_in(&step)?;
        privileged("apt-get", &arguments, &names)?.run_in(&step)?;
    }
    step.done();
    Ok(())
}

/// Reads the package lists anew and installs the newest of `packages`, which are installed already.
pub(crate) fn upgrade(packages: &[&str], purpose: &str) -> Result<()> {
    let names = packages.join(" ");
    let step = Step::start(format!("Looking for newer {names} for {purpose}"));
    privileged("apt-get", &["update", "-q"], &names)?.run_in(&step)?;
    let arguments = ["install", "-y", "-q", "--no-install-recommends"];
    let arguments = [&arguments[..], packages].concat();
    privileged("apt-get", &arguments, &names)?.run_in(&step)?;
    step.done();
    Ok(())
}

/// True when the package lists name a version of every package.
fn has_candidates(packages: &[&str]) -> bool {
    Cmd::new("apt-cache").arg("show").args(packages).succeeds()
}

/// A command that runs as root: directly, through sudo, or not at all, with a sentence that says
/// what to type. `what` names the thing it is for.
pub(crate) fn privileged(program: &str, arguments: &[&str], what: &str) -> Result<Cmd> {
    let command = if process::is_root() {
        Cmd::new(program)
    } else if process::find_program("sudo").is_some() {
        // No --non-interactive: sudo asks on the terminal itself.
        Cmd::new("sudo").args(["DEBIAN_FRONTEND=noninteractive", program])
    } else {
        bail!(
            "{what} must be installed by root, and there is no sudo here. As root, run\n    \
             {program} {}\nthen run this again",
            arguments.join(" ")
        );
    };
    Ok(command
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive"))
}

/// Copies files into a folder that may belong to root.
pub(crate) fn install_files(files: &[&Path], folder: &Path, what: &str, step: &Step) -> Result<()> {
    let folder_text = folder.to_string_lossy();
    privileged("mkdir", &["-p", &folder_text], what)?.run_in(step)?;
    let texts: Vec<_> = files.iter().map(|file| file.to_string_lossy()).collect();
    let mut arguments = vec!["-m", "644", "-t", &*folder_text];
    arguments.extend(texts.iter().map(|text| &**text));
    privileged("install", &arguments, what)?.run_in(step)
}
