"""Proof of work (§6, "Work"): the challenge, what effort means, and Equihash, which hashlib is enough to check."""

import hashlib

from primitives import b2, need

N, K = 64, 3
INDEX_BITS = N // (K + 1) + 1


def check(work, purpose, node, key, stored):
    """Whether `work` is what storing `stored` under `key` takes at `node`. `stored`: envelope id, record, or nothing for a mailbox."""
    need(isinstance(work, bytes) and len(work) == 45, "length of work")
    seed, effort, nonce, solution = work[:16], work[16:20], work[20:28], work[28:]
    if purpose == b"\3":
        need(stored == b"", "object of a mailbox")
        wanted = bytes(16)
    else:
        wanted = stored if purpose == b"\1" else b2(128, "ZenTalk record hash v1", stored)
    need(len(wanted) == 16, "length of the object")
    challenge = b2(256, "ZenTalk work v1", purpose, node, key, wanted, seed, effort)
    low = int.from_bytes(b2(128, "ZenTalk work effort v1", challenge, nonce, solution)[:4], "big")
    need(low * int.from_bytes(effort, "big") < 1 << 32, "effort")
    check_equihash(challenge + nonce, solution)


def check_equihash(data, solution):
    """Zcash protocol §7.7.1, with the parameters above."""
    bits = int.from_bytes(solution, "big")
    count = 1 << K
    need(len(solution) * 8 == count * INDEX_BITS, "length of the solution")
    indices = [bits >> INDEX_BITS * (count - 1 - i) & (1 << INDEX_BITS) - 1 for i in range(count)]
    need(len(set(indices)) == count, "an index occurs twice")
    rows = [(leaf(data, index), [index]) for index in indices]
    for done in range(1, K + 1):
        pairs = list(zip(rows[::2], rows[1::2]))
        need(all(a[1][0] < b[1][0] for a, b in pairs), "order of the indices")
        rows = [(a[0] ^ b[0], a[1] + b[1]) for a, b in pairs]
        zeros = done * (INDEX_BITS - 1) if done < K else N
        need(all(rest >> N - zeros == 0 for rest, _ in rows), "bits that do not cancel")


def leaf(data, index):
    """The index's part of its hash, as a number."""
    person = b"ZcashPoW" + N.to_bytes(4, "little") + K.to_bytes(4, "little")
    each = 512 // N
    block = (index // each).to_bytes(4, "little")
    digest = hashlib.blake2b(data + block, digest_size=each * N // 8, person=person).digest()
    start = index % each * N // 8
    return int.from_bytes(digest[start:start + N // 8], "big")
