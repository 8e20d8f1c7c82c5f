"""Collectors of spans and log records: clusters of the gateway itself."""

from __future__ import annotations

from unit.translator.world import World, bundle, edge, route

from fluxgate.translator import TranslateCache, translate
from fluxgate.xds import typeurl
from fluxgate.xds.build import build_snapshot

COLLECTOR = "http://collector.example.com:4317"
OTHER = "http://192.0.2.9:4317"


def collectors(*objects: object) -> dict[str, str]:
    """Protocols of the clusters, by pool."""
    clusters = World(*objects).gateway.clusters  # type: ignore[arg-type]
    return {each.eds_name: each.protocol for each in clusters}


def test_a_collector_is_a_cluster_though_no_route_refers_to_it():
    assert collectors(edge(tracing={"endpoint": COLLECTOR})) == {f"url/{COLLECTOR}": "HTTP2"}


def test_a_collector_that_takes_posts_is_spoken_to_in_http_1():
    tracing = {"endpoint": COLLECTOR, "protocol": "HTTP"}
    world = World(edge(tracing=tracing))
    assert [each.protocol for each in world.gateway.clusters] == ["HTTP1"]
    assert world.gateway.tracing.collector.url == COLLECTOR


def test_spans_and_records_for_one_collector_share_its_cluster():
    logging = {"openTelemetry": {"endpoint": COLLECTOR}}
    gateway = World(edge(tracing={"endpoint": COLLECTOR}, logging=logging)).gateway
    (cluster,) = gateway.clusters
    assert gateway.tracing.collector.cluster == cluster.name
    assert gateway.log_export.collector.cluster == cluster.name


def test_an_ipv6_collector_has_brackets_in_its_authority():
    world = World(edge(tracing={"endpoint": "http://[2001:db8::1]:4317"}))
    assert world.gateway.tracing.collector.authority == "[2001:db8::1]:4317"


def test_a_config_with_tracing_is_accepted():
    assert World(edge(tracing={"endpoint": COLLECTOR})).verdict("GatewayConfig", "edge") == (
        True,
        "Accepted",
    )


def test_another_collector_replaces_the_first_and_routes_stay_as_they_were():
    cache, routed = TranslateCache(), route()
    translate(bundle(edge(tracing={"endpoint": COLLECTOR}), routed), cache=cache)
    changed = bundle(edge(tracing={"endpoint": OTHER}), routed)
    again = translate(changed, cache=cache).gateways["edge"]
    assert {each.eds_name for each in again.clusters} == {
        f"url/{OTHER}",
        "url/http://127.0.0.1:9000",
    }
    assert again == translate(changed).gateways["edge"]


def test_the_listener_waits_for_the_collectors_cluster():
    snapshot = build_snapshot(World(edge(tracing={"endpoint": COLLECTOR})).gateway)
    (listener,) = snapshot.of_type(typeurl.LISTENER).values()
    (cluster,) = snapshot.of_type(typeurl.CLUSTER)
    assert (typeurl.CLUSTER, cluster) in listener.references
