//! Onion packets, what they carry, who carries them, and what is kept of them.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use zentalk_shared::crypto::dh::X25519Secret;
use zentalk_shared::crypto::kem::{Kem, X25519Kem};
use zentalk_shared::crypto::{Secret, Secret32, hash, kdf, stream};
use zentalk_shared::onion::peel::peel;
use zentalk_shared::onion::{
    Class, Features, GuardSet, Layout, OnionKeys, Peeled, Publication, RelayDescriptor, RelayInfo,
    RelayKeys, RelayUrl, ReplayLimits, Suites, Surb, SurbKeys, UnverifiedDescriptor, VanguardSet,
};
use zentalk_shared::time::Duration;
use zentalk_shared::wire::codec::{from_cbor, to_secret_cbor};

use crate::devices::NOW;
use crate::relay::signer;

/// Longest keys of a reply block.
const MAX_SURB_KEYS: usize = 4096;

/// Every byte of these is the input's.
const COMMAND_LEN: usize = 64;

pub(crate) fn surb(data: &[u8]) {
    if let Ok(surb) = Surb::decode(data) {
        assert_eq!(surb.encode(), data);
    }
}

/// Opens a body of the input's with keys of a reply block that are, if the input says so, of its making too.
pub(crate) fn surb_keys(data: &[u8]) {
    let decode = |bytes: &[u8]| from_cbor::<SurbKeys>(bytes, MAX_SURB_KEYS);
    let Ok(keys) = decode(data) else { return };
    let written = to_secret_cbor(&keys);
    for class in Class::ALL {
        let again = decode(&written).expect("what is written is read");
        assert_eq!(to_secret_cbor(&again), written);
        let mut body = data.to_vec();
        body.resize(Layout::of::<X25519Kem>().body(class), 0);
        assert!(again.open(body).is_err(), "nobody answered");
    }
}

/// What passes says whose it is, and is what its relay signed.
pub(crate) fn descriptor(data: &[u8]) {
    let Ok(claimed) = UnverifiedDescriptor::decode(data) else {
        return;
    };
    let node = claimed.claimed_node();
    if let Ok(descriptor) = claimed.verify(NOW) {
        assert_eq!(descriptor.node(), node);
        assert_eq!(descriptor.sequence(), published().sequence());
    }
}

/// The descriptor of a relay with one URL and one key.
pub(crate) fn published() -> RelayDescriptor {
    let info = RelayInfo {
        urls: vec![RelayUrl::parse("wss://relay.example/v1").expect("a URL")],
        operator: "Example".to_owned(),
        region: "EU".to_owned(),
        software: "0.1".to_owned(),
        max_connections: 10_000,
        features: Features::ALL,
    };
    let keys = RelayKeys::generate(Suites::default(), ReplayLimits::small(4), NOW, &mut rng());
    let keys = keys.expect("no RSA keys");
    let publication = Publication {
        sequence: NOW.as_ms(),
        from: NOW,
        until: NOW.saturating_add(Duration::from_hours(12)),
    };
    let signed = signer().sign_descriptor(&info, &keys.public(NOW), publication);
    signed.expect("a short descriptor")
}

pub(crate) fn relay_url(data: &[u8]) {
    if let Ok(text) = core::str::from_utf8(data)
        && let Ok(url) = RelayUrl::parse(text)
    {
        assert_eq!(RelayUrl::parse(&url.to_string()), Ok(url));
    }
}

/// The packet of anybody: what a relay takes from the network.
pub(crate) fn packet(data: &[u8]) {
    check(data.to_vec());
    // Once more with a length that gets past the door.
    for class in Class::ALL {
        let mut packet = data.to_vec();
        packet.resize(Layout::of::<X25519Kem>().packet(class), 0);
        check(packet);
    }
}

/// The packet of a sender who holds the relay's key and keeps to no other rule: a header that
/// authenticates around any command, and any body.
pub(crate) fn authentic_packet(data: &[u8]) {
    let Some((command, body)) = data.split_first_chunk() else {
        return;
    };
    for class in Class::ALL {
        check(seal(command, body, class));
    }
}

fn check(packet: Vec<u8>) {
    let length = packet.len();
    let mut asked = 0;
    let record = |_| {
        asked += 1;
        Ok(())
    };
    let peeled = peel::<X25519Kem>(&relay(), packet, record, &mut rng());
    assert!(asked <= 1);
    let layout = Layout::of::<X25519Kem>();
    match peeled {
        Ok(Peeled::Forward { packet, .. }) => assert_eq!(packet.len(), length),
        Ok(Peeled::Process { payload, .. }) => {
            assert!(
                Class::ALL
                    .iter()
                    .any(|class| class.capacity() == payload.len())
            );
        }
        Ok(Peeled::Deliver { body, .. }) => assert!(layout.class_of_body(body.len()).is_some()),
        Err(error) => assert!(!error.label().is_empty()),
    }
}

fn relay() -> X25519Secret {
    X25519Secret::from_bytes(&Secret32::from_bytes([7; 32]))
}

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(0)
}

/// A packet for [`relay`], written from PROTOCOL §5 and not with the code under test.
fn seal(command: &[u8; COMMAND_LEN], body: &[u8], class: Class) -> Vec<u8> {
    let layout = Layout::of::<X25519Kem>();
    let (ciphertext, shared) =
        X25519Kem::encapsulate(relay().public(), &mut rng()).expect("the key is usable");
    let keys: Secret<208> = kdf::extract_expand(b"ZenTalk onion v1", shared.as_bytes(), &[1]);
    let key = |at: usize| {
        Secret32::try_from(&keys.as_bytes()[at..at + 32]).expect("the slice has 32 bytes")
    };
    let prefix = [1, 1, 0, 0];
    let mut routing = vec![0; layout.routing()];
    routing[..COMMAND_LEN].copy_from_slice(command);
    stream::xor(&key(0), &mut routing).expect("short");
    let mac = hash::keyed_mac_128(&key(32), &[&prefix, ciphertext.as_bytes(), &routing]);

    let mut sealed = body.to_vec();
    sealed.resize(layout.body(class), 0);
    let (left, rest) = sealed.split_at_mut(32);
    for (stream_key, hash_key) in [(key(80), key(112)), (key(144), key(176))] {
        let mut round = stream_key;
        xor(round.as_mut_bytes(), left);
        stream::xor(&round, rest).expect("short");
        xor(left, &hash::keyed_blake3(&hash_key, rest));
    }
    [&prefix[..], ciphertext.as_bytes(), &mac, &routing, &sealed].concat()
}

fn xor(to: &mut [u8], from: &[u8]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to ^= from);
}

pub(crate) fn guards(data: &[u8]) {
    if let Ok(set) = GuardSet::decode(data) {
        assert_eq!(GuardSet::decode(&set.encode()), Ok(set));
    }
    if let Ok(set) = VanguardSet::decode(data) {
        assert_eq!(VanguardSet::decode(&set.encode()), Ok(set));
    }
}

pub(crate) fn onion_keys(data: &[u8]) {
    let limits = ReplayLimits::small(4);
    let suites = Suites::default();
    if let Ok(keys) = RelayKeys::restore(data, [], suites, limits) {
        let record = keys.persist();
        let again =
            RelayKeys::restore(&record, [], suites, limits).expect("what is written is read");
        assert_eq!(again.persist(), record);
    }
    if let Ok(keys) = OnionKeys::restore(data, [], limits) {
        let record = keys.persist();
        let again = OnionKeys::restore(&record, [], limits).expect("what is written is read");
        assert_eq!(again.persist(), record);
    }
}
