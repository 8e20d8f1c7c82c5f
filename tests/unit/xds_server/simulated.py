"""An xDS client without sockets that checks what a real one would suffer from.

Like Envoy, it acknowledges clusters only when they are warm, that is when their
endpoints have come since they were added or changed. It keeps what it has accepted, asks for what that refers to, and raises
:class:`BrokenTrafficError` when a route could lead to a cluster that is not there.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from envoy.service.discovery.v3 import discovery_pb2 as discovery_v3
from google.rpc import status_pb2

from fluxgate.snapshot import Snapshot, SnapshotResource
from fluxgate.xds.typeurl import CLUSTER, ENDPOINT, EXTENSION, LISTENER, ORDER, ROUTE, SECRET
from fluxgate.xds.wire import field_string
from fluxgate_xds.changes import changes_between
from fluxgate_xds.delta import DeltaSession
from fluxgate_xds.sotw import SotwSession
from fluxgate_xds.typestream import Response

FULL = (CLUSTER, LISTENER)


class BrokenTrafficError(AssertionError):
    """The server told the client something that would fail requests."""


def resource(url: str, name: str, payload: str = "1", **options: object) -> SnapshotResource:
    return SnapshotResource.of(url, name, payload.encode(), **options)  # type: ignore[arg-type]


def cluster(name: str, payload: str = "1", *, secret: str = "") -> SnapshotResource:
    references = [(ENDPOINT, name)] + ([(SECRET, secret)] if secret else [])
    return resource(CLUSTER, name, payload, references=references)


def endpoints(name: str, payload: str = "1") -> SnapshotResource:
    return resource(ENDPOINT, name, payload)


def route(name: str, clusters: list[str], payload: str = "1") -> SnapshotResource:
    return resource(ROUTE, name, payload, references=[(CLUSTER, each) for each in clusters])


def listener(
    name: str, route_name: str, payload: str = "1", *extra: tuple[str, str]
) -> SnapshotResource:
    return resource(LISTENER, name, payload, references=[(ROUTE, route_name), *extra])


@dataclass
class Client:
    """Talks to one session at a time; messages wait in ``inbox`` and ``outbox``."""

    delta: bool
    held: dict[str, dict[str, SnapshotResource]] = field(default_factory=dict)
    names: dict[str, set[str]] = field(default_factory=dict)
    nonces: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    inbox: deque[Response] = field(default_factory=deque)
    outbox: deque[object] = field(default_factory=deque)
    received: list[Response] = field(default_factory=list)
    warming: set[str] = field(default_factory=set)
    withheld: list[object] = field(default_factory=list)
    now: float = 1000.0
    names_culprits: bool = False

    def __post_init__(self) -> None:
        self.held = {url: {} for url in ORDER}
        self.session: DeltaSession | SotwSession
        self.connect()

    def connect(self) -> None:
        """A new stream; what was accepted stays and is told to the server."""
        self.session = DeltaSession() if self.delta else SotwSession()
        self.inbox.clear()
        self.outbox.clear()
        self.warming.clear()
        self.withheld.clear()
        self.nonces.clear()
        asked, self.names = self.names, {}
        for url in ORDER:
            if url in FULL:
                self._ask(url, set(), first=True)
            elif asked.get(url):
                self._ask(url, asked[url], first=True)

    def publish(self, snapshot: Snapshot) -> None:
        current = self.session.snapshot
        changes = {} if current is None else changes_between(current, snapshot)
        self.inbox.extend(self.session.publish(snapshot, changes, self.now))

    def wait(self, seconds: float) -> None:
        """Let time pass on the server, which may give up waiting."""
        self.now += seconds
        self.inbox.extend(self.session.tick(self.now))

    def deliver_request(self) -> None:
        self.inbox.extend(self.session.receive(self.outbox.popleft(), self.now))  # type: ignore[arg-type]

    def deliver_response(self) -> None:
        response = self.inbox.popleft()
        self.received.append(response)
        self.nonces[response.type_url] = response.nonce
        if any(b"bad" in each.payload for each in response.resources):
            self._warm(response)
            named = [each.name for each in response.resources if b"bad" in each.payload]
            self._answer(
                response, error=f"{', '.join(named)}: bad" if self.names_culprits else "bad"
            )
            return
        before = dict(self.held[CLUSTER])
        self._apply(response)
        self._warm(response)
        self.versions[response.type_url] = response.version
        after = self.held[CLUSTER]
        self.warming |= {name for name, each in after.items() if before.get(name) != each}
        self.warming &= set(after)
        self._answer(response)
        self._follow_references()

    def settle(self) -> None:
        """Deliver everything, in order, until nobody has anything to say."""
        for _ in range(10_000):
            if self.inbox:
                self.deliver_response()
            elif self.outbox:
                self.deliver_request()
            else:
                return
        raise AssertionError("the session and the client never come to rest")

    def versions_held(self) -> dict[str, dict[str, str]]:
        return {
            url: {name: each.version for name, each in held.items()}
            for url, held in self.held.items()
        }

    def _apply(self, response: Response) -> None:
        held = dict(self.held[response.type_url])
        incoming = {each.name: each for each in response.resources}
        if self.delta:
            held = {name: each for name, each in held.items() if name not in response.removed}
            held.update(incoming)
        elif response.type_url in FULL:
            held = incoming
        else:
            held.update(incoming)
        self.held[response.type_url] = held
        self._check()

    def _warm(self, response: Response) -> None:
        """Endpoints end the warming of their cluster, whether they are good or not."""
        if response.type_url == ENDPOINT:
            self.warming -= {*response.removed, *(each.name for each in response.resources)}
        if not self.warming:
            self.outbox.extend(self.withheld)
            self.withheld.clear()

    def _check(self) -> None:
        clusters = self.held[CLUSTER]
        for table in self.held[ROUTE].values():
            for url, name in table.references:
                if url != CLUSTER:
                    continue
                if name not in clusters:
                    raise BrokenTrafficError(f"{table.name} leads to {name}, which is not there")
                told = self.held[ENDPOINT].get(name)
                if told is None or told.payload == field_string(1, name):
                    raise BrokenTrafficError(f"{table.name} leads to {name} without endpoints")

    def _follow_references(self) -> None:
        wanted: dict[str, set[str]] = {url: set() for url in (ENDPOINT, SECRET, EXTENSION, ROUTE)}
        for parent in FULL:
            for each in self.held[parent].values():
                for url, name in each.references:
                    if url in wanted:
                        wanted[url].add(name)
        for url, names in wanted.items():
            if names != self.names.get(url, set()):
                self._ask(url, names, first=url not in self.names)
            for name in set(self.held[url]) - names:
                del self.held[url][name]

    def _ask(self, url: str, names: set[str], *, first: bool) -> None:
        before = self.names.get(url, set())
        self.names[url] = set(names)
        if self.delta:
            request = discovery_v3.DeltaDiscoveryRequest(
                type_url=url,
                resource_names_subscribe=sorted(names - before),
                resource_names_unsubscribe=sorted(before - names),
            )
            if first:
                for name, each in self.held[url].items():
                    request.initial_resource_versions[name] = each.version
            self.outbox.append(request)
        else:
            self.outbox.append(self._sotw(url))

    def _answer(self, response: Response, error: str = "") -> None:
        url = response.type_url
        if self.delta:
            answer = discovery_v3.DeltaDiscoveryRequest(type_url=url, response_nonce=response.nonce)
        else:
            answer = self._sotw(url)
        if error:
            answer.error_detail.CopyFrom(status_pb2.Status(code=13, message=error))
        if url == CLUSTER and self.warming:
            self.withheld.append(answer)
        else:
            self.outbox.append(answer)

    def _sotw(self, url: str) -> discovery_v3.DiscoveryRequest:
        return discovery_v3.DiscoveryRequest(
            type_url=url,
            version_info=self.versions.get(url, ""),
            resource_names=sorted(self.names.get(url, ())),
            response_nonce=self.nonces.get(url, ""),
        )
