//! Fuzzing on the stable toolchain: libFuzzer, with the coverage flags that cargo-fuzz would set.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::setup::{apt, disk};
use crate::util::process::{self, Cmd};
use crate::util::ui::{self, Step};
use crate::util::workspace;

const CORPUS: &str = "fuzz/corpus";
const ARTIFACTS: &str = "fuzz/artifacts";

/// Where inputs gather that are not committed.
const WORKING_CORPUS: &str = "target/fuzz/corpus";

/// Longer inputs than any decoder accepts teach nothing.
const LONGEST_INPUT: u32 = 32 * 1024;

/// What makes rustc count edges the way that libFuzzer reads them.
const COVERAGE: &str = "-Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    --cfg fuzzing";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these targets; all when none is named.
    targets: Vec<String>,
    /// How long each target runs.
    #[arg(long, default_value_t = 60, value_name = "N")]
    seconds: u32,
    /// Afterwards add to the committed corpus what reaches new code.
    #[arg(long)]
    keep: bool,
}

impl Args {
    /// Every target for so long.
    pub(crate) fn all(seconds: u32) -> Self {
        Self {
            targets: Vec::new(),
            seconds,
            keep: false,
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    disk::check()?;
    let all = targets()?;
    if let Some(unknown) = args.targets.iter().find(|name| !all.contains(name)) {
        bail!(
            "there is no target `{unknown}`; there are: {}",
            all.join(", ")
        );
    }
    let chosen = if args.targets.is_empty() {
        &all
    } else {
        &args.targets
    };
    let fuzzer = build()?;
    let mut failed = Vec::new();
    for target in chosen {
        ui::heading(&format!("{target}, {} s", args.seconds));
        if search(&fuzzer, target, args.seconds).is_err() {
            failed.push(target.as_str());
        } else if args.keep {
            keep(&fuzzer, target)?;
        }
    }
    if failed.is_empty() {
        ui::good(&format!(
            "{} targets held for {} s each",
            chosen.len(),
            args.seconds
        ));
        return Ok(());
    }
    bail!(
        "{} broke: the inputs are in {ARTIFACTS}. Move each into {CORPUS}/TARGET under a telling name \
         and mend the decoder; `cargo test -p zentalk-tests --test fuzz_corpus` replays it",
        failed.join(", ")
    )
}

/// Names of the targets: each has a folder of inputs, as a test in `tests` sees to.
fn targets() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(workspace::path(CORPUS)).context("there is no fuzz corpus")? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn build() -> Result<PathBuf> {
    if process::find_program("c++").is_none() {
        apt::install(&["g++"], "compiling libFuzzer")?;
    }
    let host = host()?;
    let step = Step::start("Building the fuzzer");
    Cmd::cargo()
        .args(["build", "--release", "--features", "libfuzzer", "--locked"])
        .args(["--manifest-path", "fuzz/Cargo.toml"])
        // With a target named, build scripts and macros are compiled without the flags.
        .args(["--target", &host, "--target-dir", "target/fuzz"])
        .env("RUSTFLAGS", COVERAGE)
        .run_in(&step)?;
    step.done();
    Ok(workspace::path("target/fuzz")
        .join(host)
        .join("release/fuzz"))
}

fn host() -> Result<String> {
    let version = Cmd::new("rustc").arg("-vV").capture()?;
    version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .context("rustc does not say which host it is for")
}

fn search(fuzzer: &PathBuf, target: &str, seconds: u32) -> Result<()> {
    let artifacts = workspace::path(ARTIFACTS).join(target);
    let working = workspace::path(WORKING_CORPUS).join(target);
    fs::create_dir_all(&artifacts)?;
    fs::create_dir_all(&working)?;
    Cmd::new(fuzzer)
        .arg(&working)
        .arg(workspace::path(CORPUS).join(target))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={LONGEST_INPUT}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args(["-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1"])
        .env("ZENTALK_FUZZ_TARGET", target)
        .run_shown()
}

/// Merges into the committed corpus the inputs that reach code which it does not.
fn keep(fuzzer: &PathBuf, target: &str) -> Result<()> {
    let step = Step::start(format!("Keeping what {target} found"));
    Cmd::new(fuzzer)
        .arg("-merge=1")
        .arg(workspace::path(CORPUS).join(target))
        .arg(workspace::path(WORKING_CORPUS).join(target))
        .env("ZENTALK_FUZZ_TARGET", target)
        .run_in(&step)?;
    step.done();
    Ok(())
}
