"""Keeps the endpoints of the Services that something refers to in the store.

Services and slices nobody refers to are kept as small tuples, so that a reference that
appears later is served at once; they cost no look at the store.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from fluxgate.resources import ObjectRef, ResourceStore, ServiceEndpoints
from fluxgate_operator.kube.client import Document
from fluxgate_operator.providers.kubernetes.slices import (
    SERVICE_NAME,
    ServiceSpec,
    Slice,
    read_service,
    read_slice,
    resolve,
)
from fluxgate_operator.providers.kubernetes.versions import Key


class EndpointsTable:
    """Services and their slices. :meth:`settle` writes what changed to the store."""

    def __init__(self, store: ResourceStore) -> None:
        self._store = store
        self._services: dict[Key, ServiceSpec] = {}
        self._slices: dict[Key, dict[str, Slice]] = {}
        self._owner: dict[Key, Key] = {}
        self._wanted: AbstractSet[Key] = frozenset()
        self._dirty: set[Key] = set()

    def want(self, services: AbstractSet[Key]) -> None:
        """These Services are referred to, and no other."""
        self._dirty |= services ^ self._wanted
        self._wanted = services

    def look_up(self, ref: ObjectRef) -> ServiceEndpoints | None:
        """The endpoints of a Service, referred to or not; None when there is no such Service."""
        key = ref.namespace, ref.name
        service = self._services.get(key)
        if service is None:
            return None
        return resolve(*key, service, self._slices.get(key, {}).values())

    def put_service(self, document: Document) -> None:
        """A Service is there."""
        meta = document["metadata"]
        key = meta["namespace"], meta["name"]
        self._services[key] = read_service(document)
        self._touch(key)

    def drop_service(self, namespace: str, name: str) -> None:
        """A Service is gone."""
        self._services.pop((namespace, name), None)
        self._touch((namespace, name))

    def put_slice(self, document: Document) -> None:
        """An EndpointSlice is there; it may have changed hands."""
        meta = document["metadata"]
        namespace, name = meta["namespace"], meta["name"]
        service = (meta.get("labels") or {}).get(SERVICE_NAME)
        if self._owner.get((namespace, name)) != (namespace, service):
            self.drop_slice(namespace, name)
        if service:
            self._owner[namespace, name] = namespace, service
            self._slices.setdefault((namespace, service), {})[name] = read_slice(document)
            self._touch((namespace, service))

    def drop_slice(self, namespace: str, name: str) -> None:
        """An EndpointSlice is gone."""
        service = self._owner.pop((namespace, name), None)
        if service is None:
            return
        slices = self._slices[service]
        del slices[name]
        if not slices:
            del self._slices[service]
        self._touch(service)

    def settle(self) -> None:
        """Write the endpoints of what changed, and of what is newly referred to."""
        dirty, self._dirty = self._dirty, set()
        for key in dirty:
            service = self._services.get(key) if key in self._wanted else None
            if service is None:
                self._store.remove(ObjectRef("Service", *key))
            else:
                slices = self._slices.get(key, {})
                self._store.upsert(resolve(*key, service, slices.values()))

    def _touch(self, key: Key) -> None:
        if key in self._wanted:
            self._dirty.add(key)


class ServiceIntake:
    """The table's ear for Services."""

    def __init__(self, table: EndpointsTable) -> None:
        self.put = table.put_service
        self.drop = table.drop_service


class SliceIntake:
    """The table's ear for EndpointSlices."""

    def __init__(self, table: EndpointsTable) -> None:
        self.put = table.put_slice
        self.drop = table.drop_slice
