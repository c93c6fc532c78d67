//! Network namespaces, in which tests put relays: `ip`, and the right to make one with a device in it.

use std::path::Path;

use anyhow::Result;

use super::apt;
use crate::util::process::{self, Cmd};

/// What the names of tests that need them begin with.
pub(crate) const TESTS: &str = "in_namespaces::";

const PURPOSE: &str = "tests in network namespaces";

/// Gets `ip`, where they can be; otherwise says why the tests do not run.
pub(crate) fn ensure() -> Result<Option<&'static str>> {
    if !cfg!(target_os = "linux") {
        return Ok(Some("tests in network namespaces, which need Linux"));
    }
    if !process::is_root() {
        return Ok(Some("tests in network namespaces, which need root"));
    }
    if !Path::new("/dev/net/tun").exists() {
        return Ok(Some("tests in network namespaces, which need /dev/net/tun"));
    }
    if process::find_program("ip").is_none() {
        apt::install(&["iproute2"], PURPOSE)?;
    }
    match may_be_made() {
        true => Ok(None),
        false => Ok(Some(
            "tests in network namespaces, which this system does not let root make",
        )),
    }
}

/// Makes a namespace with a device, and removes it.
fn may_be_made() -> bool {
    let name = format!("zentalk-xtask-{}", std::process::id());
    let ip = |arguments: &[&str]| Cmd::new("ip").args(arguments).succeeds();
    let made = ip(&["netns", "add", &name]);
    let device = ["tuntap", "add", "dev", "tun0", "mode", "tun"];
    let equipped = made && ip(&[&["-n", &name], &device[..]].concat());
    let removed = made && ip(&["netns", "delete", &name]);
    equipped && removed
}
