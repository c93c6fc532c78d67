//! The generator of the files: from fixed seeds and stated randomness.

use std::fmt::Write as _;

use super::super::support::{NOW, info, onion_keys, publication, signer};
use super::digest;
use super::suite::{VectorSuite, material};
use crate::crypto::Secret;
use crate::crypto::kem::{Kem, Rsa4096Kem, X25519Kem, XWingKem};
use crate::id::{ConnectionTag, NodeId, SurbId};
use crate::onion::build::Hop;
use crate::onion::command::Command;
use crate::onion::descriptor::RelayDescriptor;
use crate::onion::keys::HopKeys;
use crate::onion::lioness::BodyKey;
use crate::onion::peel::peel;
use crate::onion::{
    Class, Epoch, Layout, Peeled, Surb, SurbKeys, build, build_request, build_surb,
};
use crate::test_support::{Script, hex, hkdf_by_hand, rng};
use crate::time::Duration;

/// Relays of the request, and of the way back.
const REQUEST: core::ops::RangeInclusive<u8> = 1..=4;
const REPLY: core::ops::RangeInclusive<u8> = 2..=3;
const PAYLOAD: &[u8] = b"a request";
const TAG: ConnectionTag = ConnectionTag::from_bytes([5; 16]);
const SURB_ID: [u8; 16] = [6; 16];
const REPLY_KEY: [u8; 32] = [0xb0; 32];

const HEAD: &str = "\
# Vectors of PROTOCOL.md §4 and §5, suite X25519 unless `suite` says another. Hexadecimal; failures first.
# A vector with `header` is a `message` packet of that header and a body of zeros.
# `drop …` and `refuse` name the reason for readers; a peer is never told.
# secret: the X25519 secret, the X-Wing seed or the RSA key as PKCS#8.
# ss, routing key, mac key, replay tag, body key: what the relay with `secret` derives from the header.
# randomness: what the sender drew for its hops, one after the other: the ephemeral secret; ML-KEM's 32 bytes and
# the ephemeral secret; the bytes that OAEP carries and its seed.
# build: a header as its sender makes it, first hop first: node, epoch u16, delay u32, ciphertext and KEM secret of
# each hop, the last hop's command, and the random bytes after it, if a shorter path leaves room (`padding`).
# reply: `reply key` stands in the reply block, `body key` follows from it; `surb keys` is how the owner
# keeps it: id, expiry, reply key, the KEM secrets of the hops, the suite if it is not X25519.
";

/// The file of a suite; that of X25519 also has what all suites share.
pub(super) fn generate<K: VectorSuite>() -> String {
    let mut text = Text {
        text: HEAD.to_owned(),
        suite: K::SUITE,
    };
    dropped::<K>(&mut text);
    let descriptor = signer(0)
        .sign_descriptor(&info(0), &onion_keys(0, NOW), publication(NOW))
        .unwrap();
    let is_first = K::ID == X25519Kem::ID;
    if is_first {
        refused(&mut text, &descriptor);
        primitives(&mut text);
    }
    request::<K>(&mut text);
    reply::<K>(&mut text);
    if is_first {
        let node = descriptor.node();
        let values: [(&str, &[u8]); 3] = [
            ("descriptor", descriptor.bytes()),
            ("node", node.as_bytes()),
            ("hash", descriptor.hash()),
        ];
        text.vector("accept", "a descriptor, at Unix time 1800000000", &values);
    }
    text.text
}

/// Writes vectors.
struct Text {
    text: String,
    suite: u8,
}

impl Text {
    fn vector(&mut self, expect: &str, comment: &str, values: &[(&str, &[u8])]) {
        let _ = write!(self.text, "\nexpect: {expect}\ncomment: {comment}\n");
        for (name, value) in values {
            let _ = writeln!(self.text, "{name}: {}", hex(value));
        }
    }

    /// A vector of a packet or a header of the file's suite.
    fn of_suite(&mut self, expect: &str, comment: &str, values: &[(&str, &[u8])]) {
        let suite = [self.suite];
        let mut all: Vec<(&str, &[u8])> = Vec::new();
        if self.suite != X25519Kem::SUITE {
            all.push(("suite", &suite));
        }
        all.extend_from_slice(values);
        self.vector(expect, comment, &all);
    }

    /// A vector of a layer that comes off: with the secrets that its relay derives.
    fn layer<K: VectorSuite>(
        &mut self,
        expect: &str,
        comment: &str,
        (secret, header): (&K::Secret, &[u8]),
        values: &[(&str, &[u8])],
    ) {
        let (written, derived) = (K::write(secret), K::layer(secret, header));
        let mut all: Vec<(&str, &[u8])> = vec![("secret", &written)];
        all.extend_from_slice(values);
        all.extend(derived.iter().map(|(name, value)| (*name, &value[..])));
        self.of_suite(expect, comment, &all);
    }
}

fn node(index: u8) -> NodeId {
    NodeId::from_bytes([index; 20])
}

fn path<K: VectorSuite>(hops: core::ops::RangeInclusive<u8>) -> Vec<Hop<K>> {
    hops.map(|index| Hop {
        node: node(index),
        epoch: Epoch::at(NOW),
        key: K::public(&K::secret(index)).clone(),
        delay: Duration::from_ms(u64::from(index) * 10),
    })
    .collect()
}

/// A one-hop header for relay 1 around any command.
fn header<K: VectorSuite>(command: [u8; 64]) -> Vec<u8> {
    let layout = Layout::of::<K>();
    let mut header = vec![0; layout.header()];
    let path = path::<K>(1..=1);
    let hops = build::seal_header(&path, &Command::Process, &mut header, &mut rng(1)).unwrap();
    let view = layout.header_of_mut(&mut header).unwrap();
    hops[0].keys.xor_routing(0, view.routing);
    view.routing[..64].copy_from_slice(&command);
    hops[0].keys.xor_routing(0, view.routing);
    *view.mac = hops[0].keys.mac(view.prefix, view.ciphertext, view.routing);
    header
}

fn dropped<K: VectorSuite>(text: &mut Text) {
    let (process, ct) = (Command::Process.encode(), K::CIPHERTEXT_LEN);
    let good = header::<K>(process);
    let secret = K::write(&K::secret(1));
    let mut drop = |reason: &str, comment: &str, header: Vec<u8>| {
        let values: [(&str, &[u8]); 2] = [("secret", &secret), ("header", &header)];
        text.of_suite(&format!("drop {reason}"), comment, &values);
    };
    let flipped = |at: usize, bit: u8| {
        let mut header = good.clone();
        header[at] ^= bit;
        header
    };
    let changed = |command: [u8; 64], at: usize, byte: u8| {
        let mut command = command;
        command[at] = byte;
        header::<K>(command)
    };
    drop(
        "length",
        "36 bytes less than a header: no packet has this length",
        good[..good.len() - 36].to_vec(),
    );
    drop("version", "version 2", flipped(0, 3));
    let other = if K::SUITE == 1 { 2 } else { 1 };
    let comment = format!("suite {other} under a key of suite {}", K::SUITE);
    drop("suite", &comment, flipped(1, K::SUITE ^ other));
    drop("mac", "the epoch is authenticated", flipped(3, 1));
    drop("mac", "one bit of the ciphertext", flipped(4, 1));
    drop("mac", "the last bit of the ciphertext", flipped(3 + ct, 1));
    drop("mac", "one bit of the MAC", flipped(4 + ct + 15, 0x80));
    let last = good.len() - 1;
    drop("mac", "the last bit of the routing block", flipped(last, 1));
    unusable::<K>(&good, &mut drop);
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
    }
    .encode();
    drop(
        "command",
        "a reserved byte of `forward`",
        changed(forward, 44, 1),
    );
    drop("command", "a delay of 60 001 ms", changed(forward, 7, 0x61));
    let deliver = Command::Deliver {
        tag: TAG,
        surb: SurbId::from_bytes(SURB_ID),
    }
    .encode();
    drop(
        "command",
        "a reserved byte of `deliver`",
        changed(deliver, 24, 1),
    );
    drop(
        "body",
        "`process` with a body that is not an encryption of zeros",
        good.clone(),
    );
}

/// Ciphertexts that cannot be an honest sender's. Only X25519 says so; what the others make of them is a secret that
/// nobody has.
fn unusable<K: Kem>(good: &[u8], drop: &mut impl FnMut(&str, &str, Vec<u8>)) {
    let ciphertext = 4..4 + K::CIPHERTEXT_LEN;
    let mut header = good.to_vec();
    match K::SUITE {
        X25519Kem::SUITE => {
            header[ciphertext].fill(0);
            drop("ciphertext", "a ciphertext of low order", header);
        }
        XWingKem::SUITE => {
            header[ciphertext.end - 32..ciphertext.end].fill(0);
            drop("mac", "an X25519 half of low order", header);
        }
        _ => {
            header[ciphertext].fill(0xff);
            drop("mac", "a ciphertext above the modulus", header);
        }
    }
}

fn refused(text: &mut Text, descriptor: &RelayDescriptor) {
    let mut changed = descriptor.bytes().to_vec();
    let last = changed.len() - 1;
    changed[last] ^= 1;
    let values: [(&str, &[u8]); 1] = [("descriptor", &changed)];
    text.vector("refuse", "a descriptor with a changed signature", &values);
    let trailing = [&descriptor.bytes()[..], &[0]].concat();
    let values: [(&str, &[u8]); 1] = [("descriptor", &trailing)];
    text.vector("refuse", "a descriptor with a byte after it", &values);
}

fn primitives(text: &mut Text) {
    write_keys::<X25519Kem>(text, &[&[0x91; 32]]);
    write_keys::<XWingKem>(text, &[&[0x92; 32], &[0x93; 32]]);
    write_keys::<Rsa4096Kem>(text, &[&[0x94; 32], &[0x95; 32]]);
    for length in [33, 300, 1200] {
        let key: [u8; 128] = core::array::from_fn(|i| i as u8);
        let plain: Vec<u8> = (0..length).map(|i: usize| (i * 7) as u8).collect();
        let mut sealed = plain.clone();
        BodyKey::new(&Secret::from_bytes(key)).encrypt(&mut sealed);
        let comment = format!("a block of {length} bytes");
        let values: [(&str, &[u8]); 3] = [("key", &key), ("plain", &plain), ("sealed", &sealed)];
        text.vector("lioness", &comment, &values);
    }
}

/// The keys of a hop of any suite, encapsulated with the randomness given.
fn write_keys<K: VectorSuite>(text: &mut Text, randomness: &[&[u8]]) {
    let secret = K::secret(1);
    let public = K::public(&secret);
    let (ciphertext, shared) = K::encapsulate(public, &mut Script::new(randomness)).unwrap();
    let keys = HopKeys::derive::<K>(&shared);
    let mut stream = [0; 64];
    keys.xor_routing(0, &mut stream);
    let mac = keys.mac(&[1, 2, 3, 4], b"ct", b"routing");
    let (suite, randomness, secret) = ([K::SUITE], randomness.concat(), K::write(&secret));
    let fields = material(K::SUITE, shared.as_bytes());
    let mut values: Vec<(&str, &[u8])> = vec![
        ("suite", suite.as_slice()),
        ("secret", secret.as_slice()),
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

/// What a sender draws for these hops.
fn randomness<K: VectorSuite>(hops: core::ops::RangeInclusive<u8>) -> Vec<Vec<u8>> {
    hops.map(|index| vec![0xa0 + index; K::RANDOMNESS])
        .collect()
}

/// The hops' ciphertexts and secrets, from their randomness alone.
fn encapsulated<K: VectorSuite>(hops: core::ops::RangeInclusive<u8>) -> (Vec<u8>, Vec<u8>) {
    let (mut ciphertexts, mut secrets) = (Vec::new(), Vec::new());
    for (hop, drawn) in path::<K>(hops.clone()).iter().zip(randomness::<K>(hops)) {
        let (ciphertext, shared) = K::encapsulate(&hop.key, &mut Script::new(&[&drawn])).unwrap();
        ciphertexts.extend_from_slice(ciphertext.as_ref());
        secrets.extend_from_slice(shared.as_bytes());
    }
    (ciphertexts, secrets)
}

/// A header with everything that it is made of. `values`: what its packet has besides.
fn write_build<K: VectorSuite>(
    text: &mut Text,
    comment: &str,
    hops: core::ops::RangeInclusive<u8>,
    (command, padding): (&Command, &[u8]),
    values: &[(&str, &[u8])],
) {
    let path = path::<K>(hops.clone());
    let nodes: Vec<u8> = path.iter().flat_map(|hop| *hop.node.as_bytes()).collect();
    let epochs: Vec<u8> = path.iter().flat_map(|hop| hop.epoch.to_bytes()).collect();
    let delays = path.iter().map(|hop| hop.delay.as_ms() as u32);
    let delays: Vec<u8> = delays.flat_map(u32::to_be_bytes).collect();
    let (ciphertexts, secrets) = encapsulated::<K>(hops.clone());
    let (randomness, command) = (randomness::<K>(hops).concat(), command.encode());
    let mut all: Vec<(&str, &[u8])> = vec![
        ("nodes", &nodes),
        ("epochs", &epochs),
        ("delays", &delays),
        ("randomness", &randomness),
        ("ciphertexts", &ciphertexts),
        ("secrets", &secrets),
        ("last command", &command),
    ];
    if !padding.is_empty() {
        all.push(("padding", padding));
    }
    all.extend_from_slice(values);
    text.of_suite("build", comment, &all);
}

/// The random bytes behind the command in the reply block's last routing block.
fn padding<K: Kem>() -> Vec<u8> {
    let layout = Layout::of::<K>();
    vec![0xc5; layout.routing() - layout.slot() - 64]
}

fn surb<K: VectorSuite>() -> (Surb, SurbKeys) {
    let drawn = randomness::<K>(REPLY).concat();
    let parts: [&[u8]; 5] = [&SURB_ID, &REPLY_KEY, &drawn, &[0; 64], &padding::<K>()];
    build_surb(&path::<K>(REPLY), TAG, NOW, &mut Script::new(&parts)).unwrap()
}

fn peel_as<K: VectorSuite>(index: u8, packet: Vec<u8>) -> Peeled {
    peel::<K>(&K::secret(index), packet, |_| Ok(()), &mut rng(0)).unwrap()
}

/// A request over four hops: how it is built, its headers, and the whole packet at its last.
fn request<K: VectorSuite>(text: &mut Text) {
    let (surb, head) = (surb::<K>().0, Layout::of::<K>().header());
    let encoded = surb.encode();
    let drawn = randomness::<K>(REQUEST).concat();
    let mut packet = build_request(
        &path::<K>(REQUEST),
        Some(&surb),
        PAYLOAD,
        Class::Message,
        &mut Script::new(&[&drawn, &[0; 64]]),
    )
    .unwrap();
    write_build::<K>(
        text,
        "a request over four",
        REQUEST,
        (&Command::Process, &[]),
        &[
            ("surb", &encoded),
            ("payload", PAYLOAD),
            ("header", &packet[..head]),
            ("blake2b-256 of packet", &digest(&packet)),
        ],
    );
    for index in 1..=3 {
        let mut bare = packet.clone();
        bare[head..].fill(0);
        let Peeled::Forward {
            next,
            delay,
            packet: after,
        } = peel_as::<K>(index, bare)
        else {
            panic!()
        };
        let delay = u32::try_from(delay.as_ms()).unwrap().to_be_bytes();
        text.layer::<K>(
            "forward",
            &format!("hop {index} of a request over four"),
            (&K::secret(index), &packet[..head]),
            &[
                ("header", &packet[..head]),
                ("next", next.as_bytes()),
                ("delay", &delay),
                ("next header", &after[..head]),
                ("blake2b-256 of next body", &digest(&after[head..])),
            ],
        );
        let Peeled::Forward { packet: after, .. } = peel_as::<K>(index, packet) else {
            panic!()
        };
        packet = after;
    }
    let mut padded = PAYLOAD.to_vec();
    padded.resize(Class::Message.capacity(), 0);
    text.layer::<K>(
        "process",
        "the last hop",
        (&K::secret(4), &packet[..head]),
        &[
            ("packet", &packet),
            ("surb", &encoded),
            ("payload begins", &padded[..16]),
            ("blake2b-256 of payload", &digest(&padded)),
        ],
    );
}

/// The reply block of [`request`], and the answer through it.
fn reply<K: VectorSuite>(text: &mut Text) {
    let ((surb, keys), layout) = (surb::<K>(), Layout::of::<K>());
    let encoded = surb.encode();
    let deliver = Command::Deliver {
        tag: TAG,
        surb: SurbId::from_bytes(SURB_ID),
    };
    write_build::<K>(
        text,
        "the reply block of that request, over two",
        REPLY,
        (&deliver, &padding::<K>()),
        &[("header", &encoded[56..])],
    );
    let packet = surb.reply(b"an answer", Class::Message).unwrap();
    let whole = digest(&packet);
    let Peeled::Forward { packet, .. } = peel_as::<K>(2, packet) else {
        panic!()
    };
    let last_header = packet[..layout.header()].to_vec();
    let Peeled::Deliver { tag, surb_id, body } = peel_as::<K>(3, packet) else {
        panic!()
    };
    let bare = [&last_header[..], &vec![0; layout.body(Class::Message)]].concat();
    let Peeled::Deliver { body: bare, .. } = peel_as::<K>(3, bare) else {
        panic!()
    };
    text.layer::<K>(
        "deliver",
        "the guard of a reply",
        (&K::secret(3), &last_header),
        &[
            ("header", &last_header),
            ("tag", tag.as_bytes()),
            ("surb id", surb_id.as_bytes()),
            ("blake2b-256 of body", &digest(&bare)),
        ],
    );
    text.of_suite(
        "reply",
        "through that reply block; its keys as the owner stores them; body as the guard delivers it",
        &[
            ("surb", &encoded),
            ("reply key", &encoded[20..52]),
            (
                "body key",
                &hkdf_by_hand(b"ZenTalk reply v1", &encoded[20..52], b"", 128),
            ),
            ("surb keys", &minicbor::to_vec(&keys).unwrap()),
            ("payload", b"an answer"),
            ("blake2b-256 of packet", &whole),
            ("body", &body),
        ],
    );
}
