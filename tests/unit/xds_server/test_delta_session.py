"""The incremental variant, one rule of the protocol a test."""

from __future__ import annotations

from envoy.service.discovery.v3 import discovery_pb2 as discovery_v3
from unit.xds_server.simulated import Client, cluster, endpoints, listener, resource, route

from fluxgate.ports import SyncState
from fluxgate.snapshot import Snapshot, SnapshotResource
from fluxgate.xds.typeurl import CLUSTER, ENDPOINT, LISTENER, ROUTE
from fluxgate_xds.changes import changes_between
from fluxgate_xds.delta import DeltaSession
from fluxgate_xds.typestream import Response


def ask(
    session: DeltaSession,
    url: str,
    *names: str,
    drop: tuple[str, ...] = (),
    known: dict[str, str] | None = None,
    nonce: str = "",
    error: str = "",
    now: float = 0.0,
) -> list[Response]:
    request = discovery_v3.DeltaDiscoveryRequest(
        type_url=url,
        resource_names_subscribe=names,
        resource_names_unsubscribe=drop,
        initial_resource_versions=known or {},
        response_nonce=nonce,
    )
    if error:
        request.error_detail.message = error
    return session.receive(request, now)


def publish(
    session: DeltaSession, *resources: SnapshotResource, now: float = 0.0
) -> list[Response]:
    snapshot, current = Snapshot.of(resources), session.snapshot
    changes = changes_between(current, snapshot) if current is not None else {}
    return session.publish(snapshot, changes, now)


def started(*resources: SnapshotResource) -> DeltaSession:
    session = DeltaSession()
    publish(session, *resources)
    return session


def accepted(session: DeltaSession, url: str, *names: str) -> None:
    """Subscribe and acknowledge whatever comes."""
    for response in ask(session, url, *names):
        ask(session, response.type_url, nonce=response.nonce)


def names(responses: list[Response]) -> list[list[str]]:
    return [[each.name for each in response.resources] for response in responses]


def test_a_wildcard_gets_everything() -> None:
    session = started(resource(CLUSTER, "a"), resource(CLUSTER, "b"))
    assert names(ask(session, CLUSTER)) == [["a", "b"]]


def test_an_empty_wildcard_is_answered_so_that_the_client_can_go_on() -> None:
    assert names(ask(started(), CLUSTER)) == [[]]


def test_nothing_is_sent_before_the_first_snapshot() -> None:
    session = DeltaSession()
    assert ask(session, CLUSTER) == []
    assert names(publish(session, resource(CLUSTER, "a"))) == [["a"]]


def test_an_equal_snapshot_sends_nothing() -> None:
    session = started(resource(CLUSTER, "a"))
    accepted(session, CLUSTER)
    assert publish(session, resource(CLUSTER, "a")) == []


def test_only_the_changed_resource_is_sent() -> None:
    session = started(resource(CLUSTER, "a"), resource(CLUSTER, "b"))
    accepted(session, CLUSTER)
    assert names(publish(session, resource(CLUSTER, "a"), resource(CLUSTER, "b", "2"))) == [["b"]]


def test_a_name_that_does_not_exist_is_told_as_removed_at_once_and_only_once() -> None:
    session = started()
    (response,) = ask(session, LISTENER, "ghost")
    assert (response.resources, response.removed) == ((), ("ghost",))
    assert ask(session, LISTENER, nonce=response.nonce) == []


def test_a_name_that_comes_into_existence_later_is_sent_then() -> None:
    session = started()
    accepted(session, LISTENER, "svc")
    assert names(publish(session, resource(LISTENER, "svc", on_demand=True))) == [["svc"]]


def test_a_resource_on_demand_is_kept_from_a_wildcard() -> None:
    session = started(resource(LISTENER, "svc", on_demand=True), resource(LISTENER, "main"))
    assert names(ask(session, LISTENER)) == [["main"]]


def test_initial_versions_after_a_reconnect_spare_what_is_there() -> None:
    a, b = resource(CLUSTER, "a"), resource(CLUSTER, "b")
    session = started(a, b)
    assert ask(session, CLUSTER, known={"a": a.version, "b": b.version}) == []
    assert session.states()[CLUSTER].state is SyncState.SYNCED


def test_initial_versions_of_vanished_resources_are_removed() -> None:
    session = started()
    (response,) = ask(session, CLUSTER, known={"gone": "v"})
    assert response.removed == ("gone",)


def test_a_subscription_is_answered_even_if_the_client_is_believed_to_have_it() -> None:
    session = started(resource(ROUTE, "r"))
    accepted(session, ROUTE, "r")
    assert names(ask(session, ROUTE, "r")) == [["r"]]


def test_an_unsubscribed_name_is_sent_no_more_and_forgotten() -> None:
    session = started(resource(ROUTE, "r"))
    accepted(session, ROUTE, "r")
    ask(session, ROUTE, drop=("r",))
    assert publish(session, resource(ROUTE, "r", "2")) == []
    assert names(ask(session, ROUTE, "r")) == [["r"]]


def test_a_name_dropped_under_a_wildcard_is_sent_again_since_it_still_applies() -> None:
    session = started(resource(CLUSTER, "a"))
    accepted(session, CLUSTER, "*", "a")
    assert names(ask(session, CLUSTER, drop=("a",))) == [["a"]]


def test_a_name_on_demand_dropped_under_a_wildcard_is_removed() -> None:
    session = started(resource(LISTENER, "svc", on_demand=True))
    accepted(session, LISTENER, "*", "svc")
    responses = ask(session, LISTENER, drop=("svc",))
    assert [each.removed for each in responses] == [("svc",)]


def test_the_next_response_of_a_type_waits_for_the_answer_to_the_last() -> None:
    session = started(resource(CLUSTER, "a"))
    (first,) = ask(session, CLUSTER)
    assert publish(session, resource(CLUSTER, "a", "2")) == []
    assert publish(session, resource(CLUSTER, "a", "3")) == []
    (second,) = ask(session, CLUSTER, nonce=first.nonce)
    assert second.resources[0].payload == b"3"


def test_a_stale_nonce_acknowledges_nothing() -> None:
    session = started(resource(CLUSTER, "a"))
    ask(session, CLUSTER)
    ask(session, CLUSTER, nonce="999")
    assert session.states()[CLUSTER].state is SyncState.PENDING


def test_a_rejection_is_recorded_and_the_same_is_not_sent_again() -> None:
    session = started(resource(CLUSTER, "a", "bad"))
    (response,) = ask(session, CLUSTER)
    assert ask(session, CLUSTER, nonce=response.nonce, error="bad cluster", now=7.0) == []
    state = session.states()[CLUSTER]
    assert state.state is SyncState.REJECTED
    assert state.nack is not None
    assert (state.nack.message, state.nack.version, state.nack.at) == (
        "bad cluster",
        response.version,
        7.0,
    )
    assert publish(session, resource(CLUSTER, "a", "bad"), resource(ENDPOINT, "e")) == []


def test_a_repair_is_sent_and_clears_the_rejection() -> None:
    session = started(resource(CLUSTER, "a", "bad"))
    (response,) = ask(session, CLUSTER)
    ask(session, CLUSTER, nonce=response.nonce, error="bad cluster")
    (repair,) = publish(session, resource(CLUSTER, "a", "good"))
    ask(session, CLUSTER, nonce=repair.nonce)
    assert session.states()[CLUSTER].state is SyncState.SYNCED
    assert session.states()[CLUSTER].nack is None


def test_what_was_good_in_a_rejected_response_is_sent_again_once_the_bad_is_gone() -> None:
    session = started(resource(CLUSTER, "a", "bad"), resource(CLUSTER, "b"))
    (response,) = ask(session, CLUSTER)
    ask(session, CLUSTER, nonce=response.nonce, error="one of them is bad")
    (again,) = publish(session, resource(CLUSTER, "b"))
    assert names([again]) == [["b"]]
    (removal,) = ask(session, CLUSTER, nonce=again.nonce)
    assert removal.removed == ("a",)


def test_a_rejected_removal_is_not_repeated() -> None:
    session = started(resource(CLUSTER, "a"))
    accepted(session, CLUSTER)
    (removal,) = publish(session)
    assert ask(session, CLUSTER, nonce=removal.nonce, error="no") == []


def swap() -> tuple[Client, Snapshot]:
    """An Envoy that uses cluster ``old``, and the snapshot that moves it to ``new``."""
    client = Client(delta=True)
    before = [cluster("old"), endpoints("old"), route("r", ["old"]), listener("l", "r")]
    client.publish(Snapshot.of(before))
    client.settle()
    client.received.clear()
    after = [cluster("new"), endpoints("new"), route("r", ["new"], "2"), listener("l", "r")]
    return client, Snapshot.of(after)


def test_a_swap_adds_the_cluster_then_moves_the_route_then_removes_the_old_cluster() -> None:
    client, after = swap()
    client.publish(after)
    client.settle()
    order = [
        (each.type_url, [r.name for r in each.resources], each.removed) for each in client.received
    ]
    assert order == [
        (CLUSTER, ["new"], ()),
        (ENDPOINT, ["new"], ()),
        (ROUTE, ["r"], ()),
        (CLUSTER, [], ("old",)),
        (ENDPOINT, [], ("old",)),
    ]


def test_a_route_to_a_rejected_cluster_stays_back_and_the_old_cluster_stays() -> None:
    client, _ = swap()
    after = [cluster("new", "bad"), endpoints("new"), route("r", ["new"], "2"), listener("l", "r")]
    client.publish(Snapshot.of(after))
    client.settle()
    assert client.held[ROUTE]["r"].payload == b"1"
    assert set(client.held[CLUSTER]) == {"old"}


def test_other_types_advance_while_one_is_rejected() -> None:
    client, _ = swap()
    after = [
        cluster("old"),
        cluster("extra", "bad"),
        endpoints("old"),
        endpoints("extra"),
        route("r", ["old"], "2"),
        listener("l", "r", "2"),
    ]
    client.publish(Snapshot.of(after))
    client.settle()
    assert client.held[ROUTE]["r"].payload == b"2"
    assert client.held[LISTENER]["l"].payload == b"2"
    assert client.session.states()[CLUSTER].state is SyncState.REJECTED


def test_a_change_of_routes_alone_is_sent_at_once() -> None:
    client, _ = swap()
    after = [cluster("old"), endpoints("old"), route("r", ["old"], "2"), listener("l", "r")]
    client.publish(Snapshot.of(after))
    assert names(list(client.inbox)) == [["r"]]


def test_the_endpoints_of_a_changed_cluster_follow_it_at_once_though_they_are_the_same() -> None:
    client, _ = swap()
    after = [cluster("old", "2"), endpoints("old"), route("r", ["old"]), listener("l", "r")]
    client.publish(Snapshot.of(after))
    assert [(each.type_url, each.removed) for each in client.inbox] == [
        (CLUSTER, ()),
        (ENDPOINT, ()),
    ]


def with_probe(*resources: SnapshotResource, number: str) -> Snapshot:
    probe = resource(ROUTE, "probe", number, final=True)
    return Snapshot.of([*resources, listener("lp", "probe"), probe])


def test_the_final_resource_goes_after_every_other_is_acknowledged_and_before_removals() -> None:
    client = Client(delta=True)
    old = [cluster("old"), endpoints("old"), route("r", ["old"]), listener("l", "r")]
    new = [cluster("new"), endpoints("new"), route("r", ["new"], "2"), listener("l", "r")]
    client.publish(with_probe(*old, number="1"))
    client.settle()
    client.received.clear()
    client.publish(with_probe(*new, number="2"))
    client.settle()
    order = [[each.name for each in response.resources] for response in client.received]
    assert order == [["new"], ["new"], ["r"], ["probe"], [], []]


def test_the_final_resource_is_withheld_while_anything_is_rejected() -> None:
    client = Client(delta=True)
    good = [cluster("a"), endpoints("a"), route("r", ["a"]), listener("l", "r")]
    client.publish(with_probe(*good, number="1"))
    client.settle()
    client.publish(with_probe(*good, cluster("b", "bad"), endpoints("b"), number="2"))
    client.settle()
    assert client.held[ROUTE]["probe"].payload == b"1"


def test_a_snapshot_is_acknowledged_only_when_all_that_it_refers_to_is() -> None:
    client = Client(delta=True)
    snapshot = Snapshot.of([cluster("a"), endpoints("a"), route("r", ["a"]), listener("l", "r")])
    client.publish(snapshot)
    while client.outbox or client.inbox:
        assert client.session.acked_snapshot == ""
        if client.inbox:
            client.deliver_response()
        else:
            client.deliver_request()
    assert client.session.acked_snapshot == snapshot.version


def test_routes_wait_for_a_cluster_that_is_not_warm_but_not_for_ever() -> None:
    session = started(cluster("a"), endpoints("a"), route("r", ["a"]))
    accepted(session, CLUSTER)
    assert ask(session, ROUTE, "r", now=1.0) == []
    assert session.wake_at == 5.0
    assert names(session.tick(5.0)) == [["r"]]
    assert session.wake_at is None


def test_endpoints_are_sent_after_a_reconnect_if_their_cluster_has_just_been_changed() -> None:
    known = endpoints("a")
    session = started(cluster("a", "2"), known)
    assert names(ask(session, CLUSTER, known={"a": "an older version"})) == [["a"]]
    again = ask(session, ENDPOINT, "a", known={"a": known.version})
    assert names(again) == [["a"]]
