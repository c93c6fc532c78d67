//! The wire to a relay: a proxy in this process that holds every byte back, stalls as TCP does when a segment is lost,
//! and can be cut. It needs no rights and no kernel module, unlike `tc netem`.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
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

/// 80 ms round trips and 1 % loss.
pub(crate) const FAR: Weather = Weather {
    delay: Duration::from_millis(40),
    loss: 10,
};

/// Bytes of a TCP segment on Ethernet.
const SEGMENT: usize = 1448;
/// Linux sends a lost segment again after a round trip and this at least, when nothing follows it.
const RETRANSMISSION: Duration = Duration::from_millis(200);

/// Who connects to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A relay, by index.
    Relay(usize),
    /// A client in this process.
    Here,
}

/// Which pairs are cut off from each other.
pub(crate) type Cut = Arc<dyn Fn(Source, usize) -> bool + Send + Sync>;

/// All wires.
#[derive(Clone)]
pub(crate) struct Wires {
    weather: Weather,
    cut: watch::Sender<Option<Cut>>,
    /// Process ids of the relays, for knowing who connects.
    pids: watch::Sender<Vec<Option<u32>>>,
}

impl Wires {
    pub(crate) fn new(weather: Weather, relays: usize) -> Self {
        Self {
            weather,
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
        let source = self.source(from);
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
        mut from: tokio::net::tcp::OwnedReadHalf,
        mut to: tokio::net::tcp::OwnedWriteHalf,
        source: Source,
        relay: usize,
    ) {
        let (queue, mut queued) = mpsc::channel::<(Instant, Vec<u8>)>(256);
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
            // Whoever has sent the last byte has said so.
            drop(to.shutdown().await);
        };
        tokio::join!(read, write);
    }

    /// What lost segments cost, with all that waits behind them.
    fn stall(&self, length: usize) -> Duration {
        let mut rng = rand::rng();
        let segments = length.div_ceil(SEGMENT);
        let lost = (0..segments).any(|_| rng.random_range(0..1000) < self.weather.loss);
        match lost {
            true => RETRANSMISSION + self.weather.delay * 2,
            false => Duration::ZERO,
        }
    }

    /// Which process has the other end of a socket.
    fn source(&self, from: SocketAddr) -> Source {
        let Some(inode) = inode_of(from) else {
            return Source::Here;
        };
        let socket = format!("socket:[{inode}]");
        let pids = self.pids.borrow();
        let holds = |pid: &Option<u32>| pid.is_some_and(|pid| has_open(pid, &socket));
        pids.iter().position(holds).map_or(Source::Here, Source::Relay)
    }
}

/// The inode of the socket that is bound to a loopback address, from /proc/net/tcp.
fn inode_of(address: SocketAddr) -> Option<u64> {
    let wanted = format!("0100007F:{:04X}", address.port());
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace();
        let local = fields.nth(1)?;
        (local == wanted).then(|| fields.nth(7)?.parse().ok())?
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
