"""The state-of-the-world variant, one rule of the protocol a test."""

from __future__ import annotations

from envoy.service.discovery.v3 import discovery_pb2 as discovery_v3
from unit.xds_server.simulated import Client, cluster, endpoints, listener, resource, route

from fluxgate.ports import SyncState
from fluxgate.snapshot import Snapshot, SnapshotResource
from fluxgate.xds.typeurl import CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET
from fluxgate_xds.changes import changes_between
from fluxgate_xds.sotw import SotwSession
from fluxgate_xds.typestream import Response


def ask(
    session: SotwSession,
    url: str,
    *names: str,
    nonce: str = "",
    version: str = "",
    error: str = "",
) -> list[Response]:
    request = discovery_v3.DiscoveryRequest(
        type_url=url, resource_names=names, response_nonce=nonce, version_info=version
    )
    if error:
        request.error_detail.message = error
    return session.receive(request, 0.0)


def publish(session: SotwSession, *resources: SnapshotResource) -> list[Response]:
    snapshot, current = Snapshot.of(resources), session.snapshot
    changes = changes_between(current, snapshot) if current is not None else {}
    return session.publish(snapshot, changes, 0.0)


def started(*resources: SnapshotResource) -> SotwSession:
    session = SotwSession()
    publish(session, *resources)
    return session


def accepted(session: SotwSession, url: str, *wanted: str) -> str:
    """Subscribe and acknowledge; returns the nonce."""
    (response,) = ask(session, url, *wanted)
    ask(session, url, *wanted, nonce=response.nonce)
    return response.nonce


def names(responses: list[Response]) -> list[list[str]]:
    return [[each.name for each in response.resources] for response in responses]


def test_clusters_are_sent_in_full_when_one_of_them_changes() -> None:
    session = started(resource(CLUSTER, "a"), resource(CLUSTER, "b"))
    accepted(session, CLUSTER)
    changed = publish(session, resource(CLUSTER, "a"), resource(CLUSTER, "b", "2"))
    assert names(changed) == [["a", "b"]]


def test_endpoints_are_sent_only_for_what_changed_and_is_subscribed() -> None:
    session = started(endpoints("a"), endpoints("b"), endpoints("c"))
    accepted(session, ENDPOINT, "a", "b")
    changed = publish(session, endpoints("a", "2"), endpoints("b"), endpoints("c", "2"))
    assert names(changed) == [["a"]]


def test_a_newly_requested_name_is_sent_even_if_nothing_changed() -> None:
    session = started(endpoints("a"), endpoints("b"))
    nonce = accepted(session, ENDPOINT, "a")
    assert names(ask(session, ENDPOINT, "a", "b", nonce=nonce)) == [["b"]]


def test_a_name_dropped_and_requested_again_is_sent_again() -> None:
    session = started(endpoints("a"), endpoints("b"))
    nonce = accepted(session, ENDPOINT, "a", "b")
    ask(session, ENDPOINT, "b", nonce=nonce)
    assert names(ask(session, ENDPOINT, "a", "b", nonce=nonce)) == [["a"]]


def test_a_repeated_request_is_not_answered() -> None:
    session = started(resource(CLUSTER, "a"))
    nonce = accepted(session, CLUSTER)
    assert ask(session, CLUSTER, nonce=nonce) == []


def test_a_request_with_a_stale_nonce_is_ignored() -> None:
    session = started(endpoints("a"), endpoints("b"))
    nonce = accepted(session, ENDPOINT, "a")
    publish(session, endpoints("a", "2"), endpoints("b"))
    assert ask(session, ENDPOINT, "a", "b", nonce=nonce) == []
    assert session.states()[ENDPOINT].state is SyncState.PENDING


def test_a_reconnect_with_the_present_version_of_a_wildcard_is_not_answered() -> None:
    session = started(resource(CLUSTER, "a"))
    assert session.snapshot is not None
    version = session.snapshot.versions[CLUSTER]
    assert ask(session, CLUSTER, nonce="of another stream", version=version) == []
    assert session.states()[CLUSTER].state is SyncState.SYNCED


def test_a_reconnect_with_names_is_answered_since_the_names_may_be_new() -> None:
    session = started(endpoints("a"))
    assert session.snapshot is not None
    version = session.snapshot.versions[ENDPOINT]
    assert names(ask(session, ENDPOINT, "a", version=version)) == [["a"]]


def test_a_removed_cluster_stays_in_the_set_until_no_route_uses_it() -> None:
    client = Client(delta=False)
    before = [cluster("old"), endpoints("old"), route("r", ["old"]), listener("l", "r")]
    after = [cluster("new"), endpoints("new"), route("r", ["new"], "2"), listener("l", "r")]
    client.publish(Snapshot.of(before))
    client.settle()
    client.received.clear()
    client.publish(Snapshot.of(after))
    client.settle()
    assert [(each.type_url, *names([each])) for each in client.received] == [
        (CLUSTER, ["new", "old"]),
        (ENDPOINT, ["new"]),
        (ROUTE, ["r"]),
        (CLUSTER, ["new"]),
    ]


def test_a_set_that_is_not_the_snapshots_does_not_carry_the_snapshots_version() -> None:
    client = Client(delta=False)
    client.publish(Snapshot.of([cluster("old"), endpoints("old"), route("r", ["old"])]))
    client.settle()
    client.received.clear()
    after = Snapshot.of([cluster("new"), endpoints("new")])
    client.publish(after)
    client.settle()
    versions = [each.version for each in client.received if each.type_url == CLUSTER]
    assert versions[0] != after.versions[CLUSTER]
    assert versions[-1] == after.versions[CLUSTER]


def test_a_rejected_set_is_not_sent_again_until_it_changes() -> None:
    session = started(resource(LISTENER, "a", "bad"))
    (response,) = ask(session, LISTENER)
    assert ask(session, LISTENER, nonce=response.nonce, error="bad listener") == []
    assert publish(session, resource(LISTENER, "a", "bad"), endpoints("e")) == []
    assert session.states()[LISTENER].state is SyncState.REJECTED
    assert names(publish(session, resource(LISTENER, "a", "good"))) == [["a"]]


def test_endpoints_that_vanish_while_their_cluster_warms_are_answered_by_an_empty_set() -> None:
    session = started(cluster("a"), endpoints("a"))
    ask(session, CLUSTER)
    publish(session)
    (response,) = ask(session, ENDPOINT, "a")
    assert response.resources[0].payload == b"\x0a\x01a"  # only cluster_name


def test_a_cluster_that_changes_and_goes_while_its_endpoints_are_refused_holds_up_nothing() -> None:
    client = Client(delta=False)
    stays = [cluster("stays"), endpoints("stays"), route("r", ["stays"])]
    refused = endpoints("goes", "bad")
    client.publish(Snapshot.of([*stays, cluster("goes"), refused, listener("l", "r")]))
    client.deliver_request()  # asks for clusters
    client.deliver_request()  # asks for listeners
    client.deliver_response()
    client.deliver_request()  # asks for endpoints
    client.deliver_response()  # refuses them; both clusters are warm
    client.deliver_request()  # acknowledges the clusters; the refusal is still on its way
    client.publish(Snapshot.of([*stays, cluster("goes", "2"), refused, listener("l", "r")]))
    last = Snapshot.of([*stays, listener("l", "r", "2")])
    client.publish(last)
    client.settle()
    assert sorted(client.held[CLUSTER]) == ["stays"]
    assert client.session.acked_snapshot == last.version


def test_a_cluster_that_changes_and_goes_after_a_reconnect_still_gets_its_endpoints() -> None:
    before = Snapshot.of([cluster("a"), endpoints("a")])
    session = SotwSession(recall=lambda url, _: before.of_type(url))
    publish(session, cluster("a", "2"), endpoints("a", "2"))
    ask(session, CLUSTER, nonce="of another stream", version=before.versions[CLUSTER])
    publish(session)
    (response,) = ask(session, ENDPOINT, "a", nonce="of another stream")
    assert response.resources == (endpoints("a", "2"),)


def test_a_cluster_that_goes_after_a_reconnect_keeps_its_endpoints_until_then() -> None:
    before = Snapshot.of([cluster("a"), endpoints("a")])
    session = SotwSession(recall=lambda url, _: before.of_type(url))
    publish(session, cluster("b"), endpoints("b"))
    ask(session, CLUSTER, nonce="of another stream", version=before.versions[CLUSTER])
    assert ask(session, ENDPOINT, "a", nonce="of another stream") == []


def test_a_missing_secret_is_not_answered_by_the_endpoints_of_a_cluster_of_its_name() -> None:
    session = started(cluster("a"), endpoints("a"))
    ask(session, CLUSTER)
    assert ask(session, SECRET, "a") == []


def serving(*resources: SnapshotResource) -> Client:
    """A client that has acknowledged everything."""
    client = Client(delta=False)
    client.publish(Snapshot.of(resources))
    client.settle()
    return client


def test_a_cluster_put_back_while_its_change_is_unanswered_gets_its_endpoints_again() -> None:
    client = serving(cluster("a"), endpoints("a"), cluster("b"), endpoints("b"))
    client.publish(Snapshot.of([cluster("a", "2"), endpoints("a"), cluster("b"), endpoints("b")]))
    client.wait(5.0)
    last = Snapshot.of([cluster("b", "2"), endpoints("b")])
    client.publish(last)  # overtakes, and takes "a" along as it was until it may go
    client.settle()
    assert client.session.acked_snapshot == last.version


def test_a_cluster_put_back_by_a_removal_gets_its_endpoints_again() -> None:
    used = [cluster("used"), endpoints("used"), route("r", ["used"]), listener("l", "r")]
    client = serving(*used, cluster("b"), endpoints("b"))
    client.publish(Snapshot.of([cluster("used", "2"), *used[1:], cluster("b"), endpoints("b")]))
    client.wait(5.0)
    unanswered = len(client.inbox)
    last = Snapshot.of([])
    client.publish(last)
    sent = list(client.inbox)[unanswered:]
    assert [each.type_url for each in sent] == [LISTENER, CLUSTER, ENDPOINT]
    client.settle()
    assert client.session.acked_snapshot == last.version


def test_a_cluster_put_back_after_a_rejection_gets_the_endpoints_it_was_sent_with() -> None:
    both = [cluster("a"), endpoints("a"), cluster("b"), endpoints("b")]
    session = started(*both)
    accepted(session, CLUSTER)
    (refused,) = ask(session, ENDPOINT, "a", "b")
    ask(session, ENDPOINT, "a", "b", nonce=refused.nonce, error="not an address")
    changed = [cluster("a", "2"), endpoints("a"), cluster("b", "2"), endpoints("b")]
    clusters, again = publish(session, *changed)
    ask(session, ENDPOINT, "a", "b", nonce=again.nonce, error="not an address")
    (of_b,) = publish(session, *changed[2:], cluster("c"), endpoints("c"))
    words = "Error adding/updating cluster(s) b: no such thing"
    assert names(ask(session, CLUSTER, nonce=clusters.nonce, error=words)) == [["a", "b", "c"]]
    (late,) = ask(session, ENDPOINT, "a", "b", nonce=of_b.nonce)
    assert endpoints("a") in late.resources


def test_a_cluster_put_back_after_an_unanswered_removal_is_told_it_has_no_endpoints() -> None:
    stays = [cluster("stays"), endpoints("stays")]
    client = serving(*stays, cluster("goes"), endpoints("goes", "bad"))
    client.publish(Snapshot.of(stays))
    client.deliver_response()
    client.deliver_request()  # acknowledges the endpoints that stay: now "goes" may go
    client.wait(5.0)
    last = Snapshot.of([cluster("stays", "2"), endpoints("stays")])
    client.publish(last)  # overtakes, and takes "goes" along since it may still be there
    client.settle()
    assert client.session.acked_snapshot == last.version
