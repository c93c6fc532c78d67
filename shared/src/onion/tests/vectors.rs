//! `shared/tests/vectors/onion*.txt`, a file a suite: what a second implementation checks itself against.
//!
//! The files are made by [`generate`], from fixed seeds; the test fails if file and code differ. To write
//! them anew after a deliberate change of the format: `ZENTALK_WRITE_VECTORS=1 cargo test -p
//! zentalk-shared onion::tests::vectors`. The other tests read the files and know nothing of how they were
//! made.

mod generate;
mod suite;

use std::collections::BTreeMap;

use self::generate::generate;
use self::suite::{VectorSuite, material};
use super::support::NOW;
use crate::crypto::hash::{blake2b_256_concat, keyed_mac_128};
use crate::crypto::kem::{Kem, Rsa4096Kem, X25519Kem, XWingKem};
use crate::crypto::{Secret, Secret32};
use crate::onion::descriptor::UnverifiedDescriptor;
use crate::onion::keys::HopKeys;
use crate::onion::lioness::BodyKey;
use crate::onion::peel::peel;
use crate::onion::{Class, Layout, Peeled, Surb, SurbKeys};
use crate::test_support::{VectorFile, hex, hkdf_by_hand, rng, unhex, vector_file};

/// Runs a check on the file of each suite.
macro_rules! on_every_file {
    ($check:ident) => {
        $check::<X25519Kem>();
        $check::<XWingKem>();
        $check::<Rsa4096Kem>();
    };
}

/// One vector: what to expect, and its values by name.
#[derive(Clone, Default)]
struct Vector {
    expect: String,
    values: BTreeMap<String, Vec<u8>>,
}

impl Vector {
    fn get(&self, name: &str) -> &[u8] {
        self.values
            .get(name)
            .unwrap_or_else(|| panic!("{} has no {name}", self.expect))
    }

    fn array<const N: usize>(&self, name: &str) -> [u8; N] {
        self.get(name).try_into().unwrap()
    }

    fn secret<const N: usize>(&self, name: &str) -> Secret<N> {
        Secret::from_bytes(self.array(name))
    }

    /// The packet: `packet` as it stands, or `header` before a `message` body of zeros.
    fn packet<K: Kem>(&self) -> Vec<u8> {
        match self.values.get("packet") {
            Some(packet) => packet.clone(),
            None => {
                let body = vec![0; Layout::of::<K>().body(Class::Message)];
                [self.get("header"), &body].concat()
            }
        }
    }

    fn peel<K: VectorSuite>(&self) -> Result<Peeled, String> {
        let secret = K::read(self.get("secret"));
        peel::<K>(&secret, self.packet::<K>(), |_| Ok(()), &mut rng(0))
            .map_err(|error| error.label().to_owned())
    }
}

fn vectors<K: VectorSuite>() -> Vec<Vector> {
    let mut vectors: Vec<Vector> = Vec::new();
    for line in vector_file(K::FILE)
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("{line}"));
        match name {
            "expect" => vectors.push(Vector {
                expect: value.into(),
                ..Vector::default()
            }),
            "comment" => {}
            _ => {
                let vector = vectors.last_mut().unwrap();
                assert!(
                    vector.values.insert(name.into(), unhex(value)).is_none(),
                    "{line}"
                );
            }
        }
    }
    vectors
}

fn expecting<K: VectorSuite>(prefix: &str) -> Vec<Vector> {
    let found: Vec<_> = vectors::<K>()
        .into_iter()
        .filter(|vector| vector.expect.starts_with(prefix))
        .collect();
    assert!(!found.is_empty(), "no vector expects {prefix}");
    found
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    blake2b_256_concat(b"", bytes)
}

#[test]
fn the_file_is_what_the_generator_writes() {
    on_every_file!(is_what_the_generator_writes);
}

fn is_what_the_generator_writes<K: VectorSuite>() {
    VectorFile::from_text(generate::<K>()).finish(K::FILE);
}

#[test]
fn failures_come_first() {
    on_every_file!(has_failures_first);
}

fn has_failures_first<K: VectorSuite>() {
    let fails = |vector: &Vector| vector.expect.starts_with("drop") || vector.expect == "refuse";
    let order: Vec<bool> = vectors::<K>().iter().map(fails).collect();
    assert!(order.is_sorted_by(|a, b| a >= b) && order[0]);
}

#[test]
fn packets_that_are_dropped() {
    on_every_file!(drops);
}

fn drops<K: VectorSuite>() {
    for vector in expecting::<K>("drop ") {
        assert_eq!(
            format!("drop {}", vector.peel::<K>().unwrap_err()),
            vector.expect
        );
    }
}

#[test]
fn packets_that_are_forwarded() {
    on_every_file!(forwards);
}

fn forwards<K: VectorSuite>() {
    for vector in expecting::<K>("forward") {
        let Ok(Peeled::Forward {
            next,
            delay,
            packet,
        }) = vector.peel::<K>()
        else {
            panic!()
        };
        assert_eq!(next.as_bytes()[..], *vector.get("next"));
        assert_eq!(
            delay.as_ms(),
            u64::from(u32::from_be_bytes(vector.array("delay")))
        );
        let (header, body) = packet.split_at(Layout::of::<K>().header());
        assert_eq!(hex(header), hex(vector.get("next header")));
        assert_eq!(digest(body)[..], *vector.get("blake2b-256 of next body"));
    }
}

#[test]
fn packets_that_are_processed() {
    on_every_file!(processes);
}

fn processes<K: VectorSuite>() {
    for vector in expecting::<K>("process") {
        let Ok(Peeled::Process {
            surb: Some(surb),
            payload,
        }) = vector.peel::<K>()
        else {
            panic!()
        };
        assert_eq!(hex(&surb.encode()), hex(vector.get("surb")));
        assert_eq!(payload[..16], *vector.get("payload begins"));
        assert_eq!(digest(&payload)[..], *vector.get("blake2b-256 of payload"));
    }
}

#[test]
fn packets_that_are_delivered() {
    on_every_file!(delivers);
}

fn delivers<K: VectorSuite>() {
    for vector in expecting::<K>("deliver") {
        let Ok(Peeled::Deliver { tag, surb_id, body }) = vector.peel::<K>() else {
            panic!()
        };
        assert_eq!(tag.as_bytes()[..], *vector.get("tag"));
        assert_eq!(surb_id.as_bytes()[..], *vector.get("surb id"));
        assert_eq!(digest(&body)[..], *vector.get("blake2b-256 of body"));
    }
}

#[test]
fn replies() {
    on_every_file!(answers);
}

fn answers<K: VectorSuite>() {
    for vector in expecting::<K>("reply") {
        let packet = Surb::decode(vector.get("surb"))
            .unwrap()
            .reply(vector.get("payload"), Class::Message)
            .unwrap();
        assert_eq!(digest(&packet)[..], *vector.get("blake2b-256 of packet"));
        let keys: SurbKeys = minicbor::decode(vector.get("surb keys")).unwrap();
        let opened = keys.open(vector.get("body").to_vec()).unwrap();
        assert_eq!(
            opened[..vector.get("payload").len()],
            *vector.get("payload")
        );
    }
}

#[test]
fn keys_and_primitives() {
    for vector in expecting::<X25519Kem>("keys") {
        match vector.get("suite") {
            [1] => keys::<X25519Kem>(&vector),
            [2] => keys::<XWingKem>(&vector),
            _ => keys::<Rsa4096Kem>(&vector),
        }
    }
    for vector in expecting::<X25519Kem>("lioness") {
        let mut body = vector.get("plain").to_vec();
        BodyKey::new(&vector.secret("key")).encrypt(&mut body);
        assert_eq!(hex(&body), hex(vector.get("sealed")));
    }
}

/// A vector of a hop's keys, in any suite.
fn keys<K: VectorSuite>(vector: &Vector) {
    let Ok(ciphertext) = K::Ciphertext::try_from(vector.get("ciphertext")) else {
        panic!()
    };
    let secret = K::read(vector.get("secret"));
    let shared = K::decapsulate(&secret, &ciphertext, &mut rng(0)).unwrap();
    assert_eq!(shared, vector.secret("ss"));
    let keys = HopKeys::derive::<K>(&shared);
    assert_eq!(keys.replay_tag.as_bytes()[..], *vector.get("replay tag"));
    let mut stream = [0; 64];
    keys.xor_routing(0, &mut stream);
    assert_eq!(stream[..], *vector.get("routing stream begins"));
    assert_eq!(
        keys.mac(&[1, 2, 3, 4], b"ct", b"routing")[..],
        *vector.get("mac")
    );
    let (mut ours, mut theirs) = ([7; 100], [7; 100]);
    keys.body.encrypt(&mut ours);
    BodyKey::new(&vector.secret("body key")).encrypt(&mut theirs);
    assert_eq!(ours, theirs);
    let stream_key = vector.secret("routing key");
    let mut stream = [0; 64];
    crate::crypto::stream::xor(&stream_key, &mut stream).unwrap();
    assert_eq!(stream[..], *vector.get("routing stream begins"));
}

/// Every layer states the secrets that its relay derives from the header.
#[test]
fn layers_and_their_secrets() {
    on_every_file!(states_secrets);
}

fn states_secrets<K: VectorSuite>() {
    let peeled = ["forward", "process", "deliver"].map(expecting::<K>);
    for vector in peeled.iter().flatten() {
        let packet = vector.packet::<K>();
        for (name, value) in K::layer(&K::read(vector.get("secret")), &packet) {
            assert_eq!(hex(&value), hex(vector.get(name)), "{name}");
        }
        let keys = HopKeys::derive::<K>(&vector.secret("ss"));
        assert_eq!(keys.replay_tag.as_bytes()[..], *vector.get("replay tag"));
    }
    for vector in expecting::<K>("reply") {
        let reply_key = vector.get("surb")[20..52].to_vec();
        assert_eq!(reply_key, vector.get("reply key"));
        let body_key = hkdf_by_hand(b"ZenTalk reply v1", &reply_key, b"", 128);
        assert_eq!(body_key, vector.get("body key"));
    }
}

/// Headers follow from what `build` states of them, and are those that come to the hops.
#[test]
fn headers_and_what_they_are_built_of() {
    on_every_file!(builds);
}

fn builds<K: VectorSuite>() {
    let built = expecting::<K>("build");
    for vector in &built {
        let header = header_by_hand::<K>(vector);
        assert_eq!(hex(&header), hex(vector.get("header")));
    }
    let hops = ["forward", "process"].map(expecting::<K>).concat();
    let secrets = built[0].get("secrets").chunks(32);
    assert_eq!((built.len(), hops.len()), (2, secrets.len()));
    for (hop, secret) in hops.iter().zip(secrets) {
        assert_eq!(hex(hop.get("ss")), hex(secret));
    }
    assert_eq!(built[0].get("header"), hops[0].get("header"));
    assert_eq!(built[1].get("header"), &hops[3].get("surb")[56..]);
}

/// What one hop of a header is made of.
struct Built<'a> {
    node: &'a [u8],
    epoch: &'a [u8],
    delay: &'a [u8],
    ciphertext: &'a [u8],
    /// As [`material`] names it.
    keys: BTreeMap<&'static str, Vec<u8>>,
}

impl Built<'_> {
    /// The first bytes of the stream of the routing key.
    fn stream(&self, length: usize) -> Vec<u8> {
        let key = Secret32::try_from(&self.keys["routing key"][..]).unwrap();
        let mut stream = vec![0; length];
        crate::crypto::stream::xor(&key, &mut stream).unwrap();
        stream
    }

    fn mac<K: Kem>(&self, routing: &[u8]) -> Vec<u8> {
        let key = Secret32::try_from(&self.keys["mac key"][..]).unwrap();
        let prefix = [&[1, K::SUITE], self.epoch].concat();
        keyed_mac_128(&key, &[&prefix, self.ciphertext, routing]).to_vec()
    }
}

fn xor(bytes: &mut [u8], stream: &[u8]) {
    bytes
        .iter_mut()
        .zip(stream)
        .for_each(|(byte, key)| *byte ^= key);
}

/// PROTOCOL §5, building, without the code of this module.
fn header_by_hand<K: Kem>(vector: &Vector) -> Vec<u8> {
    let (slot, routing) = (64 + K::CIPHERTEXT_LEN, 256 + 3 * K::CIPHERTEXT_LEN);
    let parts = |name: &str, length| vector.get(name).chunks(length).collect::<Vec<_>>();
    let secrets = parts("secrets", 32);
    let hops: Vec<Built> = (0..secrets.len())
        .map(|at| Built {
            node: parts("nodes", 20)[at],
            epoch: parts("epochs", 2)[at],
            delay: parts("delays", 4)[at],
            ciphertext: parts("ciphertexts", K::CIPHERTEXT_LEN)[at],
            keys: material(K::SUITE, secrets[at]).into_iter().collect(),
        })
        .collect();
    let (last, before) = hops.split_last().unwrap();
    let mut filler = Vec::new();
    for hop in before {
        filler.resize(filler.len() + slot, 0);
        let stream = hop.stream(routing + slot);
        let at = stream.len() - filler.len();
        xor(&mut filler, &stream[at..]);
    }
    let mut block = vector.get("last command").to_vec();
    if let Some(padding) = vector.values.get("padding") {
        block.extend_from_slice(padding);
    }
    xor(&mut block, &last.stream(routing));
    block.extend_from_slice(&filler);
    let mut mac = last.mac::<K>(&block);
    for pair in hops.windows(2).rev() {
        let (hop, next) = (&pair[0], &pair[1]);
        let command = [&[1, 0], next.epoch, hop.delay, next.node, &mac, &[0; 20]].concat();
        block = [&command, next.ciphertext, &block].concat();
        block.truncate(routing);
        xor(&mut block, &hop.stream(routing));
        mac = hop.mac::<K>(&block);
    }
    let first = &hops[0];
    let prefix = [&[1, K::SUITE], first.epoch].concat();
    [&prefix, first.ciphertext, &mac, &block].concat()
}

#[test]
fn descriptors() {
    for vector in expecting::<X25519Kem>("refuse") {
        let descriptor = UnverifiedDescriptor::decode(vector.get("descriptor"));
        assert!(descriptor.is_err() || descriptor.is_ok_and(|read| read.verify(NOW).is_err()));
    }
    for vector in expecting::<X25519Kem>("accept") {
        let descriptor = UnverifiedDescriptor::decode(vector.get("descriptor"))
            .unwrap()
            .verify(NOW)
            .unwrap();
        assert_eq!(descriptor.node().as_bytes()[..], *vector.get("node"));
        assert_eq!(descriptor.hash()[..], *vector.get("hash"));
    }
}
