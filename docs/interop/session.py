"""Receiving a message: envelope, fragments, agreement, ratchet, content (§8).

    sealed envelope ─▶ open_envelope ─▶ Fragments.add ─▶ SessionMessage.parse ─▶ accept ─▶ Ratchet.receive ─▶ frames.Frame
"""

from dataclasses import dataclass, field as fresh, replace

from identity import Certificate
from primitives import (
    MlKem768, aes_gcm_open, b2, body_of, check_ml_kem_key, field, hkdf, hmac_sha256, hpke_open, need, x25519,
)

ENVELOPE, FRAGMENT, FRAGMENT_DATA, FRAGMENT_COUNT = 8000, 6864, 6842, 160
MAX_AHEAD, MAX_SKIPPED = 1000, 2000


# Envelope and fragments

def open_envelope(sealing_key, device_id, sealed):
    """The fragment inside an envelope to the device `device_id`, which has this X-Wing key."""
    need(len(sealed) == ENVELOPE, "length")
    return hpke_open(sealing_key, sealed, b"ZenTalk envelope v1", device_id)


@dataclass
class Fragment:
    set_id: bytes
    index: int
    count: int
    data: bytes

    @classmethod
    def parse(cls, data):
        need(len(data) == FRAGMENT, "length")
        index, count, length = (int.from_bytes(data[i:i + 2], "big") for i in (16, 18, 20))
        need(index < count <= FRAGMENT_COUNT, "count")
        need(0 < length <= FRAGMENT_DATA, "length")
        need(index == count - 1 or length == FRAGMENT_DATA, "not full")
        need(not any(data[22 + length:]), "padding")
        return cls(data[:16], index, count, data[22:22 + length])


class Fragments:
    """Sets of fragments that are not whole yet."""

    def __init__(self):
        self._sets = {}

    def add(self, fragment):
        """The session message when its set is whole, else None."""
        count, parts = self._sets.setdefault(fragment.set_id, (fragment.count, {}))
        need(count == fragment.count, "count")
        parts.setdefault(fragment.index, fragment.data)
        if len(parts) < count:
            return None
        del self._sets[fragment.set_id]
        return b"".join(parts[index] for index in range(count))


# Session messages

@dataclass
class Device:
    """A recipient: who it is, and its secrets. Prekeys by id: X25519 secrets, and `MlKem768` pairs."""

    address: bytes
    device_id: bytes
    certificate_hash: bytes
    identity: bytes
    sealing_keys: list
    signed_prekeys: dict
    one_time_prekeys: dict
    kem_prekeys: dict


@dataclass
class Initial:
    """What a first message carries for the agreement."""

    account_keys: dict
    certificate: dict
    ek: bytes
    signed_prekey: int
    kem_prekey: int
    kem_ct: bytes
    one_time_prekey: int | None
    begun: int

    @classmethod
    def of(cls, body):
        keys, certificate = field(body, 0, dict), field(body, 1, dict)
        ek, kem_ct = field(body, 2, bytes, 32), field(body, 5, bytes, 1088)
        one_time = field(body, 6, int) if 6 in body else None
        return cls(keys, certificate, ek, field(body, 3, int), field(body, 4, int), kem_ct, one_time, field(body, 7, int))


@dataclass
class SessionMessage:
    session: bytes
    sender: bytes
    initial: Initial | None
    header: bytes
    ciphertext: bytes

    @classmethod
    def parse(cls, data):
        body = body_of(data)
        initial = Initial.of(field(body, 2, dict)) if 2 in body else None
        session, sender = field(body, 0, bytes, 16), field(body, 1, bytes, 16)
        return cls(session, sender, initial, field(body, 3, bytes, 2312), field(body, 4, bytes))


# Agreement

def agreement_secret(dhs, kem_secret):
    """SK of PQXDH, from DH1 ‖ DH2 ‖ DH3 (‖ DH4) and the KEM secret."""
    return hkdf(bytes(32), b"\xff" * 32 + b"".join(dhs) + kem_secret, b"ZenTalk PQXDH v1", 32)


def session_id(ad, ek, kem_ct):
    return b2(128, "ZenTalk session v1", ad, ek, kem_ct)


@dataclass
class Agreement:
    """What both sides know after PQXDH, and the responder's prekeys in it, with which its ratchet begins."""

    secret: bytes
    ad: bytes
    signed_prekey: bytes
    kem_prekey: MlKem768

    def ratchet(self):
        """The responder's ratchet, before the first message."""
        return Ratchet(self.secret, self.ad, (self.signed_prekey, self.kem_prekey))


def agree(device, initial, sender):
    """PQXDH as the responder, with who the sender's certificate says."""
    signed = device.signed_prekeys.get(initial.signed_prekey)
    kem = device.kem_prekeys.get(initial.kem_prekey)
    need(signed is not None, "unknown signed prekey")
    need(kem is not None, "unknown kem prekey")
    dhs = [x25519(signed, sender.identity), x25519(device.identity, initial.ek), x25519(signed, initial.ek)]
    if initial.one_time_prekey is not None:
        one_time = device.one_time_prekeys.get(initial.one_time_prekey)
        need(one_time is not None, "unknown one-time prekey")
        dhs.append(x25519(one_time, initial.ek))
    ends = sender.address + device.address + sender.hash + device.certificate_hash
    ad = b2(256, "ZenTalk agreement v1", ends, kem.public, initial.begun.to_bytes(8, "big"))
    return Agreement(agreement_secret(dhs, kem.open(initial.kem_ct)), ad, signed, kem)


def accept(device, message):
    """(sender's certificate, agreement) of a first message. Refuses what is not what it claims to be."""
    initial = message.initial
    need(initial is not None, "no first message")
    sender = Certificate.check(initial.account_keys, initial.certificate)
    need(sender.device_id == message.sender, "sender")
    agreement = agree(device, initial, sender)
    need(session_id(agreement.ad, initial.ek, initial.kem_ct) == message.session, "session id")
    return sender, agreement


# Double Ratchet

def root_step(rk, dh, kem_secret):
    """(rk, ck)"""
    keys = hkdf(rk, dh + kem_secret, b"ZenTalk ratchet v1", 64)
    return keys[:32], keys[32:]


def chain_step(ck):
    """(mk, ck)"""
    return hmac_sha256(ck, b"\1"), hmac_sha256(ck, b"\2")


def message_key(mk):
    """(key, nonce)"""
    keys = hkdf(bytes(32), mk, b"ZenTalk message v1", 44)
    return keys[:32], keys[32:]


def open_message(mk, ad, header, ciphertext):
    key, nonce = message_key(mk)
    keys, counters = header[:2304], header[2304:]
    return aes_gcm_open(key, nonce, ciphertext, ad + b2(256, "ZenTalk ratchet header v1", keys) + counters)


@dataclass
class Header:
    dh: bytes
    ek: bytes
    ct: bytes
    pn: int
    n: int

    @classmethod
    def parse(cls, data):
        need(len(data) == 2312, "length")
        pn, n = int.from_bytes(data[2304:2308], "big"), int.from_bytes(data[2308:], "big")
        return cls(data[:32], data[32:1216], data[1216:2304], pn, n)


@dataclass
class Ratchet:
    """The receiving side of one party. A message that does not authenticate leaves no trace."""

    rk: bytes
    ad: bytes
    own: tuple | None  # (X25519 secret, MlKem768) of the chain that we send in
    peer_dh: bytes | None = None
    ck: bytes | None = None
    n: int = 0
    skipped: dict = fresh(default_factory=dict)

    def receive(self, header_bytes, ciphertext):
        """The plaintext."""
        header = Header.parse(header_bytes)
        if mk := self.skipped.get((header.dh, header.n)):
            plaintext = open_message(mk, self.ad, header_bytes, ciphertext)
            del self.skipped[header.dh, header.n]
            return plaintext
        after = replace(self, skipped=dict(self.skipped))
        if header.dh != after.peer_dh:
            if after.ck is not None:
                after._skip_to(min(header.pn, after.n + MAX_AHEAD))
            after._step(header)
        need(header.n >= after.n, "repeated")
        need(header.n - after.n <= MAX_AHEAD, "too far ahead")
        after._skip_to(header.n)
        mk, after.ck = chain_step(after.ck)
        after.n += 1
        plaintext = open_message(mk, self.ad, header_bytes, ciphertext)
        check_ml_kem_key(header.ek)
        while len(after.skipped) > MAX_SKIPPED:
            del after.skipped[next(iter(after.skipped))]
        vars(self).update(vars(after))
        return plaintext

    def sent(self, dh_secret, kem, kem_secret):
        """Our own step of sending: a new key pair of each kind, and the secret that went to the peer's `ek`."""
        peer = self.peer_dh
        self.rk, _ = root_step(self.rk, x25519(dh_secret, peer), kem_secret)
        self.own = dh_secret, kem

    def _step(self, header):
        dh_secret, kem = self.own
        self.rk, self.ck = root_step(self.rk, x25519(dh_secret, header.dh), kem.open(header.ct))
        self.peer_dh, self.n = header.dh, 0

    def _skip_to(self, n):
        while self.n < n:
            self.skipped[self.peer_dh, self.n], self.ck = chain_step(self.ck)
            self.n += 1
