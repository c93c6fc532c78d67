//! `shared/tests/vectors/swarm.txt`: what members of a swarm say to each other. The file was written in Python, from
//! PROTOCOL §6 alone; what it says of whole comparisons Python checks.

use minicbor::{Decode, Encode};

use super::super::*;
use crate::id::EnvelopeId;
use crate::test_support::{assert_failures_first, vector_file, vectors_of};
use crate::wire::codec::{from_cbor, to_cbor};

fn file() -> &'static str {
    vector_file("swarm.txt")
}

#[test]
fn failures_come_first_in_swarms() {
    for kind in ["message", "held mail"] {
        assert_failures_first(&vectors_of(file(), kind), &["equal", "accepted"]);
    }
}

/// The body as it is written again, if it is one.
fn again<T: Encode<()> + for<'b> Decode<'b, ()>>(
    body: &[u8],
    is_good: impl FnOnce(&T) -> bool,
) -> Option<Vec<u8>> {
    let read: T = from_cbor(body, body.len()).ok()?;
    is_good(&read).then(|| to_cbor(&read))
}

#[test]
fn messages() {
    let found = vectors_of(file(), "message");
    for vector in &found {
        let body = vector.bytes("body");
        let body = body.as_slice();
        let written = match vector.bytes("type")[..] {
            [0, 0x40] => again(body, |put: &ReplicatePut| {
                envelope_id(&put.envelope) == put.id
            }),
            [0, 0x41] => again(body, |_: &ReplicatePutAck| true),
            [0, 0x42] => again(body, |tombstone: &Tombstone| tombstone.verify().is_ok()),
            [0, 0x43] => again(body, |_: &ReplicateTombstoneAck| true),
            [0, 0x44] => again(body, |_: &SwarmSummary| true),
            [0, 0x45] => again(body, |_: &SwarmIds| true),
            [0, 0x46] => again(body, |_: &SwarmWant| true),
            [0, 0x47] => again(body, |told: &SwarmDescriptor| {
                MailboxDescriptor::verify(&told.descriptor).is_ok()
            }),
            [0, 0x73] => again(body, |_: &Refused| true),
            ref other => panic!("{other:?}"),
        };
        let comment = vector.text("comment");
        match vector.text("expect") {
            "accepted" => assert_eq!(written.as_deref(), Some(body), "{comment}"),
            _ => assert_eq!(written, None, "{comment}"),
        }
    }
    assert_eq!(found.len(), 43);
}

#[test]
fn held_mail() {
    let found = vectors_of(file(), "held mail");
    for vector in &found {
        let ids = if vector.has("ids") {
            vector.bytes("ids")
        } else {
            Vec::new()
        };
        let ids = ids
            .chunks_exact(16)
            .map(|id| EnvelopeId::from_bytes(id.try_into().unwrap()));
        let mut ids: Vec<_> = ids.collect();
        ids.sort_unstable();
        let same = held_digest(ids.iter().copied()) == vector.array("digest");
        assert_eq!(
            same,
            vector.text("expect") == "equal",
            "{}",
            vector.text("comment")
        );
    }
    assert_eq!(found.len(), 5);
}
