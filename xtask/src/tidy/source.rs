//! The repository as rules see it: paths, texts, and Rust sources as flat lists of tokens, each
//! marked as test code or not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result};
use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::util::process::Cmd;
use crate::util::workspace;

/// One token, with the line it starts on.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) line: usize,
    /// Part of an item under `#[cfg(test)]`, or in a file of tests.
    pub(super) is_test: bool,
}

/// One Rust source.
#[derive(Debug)]
pub(super) struct Source {
    /// Relative to the root, with forward slashes.
    pub(super) path: String,
    pub(super) text: String,
    pub(super) tokens: Vec<Token>,
    /// Why the file is no Rust, if it is none.
    pub(super) error: Option<String>,
}

/// All that git knows or would take in.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) paths: BTreeSet<String>,
    pub(super) sources: Vec<Source>,
    /// Texts of other files that rules read.
    pub(super) texts: BTreeMap<String, String>,
}

impl Tree {
    /// Reads the repository.
    pub(super) fn read() -> Result<Self> {
        let listed = Cmd::new("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard"])
            .capture()
            .context("tidy asks git which files there are")?;
        let mut files = Vec::new();
        for path in listed.lines() {
            let is_read = path.ends_with(".rs") || path.ends_with(".md") || path.ends_with(".txt");
            let full = workspace::path(path);
            if !full.is_file() {
                continue;
            }
            let text = if is_read {
                fs::read_to_string(&full).with_context(|| format!("cannot read {path}"))?
            } else {
                String::new()
            };
            files.push((path.to_owned(), text));
        }
        Ok(Self::from_files(files))
    }

    fn from_files(files: Vec<(String, String)>) -> Self {
        let mut tree = Self::default();
        for (path, text) in files {
            tree.paths.insert(path.clone());
            if path.ends_with(".rs") {
                tree.sources.push(Source::parse(path, text));
            } else {
                tree.texts.insert(path, text);
            }
        }
        tree.mark_test_files();
        tree
    }

    /// A made-up repository, for tests of rules.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let own = |(path, text): &(&str, &str)| ((*path).to_owned(), (*text).to_owned());
        Self::from_files(files.iter().map(own).collect())
    }

    /// Sources whose path starts so.
    pub(super) fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a Source> {
        self.sources
            .iter()
            .filter(move |source| source.path.starts_with(prefix))
    }

    /// True for a file or folder of the repository.
    pub(super) fn exists(&self, path: &str) -> bool {
        let folder = format!("{}/", path.trim_end_matches('/'));
        self.paths.contains(path)
            || self
                .paths
                .range(folder.clone()..)
                .next()
                .is_some_and(|found| found.starts_with(&folder))
    }

    /// Marks whole files that only tests compile: integration tests, and modules declared under
    /// `#[cfg(test)]` in another file.
    fn mark_test_files(&mut self) {
        let mut roots: Vec<String> = Vec::new();
        for source in &self.sources {
            roots.extend(source.test_modules());
        }
        for source in &mut self.sources {
            let stem = source.path.trim_end_matches(".rs");
            let is_declared = roots
                .iter()
                .any(|root| stem == root || stem.starts_with(&format!("{root}/")));
            if is_declared || source.path.contains("/tests/") || source.path.contains("/benches/") {
                for token in &mut source.tokens {
                    token.is_test = true;
                }
            }
        }
    }
}

impl Source {
    fn parse(path: String, text: String) -> Self {
        let (mut tokens, error) = match text.parse::<TokenStream>() {
            Ok(stream) => {
                let mut tokens = Vec::new();
                flatten(stream, &mut tokens);
                (tokens, None)
            }
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        mark_test_items(&mut tokens);
        Self {
            path,
            text,
            tokens,
            error,
        }
    }

    /// Tokens outside test code.
    pub(super) fn code(&self) -> impl Iterator<Item = &Token> {
        self.tokens.iter().filter(|token| !token.is_test)
    }

    /// False for a file of tests only.
    pub(super) fn has_code(&self) -> bool {
        self.code().next().is_some()
    }

    /// Places where the words stand one after the other outside test code; each as the index of the
    /// token after them.
    pub(super) fn after<'a>(&'a self, words: &'a [&str]) -> impl Iterator<Item = usize> + 'a {
        self.tokens
            .windows(words.len())
            .enumerate()
            .filter(move |(_, window)| {
                !window[0].is_test && window.iter().zip(words).all(|(t, w)| t.text == *w)
            })
            .map(move |(at, _)| at + words.len())
    }

    /// The first names of what a path goes on to: for `a` in `a::b::c` it is `b`, in
    /// `a::{b::c, d}` it is `b` and `d`. `root` is the path's beginning as tokens.
    pub(super) fn path_heads(&self, root: &[&str]) -> Vec<&Token> {
        let mut heads = Vec::new();
        for at in self.after(root) {
            match self.text_at(at) {
                Some("{") => heads.extend(self.group_heads(at)),
                Some(_) => heads.push(&self.tokens[at]),
                None => {}
            }
        }
        heads
    }

    /// First tokens of the comma-separated parts of the group that opens at `open`.
    fn group_heads(&self, open: usize) -> Vec<&Token> {
        let mut heads = Vec::new();
        let mut depth = 0usize;
        let mut is_start = false;
        for token in &self.tokens[open..] {
            match token.text.as_str() {
                "{" => {
                    depth += 1;
                    is_start = depth == 1;
                }
                "}" => {
                    depth -= 1;
                    if depth == 0 {
                        break;
                    }
                }
                "," => is_start = depth == 1,
                _ if is_start => {
                    heads.push(token);
                    is_start = false;
                }
                _ => {}
            }
        }
        heads
    }

    pub(super) fn text_at(&self, at: usize) -> Option<&str> {
        self.tokens.get(at).map(|token| token.text.as_str())
    }

    /// Index of the token that closes the group opened at `open`.
    pub(super) fn closing(&self, open: usize) -> usize {
        closing(&self.tokens, open)
    }

    /// Paths, without `.rs`, of modules that this file declares as `#[cfg(test)] mod name;`.
    fn test_modules(&self) -> Vec<String> {
        let stem = self.path.trim_end_matches(".rs");
        let folder = match stem.rsplit_once('/') {
            Some((folder, "lib" | "main" | "mod")) => folder,
            _ => stem,
        };
        self.tokens
            .windows(3)
            .filter(|w| w[0].is_test && w[0].text == "mod" && w[2].text == ";")
            .map(|w| format!("{folder}/{}", w[1].text))
            .collect()
    }
}

fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at;
                }
            }
            _ => {}
        }
    }
    tokens.len().saturating_sub(1)
}

fn flatten(stream: TokenStream, out: &mut Vec<Token>) {
    let push = |text: &str, line: usize, out: &mut Vec<Token>| {
        out.push(Token {
            text: text.to_owned(),
            line,
            is_test: false,
        });
    };
    for tree in stream {
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                push(open, group.span_open().start().line, out);
                flatten(group.stream(), out);
                push(close, group.span_close().start().line, out);
            }
            TokenTree::Ident(ident) => push(&ident.to_string(), ident.span().start().line, out),
            TokenTree::Punct(punct) => {
                push(&punct.as_char().to_string(), punct.span().start().line, out);
            }
            // A literal in quotes never equals a word that a rule looks for.
            TokenTree::Literal(lit) => push(&lit.to_string(), lit.span().start().line, out),
        }
    }
}

/// Marks every item under an attribute that says `test`: `#[cfg(test)]`, `#[cfg(all(test, …))]`,
/// `#[test]`, `#[tokio::test]`.
fn mark_test_items(tokens: &mut [Token]) {
    let mut at = 0;
    while at + 1 < tokens.len() {
        let is_attribute = tokens[at].text == "#" && tokens[at + 1].text == "[";
        if !is_attribute {
            at += 1;
            continue;
        }
        let end = closing(tokens, at + 1);
        let words: Vec<&str> = tokens[at + 2..end]
            .iter()
            .map(|t| t.text.as_str())
            .collect();
        let says_test = words.contains(&"test") && !words.contains(&"not");
        let is_condition = words.first() != Some(&"cfg_attr");
        if !(says_test && is_condition) {
            at = end + 1;
            continue;
        }
        let last = item_end(tokens, end + 1);
        for token in &mut tokens[at..=last] {
            token.is_test = true;
        }
        at = last + 1;
    }
}

/// Index of the last token of the item that starts at `at`, attributes included.
fn item_end(tokens: &[Token], mut at: usize) -> usize {
    while at < tokens.len() {
        match tokens[at].text.as_str() {
            ";" => return at,
            "{" => return closing(tokens, at),
            "(" | "[" => at = closing(tokens, at) + 1,
            _ => at += 1,
        }
    }
    tokens.len().saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code_of(text: &str) -> String {
        let source = Source::parse("a/src/b.rs".to_owned(), text.to_owned());
        let words: Vec<&str> = source.code().map(|t| t.text.as_str()).collect();
        words.join(" ")
    }

    #[test]
    fn test_items_are_told_from_code() {
        assert_eq!(
            code_of("#[cfg(test)] mod tests { fn a() {} } fn b() {}"),
            "fn b ( ) { }"
        );
        assert_eq!(
            code_of("#[test] #[ignore] fn a() {} const X: u8 = 1;"),
            "const X : u8 = 1 ;"
        );
        assert_eq!(code_of("#[cfg(test)] mod tests; mod b;"), "mod b ;");
        assert_eq!(
            code_of("#[cfg(not(test))] mod b;"),
            "# [ cfg ( not ( test ) ) ] mod b ;"
        );
    }

    #[test]
    fn comments_and_strings_hold_no_words() {
        let source = Source::parse("a.rs".to_owned(), "// tokio\nlet x = \"tokio\";".to_owned());
        assert!(source.code().all(|t| t.text != "tokio"));
    }

    #[test]
    fn files_of_test_modules_are_test_code() {
        let tree = Tree::of(&[
            ("a/src/b.rs", "#[cfg(test)] mod tests; mod real;"),
            ("a/src/b/tests.rs", "fn t() {}"),
            ("a/src/b/real.rs", "fn r() {}"),
            ("a/tests/it.rs", "fn i() {}"),
        ]);
        let coded: Vec<&str> = tree
            .sources
            .iter()
            .filter(|s| s.has_code())
            .map(|s| s.path.as_str())
            .collect();
        assert_eq!(coded, ["a/src/b.rs", "a/src/b/real.rs"]);
    }

    #[test]
    fn heads_of_paths_and_groups() {
        let text = "use crate::{a::{x, y}, b, c::z as w}; fn f() { crate::d::g(); }";
        let source = Source::parse("a.rs".to_owned(), text.to_owned());
        let heads = source.path_heads(&["crate", ":", ":"]);
        let texts: Vec<&str> = heads.iter().map(|t| t.text.as_str()).collect();
        assert_eq!(texts, ["a", "b", "c", "d"]);
    }

    #[test]
    fn folders_exist_through_their_files() {
        let tree = Tree::of(&[("a/b/c.rs", "")]);
        assert!(tree.exists("a/b") && tree.exists("a/b/") && tree.exists("a/b/c.rs"));
        assert!(!tree.exists("a/c") && !tree.exists("a/b/c"));
    }
}
