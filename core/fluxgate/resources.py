"""The world as the translator sees it: all objects of all kinds, typed and validated.

:class:`ResourceStore` is the one mutable holder: providers call ``upsert`` and
``remove``, the reconciler calls ``freeze``. :class:`Resources` is the immutable
bundle that ``freeze`` returns and ``translate`` reads. Facts that need I/O
(TLS secrets, service endpoints) are objects here like any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar, cast

from fluxgate.api.v1alpha1 import (
    ApiKey,
    Backend,
    GatewayConfig,
    Plugin,
    Resource,
    Route,
    Tenant,
    Upstream,
)
from fluxgate.secret import SecretBytes


class ObjectRef(NamedTuple):
    """The identity of an object: kind, namespace, name.

    A tuple rather than a dataclass, because it is the key of every mapping: it is hashed and
    compared without a call into Python.
    """

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        shown = self.source or self
        return f"{shown.kind} {shown.namespace}/{shown.name}"

    @property
    def source(self) -> ObjectRef | None:
        """What an object that no one wrote was made from; None for any other.

        Such an object is named ``<kind>:<name>:<part>`` (an Ingress' rule is the Route
        ``Ingress:web:0-1``). No name in Kubernetes holds a colon, so it meets no user's object, and
        it prints as what it was made from, which is where people can change something.
        """
        kind, colon, rest = self.name.partition(":")
        return ObjectRef(kind, self.namespace, rest.partition(":")[0]) if colon else None


@dataclass(frozen=True, slots=True)
class Secret:
    """A Kubernetes Secret (core/v1): TLS certificates and the like. Prints redacted."""

    namespace: str
    name: str
    type: str
    data: Mapping[str, SecretBytes]
    verdicts: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """What a look at ``data`` found, by whoever looked: kept as long as the object, never compared."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One ready address behind a Service port."""

    address: str
    port: int
    zone: str = ""


@dataclass(frozen=True, slots=True)
class ServiceEndpoints:
    """What a Service resolves to, by service port (core/v1 Service and its EndpointSlices).

    ``note`` says why it has no ports, when there is a reason.
    """

    namespace: str
    name: str
    ports: Mapping[int, tuple[Endpoint, ...]]
    note: str = ""


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """A Secret of type kubernetes.io/tls for clients that ask for one of ``hosts`` (SNI)."""

    secret: ObjectRef
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ServerCertificates:
    """Certificates that a gateway's HTTPS listeners present besides their own.

    ``name`` is that of the object in ``namespace`` they were made from (an Ingress), ``created``
    its creation time: of two that claim a host the older has it.
    """

    namespace: str
    name: str
    gateway: ObjectRef
    created: str
    certificates: tuple[ServerCertificate, ...]


Object = Resource | Secret | ServiceEndpoints | ServerCertificates
T = TypeVar("T", bound=Object)


def ref_of(obj: Object) -> ObjectRef:
    """The identity of ``obj``."""
    if isinstance(obj, Secret):
        return ObjectRef("Secret", obj.namespace, obj.name)
    if isinstance(obj, ServiceEndpoints):
        return ObjectRef("Service", obj.namespace, obj.name)
    if isinstance(obj, ServerCertificates):
        return ObjectRef("ServerCertificates", obj.namespace, obj.name)
    return ObjectRef(obj.kind, obj.metadata.namespace, obj.metadata.name)


def _same(old: Object, new: Object) -> bool:
    """Whether nothing that translation or status reporting looks at differs.

    Status, resourceVersion and metadata other than labels, generation, uid and
    creation time do not count: our own status writes must not cause a rebuild.
    """
    if not isinstance(old, Resource) or not isinstance(new, Resource):
        return old == new
    return (
        old.metadata.generation == new.metadata.generation
        and old.metadata.uid == new.metadata.uid
        and old.metadata.creation_timestamp == new.metadata.creation_timestamp
        and old.metadata.labels == new.metadata.labels
        and getattr(old, "spec", None) == getattr(new, "spec", None)
    )


@dataclass(frozen=True, slots=True)
class Resources:
    """An immutable bundle of all objects, by reference.

    Mappings keep no meaningful order; whoever needs one sorts by what decides
    (creation time, then namespace and name). Objects that did not change between
    two bundles are the same Python objects, so caches may compare by identity.
    """

    objects: Mapping[str, Mapping[ObjectRef, Object]]
    revision: int
    base: int = -1
    """The revision of the bundle frozen before this one."""
    touched: frozenset[ObjectRef] = frozenset()
    """What was inserted, replaced or removed since ``base``."""

    def changed_since(self, before: Resources | None) -> frozenset[ObjectRef]:
        """Every object added, replaced or removed since ``before``; a few that did not may be among them."""
        if before is not None and self.base == before.revision:
            return self.touched
        old: Mapping[str, Mapping[ObjectRef, Object]] = before.objects if before is not None else {}
        changed: set[ObjectRef] = set()
        for kind in old.keys() | self.objects.keys():
            was, now = old.get(kind, {}), self.objects.get(kind, {})
            if was is not now:
                changed |= _differing(was, now)
        return frozenset(changed)

    def _kind(self, _cls: type[T], kind: str) -> Mapping[ObjectRef, T]:
        return cast("Mapping[ObjectRef, T]", self.objects.get(kind, MappingProxyType({})))

    @property
    def gateway_configs(self) -> Mapping[ObjectRef, GatewayConfig]:
        """All GatewayConfigs."""
        return self._kind(GatewayConfig, "GatewayConfig")

    @property
    def routes(self) -> Mapping[ObjectRef, Route]:
        """All Routes."""
        return self._kind(Route, "Route")

    @property
    def backends(self) -> Mapping[ObjectRef, Backend]:
        """All Backends."""
        return self._kind(Backend, "Backend")

    @property
    def upstreams(self) -> Mapping[ObjectRef, Upstream]:
        """All Upstreams."""
        return self._kind(Upstream, "Upstream")

    @property
    def plugins(self) -> Mapping[ObjectRef, Plugin]:
        """All Plugins."""
        return self._kind(Plugin, "Plugin")

    @property
    def api_keys(self) -> Mapping[ObjectRef, ApiKey]:
        """All ApiKeys."""
        return self._kind(ApiKey, "ApiKey")

    @property
    def tenants(self) -> Mapping[ObjectRef, Tenant]:
        """All Tenants."""
        return self._kind(Tenant, "Tenant")

    @property
    def secrets(self) -> Mapping[ObjectRef, Secret]:
        """All Secrets that something refers to."""
        return self._kind(Secret, "Secret")

    @property
    def services(self) -> Mapping[ObjectRef, ServiceEndpoints]:
        """The endpoints of all Services that something refers to."""
        return self._kind(ServiceEndpoints, "Service")

    @property
    def server_certificates(self) -> Mapping[ObjectRef, ServerCertificates]:
        """Certificates besides those that GatewayConfigs name."""
        return self._kind(ServerCertificates, "ServerCertificates")

    def get(self, ref: ObjectRef) -> Object | None:
        """The object with this identity, if there is one."""
        return self.objects.get(ref.kind, MappingProxyType({})).get(ref)

    def __iter__(self) -> Iterator[tuple[ObjectRef, Object]]:
        for kind in sorted(self.objects):
            yield from self.objects[kind].items()

    def __len__(self) -> int:
        return sum(map(len, self.objects.values()))


def _differing(
    before: Mapping[ObjectRef, Object], now: Mapping[ObjectRef, Object]
) -> set[ObjectRef]:
    # comparing identities in bulk: hashing 10,000 ObjectRefs would cost more than all the rest
    old = dict(zip(map(id, before.values()), before, strict=True))
    new = dict(zip(map(id, now.values()), now, strict=True))
    added = {new[key] for key in new.keys() - old.keys()}
    return added | {old[key] for key in old.keys() - new.keys()}


@dataclass(slots=True)
class ResourceStore:
    """The current objects, and a revision that grows with every change that matters."""

    _objects: dict[str, dict[ObjectRef, Object]] = field(default_factory=dict)
    _frozen: dict[str, Mapping[ObjectRef, Object]] = field(default_factory=dict)
    _revision: int = 0
    _base: int = -1
    _touched: set[ObjectRef] = field(default_factory=set)

    @property
    def revision(self) -> int:
        """How many changes that matter the store has seen."""
        return self._revision

    def upsert(self, obj: Object) -> bool:
        """Insert or replace; returns whether anything that matters changed."""
        ref = ref_of(obj)
        objects = self._objects.setdefault(ref.kind, {})
        old = objects.get(ref)
        if old is not None and _same(old, obj):
            return False
        objects[ref] = obj
        self._touch(ref)
        return True

    def remove(self, ref: ObjectRef) -> bool:
        """Remove; returns whether the object was there."""
        if self._objects.get(ref.kind, {}).pop(ref, None) is None:
            return False
        self._touch(ref)
        return True

    def replace(self, objects: Iterable[Object]) -> bool:
        """Make the store hold exactly these objects; returns whether anything changed."""
        wanted = {ref_of(obj): obj for obj in objects}
        gone = [ref for kind in self._objects.values() for ref in kind if ref not in wanted]
        changed = [self.remove(ref) for ref in gone]
        changed += [self.upsert(obj) for obj in wanted.values()]
        return any(changed)

    def get(self, ref: ObjectRef) -> Object | None:
        """The object with this identity, if there is one."""
        return self._objects.get(ref.kind, {}).get(ref)

    @property
    def gateway_configs(self) -> tuple[GatewayConfig, ...]:
        """All GatewayConfigs now, for those that read what they name."""
        found = self._objects.get("GatewayConfig", {}).values()
        return tuple(each for each in found if isinstance(each, GatewayConfig))

    def freeze(self) -> Resources:
        """The current world as an immutable bundle; kinds that did not change are shared."""
        for kind, objects in self._objects.items():
            if kind not in self._frozen:
                self._frozen[kind] = MappingProxyType(dict(objects))
        touched, self._touched = frozenset(self._touched), set()
        base, self._base = self._base, self._revision
        return Resources(MappingProxyType(dict(self._frozen)), self._revision, base, touched)

    def _touch(self, ref: ObjectRef) -> None:
        self._frozen.pop(ref.kind, None)
        self._touched.add(ref)
        self._revision += 1
