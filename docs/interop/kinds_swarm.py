"""Vectors of frames (§2): frames.txt; and of what members of a swarm send each other (§6): swarm.txt."""

import frames
import swarm
from bodies import BOOL, List
from frames import Frame
from primitives import b2, need
from report import Vector, equal_or_different, refused, same

WIDTHS = {"mailbox": 20, "sequence": 8, "waiting": 8, "digest": 16}
PARTS = "magic", "version", "type", "length", "flags", "id", "payload"


# frames.txt

def read_frames(text):
    """Its own format: a frame a line, `name: part | part | …`."""
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, parts = line.split(":", 1)
            parts = zip(PARTS, (part.strip() for part in parts.split("|")), strict=True)
            yield Vector({"kind": "frame", "expect": "accepted", "comment": name, "name": name} | dict(parts))


def frame(vector):
    """Both ways, and refused when any rule of §2 is broken. Every type has one frame."""
    kind, data = vector.int("type"), b"".join(vector.bytes(part) for part in PARTS)
    odd = {name for name, _ in frames.TYPES.values()} ^ {other["name"] for other in vector.file}
    assert not odd and len(vector.file) == len(frames.TYPES), f"types and frames differ: {', '.join(odd) or 'one is there twice'}"
    same(vector["name"], frames.TYPES[kind][0], "name")
    wanted = Frame(kind, vector.bytes("id"), vector.bytes("payload"))
    same(Frame.parse(data, frames.ANY), wanted, "frame")
    same(wanted.encode(), data, "bytes")
    same(Frame.parse(data[:12] + b"\xff\xff" + data[14:], frames.ANY), wanted, "frame with flags that may be ignored")
    longest = Frame(kind, bytes(16), bytes(frames.ANY[kind]))
    same(Frame.parse(longest.encode(), frames.ANY), longest, "longest frame")
    too_long = frames.ANY[kind] + 1
    for damaged in (
        data[:-1], data + b"\0", b"\xdf" + data[1:], data[:4] + b"\2" + data[5:], data[:5] + b"\1" + data[6:],
        data[:6] + b"\x7f\xff" + data[8:], data[:14] + b"\x80" + data[15:], data[:15] + b"\1" + data[16:],
        data[:8] + too_long.to_bytes(4, "big") + data[12:32] + bytes(too_long),
    ):
        refused(None, Frame.parse, damaged, frames.ANY)


# swarm.txt

def pieces(data, width):
    need(len(data) % width == 0, "columns")
    return [data[at:at + width] for at in range(0, len(data), width)]


def ids(vector, name):
    """A list of ids, in one; absent: none."""
    return pieces(vector.bytes(name), 16) if name in vector else []


def summaries(vector):
    """Each of its fields is a column."""
    columns = [pieces(vector.bytes(name), width) if name in vector else [] for name, width in WIDTHS.items()]
    number = lambda value: int.from_bytes(value, "big")
    rows = zip(*columns, strict=True)
    return [{"mailbox": m, "sequence": number(s), "waiting": number(w), "digest": d} for m, s, w, d in rows]


def fields_of(vector, kind):
    """The fields that the vector gives."""
    out = {}
    for _, name, optional, what in swarm.BODIES[kind].entries:
        if name == "mailboxes":
            out[name] = summaries(vector)
        elif name == "work":
            out |= {name: {"seed": vector.bytes("seed"), "effort": vector.int("effort")}} if "seed" in vector else {}
        elif isinstance(what, List):
            out[name] = ids(vector, name)
        elif name in vector or not optional:
            is_bytes = what.name.startswith("bytes")
            out[name] = vector.bytes(name) if is_bytes else bool(vector.int(name)) if what is BOOL else vector.int(name)
    return out


def message(vector):
    kind, body = vector.int("type"), vector.bytes("body")
    if vector.expect == "refused":
        return refused(None, swarm.read, kind, body)
    wanted = fields_of(vector, kind)
    same(swarm.read(kind, body), wanted, "fields")
    same(swarm.BODIES[kind].encode(wanted), body, "bytes")
    for damaged in body[:-1], body + b"\0", b"\xf6", b"":
        refused(None, swarm.read, kind, damaged)


def held_mail(vector):
    equal_or_different(vector, swarm.held_mail(ids(vector, "ids")), vector.bytes("digest"))


def standing(vector):
    told = swarm.Swarm.check(vector.bytes("descriptor"))
    same((told.mailbox, told.sequence), (vector.bytes("mailbox"), vector.int("sequence")), "descriptor")
    same(told.standing(vector.bytes("node")), vector.expect, "standing")


def mailbox_of(held, tombstoned, name=bytes(20), sequence=1):
    return swarm.Mailbox(swarm.Swarm(name, sequence, [], []), set(held), set(tombstoned))


def newer(vector):
    """Whether a member that has a descriptor of this mailbox and sequence stores the one that it is told."""
    told = swarm.Swarm.check(vector.bytes("descriptor"))
    has = mailbox_of([], [], vector.bytes("mailbox"), vector.int("held"))
    same("stored" if has.learn(told) else "passed over", vector.expect, "descriptor")


def comparison(vector):
    """What a member that holds this answers to a page, or to an answer of its own."""
    name = vector.bytes("mailbox")
    page = swarm.read(swarm.IDS, vector.bytes("page"))
    same(page["mailbox"], name, "mailbox")
    answer, gone, wanted = mailbox_of(ids(vector, "held"), ids(vector, "tombstoned"), name).compared(page)
    got = answer and swarm.BODIES[swarm.IDS].encode(answer)
    same(got, vector.bytes("answer") if "answer" in vector else None, "answer")
    same((gone, wanted), (ids(vector, "gone"), ids(vector, "wanted")), "tombstones sent, mail wanted")


def numbered(first, end):
    return {b2(128, "", number.to_bytes(4, "big")) for number in range(first, end)}


def member(ranges):
    """Holds the first range but for the second, which it has tombstoned."""
    first, end, gone, gone_end = (int.from_bytes(bound, "big") for bound in pieces(ranges, 2))
    return mailbox_of(numbered(first, end) - numbered(gone, gone_end), numbered(gone, gone_end))


def reconciliation(vector):
    """Both end with all that neither had tombstoned."""
    begins, other = member(vector.bytes("begins")), member(vector.bytes("other"))
    wanted = (begins.held | other.held) - begins.tombstoned - other.tombstoned
    assert begins.differs(other.summary()), "nothing to compare"
    swarm.reconcile(begins, other)
    same((begins.held, other.held), (wanted, wanted), "held after it")
    assert not begins.differs(other.summary()), "summaries differ still"
    same(swarm.held_mail(wanted), vector.bytes("digest"), "digest")


KINDS = {
    "frames frame": frame,
    "swarm message": message,
    "swarm held mail": held_mail,
    "swarm standing": standing,
    "swarm newer": newer,
    "swarm comparison": comparison,
    "swarm reconciliation": reconciliation,
}
