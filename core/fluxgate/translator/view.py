"""What the steps share: the facts found so far. It is also what a cache keeps between calls."""

from __future__ import annotations

from dataclasses import dataclass, field

from fluxgate.api.v1alpha1 import Backend
from fluxgate.ir import EndpointIR, Gateway, Shared
from fluxgate.resources import ObjectRef, Resources, Secret, ServiceEndpoints
from fluxgate.status import ObjectStatus
from fluxgate.translator.backends import Lookups
from fluxgate.translator.changes import Changes
from fluxgate.translator.dependents import Dependents
from fluxgate.translator.destinations import (
    Destination,
    Resolved,
    service_endpoints,
    url_endpoints,
)
from fluxgate.translator.findings import Finding
from fluxgate.translator.gateways import GatewayFact, GatewayScope
from fluxgate.translator.key_table import KeyTables
from fluxgate.translator.policies import PluginIndex
from fluxgate.translator.serving import Fragment, Serving
from fluxgate.translator.tenants import TenantIndex
from fluxgate.translator.upstreams import upstream_endpoints


@dataclass(frozen=True, slots=True)
class Built:
    """A finished gateway, and the base it was made from."""

    gateway: Gateway
    base: Gateway


@dataclass(slots=True)
class View:
    """Facts about one world. Every step updates its own part from ``dirty``.

    ``dirty`` holds what changed: objects, and the questions whose answer did
    (:func:`~fluxgate.translator.tenants.question`,
    :func:`~fluxgate.translator.policies.attachment`).
    """

    resources: Resources
    exposes: bool = False
    """Whether what ``spec.exposure`` asks for is made."""
    changes: Changes = field(default_factory=Changes)
    dirty: set[ObjectRef] = field(default_factory=set)
    tenants: TenantIndex = field(default_factory=TenantIndex)
    gateways: dict[ObjectRef, GatewayFact] = field(default_factory=dict)
    scopes: tuple[GatewayScope, ...] = ()
    """Of ``gateways``, sorted by key."""
    quota_policies: frozenset[str] = frozenset()
    """Who counts the quotas of tenants."""
    limits: dict[str, tuple[TenantIndex, GatewayFact, tuple[Shared, ...]]] = field(
        default_factory=dict
    )
    """What gateways have for limits whatever their routes do, and what that was made from."""
    plugins: PluginIndex = field(default_factory=PluginIndex)
    destinations: dict[ObjectRef, Resolved] = field(default_factory=dict)
    service_ports: dict[ObjectRef, frozenset[int]] = field(default_factory=dict)
    stale_pools: set[str] = field(default_factory=set)
    """Pools (or, ending in a colon, beginnings of their names) whose endpoints may be others."""
    fragments: dict[ObjectRef, Fragment] = field(default_factory=dict)
    serving: dict[str, Serving] = field(default_factory=dict)
    keys: KeyTables = field(default_factory=KeyTables)
    dependents: Dependents = field(default_factory=Dependents)
    findings: dict[ObjectRef, tuple[Finding, ...]] = field(default_factory=dict)
    touched: set[ObjectRef] = field(default_factory=set)
    """Objects whose status has to be made again."""
    statuses: dict[ObjectRef, ObjectStatus] = field(default_factory=dict)
    built: dict[str, Built] = field(default_factory=dict)

    def note(self, ref: ObjectRef, findings: tuple[Finding, ...] | None) -> None:
        """Keep what was found about ``ref``; None when the object is gone."""
        self.touched.add(ref)
        if findings is None:
            self.findings.pop(ref, None)
        else:
            self.findings[ref] = findings

    def changed(self, kind: str) -> set[ObjectRef]:
        """The objects of one kind that changed themselves."""
        return {ref for ref in self.dirty if ref.kind == kind}

    def dependent(self, kind: str, refs: set[ObjectRef]) -> set[ObjectRef]:
        """The objects of one kind that looked at one of ``refs``."""
        return {ref for ref in self.dependents.of(refs) if ref.kind == kind}

    def endpoints(self, pool: str) -> tuple[EndpointIR, ...]:
        """The endpoints of a pool, by its name (see :mod:`fluxgate.translator.destinations`)."""
        kind, _, rest = pool.partition("/")
        if kind == "url":
            return url_endpoints(rest)
        namespace, _, name = rest.partition("/")
        if kind == "service":
            name, _, port = name.rpartition(":")
            service = self.service(ObjectRef("Service", namespace, name))
            return service_endpoints(service, int(port)) if service else ()
        if kind == "backend":
            backend = self.usable_backend(ObjectRef("Backend", namespace, name))
            return url_endpoints(backend.spec.url) if backend and backend.spec.url else ()
        upstream = self.resources.upstreams.get(ObjectRef("Upstream", namespace, name))
        return upstream_endpoints(upstream) if upstream else ()

    def missing(self, ref: ObjectRef) -> str:
        """Why ``ref`` cannot be referred to, and what to do."""
        if words := self.changes.rejected.get(ref):
            return f"Envoy rejected {ref}: {words}; repair it"
        if self.resources.get(ref) is None:
            return f"{ref} does not exist; create it or correct the name"
        return f"{ref} is not usable; see its conditions"

    def absent(self, ref: ObjectRef) -> str | None:
        """Why ``ref`` cannot be referred to; None when it is there and was not rejected."""
        there = self.resources.get(ref) is not None and ref not in self.changes.rejected
        return None if there else self.missing(ref)

    def lookups(self) -> Lookups:
        """How backends and routes find what they refer to."""
        return Lookups(
            self.secret, self.service, self.destination, self.usable_backend, self.missing
        )

    def secret(self, ref: ObjectRef) -> Secret | None:
        """A Secret that is there and was not rejected."""
        return None if ref in self.changes.rejected else self.resources.secrets.get(ref)

    def service(self, ref: ObjectRef) -> ServiceEndpoints | None:
        """A Service that is there."""
        return None if ref in self.changes.rejected else self.resources.services.get(ref)

    def usable_backend(self, ref: ObjectRef) -> Backend | None:
        """A Backend that is there and was not rejected."""
        return None if ref in self.changes.rejected else self.resources.backends.get(ref)

    def destination(self, ref: ObjectRef) -> Destination | None:
        """What a Backend or Upstream resolves to."""
        resolved = self.destinations.get(ref)
        return resolved.destination if resolved else None
