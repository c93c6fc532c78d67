"""The way back: what is signed or sealed, from its fields and the secret key that the vector gives, byte by byte."""

import cbor2

from primitives import aes_gcm_seal, body_of, hkdf, sign
from report import same


def u64(value):
    return value.to_bytes(8, "big")


def signed_body(vector, seed, domain, message, body):
    """`body` makes the map from public key and signature."""
    same(domain.encode() + b"\0" + message, vector.bytes("signed"), "signed")
    key, signature = sign(seed, domain, message)
    same(signature, vector.bytes("signature"), "signature")
    same(cbor2.dumps(body(key, signature), canonical=True), vector.bytes("bytes"), "bytes")


def owner_request(vector):
    sequence, body = vector.int("sequence"), vector.bytes("body")
    message = vector.bytes("node") + vector.bytes("type") + u64(sequence) + body
    signed_body(vector, vector.bytes("seed"), "ZenTalk owner v1", message, lambda key, by: {0: key, 1: sequence, 2: body, 3: by})


def tombstone(vector):
    ids = vector.bytes("ids")
    each = [ids[at:at + 16] for at in range(0, len(ids), 16)]
    message = vector.bytes("mailbox") + ids
    signed_body(vector, vector.bytes("seed"), "ZenTalk tombstone v1", message, lambda key, by: {0: key, 1: each, 2: by})


def mailbox_descriptor(vector):
    """`issued` is not among the fields."""
    body, members = body_of(vector.bytes("bytes"))[0], vector.bytes("members")
    each = [members[at:at + 20] for at in range(0, len(members), 20)]
    key, _ = sign(vector.bytes("seed"), "", b"")
    inner = {0: key, 1: vector.int("sequence"), 2: each, 3: len(vector.bytes("active")) // 20, 4: body_of(body)[4]}
    same(cbor2.dumps(inner, canonical=True), body, "body")
    signed_body(vector, vector.bytes("seed"), "ZenTalk mailbox descriptor v1", body, lambda _, by: {0: body, 1: by})


def record(vector):
    sequence, expires, sealed = vector.int("sequence"), vector.int("expires"), vector.bytes("sealed")
    message = u64(sequence) + u64(expires) + sealed
    signed_body(vector, vector.bytes("seed"), "ZenTalk record v1", message,
                lambda key, by: {0: key, 1: sequence, 2: expires, 3: sealed, 4: by})


def freshness(vector, device):
    digest, sequence, time = vector.bytes("list"), vector.int("sequence"), vector.int("time")
    message = digest + u64(sequence) + u64(time)
    signed_body(vector, device.bytes("device_seed"), "ZenTalk freshness v1", message,
                lambda _, by: {0: digest, 1: sequence, 2: time, 3: device.bytes("device_id"), 4: by})


def sealing_key(vector, device):
    key, created, expires = vector.bytes("key"), vector.int("created"), vector.int("expires")
    message = device.bytes("device_id") + vector.bytes("mailbox") + key + u64(created) + u64(expires)
    signed_body(vector, device.bytes("device_seed"), "ZenTalk sealing key v1", message,
                lambda _, by: {0: key, 1: created, 2: expires, 3: by})


def sealed(vector, domain, info, plaintext):
    key, nonce = hkdf(domain, vector.bytes("address"), info, 32), vector.bytes("nonce")
    same(key, vector.bytes("key"), "key")
    same(nonce + aes_gcm_seal(key, nonce, plaintext), vector.bytes("sealed"), "sealed")


def sealed_prekey(vector):
    sealed(vector, b"ZenTalk prekeys v1", vector.bytes("mailbox"), vector.bytes("entry"))


def sealed_record(vector):
    contents = vector.bytes("contents")
    framed = len(contents).to_bytes(2, "big") + contents
    length = 12288 if len(framed) <= 12288 else 27392
    sealed(vector, b"ZenTalk record v1", b"", framed.ljust(length, b"\0"))
