//! The wasm side of `cargo xtask`: turns a compiled module into what a browser loads, runs the
//! module's tests in a headless browser, and measures what a browser downloads.
//!
//! ```text
//! target/wasm/…/zentalk_client_wasm.wasm ──generate──▶ client-wasm/pkg/{*.js, *.d.ts, *_bg.wasm}
//! target/wasm/…/deps/tests-….wasm        ──test────▶ "test result: ok. N passed; …"
//! ```

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use wasm_bindgen_cli_support::Bindgen;

#[derive(Parser)]
#[command(about = "The wasm side of cargo xtask", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Emit the JavaScript module, its type declarations and the bound wasm file.
    Generate {
        /// The module that the compiler made.
        #[arg(long)]
        input: PathBuf,
        /// Where the files go; made when absent.
        #[arg(long)]
        out_dir: PathBuf,
        /// Stem of the files' names.
        #[arg(long)]
        name: String,
        /// Keep function names, for readable stack traces.
        #[arg(long)]
        keep_names: bool,
    },
    /// Print the sizes of a file: raw, gzip -9 and brotli -11, in bytes.
    Sizes {
        /// The file to measure.
        file: PathBuf,
    },
    /// Run a test module; cargo calls this as the target's runner.
    #[command(disable_help_flag = true)]
    Test {
        /// The module, then the test harness's own arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, num_args = 1..)]
        args: Vec<OsString>,
    },
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Generate {
            input,
            out_dir,
            name,
            keep_names,
        } => generate(&input, &out_dir, &name, keep_names),
        Command::Sizes { file } => sizes(&file),
        Command::Test { args } => {
            let own_name = OsString::from("wasm-bindgen-test-runner");
            wasm_bindgen_cli::wasm_bindgen_test_runner::run_cli_with_args(
                std::iter::once(own_name).chain(args),
            )
        }
    }
}

/// Emits `--target web` output: an ES module that fetches its wasm beside itself.
fn generate(input: &Path, out_dir: &Path, name: &str, keep_names: bool) -> Result<()> {
    fs::create_dir_all(out_dir).with_context(|| format!("cannot make {}", out_dir.display()))?;
    Bindgen::new()
        .web(true)?
        .typescript(true)
        .input_path(input)
        .out_name(name)
        .remove_name_section(!keep_names)
        .remove_producers_section(true)
        .generate(out_dir)
        .with_context(|| format!("wasm-bindgen failed on {}", input.display()))
}

/// Prints `raw gzip brotli` on one line.
fn sizes(file: &Path) -> Result<()> {
    let raw = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&raw)?;
    let gzip = gzip.finish()?;
    let mut brotli = Vec::new();
    let params = brotli::enc::BrotliEncoderParams {
        quality: 11,
        lgwin: 24,
        ..Default::default()
    };
    brotli::BrotliCompress(&mut raw.as_slice(), &mut brotli, &params)?;
    println!("{} {} {}", raw.len(), gzip.len(), brotli.len());
    Ok(())
}
