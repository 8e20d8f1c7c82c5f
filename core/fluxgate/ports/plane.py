"""A running control plane, as the admin API sees it: it is read, waited for, never written to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from fluxgate.ir import Gateway
from fluxgate.ports.propagation import Propagation
from fluxgate.ports.resources import Pending
from fluxgate.resources import ObjectRef, Resources
from fluxgate.status import ObjectStatus


class TargetHealth(StrEnum):
    """Which nodes send a target requests, as far as that depends on its health."""

    HEALTHY = "Healthy"
    UNHEALTHY = "Unhealthy"
    PARTLY_HEALTHY = "PartlyHealthy"
    NOT_CHECKED = "NotChecked"
    UNKNOWN = "Unknown"
    """No node has said so far."""


@dataclass(frozen=True, slots=True)
class TargetState:
    """One target of a pool. ``nodes`` send it no requests, for ``reasons``."""

    address: str
    health: TargetHealth
    reasons: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PoolState:
    """One pool of one gateway: an Upstream's, a Service's, or that of a URL.

    ``upstream`` is the object it is made from, None for one without an object of its own.
    """

    gateway: str
    pool: str
    upstream: ObjectRef | None
    targets: tuple[TargetState, ...]


@dataclass(frozen=True, slots=True)
class FleetNode:
    """One Envoy, of this replica or of another.

    ``lag`` says why it does not serve the newest configuration, empty when it does; ``error`` is what it
    rejects, in its own words. ``last_seen`` is seconds since the epoch. ``version`` is the snapshot it is
    proven to serve; ``agent`` its own name and version.
    """

    id: str
    gateway: str
    connected: bool
    version: str
    agent: str
    last_seen: float
    lag: str = ""
    error: str = ""
    replica: str = ""


class ControlPlane(Protocol):
    """Everything here is as of the last turn of the reconciler; reading it costs no request."""

    @property
    def ready(self) -> bool:
        """Whether there has been a turn with everything that is there."""
        ...

    def resources(self) -> Resources:
        """Every object, as it was translated last. Equal bundles are the same object."""
        ...

    def statuses(self) -> Mapping[ObjectRef, ObjectStatus]:
        """The conditions of every object, ``Programmed`` included."""
        ...

    def gateways(self) -> Mapping[str, Gateway]:
        """What was translated, by the name nodes ask for."""
        ...

    def pools(self) -> tuple[PoolState, ...]:
        """Every pool, and how Envoys find its targets."""
        ...

    def nodes(self) -> tuple[FleetNode, ...]:
        """Every node that is or was lately connected."""
        ...

    async def seen(self, writes: Iterable[Pending], seconds: float) -> int | None:
        """The revision of the resources that includes ``writes`` (or newer ones of the same objects).

        None when that takes longer than ``seconds``. Returns when :meth:`resources` has them.
        """
        ...

    def gathering(self) -> AbstractContextManager[None]:
        """Many objects are written until the end of the block: they cost one turn, not one each.

        What others write meanwhile waits with them, for about a second at the longest.
        """
        ...

    async def wait(self, revision: int, seconds: float) -> Propagation:
        """Who serves ``revision``: as soon as all do, or after ``seconds``."""
        ...
