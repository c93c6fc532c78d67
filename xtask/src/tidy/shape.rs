//! How a source looks: its opening words, its length, and what it may not contain.

use super::Finding;
use super::source::{Source, Tree};

/// Lines of a file, tests aside.
const FILE_LINES: usize = 500;

/// Lines of a function, from `fn` to its closing brace.
const FUNCTION_LINES: usize = 60;

/// Every source opens with what it is for.
pub(super) fn opens_with_docs(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &tree.sources {
        if !source.text.starts_with("//!") {
            let message = "does not open with `//!` and what the file is for";
            findings.push(Finding::new(&source.path, 1, message));
        }
        if let Some(error) = &source.error {
            findings.push(Finding::new(
                &source.path,
                1,
                format!("cannot be read: {error}"),
            ));
        }
    }
    findings
}

/// Files that are too long and wait to be split: none may grow, none may be added.
const LONG_FILES: [(&str, usize); 0] = [];
/// Functions that are too long and wait to be split.
const LONG_FUNCTIONS: [(&str, &str); 0] = [];

/// A file stays under 500 lines, tests aside.
pub(super) fn short_files(tree: &Tree) -> Vec<Finding> {
    tree.sources
        .iter()
        .filter(|source| source.has_code())
        .filter_map(|source| {
            let lines = code_lines(source);
            let known = LONG_FILES.iter().find(|(path, _)| *path == source.path);
            let allowed = known.map_or(FILE_LINES, |(_, lines)| lines + 1);
            (lines >= allowed).then(|| {
                let message = format!("{lines} lines without tests; under {allowed} are allowed");
                Finding::new(&source.path, 1, message)
            })
        })
        .collect()
}

/// Lines that are not inside a test item.
fn code_lines(source: &Source) -> usize {
    let mut in_tests = 0;
    let mut tokens = source.tokens.iter().peekable();
    while let Some(first) = tokens.next() {
        if !first.is_test {
            continue;
        }
        let mut last = first.line;
        while let Some(token) = tokens.next_if(|token| token.is_test) {
            last = token.line;
        }
        in_tests += last - first.line + 1;
    }
    source.text.lines().count() - in_tests
}

/// A function stays under 60 lines.
pub(super) fn short_functions(tree: &Tree) -> Vec<Finding> {
    tree.sources.iter().flat_map(long_functions).collect()
}

fn long_functions(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in source.after(&["fn"]) {
        let Some(body) = body_of(source, name) else {
            continue;
        };
        let first = source.tokens[name].line;
        let lines = source.tokens[source.closing(body)].line - first + 1;
        let name = source.tokens[name].text.as_str();
        let known = LONG_FUNCTIONS.contains(&(source.path.as_str(), name));
        if lines >= FUNCTION_LINES && !known {
            let message = format!("`{name}` has {lines} lines; under {FUNCTION_LINES} are allowed");
            findings.push(Finding::new(&source.path, first, message));
        }
    }
    findings
}

/// Index of the brace that opens the body of the function whose name stands at `name`; none for a
/// declaration or a type such as `fn(u8)`.
fn body_of(source: &Source, name: usize) -> Option<usize> {
    let mut at = name;
    loop {
        match source.text_at(at)? {
            "{" => return Some(at),
            ";" | "," | "=" | "}" | ")" => return None,
            "(" | "[" => at = source.closing(at) + 1,
            "<" => at = skip_generics(source, at)?,
            _ => at += 1,
        }
    }
}

/// Index after the `>` that closes the `<` at `at`.
fn skip_generics(source: &Source, mut at: usize) -> Option<usize> {
    let mut depth = 0usize;
    loop {
        match source.text_at(at)? {
            "<" => depth += 1,
            // The arrow of `Fn() -> T` closes nothing.
            ">" if source.text_at(at - 1) != Some("-") => depth -= 1,
            "(" | "[" | "{" => at = source.closing(at),
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
}

/// The words that must stand above an `expect` which no input can reach.
const EXCUSE: &str = "// Infallible: ";

/// What a peer sends can reach these crates, so nothing in them unwraps. An `expect` may stay under
/// a comment `// Infallible: …` that says why no input leads there.
pub(super) fn no_panics(tree: &Tree) -> Vec<Finding> {
    const CRATES: [&str; 4] = [
        "shared/src/",
        "relay-server/src/",
        "api-server/src/",
        "client-wasm/src/",
    ];
    let mut findings = Vec::new();
    for source in CRATES.iter().flat_map(|prefix| tree.under(prefix)) {
        for call in ["unwrap", "expect", "unwrap_err", "expect_err"] {
            for at in source.after(&[".", call, "("]) {
                let line = source.tokens[at - 1].line;
                if call == "expect" && is_excused(source, line) {
                    continue;
                }
                let message = format!(
                    "`.{call}()` outside tests: return a typed error, or say `{EXCUSE}…` above an `expect`"
                );
                findings.push(Finding::new(&source.path, line, message));
            }
        }
    }
    findings
}

/// True when the comment stands above the statement that the line belongs to: in the lines before
/// it, back to the last one that ends a statement or opens a block.
fn is_excused(source: &Source, line: usize) -> bool {
    let lines: Vec<&str> = source.text.lines().take(line).map(str::trim).collect();
    for (distance, text) in lines.iter().rev().enumerate() {
        if text.starts_with(EXCUSE) {
            return true;
        }
        let ends_statement = text.ends_with([';', '{', '}']);
        if distance > 0 && ends_statement && !text.starts_with("//") {
            return false;
        }
    }
    false
}

/// An error says what went wrong and who is to blame; a variant that holds any text says neither.
pub(super) fn no_catch_all_errors(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &tree.sources {
        for at in source.after(&["Other", "(", "String", ")"]) {
            let message = "`Other(String)`: give the error a variant of its own";
            findings.push(Finding::new(
                &source.path,
                source.tokens[at - 1].line,
                message,
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> Tree {
        Tree::of(&[("shared/src/id.rs", text)])
    }

    #[test]
    fn sources_without_opening_docs_are_found() {
        assert_eq!(opens_with_docs(&tree("use a;\n//! Late.")).len(), 1);
        assert_eq!(opens_with_docs(&tree("//! Docs.\n}")).len(), 1);
        assert_eq!(opens_with_docs(&tree("// Not docs.")).len(), 1);
        assert_eq!(opens_with_docs(&tree("//! Docs.\nfn a() {}")).len(), 0);
    }

    #[test]
    fn long_files_are_found_and_tests_do_not_count() {
        let lines = |n: usize| "const _: () = ();\n".repeat(n);
        assert_eq!(short_files(&tree(&lines(500))).len(), 1);
        assert_eq!(short_files(&tree(&lines(499))).len(), 0);
        let with_tests = format!("{}#[cfg(test)]\nmod t {{\n{}}}\n", lines(499), lines(400));
        assert_eq!(short_files(&tree(&with_tests)).len(), 0);
    }

    #[test]
    fn long_functions_are_found() {
        let function = |head: &str, n: usize| format!("{head} {{\n{}}}", "    f();\n".repeat(n));
        assert_eq!(short_functions(&tree(&function("fn a()", 58))).len(), 1);
        assert_eq!(short_functions(&tree(&function("fn a()", 57))).len(), 0);
        let generic = "pub fn a<const N: usize, F: Fn(u8) -> [u8; { N }]>(f: F) -> Vec<u8>";
        assert_eq!(short_functions(&tree(&function(generic, 58))).len(), 1);
        let of_trait = format!("trait T {{ fn a(&self);\n{} }}", "\n".repeat(80));
        assert_eq!(short_functions(&tree(&of_trait)).len(), 0);
        let in_test = format!("#[cfg(test)] {}", function("fn a()", 80));
        assert_eq!(short_functions(&tree(&in_test)).len(), 0);
    }

    #[test]
    fn unwraps_are_found() {
        assert_eq!(
            no_panics(&tree("fn a() { b().unwrap(); c.expect(\"x\"); }")).len(),
            2
        );
        assert_eq!(
            no_panics(&tree("fn a() { format!(\"{}\", b.unwrap()) }")).len(),
            1
        );
        assert_eq!(
            no_panics(&tree("fn a() { b.unwrap_or(1); } #[expect(x)] fn c() {}")).len(),
            0
        );
        assert_eq!(
            no_panics(&tree("#[cfg(test)] mod t { fn a() { b.unwrap(); } }")).len(),
            0
        );
        let elsewhere = Tree::of(&[("xtask/src/a.rs", "fn a() { b.unwrap(); }")]);
        assert_eq!(no_panics(&elsewhere).len(), 0);
    }

    #[test]
    fn catch_all_errors_are_found() {
        assert_eq!(
            no_catch_all_errors(&tree("enum E { Other(String) }")).len(),
            1
        );
        assert_eq!(
            no_catch_all_errors(&tree("enum E { Another(String) }")).len(),
            0
        );
    }
}
