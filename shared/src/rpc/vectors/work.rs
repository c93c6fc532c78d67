//! `shared/tests/vectors/work.txt`: puzzles and what solves them.

use crate::crypto::equihash;
use crate::crypto::hash::{blake2b_128_concat, blake2b_256_concat};
use crate::id::{EnvelopeId, MailboxId, NodeId, RecordKey};
use crate::rpc::{RecordBytes, Subject, Work};
use crate::test_support::{
    Vector, VectorFile, assert_failures_first, vector_file, vectors, vectors_of,
};
use crate::wire::codec::from_cbor;

const HEAD: &str = "\
Proof of work, PROTOCOL §6, \"Work\". Hex; XX^N is the byte XX N times. Failures first. Written by rpc::vectors::work, by hand.
Checked with Python (hashlib): the solutions, too.

work: shown at node, for purpose 01, an envelope (object: its id) of a mailbox (key), or purpose 02, a record (object: its
bytes) under its key, or purpose 03, a mailbox (key) that is opened (object: nothing).";

const NODE: NodeId = NodeId::from_bytes([0x21; 20]);
const KEY: [u8; 20] = [0x22; 20];
const SEED: [u8; 16] = [0x24; 16];
const EFFORT: u32 = 4;

fn file() -> &'static str {
    vector_file("work.txt")
}

fn subject(vector: &Vector) -> Subject {
    let node = NodeId::from_bytes(vector.array("node"));
    let key = vector.array("key");
    match vector.array("purpose") {
        [1] => {
            let id = EnvelopeId::from_bytes(vector.array("object"));
            Subject::put(&node, &MailboxId::from_bytes(key), &id)
        }
        [3] => Subject::open(&node, &MailboxId::from_bytes(key)),
        [2] => {
            let record = RecordBytes::new(vector.bytes("object")).unwrap();
            Subject::record(&node, &RecordKey::from_bytes(key), &record)
        }
        other => panic!("no such purpose: {other:?}"),
    }
}

#[test]
fn failures_come_first() {
    assert_failures_first(&vectors(file()), &["accepted"]);
}

#[test]
fn work() {
    let found = vectors_of(file(), "work");
    assert_eq!(found.len(), 10);
    for vector in &found {
        let head = [0x58, 45];
        let bytes = [&head[..], &vector.bytes("work")].concat();
        let work: Work = from_cbor(&bytes, bytes.len()).unwrap();
        let outcome = match work.verify(&subject(vector)) {
            Ok(()) => "accepted",
            Err(_) => "refused",
        };
        assert_eq!(outcome, vector.text("expect"), "{}", vector.text("comment"));
    }
}

/// One piece of work, made by hand.
#[derive(Clone)]
struct Made {
    node: NodeId,
    purpose: u8,
    object: Vec<u8>,
    effort: u32,
    nonce: [u8; 8],
    solution: [u8; 17],
}

impl Made {
    fn new(purpose: u8, object: &[u8], effort: u32) -> Self {
        let hashed = match purpose {
            1 => object.to_vec(),
            3 => vec![0; 16],
            _ => blake2b_128_concat(b"ZenTalk record hash v1", object).to_vec(),
        };
        let parts = [
            &[purpose][..],
            NODE.as_bytes(),
            &KEY,
            &hashed,
            &SEED,
            &effort.to_be_bytes(),
        ];
        let challenge = blake2b_256_concat(b"ZenTalk work v1", &parts.concat());
        let low = |nonce: &[u8; 8], solution: &[u8; 17]| {
            let parts = [&challenge[..], nonce, solution].concat();
            let hash = blake2b_128_concat(b"ZenTalk work effort v1", &parts);
            let first = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]);
            u64::from(first) * u64::from(effort) < 1 << 32
        };
        let found = (0_u64..1000).map(u64::to_be_bytes).find_map(|nonce| {
            let solutions = equihash::solve(&challenge, &nonce);
            let solution = solutions.into_iter().find(|one| low(&nonce, one))?;
            Some((nonce, solution))
        });
        let (nonce, solution) = found.unwrap();
        Self {
            node: NODE,
            purpose,
            object: object.to_vec(),
            effort,
            nonce,
            solution,
        }
    }

    fn write(&self, file: &mut VectorFile, expect: &str, comment: &str) {
        let effort = self.effort.to_be_bytes();
        let parts = [&SEED[..], &effort, &self.nonce, &self.solution];
        file.vector("work", expect, comment)
            .bytes("node", self.node.as_bytes())
            .bytes("purpose", &[self.purpose])
            .bytes("key", &KEY)
            .bytes("object", &self.object)
            .bytes("work", &parts.concat());
    }
}

#[test]
fn the_file_is_what_the_generator_writes() {
    let mut file = VectorFile::new(HEAD);
    let put = Made::new(1, &[0x23; 16], EFFORT);
    let record = Made::new(2, b"any record", EFFORT);
    let mut bad = |comment: &str, change: fn(&mut Made)| {
        let mut made = put.clone();
        change(&mut made);
        made.write(&mut file, "refused", comment);
    };
    bad("done for another relay", |made| {
        made.node = NodeId::from_bytes([0x25; 20]);
    });
    bad("done for another envelope", |made| made.object[0] ^= 1);
    bad("more effort claimed than was made", |made| made.effort += 1);
    bad("another nonce", |made| made.nonce[7] ^= 1);
    bad("one bit of the solution is another", |made| {
        made.solution[16] ^= 1;
    });
    let mut elsewhere = put.clone();
    elsewhere.purpose = 2;
    elsewhere.write(
        &mut file,
        "refused",
        "done for an envelope, shown for a record",
    );
    let opened = Made::new(3, b"", EFFORT);
    let mut elsewhere = opened.clone();
    elsewhere.node = NodeId::from_bytes([0x25; 20]);
    elsewhere.write(&mut file, "refused", "done for a mailbox at another relay");
    put.write(&mut file, "accepted", "an envelope without a permit");
    record.write(&mut file, "accepted", "a record");
    opened.write(&mut file, "accepted", "a mailbox that is opened");
    file.finish("work.txt");
}
