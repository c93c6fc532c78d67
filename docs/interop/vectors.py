"""Runs the vectors: `python vectors.py FOLDER`, the folder being shared/tests/vectors.

A file is vectors apart by blank lines, a vector is lines `name: value`; bytes are hexadecimal, `XX^N` is the byte XX
N times, spaces join. A vector of a kind that is not known here fails, and so does a file that is not read or has no
vectors: nobody shall believe that it was checked.
"""

import sys
from pathlib import Path

import kinds_dht
import kinds_identity
import kinds_onion
import kinds_primitives
import kinds_session
import kinds_swarm
from report import Report, Vector

KINDS = (
    kinds_primitives.KINDS | kinds_onion.KINDS | kinds_identity.KINDS | kinds_session.KINDS | kinds_dht.KINDS | kinds_swarm.KINDS
)
# Not protocol: what clients keep of a ratchet and of a session, in a layout of their own.
RUST_ONLY = {"ratchet-record-v1.txt", "session-record-v1.txt"}


def read(path):
    """The vectors of a file."""
    if path.name == "frames.txt":
        yield from kinds_swarm.read_frames(path.read_text())
        return
    for block in path.read_text().split("\n\n"):
        lines = [line for line in block.splitlines() if line and not line.startswith("#")]
        if lines:
            yield Vector(line.split(": ", 1) for line in lines)


def unknown(vector):
    raise AssertionError("a kind that docs/interop does not know")


def run(path, report):
    """Runs the vectors of a file."""
    before, found = report.passed, list(read(path))
    for number, vector in enumerate(found, 1):
        vector.file = found
        test = KINDS.get(f"{path.stem} {vector.kind}") or KINDS.get(vector.kind, unknown)
        name = f"{path.name} {number}, {vector.kind}, {vector.expect}: {vector.get('comment', '')}"
        report.run(name, test, vector)
    print(f"  {path.name}: {report.passed - before} vectors hold", flush=True)


def unread(folder):
    """What is in the folder and would be passed over, or is on the list of that and not there."""
    names = {path.name for path in Path(folder).iterdir()}
    read_here = {path.name for path in Path(folder).glob("*.txt") if path.is_file()} - RUST_ONLY
    empty = {name for name in read_here if not any(True for _ in read(Path(folder, name)))}
    left = names - read_here - RUST_ONLY | RUST_ONLY - names | empty
    assert not left, f"not read, without vectors, or missing: {', '.join(sorted(left))}"


def main(folder):
    report = Report()
    report.run("every file of vectors is read", unread, folder)
    for path in sorted(Path(folder).glob("*.txt")):
        if path.name not in RUST_ONLY:
            run(path, report)
    report.close()


if __name__ == "__main__":
    main(sys.argv[1])
