//! Contacts and records for tests.

use core::net::Ipv4Addr;

use crate::dht::{
    AdmitAll, BadRecord, Contact, DialBack, Facts, Network, Node, NodeConfig, Peer, RecordId,
    RecordKind, RecordScheme, Verified,
};
use crate::id::{NodeId, RecordKey};
use crate::onion::RelayUrl;
use crate::time::{Duration, Timestamp};
use crate::wire::decode_frame;

pub(super) const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

pub(super) fn url() -> RelayUrl {
    RelayUrl::parse("wss://relay.example/v1").unwrap()
}

pub(super) fn node_id(n: u32) -> NodeId {
    let mut bytes = [0; 20];
    bytes[16..].copy_from_slice(&n.to_be_bytes());
    NodeId::from_bytes(bytes)
}

/// Public addresses, a /24 each.
pub(super) fn address(n: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x1400_0001 + (n << 8))
}

/// The `n`-th relay, in a network of its own.
pub(in crate::dht) fn contact(n: u32) -> Contact {
    contact_in(n, n)
}

/// The `n`-th relay, in the network of the `net`-th.
pub(super) fn contact_in(n: u32, net: u32) -> Contact {
    let network = Network::of(address(net).into(), 443, false).unwrap();
    Contact::new(node_id(n), network, &url())
}

pub(super) fn verified(contact: &Contact) -> Verified {
    let Network::V4([a, b, c]) = *contact.network() else {
        panic!("tests have IPv4 networks");
    };
    let found = DialBack {
        node: contact.node(),
        address: Ipv4Addr::new(a, b, c, 9).into(),
        port: 443,
    };
    Verified::check(contact.clone(), found, false).unwrap()
}

pub(super) fn peer(n: u32) -> Peer {
    Peer::Verified(verified(&contact(n)))
}

/// Records that are cheap to make: kind ‖ name[20] ‖ sequence u64 ‖ expires u64 ‖ "good" or "evil".
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Plain;

pub(super) fn plain(kind: RecordKind, name: u8, sequence: u64, expires: Timestamp) -> Vec<u8> {
    let mut bytes = vec![kind as u8];
    bytes.extend([name; 20]);
    bytes.extend(sequence.to_be_bytes());
    bytes.extend(expires.as_ms().to_be_bytes());
    bytes.extend(b"good");
    bytes
}

pub(super) fn account(name: u8, sequence: u64) -> Vec<u8> {
    plain(
        RecordKind::Account,
        name,
        sequence,
        NOW + Duration::from_days(20),
    )
}

pub(super) fn account_id(name: u8) -> RecordId {
    RecordId::account(RecordKey::from_bytes([name; 20]))
}

impl RecordScheme for Plain {
    fn check(&self, kind: RecordKind, bytes: &[u8], now: Timestamp) -> Result<Facts, BadRecord> {
        let (head, rest) = bytes.split_first().ok_or(BadRecord::Malformed)?;
        let (name, rest) = rest.split_first_chunk::<20>().ok_or(BadRecord::Malformed)?;
        let (sequence, rest) = rest.split_first_chunk::<8>().ok_or(BadRecord::Malformed)?;
        let (expires, word) = rest.split_first_chunk::<8>().ok_or(BadRecord::Malformed)?;
        if *head != kind as u8 {
            return Err(BadRecord::Malformed);
        }
        if word != b"good" {
            return Err(BadRecord::Signature);
        }
        let expires = Timestamp::from_ms(u64::from_be_bytes(*expires));
        if expires <= now {
            return Err(BadRecord::Expired);
        }
        Ok(Facts {
            id: RecordId {
                kind,
                key: RecordKey::from_bytes(*name),
            },
            sequence: u64::from_be_bytes(*sequence),
            expires,
        })
    }
}

pub(super) type PlainNode = Node<Plain, AdmitAll>;

pub(super) fn plain_node(n: u32, config: NodeConfig) -> PlainNode {
    Node::new(contact(n), config, Plain, AdmitAll, NOW)
}

/// The reply in a frame.
pub(super) fn reply_of(bytes: &[u8]) -> crate::dht::Reply {
    crate::dht::Reply::decode(&decode_frame(bytes).unwrap()).unwrap()
}
