"""What is read from memory: ids, pages, users, names that others may not learn, versions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.admin_fakes import (
    EVERYTHING,
    MemoryPlane,
    MemoryResources,
    document,
    only_in,
    route,
)

from fluxgate.api.v1alpha1 import Resource
from fluxgate.ports import FleetNode, PoolState, TargetState
from fluxgate.ports.plane import TargetHealth
from fluxgate.resources import ObjectRef
from fluxgate_admin.errors import NotFoundError, UnprocessableError
from fluxgate_admin.http.etags import matches_none, read_if_match
from fluxgate_admin.ids import public_id
from fluxgate_admin.use_cases.catalogue import Catalogue, Page
from fluxgate_admin.use_cases.cursors import cursor_of, read_cursor
from fluxgate_admin.use_cases.documents import (
    carried_over,
    document_of,
    equal,
    etag_of,
    etag_of_document,
    parse,
)
from fluxgate_admin.use_cases.pools import Health, Pools
from fluxgate_admin.use_cases.proof import Proofs, SyncStatus
from fluxgate_admin.use_cases.references import users_of
from fluxgate_admin.use_cases.sight import mentions_only_own, redacted


class World:
    """A plane that is read, over objects that change."""

    def __init__(self) -> None:
        self.resources = MemoryResources()
        self.plane = MemoryPlane(self.resources)
        self.catalogue = Catalogue(self.plane)

    def add(self, *names: str, namespace: str = "default") -> None:
        for name in names:
            made = route(name, f"/{name}")
            made["metadata"]["namespace"] = namespace
            self.resources.put(made)

    def names(self, page: Page) -> list[str]:
        return [f"{each.metadata.namespace}/{each.metadata.name}" for each in page.objects]


def test_an_id_finds_its_object_whichever_way_that_came_and_until_it_goes() -> None:
    world = World()
    world.add("a", "b")
    ref = ObjectRef("Route", "default", "a")
    assert world.catalogue.find(EVERYTHING, "Route", public_id(ref)).metadata.name == "a"
    del world.resources.objects[ref]
    with pytest.raises(NotFoundError):
        world.catalogue.find(EVERYTHING, "Route", public_id(ref))
    world.add("a")
    assert world.catalogue.find(EVERYTHING, "Route", public_id(ref)).metadata.name == "a"
    with pytest.raises(NotFoundError):
        world.catalogue.find(EVERYTHING, "Plugin", public_id(ref))
    with pytest.raises(NotFoundError):
        world.catalogue.find(only_in("shop"), "Route", public_id(ref))


@given(st.data())
def test_pages_hold_everything_once_and_in_order_whatever_changes_between_looks(
    data: st.DataObject,
) -> None:
    world = World()
    places = st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(0, 30).map("r{}".format))
    for _ in range(data.draw(st.integers(1, 4))):
        for namespace, name in data.draw(st.sets(places, max_size=90)):
            ref = ObjectRef("Route", namespace, name)
            if ref in world.resources.objects:
                del world.resources.objects[ref]
            else:
                world.add(name, namespace=namespace)
        limit = data.draw(st.integers(1, 7))
        who = data.draw(st.sampled_from([EVERYTHING, only_in("a"), only_in("a", "c"), only_in()]))
        found: list[str] = []
        after: ObjectRef | None = None
        while True:
            page = world.catalogue.page(who, "Route", after=after, limit=limit)
            assert len(page.objects) <= limit
            found += world.names(page)
            if page.after is None:
                break
            after = page.after
        visible = sorted(ref for ref in world.resources.objects if who.sees(ref.namespace))
        assert found == [f"{ref.namespace}/{ref.name}" for ref in visible]


def test_a_page_begins_behind_an_object_that_has_gone() -> None:
    world = World()
    world.add("a", "b", "c")
    first = world.catalogue.page(EVERYTHING, "Route", limit=2)
    del world.resources.objects[ObjectRef("Route", "default", "b")]
    second = world.catalogue.page(EVERYTHING, "Route", after=first.after, limit=2)
    assert world.names(second) == ["default/c"]


@given(st.text(max_size=40))
def test_no_text_is_taken_for_a_cursor_that_it_is_not(text: str) -> None:
    try:
        found = read_cursor(text, "Route")
    except UnprocessableError:
        return
    assert found is None or read_cursor(cursor_of(found), "Route") == found


def test_a_cursor_of_another_list_is_refused() -> None:
    cursor = cursor_of(ObjectRef("Plugin", "default", "x"))
    with pytest.raises(UnprocessableError):
        read_cursor(cursor, "Route")


def users(world: World, kind: str, name: str) -> list[str]:
    return [
        str(each) for each in users_of(ObjectRef(kind, "default", name), world.plane.resources())
    ]


def test_whoever_names_an_object_uses_it() -> None:
    world = World()
    put = world.resources.put
    put(document("Upstream", "pool", {"targets": [{"host": "10.0.0.1", "port": 80}]}))
    put(document("Backend", "pay", {"upstream": "pool", "canary": {"name": "pool", "weight": 5}}))
    put(
        document(
            "Backend",
            "new",
            {"url": "http://x.example", "canary": {"kind": "Backend", "name": "pay", "weight": 5}},
        )
    )
    put(route("by-upstream", backends=[{"kind": "Upstream", "name": "pool"}]))
    put(route("by-backend", backends=[{"name": "pay"}]))
    put(route("by-mirror", mirrors=[{"backend": {"name": "pay"}}]))
    put(route("of-gateway", gateways=["main"]))
    authz = {"http": {"backend": {"kind": "Upstream", "name": "pool"}}}
    put(document("Plugin", "authz", {"type": "ext-authz", "config": authz}))
    put(route("by-plugin", plugins=[{"name": "authz"}]))
    put(route("in-place", plugins=[{"type": "ext-authz", "config": authz}]))
    put(document("Plugin", "of-tenant", {"type": "cors", "tenant": "acme"}))
    put(
        document(
            "Plugin", "targets", {"type": "cors", "targets": [{"kind": "Backend", "name": "pay"}]}
        )
    )
    put(
        route("elsewhere", backends=[{"name": "pay"}])
        | {"metadata": {"name": "x", "namespace": "shop"}}
    )
    assert users(world, "Upstream", "pool") == [
        "Backend default/pay",
        "Plugin default/authz",
        "Route default/by-upstream",
        "Route default/in-place",
    ]
    assert users(world, "Backend", "pay") == [
        "Backend default/new",
        "Route default/by-backend",
        "Route default/by-mirror",
    ]
    assert users(world, "Plugin", "authz") == ["Route default/by-plugin"]
    assert users(world, "GatewayConfig", "main") == ["Route default/of-gateway"]
    assert users(world, "Tenant", "acme") == ["Plugin default/of-tenant"]
    assert users(world, "Route", "by-plugin") == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("claimed by Route shop/orders, which is older", None),
        (
            "claimed by Route other/orders, which is older",
            "claimed by another object, which is older",
        ),
        ("route/other/orders/0: bad regex", "another object: bad regex"),
        ("service/other/pay:80 has no endpoints", "another object has no endpoints"),
        ("in url/http://10.0.0.1:80 nothing", None),
        ("see https://example.com/a/b", None),
        ("spec.matches[0].path: must start with /", None),
        ("Upstream other/a and Upstream shop/b", "another object and Upstream shop/b"),
    ],
)
def test_names_of_others_are_taken_out_of_texts(text: str, shown: str | None) -> None:
    assert redacted(only_in("shop"), text) == (text if shown is None else shown)
    assert redacted(EVERYTHING, text) == text


def test_resources_of_envoy_belong_to_whom_they_are_named_after() -> None:
    assert mentions_only_own(only_in("shop"), "route/shop/orders/0")
    assert not mentions_only_own(only_in("shop"), "route/other/orders/0")
    assert not mentions_only_own(only_in("shop"), "listener-8080")
    assert mentions_only_own(EVERYTHING, "listener-8080")


def test_equal_objects_have_equal_versions_however_numbers_are_written() -> None:
    one = document("Backend", "a", {"url": "http://x.example", "outlier": None})
    one["spec"].pop("outlier")
    mirrored = route(mirrors=[{"backend": {"name": "b"}, "percent": 5}])
    assert etag_of_document(mirrored) == etag_of(parse(mirrored))
    other = route(mirrors=[{"backend": {"name": "b"}, "percent": 5.0}])
    assert etag_of_document(mirrored) == etag_of_document(other)
    assert etag_of_document(mirrored) != etag_of_document(route())
    broken = document("Route", "a", {"nothing": "known"})
    assert etag_of_document(broken) != etag_of_document(route())
    assert not equal(broken, route())


def test_bookkeeping_is_no_part_of_a_version() -> None:
    kept = route()
    kept["metadata"]["annotations"] = {
        "gateway.fluxgate.io/created-at": "2030",
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
    }
    assert etag_of_document(kept) == etag_of_document(route())
    assert "annotations" not in document_of(parse(kept))["metadata"]
    over = carried_over(kept, route())
    assert over["metadata"]["annotations"] == kept["metadata"]["annotations"]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (None, None),
        ('"a"', ("a",)),
        ('"a", "b"', ("a", "b")),
        ("*", ("*",)),
        ('W/"a"', ()),
        ('W/"a","b"', ("b",)),
        ('"*"', ("",)),
    ],
)
def test_if_match_is_a_list_of_strong_etags(
    value: str | None, found: tuple[str, ...] | None
) -> None:
    assert read_if_match(value) == found


@pytest.mark.parametrize("value", ["", "a", '"a', '"a" "b"', "a,b", '"a", b'])
def test_what_is_no_etag_names_no_version(value: str) -> None:
    assert read_if_match(value) == ()
    assert not matches_none(value, "a")


def test_if_none_match_also_takes_weak_etags() -> None:
    assert matches_none('W/"a"', "a")
    assert matches_none("*", "a")
    assert not matches_none('"b"', "a")
    assert not matches_none(None, "a")


def test_the_health_of_a_route_is_that_of_everything_it_sends_to() -> None:
    world = World()
    put = world.resources.put
    put(document("Upstream", "pool", {"targets": [{"host": "10.0.0.1", "port": 80}]}))
    put(document("Backend", "pay", {"upstream": "pool"}))
    put(route("both", backends=[{"name": "pay"}, {"url": "http://x.example"}]))
    pool = ObjectRef("Upstream", "default", "pool")
    ill = TargetState("10.0.0.1:80", TargetHealth.UNHEALTHY, ("CheckFailed",))
    well = TargetState("x.example:80", TargetHealth.HEALTHY)
    better = TargetState("10.0.0.1:80", TargetHealth.HEALTHY)
    world.plane.pool_states = (
        PoolState("main", "upstream/default/pool", pool, (ill,)),
        PoolState("other", "upstream/default/pool", pool, (better,)),
        PoolState("main", "url/http://x.example:80", None, (well,)),
    )
    made = world.plane.resources().routes[ObjectRef("Route", "default", "both")]
    found = Pools(world.plane).health(made)
    assert found.status is Health.DEGRADED
    assert set(found.targets) == {ill, well}


def state_of(world: World, ref: ObjectRef) -> tuple[str, SyncStatus]:
    known = Proofs(world.plane).known(EVERYTHING, world.plane.statuses())
    return known.state(ref), known.sync(ref).status


def test_what_is_not_served_is_propagated_once_every_node_knows_the_newest() -> None:
    world = World()
    world.resources.put(
        document("GatewayConfig", "main", {"listeners": [{"name": "http", "port": 80}]})
    )
    world.resources.put(route("off", enabled=False))
    ref = ObjectRef("Route", "default", "off")
    assert state_of(world, ref) == ("disabled", SyncStatus.PROPAGATED)
    lagging = FleetNode("envoy-1", "main", True, "1", "envoy", 0, lag="behind")
    world.plane.fleet = (lagging,)
    assert state_of(world, ref) == ("disabled", SyncStatus.PENDING)
    world.plane.fleet = ()
    assert state_of(world, ref) == ("disabled", SyncStatus.PENDING)
    assert state_of(world, ObjectRef("Route", "default", "new")) == ("pending", SyncStatus.PENDING)


def test_objects_are_resources() -> None:
    assert isinstance(parse(route()), Resource)
