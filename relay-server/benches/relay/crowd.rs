//! Ten thousand clients that are connected and say nothing.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use zentalk_relay::open_files;
use zentalk_shared::id::ConnectionTag;
use zentalk_shared::wire::link::Role;

use crate::measure::{cpu_of, scaled};
use crate::support::{Network, Process, Socket, handshake_from};

const CLIENTS: usize = 10_000;
/// Files and connections for everything else.
const SPARE: usize = 500;
/// Connections before the base is measured: what a relay allocates once is there by then.
const WARM: u32 = 20;
/// Handshakes under way at once.
const AT_ONCE: usize = 64;
/// Addresses of this machine that clients come from, so that ports do not run out.
const ADDRESSES: u32 = 4;
const IDLE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(500);

pub(crate) async fn measure() {
    let clients = scaled(CLIENTS);
    open_files::allow(clients + SPARE);
    let clients = u32::try_from(clients).unwrap();
    let network = Network::start(1, |_| {
        format!("[limits]\nconnections = {}\n", CLIENTS + SPARE)
    });
    let relay = &network.relays[0];
    let mut sockets = connect(relay, 0..WARM).await;
    let base = settled(relay, WARM).await;
    let cpu = cpu_of(relay.pid());
    let began = Instant::now();
    sockets.extend(connect(relay, WARM..WARM + clients).await);
    let took = began.elapsed();
    let accepting = cpu_of(relay.pid()) - cpu;
    let full = settled(relay, WARM + clients).await;
    let cpu = cpu_of(relay.pid());
    tokio::time::sleep(IDLE).await;
    let idle = cpu_of(relay.pid()) - cpu;
    let each = (full - base) as f64 / f64::from(clients);
    println!("crowd: {clients} clients, connected and silent");
    println!("  process base           {base} KiB");
    println!("  with all of them       {full} KiB, {each:.1} KiB each (goal: 10)");
    println!(
        "  to accept all          {:.1} s, {:.0} µs of CPU each",
        took.as_secs_f64(),
        accepting.as_secs_f64() * 1e6 / f64::from(clients)
    );
    println!(
        "  CPU while idle         {:.2} % of a core",
        100.0 * idle.as_secs_f64() / IDLE.as_secs_f64()
    );
}

async fn connect(relay: &Process, numbers: std::ops::Range<u32>) -> Vec<Socket> {
    let mut sockets = Vec::new();
    let mut opening = JoinSet::new();
    for n in numbers {
        if opening.len() >= AT_ONCE {
            sockets.extend(opening.join_next().await.map(Result::unwrap));
        }
        let url = relay.url.clone();
        opening.spawn(async move {
            let mut tag = [0; 16];
            tag[..4].copy_from_slice(&n.to_be_bytes());
            let tag = Some(ConnectionTag::from_bytes(tag));
            let address = format!("127.0.1.{}", 1 + n % ADDRESSES);
            handshake_from(&address, &url, Role::Client, tag).await.0
        });
    }
    sockets.extend(opening.join_all().await);
    sockets
}

/// Resident KiB once the relay counts so many clients and has come to rest: its gauges are set every 5 s.
async fn settled(relay: &Process, clients: u32) -> u64 {
    let line = format!("zentalk_connections{{role=\"client\"}} {clients}\n");
    let (mut rests, mut before) = (0, 0);
    while rests < 3 {
        tokio::time::sleep(PAUSE).await;
        let (_, metrics) = relay.get("/metrics", "").await;
        let now = relay.resident();
        rests = match metrics.contains(&line) && now == before {
            true => rests + 1,
            false => 0,
        };
        before = now;
    }
    before
}
