"""Swarms (§6, §7): what members of one send each other, and what each makes of it."""

from dataclasses import dataclass

import frames
import identity
from bodies import BOOL, UINT, List, Map, octets, one_of
from primitives import b2, body_of, check_sign, need

PUT, PUT_ACK, TOMBSTONE, TOMBSTONE_ACK, SUMMARY, IDS, WANT, DESCRIPTOR = range(0x0040, 0x0048)
MAILBOX, ID = octets(20), octets(16)
FIRST = bytes(16)  # the lowest id
PAGE = 400

MAILBOX_SUMMARY = Map((0, "mailbox", MAILBOX), (1, "sequence", UINT), (2, "waiting", UINT), (3, "digest", octets(16)))
BODIES = {
    PUT: Map((0, "mailbox", MAILBOX), (1, "id", ID), (2, "envelope", octets(8000)), (3, "hour", UINT), (4, "permitted", BOOL)),
    PUT_ACK: Map((0, "mailbox", MAILBOX), (1, "id", ID), (2, "durable", BOOL)),
    TOMBSTONE: Map((0, "key", octets(32)), (1, "ids", List(1, PAGE, ID)), (2, "signature", octets(64))),
    TOMBSTONE_ACK: Map((0, "mailbox", MAILBOX), (1, "recorded", UINT)),
    SUMMARY: Map((0, "mailboxes", List(0, 64, MAILBOX_SUMMARY)), (1, "answers", BOOL)),
    IDS: Map((0, "mailbox", MAILBOX), (1, "first", ID), (2, "end?", ID), (3, "ids", List(0, PAGE, ID)), (4, "answers", BOOL)),
    WANT: Map((0, "mailbox", MAILBOX), (1, "ids", List(0, PAGE, ID))),
    DESCRIPTOR: Map((0, "descriptor", octets(1, 1024))),
    frames.REFUSED: Map((0, "code", one_of(range(1, 10))), (1, "work?", Map((0, "seed", octets(16)), (1, "effort", UINT)))),
}


def read(kind, data):
    """The fields of a frame's body, when whoever got it may go on."""
    need(len(data) <= frames.ANY[kind], "frame type or length")
    body = BODIES[kind].decode(data)
    if kind == PUT:
        need(body["id"] == b2(128, "ZenTalk envelope id v1", body["envelope"]), "envelope id")
    if kind == TOMBSTONE:
        mailbox = identity.mailbox_of(body["key"])
        check_sign(body["key"], "ZenTalk tombstone v1", mailbox + b"".join(body["ids"]), body["signature"])
    if kind == DESCRIPTOR:
        Swarm.check(body["descriptor"])
    return body


def held_mail(ids):
    """The digest of a summary."""
    return b2(128, "ZenTalk held mail v1", *sorted(ids))


def in_range(number, first, end):
    return first <= number and (end is None or number < end)


@dataclass
class Swarm:
    """What a mailbox-descriptor says whose signature holds."""

    mailbox: bytes
    sequence: int
    members: list
    active: list

    @classmethod
    def check(cls, data):
        need(len(data) <= 1024, "length")
        descriptor = body_of(data)
        mailbox = identity.mailbox_of(identity.check_mailbox(descriptor))
        body = body_of(descriptor[0])
        return cls(mailbox, body[1], body[2], body[2][:body[3]])

    def standing(self, node):
        """What a relay is to a mailbox that it holds; one that was a member answers a `Put` with Refused (moved)."""
        if node not in self.members:
            return "former"
        return "active" if node in self.active else "listed"


@dataclass
class Mailbox:
    """A mailbox at one member: its newest descriptor, ids of mail held, ids tombstoned (which are not held)."""

    swarm: Swarm
    held: set
    tombstoned: set

    def summary(self):
        return {
            "mailbox": self.swarm.mailbox, "sequence": self.swarm.sequence,
            "waiting": len(self.held), "digest": held_mail(self.held),
        }

    def differs(self, theirs):
        """Whether a summary of the other's is answered with ours."""
        ours = self.summary()
        return (ours["sequence"], ours["digest"]) != (theirs["sequence"], theirs["digest"])

    def learn(self, swarm):
        """Takes a newer descriptor; tells whether it was one."""
        is_newer = swarm.mailbox == self.swarm.mailbox and swarm.sequence > self.swarm.sequence
        if is_newer:
            self.swarm = swarm
        return is_newer

    def page(self, first, end=None, answers=False):
        """The ids held from `first` on, before `end`; where they are more than a page, of the range of a page."""
        ids = sorted(i for i in self.held if in_range(i, first, end))
        if len(ids) > PAGE:
            end, ids = ids[PAGE], ids[:PAGE]
        page = {"mailbox": self.swarm.mailbox, "first": first, "ids": ids, "answers": answers}
        return page if end is None else page | {"end": end}

    def compared(self, theirs):
        """(answer, ids whose tombstones are sent, ids wanted), on getting the other's page."""
        first, end = theirs["first"], theirs.get("end")
        answer = None if theirs["answers"] else self.page(first, end, answers=True)
        listed = [i for i in theirs["ids"] if in_range(i, first, end)]
        gone = [i for i in listed if i in self.tombstoned]
        wanted = [i for i in listed if i not in self.tombstoned | self.held]
        return answer, gone, wanted


def reconcile(begins, other):
    """One comparison of two members, page by page, with what each sends the other for it."""
    first = FIRST
    while first is not None:
        page = begins.page(first)
        answer, gone, wanted = other.compared(page)
        carry(other, begins, gone, wanted)
        _, gone, wanted = begins.compared(answer)
        carry(begins, other, gone, wanted)
        first = answer.get("end")


def carry(getter, sender, gone, wanted):
    """Who got a page sends tombstones for it, and is sent the mail that it wants."""
    sender.tombstoned.update(gone)
    sender.held.difference_update(gone)
    getter.held.update(i for i in wanted if i in sender.held)
