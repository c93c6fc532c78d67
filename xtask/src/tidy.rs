//! The house rules of DESIGN §9 that no compiler knows, checked by reading the sources as tokens.
//!
//! A rule is a function from the tree to findings. Each has tests that show it failing.

mod decoders;
mod documents;
mod ignored;
mod layers;
mod oaep;
mod shape;
mod source;
mod tags;

pub(crate) use ignored::not_soak;

use std::fmt;

use anyhow::{Result, bail};

use crate::util::ui::{self, Step};
use source::Tree;

/// Something that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    line: usize,
    message: String,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            message: message.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

const RULES: [fn(&Tree) -> Vec<Finding>; 12] = [
    documents::architecture,
    layers::shared_imports_upward,
    layers::shared_is_pure,
    layers::relay_core_is_pure,
    shape::opens_with_docs,
    shape::short_files,
    shape::short_functions,
    shape::no_panics,
    shape::no_catch_all_errors,
    tags::tags_have_vectors,
    decoders::decoders_have_fuzz_targets,
    oaep::rsa_encrypts_onion_keys_only,
];

/// Reads the repository and fails when a rule is broken.
pub(crate) fn run() -> Result<()> {
    let step = Step::start("tidy");
    let tree = Tree::read()?;
    let findings = findings(&tree);
    if findings.is_empty() {
        step.done_with(&format!("{} files", tree.sources.len()));
        return Ok(());
    }
    drop(step);
    for finding in &findings {
        ui::bad(&finding.to_string());
    }
    bail!("tidy found {} thing(s) to put right", findings.len())
}

fn findings(tree: &Tree) -> Vec<Finding> {
    let mut all: Vec<Finding> = RULES.iter().flat_map(|rule| rule(tree)).collect();
    all.sort();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_tidy() {
        let tree = Tree::read().unwrap();
        assert!(tree.sources.len() > 10, "the repository was not found");
        let findings = findings(&tree);
        let shown: Vec<String> = findings.iter().map(Finding::to_string).collect();
        assert!(findings.is_empty(), "\n{}", shown.join("\n"));
    }
}
