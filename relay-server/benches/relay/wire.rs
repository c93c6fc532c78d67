//! Wires of a length: proxies in this process that hold back every byte for as long, each way. They need no rights and no
//! kernel module, unlike `tc netem`; they lose nothing, and their clock adds up to 1 ms.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use crate::support::{Network, free_ports};

/// Chunks under way on a wire, in one direction.
const UNDER_WAY: usize = 256;
const CHUNK: usize = 16 << 10;

impl Network {
    /// Relays that clients and each other reach over wires only.
    pub(crate) async fn start_far(count: usize, one_way: Duration) -> Self {
        let ports = free_ports(count);
        let mut urls = Vec::new();
        for port in ports.clone() {
            let outside = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = outside.local_addr().unwrap();
            urls.push(format!("ws://{address}/v1"));
            tokio::spawn(lead(outside, port, one_way));
        }
        // To start a relay blocks this thread, and others lead meanwhile.
        tokio::task::block_in_place(|| Self::start_led(&urls, &ports, |_, _| String::new()))
    }
}

/// Leads everybody who connects to the relay at `port`.
async fn lead(outside: TcpListener, port: u16, one_way: Duration) {
    while let Ok((near, _)) = outside.accept().await {
        tokio::spawn(connection(near, port, one_way));
    }
}

async fn connection(near: TcpStream, port: u16, one_way: Duration) {
    // TCP's handshake is a round trip.
    sleep(one_way * 2).await;
    let Ok(far) = TcpStream::connect(("127.0.0.1", port)).await else {
        return;
    };
    if near.set_nodelay(true).and(far.set_nodelay(true)).is_err() {
        return;
    }
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    tokio::select! {
        () = pump(near_in, far_out, one_way) => {}
        () = pump(far_in, near_out, one_way) => {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, one_way: Duration) {
    let (queue, mut queued) = mpsc::channel::<(Instant, Vec<u8>)>(UNDER_WAY);
    let read = async move {
        let mut buffer = vec![0; CHUNK];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            let due = Instant::now() + one_way;
            if queue.send((due, buffer[..length].to_vec())).await.is_err() {
                return;
            }
        }
    };
    let write = async {
        while let Some((due, bytes)) = queued.recv().await {
            sleep_until(due).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(read, write);
}
