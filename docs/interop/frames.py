"""Frames (§2), what they carry through onions (§6) and as content (§9)."""

from dataclasses import dataclass

from identity import mailbox_of
from primitives import b2, body_of, check_sign, field, need

RPC_BOUND = 28640
TYPES = {  # §2: name, payload bound
    0x0001: ("Handshake", 16384), 0x0002: ("HandshakeAck", 16384),
    0x0003: ("DirectMessage", 1 << 20), 0x0004: ("GroupMessage", 1 << 20),
    0x0005: ("Ack", 64), 0x0006: ("RelayForward", 38272), 0x0007: ("Ping", 64), 0x0008: ("Pong", 64), 0x0009: ("Error", 256),
    0x000A: ("ProfileUpdate", 65536), 0x000B: ("Presence", 4096),
    0x0010: ("Deliver", 33532), 0x0011: ("LinkProof", 1024), 0x0012: ("DirectoryGet", 64), 0x0013: ("Directory", 4 << 20),
    0x0020: ("Typing", 256), 0x0021: ("Receipt", 65536),
    0x0030: ("DhtPing", 64), 0x0031: ("DhtPong", 64), 0x0032: ("DhtStore", 28640), 0x0033: ("DhtStored", 64),
    0x0034: ("DhtFindNode", 64), 0x0035: ("DhtFindValue", 64), 0x0036: ("DhtNodes", 8192), 0x0037: ("DhtValue", 36864),
    0x0040: ("ReplicatePut", 8192), 0x0041: ("ReplicatePutAck", 256),
    0x0042: ("ReplicateTombstone", 8192), 0x0043: ("ReplicateTombstoneAck", 256),
    0x0044: ("SwarmSummary", 8192), 0x0045: ("SwarmIds", 8192), 0x0046: ("SwarmWant", 8192), 0x0047: ("SwarmDescriptor", 2048),
} | {0x0060 + number: (name, RPC_BOUND) for number, name in enumerate((
    "PutRequest", "PutReply", "SubscribeRequest", "SubscribeReply", "FetchRequest", "FetchReply", "AcknowledgeRequest",
    "AcknowledgeReply", "PreKeyPublishRequest", "PreKeyPublishReply", "PreKeyTakeRequest", "PreKeyTakeReply", "RecordPutRequest",
    "RecordPutReply", "RecordGetRequest", "RecordGetReply", "DirectorySyncRequest", "DirectorySyncReply", "Push", "Refused"))}

RELAY_FORWARD, DELIVER = 0x0006, 0x0010
DIRECT_MESSAGE, GROUP_MESSAGE, PROFILE_UPDATE, PRESENCE, TYPING, RECEIPT = 0x0003, 0x0004, 0x000A, 0x000B, 0x0020, 0x0021
PUT, SUBSCRIBE, FETCH, PREKEY_PUBLISH, RECORD_PUT, PUSH = 0x0060, 0x0062, 0x0064, 0x0068, 0x006C, 0x0072
ACKNOWLEDGE, REFUSED = 0x0066, 0x0073
OWNERS = {SUBSCRIBE, FETCH, PREKEY_PUBLISH}


def bounds(*kinds):
    return {kind: TYPES[kind][1] for kind in kinds}


ANY = bounds(*TYPES)
PACKETS = bounds(RELAY_FORWARD, DELIVER)
RPC = bounds(*range(PUT, REFUSED + 1))
CONTENT = bounds(DIRECT_MESSAGE, GROUP_MESSAGE, PROFILE_UPDATE, PRESENCE, TYPING, RECEIPT)


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

    def encode(self):
        need(len(self.payload) <= ANY[self.kind], "frame type or length")
        header = bytes.fromhex("deadbeef 0100") + self.kind.to_bytes(2, "big") + len(self.payload).to_bytes(4, "big")
        return header + bytes(4) + self.message_id + self.payload

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
