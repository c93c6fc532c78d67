"""Vectors of §6 and §7: identity.txt, contact-code.txt, rpc.txt, work.txt; of §10: safety_number.txt. Of what must be refused, only that it is counts."""

import frames
import identity
import safety_number
import work
import written
from frames import Frame
from primitives import b2, body_of, field, hmac_sha256, need, x25519_public
from report import equal_or_different, refused, same

ACCOUNTS, DEVICES = {}, []  # what the file gives before it refers to it
WEEK = 7 * 24 * 3600 * 1000


def given_or_refused(check, compare, good=("given", "accepted", "equal", "opens")):
    """A test: `check` must refuse, or give what `compare` then holds against the vector."""
    def test(vector):
        if vector.expect not in good:
            return refused(None, check, vector)
        compare(vector, check(vector))
    return test


# identity.txt

def account(vector):
    keys = body_of(vector.bytes("keys"))
    same((keys[0], keys[1]), (vector.bytes("rsa"), vector.bytes("ml_dsa")), "keys")
    same(identity.address_of(keys), vector.bytes("address"), "address")
    ACCOUNTS[vector["name"]] = keys


def device(vector):
    same(identity.device_id_of(vector.bytes("device_key")), vector.bytes("device_id"), "device_id")
    same(x25519_public(vector.bytes("identity_secret")), vector.bytes("identity_key"), "identity_key")
    DEVICES.append(vector)


def certificate(vector):
    return identity.Certificate.check(ACCOUNTS[vector["account"]], body_of(vector.bytes("bytes")))


def same_certificate(vector, got):
    names = "hash", "device_id", "identity_key"
    same((got.hash, got.device_id, got.identity), tuple(vector.bytes(name) for name in names), "certificate")
    same_account_signed(vector)


def same_account_signed(vector):
    signed, body = body_of(vector.bytes("bytes")), vector.bytes("body")
    names = "rsa_signature", "ml_dsa_signature"
    same((signed[0], signed[1], signed[2]), (body, *(vector.bytes(name) for name in names)), "account-signed")
    same(vector["context"].encode() + b"\0" + body, vector.bytes("rsa_message"), "rsa_message")


def device_list(vector):
    keys = ACCOUNTS[vector["account"]]
    return identity.check_device_list(keys, body_of(vector.bytes("bytes")), identity.address_of(keys))


def same_device_list(vector, got):
    devices = b"".join(number + digest for number, digest in got.devices)
    wanted = vector.bytes("hash"), vector.int("sequence"), vector.bytes("devices")
    same((got.hash, got.sequence, devices), wanted, "device list")
    same_account_signed(vector)


def freshness(vector):
    body, me = body_of(vector.bytes("bytes")), DEVICES[-1]
    need(field(body, 3, bytes, 16) == me.bytes("device_id"), "device")
    listed = device_list([other for other in vector.file if (other.kind, other.expect) == ("device list", "given")][-1])
    return identity.check_freshness(body, listed, me.bytes("device_key"), vector.int("now"))


def sealing_key(vector):
    me = DEVICES[-1]
    names = identity.Certificate(b"", me.bytes("device_key"), me.bytes("device_id"), b"", b"")
    return identity.check_sealing_key(body_of(vector.bytes("bytes")), names, vector.bytes("mailbox"))


# contact-code.txt

def contact_code(vector):
    return identity.contact_code(vector["text"])


# rpc.txt

def identifier(vector):
    domains = {
        "relay": "node", "device": "device", "mailbox": "mailbox", "record": "dir", "certificate": "hash", "envelope": "envelope id",
    }
    domain, wanted = f"ZenTalk {domains[vector['of']]} v1", vector.bytes("id")
    same(domain.encode(), vector.bytes("domain"), "domain")
    equal_or_different(vector, b2(8 * len(wanted), domain, vector.bytes("key")), wanted)


def permit(vector):
    got = hmac_sha256(vector.bytes("write_secret"), b"ZenTalk permit v1" + vector.bytes("node"))
    equal_or_different(vector, got, vector.bytes("permit"))


def owner_request(vector):
    frame = Frame(vector.int("type"), bytes(16), vector.bytes("bytes"))
    mailbox, sequence, body = frames.owner_request(frame, vector.bytes("node"))
    return identity.mailbox_of(mailbox), sequence, body


def tombstone(vector):
    mailbox, ids = frames.tombstone(body_of(vector.bytes("bytes")))
    return mailbox, b"".join(ids)


def mailbox_descriptor(vector):
    descriptor = body_of(vector.bytes("bytes"))
    key = identity.check_mailbox(descriptor)
    body = body_of(descriptor[0])
    members = field(body, 2, list)
    active = members[:field(body, 3, int)]
    return identity.mailbox_of(key), field(body, 1, int), b"".join(members), b"".join(active)


def record(vector):
    key, sequence, expires, sealed = identity.check_record(body_of(vector.bytes("bytes")))
    need(vector.int("now") < expires <= vector.int("now") + 30 * WEEK // 7, "expired")
    need(sequence <= vector.int("now") + WEEK // 7, "ahead")
    return b2(160, "ZenTalk dir v1", key), sequence, expires, sealed


def sealed_prekey(vector):
    return identity.open_prekeys(vector.bytes("sealed"), vector.bytes("address"), vector.bytes("mailbox"))


def sealed_record(vector):
    return identity.open_record(vector.bytes("sealed"), vector.bytes("address"))


def contents(vector):
    body = body_of(vector.bytes("bytes"))
    devices = identity.check_contents(body, vector.bytes("address"), vector.int("now"))
    return body, devices


def same_contents(vector, got):
    body, devices = got
    same(body[0], body_of(vector.bytes("account_keys")), "account_keys")
    entry = field(body, 3, list)[0]
    same(entry[0], vector.bytes("certificate_body"), "certificate_body")
    same(entry[2], vector.bytes("mailbox_descriptor"), "mailbox_descriptor")
    assert len(devices) == len(body[3])


def fields(*names):
    """Compares with these fields of the vector: bytes, or numbers where a number was given."""
    def compare(vector, got):
        got = got if isinstance(got, tuple) else (got,)
        wanted = tuple(vector.int(name) if isinstance(value, int) else vector.bytes(name)
                       for name, value in zip(names, got, strict=True))
        same(got, wanted, ", ".join(names))
    return compare


def both(compare, write):
    """Compares what was read, and writes it again."""
    def both_ways(vector, got):
        compare(vector, got)
        write(vector)
    return both_ways


def by_device(write):
    return lambda vector: write(vector, DEVICES[-1])


# safety_number.txt

def halves(vector):
    return [safety_number.Half.of(vector.bytes(f"{whose}_rsa"), vector.bytes(f"{whose}_ml_dsa")) for whose in ("my", "their")]


def fingerprint(vector):
    keys = vector.bytes("rsa"), vector.bytes("ml_dsa")
    half, address = safety_number.Half.of(*keys), identity.address_of(dict(enumerate(keys)))
    got = address, safety_number.first_hash(*keys, address), half.iterated, half.digits
    wanted = *(vector.bytes(name) for name in ("address", "first", "last")), vector["digits"]
    equal_or_different(vector, got, wanted)


def number(vector):
    mine, theirs = halves(vector)
    got = safety_number.digits(mine, theirs), safety_number.qr_text(mine, theirs)
    equal_or_different(vector, got, (vector["digits"], vector["qr"]))


def comparison(vector):
    same(safety_number.compare(*halves(vector), vector["scanned"]), vector.expect, "comparison")


# work.txt

def work_shown(vector):
    node, key, purpose = (vector.bytes(name) for name in ("node", "key", "purpose"))
    work.check(vector.bytes("work"), purpose, node, key, vector.bytes("object"))


KINDS = {
    "work": given_or_refused(work_shown, lambda vector, got: None),
    "safety_number fingerprint": fingerprint,
    "safety_number number": number,
    "safety_number compare": comparison,
    "account": account,
    "device": device,
    "certificate": given_or_refused(certificate, same_certificate),
    "device list": given_or_refused(device_list, same_device_list),
    "freshness": given_or_refused(
        freshness, both(fields("list", "sequence", "time"), by_device(written.freshness))),
    "sealing key": given_or_refused(
        sealing_key, both(fields("key", "created", "expires"), by_device(written.sealing_key))),
    "contact code": given_or_refused(contact_code, fields("address", "directory_key")),
    "identifier": identifier,
    "permit": permit,
    "owner request": given_or_refused(
        owner_request, both(fields("mailbox", "sequence", "body"), written.owner_request)),
    "tombstone": given_or_refused(tombstone, both(fields("mailbox", "ids"), written.tombstone)),
    "mailbox descriptor": given_or_refused(
        mailbox_descriptor, both(fields("mailbox", "sequence", "members", "active"), written.mailbox_descriptor)),
    "record": given_or_refused(
        record, both(fields("record_key", "sequence", "expires", "sealed"), written.record)),
    "sealed prekey": given_or_refused(sealed_prekey, both(fields("entry"), written.sealed_prekey)),
    "sealed record": given_or_refused(sealed_record, both(fields("contents"), written.sealed_record)),
    "contents": given_or_refused(contents, same_contents),
}
