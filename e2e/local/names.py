"""The cluster's name server: Services by their names, and nothing else (RFC 1035).

What does not exist must be answered, too: a resolver that gets no answer to its AAAA query tries
for a minute before it asks for A.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address
from typing import cast

from fluxgate_operator.kube.client import Document

PORT = 53
DOMAIN = "cluster.local"
_A, _IN, _NAME_ERROR = 1, 1, 3
_HEADER = struct.Struct("!6H")
_TTL = 1


def resolver_of(namespace: str, server: str) -> str:
    """``/etc/resolv.conf`` of a pod with ``dnsPolicy: ClusterFirst``."""
    search = f"{namespace}.svc.{DOMAIN} svc.{DOMAIN} {DOMAIN}"
    return f"search {search}\nnameserver {server}\noptions ndots:5\n"


def names_of(slices: Iterable[Document]) -> dict[str, frozenset[str]]:
    """Every Service of these EndpointSlices with the addresses of its ready pods.

    Without one of those that are not: as behind a cluster IP the name is known from the start, and
    connections are refused until there is somebody to take them.
    """
    ready: dict[str, set[str]] = {}
    others: dict[str, set[str]] = {}
    for each in slices:
        metadata = each["metadata"]
        service = metadata.get("labels", {}).get("kubernetes.io/service-name")
        if service is None:
            continue
        name = f"{service}.{metadata['namespace']}.svc.{DOMAIN}"
        others.setdefault(name, set())
        for endpoint in each.get("endpoints") or ():
            is_ready = endpoint.get("conditions", {}).get("ready", True)
            found = (ready if is_ready else others).setdefault(name, set())
            found.update(endpoint["addresses"])
    return {name: frozenset(addresses) for name, addresses in (others | ready).items()}


class NameServer(asyncio.DatagramProtocol):
    """Answers from :attr:`names`, which may be replaced at any time."""

    def __init__(self) -> None:
        self.names: Mapping[str, frozenset[str]] = {}
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where answers go."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer one query."""
        if self._transport is not None and (answer := reply_to(data, self.names)):
            self._transport.sendto(answer, addr)


def reply_to(query: bytes, names: Mapping[str, frozenset[str]]) -> bytes:
    """The answer to a query with one question; nothing to what is no such query."""
    try:
        number, flags, questions, *_ = _HEADER.unpack_from(query)
        name, end = _name_at(query, _HEADER.size)
        kind, class_ = struct.unpack_from("!2H", query, end)
    except (struct.error, IndexError, UnicodeDecodeError):
        return b""
    if questions != 1 or flags & 0x8000:
        return b""
    known = names.get(name.lower())
    found = sorted(known or ()) if (kind, class_) == (_A, _IN) else []
    code = 0 if known is not None else _NAME_ERROR
    # a response, authoritative, with recursion as it was desired
    head = _HEADER.pack(number, 0x8480 | (flags & 0x0100) | code, 1, len(found), 0, 0)
    records = (
        struct.pack("!3HIH", 0xC000 | _HEADER.size, _A, _IN, _TTL, 4) + IPv4Address(each).packed
        for each in found
    )
    return head + query[_HEADER.size : end + 4] + b"".join(records)


def _name_at(message: bytes, start: int) -> tuple[str, int]:
    """The name that begins at ``start``, and where it ends."""
    labels = []
    while length := message[start]:
        labels.append(message[start + 1 : start + 1 + length].decode("ascii"))
        start += 1 + length
    return ".".join(labels), start + 1
