//! Memory of idle connections: `cargo bench -p zentalk-relay --bench idle`.
//!
//! Goal: at most 10 KiB per connection beyond the process's base, at 1,000 connections.

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Duration;

use support::{Network, handshake};
use zentalk_shared::id::ConnectionTag;
use zentalk_shared::wire::link::Role;

const CONNECTIONS: u16 = 1_000;
/// Connections before the base is measured: what a relay allocates once is there by then.
const WARM: u16 = 20;

/// Resident kilobytes of a process.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("Linux");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .expect("VmRSS");
    line.split_whitespace()
        .nth(1)
        .and_then(|kb| kb.parse().ok())
        .expect("a number")
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(measure());
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
    tokio::time::sleep(Duration::from_secs(2)).await;
    let base = resident(relay.pid());
    for n in WARM..WARM + CONNECTIONS {
        sockets.push(open(n).await);
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let full = resident(relay.pid());
    let each = (full - base) as f64 / f64::from(CONNECTIONS);
    println!("process base              {base} KiB");
    println!("with {CONNECTIONS} idle clients   {full} KiB");
    println!("per idle connection       {each:.1} KiB (goal: 10)");
    drop(sockets);
}
