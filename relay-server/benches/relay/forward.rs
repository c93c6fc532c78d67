//! Packets that a relay passes on to the next one, beside the floor: an echo of the same length and one peel.

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;
use zentalk_shared::crypto::kem::{Kem, X25519Kem};
use zentalk_shared::id::{MessageId, NodeId};
use zentalk_shared::onion::build::Hop;
use zentalk_shared::onion::peel::peel;
use zentalk_shared::onion::{Class, Epoch, Layout, build_request};
use zentalk_shared::wire::link::Role;
use zentalk_shared::wire::{HEADER_LEN, Tag, encode_frame};

use crate::echo::Echo;
use crate::measure::{FORWARDED, LOST, cpu_here, cpu_of, median, metric, micros_each, scaled};
use crate::support::{
    Client, Network, PATIENCE, Path, Process, complete_directory, connect_from, handshake, now,
};

const CLIENTS: usize = 32;
/// Packets of one client in one round; all rounds together stay within what a client may send at once.
const EACH: usize = 100;
const ROUNDS: usize = 7;
const PEELS: usize = 2_000;
/// Between two looks at the counters, each of which costs the relay something.
const PAUSE: Duration = Duration::from_millis(100);

pub(crate) async fn measure() {
    let network = Network::start(2, |_| String::new());
    let (first, second) = (&network.relays[0], &network.relays[1]);
    let directory = complete_directory(&first.url, 2).await;
    let (_, ack) = handshake(&second.url, Role::Visitor, None).await;
    let mut clients = Vec::new();
    for seed in 0..CLIENTS {
        clients.push(Client::at(&first.url, seed as u64).await);
    }
    let path = clients[0].path(&directory, &[ack.node]);
    let echo = Echo::start();
    let (mut relay, mut floor_io, mut floor_peel, mut ratios) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let (io, crypto) = floor(&echo, Class::Message).await;
        let cost = forwarded(&mut clients, &path, first).await;
        // The first is for warming up.
        if round > 0 {
            ratios.push(cost / (io + crypto));
            relay.push(cost);
            floor_io.push(io);
            floor_peel.push(crypto);
        }
    }
    let (relay, ratio) = (median(relay), median(ratios));
    println!("forward: a packet of 9,088 bytes, {CLIENTS} clients, to one other relay");
    println!(
        "  relay                  {relay:.1} µs of CPU, {:.0} a second and core",
        1e6 / relay
    );
    println!("  floor: axum echo       {:.1} µs", median(floor_io));
    println!("  floor: one peel        {:.1} µs", median(floor_peel));
    println!("  relay / sum of floors  {ratio:.2} (goal: 1.5)");
}

/// CPU of the floor of one packet on one relay: echo and peel, of this class.
pub(crate) async fn floor(echo: &Echo, class: Class) -> (f64, f64) {
    let length = HEADER_LEN + Layout::of::<X25519Kem>().packet(class);
    (echoed(echo, length).await, peeled(class))
}

fn each() -> usize {
    scaled(EACH)
}

/// CPU of the relay for a packet that it passes on.
async fn forwarded(clients: &mut Vec<Client>, path: &Path, relay: &Process) -> f64 {
    let loads: Vec<Vec<Vec<u8>>> = clients
        .iter_mut()
        .map(|client| (0..each()).map(|_| client.one_way(path)).collect())
        .collect();
    let before = metric(relay, FORWARDED).await;
    let total = CLIENTS * each();
    let cpu = cpu_of(relay.pid());
    let mut sending = JoinSet::new();
    for (mut client, load) in clients.drain(..).zip(loads) {
        sending.spawn(async move {
            for frame in load {
                client.say(frame).await;
            }
            client
        });
    }
    clients.extend(sending.join_all().await);
    let began = Instant::now();
    while metric(relay, FORWARDED).await < before + total as u64 {
        assert!(began.elapsed() < PATIENCE, "packets were dropped");
        tokio::time::sleep(PAUSE).await;
    }
    let cost = micros_each(cpu_of(relay.pid()) - cpu, total);
    assert_eq!(metric(relay, LOST).await, 0, "what is dropped costs less");
    cost
}

/// CPU of an axum server that echoes a message of as many bytes.
async fn echoed(echo: &Echo, length: usize) -> f64 {
    let mut sockets = Vec::new();
    for _ in 0..CLIENTS {
        sockets.push(connect_from("127.0.0.1", &echo.url).await);
    }
    let cpu = cpu_of(echo.pid());
    let mut sending = JoinSet::new();
    for socket in sockets {
        sending.spawn(async move {
            let (mut sink, mut stream) = socket.split();
            let send = async {
                for _ in 0..each() {
                    let message = Message::Binary(vec![7; length].into());
                    sink.send(message).await.unwrap();
                }
            };
            let receive = async {
                for _ in 0..each() {
                    stream.next().await.unwrap().unwrap();
                }
            };
            tokio::join!(send, receive);
        });
    }
    sending.join_all().await;
    micros_each(cpu_of(echo.pid()) - cpu, CLIENTS * each())
}

/// CPU of taking one layer off a packet.
fn peeled(class: Class) -> f64 {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let secret = X25519Kem::generate(&mut rng).unwrap();
    let hop = |node: u8| Hop::<X25519Kem> {
        node: NodeId::from_bytes([node; 20]),
        epoch: Epoch::at(now()),
        key: *X25519Kem::public(&secret),
        delay: zentalk_shared::time::Duration::ZERO,
    };
    let path = [hop(1), hop(2)];
    let packet = build_request(&path, None, &[], class, &mut rng).unwrap();
    let packets = vec![packet; scaled(PEELS)];
    let cpu = cpu_here();
    for packet in packets {
        std::hint::black_box(peel::<X25519Kem>(&secret, packet, |_| Ok(()), &mut rng)).unwrap();
    }
    micros_each(cpu_here() - cpu, scaled(PEELS))
}

impl Client {
    /// The frame of a packet along `path` that nobody answers.
    fn one_way(&mut self, path: &Path) -> Vec<u8> {
        let payload = vec![0; Class::Message.capacity()];
        let packet = path
            .route()
            .request(None, &payload, Class::Message, &mut self.rng)
            .unwrap();
        encode_frame(Tag::RelayForward, MessageId::random(&mut self.rng), &packet)
    }
}
