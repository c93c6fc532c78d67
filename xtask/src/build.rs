//! Building what browsers load: the wasm client and the web app.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::setup::{bindgen, disk, node, wasm_std};
use crate::util::process::Cmd;
use crate::util::stamp::Stamp;
use crate::util::ui::{self, Step};
use crate::util::workspace;

/// The package that becomes the wasm module, and the stem of the files made from it.
pub(crate) const WASM_PACKAGE: &str = "zentalk-client-wasm";
const WASM_STEM: &str = "zentalk_client_wasm";

/// Where builds for wasm go, apart from native ones so that neither invalidates the other.
pub(crate) const WASM_TARGET_DIR: &str = "target/wasm";

/// How the wasm client is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// Quick to build, names kept, checks of arithmetic on.
    Development,
    /// Small: whole-program optimisation, then `wasm-opt`.
    Release,
}

impl Flavour {
    /// The cargo profile.
    pub(crate) fn profile(self) -> &'static str {
        match self {
            Self::Development => "wasm-dev",
            Self::Release => "wasm",
        }
    }
}

#[derive(clap::Args)]
pub(crate) struct Args {
    /// As published: whole-program optimisation and wasm-opt; prints download sizes.
    #[arg(long)]
    release: bool,
    /// Only the wasm client, not the web app.
    #[arg(long)]
    wasm_only: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let flavour = if args.release {
        Flavour::Release
    } else {
        Flavour::Development
    };
    wasm_client(flavour)?;
    if !args.wasm_only {
        web_app()?;
    }
    if args.release {
        print_sizes()?;
    }
    Ok(())
}

/// Builds the client as published and prints its sizes.
pub(crate) fn measure() -> Result<()> {
    wasm_client(Flavour::Release)?;
    print_sizes()
}

/// Compiles the client, writes its JavaScript, types and wasm to `client-wasm/pkg`, and builds the npm
/// package around them.
pub(crate) fn wasm_client(flavour: Flavour) -> Result<()> {
    disk::check()?;
    let compiler = wasm_std::ensure()?;
    let bindgen = bindgen::ensure()?;

    let step = Step::start("Building the wasm client");
    // Cargo unites the features of what is built at once: with a test beside it the suite in Chromium compiles nothing again.
    let targets: &[&str] = match flavour {
        Flavour::Development => &["--lib", "--test", "toolchain"],
        Flavour::Release => &["--lib"],
    };
    compiler
        .cargo()
        .args(["build", "--package", WASM_PACKAGE])
        .args(targets)
        .args(["--target", wasm_std::TARGET, "--profile", flavour.profile()])
        .args(["--target-dir", WASM_TARGET_DIR])
        .run_in(&step)?;
    let module = workspace::path(WASM_TARGET_DIR)
        .join(wasm_std::TARGET)
        .join(flavour.profile())
        .join(format!("{WASM_STEM}.wasm"));

    let stamp = Stamp::of_files("wasm-pkg", &[module.clone(), bindgen.clone()])?;
    if !(stamp.is_current() && bound_module().exists()) {
        let mut generate = Cmd::new(&bindgen)
            .args(["generate", "--name", WASM_STEM, "--input"])
            .arg(&module)
            .arg("--out-dir")
            .arg(package_folder());
        if flavour == Flavour::Development {
            generate = generate.arg("--keep-names");
        }
        generate.run_in(&step)?;
        if flavour == Flavour::Release {
            shrink(&step, &bound_module(), WASM_STEM)?;
        }
        stamp.write()?;
    }
    let size = fs::metadata(bound_module())?.len();
    step.done_with(&format!("{} KiB", size / 1024));
    npm_package()
}

/// Compiles the benchmark as the client is compiled; returns the folder with its JavaScript and wasm.
pub(crate) fn wasm_benchmark(manifest: &str, target_dir: &str) -> Result<PathBuf> {
    const STEM: &str = "zentalk_bench";
    let compiler = wasm_std::ensure()?;
    let bindgen = bindgen::ensure()?;
    let step = Step::start("Building the benchmark for the browser");
    compiler
        .cargo()
        .args(["build", "--lib", "--locked", "--manifest-path", manifest])
        .args(["--target", wasm_std::TARGET, "--profile", "wasm"])
        .args(["--target-dir", target_dir])
        .run_in(&step)?;
    let target_dir = workspace::path(target_dir);
    let package = target_dir.join("pkg");
    Cmd::new(bindgen)
        .args(["generate", "--name", STEM, "--input"])
        .arg(
            target_dir
                .join(wasm_std::TARGET)
                .join("wasm")
                .join(format!("{STEM}.wasm")),
        )
        .arg("--out-dir")
        .arg(&package)
        .run_in(&step)?;
    shrink(&step, &package.join(format!("{STEM}_bg.wasm")), STEM)?;
    step.done();
    Ok(package)
}

/// What the npm package is made of.
const PACKAGE_INPUTS: [&str; 5] = [
    "client-wasm/js",
    "client-wasm/package-lock.json",
    "client-wasm/package.json",
    "client-wasm/pkg",
    "client-wasm/tsconfig.json",
];

/// What the web app is made of; tests beside them change nothing.
const APP_INPUTS: [&str; 10] = [
    "client-wasm/dist",
    "client-wasm/pkg",
    "www/build",
    "www/index.html",
    "www/package-lock.json",
    "www/public",
    "www/src",
    "www/svelte.config.js",
    "www/tsconfig.json",
    "www/vite.config.ts",
];

/// Compiles the TypeScript around the wasm client into `client-wasm/dist`.
pub(crate) fn npm_package() -> Result<()> {
    let is_built = "client-wasm/dist/index.js";
    npm_build("the npm package", "client-wasm", &PACKAGE_INPUTS, is_built)
}

/// Builds the web app into `www/dist`.
pub(crate) fn web_app() -> Result<()> {
    npm_build("the web app", "www", &APP_INPUTS, "www/dist/index.html")
}

/// Runs a folder's build script, unless nothing that goes into it changed since `made` was made.
fn npm_build(what: &str, folder: &str, inputs: &[&str], made: &str) -> Result<()> {
    let home = workspace::path(folder);
    node::packages(&home)?;
    let inputs: Vec<PathBuf> = inputs
        .iter()
        .map(workspace::path)
        .filter(|path| path.exists())
        .collect();
    let stamp = Stamp::of_files(folder, &inputs)?;
    if stamp.is_current() && workspace::path(made).exists() {
        return Ok(());
    }
    let step = Step::start(format!("Building {what}"));
    Cmd::new("npm")
        .args(["run", "build"])
        .dir(&home)
        .run_in(&step)?;
    stamp.write()?;
    step.done();
    Ok(())
}

/// Where the generated package lies.
pub(crate) fn package_folder() -> PathBuf {
    workspace::path("client-wasm/pkg")
}

fn bound_module() -> PathBuf {
    package_folder().join(format!("{WASM_STEM}_bg.wasm"))
}

/// Runs npm's `wasm-opt` over the module, then loads the result once: older versions emit modules
/// that validate and fail at their start. The script of that stem lies beside the module.
fn shrink(step: &Step, module: &Path, stem: &str) -> Result<()> {
    let folder = workspace::path("xtask/wasm-opt");
    node::packages(&folder)?;
    let smaller = module.with_extension("opt.wasm");
    Cmd::new(folder.join("node_modules/.bin/wasm-opt"))
        .arg("-Oz")
        .args(WASM_FEATURES)
        .arg(module)
        .arg("-o")
        .arg(&smaller)
        .run_in(step)?;
    fs::rename(&smaller, module)
        .with_context(|| format!("cannot replace {}", workspace::shown(module)))?;
    Cmd::new("node")
        .args(["--input-type=module", "--eval", START_SCRIPT])
        .arg(module.with_file_name(format!("{stem}.js")))
        .arg(module)
        .run_in(step)
        .context("the module that wasm-opt made does not start")
}

/// What rustc's wasm32 target emits by default; `--all-features` would add what no browser runs.
const WASM_FEATURES: [&str; 6] = [
    "--enable-bulk-memory",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
    "--enable-multivalue",
];

const START_SCRIPT: &str = "\
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
const [script, module] = process.argv.slice(-2);
const client = await import(pathToFileURL(script).href);
client.initSync({ module: readFileSync(module) });
";

/// Prints what a browser downloads.
fn print_sizes() -> Result<()> {
    let printed = Cmd::new(bindgen::ensure()?)
        .arg("sizes")
        .arg(bound_module())
        .capture()?;
    ui::heading("Size of the wasm client in bytes");
    for (name, size) in ["raw", "gzip", "brotli"].iter().zip(printed.split(' ')) {
        let size: u64 = size.parse().context("the size is no number")?;
        anstream::println!("{name:>8} {:>12}", ui::grouped(size));
    }
    Ok(())
}
