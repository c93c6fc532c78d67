//! `shared/tests/vectors/dht.txt`: positions, keys of records, and one of each message.
//!
//! Hashes are built by hand from PROTOCOL §11, bodies byte by byte; the tests read the file and know nothing of how it
//! was made. `ZENTALK_WRITE_VECTORS=1` writes it.

use super::messages::{replies, requests};
use crate::crypto::hash::blake2b_160_concat;
use crate::dht::{Contact, Network, RecordId, Reply, Request, ValueReply};
use crate::id::{MessageId, NodeId};
use crate::test_support::{
    Vector, VectorFile, assert_failures_first, hex, vector_file, vectors, vectors_of,
};
use crate::wire::codec::{from_cbor, to_cbor};
use crate::wire::{Tag, decode_frame, encode_frame};

const FILE: &str = "dht.txt";
const HEAD: &str = "\
The DHT, PROTOCOL §11. Hex; XX^N is the byte XX N times; spaces join. Failures first. Written by dht::tests::vectors.

position: of a relay (node) in a network, as on the wire.
public: the network of an address, if relays may be there.
relay record key: the key under which the descriptor of a relay (node) lies.
contact: bytes is the CBOR; node, network and position are what it says.
message: body is the CBOR of a frame of that type.";

fn node(vector: &Vector) -> NodeId {
    NodeId::from_bytes(vector.array("node"))
}

/// What every vector of a kind gives, compared with its `expect`.
fn each(kind: &str, outcome: impl Fn(&Vector) -> &'static str) {
    let found = vectors_of(vector_file(FILE), kind);
    assert!(found.len() > 1, "{kind}");
    for vector in &found {
        assert_eq!(
            outcome(vector),
            vector.text("expect"),
            "{}",
            vector.text("comment")
        );
    }
}

#[test]
fn failures_come_first() {
    assert_failures_first(&vectors(vector_file(FILE)), &["equal", "accepted"]);
}

#[test]
fn positions() {
    each("position", |vector| {
        let Ok(network) = Network::try_from(vector.bytes("network").as_slice()) else {
            return "refused";
        };
        let position = network.position(&node(vector));
        assert_eq!(hex(position.as_bytes()), hex(&vector.bytes("position")));
        "equal"
    });
}

#[test]
fn public_addresses() {
    each("public", |vector| {
        let address: core::net::IpAddr = vector.text("address").parse().unwrap();
        match Network::of(address, 443, false) {
            None => "refused",
            Some(network) => {
                assert_eq!(hex(&to_cbor(&network)[1..]), hex(&vector.bytes("network")));
                "equal"
            }
        }
    });
}

#[test]
fn keys_of_relay_records() {
    each("relay record key", |vector| {
        let id = RecordId::relay(&node(vector));
        assert_eq!(hex(id.key.as_bytes()), hex(&vector.bytes("key")));
        "equal"
    });
}

#[test]
fn contacts() {
    each("contact", |vector| {
        let Ok(contact) = from_cbor::<Contact>(&vector.bytes("bytes"), 400) else {
            return "refused";
        };
        assert_eq!(contact.node(), node(vector));
        assert_eq!(
            hex(contact.position().as_bytes()),
            hex(&vector.bytes("position"))
        );
        assert_eq!(contact.url(), vector.text("url"));
        assert_eq!(hex(&to_cbor(&contact)), hex(&vector.bytes("bytes")));
        "accepted"
    });
}

#[test]
fn messages() {
    each("message", |vector| {
        let number = u16::from_be_bytes(vector.array("type"));
        let Ok(tag) = Tag::try_from(number) else {
            return "refused";
        };
        let frame = encode_frame(tag, ID, &vector.bytes("body"));
        let frame = decode_frame(&frame).unwrap();
        let again = match (Request::decode(&frame), Reply::decode(&frame)) {
            (Ok(request), _) => request.encode(ID),
            (_, Ok(reply)) => reply.encode(ID),
            _ => return "refused",
        };
        assert_eq!(
            hex(decode_frame(&again).unwrap().payload),
            hex(&vector.bytes("body"))
        );
        "accepted"
    });
}

const ID: MessageId = MessageId::from_bytes([0xA5; 16]);
const NODE: [u8; 20] = [0x4A; 20];

fn position_by_hand(network: &[u8], node: &[u8; 20]) -> [u8; 20] {
    let hashed = [network, &[node[19] & 3]].concat();
    blake2b_160_concat(b"ZenTalk position v1", &hashed)
}

fn contact_by_hand(network: &[u8], url: &str) -> Vec<u8> {
    let mut bytes = vec![0xA3, 0x00, 0x54];
    bytes.extend(NODE);
    bytes.extend([0x01, 0x40 | network.len() as u8]);
    bytes.extend(network);
    bytes.extend([0x02, 0x60 | url.len() as u8]);
    bytes.extend(url.as_bytes());
    bytes
}

/// Failures of every kind.
fn write_failures(file: &mut VectorFile) {
    file.vector("position", "refused", "a network of 4 bytes")
        .bytes("node", &NODE)
        .bytes("network", &[8, 8, 8, 8]);
    for (address, comment) in [
        ("10.1.2.3", "RFC 1918"),
        ("127.0.0.1", "loopback"),
        ("100.64.0.1", "RFC 6598"),
        (
            "169.254.169.254",
            "link-local: where clouds keep their secrets",
        ),
        ("192.0.2.1", "documentation"),
        ("::1", "loopback"),
        ("fd00::1", "RFC 4193"),
        ("2001:db8::1", "documentation"),
        ("2002:0a00:0001::1", "6to4: carries an IPv4 address"),
        ("::ffff:192.168.0.1", "IPv4-mapped"),
    ] {
        file.vector("public", "refused", comment)
            .text("address", address);
    }
    let mut contact = |comment: &str, bytes: Vec<u8>| {
        file.vector("contact", "refused", comment)
            .bytes("bytes", &bytes);
    };
    contact(
        "null in the place of the network",
        [&[0xA3, 0, 0x54][..], &NODE, &[1, 0xF6, 2, 0x60]].concat(),
    );
    contact(
        "not a relay's URL",
        contact_by_hand(&[8, 8, 8], "http://a.example"),
    );
    contact(
        "a network of 5 bytes",
        contact_by_hand(&[8; 5], "wss://a.example"),
    );
    let mut message = |tag: Tag, comment: &str, body: &[u8]| {
        let vector = file.vector("message", "refused", comment);
        vector
            .bytes("type", &(tag as u16).to_be_bytes())
            .bytes("body", body);
    };
    message(Tag::DhtStore, "no record", &[0xA1, 0, 2]);
    message(
        Tag::DhtStore,
        "a kind that does not exist",
        &[0xA2, 0, 3, 1, 0x41, 0],
    );
    message(Tag::DhtNodes, "a null contact", &[0xA1, 0, 0x81, 0xF6]);
    message(
        Tag::DhtNodes,
        "2^32 - 1 contacts announced",
        &[0xA1, 0, 0x9A, 0xFF, 0xFF, 0xFF, 0xFF],
    );
    message(
        Tag::DhtFindNode,
        "a target of 19 bytes",
        &[&[0xA1, 0, 0x53][..], &[0; 19]].concat(),
    );
    message(Tag::DhtPing, "bytes after the map", &[0xA0, 0]);
}

fn write_successes(file: &mut VectorFile) {
    let private = [
        &[0; 10][..],
        &[0xFF, 0xFF, 127, 0, 0, 1],
        &9001u16.to_be_bytes(),
    ]
    .concat();
    let networks = [
        ("an IPv4 /24", vec![8, 8, 8]),
        ("an IPv6 /48", vec![0x2a, 0x00, 0x14, 0x50, 0x00, 0x01]),
        (
            "127.0.0.1, port 9001, where private addresses are allowed",
            private,
        ),
    ];
    for (comment, network) in &networks {
        let vector = file.vector("position", "equal", comment);
        vector.bytes("node", &NODE).bytes("network", network);
        vector.bytes("position", &position_by_hand(network, &NODE));
    }
    let mut other = NODE;
    other[0] ^= 0xFF;
    other[19] ^= 4;
    let vector = file.vector(
        "position",
        "equal",
        "another relay there, of the same two last bits: the same",
    );
    vector
        .bytes("node", &other)
        .bytes("network", &[8, 8, 8])
        .bytes("position", &position_by_hand(&[8, 8, 8], &NODE));
    for (address, network) in [
        ("8.8.8.8", &networks[0].1),
        ("2a00:1450:1:2::9", &networks[1].1),
        ("::ffff:8.8.8.9", &networks[0].1),
    ] {
        file.vector("public", "equal", "a public address")
            .text("address", address)
            .bytes("network", network);
    }
    for node in [NODE, other] {
        let key = blake2b_160_concat(b"ZenTalk relay record v1", &node);
        file.vector("relay record key", "equal", "of a relay")
            .bytes("node", &node)
            .bytes("key", &key);
    }
    for (comment, network) in &networks {
        let url = "wss://a.example/v1";
        let vector = file.vector("contact", "accepted", comment);
        vector
            .bytes("node", &NODE)
            .bytes("network", network)
            .text("url", url);
        vector
            .bytes("position", &position_by_hand(network, &NODE))
            .bytes("bytes", &contact_by_hand(network, url));
    }
    let requests = requests().into_iter().map(|request| request.encode(ID));
    let unproven = replies().into_iter().filter_map(|reply| match reply {
        Reply::Value(value) => Some(Reply::Value(ValueReply {
            proof: None,
            ..value
        })),
        _ => None,
    });
    let replies = replies().into_iter().chain(unproven);
    for frame in requests.chain(replies.map(|reply| reply.encode(ID))) {
        let frame = decode_frame(&frame).unwrap();
        let vector = file.vector("message", "accepted", frame.tag.name());
        vector
            .bytes("type", &(frame.tag as u16).to_be_bytes())
            .bytes("body", frame.payload);
    }
}

#[test]
fn the_file_is_what_the_code_makes() {
    let mut file = VectorFile::new(HEAD);
    write_failures(&mut file);
    write_successes(&mut file);
    file.finish(FILE);
}
