//! Ten thousand clients that are connected and say nothing but what keeps a connection.

use std::ops::Range;
use std::pin::Pin;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use zentalk_relay::open_files;
use zentalk_shared::id::ConnectionTag;
use zentalk_shared::wire::link::Role;
use zentalk_shared::wire::{Tag, decode_frame, encode_frame};

use crate::echo::Echo;
use crate::measure::{cpu_of, micros_each, scaled};
use crate::support::{
    Network, Process, connect_from, connect_tls_to, handshake_from, hello, next_frame, tls_client,
};

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

/// Of those that come by TLS: it takes more memory for each, here, too.
const SECURE: usize = 2_000;

pub(crate) async fn measure() {
    let clients = scaled(CLIENTS);
    let (allowed, wanted) = open_files::allowed(clients + SPARE);
    assert!(allowed >= wanted, "{allowed} of {wanted} files: ulimit -n");
    let limits = format!("[limits]\nconnections = {}\n", CLIENTS + SPARE);
    let network = Network::start(1, |_| limits.clone());
    let floor = accepted_by_axum().await;
    let seen = of_relay(&network.relays[0], &Way::Plain, clients).await;
    println!("crowd: {clients} clients, connected and silent");
    seen.print(" (goal: 10)");
    println!("  floor: axum            {floor:.0} µs: TCP and HTTP, no handshake of ours");
    println!("  relay / floor          {:.2}", seen.accepting / floor);
    drop(network);

    let mut root = None;
    let network = Network::start_secure(1, |_, home| {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let (certificate, key) = (home.join("certificate.pem"), home.join("key.pem"));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        root = Some(made.cert.der().clone());
        format!("{limits}[tls]\nmode = \"files\"\ncertificate = {certificate:?}\nkey = {key:?}\n")
    });
    let trusts = tls_client(&root.expect("made with the network"));
    let clients = scaled(SECURE);
    let seen = of_relay(&network.relays[0], &Way::Tls(trusts), clients).await;
    println!("  by TLS, {clients} of them");
    seen.print("");
}

/// How clients connect.
enum Way {
    Plain,
    Tls(TlsConnector),
}

/// What so many clients cost a relay.
struct Seen {
    clients: u32,
    /// KiB resident: before them, with them, and when all were pinged.
    resident: [u64; 3],
    /// Seconds until all were accepted.
    took: f64,
    /// Microseconds of CPU for one.
    accepting: f64,
    /// Share of a core.
    idle: f64,
}

async fn of_relay(relay: &Process, way: &Way, clients: usize) -> Seen {
    let clients = u32::try_from(clients).unwrap();
    let mut silent = JoinSet::new();
    connect(relay, way, 0..WARM, &mut silent).await;
    let base = settled(relay, WARM).await;
    let (began, cpu) = (Instant::now(), cpu_of(relay.pid()));
    connect(relay, way, WARM..WARM + clients, &mut silent).await;
    let took = began.elapsed().as_secs_f64();
    let accepting = micros_each(cpu_of(relay.pid()) - cpu, clients as usize);
    let full = settled(relay, WARM + clients).await;
    let cpu = cpu_of(relay.pid());
    let idle = Duration::from_secs(scaled(IDLE) as u64);
    tokio::time::sleep(idle).await;
    let idle = (cpu_of(relay.pid()) - cpu).as_secs_f64() / idle.as_secs_f64();
    let later = settled(relay, WARM + clients).await;
    Seen {
        clients,
        resident: [base, full, later],
        took,
        accepting,
        idle,
    }
}

impl Seen {
    fn print(&self, goal: &str) {
        let [base, full, later] = self.resident;
        let clients = f64::from(self.clients);
        let each = |resident: u64| (resident as f64 - base as f64) / clients;
        println!("  process base           {base} KiB");
        println!(
            "  with all of them       {full} KiB, {:.1} KiB each{goal}",
            each(full)
        );
        println!(
            "  when all were pinged   {later} KiB, {:.1} KiB each",
            each(later)
        );
        println!(
            "  to accept all          {:.1} s, {:.0} a second",
            self.took,
            clients / self.took
        );
        println!("  CPU to accept one      {:.0} µs", self.accepting);
        println!(
            "  CPU while idle         {:.2} % of a core",
            100.0 * self.idle
        );
    }
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

/// A client that has come, and what it does from then on.
struct Opened(Pin<Box<dyn Future<Output = ()> + Send>>);

/// Connects, and leaves each client to a task of its own.
async fn connect(relay: &Process, way: &Way, numbers: Range<u32>, silent: &mut JoinSet<()>) {
    let mut opening: JoinSet<Opened> = JoinSet::new();
    for n in numbers {
        if opening.len() >= AT_ONCE {
            let opened = opening.join_next().await.map(Result::unwrap);
            opened.into_iter().for_each(|stay| {
                silent.spawn(stay.0);
            });
        }
        let mut tag = [0; 16];
        tag[..4].copy_from_slice(&n.to_be_bytes());
        let tag = Some(ConnectionTag::from_bytes(tag));
        match way {
            Way::Plain => {
                let url = relay.url.clone();
                let address = format!("127.0.1.{}", 1 + n % ADDRESSES);
                opening.spawn(async move {
                    let opened = handshake_from(&address, &url, Role::Client, tag).await;
                    Opened(Box::pin(stay(opened.0)))
                });
            }
            Way::Tls(trusts) => {
                let (trusts, address) = (trusts.clone(), relay.address().to_owned());
                opening.spawn(async move {
                    let stream = connect_tls_to(&address, &trusts).await.unwrap();
                    let config = WebSocketConfig::default().read_buffer_size(4096);
                    let url = format!("wss://{address}/v1");
                    let opened = client_async_with_config(url, stream, Some(config)).await;
                    let mut socket = opened.unwrap().0;
                    socket.send(hello(Role::Client, tag)).await.unwrap();
                    let answer = next_frame(&mut socket).await.expect("an answer");
                    assert_eq!(decode_frame(&answer).unwrap().tag, Tag::HandshakeAck);
                    Opened(Box::pin(stay(socket)))
                });
            }
        }
    }
    for stay in opening.join_all().await {
        silent.spawn(stay.0);
    }
}

/// Answers the relay's pings until it is dropped.
async fn stay<S: AsyncRead + AsyncWrite + Unpin>(mut socket: WebSocketStream<S>) {
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

/// Resident KiB once the relay counts so many clients and has come to rest.
async fn settled(relay: &Process, clients: u32) -> u64 {
    let line = format!("\"clients\":{clients},");
    let (mut rests, mut before) = (0, 0);
    while rests < 3 {
        tokio::time::sleep(PAUSE).await;
        let status = relay.status();
        let now = relay.resident();
        rests = match status.contains(&line) && now == before {
            true => rests + 1,
            false => 0,
        };
        before = now;
    }
    before
}
