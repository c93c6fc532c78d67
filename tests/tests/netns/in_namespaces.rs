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
use zentalk_shared::time::Duration as Span;
use zentalk_tests::live::{Access, Clock, People};

mod latencies;

use super::namespaces::{Namespace, enter};
use super::relays::{Network, address_of_relay};
use super::router::{DELAY, LOSS, Router};

const PEOPLE: usize = 4;
const RELAYS: usize = 20;
/// Until relays know each other, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The address of a person, in a /24 of their own.
fn address_of_person(index: usize) -> Ipv4Addr {
    Ipv4Addr::new(20, 2, u8::try_from(index).expect("few people"), 1)
}

const OFF: Span = Span::from_hours(2);

/// Whose clocks are wrong.
#[derive(Clone, Copy)]
struct Clocks {
    people: &'static [Clock],
    relays: fn(usize) -> Clock,
}

impl Clocks {
    const RIGHT: Self = Self {
        people: &[Clock::Right; PEOPLE],
        relays: |_| Clock::Right,
    };
    /// Two people's, and two of five relays', but no seed's.
    const WRONG: Self = Self {
        people: &[
            Clock::Right,
            Clock::Ahead(OFF),
            Clock::Behind(OFF),
            Clock::Right,
        ],
        relays: |index| match index % 5 {
            2 => Clock::Ahead(OFF),
            4 => Clock::Behind(OFF),
            _ => Clock::Right,
        },
    };

    /// How many relays one can know: those whose clocks differ from its own by more than three hours, it cannot.
    fn near(self, index: usize, relays: usize) -> usize {
        let is_near = |other: &usize| {
            !matches!(
                ((self.relays)(index), (self.relays)(*other)),
                (Clock::Ahead(_), Clock::Behind(_)) | (Clock::Behind(_), Clock::Ahead(_))
            )
        };
        (0..relays).filter(is_near).count()
    }
}

/// Relays and people.
struct Scene {
    network: Network,
    people: People,
    rng: ChaCha20Rng,
}

impl Scene {
    /// Everybody has written to everybody, and all of it has arrived.
    async fn open(town: &Namespace, relays: usize, clocks: Clocks, seed: u64) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let network = Network::start(relays, clocks.relays, ChaCha20Rng::from_rng(&mut rng)).await;
        let people = 0..clocks.people.len();
        let addresses: Vec<_> = people.map(address_of_person).collect();
        network.router.connect(town, &addresses);
        let took = network
            .know_each_other(|index| clocks.near(index, relays), PATIENCE)
            .await;
        println!(
            "seed {seed}: {relays} relays knew each other {took:?} after the last one was ready"
        );
        let config = Config {
            net: NetConfig::new(network.bootstrap()),
            stock: StockConfig::default(),
        };
        let access = Access {
            from: |person| SocketAddr::from((address_of_person(person), 0)),
            tls: Some(network.trusted()),
        };
        let mut people = People::come(clocks.people, &config, &access, &mut rng);
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
fn play(what: &str, clocks: Clocks, seed: u64, happening: impl AsyncFnOnce(&mut Scene)) {
    let town = Namespace::new();
    runtime(&town).block_on(async {
        let mut scene = Scene::open(&town, RELAYS, clocks, seed).await;
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
    play("kills", Clocks::RIGHT, seed, async |scene: &mut Scene| {
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
    let what = "halves and restarts";
    play(what, Clocks::RIGHT, 20, async |scene: &mut Scene| {
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
fn relays_with_full_disks_and_wrong_clocks_lose_nothing_that_was_sent() {
    play("full disks, wrong clocks", Clocks::WRONG, 30, full_disks);
}

async fn full_disks(scene: &mut Scene) {
    const LASTS: Duration = Duration::from_secs(5);
    let network = &scene.network;
    // With nobody's mail a full disk is nobody's concern.
    let full: Vec<usize> = network.holders().into_iter().step_by(2).collect();
    full.iter()
        .for_each(|index| network.has_room(*index, false));
    let filling = async {
        while !network.says("the disk is full") {
            sleep(LOOK_AGAIN).await;
        }
        sleep(LASTS).await;
    };
    let filled = scene
        .people
        .talk_while(&mut scene.rng, timeout(PATIENCE, filling))
        .await;
    filled.expect("somebody's mail finds no room");
    println!("{} disks were full", full.len());
    full.iter().for_each(|index| network.has_room(*index, true));
    scene.settle("full disks").await;
}

#[test]
#[ignore = "soak: 100 processes, two minutes"]
fn a_hundred_relays_join_from_two_seeds() {
    const MANY: usize = 100;
    // So many look for each other on one machine.
    const PATIENCE: Duration = Duration::from_mins(5);
    let town = Namespace::new();
    runtime(&town).block_on(async {
        let network =
            Network::start(MANY, Clocks::RIGHT.relays, ChaCha20Rng::seed_from_u64(40)).await;
        let took = network.know_each_other(|_| MANY * 99 / 100, PATIENCE).await;
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
