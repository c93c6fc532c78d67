//! Programs that `cargo xtask up` starts end with it, even when it is killed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const XTASK: &str = env!("CARGO_BIN_EXE_xtask");

/// A shell that starts a long `sleep` bound to itself, prints its process id, and waits.
fn parent_of_bound() -> (Child, u32) {
    let script = "\"$0\" bound --parent $$ -- sleep 600 & echo $!; wait";
    let mut shell = Command::new("sh")
        .args(["-c", script, XTASK])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(shell.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    (shell, line.trim().parse().unwrap())
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        std::thread::yield_now();
    }
}

/// The program that a process runs; none when it has ended.
fn program(pid: u32) -> Option<String> {
    let text =
        std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    let (_, rest) = text.split_once('(')?;
    let (name, state) = rest.rsplit_once(')')?;
    (!state.starts_with(" Z")).then(|| name.to_owned())
}

#[test]
fn a_bound_program_ends_when_its_parent_is_killed() {
    let (mut parent, pid) = parent_of_bound();
    wait_for("the start", || program(pid).as_deref() == Some("sleep"));
    parent.kill().unwrap();
    parent.wait().unwrap();
    wait_for("the end", || program(pid).is_none());
}

#[test]
fn a_bound_program_does_not_start_without_its_parent() {
    let output = Command::new(XTASK)
        .args(["bound", "--parent", "1", "--", "echo", "started"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(output.stdout.is_empty());
}

#[test]
fn unknown_commands_and_names_are_refused_with_advice() {
    let run = |args: &[&str]| {
        let output = Command::new(XTASK).args(args).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(run(&["bench", "nothing"]).contains("there is no benchmark `nothing`"));
    assert!(run(&["fuzz", "nothing"]).contains("there is no target `nothing`"));
    assert!(run(&["up", "--relays", "0"]).contains("0 is not in 1..=50"));
}
