//! What a folder must not know (DESIGN §2).

use super::Finding;
use super::source::{Source, Token, Tree};

/// The modules of `shared`, lowest first; each may import those before it.
const SHARED_MODULES: [&str; 16] = [
    "macros", "time", "id", "wire", "crypto", "identity", "x3dh", "ratchet", "session", "content",
    "group", "onion", "rpc", "dht", "mesh", "client",
];

/// Macros belong to no layer: what they name, they name where they are used.
const MACROS: &str = "shared/src/macros.rs";

/// A module of `shared` imports only modules that come before it.
pub(super) fn shared_imports_upward(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in tree
        .under("shared/src/")
        .filter(|source| source.has_code() && source.path != MACROS)
    {
        let path: Vec<&str> = module_path(&source.path);
        let Some(&module) = path.first() else {
            continue;
        };
        let Some(own) = SHARED_MODULES.iter().position(|name| *name == module) else {
            findings.push(Finding::new(
                &source.path,
                1,
                format!("`{module}` is not in the list of shared's modules (DESIGN §2)"),
            ));
            continue;
        };
        for head in crate_heads(source, path.len()) {
            let imported = SHARED_MODULES.iter().position(|name| *name == head.text);
            if imported.is_some_and(|imported| imported > own) {
                findings.push(Finding::new(
                    &source.path,
                    head.line,
                    format!("`{module}` imports `{}`, which lies above it", head.text),
                ));
            }
        }
    }
    findings
}

/// `shared/src/wire/tag.rs` → `["wire", "tag"]`; the crate's root → `[]`.
fn module_path(path: &str) -> Vec<&str> {
    let inner = path
        .trim_start_matches("shared/src/")
        .trim_end_matches(".rs");
    let mut names: Vec<&str> = inner.split('/').collect();
    if matches!(names.last(), Some(&("mod" | "lib"))) {
        names.pop();
    }
    names
}

/// First names after `crate::`, and after as many `super::` as lead out of the module; `depth` is
/// how deep the file lies, inline modules counted one further.
fn crate_heads(source: &Source, depth: usize) -> Vec<&Token> {
    let mut heads = source.path_heads(&["crate", ":", ":"]);
    let supers = ["super", ":", ":"].repeat(depth);
    heads.extend(source.path_heads(&supers));
    heads
}

/// `shared` has no IO, no clock, no runtime and no platform.
pub(super) fn shared_is_pure(tree: &Tree) -> Vec<Finding> {
    const WORDS: [&str; 10] = [
        "tokio",
        "axum",
        "rusqlite",
        "web_sys",
        "js_sys",
        "wasm_bindgen",
        "getrandom",
        "SystemTime",
        "Instant",
        "target_arch",
    ];
    const OF_STD: [&str; 6] = ["net", "fs", "thread", "process", "env", "os"];
    tree.under("shared/src/")
        .flat_map(|source| forbidden(source, "shared", &WORDS, &OF_STD))
        .collect()
}

/// `relay-server/src/core` is driven by the daemon and by the simulator alike.
pub(super) fn relay_core_is_pure(tree: &Tree) -> Vec<Finding> {
    const WORDS: [&str; 9] = [
        "tokio",
        "axum",
        "rusqlite",
        "getrandom",
        "TcpStream",
        "TcpListener",
        "UdpSocket",
        "SystemTime",
        "Instant",
    ];
    const OF_STD: [&str; 4] = ["fs", "thread", "process", "env"];
    tree.under("relay-server/src/core")
        .flat_map(|source| forbidden(source, "the relay's core", &WORDS, &OF_STD))
        .collect()
}

fn forbidden(source: &Source, place: &str, words: &[&str], of_std: &[&str]) -> Vec<Finding> {
    let in_words = source
        .code()
        .filter(|token| words.contains(&token.text.as_str()))
        .map(|token| (token, token.text.clone()));
    let in_std = source
        .path_heads(&["std", ":", ":"])
        .into_iter()
        .filter(|token| of_std.contains(&token.text.as_str()))
        .map(|token| (token, format!("std::{}", token.text)));
    in_words
        .chain(in_std)
        .map(|(token, name)| {
            Finding::new(
                &source.path,
                token.line,
                format!("{place} must not know `{name}`"),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imports(path: &str, text: &str) -> usize {
        shared_imports_upward(&Tree::of(&[(path, text)])).len()
    }

    #[test]
    fn imports_of_higher_modules_are_found() {
        assert_eq!(imports("shared/src/id.rs", "use crate::wire::Tag;"), 1);
        assert_eq!(
            imports("shared/src/id.rs", "use crate::{time, wire, onion::Surb};"),
            2
        );
        assert_eq!(imports("shared/src/id.rs", "use super::wire;"), 1);
        assert_eq!(
            imports("shared/src/wire/tag.rs", "use super::super::rpc::Put;"),
            1
        );
        assert_eq!(
            imports("shared/src/wire/mod.rs", "fn f() { crate::client::go() }"),
            1
        );
    }

    #[test]
    fn imports_of_lower_modules_and_in_tests_are_fine() {
        assert_eq!(
            imports("shared/src/wire/tag.rs", "use crate::id::MessageId;"),
            0
        );
        assert_eq!(imports("shared/src/wire/tag.rs", "use super::client;"), 0);
        assert_eq!(
            imports(
                "shared/src/id.rs",
                "#[cfg(test)] mod tests { use crate::wire::T; }"
            ),
            0
        );
        assert_eq!(
            imports("shared/src/lib.rs", "pub use crate::client::Client;"),
            0
        );
    }

    #[test]
    fn unknown_modules_are_found() {
        assert_eq!(imports("shared/src/helpers.rs", "fn f() {}"), 1);
    }

    #[test]
    fn io_in_shared_is_found() {
        let found = |text| shared_is_pure(&Tree::of(&[("shared/src/id.rs", text)])).len();
        assert_eq!(found("use tokio::net::TcpStream;"), 1);
        assert_eq!(found("use std::net::IpAddr;"), 1);
        assert_eq!(found("use std::{fmt, fs::File};"), 1);
        assert_eq!(
            found("fn f() -> std::time::Instant { std::time::Instant::now() }"),
            2
        );
        assert_eq!(found("#[cfg(target_arch = \"wasm32\")] mod a;"), 1);
        assert_eq!(found("use std::fmt; // tokio"), 0);
        assert_eq!(found("#[cfg(test)] mod tests { use std::fs; }"), 0);
    }

    #[test]
    fn io_in_the_relays_core_is_found() {
        let found = |path, text| relay_core_is_pure(&Tree::of(&[(path, text)])).len();
        assert_eq!(
            found(
                "relay-server/src/core/mailbox.rs",
                "use rusqlite::Connection;"
            ),
            1
        );
        assert_eq!(
            found("relay-server/src/core.rs", "use std::time::SystemTime;"),
            1
        );
        assert_eq!(
            found("relay-server/src/core/a.rs", "use std::net::TcpStream;"),
            1
        );
        assert_eq!(
            found("relay-server/src/core/a.rs", "use std::net::IpAddr;"),
            0
        );
        assert_eq!(found("relay-server/src/daemon.rs", "use tokio::net;"), 0);
    }
}
