//! The generator of `conversation.txt`: the sending side of both parties, by hand.

use super::*;
use crate::crypto::aead::Aes256GcmKey;
use crate::crypto::hash::blake2b_256_concat;
use crate::crypto::ml_kem::MlKemPublic;
use crate::test_support::{VectorFile, hkdf_by_hand, hmac_by_hand};

/// A step, with everything that it is made of.
struct Step {
    by: &'static str,
    number: u8,
    pn: u32,
    dh: X25519Secret,
    ek: MlKemSecret,
    ct: MlKemCiphertext,
    dh_out: Secret32,
    kem_ss: Secret32,
    rk: Vec<u8>,
    next_rk: Vec<u8>,
    ck: Vec<u8>,
}

/// A message, with everything that it is made of.
struct Message {
    step: usize,
    n: u32,
    ck: Vec<u8>,
    next_ck: Vec<u8>,
    mk: Vec<u8>,
    key: Vec<u8>,
    nonce: Vec<u8>,
    plaintext: String,
    ciphertext: Vec<u8>,
}

/// The sending side of both parties, by hand.
struct ByHand {
    rk: Vec<u8>,
    /// What the next step answers.
    peer: (X25519Public, MlKemPublic),
    steps: Vec<Step>,
    messages: Vec<Message>,
}

const SK: [u8; 32] = [0x11; 32];
const PREKEY: [u8; 32] = [0x12; 32];
const KEM_PREKEY: [u8; 64] = [0x13; 64];

impl ByHand {
    fn new() -> Self {
        let dh = X25519Secret::from_bytes(&Secret32::from_bytes(PREKEY));
        let ek = MlKemSecret::from_seed(Secret::from_bytes(KEM_PREKEY));
        Self {
            rk: SK.to_vec(),
            peer: (*dh.public(), ek.public().clone()),
            steps: Vec::new(),
            messages: Vec::new(),
        }
    }

    /// A step; `pn` is how many messages its maker sent in its chain before.
    fn step(&mut self, by: &'static str, pn: u32) {
        let number = 1 + self.steps.len() as u8;
        let dh = X25519Secret::from_bytes(&Secret32::from_bytes([0x20 + number; 32]));
        let ek = MlKemSecret::from_seed(Secret::from_bytes([0x30 + number; 64]));
        let mut script = Script::new(&[&[0x40 + number; 32]]);
        let (ct, kem_ss) = self.peer.1.encapsulate(&mut script);
        let dh_out = dh.diffie_hellman(&self.peer.0).unwrap();
        let ikm = [dh_out.as_bytes().as_slice(), kem_ss.as_bytes()].concat();
        let keys = hkdf_by_hand(&self.rk, &ikm, b"ZenTalk ratchet v1", 64);
        let (next_rk, ck) = (keys[..32].to_vec(), keys[32..].to_vec());
        let rk = core::mem::replace(&mut self.rk, next_rk.clone());
        self.peer = (*dh.public(), ek.public().clone());
        self.steps.push(Step {
            by,
            number,
            pn,
            dh,
            ek,
            ct,
            dh_out,
            kem_ss,
            rk,
            next_rk,
            ck,
        });
    }

    /// The next message in the chain of the last step.
    fn message(&mut self, plaintext: &str) {
        let number = self.steps.len();
        let last = self.messages.last().filter(|last| last.step == number);
        let (n, ck) = match last {
            Some(last) => (last.n + 1, last.next_ck.clone()),
            None => (0, self.steps[number - 1].ck.clone()),
        };
        let mk = hmac_by_hand(&ck, &[1]);
        let okm = hkdf_by_hand(&[0; 32], &mk, b"ZenTalk message v1", 44);
        let key = Aes256GcmKey::new(&Secret32::try_from(&okm[..32]).unwrap());
        let header = self.steps[number - 1].header(n);
        let (keys, counters) = header.split_at(Header::LEN - 8);
        let digest = blake2b_256_concat(b"ZenTalk ratchet header v1", keys);
        let aad = [AD, &digest, counters].concat();
        let nonce = okm[32..].try_into().unwrap();
        self.messages.push(Message {
            step: number,
            n,
            next_ck: hmac_by_hand(&ck, &[2]),
            ck,
            mk,
            key: okm[..32].to_vec(),
            nonce: okm[32..].to_vec(),
            ciphertext: key.seal(&nonce, &aad, plaintext.as_bytes()).unwrap(),
            plaintext: plaintext.to_owned(),
        });
    }
}

impl Step {
    fn header(&self, n: u32) -> Vec<u8> {
        let parts: [&[u8]; 5] = [
            self.dh.public().as_bytes(),
            self.ek.public().as_bytes(),
            self.ct.as_bytes(),
            &self.pn.to_be_bytes(),
            &n.to_be_bytes(),
        ];
        parts.concat()
    }

    fn write(&self, file: &mut VectorFile) {
        let comment = format!("step {} of the conversation", self.number);
        file.vector("step", "equal", &comment)
            .text("by", self.by)
            .bytes("dh_secret", self.dh.to_bytes().as_bytes())
            .bytes("ek_seed", self.ek.seed().as_bytes())
            .bytes("ct_m", &[0x40 + self.number; 32])
            .bytes("dh", self.dh.public().as_bytes())
            .bytes("ek", self.ek.public().as_bytes())
            .bytes("ct", self.ct.as_bytes())
            .bytes("dh_out", self.dh_out.as_bytes())
            .bytes("kem_ss", self.kem_ss.as_bytes())
            .bytes("rk", &self.rk)
            .bytes("next_rk", &self.next_rk)
            .bytes("ck", &self.ck);
    }
}

/// The file in the making: what happens in its order, while refusals go before all of it.
struct Writer {
    by_hand: ByHand,
    events: Vec<Event>,
}

enum Event {
    Step(usize),
    Message(usize),
    /// Message; `next` and `skipped` of its receiver afterwards; comment.
    Delivery(usize, u32, u32, &'static str),
}

impl Writer {
    fn step(&mut self, by: &'static str, pn: u32) {
        self.events.push(Event::Step(self.by_hand.steps.len()));
        self.by_hand.step(by, pn);
    }

    fn message(&mut self, plaintext: &str) {
        self.events
            .push(Event::Message(self.by_hand.messages.len()));
        self.by_hand.message(plaintext);
    }

    fn delivery(&mut self, message: usize, next: u32, skipped: u32, comment: &'static str) {
        self.events
            .push(Event::Delivery(message, next, skipped, comment));
    }
}

fn play() -> Writer {
    let mut writer = Writer {
        by_hand: ByHand::new(),
        events: Vec::new(),
    };
    let w = &mut writer;
    w.step("alice", 0);
    w.message("0: one");
    w.message("1: two");
    w.message("2: three");
    w.delivery(
        1,
        2,
        1,
        "the second message comes first and begins bob's side",
    );
    w.delivery(0, 2, 0, "the first one, from its skipped key");
    w.step("bob", 0);
    w.message("3: answer");
    w.message("4: and more");
    w.delivery(4, 2, 1, "bob's step; its first message is late");
    w.step("alice", 3);
    w.message("5: next");
    w.message("6: lost for ever");
    w.delivery(
        5,
        1,
        1,
        "alice's second step: pn says that one of the chain before is missing",
    );
    w.delivery(2, 1, 0, "and here it is, after the step");
    w.step("bob", 2);
    w.message("7: go on");
    w.delivery(7, 1, 1, "bob's second step; message 3 is still kept");
    w.delivery(3, 1, 0, "message 3, two steps late");
    w.step("alice", 2);
    w.message("8: last");
    w.delivery(8, 1, 1, "alice's third step; message 6 never comes");
    writer
}

#[test]
fn the_file_is_what_the_generator_writes() {
    let Writer { by_hand, events } = play();
    let mut file = VectorFile::new(HEAD);
    let (dh, ek) = (
        X25519Secret::from_bytes(&Secret32::from_bytes(PREKEY)),
        MlKemSecret::from_seed(Secret::from_bytes(KEM_PREKEY)),
    );
    file.vector("start", "given", "what the agreement gave")
        .bytes("sk", &SK)
        .bytes("ad", AD)
        .bytes("signed_prekey_secret", &PREKEY)
        .bytes("signed_prekey", dh.public().as_bytes())
        .bytes("kem_prekey_seed", &KEM_PREKEY)
        .bytes("kem_prekey", ek.public().as_bytes());
    refusals(&mut file, &by_hand);
    let mut roots = [0; 2];
    for event in &events {
        match event {
            Event::Step(index) => by_hand.steps[*index].write(&mut file),
            Event::Message(index) => write_message(&mut file, &by_hand, *index),
            Event::Delivery(message, next, skipped, comment) => {
                let step = by_hand.messages[*message].step;
                let sender = by_hand.steps[step - 1].by;
                let (to, side) = match sender {
                    "alice" => ("bob", 0),
                    _ => ("alice", 1),
                };
                // An old message leaves the root key as it is.
                roots[side] = roots[side].max(step);
                file.vector("delivery", "opens", comment)
                    .text("to", to)
                    .bytes("message", &(*message as u32).to_be_bytes())
                    .bytes("rk", &by_hand.steps[roots[side] - 1].next_rk)
                    .bytes("next", &next.to_be_bytes())
                    .bytes("skipped", &skipped.to_be_bytes());
            }
        }
    }
    file.finish("conversation.txt");
}

fn write_message(file: &mut VectorFile, by_hand: &ByHand, index: usize) {
    let message = &by_hand.messages[index];
    let step = &by_hand.steps[message.step - 1];
    file.vector(
        "message",
        "equal",
        &format!("message {index}, by {}", step.by),
    )
    .bytes("step", &(message.step as u32).to_be_bytes())
    .bytes("pn", &step.pn.to_be_bytes())
    .bytes("n", &message.n.to_be_bytes())
    .bytes("ck", &message.ck)
    .bytes("mk", &message.mk)
    .bytes("next_ck", &message.next_ck)
    .bytes("key", &message.key)
    .bytes("nonce", &message.nonce)
    .bytes("plaintext", message.plaintext.as_bytes())
    .bytes("ciphertext", &message.ciphertext);
}

/// A message that is refused, and when.
struct Refusal {
    to: &'static str,
    after: u32,
    dh: Vec<u8>,
    ek: Vec<u8>,
    ct: Vec<u8>,
    pn: u32,
    n: u32,
    ciphertext: Vec<u8>,
}

fn refusals(file: &mut VectorFile, by_hand: &ByHand) {
    let mut refused = |expect: &str,
                       comment: &str,
                       to: &'static str,
                       after: u32,
                       message: usize,
                       spoil: &dyn Fn(&mut Refusal)| {
        let message = &by_hand.messages[message];
        let step = &by_hand.steps[message.step - 1];
        let mut refusal = Refusal {
            to,
            after,
            dh: step.dh.public().as_bytes().to_vec(),
            ek: step.ek.public().as_bytes().to_vec(),
            ct: step.ct.as_bytes().to_vec(),
            pn: step.pn,
            n: message.n,
            ciphertext: message.ciphertext.clone(),
        };
        spoil(&mut refusal);
        file.vector("refusal", expect, comment)
            .text("to", refusal.to)
            .bytes("after", &refusal.after.to_be_bytes())
            .bytes("dh", &refusal.dh)
            .bytes("ek", &refusal.ek)
            .bytes("ct", &refusal.ct)
            .bytes("pn", &refusal.pn.to_be_bytes())
            .bytes("n", &refusal.n.to_be_bytes())
            .bytes("ciphertext", &refusal.ciphertext);
    };
    let forged = "forged";
    refused(
        forged,
        "the first bit of the ciphertext",
        "bob",
        1,
        2,
        &|m| m.ciphertext[0] ^= 1,
    );
    refused(forged, "another pn", "bob", 1, 2, &|m| m.pn = 1);
    refused(forged, "another n of the same chain", "bob", 1, 2, &|m| {
        m.n = 3
    });
    refused(forged, "one bit of ek", "bob", 1, 2, &|m| m.ek[0] ^= 1);
    refused(forged, "one bit of ct, in a step", "alice", 2, 4, &|m| {
        m.ct[0] ^= 1
    });
    refused(
        forged,
        "a skipped message, its tag changed",
        "bob",
        1,
        0,
        &|m| {
            *m.ciphertext.last_mut().unwrap() ^= 0x80;
        },
    );
    let used = "already used";
    refused(used, "message 1 again", "bob", 1, 1, &|_| ());
    refused(
        used,
        "message 0 again, whose skipped key is gone",
        "bob",
        2,
        0,
        &|_| (),
    );
    refused(
        "unknown chain",
        "a step of alice's that bob has not answered",
        "bob",
        2,
        5,
        &|_| (),
    );
    refused(
        "too far ahead",
        "1001 ahead in a chain",
        "bob",
        1,
        2,
        &|m| m.n = 2 + 1001,
    );
    refused(
        "too far ahead",
        "number 1001 of a step",
        "alice",
        2,
        4,
        &|m| m.n = 1001,
    );
    refused(
        "low order",
        "a dh of order one, in a step",
        "alice",
        2,
        4,
        &|m| m.dh.fill(0),
    );
}
