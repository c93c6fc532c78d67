//! Which test programs there are, and which of them run beside the others.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::util::process::Cmd;

/// Programs that mostly wait, for processes, wires and deadlines. Those that compute leave them the processor when they need it.
const WAITING: [&str; 3] = ["documented", "faults", "netns"];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
    name: String,
}

/// Cargo's words for the tests that wait, and for all others but those in documentation. Each test is in one of them.
pub(super) fn groups() -> Result<(Vec<String>, Vec<String>)> {
    let metadata = Cmd::cargo()
        .args(["metadata", "--no-deps", "--format-version", "1", "--locked"])
        .capture()?;
    split(&metadata)
}

fn split(metadata: &str) -> Result<(Vec<String>, Vec<String>)> {
    let metadata: Metadata = serde_json::from_str(metadata).context("cargo's metadata")?;
    let targets = metadata
        .packages
        .iter()
        .flat_map(|package| &package.targets);
    let tests = targets.filter(|target| target.kind.iter().any(|kind| kind == "test"));
    let tests: BTreeSet<&str> = tests.map(|target| target.name.as_str()).collect();
    for name in WAITING {
        ensure!(tests.contains(name), "there are no tests called {name}");
    }
    let words = |name: &str| ["--test".to_owned(), name.to_owned()];
    let waits = |name: &&str| WAITING.contains(name);
    let waiting = WAITING.into_iter().flat_map(words).collect();
    let computing = tests
        .into_iter()
        .filter(|name| !waits(name))
        .flat_map(words);
    let units = ["--lib", "--bins"].map(str::to_owned);
    Ok((waiting, units.into_iter().chain(computing).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(tests: &[&str]) -> String {
        let test = |name: &&str| format!(r#"{{"kind": ["test"], "name": "{name}"}}"#);
        let tests: Vec<_> = tests.iter().map(test).collect();
        let lib = r#"{"targets": [{"kind": ["lib"], "name": "shared"}]}"#;
        format!(
            r#"{{"packages": [{lib}, {{"targets": [{}]}}]}}"#,
            tests.join(", ")
        )
    }

    #[test]
    fn every_test_is_in_one_of_the_groups() {
        let (waiting, computing) = split(&metadata(&[
            "relays",
            "netns",
            "faults",
            "documented",
            "dht",
        ]))
        .unwrap();
        let wait = [
            "--test",
            "documented",
            "--test",
            "faults",
            "--test",
            "netns",
        ];
        assert_eq!(waiting, wait);
        let compute = ["--lib", "--bins", "--test", "dht", "--test", "relays"];
        assert_eq!(computing, compute);
    }

    #[test]
    fn a_group_does_not_lose_a_test_that_was_renamed() {
        assert!(split(&metadata(&["netns", "documented"])).is_err());
        assert!(split("no JSON").is_err());
    }

    #[test]
    fn the_workspace_has_the_tests_that_wait() {
        groups().unwrap();
    }
}
