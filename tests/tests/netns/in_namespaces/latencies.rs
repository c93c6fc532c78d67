//! How long things take while nothing is wrong but the length of the wires and what they lose.

use std::net::SocketAddr;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use tokio::time::{sleep, timeout};
use zentalk_tests::live::{Clock, spread};

use super::super::lookups::{Asker, From};
use super::super::namespaces::Namespace;
use super::super::relays::url_of_relay;
use super::{Clocks, LOOK_AGAIN, PATIENCE, RELAYS, Scene, address_of_person, runtime};

/// One a second at most.
const TEXTS: usize = 60;
/// A relay makes 120 at once, and then ten a second.
const LOOKUPS: usize = 60;

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
        talk(Scene::open(&town, 1, pair, 60).await, "one relay").await;
    });
    let town = Namespace::new();
    runtime(&town).block_on(async {
        let mut scene = Scene::open(&town, RELAYS, Clocks::RIGHT, 61).await;
        lookups(&mut scene).await;
        talk(scene, "three relays").await;
    });
}

async fn talk(mut scene: Scene, what: &str) {
    // First messages ask who the other is.
    scene.people.print_latencies(&format!("{what}, first"));
    scene.people.talk_in_turns(&mut scene.rng, TEXTS).await;
    scene.close(what).await;
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
    let (mut first, mut again) = tokio::spawn(asking).await.expect("no panic");
    for (what, times) in [("look-up", &mut first), ("the same again", &mut again)] {
        times.sort_unstable();
        println!("{what}, {RELAYS} relays: {}", spread(times));
    }
}
