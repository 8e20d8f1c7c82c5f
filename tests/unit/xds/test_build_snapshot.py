"""``build_snapshot``: complete, consistent, the same with and without a cache."""

from dataclasses import replace

import pytest
from support.gateway import cluster, forward, gateway, route
from support.keygateway import api_key

from fluxgate.errors import InconsistentSnapshotError
from fluxgate.ir import (
    ApiKeyTable,
    CertificateIR,
    ClusterTLS,
    EndpointIR,
    Gateway,
    ListenerIR,
    ListenerTLSIR,
    PlanBucket,
    RouteTable,
)
from fluxgate.resources import ObjectRef
from fluxgate.snapshot import Snapshot
from fluxgate.xds import names, typeurl
from fluxgate.xds.build import BuildCache, build_snapshot

ORIGIN = ObjectRef("Secret", "default", "tls")


class Somewhere:
    host = "127.0.0.1"
    port = 9000


def small(*paths: str, weight: int = 1, **fields: object) -> Gateway:
    clusters = [
        cluster(f"up-{path}", endpoints=(EndpointIR("127.0.0.1", 9000, weight),)) for path in paths
    ]
    routes = [route(f"/{path}", forward(f"up-{path}")) for path in paths]
    return gateway(routes, clusters, **fields)


def payloads(snapshot: Snapshot, type_url: str) -> dict[str, bytes]:
    return {name: each.payload for name, each in snapshot.of_type(type_url).items()}


def test_a_snapshot_holds_every_type_and_the_probe() -> None:
    snapshot = build_snapshot(small("a", "b"))
    assert list(snapshot.of_type(typeurl.CLUSTER)) == ["up-a", "up-b"]
    assert list(snapshot.of_type(typeurl.ENDPOINT)) == ["up-a/endpoints", "up-b/endpoints"]
    assert list(snapshot.of_type(typeurl.LISTENER)) == ["http"]
    assert list(snapshot.of_type(typeurl.ROUTE)) == [names.PROBE_ROUTE_TABLE, "main"]
    assert names.API_KEY_FILTER in snapshot.of_type(typeurl.EXTENSION)
    assert names.PLAN_LIMIT_FILTER in snapshot.of_type(typeurl.EXTENSION)


def test_the_probe_carries_the_version_and_does_not_change_it() -> None:
    snapshot = build_snapshot(small("a"))
    probe = snapshot.of_type(typeurl.ROUTE)[names.PROBE_ROUTE_TABLE]
    assert probe.final
    assert snapshot.version.encode() in probe.payload


def test_equal_gateways_give_equal_snapshots() -> None:
    assert build_snapshot(small("a", "b")) == build_snapshot(small("a", "b"))


@pytest.mark.parametrize(
    "edited",
    [
        small("a", "b", "c"),
        small("a"),
        small("b", "a"),
        small("a", "b", weight=3),
        small("a", "b", plans=(PlanBucket("gold", 10, 1000, 10),)),
        small("a", "b", keys=(api_key("flc_service_x"),)),
        small("a", "b", idle_timeout_ms=1000),
        small("a", "b", ca_bundle="/other.pem"),
        small("a", "b", listeners=(ListenerIR("http", "127.0.0.1", 8081, "main"),)),
    ],
)
def test_a_cached_build_equals_a_fresh_one_after_any_edit(edited: Gateway) -> None:
    cache = BuildCache()
    first = build_snapshot(small("a", "b"), cache)
    assert build_snapshot(edited, cache) == build_snapshot(edited)
    assert build_snapshot(small("a", "b"), cache) == first


def test_another_ca_bundle_rebuilds_the_very_same_clusters() -> None:
    secure = cluster("up", Somewhere(), tls=ClusterTLS("up.example.com"))
    before = gateway((route("/", forward("up")),), (secure,))
    after = replace(before, ca_bundle="/etc/pki/other.pem")
    cache = BuildCache()
    build_snapshot(before, cache)
    assert build_snapshot(after, cache) == build_snapshot(after)


def test_what_did_not_change_is_not_built_again() -> None:
    cache = BuildCache()
    first = build_snapshot(small("a", "b"), cache)
    second = build_snapshot(small("a", "b", "c"), cache)
    for url in (typeurl.CLUSTER, typeurl.ENDPOINT, typeurl.LISTENER, typeurl.EXTENSION):
        for name, resource in first.of_type(url).items():
            assert second.of_type(url)[name] is resource


def test_keys_plans_and_routes_never_touch_a_listener() -> None:
    plain = build_snapshot(small("a"))
    rich = build_snapshot(
        small(
            "a",
            "b",
            keys=(api_key("flc_service_x", plan="gold"),),
            plans=(PlanBucket("gold", 10, 1000, 10),),
        )
    )
    assert payloads(plain, typeurl.LISTENER) == payloads(rich, typeurl.LISTENER)


def test_keys_never_touch_the_routes() -> None:
    without = build_snapshot(small("a"))
    with_key = build_snapshot(small("a", keys=(api_key("flc_service_x"),)))
    main = without.of_type(typeurl.ROUTE)["main"]
    assert with_key.of_type(typeurl.ROUTE)["main"] == main


def test_endpoints_change_without_their_cluster() -> None:
    before, after = build_snapshot(small("a")), build_snapshot(small("a", weight=7))
    assert payloads(before, typeurl.CLUSTER) == payloads(after, typeurl.CLUSTER)
    assert payloads(before, typeurl.ENDPOINT) != payloads(after, typeurl.ENDPOINT)


def test_clusters_of_one_upstream_share_its_endpoints() -> None:
    pair = [cluster(name, Somewhere(), eds_name="shared") for name in ("one", "two")]
    assert list(build_snapshot(gateway((), pair)).of_type(typeurl.ENDPOINT)) == ["shared"]


def test_clusters_that_share_a_name_but_not_endpoints_are_a_bug() -> None:
    pair = [cluster("one", Somewhere(), eds_name="shared"), cluster("two", eds_name="shared")]
    with pytest.raises(ValueError, match="share 'shared' but not its endpoints"):
        build_snapshot(gateway((), pair))


def test_a_dns_cluster_has_no_endpoint_resource() -> None:
    dns = cluster("up", endpoints=(EndpointIR("example.com", 80),), dns=True)
    assert not build_snapshot(gateway((), (dns,))).of_type(typeurl.ENDPOINT)


def test_a_route_to_a_cluster_that_is_not_there_is_inconsistent() -> None:
    with pytest.raises(InconsistentSnapshotError, match="refers to Cluster 'gone'"):
        build_snapshot(gateway((route("/", forward("gone")),)))


def test_a_certificate_that_is_not_there_is_inconsistent() -> None:
    secure = ListenerIR("https", "127.0.0.1", 8443, "main", tls=ListenerTLSIR(("missing",)))
    with pytest.raises(InconsistentSnapshotError, match="refers to Secret 'missing'"):
        build_snapshot(gateway(listeners=(secure,)))


def test_a_listener_without_its_route_table_is_inconsistent() -> None:
    with pytest.raises(InconsistentSnapshotError, match="refers to RouteConfiguration 'main'"):
        build_snapshot(gateway(route_tables=(RouteTable("other", ()),)))


def test_listeners_of_one_address_share_one_envoy_listener_named_for_the_first() -> None:
    one = ListenerIR("a", "127.0.0.1", 8443, "main", ("a.example.com",), ListenerTLSIR(("a",)))
    two = ListenerIR("b", "127.0.0.1", 8443, "main", ("b.example.com",), ListenerTLSIR(("b",)))
    certificates = tuple(CertificateIR(name, ORIGIN, b"pem") for name in "ab")
    made = build_snapshot(gateway(listeners=(two, one), certificates=certificates))
    assert list(made.of_type(typeurl.LISTENER)) == ["b"]


def test_origins_lead_back_to_the_objects() -> None:
    made = build_snapshot(small("a", certificates=(CertificateIR("tls", ORIGIN, b"pem"),)))
    assert made.of_type(typeurl.SECRET)["tls"].origins == (ORIGIN,)
    assert made.of_type(typeurl.CLUSTER)["up-a"].origins == (
        ObjectRef("Upstream", "default", "up-a"),
    )


def test_an_empty_gateway_is_a_snapshot_too() -> None:
    empty = replace(gateway(), listeners=(), route_tables=(), api_keys=ApiKeyTable(()))
    assert list(build_snapshot(empty).of_type(typeurl.ROUTE)) == [names.PROBE_ROUTE_TABLE]
