"""What one client has, awaits and may still use, over all types of its stream."""

from __future__ import annotations

from collections.abc import Iterator

from fluxgate.snapshot import Snapshot, SnapshotResource
from fluxgate.xds import typeurl
from fluxgate_xds.awaited import Awaited
from fluxgate_xds.held import ABSENT, Held
from fluxgate_xds.ordering import rank, referrers
from fluxgate_xds.typestream import TypeStream
from fluxgate_xds.views import NOTHING, Reference, Resources, View, Views


class Ledger:
    """The books of a session: :class:`~fluxgate_xds.session.Session` decides, this remembers."""

    def __init__(self, views: Views) -> None:
        self._views = views
        self._snapshot: Snapshot | None = None
        self._types: dict[str, TypeStream] = {}
        self._awaited = Awaited()
        self._warmers: Resources = {}

    def _view(self, type_url: str) -> View:
        """Everything the snapshot has of a type."""
        return self._views.of(self._snapshot.of_type(type_url)) if self._snapshot else NOTHING

    def _examine_all(self, stream: TypeStream, now: float) -> None:
        """Look at every name of a type, as after the first request or the first snapshot."""
        if self._snapshot is None:
            return
        view = self._view(stream.type_url)
        stream.bulk = None
        if stream.held:
            self._recognise_all(stream, view, now)
        elif view.names and stream.untouched and view.covers(stream.subscription):
            stream.bulk = view
            return
        clusters = self._types.get(typeurl.CLUSTER)
        if stream.type_url == typeurl.ENDPOINT and clusters is not None and clusters.inflight:
            self._rewarm(clusters, clusters.inflight.changed)
        stream.todo.update(stream.held.overlay, stream.subscription.names - view.names)
        differing = self._views.differing(stream.held.base.resources, view.resources)
        concerned = stream.subscription.concerns
        stream.todo |= (
            differing if stream.subscription.wildcard else set(filter(concerned, differing))
        )
        if stream.held.differs:
            stream.todo |= set(filter(concerned, view.names))

    def _recognise_all(self, stream: TypeStream, view: View, now: float) -> None:
        """Find the resources of which only the version was known, after a reconnect."""
        if stream.held.base is NOTHING:
            names = stream.held.recognise(view)
            if names is view.names:
                self._awaited.discard_all(stream.type_url, names)
                self._await_all(stream, view, now)
            else:
                for name in names:
                    self._hold(stream, view.resources[name], now)
        self._recognise(stream, set(stream.held.overlay), now)

    def _recognise(self, stream: TypeStream, names: set[str], now: float) -> None:
        """The same for some names, after a change of the snapshot."""
        resources = self._snapshot.of_type(stream.type_url) if self._snapshot else {}
        for name in names & stream.held.overlay.keys():
            held, resource = stream.held.overlay[name], resources.get(name)
            if held is ABSENT:
                continue
            if held.resource is None and resource is not None and resource.version == held.version:
                self._hold(stream, resource, now)
            elif held.resource is None and stream.type_url == typeurl.ENDPOINT:
                stream.held.put(name, Held(held.version, self._warmers.get(name)))

    def _drop(self, stream: TypeStream, name: str) -> None:
        """Record that the client has nothing under ``name`` and awaits nothing because of it."""
        held = stream.held.get(name) or ABSENT
        if held.resource is not None:
            for reference in held.resource.references:
                self._awaited.discard(reference)
        self._awaited.discard((stream.type_url, name))
        stream.forget(name)

    def _hold(self, stream: TypeStream, resource: SnapshotResource, now: float) -> None:
        """Record that the client has ``resource``, and await what it will ask for because of it."""
        before = stream.held.get(resource.name) or ABSENT
        stream.held.put(resource.name, Held(resource.version, resource))
        stream.unremoved.pop(resource.name, None)
        self._awaited.discard((stream.type_url, resource.name))
        if stream.type_url == typeurl.ROUTE:
            return  # the last in order: what it refers to is never awaited because of it
        if before.resource is not None:
            for reference in before.resource.references - resource.references:
                self._awaited.discard(reference)
        for reference in resource.references:
            url, name = reference
            below = self._types.get(url)
            if rank(url) > stream.rank and (below is None or not below.has(name)):
                self._awaited.add(reference, now)

    def _hold_all(self, stream: TypeStream, view: View, now: float) -> None:
        """The same for a client that now has all of ``view`` and had nothing before."""
        stream.held.rebase(view)
        self._awaited.discard_all(stream.type_url, view.names)
        self._await_all(stream, view, now)

    def _await_all(self, stream: TypeStream, view: View, now: float) -> None:
        for url, names in view.references.items():
            below = self._types.get(url)
            if rank(url) <= stream.rank or (below is not None and below.held.has_all(names)):
                continue
            if url == typeurl.ENDPOINT and below is None:
                self._awaited.add_all(url, names, now)
                continue
            for name in names:
                if below is None or not below.has(name):
                    self._awaited.add((url, name), now)

    def _rewarm(self, stream: TypeStream, clusters: Resources) -> None:
        """Owe the client the endpoints of the clusters it is being sent, if it knows their names.

        Envoy warms a changed cluster until endpoints arrive, even if they are the
        same as before, and withholds the acknowledgement of CDS until then.
        """
        if stream.type_url != typeurl.CLUSTER or self._snapshot is None:
            return
        below = self._types.get(typeurl.ENDPOINT)
        present = self._snapshot.of_type(typeurl.ENDPOINT)
        view = self._view(typeurl.CLUSTER)
        if below is None and clusters is view.resources:
            self._warmers = present
            return
        references = (each for cluster in clusters.values() for each in cluster.references)
        names = {name for url, name in references if url == typeurl.ENDPOINT}
        known = {name: present[name] for name in names & present.keys()}
        self._warmers = {**self._warmers, **known} if self._warmers else known
        if below is None:
            return
        below.by_name()
        below.owed |= names & below.subscription.names
        below.todo |= below.owed
        below.classify(self._snapshot)

    def _outstanding(self) -> Iterator[tuple[Reference, float]]:
        """What is awaited and can come, since when; what the snapshot lacks cannot come."""
        return self._awaited.outstanding(self._is_missing)

    def _is_missing(self, url: str, name: str) -> bool:
        stream = self._types.get(url)
        there = stream is not None and (stream.has(name) or stream.refused(name))
        return self._snapshot is not None and not there and name in self._snapshot.of_type(url)

    def _unusable(self) -> frozenset[Reference]:
        """The clusters whose endpoints the client refuses and has none of: no route may use them."""
        below = self._types.get(typeurl.ENDPOINT)
        if below is None or not below.unsure or self._snapshot is None:
            return frozenset()
        refused = {
            (typeurl.ENDPOINT, name)
            for name in below.unsure
            if below.refused(name) and not below.has(name)
        }
        clusters = self._snapshot.of_type(typeurl.CLUSTER) if refused else {}
        return frozenset(
            (typeurl.CLUSTER, name)
            for name, cluster in clusters.items()
            if not refused.isdisjoint(cluster.references)
        )

    def _referred(self, type_url: str) -> set[str] | None:
        """Names of a type that the client may still need; None when that cannot be known."""
        names: set[str] = set()
        for url in referrers(type_url):
            stream = self._types.get(url)
            if stream is None:
                continue
            held = stream.held
            if held.whole:
                names |= held.base.references.get(type_url, frozenset())
            for _, resource in stream.possible(without_base=held.whole):
                if resource is None:
                    return None
                names.update(name for target, name in resource.references if target == type_url)
        return names
