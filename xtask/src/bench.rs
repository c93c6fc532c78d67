//! Measurements: the benchmarks of the crates, the cryptography natively and in a browser, the size of the
//! wasm client, and what a person waits for in a browser.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::build::{self, Flavour};
use crate::setup::{browser, disk, node};
use crate::up;
use crate::util::process::Cmd;
use crate::util::ui::{self, Step};
use crate::util::workspace;

/// Measurements that are no cargo benchmarks.
const WASM_SIZE: &str = "wasm-size";
const BROWSER: &str = "browser";
const CRYPTO: &str = "crypto";

/// The workspace that compares our cryptography with its peers, and where it is built.
const CRYPTO_MANIFEST: &str = "bench/Cargo.toml";
const CRYPTO_TARGET_DIR: &str = "target/bench";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only this benchmark; all when none is named.
    name: Option<String>,
    /// List the benchmarks and end.
    #[arg(long)]
    list: bool,
    /// `crypto` natively only, not in a browser.
    #[arg(long)]
    native: bool,
    /// Of `crypto`, only the rows whose names contain one of these; other benchmarks get them as they are.
    #[arg(last = true)]
    words: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let benches = benches()?;
    let names = || {
        benches
            .keys()
            .cloned()
            .chain([CRYPTO, WASM_SIZE, BROWSER].map(str::to_owned))
    };
    if args.list {
        names().for_each(|name| anstream::println!("{name}"));
        return Ok(());
    }
    disk::check()?;
    let chosen: Vec<String> = match &args.name {
        Some(name) if names().any(|known| known == *name) => vec![name.clone()],
        Some(name) => {
            let known: Vec<String> = names().collect();
            bail!(
                "there is no benchmark `{name}`; there are: {}",
                known.join(", ")
            )
        }
        None => names().collect(),
    };
    for name in chosen {
        ui::heading(&name);
        match benches.get(&name) {
            Some(package) => Cmd::cargo()
                .args(["bench", "--package", package, "--bench", &name, "--"])
                .args(&args.words)
                .run_shown()?,
            None if name == WASM_SIZE => build::measure()?,
            None if name == CRYPTO => cryptography(args)?,
            None => in_browsers()?,
        }
    }
    Ok(())
}

/// The cryptography beside its peers. Everything is built before anything is measured.
fn cryptography(args: &Args) -> Result<()> {
    let figures = workspace::path(CRYPTO_TARGET_DIR).join("browser.txt");
    let step = Step::start("Building the benchmark");
    Cmd::cargo()
        .args(["build", "--release", "--locked"])
        .args(["--manifest-path", CRYPTO_MANIFEST])
        .args(["--target-dir", CRYPTO_TARGET_DIR])
        .run_in(&step)?;
    step.done();
    if !args.native {
        cryptography_in_browser(&figures, &args.words)?;
    }
    let program = workspace::path(CRYPTO_TARGET_DIR).join("release/crypto");
    let mut native = Cmd::new(program).args(&args.words);
    if !args.native {
        native = native.arg("--beside").arg(&figures);
    }
    native.run_shown()
}

/// The same as wasm, compiled as the client is, in Chromium; its figures go into a file.
fn cryptography_in_browser(figures: &PathBuf, words: &[String]) -> Result<()> {
    let browser = browser::ensure()?;
    let package = build::wasm_benchmark(CRYPTO_MANIFEST, CRYPTO_TARGET_DIR)?;
    node::packages(&workspace::path("client-wasm"))?;
    let step = Step::start("Measuring in Chromium");
    Cmd::new("node")
        .arg("e2e/crypto.bench.mjs")
        .args(words)
        .dir(workspace::path("client-wasm"))
        .env("CHROMIUM", &browser.chromium)
        .env("BENCH_PKG", package)
        .env("BENCH_FIGURES", figures)
        .run_in(&step)?;
    step.done();
    Ok(())
}

/// The app as published, between two browsers, over daemons as `cargo xtask up` runs them.
fn in_browsers() -> Result<()> {
    let browser = browser::ensure()?;
    up::daemons()?;
    build::wasm_client(Flavour::Release)?;
    build::web_app()?;
    Cmd::new("node")
        .arg("e2e/bench.mjs")
        .dir(workspace::path("www"))
        .env("CHROMIUM", &browser.chromium)
        .env("ZENTALK_BIN_DIR", up::daemon_folder())
        .env("ZENTALK_WWW_DIST", workspace::path("www/dist"))
        .run_shown()
}

/// Benchmarks by name, with the package that has them: `PACKAGE/benches/NAME.rs`.
fn benches() -> Result<BTreeMap<String, String>> {
    const PACKAGES: [(&str, &str); 5] = [
        ("shared", "zentalk-shared"),
        ("relay-server", "zentalk-relay"),
        ("api-server", "zentalk-api"),
        ("client-wasm", "zentalk-client-wasm"),
        ("tests", "zentalk-tests"),
    ];
    let mut benches = BTreeMap::new();
    for (folder, package) in PACKAGES {
        let Ok(entries) = fs::read_dir(workspace::path(folder).join("benches")) else {
            continue;
        };
        for entry in entries {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if let Some(name) = name.strip_suffix(".rs") {
                benches.insert(name.to_owned(), package.to_owned());
            }
        }
    }
    Ok(benches)
}
