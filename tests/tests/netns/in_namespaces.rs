//! What happens to the relays.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use tokio::net::UdpSocket;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, interval, sleep, timeout};
use zentalk_shared::client::{Config, NetConfig, StockConfig};
use zentalk_tests::live::{Clock, People};

use super::namespaces::{Namespace, enter};
use super::relays::{Network, address_of_relay};
use super::router::{DELAY, LOSS, Router};

const PEOPLE: usize = 4;
const RELAYS: usize = 20;
/// Until relays know each other, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// The address of a person, in a /24 of their own.
fn address_of_person(index: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 2, u8::try_from(index).expect("few people"), 1)
}

/// Relays and people.
struct Scene {
    network: Network,
    people: People,
    rng: ChaCha20Rng,
}

impl Scene {
    /// Everybody has written to everybody, and all of it has arrived.
    async fn open(town: &Namespace, seed: u64) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let network = Network::start(RELAYS, ChaCha20Rng::from_rng(&mut rng)).await;
        let addresses: Vec<_> = (0..PEOPLE).map(address_of_person).collect();
        network.router.connect(town, &addresses);
        let took = network.know_each_other(RELAYS, PATIENCE).await;
        println!(
            "seed {seed}: {RELAYS} relays knew each other {took:?} after the last one was ready"
        );
        let config = Config {
            net: NetConfig::new(network.bootstrap()),
            stock: StockConfig::default(),
        };
        let from = |person| SocketAddr::from((address_of_person(person), 0));
        let mut people = People::come(&[Clock::Right; PEOPLE], &config, from, &mut rng);
        let began = Instant::now();
        people.greet().await;
        println!("seed {seed}: greeted after {:?}", began.elapsed());
        Self {
            network,
            people,
            rng,
        }
    }

    /// What is under way arrives.
    async fn settle(&self, what: &str) {
        let began = Instant::now();
        self.people.all_arrives().await;
        println!(
            "{what}: all has arrived {:?} after its end",
            began.elapsed()
        );
    }

    /// All has arrived, and nothing was promised that was not kept.
    async fn close(self, what: &str) {
        self.people.close(what).await;
        let counts = self.network.router.counts();
        println!("{what}: {counts:?}");
        assert_eq!(counts.overflowed, 0, "the router was too slow");
    }
}

/// A runtime whose tasks make their sockets in a namespace.
fn runtime(town: &Namespace) -> Runtime {
    let file = town.file();
    let mut runtime = Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all();
    runtime
        .on_thread_start(move || enter(&file))
        .build()
        .unwrap()
}

/// Opens a scene, lets something happen, and closes it.
fn play(what: &str, seed: u64, happening: impl AsyncFnOnce(&mut Scene)) {
    let town = Namespace::new();
    runtime(&town).block_on(async {
        let mut scene = Scene::open(&town, seed).await;
        happening(&mut scene).await;
        scene.close(what).await;
    });
}

#[test]
fn relays_killed_at_random_for_a_minute_lose_nothing_that_was_sent() {
    kills_at_random(Duration::from_secs(60), 1);
}

#[test]
#[ignore = "soak: ten minutes of kills"]
fn relays_killed_at_random_for_ten_minutes_lose_nothing_that_was_sent() {
    kills_at_random(Duration::from_mins(10), 2);
}

fn kills_at_random(lasting: Duration, seed: u64) {
    play("kills", seed, async |scene: &mut Scene| {
        let mut rng = ChaCha20Rng::from_rng(&mut scene.rng);
        let network = &mut scene.network;
        let killing = async {
            let (began, mut kills) = (Instant::now(), 0);
            while began.elapsed() < lasting {
                let victim = rng.random_range(0..network.len());
                network.kill(victim);
                // How long the fault lasts: some are back before anybody notices.
                sleep(Duration::from_millis(rng.random_range(0..1_000))).await;
                network.start_one(victim).await;
                kills += 1;
            }
            println!("{kills} kills in {lasting:?}");
        };
        scene.people.talk_while(&mut scene.rng, killing).await;
        scene.settle("kills").await;
    });
}

#[test]
fn a_network_in_two_halves_heals_and_all_its_relays_are_restarted() {
    play("halves and restarts", 20, async |scene: &mut Scene| {
        two_halves(scene).await;
        rolling_restart(scene).await;
    });
}

async fn two_halves(scene: &mut Scene) {
    const LASTS: Duration = Duration::from_secs(15);
    // One seed and two people are in each half.
    let relays = (0..RELAYS).step_by(2).map(address_of_relay);
    let people = (0..PEOPLE).step_by(2).map(address_of_person);
    scene.network.router.part(relays.chain(people).collect());
    let lasting = sleep(LASTS);
    scene.people.talk_while(&mut scene.rng, lasting).await;
    assert!(!scene.people.is_complete(), "something crossed the cut");
    scene.network.router.heal();
    scene.settle("two halves").await;
}

async fn rolling_restart(scene: &mut Scene) {
    let network = &mut scene.network;
    let rolling = async {
        for index in 0..network.len() {
            network.stop(index).await;
            network.start_one(index).await;
        }
    };
    scene.people.talk_while(&mut scene.rng, rolling).await;
    scene.settle("rolling restart").await;
}

#[test]
#[ignore = "soak: 100 processes, two minutes"]
fn a_hundred_relays_join_from_two_seeds() {
    const MANY: usize = 100;
    // So many look for each other on one machine.
    const PATIENCE: Duration = Duration::from_mins(5);
    let town = Namespace::new();
    runtime(&town).block_on(async {
        let network = Network::start(MANY, ChaCha20Rng::seed_from_u64(40)).await;
        let took = network.know_each_other(MANY * 99 / 100, PATIENCE).await;
        println!("{MANY} relays knew 99 % of each other after {took:?}");
    });
}

#[test]
fn the_router_delays_loses_and_cuts() {
    let namespaces = [Namespace::new(), Namespace::new()];
    Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(async {
            let router = Router::new(ChaCha20Rng::seed_from_u64(50));
            let [near, far] = [0, 1].map(|index| {
                let (namespace, address) = (&namespaces[index], address_of_relay(index));
                router.connect(namespace, &[address]);
                let bind = || std::net::UdpSocket::bind((address, 9_000)).unwrap();
                let socket = namespace.inside(bind);
                socket.set_nonblocking(true).unwrap();
                UdpSocket::from_std(socket).unwrap()
            });
            near.connect(far.local_addr().unwrap()).await.unwrap();
            far.connect(near.local_addr().unwrap()).await.unwrap();
            packets_are_late(&near, &far).await;
            some_packets_are_lost(&near, &far, &router).await;
            those_apart_hear_nothing(&near, &far, &router).await;
        });
}

/// Sends a number there and back; how long it took, if neither was lost.
async fn ping(near: &UdpSocket, far: &UdpSocket, number: u8) -> Option<Duration> {
    const LONG: Duration = Duration::from_secs(1);
    let began = Instant::now();
    for (from, to) in [(near, far), (far, near)] {
        from.send(&[number]).await.unwrap();
        let mut buffer = [0; 1];
        timeout(LONG, to.recv(&mut buffer)).await.ok()?.unwrap();
        assert_eq!(buffer, [number]);
    }
    Some(began.elapsed())
}

async fn packets_are_late(near: &UdpSocket, far: &UdpSocket) {
    let mut fastest = Duration::MAX;
    for number in 0..20 {
        let Some(took) = ping(near, far, number).await else {
            continue;
        };
        assert!(took >= DELAY * 2, "{took:?}");
        fastest = fastest.min(took);
    }
    assert!(fastest < DELAY * 3, "{fastest:?}");
}

async fn some_packets_are_lost(near: &UdpSocket, far: &UdpSocket, router: &Router) {
    const SENT: u32 = 4_000;
    let lost_before = router.counts().lost;
    let sending = async {
        // Slowly enough for the queues of kernels.
        let mut pace = interval(Duration::from_millis(5));
        for number in 0..SENT {
            if number % 20 == 0 {
                pace.tick().await;
            }
            near.send(&number.to_be_bytes()).await.unwrap();
        }
    };
    let receiving = async {
        let (mut received, mut buffer) = (0, [0; 4]);
        while let Ok(length) = timeout(DELAY * 10, far.recv(&mut buffer)).await {
            assert_eq!(length.unwrap(), 4);
            received += 1;
        }
        received
    };
    let ((), received) = tokio::join!(sending, receiving);
    let lost = u32::try_from(router.counts().lost - lost_before).unwrap();
    assert_eq!(SENT - received, lost, "the router alone loses packets");
    let expected = SENT * LOSS / 1000;
    assert!((expected / 2..expected * 2).contains(&lost), "{lost}");
}

async fn those_apart_hear_nothing(near: &UdpSocket, far: &UdpSocket, router: &Router) {
    router.part(HashSet::from([address_of_relay(0)]));
    for (from, to) in [(near, far), (far, near)] {
        for _ in 0..100 {
            from.send(&[1]).await.unwrap();
        }
        let heard = timeout(DELAY * 10, to.recv(&mut [0; 1])).await;
        assert!(heard.is_err(), "something crossed the cut");
    }
    router.heal();
    for number in 0..10 {
        if ping(near, far, number).await.is_some() {
            return;
        }
    }
    panic!("the cut has not healed");
}
