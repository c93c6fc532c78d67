//! A compiler that has the standard library for wasm32.
//!
//! There are two ways. Most people have rustup, which downloads it. Where only package registries
//! can be reached, Debian ships a compiler with its library's source (`rustc-web`, `rust-web-src`):
//! the library is built once and put where that compiler looks for it, after which ordinary builds
//! work. `ZENTALK_WASM_TOOLCHAIN=rustup` or `=registry` forces one of the ways.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::apt;
use crate::util::process::{self, Cmd};
use crate::util::ui::{self, Step};
use crate::util::workspace;

/// The target that browsers run.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// The variable that forces one of the two ways.
pub(crate) const CHOICE_VARIABLE: &str = "ZENTALK_WASM_TOOLCHAIN";

const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_PACKAGES: [&str; 2] = ["rustc-web", "rust-web-src"];
const PURPOSE: &str = "compiling to wasm without rustup's downloads";

/// The oldest Rust that the workspace is for.
const RUST_VERSION: &str = env!("CARGO_PKG_RUST_VERSION");

/// How long rustup may take before the other way is tried.
const RUSTUP_DEADLINE: Duration = Duration::from_secs(240);

/// A compiler that can build for wasm32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compiler {
    /// The one that cargo uses anyway.
    Default,
    /// Debian's, told to cargo through `RUSTC`.
    Debian,
}

impl Compiler {
    /// A cargo that compiles with this compiler.
    pub(crate) fn cargo(self) -> Cmd {
        match self {
            Self::Default => Cmd::cargo(),
            Self::Debian => Cmd::cargo().env("RUSTC", DEBIAN_RUSTC),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    Any,
    Rustup,
    Registry,
}

impl Choice {
    fn from_text(text: &str) -> Result<Self> {
        match text {
            "" => Ok(Self::Any),
            "rustup" => Ok(Self::Rustup),
            "registry" => Ok(Self::Registry),
            other => bail!("{CHOICE_VARIABLE} is `{other}`; it can be `rustup` or `registry`"),
        }
    }
}

/// Makes sure that some compiler can build for wasm32, and says which.
pub(crate) fn ensure() -> Result<Compiler> {
    let choice = Choice::from_text(&std::env::var(CHOICE_VARIABLE).unwrap_or_default())?;
    if choice == Choice::Registry {
        return ensure_debian();
    }
    if default_is_ready() {
        return Ok(Compiler::Default);
    }
    if choice == Choice::Any && debian_is_ready() {
        return Ok(Compiler::Debian);
    }
    match (add_with_rustup(), choice) {
        (Ok(()), _) => Ok(Compiler::Default),
        (Err(error), Choice::Rustup) => Err(error),
        (Err(error), _) => {
            ui::note(&format!("{error}; using Debian's compiler instead"));
            ensure_debian()
        }
    }
}

/// Says which compiler would be used without installing anything.
pub(crate) fn find() -> Option<Compiler> {
    let choice = std::env::var(CHOICE_VARIABLE).unwrap_or_default();
    if choice != "registry" && default_is_ready() {
        return Some(Compiler::Default);
    }
    (choice != "rustup" && debian_is_ready()).then_some(Compiler::Debian)
}

fn default_is_ready() -> bool {
    Cmd::new("rustc")
        .args(["--print", "target-libdir", "--target", TARGET])
        .capture()
        .is_ok_and(|dir| has_std(Path::new(&dir)))
}

fn add_with_rustup() -> Result<()> {
    if process::find_program("rustup").is_none() {
        bail!("there is no rustup to add {TARGET} with");
    }
    let step = Step::start(format!("Adding {TARGET} with rustup"));
    Cmd::new("rustup")
        .args(["target", "add", TARGET])
        .deadline(RUSTUP_DEADLINE)
        .run_in(&step)
        .context("rustup could not add the target")?;
    step.done();
    Ok(())
}

fn debian_is_ready() -> bool {
    Debian::find().is_ok_and(|debian| debian.is_ready())
}

fn ensure_debian() -> Result<Compiler> {
    apt::install(&DEBIAN_PACKAGES, PURPOSE)?;
    let mut debian = Debian::find()?;
    if !debian.is_new_enough() {
        // Lists of months ago name what was the newest then.
        apt::upgrade(&DEBIAN_PACKAGES, PURPOSE)?;
        debian = Debian::find()?;
    }
    if !debian.is_new_enough() {
        let release = debian.release().unwrap_or("unknown");
        bail!(
            "Debian's rustc-web is {release} here, and ZenTalk needs {RUST_VERSION}: `rustup target add {TARGET}` is the other way"
        );
    }
    debian.ensure_linker()?;
    if !debian.is_ready() {
        debian.build_std()?;
    }
    Ok(Compiler::Debian)
}

/// Debian's compiler as installed.
struct Debian {
    /// All of `rustc -vV`: the library fits exactly one build of the compiler.
    version: String,
    host: String,
    sysroot: PathBuf,
}

impl Debian {
    fn find() -> Result<Self> {
        let version = Cmd::new(DEBIAN_RUSTC).arg("-vV").capture()?;
        let host = version
            .lines()
            .find_map(|line| line.strip_prefix("host: "))
            .context("Debian's rustc does not say which host it is for")?
            .to_owned();
        let sysroot = Cmd::new(DEBIAN_RUSTC)
            .args(["--print", "sysroot"])
            .capture()?;
        Ok(Self {
            version,
            host,
            sysroot: sysroot.into(),
        })
    }

    fn release(&self) -> Option<&str> {
        let mut lines = self.version.lines();
        lines.find_map(|line| line.strip_prefix("release: "))
    }

    fn is_new_enough(&self) -> bool {
        let release = self.release().map(numbers);
        release.is_some_and(|release| release >= numbers(RUST_VERSION))
    }

    fn wasm_libraries(&self) -> PathBuf {
        self.sysroot.join("lib/rustlib").join(TARGET).join("lib")
    }

    fn stamp(&self) -> PathBuf {
        self.wasm_libraries().join("zentalk-std-version")
    }

    fn is_ready(&self) -> bool {
        let built_for = fs::read_to_string(self.stamp());
        self.is_new_enough()
            && built_for.is_ok_and(|version| version == self.version)
            && has_std(&self.wasm_libraries())
            && self.linker().exists()
    }

    fn linker(&self) -> PathBuf {
        self.sysroot
            .join("lib/rustlib")
            .join(&self.host)
            .join("bin/rust-lld")
    }

    /// Debian's package has no wasm linker; the toolchain that runs us has one.
    fn ensure_linker(&self) -> Result<()> {
        let linker = self.linker();
        if linker.exists() {
            return Ok(());
        }
        let sysroot = Cmd::new("rustc").args(["--print", "sysroot"]).capture()?;
        let ours = Path::new(&sysroot)
            .join("lib/rustlib")
            .join(&self.host)
            .join("bin/rust-lld");
        let source = if ours.exists() {
            ours
        } else {
            apt::install(&["lld"], "linking wasm")?;
            process::find_program("lld").context("the package lld has no program `lld`")?
        };
        let what = "The wasm linker of Debian's rustc";
        let step = Step::start("Linking the wasm linker into Debian's rustc");
        let folder = linker.parent().unwrap_or(&self.sysroot).to_string_lossy();
        apt::privileged("mkdir", &["-p", &folder], what)?.run_in(&step)?;
        let (source, target) = (source.to_string_lossy(), linker.to_string_lossy());
        apt::privileged("ln", &["-sfn", &source, &target], what)?.run_in(&step)?;
        step.done();
        Ok(())
    }

    /// Builds the standard library through a crate that uses nothing of it, and puts the result
    /// into the compiler's own folders.
    fn build_std(&self) -> Result<()> {
        let step = Step::start("Building the wasm standard library (once, about 2 min)");
        let folder = workspace::path("target/wasm-std");
        fs::create_dir_all(folder.join("src"))?;
        fs::write(folder.join("Cargo.toml"), DUMMY_MANIFEST)?;
        fs::write(folder.join("src/lib.rs"), "#![no_std]\n")?;
        let output = folder.join("target");
        if output.exists() {
            fs::remove_dir_all(&output)?;
        }
        Compiler::Debian
            .cargo()
            .args(["build", "--release", "--target", TARGET])
            .arg("-Zbuild-std=std,panic_abort,panic_unwind,test")
            .arg("--target-dir")
            .arg(&output)
            .env("RUSTC_BOOTSTRAP", "1")
            .dir(&folder)
            .run_in(&step)
            .context("the wasm standard library could not be built")?;

        let mut files = Vec::new();
        for entry in fs::read_dir(output.join(TARGET).join("release/deps"))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.ends_with(".rlib") && !name.starts_with("libzentalk_dummy") {
                files.push(path);
            }
        }
        let stamp = output.join(self.stamp().file_name().unwrap_or_default());
        fs::write(&stamp, &self.version)?;
        files.push(stamp);

        let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
        self.install(&files, &step)?;
        fs::remove_dir_all(&output)?;
        step.done();
        Ok(())
    }

    /// Puts the libraries where the compiler looks, all at once, so that a copy cut short is not
    /// taken for the whole.
    fn install(&self, files: &[&Path], step: &Step) -> Result<()> {
        let what = "The wasm standard library";
        let target = self.wasm_libraries();
        let fresh = target.with_extension("new");
        let (target, fresh_text) = (target.to_string_lossy(), fresh.to_string_lossy());
        apt::privileged("rm", &["-rf", &fresh_text], what)?.run_in(step)?;
        apt::install_files(files, &fresh, what, step)?;
        apt::privileged("rm", &["-rf", &target], what)?.run_in(step)?;
        apt::privileged("mv", &[&fresh_text, &target], what)?.run_in(step)
    }
}

const DUMMY_MANIFEST: &str = "\
[workspace]
[package]
name = \"zentalk-dummy\"
version = \"0.0.0\"
edition = \"2024\"
publish = false
";

/// The numbers of a version: `1.92`, `1.96.0-nightly`.
fn numbers(version: &str) -> Vec<u32> {
    let parts = version.split(['.', '-']);
    parts.map_while(|part| part.parse().ok()).collect()
}

/// True when a folder of libraries holds the standard library and the test harness.
fn has_std(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else {
        return false;
    };
    let names: Vec<String> = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    ["libstd-", "libtest-"]
        .iter()
        .all(|stem| names.iter().any(|name| name.starts_with(stem)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compiler_that_is_older_than_the_workspace_is_for_does_not_do() {
        let debian = |release: &str| Debian {
            version: format!("rustc {release} (x)\nhost: x\nrelease: {release}\n"),
            host: String::new(),
            sysroot: PathBuf::new(),
        };
        for old in ["1.63.0", "1.85.0", "1.9.0", "0.100.0"] {
            assert!(!debian(old).is_new_enough(), "{old}");
        }
        for new in [RUST_VERSION, "1.96.0", "1.100.0-nightly", "2.0.0"] {
            assert!(debian(new).is_new_enough(), "{new}");
        }
    }

    #[test]
    fn the_choice_is_one_of_three() {
        assert_eq!(Choice::from_text("").unwrap(), Choice::Any);
        assert_eq!(Choice::from_text("registry").unwrap(), Choice::Registry);
        assert_eq!(Choice::from_text("rustup").unwrap(), Choice::Rustup);
        assert!(Choice::from_text("nightly").is_err());
    }

    #[test]
    fn a_library_folder_needs_std_and_the_test_harness() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!has_std(&dir.path().join("absent")));
        fs::write(dir.path().join("libstd-1.rlib"), "").unwrap();
        assert!(!has_std(dir.path()));
        fs::write(dir.path().join("libtest-1.rlib"), "").unwrap();
        assert!(has_std(dir.path()));
    }
}
