"""The incremental variant: DeltaDiscoveryRequest in, additions and removals by name out."""

from __future__ import annotations

from collections.abc import Iterable

from envoy.service.discovery.v3 import discovery_pb2 as discovery_v3

from fluxgate.snapshot import Snapshot
from fluxgate_xds.held import Held
from fluxgate_xds.session import Session
from fluxgate_xds.subscription import WILDCARD, Subscription
from fluxgate_xds.typestream import Response, TypeStream
from fluxgate_xds.views import Resources


class DeltaSession(Session[discovery_v3.DeltaDiscoveryRequest]):
    """One stream of ``DeltaAggregatedResources``."""

    def receive(self, request: discovery_v3.DeltaDiscoveryRequest, now: float) -> list[Response]:
        """As in the base; names to subscribe to count even if the nonce is an old one."""
        stream = self._types.get(request.type_url)
        if stream is None:
            self._open(request, now)
            return self._advance(now)
        if stream.inflight is not None and request.response_nonce == stream.inflight.nonce:
            nacked = request.HasField("error_detail")
            self._answer(stream, request.error_detail.message if nacked else None, now)
        subscribe = request.resource_names_subscribe
        unsubscribe = request.resource_names_unsubscribe
        if subscribe or unsubscribe:
            self._resubscribe(stream, subscribe, unsubscribe, now)
        return self._advance(now)

    def _open(self, request: discovery_v3.DeltaDiscoveryRequest, now: float) -> None:
        """The first request of a type; after a reconnect it says what the client still has."""
        subscription = Subscription.first(request.type_url, request.resource_names_subscribe)
        subscription = self._views.interned(subscription.updated((), ()))
        stream = TypeStream(request.type_url, subscription)
        stream.held.put_all(
            {
                name: Held(version, None)
                for name, version in request.initial_resource_versions.items()
                if subscription.concerns(name)
            }
        )
        stream.greet = stream.subscription.wildcard and not stream.held
        self._types[request.type_url] = stream
        self._examine_all(stream, now)

    def _resubscribe(
        self,
        stream: TypeStream,
        subscribe: Iterable[str],
        unsubscribe: Iterable[str],
        now: float,
    ) -> None:
        """Every name subscribed to is answered, even if the client is believed to have it.

        A name unsubscribed from under a wildcard is answered too: the client must
        learn whether it keeps the resource. Source: discovery.proto,
        DeltaDiscoveryRequest.resource_names_subscribe, and the protocol's
        "Unsubscribing From Resources".
        """
        before = stream.subscription
        stream.by_name()
        stream.subscription = self._views.interned(before.updated(subscribe, unsubscribe))
        asked = set(subscribe) - {WILDCARD}
        dropped = before.names.intersection(unsubscribe) - stream.subscription.names
        stream.owed |= asked & stream.subscription.names
        if stream.subscription.wildcard:
            stream.owed |= dropped
        narrowed = before.wildcard and not stream.subscription.wildcard
        for name in [*stream.held, *stream.unsure, *stream.owed] if narrowed else dropped:
            if not stream.subscription.concerns(name):
                self._drop(stream, name)
        stream.todo |= stream.owed
        if stream.subscription.wildcard and not before.wildcard:
            stream.greet = True
            self._examine_all(stream, now)

    def _compose(
        self,
        stream: TypeStream,
        upserts: Resources,
        absent: list[str],
        snapshot: Snapshot,
    ) -> list[Response]:
        version = snapshot.versions.get(stream.type_url, "")
        view = self._view(stream.type_url)
        whole = upserts is view.resources
        response = Response(
            type_url=stream.type_url,
            version=version,
            nonce=self._next_nonce(stream, version),
            resources=view.listed if whole else tuple(upserts.values()),
            changed=upserts,
            removed=tuple(absent),
            whole=whole,
            view=stream.bulk,
            sent_at=self._now,
        )
        return self._send(stream, response, snapshot)

    def _compose_removal(
        self, stream: TypeStream, names: list[str], snapshot: Snapshot
    ) -> list[Response]:
        return self._compose(stream, {}, names, snapshot)
