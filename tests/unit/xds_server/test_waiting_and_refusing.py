"""What is refused or never answered holds back only what depends on it."""

from __future__ import annotations

import pytest
from envoy.service.discovery.v3 import discovery_pb2 as discovery_v3
from unit.xds_server.simulated import cluster, endpoints, listener, resource, route

from fluxgate.ports import SyncState
from fluxgate.snapshot import Snapshot, SnapshotResource
from fluxgate.xds.typeurl import CLUSTER, ENDPOINT, LISTENER, ROUTE
from fluxgate_xds.changes import changes_between
from fluxgate_xds.delta import DeltaSession
from fluxgate_xds.rejection import culprits_in
from fluxgate_xds.typestream import Response

PATIENCE = 5.0


def say(
    session: DeltaSession, url: str, *names: str, now: float = 0.0, **fields: str
) -> list[Response]:
    error = fields.pop("error", "")
    request = discovery_v3.DeltaDiscoveryRequest(
        type_url=url, resource_names_subscribe=names, response_nonce=fields.get("nonce", "")
    )
    if error:
        request.error_detail.message = error
    return session.receive(request, now)


def answer(
    session: DeltaSession, response: Response, now: float = 0.0, error: str = ""
) -> list[Response]:
    return say(session, response.type_url, now=now, nonce=response.nonce, error=error)


def publish(
    session: DeltaSession, *resources: SnapshotResource, now: float = 0.0
) -> list[Response]:
    snapshot, current = Snapshot.of(resources), session.snapshot
    changes = changes_between(current, snapshot) if current is not None else {}
    return session.publish(snapshot, changes, now)


def config(*clusters: SnapshotResource, table: str = "1") -> list[SnapshotResource]:
    used = [each.name for each in clusters if each.name == "a"]
    return [
        *clusters,
        *(endpoints(each.name) for each in clusters),
        route("r", used, table),
        listener("l", "r", table),
    ]


def serving(*clusters: SnapshotResource) -> DeltaSession:
    """A client that has acknowledged everything."""
    session = DeltaSession(patience=PATIENCE)
    publish(session, *config(*clusters))
    for url, names in ((CLUSTER, ()), (ENDPOINT, ("a", "b")), (LISTENER, ()), (ROUTE, ("r",))):
        for response in say(session, url, *names):
            answer(session, response)
    return session


def names(responses: list[Response]) -> list[tuple[str, list[str]]]:
    return [(each.type_url, [one.name for one in each.resources]) for each in responses]


def test_clusters_that_never_get_warm_hold_up_other_types_only_for_the_patience() -> None:
    session = serving(cluster("a"))
    sent = publish(session, *config(cluster("a", "2"), table="2"), now=10.0)
    assert CLUSTER in {each.type_url for each in sent}
    for each in sent:
        if each.type_url == ENDPOINT:
            answer(session, each, 10.0, error="endpoints are bad")
    assert session.tick(14.9) == []
    assert session.wake_at == 10.0 + PATIENCE
    late = session.tick(15.0)
    assert names(late) == [(LISTENER, ["l"])]
    assert names(answer(session, late[0], 15.0)) == [(ROUTE, ["r"])]


def test_a_route_to_a_cluster_that_is_not_acknowledged_stays_back_all_the_same() -> None:
    session = serving(cluster("a"))
    new = [cluster("a"), cluster("b"), endpoints("a"), endpoints("b")]
    publish(session, *new, route("r", ["b"], "2"), listener("l", "r"), now=10.0)
    assert ROUTE not in {each.type_url for each in session.tick(99.0)}


def test_a_later_snapshot_overtakes_a_response_that_is_never_answered() -> None:
    session = serving(cluster("a"))
    (stuck, *_) = publish(session, *config(cluster("a", "2")), now=10.0)
    assert publish(session, *config(cluster("a", "3"), cluster("b")), now=11.0) == []
    sent = session.tick(15.0)
    assert names(sent)[0] == (CLUSTER, ["a", "b"])
    assert sent[0].nonce != stuck.nonce


def test_the_late_answer_to_an_overtaken_response_counts_for_nothing() -> None:
    session = serving(cluster("a"))
    (stuck, *_) = publish(session, *config(cluster("a", "2")), now=10.0)
    publish(session, *config(cluster("a", "3")), now=11.0)
    session.tick(15.0)
    answer(session, stuck, 16.0)
    assert session.states()[CLUSTER].state is SyncState.PENDING


def test_what_an_overtaken_response_brought_is_taken_back_when_it_is_gone() -> None:
    session = serving(cluster("a"))
    publish(session, *config(cluster("a"), cluster("b")), now=10.0)
    publish(session, *config(cluster("a"), table="2"), now=11.0)
    removed: list[str] = []
    waiting = session.tick(15.0)
    while waiting:
        removed += [name for each in waiting for name in each.removed]
        waiting = [late for each in waiting for late in answer(session, each, 15.0)]
    assert "b" in removed


def test_a_named_culprit_alone_is_refused_and_the_rest_is_sent_again_at_once() -> None:
    session = serving(cluster("a"))
    bad, good = cluster("bad-one", "x"), cluster("b")
    (sent, *_) = publish(session, *config(cluster("a"), bad, good))
    words = "Error adding/updating cluster(s) bad-one: no such thing"
    assert names(answer(session, sent, error=words))[0] == (CLUSTER, ["b"])
    nack = session.states()[CLUSTER].nack
    assert nack is not None
    assert nack.resources == ("bad-one",)


def test_a_route_to_a_good_cluster_goes_though_its_neighbour_was_refused() -> None:
    session = serving(cluster("a"))
    bad = cluster("bad-one", "x")
    resources = [cluster("a"), cluster("b"), bad, *(map(endpoints, ("a", "b", "bad-one")))]
    waiting = publish(session, *resources, route("r", ["b"], "2"), listener("l", "r"))
    sent: list[tuple[str, list[str]]] = []
    while waiting:
        sent += names(waiting)
        following: list[Response] = []
        for each in waiting:
            broken = "bad-one" in each.changed and each.type_url == CLUSTER
            following += answer(session, each, error="cluster(s) bad-one: no" if broken else "")
        waiting = following
    assert (ROUTE, ["r"]) in sent


def test_without_a_name_everything_new_in_the_response_counts_as_refused() -> None:
    session = serving(cluster("a"))
    (sent, *_) = publish(session, *config(cluster("a"), cluster("b"), cluster("c")))
    assert answer(session, sent, error="something is wrong") == []
    nack = session.states()[CLUSTER].nack
    assert nack is not None
    assert nack.resources == ("b", "c")


@pytest.mark.parametrize(
    ("message", "named"),
    [
        ("Error adding/updating cluster(s) a/b: x, c: y", {"a/b", "c"}),
        ("Error adding/updating listener(s) c: malformed IP address: example", {"c"}),
        ("Proto constraint validation failed", set()),
        ("cluster 'c' is unknown", {"c"}),
        ("abc is wrong", set()),
        ("a/b/c: wrong", set()),
    ],
)
def test_only_whole_words_name_a_resource(message: str, named: set[str]) -> None:
    assert culprits_in(message, ["a/b", "c"]) == named


def test_a_refused_resource_of_one_type_leaves_the_others_in_sync() -> None:
    session = serving(cluster("a"))
    waiting = publish(session, *config(cluster("a")), resource(LISTENER, "bad", "x"))
    for each in waiting:
        answer(session, each, error="listener(s) bad: no")
    for each in publish(session, *config(cluster("a"), table="2"), resource(LISTENER, "bad", "x")):
        for late in answer(session, each):
            answer(session, late)
    states = session.states()
    assert states[LISTENER].state is SyncState.REJECTED
    assert states[ROUTE].state is SyncState.SYNCED


def test_a_route_to_a_cluster_whose_endpoints_are_refused_stays_back_and_no_other_does() -> None:
    session = serving(cluster("a"))
    moved = [cluster("a"), cluster("b"), endpoints("a"), endpoints("b"), listener("l", "r", "2")]
    waiting = publish(session, *moved, route("r", ["b"], "2"))
    waiting += say(session, ENDPOINT, "b")
    sent: list[str] = []
    while waiting:
        sent += [each.type_url for each in waiting]
        following: list[Response] = []
        for each in waiting:
            broken = each.type_url == ENDPOINT and "b" in each.changed
            following += answer(session, each, error="not an address" if broken else "")
        waiting = following
    assert LISTENER in sent
    assert ROUTE not in sent
    assert [each for each in session.tick(99.0) if each.type_url == ROUTE] == []
