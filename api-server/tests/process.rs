//! The binary as an operator meets it: its ready line, its end, its sentences.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

const NODE: &str = "0123456789abcdef0123456789abcdef01234567";

/// A directory with an app and a configuration.
fn home(listen: &str) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let www = home.path().join("dist");
    fs::create_dir(&www).unwrap();
    fs::write(www.join("index.html"), "<!doctype html>app").unwrap();
    let config = format!(
        "listen = \"{listen}\"\nwww = {www:?}\n\
         [[relay]]\nnode = \"{NODE}\"\nurl = \"wss://relay.example/v1\"\n"
    );
    fs::write(home.path().join("api.toml"), config).unwrap();
    home
}

fn command(home: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zentalk-api"));
    let foreign = std::env::vars_os().map(|(name, _)| name);
    for name in foreign.filter(|name| name.to_string_lossy().starts_with("ZENTALK_API_")) {
        command.env_remove(name);
    }
    command
        .env_remove("RUST_LOG")
        .arg("--config")
        .arg(home.path().join("api.toml"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Waits for the ready line and gives the address in it.
fn ready(child: &mut Child) -> String {
    let mut line = String::new();
    let stdout = child.stdout.as_mut().unwrap();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("ready url=http://");
    address.unwrap_or_else(|| panic!("{line:?}")).to_owned()
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// What it prints on stderr when it cannot start.
fn refusal(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn it_serves_until_its_parent_is_gone() {
    let home = home("127.0.0.1:0");
    let mut child = command(&home).arg("--exit-with-parent").spawn().unwrap();
    let address = ready(&mut child);
    let page = get(&address, "/");
    assert!(
        page.starts_with("HTTP/1.1 200") && page.ends_with("app"),
        "{page}"
    );
    assert!(
        page.contains("content-security-policy: default-src 'none'"),
        "{page}"
    );
    assert!(get(&address, "/bootstrap.json").contains(NODE));
    assert!(get(&address, "/healthz").starts_with("HTTP/1.1 200"));
    assert!(get(&address, "/metrics").contains("zentalk_api_requests_total"));
    assert!(get(&address, "/../api.toml").starts_with("HTTP/1.1 404"));
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

#[cfg(unix)]
#[test]
fn it_ends_well_when_asked_to() {
    let home = home("127.0.0.1:0");
    for signal in ["-TERM", "-INT"] {
        let mut child = command(&home).spawn().unwrap();
        ready(&mut child);
        let id = child.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status().unwrap();
        assert!(sent.success());
        assert!(child.wait().unwrap().success(), "{signal}");
        let mut logs = String::new();
        child.stderr.unwrap().read_to_string(&mut logs).unwrap();
        assert!(logs.contains("stopping"), "{logs}");
        assert!(!logs.contains("127.0.0.1"), "{logs}");
    }
}

#[test]
fn what_it_cannot_do_it_says() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let home = home(&address);
    let text = refusal(&mut command(&home));
    let expected = format!("zentalk-api: another program listens on {address}; ");
    assert!(text.starts_with(&expected), "{text}");

    let text = refusal(command(&home).args(["--www", "/nowhere"]));
    assert!(text.contains("/nowhere does not exist"), "{text}");

    fs::write(home.path().join("api.toml"), "lisen = 1\n").unwrap();
    let text = refusal(&mut command(&home));
    assert!(
        text.contains("no setting `lisen`") && text.contains("api.toml"),
        "{text}"
    );
}

#[test]
fn variables_of_the_environment_are_read_and_checked() {
    let home = home("127.0.0.1:1");
    let mut child = command(&home)
        .env("ZENTALK_API_LISTEN", "127.0.0.1:0")
        .env("ZENTALK_API_LIMITS__CONNECTIONS", "7")
        .env("ZENTALK_API_BIN", "what the build's tools set")
        .arg("--exit-with-parent")
        .spawn()
        .unwrap();
    ready(&mut child);
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());

    let text = refusal(command(&home).env("ZENTALK_API_LISEN", "x"));
    assert!(
        text.contains("no setting `lisen` in the ZENTALK_API_* variables"),
        "{text}"
    );
}
