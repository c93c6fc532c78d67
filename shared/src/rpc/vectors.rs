//! `shared/tests/vectors/rpc.txt`: what relays store and check, and the identifiers that name it.
//!
//! Every signed or sealed value is built by hand from PROTOCOL §6 to §8; the tests read the file and know
//! nothing of how it was made. `ZENTALK_WRITE_VECTORS=1` writes it.

mod generate;

use super::account_contents::ContentsError;
use super::*;
use crate::crypto::aead::Aes256GcmKey;
use crate::crypto::hash::{blake2b_128_concat, blake2b_160_concat, blake2b_256_concat};
use crate::crypto::sign::SigningKey;
use crate::crypto::{Secret, Secret32};
use crate::id::{Address, MailboxId, NodeId};
use crate::identity::test_support::{MADE, account, certificate, device, device_list};
use crate::identity::{CertificateError, DirectorySecret, Freshness, MailboxSecret, device_id};
use crate::onion::descriptor::node_id;
use crate::test_support::{
    Vector, VectorFile, account_rsa, assert_failures_first, hkdf_by_hand, hmac_by_hand,
    vector_file, vectors, vectors_of,
};
use crate::time::{Duration, Timestamp};
use crate::wire::codec::{BoundedBytes, Bytes, from_cbor, to_cbor};

mod swarm;
mod work;

fn file() -> &'static str {
    vector_file("rpc.txt")
}

const HEAD: &str = "\
Mailboxes, permits, records and the prekeys that relays hold, PROTOCOL §6 to §8. Hex; XX^N is the byte XX N
times; spaces join. Times are u64 ms, sequences u64. Failures first. Written by rpc::vectors, by hand.
Checked with Python (hmac, hashlib, and cryptography on OpenSSL).
Ed25519 secrets are seeds; signed is what Ed25519 signs: domain, 00, message.

identifier: id is the hash of domain and key; `of` says of what.
permit: HMAC-SHA256 of domain and node under write_secret (T).
owner request, tombstone, mailbox descriptor, record: bytes is the CBOR. An owner request is checked at node, for
the operation whose frame type is type. now is the reader's clock.
sealed prekey: entry, sealed under key = HKDF(\"ZenTalk prekeys v1\", address, mailbox, 32).
sealed record: contents, sealed under key = HKDF(\"ZenTalk record v1\", address, \"\", 32). To a reader who knows the
address of alice or another one.
contents: the CBOR inside a record, checked against an address at the time now.";

fn secret(vector: &Vector, name: &str) -> Secret32 {
    Secret32::from_bytes(vector.array(name))
}

fn u64_of(vector: &Vector, name: &str) -> u64 {
    u64::from_be_bytes(vector.array(name))
}

fn time_of(vector: &Vector, name: &str) -> Timestamp {
    Timestamp::from_ms(u64_of(vector, name))
}

/// What every vector of a kind gives, compared with its `expect`.
fn each(kind: &str, count: usize, outcome: impl Fn(&Vector) -> &'static str) {
    let found = vectors_of(file(), kind);
    for vector in &found {
        let outcome = outcome(vector);
        assert_eq!(outcome, vector.text("expect"), "{}", vector.text("comment"));
    }
    assert_eq!(found.len(), count);
}

/// The vector's `signed` bytes carry its `signature` under the key of `seed`.
fn assert_signed(vector: &Vector) {
    let key = SigningKey::from_seed(&secret(vector, "seed"));
    let signed = vector.bytes("signed");
    let zero = signed.iter().position(|byte| *byte == 0).unwrap();
    let domain = core::str::from_utf8(&signed[..zero]).unwrap();
    let signature = key.sign(domain, &signed[zero + 1..]);
    assert_eq!(signature.as_bytes()[..], vector.bytes("signature"));
}

#[test]
fn failures_come_first() {
    assert_failures_first(&vectors(file()), &["equal", "accepted", "opens"]);
}

#[test]
fn identifiers() {
    each("identifier", 7, |vector| {
        let key = vector.bytes("key");
        let ed25519 = || SigningKey::from_seed(&secret(vector, "seed")).verifying_key();
        let cbor = |seed: &str| {
            let mut e = minicbor::Encoder::new(Vec::new());
            e.bytes(&vector.bytes(seed)).unwrap();
            e.into_writer()
        };
        let id = match vector.text("of") {
            "relay" => node_id(&key.as_slice().try_into().unwrap())
                .as_bytes()
                .to_vec(),
            "device" => device_id(&ed25519()).as_bytes().to_vec(),
            "mailbox" => {
                let mailbox: MailboxSecret = from_cbor(&cbor("seed"), 64).unwrap();
                mailbox.id().as_bytes().to_vec()
            }
            "record" => {
                let directory: DirectorySecret = from_cbor(&cbor("seed"), 64).unwrap();
                directory.public().record_key().as_bytes().to_vec()
            }
            "certificate" => certificate(0, 1).hash().as_bytes().to_vec(),
            "envelope" => envelope_id(&Bytes(vector.array("key"))).as_bytes().to_vec(),
            other => panic!("{other}"),
        };
        if vector.has("seed") {
            assert_eq!(ed25519().as_bytes()[..], key);
        }
        match id == vector.bytes("id") {
            true => "equal",
            false => "different",
        }
    });
}

#[test]
fn permits() {
    each("permit", 2, |vector| {
        let node = NodeId::from_bytes(vector.array("node"));
        let permit = WriteSecret::from_bytes(vector.array("write_secret")).permit(&node);
        match permit == Permit::from_bytes(vector.array("permit")) {
            true => "equal",
            false => "different",
        }
    });
}

#[test]
fn owner_requests() {
    each("owner request", 6, |vector| {
        let request: Result<OwnerRequest, _> = from_cbor(&vector.bytes("bytes"), 4096);
        let Ok(request) = request else {
            return "malformed";
        };
        let op = match vector.bytes("type")[..] {
            [0, 0x62] => OwnerOp::Subscribe,
            [0, 0x64] => OwnerOp::Fetch,
            _ => OwnerOp::PreKeyPublish,
        };
        let node = NodeId::from_bytes(vector.array("node"));
        let Ok((mailbox, body)) = request.verify(&node, op) else {
            return "not the owner";
        };
        assert_eq!(mailbox.as_bytes()[..], vector.bytes("mailbox"));
        assert_eq!(body, vector.bytes("body"));
        assert_eq!(request.sequence(), u64_of(vector, "sequence"));
        assert_signed(vector);
        "accepted"
    });
}

#[test]
fn tombstones() {
    each("tombstone", 3, |vector| {
        let tombstone: Tombstone = from_cbor(&vector.bytes("bytes"), 8192).unwrap();
        let Ok((mailbox, ids)) = tombstone.verify() else {
            return "not the owner";
        };
        assert_eq!(mailbox.as_bytes()[..], vector.bytes("mailbox"));
        let ids: Vec<u8> = ids.iter().flat_map(|id| *id.as_bytes()).collect();
        assert_eq!(ids, vector.bytes("ids"));
        assert_signed(vector);
        "accepted"
    });
}

#[test]
fn mailbox_descriptors() {
    each(
        "mailbox descriptor",
        6,
        |vector| match MailboxDescriptor::verify(&vector.bytes("bytes")) {
            Ok(descriptor) => {
                assert_eq!(descriptor.mailbox().as_bytes()[..], vector.bytes("mailbox"));
                assert_eq!(descriptor.sequence(), u64_of(vector, "sequence"));
                let flat = |nodes: &[NodeId]| -> Vec<u8> {
                    nodes.iter().flat_map(|node| *node.as_bytes()).collect()
                };
                assert_eq!(flat(descriptor.members()), vector.bytes("members"));
                assert_eq!(flat(descriptor.active()), vector.bytes("active"));
                assert_signed(vector);
                "accepted"
            }
            Err(DescriptorError::Malformed) => "malformed",
            Err(DescriptorError::Signature) => "bad signature",
        },
    );
}

#[test]
fn records() {
    each("record", 6, |vector| {
        match AccountRecord::verify(&vector.bytes("bytes"), time_of(vector, "now")) {
            Ok(record) => {
                assert_eq!(record.key().as_bytes()[..], vector.bytes("record_key"));
                assert_eq!(record.sequence(), u64_of(vector, "sequence"));
                assert_eq!(record.expires(), time_of(vector, "expires"));
                assert_eq!(record.sealed(), vector.bytes("sealed"));
                assert_signed(vector);
                "accepted"
            }
            Err(RecordError::Malformed) => "malformed",
            Err(RecordError::Signature) => "bad signature",
            Err(RecordError::Expired) => "expired",
            Err(RecordError::Ahead) => "ahead",
            Err(RecordError::Sealed) => "sealed",
        }
    });
}

#[test]
fn sealed_entries() {
    each("sealed prekey", 4, |vector| {
        let address = Address::from_bytes(vector.array("address"));
        let mailbox = MailboxId::from_bytes(vector.array("mailbox"));
        match open_prekey_entry(&address, &mailbox, &vector.bytes("sealed")) {
            Some(entry) => {
                assert_eq!(entry, vector.bytes("entry"));
                "opens"
            }
            None => "does not open",
        }
    });
    each("sealed record", 6, |vector| {
        let address = Address::from_bytes(vector.array("address"));
        match open_record_contents(&address, &vector.bytes("sealed")) {
            Ok(contents) => {
                assert_eq!(contents, vector.bytes("contents"));
                "opens"
            }
            Err(_) => "does not open",
        }
    });
}

#[test]
fn contents() {
    each("contents", 8, |vector| {
        let address = Address::from_bytes(vector.array("address"));
        match AccountContents::verify(&vector.bytes("bytes"), &address, time_of(vector, "now")) {
            // Not refused, but only a first session may be begun by it.
            Ok(contents) if contents.stale_since.is_some() => "freshness",
            Ok(contents) => {
                assert_eq!(to_cbor(&contents.keys), vector.bytes("account_keys"));
                let [device] = contents.devices.as_slice() else {
                    panic!("one device")
                };
                let body = BoundedBytes::<256>::new(vector.bytes("certificate_body")).unwrap();
                assert_eq!(to_cbor(device.certificate.body()), to_cbor(&body));
                assert_eq!(
                    device.mailbox.bytes()[..],
                    vector.bytes("mailbox_descriptor")
                );
                "accepted"
            }
            Err(ContentsError::OtherAccount) => "other account",
            Err(ContentsError::Freshness(_)) => "freshness",
            Err(ContentsError::Codec(_)) => "malformed",
            Err(ContentsError::Certificate(CertificateError::Unlisted)) => "not listed",
            Err(ContentsError::RepeatedDevice) => "a device twice",
            Err(ContentsError::SealingKey(_)) => "sealing key",
            Err(other) => panic!("{other:?}"),
        }
    });
}
