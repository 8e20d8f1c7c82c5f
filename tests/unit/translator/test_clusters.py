"""Clusters: names, endpoints, TLS and canaries; listeners and their certificates."""

from __future__ import annotations

from support.certificates import Authority
from unit.translator.world import World, bundle, edge, obj, path, route

from fluxgate.ir import Health
from fluxgate.resources import ObjectRef, Secret
from fluxgate.secret import SecretBytes
from fluxgate.translator import TranslateCache, translate
from fluxgate.translator.clusters import ClusterSettings, ClusterSpec


def upstream(*hosts: str, **spec: object):
    targets = [{"host": host, "port": 1} for host in hosts]
    return obj("Upstream", "u", {"targets": targets, **spec})


def to_upstream(**spec: object):
    return route(backends=[{"kind": "Upstream", "name": "u"}], **spec)


def only_cluster(*objects):
    (cluster,) = World(edge(), *objects).gateway.clusters
    return cluster


def test_the_name_keeps_when_endpoints_change_and_not_when_settings_do():
    one = only_cluster(upstream("127.0.0.1"), to_upstream())
    moved = only_cluster(upstream("127.0.0.2"), to_upstream())
    tuned = only_cluster(upstream("127.0.0.1", connectTimeout="1s"), to_upstream())
    assert one.name == moved.name
    assert one.name.startswith("upstream/default/u/")
    assert one.name != tuned.name
    assert one.eds_name == tuned.eds_name == "upstream/default/u"


def test_a_circuit_breaker_of_a_route_makes_a_cluster_of_its_own_on_the_same_endpoints():
    world = World(
        edge(),
        upstream("127.0.0.1"),
        to_upstream(),
        route("s", matches=[path("/s")], backends=[{"kind": "Upstream", "name": "u"}], circuitBreaker={"maxRequests": 1}),
    )  # fmt: skip
    assert len(world.gateway.clusters) == 2
    assert {each.eds_name for each in world.gateway.clusters} == {"upstream/default/u"}


def test_only_clusters_that_are_referred_to_are_there():
    assert World(edge(), upstream("127.0.0.1")).gateway.clusters == ()


def test_names_are_resolved_by_envoy_and_addresses_are_not():
    assert only_cluster(upstream("a.example.com"), to_upstream()).dns
    assert not only_cluster(upstream("127.0.0.1", "::1"), to_upstream()).dns


def test_names_and_addresses_do_not_mix():
    world = World(edge(), upstream("127.0.0.1", "a.example.com"), to_upstream())
    assert world.verdict("Upstream", "u") == (False, "Invalid")
    assert world.route.action.status == 502


def test_targets_of_weight_0_take_no_requests_and_health_by_hand_is_kept():
    spec = {
        "targets": [
            {"host": "127.0.0.1", "port": 1, "weight": 0},
            {"host": "127.0.0.2", "port": 1, "health": "Unhealthy"},
        ]
    }
    cluster = only_cluster(obj("Upstream", "u", spec), to_upstream())
    assert [(each.host, each.health) for each in cluster.endpoints] == [
        ("127.0.0.2", Health.UNHEALTHY)
    ]


def test_an_https_url_is_reached_by_tls_with_its_host_as_server_name():
    cluster = only_cluster(route(backends=[{"url": "https://pay.example.com:8443"}]))
    assert cluster.tls.server_name == "pay.example.com"
    assert [(each.host, each.port) for each in cluster.endpoints] == [("pay.example.com", 8443)]


def test_a_backend_without_settings_of_its_own_shares_its_upstreams_cluster():
    backend = obj("Backend", "b", {"upstream": "u"})
    world = World(
        edge(), upstream("127.0.0.1"), backend, to_upstream(),
        route("s", matches=[path("/s")], backends=[{"name": "b"}]),
    )  # fmt: skip
    assert len(world.gateway.clusters) == 1


def test_a_canary_gets_its_percentage_of_the_backends_share():
    backend = obj(
        "Backend",
        "b",
        {"url": "http://127.0.0.1:1", "canary": {"kind": "Upstream", "name": "u", "weight": 20}},
    )
    backends = [{"name": "b", "weight": 3}, {"url": "http://127.0.0.1:2", "weight": 1}]
    world = World(edge(), upstream("127.0.0.1"), backend, route(backends=backends))
    assert [each.weight for each in world.route.action.destinations] == [12, 3, 5]


def test_a_backend_whose_ca_is_missing_is_not_reached_without_verification():
    backend = obj(
        "Backend", "b", {"url": "https://127.0.0.1:1", "tls": {"caCertificateRef": {"name": "ca"}}}
    )
    world = World(edge(), backend, route(backends=[{"name": "b"}]))
    assert world.verdict("Backend", "b", "ResolvedRefs") == (False, "RefNotFound")
    assert world.route.action.status == 502


def test_the_certificates_of_clusters_and_listeners_are_there():
    tls = {"certificateRefs": [{"name": "cert"}]}
    listener = {"name": "https", "port": 443, "protocol": "HTTPS", "tls": tls}
    authority = Authority()
    pair = authority.issue("example.com")
    held = {"tls.crt": SecretBytes(pair.certificate), "tls.key": SecretBytes(pair.key)}
    secret = Secret("default", "cert", "kubernetes.io/tls", held)
    backend = obj(
        "Backend", "b", {"url": "https://127.0.0.1:1", "tls": {"caCertificateRef": {"name": "ca"}}}
    )
    world = World(
        edge(listeners=[listener]), secret, Secret("default", "ca", "Opaque", {"ca.crt": SecretBytes(authority.pem)}),
        backend, route(backends=[{"name": "b"}]),
    )  # fmt: skip
    assert [each.name for each in world.gateway.certificates] == [
        "ca/default/ca",
        "certificate/default/cert",
    ]


def test_a_listener_without_its_certificate_is_left_out_and_the_others_serve():
    tls = {"certificateRefs": [{"name": "gone"}, {"name": "cert", "namespace": "other"}]}
    listeners = [
        {"name": "https", "port": 443, "protocol": "HTTPS", "tls": tls},
        {"name": "http", "port": 80},
    ]
    world = World(edge(listeners=listeners), route())
    assert [each.name for each in world.gateway.listeners] == ["http"]
    assert world.verdict("GatewayConfig", "edge", "ResolvedRefs") == (False, "RefNotFound")
    message = world.message("GatewayConfig", "edge", "ResolvedRefs")
    assert "spec.listeners[0].tls.certificateRefs[0]: Secret default/gone does not exist" in message
    assert "certificateRefs[1]: a Secret must live in the namespace 'default'" in message


def test_what_did_not_change_is_the_same_object_after_an_edit():
    cache = TranslateCache()
    still = route("still", hosts=["a.example.com"])
    world = (edge(), upstream("127.0.0.1"), still)
    first = translate(bundle(*world, to_upstream(hosts=["b.example.com"])), cache=cache)
    second = translate(
        bundle(*world, to_upstream(hosts=["b.example.com"], priority=1)), cache=cache
    )
    one, other = (each.gateways["edge"] for each in (first, second))
    hosts, later = one.route_tables[0].virtual_hosts, other.route_tables[0].virtual_hosts
    assert hosts[0] is later[0]
    assert hosts[1] is not later[1]
    assert one.clusters is other.clusters


def test_new_endpoints_leave_the_routes_alone():
    cache = TranslateCache()
    world = (edge(), to_upstream())
    first = translate(bundle(*world, upstream("127.0.0.1")), cache=cache).gateways["edge"]
    second = translate(bundle(*world, upstream("127.0.0.2")), cache=cache).gateways["edge"]
    assert first.route_tables[0] is second.route_tables[0]
    assert second.clusters[0].endpoints[0].host == "127.0.0.2"


def test_a_thousand_routes_to_one_url_are_told_apart_by_their_hashes():
    """Were they not, a table of n routes to one URL would take n * n comparisons."""
    refs = [ObjectRef("Route", "default", f"r{number}") for number in range(1000)]
    specs = [ClusterSpec.of("url/http://127.0.0.1:9", ClusterSettings(), [ref]) for ref in refs]
    assert len({spec.name for spec in specs}) == 1
    assert len({hash(spec) for spec in specs}) > 990
