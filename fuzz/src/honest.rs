//! What our software itself writes, for targets that mutation alone would hardly get past the first signature of.

use rand_chacha::ChaCha20Rng;
use zentalk_shared::crypto::dh::X25519Secret;
use zentalk_shared::crypto::kem::X25519Kem;
use zentalk_shared::id::{ConnectionTag, NodeId};
use zentalk_shared::onion::build::Hop;
use zentalk_shared::onion::{Epoch, SurbKeys, build_surb};
use zentalk_shared::time::Duration;
use zentalk_shared::wire::codec::{to_cbor, to_secret_cbor};
use zentalk_shared::x3dh::PreKeySecrets;

use crate::devices::{Device, IDENTITIES, NOW, rng};
use crate::{client, onion};

/// Inputs by name: the corpus of `target` has them, as a test sees to. The same every time.
pub fn inputs(target: &str) -> Vec<(String, Vec<u8>)> {
    let [identity, _] = &*IDENTITIES;
    let one = |bytes: Vec<u8>| vec![("honest".to_owned(), bytes)];
    match target {
        "certificate" => one(identity.certificate.encode()),
        "device_list" => one(identity.list.encode()),
        "sealing_key" => one(to_cbor(&identity.secrets.publish_sealing_key())),
        "device_secret" => one(to_secret_cbor(&identity.secrets).to_vec()),
        "prekeys" => prekeys(),
        "prekey_secrets" => one(to_secret_cbor(&prekey_secrets()).to_vec()),
        "surb" => one(reply_block(&mut rng(21)).0),
        "surb_keys" => one(to_secret_cbor(&reply_block(&mut rng(21)).1).to_vec()),
        "descriptor" => one(onion::published().bytes().to_vec()),
        "client_rows" => client::honest(),
        _ => Vec::new(),
    }
}

fn prekey_secrets() -> PreKeySecrets {
    let (device, _) = Device::new(0, 2, &mut rng(20));
    device.prekeys
}

fn prekeys() -> Vec<(String, Vec<u8>)> {
    let (_, published) = Device::new(0, 1, &mut rng(20));
    let (base, one_time) = published.encoded();
    vec![
        ("honest_base".into(), base),
        ("honest_one_time".into(), one_time),
    ]
}

fn reply_block(rng: &mut ChaCha20Rng) -> (Vec<u8>, SurbKeys) {
    let hop = |number: u8, rng: &mut ChaCha20Rng| Hop::<X25519Kem> {
        node: NodeId::from_bytes([number; 20]),
        epoch: Epoch::at(NOW),
        key: *X25519Secret::random(rng).public(),
        delay: Duration::ZERO,
    };
    let path = [hop(1, rng), hop(2, rng), hop(3, rng)];
    let tag = ConnectionTag::from_bytes([4; 16]);
    let (surb, keys) = build_surb(&path, tag, NOW, rng).expect("a path of three");
    (surb.encode(), keys)
}
