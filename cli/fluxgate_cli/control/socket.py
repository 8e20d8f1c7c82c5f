"""The Unix socket of a state folder, also where the folder's path is long.

A socket address holds at most 107 bytes (unix(7)), less than many paths. Both
sides therefore open the folder and go through ``/proc/self/fd/N``.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

NAME = "control.sock"


@contextlib.contextmanager
def socket_path(state_dir: Path) -> Iterator[str]:
    """A short path of the control socket, valid inside the context.

    Raises ``OSError`` when the folder cannot be opened.
    """
    descriptor = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{NAME}"
    finally:
        os.close(descriptor)


def bind(state_dir: Path) -> socket.socket:
    """A listening control socket that only its owner may open (mode 0600).

    A socket file that an earlier process left behind is replaced; that no other
    process serves the folder is the state folder's lock to say.
    """
    (state_dir / NAME).unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with socket_path(state_dir) as path:
            before = os.umask(0o177)
            try:
                sock.bind(path)
            finally:
                os.umask(before)
        sock.listen(64)
        sock.settimeout(0)
    except OSError:
        sock.close()
        raise
    return sock
