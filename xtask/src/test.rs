//! Every test, with whatever it needs installed first.
//!
//! The closing line, `N passed, N failed`, adds up what the runners themselves report, so it cannot
//! claim a test that did not run; a suite that ran none has failed. What cannot run on this machine is named before it.

mod count;
mod suites;
mod targets;

use std::time::Instant;

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::util::ui;
pub(crate) use count::Count;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run only these suites.
    #[arg(long, value_enum, value_name = "SUITE")]
    only: Vec<Suite>,
    /// Only tests whose name contains this (suites `rust` and `wasm`).
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Suite {
    /// Unit, property, integration and documentation tests, and the fuzz corpora.
    Rust,
    /// The second implementation, in Python, on the vectors and on live traffic.
    Interop,
    /// The wasm client inside headless Chromium.
    Wasm,
    /// The web app: types and unit tests.
    Web,
    /// Browsers against real relay processes.
    E2e,
}

impl Suite {
    fn title(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::Interop => "interoperation with docs/interop",
            Self::Wasm => "wasm in Chromium",
            Self::Web => "web app",
            Self::E2e => "end to end in Chromium",
        }
    }

    fn run(self, filter: Option<&str>) -> Result<Outcome> {
        match self {
            Self::Rust => suites::rust(filter),
            Self::Interop => suites::interop(),
            Self::Wasm => suites::wasm(filter),
            Self::Web => suites::web(),
            Self::E2e => suites::end_to_end(),
        }
    }
}

/// What a suite's runners said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Outcome {
    count: Count,
    /// A runner ended badly, whatever it counted.
    is_broken: bool,
    /// Tests that cannot run here, and why.
    left_out: Option<&'static str>,
}

impl Outcome {
    fn add(&mut self, other: Self) {
        self.count.add(other.count);
        self.is_broken |= other.is_broken;
        self.left_out = self.left_out.or(other.left_out);
    }

    fn is_good(self) -> bool {
        !self.is_broken && self.count.failed == 0 && self.count.passed > 0
    }

    /// Why the suite is not good, where the counts do not say it.
    fn remark(self) -> &'static str {
        match (self.count.failed, self.is_broken, self.count.passed) {
            (0, true, _) => ", and the suite broke off",
            (0, false, 0) => ", which is a failure: a suite must run something",
            _ => "",
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let suites: Vec<Suite> = if args.only.is_empty() {
        Suite::value_variants().to_vec()
    } else {
        args.only.clone()
    };
    let mut finished = Vec::new();
    for suite in suites {
        ui::heading(suite.title());
        let started = Instant::now();
        let outcome = suite.run(args.filter.as_deref()).unwrap_or_else(|error| {
            ui::error(&error);
            Outcome {
                is_broken: true,
                ..Outcome::default()
            }
        });
        finished.push((suite, outcome, started.elapsed()));
    }

    ui::heading("Suites");
    for (suite, outcome, time) in &finished {
        let (count, remark) = (outcome.count, outcome.remark());
        let line = format!(
            "{}: {count}{remark}  ({})",
            suite.title(),
            ui::elapsed(*time)
        );
        if outcome.is_good() {
            ui::good(&line);
        } else {
            ui::bad(&line);
        }
        if let Some(tests) = outcome.left_out {
            ui::warn(&format!("not run: {tests}"));
        }
    }
    let (total, all_good) = total(finished.iter().map(|(_, outcome, _)| *outcome));
    println!("{total}");
    if all_good {
        Ok(())
    } else {
        bail!("some tests did not pass")
    }
}

/// Adds suites up; one that failed without a failed test counts as one failure.
fn total(outcomes: impl Iterator<Item = Outcome>) -> (Count, bool) {
    let mut total = Count::default();
    let mut all_good = true;
    for outcome in outcomes {
        total.add(outcome.count);
        if !outcome.is_good() {
            all_good = false;
            total.failed += u64::from(outcome.count.failed == 0);
        }
    }
    (total, all_good)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(passed: u64, failed: u64, is_broken: bool) -> Outcome {
        let skipped = 0;
        let count = Count {
            passed,
            failed,
            skipped,
        };
        Outcome {
            count,
            is_broken,
            left_out: None,
        }
    }

    #[test]
    fn totals_add_up() {
        let (count, good) = total([outcome(3, 0, false), outcome(4, 0, false)].into_iter());
        assert_eq!(
            (count.to_string().as_str(), good),
            ("7 passed, 0 failed", true)
        );
    }

    #[test]
    fn failures_broken_runs_and_empty_suites_all_fail() {
        for bad in [
            outcome(3, 2, true),
            outcome(3, 0, true),
            outcome(0, 0, false),
        ] {
            let (count, good) = total([outcome(1, 0, false), bad].into_iter());
            assert!(!good);
            assert_eq!(count.failed, bad.count.failed.max(1));
        }
    }
}
