//! Developer commands of the workspace: `cargo xtask help`.
//!
//! ```text
//! cargo xtask up       relays, API server and web app, running on this machine
//! cargo xtask check    the quick loop: fmt, clippy, tidy, unit tests
//! cargo xtask test     everything, with whatever it needs installed first
//! ```
//! Each command is one module. `setup` knows how to get every tool that the others need; `util` knows
//! how to run programs and how to talk to the person at the terminal.

mod bench;
mod build;
mod check;
mod doctor;
mod fuzz;
mod setup;
mod soak;
mod test;
mod tidy;
mod up;
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
    /// Run relays, an API server and the web app on this machine; Ctrl-C ends all of it.
    Up(up::Args),
    /// Quick loop before a commit: formatting, clippy with warnings denied, tidy, unit tests.
    Check(check::Args),
    /// Check the house rules of DESIGN §9 that no compiler knows.
    Tidy,
    /// Set up and run every test: Rust, wasm in Chromium, web app, end to end in Chromium.
    Test(test::Args),
    /// Build the wasm client and the web app.
    Build(build::Args),
    /// Say what this machine lacks, and what to do about it.
    Doctor,
    /// Measure: benchmarks of the crates, and the size of the wasm client.
    Bench(bench::Args),
    /// Search for inputs that break a decoder.
    Fuzz(fuzz::Args),
    /// All long runs: soak tests in release mode, then every fuzz target.
    Soak(soak::Args),
    /// Run a program that ends when this process ends.
    #[command(hide = true)]
    Bound(process::BoundArgs),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Up(args) => up::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Tidy => tidy::run(),
        Command::Test(args) => test::run(&args),
        Command::Build(args) => build::run(&args),
        Command::Doctor => doctor::run(),
        Command::Bench(args) => bench::run(&args),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Soak(args) => soak::run(&args),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Pages with commands.
    const PAGES: [&str; 4] = [
        include_str!("../../README.md"),
        include_str!("../../CONTRIBUTING.md"),
        include_str!("../../docs/OPERATORS.md"),
        include_str!("../../docs/PERFORMANCE.md"),
    ];

    #[test]
    fn documented_commands_are_understood() {
        let pieces = PAGES.iter().flat_map(|page| page.split('`'));
        let mut commands: Vec<Vec<&str>> = pieces
            .filter_map(|piece| piece.strip_prefix("cargo xtask "))
            .map(|rest| rest.split_whitespace().collect())
            .collect();
        // What the reader puts in.
        let is_fixed = |word: &&str| word.chars().any(|c| c.is_lowercase() || c.is_numeric());
        commands.retain(|words| words.iter().all(is_fixed));
        for words in &commands {
            let parsed = Cli::try_parse_from(["cargo xtask"].iter().chain(words));
            let is_help = |error: &clap::Error| error.kind() == clap::error::ErrorKind::DisplayHelp;
            assert!(
                parsed.as_ref().err().is_none_or(is_help),
                "{words:?}: {:?}",
                parsed.err()
            );
        }
        assert!(
            commands.contains(&vec!["up", "--relays", "1"]),
            "the centralised mode"
        );
    }
}
