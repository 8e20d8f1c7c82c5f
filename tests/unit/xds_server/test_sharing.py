"""A thousand streams cost little more than one: what they hold is shared, never copied."""

from __future__ import annotations

from envoy.service.discovery.v3 import discovery_pb2 as discovery_v3
from unit.xds_server.simulated import Client, cluster, endpoints, listener, resource, route

from fluxgate.snapshot import ResourceSet, Snapshot, SnapshotResource
from fluxgate.xds.typeurl import CLUSTER, ENDPOINT, LISTENER, ROUTE
from fluxgate_xds.cache import SnapshotCache
from fluxgate_xds.changes import changes_between
from fluxgate_xds.delta import DeltaSession
from fluxgate_xds.sotw import SotwSession
from fluxgate_xds.typestream import Response
from fluxgate_xds.views import Views

NAMES = [f"c{number}" for number in range(300)]
SNAPSHOT = Snapshot.of([*map(cluster, NAMES), *map(endpoints, NAMES)])


def delta(session: DeltaSession, url: str, *names: str, **fields: object) -> list[Response]:
    return session.receive(
        discovery_v3.DeltaDiscoveryRequest(
            type_url=url,
            resource_names_subscribe=names,
            **fields,  # type: ignore[arg-type]
        ),
        0.0,
    )


def started(views: Views) -> DeltaSession:
    session = DeltaSession(views=views)
    session.publish(SNAPSHOT, {}, 0.0)
    for url, names in ((CLUSTER, ()), (ENDPOINT, tuple(NAMES))):
        (response,) = delta(session, url, *names)
        delta(session, url, response_nonce=response.nonce)
    return session


def held(session: DeltaSession | SotwSession, url: str) -> object:
    return session._types[url].held


def test_streams_with_the_same_configuration_hold_the_same_view() -> None:
    views = Views()
    one, two = started(views), started(views)
    for url in (CLUSTER, ENDPOINT):
        mine, yours = one._types[url], two._types[url]
        assert mine.held.base is yours.held.base
        assert not mine.held.differs
        assert (len(mine.todo), mine.inflight) == (0, None)
    assert one._types[ENDPOINT].subscription.names is not None
    assert one.acked_snapshot == SNAPSHOT.version


def test_first_responses_of_two_streams_are_equal_and_share_their_resources() -> None:
    views = Views()

    def first() -> Response:
        session = DeltaSession(views=views)
        session.publish(SNAPSHOT, {}, 0.0)
        (response,) = delta(session, CLUSTER)
        return response

    one, two = first(), first()
    assert (one.nonce, one.version) == (two.nonce, two.version)
    assert one.resources is two.resources
    assert one.changed is two.changed


def test_a_stream_that_followed_many_changes_is_as_small_as_a_new_one() -> None:
    views = Views()
    session = started(views)
    for number in range(2, 40):
        changed = [cluster(name, str(number)) for name in NAMES[number : number + 20]]
        kept = list(SNAPSHOT.of_type(CLUSTER).values())
        merged = {each.name: each for each in [*kept, *changed]}
        snapshot = Snapshot.of([*merged.values(), *map(endpoints, NAMES)])
        assert session.snapshot is not None
        waiting = session.publish(snapshot, changes_between(session.snapshot, snapshot), 0.0)
        while waiting:
            each = waiting.pop()
            waiting += delta(session, each.type_url, response_nonce=each.nonce)
        assert not session._types[CLUSTER].held.differs
    assert session.acked_snapshot == session.snapshot.version  # type: ignore[union-attr]


def test_initial_versions_that_are_all_known_become_a_reference_too() -> None:
    session = DeltaSession()
    session.publish(SNAPSHOT, {}, 0.0)
    versions = {each.name: each.version for each in SNAPSHOT.of_type(CLUSTER).values()}
    assert delta(session, CLUSTER, initial_resource_versions=versions) == []
    assert not session._types[CLUSTER].held.differs


def test_initial_versions_that_came_before_the_first_snapshot_do_so_when_it_comes() -> None:
    session = DeltaSession()
    versions = {each.name: each.version for each in SNAPSHOT.of_type(CLUSTER).values()}
    delta(session, CLUSTER, initial_resource_versions={**versions, "c7": "old"})
    (response,) = session.publish(SNAPSHOT, {}, 0.0)
    assert [each.name for each in response.resources] == ["c7"]
    delta(session, CLUSTER, response_nonce=response.nonce)
    assert not session._types[CLUSTER].held.differs


def serving(name: str, payload: str = "1") -> list[SnapshotResource]:
    return [cluster(name), endpoints(name), route("r", [name], payload), listener("l", "r")]


def reconnected(cache: SnapshotCache) -> Client:
    """A state-of-the-world client that lost its stream and finds another snapshot."""
    client = Client(delta=False)
    client.publish(Snapshot.of(serving("old")))
    client.settle()
    client.connect()
    client.session = SotwSession(recall=lambda url, version: cache.recall("g", url, version))
    client.received.clear()
    return client


def test_a_sotw_client_that_reconnects_after_a_change_keeps_what_its_routes_still_use() -> None:
    cache = SnapshotCache()
    after = Snapshot.of(serving("new", "2"))
    cache.publish("g", Snapshot.of(serving("old")))
    cache.publish("g", after)
    client = reconnected(cache)
    client.publish(after)
    client.settle()  # raises BrokenTrafficError if a cluster goes before its route
    clusters = [
        [each.name for each in response.resources]
        for response in client.received
        if response.type_url == CLUSTER
    ]
    assert clusters == [["new", "old"], ["new"]]
    assert client.session.acked_snapshot == after.version


def test_the_cache_forgets_old_versions_and_tells_no_gateway_those_of_another() -> None:
    cache = SnapshotCache()
    snapshots = [Snapshot.of([cluster("a", str(number)), endpoints("a")]) for number in range(30)]
    for each in snapshots:
        cache.publish("g", each)
    assert cache.recall("g", CLUSTER, snapshots[-2].versions[CLUSTER]) is not None
    assert cache.recall("g", CLUSTER, snapshots[0].versions[CLUSTER]) is None
    assert cache.recall("other", CLUSTER, snapshots[-2].versions[CLUSTER]) is None


def test_views_are_bounded_and_found_by_the_set_they_were_made_of() -> None:
    views = Views(size=2)
    sets = [ResourceSet.of([resource(LISTENER, f"l{number}")]).resources for number in range(5)]
    made = [views.of(each) for each in sets]
    assert views.of(sets[-1]) is made[-1]
    assert views.of(sets[0]) is not made[0]


def test_a_set_with_a_resource_on_demand_is_not_taken_for_what_a_wildcard_gets() -> None:
    session = DeltaSession()
    on_demand = resource(LISTENER, "svc", on_demand=True)
    session.publish(Snapshot.of([on_demand, resource(LISTENER, "main")]), {}, 0.0)
    (response,) = delta(session, LISTENER)
    assert [each.name for each in response.resources] == ["main"]
    assert ROUTE not in session.states()
