//! Relay processes behind wires.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use zentalk_shared::client::Bootstrap;
use zentalk_tests::keys;
use zentalk_tests::live::{RelayProcess, Setup, free_port};

use super::wire::Wires;

/// Relays that know each other, each behind its wire.
pub(crate) struct Network {
    relays: Vec<RelayProcess>,
    pub(crate) wires: Wires,
    leading: Vec<JoinHandle<()>>,
    _folder: tempfile::TempDir,
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
            relays.push(RelayProcess::new(Setup {
                home: folder.path().join(format!("relay-{index}")),
                key: keys::relay_der(index),
                listen: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
                url: urls[index].clone(),
                operator: index.to_string(),
                peers: &urls,
                allow_private: true,
                extra: &extra(index),
                launcher: Vec::new(),
            }));
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
        let pid = self.relays[index].spawn();
        self.wires.is_now(index, Some(pid));
        self.relays[index].ready().await;
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self, index: usize) {
        self.wires.is_now(index, None);
        self.relays[index].kill();
    }

    /// SIGTERM, and waits for the end.
    pub(crate) async fn stop(&mut self, index: usize) {
        self.relays[index].stop().await;
        self.wires.is_now(index, None);
    }

    /// Whether any relay has logged this.
    pub(crate) fn says(&self, what: &str) -> bool {
        self.relays.iter().any(|relay| relay.log().contains(what))
    }

    /// Where people begin.
    pub(crate) fn bootstrap(&self) -> Vec<Bootstrap> {
        let first = self.relays.iter().take(3);
        first.map(RelayProcess::bootstrap).collect()
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
