//! What is missing on this machine, and what to do about it. Installs nothing.

use std::net::TcpListener;

use anyhow::{Result, bail};

use crate::setup::{browser, disk, node, python, wasm_std};
use crate::util::process::{self, Cmd};
use crate::util::ui;
use crate::util::workspace;

/// One thing that was looked at.
struct Finding {
    what: String,
    state: State,
}

enum State {
    Good,
    /// The command that needs it gets it.
    WillBeInstalled,
    /// The person must act; the text says how.
    Missing(String),
}

pub(crate) fn run() -> Result<()> {
    let mut missing = 0;
    for (title, findings) in [
        ("To build and run", to_run()),
        ("To test", to_test()),
        ("This machine", machine()),
    ] {
        ui::heading(title);
        for finding in findings {
            match finding.state {
                State::Good => ui::good(&finding.what),
                State::WillBeInstalled => ui::warn(&finding.what),
                State::Missing(advice) => {
                    missing += 1;
                    ui::bad(&format!("{}: {advice}", finding.what));
                }
            }
        }
    }
    if missing > 0 {
        bail!("{missing} thing(s) need you; what is marked ! is installed when it is needed");
    }
    Ok(())
}

fn good(what: impl Into<String>) -> Finding {
    let state = State::Good;
    Finding {
        what: what.into(),
        state,
    }
}

fn later(what: impl Into<String>) -> Finding {
    let state = State::WillBeInstalled;
    Finding {
        what: what.into(),
        state,
    }
}

fn missing(what: impl Into<String>, advice: impl Into<String>) -> Finding {
    let state = State::Missing(advice.into());
    Finding {
        what: what.into(),
        state,
    }
}

fn to_run() -> Vec<Finding> {
    let mut findings = vec![rust()];
    findings.push(match process::find_program("cc") {
        Some(_) => good("C compiler (for SQLite)"),
        None => missing(
            "no C compiler",
            "run `sudo apt-get install build-essential`",
        ),
    });
    findings.push(match wasm_std::find() {
        Some(wasm_std::Compiler::Default) => good("wasm32 in the Rust toolchain"),
        Some(wasm_std::Compiler::Debian) => good("wasm32 through Debian's rustc-web"),
        None => later("wasm32 is added when it is first needed"),
    });
    findings.push(match node::version() {
        Ok(version) if node::major(&version).is_some_and(|major| major >= node::OLDEST) => {
            good(format!("Node.js {version}"))
        }
        Ok(version) => missing(
            format!("Node.js {version}"),
            format!("{} or newer is needed", node::OLDEST),
        ),
        Err(_) => later("Node.js is installed when it is first needed"),
    });
    if workspace::path("www/node_modules").exists() {
        findings.push(good("the web app's npm packages"));
    } else {
        findings.push(later(
            "the web app's npm packages are installed when first needed",
        ));
    }
    findings
}

fn rust() -> Finding {
    const OLDEST_MINOR: u32 = 92;
    let Ok(version) = Cmd::new("rustc").arg("--version").capture() else {
        return missing("no rustc", "install Rust from https://rustup.rs");
    };
    let minor = version
        .split('.')
        .nth(1)
        .and_then(|minor| minor.parse::<u32>().ok());
    match minor {
        Some(minor) if minor >= OLDEST_MINOR => good(version),
        _ => missing(
            version,
            format!("1.{OLDEST_MINOR} or newer is needed: `rustup update`"),
        ),
    }
}

fn to_test() -> Vec<Finding> {
    let chromium = match browser::find() {
        Some(_) => good("Chromium and its driver"),
        None => later("Chromium is installed by `cargo xtask test`"),
    };
    let component = |name: &str| {
        if Cmd::cargo().args([name, "--version"]).succeeds() {
            good(format!("cargo {name}"))
        } else {
            let component = if name == "fmt" { "rustfmt" } else { name };
            missing(
                format!("no cargo {name}"),
                format!("run `rustup component add {component}`"),
            )
        }
    };
    let python = match python::version() {
        Ok(version) if python::parsed(&version).is_some_and(|v| v >= python::OLDEST) => {
            good(version)
        }
        Ok(version) => missing(version, "docs/interop needs Python 3.10 or newer"),
        Err(_) => later("Python is installed by `cargo xtask test`"),
    };
    vec![chromium, python, component("fmt"), component("clippy")]
}

fn machine() -> Vec<Finding> {
    let space = match (disk::free(), disk::check()) {
        (Ok(free), Ok(())) => good(format!("{:.0} GiB of disk free", disk::gib(free))),
        (_, Err(error)) => missing("too little disk", error.to_string()),
        (Err(error), _) => missing("free disk space is unknown", error.to_string()),
    };
    let ports = match TcpListener::bind(("127.0.0.1", 7600)) {
        Ok(_) => good("port 7600 is free"),
        Err(_) => missing(
            "port 7600 is taken",
            "fine if `cargo xtask up` is running; else use `cargo xtask up --port P`",
        ),
    };
    let root = if process::is_root() || process::find_program("sudo").is_some() {
        good("may install packages")
    } else {
        missing(
            "not root, and no sudo",
            "packages cannot be installed for you; each command says which it needs",
        )
    };
    vec![space, ports, root]
}
