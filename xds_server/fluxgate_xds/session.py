"""One ADS stream as a state machine without I/O, common to both protocol variants.

In go requests (:mod:`fluxgate_xds.delta`, :mod:`fluxgate_xds.sotw`), new snapshots
and the time; out come responses. The machine keeps no plan: after every event it
compares what the client holds with what the newest snapshot says and sends what
may go now. So a newer snapshot supersedes a half-sent one by itself. What may go:

* one response per type at a time; the next waits for ACK or NACK. A slow client
  therefore costs one response per type, never a queue.
* additions wait until the types that they may depend on are acknowledged, and until
  the client holds what acknowledged clusters and listeners refer to (their
  endpoints, secrets and filters), but for that at most ``patience`` seconds.
  Endpoints and secrets wait for nothing: Envoy acknowledges clusters only when
  they are warm, so that this acknowledgement is the sign that routes may use them;
* a resource that refers to a cluster the client has refused stays back;
* ``final`` resources go when nothing else is left to add and nothing was refused;
* removals go last, and never what anything the client may hold still refers to.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Generic, TypeVar

from fluxgate.ports import Nack, SyncState, TypeState
from fluxgate.snapshot import Snapshot, SnapshotResource
from fluxgate.xds import typeurl
from fluxgate_xds.changes import Changes
from fluxgate_xds.ordering import rank, referrers, removal_rank, waits
from fluxgate_xds.typestream import ABSENT, Held, Need, Response, TypeStream

Reference = tuple[str, str]


RequestT = TypeVar("RequestT")


class Session(ABC, Generic[RequestT]):
    """The server's side of one ADS stream."""

    def __init__(self, *, patience: float = 5.0) -> None:
        self._patience = patience
        self._snapshot: Snapshot | None = None
        self._types: dict[str, TypeStream] = {}
        self._awaited: dict[Reference, float] = {}
        self._warmers: dict[str, SnapshotResource] = {}
        self._nonce = 0
        self._acked_snapshot = ""
        self._now = 0.0

    @property
    def snapshot(self) -> Snapshot | None:
        """The snapshot the client is being brought to."""
        return self._snapshot

    @property
    def acked_snapshot(self) -> str:
        """The version of the newest snapshot acknowledged in whole; empty before the first."""
        return self._acked_snapshot

    @property
    def wake_at(self) -> float | None:
        """When :meth:`tick` is due, on the clock of the ``now`` arguments; None for never."""
        if not any(each.todo for each in self._types.values()):
            return None
        deadlines = (since + self._patience for _, since in self._outstanding())
        return min((each for each in deadlines if each > self._now), default=None)

    def states(self) -> dict[str, TypeState]:
        """What the client has said of each type it asked for."""
        return {url: self._state(stream) for url, stream in self._types.items()}

    def publish(self, snapshot: Snapshot, changes: Changes, now: float) -> list[Response]:
        """Bring the client to ``snapshot``; ``changes`` is the difference to :attr:`snapshot`."""
        first = self._snapshot is None
        self._snapshot = snapshot
        for reference in self._awaited:
            if reference[1] in changes.get(reference[0], ()):
                self._awaited[reference] = now
        for url, stream in self._types.items():
            if first:
                self._examine_all(stream, now)
                continue
            stream.review(snapshot)
            concerned = set(filter(stream.subscription.concerns, changes.get(url, ())))
            stream.todo |= concerned
            self._recognise(stream, concerned, now)
        return self._advance(now)

    def tick(self, now: float) -> list[Response]:
        """Stop waiting for what the client has not asked for within ``patience``."""
        return self._advance(now)

    @abstractmethod
    def receive(self, request: RequestT, now: float) -> list[Response]:
        """Take one request of the variant; ``now`` in seconds since the epoch."""

    # -- what the protocol variants call ------------------------------------------------

    def _examine_all(self, stream: TypeStream, now: float) -> None:
        """Look at every name of a type, as after the first request or the first snapshot."""
        if self._snapshot is None:
            return
        clusters = self._types.get(typeurl.CLUSTER)
        if stream.type_url == typeurl.ENDPOINT and clusters is not None and clusters.inflight:
            self._rewarm(clusters, clusters.inflight.changed)
        resources = self._snapshot.of_type(stream.type_url)
        stream.todo.update(stream.held, stream.subscription.names)
        if stream.subscription.wildcard:
            stream.todo.update(resources)
        self._recognise(stream, set(stream.held), now)

    def _recognise(self, stream: TypeStream, names: set[str], now: float) -> None:
        """Find the resources of which only the version was known, after a reconnect."""
        resources = self._snapshot.of_type(stream.type_url) if self._snapshot else {}
        for name in names & stream.held.keys():
            held, resource = stream.held[name], resources.get(name)
            if held.resource is None and resource is not None and resource.version == held.version:
                self._hold(stream, resource, now)
            elif held.resource is None and stream.type_url == typeurl.ENDPOINT:
                stream.held[name] = Held(held.version, self._warmers.get(name))

    def _answer(self, stream: TypeStream, error: str | None, now: float) -> None:
        """The client has answered the response in flight: ``error`` is its NACK's message."""
        response, stream.inflight = stream.inflight, None
        if response is None:
            return
        if stream.type_url == typeurl.CLUSTER:
            self._warmers.clear()
        stream.todo.update(response.changed, response.removed)
        if error is None:
            self._accept(stream, response, now)
            return
        version = response.version.partition("+")[0]
        stream.nack = Nack(version=version, message=error, at=now)
        stream.refuse(response)
        if self._snapshot is not None:
            stream.review(self._snapshot)

    def _accept(self, stream: TypeStream, response: Response, now: float) -> None:
        for name in response.removed:
            asked_again = name in stream.owed
            self._drop(stream, name)
            stream.todo.add(name)
            if asked_again:
                stream.owed.add(name)
            if name in stream.subscription.names:
                stream.held[name] = ABSENT
        for name, resource in response.changed.items():
            stream.unsure.pop(name, None)
            if stream.subscription.concerns(name):
                self._hold(stream, resource, now)

    def _drop(self, stream: TypeStream, name: str) -> None:
        """Record that the client has nothing under ``name`` and awaits nothing because of it."""
        held = stream.held.get(name, ABSENT)
        if held.resource is not None:
            for reference in held.resource.references:
                self._awaited.pop(reference, None)
        self._awaited.pop((stream.type_url, name), None)
        stream.forget(name)

    def _hold(self, stream: TypeStream, resource: SnapshotResource, now: float) -> None:
        """Record that the client has ``resource``, and await what it will ask for because of it."""
        before = stream.held.get(resource.name, ABSENT)
        stream.held[resource.name] = Held(resource.version, resource)
        stream.unremoved.pop(resource.name, None)
        self._awaited.pop((stream.type_url, resource.name), None)
        if before.resource is not None:
            for reference in before.resource.references - resource.references:
                self._awaited.pop(reference, None)
        for reference in resource.references:
            url, name = reference
            below = self._types.get(url)
            if rank(url) > stream.rank and (below is None or not below.has(name)):
                self._awaited.setdefault(reference, now)

    def _rewarm(self, stream: TypeStream, clusters: Mapping[str, SnapshotResource]) -> None:
        """Owe the client the endpoints of the clusters it is being sent, if it knows their names.

        Envoy warms a changed cluster until endpoints arrive, even if they are the
        same as before, and withholds the acknowledgement of CDS until then.
        """
        if stream.type_url != typeurl.CLUSTER or self._snapshot is None:
            return
        references = (each for cluster in clusters.values() for each in cluster.references)
        names = {name for url, name in references if url == typeurl.ENDPOINT}
        present = self._snapshot.of_type(typeurl.ENDPOINT)
        self._warmers.update((name, present[name]) for name in names & present.keys())
        below = self._types.get(typeurl.ENDPOINT)
        if below is None:
            return
        below.owed |= names & below.subscription.names
        below.todo |= below.owed
        below.classify(self._snapshot)

    def _outstanding(self) -> Iterator[tuple[Reference, float]]:
        """What is awaited and can come, since when; what the snapshot lacks cannot come."""
        for (url, name), since in self._awaited.items():
            stream = self._types.get(url)
            there = stream is not None and stream.has(name)
            if self._snapshot and not there and name in self._snapshot.of_type(url):
                yield (url, name), since

    # -- what may go now ----------------------------------------------------------------

    def _advance(self, now: float) -> list[Response]:
        self._now = now
        if self._snapshot is None:
            return []
        for stream in self._types.values():
            stream.classify(self._snapshot)
        responses, busy = self._additions(self._snapshot, now)
        if not busy:
            responses += self._finals(self._snapshot)
            if not responses:
                responses = self._removals(self._snapshot, now)
        self._settle(self._snapshot)
        return responses

    def _additions(self, snapshot: Snapshot, now: float) -> tuple[list[Response], bool]:
        """What may be sent now, and whether anything is in flight or waits to be sent."""
        responses: list[Response] = []
        missing: set[Reference] = set()
        busy = False
        streams = sorted(self._types.values(), key=lambda each: each.rank)
        for of_rank, group in groupby(streams, key=lambda each: each.rank):
            blocked = waits(of_rank) and (busy or self._waits_for_warming(of_rank, now))
            ahead: set[Reference] = set()
            for stream in group:
                upserts = self._sendable(stream, missing, snapshot)
                absent = stream.needs[Need.TELL_ABSENT]
                ahead |= self._missing(stream, snapshot)
                if stream.inflight is None and not (upserts and blocked):
                    if upserts or absent or stream.greet:
                        responses += self._compose(stream, upserts, absent, snapshot)
                        self._rewarm(stream, upserts)
                    upserts = {}
                busy = busy or stream.inflight is not None or bool(upserts)
            missing |= ahead
        return responses, busy

    def _sendable(
        self, stream: TypeStream, missing: set[Reference], snapshot: Snapshot
    ) -> dict[str, SnapshotResource]:
        """What is to be sent and refers to nothing that the client lacks."""
        return {
            name: resource
            for name, resource in stream.upserts(snapshot).items()
            if resource.references.isdisjoint(missing)
        }

    def _missing(self, stream: TypeStream, snapshot: Snapshot) -> set[Reference]:
        """What a wildcard client should have of a type but has not got."""
        if not stream.subscription.wildcard:
            return set()
        return {
            (stream.type_url, name)
            for name in stream.todo
            if not stream.has(name) and stream.wanted(name, snapshot) is not None
        }

    def _waits_for_warming(self, of_rank: int, now: float) -> bool:
        return any(
            rank(url) < of_rank and now < since + self._patience
            for (url, _), since in self._outstanding()
        )

    def _complete(self, snapshot: Snapshot) -> bool:
        """Whether the client has acknowledged every addition except the final ones."""
        return not any(
            stream.inflight or stream.upserts(snapshot) or stream.needs[Need.REFUSED]
            for stream in self._types.values()
        ) and all(self._is_final(reference, snapshot) for reference, _ in self._outstanding())

    @staticmethod
    def _is_final(reference: Reference, snapshot: Snapshot) -> bool:
        resource = snapshot.of_type(reference[0]).get(reference[1])
        return resource is not None and resource.final

    def _finals(self, snapshot: Snapshot) -> list[Response]:
        if not self._complete(snapshot):
            return []
        responses: list[Response] = []
        for stream in self._types.values():
            resources = snapshot.of_type(stream.type_url)
            finals = {name: resources[name] for name in stream.needs[Need.SEND_FINAL]}
            if finals:
                responses += self._compose(stream, finals, [], snapshot)
        return responses

    def _removals(self, snapshot: Snapshot, now: float) -> list[Response]:
        """Everything that may be removed now."""
        if self._waits_for_warming(rank(typeurl.ROUTE), now):
            return []
        responses: list[Response] = []
        for stream in sorted(self._types.values(), key=lambda each: removal_rank(each.type_url)):
            names = stream.needs[Need.REMOVE]
            needed = self._referred(stream.type_url) if names else None
            free = [name for name in names if needed is not None and name not in needed]
            if free:
                responses += self._compose_removal(stream, free, snapshot)
        return responses

    def _referred(self, type_url: str) -> set[str] | None:
        """Names of a type that the client may still need; None when that cannot be known."""
        names: set[str] = set()
        for url in referrers(type_url):
            stream = self._types.get(url)
            for _, resource in stream.possible() if stream is not None else ():
                if resource is None:
                    return None
                names.update(name for target, name in resource.references if target == type_url)
        return names

    def _settle(self, snapshot: Snapshot) -> None:
        for stream in self._types.values():
            if not stream.needs[Need.REFUSED]:
                stream.nack = None
            if self._synced(stream):
                stream.sent = stream.acked = snapshot.versions.get(stream.type_url, "")
        if all(self._synced(stream) for stream in self._types.values()) and self._started(snapshot):
            self._acked_snapshot = snapshot.version

    @staticmethod
    def _synced(stream: TypeStream) -> bool:
        return not stream.todo and stream.inflight is None and not stream.greet

    def _started(self, snapshot: Snapshot) -> bool:
        """Whether the client has asked for all that it will need to serve ``snapshot``."""
        if not self._types or any(self._outstanding()):
            return False
        clusters = self._types.get(typeurl.CLUSTER)
        if clusters is None or not clusters.subscription.wildcard:
            return True
        listeners = snapshot.of_type(typeurl.LISTENER).values()
        return typeurl.LISTENER in self._types or all(each.on_demand for each in listeners)

    # -- responses ----------------------------------------------------------------------

    @abstractmethod
    def _compose(
        self,
        stream: TypeStream,
        upserts: dict[str, SnapshotResource],
        absent: list[str],
        snapshot: Snapshot,
    ) -> list[Response]:
        """The response that brings ``upserts``, or none when there is nothing to say."""

    @abstractmethod
    def _compose_removal(
        self, stream: TypeStream, names: list[str], snapshot: Snapshot
    ) -> list[Response]:
        """The response that takes ``names`` away, or none when the variant cannot say so."""

    def _next_nonce(self) -> str:
        self._nonce += 1
        return str(self._nonce)

    def _send(self, stream: TypeStream, response: Response, snapshot: Snapshot) -> list[Response]:
        stream.inflight = response
        stream.nonce = response.nonce
        stream.greet = False
        stream.sent = snapshot.versions.get(stream.type_url, "")
        stream.owed.difference_update(each.name for each in response.resources)
        stream.owed.difference_update(response.removed)
        return [response]

    @staticmethod
    def _state(stream: TypeStream) -> TypeState:
        if stream.nack is not None:
            state = SyncState.REJECTED
        elif stream.todo or stream.inflight is not None or stream.greet:
            state = SyncState.PENDING
        else:
            state = SyncState.SYNCED if stream.sent else SyncState.NOT_SENT
        return TypeState(state=state, sent=stream.sent, acked=stream.acked, nack=stream.nack)
