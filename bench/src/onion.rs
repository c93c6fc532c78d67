//! Onions of every suite: building, peeling, opening a reply; and the least that a hop can cost.

use std::hint::black_box;

use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use hkdf::Hkdf;
use rand_core::Rng;
use sha2::Sha256;
use x25519_dalek::{PublicKey, StaticSecret};
use zentalk_shared::crypto::kem::{Kem, Rsa4096Kem, X25519Kem, XWingKem};
use zentalk_shared::crypto::rsa::RsaSecret;
use zentalk_shared::id::{ConnectionTag, NodeId};
use zentalk_shared::onion::build::{Hop, build_request};
use zentalk_shared::onion::peel::{Peeled, peel};
use zentalk_shared::onion::replay::{ReplayFilter, ReplayTag};
use zentalk_shared::onion::surb::{SurbKeys, build_surb};
use zentalk_shared::onion::{Class, Epoch, Layout, ReplayLimits};
use zentalk_shared::time::Duration;

use crate::measure::Row;
use crate::{NOW, rng};

/// A suite's name and the secret keys of the three hops.
pub(crate) struct Suite<K: Kem> {
    name: &'static str,
    class: &'static str,
    size: Class,
    secrets: [K::Secret; 3],
}

impl Suite<X25519Kem> {
    pub(crate) fn x25519(class: &'static str, size: Class) -> Self {
        Self::generate("X25519", class, size)
    }
}

impl Suite<XWingKem> {
    pub(crate) fn x_wing() -> Self {
        Self::generate("XWing", "message", Class::Message)
    }
}

impl Suite<Rsa4096Kem> {
    /// All hops share a key: making one takes seconds.
    pub(crate) fn rsa4096(key: &RsaSecret) -> Self {
        Self {
            name: "Rsa4096",
            class: "message",
            size: Class::Message,
            secrets: [key.clone(), key.clone(), key.clone()],
        }
    }
}

impl<K: Kem + std::fmt::Debug + 'static> Suite<K>
where
    K::Secret: Clone,
{
    fn generate(name: &'static str, class: &'static str, size: Class) -> Self {
        let mut rng = rng(1);
        let mut one = || K::generate(&mut rng).expect("a key");
        let secrets = [one(), one(), one()];
        Self {
            name,
            class,
            size,
            secrets,
        }
    }

    fn path(&self) -> Vec<Hop<K>> {
        let hop = |(index, secret): (u8, &K::Secret)| Hop {
            node: NodeId::from_bytes([index; 20]),
            epoch: Epoch::at(NOW),
            key: K::public(secret).clone(),
            delay: Duration::ZERO,
        };
        (1..).zip(&self.secrets).map(hop).collect()
    }

    fn called(&self, what: &str) -> String {
        format!("{what}, {}, {}", self.name, self.class)
    }

    /// Peel, build, reply block, reply.
    pub(crate) fn rows(&self) -> Vec<Row> {
        vec![self.peel(), self.build(), self.build_surb(), self.open()]
    }

    /// A relay's work: filter and all. Fresh tags, so that the filter fills as a relay's does; some are
    /// in it already, as its memory is a relay's after its first seconds.
    pub(crate) fn peel(&self) -> Row {
        let (mut rng, [key, ..]) = (rng(2), self.secrets.clone());
        let packet = build_request(&self.path(), None, b"", self.size, &mut rng).expect("a path");
        let mut filter = ReplayFilter::new(ReplayLimits::PROTOCOL);
        let mut tag = 0u128;
        let mut insert = move || {
            tag = tag.wrapping_add(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
            filter.insert(ReplayTag::from_bytes(tag.to_be_bytes()))
        };
        (0..10_000).for_each(|_| insert().expect("a fresh tag"));
        let work = move |packet| {
            let peeled = peel::<K>(&key, packet, |_: ReplayTag| insert(), &mut rng);
            assert!(matches!(peeled, Ok(Peeled::Forward { .. })));
            peeled
        };
        Row::new(self.called("peel"), move || packet.clone(), work)
    }

    fn build(&self) -> Row {
        let (path, size, mut rng) = (self.path(), self.size, rng(3));
        let payload = vec![1; size.capacity()];
        Row::repeat(self.called("build 3 hops"), move || {
            build_request(&path, None, black_box(&payload), size, &mut rng).expect("a path")
        })
    }

    fn build_surb(&self) -> Row {
        let (path, mut rng) = (self.path(), rng(4));
        let tag = ConnectionTag::from_bytes([1; 16]);
        Row::repeat(self.called("build a reply block"), move || {
            build_surb(&path, tag, NOW, &mut rng).expect("a path")
        })
    }

    fn open(&self) -> Row {
        let mut rng = rng(5);
        let tag = ConnectionTag::from_bytes([1; 16]);
        let (surb, keys) = build_surb(&self.path(), tag, NOW, &mut rng).expect("a path");
        let keys = minicbor::to_vec(&keys).expect("memory takes it");
        let mut packet = surb.reply(b"answer", self.size).expect("it fits");
        for secret in &self.secrets {
            packet = match peel::<K>(secret, packet, |_| Ok(()), &mut rng) {
                Ok(Peeled::Forward { packet, .. }) => packet,
                Ok(Peeled::Deliver { body, .. }) => body,
                other => panic!("a reply is forwarded or delivered, not {other:?}"),
            };
        }
        let prepare = move || {
            let keys: SurbKeys = minicbor::decode(&keys).expect("own record");
            (keys, packet.clone())
        };
        Row::new(self.called("open a reply"), prepare, |(keys, packet)| {
            keys.open(packet).expect("an answer")
        })
    }
}

/// One X25519, one HKDF, one AEAD over as many bytes as an X25519 packet has, each as its crate does it:
/// less than that no hop can do that authenticates what it decrypts.
pub(crate) fn floor(class: &str, size: Class) -> Row {
    let ours = StaticSecret::from([9; 32]);
    let theirs = PublicKey::from(&StaticSecret::from([3; 32]));
    let mut packet = vec![0; Layout::of::<X25519Kem>().packet(size)];
    Row::repeat(format!("floor of a hop, {class}"), move || {
        let shared = ours.diffie_hellman(black_box(&theirs));
        let hkdf = Hkdf::<Sha256>::new(Some(b"ZenTalk onion v1"), shared.as_bytes());
        let mut keys = [0; 208];
        hkdf.expand(&[1], &mut keys)
            .expect("208 bytes are not too many");
        let (key, _) = keys
            .split_first_chunk::<32>()
            .expect("208 bytes hold a key");
        let aead = ChaCha20Poly1305::new(key.into());
        aead.encrypt_inout_detached(&[0; 12].into(), b"", packet.as_mut_slice().into())
            .expect("a packet is not too long")
    })
}

/// What onions are made of.
pub(crate) fn parts() -> Vec<Row> {
    fn parts_of<K: Kem + 'static>(name: &str) -> [Row; 2] {
        let (mut one, mut two) = (rng(6), rng(7));
        let secret = K::generate(&mut one).expect("a key");
        let public = K::public(&secret).clone();
        let (ciphertext, _) = K::encapsulate(&public, &mut one).expect("a ciphertext");
        [
            Row::repeat(format!("encapsulate, {name}"), move || {
                K::encapsulate(black_box(&public), &mut one).expect("a ciphertext")
            }),
            Row::repeat(format!("decapsulate, {name}"), move || {
                K::decapsulate(&secret, black_box(&ciphertext), &mut two).expect("a secret")
            }),
        ]
    }
    let [a, b] = parts_of::<X25519Kem>("X25519");
    let [c, d] = parts_of::<XWingKem>("XWing");
    let mut seed = rng(8);
    let key_pair = Row::repeat("key pair, X25519", move || {
        let mut bytes = [0; 32];
        seed.fill_bytes(&mut bytes);
        PublicKey::from(&StaticSecret::from(bytes))
    });
    vec![key_pair, a, b, c, d]
}
