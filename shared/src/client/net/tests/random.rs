//! Whatever happens in whatever order: every request has an outcome, nothing comes twice, nothing spins,
//! and when the network works again the client is connected.

use rand::RngExt;

use super::world::{Manner, World};
use crate::client::net::requests::{DEADLINE, RequestId};
use crate::client::view::Connection;
use crate::test_support::rng;
use crate::time::Duration;

/// One random thing happens.
fn act(world: &mut World, asked: &mut Vec<RequestId>) {
    let count = world.relays.len();
    let any = world.rng.random_range(0..count);
    let other = world.rng.random_range(0..count);
    match world.rng.random_range(0..12) {
        0 => world.cut_links(any),
        1 => world.crash(any),
        2 | 3 => world.relays[any].up = true,
        4 => world.relays[any].hole ^= true,
        5 => {
            let manners = [
                Manner::Honest,
                Manner::Silent,
                Manner::WrongId,
                Manner::Noise,
            ];
            world.relays[any].manner = manners[other % manners.len()];
        }
        6 => {
            let online = world.rng.random();
            world.set_online(online);
        }
        7 => {
            world.restart_net();
            asked.clear();
        }
        8 => {
            let ms = world.rng.random_range(0..120_000);
            world.advance(Duration::from_ms(ms));
        }
        9 => {
            for surb in world.mint(any, 2).unwrap_or_default() {
                world.push(&surb, 1);
            }
        }
        _ => asked.push(world.ask(any, &[other])),
    }
}

#[test]
fn whatever_happens_it_comes_to_rest_and_recovers() {
    for seed in 0..40 {
        let relays = [2, 5, 12][seed % 3];
        let mut world = World::new(relays, 3.min(relays), 1_000 + seed as u64);
        let mut asked = Vec::new();
        for _ in 0..60 {
            act(&mut world, &mut asked);
        }
        world.advance(DEADLINE * 2);
        let over =
            |id: &RequestId| world.replies.contains_key(id) || world.failures.contains_key(id);
        assert!(
            asked.iter().all(over),
            "seed {seed}: a request without an outcome"
        );
        assert_eq!(
            world.net.dropped().unknown,
            0,
            "seed {seed}: a delivery came twice"
        );
        for relay in &mut world.relays {
            (relay.up, relay.hole, relay.manner) = (true, false, Manner::Honest);
        }
        world.set_online(true);
        world.advance(Duration::from_mins(2));
        let connection = world.net.connection();
        assert!(
            matches!(connection, Connection::Online { .. }),
            "seed {seed}: {connection:?}"
        );
        let target = world.rng.random_range(0..relays);
        let answered = (0..5).any(|_| {
            let id = world.ask(target, &[]);
            world.outcome(id).is_ok()
        });
        assert!(answered, "seed {seed}: nothing works any more");
        let links: usize = (0..relays).map(|n| world.links_to(n)).sum();
        assert!(links <= 4, "seed {seed}: {links} links are open");
    }
}

#[test]
fn frames_of_noise_and_frames_with_flipped_bits_do_no_harm() {
    let mut noise = rng(77);
    let mut world = World::connected(5, 2_000);
    for round in 0..300 {
        let Some(frame) = world.last_frame.clone() else {
            panic!("a relay has sent something");
        };
        let mut bytes = match round % 3 {
            0 => (0..noise.random_range(0..200))
                .map(|_| noise.random())
                .collect(),
            _ => frame,
        };
        if let Some(at) = bytes.len().checked_sub(1) {
            bytes[noise.random_range(0..=at)] ^= 1 << noise.random_range(0..8);
            bytes.truncate(noise.random_range(0..=at + 1));
        }
        if world.is_up() {
            let guard = world.guard();
            world.frame_from(guard, &bytes);
        }
        world.advance(Duration::from_secs(5));
        let target = world.stranger();
        world.ask(target, &[]);
    }
    world.advance(Duration::from_mins(2));
    assert!(world.is_up());
}
