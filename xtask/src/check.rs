//! The quick loop: formatting, clippy with warnings denied, tidy, unit tests.

use anyhow::Result;

use crate::setup::wasm_std::{self, Compiler};
use crate::tidy;
use crate::util::process::Cmd;
use crate::util::ui::{self, Step};
use crate::util::workspace;

/// Cargo workspaces beside the main one.
const OTHER_WORKSPACES: [&str; 3] = [
    "bench/Cargo.toml",
    "fuzz/Cargo.toml",
    "xtask/bindgen/Cargo.toml",
];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Leave the unit tests out.
    #[arg(long)]
    no_tests: bool,
    /// Format the sources first, instead of complaining.
    #[arg(long)]
    fix: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    format(args.fix)?;
    tidy::run()?;
    clippy()?;
    if !args.no_tests {
        let step = Step::start("unit tests");
        Cmd::cargo()
            .args(["test", "--workspace", "--lib", "--bins", "--quiet"])
            .run_in(&step)?;
        step.done();
    }
    Ok(())
}

fn format(fix: bool) -> Result<()> {
    let step = Step::start("formatting");
    let mut commands = vec![Cmd::cargo().args(["fmt", "--all"])];
    for manifest in OTHER_WORKSPACES {
        if workspace::path(manifest).exists() {
            commands.push(Cmd::cargo().args(["fmt", "--manifest-path", manifest]));
        }
    }
    for command in commands {
        let command = if fix { command } else { command.arg("--check") };
        command.run_in(&step)?;
    }
    step.done();
    Ok(())
}

fn clippy() -> Result<()> {
    let step = Step::start("clippy");
    Cmd::cargo()
        .args(["clippy", "--workspace", "--all-targets", "--quiet"])
        .args(["--", "--deny", "warnings"])
        .run_in(&step)?;
    step.done();

    // What only exists in a browser is seen only when compiled for one. Debian's compiler has no
    // clippy of its own, so this part is for those who have the target from rustup.
    if wasm_std::find() != Some(Compiler::Default) {
        ui::note("clippy for wasm32 is left out: it needs the target from rustup");
        return Ok(());
    }
    let step = Step::start("clippy for wasm32");
    Cmd::cargo()
        .args([
            "clippy",
            "--package",
            crate::build::WASM_PACKAGE,
            "--all-targets",
        ])
        .args(["--quiet", "--target", wasm_std::TARGET])
        .args(["--target-dir", crate::build::WASM_TARGET_DIR])
        .args(["--", "--deny", "warnings"])
        .run_in(&step)?;
    step.done();
    Ok(())
}
