//! What an operator reads when something is wrong: a sentence that names what to change.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use support::{
    Client, Network, Owner, PATIENCE, binary, complete_directory, data_dir, envelope_id,
    eventually, free_ports,
};
use zentalk_shared::rpc::Reply;

/// Runs the relay until it ends; yields what it said.
fn complaint(config: &str, home: &Path) -> String {
    let path = home.join("relay.toml");
    fs::write(&path, config).unwrap();
    let output = binary()
        .args(["run", "--config"])
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
            .args(["node-id", "--config"])
            .arg(&path)
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
        .args(["run", "--config"])
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

/// The relay's program with these arguments, in a folder: whether it succeeded, and all that it said.
fn operate(home: &Path, arguments: &[&str]) -> (bool, String) {
    let output = binary().current_dir(home).args(arguments).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[test]
fn from_nothing_to_a_relay_that_could_run() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    data_dir(home, 0);
    let url = format!("ws://127.0.0.1:{}/v1", free_ports(1)[0]);
    let init = ["init", "--url", &url, "--allow-private", "--operator", "me"];
    let (done, said) = operate(home, &init);
    assert!(done && said.contains("this relay is "), "{said}");
    let (done, said) = operate(home, &["check", "--config", "relay.toml"]);
    assert!(done, "{said}");
    assert!(
        said.contains("ok    config") && !said.contains("WRONG"),
        "{said}"
    );
    let (done, said) = operate(home, &["status", "--config", "relay.toml"]);
    assert!(!done && said.contains("no relay runs on"), "{said}");

    let before = fs::read(home.join("relay.toml")).unwrap();
    let (done, said) = operate(home, &init);
    assert!(!done && said.contains("nothing was overwritten"), "{said}");
    assert_eq!(fs::read(home.join("relay.toml")).unwrap(), before);
    let (done, said) = operate(home, &["init", "--config", "other.toml"]);
    assert!(!done && said.contains("--url"), "{said}");
    let plain = [
        "init",
        "--config",
        "other.toml",
        "--url",
        "ws://127.0.0.1:1/v1",
    ];
    let (done, said) = operate(home, &plain);
    assert!(!done && said.contains("TLS"), "{said}");
    assert!(!home.join("other.toml").exists());
}

#[test]
fn check_names_what_keeps_a_relay_from_running() {
    let home = tempfile::tempdir().unwrap();
    let data = data_dir(home.path(), 0);
    let port = free_ports(1)[0];
    let path = home.path().join("relay.toml");
    let check = |config: String| {
        fs::write(&path, config).unwrap();
        operate(home.path(), &["check", "--config", "relay.toml"])
    };
    let good = config(port, &data);
    let (done, said) = check(good.clone());
    assert!(
        done && said.contains("note  identity"),
        "half of it: {said}"
    );
    let secure = good.replace("ws://", "wss://");
    let tls = "[tls]\nmode = \"files\"\ncertificate = \"absent.pem\"\nkey = \"absent.key\"\n";
    let (done, said) = check(format!("{secure}{tls}"));
    assert!(!done && said.contains("WRONG certificate"), "{said}");
    assert!(said.contains("absent.pem"), "{said}");

    let made = rcgen::generate_simple_self_signed(["relay.example.org".to_owned()]).unwrap();
    fs::write(home.path().join("absent.pem"), made.cert.pem()).unwrap();
    fs::write(
        home.path().join("absent.key"),
        made.signing_key.serialize_pem(),
    )
    .unwrap();
    let (done, said) = check(format!("{secure}{tls}"));
    assert!(!done && said.contains("it is not for 127.0.0.1"), "{said}");

    let taken = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let (done, said) = check(good.clone());
    assert!(!done && said.contains("WRONG listen"), "{said}");
    drop(taken);
    fs::write(
        data.join("relay.sqlite"),
        "not a database, and long enough to tell".repeat(99),
    )
    .unwrap();
    let (done, said) = check(good);
    assert!(!done && said.contains("WRONG database"), "{said}");
}

#[tokio::test]
async fn a_torn_database_is_set_aside_and_everybody_is_told() {
    let mut network = Network::start(1, |_| String::new());
    let relay = &mut network.relays[0];
    // With its log a database would mend itself.
    relay.terminate();
    let (_, node) = relay.command(&["node-id"]);
    let database = relay.home.join("data/relay.sqlite");
    fs::write(
        &database,
        "not a database, and long enough to tell".repeat(99),
    )
    .unwrap();
    relay.start();
    assert!(relay.log().contains("set aside as"), "{}", relay.log());
    let status = relay.status();
    assert!(status.contains("relay.sqlite.damaged-1"), "{status}");
    assert!(
        status.contains(node.trim()),
        "it is the same relay: {status}"
    );
    assert!(status.contains("\"dht_contacts\":"), "{status}");
    let (serves, said) = relay.command(&["status"]);
    assert!(serves && said.contains("dht  "), "{said}");
}

#[tokio::test]
async fn what_may_change_changes_on_sighup_and_the_rest_is_named() {
    let network = Network::start(1, |_| String::new());
    let relay = &network.relays[0];
    relay.configure("region = \"moved\"\nfeatures = [\"guard\"]\n");
    relay.signal("-HUP");
    eventually(|| relay.log().contains("reloaded: region")).await;
    assert!(relay.log().contains("only at the next start: features"));
    let is_moved = |directory: &zentalk_shared::onion::Directory| {
        directory.iter().any(|d| d.info().region == "moved")
    };
    let published = async {
        while !is_moved(&complete_directory(&relay.url, 1).await) {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, published)
        .await
        .expect("the new descriptor");

    relay.configure("regoin = 1\n");
    relay.signal("-HUP");
    eventually(|| relay.log().contains("nothing was reloaded")).await;
    assert!(relay.log().contains("regoin"));
    assert_eq!(relay.get("/healthz", "").await.0, 200);
}

#[tokio::test]
async fn mail_of_a_backup_is_there_after_the_disk_was_lost() {
    let mut network = Network::start(1, |_| String::new());
    let relay = &mut network.relays[0];
    let directory = complete_directory(&relay.url, 1).await;
    let node = directory.iter().next().unwrap().node();
    let mut client = Client::at(&relay.url, 1).await;
    let mut owner = Owner::new(&mut client, vec![node]);
    let path = client.path(&directory, &[]);
    let subscribe = owner.subscription(&mut client, &node, &path.back(), 0);
    let reply = client.call(&path, &subscribe).await;
    assert!(matches!(reply, Reply::Subscribe(_)), "{reply:?}");
    let reply = client.call(&path, &owner.put(&node, 1)).await;
    assert!(
        matches!(reply, Reply::Put(put) if put.held == 1),
        "{reply:?}"
    );

    let copy = relay.home.join("copy");
    let (done, said) = relay.command(&["backup", copy.to_str().unwrap()]);
    assert!(done && said.contains("1 mailboxes, 1 envelopes"), "{said}");
    let (done, said) = relay.command(&["restore", copy.to_str().unwrap()]);
    assert!(!done && said.contains("in use by another relay"), "{said}");
    relay.kill();
    fs::remove_dir_all(relay.home.join("data")).unwrap();
    let (done, said) = relay.command(&["restore", copy.to_str().unwrap()]);
    assert!(done && said.contains("1 mailboxes, 1 envelopes"), "{said}");
    relay.start();

    let directory = complete_directory(&relay.url, 1).await;
    assert_eq!(directory.iter().next().unwrap().node(), node);
    let mut client = Client::at(&relay.url, 2).await;
    let path = client.path(&directory, &[]);
    let found = owner.fetch_all(&mut client, &path, &node).await;
    assert_eq!(found, [envelope_id(1)]);
}

#[tokio::test]
async fn metrics_of_a_collector_are_the_ones_that_are_documented() {
    let port = free_ports(1)[0];
    let extra = format!("[metrics]\nlisten = \"127.0.0.1:{port}\"\n");
    let network = Network::start(1, |_| extra.clone());
    let relay = &network.relays[0];
    complete_directory(&relay.url, 1).await;
    let scrape = || {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        let request = b"GET /metrics HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n";
        std::io::Write::write_all(&mut stream, request).unwrap();
        std::io::read_to_string(stream).unwrap()
    };
    eventually(|| scrape().contains("zentalk_relays_known 1")).await;
    let text = scrape();
    assert!(text.contains("zentalk_database_bytes") && text.contains("zentalk_disk_free_bytes"));
    let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    for name in names.map(|rest| rest.split(' ').next().unwrap()) {
        assert!(
            zentalk_relay::daemon::SERIES
                .iter()
                .any(|(known, _)| *known == name),
            "{name}"
        );
    }
}
