"""One ADS stream as a state machine without I/O, common to both protocol variants.

In go requests (:mod:`fluxgate_xds.delta`, :mod:`fluxgate_xds.sotw`), new snapshots
and the time; out come responses. The machine keeps no plan: after every event it
compares what the client holds with what the newest snapshot says and sends what
may go now. So a newer snapshot supersedes a half-sent one by itself. What may go:

* one response per type at a time; the next waits for ACK or NACK, but for at most
  ``patience`` seconds when the snapshot has changed meanwhile (Envoy withholds the
  acknowledgement of clusters while one of them cannot get warm). A slow client
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

from abc import abstractmethod
from typing import Generic, TypeVar

from fluxgate.ports import Nack, SyncState, TypeState
from fluxgate.snapshot import Snapshot
from fluxgate.xds import typeurl
from fluxgate_xds.changes import Changes
from fluxgate_xds.held import ABSENT
from fluxgate_xds.planner import Planner
from fluxgate_xds.rejection import culprits_in
from fluxgate_xds.typestream import Response, TypeStream
from fluxgate_xds.views import Views

RequestT = TypeVar("RequestT")


class Session(Planner, Generic[RequestT]):
    """The server's side of one ADS stream; ``views`` are what it shares with the others."""

    def __init__(self, *, views: Views | None = None, patience: float = 5.0) -> None:
        super().__init__(views or Views(), patience)

    @property
    def snapshot(self) -> Snapshot | None:
        """The snapshot the client is being brought to."""
        return self._snapshot

    @property
    def acked_snapshot(self) -> str:
        """The version of the newest snapshot acknowledged in whole; empty before the first."""
        return self._acked_snapshot

    def states(self) -> dict[str, TypeState]:
        """What the client has said of each type it asked for."""
        return {url: self._state(stream) for url, stream in self._types.items()}

    def publish(self, snapshot: Snapshot, changes: Changes, now: float) -> list[Response]:
        """Bring the client to ``snapshot``; ``changes`` is the difference to :attr:`snapshot`."""
        first = self._snapshot is None
        self._snapshot = snapshot
        self._awaited.renew(changes, now)
        for url, stream in self._types.items():
            if first or stream.bulk is not None:
                self._examine_all(stream, now)
                continue
            stream.review(snapshot)
            concerned = set(filter(stream.subscription.concerns, changes.get(url, ())))
            stream.todo |= concerned
            stream.overtaken = stream.overtaken or bool(concerned and stream.inflight)
            self._recognise(stream, concerned, now)
        return self._advance(now)

    def tick(self, now: float) -> list[Response]:
        """Stop waiting for what the client has not asked for or answered within ``patience``."""
        return self._advance(now)

    @abstractmethod
    def receive(self, request: RequestT, now: float) -> list[Response]:
        """Take one request of the variant; ``now`` in seconds since the epoch."""

    def _answer(self, stream: TypeStream, error: str | None, now: float) -> None:
        """The client has answered the response in flight: ``error`` is its NACK's message."""
        response, stream.inflight = stream.inflight, None
        if response is None:
            return
        stream.superseded = False
        if error is None:
            if stream.type_url == typeurl.CLUSTER:
                self._warmers = {}  # after a NACK the client may still warm what it has applied
            self._accept(stream, response, now)
            return
        stream.todo.update(response.changed, response.removed)
        culprits = culprits_in(error, [*response.changed, *response.removed])
        stream.nack = Nack(
            version=response.version.partition("+")[0],
            message=error,
            at=now,
            resources=tuple(sorted(culprits or response.changed)),
        )
        stream.refuse(response, culprits)
        if self._snapshot is not None:
            stream.review(self._snapshot)

    def _accept(self, stream: TypeStream, response: Response, now: float) -> None:
        view, now_there = response.view, self._view(stream.type_url)
        if view is not None and not stream.held and view.covers(stream.subscription):
            self._hold_all(stream, view, now)
            stream.todo |= self._views.differing(view.resources, now_there.resources)
            return
        stream.todo.update(response.changed, response.removed)
        for name in response.removed:
            asked_again = name in stream.owed
            self._drop(stream, name)
            stream.todo.add(name)
            if asked_again:
                stream.owed.add(name)
            if name in stream.subscription.names:
                stream.held.put(name, ABSENT)
        for name, resource in response.changed.items():
            stream.unsure.pop(name, None)
            if stream.subscription.concerns(name):
                self._hold(stream, resource, now)

    @staticmethod
    def _state(stream: TypeStream) -> TypeState:
        if stream.nack is not None:
            state = SyncState.REJECTED
        elif stream.waiting or stream.inflight is not None or stream.greet:
            state = SyncState.PENDING
        else:
            state = SyncState.SYNCED if stream.sent else SyncState.NOT_SENT
        return TypeState(state=state, sent=stream.sent, acked=stream.acked, nack=stream.nack)
