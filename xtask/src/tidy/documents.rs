//! Documents that must stay true.

use super::Finding;
use super::source::Tree;

const ARCHITECTURE: &str = "ARCHITECTURE.md";
const ARCHITECTURE_LINES: usize = 200;

/// What builds make; documents may name it though git does not have it.
const MADE_BY_BUILDS: [&str; 5] = [
    "target",
    ".zentalk",
    "client-wasm/pkg",
    "www/dist",
    "node_modules",
];

/// `ARCHITECTURE.md` stays short, and every path it names exists.
pub(super) fn architecture(tree: &Tree) -> Vec<Finding> {
    let Some(text) = tree.texts.get(ARCHITECTURE) else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    let lines = text.lines().count();
    if lines > ARCHITECTURE_LINES {
        let message = format!("{lines} lines; at most {ARCHITECTURE_LINES} are read");
        findings.push(Finding::new(ARCHITECTURE, lines, message));
    }
    let mut in_code = false;
    for (at, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
            continue;
        }
        if in_code {
            continue;
        }
        for path in line
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|span| is_path(span))
        {
            let made = MADE_BY_BUILDS.iter().any(|made| path.starts_with(made));
            if !made && !tree.exists(path.trim_start_matches("./")) {
                let message = format!("`{path}` does not exist");
                findings.push(Finding::new(ARCHITECTURE, at + 1, message));
            }
        }
    }
    findings
}

/// True for what reads as a path of the repository: `shared/src`, `README.md`; not `/healthz`,
/// `wss://…`, `a::b` or `cargo xtask`.
fn is_path(span: &str) -> bool {
    const ENDINGS: [&str; 9] = [
        ".rs", ".md", ".toml", ".ts", ".json", ".txt", ".svelte", ".html", ".cddl",
    ];
    let is_plain = span
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    let names_file = span.contains('/') || ENDINGS.iter().any(|ending| span.ends_with(ending));
    is_plain && names_file && !span.starts_with('/') && !span.starts_with("--")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<Finding> {
        architecture(&Tree::of(&[
            (ARCHITECTURE, text),
            ("shared/src/lib.rs", "//! x"),
            ("README.md", ""),
        ]))
    }

    #[test]
    fn paths_that_do_not_exist_are_found() {
        let findings = found("See `shared/src`.\n\nAnd `shared/src/gone.rs` or `MISSING.md`.");
        let lines: Vec<usize> = findings.iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [3, 3]);
    }

    #[test]
    fn what_is_no_path_is_left_alone() {
        assert!(found("`README.md`, `shared/`, `/healthz`, `wss://x`, `a::b`, `x y/z`").is_empty());
        assert!(found("`target/wasm` and `client-wasm/pkg/x.js`").is_empty());
        assert!(found("```\n`gone/path`\n```").is_empty());
    }

    #[test]
    fn long_documents_are_found() {
        assert_eq!(found(&"line\n".repeat(201)).len(), 1);
        assert_eq!(found(&"line\n".repeat(200)).len(), 0);
    }
}
