"""The process of kopf: ``python -m`` this module, by :mod:`~.watcher` only.

It gets its order as a line of JSON on stdin and tells what it sees in frames on stdout. It writes
blocking: while nobody reads it reads no more from the API server either, so nothing is lost and
nothing piles up. It ends with its parent, however that ends: stdin ends then, and Linux kills it
(``PR_SET_PDEATHSIG``, prctl(2)) should it not come to look.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from fluxgate_operator.kube.access import AccessOrigin, load_access
from fluxgate_operator.kube.types import KubeType
from fluxgate_operator.providers.kubernetes.told import News, Record, frames

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Order:
    """What to watch, and how to get there. ``parent`` is the process that gives the order."""

    origin: AccessOrigin
    types: tuple[KubeType, ...]
    namespaces: tuple[str, ...]
    silence: float
    parent: int

    def line(self) -> bytes:
        """As the process reads it."""
        origin = self.origin
        said = {
            "kubeconfig": None if origin.kubeconfig is None else str(origin.kubeconfig),
            "context": origin.context,
            "environ": dict(origin.environ),
            "service_account": str(origin.service_account),
            "types": [
                (each.group, each.version, each.plural, each.kind, each.namespaced)
                for each in self.types
            ],
            "namespaces": self.namespaces,
            "silence": self.silence,
            "parent": self.parent,
        }
        return json.dumps(said).encode() + b"\n"

    @classmethod
    def read(cls, line: bytes) -> Order:
        """The order that :meth:`line` wrote."""
        said: Mapping[str, Any] = json.loads(line)
        kubeconfig = said["kubeconfig"]
        origin = AccessOrigin(
            None if kubeconfig is None else Path(kubeconfig),
            said["context"],
            said["environ"],
            Path(said["service_account"]),
        )
        types = tuple(KubeType(*each) for each in said["types"])
        return cls(origin, types, tuple(said["namespaces"]), said["silence"], said["parent"])


class Outbox:
    """Writes what is told in one turn of the loop together."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._waiting: list[Record] = []

    def tell(self, record: Record) -> None:
        """Soon; call on the loop."""
        self._waiting.append(record)
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        """Now, and however long it takes; ends the process when nobody will ever read."""
        told, self._waiting = self._waiting, []
        for frame in frames(told):
            rest = memoryview(frame)
            try:
                while rest:
                    rest = rest[os.write(self._descriptor, rest) :]
            except BrokenPipeError:
                os._exit(0)


def main() -> NoReturn:
    """Watch until kopf or the parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    out = os.dup(1)
    os.dup2(2, 1)  # whatever prints must not print into the frames
    line = sys.stdin.buffer.readline()
    if not line:
        os._exit(0)
    order = Order.read(line)
    _end_with(order.parent)
    asyncio.run(_watch(order, Outbox(out)))
    os._exit(0)


def _end_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)
    threading.Thread(target=_end_with_stdin, name="parent", daemon=True).start()


def _end_with_stdin() -> None:
    """A thread, because the loop may be waiting for a pipe that nobody reads."""
    while os.read(0, 1):
        pass
    os._exit(0)


async def _watch(order: Order, outbox: Outbox) -> NoReturn:
    """Say why at the end, and leave at once: kopf may never end by itself."""
    from fluxgate_operator.providers.kubernetes.kopf_operator import KopfOperator  # noqa: PLC0415

    words = "kopf ended by itself"
    try:
        origin = order.origin
        access = await load_access(
            origin.kubeconfig, origin.context, origin.environ, origin.service_account
        )
        await KopfOperator(access, order.types, order.namespaces, order.silence, outbox.tell).run()
    except Exception as error:  # noqa: BLE001 - whatever kopf raises is told; it is started again
        words = f"{type(error).__name__}: {error}"
    outbox.tell(Record(News.ENDED, body=words.encode(errors="replace")))
    outbox.flush()
    sys.stderr.flush()
    os._exit(1)


if __name__ == "__main__":
    main()
