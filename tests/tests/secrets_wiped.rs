//! Secrets are wiped: what was used and dropped is nowhere in the memory of the process.
//!
//! The parent runs a scenario with a generator that writes down every secret it hands out, and collects
//! from the records what is derived from them. The same scenario then runs in a child of its own, whose
//! generator writes nothing down. Afterwards the child searches all its writable memory, stacks and freed
//! heap included, for every half of every secret. What it looks for comes masked from the parent, so that
//! it does not find its own list.

#![cfg(target_os = "linux")]

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};

use rand_core::{TryCryptoRng, TryRng};
use zentalk_fuzz::client;
use zentalk_fuzz::devices::Device;
use zentalk_shared::crypto::hash::blake2b_256_concat;
use zentalk_shared::crypto::kdf::extract_expand;
use zentalk_shared::crypto::kem::{Kem, Rsa4096Kem, X25519Kem, XWingKem};
use zentalk_shared::crypto::{Secret, Secret32};
use zentalk_shared::id::{ConnectionTag, NodeId};
use zentalk_shared::identity::{AccountSecret, DeviceCertificate, DeviceSecret};
use zentalk_shared::onion::build::{Hop, build_request};
use zentalk_shared::onion::keyring::OnionKeys;
use zentalk_shared::onion::peel::{Peeled, peel};
use zentalk_shared::onion::surb::build_surb;
use zentalk_shared::onion::{Class, Epoch, ReplayLimits};
use zentalk_shared::session::{SessionMessage, SessionRecord, open, seal_message};
use zentalk_shared::time::{Duration, Timestamp};
use zentalk_shared::wire::codec::{from_cbor, to_secret_cbor};
use zentalk_tests::keys;
use zeroize::{Zeroizing, zeroize_stack};

/// Half of a secret: what is searched for.
type Half = [u8; 16];
/// What the halves are XORed with on their way to the child.
const MASK: Half = *b"masks, not keys!";
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// A generator that keeps nothing of what it has drawn, unless it is asked to.
#[derive(Default)]
struct Draws {
    count: u64,
    /// What was drawn, 32 bytes or more at a time: ids and nonces are shorter.
    seen: Option<Vec<Vec<u8>>>,
    /// Whether the first of these is kept, to be leaked on purpose.
    keeps_first: bool,
    first: Option<Zeroizing<Vec<u8>>>,
}

impl TryRng for Draws {
    type Error = core::convert::Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        self.try_next_u64().map(|number| number as u32)
    }
    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        for chunk in out.chunks_mut(32) {
            self.count += 1;
            draw(self.count, chunk);
        }
        zeroize_stack::<16_384>();
        if out.len() >= 32 && self.first.is_none() && self.keeps_first {
            self.first = Some(Zeroizing::new(out.to_vec()));
        }
        if let Some(seen) = &mut self.seen {
            seen.extend((out.len() >= 32).then(|| out.to_vec()));
        }
        Ok(())
    }
}

impl TryCryptoRng for Draws {}

/// A generator for what is no secret: salts of signatures.
fn salts() -> Draws {
    Draws {
        count: 1 << 40,
        ..Draws::default()
    }
}

#[inline(never)]
fn draw(count: u64, out: &mut [u8]) {
    let block = Zeroizing::new(blake2b_256_concat(b"draws", &count.to_be_bytes()));
    out.copy_from_slice(&block[..out.len()]);
}

/// Shown to whoever runs a scenario: what it holds at some point.
enum Held<'a> {
    Record(&'a SessionRecord),
    Bytes(&'a [u8]),
}

type Look<'a> = &'a mut dyn FnMut(Held<'_>);
type Scenario = fn(&mut Draws, Look<'_>);

/// What is found and cannot be mended here: scenario, kind of secret. The crate `rsa` holds private numbers
/// and unpadded plaintexts in big integers that it does not wipe when it drops them (its source says so:
/// "TODO: zeroize intermediates"), and only an allocator that wipes could. Browsers sign by WebCrypto instead.
const LEFT_BY_RSA: [(&str, &str); 2] = [("account", "derived "), ("rsa_kem", "drawn ")];

const SCENARIOS: [(&str, Scenario); 7] = [
    ("sessions", sessions),
    ("device", device),
    ("engine", engine),
    ("onion_keys", onion_keys),
    ("packets", packets),
    ("account", account),
    ("rsa_kem", rsa_kem),
];

/// Two devices agree, talk in both directions with a message missing, restart, and are gone.
fn sessions(rng: &mut Draws, look: Look<'_>) {
    let (alice, of_alice) = Device::new(0, 1, rng);
    let (mut bob, of_bob) = Device::new(1, 1, rng);
    drop(of_alice);
    let mut alice = alice.start(of_bob.bundle(0), rng);
    let mut talk = |from: &mut Device, to: &mut Device, deliver: bool, rng: &mut Draws| {
        let (after, message) = from.send(b"a text", rng).unwrap();
        *from = after;
        if deliver {
            let message = SessionMessage::decode(&message).unwrap();
            *to = to.receive(&message).unwrap().0;
        }
        for device in [&mut *from, &mut *to] {
            let Some(record) = device.sessions.take() else {
                continue;
            };
            look(Held::Record(&record));
            let stored = record.encode();
            device.sessions = Some(SessionRecord::decode(&stored).unwrap());
            let stored = to_secret_cbor(&device.prekeys);
            device.prekeys = from_cbor(&stored, 1 << 20).unwrap();
        }
    };
    for deliver in [true, false, true] {
        talk(&mut alice, &mut bob, deliver, rng);
        talk(&mut bob, &mut alice, true, rng);
    }
    // Begun anew, so that there are archived sessions too.
    alice = alice.start(of_bob.bundle(1), rng);
    talk(&mut alice, &mut bob, true, rng);
    bob.prekeys
        .rotate(NOW.saturating_add(Duration::from_days(8)), rng);
}

/// A device's own keys: made, stored, read, used to open an envelope, rotated.
fn device(rng: &mut Draws, _: Look<'_>) {
    let mut device = DeviceSecret::random(NOW, rng);
    let account = AccountSecret::from_parts(keys::account(0), Secret32::from_bytes([3; 32]));
    let keys = account.keys();
    let job = DeviceCertificate::to_sign(keys.address(), &device, NOW);
    let signed = account.sign_and_finish(job, &mut salts()).unwrap();
    let certificate = zentalk_shared::identity::UnverifiedCertificate::from(signed);
    let certificate = certificate.verify(&keys).unwrap();
    let stored = to_secret_cbor(&device);
    device = from_cbor(&stored, 1 << 20).unwrap();
    let published = device.publish_sealing_key();
    let key = published
        .verify(&certificate, device.mailbox().id())
        .unwrap();
    let envelopes = seal_message(b"sealed", &key, rng).unwrap();
    open(&envelopes[0], device.sealing(), device.id()).unwrap();
    let later = NOW.saturating_add(Duration::from_days(8));
    assert!(device.sealing_mut().rotate(later, rng));
}

fn suite<K: Kem>(secret: &K::Secret, rng: &mut Draws) {
    let (ciphertext, sent) = K::encapsulate(K::public(secret), rng).unwrap();
    assert!(K::decapsulate(secret, &ciphertext, rng).unwrap() == sent);
}

/// An account is made as a host makes it. An engine starts with its rows twice, the second time when keys are to be
/// replaced. Among what it draws are the write secret and the keys of mailbox and record.
fn engine(rng: &mut Draws, _: Look<'_>) {
    let mut rows = client::new_account(rng, &mut salts());
    for days in [2, 9] {
        let now = NOW.saturating_add(Duration::from_days(days));
        let written = client::first_turn(&rows, now, rng).expect("a sound store");
        assert_eq!(written.is_empty(), days == 2);
        rows.retain(|old| written.iter().all(|row| row.key != old.key));
        rows.extend(written);
    }
}

/// A relay's onion keys of each suite but RSA, and the secrets that packets carry to them.
fn onion_keys(rng: &mut Draws, _: Look<'_>) {
    suite::<X25519Kem>(&X25519Kem::generate(rng).unwrap(), rng);
    suite::<XWingKem>(&XWingKem::generate(rng).unwrap(), rng);
    let mut ring = OnionKeys::<X25519Kem>::generate(ReplayLimits::small(4), NOW, rng).unwrap();
    ring.rotate(NOW.saturating_add(Duration::from_hours(6)), rng)
        .unwrap();
    drop(ring.persist());
}

/// A packet is built and peeled, a reply is made and opened, over hops of either suite but RSA.
fn packets(rng: &mut Draws, look: Look<'_>) {
    packets_of::<X25519Kem>(rng, look);
    packets_of::<XWingKem>(rng, look);
}

fn packets_of<K: Kem>(rng: &mut Draws, look: Look<'_>) {
    let secrets = [0, 1, 2].map(|_| K::generate(rng).unwrap());
    let hop = |(index, secret): (u8, &K::Secret)| Hop::<K> {
        node: NodeId::from_bytes([index; 20]),
        epoch: Epoch::at(NOW),
        key: K::public(secret).clone(),
        delay: Duration::ZERO,
    };
    let path: Vec<_> = (1..).zip(&secrets).map(hop).collect();
    let through = |mut packet: Vec<u8>, rng: &mut Draws| {
        for secret in &secrets {
            packet = match peel::<K>(secret, packet, |_| Ok(()), rng).unwrap() {
                Peeled::Forward { packet, .. } => packet,
                Peeled::Deliver { body, .. } => body,
                Peeled::Process { .. } => return vec![],
            };
        }
        packet
    };
    let packet = build_request(&path, None, b"a request", Class::Message, rng).unwrap();
    through(packet, rng);
    let tag = ConnectionTag::from_bytes([1; 16]);
    let (surb, keys) = build_surb(&path, tag, NOW, rng).unwrap();
    keys_of_replies::<K>(&to_secret_cbor(&keys), look);
    let reply = through(surb.reply(b"a reply", Class::Message).unwrap(), rng);
    assert!(keys.open(reply).unwrap().starts_with(b"a reply"));
}

/// The reply key, the secrets of the hops, and what PROTOCOL §5 derives from these.
fn keys_of_replies<K: Kem>(keys: &[u8], look: Look<'_>) {
    let secrets = byte_strings(keys)
        .into_iter()
        .filter(|(_, bytes)| bytes.len() == 32);
    let secrets: Vec<_> = secrets.map(|(_, bytes)| Zeroizing::new(bytes)).collect();
    assert_eq!(secrets.len(), 4);
    for secret in &secrets {
        look(Held::Bytes(secret));
        let keys: Secret<208> = extract_expand(b"ZenTalk onion v1", secret, &[K::SUITE]);
        let (routing_and_mac, rest) = keys.as_bytes().split_at(64);
        look(Held::Bytes(routing_and_mac));
        // Between them the replay tag, which a relay keeps.
        look(Held::Bytes(&rest[16..]));
    }
}

/// The RSA suite of an onion key.
fn rsa_kem(rng: &mut Draws, _: Look<'_>) {
    suite::<Rsa4096Kem>(&keys::relay(0), rng);
}

/// An account pair: read from its record, used once.
fn account(rng: &mut Draws, look: Look<'_>) {
    let seed = Secret32::random(rng);
    let account = AccountSecret::from_parts(keys::account(1), seed);
    let device = DeviceSecret::random(NOW, rng);
    let job = DeviceCertificate::to_sign(account.keys().address(), &device, NOW);
    account.sign_and_finish(job, &mut salts()).unwrap();
    // The primes as the big-number library holds them: limbs, lowest first.
    let der = keys::account_der(1);
    for secret in private_integers(der) {
        let mut limbs = Zeroizing::new([0; 64]);
        let lowest = secret.iter().rev();
        limbs
            .iter_mut()
            .zip(lowest)
            .for_each(|(to, from)| *to = *from);
        look(Held::Bytes(&*limbs));
        look(Held::Bytes(&secret[64..128]));
    }
}

/// d, p and q of a PKCS#8 RSA key: the integers of more than 200 bytes after modulus and exponent.
fn private_integers(der: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    let mut at = 0;
    while at + 4 < der.len() {
        // INTEGER with a two-byte length.
        if der[at] == 0x02 && der[at + 1] == 0x82 {
            let length = usize::from(u16::from_be_bytes([der[at + 2], der[at + 3]]));
            let Some(value) = der.get(at + 4..at + 4 + length) else {
                break;
            };
            found.push(value);
            at += 4 + length;
        } else {
            at += 1;
        }
    }
    // The first is the modulus; d, p, q and the CRT values follow.
    found.drain(..1);
    assert!(found.len() >= 3, "the key has its private parts");
    found
}

/// The secrets of a session record, by their places in its CBOR (PROTOCOL, `ratchet::record`).
fn secrets_of(record: &SessionRecord) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut strings = byte_strings(&record.encode());
    strings.retain(|(path, _)| path.ends_with(&[2]));
    for (_, ratchet) in strings.into_iter().filter(|(_, bytes)| bytes.len() > 1000) {
        for (path, bytes) in byte_strings(&ratchet) {
            let is_secret = matches!(
                path.as_slice(),
                [1] | [2, 1] | [3, 0, 0 | 1 | 3] | [4, _, 2, _, 1]
            );
            found.extend(is_secret.then_some(bytes));
        }
    }
    assert!(!found.is_empty());
    found
}

/// Every byte string with its path of map keys and list places.
fn byte_strings(cbor: &[u8]) -> Vec<(Vec<u64>, Vec<u8>)> {
    fn walk(d: &mut minicbor::Decoder<'_>, path: &[u64], out: &mut Vec<(Vec<u64>, Vec<u8>)>) {
        use minicbor::data::Type;
        let below = |at: u64| [path, &[at]].concat();
        match d.datatype().unwrap() {
            Type::Bytes => out.push((path.to_vec(), d.bytes().unwrap().to_vec())),
            Type::Map => {
                for _ in 0..d.map().unwrap().unwrap() {
                    let key = d.u64().unwrap();
                    walk(d, &below(key), out);
                }
            }
            Type::Array => {
                for at in 0..d.array().unwrap().unwrap() {
                    walk(d, &below(at), out);
                }
            }
            _ => d.skip().unwrap(),
        }
    }
    let mut out = Vec::new();
    walk(&mut minicbor::Decoder::new(cbor), &[], &mut out);
    out
}

/// What a scenario must leave nowhere: both halves of every secret, with a word on which it is.
fn halves(scenario: Scenario) -> BTreeMap<Half, String> {
    let mut rng = Draws {
        seen: Some(vec![]),
        ..Draws::default()
    };
    let mut derived = Vec::new();
    scenario(&mut rng, &mut |held| match held {
        Held::Record(record) => derived.extend(secrets_of(record)),
        Held::Bytes(bytes) => derived.push(bytes.to_vec()),
    });
    let drawn = rng.seen.unwrap_or_default();
    let drawn = drawn.into_iter().map(|secret| ("drawn", secret));
    let all = drawn.chain(derived.into_iter().map(|secret| ("derived", secret)));
    let mut halves = BTreeMap::new();
    for (number, (kind, secret)) in all.enumerate() {
        for (part, half) in secret.chunks_exact(16).enumerate() {
            let what = format!("{kind} {number}, {} bytes, part {part}", secret.len());
            halves.entry(half.try_into().unwrap()).or_insert(what);
        }
    }
    halves
}

/// Runs a scenario in a child; what the child found in its memory, and where.
fn search(name: &str, leak: &str) -> Vec<String> {
    let (_, scenario) = SCENARIOS.iter().find(|(known, _)| *known == name).unwrap();
    let halves: Vec<(Half, String)> = halves(*scenario).into_iter().collect();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env("ZENTALK_SCENARIO", name)
        .env("ZENTALK_LEAK", leak)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let masked: Vec<u8> = halves.iter().flat_map(|(half, _)| mask(half)).collect();
    child.stdin.take().unwrap().write_all(&masked).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "the child failed");
    let text = String::from_utf8(output.stdout).unwrap();
    let searched = text.lines().find(|line| line.starts_with("searched "));
    println!("{name}: {} halves, {}", halves.len(), searched.unwrap());
    let found = text.lines().filter_map(|line| line.strip_prefix("found "));
    let found = found.map(|line| {
        let (number, place) = line.split_once(' ').unwrap();
        format!("{}: {place}", halves[number.parse::<usize>().unwrap()].1)
    });
    found.collect()
}

fn mask(half: &Half) -> Half {
    core::array::from_fn(|at| half[at] ^ MASK[at])
}

/// The child: runs the scenario, then looks through its memory for what its input names.
#[test]
#[ignore = "is run by the tests of this file"]
fn child() {
    let Ok(name) = std::env::var("ZENTALK_SCENARIO") else {
        return;
    };
    let (_, scenario) = SCENARIOS.iter().find(|(known, _)| *known == name).unwrap();
    let leak: Option<fn(&[u8])> = match std::env::var("ZENTALK_LEAK").as_deref() {
        Ok("heap") => Some(leak_on_the_heap),
        Ok("stack") => Some(leak_on_the_stack),
        _ => None,
    };
    let mut rng = Draws {
        keeps_first: leak.is_some(),
        ..Draws::default()
    };
    scenario(&mut rng, &mut |_| {});
    if let (Some(leak), Some(first)) = (leak, rng.first.take()) {
        leak(&first);
    }
    let mut masked = Vec::new();
    std::io::stdin().read_to_end(&mut masked).unwrap();
    let halves: Vec<Half> = masked
        .chunks_exact(16)
        .map(|half| half.try_into().unwrap())
        .collect();
    let mut searched = 0;
    println!();
    for region in regions() {
        searched += region.search(&halves);
    }
    println!("searched {} KiB", searched / 1024);
}

/// A copy in freed memory, and something after it, so that the memory is not given back.
#[inline(never)]
fn leak_on_the_heap(secret: &[u8]) {
    let mut copy = vec![0; 40 << 10];
    std::mem::forget(std::hint::black_box(vec![0_u8; 40 << 10]));
    copy[38 << 10..][..secret.len()].copy_from_slice(secret);
    drop(std::hint::black_box(copy));
}

/// A copy on the stack, far below what is called later.
#[inline(never)]
fn leak_on_the_stack(secret: &[u8]) {
    let mut copy = [0; 256 << 10];
    copy[1024..][..secret.len()].copy_from_slice(secret);
    std::hint::black_box(&mut copy);
}

/// Writable memory of this process.
struct Region {
    from: u64,
    to: u64,
    name: String,
}

fn regions() -> Vec<Region> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let region = |line: &str| {
        let mut fields = line.split_whitespace();
        let (range, rights) = (fields.next()?, fields.next()?);
        let (from, to) = range.split_once('-')?;
        rights.starts_with("rw").then(|| Region {
            from: u64::from_str_radix(from, 16).unwrap(),
            to: u64::from_str_radix(to, 16).unwrap(),
            name: fields.nth(3).unwrap_or("anonymous").to_owned(),
        })
    };
    maps.lines().filter_map(region).collect()
}

impl Region {
    /// Prints what it finds; how many bytes it could read.
    fn search(&self, masked: &[Half]) -> usize {
        const CHUNK: usize = 1 << 20;
        let by_half: HashMap<&Half, usize> = masked.iter().zip(0..).collect();
        let mut starts = vec![false; 1 << 16];
        let start = |half: &[u8]| usize::from(u16::from_le_bytes([half[0], half[1]]));
        masked.iter().for_each(|half| starts[start(half)] = true);
        let memory = File::open("/proc/self/mem").unwrap();
        let mut buffer = vec![0; CHUNK + 15];
        let mut read = 0;
        let mut at = self.from;
        while at < self.to {
            let wanted = buffer.len().min((self.to - at) as usize);
            let Ok(length) = memory.read_at(&mut buffer[..wanted], at) else {
                break;
            };
            for offset in 0..length.saturating_sub(15) {
                let window = &buffer[offset..offset + 16];
                let first = [window[0] ^ MASK[0], window[1] ^ MASK[1]];
                if !starts[start(&first)] {
                    continue;
                }
                let window: &Half = window.try_into().unwrap();
                if let Some(number) = by_half.get(&mask(window)) {
                    println!("found {number} {} at {:#x}", self.name, at + offset as u64);
                }
            }
            read += length;
            at += CHUNK as u64;
        }
        read
    }
}

fn nothing_is_left_of(name: &str) {
    let (left, found): (Vec<_>, Vec<_>) = search(name, "").into_iter().partition(|line| {
        let mut known = LEFT_BY_RSA.iter();
        known.any(|(scenario, kind)| *scenario == name && line.starts_with(kind))
    });
    println!("{name}: {} left by the crate rsa", left.len());
    assert!(found.is_empty(), "{name}:\n{}", found.join("\n"));
}

#[test]
fn of_sessions_nothing_is_left() {
    nothing_is_left_of("sessions");
}

#[test]
fn of_a_device_nothing_is_left() {
    nothing_is_left_of("device");
}

#[test]
fn of_an_engine_nothing_is_left() {
    nothing_is_left_of("engine");
}

#[test]
fn of_onion_keys_nothing_is_left() {
    nothing_is_left_of("onion_keys");
}

#[test]
fn of_packets_nothing_is_left() {
    nothing_is_left_of("packets");
}

#[test]
fn of_an_account_nothing_is_left() {
    nothing_is_left_of("account");
}

#[test]
fn of_the_rsa_suite_nothing_is_left_but_what_the_crate_leaves() {
    nothing_is_left_of("rsa_kem");
}

#[test]
fn a_copy_that_nobody_wiped_is_found() {
    for (name, _) in SCENARIOS {
        for place in ["heap", "stack"] {
            let found = search(name, place);
            let is_it = |line: &String| line.starts_with("drawn 0, ");
            assert!(found.iter().any(is_it), "{name}, {place}: {found:?}");
        }
    }
}
