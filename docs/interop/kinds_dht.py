"""Vectors of the DHT (§11): dht.txt."""

import ipaddress

from bodies import EMPTY, UINT, List, Map, Scalar, octets, one_of
from primitives import b2, need
from report import refused, same

PING, PONG, STORE, STORED, FIND_NODE, FIND_VALUE, NODES, VALUE = range(0x0030, 0x0038)
NOT_PUBLIC_V4 = [ipaddress.ip_network(net) for net in (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
    "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3")]
NAT64 = ipaddress.ip_network("64:ff9b::/96")
PUBLIC_V6 = ipaddress.ip_network("2000::/3")
NOT_PUBLIC_V6 = [ipaddress.ip_network(net) for net in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")]


def position(network, node):
    """Where a relay of a network stands."""
    need(len(network) in (3, 6, 18), "network")
    return b2(160, "ZenTalk position v1", network, bytes([node[-1] % 4]))


def network_of(text):
    """The network of a public address."""
    address = ipaddress.ip_address(text)
    address = getattr(address, "ipv4_mapped", None) or address
    if address in NAT64:
        address = ipaddress.ip_address(address.packed[12:])
    if address.version == 4:
        need(not any(address in net for net in NOT_PUBLIC_V4), "address")
        return address.packed[:3]
    need(address in PUBLIC_V6 and not any(address in net for net in NOT_PUBLIC_V6), "address")
    return address.packed[:6]


def is_network(value):
    return isinstance(value, bytes) and len(value) in (3, 6, 18)


def is_url(value):
    return isinstance(value, str) and value.startswith(("ws://", "wss://")) and len(value.encode()) <= 256


NODE, RECORD, KIND = octets(20), octets(1, 27648), one_of((1, 2))
CONTACT = Map((0, "node", NODE), (1, "network", Scalar("network", is_network)), (2, "url", Scalar("URL", is_url)))
CONTACTS = List(0, 20, CONTACT)
BODIES = {
    PING: EMPTY,
    PONG: EMPTY,
    STORE: Map((0, "kind", KIND), (1, "record", RECORD), (2, "proof?", octets(0, 80))),
    STORED: Map((0, "outcome", one_of(range(7))), (1, "sequence?", UINT), (2, "price?", UINT)),
    FIND_NODE: Map((0, "point", NODE)),
    FIND_VALUE: Map((0, "kind", KIND), (1, "key", octets(20))),
    NODES: Map((0, "contacts", CONTACTS)),
    VALUE: Map((0, "record", RECORD), (1, "contacts", CONTACTS), (2, "proof?", octets(0, 80))),
}


def positions(vector):
    test = lambda: position(vector.bytes("network"), vector.bytes("node"))
    if vector.expect == "refused":
        return refused(None, test)
    same(test(), vector.bytes("position"), "position")


def public(vector):
    if vector.expect == "refused":
        return refused(None, network_of, vector["address"])
    same(network_of(vector["address"]), vector.bytes("network"), "network")


def relay_record_key(vector):
    same(b2(160, "ZenTalk relay record v1", vector.bytes("node")), vector.bytes("key"), "key")


def contact(vector):
    data = vector.bytes("bytes")
    if vector.expect == "refused":
        return refused(None, CONTACT.decode, data)
    wanted = {"node": vector.bytes("node"), "network": vector.bytes("network"), "url": vector["url"]}
    same(CONTACT.decode(data), wanted, "contact")
    same(CONTACT.encode(wanted), data, "bytes")
    same(position(wanted["network"], wanted["node"]), vector.bytes("position"), "position")


def message(vector):
    body, data = BODIES[vector.int("type")], vector.bytes("body")
    if vector.expect == "refused":
        return refused(None, body.decode, data)
    same(body.encode(body.decode(data)), data, "bytes")


KINDS = {
    "dht position": positions,
    "dht public": public,
    "dht relay record key": relay_record_key,
    "dht contact": contact,
    "dht message": message,
}
