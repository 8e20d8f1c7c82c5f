"""The state-of-the-world variant: DiscoveryRequest in, sets of resources out.

Clusters and listeners are always sent in full, so what a later step will remove
stays in until then. The other types cannot be removed by a response: the client
drops them when nothing refers to them any more.
"""

from __future__ import annotations

from collections.abc import Callable

from envoy.service.discovery.v3 import discovery_pb2 as discovery_v3

from fluxgate.snapshot import Snapshot, SnapshotResource
from fluxgate.xds import typeurl
from fluxgate.xds.wire import field_string
from fluxgate_xds.held import ABSENT
from fluxgate_xds.session import Session
from fluxgate_xds.subscription import NAMED_TYPES, Subscription
from fluxgate_xds.typestream import Response, TypeStream
from fluxgate_xds.views import Resources, Views

Recall = Callable[[str, str], Resources | None]
"""What a type URL's version held, if it is still known."""


class SotwSession(Session[discovery_v3.DiscoveryRequest]):
    """One stream of ``StreamAggregatedResources``."""

    def __init__(
        self, *, views: Views | None = None, recall: Recall | None = None, patience: float = 5.0
    ) -> None:
        super().__init__(views=views, patience=patience)
        self._recall = recall
        self._claims: dict[str, str] = {}
        self._partial = 0

    def receive(self, request: discovery_v3.DiscoveryRequest, now: float) -> list[Response]:
        """As in the base; but a request with the nonce of an older response changes nothing.

        It is stale: the client answers the newer response with all its names.
        """
        stream = self._types.get(request.type_url)
        if stream is None:
            self._open(request, now)
            return self._advance(now)
        if request.response_nonce != stream.nonce:
            return []
        if stream.inflight is not None:
            nacked = request.HasField("error_detail")
            self._answer(stream, request.error_detail.message if nacked else None, now)
        self._resubscribe(stream, request, now)
        return self._advance(now)

    def _open(self, request: discovery_v3.DiscoveryRequest, now: float) -> None:
        """The first request of a type; its nonce, if any, belongs to an earlier stream."""
        subscription = Subscription.first(request.type_url, request.resource_names)
        stream = TypeStream(request.type_url, self._views.interned(subscription))
        stream.greet = self._full(stream)
        self._types[request.type_url] = stream
        self._claims[request.type_url] = request.version_info
        self._examine_all(stream, now)

    def _examine_all(self, stream: TypeStream, now: float) -> None:
        """As in the base, but after a reconnect believe the version of a plain wildcard.

        If it is the present one there is nothing to say; if it is an earlier one that is
        still known, what it held stays until nothing refers to it. With names a version
        tells nothing: they may be others than on the stream before.
        """
        if self._snapshot is None:
            return
        claim = self._claims.pop(stream.type_url, "")
        had = self._claimed(stream, claim) if claim else None
        if had is not None:
            view = self._views.of(had)
            if view.uniform:
                self._hold_all(stream, view, now)
            else:
                for resource in stream.subscription.selection(had).values():
                    self._hold(stream, resource, now)
            stream.greet = claim != self._snapshot.versions.get(stream.type_url)
        super()._examine_all(stream, now)

    def _claimed(self, stream: TypeStream, version: str) -> Resources | None:
        """All that the client has of a type, if ``version`` tells."""
        subscription = stream.subscription
        if not subscription.wildcard or subscription.names or self._snapshot is None:
            return None
        if version == self._snapshot.versions.get(stream.type_url):
            return self._snapshot.of_type(stream.type_url)
        return self._recall(stream.type_url, version) if self._recall else None

    def _resubscribe(
        self, stream: TypeStream, request: discovery_v3.DiscoveryRequest, now: float
    ) -> None:
        before = stream.subscription
        after = before.replaced(request.resource_names)
        if after == before:
            return
        stream.by_name()
        stream.subscription = self._views.interned(after)
        added = stream.subscription.names - before.names
        narrowed = before.wildcard and not stream.subscription.wildcard
        everything = [*stream.held, *stream.unsure, *stream.owed] if narrowed else ()
        for name in {*everything, *(before.names - stream.subscription.names)}:
            if not stream.subscription.concerns(name):
                self._drop(stream, name)
        stream.owed |= added
        stream.todo |= added
        stream.greet = stream.greet or self._full(stream)
        if stream.subscription.wildcard != before.wildcard:
            self._examine_all(stream, now)

    @staticmethod
    def _full(stream: TypeStream) -> bool:
        """Whether every response must hold all that the client shall have."""
        return stream.type_url not in NAMED_TYPES

    def _compose(
        self,
        stream: TypeStream,
        upserts: Resources,
        absent: list[str],
        snapshot: Snapshot,
    ) -> list[Response]:
        if not self._full(stream):
            if absent:
                upserts = {**upserts, **self._tell_absent(stream, absent)}
            if not upserts:
                stream.greet = False
                return []
            version, view = snapshot.versions.get(stream.type_url, ""), self._view(stream.type_url)
            whole = upserts is view.resources
            response = Response(
                type_url=stream.type_url,
                version=version,
                nonce=self._next_nonce(stream, version),
                resources=view.listed if whole else tuple(upserts.values()),
                changed=upserts,
                whole=whole,
                view=stream.bulk,
                sent_at=self._now,
            )
            return self._send(stream, response, snapshot)
        return self._compose_full(stream, upserts, (*absent,), snapshot)

    def _tell_absent(self, stream: TypeStream, names: list[str]) -> dict[str, SnapshotResource]:
        """Only endpoints can be said to be absent: by an assignment without any.

        It is needed when a cluster vanishes while Envoy still warms it: Envoy would
        take no further clusters until its fetch timeout (15 s by default). It would be
        wrong for a cluster that the client has and may still use, as after a reconnect:
        that keeps its endpoints until it goes. When such a cluster is being warmed
        because it has changed, the endpoints that it was sent with end that; one that
        was put back has none of these only if nothing used it any more.
        """
        in_use, warmers = set(names), self._warmers
        silent = in_use
        if stream.type_url == typeurl.ENDPOINT:
            in_use = self._in_use()
            silent = in_use - warmers.keys() - self._put_back()
        told: dict[str, SnapshotResource] = {}
        for name in names:
            if name in silent:
                stream.owed.discard(name)
                stream.todo.discard(name)
                stream.held.put(name, ABSENT)
            elif name in in_use and name in warmers:
                told[name] = warmers[name]
            else:
                payload = field_string(1, name)
                told[name] = SnapshotResource.of(typeurl.ENDPOINT, name, payload)
        return told

    def _put_back(self) -> set[str]:
        """The names of the endpoints of the clusters in flight that go along as they were."""
        clusters = self._types.get(typeurl.CLUSTER)
        response = clusters.inflight if clusters is not None else None
        if clusters is None or response is None:
            return set()
        return {
            name
            for cluster in response.resources
            if cluster.name in clusters.unsure and cluster.name not in response.changed
            for url, name in cluster.references
            if url == typeurl.ENDPOINT
        }

    def _in_use(self) -> set[str]:
        """The names of the endpoints of every cluster the client has acknowledged."""
        clusters = self._types.get(typeurl.CLUSTER)
        resources = clusters.held.resources(without_base=False) if clusters is not None else ()
        return {
            name
            for _, cluster in resources
            if cluster is not None
            for url, name in cluster.references
            if url == typeurl.ENDPOINT
        }

    def _compose_full(
        self,
        stream: TypeStream,
        upserts: Resources,
        removed: tuple[str, ...],
        snapshot: Snapshot,
    ) -> list[Response]:
        """All that the client shall have, plus what it has and may not lose yet.

        The version is the snapshot's only if the set is exactly the snapshot's, so
        that a client which reconnects with it is known to have just that.
        """
        version, view = snapshot.versions.get(stream.type_url, ""), self._view(stream.type_url)
        everything = stream.bulk is not None or (
            view.covers(stream.subscription) and not stream.todo.difference(upserts, removed)
        )
        resources = None if everything else self._kept(stream, upserts, removed, snapshot)
        self._partial += not everything
        if reverted := self._reverted(stream, upserts, resources or {}):
            self._rewarm(stream, reverted)
        response = Response(
            type_url=stream.type_url,
            version=version if resources is None else f"{version}+{self._partial}",
            nonce=self._next_nonce(stream, version),
            resources=view.listed if resources is None else tuple(resources.values()),
            changed=upserts,
            removed=removed,
            whole=resources is None,
            view=stream.bulk,
            sent_at=self._now,
        )
        return self._send(stream, response, snapshot)

    @staticmethod
    def _kept(
        stream: TypeStream,
        upserts: Resources,
        removed: tuple[str, ...],
        snapshot: Snapshot,
    ) -> dict[str, SnapshotResource]:
        """All that the client shall have now, by name."""
        wanted = stream.subscription.selection(snapshot.of_type(stream.type_url))
        resources: dict[str, SnapshotResource] = {}
        for name in sorted({*wanted, *stream.held}.difference(removed)):
            resource = wanted.get(name)
            if resource is not None and name in stream.todo and name not in upserts:
                resource = None
            held = stream.held.get(name)
            kept = resource or (held.resource if held is not None else None)
            if kept is not None:
                resources[name] = kept
        return resources

    @staticmethod
    def _reverted(stream: TypeStream, upserts: Resources, resources: Resources) -> Resources:
        """What goes along as it was, though the client may have a newer version of it.

        To that client it is a change like any other.
        """
        return {
            name: resources[name]
            for name in stream.unsure
            if name in resources and name not in upserts
        }

    def _compose_removal(
        self, stream: TypeStream, names: list[str], snapshot: Snapshot
    ) -> list[Response]:
        if self._full(stream):
            return self._compose_full(stream, {}, tuple(names), snapshot)
        for name in names:
            self._drop(stream, name)
            if name in stream.subscription.names:
                stream.held.put(name, ABSENT)
        return []
