//! All long runs: tests marked `#[ignore = "soak: …"]`, in release mode, then every fuzz target. Tests that are
//! ignored for other reasons, such as writers of fixtures, do not run.

use anyhow::{Result, bail};

use crate::fuzz;
use crate::setup::{disk, namespaces};
use crate::test::Count;
use crate::tidy;
use crate::util::process::Cmd;
use crate::util::ui;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long each fuzz target runs.
    #[arg(long, default_value_t = 300, value_name = "N")]
    fuzz_seconds: u32,
    /// Only tests whose name contains this, and no fuzzing.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    disk::check()?;
    ui::heading("Long tests");
    let left_out = namespaces::ensure()?;
    let mut skipped = tidy::not_soak()?;
    skipped.extend(left_out.map(|_| namespaces::TESTS.to_owned()));
    let mut count = Count::default();
    let status = Cmd::cargo()
        .args(["test", "--workspace", "--release", "--no-fail-fast"])
        .args(args.filter.as_deref())
        .args(["--", "--ignored", "--nocapture"])
        .args(skipped.iter().flat_map(|name| ["--skip", name]))
        .run_reading(|line| count.add(Count::of_line(line)))?;
    if args.filter.is_none() {
        fuzz::run(&fuzz::Args::all(args.fuzz_seconds))?;
    }
    if let Some(tests) = left_out {
        ui::warn(&format!("not run: {tests}"));
    }
    println!("{count}");
    if !status.success() || count.passed == 0 {
        bail!("a long test failed, or none ran");
    }
    Ok(())
}
