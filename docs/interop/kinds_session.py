"""Vectors of §8: pqxdh.txt, ratchet.txt, envelope.txt, session.txt, conversation.txt."""

import identity
import session
from primitives import MlKem768, XWing, body_of, hpke_keys, x25519, x25519_public
from report import equal_or_different, refused, same


# pqxdh.txt

PARTIES = {}  # by name, as the file gives them before it refers to them


def party(vector):
    account_keys, signed = body_of(vector.bytes("account_keys")), body_of(vector.bytes("certificate"))
    certificate = identity.Certificate.check(account_keys, signed)
    names = "address", "certificate_hash", "device_key", "device_id", "identity_key"
    got = certificate.address, certificate.hash, certificate.device_key, certificate.device_id, certificate.identity
    same(got, tuple(vector.bytes(name) for name in names), "certificate")
    same(x25519_public(vector.bytes("identity_secret")), certificate.identity, "identity_key")
    PARTIES[vector["name"]] = certificate, vector.bytes("identity_secret")


def key_derivation(vector):
    dhs = [vector.bytes(name) for name in ("dh1", "dh2", "dh3", "dh4") if name in vector]
    equal_or_different(vector, session.agreement_secret(dhs, vector.bytes("ss")), vector.bytes("sk"))


def prekey(check, *names):
    def test(vector):
        device_key, body = PARTIES["bob"][0].device_key, body_of(vector.bytes("bytes"))
        if vector.expect != "accepted":
            return refused(["signature"], check, body, device_key)
        same(check(body, device_key), tuple(read(vector) for read in names), "prekey")
    return test


def bundle(vector):
    base = body_of(vector.bytes("base"))
    one_time = body_of(vector.bytes("one_time")) if "one_time" in vector else None
    arguments = base, one_time, PARTIES["bob"][0], vector.int("now")
    if vector.expect != "accepted":
        reason = {"bad signature": "signature"}.get(vector.expect, vector.expect)
        return refused([reason], identity.check_bundle, *arguments)
    same(identity.check_bundle(*arguments), (vector.int("signed_prekey_id"), vector.int("kem_id")), "ids")


AGREED = []  # the agreements of the file that agree


def responder(vector, with_one_time=True):
    """The device that an agreement is with."""
    certificate, secret = PARTIES[vector["responder"]]
    one_time, kems = {}, {vector.int("last_resort_id"): MlKem768(vector.bytes("last_resort_seed"))}
    if with_one_time and "one_time_id" in vector:
        one_time[vector.int("one_time_id")] = vector.bytes("one_time_secret")
    if with_one_time and "one_time_kem_id" in vector:
        kems[vector.int("one_time_kem_id")] = MlKem768(vector.bytes("one_time_kem_seed"))
    signed = {vector.int("signed_prekey_id"): vector.bytes("signed_prekey_secret")}
    names = certificate.address, certificate.device_id, certificate.hash
    return session.Device(*names, secret, [], signed, one_time, kems)


def agreement(vector):
    sender, device = PARTIES[vector["initiator"]][0], responder(vector)
    ek, kem_ct = vector.bytes("ephemeral_key"), vector.bytes("kem_ciphertext")
    used = [vector.int(f"used_{name}_id") if f"used_{name}_id" in vector else None
            for name in ("signed_prekey", "kem", "one_time")]
    initial = session.Initial({}, {}, ek, used[0], used[1], kem_ct, used[2], vector.int("begun"))
    if vector.expect not in ("agree", "different"):
        return refused([vector.expect], session.agree, device, initial, sender)
    agreed = session.agree(device, initial, sender)
    same(agreed.ad, vector.bytes("ad"), "ad")
    assert (agreed.secret == vector.bytes("sk")) == (vector.expect == "agree"), f"sk {agreed.secret.hex()}"
    if vector.expect == "agree":
        AGREED.append(vector)
        same(agreed.kem_prekey.public, vector.bytes("kem_key"), "kem_key")
        same(agreed.kem_prekey.open(kem_ct), vector.bytes("ss"), "ss")
        same(session.session_id(agreed.ad, ek, kem_ct), vector.bytes("session_id"), "session_id")


# ratchet.txt

def root_step(vector):
    got = session.root_step(*(vector.bytes(name) for name in ("rk", "dh", "kem")))
    equal_or_different(vector, b"".join(got), vector.bytes("next_rk") + vector.bytes("ck"))


def chain_step(vector):
    got = session.chain_step(vector.bytes("ck"))
    equal_or_different(vector, b"".join(got), vector.bytes("mk") + vector.bytes("next_ck"))


def message_key(vector):
    got = session.message_key(vector.bytes("mk"))
    equal_or_different(vector, b"".join(got), vector.bytes("key") + vector.bytes("nonce"))


def ratchet_header(vector):
    parts = session.Header.parse(vector.bytes("bytes"))
    same((parts.dh, parts.ek, parts.ct), tuple(vector.bytes(name) for name in ("dh", "ek", "ct")), "keys")
    same((parts.pn, parts.n), (vector.int("pn"), vector.int("n")), "counters")


def ratchet_message(vector):
    header = b"".join(vector.bytes(name) for name in ("dh", "ek", "ct", "pn", "n"))
    arguments = vector.bytes("mk"), vector.bytes("ad"), header, vector.bytes("ciphertext")
    if vector.expect == "forged":
        return refused(["forged"], session.open_message, *arguments)
    same(session.open_message(*arguments), vector.bytes("plaintext"), "plaintext")


def fragment(vector):
    data = vector.bytes("bytes")
    if vector.expect == "malformed":
        reasons = ["count", "length", "not full", "padding"]
        return refused(reasons, session.Fragment.parse, data)
    got = session.Fragment.parse(data)
    wanted = vector.bytes("set"), vector.int("index"), vector.int("count"), vector.bytes("data")
    same((got.set_id, got.index, got.count, got.data), wanted, "fragment")


# envelope.txt

def envelope(vector):
    key = XWing(vector.bytes("seed"))
    arguments = key, vector.bytes("device_id"), vector.bytes("envelope")
    if vector.expect == "not for me":
        return refused(["forged", "low order"], session.open_envelope, *arguments)
    plaintext = session.open_envelope(*arguments)
    if vector.expect == "no fragment":
        return refused(["count"], session.Fragment.parse, plaintext)
    same(plaintext, vector.bytes("plaintext"), "plaintext")
    same(key.public, vector.bytes("sealing_key"), "sealing_key")
    enc = vector.bytes("enc")
    same(key.open(enc), vector.bytes("ss"), "ss")
    same(hpke_keys(vector.bytes("ss"), b"ZenTalk envelope v1"), (vector.bytes("key"), vector.bytes("base_nonce")), "keys")
    session.Fragment.parse(plaintext)


def split(vector):
    fragments = session.Fragments()
    names = sorted((name for name in vector if name.startswith("fragment_")), reverse=True)
    *some, last = [fragments.add(session.Fragment.parse(vector.bytes(name))) for name in names]
    assert some and not any(some), "whole too early"
    same(last, vector.bytes("message"), "message")


# session.txt

def session_message(vector):
    data = vector.bytes("bytes")
    if vector.expect == "malformed":
        return refused(None, session.SessionMessage.parse, data)
    got = session.SessionMessage.parse(data)
    names = "session_id", "sender", "header", "ciphertext"
    same((got.session, got.sender, got.header, got.ciphertext), tuple(vector.bytes(name) for name in names), "parts")
    wanted = session.Initial.of(body_of(vector.bytes("initial"))) if "initial" in vector else None
    assert got.initial == wanted, "initial"


RECEIVE_REASONS = {
    "unknown session": ["no first message"],
    "other session id": ["session id"],
    "other peer": ["sender"],
    "certificate": ["signature", "address"],
    "forged": ["forged"],
    "unknown kem prekey": ["unknown kem prekey"],
}


def receive(vector):
    device = responder(AGREED[0], with_one_time="without_one_time" not in vector)
    message = session.SessionMessage.parse(vector.bytes("bytes"))

    def received():
        _, agreed = session.accept(device, message)
        ratchet = agreed.ratchet()
        return agreed, ratchet, ratchet.receive(message.header, message.ciphertext)

    if vector.expect != "opens":
        return refused(RECEIVE_REASONS[vector.expect], received)
    agreed, ratchet, plaintext = received()
    same(plaintext, vector.bytes("plaintext"), "plaintext")
    header = session.Header.parse(message.header)
    dh_out, kem_ss = x25519(agreed.signed_prekey, header.dh), agreed.kem_prekey.open(header.ct)
    same((agreed.secret, dh_out, kem_ss), tuple(vector.bytes(name) for name in ("rk", "dh_out", "kem_ss")), "secrets")
    rk, ck = session.root_step(agreed.secret, dh_out, kem_ss)
    mk, _ = session.chain_step(ck)
    got = (rk, ck, mk, *session.message_key(mk))
    same(got, tuple(vector.bytes(name) for name in ("next_rk", "ck", "mk", "key", "nonce")), "keys")
    same(ratchet.rk, rk, "next_rk")


# conversation.txt

class Conversation:
    """The two receiving sides, as the file goes on. Refusals stand before the rest and wait for their moment."""

    def __init__(self):
        self.refusals, self.steps, self.messages, self.deliveries = [], [], [], 0

    def refusal(self, vector):
        self.refusals.append(vector)

    def start(self, vector):
        sk, self.ad = vector.bytes("sk"), vector.bytes("ad")
        dh, kem = vector.bytes("signed_prekey_secret"), MlKem768(vector.bytes("kem_prekey_seed"))
        same((x25519_public(dh), kem.public), (vector.bytes("signed_prekey"), vector.bytes("kem_prekey")), "prekeys")
        alice = session.Ratchet(sk, self.ad, None, peer_dh=x25519_public(dh))
        self.sides = {"alice": alice, "bob": session.Ratchet(sk, self.ad, (dh, kem))}

    def step(self, vector):
        by, dh, kem = self.sides[vector["by"]], vector.bytes("dh_secret"), MlKem768(vector.bytes("ek_seed"))
        same((x25519_public(dh), kem.public), (vector.bytes("dh"), vector.bytes("ek")), "public keys")
        other = self.sides["alice" if vector["by"] == "bob" else "bob"]
        same(other.own[1].open(vector.bytes("ct")), vector.bytes("kem_ss"), "kem_ss")
        same(x25519(dh, by.peer_dh), vector.bytes("dh_out"), "dh_out")
        same(by.rk, vector.bytes("rk"), "rk")
        by.sent(dh, kem, vector.bytes("kem_ss"))
        same(by.rk, vector.bytes("next_rk"), "next_rk")
        self.steps.append(vector)

    def message(self, vector):
        mk, next_ck = session.chain_step(vector.bytes("ck"))
        same((mk, next_ck), (vector.bytes("mk"), vector.bytes("next_ck")), "chain step")
        same(session.message_key(mk), (vector.bytes("key"), vector.bytes("nonce")), "key")
        self.messages.append(vector)

    def delivery(self, vector):
        if self.deliveries == 0:
            self._refuse()
        message, side = self.messages[vector.int("message")], self.sides[vector["to"]]
        header = self._header(self.steps[message.int("step") - 1], message)
        same(side.receive(header, message.bytes("ciphertext")), message.bytes("plaintext"), "plaintext")
        wanted = vector.bytes("rk"), vector.int("next"), vector.int("skipped")
        same((side.rk, side.n, len(side.skipped)), wanted, "state")
        self.deliveries += 1
        self._refuse()

    def _refuse(self):
        for vector in self.refusals:
            if vector.int("after") == self.deliveries:
                reasons = {"unknown chain": ["forged"], "already used": ["repeated", "forged"]}.get(vector.expect, [vector.expect])
                side = self.sides[vector["to"]]
                before = repr(side)
                refused(reasons, side.receive, self._header(vector, vector), vector.bytes("ciphertext"))
                assert repr(side) == before, f"refused, and still something changed: {vector['comment']}"

    @staticmethod
    def _header(keys, counters):
        parts = [keys.bytes(name) for name in ("dh", "ek", "ct")] + [counters.bytes(name) for name in ("pn", "n")]
        return b"".join(parts)


CONVERSATION = Conversation()

KINDS = {
    "party": party,
    "key derivation": key_derivation,
    "signed prekey": prekey(
        identity.check_signed_prekey, lambda v: v.int("id"), lambda v: v.bytes("key"), lambda v: v.int("created")),
    "kem prekey": prekey(
        identity.check_kem_prekey, lambda v: v.int("id"), lambda v: v.bytes("key"), lambda v: bool(v.int("last_resort"))),
    "bundle": bundle,
    "agreement": agreement,
    "root step": root_step,
    "chain step": chain_step,
    "message key": message_key,
    "header": ratchet_header,
    "message": ratchet_message,
    "fragment": fragment,
    "envelope": envelope,
    "split": split,
    "session message": session_message,
    "receive": receive,
    "conversation start": CONVERSATION.start,
    "conversation step": CONVERSATION.step,
    "conversation message": CONVERSATION.message,
    "conversation delivery": CONVERSATION.delivery,
    "conversation refusal": CONVERSATION.refusal,
}
