//! `shared/tests/vectors/conversation.txt`: a whole conversation, with every state between its messages.
//!
//! The generator is a second implementation of the sending side, by hand from PROTOCOL §8 and nothing of
//! this module; the tests put the ratchet itself through the file. `ZENTALK_WRITE_VECTORS=1` writes it.

mod generate;

use super::chain_key::ChainKey;
use super::header::ChainHeader;
use super::root_key::RootKey;
use super::{DecryptError, Header, Ratchet};
use crate::crypto::dh::{X25519Public, X25519Secret};
use crate::crypto::ml_kem::{MlKemCiphertext, MlKemSecret};
use crate::crypto::{Secret, Secret32};
use crate::test_support::{Script, Vector, assert_failures_first, vector_file, vectors};
use crate::time::Timestamp;

fn file() -> &'static str {
    vector_file("conversation.txt")
}

const HEAD: &str = "\
A conversation through the ratchet, PROTOCOL §8, with all states. Hex; XX^N is the byte XX N times; spaces
join. Numbers are u32. Written by ratchet::conversation, which computes it with HMAC-SHA256, BLAKE2b, X25519, ML-KEM-768
and AES-256-GCM alone, and then puts the ratchet through it. Checked with Python (hmac, cryptography).

start: what the agreement gave; alice initiates. signed_prekey_secret and kem_prekey_seed (d, z) are bob's.
step, message, delivery: what happens, in the order of the file.
step: by makes a step with fresh dh_secret, ek_seed (d, z) and ct_m, the randomness of the encapsulation to the
peer's last ek. dh, ek, ct go into the headers of its chain. dh_out and kem_ss are the two secrets; rk the root
key before, next_rk after; ck the chain's first key.
message: number n of the chain of that step (steps count from 1); pn is the length of the sender's chain before.
ck is the chain key that it uses, next_ck the one it leaves; mk, key, nonce are its own. header is
dh, ek, ct of its step, then pn, n.
delivery: of that message to whom. Afterwards the receiver has the root key rk, expects message next in that
chain, and keeps as many skipped keys as skipped says.
refusal: what is refused by to after that many deliveries of the file, and changes nothing.";

const AD: &[u8] = b"AD of this session";

fn secret(vector: &Vector, name: &str) -> Secret32 {
    Secret32::from_bytes(vector.array(name))
}

fn u32_of(vector: &Vector, name: &str) -> u32 {
    u32::from_be_bytes(vector.array(name))
}

fn u32_usize(vector: &Vector, name: &str) -> usize {
    u32_of(vector, name) as usize
}

/// The file, sorted by what its vectors are.
struct Conversation {
    start: Vector,
    refusals: Vec<Vector>,
    /// Steps, messages and deliveries as they come.
    events: Vec<Vector>,
}

impl Conversation {
    fn read() -> Self {
        let mut events = vectors(file());
        let start = events.remove(0);
        let is_refusal = |vector: &&Vector| vector.text("kind") == "refusal";
        let count = events.iter().take_while(is_refusal).count();
        let refusals = events.drain(..count).collect();
        Self {
            start,
            refusals,
            events,
        }
    }

    fn of_kind(&self, kind: &'static str) -> Vec<&Vector> {
        let events = self.events.iter();
        events.filter(|event| event.text("kind") == kind).collect()
    }
}

/// The ratchets on both sides; bob's comes with the first delivery.
struct Parties {
    alice: Ratchet,
    bob: Option<Ratchet>,
}

impl Parties {
    fn new(start: &Vector) -> Self {
        let dh = *X25519Secret::from_bytes(&secret(start, "signed_prekey_secret")).public();
        let ek = kem_secret(start, "kem_prekey_seed").public().clone();
        assert_eq!(ek.as_bytes(), start.bytes("kem_prekey"));
        assert_eq!(dh.as_bytes()[..], start.bytes("signed_prekey"));
        Self {
            alice: Ratchet::initiate(secret(start, "sk"), dh, ek),
            bob: None,
        }
    }

    fn of(&mut self, name: &str) -> &mut Ratchet {
        match name {
            "alice" => &mut self.alice,
            _ => self.bob.as_mut().unwrap(),
        }
    }

    /// What the ratchet of `name` makes of a message.
    fn decrypt(
        &self,
        name: &str,
        start: &Vector,
        header: &Header,
        ciphertext: &[u8],
    ) -> Result<(Vec<u8>, Ratchet), DecryptError> {
        let (ad, now) = (start.bytes("ad"), Timestamp::from_secs(1));
        match (name, &self.bob) {
            ("alice", _) => self.alice.decrypt(&ad, header, ciphertext, now),
            (_, Some(bob)) => bob.decrypt(&ad, header, ciphertext, now),
            (_, None) => {
                let dh = X25519Secret::from_bytes(&secret(start, "signed_prekey_secret"));
                let ek = kem_secret(start, "kem_prekey_seed");
                let sk = secret(start, "sk");
                Ratchet::accept(sk, &dh, &ek, &ad, header, ciphertext, now)
            }
        }
    }
}

fn kem_secret(vector: &Vector, name: &str) -> MlKemSecret {
    MlKemSecret::from_seed(Secret::from_bytes(vector.array(name)))
}

#[test]
fn failures_come_first() {
    assert_failures_first(&vectors(file()), &["equal", "opens"]);
}

#[test]
fn the_ratchet_goes_through_the_conversation() {
    let file = Conversation::read();
    let mut parties = Parties::new(&file.start);
    let steps = file.of_kind("step");
    let messages = file.of_kind("message");
    let mut deliveries = 0;
    for event in &file.events {
        match event.text("kind") {
            "step" => {}
            "message" => send(
                &mut parties,
                &file.start,
                steps[u32_usize(event, "step") - 1],
                event,
            ),
            "delivery" => {
                let message = messages[u32_usize(event, "message")];
                let step = steps[u32_usize(message, "step") - 1];
                deliver(&mut parties, &file.start, step, message, event);
                deliveries += 1;
                refuse(&parties, &file, deliveries);
            }
            other => panic!("unknown kind {other}"),
        }
    }
    assert_eq!((steps.len(), messages.len(), deliveries), (5, 9, 8));
}

fn header_of(step: &Vector, message: &Vector) -> Header {
    let (dh, ct) = (
        X25519Public::from_bytes(step.array("dh")),
        MlKemCiphertext::from_bytes(step.array("ct")),
    );
    let chain = ChainHeader::new(&dh, &step.array("ek"), &ct);
    Header::new(&chain, u32_of(message, "pn"), u32_of(message, "n"))
}

fn send(parties: &mut Parties, start: &Vector, step: &Vector, message: &Vector) {
    let fresh = ["dh_secret", "ek_seed", "ct_m"]
        .map(|name| step.bytes(name))
        .concat();
    let mut script = match u32_of(message, "n") {
        0 => Script::new(&[&fresh]),
        _ => Script::new(&[]),
    };
    let ratchet = parties.of(step.text("by"));
    let (ad, plaintext) = (start.bytes("ad"), message.bytes("plaintext"));
    let (header, ciphertext) = ratchet.encrypt(&ad, &plaintext, &mut script).unwrap();
    assert_eq!(header, header_of(step, message));
    assert_eq!(ciphertext, message.bytes("ciphertext"));
    assert!(ratchet.root == RootKey::new(secret(step, "next_rk")));
    let ck = ChainKey::new(secret(message, "ck"));
    assert!(ck.next() == ChainKey::new(secret(message, "next_ck")));
    let (key, nonce) = ck.message_key().expand();
    assert!(key == secret(message, "key") && nonce == message.array("nonce"));
}

fn deliver(
    parties: &mut Parties,
    start: &Vector,
    step: &Vector,
    message: &Vector,
    delivery: &Vector,
) {
    let to = delivery.text("to");
    assert_ne!(to, step.text("by"));
    let (header, ciphertext) = (header_of(step, message), message.bytes("ciphertext"));
    let opened = parties.decrypt(to, start, &header, &ciphertext);
    let (plaintext, after) = opened.unwrap();
    assert_eq!(plaintext, message.bytes("plaintext"));
    assert!(after.root == RootKey::new(secret(delivery, "rk")));
    let chain = after.receiving.as_ref().unwrap();
    assert_eq!(chain.next, u32_of(delivery, "next"));
    assert_eq!(after.skipped_keys(), u32_usize(delivery, "skipped"));
    match to {
        "alice" => parties.alice = after,
        _ => parties.bob = Some(after),
    }
}

/// Everything that must be refused after that many deliveries.
fn refuse(parties: &Parties, file: &Conversation, deliveries: u32) {
    for refusal in &file.refusals {
        if u32_of(refusal, "after") != deliveries {
            continue;
        }
        let header = header_of(refusal, refusal);
        let ciphertext = refusal.bytes("ciphertext");
        let refused = parties.decrypt(refusal.text("to"), &file.start, &header, &ciphertext);
        let refused = match refused.map(|_| ()) {
            Ok(()) => "opens",
            Err(DecryptError::Forged) => "forged",
            Err(DecryptError::AlreadyUsed) => "already used",
            Err(DecryptError::TooFarAhead(_)) => "too far ahead",
            Err(DecryptError::UnknownChain) => "unknown chain",
            Err(DecryptError::LowOrderPoint) => "low order",
            Err(DecryptError::BadKemKey) => "bad kem key",
        };
        assert_eq!(
            refused,
            refusal.text("expect"),
            "{}",
            refusal.text("comment")
        );
    }
}
