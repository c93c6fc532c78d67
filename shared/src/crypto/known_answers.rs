//! `shared/tests/vectors/primitives.txt`: what other implementations make of the primitives that Wycheproof has
//! no vectors for. The head of the file says which implementation made which answer.

use super::hash::{
    blake2b_128_concat, blake2b_160_concat, blake2b_256_concat, keyed_256, keyed_blake3,
    keyed_mac_128,
};
use super::hpke;
use super::kem::{Kem, XWingCiphertext, XWingKem, XWingSecret};
use super::sign::SigningKey;
use super::stream::xor_at;
use super::{Secret, Secret32};
use crate::test_support::{Script, Vector, assert_failures_first, rng, vector_file, vectors};

fn file() -> &'static str {
    vector_file("primitives.txt")
}

fn secret(vector: &Vector, name: &str) -> Secret32 {
    Secret::from_bytes(vector.array(name))
}

/// Whether the code makes of a vector what the other implementation made.
fn is_equal(vector: &Vector) -> bool {
    match vector.text("kind") {
        "blake2b" => {
            let (message, digest) = (vector.bytes("message"), vector.bytes("digest"));
            match digest.len() {
                16 => blake2b_128_concat(b"", &message)[..] == digest,
                20 => blake2b_160_concat(b"", &message)[..] == digest,
                _ => blake2b_256_concat(b"", &message)[..] == digest,
            }
        }
        "keyed blake2b" => {
            let (message, digest) = (vector.bytes("message"), vector.bytes("digest"));
            let (key, (front, back)) = (secret(vector, "key"), message.split_at(message.len() / 2));
            match digest.len() {
                16 => keyed_mac_128(&key, &[front, back])[..] == digest,
                _ => keyed_256(&key, &[front, back])[..] == digest,
            }
        }
        "keyed blake3" => {
            let length = u32::from_be_bytes(vector.array("length"));
            let input: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
            keyed_blake3(&secret(vector, "key"), &input) == vector.array("digest")
        }
        "chacha20" => {
            let expected = vector.bytes("keystream");
            let mut made = vec![0; expected.len()];
            let offset = u64::from_be_bytes(vector.array("offset"));
            xor_at(&secret(vector, "key"), offset, &mut made).unwrap();
            made == expected
        }
        "ed25519" => {
            let key = SigningKey::from_seed(&secret(vector, "seed"));
            let signature = key.sign_framed(&vector.bytes("message"));
            key.verifying_key().as_bytes()[..] == vector.bytes("public")
                && signature.as_bytes()[..] == vector.bytes("signature")
        }
        "hpke" => {
            let key = XWingSecret::from_seed(secret(vector, "seed"));
            let opened = hpke::open(&key, &vector.bytes("info"), b"", &vector.bytes("sealed"));
            opened == Ok(vector.bytes("plaintext"))
        }
        "x-wing" => x_wing_is_equal(vector),
        other => panic!("unknown kind {other}"),
    }
}

fn x_wing_is_equal(vector: &Vector) -> bool {
    let key = XWingSecret::from_seed(secret(vector, "seed"));
    let ciphertext = XWingCiphertext::from_bytes(vector.array("ciphertext"));
    let shared = secret(vector, "ss");
    if vector.has("eseed") {
        assert_eq!(key.public().as_bytes()[..], vector.bytes("public"));
        let mut script = Script::new(&[&vector.bytes("eseed")]);
        let made = XWingKem::encapsulate(key.public(), &mut script).unwrap();
        assert!(made == (ciphertext.clone(), shared.clone()));
    }
    XWingKem::decapsulate(&key, &ciphertext, &mut rng(1)) == Ok(shared)
}

#[test]
fn published_vectors() {
    let found = vectors(file());
    assert_failures_first(&found, &["equal"]);
    for vector in &found {
        let expected = vector.text("expect") == "equal";
        assert_eq!(is_equal(vector), expected, "{}", vector.text("comment"));
    }
    assert_eq!(found.len(), 52);
}
