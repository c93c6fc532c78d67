//! Messages end to end: through three relays into a swarm of three, durable on two, and the answer back.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};
use zentalk_shared::id::MessageId;
use zentalk_shared::rpc::Reply;

use crate::measure::{cpu_of, percentile, scaled};
use crate::support::{Client, Network, Owner, PATIENCE, Path, complete_directory};

const RELAYS: usize = 5;
const CLIENTS: usize = 48;
/// Messages of one client at full load.
const EACH: usize = 40;
/// Messages of a step at part of the load.
const STEP: usize = 1_200;
const LOADS: [u32; 3] = [10, 50, 90];

/// Frames made before the clock starts, and the clients that send them.
struct Load {
    client: Client,
    frames: Vec<(MessageId, Vec<u8>)>,
}

pub(crate) async fn measure() {
    let network = Network::start(RELAYS, |_| {
        "[limits]\nclient_frames_per_minute = 60000\nenvelopes_per_mailbox = 100000\nbytes_per_mailbox = 1000000000\n".to_owned()
    });
    let directory = complete_directory(&network.relays[0].url, RELAYS).await;
    let mut nodes = Vec::new();
    for relay in &network.relays {
        nodes.push(Client::at(&relay.url, 99).await.guard());
    }
    let mut owner_at = Client::at(&network.relays[0].url, 1_000).await;
    let mut owner = Owner::new(&mut owner_at, nodes[2..].to_vec());
    for member in nodes[2..].to_vec() {
        let path = owner_at.path(&directory, &[nodes[1], member]);
        let back = path.back();
        let subscribe = owner.subscription(&mut owner_at, &member, &back, 0);
        assert!(matches!(
            owner_at.call(&path, &subscribe).await,
            Reply::Subscribe(_)
        ));
    }
    let mut clients = Vec::new();
    for seed in 0..CLIENTS {
        clients.push(Client::at(&network.relays[0].url, 2_000 + seed as u64).await);
    }
    let path = clients[0].path(&directory, &[nodes[1], nodes[2]]);
    let mut next = 0;
    // For warming up.
    let loads = prepare(clients, &path, &owner, 2, &mut next);
    let (_, clients) = at_full_load(loads).await;
    let loads = prepare(clients, &path, &owner, scaled(EACH), &mut next);
    let before: Duration = network.relays.iter().map(|relay| cpu_of(relay.pid())).sum();
    let (rate, mut clients) = at_full_load(loads).await;
    let after: Duration = network.relays.iter().map(|relay| cpu_of(relay.pid())).sum();
    let each = (after - before).as_secs_f64() * 1e6 / (CLIENTS * scaled(EACH)) as f64;
    println!(
        "mail: three relays to a swarm of three, all five relays and {CLIENTS} clients on this machine"
    );
    println!(
        "  at full load           {rate:.0} messages a second, {each:.0} µs of CPU of all relays each"
    );
    for load in LOADS {
        let loads = prepare(
            clients,
            &path,
            &owner,
            scaled(STEP).div_ceil(CLIENTS),
            &mut next,
        );
        let (mut times, back) = at_rate(loads, rate * f64::from(load) / 100.0).await;
        times.sort_unstable();
        println!(
            "  at {load} % of it          p50 {:.1} ms, p99 {:.1} ms",
            percentile(&times, 50),
            percentile(&times, 99)
        );
        clients = back;
    }
}

fn prepare(
    clients: Vec<Client>,
    path: &Path,
    owner: &Owner,
    each: usize,
    next: &mut u64,
) -> Vec<Load> {
    let member = owner.members[0];
    let load = |mut client: Client| {
        let frames = (0..each).map(|_| {
            *next += 1;
            client.frame_of(path, &owner.put(&member, *next))
        });
        Load {
            frames: frames.collect(),
            client,
        }
    };
    clients.into_iter().map(load).collect()
}

/// Each client has one message under way; messages a second.
async fn at_full_load(loads: Vec<Load>) -> (f64, Vec<Client>) {
    let total: usize = loads.iter().map(|load| load.frames.len()).sum();
    let began = Instant::now();
    let mut sending = JoinSet::new();
    for Load { mut client, frames } in loads {
        sending.spawn(async move {
            for (id, frame) in frames {
                client.say(frame).await;
                stored(&mut client, id).await;
            }
            client
        });
    }
    let clients = sending.join_all().await;
    (total as f64 / began.elapsed().as_secs_f64(), clients)
}

/// Messages at even distances, `rate` a second in all: how long each took from when it was due.
async fn at_rate(loads: Vec<Load>, rate: f64) -> (Vec<Duration>, Vec<Client>) {
    let clients = loads.len() as f64;
    let began = tokio::time::Instant::now() + Duration::from_millis(50);
    let mut sending = JoinSet::new();
    for (index, Load { mut client, frames }) in loads.into_iter().enumerate() {
        sending.spawn(async move {
            let mut times = Vec::new();
            for (round, (id, frame)) in frames.into_iter().enumerate() {
                let place = round as f64 * clients + index as f64;
                let due = began + Duration::from_secs_f64(place / rate);
                sleep_until(due).await;
                client.say(frame).await;
                stored(&mut client, id).await;
                times.push(due.elapsed());
            }
            (times, client)
        });
    }
    let (mut times, mut clients) = (Vec::new(), Vec::new());
    for (some, client) in sending.join_all().await {
        times.extend(some);
        clients.push(client);
    }
    (times, clients)
}

async fn stored(client: &mut Client, id: MessageId) {
    let (answered, reply) = timeout(PATIENCE, client.answer())
        .await
        .expect("an answer in time");
    assert_eq!(answered, id);
    assert!(matches!(reply, Reply::Put(_)), "{reply:?}");
}
