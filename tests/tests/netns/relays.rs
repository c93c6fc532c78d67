//! Relay processes, each in a namespace of its own, who find each other from two seeds.

use std::borrow::Cow;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use getrandom::SysRng;
use rand_chacha::ChaCha20Rng;
use rand_core::UnwrapErr;
use tokio::time::{Instant, sleep};
use zentalk_shared::client::Bootstrap;
use zentalk_shared::crypto::rsa::RsaSecret;
use zentalk_tests::keys;
use zentalk_tests::live::{RelayProcess, Setup};

use super::namespaces::Namespace;
use super::router::Router;

/// Relays that the others are configured with.
const SEEDS: usize = 2;
/// Proofs of work take longest of all on a busy machine, and are tried elsewhere.
const NO_WORK: &str = "[strangers]\neffort = 0\n";
/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Fields are dropped in this order: relays before their namespaces.
pub(crate) struct Network {
    relays: Vec<RelayProcess>,
    namespaces: Vec<Namespace>,
    pub(crate) router: Router,
    _folder: tempfile::TempDir,
}

/// The address of a relay, in a /24 of its own.
pub(crate) fn address_of_relay(index: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 1, u8::try_from(index).expect("few relays"), 1)
}

/// Where a relay listens. Of addresses of development those of different ports count as different networks.
fn place(index: usize) -> SocketAddr {
    let port = 9_000 + u16::try_from(index).expect("few relays");
    SocketAddr::from((address_of_relay(index), port))
}

/// A key of the pools, where accounts' keys are like relays'; there are 96, and more are generated.
fn key(index: usize) -> Cow<'static, [u8]> {
    match index.checked_sub(keys::RELAYS) {
        None => Cow::Borrowed(keys::relay_der(index)),
        Some(account @ ..keys::ACCOUNTS) => Cow::Borrowed(keys::account_der(account)),
        Some(_) => {
            let key = RsaSecret::generate(&mut UnwrapErr(SysRng)).unwrap();
            Cow::Owned(key.to_pkcs8_der().unwrap().to_vec())
        }
    }
}

impl Network {
    /// Starts two relays and then all others at once, who know nobody but these.
    pub(crate) async fn start(count: usize, rng: ChaCha20Rng) -> Self {
        let (folder, router) = (tempfile::tempdir().unwrap(), Router::new(rng));
        let url = |index| format!("ws://{}/v1", place(index));
        let seeds: Vec<String> = (0..SEEDS).map(url).collect();
        let (mut relays, mut namespaces) = (Vec::new(), Vec::new());
        for index in 0..count {
            let namespace = Namespace::new();
            router.connect(&namespace, &[address_of_relay(index)]);
            relays.push(RelayProcess::new(Setup {
                home: folder.path().join(format!("relay-{index}")),
                key: &key(index),
                listen: place(index),
                url: url(index),
                operator: index.to_string(),
                peers: &seeds,
                extra: NO_WORK,
                launcher: namespace.launcher(),
            }));
            namespaces.push(namespace);
        }
        let (first, others) = relays.split_at_mut(SEEDS);
        for relays in [first, others] {
            for relay in relays.iter_mut() {
                relay.spawn();
            }
            for relay in relays {
                relay.ready().await;
            }
        }
        Self {
            relays,
            namespaces,
            router,
            _folder: folder,
        }
    }

    /// Waits until every relay knows so many; how long it took.
    pub(crate) async fn know_each_other(&self, enough: usize, patience: Duration) -> Duration {
        let began = Instant::now();
        for (index, relay) in self.relays.iter().enumerate() {
            loop {
                let known = relay.relays_known().unwrap_or(0);
                if known >= enough {
                    break;
                }
                let left = patience.checked_sub(began.elapsed());
                assert!(
                    left.is_some(),
                    "relay {index} knows {known} relays\n{}",
                    relay.log()
                );
                sleep(LOOK_AGAIN).await;
            }
        }
        began.elapsed()
    }

    /// Starts a relay again and waits until it says that it is ready.
    pub(crate) async fn start_one(&mut self, index: usize) {
        self.relays[index].spawn();
        self.relays[index].ready().await;
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self, index: usize) {
        self.relays[index].kill();
    }

    /// SIGTERM, and waits for the end.
    pub(crate) async fn stop(&mut self, index: usize) {
        self.relays[index].stop().await;
    }

    /// Where people begin.
    pub(crate) fn bootstrap(&self) -> Vec<Bootstrap> {
        let first = self.relays.iter().take(3);
        first.map(RelayProcess::bootstrap).collect()
    }

    pub(crate) const fn len(&self) -> usize {
        self.namespaces.len()
    }
}
