"""Safety numbers, §10: the digits that two people compare, and the QR text."""

from dataclasses import dataclass
from hmac import compare_digest

from identity import address_of, bech32_data, bech32_text
from primitives import Refused, b2, b2_framed

ITERATIONS = 5200


@dataclass
class Half:
    """What one account gives to every number that it is in."""

    iterated: bytes

    @classmethod
    def of(cls, rsa, ml_dsa):
        address = address_of({0: rsa, 1: ml_dsa})
        h = first_hash(rsa, ml_dsa, address)
        for _ in range(ITERATIONS):
            h = b2(512, "", h, address)
        return cls(h)

    @property
    def digits(self):
        groups = (self.iterated[5 * i:5 * i + 5] for i in range(6))
        return "".join(f"{int.from_bytes(group, 'big') % 100000:05}" for group in groups)

    @property
    def fingerprint(self):
        return self.iterated[:32]


def first_hash(rsa, ml_dsa, address):
    return b2_framed(512, "ZenTalk safety number v1", rsa, ml_dsa, address)


def digits(mine, theirs):
    return "".join(sorted((mine.digits, theirs.digits)))


def qr_text(mine, theirs):
    """What somebody shows who is to be verified by `theirs`."""
    return bech32_text("zsn", b"\x01" + mine.fingerprint + theirs.fingerprint).upper()


def compare(mine, theirs, scanned):
    """What somebody is told who scans a text to verify a contact."""
    try:
        data = bech32_data("zsn", "".join(scanned.split()).lower())
    except Refused:
        return "not a safety number"
    if data[:1] != b"\x01":
        return "other version" if data else "not a safety number"
    if len(data) != 65:
        return "not a safety number"
    return "match" if compare_digest(data[1:], theirs.fingerprint + mine.fingerprint) else "different"
