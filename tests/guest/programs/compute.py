#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Computes, checkpoints itself in the middle, computes on, and checks the answer.

Half of a sieve, half of a memo table, a generator that is suspended and a random
number generator are in memory when the checkpoint is taken.
"""

import ctypes
import hashlib
import os
import random
import sys

SYS_CHECKPOINT = 473
LOG = 1
KILL = 2
LIMIT = 200_000
PRIMES_BELOW_LIMIT = 17984
FIB_300 = 222232244629420445529739893461909967206666939096499764990979600


def checkpoint(libc, fd):
    """Returns how the program came back; ends it on failure."""
    if os.environ.get("CKPT_DRY"):
        return "Resumed(1)"
    flags = LOG | KILL if os.environ.get("CKPT_KILL") else LOG
    ret = libc.syscall(SYS_CHECKPOINT, 0, fd, flags, 2)
    if ret < 0:
        print("FAILED: checkpoint:", os.strerror(ctypes.get_errno()))
        sys.exit(1)
    return f"Resumed({ret})" if ret else "Restarted"


def sieve(composite, start, end):
    """Crosses out multiples of the primes from start up to end."""
    for n in range(start, end):
        if not composite[n]:
            composite[n * n :: n] = b"\1" * len(range(n * n, len(composite), n))


def squares():
    """Is suspended while the checkpoint is taken."""
    n = 0
    while True:
        yield n * n
        n += 1


def main():
    libc = ctypes.CDLL(None, use_errno=True)
    image = os.open(os.environ["CKPT_IMAGE"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)

    composite = bytearray(LIMIT)
    composite[0] = composite[1] = 1
    memo = {0: 0, 1: 1}
    digest = hashlib.sha256(b"first half")
    numbers = random.Random(2008)
    generator = squares()
    sieve(composite, 2, 200)
    for n in range(2, 150):
        memo[n] = memo[n - 1] + memo[n - 2]
    drawn = [numbers.random() for _ in range(10)]
    taken = [next(generator) for _ in range(50)]

    back = checkpoint(libc, image)

    sieve(composite, 200, 448)
    for n in range(150, 301):
        memo[n] = memo[n - 1] + memo[n - 2]
    drawn += [numbers.random() for _ in range(10)]
    taken += [next(generator) for _ in range(50)]
    digest.update(b" and second half")

    again = random.Random(2008)
    checks = {
        "primes": LIMIT - sum(composite) == PRIMES_BELOW_LIMIT,
        "fibonacci": memo[300] == FIB_300,
        "random numbers": drawn == [again.random() for _ in range(20)],
        "generator": taken == [n * n for n in range(100)],
        "digest": digest.digest() == hashlib.sha256(b"first half and second half").digest(),
    }
    for name, good in checks.items():
        if not good:
            print("FAILED:", name)
    print(f"detail: {back}, python {sys.version.split()[0]}")
    sys.exit(not all(checks.values()))


main()
