"""``static_bootstrap``: a snapshot as a configuration that needs no control plane."""

from envoy.config.bootstrap.v3 import bootstrap_pb2 as bootstrap_v3
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_v3,
)
from support.gateway import cluster, forward, gateway, route

from fluxgate.ir import CertificateIR, ClusterTLS, EndpointIR, Gateway, ListenerIR, ListenerTLSIR
from fluxgate.resources import ObjectRef
from fluxgate.secret import SecretBytes
from fluxgate.xds import names, typeurl
from fluxgate.xds.build import build_snapshot
from fluxgate.xds.static import static_bootstrap

ORIGIN = ObjectRef("Secret", "default", "tls")


def rich() -> Gateway:
    return gateway(
        (route("/", forward("up")),),
        (
            cluster(
                "up",
                endpoints=(EndpointIR("10.0.0.1", 443),),
                tls=ClusterTLS("up.example.com", ca_secret="ca", client_secret="web"),
            ),
        ),
        listeners=(
            ListenerIR("http", "0.0.0.0", 8080, "main"),
            ListenerIR("https", "0.0.0.0", 8443, "main", tls=ListenerTLSIR(("web",))),
        ),
        certificates=(
            CertificateIR("web", ORIGIN, b"chain", SecretBytes(b"key")),
            CertificateIR("ca", ORIGIN, b"authority"),
        ),
    )


def managers(bootstrap: bootstrap_v3.Bootstrap) -> list[hcm_v3.HttpConnectionManager]:
    found = []
    for listener in bootstrap.static_resources.listeners:
        manager = hcm_v3.HttpConnectionManager()
        listener.filter_chains[0].filters[0].typed_config.Unpack(manager)
        found.append(manager)
    return found


def test_nothing_is_left_to_be_discovered() -> None:
    text = str(static_bootstrap(build_snapshot(rich())))
    for field in ("ads", "eds_cluster_config", "config_discovery", "sds_config"):
        assert f"{field} {{" not in text


def test_ports_move_out_of_the_way_unless_told_otherwise() -> None:
    snapshot = build_snapshot(rich())

    def bound(*, relocate_ports: bool) -> list[tuple[str, int]]:
        listeners = static_bootstrap(
            snapshot, relocate_ports=relocate_ports
        ).static_resources.listeners
        sockets = [listener.address.socket_address for listener in listeners]
        return [(socket.address, socket.port_value) for socket in sockets]

    assert bound(relocate_ports=True) == [("127.0.0.1", 0)] * 2
    assert bound(relocate_ports=False) == [("0.0.0.0", 8080), ("0.0.0.0", 8443)]


def test_routes_and_filter_configurations_stand_in_their_listeners() -> None:
    for manager in managers(static_bootstrap(build_snapshot(rich()))):
        assert manager.route_config.name == "main"
        assert names.API_KEY_FILTER in [each.name for each in manager.http_filters]


def test_endpoints_stand_in_their_cluster() -> None:
    (made,) = static_bootstrap(build_snapshot(rich())).static_resources.clusters
    (endpoint,) = made.load_assignment.endpoints[0].lb_endpoints
    assert endpoint.endpoint.address.socket_address.address == "10.0.0.1"


def test_the_probe_is_left_out() -> None:
    assert names.PROBE_ROUTE_TABLE not in str(static_bootstrap(build_snapshot(rich())))


def test_only_the_named_resources_are_kept() -> None:
    bootstrap = static_bootstrap(build_snapshot(rich()), only={(typeurl.CLUSTER, "up")})
    static = bootstrap.static_resources
    assert [each.name for each in static.clusters] == ["up"]
    assert not static.listeners
    assert not static.secrets


def test_a_route_table_without_its_listener_gets_one() -> None:
    bootstrap = static_bootstrap(build_snapshot(rich()), only={(typeurl.ROUTE, "main")})
    assert [manager.route_config.name for manager in managers(bootstrap)] == ["main"]


def test_a_filter_configuration_without_its_listener_gets_one() -> None:
    only = {(typeurl.EXTENSION, names.API_KEY_FILTER)}
    (manager,) = managers(static_bootstrap(build_snapshot(rich()), only=only))
    assert manager.http_filters[0].name == names.API_KEY_FILTER


def test_a_listener_without_its_routes_and_filters_stands_alone() -> None:
    only = {(typeurl.LISTENER, "http")}
    (manager,) = managers(static_bootstrap(build_snapshot(rich()), only=only))
    assert not manager.route_config.virtual_hosts
    assert names.API_KEY_FILTER not in [each.name for each in manager.http_filters]
