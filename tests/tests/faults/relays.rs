//! Relay processes behind wires.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener as StdListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::net::TcpListener;
use tokio::task::{JoinHandle, spawn_blocking};
use zentalk_shared::client::Bootstrap;
use zentalk_shared::id::NodeId;
use zentalk_tests::keys;

use super::wire::Wires;

/// A relay process with its own folder.
struct RelayProcess {
    url: String,
    node: Option<NodeId>,
    home: PathBuf,
    child: Option<Child>,
}

/// Relays that know each other, each behind its wire.
pub(crate) struct Network {
    relays: Vec<RelayProcess>,
    pub(crate) wires: Wires,
    leading: Vec<JoinHandle<()>>,
    _folder: tempfile::TempDir,
}

/// Where the daemons are, if somebody has built them.
const BIN_DIR: &str = "ZENTALK_BIN_DIR";

/// The program; it is built where nobody says where it is: a package's tests get the programs of that package only.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| match std::env::var_os(BIN_DIR) {
        Some(folder) => PathBuf::from(folder).join(RELAY),
        None => build(),
    })
}

const RELAY: &str = "zentalk-relay";

fn build() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let folder = tests.parent().and_then(Path::parent).unwrap().to_owned();
    // With the features that the tests were built with: nothing but the program is compiled.
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--workspace", "--bin", RELAY]);
    build.args(["--example", "interop_traffic"]);
    if folder.ends_with("release") {
        build.arg("--release");
    }
    assert!(build.status().unwrap().success());
    folder.join(RELAY)
}

/// A port below those that the system gives to outgoing connections, so that none takes it while its relay is down.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(97);
    let mut candidates = std::iter::from_fn(|| {
        let offset = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000;
        u16::try_from(11_000 + offset).ok()
    });
    let is_free = |port: &u16| StdListener::bind(("127.0.0.1", *port)).is_ok();
    candidates.find(is_free).expect("a free port")
}

impl Network {
    /// Starts relays; `extra` is appended to each one's configuration.
    pub(crate) async fn start(count: usize, wires: Wires, extra: impl Fn(usize) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut places = Vec::new();
        for _ in 0..count {
            let outside = TcpListener::bind("127.0.0.1:0").await.unwrap();
            places.push((outside, free_port()));
        }
        let url = |outside: &TcpListener| {
            let port = outside.local_addr().unwrap().port();
            format!("ws://127.0.0.1:{port}/v1")
        };
        let urls: Vec<String> = places.iter().map(|(outside, _)| url(outside)).collect();
        let (mut relays, mut leading) = (Vec::new(), Vec::new());
        for (index, (outside, port)) in places.into_iter().enumerate() {
            let home = folder.path().join(format!("relay-{index}"));
            configure(&home, index, port, &urls, &extra(index));
            relays.push(RelayProcess {
                url: urls[index].clone(),
                node: None,
                home,
                child: None,
            });
            leading.push(tokio::spawn(wires.clone().lead(outside, index, port)));
        }
        let mut network = Self {
            relays,
            wires,
            leading,
            _folder: folder,
        };
        for index in 0..count {
            network.start_one(index).await;
        }
        network
    }

    /// Starts a relay and waits until it says that it is ready.
    pub(crate) async fn start_one(&mut self, index: usize) {
        let relay = &mut self.relays[index];
        let mut child = relay.command().spawn().unwrap();
        self.wires.is_now(index, Some(child.id()));
        let stdout = child.stdout.take().unwrap();
        relay.child = Some(child);
        let reading = spawn_blocking(move || {
            let mut line = String::new();
            BufReader::new(stdout).read_line(&mut line).map(|_| line)
        });
        let line = reading.await.unwrap().unwrap();
        let rest = line.strip_prefix("ready node=");
        let Some(node) = rest.and_then(|rest| parse_node(rest.split_whitespace().next()?)) else {
            panic!("relay {index}: {line:?}\n{}", self.log(index));
        };
        relay.node = Some(node);
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self, index: usize) {
        self.wires.is_now(index, None);
        self.relays[index].kill();
    }

    /// SIGTERM, and waits for the end.
    pub(crate) async fn stop(&mut self, index: usize) {
        let Some(mut child) = self.relays[index].child.take() else {
            return;
        };
        let pid = child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(sent.unwrap().success());
        let ended = spawn_blocking(move || child.wait()).await.unwrap().unwrap();
        assert!(ended.success(), "relay {index}\n{}", self.log(index));
        self.wires.is_now(index, None);
    }

    /// Whether any relay has logged this.
    pub(crate) fn says(&self, what: &str) -> bool {
        (0..self.relays.len()).any(|index| self.log(index).contains(what))
    }

    /// What a relay has logged.
    fn log(&self, index: usize) -> String {
        fs::read_to_string(self.relays[index].home.join("log")).unwrap_or_default()
    }

    /// Where people begin.
    pub(crate) fn bootstrap(&self) -> Vec<Bootstrap> {
        let first = self.relays.iter().take(3);
        let first = first.map(|relay| Bootstrap {
            node: relay.node.expect("it has started"),
            url: relay.url.clone(),
        });
        first.collect()
    }

    pub(crate) const fn len(&self) -> usize {
        self.relays.len()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.leading.iter().for_each(JoinHandle::abort);
    }
}

impl RelayProcess {
    fn command(&self) -> Command {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.home.join("log"))
            .unwrap();
        let mut command = Command::new(program());
        command
            .env_clear()
            .args(["run", "--config"])
            .arg(self.home.join("relay.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        command
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for RelayProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

fn configure(home: &Path, index: usize, port: u16, urls: &[String], extra: &str) {
    let data = home.join("data");
    fs::create_dir(home).unwrap();
    zentalk_relay::files::private_directory(&data).unwrap();
    let key = data.join("relay-rsa4096.pk8");
    zentalk_relay::files::write_private(&key, keys::relay_der(index)).unwrap();
    let text = format!(
        "listen = \"127.0.0.1:{port}\"\nurl = {:?}\ndata_dir = {data:?}\noperator = \"{index}\"\n\
         allow_private = true\npeers = {urls:?}\n[log]\nlevel = \"warn\"\n{extra}",
        urls[index],
    );
    fs::write(home.join("relay.toml"), text).unwrap();
}

fn parse_node(text: &str) -> Option<NodeId> {
    let byte = |at: usize| u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok();
    let bytes: Option<Vec<u8>> = (0..20).map(byte).collect();
    Some(NodeId::from_bytes(bytes?.try_into().ok()?))
}
