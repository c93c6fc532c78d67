//! Relay processes, each in a namespace of its own, who find each other from two seeds.

use std::borrow::Cow;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use getrandom::SysRng;
use rand_chacha::ChaCha20Rng;
use rand_core::UnwrapErr;
use tokio::time::{Instant, sleep};
use zentalk_shared::client::Bootstrap;
use zentalk_shared::crypto::rsa::RsaSecret;
use zentalk_tests::keys;
use zentalk_tests::live::{Clock, RelayProcess, Setup};

use super::namespaces::Namespace;
use super::outfit::{Authority, ClockMaker};
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
    authority: Authority,
    _folder: tempfile::TempDir,
}

/// The address of a relay, in a /24 of its own.
pub(crate) fn address_of_relay(index: usize) -> Ipv4Addr {
    Ipv4Addr::new(20, 1, u8::try_from(index).expect("few relays"), 1)
}

pub(crate) fn url_of_relay(index: usize) -> String {
    format!("wss://{}/v1", address_of_relay(index))
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
    /// Starts two relays and then all others at once, who know nobody but these; each has its own clock.
    pub(crate) async fn start(count: usize, clock: fn(usize) -> Clock, rng: ChaCha20Rng) -> Self {
        let (folder, router) = (tempfile::tempdir().unwrap(), Router::new(rng));
        let authority = Authority::new(folder.path());
        let clocks = ClockMaker::new(folder.path());
        let seeds: Vec<String> = (0..SEEDS.min(count)).map(url_of_relay).collect();
        let (mut relays, mut namespaces) = (Vec::new(), Vec::new());
        for index in 0..count {
            let (namespace, address) = (Namespace::new(), address_of_relay(index));
            router.connect(&namespace, &[address]);
            let tls = authority.issue(address, &folder.path().join(format!("tls-{index}")));
            relays.push(RelayProcess::new(Setup {
                home: folder.path().join(format!("relay-{index}")),
                key: &key(index),
                listen: SocketAddr::from((address, 443)),
                url: url_of_relay(index),
                operator: index.to_string(),
                peers: &seeds,
                allow_private: false,
                extra: &format!("{NO_WORK}{tls}"),
                launcher: [namespace.launcher(), clocks.launcher(clock(index))].concat(),
            }));
            namespaces.push(namespace);
        }
        let (first, others) = relays.split_at_mut(SEEDS.min(count));
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
            authority,
            _folder: folder,
        }
    }

    /// Waits until every relay knows as many as it should; how long it took.
    pub(crate) async fn know_each_other(
        &self,
        enough: impl Fn(usize) -> usize,
        patience: Duration,
    ) -> Duration {
        let began = Instant::now();
        for (index, relay) in self.relays.iter().enumerate() {
            loop {
                let known = relay.relays_known().unwrap_or(0);
                if known >= enough(index) {
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

    /// What people trust.
    pub(crate) fn trusted(&self) -> Arc<rustls::ClientConfig> {
        self.authority.client()
    }

    /// Relays that hold mailboxes now.
    pub(crate) fn holders(&self) -> Vec<usize> {
        let holds = |index: &usize| {
            let status = self.relays[*index].status();
            status.is_some_and(|status| status.mailboxes > 0)
        };
        (0..self.len()).filter(holds).collect()
    }

    /// A disk is full from now on, or is not any more.
    pub(crate) fn has_room(&self, index: usize, has_room: bool) {
        let limits = match has_room {
            true => "",
            false => "[limits]\ndatabase_bytes = 1\n",
        };
        self.relays[index].reconfigure(limits);
    }

    /// Whether any relay has logged this.
    pub(crate) fn says(&self, what: &str) -> bool {
        self.relays.iter().any(|relay| relay.log().contains(what))
    }

    /// Relays in the table of one.
    pub(crate) fn contacts(&self, index: usize) -> usize {
        let status = self.relays[index].status();
        status.and_then(|status| status.dht_contacts).unwrap_or(0)
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
