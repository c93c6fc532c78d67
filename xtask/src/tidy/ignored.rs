//! Which tests are ignored, and why: what `cargo xtask soak` runs of them is said by the reason.

use anyhow::{Result, bail};

use super::source::{Source, Tree};

/// How the reason of a long test begins.
const SOAK: &str = "\"soak:";

/// A test under `#[ignore]`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Ignored {
    name: String,
    is_soak: bool,
}

/// Names of ignored tests that are no long runs: fixture writers, children of other tests.
pub(crate) fn not_soak() -> Result<Vec<String>> {
    let tree = Tree::read()?;
    names_to_skip(tree.sources.iter().flat_map(of).collect())
}

/// A name that is skipped takes along every name that contains it: no long test may have such a name.
fn names_to_skip(ignored: Vec<Ignored>) -> Result<Vec<String>> {
    let (soak, other): (Vec<_>, Vec<_>) = ignored.into_iter().partition(|test| test.is_soak);
    let mut names: Vec<_> = other.into_iter().map(|test| test.name).collect();
    names.sort();
    names.dedup();
    for test in soak {
        if let Some(name) = names.iter().find(|name| test.name.contains(*name)) {
            bail!("`{}` would be skipped together with `{name}`", test.name);
        }
    }
    Ok(names)
}

fn of(source: &Source) -> Vec<Ignored> {
    let text = |at| source.text_at(at).unwrap_or_default();
    let starts = (0..source.tokens.len()).filter(|at| text(*at) == "[" && text(at + 1) == "ignore");
    let test = |at: usize| {
        let is_soak = text(at + 2) == "=" && text(at + 3).starts_with(SOAK);
        let function = (at..source.tokens.len()).find(|at| text(*at) == "fn")?;
        let name = text(function + 1).to_owned();
        Some(Ignored { name, is_soak })
    };
    starts.filter_map(test).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skipped(text: &str) -> Result<Vec<String>> {
        let tree = Tree::of(&[("a/src/tests.rs", text)]);
        names_to_skip(tree.sources.iter().flat_map(of).collect())
    }

    #[test]
    fn only_tests_with_a_reason_that_says_soak_are_run() {
        let text = r##"
            #[test] fn short() {}
            #[test] #[ignore = "soak: an hour"] fn long() {}
            /// Documented.
            #[ignore = "writes the fixture"] #[test] fn write_fixture() {}
            #[test] #[ignore] fn without_reason() {}
            proptest! { #[test] #[ignore = "by hand"] fn inside(a in 0..1) {} }
            const TEXT: &str = "#[ignore] fn quoted() {}";
        "##;
        assert_eq!(
            skipped(text).unwrap(),
            ["inside", "without_reason", "write_fixture"]
        );
    }

    #[test]
    fn a_name_within_the_name_of_a_long_test_is_refused() {
        let text = r##"
            #[test] #[ignore = "soak: minutes"] fn children() {}
            #[test] #[ignore = "is run by others"] fn child() {}
        "##;
        assert!(skipped(text).is_err());
    }
}
