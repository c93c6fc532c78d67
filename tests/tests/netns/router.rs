//! The router between namespaces: IP packets from one TUN device to another, late, and not all of them.
//!
//! It does what `tc netem` does where the kernel has it; many kernels are built without.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha20Rng;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tokio_tun::Tun;

use super::namespaces::Namespace;

/// One way.
pub(crate) const DELAY: Duration = Duration::from_millis(40);
/// Of packets, in thousandths.
pub(crate) const LOSS: u32 = 10;
/// Packets under way; more are dropped, as routers do.
const UNDER_WAY: usize = 1 << 16;
/// Of the devices.
const MTU: usize = 1500;

/// Leads packets between all namespaces that are connected, on a thread of its own.
pub(crate) struct Router {
    roads: Arc<Roads>,
    runtime: Handle,
    packets: mpsc::Sender<Packet>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Packet {
    due: Instant,
    from: Ipv4Addr,
    to: Ipv4Addr,
    bytes: Vec<u8>,
}

struct Roads {
    devices: Mutex<HashMap<Ipv4Addr, Arc<Tun>>>,
    rng: Mutex<ChaCha20Rng>,
    /// These and all others hear nothing of each other.
    apart: Mutex<HashSet<Ipv4Addr>>,
    forwarded: AtomicU64,
    lost: AtomicU64,
    overflowed: AtomicU64,
}

/// What became of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) forwarded: u64,
    /// By the generator.
    pub(crate) lost: u64,
    /// Because too many were under way.
    pub(crate) overflowed: u64,
}

impl Router {
    /// `rng` draws what is lost.
    pub(crate) fn new(rng: ChaCha20Rng) -> Self {
        let roads = Arc::new(Roads {
            devices: Mutex::default(),
            rng: Mutex::new(rng),
            apart: Mutex::default(),
            forwarded: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            overflowed: AtomicU64::new(0),
        });
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let handle = runtime.handle().clone();
        let (packets, queue) = mpsc::channel(UNDER_WAY);
        let (end, ended) = oneshot::channel();
        let delivery = Arc::clone(&roads).deliver(queue);
        let thread = thread::spawn(move || {
            runtime.spawn(delivery);
            // It ends when the router is dropped.
            drop(runtime.block_on(ended));
        });
        Self {
            roads,
            runtime: handle,
            packets,
            end: Some(end),
            thread: Some(thread),
        }
    }

    /// Gives a namespace these addresses, and leads what goes there or comes from there.
    pub(crate) fn connect(&self, namespace: &Namespace, addresses: &[Ipv4Addr]) {
        let device = Arc::new(namespace.connect(addresses, &self.runtime));
        let mut devices = lock(&self.roads.devices);
        devices.extend(addresses.iter().map(|to| (*to, Arc::clone(&device))));
        let roads = Arc::clone(&self.roads);
        self.runtime.spawn(roads.read(device, self.packets.clone()));
    }

    /// From now on `half` and all others hear nothing of each other.
    pub(crate) fn part(&self, half: HashSet<Ipv4Addr>) {
        *lock(&self.roads.apart) = half;
    }

    pub(crate) fn heal(&self) {
        lock(&self.roads.apart).clear();
    }

    pub(crate) fn counts(&self) -> Counts {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts {
            forwarded: of(&self.roads.forwarded),
            lost: of(&self.roads.lost),
            overflowed: of(&self.roads.overflowed),
        }
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // A panic of its own has been printed.
            drop(thread.join());
        }
    }
}

impl Roads {
    /// Takes what a namespace sends.
    async fn read(self: Arc<Self>, device: Arc<Tun>, packets: mpsc::Sender<Packet>) {
        let mut buffer = [0; MTU];
        while let Ok(length) = device.recv(&mut buffer).await {
            let bytes = &buffer[..length];
            let Some((from, to)) = ends(bytes) else {
                continue;
            };
            if lock(&self.rng).random_range(0..1000) < LOSS {
                self.lost.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let packet = Packet {
                due: Instant::now() + DELAY,
                from,
                to,
                bytes: bytes.to_owned(),
            };
            if packets.try_send(packet).is_err() {
                self.overflowed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// All are equally late, so they arrive in the order in which they were sent.
    async fn deliver(self: Arc<Self>, mut queue: mpsc::Receiver<Packet>) {
        while let Some(packet) = queue.recv().await {
            sleep_until(packet.due).await;
            if self.is_cut(packet.from, packet.to) {
                continue;
            }
            let device = lock(&self.devices).get(&packet.to).cloned();
            // A device whose namespace is going takes nothing, and addresses may be nobody's.
            if device.is_some_and(|device| device.try_send(&packet.bytes).is_ok()) {
                self.forwarded.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn is_cut(&self, from: Ipv4Addr, to: Ipv4Addr) -> bool {
        let apart = lock(&self.apart);
        apart.contains(&from) != apart.contains(&to)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics with it")
}

/// Source and destination of an IPv4 packet (RFC 791 section 3.1).
fn ends(packet: &[u8]) -> Option<(Ipv4Addr, Ipv4Addr)> {
    let address = |at: usize| {
        let octets: [u8; 4] = packet.get(at..at + 4)?.try_into().ok()?;
        Some(Ipv4Addr::from(octets))
    };
    let is_v4 = packet.first()? >> 4 == 4;
    Some((address(12)?, address(16)?)).filter(|_| is_v4)
}
