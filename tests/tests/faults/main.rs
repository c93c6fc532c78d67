//! People at native hosts, relay processes, and wires between them, while relays are killed, restarted, cut off from
//! each other, full, and clocks wrong: nothing that was shown as sent is lost, nothing is shown twice, and all arrives.

mod relays;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use relays::Network;
use tokio::time::{Instant, interval, sleep};
use wire::{FAR, NEAR, Source, Weather, Wires, address_of};
use zentalk_shared::client::{Config, NetConfig, StockConfig};
use zentalk_shared::time::Duration as Span;
use zentalk_tests::live::{Access, Clock, People};

/// People everywhere but where a test says otherwise.
const PEOPLE: usize = 4;
const RELAYS: usize = 5;
/// Until disks are full on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);

/// Relays, wires and people.
struct Scene {
    network: Network,
    people: People,
    rng: ChaCha20Rng,
}

impl Scene {
    /// Everybody has written to everybody, and all of it has arrived.
    async fn open(
        (relays, weather): (usize, Weather),
        clocks: &[Clock],
        extra: impl Fn(usize) -> String,
        seed: u64,
    ) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let wires = Wires::new(weather, relays, ChaCha20Rng::from_rng(&mut rng));
        let network = Network::start(relays, wires, extra).await;
        let config = Config {
            net: NetConfig::new(network.bootstrap()),
            stock: StockConfig::default(),
        };
        let mut people = People::come(clocks, &config, &Access::plain(address_of), &mut rng);
        people.greet().await;
        Self {
            network,
            people,
            rng,
        }
    }

    /// All has arrived, and nothing was promised that was not kept.
    async fn close(self, what: &str) {
        self.people.close(what).await;
    }
}

const RIGHT: [Clock; PEOPLE] = [Clock::Right; PEOPLE];

fn plain(_: usize) -> String {
    String::new()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relays_killed_at_random_lose_nothing_that_was_sent() {
    kills_at_random(NEAR, 20, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "soak: ten times 200 kills on wires with 80 ms and 1 % loss, half an hour"]
async fn relays_killed_at_random_for_long_on_bad_wires_lose_nothing() {
    for seed in 2..12 {
        kills_at_random(FAR, 200, seed).await;
    }
}

async fn kills_at_random(weather: Weather, kills: usize, seed: u64) {
    let mut scene = Scene::open((RELAYS, weather), &RIGHT, plain, seed).await;
    let mut rng = ChaCha20Rng::from_rng(&mut scene.rng);
    let network = &mut scene.network;
    let killing = async {
        for _ in 0..kills {
            let victim = rng.random_range(0..network.len());
            network.kill(victim);
            // How long the fault lasts: some are back before anybody notices.
            sleep(Duration::from_millis(rng.random_range(0..1_000))).await;
            network.start_one(victim).await;
        }
    };
    scene.people.talk_while(&mut scene.rng, killing).await;
    scene.close(&format!("seed {seed}, {kills} kills")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_in_two_halves_heals() {
    const LASTS: Duration = Duration::from_secs(8);
    let mut scene = Scene::open((6, NEAR), &RIGHT, plain, 20).await;
    let side = |source: Source| match source {
        Source::Relay(index) => index < 3,
        Source::Person(index) => index < 2,
    };
    let cut = move |source, relay| side(source) != side(Source::Relay(relay));
    scene.network.wires.cut(Arc::new(cut));
    scene.people.talk_while(&mut scene.rng, sleep(LASTS)).await;
    assert!(!scene.people.is_complete(), "something crossed the cut");
    scene.network.wires.heal();
    scene.close("two halves").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relays_restarted_one_after_the_other_under_load_lose_nothing() {
    let mut scene = Scene::open((RELAYS, NEAR), &RIGHT, plain, 30).await;
    let network = &mut scene.network;
    let rolling = async {
        for index in 0..network.len() {
            network.stop(index).await;
            network.start_one(index).await;
        }
    };
    scene.people.talk_while(&mut scene.rng, rolling).await;
    scene.close("rolling restart").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_finds_all_disks_full_waits_until_its_owner_has_made_room() {
    let small = |_| "[limits]\ndatabase_bytes = 1_200_000\n".to_owned();
    let mut scene = Scene::open((RELAYS, NEAR), &RIGHT, small, 40).await;
    let absent = PEOPLE - 1;
    scene.people.is_online(absent, false);
    let (began, mut pace) = (Instant::now(), interval(Duration::from_millis(20)));
    while !scene.network.says("the disk is full") {
        assert!(began.elapsed() < PATIENCE, "there is room for everything");
        pace.tick().await;
        let from = scene.rng.random_range(0..absent);
        scene.people.say(from, absent);
    }
    scene.people.is_online(absent, true);
    scene.close("full disks").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_whose_clocks_are_two_hours_off_write_to_each_other() {
    let off = Span::from_hours(2);
    let clocks = [
        Clock::Right,
        Clock::Ahead(off),
        Clock::Behind(off),
        Clock::Right,
    ];
    let mut scene = Scene::open((RELAYS, NEAR), &clocks, plain, 50).await;
    let talking = sleep(Duration::from_secs(5));
    scene.people.talk_while(&mut scene.rng, talking).await;
    scene.close("clocks two hours off").await;
}
