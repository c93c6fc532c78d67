"""Frames (§2), what they carry through onions (§6) and as content (§9)."""

from dataclasses import dataclass

from identity import mailbox_of
from primitives import b2, body_of, check_sign, field, need

RELAY_FORWARD, DELIVER = 0x0006, 0x0010
DIRECT_MESSAGE, GROUP_MESSAGE, PROFILE_UPDATE, PRESENCE, TYPING, RECEIPT = 0x0003, 0x0004, 0x000A, 0x000B, 0x0020, 0x0021
PUT, SUBSCRIBE, FETCH, PREKEY_PUBLISH, RECORD_PUT, PUSH = 0x0060, 0x0062, 0x0064, 0x0068, 0x006C, 0x0072
ACKNOWLEDGE = 0x0066
OWNERS = {SUBSCRIBE, FETCH, PREKEY_PUBLISH}

PACKETS = {RELAY_FORWARD: 38272, DELIVER: 33532}
RPC = {kind: 28640 for kind in range(0x0060, 0x0074)}
CONTENT = {
    DIRECT_MESSAGE: 1 << 20, GROUP_MESSAGE: 1 << 20, PROFILE_UPDATE: 65536, PRESENCE: 4096, TYPING: 256, RECEIPT: 65536,
}


@dataclass
class Frame:
    """A frame: type, message id, payload."""

    kind: int
    message_id: bytes
    payload: bytes

    @classmethod
    def split(cls, data, bounds):
        """The frame that data begins with, one of these types, and what follows it."""
        need(len(data) >= 32 and data[:6] == bytes.fromhex("deadbeef 0100"), "frame header")
        kind, length, flags = (int.from_bytes(data[a:b], "big") for a, b in ((6, 8), (8, 12), (12, 16)))
        need(kind in bounds and length <= bounds[kind], "frame type or length")
        need(flags & 0xFFFF == 0, "frame flags")
        need(len(data) >= 32 + length, "frame length")
        return cls(kind, data[16:32], data[32:32 + length]), data[32 + length:]

    @classmethod
    def parse(cls, data, bounds):
        """Data that is one frame."""
        frame, rest = cls.split(data, bounds)
        need(not rest, "frame length")
        return frame

    @classmethod
    def padded(cls, data):
        """The rpc frame in the capacity of an onion's body: zeros follow it."""
        frame, rest = cls.split(data, RPC)
        need(not any(rest), "padding")
        return frame

    def body(self):
        return body_of(self.payload)


def owner_request(frame, node):
    """(mailbox key, sequence, body) of an owner-request to a relay, when its signature verifies."""
    request = frame.body()
    mailbox, sequence, body = field(request, 0, bytes, 32), field(request, 1, int), field(request, 2, bytes)
    message = node + frame.kind.to_bytes(2, "big") + sequence.to_bytes(8, "big") + body
    check_sign(mailbox, "ZenTalk owner v1", message, field(request, 3, bytes, 64))
    return mailbox, sequence, body


def envelope_of(put):
    """(envelope id, envelope) of a put-request, when the one is the other's."""
    number, envelope = field(put, 1, bytes, 16), field(put, 3, bytes, 8000)
    need(number == b2(128, "ZenTalk envelope id v1", envelope), "envelope id")
    return number, envelope


def tombstone(body):
    """(MailboxId, envelope ids) of an acknowledge-request, when its signature verifies."""
    key, ids = field(body, 0, bytes, 32), field(body, 1, list)
    need(1 <= len(ids) <= 400 and all(isinstance(i, bytes) and len(i) == 16 for i in ids), "ids")
    mailbox = mailbox_of(key)
    check_sign(key, "ZenTalk tombstone v1", mailbox + b"".join(ids), field(body, 2, bytes, 64))
    return mailbox, ids


@dataclass
class Text:
    """What a direct-message says."""

    sent: int
    text: str | None

    @classmethod
    def of(cls, frame):
        body = frame.body()
        field(body, 1, int)
        text = field(body, 2, str) if 2 in body else None
        need(text is None or len(text.encode()) <= 16384, "text")
        return cls(field(body, 0, int), text)


def receipt(frame):
    """(1 delivered or 2 read, MessageIds)"""
    body = frame.body()
    ids = field(body, 1, list)
    need(1 <= len(ids) <= 1000 and all(isinstance(i, bytes) and len(i) == 16 for i in ids), "receipt")
    return field(body, 0, int), ids
