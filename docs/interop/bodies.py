"""Bodies both ways: a description of what PROTOCOL.md gives in CDDL reads CBOR into named fields, and writes it again.

What a description would refuse it does not write either. Unknown keys are ignored; null is no value, and not absence.
"""

from dataclasses import dataclass

import cbor2

from primitives import body_of, need


@dataclass(frozen=True)
class Scalar:
    """A value that is the same on both sides."""

    name: str
    holds: object

    def read(self, value):
        need(self.holds(value), self.name)
        return value

    write = read


@dataclass(frozen=True)
class List:
    low: int
    high: int
    item: object

    def read(self, values):
        return self._each(values, self.item.read)

    def write(self, values):
        return self._each(values, self.item.write)

    def _each(self, values, turn):
        need(isinstance(values, list) and self.low <= len(values) <= self.high, "length of a list")
        return [turn(value) for value in values]


class Map:
    """Entries (integer key, name, description); a name that ends in `?` is of an optional one, without it."""

    def __init__(self, *entries):
        self.entries = [(key, name.rstrip("?"), name.endswith("?"), what) for key, name, what in entries]

    def read(self, body):
        need(isinstance(body, dict), "map")
        return self._each(lambda key, name: key, body, lambda key, name, what: (name, what.read(body[key])))

    def write(self, fields):
        need(set(fields) <= {name for _, name, _, _ in self.entries}, "unknown field")
        return self._each(lambda key, name: name, fields, lambda key, name, what: (key, what.write(fields[name])))

    def _each(self, at, source, turn):
        out = {}
        for key, name, optional, what in self.entries:
            need(optional or at(key, name) in source, f"{name} is missing")
            if at(key, name) in source:
                into, value = turn(key, name, what)
                out[into] = value
        return out

    def decode(self, data):
        """The fields of a body's bytes."""
        return self.read(body_of(data))

    def encode(self, fields):
        """The body's bytes, in deterministic CBOR."""
        return cbor2.dumps(self.write(fields), canonical=True)


def is_uint(value):
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 64


def octets(low, high=None):
    high = low if high is None else high
    return Scalar(f"bytes .size ({low}..{high})", lambda value: isinstance(value, bytes) and low <= len(value) <= high)


def text(low, high):
    return Scalar(f"text .size ({low}..{high})", lambda value: isinstance(value, str) and low <= len(value.encode()) <= high)


def one_of(numbers):
    return Scalar(f"one of {numbers}", lambda value: is_uint(value) and value in numbers)


UINT = Scalar("uint", is_uint)
BOOL = Scalar("bool", lambda value: isinstance(value, bool))
EMPTY = Map()
