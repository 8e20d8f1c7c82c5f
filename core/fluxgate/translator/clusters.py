"""Clusters: named by content, collected from the routes that use them."""

from __future__ import annotations

import hashlib
import ipaddress
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace

from fluxgate.ir import (
    ActiveCheck,
    Cluster,
    ClusterTLS,
    Connections,
    DnsIR,
    EndpointIR,
    LoadBalancer,
    OutlierDetection,
    Thresholds,
)
from fluxgate.resources import ObjectRef


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """Everything about a cluster but its endpoints: what the hash in its name is taken of.

    ``sockets`` are the folders of its Unix sockets, which not every gateway may reach.
    """

    dns: bool = False
    protocol: str = "HTTP1"
    connect_timeout_ms: int = 5_000
    load_balancer: LoadBalancer = field(default_factory=LoadBalancer)
    active_check: ActiveCheck | None = None
    outlier_detection: OutlierDetection | None = None
    panic_threshold: int | None = None
    thresholds: Thresholds | None = None
    tls: ClusterTLS | None = None
    resolution: DnsIR = field(default_factory=DnsIR)
    connections: Connections | None = None
    sockets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """A cluster before its endpoints: ``pool`` names them, ``origins`` are to blame for it."""

    name: str
    pool: str
    settings: ClusterSettings
    origins: tuple[ObjectRef, ...]

    def __hash__(self) -> int:
        """The name says what the settings are, and hashing those is dear.

        The origins count: a thousand routes to one URL make a thousand specs of one name.
        """
        return hash((self.name, self.origins))

    @classmethod
    def of(cls, pool: str, settings: ClusterSettings, origins: Iterable[ObjectRef]) -> ClusterSpec:
        """Name a cluster ``<pool>/<hash>``."""
        digest = hashlib.sha256(_said(settings).encode()).hexdigest()[:8]
        return cls(f"{pool}/{digest}", pool, settings, tuple(sorted(set(origins))))

    def with_thresholds(self, thresholds: Thresholds, origin: ObjectRef) -> ClusterSpec:
        """The same pool behind other circuit breakers."""
        if thresholds == self.settings.thresholds:
            return self
        settings = replace(self.settings, thresholds=thresholds)
        return ClusterSpec.of(self.pool, settings, (*self.origins, origin))

    def with_protocol(self, protocol: str) -> ClusterSpec:
        """The same pool, spoken to in another protocol."""
        if protocol == self.settings.protocol:
            return self
        return ClusterSpec.of(self.pool, replace(self.settings, protocol=protocol), self.origins)


def _said(value: object) -> str:
    """What ``value`` says beyond its defaults.

    A field that a later version adds thus renames no cluster that does not use it: an upgrade
    moves no connection.
    """
    if not is_dataclass(value) or isinstance(value, type):
        return repr(value)
    parts = []
    for each in fields(value):
        mine = getattr(value, each.name)
        default = each.default if each.default_factory is MISSING else each.default_factory()
        if mine != default:
            parts.append(f"{each.name}={_said(mine)}")
    return f"({','.join(parts)})"


def is_address(host: str) -> bool:
    """Whether ``host`` is an IP address, not a DNS name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


_FEW = 64
EndpointLookup = Callable[[str], tuple[EndpointIR, ...]]


@dataclass(slots=True)
class _Users:
    """Who refers to one cluster: specs of one name, and those they come from.

    Ten thousand routes may share a cluster. What one of them costs is its own place in the order.
    """

    specs: dict[ClusterSpec, int] = field(default_factory=dict)
    _origins: Counter[ObjectRef] = field(default_factory=Counter)
    _moved: set[ObjectRef] = field(default_factory=set)
    """Those that came or went since the order was last asked for."""
    _order: list[ObjectRef] = field(default_factory=list)

    def add(self, spec: ClusterSpec) -> None:
        """Count a spec that was not among them."""
        for origin in spec.origins:
            self._origins[origin] += 1
            if self._origins[origin] == 1:
                self._moved.add(origin)

    def remove(self, spec: ClusterSpec) -> None:
        """A spec is not among them any more."""
        for origin in spec.origins:
            self._origins[origin] -= 1
            if not self._origins[origin]:
                del self._origins[origin]
                self._moved.add(origin)

    def origins(self) -> tuple[ObjectRef, ...]:
        """Everyone who is to blame for the cluster, in order."""
        if len(self._moved) > _FEW:
            self._order = sorted(self._origins)
        else:
            for origin in self._moved:
                self._place(origin)
        self._moved.clear()
        return tuple(self._order)

    def _place(self, origin: ObjectRef) -> None:
        index = bisect_left(self._order, origin)
        known = index < len(self._order) and self._order[index] == origin
        if origin not in self._origins:
            if known:
                del self._order[index]
        elif not known:
            self._order.insert(index, origin)


@dataclass(slots=True)
class ClusterUses:
    """The clusters that one gateway's routes refer to, counted."""

    _users: dict[str, _Users] = field(default_factory=dict)
    _names: dict[str, set[str]] = field(default_factory=dict)
    _built: dict[str, Cluster] = field(default_factory=dict)
    _stale: set[str] = field(default_factory=set)
    _order: list[str] = field(default_factory=list)
    _sorted: list[Cluster] = field(default_factory=list)
    """What was built, in the order of names."""
    _result: tuple[Cluster, ...] = ()

    def add(self, spec: ClusterSpec) -> None:
        """One more route refers to ``spec``."""
        users = self._users.get(spec.name)
        if users is None:
            users = self._users[spec.name] = _Users()
        counts = users.specs
        if spec not in counts:
            self._stale.add(spec.name)
            self._names.setdefault(spec.pool, set()).add(spec.name)
            users.add(spec)
        counts[spec] = counts.get(spec, 0) + 1

    def remove(self, spec: ClusterSpec) -> None:
        """One route less refers to ``spec``."""
        users = self._users[spec.name]
        counts = users.specs
        counts[spec] -= 1
        if counts[spec]:
            return
        del counts[spec]
        users.remove(spec)
        self._stale.add(spec.name)
        if not counts:
            del self._users[spec.name]
            names = self._names[spec.pool]
            names.discard(spec.name)
            if not names:
                del self._names[spec.pool]

    def endpoints_changed(self, pools: Iterable[str]) -> None:
        """The endpoints of ``pools`` may be others; one that ends in a colon stands for all ports."""
        for pool in pools:
            if not pool.endswith(":"):
                self._stale |= self._names.get(pool, set())
                continue
            for known, names in self._names.items():
                if known.startswith(pool):
                    self._stale |= names

    def clusters(self, lookup: EndpointLookup) -> tuple[Cluster, ...]:
        """Every cluster in use, sorted by name; the same tuple when nothing changed."""
        found = {name: self._cluster(name, lookup) for name in self._stale}
        changed = {name: now for name, now in found.items() if now != self._built.get(name)}
        self._stale.clear()
        if len(changed) > _FEW:
            self._built |= {name: now for name, now in changed.items() if now is not None}
            for name in [name for name, now in changed.items() if now is None]:
                del self._built[name]
            self._order = sorted(self._built)
            self._sorted = [self._built[name] for name in self._order]
        else:
            for name, now in changed.items():
                self._put(name, now)
        if changed:
            self._result = tuple(self._sorted)
        return self._result

    def _cluster(self, name: str, lookup: EndpointLookup) -> Cluster | None:
        users = self._users.get(name)
        return _build(users, lookup) if users is not None else None

    def _put(self, name: str, cluster: Cluster | None) -> None:
        """Put one cluster into its place; sorting ten thousand for it would take longer."""
        index = bisect_left(self._order, name)
        if cluster is None:
            del self._built[name], self._order[index], self._sorted[index]
        elif name in self._built:
            self._built[name] = self._sorted[index] = cluster
        else:
            self._built[name] = cluster
            self._order.insert(index, name)
            self._sorted.insert(index, cluster)


def _eds_name(spec: ClusterSpec) -> str:
    """The name of the endpoints: the pool's, unless they say how they are checked."""
    check = spec.settings.active_check
    if check is None:
        return spec.pool
    said = (f"port={check.port}" if check.port else "", "host" if check.host else "")
    return "#".join((spec.pool, *filter(None, said)))


def _build(users: _Users, lookup: EndpointLookup) -> Cluster:
    spec = next(iter(users.specs))
    settings = spec.settings
    return Cluster(
        name=spec.name,
        eds_name=_eds_name(spec),
        origins=users.origins(),
        endpoints=lookup(spec.pool),
        dns=settings.dns,
        protocol=settings.protocol,
        connect_timeout_ms=settings.connect_timeout_ms,
        load_balancer=settings.load_balancer,
        active_check=settings.active_check,
        outlier_detection=settings.outlier_detection,
        panic_threshold=settings.panic_threshold,
        thresholds=settings.thresholds,
        tls=settings.tls,
        resolution=settings.resolution,
        connections=settings.connections,
    )
