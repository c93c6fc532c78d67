//! The wasm tool in `xtask/bindgen`: built once, from its own lockfile, and kept in `target/tools`.

use std::path::PathBuf;

use anyhow::Result;

use crate::util::process::Cmd;
use crate::util::stamp::Stamp;
use crate::util::ui::Step;
use crate::util::workspace;

/// The wasm tool's executable, built when it is absent or its sources changed.
pub(crate) fn ensure() -> Result<PathBuf> {
    let folder = workspace::path("xtask/bindgen");
    let program = workspace::path("target/tools/release/zentalk-bindgen");
    let stamp = Stamp::of_files("bindgen", std::slice::from_ref(&folder))?;
    if stamp.is_current() && program.exists() {
        return Ok(program);
    }
    let step = Step::start("Building the wasm-bindgen tool");
    Cmd::cargo()
        .args(["build", "--release", "--locked", "--target-dir"])
        .arg(workspace::path("target/tools"))
        .dir(&folder)
        .run_in(&step)?;
    // Stamped anew: an edit during the build must not pass for built.
    stamp.write()?;
    step.done();
    Ok(program)
}
