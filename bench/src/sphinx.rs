//! The peer of the onions: `sphinx-packet` (Nym), with a payload of the same capacity, three hops.

use std::hint::black_box;
use std::time::Duration;

use sphinx_packet::header::delays::{self, Delay};
use sphinx_packet::route::{Destination, DestinationAddressBytes, Node, NodeAddressBytes};
use sphinx_packet::{SphinxPacket, SphinxPacketBuilder};
use x25519_dalek::{PublicKey, StaticSecret};
use zentalk_shared::onion::Class;

use crate::measure::Row;

/// Padding that the crate adds to what a payload carries.
const OVERHEAD: usize = 17;

fn route() -> (Vec<Node>, Destination, Vec<Delay>) {
    let node = |index: u8| {
        let key = PublicKey::from(&StaticSecret::from([index; 32]));
        Node::new(NodeAddressBytes::from_bytes([index; 32]), key)
    };
    let destination = Destination::new(DestinationAddressBytes::from_bytes([3; 32]), [4; 16]);
    let delays = delays::generate_from_average_duration(3, Duration::from_millis(10));
    ((1..=3).map(node).collect(), destination, delays)
}

/// Building a packet for three hops.
pub(crate) fn build(class: &str, size: Class) -> Row {
    let (route, destination, delays) = route();
    let message = vec![1; size.capacity()];
    let builder = SphinxPacketBuilder::new().with_payload_size(size.capacity() + OVERHEAD);
    Row::repeat(format!("sphinx-packet: build 3 hops, {class}"), move || {
        let packet = builder.build_packet(black_box(&message), &route, &destination, &delays);
        packet.expect("a route")
    })
}

/// One hop's work on the bytes of a packet.
pub(crate) fn peel(class: &str, size: Class) -> Row {
    let (route, destination, delays) = route();
    let builder = SphinxPacketBuilder::new().with_payload_size(size.capacity() + OVERHEAD);
    let message = vec![1; size.capacity()];
    let packet = builder
        .build_packet(&message, &route, &destination, &delays)
        .expect("a route");
    let (bytes, key) = (packet.to_bytes(), StaticSecret::from([1; 32]));
    Row::repeat(format!("sphinx-packet: peel, {class}"), move || {
        let packet = SphinxPacket::from_bytes(black_box(&bytes)).expect("a packet");
        packet.process(&key).expect("a layer")
    })
}
