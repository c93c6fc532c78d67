"""Checks what the real code made a moment ago: `python live.py FOLDER`.

`onions.txt` is vectors; `traffic.txt` is a recording. The recording holds frames as they crossed the wires, records that relays and clients had stored, and what people saw.
All in between is done here: packets are peeled, requests read, account records and prekeys opened, envelopes,
sessions and ratchets followed, and at the end every text must be one that its recipient was shown, and the reverse.
"""

import random
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cbor2

import frames
import identity
import session
import vectors
from frames import Frame
from primitives import MlKem768, Refused, XWing, body_of, field, need, x25519, x25519_public
from report import Report
from traffic import Onions, Recording


class Keyring:
    """The secrets of one client. What they are for is told by their public keys, not by where they were stored."""

    def __init__(self):
        self._seen = set()
        self._dh, self._kem, self._xwing = {}, {}, {}
        self._maybe_kem, self._maybe_xwing = [], []

    def add(self, table, record):
        for value in byte_strings(record):
            if value in self._seen:
                continue
            self._seen.add(value)
            if len(value) == 32:
                self._dh[x25519_public(value)] = value
                if table == "Meta":
                    self._maybe_xwing.append(value)
            elif len(value) == 64:
                self._maybe_kem.append(value)

    def dh(self, public):
        return self._dh.get(public)

    def kem(self, public):
        return found(public, self._kem, self._maybe_kem, MlKem768)

    def xwing(self, public):
        return found(public, self._xwing, self._maybe_xwing, XWing)


def found(public, pairs, candidates, pair_of):
    """The key pair of a public key; making them takes long, so candidates are tried as late as possible."""
    while public not in pairs and candidates:
        pair = pair_of(candidates.pop())
        pairs[pair.public] = pair
    return pairs.get(public)


def byte_strings(value):
    """All byte strings in a CBOR value, and in records within them. Some are no CBOR, and hold none."""
    match value:
        case bytes():
            yield value
            try:
                inner = cbor2.loads(value) if len(value) > 64 else None
            except cbor2.CBORDecodeError:
                return
            yield from byte_strings(inner)
        case dict():
            for entry in value.values():
                yield from byte_strings(entry)
        case list():
            for entry in value:
                yield from byte_strings(entry)


class Person:
    """A client: its address, its secrets, and what it has published."""

    def __init__(self, index, address, code):
        self.index, self.address = index, address
        told, self.directory_key = identity.contact_code(code)
        need(told == address, "contact code")
        self.keyring = Keyring()
        self.device = None         # session.Device
        self.sealing_publics = []
        self.certificate = None
        self.fragments = session.Fragments()

    def published(self, device):
        """A record says this of the person's only device."""
        certificate = device.certificate
        identity_secret = self.keyring.dh(certificate.identity)
        need(identity_secret is not None, "the identity key's secret is not stored")
        if self.device is None:
            self.device = session.Device(
                self.address, certificate.device_id, certificate.hash, identity_secret, [], {}, {}, {})
        if device.sealing_key not in self.sealing_publics:
            self.sealing_publics.append(device.sealing_key)
            pair = self.keyring.xwing(device.sealing_key)
            need(pair is not None, "the sealing key's secret is not stored")
            self.device.sealing_keys.append(pair)
        self.certificate, self.mailbox = certificate, device.mailbox


class Session:
    """A session that a first message began, seen from both ends."""

    def __init__(self, initiator, responder, message):
        sender, accepted = session.accept(responder.device, message)
        need(sender.address == initiator.address, "sender")
        self.people = {initiator.index: initiator, responder.index: responder}
        begins = session.Ratchet(accepted.secret, accepted.ad, None, peer_dh=x25519_public(accepted.signed_prekey))
        self.ratchets = {initiator.index: begins, responder.index: accepted.ratchet()}

    def receive(self, sender, recipient, message):
        """(plaintext, whether its key was a skipped one). Before it the sender's end makes the step that the header shows, if it is a new one."""
        header = session.Header.parse(message.header)
        theirs, ours = replace(self.ratchets[sender.index]), self.ratchets[recipient.index]
        was_skipped = (header.dh, header.n) in ours.skipped
        if header.dh != ours.peer_dh and not was_skipped:
            dh, kem = sender.keyring.dh(header.dh), sender.keyring.kem(header.ek)
            need(dh is not None and kem is not None, "the ratchet keys' secrets are not stored")
            theirs.sent(dh, kem, ours.own[1].open(header.ct))
        plaintext = ours.receive(message.header, message.ciphertext)
        self.ratchets[sender.index] = theirs
        return plaintext, was_skipped


class Messages:
    """Follows every envelope to the content in it."""

    def __init__(self, recording):
        self.people = {index: Person(index, *client) for index, client in recording.clients.items()}
        for client, table, record in recording.rows:
            self.people[client].keyring.add(table, record)
        self.count, self.faults, self.seen = Counter(), [], set()
        self.sessions, self.chains = {}, set()
        self.held, self.dice = [], random.Random(3)
        self.texts, self.receipts = {}, set()

    def follow(self, requests):
        # Whoever publishes does so before anybody can write to them, but not before they write themselves.
        for time, _, frame in requests:
            if frame.kind == frames.RECORD_PUT:
                self._record(frame, time)
        for _, _, frame in requests:
            if frame.kind == frames.PREKEY_PUBLISH:
                self._prekeys(frame)
        for _, _, frame in requests:
            if frame.kind == frames.PUT:
                self._put(frame.body())
        self._release(progress=1000)
        self.count["chains"] = len(self.chains)

    def _record(self, frame, time):
        directory_key, _, _, sealed = identity.check_record(body_of(field(frame.body(), 0, bytes)))
        owner = next(p for p in self.people.values() if p.directory_key == directory_key)
        devices = identity.check_contents(body_of(identity.open_record(sealed, owner.address)), owner.address, time)
        need(len(devices) == 1, "one device")
        owner.published(devices[0])
        self.count["records"] += 1

    def _prekeys(self, frame):
        request = frame.body()
        mailbox = identity.mailbox_of(field(request, 0, bytes, 32))
        owner = self._owner(mailbox)
        body = body_of(field(request, 2, bytes))
        device, device_key = owner.device, owner.certificate.device_key
        base = body_of(identity.open_prekeys(field(body, 1, bytes), owner.address, mailbox))
        need(field(base, 0, bytes, 16) == device.device_id, "device")
        need(field(base, 1, bytes, 32) == device.certificate_hash, "certificate hash")
        number, public, _ = identity.check_signed_prekey(field(base, 2, dict), device_key)
        device.signed_prekeys[number] = owner.keyring.dh(public)
        self._kem_prekey(owner, field(base, 3, dict), is_last=True)
        for sealed in field(body, 2, list):
            entry = body_of(identity.open_prekeys(sealed, owner.address, mailbox))
            one_time = field(entry, 0, dict)
            device.one_time_prekeys[field(one_time, 0, int)] = owner.keyring.dh(field(one_time, 1, bytes, 32))
            if 1 in entry:
                self._kem_prekey(owner, field(entry, 1, dict), is_last=False)
            self.count["one-time prekeys"] += 1
        self.count["prekeys"] += 1

    @staticmethod
    def _kem_prekey(owner, prekey, is_last):
        number, public, last = identity.check_kem_prekey(prekey, owner.certificate.device_key)
        need(last == is_last, "last resort")
        owner.device.kem_prekeys[number] = owner.keyring.kem(public)

    def _owner(self, mailbox):
        return next(p for p in self.people.values() if p.device and p.mailbox == mailbox)

    def _put(self, request):
        mailbox, (number, envelope) = field(request, 0, bytes, 20), frames.envelope_of(request)
        if (mailbox, number) in self.seen:
            return  # put again or at another relay
        self.seen.add((mailbox, number))
        recipient = self._owner(mailbox)
        try:
            whole = recipient.fragments.add(self._fragment(recipient, envelope))
            self.count["envelopes"] += 1
            if whole is not None:
                self._arrived(recipient, session.SessionMessage.parse(whole))
        except Refused as refusal:
            self.faults.append(f"an envelope for client {recipient.index} is refused: {refusal}")

    @staticmethod
    def _fragment(recipient, sealed):
        for key in recipient.device.sealing_keys:
            try:
                data = session.open_envelope(key, recipient.device.device_id, sealed)
            except Refused:
                continue
            return session.Fragment.parse(data)
        raise Refused("envelope")

    def _arrived(self, recipient, message):
        """Every third message but the first of a chain is held back for a while: any order must do."""
        dh = session.Header.parse(message.header).dh
        if dh in self.chains and self.dice.random() < 1 / 3:
            self.held.append([self.dice.randrange(1, 12), recipient, message])
        else:
            self.chains.add(dh)
            self._message(recipient, message)
        self._release(1)

    def _release(self, progress):
        for entry in self.held:
            entry[0] -= progress
        ready, self.held = [e for e in self.held if e[0] <= 0], [e for e in self.held if e[0] > 0]
        for _, recipient, message in ready:
            self._message(recipient, message)

    def _message(self, recipient, message):
        sender = next(p for p in self.people.values() if p.device and p.device.device_id == message.sender)
        name = message.session
        if name not in self.sessions:
            self.sessions[name] = Session(sender, recipient, message)
            self.count["sessions"] += 1
        plaintext, was_skipped = self.sessions[name].receive(sender, recipient, message)
        self.count["messages"] += 1
        self.count["with a skipped key"] += was_skipped
        self._content(sender, recipient, Frame.parse(plaintext, frames.CONTENT))

    def _content(self, sender, recipient, frame):
        if frame.kind == frames.DIRECT_MESSAGE:
            said = frames.Text.of(frame)
            if said.text is not None:
                told = recipient.index, sender.address, frame.message_id
                need(self.texts.setdefault(told, (said.sent, said.text)) == (said.sent, said.text), "one id, two texts")
        elif frame.kind == frames.RECEIPT:
            kind, ids = frames.receipt(frame)
            self.receipts |= {(recipient.index, sender.address, number, kind) for number in ids}
            self.count["receipts"] += 1
        else:
            frame.body()
            self.count["other content"] += 1


def check_onions(onions):
    onions.follow()
    count = onions.count
    print("  onions:", ", ".join(f"{name} {number}" for name, number in sorted(count.items())), flush=True)
    return onions


def no_faults(faults):
    assert not faults, f"{len(faults)}: " + "; ".join(faults[:5])


def some(count, *names):
    for name in names:
        assert count[name] > 0, f"no {name} in the recording"


def check_messages(messages, requests):
    messages.follow(requests)
    print("  messages:", ", ".join(f"{name} {number}" for name, number in sorted(messages.count.items())), flush=True)


def check_acknowledged(messages, requests):
    """What owners acknowledge was put into their mailboxes."""
    ids = set()
    for _, _, frame in requests:
        if frame.kind == frames.ACKNOWLEDGE:
            mailbox, numbers = frames.tombstone(frame.body())
            ids |= {(mailbox, number) for number in numbers}
    assert ids, "nothing was acknowledged"
    assert ids <= messages.seen, f"{len(ids - messages.seen)} of {len(ids)} acknowledged envelopes were never put"


def check_shown(recording, messages):
    """What was decrypted here is what people were shown there."""
    shown = {(client, sender, number): (sent, text) for client, sender, number, sent, text in recording.shown}
    assert len(shown) == len(recording.shown) > 0, "nothing was shown, or something twice"
    missing = [key for key in shown if key not in messages.texts]
    surplus = [key for key in messages.texts if key not in shown]
    assert not missing and not surplus, f"{len(missing)} of {len(shown)} texts not decrypted here, {len(surplus)} not shown there"
    changed = [key for key in shown if shown[key] != messages.texts[key]]
    assert not changed, f"{len(changed)} texts differ"
    print(f"  texts: {len(shown)} as shown", flush=True)


def check_receipts(recording, messages):
    """Whatever a sender was told to be delivered has a receipt here."""
    told = [(client, to, number) for client, to, number, state in recording.states if state in ("delivered", "read")]
    assert told, "nothing was delivered"
    confirmed = {key[:3] for key in messages.receipts}
    assert set(told) <= confirmed, f"{len(set(told) - confirmed)} of {len(told)} deliveries have no receipt"


def main(folder):
    report = Report()
    vectors.run(Path(folder, "onions.txt"), report)
    recording = report.run("the recording is read", Recording, Path(folder, "traffic.txt"))
    onions = recording and report.run("every packet can be followed", check_onions, Onions(recording))
    if onions:
        report.run("no relay did anything else than peel, wait, forward, deliver and answer", no_faults, onions.faults)
        report.run("what was due was sent", no_faults, [f"{key}" for key in onions.never_sent()])
        kinds = "forward", "process", "deliver", "reply", "begun", "as foretold"
        report.run("all kinds of packets occurred", some, onions.count, *kinds)
        messages = Messages(recording)
        report.run("every request and envelope can be followed", check_messages, messages, onions.requests)
        report.run("every envelope opens to a message", no_faults, messages.faults)
        kinds = "records", "one-time prekeys", "envelopes", "sessions", "messages", "with a skipped key", "receipts", "chains"
        report.run("all kinds of messages occurred", some, messages.count, *kinds)
        report.run("what is acknowledged was put", check_acknowledged, messages, onions.requests)
        report.run("texts are those that were shown", check_shown, recording, messages)
        report.run("deliveries have receipts", check_receipts, recording, messages)
    report.close()


if __name__ == "__main__":
    main(sys.argv[1])
