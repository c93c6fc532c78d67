//! `shared/tests/vectors/onion.txt`: what a second implementation checks itself against.
//!
//! The file is made by [`generate`], from fixed seeds; the test fails if file and code differ. To write
//! it anew after a deliberate change of the format: `ZENTALK_WRITE_VECTORS=1 cargo test -p
//! zentalk-shared onion::tests::vectors`. The other tests read the file and know nothing of how it was
//! made.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::support::{NOW, info, onion_keys, publication, signer};
use crate::crypto::dh::X25519Secret;
use crate::crypto::hash::blake2b_256_concat;
use crate::crypto::kem::{Kem, Rsa4096Kem, X25519Kem, XWingKem, XWingSecret};
use crate::crypto::rsa::RsaSecret;
use crate::crypto::{Secret, Secret32};
use crate::id::{ConnectionTag, NodeId, SurbId};
use crate::onion::command::Command;
use crate::onion::descriptor::{RelayDescriptor, UnverifiedDescriptor};
use crate::onion::keys::HopKeys;
use crate::onion::lioness::BodyKey;
use crate::onion::peel::peel;
use crate::onion::{
    Class, Epoch, Hop, Layout, Peeled, Surb, SurbKeys, build, build_request, build_surb,
};
use crate::test_support::{
    Script, VectorFile, account_rsa, hex, hkdf_by_hand, rng, unhex, vector_file,
};
use crate::time::Duration;

const LAYOUT: Layout = Layout::of::<X25519Kem>();

/// One vector: what to expect, and its values by name.
#[derive(Default)]
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
    fn packet(&self) -> Vec<u8> {
        match self.values.get("packet") {
            Some(packet) => packet.clone(),
            None => [self.get("header"), &vec![0; LAYOUT.body(Class::Message)]].concat(),
        }
    }

    fn peel(&self) -> Result<Peeled, String> {
        let secret = X25519Secret::from_bytes(&self.secret("secret"));
        peel::<X25519Kem>(&secret, self.packet(), |_| Ok(()), &mut rng(0))
            .map_err(|error| error.label().to_owned())
    }
}

fn vectors() -> Vec<Vector> {
    let mut vectors: Vec<Vector> = Vec::new();
    for line in vector_file("onion.txt")
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

fn expecting(prefix: &str) -> Vec<Vector> {
    let found: Vec<_> = vectors()
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
    VectorFile::from_text(generate()).finish("onion.txt");
}

#[test]
fn failures_come_first() {
    let fails = |vector: &Vector| vector.expect.starts_with("drop") || vector.expect == "refuse";
    let order: Vec<bool> = vectors().iter().map(fails).collect();
    assert!(order.is_sorted_by(|a, b| a >= b) && order[0]);
}

#[test]
fn packets_that_are_dropped() {
    for vector in expecting("drop ") {
        assert_eq!(
            format!("drop {}", vector.peel().unwrap_err()),
            vector.expect
        );
    }
}

#[test]
fn packets_that_are_forwarded() {
    for vector in expecting("forward") {
        let Ok(Peeled::Forward {
            next,
            delay,
            packet,
        }) = vector.peel()
        else {
            panic!()
        };
        assert_eq!(next.as_bytes()[..], *vector.get("next"));
        assert_eq!(
            delay.as_ms(),
            u64::from(u32::from_be_bytes(vector.array("delay")))
        );
        let (header, body) = packet.split_at(LAYOUT.header());
        assert_eq!(hex(header), hex(vector.get("next header")));
        assert_eq!(digest(body)[..], *vector.get("blake2b-256 of next body"));
    }
}

#[test]
fn packets_that_are_processed() {
    for vector in expecting("process") {
        let Ok(Peeled::Process {
            surb: Some(surb),
            payload,
        }) = vector.peel()
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
    for vector in expecting("deliver") {
        let Ok(Peeled::Deliver { tag, surb_id, body }) = vector.peel() else {
            panic!()
        };
        assert_eq!(tag.as_bytes()[..], *vector.get("tag"));
        assert_eq!(surb_id.as_bytes()[..], *vector.get("surb id"));
        assert_eq!(digest(&body)[..], *vector.get("blake2b-256 of body"));
    }
}

#[test]
fn replies() {
    for vector in expecting("reply") {
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
    for vector in expecting("keys") {
        match vector.get("suite") {
            [1] => keys::<X25519Kem>(&vector, &X25519Secret::from_bytes(&vector.secret("secret"))),
            [2] => keys::<XWingKem>(&vector, &XWingSecret::from_seed(vector.secret("secret"))),
            _ => {
                let secret = RsaSecret::from_pkcs8_der(vector.get("secret")).unwrap();
                keys::<Rsa4096Kem>(&vector, &secret);
            }
        }
    }
    for vector in expecting("lioness") {
        let mut body = vector.get("plain").to_vec();
        BodyKey::new(&vector.secret("key")).encrypt(&mut body);
        assert_eq!(hex(&body), hex(vector.get("sealed")));
    }
}

/// A vector of a hop's keys, in any suite.
fn keys<K: Kem>(vector: &Vector, secret: &K::Secret) {
    let Ok(ciphertext) = K::Ciphertext::try_from(vector.get("ciphertext")) else {
        panic!()
    };
    let shared = K::decapsulate(secret, &ciphertext, &mut rng(0)).unwrap();
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
    let peeled = ["forward", "process", "deliver"].map(expecting);
    for vector in peeled.iter().flatten() {
        let header = match vector.values.get("packet") {
            Some(packet) => &packet[..LAYOUT.header()],
            None => vector.get("header"),
        };
        for (name, value) in layer(vector.array("secret"), header) {
            assert_eq!(hex(&value), hex(vector.get(name)), "{name}");
        }
        let keys = HopKeys::derive::<X25519Kem>(&vector.secret("ss"));
        assert_eq!(keys.replay_tag.as_bytes()[..], *vector.get("replay tag"));
    }
    for vector in expecting("reply") {
        let reply_key = vector.get("surb")[20..52].to_vec();
        assert_eq!(reply_key, vector.get("reply key"));
        let body_key = hkdf_by_hand(b"ZenTalk reply v1", &reply_key, b"", 128);
        assert_eq!(body_key, vector.get("body key"));
    }
}

#[test]
fn descriptors() {
    for vector in expecting("refuse") {
        let descriptor = UnverifiedDescriptor::decode(vector.get("descriptor"));
        assert!(descriptor.is_err() || descriptor.is_ok_and(|read| read.verify(NOW).is_err()));
    }
    for vector in expecting("accept") {
        let descriptor = UnverifiedDescriptor::decode(vector.get("descriptor"))
            .unwrap()
            .verify(NOW)
            .unwrap();
        assert_eq!(descriptor.node().as_bytes()[..], *vector.get("node"));
        assert_eq!(descriptor.hash()[..], *vector.get("hash"));
    }
}

/// Writes vectors.
#[derive(Default)]
struct Text(String);

impl Text {
    fn vector(&mut self, expect: &str, comment: &str, values: &[(&str, &[u8])]) {
        let _ = write!(self.0, "\nexpect: {expect}\ncomment: {comment}\n");
        for (name, value) in values {
            let _ = writeln!(self.0, "{name}: {}", hex(value));
        }
    }

    /// A vector of a layer that comes off: with the secrets that its relay derives.
    fn layer(&mut self, expect: &str, comment: &str, values: &[(&str, &[u8])]) {
        self.vector(expect, comment, values);
        let [("secret", secret), (_, header), ..] = values else {
            panic!("secret and header come first")
        };
        for (name, value) in layer((*secret).try_into().unwrap(), header) {
            let _ = writeln!(self.0, "{name}: {}", hex(&value));
        }
    }
}

fn secret(index: u8) -> Secret32 {
    Secret32::from_bytes([index; 32])
}

fn node(index: u8) -> NodeId {
    NodeId::from_bytes([index; 20])
}

/// What a relay of the X25519 suite derives from its secret and a header, by hand.
fn layer(secret: [u8; 32], header: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let secret = X25519Secret::from_bytes(&Secret32::from_bytes(secret));
    let ciphertext: [u8; 32] = header[4..36].try_into().unwrap();
    let dh = secret.diffie_hellman(&ciphertext.as_slice().try_into().unwrap());
    let input = [
        *dh.unwrap().as_bytes(),
        ciphertext,
        *secret.public().as_bytes(),
    ]
    .concat();
    let ss = blake2b_256_concat(b"ZenTalk kem x25519 v1", &input);
    let mut fields = material(1, &ss);
    fields.insert(0, ("ss", ss.to_vec()));
    fields
}

/// The keys of a hop, by hand from the KEM's secret.
fn material(suite: u8, ss: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let material = hkdf_by_hand(b"ZenTalk onion v1", ss, &[suite], 208);
    vec![
        ("routing key", material[..32].to_vec()),
        ("mac key", material[32..64].to_vec()),
        ("replay tag", material[64..80].to_vec()),
        ("body key", material[80..].to_vec()),
    ]
}

fn path(hops: core::ops::RangeInclusive<u8>) -> Vec<Hop> {
    hops.map(|index| Hop {
        node: node(index),
        epoch: Epoch::at(NOW),
        key: *X25519Secret::from_bytes(&secret(index)).public(),
        delay: Duration::from_ms(u64::from(index) * 10),
    })
    .collect()
}

/// A one-hop header for relay 1 around any command.
fn header(command: [u8; 64]) -> Vec<u8> {
    let mut header = vec![0; LAYOUT.header()];
    let hops =
        build::seal_header(&path(1..=1), &Command::Process, &mut header, &mut rng(1)).unwrap();
    let view = LAYOUT.header_of_mut(&mut header).unwrap();
    hops[0].keys.xor_routing(0, view.routing);
    view.routing[..64].copy_from_slice(&command);
    hops[0].keys.xor_routing(0, view.routing);
    *view.mac = hops[0].keys.mac(view.prefix, view.ciphertext, view.routing);
    header
}

fn generate() -> String {
    let mut text = Text(
        "# Vectors of PROTOCOL.md §4 and §5, suite X25519 unless `suite` says another. Hexadecimal; failures first.\n\
         # A vector with `header` is a `message` packet of that header and a body of zeros.\n\
         # `drop …` and `refuse` name the reason for readers; a peer is never told.\n\
         # ss, routing key, mac key, replay tag, body key: what the relay with `secret` derives from the header.\n\
         # keys: `secret` is the X25519 secret, the X-Wing seed or the RSA key as PKCS#8; `randomness` is what the\n\
         # sender drew: the ephemeral secret; ML-KEM's 32 bytes and the ephemeral secret; the bytes that OAEP\n\
         # carries and its seed.\n\
         # reply: `reply key` stands in the reply block, `body key` follows from it; `surb keys` is how the owner\n\
         # keeps it: id, expiry, reply key, the KEM secrets of the hops.\n"
            .to_owned(),
    );
    dropped(&mut text);
    let descriptor = signer(0)
        .sign_descriptor(&info(0), &onion_keys(0, NOW), publication(NOW))
        .unwrap();
    refused(&mut text, &descriptor);
    primitives(&mut text);
    request(&mut text);
    reply(&mut text);
    text.vector(
        "accept",
        "a descriptor, at Unix time 1800000000",
        &[
            ("descriptor", descriptor.bytes()),
            ("node", descriptor.node().as_bytes()),
            ("hash", descriptor.hash()),
        ],
    );
    text.0
}

fn dropped(text: &mut Text) {
    let process = Command::Process.encode();
    let good = header(process);
    let mut drop = |reason: &str, comment: &str, header: Vec<u8>| {
        let key = secret(1);
        let values = [("secret", &key.as_bytes()[..]), ("header", &header)];
        text.vector(&format!("drop {reason}"), comment, &values);
    };
    let flipped = |at: usize, bit: u8| {
        let mut header = good.clone();
        header[at] ^= bit;
        header
    };
    let changed = |command: [u8; 64], at: usize, byte: u8| {
        let mut command = command;
        command[at] = byte;
        header(command)
    };
    drop(
        "length",
        "36 bytes less than a header: no packet has this length",
        good[..368].to_vec(),
    );
    drop("version", "version 2", flipped(0, 3));
    drop("suite", "suite 2 under a key of suite 1", flipped(1, 3));
    drop("mac", "the epoch is authenticated", flipped(3, 1));
    drop("mac", "one bit of the ciphertext", flipped(4, 1));
    drop("mac", "one bit of the MAC", flipped(51, 0x80));
    drop("mac", "the last bit of the routing block", flipped(403, 1));
    let mut low = good.clone();
    low[4..36].fill(0);
    drop("ciphertext", "a ciphertext of low order", low);
    drop("command", "command 0", changed([0; 64], 0, 0));
    drop("command", "command 4", changed(process, 0, 4));
    drop(
        "command",
        "a reserved byte of `process`",
        changed(process, 63, 1),
    );
    let forward = Command::Forward {
        next: node(2),
        epoch: Epoch::at(NOW),
        delay: Duration::from_ms(60_000),
        mac: [9; 16],
    };
    drop(
        "command",
        "a reserved byte of `forward`",
        changed(forward.encode(), 44, 1),
    );
    drop(
        "command",
        "a delay of 60 001 ms",
        changed(forward.encode(), 7, 0x61),
    );
    let deliver = Command::Deliver {
        tag: ConnectionTag::from_bytes([5; 16]),
        surb: SurbId::from_bytes([6; 16]),
    };
    drop(
        "command",
        "a reserved byte of `deliver`",
        changed(deliver.encode(), 24, 1),
    );
    drop(
        "body",
        "`process` with a body that is not an encryption of zeros",
        good.clone(),
    );
}

fn refused(text: &mut Text, descriptor: &RelayDescriptor) {
    let mut changed = descriptor.bytes().to_vec();
    let last = changed.len() - 1;
    changed[last] ^= 1;
    text.vector(
        "refuse",
        "a descriptor with a changed signature",
        &[("descriptor", &changed)],
    );
    let trailing = [&descriptor.bytes()[..], &[0]].concat();
    text.vector(
        "refuse",
        "a descriptor with a byte after it",
        &[("descriptor", &trailing)],
    );
}

fn primitives(text: &mut Text) {
    let x25519 = X25519Secret::from_bytes(&secret(1));
    write_keys::<X25519Kem>(text, x25519.public(), secret(1).as_bytes(), &[&[0x91; 32]]);
    let x_wing = XWingSecret::from_seed(secret(1));
    let randomness: [&[u8]; 2] = [&[0x92; 32], &[0x93; 32]];
    write_keys::<XWingKem>(text, x_wing.public(), secret(1).as_bytes(), &randomness);
    let rsa = account_rsa(0);
    let der = rsa.to_pkcs8_der().unwrap();
    // The secret that OAEP carries, then OAEP's seed.
    let randomness: [&[u8]; 2] = [&[0x94; 32], &[0x95; 32]];
    write_keys::<Rsa4096Kem>(text, rsa.public(), &der, &randomness);
    for length in [33, 300, 1200] {
        let key: [u8; 128] = core::array::from_fn(|i| i as u8);
        let plain: Vec<u8> = (0..length).map(|i: usize| (i * 7) as u8).collect();
        let mut sealed = plain.clone();
        BodyKey::new(&Secret::from_bytes(key)).encrypt(&mut sealed);
        let comment = format!("a block of {length} bytes");
        text.vector(
            "lioness",
            &comment,
            &[("key", &key), ("plain", &plain), ("sealed", &sealed)],
        );
    }
}

/// The keys of a hop of any suite, encapsulated with the randomness given.
fn write_keys<K: Kem>(text: &mut Text, public: &K::Public, secret: &[u8], randomness: &[&[u8]]) {
    let (ciphertext, shared) = K::encapsulate(public, &mut Script::new(randomness)).unwrap();
    let keys = HopKeys::derive::<K>(&shared);
    let mut stream = [0; 64];
    keys.xor_routing(0, &mut stream);
    let mac = keys.mac(&[1, 2, 3, 4], b"ct", b"routing");
    let (suite, randomness) = ([K::SUITE], randomness.concat());
    let fields = material(K::SUITE, shared.as_bytes());
    let mut values: Vec<(&str, &[u8])> = vec![
        ("suite", suite.as_slice()),
        ("secret", secret),
        ("randomness", randomness.as_slice()),
        ("ciphertext", ciphertext.as_ref()),
        ("ss", shared.as_bytes().as_slice()),
    ];
    values.extend(fields.iter().map(|(name, value)| (*name, value.as_slice())));
    values.extend([
        ("routing stream begins", stream.as_slice()),
        ("mac", mac.as_slice()),
    ]);
    let comment = "of a hop; mac is over 01020304 ‖ \"ct\" ‖ \"routing\"";
    text.vector("keys", comment, &values);
}

fn surb() -> (Surb, SurbKeys) {
    build_surb(
        &path(2..=3),
        ConnectionTag::from_bytes([5; 16]),
        NOW,
        &mut rng(3),
    )
    .unwrap()
}

fn peel_as(index: u8, packet: Vec<u8>) -> Peeled {
    let secret = X25519Secret::from_bytes(&secret(index));
    peel::<X25519Kem>(&secret, packet, |_| Ok(()), &mut rng(0)).unwrap()
}

/// The headers of a request over four hops, and the whole packet at its last.
fn request(text: &mut Text) {
    let payload: Vec<u8> = (0..Class::Message.capacity())
        .map(|i| (i / 16) as u8)
        .collect();
    let surb = surb().0;
    let mut packet = build_request(
        &path(1..=4),
        Some(&surb),
        &payload,
        Class::Message,
        &mut rng(4),
    )
    .unwrap();
    for index in 1..=3 {
        let mut bare = packet.clone();
        bare[LAYOUT.header()..].fill(0);
        let Peeled::Forward {
            next,
            delay,
            packet: after,
        } = peel_as(index, bare)
        else {
            panic!()
        };
        let delay = u32::try_from(delay.as_ms()).unwrap().to_be_bytes();
        text.layer(
            "forward",
            &format!("hop {index} of a request over four"),
            &[
                ("secret", secret(index).as_bytes()),
                ("header", &packet[..LAYOUT.header()]),
                ("next", next.as_bytes()),
                ("delay", &delay),
                ("next header", &after[..LAYOUT.header()]),
                (
                    "blake2b-256 of next body",
                    &digest(&after[LAYOUT.header()..]),
                ),
            ],
        );
        let Peeled::Forward { packet: after, .. } = peel_as(index, packet) else {
            panic!()
        };
        packet = after;
    }
    text.layer(
        "process",
        "the last hop",
        &[
            ("secret", secret(4).as_bytes()),
            ("packet", &packet),
            ("surb", &surb.encode()),
            ("payload begins", &payload[..16]),
            ("blake2b-256 of payload", &digest(&payload)),
        ],
    );
}

/// The answer through the reply block of [`request`].
fn reply(text: &mut Text) {
    let (surb, keys) = surb();
    let encoded = surb.encode();
    let packet = surb.reply(b"an answer", Class::Message).unwrap();
    let whole = digest(&packet);
    let Peeled::Forward { packet, .. } = peel_as(2, packet) else {
        panic!()
    };
    let last_header = packet[..LAYOUT.header()].to_vec();
    let Peeled::Deliver { tag, surb_id, body } = peel_as(3, packet) else {
        panic!()
    };
    let bare = [&last_header[..], &vec![0; LAYOUT.body(Class::Message)]].concat();
    let Peeled::Deliver { body: bare, .. } = peel_as(3, bare) else {
        panic!()
    };
    text.layer(
        "deliver",
        "the guard of a reply",
        &[
            ("secret", secret(3).as_bytes()),
            ("header", &last_header),
            ("tag", tag.as_bytes()),
            ("surb id", surb_id.as_bytes()),
            ("blake2b-256 of body", &digest(&bare)),
        ],
    );
    text.vector(
        "reply",
        "through that reply block; its keys as the owner stores them; body as the guard delivers it",
        &[
            ("surb", &encoded),
            ("reply key", &encoded[20..52]),
            ("body key", &hkdf_by_hand(b"ZenTalk reply v1", &encoded[20..52], b"", 128)),
            ("surb keys", &minicbor::to_vec(&keys).unwrap()),
            ("payload", b"an answer"),
            ("blake2b-256 of packet", &whole),
            ("body", &body),
        ],
    );
}
