"""Vectors, comparing, counting, and the closing line that `cargo xtask test` reads."""

import sys
import traceback

from primitives import Refused


class Report:
    def __init__(self):
        self.passed = self.failed = 0

    def run(self, name, test, *arguments):
        """Runs one test; answers what it gave."""
        try:
            result = test(*arguments)
        except (AssertionError, Refused) as error:
            self.fail(name, f"{type(error).__name__}: {error} ({where(error)})")
        except Exception:  # a test that breaks has failed
            self.fail(name, traceback.format_exc())
        else:
            self.passed += 1
            return result

    def fail(self, name, why):
        self.failed += 1
        print(f"  FAILED {name}: {why}", flush=True)

    def close(self):
        """Prints the summary and ends with a status that says it too. No test at all is a failure."""
        if self.passed + self.failed == 0:
            self.fail("everything", "there was nothing to test")
        verdict = "FAILED" if self.failed else "ok"
        print(f"test result: {verdict}. {self.passed} passed; {self.failed} failed", flush=True)
        sys.exit(1 if self.failed else 0)


def where(error):
    """The innermost line of a traceback."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}"


class Vector(dict):
    """Fields of one vector, as text. `file` is all of its file."""

    file = ()

    @property
    def expect(self):
        return self["expect"]

    @property
    def kind(self):
        """onion.txt has no kinds: there the expectation says it."""
        return self.get("kind", "onion " + self.expect.split()[0])

    def bytes(self, name):
        out = b""
        for part in self[name].split():
            byte, _, count = part.partition("^")
            out += bytes.fromhex(byte) * int(count or 1)
        return out

    def int(self, name):
        return int.from_bytes(self.bytes(name), "big")


def same(got, wanted, what):
    assert got == wanted, f"{what}: {shown(got)}, not {shown(wanted)}"


def equal_or_different(vector, got, wanted):
    """`different` shows what a wrong order of inputs, or a changed input, would give."""
    assert (got == wanted) == (vector.expect == "equal"), f"{vector.expect} expected, {shown(wanted)} got {shown(got)}"


def shown(value):
    return value.hex()[:80] if isinstance(value, bytes) else value


def refused(reasons, test, *arguments):
    """The test must refuse, for one of these reasons (None: for whatever reason)."""
    try:
        result = test(*arguments)
    except Refused as refusal:
        assert reasons is None or str(refusal) in reasons, f"refused because of {refusal}, not {reasons}"
    else:
        raise AssertionError(f"accepted as {result}")
