//! Vectors of onions, made anew at every run by the real code: every suite, every kind of command, paths of one to
//! four hops, and packets that were changed on the way. In the format of `shared/tests/vectors/`, for docs/interop.

use std::fmt::Write as _;

use rand::RngExt;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use zentalk_shared::crypto::Secret32;
use zentalk_shared::crypto::dh::X25519Secret;
use zentalk_shared::crypto::kem::{Kem, Rsa4096Kem, X25519Kem, XWingKem, XWingSecret};
use zentalk_shared::id::{ConnectionTag, NodeId, SurbId};
use zentalk_shared::onion::build::Hop;
use zentalk_shared::onion::peel::{Peeled, peel};
use zentalk_shared::onion::{Class, Epoch, Layout, build_request, build_surb};
use zentalk_shared::time::{Duration, Timestamp};
use zentalk_shared::wire::codec::to_cbor;

use crate::keys;
use crate::sim::hex;

/// When the packets are made.
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// What a relay makes of a packet.
enum Outcome {
    Forward {
        next: NodeId,
        delay: Duration,
        packet: Vec<u8>,
    },
    Process {
        /// Zeros if there is none.
        surb: Vec<u8>,
        payload: Vec<u8>,
    },
    Deliver {
        tag: ConnectionTag,
        surb_id: SurbId,
        body: Vec<u8>,
    },
    /// The label of the reason.
    Drop(&'static str),
}

/// A relay's onion key, and its secret as vectors give it.
struct Relay<K: Kem> {
    node: NodeId,
    secret: K::Secret,
    shown: Vec<u8>,
}

/// Vectors for all suites.
pub fn onions(seed: u64) -> String {
    let mut maker = Maker {
        text: format!("# Onions made by seed {seed}.\n"),
        rng: ChaCha20Rng::seed_from_u64(seed),
    };
    maker.suite::<X25519Kem>(24, |rng, _| {
        let secret = X25519Secret::random(rng);
        let shown = secret.to_bytes().as_bytes().to_vec();
        (secret, shown)
    });
    maker.suite::<XWingKem>(8, |rng, _| {
        let seed = Secret32::random(rng);
        let shown = seed.as_bytes().to_vec();
        (XWingSecret::from_seed(seed), shown)
    });
    maker.suite::<Rsa4096Kem>(4, |_, index| {
        (keys::relay(index), keys::relay_der(index).to_vec())
    });
    maker.text
}

struct Maker {
    text: String,
    rng: ChaCha20Rng,
}

impl Maker {
    fn suite<K: Kem>(
        &mut self,
        rounds: usize,
        mut key: impl FnMut(&mut ChaCha20Rng, usize) -> (K::Secret, Vec<u8>),
    ) {
        let relays: Vec<Relay<K>> = (0..6)
            .map(|index| {
                let (secret, shown) = key(&mut self.rng, index);
                let node = NodeId::from_bytes(self.rng.random());
                Relay {
                    node,
                    secret,
                    shown,
                }
            })
            .collect();
        for _ in 0..rounds {
            self.request(&relays);
        }
    }

    /// A request, on its whole way there and, if it has a reply block, back.
    fn request<K: Kem>(&mut self, relays: &[Relay<K>]) {
        let class = match self.rng.random_bool(0.25) {
            true => Class::Bulk,
            false => Class::Message,
        };
        let (there, back) = (self.path(relays), self.path(relays));
        let tag = ConnectionTag::from_bytes(self.rng.random());
        let (surb, keys) = build_surb(&back, tag, NOW, &mut self.rng).expect("a path");
        let surb = self.rng.random_bool(0.75).then_some(surb);
        let payload = self.payload(class);
        let packet = build_request(&there, surb.as_ref(), &payload, class, &mut self.rng);
        self.follow(relays, there[0].node, packet.expect("a path"));
        let Some(surb) = surb else { return };
        let (first, bytes) = (surb.first_hop(), surb.encode());
        let payload = self.payload(class);
        let packet = surb.reply(&payload, class).expect("it fits");
        let kept = to_cbor(&keys);
        let Some(body) = self.follow(relays, first, packet.clone()) else {
            return;
        };
        let opened = keys.open(body.clone()).expect("nobody changed it");
        self.vector::<K>(
            "reply",
            &[
                ("surb", &bytes),
                ("surb keys", &kept),
                ("payload", &payload),
                ("payload padded", &opened),
                ("reply packet", &packet),
                ("body", &body),
            ],
        );
    }

    fn path<K: Kem>(&mut self, relays: &[Relay<K>]) -> Vec<Hop<K>> {
        let (start, hops) = (self.rng.random_range(0..6), self.rng.random_range(1..=4));
        let chosen = relays.iter().cycle().skip(start).take(hops);
        chosen
            .map(|relay| Hop {
                node: relay.node,
                epoch: Epoch::at(NOW),
                key: K::public(&relay.secret).clone(),
                delay: Duration::from_ms(self.rng.random_range(0..=60_000)),
            })
            .collect()
    }

    fn payload(&mut self, class: Class) -> Vec<u8> {
        let length = self.rng.random_range(0..=class.capacity());
        (0..length).map(|_| self.rng.random()).collect()
    }

    /// Peels a packet at one relay after the other; the body that is delivered, if one is.
    fn follow<K: Kem>(
        &mut self,
        relays: &[Relay<K>],
        mut at: NodeId,
        mut packet: Vec<u8>,
    ) -> Option<Vec<u8>> {
        loop {
            let relay = relays.iter().find(|relay| relay.node == at)?;
            self.changed(relay, &packet);
            match self.peel(relay, &packet) {
                Outcome::Forward {
                    next, packet: sent, ..
                } => (at, packet) = (next, sent),
                Outcome::Deliver { body, .. } => return Some(body),
                Outcome::Process { .. } => return None,
                Outcome::Drop(label) => panic!("nobody changed it: {label}"),
            }
        }
    }

    /// The packet with one bit flipped: what the relay makes of that. Half of the bits are in the header's
    /// first 64 bytes.
    fn changed<K: Kem>(&mut self, relay: &Relay<K>, packet: &[u8]) {
        let mut packet = packet.to_vec();
        let bound = match self.rng.random_bool(0.5) {
            true => 64,
            false => packet.len(),
        };
        packet[self.rng.random_range(0..bound)] ^= 1 << self.rng.random_range(0..8);
        self.peel(relay, &packet);
    }

    /// What the relay makes of a packet, which becomes a vector.
    fn peel<K: Kem>(&mut self, relay: &Relay<K>, packet: &[u8]) -> Outcome {
        let none = || vec![0; Layout::of::<K>().surb()];
        let peeled = peel::<K>(&relay.secret, packet.to_vec(), |_| Ok(()), &mut self.rng);
        let outcome = match peeled {
            Ok(Peeled::Forward {
                next,
                delay,
                packet,
            }) => Outcome::Forward {
                next,
                delay,
                packet,
            },
            Ok(Peeled::Process { surb, payload }) => Outcome::Process {
                surb: surb.map_or_else(none, |surb| surb.encode()),
                payload,
            },
            Ok(Peeled::Deliver { tag, surb_id, body }) => Outcome::Deliver { tag, surb_id, body },
            Err(error) => Outcome::Drop(error.label()),
        };
        self.peeled(relay, packet, &outcome);
        outcome
    }

    fn peeled<K: Kem>(&mut self, relay: &Relay<K>, packet: &[u8], outcome: &Outcome) {
        let (secret, packet) = (("secret", &relay.shown[..]), ("packet", packet));
        match outcome {
            Outcome::Forward {
                next,
                delay,
                packet: sent,
            } => {
                let delay = delay.as_ms().to_be_bytes();
                let (next, delay) = (("next", &next.as_bytes()[..]), ("delay", &delay[..]));
                let fields = [secret, packet, next, delay, ("next packet", sent)];
                self.vector::<K>("forward", &fields);
            }
            Outcome::Process { surb, payload } => {
                let (surb, payload) = (("surb", &surb[..]), ("payload padded", &payload[..]));
                self.vector::<K>("process", &[secret, packet, surb, payload]);
            }
            Outcome::Deliver { tag, surb_id, body } => {
                let (tag, id) = (&tag.as_bytes()[..], &surb_id.as_bytes()[..]);
                let fields = [
                    secret,
                    packet,
                    ("tag", tag),
                    ("surb id", id),
                    ("body", body),
                ];
                self.vector::<K>("deliver", &fields);
            }
            Outcome::Drop(label) => {
                self.vector::<K>(&format!("drop {label}"), &[secret, packet]);
            }
        }
    }

    fn vector<K: Kem>(&mut self, expect: &str, fields: &[(&str, &[u8])]) {
        let mut line = |name: &str, value: &str| {
            let written = writeln!(self.text, "{name}: {value}");
            debug_assert!(written.is_ok(), "writing to memory does not fail");
        };
        line("\nexpect", expect);
        line("suite", &format!("{:02x}", K::SUITE));
        for (name, bytes) in fields {
            line(name, &hex(bytes));
        }
    }
}
