//! `shared/tests/vectors/envelope.txt`: sealed envelopes with HPKE's key schedule, and a message cut up.
//!
//! The generator makes the key schedule by hand (HMAC-SHA256 only); the tests seal and open with the code.

use super::super::envelope::{OpenError, open, seal};
use super::super::fragment::{Fragment, split};
use crate::crypto::aead::Aes256GcmKey;
use crate::crypto::kem::{Kem, XWingKem, XWingPublic, XWingSecret};
use crate::crypto::{Secret, Secret32};
use crate::id::{DeviceId, MailboxId};
use crate::identity::SealingSecrets;
use crate::identity::test_support::{MADE, device};
use crate::test_support::{
    Script, Vector, VectorFile, assert_failures_first, hmac_by_hand, vector_file, vectors,
    vectors_of,
};
use crate::wire::budget::FRAGMENT_LEN;
use crate::wire::codec::from_cbor;
use crate::x3dh::vectors::party;

fn file() -> &'static str {
    vector_file("envelope.txt")
}

const HEAD: &str = "\
Sealed envelopes and fragments, PROTOCOL §8; more fragments are in ratchet.txt. Hex; XX^N is the byte XX N
times; spaces join. Failures first. Written by session::tests::envelope_vectors, the key schedule by hand.
Checked with Python (hashlib, and the ML-KEM, X25519 and HPKE of cryptography).

envelope: to bob of pqxdh.txt, whose X-Wing key has the secret seed (32 bytes) and is sealing_key in public.
eseed is the randomness of X-Wing's Encapsulate: 32 bytes for ML-KEM, then the X25519 ephemeral secret. enc and
ss are what it gives. HPKE base mode, KEM 0x647a, KDF 0x0001, AEAD 0x0002 (so suite_id is
\"HPKE\" 647a 0001 0002); psk_id_hash, info_hash, secret, key, base_nonce as RFC 9180 §5.1 names them. The one
message of the context has sequence number 0, so its nonce is base_nonce. aad is the recipient's DeviceId.
split: message is cut into fragment_0, fragment_1, …, with the random set id.";

const INFO: &[u8] = b"ZenTalk envelope v1";
const ESEED: [&[u8]; 2] = [&[0xa1; 32], &[0xa2; 32]];

/// Bob's sealing secrets as he stores them: the vector's seed alone.
fn secrets(vector: &Vector) -> SealingSecrets {
    let mut e = minicbor::Encoder::new(Vec::new());
    e.array(1).unwrap().map(2).unwrap();
    e.u8(0).unwrap().bytes(&vector.bytes("seed")).unwrap();
    e.u8(1).unwrap().u64(MADE.as_ms()).unwrap();
    from_cbor(&e.into_writer(), 256).unwrap()
}

fn of_kind(kind: &str) -> Vec<Vector> {
    vectors_of(file(), kind)
}

#[test]
fn failures_come_first() {
    assert_failures_first(&vectors(file()), &["opens", "equal"]);
}

#[test]
fn envelopes_open_or_do_not() {
    let found = of_kind("envelope");
    for vector in &found {
        let me = DeviceId::from_bytes(vector.array("device_id"));
        let outcome = match open(&vector.array("envelope"), &secrets(vector), me) {
            Ok(fragment) => {
                assert_eq!(fragment.encode()[..], vector.bytes("plaintext"));
                "opens"
            }
            Err(OpenError::NotForMe) => "not for me",
            Err(OpenError::Fragment(_)) => "no fragment",
        };
        assert_eq!(outcome, vector.text("expect"), "{}", vector.text("comment"));
    }
    assert_eq!(found.len(), 7);
}

#[test]
fn sealing_with_the_stated_randomness_gives_the_envelope() {
    for vector in of_kind("envelope") {
        if vector.text("expect") != "opens" {
            continue;
        }
        let bob = party("bob");
        let secrets = secrets(&vector);
        let mailbox = MailboxId::from_bytes([7; 20]);
        let key = secrets.current().publish(&bob.signing, mailbox);
        let key = key.verify(&bob.certificate, mailbox).unwrap();
        assert_eq!(key.key().as_bytes()[..], vector.bytes("sealing_key"));
        let fragment = Fragment::decode(&vector.array("plaintext")).unwrap();
        let mut script = Script::new(&[&vector.bytes("eseed")]);
        let envelope = seal(&fragment, &key, &mut script).unwrap();
        assert_eq!(envelope[..], vector.bytes("envelope"));
        assert_eq!(envelope[..1120], vector.bytes("enc"));
    }
}

#[test]
fn messages_are_cut() {
    for vector in of_kind("split") {
        let mut script = Script::new(&[&vector.bytes("set")]);
        let fragments = split(&vector.bytes("message"), &mut script).unwrap();
        assert_eq!(fragments.len(), 3);
        for (index, fragment) in fragments.iter().enumerate() {
            let name = format!("fragment_{index}");
            assert_eq!(fragment.encode()[..], vector.bytes(&name));
        }
    }
}

// What follows makes the file.

/// HPKE's key schedule in base mode (RFC 9180 §5.1), with nothing but HMAC.
struct Schedule {
    psk_id_hash: Vec<u8>,
    info_hash: Vec<u8>,
    secret: Vec<u8>,
    key: Vec<u8>,
    base_nonce: Vec<u8>,
}

impl Schedule {
    fn new(shared: &Secret32) -> Self {
        let psk_id_hash = labeled_extract(b"", b"psk_id_hash", b"");
        let info_hash = labeled_extract(b"", b"info_hash", INFO);
        let context = [&[0][..], &psk_id_hash, &info_hash].concat();
        let secret = labeled_extract(shared.as_bytes(), b"secret", b"");
        Self {
            key: labeled_expand(&secret, b"key", &context, 32),
            base_nonce: labeled_expand(&secret, b"base_nonce", &context, 12),
            psk_id_hash,
            info_hash,
            secret,
        }
    }

    fn seal(&self, aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
        let key = Secret32::try_from(self.key.as_slice()).unwrap();
        let nonce = self.base_nonce.as_slice().try_into().unwrap();
        Aes256GcmKey::new(&key)
            .seal(&nonce, aad, plaintext)
            .unwrap()
    }
}

const SUITE_ID: &[u8] = b"HPKE\x64\x7a\x00\x01\x00\x02";

fn labeled_extract(salt: &[u8], label: &[u8], ikm: &[u8]) -> Vec<u8> {
    hmac_by_hand(salt, &[b"HPKE-v1", SUITE_ID, label, ikm].concat())
}

/// One block is enough: `length` is at most 32.
fn labeled_expand(prk: &[u8], label: &[u8], info: &[u8], length: u16) -> Vec<u8> {
    let length_bytes = length.to_be_bytes();
    let info = [&length_bytes, &b"HPKE-v1"[..], SUITE_ID, label, info, &[1]].concat();
    let mut block = hmac_by_hand(prk, &info);
    block.truncate(usize::from(length));
    block
}

/// Everything about one envelope to bob.
struct Sealed {
    seed: Secret<32>,
    public: XWingPublic,
    enc: Vec<u8>,
    shared: Secret32,
    schedule: Schedule,
    aad: DeviceId,
    plaintext: Vec<u8>,
    envelope: Vec<u8>,
}

impl Sealed {
    fn new(plaintext: &[u8]) -> Self {
        let seed = Secret32::from_bytes([0xa0; 32]);
        let public = XWingSecret::from_seed(seed.clone()).public().clone();
        let (enc, shared) = XWingKem::encapsulate(&public, &mut Script::new(&ESEED)).unwrap();
        let schedule = Schedule::new(&shared);
        let aad = device(1).id();
        let ciphertext = schedule.seal(aad.as_bytes(), plaintext);
        let enc = enc.as_bytes().to_vec();
        Self {
            envelope: [&enc[..], &ciphertext].concat(),
            plaintext: plaintext.to_vec(),
            seed,
            public,
            enc,
            shared,
            schedule,
            aad,
        }
    }

    fn refused(&self, file: &mut VectorFile, expect: &str, comment: &str) {
        file.vector("envelope", expect, comment)
            .bytes("seed", self.seed.as_bytes())
            .bytes("device_id", self.aad.as_bytes())
            .bytes("envelope", &self.envelope);
    }

    fn changed(mut self, at: usize) -> Self {
        self.envelope[at] ^= 1;
        self
    }

    fn write(&self, file: &mut VectorFile, comment: &str) {
        file.vector("envelope", "opens", comment)
            .bytes("seed", self.seed.as_bytes())
            .bytes("sealing_key", self.public.as_bytes())
            .bytes("eseed", &ESEED.concat())
            .bytes("enc", &self.enc)
            .bytes("ss", self.shared.as_bytes())
            .bytes("psk_id_hash", &self.schedule.psk_id_hash)
            .bytes("info_hash", &self.schedule.info_hash)
            .bytes("secret", &self.schedule.secret)
            .bytes("key", &self.schedule.key)
            .bytes("base_nonce", &self.schedule.base_nonce)
            .bytes("device_id", self.aad.as_bytes())
            .bytes("plaintext", &self.plaintext)
            .bytes("envelope", &self.envelope);
    }
}

#[test]
fn the_file_is_what_the_generator_writes() {
    let fragments = |message: &[u8]| split(message, &mut Script::new(&[&[0xa5; 16]])).unwrap();
    let plaintext = fragments(b"a session message")[0].encode();
    let good = || Sealed::new(plaintext.as_slice());
    let mut file = VectorFile::new(HEAD);
    let mut other = good();
    other.aad = device(2).id();
    other.refused(&mut file, "not for me", "opened as another device");
    let mut other = good();
    other.seed = Secret32::from_bytes([0xa9; 32]);
    other.refused(&mut file, "not for me", "opened with another key");
    for (at, comment) in [
        (0, "one bit of the ML-KEM ciphertext: implicit rejection"),
        (1088, "one bit of the X25519 key"),
        (7999, "one bit of the tag"),
    ] {
        good().changed(at).refused(&mut file, "not for me", comment);
    }
    let none = Sealed::new(&[0; FRAGMENT_LEN]);
    none.refused(&mut file, "no fragment", "sealed zeros: a count of zero");
    good().write(&mut file, "one short fragment");
    let message: Vec<u8> = [vec![0x68; 13_684], b"and the end".to_vec()].concat();
    file.vector("split", "equal", "two full fragments and a short one")
        .bytes("set", &[0xa5; 16])
        .bytes("message", &message);
    for (index, fragment) in fragments(&message).iter().enumerate() {
        file.bytes(&format!("fragment_{index}"), fragment.encode().as_slice());
    }
    file.finish("envelope.txt");
}
