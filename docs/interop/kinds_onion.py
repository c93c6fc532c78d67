"""Vectors of §4 and §5: onion.txt, and those that are made for every run of live.py."""

import identity
import onion
from primitives import b2, b2_mac, body_of, chacha20, x25519_public
from report import refused, same


def onion_suite(vector):
    return vector.int("suite") if "suite" in vector else 1


def onion_key(vector):
    kinds = {1: onion.X25519Key, 2: onion.XWingKey, 3: onion.RsaKey}
    return kinds[onion_suite(vector)](vector.bytes("secret"))


def onion_packet(vector):
    """The packet; where only a header is given, a `message` packet of it and a body of zeros."""
    if "packet" in vector:
        return vector.bytes("packet")
    header = vector.bytes("header")
    return header + bytes(32 + onion.surb_length(onion_suite(vector)) + 8192)


def onion_peel(vector):
    packet = onion_packet(vector)
    keys = {(onion_suite(vector), int.from_bytes(packet[2:4], "big")): onion_key(vector)}
    return onion.Hop(keys).peel(packet)


def onion_drop(vector):
    reason = vector.expect.removeprefix("drop ")
    reasons = {"suite": ["suite or epoch"], "epoch": ["suite or epoch"]}.get(reason, [reason])
    if reason == "mac" and onion_suite(vector) != 1:
        # Here OAEP notices itself that its ciphertext was changed, and OpenSSL gives no X25519 result of zero.
        reasons.append("ciphertext")
    refused(reasons, onion_peel, vector)


def onion_keys(vector):
    key = onion_key(vector)
    secret = key.open(vector.bytes("ciphertext"))
    same(secret, vector.bytes("ss"), "ss")
    keys = onion.HopKeys.of(key.suite, secret)
    same(keys.replay_tag, vector.bytes("replay tag"), "replay tag")
    stream = vector.bytes("routing stream begins")
    same(chacha20(keys.routing, bytes(len(stream))), stream, "routing stream")
    same(b2_mac(128, keys.mac, b"\1\2\3\4ctrouting"), vector.bytes("mac"), "mac")


def onion_build(vector):
    suite = onion_suite(vector)

    def parts(name, length):
        data = vector.bytes(name)
        return [data[at:at + length] for at in range(0, len(data), length)]

    def numbers(name, length):
        return [int.from_bytes(part, "big") for part in parts(name, length)]

    secrets, ciphertexts = parts("secrets", 32), parts("ciphertexts", onion.CIPHERTEXT[suite])
    hops = zip(parts("nodes", 20), numbers("epochs", 2), numbers("delays", 4), ciphertexts, secrets, strict=True)
    path = [onion.PathHop(*hop) for hop in hops]
    if suite == onion.X25519_SUITE:
        same([x25519_public(secret) for secret in parts("randomness", 32)], ciphertexts, "ciphertexts")
    padding = vector.bytes("padding") if "padding" in vector else b""
    header = onion.build_header(suite, path, vector.bytes("last command"), padding)
    same(header, vector.bytes("header"), "header")
    if "payload" in vector:
        packet = onion.build_request(suite, path, header, vector.bytes("surb"), vector.bytes("payload"), 8192)
        same(b2(256, "", packet), vector.bytes("blake2b-256 of packet"), "packet")


def onion_secrets(vector, peeled):
    """What the hop derives is what the vector says, where it says it."""
    if "ss" in vector:
        same(peeled.secret, vector.bytes("ss"), "ss")
        keys = onion.HopKeys.of(onion_suite(vector), peeled.secret)
        names = "routing key", "mac key", "replay tag", "body key"
        wanted = tuple(vector.bytes(name) for name in names)
        same((keys.routing, keys.mac, keys.replay_tag, keys.body), wanted, "keys")


def onion_lioness(vector):
    key, plain, sealed = (vector.bytes(name) for name in ("key", "plain", "sealed"))
    same(onion.lioness(key, plain), sealed, "sealed")
    same(onion.lioness_inverse(key, sealed), plain, "plain")


def onion_forward(vector):
    peeled = onion_peel(vector)
    onion_secrets(vector, peeled)
    same(peeled.next, vector.bytes("next"), "next")
    same(peeled.delay, vector.int("delay"), "delay")
    if "next packet" in vector:
        return same(peeled.packet, vector.bytes("next packet"), "next packet")
    header = vector.bytes("next header")
    same(peeled.packet[:len(header)], header, "next header")
    same(b2(256, "", peeled.packet[len(header):]), vector.bytes("blake2b-256 of next body"), "next body")


def onion_process(vector):
    peeled = onion_peel(vector)
    onion_secrets(vector, peeled)
    same(peeled.surb, vector.bytes("surb"), "surb")
    if "payload padded" in vector:
        return same(peeled.payload, vector.bytes("payload padded"), "payload")
    payload = vector.bytes("payload begins")
    same(peeled.payload[:len(payload)], payload, "payload")
    same(b2(256, "", peeled.payload), vector.bytes("blake2b-256 of payload"), "payload")


def onion_deliver(vector):
    peeled = onion_peel(vector)
    onion_secrets(vector, peeled)
    same(peeled.tag, vector.bytes("tag"), "tag")
    same(peeled.surb_id, vector.bytes("surb id"), "surb id")
    if "body" in vector:
        return same(peeled.body, vector.bytes("body"), "body")
    same(b2(256, "", peeled.body), vector.bytes("blake2b-256 of body"), "body")


def onion_reply(vector):
    surb, body = onion.Surb.parse(vector.bytes("surb")), vector.bytes("body")
    # What the owner keeps is its own affair; here [id, expiry, reply key, [KEM secret of each hop]] and,
    # where it is another one than X25519, the suite.
    _, _, reply_key, secrets, *_ = body_of(b"\xa1\0" + vector.bytes("surb keys"))[0]
    same(reply_key, surb.reply_key, "reply key")
    payload, capacity = vector.bytes("payload"), len(body) - 32 - len(vector.bytes("surb"))
    padded = payload.ljust(capacity, b"\0")
    same(onion.open_reply(onion_suite(vector), reply_key, secrets, body), padded, "payload")
    packet = onion.reply_packet(surb, payload, capacity)
    if "reply packet" in vector:
        same(padded, vector.bytes("payload padded"), "payload")
        return same(packet, vector.bytes("reply packet"), "packet")
    same(b2(256, "", packet), vector.bytes("blake2b-256 of packet"), "packet")


def onion_accept(vector):
    node, digest = identity.check_descriptor(vector.bytes("descriptor"))
    same(node, vector.bytes("node"), "node")
    same(digest, vector.bytes("hash"), "hash")


def onion_refuse(vector):
    refused(["signature", "CBOR"], identity.check_descriptor, vector.bytes("descriptor"))


KINDS = {
    "onion drop": onion_drop,
    "onion build": onion_build,
    "onion keys": onion_keys,
    "onion lioness": onion_lioness,
    "onion forward": onion_forward,
    "onion process": onion_process,
    "onion deliver": onion_deliver,
    "onion reply": onion_reply,
    "onion accept": onion_accept,
    "onion refuse": onion_refuse,
}
