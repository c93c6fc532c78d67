//! The published vectors of the ratchet: `shared/tests/vectors/ratchet.txt`.

use super::chain_key::ChainKey;
use super::header::{ChainHeader, Header};
use super::message_key::MessageKey;
use super::root_key::RootKey;
use crate::crypto::Secret32;
use crate::crypto::dh::X25519Public;
use crate::crypto::ml_kem::MlKemCiphertext;
use crate::test_support::{Vector, vectors};

const FILE: &str = include_str!("../../tests/vectors/ratchet.txt");

fn secret(vector: &Vector, name: &str) -> Secret32 {
    Secret32::from_bytes(vector.array(name))
}

fn header(vector: &Vector) -> Header {
    let (dh, ct) = (
        X25519Public::from_bytes(vector.array("dh")),
        MlKemCiphertext::from_bytes(vector.array("ct")),
    );
    let chain = ChainHeader::new(&dh, &vector.array("ek"), &ct);
    Header::new(
        &chain,
        u32::from_be_bytes(vector.array("pn")),
        u32::from_be_bytes(vector.array("n")),
    )
}

/// What the code makes of a vector, in the words of its `expect`.
fn outcome(vector: &Vector) -> &'static str {
    let equal = |equal| if equal { "equal" } else { "different" };
    match vector.text("kind") {
        "root step" => {
            let root = RootKey::new(secret(vector, "rk"));
            let (next, chain) = root.step(&secret(vector, "dh"), &secret(vector, "kem"));
            let expected = (
                RootKey::new(secret(vector, "next_rk")),
                ChainKey::new(secret(vector, "ck")),
            );
            equal((next, chain) == expected)
        }
        "chain step" => {
            let chain = ChainKey::new(secret(vector, "ck"));
            let (mk, next) = (
                MessageKey::new(secret(vector, "mk")),
                ChainKey::new(secret(vector, "next_ck")),
            );
            equal(chain.message_key() == mk && chain.next() == next)
        }
        "message key" => {
            let (key, nonce) = MessageKey::new(secret(vector, "mk")).expand();
            equal(key == secret(vector, "key") && nonce == vector.array("nonce"))
        }
        "header" => {
            let (header, bytes) = (header(vector), vector.array("bytes"));
            equal(*header.encode() == bytes && Header::decode(&bytes) == header)
        }
        "message" => {
            let key = MessageKey::new(secret(vector, "mk"));
            match key.open(
                &vector.bytes("ad"),
                &header(vector),
                &vector.bytes("ciphertext"),
            ) {
                Ok(plaintext) if plaintext == vector.bytes("plaintext") => "opens",
                Ok(_) => "opens to something else",
                Err(_) => "forged",
            }
        }
        other => panic!("unknown kind {other}"),
    }
}

#[test]
fn published_vectors() {
    let ours = vectors(FILE)
        .into_iter()
        .filter(|vector| vector.text("kind") != "fragment");
    let mut count = 0;
    for vector in ours {
        assert_eq!(
            outcome(&vector),
            vector.text("expect"),
            "{}",
            vector.text("comment")
        );
        count += 1;
    }
    assert_eq!(count, 15);
}
