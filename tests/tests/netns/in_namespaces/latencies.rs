//! How long things take while nothing is wrong but the length of the wires and what they lose: printed, for
//! docs/PERFORMANCE.md, and held against bounds.

use std::net::SocketAddr;
use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use tokio::time::{sleep, timeout};
use zentalk_tests::live::{Clock, percentile, spread};

use super::super::lookups::{Asker, From};
use super::super::namespaces::Namespace;
use super::super::relays::url_of_relay;
use super::{Clocks, LOOK_AGAIN, PATIENCE, RELAYS, Scene, address_of_person, runtime};

/// One a second at most.
const TEXTS: usize = 60;
/// A relay makes 120 at once, and then ten a second.
const LOOKUPS: usize = 60;

/// What half of the times and 99 of 100 keep within, in milliseconds. On a quiet machine they take a fifth of it or less
/// (docs/PERFORMANCE.md): it may be busy, but what takes ten times as long is wrong.
struct Bounds {
    half: u64,
    most: u64,
}

const ONE_RELAY: Bounds = Bounds {
    half: 500,
    most: 3_000,
};
const THREE_RELAYS: Bounds = Bounds {
    half: 2_500,
    most: 10_000,
};
const LOOKUP: Bounds = Bounds {
    half: 8_500,
    most: 12_000,
};
const THERE_AND_BACK: Bounds = Bounds {
    half: 5_500,
    most: 9_000,
};

impl Bounds {
    fn hold(&self, what: &str, sorted: &[Duration]) {
        for (percent, bound) in [(50, self.half), (99, self.most)] {
            let took = percentile(sorted, percent).expect("some times");
            let bound = Duration::from_millis(bound);
            assert!(took <= bound, "{what}: p{percent} {took:?}, not {bound:?}");
        }
    }
}

#[test]
#[ignore = "soak: figures, six minutes"]
fn latencies_of_texts_and_lookups() {
    let town = Namespace::new();
    runtime(&town).block_on(async {
        // Two, because with one relay it takes them a while to find each other.
        let pair = Clocks {
            people: &[Clock::Right; 2],
            ..Clocks::RIGHT
        };
        let scene = Scene::open(&town, 1, pair, 60).await;
        talk(scene, "one relay", ONE_RELAY).await;
    });
    let town = Namespace::new();
    runtime(&town).block_on(async {
        let mut scene = Scene::open(&town, RELAYS, Clocks::RIGHT, 61).await;
        lookups(&mut scene).await;
        talk(scene, "three relays", THREE_RELAYS).await;
    });
}

async fn talk(mut scene: Scene, what: &str, bounds: Bounds) {
    // First messages ask who the other is.
    scene.people.print_latencies(&format!("{what}, first"));
    scene.people.talk_in_turns(&mut scene.rng, TEXTS).await;
    let took = scene.people.print_latencies(what);
    scene.close(what).await;
    bounds.hold(what, &took);
}

async fn lookups(scene: &mut Scene) {
    // The last one is asked.
    const PATH: [usize; 3] = [3, 4, 5];
    let network = &scene.network;
    let full_table = async {
        while network.contacts(PATH[2]) < RELAYS - 1 {
            sleep(LOOK_AGAIN).await;
        }
    };
    timeout(PATIENCE, full_table).await.expect("a full table");
    let from = From {
        address: SocketAddr::from((address_of_person(0), 0)),
        tls: network.trusted(),
    };
    let rng = ChaCha20Rng::from_rng(&mut scene.rng);
    let asking = async move {
        let urls = PATH.map(url_of_relay);
        let mut asker = Asker::new(&from, &urls, RELAYS, rng).await;
        let (mut first, mut again) = (Vec::new(), Vec::new());
        for _ in 0..LOOKUPS {
            let key = asker.absent_record();
            first.push(asker.look_up(key).await);
            // What a relay has looked up it knows for a while: this is the way there and back.
            again.push(asker.look_up(key).await);
        }
        (first, again)
    };
    // Only threads of the runtime are in the town.
    let (first, again) = tokio::spawn(asking).await.expect("no panic");
    let both = [
        ("look-up", first, LOOKUP),
        ("the same again", again, THERE_AND_BACK),
    ];
    for (what, mut times, bounds) in both {
        times.sort_unstable();
        println!("{what}, {RELAYS} relays: {}", spread(&times));
        bounds.hold(what, &times);
    }
}
