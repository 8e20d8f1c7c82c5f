"""Pools and their targets, with what the Envoys of a gateway say of each; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from fluxgate.ir import Cluster, Gateway, Health
from fluxgate.resources import ObjectRef
from fluxgate_operator.health.book import NodeKey
from fluxgate_operator.health.readings import Ailing, Ailment, place_of


class TargetState(StrEnum):
    """Which nodes send a target requests, as far as that depends on its health."""

    HEALTHY = "Healthy"
    UNHEALTHY = "Unhealthy"
    PARTLY_HEALTHY = "PartlyHealthy"
    NOT_CHECKED = "NotChecked"
    UNKNOWN = "Unknown"
    """No node has said so far."""


@dataclass(frozen=True, slots=True)
class TargetHealth:
    """One target. ``ailing`` are the nodes that send it nothing, and why; ``by_hand`` overrides."""

    address: str
    by_hand: Health
    ailing: tuple[tuple[str, tuple[Ailment, ...]], ...] = ()

    @property
    def ailments(self) -> tuple[Ailment, ...]:
        """Every reason that some node has."""
        return tuple(sorted({each for _, ailments in self.ailing for each in ailments}))


@dataclass(frozen=True, slots=True)
class PoolHealth:
    """One pool on one gateway.

    ``nodes`` say how its targets are; without ``checked`` nobody looks, so all of them are used.
    """

    gateway: str
    pool: str
    checked: bool
    nodes: tuple[str, ...]
    targets: tuple[TargetHealth, ...]

    @property
    def upstream(self) -> ObjectRef | None:
        """The Upstream it is the pool of, if it is one's."""
        return upstream_of(self.pool)

    def state_of(self, target: TargetHealth) -> TargetState:
        """How a target is, in one word."""
        if target.by_hand is Health.UNHEALTHY:
            return TargetState.UNHEALTHY
        if target.by_hand is Health.HEALTHY and not target.ailing:
            return TargetState.HEALTHY
        if not self.checked:
            return TargetState.NOT_CHECKED
        if not self.nodes:
            return TargetState.UNKNOWN
        if not target.ailing:
            return TargetState.HEALTHY
        every = len(target.ailing) == len(self.nodes)
        return TargetState.UNHEALTHY if every else TargetState.PARTLY_HEALTHY


def upstream_of(pool: str) -> ObjectRef | None:
    """The Upstream whose pool has this name."""
    kind, _, rest = pool.partition("/")
    namespace, _, name = rest.partition("/")
    if kind not in ("upstream", "sidecar"):
        return None
    return ObjectRef("Upstream", namespace, name)


def pools_of(
    gateways: Mapping[str, Gateway], said: Mapping[NodeKey, Ailing]
) -> Iterator[PoolHealth]:
    """Every pool of every gateway, in the order of names."""
    for key, gateway in sorted(gateways.items()):
        nodes = {node: ailing for (owner, node), ailing in sorted(said.items()) if owner == key}
        for pool, clusters in sorted(_by_pool(gateway.clusters).items()):
            yield _pool(key, pool, clusters, nodes)


def _by_pool(clusters: Iterable[Cluster]) -> dict[str, list[Cluster]]:
    """Clusters of one pool differ in their settings: in how they are checked, too."""
    found: dict[str, list[Cluster]] = {}
    for each in clusters:
        found.setdefault(each.name.rpartition("/")[0], []).append(each)
    return found


def _pool(
    gateway: str, pool: str, clusters: list[Cluster], nodes: Mapping[str, Ailing]
) -> PoolHealth:
    checked = any(each.active_check or each.outlier_detection for each in clusters)
    findings = _Findings()
    for node, ailing in nodes.items():
        for cluster in clusters:
            for address, ailments in ailing.get(cluster.name, {}).items():
                findings.add(address, node, ailments)
    targets = tuple(
        TargetHealth(address, each.health, findings.of(address))
        for each in clusters[0].endpoints
        for address in (place_of(each.host, each.port),)
    )
    return PoolHealth(gateway, pool, checked, tuple(nodes) if checked else (), targets)


@dataclass(slots=True)
class _Findings:
    _ailments: dict[str, dict[str, set[Ailment]]] = field(default_factory=dict)

    def add(self, address: str, node: str, ailments: Iterable[Ailment]) -> None:
        self._ailments.setdefault(address, {}).setdefault(node, set()).update(ailments)

    def of(self, address: str) -> tuple[tuple[str, tuple[Ailment, ...]], ...]:
        found = self._ailments.get(address, {})
        return tuple((node, tuple(sorted(each))) for node, each in found.items())
