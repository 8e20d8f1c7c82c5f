"""What may be sent now: the order of additions, final resources and removals.

The rules are those of :mod:`fluxgate_xds.session`; the two protocol variants say
how a response is composed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Set as AbstractSet
from itertools import groupby

from fluxgate.snapshot import Snapshot
from fluxgate.xds import typeurl
from fluxgate_xds.ledger import Ledger
from fluxgate_xds.ordering import rank, removal_rank, waits
from fluxgate_xds.typestream import Need, Response, TypeStream
from fluxgate_xds.views import Reference, Resources, Views


class Planner(Ledger, ABC):
    """Compares what the client has with the newest snapshot, after every event."""

    def __init__(self, views: Views, patience: float) -> None:
        super().__init__(views)
        self._patience = patience
        self._nonce = 0
        self._acked_snapshot = ""
        self._now = 0.0

    @property
    def wake_at(self) -> float | None:
        """When :meth:`tick` is due, on the clock of the ``now`` arguments; None for never."""
        if not any(each.waiting for each in self._types.values()):
            return None
        since = [when for _, when in self._outstanding()]
        since += [each.inflight.sent_at for each in self._types.values() if each.inflight]
        deadlines = (each + self._patience for each in since)
        return min((each for each in deadlines if each > self._now), default=None)

    def _advance(self, now: float) -> list[Response]:
        self._now = now
        if self._snapshot is None:
            return []
        for url, stream in self._types.items():
            if stream.overtaken and self._overdue(stream):
                stream.supersede()
            stream.classify(self._snapshot)
            stream.share(self._view(url))
        responses, busy = self._additions(self._snapshot, now)
        if not busy:
            responses += self._finals(self._snapshot)
            if not responses:
                responses = self._removals(self._snapshot, now)
                if responses:  # what stays may need endpoints again
                    responses += self._additions(self._snapshot, now)[0]
        self._settle(self._snapshot)
        return responses

    def _overdue(self, stream: TypeStream) -> bool:
        """Whether the client has had its time to answer the response in flight."""
        response = stream.inflight
        return response is not None and self._now >= response.sent_at + self._patience

    def _additions(self, snapshot: Snapshot, now: float) -> tuple[list[Response], bool]:
        """What may be sent now, and whether anything is in flight or waits to be sent.

        A response that is not answered in time no longer holds back other types, except
        for what refers to its resources.
        """
        responses: list[Response] = []
        unusable = self._unusable()
        missing: list[AbstractSet[Reference]] = [unusable] if unusable else []
        busy = holding = False
        streams = sorted(self._types.values(), key=lambda each: each.rank)
        for of_rank, group in groupby(streams, key=lambda each: each.rank):
            blocked = waits(of_rank) and (holding or self._waits_for_warming(of_rank, now))
            ahead: list[AbstractSet[Reference]] = []
            for stream in group:
                upserts = self._sendable(stream, missing, snapshot)
                absent = stream.needs[Need.TELL_ABSENT]
                ahead += self._missing(stream, snapshot)
                if stream.inflight is None and not (upserts and blocked):
                    if upserts or absent or stream.greet:
                        responses += self._compose(stream, upserts, absent, snapshot)
                        self._rewarm(stream, upserts)
                    upserts = {}
                held_up = stream.inflight is not None or bool(upserts)
                busy = busy or held_up
                holding = holding or (held_up and not self._overdue(stream))
            missing += ahead
        return responses, busy

    @staticmethod
    def _sendable(
        stream: TypeStream, missing: list[AbstractSet[Reference]], snapshot: Snapshot
    ) -> Resources:
        """What is to be sent and refers to nothing that the client lacks."""
        if stream.bulk is not None and missing and stream.bulk.references:
            stream.by_name()
            stream.classify(snapshot)
        upserts = stream.upserts(snapshot)
        if stream.bulk is not None or not missing:
            return upserts
        return {
            name: resource
            for name, resource in upserts.items()
            if all(resource.references.isdisjoint(each) for each in missing)
        }

    @staticmethod
    def _missing(stream: TypeStream, snapshot: Snapshot) -> list[AbstractSet[Reference]]:
        """What a wildcard client should have of a type but has not got."""
        if not stream.subscription.wildcard:
            return []
        on_its_way = stream.inflight.view if stream.inflight is not None else None
        found: list[AbstractSet[Reference]] = [
            each.keys for each in (stream.bulk, on_its_way) if each is not None
        ]
        single = {
            (stream.type_url, name)
            for name in stream.todo
            if not stream.has(name) and stream.wanted(name, snapshot) is not None
        }
        return [*found, single] if single else found

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
        return not stream.waiting and stream.inflight is None and not stream.greet

    def _started(self, snapshot: Snapshot) -> bool:
        """Whether the client has asked for all that it will need to serve ``snapshot``."""
        if not self._types or any(self._outstanding()):
            return False
        clusters = self._types.get(typeurl.CLUSTER)
        if clusters is None or not clusters.subscription.wildcard:
            return True
        listeners = snapshot.of_type(typeurl.LISTENER).values()
        return typeurl.LISTENER in self._types or all(each.on_demand for each in listeners)

    @abstractmethod
    def _compose(
        self,
        stream: TypeStream,
        upserts: Resources,
        absent: list[str],
        snapshot: Snapshot,
    ) -> list[Response]:
        """The response that brings ``upserts``, or none when there is nothing to say."""

    @abstractmethod
    def _compose_removal(
        self, stream: TypeStream, names: list[str], snapshot: Snapshot
    ) -> list[Response]:
        """The response that takes ``names`` away, or none when the variant cannot say so."""

    def _next_nonce(self, stream: TypeStream, version: str) -> str:
        """One that no answer still to come can carry, and the same on as many streams as can be.

        Since a response waits for the answer to the last, it only has to differ from that.
        So equal responses are equal bytes, encoded once for all streams.
        """
        if version and version != stream.nonce and not stream.superseded:
            return version
        self._nonce += 1
        return f"{version}.{self._nonce}"

    def _send(self, stream: TypeStream, response: Response, snapshot: Snapshot) -> list[Response]:
        stream.inflight = response
        stream.bulk = None
        stream.overtaken = False
        stream.nonce = response.nonce
        stream.greet = False
        stream.sent = snapshot.versions.get(stream.type_url, "")
        if stream.owed:
            stream.owed.difference_update(each.name for each in response.resources)
            stream.owed.difference_update(response.removed)
        return [response]
