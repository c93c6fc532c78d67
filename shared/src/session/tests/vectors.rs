//! `shared/tests/vectors/session.txt`: session messages, and what a responder makes of a first one.
//!
//! Made from fixed inputs, the parties and prekeys being those of `pqxdh.txt`; the tests read the file and
//! know nothing of how it was made. `ZENTALK_WRITE_VECTORS=1` writes it.

use crate::crypto::Secret32;
use crate::crypto::aead::Aes256GcmKey;
use crate::crypto::dh::X25519Secret;
use crate::crypto::hash::blake2b_256_concat;
use crate::crypto::ml_kem::MlKemPublic;
use crate::id::{DeviceId, SessionId};
use crate::identity::test_support::MADE;
use crate::ratchet::DecryptError;
use crate::session::{
    LocalDevice, PeerDevice, ReceiveError, SessionMessage, SessionRecord, receive,
};
use crate::test_support::{
    Script, Vector, VectorFile, assert_failures_first, hkdf_by_hand, hmac_by_hand, vector_file,
    vectors, vectors_of,
};
use crate::wire::codec::{BoundedBytes, to_cbor};
use crate::x3dh::vectors::{Party, agreements, initial_header, party, responder_prekeys};
use crate::x3dh::{AcceptError, Initial, UnverifiedBundle};

fn file() -> &'static str {
    vector_file("session.txt")
}

const HEAD: &str = "\
Session messages, PROTOCOL §8. Hex; XX^N is the byte XX N times; spaces join. Failures first. Written by
session::tests::vectors; its tests compute each secret again by hand. Checked with Python (hmac, cryptography).

session message: bytes is the CBOR of session_id, sender (a DeviceId), initial (the CBOR of that part, in first
messages only), header (ratchet header), ciphertext (ratchet ciphertext).
receive: what bob of pqxdh.txt makes of a first message of alice's. The agreement is the first one of
pqxdh.txt that agrees (one-time prekey and one-time KEM prekey), but without_one_time says that bob has no
one-time prekeys any more. bytes is the session message. Of the ratchet's first step: alice's secrets
(dh_secret; ek_seed: d, z; ct_m, the randomness of the encapsulation), dh_out and kem_ss, the root key rk
before (the agreement's sk) and next_rk after, the chain key ck, message key mk, key and nonce.";

/// Alice's randomness: of her first step, after that of the agreement.
const STEP: [&[u8]; 3] = [&[0x81; 32], &[0x82; 64], &[0x83; 32]];
const PLAINTEXT: &[u8] = b"hello, bob";

fn local(party: &Party) -> LocalDevice<'_> {
    LocalDevice {
        account: &party.account,
        certificate: &party.certificate,
        identity: &party.identity,
    }
}

fn of_kind(kind: &str) -> Vec<Vector> {
    vectors_of(file(), kind)
}

#[test]
fn failures_come_first() {
    assert_failures_first(&vectors(file()), &["equal", "opens"]);
}

#[test]
fn session_messages() {
    let found = of_kind("session message");
    for vector in &found {
        let read = SessionMessage::decode(&vector.bytes("bytes"));
        let Ok(message) = read else {
            assert_eq!(vector.text("expect"), "malformed");
            continue;
        };
        assert_eq!(vector.text("expect"), "equal", "{}", vector.text("comment"));
        assert_eq!(message.encode(), vector.bytes("bytes"));
        assert_eq!(message.session.as_bytes()[..], vector.bytes("session_id"));
        assert_eq!(message.sender.as_bytes()[..], vector.bytes("sender"));
        assert_eq!(message.header.0[..], vector.bytes("header"));
        assert_eq!(message.ciphertext[..], vector.bytes("ciphertext"));
        assert_eq!(message.initial.is_some(), vector.has("initial"));
        if let Some(initial) = &message.initial {
            assert_eq!(to_cbor(initial), vector.bytes("initial"));
        }
    }
    assert_eq!(found.len(), 7);
}

/// What bob makes of a vector, in the words of its `expect`.
fn outcome(vector: &Vector) -> &'static str {
    let bob = party("bob");
    let prekeys = responder_prekeys(&agreements()[0], !vector.has("without_one_time"));
    let message = SessionMessage::decode(&vector.bytes("bytes")).unwrap();
    match receive(None, local(&bob), &prekeys, &message, MADE) {
        Ok(received) => {
            assert_eq!(received.plaintext, vector.bytes("plaintext"));
            assert_eq!(
                *received.record.peer(),
                PeerDevice::from(&*party("alice").certificate)
            );
            "opens"
        }
        Err(ReceiveError::UnknownSession) => "unknown session",
        Err(ReceiveError::OtherPeer) => "other peer",
        Err(ReceiveError::OtherSessionId) => "other session id",
        Err(ReceiveError::Certificate(_)) => "certificate",
        Err(ReceiveError::Agreement(AcceptError::UnknownKemPreKey(_))) => "unknown kem prekey",
        Err(ReceiveError::Ratchet(DecryptError::Forged)) => "forged",
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn first_messages() {
    let found = of_kind("receive");
    for vector in &found {
        assert_eq!(
            outcome(vector),
            vector.text("expect"),
            "{}",
            vector.text("comment")
        );
    }
    assert_eq!(found.len(), 7);
}

#[test]
fn every_secret_of_a_first_message_follows_from_its_inputs() {
    let agreement = &agreements()[0];
    let vector = of_kind("receive").pop().unwrap();
    let secret = |name| X25519Secret::from_bytes(&Secret32::from_bytes(vector.array(name)));
    let prekey = Secret32::from_bytes(agreement.array("signed_prekey_secret"));
    let prekey = *X25519Secret::from_bytes(&prekey).public();
    let dh_out = secret("dh_secret").diffie_hellman(&prekey).unwrap();
    assert_eq!(dh_out.as_bytes()[..], vector.bytes("dh_out"));
    let kem_key = MlKemPublic::try_from(agreement.bytes("kem_key").as_slice()).unwrap();
    let (ct, kem_ss) = kem_key.encapsulate(&mut Script::new(&[&vector.bytes("ct_m")]));
    assert_eq!(kem_ss.as_bytes()[..], vector.bytes("kem_ss"));
    assert_eq!(agreement.bytes("sk"), vector.bytes("rk"));
    let ikm = [dh_out.as_bytes().as_slice(), kem_ss.as_bytes()].concat();
    let step = hkdf_by_hand(&vector.bytes("rk"), &ikm, b"ZenTalk ratchet v1", 64);
    assert_eq!(step, [vector.bytes("next_rk"), vector.bytes("ck")].concat());
    let mk = hmac_by_hand(&vector.bytes("ck"), &[1]);
    assert_eq!(mk, vector.bytes("mk"));
    let okm = hkdf_by_hand(&[0; 32], &mk, b"ZenTalk message v1", 44);
    assert_eq!(okm, [vector.bytes("key"), vector.bytes("nonce")].concat());
    let message = SessionMessage::decode(&vector.bytes("bytes")).unwrap();
    assert_eq!(message.header().ct(), ct);
    assert_eq!(message.header().dh(), *secret("dh_secret").public());
    let (keys, counters) = message.header.0.split_at(2304);
    let digest = blake2b_256_concat(b"ZenTalk ratchet header v1", keys);
    let aad = [&agreement.bytes("ad")[..], &digest, counters].concat();
    let key = Aes256GcmKey::new(&Secret32::from_bytes(vector.array("key")));
    let opened = key.open(&vector.array("nonce"), &aad, &message.ciphertext);
    assert_eq!(opened.unwrap(), vector.bytes("plaintext"));
    assert_eq!(
        message.session.as_bytes()[..],
        agreement.bytes("session_id")
    );
}

// What follows makes the file.

/// Alice's first message, and bob's answer, as the code makes them.
fn conversation() -> (SessionMessage, SessionMessage) {
    let (alice, bob) = (party("alice"), party("bob"));
    let agreement = &agreements()[0];
    let prekeys = responder_prekeys(agreement, true);
    let bundle = UnverifiedBundle {
        base: prekeys.base(&bob.signing, &bob.certificate),
        one_time: crate::x3dh::vectors::one_time_entry(agreement, &bob.signing),
    };
    let bundle = bundle.verify(&bob.certificate, MADE).unwrap();
    let randomness = [
        agreement.bytes("ephemeral_secret"),
        agreement.bytes("kem_m"),
    ]
    .concat();
    let script = &mut Script::new(&[&randomness]);
    let mut record = SessionRecord::start(local(&alice), bundle, MADE, script).unwrap();
    let first = record.encrypt(local(&alice), PLAINTEXT, &mut Script::new(&STEP));
    let first = SessionMessage::decode(&first.unwrap()).unwrap();
    let received = receive(None, local(&bob), &prekeys, &first, MADE).unwrap();
    let mut record = received.record;
    let randomness: [&[u8]; 3] = [&[0x91; 32], &[0x92; 64], &[0x93; 32]];
    let answer = record.encrypt(local(&bob), b"hello, alice", &mut Script::new(&randomness));
    (first, SessionMessage::decode(&answer.unwrap()).unwrap())
}

#[test]
fn the_file_is_what_the_generator_writes() {
    let (first, answer) = conversation();
    let mut file = VectorFile::new(HEAD);
    malformed(&mut file, &answer);
    refused(&mut file, &first);
    for (message, comment) in [(&first, "a first message"), (&answer, "an answer")] {
        file.vector("session message", "equal", comment)
            .bytes("session_id", message.session.as_bytes())
            .bytes("sender", message.sender.as_bytes());
        if let Some(initial) = &message.initial {
            file.bytes("initial", &to_cbor(initial));
        }
        file.bytes("header", &message.header.0)
            .bytes("ciphertext", &message.ciphertext)
            .bytes("bytes", &message.encode());
    }
    opens(&mut file, &first);
    file.finish("session.txt");
}

fn malformed(file: &mut VectorFile, answer: &SessionMessage) {
    let mut malformed = |comment: &str, bytes: &[u8]| {
        file.vector("session message", "malformed", comment)
            .bytes("bytes", bytes);
    };
    let good = answer.encode();
    malformed("empty", &[]);
    malformed("a byte after it", &[&good[..], &[0]].concat());
    malformed("its last byte missing", &good[..good.len() - 1]);
    // a4, 00, 50 and 16 bytes, 01, 50 and 16 bytes, …
    let mut short = good.clone();
    short[2] = 0x4f;
    short.remove(3);
    malformed("a SessionId of 15 bytes", &short);
    let mut without = good;
    without[0] = 0xa3;
    without.drain(1..19);
    malformed("no SessionId", &without);
}

fn refused(file: &mut VectorFile, first: &SessionMessage) {
    let mut refused = |expect: &str, comment: &str, spoil: &dyn Fn(&mut SessionMessage)| {
        let mut message = first.clone();
        spoil(&mut message);
        file.vector("receive", expect, comment);
        file.bytes("bytes", &message.encode());
    };
    refused(
        "unknown session",
        "the first-message part left out",
        &|message| {
            message.initial = None;
        },
    );
    refused("other session id", "one bit of the SessionId", &|message| {
        let mut id = *message.session.as_bytes();
        id[0] ^= 1;
        message.session = SessionId::from_bytes(id);
    });
    refused("other peer", "the DeviceId of somebody else", &|message| {
        message.sender = DeviceId::from_bytes([1; 16]);
    });
    refused(
        "certificate",
        "the account keys of somebody else",
        &|message| {
            let header = initial_header(&agreements()[0]);
            let (alice, bob) = (party("alice"), party("bob"));
            message.initial = Some(Initial::new(bob.account, &alice.certificate, header));
        },
    );
    refused("forged", "the last bit of the tag", &|message| {
        let mut ciphertext = message.ciphertext.to_vec();
        *ciphertext.last_mut().unwrap() ^= 1;
        message.ciphertext = BoundedBytes::new(ciphertext).unwrap();
    });
    refused(
        "unknown kem prekey",
        "a one-time KEM prekey that was used before",
        &|_| (),
    );
    file.text("without_one_time", "yes");
}

fn opens(file: &mut VectorFile, first: &SessionMessage) {
    let agreement = &agreements()[0];
    let prekey = Secret32::from_bytes(agreement.array("signed_prekey_secret"));
    let prekey = *X25519Secret::from_bytes(&prekey).public();
    let dh = X25519Secret::from_bytes(&Secret32::from_bytes([0x81; 32]));
    let dh_out = dh.diffie_hellman(&prekey).unwrap();
    let kem_key = MlKemPublic::try_from(agreement.bytes("kem_key").as_slice()).unwrap();
    let (_, kem_ss) = kem_key.encapsulate(&mut Script::new(&[STEP[2]]));
    let ikm = [dh_out.as_bytes().as_slice(), kem_ss.as_bytes()].concat();
    let step = hkdf_by_hand(&agreement.bytes("sk"), &ikm, b"ZenTalk ratchet v1", 64);
    let mk = hmac_by_hand(&step[32..], &[1]);
    let okm = hkdf_by_hand(&[0; 32], &mk, b"ZenTalk message v1", 44);
    file.vector("receive", "opens", "alice's first message")
        .bytes("dh_secret", STEP[0])
        .bytes("ek_seed", STEP[1])
        .bytes("ct_m", STEP[2])
        .bytes("dh_out", dh_out.as_bytes())
        .bytes("kem_ss", kem_ss.as_bytes())
        .bytes("rk", &agreement.bytes("sk"))
        .bytes("next_rk", &step[..32])
        .bytes("ck", &step[32..])
        .bytes("mk", &mk)
        .bytes("key", &okm[..32])
        .bytes("nonce", &okm[32..])
        .bytes("plaintext", PLAINTEXT)
        .bytes("bytes", &first.encode());
}
