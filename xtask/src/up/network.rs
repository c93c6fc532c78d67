//! The processes of a local network: their ports, their configuration, their start.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::daemon_folder;
use super::supervise::Supervisor;
use crate::util::process::Cmd;
use crate::util::workspace;

/// One port for each process.
#[derive(Debug)]
pub(super) struct Ports {
    app: u16,
    relays: Vec<u16>,
    vite: u16,
}

impl Ports {
    /// The app on `first`, relays on the ports after it, Vite (if `dev`) after those.
    pub(super) fn from(first: u16, relays: u16, dev: bool) -> Result<Self> {
        let ports = Self {
            app: first,
            relays: (first + 1..=first + relays).collect(),
            vite: first + relays + 1,
        };
        let vite = dev.then_some(ports.vite);
        for port in ports.relays.iter().copied().chain([ports.app]).chain(vite) {
            if bind(port).is_err() {
                bail!(
                    "port {port} is taken by another program: end that one, or choose others with \
                     `cargo xtask up --port {}`",
                    first.saturating_add(100)
                );
            }
        }
        Ok(ports)
    }

    /// Ports that the system says are free.
    pub(super) fn free(relays: u16) -> Result<Self> {
        // All are held until the last is known, so that none is given twice.
        let mut listeners = Vec::new();
        for _ in 0..relays + 2 {
            listeners.push(bind(0).context("the system has no free port")?);
        }
        let mut ports = Vec::new();
        for listener in &listeners {
            ports.push(listener.local_addr()?.port());
        }
        let vite = ports.pop().unwrap_or_default();
        let app = ports.pop().unwrap_or_default();
        Ok(Self {
            app,
            relays: ports,
            vite,
        })
    }
}

fn bind(port: u16) -> std::io::Result<TcpListener> {
    TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

/// A configured network.
#[derive(Debug)]
pub(super) struct Network {
    relays: Vec<Relay>,
    api_config: PathBuf,
    app_port: u16,
    vite_port: u16,
}

#[derive(Debug)]
struct Relay {
    name: String,
    port: u16,
    config: PathBuf,
}

impl Network {
    /// Writes a folder and a configuration for every process. What is there already (keys, queues)
    /// stays.
    pub(super) fn configure(folder: &Path, ports: &Ports) -> Result<Self> {
        let links: Vec<String> = ports.relays.iter().map(|port| link(*port)).collect();
        let peers = quoted(&links);
        let mut relays = Vec::new();
        for (at, port) in ports.relays.iter().enumerate() {
            let name = format!("relay-{}", at + 1);
            let home = folder.join(&name);
            fs::create_dir_all(&home)?;
            let config = home.join("relay.toml");
            fs::write(&config, relay_config(&home, &name, *port, &peers))?;
            relays.push(Relay {
                name,
                port: *port,
                config,
            });
        }
        let home = folder.join("api");
        fs::create_dir_all(&home)?;
        let api_config = home.join("api.toml");
        fs::write(&api_config, self::api_config(ports.app, &peers))?;
        Ok(Self {
            relays,
            api_config,
            app_port: ports.app,
            vite_port: ports.vite,
        })
    }

    /// Starts the relays side by side and waits until each says that it is ready.
    pub(super) fn start_relays(&self, supervisor: &mut Supervisor) -> Result<()> {
        for relay in &self.relays {
            let command = Cmd::new(daemon_folder().join("zentalk-relay"))
                .args(["run", "--config"])
                .arg(&relay.config);
            supervisor.start(&relay.name, command)?;
        }
        for relay in &self.relays {
            supervisor.wait_ready(&relay.name, relay.port)?;
        }
        Ok(())
    }

    /// Starts the API server and waits until it is ready.
    pub(super) fn start_api(&self, supervisor: &mut Supervisor) -> Result<()> {
        let command = Cmd::new(daemon_folder().join("zentalk-api"))
            .arg("--config")
            .arg(&self.api_config);
        supervisor.start("api", command)?;
        supervisor.wait_ready("api", self.app_port)
    }

    /// Starts Vite on the app's sources and returns its address.
    pub(super) fn start_vite(&self, supervisor: &mut Supervisor) -> Result<String> {
        let www = workspace::path("www");
        let command = Cmd::new("node")
            .arg(www.join("node_modules/vite/bin/vite.js"))
            .args([
                "--host",
                "127.0.0.1",
                "--strictPort",
                "--clearScreen",
                "false",
            ])
            .args(["--port", &self.vite_port.to_string()])
            .dir(&www)
            .env("ZENTALK_API_URL", self.app_url());
        supervisor.start("vite", command)?;
        Ok(format!("http://127.0.0.1:{}", self.vite_port))
    }

    /// Where the app is.
    pub(super) fn app_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.app_port)
    }
}

/// How other relays and clients reach the relay on a port.
fn link(port: u16) -> String {
    format!("ws://127.0.0.1:{port}/v1")
}

/// Texts as the inside of a TOML array.
fn quoted(texts: &[String]) -> String {
    let quoted: Vec<String> = texts.iter().map(|text| toml_text(text)).collect();
    quoted.join(", ")
}

/// A TOML string; Rust's escapes of quotes and backslashes are TOML's too.
fn toml_text(text: &str) -> String {
    format!("{text:?}")
}

fn relay_config(home: &Path, name: &str, port: u16, peers: &str) -> String {
    let data_dir = toml_text(&home.join("data").to_string_lossy());
    format!(
        "# Written by `cargo xtask up` at every start.\n\
         listen = \"127.0.0.1:{port}\"\n\
         url = \"{}\"\n\
         data_dir = {data_dir}\n\
         operator = \"{name}\"\n\
         region = \"local\"\n\
         peers = [{peers}]\n\
         features = [\"guard\", \"mailbox\", \"directory\"]\n\
         allow_private = true\n\
         \n\
         [log]\n\
         format = \"text\"\n",
        link(port)
    )
}

fn api_config(port: u16, bootstrap: &str) -> String {
    let www = toml_text(&workspace::path("www/dist").to_string_lossy());
    format!(
        "# Written by `cargo xtask up` at every start.\n\
         listen = \"127.0.0.1:{port}\"\n\
         www = {www}\n\
         bootstrap = [{bootstrap}]\n\
         development = true\n\
         \n\
         [log]\n\
         format = \"text\"\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_named_with_advice() {
        let taken = bind(0).unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = Ports::from(port - 1, 1, false).unwrap_err().to_string();
        assert!(
            error.contains("is taken") && error.contains("--port"),
            "{error}"
        );
    }

    #[test]
    fn free_ports_differ() {
        let ports = Ports::free(5).unwrap();
        let mut all = ports.relays.clone();
        all.extend([ports.app, ports.vite]);
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 7);
    }

    #[test]
    fn every_process_gets_a_folder_and_names_all_relays() {
        let dir = tempfile::tempdir().unwrap();
        let ports = Ports {
            app: 1,
            relays: vec![2, 3],
            vite: 4,
        };
        let network = Network::configure(dir.path(), &ports).unwrap();
        let config = fs::read_to_string(&network.relays[1].config).unwrap();
        let peers = "peers = [\"ws://127.0.0.1:2/v1\", \"ws://127.0.0.1:3/v1\"]";
        assert!(config.contains("listen = \"127.0.0.1:3\"\n") && config.contains(peers));
        let api = fs::read_to_string(&network.api_config).unwrap();
        assert!(api.contains("listen = \"127.0.0.1:1\"\n") && api.contains("development = true"));
    }
}
