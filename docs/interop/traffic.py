"""Onions in recorded traffic: what each relay must have done with each packet, beside what it did.

A recording is what `tests/examples/interop_traffic.rs` writes: its lines are explained in
`tests/src/sim/recording.rs`. Nothing of the code's own opinion about a packet is in it, only what was seen on wires.
"""

from collections import Counter
from dataclasses import dataclass, field as fresh

import cbor2

import frames
import onion
from frames import Frame
from primitives import Refused, body_of, field, need

NEVER = float("inf")
HANDSHAKE = 6000  # ms after which ends have surely proved who they are, and of two connections of two relays one is left
KEYS = {1: onion.X25519Key, 2: onion.XWingKey, 3: onion.RsaKey}


class Recording:
    """The lines of a file, by what they tell of."""

    def __init__(self, path):
        self.nodes, self.clients, self.onions = {}, {}, {}
        self.packets, self.rows, self.shown, self.states = [], [], [], []
        self.visits = {}  # (relay, other end): [[joined, left], …]
        self._frames = {}
        with open(path) as lines:
            for line in lines:
                what, *fields = line.split(" ")
                getattr(self, "_" + what)(*(text.rstrip("\n") for text in fields))

    def _relay(self, index, node):
        self.nodes[int(index)] = bytes.fromhex(node)

    def _client(self, index, address, code):
        self.clients[int(index)] = bytes.fromhex(address), code

    def _onion(self, relay, record):
        """A relay's own record: version, then every suite and its [[epoch index, secret], …]."""
        _, *rest = cbor2.loads(bytes.fromhex(record))
        self.onions[int(relay)] = {
            (suite, index % 65536): KEYS[suite](secret)
            for suite, secrets in zip(rest[::2], rest[1::2])
            for index, secret in secrets
        }

    def _arrived(self, time, relay, frame):
        known = self._frames[frame[1:]] if frame.startswith("=") else bytes.fromhex(frame)
        self.packets.append((int(time), int(relay), None, known))

    def _sent(self, time, relay, to, frame):
        data = self._frames[frame[32:64]] = bytes.fromhex(frame)
        self.packets.append((int(time), int(relay), to, data))

    def _joined(self, time, relay, other):
        self.visits.setdefault((int(relay), other), []).append([int(time), NEVER])

    def _left(self, time, relay, other):
        """Of two connections the older one."""
        next(visit for visit in self.visits[int(relay), other] if visit[1] == NEVER)[1] = int(time)

    def was_there(self, relay, other, time):
        return any(joined + HANDSHAKE <= time < left for joined, left in self.visits.get((relay, other), []))

    def came(self, relay, other, since, until):
        return any(since - HANDSHAKE <= joined <= until for joined, _ in self.visits.get((relay, other), []))

    def _row(self, client, table, value):
        self.rows.append((int(client), table, bytes.fromhex(value)))

    def _shown(self, client, sender, number, sent, text):
        self.shown.append((int(client), bytes.fromhex(sender), bytes.fromhex(number), int(sent), bytes.fromhex(text).decode()))

    def _state(self, client, to, number, state):
        self.states.append((int(client), bytes.fromhex(to), bytes.fromhex(number), state))


@dataclass
class Reply:
    """An answer on its way through a reply block, as its owner will open it."""

    surb: onion.Surb
    payload: bytes
    secrets: list


@dataclass
class Onions:
    """Follows every packet through every relay."""

    recording: Recording
    count: Counter = fresh(default_factory=Counter)
    faults: list = fresh(default_factory=list)
    requests: list = fresh(default_factory=list)  # (time, relay, frame), in the order of arrival
    due: dict = fresh(default_factory=dict)       # what a relay must send: (relay, receiver, frame type, payload) -> times
    surbs: dict = fresh(default_factory=dict)     # reply blocks that relays have, by (relay, header): surb, request id
    replies: dict = fresh(default_factory=dict)   # replies under way, by packet
    entered: dict = fresh(default_factory=dict)   # the relay at which packets under way were first seen, by packet
    tags: dict = fresh(default_factory=dict)      # clients by the connection tags of what was delivered to them
    delivered: dict = fresh(default_factory=dict)  # when a relay sent a delivery last, by (relay, client, message id, payload)
    unseen: dict = fresh(default_factory=dict)    # reply blocks that begin at the relay that has them, by (relay, SURB id)

    def follow(self):
        nodes = self.recording.nodes
        self._index = {node: index for index, node in nodes.items()}
        self._hops = {index: onion.Hop(self.recording.onions[index]) for index in nodes}
        for time, relay, to, data in self.recording.packets:
            frame = Frame.parse(data, frames.PACKETS)
            if to is None:
                self._arrived(time, relay, frame)
            else:
                self._sent(time, relay, to, frame)

    def _arrived(self, time, relay, frame):
        packet = frame.payload
        try:
            peeled = self._hops[relay].peel(packet)
        except Refused as refusal:
            return self.faults.append(f"relay {relay}: a packet is refused: {refusal}")
        self.count[f"suite {packet[1]}"] += 1
        reply, entered = self.replies.get(packet), self.entered.get(packet, relay)
        match peeled:
            case onion.Forward():
                self.entered[peeled.packet] = entered
                key = relay, f"r{self._index[peeled.next]}", frames.RELAY_FORWARD, peeled.packet
                self.due.setdefault(key, []).append((time + peeled.delay, None))
                if reply:
                    self.replies[peeled.packet] = Reply(reply.surb, reply.payload, reply.secrets + [peeled.secret])
                self.count["forward"] += 1
            case onion.Deliver():
                key = relay, "client", frames.DELIVER, peeled.surb_id + peeled.body
                self.due.setdefault(key, []).append((time, peeled.tag))
                self.count["deliver"] += 1
                if reply is None and entered == relay:
                    self.count["loop"] += 1  # begun by the client itself, whose secrets nobody else has
                else:
                    self._open_reply(packet[1], reply, peeled)
            case onion.Process():
                self.count["process"] += 1
                self._request(time, relay, Frame.padded(peeled.payload), peeled.surb)

    def _open_reply(self, suite, reply, peeled):
        """As the owner, who has kept the secrets that the hops derive."""
        if reply is None:
            return self.faults.append("a delivery of something that no relay was seen to send")
        payload = onion.open_reply(suite, reply.surb.reply_key, reply.secrets + [peeled.secret], peeled.body)
        if payload != reply.payload:
            self.faults.append("a reply opens to something else")
        self.count["reply"] += 1

    def _request(self, time, relay, frame, surb):
        if any(surb):
            self._give(relay, surb, frame.message_id)
        if frame.kind in frames.OWNERS:
            _, _, body = frames.owner_request(frame, self.recording.nodes[relay])
            if frame.kind == frames.SUBSCRIBE:
                for pushed in field(body_of(body), 2, list):
                    self._give(relay, pushed, None)
        elif frame.kind == frames.ACKNOWLEDGE:
            frames.tombstone(frame.body())
        self.requests.append((time, relay, frame))

    def _give(self, relay, data, request):
        surb = onion.Surb.parse(data)
        if surb.first_hop == self.recording.nodes[relay]:
            # The answer through it crosses no wire before it is delivered. Its header tells already how.
            only = onion.Hop(self.recording.onions[relay]).peel(onion.reply_packet(surb, b"", min(onion.CAPACITIES)))
            self.unseen[relay, only.surb_id] = surb, request, only.secret
        self.surbs[relay, surb.header] = surb, request

    def _sent(self, time, relay, to, frame):
        if frame.kind == frames.DELIVER:
            return self._delivered(time, relay, to, frame)
        times = self.due.get((relay, to, frame.kind, frame.payload))
        if times:
            at, _ = times.pop(0)
            if not at <= time <= at + 1 and not self.recording.came(relay, to, at, time):
                self.faults.append(f"relay {relay} sends a packet {time - at} ms late")
            self.count["as foretold"] += 1
        else:
            self._begun(relay, to, frame.payload)

    def _delivered(self, time, relay, client, frame):
        """To a client that is away a relay delivers once it is back, and again what may have been lost with a connection."""
        key = relay, client, frame.message_id, frame.payload
        before, self.delivered[key] = self.delivered.get(key), time
        times = self.due.get((relay, "client", frame.kind, frame.payload))
        if times:
            at, tag = times.pop(0)
            need(self.tags.setdefault((relay, tag), client) == client, "a tag of two clients")
            if not at <= time <= at + 1 and not self.recording.came(relay, client, at, time):
                self.faults.append(f"relay {relay} delivers {time - at} ms late")
            self.count["as foretold"] += 1
        elif before is not None and self.recording.came(relay, client, before, time):
            self.count["delivered again"] += 1
        elif (relay, frame.payload[:16]) in self.unseen:
            self._answered(relay, frame.payload)
        else:
            self.faults.append(f"relay {relay} delivers to {client} what nothing explains")

    def _begun(self, relay, to, packet):
        """A packet that a relay begins is its answer through a reply block that it got."""
        suite = packet[1]
        surb, request = self.surbs.pop((relay, packet[:onion.header_length(suite)]), (None, None))
        if surb is None or to != f"r{self._index[surb.first_hop]}":
            return self.faults.append(f"relay {relay} sends to {to} what nothing explains")
        payload = onion.reply_payload(surb, packet)
        self._answer(relay, request, payload)
        self.replies[packet] = Reply(surb, payload, [])
        self.count["begun"] += 1

    def _answered(self, relay, delivery):
        """An answer of the guard itself: begun, peeled and delivered in one place."""
        surb, request, secret = self.unseen.pop((relay, delivery[:16]))
        self._answer(relay, request, onion.open_reply(surb.header[1], surb.reply_key, [secret], delivery[16:]))
        self.count["answered by the guard"] += 1

    def _answer(self, relay, request, payload):
        frame = Frame.padded(payload)
        if request is None and frame.kind != frames.PUSH or request not in (None, frame.message_id):
            self.faults.append(f"relay {relay} answers with frame {frame.kind:#06x} of another id")

    def never_sent(self):
        """What a relay should have sent and did not, though there was time, and somebody to send it to."""
        end = self.recording.packets[-1][0]
        left = [(key, at, tag) for key, times in self.due.items() for at, tag in times if at < end]
        return [key[:3] for key, at, tag in left if self._was_there(key[0], self.tags.get((key[0], tag), key[1]), at)]

    def _was_there(self, relay, other, time):
        """Nothing is known of a client that never got anything."""
        return other == "client" or self.recording.was_there(relay, other, time)
