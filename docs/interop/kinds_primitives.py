"""Vectors of the primitives: primitives.txt. That these hold for the code under `primitives.py` is its own proof."""

import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from primitives import Refused, XWing, b2_mac, b3_keyed, chacha20, hpke_open
from report import equal_or_different, same


def blake2b(vector):
    digest = vector.bytes("digest")
    got = hashlib.blake2b(vector.bytes("message"), digest_size=len(digest)).digest()
    equal_or_different(vector, got, digest)


def keyed_blake2b(vector):
    digest = vector.bytes("digest")
    equal_or_different(vector, b2_mac(8 * len(digest), vector.bytes("key"), vector.bytes("message")), digest)


def keyed_blake3(vector):
    data = bytes(i % 251 for i in range(vector.int("length")))
    equal_or_different(vector, b3_keyed(vector.bytes("key"), data), vector.bytes("digest"))


def chacha20_stream(vector):
    stream, offset = vector.bytes("keystream"), vector.int("offset")
    equal_or_different(vector, chacha20(vector.bytes("key"), bytes(offset + len(stream)))[offset:], stream)


def ed25519(vector):
    key = Ed25519PublicKey.from_public_bytes(vector.bytes("public"))
    key.verify(vector.bytes("signature"), vector.bytes("message"))


def hpke(vector):
    try:
        got = hpke_open(XWing(vector.bytes("seed")), vector.bytes("sealed"), vector.bytes("info"), b"")
    except Refused:
        got = None
    equal_or_different(vector, got, vector.bytes("plaintext"))


def x_wing(vector):
    key = XWing(vector.bytes("seed"))
    equal_or_different(vector, key.open(vector.bytes("ciphertext")), vector.bytes("ss"))
    if "public" in vector:
        same(key.public, vector.bytes("public"), "public")


KINDS = {
    "blake2b": blake2b,
    "keyed blake2b": keyed_blake2b,
    "keyed blake3": keyed_blake3,
    "chacha20": chacha20_stream,
    "ed25519": ed25519,
    "hpke": hpke,
    "x-wing": x_wing,
}
