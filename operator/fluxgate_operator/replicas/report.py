"""What one replica tells the others, as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fluxgate.resources import ObjectRef
from fluxgate.translator import SetAside
from fluxgate_operator.errors import OperatorError
from fluxgate_operator.health.book import NodeKey
from fluxgate_operator.health.readings import Ailing, Ailment


class ReportError(OperatorError):
    """A peer's report cannot be read; the peer is of another version, or not a replica."""


@dataclass(frozen=True, slots=True)
class ReportedNode:
    """A node connected to the replica that reports.

    ``version`` is the snapshot it is proven to serve. ``connected_at`` is by the clock of
    whoever holds this object (seconds since the epoch); on the wire it is an age, since clocks
    of machines differ. ``connection`` is opaque and changes with every connection. ``agent`` is the
    node's own name and version, ``error`` what it rejects. ``last_seen`` travels as an age, too, and
    is no news by itself.
    """

    id: str
    gateway: str
    connection: str
    connected_at: float
    version: str
    lag: str = ""
    error: str = ""
    agent: str = ""
    last_seen: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class Report:
    """Everything one replica knows that others need. Equal reports are sent once."""

    nodes: tuple[ReportedNode, ...] = ()
    set_aside: Mapping[ObjectRef, SetAside] = field(default_factory=dict)
    rejections: Mapping[ObjectRef, str] = field(default_factory=dict)
    health: Mapping[NodeKey, Ailing] = field(default_factory=dict)
    """Nodes connected to it that were asked, and the endpoints each sends nothing."""


def encode(replica: str, report: Report, now: float) -> bytes:
    """The message for a peer; ``now`` is seconds since the epoch."""
    document = {
        "replica": replica,
        "nodes": [
            {
                "id": node.id,
                "gateway": node.gateway,
                "connection": node.connection,
                "connectedSeconds": max(0.0, now - node.connected_at),
                "version": node.version,
                "lag": node.lag,
                "error": node.error,
                "agent": node.agent,
                "seenSeconds": max(0.0, now - node.last_seen),
            }
            for node in report.nodes
        ],
        "setAside": [
            {"ref": list(ref), "digest": each.digest, "message": each.message}
            for ref, each in report.set_aside.items()
        ],
        "rejections": [
            {"ref": list(ref), "message": words} for ref, words in report.rejections.items()
        ],
        "health": [
            {"gateway": gateway, "node": node, "ailing": _plain(ailing)}
            for (gateway, node), ailing in report.health.items()
        ],
    }
    return json.dumps(document, separators=(",", ":")).encode()


def decode(payload: bytes, now: float) -> tuple[str, Report]:
    """The replica's identity and its report. Raises :class:`ReportError`.

    Fields that a newer replica adds are ignored.
    """
    try:
        document = json.loads(payload)
        report = Report(
            tuple(_node(each, now) for each in document["nodes"]),
            {
                _ref(each["ref"]): SetAside(str(each["digest"]), str(each["message"]))
                for each in document["setAside"]
            },
            {_ref(each["ref"]): str(each["message"]) for each in document["rejections"]},
            {
                (str(each["gateway"]), str(each["node"])): _ailing(each["ailing"])
                for each in document.get("health", ())
            },
        )
        return str(document["replica"]), report
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ReportError(f"a report cannot be read: {error!r}") from error


def encode_hello(identity: str) -> bytes:
    """What a replica says of itself when it connects."""
    return json.dumps({"replica": identity}).encode()


def decode_hello(payload: bytes) -> str:
    """Who connects. Raises :class:`ReportError`."""
    try:
        return str(json.loads(payload)["replica"])
    except (ValueError, KeyError, TypeError) as error:
        raise ReportError(f"not a replica's greeting: {error!r}") from error


def _node(document: Mapping[str, Any], now: float) -> ReportedNode:
    return ReportedNode(
        str(document["id"]),
        str(document["gateway"]),
        str(document["connection"]),
        now - float(document["connectedSeconds"]),
        str(document["version"]),
        str(document.get("lag", "")),
        str(document.get("error", "")),
        str(document.get("agent", "")),
        now - float(document.get("seenSeconds", 0.0)),
    )


def _plain(ailing: Ailing) -> dict[str, dict[str, list[str]]]:
    return {
        cluster: {place: list(map(str, ailments)) for place, ailments in places.items()}
        for cluster, places in ailing.items()
    }


def _ailing(document: Mapping[str, Mapping[str, list[str]]]) -> Ailing:
    return {
        str(cluster): {
            str(place): tuple(each for each in Ailment if each in ailments)
            for place, ailments in places.items()
        }
        for cluster, places in document.items()
    }


def _ref(parts: list[str]) -> ObjectRef:
    kind, namespace, name = map(str, parts)
    return ObjectRef(kind, namespace, name)
