//! Room on the disk, asked for before a long build rather than found missing in the middle of it.

use anyhow::{Context, Result, bail};

use crate::util::workspace;

/// What a cold build of everything takes, with some to spare.
const NEEDED_COLD: u64 = 8 << 30;

/// What a build takes once its dependencies are compiled.
const NEEDED_WARM: u64 = 1 << 30;

/// Bytes that this user may still write where the repository lies.
pub(crate) fn free() -> Result<u64> {
    let stat = rustix::fs::statvfs(workspace::root()).context("cannot ask for free disk space")?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Fails with advice when a build would not fit.
pub(crate) fn check() -> Result<()> {
    let is_warm = workspace::path("target/wasm").exists();
    let needed = if is_warm { NEEDED_WARM } else { NEEDED_COLD };
    let free = free()?;
    if free < needed {
        bail!(
            "the disk that holds {} has {:.1} GiB free, and building needs about {} GiB: free some \
             space, or point CARGO_TARGET_DIR at another disk",
            workspace::root().display(),
            gib(free),
            needed >> 30
        );
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "shown to one decimal")]
pub(crate) fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}
