//! The wire to a relay: a proxy in this process that holds every byte back, stalls as TCP does when a segment is lost,
//! and can be cut. It needs no rights and no kernel module, unlike `tc netem`.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha20Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

/// What every wire does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    /// One way.
    pub(crate) delay: Duration,
    /// Of segments lost, in thousandths.
    pub(crate) loss: u32,
}

/// One machine room.
pub(crate) const NEAR: Weather = Weather {
    delay: Duration::from_millis(1),
    loss: 0,
};
/// 80 ms round trips and 1 % loss.
pub(crate) const FAR: Weather = Weather {
    delay: Duration::from_millis(40),
    loss: 10,
};

/// Bytes of a TCP segment on Ethernet.
const SEGMENT: usize = 1448;
/// Linux sends a lost segment again after a round trip and this at least, when nothing follows it.
const RETRANSMISSION: Duration = Duration::from_millis(200);
/// Chunks under way on a wire, in one direction.
const UNDER_WAY: usize = 256;

/// Who connects to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A relay, by index.
    Relay(usize),
    /// A person in this process, by index.
    Person(usize),
}

/// The network that people have their addresses in, one each.
const PEOPLE: [u8; 3] = [127, 0, 2];

/// The address that a person connects from.
pub(crate) fn address_of(person: usize) -> SocketAddr {
    let [a, b, c] = PEOPLE;
    let last = u8::try_from(1 + person).expect("few people");
    SocketAddr::from(([a, b, c, last], 0))
}

/// Which pairs are cut off from each other.
pub(crate) type Cut = Arc<dyn Fn(Source, usize) -> bool + Send + Sync>;

/// All wires.
#[derive(Clone)]
pub(crate) struct Wires {
    weather: Weather,
    rng: Arc<Mutex<ChaCha20Rng>>,
    cut: watch::Sender<Option<Cut>>,
    /// Process ids of the relays, for knowing who connects.
    pids: watch::Sender<Vec<Option<u32>>>,
}

impl Wires {
    /// `rng` draws what is lost.
    pub(crate) fn new(weather: Weather, relays: usize, rng: ChaCha20Rng) -> Self {
        Self {
            weather,
            rng: Arc::new(Mutex::new(rng)),
            cut: watch::Sender::new(None),
            pids: watch::Sender::new(vec![None; relays]),
        }
    }

    /// From now on these pairs hear nothing of each other.
    pub(crate) fn cut(&self, cut: Cut) {
        self.cut.send_replace(Some(cut));
    }

    pub(crate) fn heal(&self) {
        self.cut.send_replace(None);
    }

    pub(crate) fn is_now(&self, relay: usize, pid: Option<u32>) {
        self.pids.send_modify(|pids| pids[relay] = pid);
    }

    /// Leads everybody who connects to `listener` to the relay at `port`.
    pub(crate) async fn lead(self, listener: TcpListener, relay: usize, port: u16) {
        while let Ok((socket, from)) = listener.accept().await {
            let wires = self.clone();
            tokio::spawn(async move { wires.connection(socket, from, relay, port).await });
        }
    }

    async fn connection(&self, near: TcpStream, from: SocketAddr, relay: usize, port: u16) {
        let Some(source) = self.source(from) else {
            return;
        };
        self.open(source, relay).await;
        tokio::time::sleep(self.weather.delay * 2).await;
        let Ok(far) = TcpStream::connect(("127.0.0.1", port)).await else {
            return;
        };
        let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
        tokio::select! {
            () = self.pump(near_in, far_out, source, relay) => {}
            () = self.pump(far_in, near_out, source, relay) => {}
        }
    }

    /// Waits until the pair is not cut off.
    async fn open(&self, source: Source, relay: usize) {
        let mut cut = self.cut.subscribe();
        let open = |cut: &Option<Cut>| cut.as_ref().is_none_or(|cut| !cut(source, relay));
        // The sender lives as long as this.
        drop(cut.wait_for(open).await);
    }

    async fn pump(
        &self,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        source: Source,
        relay: usize,
    ) {
        let (queue, mut queued) = mpsc::channel::<(Instant, Vec<u8>)>(UNDER_WAY);
        let read = async move {
            let mut due = Instant::now();
            let mut buffer = vec![0; 16 << 10];
            while let Ok(length @ 1..) = from.read(&mut buffer).await {
                due = due.max(Instant::now() + self.weather.delay + self.stall(length));
                if queue.send((due, buffer[..length].to_vec())).await.is_err() {
                    return;
                }
            }
        };
        let write = async {
            while let Some((due, bytes)) = queued.recv().await {
                sleep_until(due).await;
                self.open(source, relay).await;
                if to.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        };
        tokio::join!(read, write);
        // An end is news like any other: a pair that is cut off does not hear of it.
        self.open(source, relay).await;
    }

    /// What lost segments cost, with all that waits behind them.
    fn stall(&self, length: usize) -> Duration {
        let mut rng = self.rng.lock().expect("nobody panics with it");
        let segments = length.div_ceil(SEGMENT);
        let lost = (0..segments).any(|_| rng.random_range(0..1000) < self.weather.loss);
        match lost {
            true => RETRANSMISSION + self.weather.delay * 2,
            false => Duration::ZERO,
        }
    }

    /// Who has the other end of a socket, if it is still there.
    fn source(&self, from: SocketAddr) -> Option<Source> {
        if let IpAddr::V4(address) = from.ip()
            && let [a, b, c, last] = address.octets()
            && [a, b, c] == PEOPLE
        {
            return usize::from(last).checked_sub(1).map(Source::Person);
        }
        let socket = format!("socket:[{}]", inode_of(from)?);
        let pids = self.pids.borrow();
        let holds = |pid: &Option<u32>| pid.is_some_and(|pid| has_open(pid, &socket));
        pids.iter().position(holds).map(Source::Relay)
    }
}

/// The inode of the socket that is bound to a loopback address, from /proc/net/tcp.
fn inode_of(address: SocketAddr) -> Option<u64> {
    let wanted = format!("0100007F:{:04X}", address.port());
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace();
        let local = fields.nth(1)?;
        // The peer, state, queues, timer, retransmissions, uid and timeout come before it.
        let inode = fields.nth(7)?.parse().ok()?;
        (local == wanted).then_some(inode)
    })
}

fn has_open(pid: u32, file: &str) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    files
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .any(|link| link.to_str() == Some(file))
}
