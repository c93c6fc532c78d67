//! What an operator reads when something is wrong: a sentence that names what to change.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use support::{Network, binary, data_dir, free_ports};

/// Runs the relay until it ends; yields what it said.
fn complaint(config: &str, home: &Path) -> String {
    let path = home.join("relay.toml");
    fs::write(&path, config).unwrap();
    let output = binary()
        .arg("--config")
        .arg(&path)
        .stdout(Stdio::null())
        .output()
        .unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

fn config(port: u16, data: &Path) -> String {
    format!(
        "listen = \"127.0.0.1:{port}\"\nurl = \"ws://127.0.0.1:{port}/v1\"\n\
         data_dir = {data:?}\nallow_private = true\n"
    )
}

#[test]
fn faults_are_sentences() {
    let home = tempfile::tempdir().unwrap();
    let data = data_dir(home.path(), 0);
    let port = free_ports(1)[0];
    let good = config(port, &data);
    let said = complaint(&format!("{good}lisen = 1\n"), home.path());
    assert!(said.contains("lisen"), "{said}");
    let said = complaint(&good.replace("true", "false"), home.path());
    assert!(said.contains("TLS"), "{said}");

    let taken = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let said = complaint(&good, home.path());
    assert!(
        said.contains(&format!("cannot listen on 127.0.0.1:{port}")),
        "{said}"
    );
    assert!(said.contains("another process uses that port"), "{said}");
    drop(taken);

    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
    let said = complaint(&good, home.path());
    assert!(said.contains("chmod 700"), "{said}");
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();

    let key = data.join("relay-rsa4096.pk8");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let said = complaint(&good, home.path());
    assert!(said.contains("chmod 600"), "{said}");

    let said = complaint(&config(port, Path::new("/proc/nowhere")), home.path());
    assert!(
        said.contains("cannot use the data directory /proc/nowhere"),
        "{said}"
    );
}

#[test]
fn two_relays_do_not_share_a_directory() {
    let network = Network::start(1, |_| String::new());
    let home = tempfile::tempdir().unwrap();
    let data = network.relays[0].home.join("data");
    let said = complaint(&config(free_ports(1)[0], &data), home.path());
    assert!(said.contains("in use by another relay"), "{said}");
}

#[test]
fn the_node_id_is_printed_and_stays() {
    let home = tempfile::tempdir().unwrap();
    let data = data_dir(home.path(), 0);
    let path = home.path().join("relay.toml");
    fs::write(&path, config(free_ports(1)[0], &data)).unwrap();
    let print = || {
        let output = binary()
            .arg("--config")
            .arg(&path)
            .arg("--node-id")
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let first = print();
    assert_eq!(first.trim().len(), 40);
    assert_eq!(print(), first);
}

#[test]
fn a_relay_ends_with_its_parent() {
    let home = tempfile::tempdir().unwrap();
    let data = data_dir(home.path(), 0);
    let path = home.path().join("relay.toml");
    fs::write(&path, config(free_ports(1)[0], &data)).unwrap();
    let mut child = binary()
        .arg("--config")
        .arg(&path)
        .arg("--exit-with-parent")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let stdout = child.stdout.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
    assert!(line.starts_with("ready"), "{line}");
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn keys_and_database_are_private() {
    let network = Network::start(1, |_| String::new());
    let data = network.relays[0].home.join("data");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    for entry in fs::read_dir(&data).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path) & 0o077, 0, "{}", path.display());
    }
}
