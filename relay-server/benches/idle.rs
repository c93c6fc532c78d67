//! Memory of idle connections: `cargo bench -p zentalk-relay --bench idle`.
//!
//! Goal: at most 10 KiB per connection beyond the process's base, at 1,000 connections.

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Duration;

use support::{Network, Process, handshake};
use zentalk_shared::id::ConnectionTag;
use zentalk_shared::wire::link::Role;

const CONNECTIONS: u16 = 1_000;
const PAUSE: Duration = Duration::from_millis(500);
/// Connections before the base is measured: what a relay allocates once is there by then.
const WARM: u16 = 20;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(measure());
}

/// Resident KiB once the relay counts so many clients and has come to rest: its gauges are set every 5 s.
async fn settled(relay: &Process, clients: u64) -> u64 {
    let line = format!("zentalk_connections{{role=\"client\"}} {clients}\n");
    let mut rests = 0;
    let mut before = 0;
    while rests < 3 {
        tokio::time::sleep(PAUSE).await;
        let (_, metrics) = relay.get("/metrics", "").await;
        let now = relay.resident();
        rests = if metrics.contains(&line) && now == before {
            rests + 1
        } else {
            0
        };
        before = now;
    }
    before
}

async fn measure() {
    let network = Network::start(1, |_| String::new());
    let relay = &network.relays[0];
    let mut sockets = Vec::new();
    let open = async |n: u16| {
        let mut tag = [0; 16];
        tag[..2].copy_from_slice(&n.to_be_bytes());
        handshake(
            &relay.url,
            Role::Client,
            Some(ConnectionTag::from_bytes(tag)),
        )
        .await
        .0
    };
    for n in 0..WARM {
        sockets.push(open(n).await);
    }
    let base = settled(relay, u64::from(WARM)).await;
    for n in WARM..WARM + CONNECTIONS {
        sockets.push(open(n).await);
    }
    let full = settled(relay, u64::from(WARM + CONNECTIONS)).await;
    let each = (full - base) as f64 / f64::from(CONNECTIONS);
    println!("process base              {base} KiB");
    println!("with {CONNECTIONS} idle clients   {full} KiB");
    println!("per idle connection       {each:.1} KiB (goal: 10)");
    drop(sockets);
}
