"""Onions: what a relay does with a packet, and how the owner of a reply block opens an answer (§5)."""

from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import load_der_private_key

from primitives import Refused, XWing, b2, b2_mac, b3_keyed, chacha20, hkdf, need, x25519, x25519_public, xor

X25519_SUITE, XWING_SUITE, RSA_SUITE = 1, 2, 3
CIPHERTEXT = {X25519_SUITE: 32, XWING_SUITE: 1120, RSA_SUITE: 512}
CAPACITIES = {8192, 28672}
MAX_DELAY = 60_000


def header_length(suite):
    return 276 + 4 * CIPHERTEXT[suite]


def surb_length(suite):
    return header_length(suite) + 56


# The three KEMs

class X25519Key:
    """An X25519 onion key as a KEM."""

    suite = X25519_SUITE

    def __init__(self, secret):
        self._secret, self.public = secret, x25519_public(secret)

    def open(self, ciphertext):
        dh = x25519(self._secret, ciphertext)
        return b2(256, "ZenTalk kem x25519 v1", dh, ciphertext, self.public)


class XWingKey(XWing):
    """An X-Wing onion key."""

    suite = XWING_SUITE


class RsaKey:
    """An RSA-4096 onion key as a KEM: OAEP of 32 random bytes."""

    suite = RSA_SUITE
    OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), label=None)

    def __init__(self, pkcs8):
        self._secret = load_der_private_key(pkcs8, password=None)
        spki = serialization.PublicFormat.SubjectPublicKeyInfo
        self.public = self._secret.public_key().public_bytes(serialization.Encoding.DER, spki)

    def open(self, ciphertext):
        try:
            plaintext = self._secret.decrypt(ciphertext, self.OAEP)
        except ValueError:
            raise Refused("OAEP") from None
        need(len(plaintext) == 32, "OAEP")
        return b2(256, "ZenTalk kem rsa4096 v1", plaintext, ciphertext)


# Hops

@dataclass
class HopKeys:
    """What a hop derives from its KEM secret."""

    routing: bytes
    mac: bytes
    replay_tag: bytes
    body: bytes

    @classmethod
    def of(cls, suite, secret):
        keys = hkdf(b"ZenTalk onion v1", secret, bytes([suite]), 208)
        return cls(keys[:32], keys[32:64], keys[64:80], keys[80:])


# Build

@dataclass
class PathHop:
    """A relay of a path, as the sender sees it: which key (`epoch`), the delay in milliseconds, and what the KEM gave."""

    node: bytes
    epoch: int
    delay: int
    ciphertext: bytes
    secret: bytes


def build_header(suite, path, command, padding=b""):
    """The header that leads through `path` to the last hop's `command`. `padding`: random, where a shorter path leaves room."""
    ct = CIPHERTEXT[suite]
    slot, length = 64 + ct, 4 * 64 + 3 * ct
    keys = [HopKeys.of(suite, hop.secret) for hop in path]
    prefixes = [bytes([1, suite]) + hop.epoch.to_bytes(2, "big") for hop in path]

    def encrypted(index, plain):
        return xor(plain, chacha20(keys[index].routing, bytes(len(plain))))

    def mac(index, routing):
        return b2_mac(128, keys[index].mac, prefixes[index] + path[index].ciphertext + routing)

    # What the zeros that the hops before the last append have become when they reach it.
    filler = b""
    for hop_keys in keys[:-1]:
        filler += bytes(slot)
        filler = xor(filler, chacha20(hop_keys.routing, bytes(length + slot))[-len(filler):])
    routing = encrypted(len(path) - 1, command + padding) + filler
    need(len(routing) == length, "length")
    for index in range(len(path) - 2, -1, -1):
        following = path[index + 1]
        fields = following.epoch.to_bytes(2, "big") + path[index].delay.to_bytes(4, "big") + following.node
        forward = b"\1\0" + fields + mac(index + 1, routing) + bytes(20)
        routing = encrypted(index, (forward + following.ciphertext + routing)[:length])
    return prefixes[0] + path[0].ciphertext + mac(0, routing) + routing


def build_request(suite, path, header, surb, payload, capacity):
    """The packet of a request with this header; `surb` for the answer."""
    body = bytes(32) + surb + payload.ljust(capacity, b"\0")
    for hop in reversed(path):
        body = lioness(HopKeys.of(suite, hop.secret).body, body)
    return header + body


# Peel

@dataclass
class Forward:
    """Send `packet` to `next` after `delay` milliseconds. `secret` is always the KEM secret of the hop."""

    next: bytes
    delay: int
    packet: bytes
    secret: bytes


@dataclass
class Process:
    """A request for this relay, and the reply block to answer through (zeros: none)."""

    surb: bytes
    payload: bytes
    secret: bytes


@dataclass
class Deliver:
    """For the client behind `tag`."""

    tag: bytes
    surb_id: bytes
    body: bytes
    secret: bytes


def lioness(key, block):
    """The wide-block cipher: every bit of the result depends on every bit of the block."""
    k1, k2, k3, k4 = (key[i:i + 32] for i in range(0, 128, 32))
    left, rest = block[:32], block[32:]
    rest = chacha20(xor(left, k1), rest)
    left = xor(left, b3_keyed(k2, rest))
    rest = chacha20(xor(left, k3), rest)
    left = xor(left, b3_keyed(k4, rest))
    return left + rest


def lioness_inverse(key, block):
    k1, k2, k3, k4 = (key[i:i + 32] for i in range(0, 128, 32))
    left, rest = block[:32], block[32:]
    left = xor(left, b3_keyed(k4, rest))
    rest = chacha20(xor(left, k3), rest)
    left = xor(left, b3_keyed(k2, rest))
    rest = chacha20(xor(left, k1), rest)
    return left + rest


class Hop:
    """A relay's side: its onion keys by (suite, epoch), and the tags it has seen under each."""

    def __init__(self, keys):
        self._keys, self._seen = dict(keys), set()

    def peel(self, packet):
        """A `Forward`, a `Process` or a `Deliver`; refuses whatever a relay drops."""
        need(len(packet) >= 4, "length")
        version, suite, epoch = packet[0], packet[1], int.from_bytes(packet[2:4], "big")
        need(version == 1, "version")
        need(suite in CIPHERTEXT and (suite, epoch) in self._keys, "suite or epoch")
        ct, head = CIPHERTEXT[suite], header_length(suite)
        need(len(packet) - head - 32 - surb_length(suite) in CAPACITIES, "length")
        kem_ct, mac = packet[4:4 + ct], packet[4 + ct:20 + ct]
        routing, body = packet[20 + ct:head], packet[head:]

        try:
            secret = self._keys[suite, epoch].open(kem_ct)
        except Refused:
            raise Refused("ciphertext") from None
        keys = HopKeys.of(suite, secret)
        need(b2_mac(128, keys.mac, packet[:4] + kem_ct + routing) == mac, "mac")
        need((suite, epoch, keys.replay_tag) not in self._seen, "replay")
        self._seen.add((suite, epoch, keys.replay_tag))
        slot = 64 + ct
        x = chacha20(keys.routing, routing + bytes(slot))
        command = x[:64]
        body = lioness_inverse(keys.body, body)
        match command[0]:
            case 1:
                return self._forward(suite, command, x[64:slot], x[slot:], body, secret)
            case 2:
                need(not any(command[1:]), "command")
                need(not any(body[:32]), "body")
                surb, payload = body[32:32 + surb_length(suite)], body[32 + surb_length(suite):]
                need(not any(surb) or Surb.parse(surb).header[:2] == packet[:2], "surb")
                return Process(surb, payload, secret)
            case 3:
                zeros = command[1:8] + command[24:28] + command[44:]
                need(not any(zeros), "command")
                return Deliver(command[8:24], command[28:44], body, secret)
        raise Refused("command")

    @staticmethod
    def _forward(suite, command, next_ct, next_routing, body, secret):
        delay = int.from_bytes(command[4:8], "big")
        need(command[1] == 0 and not any(command[44:]) and delay <= MAX_DELAY, "command")
        prefix = bytes([1, suite]) + command[2:4]
        packet = prefix + next_ct + command[28:44] + next_routing + body
        return Forward(command[8:28], delay, packet, secret)


# Reply blocks

@dataclass
class Surb:
    """A reply block as who replies holds it."""

    first_hop: bytes
    reply_key: bytes
    expiry: int
    header: bytes

    @classmethod
    def parse(cls, data):
        return cls(data[:20], data[20:52], int.from_bytes(data[52:56], "big"), data[56:])


def reply_body_key(reply_key):
    return hkdf(b"ZenTalk reply v1", reply_key, b"", 128)


def reply_packet(surb, payload, capacity):
    """The packet that carries `payload` through a reply block."""
    body = bytes(32 + 56 + len(surb.header)) + payload.ljust(capacity, b"\0")
    return surb.header + lioness(reply_body_key(surb.reply_key), body)


def reply_payload(surb, packet):
    """What a packet that goes through this reply block carries, to who has the reply key."""
    return _payload(packet[1], lioness_inverse(reply_body_key(surb.reply_key), packet[len(surb.header):]))


def open_reply(suite, reply_key, hop_secrets, body):
    """The answer in a delivered body, for the owner, who kept the hops' KEM secrets (first hop first)."""
    for secret in reversed(hop_secrets):
        body = lioness(HopKeys.of(suite, secret).body, body)
    return _payload(suite, lioness_inverse(reply_body_key(reply_key), body))


def _payload(suite, body):
    """What follows the zeros that show that nobody changed the body."""
    blank = 32 + surb_length(suite)
    need(not any(body[:blank]), "body")
    return body[blank:]
