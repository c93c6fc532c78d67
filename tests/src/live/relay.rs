//! A relay process with its own folder.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tokio::task::spawn_blocking;
use zentalk_relay::daemon::Status;
use zentalk_relay::{files, operator};
use zentalk_shared::client::Bootstrap;
use zentalk_shared::id::NodeId;

use super::program_folder;

/// What a relay process is started with.
#[derive(Clone, Debug)]
pub struct Setup<'a> {
    /// Its folder, which is made.
    pub home: PathBuf,
    /// PKCS#8 DER of its key.
    pub key: &'a [u8],
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where others find it.
    pub url: String,
    /// Who runs it.
    pub operator: String,
    /// URLs of relays that it stays connected to.
    pub peers: &'a [String],
    /// Whether addresses and certificates are those of development.
    pub allow_private: bool,
    /// More lines of its configuration.
    pub extra: &'a str,
    /// Words before the program, such as those that lead into a namespace.
    pub launcher: Vec<String>,
}

/// It runs, or does not at the moment. Killed when dropped.
#[derive(Debug)]
pub struct RelayProcess {
    url: String,
    node: Option<NodeId>,
    home: PathBuf,
    /// Of its configuration, what stays.
    fixed: String,
    launcher: Vec<String>,
    child: Option<Child>,
}

impl RelayProcess {
    /// Writes its folder; nothing runs yet.
    ///
    /// # Panics
    /// If that cannot be written.
    pub fn new(setup: Setup<'_>) -> Self {
        let data = setup.home.join("data");
        let home = setup.home;
        fs::create_dir(&home).expect("a new folder");
        files::private_directory(&data).expect("a new folder");
        let key = data.join("relay-rsa4096.pk8");
        files::write_private(&key, setup.key).expect("a new file");
        let fixed = format!(
            "listen = \"{}\"\nurl = {:?}\ndata_dir = {data:?}\noperator = {:?}\nallow_private = {}\n\
             peers = {:?}\n[log]\nlevel = \"warn\"\n{}",
            setup.listen, setup.url, setup.operator, setup.allow_private, setup.peers, setup.extra,
        );
        fs::write(home.join("relay.toml"), &fixed).expect("a new file");
        Self {
            url: setup.url,
            node: None,
            home,
            fixed,
            launcher: setup.launcher,
            child: None,
        }
    }

    /// Appends sections to the configuration that it was made with, in place of those of the last call, and has it read
    /// by SIGHUP.
    ///
    /// # Panics
    /// If it does not run.
    pub fn reconfigure(&self, more: &str) {
        let text = format!("{}{more}", self.fixed);
        fs::write(self.home.join("relay.toml"), text).expect("its own file");
        let pid = self.child.as_ref().expect("a process").id().to_string();
        let sent = Command::new("kill").args(["-HUP", &pid]).status();
        assert!(sent.expect("kill").success());
    }

    /// Starts it; its process id, with which it may not be ready yet.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn spawn(&mut self) -> u32 {
        let child = self.command().spawn().expect("the relay's program");
        self.child.insert(child).id()
    }

    fn command(&self) -> Command {
        let mut log = fs::File::options();
        let log = log.create(true).append(true).open(self.home.join("log"));
        let program = program_folder().join("zentalk-relay");
        let mut words = self.launcher.iter().map(Path::new).chain([&*program]);
        let mut command = Command::new(words.next().expect("the program at least"));
        command
            .env_clear()
            .args(words)
            .args(["run", "--config"])
            .arg(self.home.join("relay.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.expect("a log"));
        command
    }

    /// Waits until it says that it is ready.
    ///
    /// # Panics
    /// If it was not spawned, or ends before.
    pub async fn ready(&mut self) {
        let child = self.child.as_mut().expect("a process");
        let stdout = child.stdout.take().expect("nobody has waited before");
        let reading = spawn_blocking(move || {
            let mut line = String::new();
            BufReader::new(stdout).read_line(&mut line).map(|_| line)
        });
        let line = reading.await.expect("no panic").expect("a line");
        let rest = line.strip_prefix("ready node=");
        let Some(node) = rest.and_then(|rest| parse_node(rest.split_whitespace().next()?)) else {
            panic!("{}: {line:?}\n{}", self.home.display(), self.log());
        };
        self.node = Some(node);
    }

    /// `kill -9`.
    ///
    /// # Panics
    /// If the system refuses.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("our own process");
            child.wait().expect("our own process");
        }
    }

    /// SIGTERM, and waits for the end.
    ///
    /// # Panics
    /// If it does not end well.
    pub async fn stop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        let pid = child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(sent.expect("kill").success());
        let ending = spawn_blocking(move || child.wait());
        let ended = ending.await.expect("no panic").expect("our own process");
        assert!(ended.success(), "{}\n{}", self.home.display(), self.log());
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.home.join("log")).unwrap_or_default()
    }

    /// Relays that it knows, itself included, if it runs and is asked in time.
    pub fn relays_known(&self) -> Option<usize> {
        Some(self.status()?.relays_known)
    }

    /// What it tells its operator, if it runs and is asked in time.
    pub fn status(&self) -> Option<Status> {
        operator::status(&self.home.join("data")).ok()
    }

    /// For people who begin with it.
    ///
    /// # Panics
    /// If it was never ready.
    pub fn bootstrap(&self) -> Bootstrap {
        Bootstrap {
            node: self.node.expect("it was ready"),
            url: self.url.clone(),
        }
    }
}

impl Drop for RelayProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A NodeId as relays print it.
pub fn parse_node(text: &str) -> Option<NodeId> {
    let byte = |at: usize| u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok();
    let bytes: Option<Vec<u8>> = (0..20).map(byte).collect();
    Some(NodeId::from_bytes(bytes?.try_into().ok()?))
}
