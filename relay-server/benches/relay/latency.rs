//! How long a message and a lookup take where every wire has its length: what a person notices of the paths.

use std::time::{Duration, Instant};

use rand_core::Rng;
use tokio::time::timeout;
use zentalk_shared::id::{NodeId, RecordKey};
use zentalk_shared::onion::Directory;
use zentalk_shared::rpc::{RecordGetRequest, Reply, Request};

use crate::mail::{Person, Times};
use crate::measure::{metric, scaled, spread};
use crate::support::{Client, Network, PATIENCE, Path, complete_directory};

/// Half of a round trip between two towns of one continent.
const ONE_WAY: Duration = Duration::from_millis(25);
const RELAYS: usize = 8;
/// Messages of one stock of reply blocks.
const EACH: usize = 30;
const STOCKS: usize = 4;
/// Lookups; a relay makes 120 at once and then ten a second.
const LOOKUPS: usize = 60;
const FIRST_TIMES: usize = 20;
const ABSENT: &str = "zentalk_dht_total{event=\"absent\"}";

pub(crate) async fn measure() {
    let network = Network::start_far(RELAYS, ONE_WAY).await;
    let directory = complete_directory(&network.relays[0].url, RELAYS).await;
    let mut nodes = Vec::new();
    for relay in &network.relays {
        nodes.push(Client::at(&relay.url, 99).await.guard());
    }
    println!(
        "latency: {RELAYS} relays, every wire {} ms long (one way)",
        ONE_WAY.as_millis()
    );
    direct(&network, &directory).await;
    through_three(&network, &directory, &nodes).await;
    lookups(&network, &directory, &nodes).await;
    first_directory(&network).await;
}

/// Two people at one relay, which is the mailbox, too: two wires.
async fn direct(network: &Network, directory: &Directory) {
    let mut person = Person::at(&network.relays[0].url, 1, |guard| vec![guard]).await;
    let path = person.client.path(directory, &[]);
    let mut times = Times::default();
    for stock in 0..scaled(STOCKS) {
        person.subscribe(&path, &path, EACH).await;
        times.join(person.write_all(&path, stock * EACH, EACH).await);
    }
    println!(
        "  one relay, delivered       {} (2 wires; the seed: 50-100 ms)",
        spread(&mut times.delivered)
    );
}

/// Guard, middle, mailbox; pushed over three others: seven wires.
async fn through_three(network: &Network, directory: &Directory, nodes: &[NodeId]) {
    let members = nodes[2..5].to_vec();
    let mut person = Person::at(&network.relays[0].url, 2, |_| members.clone()).await;
    let mut owner_at = Client::at(&network.relays[5].url, 3).await;
    for member in &members[1..] {
        let path = owner_at.path(directory, &[nodes[6], *member]);
        let open = person
            .owner
            .subscription(&mut owner_at, member, &path.back(), 0);
        let reply = owner_at.call(&path, &open).await;
        assert!(matches!(reply, Reply::Subscribe(_)), "{reply:?}");
    }
    let there = person.client.path(directory, &[nodes[1], members[0]]);
    // Guard, vanguard, a fresh relay and the mailbox: pushes come back over the first three.
    let owners = person
        .client
        .path(directory, &[nodes[7], nodes[6], members[0]]);
    let mut times = Times::default();
    for stock in 0..scaled(STOCKS) {
        person.subscribe(&owners, &owners, EACH).await;
        times.join(person.write_all(&there, stock * EACH, EACH).await);
    }
    println!(
        "  three relays, delivered    {} (3 wires to the mailbox, 4 from it; the seed: 150-300 ms)",
        spread(&mut times.delivered)
    );
    println!(
        "  three relays, sent         {} (held by two of three: 8 wires)",
        spread(&mut times.sent)
    );
}

/// Records that nobody holds: the relay that is asked looks at all that are nearest.
async fn lookups(network: &Network, directory: &Directory, nodes: &[NodeId]) {
    let mut client = Client::at(&network.relays[0].url, 4).await;
    let path = client.path(directory, &[nodes[1], nodes[2]]);
    let asked = &network.relays[2];
    let filled = async {
        while metric(asked, "zentalk_dht_contacts").await + 1 < RELAYS as u64 {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    // Relays look at each other's addresses before they take them into their tables.
    let filled = timeout(PATIENCE * 2, filled).await.is_ok();
    let contacts = metric(asked, "zentalk_dht_contacts").await;
    assert!(filled || contacts > 1, "a table of {contacts}");
    let before = metric(asked, ABSENT).await;
    let mut times = Vec::new();
    for _ in 0..scaled(LOOKUPS) {
        times.push(look_up(&mut client, &path).await);
    }
    let made = metric(asked, ABSENT).await - before;
    assert_eq!(made, scaled(LOOKUPS) as u64, "each was a lookup");
    println!(
        "  lookup in the DHT          {} (6 wires and the relay's own questions to {contacts} others; the seed: 200-500 ms)",
        spread(&mut times)
    );
}

async fn look_up(client: &mut Client, path: &Path) -> Duration {
    let mut key = [0; RecordKey::LEN];
    client.rng.fill_bytes(&mut key);
    let key = RecordKey::from_bytes(key);
    let ask = Request::RecordGet(RecordGetRequest { key });
    let began = Instant::now();
    let reply = client.call(path, &ask).await;
    assert!(matches!(reply, Reply::RecordGet(_)), "{reply:?}");
    began.elapsed()
}

/// Somebody who knows no relay yet but one: connects and asks for the directory.
async fn first_directory(network: &Network) {
    let mut times = Vec::new();
    for _ in 0..scaled(FIRST_TIMES) {
        let began = Instant::now();
        complete_directory(&network.relays[0].url, RELAYS).await;
        times.push(began.elapsed());
    }
    println!(
        "  directory, first time      {} (TCP, HTTP, handshake, question: 8 wires; the seed: 200-500 ms)",
        spread(&mut times)
    );
}
