"""What the process of kopf tells, and how it goes through a pipe.

A frame is two lengths, a header and the bodies of its records one after the other. The header
names each object and its version, so that an object whose version is known is
never decoded; the JSON of an object is by far the dearest part.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from fluxgate_operator.kube.client import Document
from fluxgate_operator.kube.types import KubeType

HEAD = struct.Struct("!II")
"""Bytes of the header, and of all bodies together."""

_RECORDS = 100
_BYTES = 64 * 1024


class News(IntEnum):
    """What a record tells. Of the last two the body is words, of ``SEEN`` the object."""

    SEEN = 0
    GONE = 1
    LISTED = 2
    """A kind was listed anew, and is watched from there."""
    KNOWN = 3
    """A kind was asked for, so kopf knows of it."""
    UNHANDLED = 4
    """A callback of kopf failed; nothing hangs on that."""
    ENDED = 5
    """Why kopf ended."""


class Record(NamedTuple):
    """``kind`` is the index of a kind among those the process was told to watch."""

    news: News
    kind: int = 0
    namespace: str = ""
    name: str = ""
    version: str = ""
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Told:
    """What kopf told of a kind or an object: ``SEEN``, ``GONE`` or ``LISTED``."""

    news: News
    type: KubeType
    namespace: str = ""
    name: str = ""
    version: str = ""
    body: bytes = b""

    def document(self) -> Document:
        """The object, without ``managedFields``; decoded at every call."""
        found: Document = json.loads(self.body)
        return found


def object_bytes(document: Document) -> bytes:
    """An object as a record's body: without ``metadata.managedFields``, which nobody reads."""
    meta = {key: each for key, each in document["metadata"].items() if key != "managedFields"}
    return json.dumps({**document, "metadata": meta}, separators=(",", ":")).encode()


def frames(records: Iterable[Record]) -> Iterator[bytes]:
    """As many frames as it takes to have few records and bytes in each."""
    some: list[Record] = []
    size = 0
    for record in records:
        some.append(record)
        size += len(record.body)
        if len(some) == _RECORDS or size >= _BYTES:
            yield _frame(some)
            some, size = [], 0
    if some:
        yield _frame(some)


def _frame(records: list[Record]) -> bytes:
    header = json.dumps([(*record[:-1], len(record.body)) for record in records]).encode()
    bodies = b"".join(record.body for record in records)
    return HEAD.pack(len(header), len(bodies)) + header + bodies


def unframe(head: bytes, rest: bytes) -> list[Record]:
    """The records of one frame; ``rest`` is what follows its two lengths."""
    header, _ = HEAD.unpack(head)
    found: list[Record] = []
    at = header
    for news, kind, namespace, name, version, length in json.loads(rest[:header]):
        body = rest[at : at + length]
        found.append(Record(News(news), kind, namespace, name, version, body))
        at += length
    return found
