//! How each suite is set up and run.

use std::fs;
use std::path::Path;
use std::thread;

use anstream::println;
use anyhow::{Context, Result, bail};

use super::Outcome;
use super::count::Count;
use super::targets;
use crate::build::{self, Flavour};
use crate::setup::{bindgen, browser, disk, namespaces, node, python, wasm_std};
use crate::up;
use crate::util::process::Cmd;
use crate::util::workspace;

/// Everything that cargo runs natively. Fuzz corpora are replayed by ordinary tests among these.
pub(super) fn rust(filter: Option<&str>) -> Result<Outcome> {
    disk::check()?;
    // Once, and as the other suites build them: a test that builds them itself does so in an environment of its own.
    up::daemons()?;
    let left_out = namespaces::ensure()?;
    let tests = |selected: &[String]| {
        let command = Cmd::cargo()
            .args(["test", "--workspace", "--no-fail-fast", "--locked"])
            .args(selected)
            .args(filter)
            .env("ZENTALK_BIN_DIR", up::daemon_folder());
        match left_out {
            Some(_) => command.args(["--", "--skip", namespaces::TESTS]),
            None => command,
        }
    };
    let (waiting, computing) = targets::groups()?;
    let built = counted(Cmd::cargo().args(["test", "--workspace", "--no-run", "--locked"]))?;
    if built.is_broken {
        return Ok(built);
    }
    let (beside, outcome) = thread::scope(|scope| {
        let beside = scope.spawn(|| collected(tests(&waiting)));
        let outcome = counted(tests(&computing).yielding());
        (beside.join(), outcome)
    });
    let mut outcome = outcome?;
    match beside {
        Ok(beside) => outcome.add(beside?),
        Err(_) => bail!("the runner of the tests that wait has panicked"),
    }
    outcome.add(counted(tests(&["--doc".to_owned()]))?);
    outcome.left_out = left_out;
    Ok(outcome)
}

/// The receiving side written once more, in Python, from PROTOCOL.md alone: on the vectors, and on traffic that
/// the real engine and relays make for it, another one every time.
pub(super) fn interop() -> Result<Outcome> {
    let python = python::ensure()?;
    let check = |program: &str, what: &Path| {
        let program = workspace::path("docs/interop").join(program);
        // No `__pycache__` among the sources.
        counted(Cmd::new(&python).arg("-B").arg(program).arg(what))
    };
    let mut outcome = check("vectors.py", &workspace::path("shared/tests/vectors"))?;
    disk::check()?;
    let folder = workspace::path("target/interop/traffic");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    up::daemons()?;
    let recorder = up::daemon_folder()
        .join("examples")
        .join(up::TRAFFIC_RECORDER);
    let recorded = Cmd::new(recorder).arg(&folder).run_reading(|_| ())?;
    outcome.is_broken |= !recorded.success();
    outcome.add(check("live.py", &folder)?);
    Ok(outcome)
}

/// The wasm client's tests, in headless Chromium.
pub(super) fn wasm(filter: Option<&str>) -> Result<Outcome> {
    disk::check()?;
    let compiler = wasm_std::ensure()?;
    let browser = browser::ensure()?;
    let runner = bindgen::ensure()?;
    let capabilities = webdriver_capabilities(&browser.chromium.to_string_lossy());
    let folder = workspace::path("target/xtask");
    fs::create_dir_all(&folder)?;
    // The runner looks for this file in the package's folder, where cargo starts it.
    let file = workspace::path("client-wasm/webdriver.json");
    if fs::read_to_string(&file).ok().as_deref() != Some(capabilities.as_str()) {
        fs::write(&file, capabilities)
            .with_context(|| format!("cannot write {}", workspace::shown(&file)))?;
    }
    let command = compiler
        .cargo()
        .args([
            "test",
            "--package",
            build::WASM_PACKAGE,
            "--no-fail-fast",
            "--locked",
        ])
        .args(["--tests", "--lib", "--target", wasm_std::TARGET])
        .args(["--profile", Flavour::Development.profile()])
        .args(["--target-dir", build::WASM_TARGET_DIR])
        .args(filter)
        .env(
            "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER",
            format!("{} test", runner.display()),
        )
        .env("CHROMEDRIVER", &browser.driver)
        .env("WASM_BINDGEN_USE_BROWSER", "1")
        .env("WASM_BINDGEN_TEST_TIMEOUT", "120");
    counted(command)
}

/// Types and unit tests of the npm package and of the web app.
pub(super) fn web() -> Result<Outcome> {
    build::wasm_client(Flavour::Development)?;
    let mut outcome = Outcome::default();
    for folder in ["client-wasm", "www"] {
        let home = workspace::path(folder);
        node::packages(&home)?;
        outcome.add(counted(Cmd::new("npm").args(["run", "check"]).dir(&home))?);
        outcome.add(counted(Cmd::new("npm").arg("test").dir(&home))?);
    }
    Ok(outcome)
}

/// Browsers: the npm package, every screen of the app against a made-up engine, and the app against real
/// relay processes.
pub(super) fn end_to_end() -> Result<Outcome> {
    let browser = browser::ensure()?;
    up::daemons()?;
    build::wasm_client(Flavour::Development)?;
    build::web_app()?;
    let mut outcome = Outcome::default();
    for (folder, script) in [("client-wasm", "e2e"), ("www", "e2e:fake"), ("www", "e2e")] {
        let home = workspace::path(folder);
        node::packages(&home)?;
        let command = Cmd::new("npm")
            .args(["run", script])
            .dir(&home)
            .env("CHROMIUM", &browser.chromium)
            .env("ZENTALK_BIN_DIR", up::daemon_folder())
            .env("ZENTALK_WWW_DIST", workspace::path("www/dist"));
        outcome.add(counted(command)?);
    }
    Ok(outcome)
}

/// Runs a runner with its output passed on, and adds up what it reports.
fn counted(command: Cmd) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let status = command.run_reading(|line| outcome.count.add(Count::of_line(line)))?;
    outcome.is_broken = !status.success();
    Ok(outcome)
}

/// The same beside another runner: its output is passed on at its end, in one piece.
fn collected(command: Cmd) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let (status, printed) =
        command.run_collecting(|line| outcome.count.add(Count::of_line(line)))?;
    println!("{printed}");
    outcome.is_broken = !status.success();
    Ok(outcome)
}

/// Capabilities as WebDriver wants them: quiet, headless, nothing that reaches the network.
fn webdriver_capabilities(chromium: &str) -> String {
    let switches = [
        "headless=new",
        "no-sandbox",
        "disable-gpu",
        "disable-quic",
        "no-first-run",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        "disable-dev-shm-usage",
    ]
    .map(|switch| format!("\"{switch}\""))
    .join(", ");
    format!(
        "{{\n  \"goog:chromeOptions\": {{\n    \"binary\": \"{chromium}\",\n    \
         \"args\": [{switches}]\n  }}\n}}\n"
    )
}
