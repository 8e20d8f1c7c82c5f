"""The configurations the benchmarks run on: resources of ours, and Envoy's own for comparison."""

from __future__ import annotations

from bench.harness import API_VERSION

HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"


def resource(kind: str, name: str, spec: dict[str, object]) -> dict[str, object]:
    """One of our resources as a document."""
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }


def gateway_config(
    port: int, *, access_log: str | None = None, **spec: object
) -> dict[str, object]:
    """A gateway with one HTTP listener; the access log is off unless a path is given."""
    log = {"enabled": access_log is not None, **({"path": access_log} if access_log else {})}
    listener = {"name": "http", "address": "127.0.0.1", "port": port}
    return resource(
        "GatewayConfig", "main", {"listeners": [listener], "logging": {"accessLog": log}, **spec}
    )


def upstream(name: str, port: int) -> dict[str, object]:
    """A pool of one target on loopback."""
    return resource("Upstream", name, {"targets": [{"host": "127.0.0.1", "port": port}]})


def route(name: str, path: str, target: str, **spec: object) -> dict[str, object]:
    """A prefix route to an Upstream."""
    return resource(
        "Route",
        name,
        {
            "matches": [{"path": {"type": "Prefix", "value": path}}],
            "backends": [{"kind": "Upstream", "name": target}],
            **spec,
        },
    )


def static_envoy(
    port: int, routes: list[dict[str, object]], *, upstream_port: int | None = None
) -> dict[str, object]:
    """A bare Envoy: one listener, a route list, the router filter, nothing else."""
    clusters = []
    if upstream_port is not None:
        endpoint = {"address": socket_address(upstream_port)}
        clusters.append(
            {
                "name": "up",
                "type": "STATIC",
                "connect_timeout": "5s",
                "load_assignment": {
                    "cluster_name": "up",
                    "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}],
                },
            }
        )
    manager = {
        "@type": HCM,
        "stat_prefix": "bare",
        "route_config": {
            "name": "routes",
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}],
        },
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": ROUTER}}],
    }
    chain = {"filters": [{"name": "envoy.http_connection_manager", "typed_config": manager}]}
    listener = {"name": "bare", "address": socket_address(port), "filter_chains": [chain]}
    return {"static_resources": {"listeners": [listener], "clusters": clusters}}


def socket_address(port: int) -> dict[str, object]:
    """A loopback address in Envoy's form."""
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def answering_envoy(port: int) -> dict[str, object]:
    """The upstream of all benchmarks: an Envoy that answers ``ok`` itself."""
    answer = {"status": 200, "body": {"inline_string": "ok"}}
    return static_envoy(port, [{"match": {"prefix": "/"}, "direct_response": answer}])
