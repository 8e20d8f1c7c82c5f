"""What waits for what: every edge of the order by itself."""

from __future__ import annotations

import pytest
from envoy.service.discovery.v3 import discovery_pb2 as discovery_v3
from unit.xds_server.simulated import cluster, endpoints, listener, resource, route

from fluxgate.snapshot import Snapshot, SnapshotResource
from fluxgate.xds.typeurl import CLUSTER, ENDPOINT, EXTENSION, LISTENER, ORDER, ROUTE, SECRET
from fluxgate_xds.changes import changes_between
from fluxgate_xds.delta import DeltaSession
from fluxgate_xds.typestream import Response

NAMES = {
    CLUSTER: (),
    ENDPOINT: ("c",),
    SECRET: ("s",),
    EXTENSION: ("e",),
    LISTENER: (),
    ROUTE: ("r", "probe"),
}


def generation(payload: str, *changed: str) -> Snapshot:
    """A whole configuration; the types in ``changed`` have ``payload``, the others ``1``."""

    def of(url: str) -> str:
        return payload if url in changed else "1"

    return Snapshot.of(
        [
            cluster("c", of(CLUSTER), secret="s"),
            endpoints("c", of(ENDPOINT)),
            resource(SECRET, "s", of(SECRET)),
            resource(EXTENSION, "e", of(EXTENSION)),
            listener("l", "r", of(LISTENER), (EXTENSION, "e")),
            route("r", ["c"], of(ROUTE)),
            resource(ROUTE, "probe", payload, final=True),
        ]
    )


def acknowledge(session: DeltaSession, responses: list[Response]) -> list[Response]:
    """Acknowledge all of these; what comes thereupon."""
    following: list[Response] = []
    for each in responses:
        answer = discovery_v3.DeltaDiscoveryRequest(
            type_url=each.type_url, response_nonce=each.nonce
        )
        following += session.receive(answer, 0.0)
    return following


def connected(snapshot: Snapshot) -> DeltaSession:
    """A session whose client has all of ``snapshot``."""
    session = DeltaSession()
    session.publish(snapshot, {}, 0.0)
    for url in ORDER:
        request = discovery_v3.DeltaDiscoveryRequest(
            type_url=url, resource_names_subscribe=NAMES[url]
        )
        waiting = session.receive(request, 0.0)
        while waiting:
            waiting = acknowledge(session, waiting)
    assert session.acked_snapshot == snapshot.version
    return session


def publish(session: DeltaSession, snapshot: Snapshot) -> list[Response]:
    assert session.snapshot is not None
    return session.publish(snapshot, changes_between(session.snapshot, snapshot), 0.0)


def types(responses: list[Response]) -> set[str]:
    return {each.type_url for each in responses}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (CLUSTER, EXTENSION),
        (CLUSTER, LISTENER),
        (CLUSTER, ROUTE),
        (ENDPOINT, EXTENSION),
        (ENDPOINT, LISTENER),
        (ENDPOINT, ROUTE),
        (SECRET, EXTENSION),
        (SECRET, LISTENER),
        (SECRET, ROUTE),
        (EXTENSION, LISTENER),
        (EXTENSION, ROUTE),
        (LISTENER, ROUTE),
    ],
    ids=lambda url: url.rpartition(".")[2],
)
def test_a_type_waits_for_the_acknowledgement_of_an_earlier_one(first: str, second: str) -> None:
    session = connected(generation("1"))
    sent = publish(session, generation("2", first, second))
    assert first in types(sent)
    assert second not in types(sent)
    assert second in types(acknowledge(session, sent))


@pytest.mark.parametrize("url", [ENDPOINT, SECRET], ids=["ENDPOINT", "SECRET"])
def test_what_warms_a_cluster_does_not_wait_for_it(url: str) -> None:
    session = connected(generation("1"))
    assert {CLUSTER, url} <= types(publish(session, generation("2", CLUSTER, url)))


def test_endpoints_and_secrets_do_not_wait_for_each_other() -> None:
    session = connected(generation("1"))
    assert types(publish(session, generation("2", ENDPOINT, SECRET))) == {ENDPOINT, SECRET}


@pytest.mark.parametrize("url", ORDER, ids=lambda url: url.rpartition(".")[2])
def test_the_final_resource_waits_for_every_type(url: str) -> None:
    session = connected(generation("1"))
    responses = publish(session, generation("2", url))
    assert "probe" not in {each.name for sent in responses for each in sent.resources}
    last: list[Response] = []
    while responses:
        last, responses = responses, acknowledge(session, responses)
    assert [[each.name for each in sent.resources] for sent in last] == [["probe"]]


def pair(kept: str) -> list[SnapshotResource]:
    return [cluster(kept), endpoints(kept), route("r", [kept], kept), listener("l", "r")]


def test_a_removal_waits_for_the_acknowledgement_of_what_no_longer_refers_to_it() -> None:
    session = DeltaSession()
    session.publish(Snapshot.of(pair("old")), {}, 0.0)
    for url, names in ((CLUSTER, ()), (ENDPOINT, ("old", "new")), (LISTENER, ()), (ROUTE, ("r",))):
        request = discovery_v3.DeltaDiscoveryRequest(type_url=url, resource_names_subscribe=names)
        acknowledge(session, session.receive(request, 0.0))
    removed: list[tuple[str, str]] = []
    steps: list[set[str]] = []
    responses = publish(session, Snapshot.of(pair("new")))
    while responses:
        steps.append(types(responses))
        removed += [(each.type_url, name) for each in responses for name in each.removed]
        responses = acknowledge(session, responses)
        if ROUTE in steps[-1]:
            assert removed == []
    assert removed == [(CLUSTER, "old"), (ENDPOINT, "old")]


def test_nothing_is_removed_while_the_route_that_uses_it_is_in_flight() -> None:
    session = connected(generation("1"))
    without = Snapshot.of(
        [
            each
            for named in generation("2", ROUTE).resources.values()
            for each in named.values()
            if each.type_url not in (ROUTE, CLUSTER, ENDPOINT)
        ]
        + [route("r", [], "2"), resource(ROUTE, "probe", "2", final=True)]
    )
    sent = publish(session, without)
    assert [(each.type_url, each.removed) for each in sent] == [(ROUTE, ())]
    probe = acknowledge(session, sent)
    removals = acknowledge(session, probe)
    assert {(each.type_url, each.removed) for each in removals} == {(CLUSTER, ("c",))}
