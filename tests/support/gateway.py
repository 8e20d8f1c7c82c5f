"""Gateways for tests: short ways to write the IR, and a real Envoy that serves one.

The Envoy runs on :func:`fluxgate.xds.static.static_bootstrap` of the very snapshot that
the xDS server would send, so these tests cover the data plane without a control plane.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Protocol, Self

from envoy.config.bootstrap.v3 import bootstrap_pb2 as bootstrap_v3
from envoy.extensions.network.dns_resolver.cares.v3 import (
    cares_dns_resolver_pb2 as cares_v3,
)

from fluxgate.ir import (
    ApiKeyIR,
    ApiKeyTable,
    Cluster,
    EndpointIR,
    Forward,
    Gateway,
    HTTPRoute,
    ListenerIR,
    PathKind,
    PathMatch,
    RouteAction,
    RouteMatch,
    RouteTable,
    VirtualHost,
    WeightedCluster,
)
from fluxgate.resources import ObjectRef
from fluxgate.xds.build import build_snapshot
from fluxgate.xds.locality import set_zone
from fluxgate.xds.static import static_bootstrap
from support.client import HeaderPairs, Response, request
from support.envoy import EnvoyProcess

ORIGIN = ObjectRef("GatewayConfig", "default", "main")
LISTENER = ListenerIR("http", "127.0.0.1", 8080, "main")
PREFIXES = ("flc_anon_", "flc_service_", "flx_live_", "flx_test_")


class Address(Protocol):
    """Anything that listens: an upstream of :mod:`support.upstream`."""

    host: str

    @property
    def port(self) -> int:
        """The port."""
        ...


def cluster(name: str, *upstreams: Address, **fields: Any) -> Cluster:
    """A cluster of these upstreams; ``endpoints=`` gives them in full instead."""
    endpoints = tuple(EndpointIR(each.host, each.port) for each in upstreams)
    return Cluster(
        **{
            "name": name,
            "eds_name": f"{name}/endpoints",
            "origins": (ObjectRef("Upstream", "default", name),),
            "endpoints": endpoints,
            **fields,
        }
    )


def forward(*clusters: str, **fields: Any) -> Forward:
    """A forward to one cluster, or in equal shares to several."""
    return Forward(tuple(WeightedCluster(name, 1) for name in clusters), **fields)


def route(path: str, action: RouteAction, **fields: Any) -> HTTPRoute:
    """A route for a path prefix; ``match=`` replaces the match."""
    name = path.strip("/").replace("/", "-") or "root"
    return HTTPRoute(
        **{
            "name": f"route/default/{name}/0",
            "origin": ObjectRef("Route", "default", name),
            "match": RouteMatch(PathMatch(PathKind.PREFIX, path)),
            "action": action,
            **fields,
        }
    )


def gateway(
    routes: Sequence[HTTPRoute] = (),
    clusters: Sequence[Cluster] = (),
    *,
    keys: Iterable[ApiKeyIR] = (),
    **fields: Any,
) -> Gateway:
    """A gateway with one listener ``http`` whose routes serve every host."""
    table = RouteTable("main", (VirtualHost("*", tuple(routes)),))
    return Gateway(
        **{
            "name": "main",
            "origin": ORIGIN,
            "listeners": (LISTENER,),
            "route_tables": (table,),
            "clusters": tuple(clusters),
            "api_keys": ApiKeyTable(PREFIXES, tuple(sorted(keys, key=lambda key: key.sha256))),
            "plans": (),
            **fields,
        }
    )


def simple(upstream: Address, **fields: Any) -> Gateway:
    """A gateway that sends everything to one upstream."""
    return gateway((route("/", forward("up")),), (cluster("up", upstream),), **fields)


class GatewayEnvoy:
    """The real Envoy serving a :class:`Gateway`."""

    def __init__(
        self,
        served: Gateway,
        *,
        concurrency: int = 1,
        runtime: Mapping[str, int] | None = None,
        zone: str = "",
        resolver: Address | None = None,
    ) -> None:
        self.gateway = replace(served)
        bootstrap = static_bootstrap(build_snapshot(served))
        set_zone(bootstrap, zone)
        if resolver is not None:
            _set_resolver(bootstrap, resolver)
        if runtime:
            bootstrap.layered_runtime.layers.add(name="test").static_layer.update(runtime)
        self.envoy = EnvoyProcess(bootstrap, concurrency=concurrency)

    def __enter__(self) -> Self:
        self.envoy.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.envoy.__exit__(kind, error, traceback)

    @property
    def port(self) -> int:
        """The port of the listener ``http``."""
        return self.envoy.port("http")

    def get(self, path: str = "/", headers: HeaderPairs = (), **fields: Any) -> Response:
        """One request; GET unless ``method=`` says otherwise."""
        return request(self.port, path, headers=headers, **fields)


def _set_resolver(bootstrap: bootstrap_v3.Bootstrap, resolver: Address) -> None:
    """Let this Envoy resolve every name at ``resolver``, and nowhere else."""
    cares = cares_v3.CaresDnsResolverConfig()
    address = cares.resolvers.add().socket_address
    address.address, address.port_value = resolver.host, resolver.port
    cares.dns_resolver_options.no_default_search_domain = True
    bootstrap.typed_dns_resolver_config.name = "envoy.network.dns_resolver.cares"
    bootstrap.typed_dns_resolver_config.typed_config.Pack(cares)
