"""Port numbers for programs that are told one before they bind it.

The kernel may give a port that it picked (bind to 0) to anybody as soon as it is closed, even as
the near end of a connection, and two Envoys would share one without a word, because they bind
with SO_REUSEPORT. So these numbers lie below those the kernel picks, and are kept by a lock on a
byte of a file each until this process ends: other workers and other runs on the machine get others.
"""

from __future__ import annotations

import errno
import fcntl
import os
import random
import socket
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_FIRST = 20000
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_port() -> int:
    """A port that nobody listens on or is told besides the caller, for TCP and UDP."""
    return next(_ports())


@cache
def _ports() -> Iterator[int]:
    """The same for the whole process, so that none is told twice and the locks stay."""
    return _locked(_candidates())


def _candidates() -> list[int]:
    """Every port that the kernel leaves alone, in an order of this process's own."""
    lowest = int(_RANGE.read_text().split()[0]) if _RANGE.exists() else 32768
    first = _FIRST if lowest > _FIRST + 1000 else 1025
    numbers = list(range(first, max(lowest, first + 1000)))
    random.Random(os.getpid()).shuffle(numbers)
    return numbers


def _locked(numbers: list[int]) -> Iterator[int]:
    path = Path(tempfile.gettempdir()) / f"fluxgate-test-ports-{os.getuid()}"
    with path.open("a") as book:
        for number in numbers:
            if _lock(book.fileno(), number) and _is_free(number):
                yield number
    raise RuntimeError("no port is left")


def _lock(book: int, number: int) -> bool:
    """Take a byte of the file; the kernel gives it back when this process ends, however it does."""
    try:
        fcntl.lockf(book, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise
    return True


def _is_free(number: int) -> bool:
    """Whether nobody has it who does not ask us, on any address."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("", number))
            except OSError:
                return False
    return True
