//! Relays as the DHT knows them: which one, in which network, under which URL, and hence at which position.
//!
//! ```text
//!  claimed by anybody: Contact ──host dials back──▶ Verified ──▶ table
//! ```
//! A relay does not choose its position: it follows from the network that it is reached in and from two bits of
//! its NodeId (as BEP 42 binds ids to addresses). To stand near a record, an attacker needs addresses, not keys.

use core::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use minicbor::{Decode, Encode};
use thiserror::Error;

use crate::crypto::hash::blake2b_160_concat;
use crate::id::{NodeId, Position, WrongLength};
use crate::onion::RelayUrl;
use crate::onion::address::is_public;
use crate::wire::codec::BoundedText;

const POSITION_DOMAIN: &[u8] = b"ZenTalk position v1";
/// Positions that one network has: NodeId mod 4.
const PLACES: u8 = 4;

/// The longest URL of a contact in bytes.
pub(super) const MAX_URL_LEN: usize = crate::onion::url::MAX_URL_LEN;

/// A part of the network that counts as one party's. On the wire: a byte string of 3, 6 or 18 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Network {
    /// The /24 of an IPv4 address.
    V4([u8; 3]),
    /// The /48 of an IPv6 address.
    V6([u8; 6]),
    /// A private address (IPv4 as IPv4-mapped IPv6) and its port. Only where private addresses are allowed.
    Private([u8; 16], [u8; 2]),
}

impl Network {
    /// The network of an address that was really connected to. `None`: the address is not one that the whole
    /// Internet reaches, and `allow_private` is false.
    pub fn of(address: IpAddr, port: u16, allow_private: bool) -> Option<Self> {
        let address = through_nat64(address.to_canonical());
        match address {
            _ if !is_public(address) => allow_private.then(|| Self::private(address, port)),
            IpAddr::V4(v4) => {
                let [a, b, c, _] = v4.octets();
                Some(Self::V4([a, b, c]))
            }
            IpAddr::V6(v6) => {
                let [a, b, c, d, e, f, ..] = v6.octets();
                Some(Self::V6([a, b, c, d, e, f]))
            }
        }
    }

    fn private(address: IpAddr, port: u16) -> Self {
        let mapped = match address {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        Self::Private(mapped.octets(), port.to_be_bytes())
    }

    /// Whether it is a private address.
    pub const fn is_private(&self) -> bool {
        matches!(self, Self::Private(..))
    }

    /// Where a relay of this network stands: B2-160("ZenTalk position v1", network ‖ NodeId mod 4).
    pub fn position(&self, node: &NodeId) -> Position {
        let [.., last] = node.as_bytes();
        let mut hashed = self.as_bytes();
        hashed.push(last % PLACES);
        Position::from_bytes(blake2b_160_concat(POSITION_DOMAIN, &hashed))
    }

    fn as_bytes(&self) -> Vec<u8> {
        match self {
            Self::V4(prefix) => prefix.to_vec(),
            Self::V6(prefix) => prefix.to_vec(),
            Self::Private(address, port) => [address.as_slice(), port].concat(),
        }
    }
}

impl TryFrom<&[u8]> for Network {
    type Error = WrongLength;
    fn try_from(bytes: &[u8]) -> Result<Self, WrongLength> {
        let private = || {
            let (address, port) = bytes.split_first_chunk::<16>()?;
            Some(Self::Private(*address, port.try_into().ok()?))
        };
        let v4 = bytes.try_into().map(Self::V4);
        let public = v4.or_else(|_| bytes.try_into().map(Self::V6)).ok();
        public.or_else(private).ok_or(WrongLength {
            what: "Network",
            expected: 18,
            actual: bytes.len(),
        })
    }
}

cbor_as_bytes!(Network, "network of the wrong length");

/// NAT64 (RFC 6052) leads to the IPv4 address inside: the network is that one's.
fn through_nat64(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => match v6.segments() {
            [0x64, 0xff9b, 0, 0, 0, 0, ..] => {
                let [.., a, b, c, d] = v6.octets();
                IpAddr::V4(Ipv4Addr::new(a, b, c, d))
            }
            _ => address,
        },
        IpAddr::V4(_) => address,
    }
}

/// A relay and where it says that it is. Nothing of it has been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    node: NodeId,
    network: Network,
    position: Position,
    url: Arc<str>,
}

/// As it travels.
#[derive(Encode, Decode)]
#[cbor(map)]
struct ContactBody {
    #[n(0)]
    node: NodeId,
    #[n(1)]
    network: Network,
    #[n(2)]
    url: BoundedText<MAX_URL_LEN>,
}

impl Contact {
    /// What is claimed of a relay.
    pub fn new(node: NodeId, network: Network, url: &RelayUrl) -> Self {
        Self::of(node, network, url.as_str())
    }

    fn of(node: NodeId, network: Network, url: &str) -> Self {
        Self {
            node,
            network,
            position: network.position(&node),
            url: url.into(),
        }
    }

    /// Which relay.
    pub const fn node(&self) -> NodeId {
        self.node
    }

    /// Where it is reached.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its network.
    pub const fn network(&self) -> &Network {
        &self.network
    }

    /// Its position, which follows from network and NodeId.
    pub const fn position(&self) -> &Position {
        &self.position
    }
}

impl<C> Encode<C> for Contact {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.map(3)?.u8(0)?.encode_with(self.node, ctx)?;
        e.u8(1)?.encode_with(self.network, ctx)?;
        e.u8(2)?.str(&self.url)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Contact {
    fn decode(d: &mut minicbor::Decoder<'b>, ctx: &mut C) -> Result<Self, minicbor::decode::Error> {
        let at = d.position();
        let ContactBody { node, network, url } = ContactBody::decode(d, ctx)?;
        RelayUrl::parse(&url)
            .map_err(|_| minicbor::decode::Error::message("contact's URL").at(at))?;
        Ok(Self::of(node, network, &url))
    }
}

/// A contact that the host has dialed back: the relay that is named there has proven its NodeId on a connection to
/// an address of the network that it claims. The only kind that enters a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified(Contact);

/// What a host has found where a contact says that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DialBack {
    /// The relay that has proven itself there.
    pub node: NodeId,
    /// The address that the connection was really made to: resolved by the host, never told by the peer.
    pub address: IpAddr,
    /// And the port.
    pub port: u16,
}

/// A contact is not where it says, or not who: the fault of who claims it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotVerified {
    /// Another relay is there.
    #[error("another relay answers there")]
    Node,
    /// The address is of another network than claimed.
    #[error("it is in another network than it claims")]
    Network,
    /// The address is private, and those are not allowed here.
    #[error("its address is not a public one")]
    Private,
}

impl Verified {
    /// Compares what a contact claims with what the host has found. `allow_private`: in development and tests.
    pub fn check(
        claimed: Contact,
        found: DialBack,
        allow_private: bool,
    ) -> Result<Self, NotVerified> {
        let network = Network::of(found.address, found.port, allow_private);
        match network {
            _ if found.node != claimed.node => Err(NotVerified::Node),
            None => Err(NotVerified::Private),
            Some(network) if network != claimed.network => Err(NotVerified::Network),
            Some(_) => Ok(Self(claimed)),
        }
    }

    /// A relay that this host has dialed under a URL of its own knowledge (configured, or of a descriptor): its
    /// network is the one that was found.
    pub fn found(
        url: &RelayUrl,
        found: DialBack,
        allow_private: bool,
    ) -> Result<Self, NotVerified> {
        let network = Network::of(found.address, found.port, allow_private);
        let network = network.ok_or(NotVerified::Private)?;
        Ok(Self(Contact::new(found.node, network, url)))
    }

    /// The contact.
    pub const fn contact(&self) -> &Contact {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::codec::{from_cbor, to_cbor};

    fn network(text: &str, private: bool) -> Option<Network> {
        Network::of(text.parse().unwrap(), 9001, private)
    }

    fn node(n: u8) -> NodeId {
        NodeId::from_bytes([n; 20])
    }

    fn contact(n: u8, address: &str) -> Contact {
        let url = RelayUrl::parse("wss://relay.example/v1").unwrap();
        Contact::new(node(n), network(address, true).unwrap(), &url)
    }

    fn found(n: u8, address: &str) -> DialBack {
        DialBack {
            node: node(n),
            address: address.parse().unwrap(),
            port: 9001,
        }
    }

    #[test]
    fn fault_20_addresses_of_the_inside_are_refused_unless_configured() {
        for text in [
            "127.0.0.1",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "192.0.2.1",
            "198.18.0.1",
            "192.0.0.9",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "ff02::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2001::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
        ] {
            assert_eq!(network(text, false), None, "{text}");
            assert!(network(text, true).unwrap().is_private(), "{text}");
        }
        for text in ["8.8.8.8", "100.128.0.1", "2a00:1450::1", "2001:4860::1"] {
            assert!(!network(text, true).unwrap().is_private(), "{text}");
            assert_eq!(network(text, true), network(text, false), "{text}");
        }
        assert_eq!(
            network("64:ff9b::8.8.8.8", false),
            network("8.8.8.1", false)
        );
    }

    #[test]
    fn fault_20_a_self_chosen_id_moves_a_relay_to_four_places_at_most() {
        let of = |address: &str, n| *contact(n, address).position();
        let places: std::collections::HashSet<_> = (0..=255).map(|n| of("8.8.8.8", n)).collect();
        assert_eq!(places.len(), 4);
        assert!((0..=255).all(|n| places.contains(&of("8.8.8.200", n))));
        assert!(!places.contains(&of("8.8.9.8", 0)));
        assert_eq!(of("2a00:1450:1::1", 1), of("2a00:1450:1:9::9", 5));
        // A port of a private address is a place of its own: many relays on one machine.
        let port = |port| Network::of("127.0.0.1".parse().unwrap(), port, true).unwrap();
        assert_ne!(port(1).position(&node(1)), port(2).position(&node(1)));
    }

    #[test]
    fn fault_20_an_address_is_not_taken_on_trust() {
        let claimed = contact(1, "8.8.8.8");
        let check = |found| Verified::check(claimed.clone(), found, false);
        assert_eq!(check(found(1, "8.8.8.77")).unwrap().contact(), &claimed);
        assert_eq!(check(found(2, "8.8.8.8")), Err(NotVerified::Node));
        assert_eq!(check(found(1, "8.8.9.8")), Err(NotVerified::Network));
        assert_eq!(check(found(1, "10.0.0.1")), Err(NotVerified::Private));
    }

    #[test]
    fn contacts_travel_and_bad_ones_are_refused() {
        for contact in [
            contact(1, "8.8.8.8"),
            contact(2, "2a00::1"),
            contact(3, "10.0.0.1"),
        ] {
            let bytes = to_cbor(&contact);
            assert_eq!(from_cbor::<Contact>(&bytes, 400), Ok(contact));
        }
        let body = |length: usize, url: &str| {
            let mut e = minicbor::Encoder::new(Vec::new());
            e.map(3).unwrap().u8(0).unwrap().bytes(&[1; 20]).unwrap();
            e.u8(1).unwrap().bytes(&vec![1; length]).unwrap();
            e.u8(2).unwrap().str(url).unwrap();
            from_cbor::<Contact>(&e.into_writer(), 400).is_ok()
        };
        assert!(
            body(3, "wss://a.example") && body(6, "wss://a.example") && body(18, "ws://a.example")
        );
        for length in [0, 1, 2, 4, 5, 7, 16, 17, 19, 40] {
            assert!(!body(length, "wss://a.example"), "{length}");
        }
        assert!(!body(3, "http://a.example") && !body(3, ""));
    }
}
