//! Relay processes behind wires.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use zentalk_shared::id::NodeId;
use zentalk_tests::keys;

use super::wire::Wires;

/// A relay process with its own folder.
pub(crate) struct RelayProcess {
    pub(crate) url: String,
    pub(crate) node: Option<NodeId>,
    home: PathBuf,
    child: Option<Child>,
    /// What is put before the command.
    pub(crate) environment: Vec<(&'static str, String)>,
}

/// Relays that know each other, each behind its wire.
pub(crate) struct Network {
    pub(crate) relays: Vec<RelayProcess>,
    pub(crate) wires: Wires,
    leading: Vec<JoinHandle<()>>,
    folder: tempfile::TempDir,
}

/// The program, built if it is not there yet: a package's tests get the programs of that package only.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let tests = std::env::current_exe().unwrap();
        let folder = tests.parent().and_then(Path::parent).unwrap().to_owned();
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--package", "zentalk-relay", "--bins"]);
        if folder.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success());
        folder.join("zentalk-relay")
    })
}

impl Network {
    pub(crate) async fn start(count: usize, wires: Wires) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut network = Self {
            relays: Vec::new(),
            wires,
            leading: Vec::new(),
            folder,
        };
        let mut places = Vec::new();
        for _ in 0..count {
            let outside = TcpListener::bind("127.0.0.1:0").await.unwrap();
            // Free when the relay binds it: nothing else in this test asks for a port.
            let inside = TcpListener::bind("127.0.0.1:0").await.unwrap();
            places.push((outside, inside.local_addr().unwrap().port()));
        }
        let url = |outside: &TcpListener| {
            format!("ws://127.0.0.1:{}/v1", outside.local_addr().unwrap().port())
        };
        let urls: Vec<String> = places.iter().map(|(outside, _)| url(outside)).collect();
        for (index, (outside, port)) in places.into_iter().enumerate() {
            let home = network.folder.path().join(format!("relay-{index}"));
            configure(&home, index, port, &urls);
            network.relays.push(RelayProcess {
                url: urls[index].clone(),
                node: None,
                home,
                child: None,
                environment: Vec::new(),
            });
            let wires = network.wires.clone();
            network.leading.push(tokio::spawn(wires.lead(outside, index, port)));
        }
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
        let reading = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            BufReader::new(stdout).read_line(&mut line).map(|_| line)
        });
        let line = reading.await.unwrap().unwrap();
        let node = line.strip_prefix("ready node=").and_then(|rest| rest.split(' ').next());
        let Some(node) = node else {
            panic!("relay {index}: {line:?}\n{}", relay.log());
        };
        relay.node = Some(parse_node(node));
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
        let waiting = tokio::task::spawn_blocking(move || child.wait());
        waiting.await.unwrap().unwrap();
        self.wires.is_now(index, None);
    }

    pub(crate) fn home(&self, index: usize) -> &Path {
        &self.relays[index].home
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
            .envs(self.environment.iter().map(|(key, value)| (*key, value)))
            .arg("--config")
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

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.home.join("log")).unwrap_or_default()
    }
}

impl Drop for RelayProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

fn configure(home: &Path, index: usize, port: u16, urls: &[String]) {
    let data = home.join("data");
    zentalk_relay::files::private_directory(&data).unwrap();
    let key = data.join("relay-rsa4096.pk8");
    zentalk_relay::files::write_private(&key, keys::relay_der(index)).unwrap();
    let text = format!(
        "listen = \"127.0.0.1:{port}\"\nurl = {:?}\ndata_dir = {data:?}\noperator = \"{index}\"\n\
         allow_private = true\npeers = {urls:?}\n[log]\nlevel = \"warn\"\n",
        urls[index],
    );
    fs::write(home.join("relay.toml"), text).unwrap();
}

fn parse_node(text: &str) -> NodeId {
    let byte = |at: usize| u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok();
    let bytes: Option<Vec<u8>> = (0..20).map(byte).collect();
    let bytes: [u8; 20] = bytes.and_then(|bytes| bytes.try_into().ok()).expect("a NodeId");
    NodeId::from_bytes(bytes)
}
