//! Developer commands of the workspace: `cargo xtask help`.
//!
//! ```text
//! cargo xtask up       relays, API server and web app, running on this machine
//! cargo xtask check    the quick loop: fmt, clippy, tidy, unit tests
//! cargo xtask test     everything, with whatever it needs installed first
//! ```
//! Each command is one module. `setup` knows how to get every tool that the others need; `util` knows
//! how to run programs and how to talk to the person at the terminal.

mod build;
mod check;
mod setup;
mod test;
mod tidy;
mod util;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use util::{process, ui};

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
/// Developer commands of ZenTalk.
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Quick loop before a commit: formatting, clippy with warnings denied, tidy, unit tests.
    Check(check::Args),
    /// Check the house rules of DESIGN §9 that no compiler knows.
    Tidy,
    /// Set up and run every test: Rust, wasm in Chromium, web app, end to end in Chromium.
    Test(test::Args),
    /// Build the wasm client and the web app.
    Build(build::Args),
    /// Run a program that ends when this process ends.
    #[command(hide = true)]
    Bound(process::BoundArgs),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Check(args) => check::run(&args),
        Command::Tidy => tidy::run(),
        Command::Test(args) => test::run(&args),
        Command::Build(args) => build::run(&args),
        Command::Bound(args) => process::run_bound(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            ui::error(&error);
            ExitCode::FAILURE
        }
    }
}
