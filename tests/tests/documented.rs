//! Commands of docs/OPERATORS.md that start ZenTalk, run as a shell runs them: a single relay by hand, the decentralised
//! and the hybrid mode; each then serves. What the page leaves to its reader is put in: places on this machine, which
//! relays A, B and C are, and for the API server that it need not ask for certificates. The centralised mode's command,
//! `cargo xtask up --relays 1`, is not run: it builds the web app first. That it is understood, xtask checks; what it
//! starts beside the app, an API server and relays, is started by the tests in browsers in a way of their own.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{sleep, timeout};
use zentalk_relay::operator;
use zentalk_shared::client::{Bootstrap, Config, NetConfig, StockConfig};
use zentalk_shared::id::NodeId;
use zentalk_tests::keys;
use zentalk_tests::live::{
    Access, Clock, People, RelayProcess, Setup, free_port, parse_node, program_folder,
};

const PAGE: &str = include_str!("../../docs/OPERATORS.md");
/// An RSA key, a proof of work, on a busy machine; what never comes fails all the same.
const PATIENCE: Duration = Duration::from_secs(240);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The part of the page about the three modes.
fn section() -> &'static str {
    let (_, rest) = PAGE
        .split_once("\n## Three ways to run ZenTalk\n")
        .expect("the section");
    rest.split("\n## ").next().expect("its text")
}

/// The last piece of code in a text, on one line.
fn code(text: &str) -> String {
    let pieces: Vec<_> = text.split('`').collect();
    assert!(
        pieces.len() > 2 && pieces.len() % 2 == 1,
        "no code: {text:?}"
    );
    let words = pieces[pieces.len() - 2].split_whitespace();
    words.collect::<Vec<_>>().join(" ")
}

/// What the table says for a mode.
fn command_of(mode: &str) -> String {
    let start = format!("| {mode} |");
    let row = section().lines().find(|line| line.starts_with(&start));
    code(row.expect("a row of the table"))
}

/// A command in a shell, with the programs on its path; ended with all that it has started.
struct Shell {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    group: u32,
}

fn shell(command: &str, home: &Path) -> Command {
    let path = format!("{}:/usr/bin:/bin", program_folder().display());
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).current_dir(home);
    shell.env_clear().env("PATH", path).stdin(Stdio::null());
    shell
}

/// Runs a command to its end.
async fn run(command: &str, home: &Path) -> Output {
    let output = shell(command, home).output();
    timeout(PATIENCE, output).await.expect("an end").unwrap()
}

impl Shell {
    fn start(command: &str, home: &Path) -> Self {
        let mut command = shell(command, home);
        command.stderr(File::create(home.join("log")).unwrap());
        command.stdout(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        Self {
            group: child.id().unwrap(),
            lines: BufReader::new(stdout).lines(),
            child,
        }
    }

    /// What follows in the first line that begins so.
    async fn says(&mut self, start: &str, home: &Path) -> String {
        let reading = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                if let Some(rest) = line.strip_prefix(start) {
                    return rest.to_owned();
                }
            }
            let log = fs::read_to_string(home.join("log")).unwrap_or_default();
            panic!("it ended and did not say {start:?}\n{log}")
        };
        timeout(PATIENCE, reading).await.expect("in time")
    }

    fn signal(&self, signal: &str) {
        let group = format!("-{}", self.group);
        let kill = std::process::Command::new("kill")
            .args([signal, "--", &group])
            .stderr(Stdio::null())
            .status();
        drop(kill);
    }

    /// SIGTERM, as who closes a terminal sends it to everybody in it; waits until the last one has gone.
    async fn end(mut self) {
        self.signal("-TERM");
        let ending = async {
            // The pipe has its end when nobody holds it any more.
            while self.lines.next_line().await.unwrap().is_some() {}
            self.child.wait().await.unwrap();
        };
        timeout(PATIENCE, ending).await.expect("an end");
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // Nobody is left after `end`.
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal("-KILL");
        }
    }
}

/// Relays that know each other, where a command needs some.
fn relays(count: usize) -> (Vec<RelayProcess>, Vec<String>, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let ports: Vec<u16> = (0..count).map(|_| free_port()).collect();
    let url = |port: &u16| format!("ws://127.0.0.1:{port}/v1");
    let urls: Vec<String> = ports.iter().map(url).collect();
    let relay = |(index, port): (usize, &u16)| {
        RelayProcess::new(Setup {
            home: folder.path().join(format!("relay-{index}")),
            key: keys::relay_der(index),
            listen: SocketAddr::from(([127, 0, 0, 1], *port)),
            url: urls[index].clone(),
            operator: index.to_string(),
            peers: &urls,
            allow_private: true,
            extra: "",
            launcher: Vec::new(),
        })
    };
    let relays = ports.iter().enumerate().map(relay).collect();
    (relays, urls, folder)
}

async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !is_so().await {
            sleep(LOOK_AGAIN).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect(what);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_relay_by_hand_carries_what_people_write() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let place = format!("127.0.0.1:{}", free_port());
    let command = code(section());
    assert!(
        command.contains("127.0.0.1:9001") && command.contains("&&"),
        "{command}"
    );
    let command = command.replace("127.0.0.1:9001", &place);
    let mut relay = Shell::start(&command, home);
    let ready = relay.says("ready node=", home).await;
    let (node, url) = ready.split_once(" url=").expect("node and URL");
    assert_eq!(url, format!("ws://{place}/v1"));

    let status = run("zentalk-relay status --config relay.toml", home).await;
    assert!(status.status.success(), "{status:?}");
    let bootstrap = Bootstrap {
        node: parse_node(node).expect("a NodeId"),
        url: url.to_owned(),
    };
    two_people_write_to_each_other(bootstrap).await;
    relay.end().await;
    let status = run("zentalk-relay status --config relay.toml", home).await;
    assert_eq!(status.status.code(), Some(1), "{status:?}");
    let log = fs::read_to_string(home.join("log")).unwrap();
    assert!(log.contains("stopped") && !log.contains("ERROR"), "{log}");
}

async fn two_people_write_to_each_other(bootstrap: Bootstrap) {
    let config = Config {
        net: NetConfig::new(vec![bootstrap]),
        stock: StockConfig::default(),
    };
    let from = |_| SocketAddr::from(([127, 0, 0, 1], 0));
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let access = Access::plain(from);
    let mut people = People::come(&[Clock::Right; 2], &config, &access, &mut rng);
    people.greet().await;
    people.greet().await;
    people.close("a single relay").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_with_a_configuration_joins_the_network() {
    let (mut others, urls, _folder) = relays(1);
    others[0].spawn();
    others[0].ready().await;
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let init = format!(
        "zentalk-relay init --url ws://127.0.0.1:{}/v1 --allow-private --peer {}",
        free_port(),
        urls[0]
    );
    let made = run(&init, home).await;
    assert!(made.status.success(), "{made:?}");

    let mut relay = Shell::start(&command_of("decentralised"), home);
    relay.says("ready node=", home).await;
    eventually("a place in the network", async || {
        let status = operator::status(&home.join("data"));
        status.is_ok_and(|status| {
            (status.relays_linked, status.relays_known) == (1, 2) && status.dht_contacts == Some(1)
        })
    })
    .await;
    let is_known = async || others[0].relays_known() == Some(2);
    eventually("the other one knows it", is_known).await;
    relay.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_server_serves_the_app_and_relays_of_others() {
    let (mut others, urls, _folder) = relays(3);
    let mut nodes = Vec::<NodeId>::new();
    for relay in &mut others {
        relay.spawn();
        relay.ready().await;
        nodes.push(relay.bootstrap().node);
    }
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    fs::create_dir_all(home.join("www/dist")).unwrap();
    fs::write(home.join("www/dist/index.html"), "<!doctype html>app").unwrap();
    let mut command = command_of("hybrid");
    for (name, url) in ["A", "B", "C"].iter().zip(&urls) {
        let theirs = format!("wss://{name}/v1");
        assert!(command.contains(&theirs), "{command}");
        command = command.replace(&theirs, url);
    }
    // Without certificates, and where no other test listens.
    command += " --development --listen 127.0.0.1:0";

    let mut server = Shell::start(&command, home);
    let address = server.says("ready url=http://", home).await;
    let page = get(&address, "/").await;
    assert!(
        page.starts_with("HTTP/1.1 200") && page.ends_with("app"),
        "{page}"
    );
    eventually("a bootstrap list of all three", async || {
        let list = get(&address, "/bootstrap.json").await;
        let has = |(node, url): (&NodeId, &String)| {
            list.contains(&node.to_string()) && list.contains(url.as_str())
        };
        nodes.iter().zip(&urls).all(has)
    })
    .await;
    server.end().await;
}

async fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let reading = stream.read_to_string(&mut answer);
    timeout(PATIENCE, reading)
        .await
        .expect("an answer")
        .unwrap();
    answer
}
