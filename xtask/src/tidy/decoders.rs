//! Decoders and their fuzz targets.
//!
//! A decoder is a public function of `shared` called `decode…`, `parse…` or `from_bytes` that takes
//! bytes or text of any length. The sources under `fuzz/` must call it by the name that tells it from
//! others: `Header::decode` for a method, `decode_frame` for a function.

use std::collections::BTreeMap;

use super::Finding;
use super::source::{Source, Tree};

/// Every decoder of `shared` has a fuzz target.
pub(super) fn decoders_have_fuzz_targets(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in tree.under("shared/src/") {
        for decoder in decoders(source) {
            if !is_fuzzed(tree, &decoder) {
                let message = format!("`{}` has no fuzz target in fuzz/", decoder.shown());
                findings.push(Finding::new(&source.path, decoder.line, message));
            }
        }
    }
    findings
}

#[derive(Debug, PartialEq, Eq)]
struct Decoder {
    /// The type it belongs to, if it is a method.
    of: Option<String>,
    name: String,
    line: usize,
}

impl Decoder {
    fn shown(&self) -> String {
        match &self.of {
            Some(of) => format!("{of}::{}", self.name),
            None => self.name.clone(),
        }
    }
}

fn is_fuzzed(tree: &Tree, decoder: &Decoder) -> bool {
    let name = decoder.name.as_str();
    tree.under("fuzz/").any(|source| match &decoder.of {
        Some(of) => source.after(&[of, ":", ":", name]).next().is_some(),
        None => source.after(&[name, "("]).next().is_some(),
    })
}

fn decoders(source: &Source) -> Vec<Decoder> {
    let impls = impls(source);
    let mut found = Vec::new();
    for name_at in source.after(&["pub", "fn"]) {
        let name = source.text_at(name_at).unwrap_or_default();
        if !(is_decoder_name(name) && takes_any_length(source, name_at)) {
            continue;
        }
        let line = source.tokens[name_at].line;
        let mut add = |of: Option<String>| {
            found.push(Decoder {
                of,
                name: name.to_owned(),
                line,
            });
        };
        // The innermost `impl` around it, if any.
        let around = impls
            .iter()
            .rev()
            .find(|i| i.open < name_at && name_at < i.close);
        match around {
            None => add(None),
            Some(block) => block.types.iter().for_each(|of| add(Some(of.clone()))),
        }
    }
    found
}

fn is_decoder_name(name: &str) -> bool {
    let starts = |stem: &str| name == stem || name.starts_with(&format!("{stem}_"));
    starts("decode") || starts("parse") || name == "from_bytes" || name == "from_slice"
}

/// True when a parameter is a slice of bytes, a vector of bytes or text.
fn takes_any_length(source: &Source, name_at: usize) -> bool {
    let Some(open) = (name_at..source.tokens.len()).find(|at| source.text_at(*at) == Some("("))
    else {
        return false;
    };
    let words: Vec<&str> = source.tokens[open..source.closing(open)]
        .iter()
        .map(|token| token.text.as_str())
        .collect();
    let has = |run: &[&str]| words.windows(run.len()).any(|window| window == run);
    has(&["[", "u8", "]"]) || has(&["Vec", "<", "u8", ">"]) || has(&["str"])
}

/// An `impl` block: where its body lies, and for which types it stands. Inside a macro that is one
/// type for each call of the macro.
struct Impl {
    open: usize,
    close: usize,
    types: Vec<String>,
}

fn impls(source: &Source) -> Vec<Impl> {
    let macros = macro_types(source);
    source
        .after(&["impl"])
        .filter_map(|start| {
            let open = (start..source.tokens.len()).find(|at| source.text_at(*at) == Some("{"))?;
            let head: Vec<&str> = source.tokens[start..open]
                .iter()
                .map(|token| token.text.as_str())
                .collect();
            let types = match implemented_type(&head)? {
                Named::Type(name) => vec![name.to_owned()],
                Named::Variable => macros
                    .iter()
                    .find(|(range, _)| range.0 < start && start < range.1)
                    .map(|(_, types)| types.clone())
                    .unwrap_or_default(),
            };
            Some(Impl {
                open,
                close: source.closing(open),
                types,
            })
        })
        .collect()
}

enum Named<'a> {
    Type(&'a str),
    /// `$name`, inside a macro.
    Variable,
}

/// `<T> Trait for a::Type<T> where …` → `Type`.
fn implemented_type<'a>(head: &[&'a str]) -> Option<Named<'a>> {
    let mut depth = 0i32;
    let mut last = None;
    for (at, word) in head.iter().enumerate() {
        match *word {
            "<" => depth += 1,
            ">" if at == 0 || head[at - 1] != "-" => depth -= 1,
            "for" if depth == 0 => last = None,
            "where" if depth == 0 => break,
            "$" if depth == 0 => return Some(Named::Variable),
            word if depth == 0 && word.starts_with(char::is_alphabetic) => last = Some(word),
            _ => {}
        }
    }
    last.map(Named::Type)
}

/// For each macro that the file defines: where its definition lies, and the first name in each of
/// its calls, which by custom is the type that the call makes.
fn macro_types(source: &Source) -> BTreeMap<(usize, usize), Vec<String>> {
    let mut macros = BTreeMap::new();
    for name_at in source.after(&["macro_rules", "!"]) {
        let Some(name) = source.text_at(name_at) else {
            continue;
        };
        let range = (name_at, source.closing(name_at + 1));
        let types = source
            .after(&[name, "!"])
            .filter_map(|open| first_name(source, open))
            .collect();
        macros.insert(range, types);
    }
    macros
}

/// The first word in a group that belongs to no attribute.
fn first_name(source: &Source, open: usize) -> Option<String> {
    let mut at = open + 1;
    while source.text_at(at)? == "#" {
        at = source.closing(at + 1) + 1;
    }
    source.text_at(at).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(source: &str, fuzz: &str) -> Vec<String> {
        let tree = Tree::of(&[("shared/src/id.rs", source), ("fuzz/src/lib.rs", fuzz)]);
        decoders_have_fuzz_targets(&tree)
            .into_iter()
            .map(|finding| finding.message.split('`').nth(1).unwrap().to_owned())
            .collect()
    }

    #[test]
    fn decoders_without_a_target_are_found() {
        let method = "impl Header { pub fn decode(bytes: &[u8]) -> Option<Self> { None } }";
        assert_eq!(found(method, ""), ["Header::decode"]);
        assert_eq!(
            found(method, "fn f() { Other::decode(data) }"),
            ["Header::decode"]
        );
        assert!(found(method, "fn f() { let _ = wire::Header::decode(data); }").is_empty());
        let free = "pub fn decode_frame(bytes: &[u8]) -> Option<()> { None }";
        assert_eq!(found(free, ""), ["decode_frame"]);
        assert!(found(free, "fn f() { decode_frame(data); }").is_empty());
    }

    #[test]
    fn methods_are_named_after_the_type_that_is_implemented() {
        let of = |head: &str| found(&format!("{head} {{ pub fn parse(s: &str) {{}} }}"), "");
        assert_eq!(of("impl<'a, T: Fn() -> u8> Thing<T>"), ["Thing::parse"]);
        assert_eq!(of("impl From<A> for b::Thing where A: B"), ["Thing::parse"]);
    }

    #[test]
    fn what_has_a_fixed_length_or_is_private_is_no_decoder() {
        assert!(found("pub fn from_bytes(bytes: [u8; 32]) {}", "").is_empty());
        assert!(found("pub fn from_bytes(bytes: &[u8; 32]) {}", "").is_empty());
        assert!(found("fn decode(bytes: &[u8]) {}", "").is_empty());
        assert!(found("pub fn encode(bytes: &[u8]) {}", "").is_empty());
        assert!(found("#[cfg(test)] mod t { pub fn decode(b: &[u8]) {} }", "").is_empty());
    }

    #[test]
    fn macros_count_once_for_each_call() {
        let text =
            "macro_rules! messages { ($n:ident) => { impl $n { pub fn decode(b: &[u8]) {} } } }
            messages! { /// Doc.
                Request { A } }
            messages!(Reply);";
        assert_eq!(found(text, ""), ["Request::decode", "Reply::decode"]);
        assert_eq!(
            found(text, "fn f() { Reply::decode(d); }"),
            ["Request::decode"]
        );
    }
}
