//! Ten thousand clients that are connected and say nothing but what keeps a connection.

use std::ops::Range;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;
use zentalk_relay::open_files;
use zentalk_shared::id::ConnectionTag;
use zentalk_shared::wire::link::Role;
use zentalk_shared::wire::{Tag, decode_frame, encode_frame};

use crate::echo::Echo;
use crate::measure::{cpu_of, micros_each, scaled};
use crate::support::{Network, Process, Socket, connect_from, handshake_from};

const CLIENTS: usize = 10_000;
/// Connections that the floor accepts: it takes more memory for each.
const FLOOR: usize = 2_000;
/// Files and connections for everything else.
const SPARE: usize = 500;
/// Connections before the base is measured: what a relay allocates once is there by then.
const WARM: u32 = 20;
/// Handshakes under way at once.
const AT_ONCE: usize = 64;
/// Addresses of this machine that clients come from, so that ports do not run out.
const ADDRESSES: u32 = 4;
/// A relay asks every silent client once in this time.
const IDLE: usize = 90;
const PAUSE: Duration = Duration::from_millis(500);

pub(crate) async fn measure() {
    let clients = scaled(CLIENTS);
    let (allowed, wanted) = open_files::allowed(clients + SPARE);
    assert!(allowed >= wanted, "{allowed} of {wanted} files: ulimit -n");
    let clients = u32::try_from(clients).unwrap();
    let network = Network::start(1, |_| {
        format!("[limits]\nconnections = {}\n", CLIENTS + SPARE)
    });
    let relay = &network.relays[0];
    let floor = accepted_by_axum().await;
    let mut silent = JoinSet::new();
    connect(relay, 0..WARM, &mut silent).await;
    let base = settled(relay, WARM).await;
    let (began, cpu) = (Instant::now(), cpu_of(relay.pid()));
    connect(relay, WARM..WARM + clients, &mut silent).await;
    let took = began.elapsed().as_secs_f64();
    let accepting = micros_each(cpu_of(relay.pid()) - cpu, clients as usize);
    let full = settled(relay, WARM + clients).await;
    let cpu = cpu_of(relay.pid());
    let idle = Duration::from_secs(scaled(IDLE) as u64);
    tokio::time::sleep(idle).await;
    let idle = (cpu_of(relay.pid()) - cpu).as_secs_f64() / idle.as_secs_f64();
    let later = settled(relay, WARM + clients).await;
    let each = |resident: u64| (resident as f64 - base as f64) / f64::from(clients);
    println!("crowd: {clients} clients, connected and silent");
    println!("  process base           {base} KiB");
    println!(
        "  with all of them       {full} KiB, {:.1} KiB each (goal: 10)",
        each(full)
    );
    println!(
        "  when all were pinged   {later} KiB, {:.1} KiB each",
        each(later)
    );
    println!(
        "  to accept all          {took:.1} s, {:.0} a second",
        f64::from(clients) / took
    );
    println!("  CPU to accept one      {accepting:.0} µs");
    println!("  floor: axum            {floor:.0} µs: TCP and HTTP, no handshake of ours");
    println!("  relay / floor          {:.2}", accepting / floor);
    println!("  CPU while idle         {:.2} % of a core", 100.0 * idle);
}

/// CPU of an axum server for a WebSocket that opens.
async fn accepted_by_axum() -> f64 {
    let echo = Echo::start();
    let count = scaled(FLOOR);
    let mut sockets = vec![connect_from("127.0.0.1", &echo.url).await];
    let cpu = cpu_of(echo.pid());
    let mut opening = JoinSet::new();
    for _ in 0..count {
        if opening.len() >= AT_ONCE {
            sockets.extend(opening.join_next().await.map(Result::unwrap));
        }
        let url = echo.url.clone();
        opening.spawn(async move { connect_from("127.0.0.1", &url).await });
    }
    sockets.extend(opening.join_all().await);
    micros_each(cpu_of(echo.pid()) - cpu, count)
}

/// Connects, and leaves each client to a task of its own.
async fn connect(relay: &Process, numbers: Range<u32>, silent: &mut JoinSet<()>) {
    let mut opening = JoinSet::new();
    for n in numbers {
        if opening.len() >= AT_ONCE {
            let opened = opening.join_next().await.map(Result::unwrap);
            opened.into_iter().for_each(|socket| {
                silent.spawn(stay(socket));
            });
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
    for socket in opening.join_all().await {
        silent.spawn(stay(socket));
    }
}

/// Answers the relay's pings until it is dropped.
async fn stay(mut socket: Socket) {
    while let Some(Ok(message)) = socket.next().await {
        let Message::Binary(bytes) = message else {
            continue;
        };
        let frame = decode_frame(&bytes).expect("whole frames only");
        if frame.tag == Tag::Ping {
            let pong = encode_frame(Tag::Pong, frame.id, frame.payload);
            socket.send(Message::Binary(pong.into())).await.unwrap();
        }
    }
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
