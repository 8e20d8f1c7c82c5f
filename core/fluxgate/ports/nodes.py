"""The nodes: what the xDS server is given to serve, and what Envoys said about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from fluxgate.snapshot import Snapshot


class SyncState(StrEnum):
    """How far one node is with one type."""

    NOT_SENT = "NotSent"
    PENDING = "Pending"
    SYNCED = "Synced"
    REJECTED = "Rejected"


@dataclass(frozen=True, slots=True)
class Nack:
    """A rejection, in Envoy's own words. ``at`` is seconds since the epoch."""

    version: str
    message: str
    at: float
    resources: tuple[str, ...] = ()
    """What was rejected: the names Envoy's words give, else all that was new in the response."""


@dataclass(frozen=True, slots=True)
class TypeState:
    """What one node said about one type URL. Versions are those of the snapshot's type."""

    state: SyncState = SyncState.NOT_SENT
    sent: str = ""
    acked: str = ""
    nack: Nack | None = None


@dataclass(frozen=True, slots=True)
class NodeState:
    """One Envoy (or gRPC client) connected, or recently connected, to this process."""

    id: str
    gateway: str
    connected: bool
    user_agent: str
    connected_at: float
    last_seen: float
    snapshot: str
    """Version of the newest snapshot the node has acknowledged in whole; empty before the first."""
    types: Mapping[str, TypeState] = field(default_factory=dict)
    metadata: Mapping[str, object] = field(default_factory=dict)


class SnapshotSink(Protocol):
    """Where the reconciler publishes to."""

    def publish(self, gateway: str, snapshot: Snapshot) -> None:
        """Make ``snapshot`` what every node of ``gateway`` shall serve; never blocks."""
        ...


class NodeReader(Protocol):
    """What the nodes have said so far."""

    def nodes(self, gateway: str | None = None) -> tuple[NodeState, ...]:
        """Every known node, of one gateway or of all, ordered by id."""
        ...

    async def changed(self) -> None:
        """Return when any node connected, left, acknowledged or rejected since the call."""
        ...
