//! Onions: what building and peeling cost, against the floor and against `sphinx-packet`.
//!
//! `cargo xtask bench onion`, or `cargo bench -p zentalk-shared --bench onion`; the words after `--` choose
//! rows by name. One core, one thread. All rows take turns, so that a busy machine disturbs them alike; a
//! row's figure is the median of its samples. What counts are the ratios:
//!
//! - *floor*: one X25519 Diffie-Hellman, HKDF-SHA256 (208 bytes) and ChaCha20-Poly1305 over as many bytes as
//!   the packet has: less than that no hop can do that authenticates what it decrypts. Goal: peel ≤ 1.4.
//! - *peer*: `sphinx-packet` (Nym) with a payload of the same capacity, three hops. Goals: build and peel
//!   ≤ 0.5.

use std::hint::black_box;
use std::time::{Duration, Instant};

use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use hkdf::Hkdf;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use sha2::Sha256;
use sphinx_packet::header::delays;
use sphinx_packet::route::{Destination, DestinationAddressBytes, Node, NodeAddressBytes};
use sphinx_packet::{SphinxPacket, SphinxPacketBuilder};
use x25519_dalek::{PublicKey, StaticSecret};
use zentalk_shared::crypto::Secret32;
use zentalk_shared::crypto::dh::X25519Secret;
use zentalk_shared::crypto::kem::X25519Kem;
use zentalk_shared::id::{ConnectionTag, NodeId};
use zentalk_shared::onion::peel::peel;
use zentalk_shared::onion::replay::{ReplayFilter, ReplayTag};
use zentalk_shared::onion::{
    Class, Epoch, Hop, Layout, Peeled, ReplayLimits, build_request, build_surb,
};
use zentalk_shared::time::{Duration as Span, Timestamp};

/// Rounds in which every row runs once per sample.
const ROUNDS: usize = 400;
/// Calls in one sample.
const CALLS: u32 = 5;
const NOW: Timestamp = Timestamp::from_ms(1_800_000_000_000);
/// Padding that `sphinx-packet` adds to what a payload carries.
const SPHINX_OVERHEAD: usize = 17;

/// One thing that is measured.
struct Row {
    name: String,
    call: Box<dyn FnMut()>,
    samples: Vec<Duration>,
}

impl Row {
    fn new(name: impl Into<String>, call: impl FnMut() + 'static) -> Self {
        Self {
            name: name.into(),
            call: Box::new(call),
            samples: Vec::with_capacity(ROUNDS),
        }
    }

    fn sample(&mut self) {
        let start = Instant::now();
        (0..CALLS).for_each(|_| (self.call)());
        self.samples.push(start.elapsed() / CALLS);
    }

    /// Median and the lower decile, in microseconds.
    fn figures(&mut self) -> (f64, f64) {
        self.samples.sort_unstable();
        let at = |index: usize| {
            self.samples
                .get(index)
                .map_or(f64::NAN, |sample| sample.as_secs_f64() * 1e6)
        };
        (at(self.samples.len() / 2), at(self.samples.len() / 10))
    }
}

fn main() {
    // `cargo bench` adds `--bench`; `cargo test --benches` wants to know only that it runs.
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| word != "--bench")
        .collect();
    let rounds = if words.iter().any(|word| word == "--test") {
        1
    } else {
        ROUNDS
    };
    let wanted: Vec<&String> = words
        .iter()
        .filter(|word| !word.starts_with("--"))
        .collect();
    let mut rows: Vec<Row> = Class::ALL
        .into_iter()
        .flat_map(rows_of)
        .chain(small_rows())
        .collect();
    rows.retain(|row| wanted.is_empty() || wanted.iter().any(|word| row.name.contains(*word)));
    for _ in 0..rounds {
        rows.iter_mut().for_each(Row::sample);
    }
    println!("{:<34} {:>10} {:>10}", "", "median µs", "decile µs");
    let figures: Vec<(String, (f64, f64))> = rows
        .iter_mut()
        .map(|row| (row.name.clone(), row.figures()))
        .collect();
    for (name, (median, decile)) in &figures {
        println!("{name:<34} {median:>10.1} {decile:>10.1}");
    }
    ratios(&figures);
}

/// The ratios that goals exist for, of medians and of lower deciles.
fn ratios(figures: &[(String, (f64, f64))]) {
    let find = |name: &str| {
        figures
            .iter()
            .find(|(row, _)| row == name)
            .map(|(_, value)| *value)
    };
    println!(
        "\n{:<34} {:>10} {:>10} {:>6}",
        "ratios", "median", "decile", "goal"
    );
    for class in ["message", "bulk"] {
        for (ours, theirs, goal) in [
            ("peel", "floor", 1.4),
            ("peel", "sphinx-packet peel", 0.5),
            ("build 3 hops", "sphinx-packet build 3 hops", 0.5),
        ] {
            let (ours, theirs) = (format!("{ours}, {class}"), format!("{theirs}, {class}"));
            if let (Some(a), Some(b)) = (find(&ours), find(&theirs)) {
                let name = format!(
                    "{ours} / {}",
                    theirs.trim_end_matches(&format!(", {class}"))
                );
                println!(
                    "{name:<34} {:>10.2} {:>10.2} {goal:>6.1}",
                    a.0 / b.0,
                    a.1 / b.1
                );
            }
        }
    }
}

fn name_of(class: Class) -> &'static str {
    match class {
        Class::Message => "message",
        Class::Bulk => "bulk",
    }
}

fn secret(index: u8) -> X25519Secret {
    X25519Secret::from_bytes(&Secret32::from_bytes([index; 32]))
}

fn path() -> Vec<Hop> {
    let hop = |index| Hop {
        node: NodeId::from_bytes([index; 20]),
        epoch: Epoch::at(NOW),
        key: *secret(index).public(),
        delay: Span::ZERO,
    };
    (1..=3).map(hop).collect()
}

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(1)
}

fn rows_of(class: Class) -> Vec<Row> {
    let name = name_of(class);
    let length = Layout::of::<X25519Kem>().packet(class);
    vec![
        Row::new(format!("floor, {name}"), floor(length)),
        Row::new(format!("peel, {name}"), peel_row(class)),
        Row::new(format!("sphinx-packet peel, {name}"), sphinx_peel(class)),
        Row::new(format!("build 3 hops, {name}"), build(class)),
        Row::new(
            format!("sphinx-packet build 3 hops, {name}"),
            sphinx_build(class),
        ),
        Row::new(format!("open a reply of 3 hops, {name}"), open(class)),
    ]
}

/// X25519, HKDF, AEAD, each as its crate does it.
fn floor(length: usize) -> impl FnMut() {
    let ours = StaticSecret::from([9; 32]);
    let theirs = PublicKey::from(&StaticSecret::from([3; 32]));
    let mut packet = vec![0; length];
    move || {
        let shared = ours.diffie_hellman(black_box(&theirs));
        let hkdf = Hkdf::<Sha256>::new(Some(b"ZenTalk onion v1"), shared.as_bytes());
        let mut keys = [0; 208];
        hkdf.expand(&[1], &mut keys)
            .expect("208 bytes are not too many");
        let (key, _) = keys
            .split_first_chunk::<32>()
            .expect("208 bytes hold a key");
        let aead = ChaCha20Poly1305::new(key.into());
        let tag = aead.encrypt_inout_detached(&[0; 12].into(), b"", packet.as_mut_slice().into());
        black_box(tag).expect("a packet is not too long");
    }
}

/// A relay's work: filter and all. Fresh tags, so that the filter fills as a relay's does.
fn peel_row(class: Class) -> impl FnMut() {
    let key = secret(1);
    let mut rng = rng();
    let packet = build_request(&path(), None, b"", class, &mut rng).expect("a path");
    let mut filter = ReplayFilter::new(ReplayLimits::PROTOCOL);
    let mut tag = 0u128;
    move || {
        let record = |_: ReplayTag| {
            tag = tag.wrapping_add(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
            filter.insert(ReplayTag::from_bytes(tag.to_be_bytes()))
        };
        let peeled = peel::<X25519Kem>(&key, black_box(packet.clone()), record, &mut rng);
        assert!(matches!(black_box(peeled), Ok(Peeled::Forward { .. })));
    }
}

fn build(class: Class) -> impl FnMut() {
    let (path, payload, mut rng) = (path(), vec![1; class.capacity()], rng());
    move || {
        black_box(build_request(
            &path,
            None,
            black_box(&payload),
            class,
            &mut rng,
        ))
        .expect("a path");
    }
}

fn open(class: Class) -> impl FnMut() {
    let mut rng = rng();
    let tag = ConnectionTag::from_bytes([1; 16]);
    let (surb, keys) = build_surb(&path(), tag, NOW, &mut rng).expect("a path");
    let keys = minicbor::to_vec(&keys).expect("memory takes it");
    let mut packet = surb.reply(b"answer", class).expect("it fits");
    for index in 1..=3 {
        packet = match peel::<X25519Kem>(&secret(index), packet, |_| Ok(()), &mut rng) {
            Ok(Peeled::Forward { packet, .. }) => packet,
            Ok(Peeled::Deliver { body, .. }) => body,
            other => panic!("a reply is forwarded or delivered, not {other:?}"),
        };
    }
    move || {
        let keys: zentalk_shared::onion::SurbKeys = minicbor::decode(&keys).expect("own record");
        black_box(keys.open(packet.clone())).expect("an answer");
    }
}

fn small_rows() -> Vec<Row> {
    let (hops, mut rng) = (path(), rng());
    let tag = ConnectionTag::from_bytes([1; 16]);
    let surb = move || {
        black_box(build_surb(&hops, tag, NOW, &mut rng)).expect("a path");
    };
    let (ours, theirs) = (secret(1), *secret(2).public());
    let dh = move || {
        black_box(ours.diffie_hellman(black_box(&theirs))).expect("a point");
    };
    vec![
        Row::new("build a reply block of 3 hops", surb),
        Row::new("one X25519", dh),
    ]
}

fn sphinx_route() -> (
    Vec<Node>,
    Destination,
    Vec<sphinx_packet::header::delays::Delay>,
) {
    let node = |index: u8| {
        let key = PublicKey::from(&StaticSecret::from([index; 32]));
        Node::new(NodeAddressBytes::from_bytes([index; 32]), key)
    };
    let destination = Destination::new(DestinationAddressBytes::from_bytes([3; 32]), [4; 16]);
    let delays = delays::generate_from_average_duration(3, Duration::from_millis(10));
    ((1..=3).map(node).collect(), destination, delays)
}

fn sphinx_build(class: Class) -> impl FnMut() {
    let (route, destination, delays) = sphinx_route();
    let message = vec![1; class.capacity()];
    let builder = SphinxPacketBuilder::new().with_payload_size(class.capacity() + SPHINX_OVERHEAD);
    move || {
        let packet = builder.build_packet(black_box(&message), &route, &destination, &delays);
        black_box(packet).expect("a route");
    }
}

fn sphinx_peel(class: Class) -> impl FnMut() {
    let (route, destination, delays) = sphinx_route();
    let builder = SphinxPacketBuilder::new().with_payload_size(class.capacity() + SPHINX_OVERHEAD);
    let message = vec![1; class.capacity()];
    let packet = builder
        .build_packet(&message, &route, &destination, &delays)
        .expect("a route");
    let (bytes, key) = (packet.to_bytes(), StaticSecret::from([1; 32]));
    move || {
        let packet = SphinxPacket::from_bytes(black_box(&bytes)).expect("a packet");
        black_box(packet.process(&key)).expect("a layer");
    }
}
