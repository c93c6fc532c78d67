"""Vectors of the DHT (§11): dht.txt."""

import ipaddress

from primitives import b2, body_of, field, need
from report import refused, same

PING, PONG, STORE, STORED, FIND_NODE, FIND_VALUE, NODES, VALUE = range(0x0030, 0x0038)
NOT_PUBLIC_V4 = [ipaddress.ip_network(net) for net in (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
    "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3")]
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
    if address.version == 4:
        need(not any(address in net for net in NOT_PUBLIC_V4), "address")
        return address.packed[:3]
    need(address in PUBLIC_V6 and not any(address in net for net in NOT_PUBLIC_V6), "address")
    return address.packed[:6]


def contact_of(body):
    """(NodeId, network, URL) of a contact."""
    node, network, url = field(body, 0, bytes, 20), field(body, 1, bytes), field(body, 2, str)
    need(len(network) in (3, 6, 18), "network")
    need(url.startswith(("ws://", "wss://")) and len(url.encode()) <= 256, "URL")
    return node, network, url


def contacts_of(body, key):
    contacts = field(body, key, list)
    need(len(contacts) <= 20, "contacts")
    return [contact_of(contact) for contact in contacts]


def kind_of(body):
    need(field(body, 0, int) in (1, 2), "kind")


def read(kind, data):
    """Reads a message."""
    body = body_of(data)
    if kind in (STORE, VALUE):
        need(1 <= len(field(body, 1 if kind == STORE else 0, bytes)) <= 27648, "record")
    if kind in (STORE, FIND_VALUE):
        kind_of(body)
    if kind == STORE and 2 in body:
        need(len(field(body, 2, bytes)) <= 64, "proof")
    if kind == STORED:
        need(field(body, 0, int) in range(7), "outcome")
        for key in {1, 2} & set(body):
            field(body, key, int)
    if kind == FIND_NODE:
        field(body, 0, bytes, 20)
    if kind == FIND_VALUE:
        field(body, 1, bytes, 20)
    if kind in (NODES, VALUE):
        contacts_of(body, 0 if kind == NODES else 1)


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
    test = lambda: contact_of(body_of(vector.bytes("bytes")))
    if vector.expect == "refused":
        return refused(None, test)
    node, network, url = test()
    same(node, vector.bytes("node"), "node")
    same(network, vector.bytes("network"), "network")
    same(url, vector["url"], "url")
    same(position(network, node), vector.bytes("position"), "position")


def message(vector):
    kind, body = vector.int("type"), vector.bytes("body")
    need(kind in range(PING, VALUE + 1), "type")
    if vector.expect == "refused":
        return refused(None, read, kind, body)
    read(kind, body)


KINDS = {
    "dht position": positions,
    "dht public": public,
    "dht relay record key": relay_record_key,
    "dht contact": contact,
    "dht message": message,
}
