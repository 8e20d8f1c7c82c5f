"""The real Envoy with the API key and plan filters, in front of an echo upstream.

The two filters, and the removal of forged identity headers in front of them, come from
the code under test; the filters' ECDS resources are read from
files that Envoy watches, so that these tests need no xDS server. :meth:`KeyGateway.update`
replaces the resources while Envoy runs.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from envoy.config.accesslog.v3 import accesslog_pb2 as accesslog_v3
from envoy.config.bootstrap.v3 import bootstrap_pb2 as bootstrap_v3
from envoy.config.core.v3 import extension_pb2 as extension_v3
from envoy.config.route.v3 import route_components_pb2 as route_v3
from envoy.extensions.access_loggers.stream.v3 import stream_pb2 as stream_v3
from envoy.extensions.filters.http.router.v3 import router_pb2 as router_v3
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_v3,
)
from envoy.service.discovery.v3 import discovery_pb2 as discovery_v3

from fluxgate.ir import (
    ApiKeyIR,
    ApiKeyTable,
    Forward,
    Gateway,
    HTTPRoute,
    KeyAuth,
    PathKind,
    PathMatch,
    PlanBucket,
    RouteMatch,
    WeightedCluster,
)
from fluxgate.resources import ObjectRef
from fluxgate.snapshot import SnapshotResource
from fluxgate.xds import names
from fluxgate.xds.httpfilters.api_key_auth import ApiKeyAuth
from fluxgate.xds.httpfilters.base import HTTPFilter
from fluxgate.xds.httpfilters.plan_limit import PlanLimit
from fluxgate.xds.listener import strip_identity
from support.client import HeaderPairs, Response, request
from support.envoy import EnvoyProcess
from support.upstream import EchoUpstream

PREFIXES = ("flc_anon_", "flc_service_", "flx_live_", "flx_test_", "sk_live_", "sk_test_")
FILTERS: tuple[HTTPFilter, ...] = (ApiKeyAuth(), PlanLimit())
ORIGIN = ObjectRef("GatewayConfig", "default", "main")


def api_key(key: str, key_id: str = "key-1", **fields: object) -> ApiKeyIR:
    """A key of the table, for the plain text ``key``."""
    digest = hashlib.sha256(key.encode()).hexdigest()
    origin = ObjectRef("ApiKey", "default", key_id)
    return ApiKeyIR(origin=origin, sha256=digest, key_id=key_id, **fields)  # type: ignore[arg-type]


def gateway(keys: Iterable[ApiKeyIR] = (), plans: Iterable[PlanBucket] = ()) -> Gateway:
    """A gateway with nothing but keys and plans."""
    table = ApiKeyTable(PREFIXES, tuple(sorted(keys, key=lambda key: key.sha256)))
    return Gateway(
        name="main",
        origin=ORIGIN,
        listeners=(),
        route_tables=(),
        clusters=(),
        api_keys=table,
        plans=tuple(plans),
    )


def route(
    path: str, auth: KeyAuth | None = None, *, plan: str = "", realtime: bool = False
) -> HTTPRoute:
    """A route for a path prefix to the echo upstream."""
    return HTTPRoute(
        name=f"route/default/{path}",
        origin=ObjectRef("Route", "default", path.strip("/") or "root"),
        match=RouteMatch(PathMatch(PathKind.PREFIX, path)),
        action=Forward((WeightedCluster("echo", 1),)),
        key_auth=auth,
        plan=plan,
        realtime=realtime,
    )


def resources(of: Gateway) -> tuple[SnapshotResource, ...]:
    """The ECDS resources of both filters."""
    return tuple(resource for each in FILTERS for resource in each.resources(of))


def route_message(of: HTTPRoute) -> route_v3.Route:
    """The Envoy route, patched by both filters."""
    message = route_v3.Route(name=of.name)
    message.match.prefix = of.match.path.value
    message.route.cluster = "echo"
    for each in FILTERS:
        each.patch_route(of, message)
    return message


def _access_log() -> accesslog_v3.AccessLog:
    config = stream_v3.StdoutAccessLog()
    fields = {"status": "%RESPONSE_CODE%", "caller": f"%DYNAMIC_METADATA({names.AUTH_METADATA})%"}
    config.log_format.json_format.update(fields)
    log = accesslog_v3.AccessLog(name="envoy.access_loggers.stdout")
    log.typed_config.Pack(config)
    return log


class KeyGateway:
    """Envoy with ``routes``, and the keys and plans of a :class:`Gateway`.

    ``upstream_port`` replaces the echo upstream by one of the caller's; ``access_log``
    writes what the filters say about a request to standard output.
    """

    def __init__(
        self,
        of: Gateway,
        routes: Sequence[HTTPRoute],
        *,
        concurrency: int = 1,
        trusted_hops: int = 0,
        address: str = "127.0.0.1",
        log_level: str = "warning",
        upstream_port: int = 0,
        access_log: bool = False,
    ) -> None:
        self._gateway = of
        self._routes = routes
        self._trusted_hops = trusted_hops
        self._address = address
        self._concurrency = concurrency
        self._log_level = log_level
        self._upstream_port = upstream_port
        self._access_log = access_log
        self.echo = EchoUpstream()

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="ecds-")
        self.echo.__enter__()
        try:
            self.update(self._gateway)
            self.envoy = EnvoyProcess(
                self._bootstrap(), concurrency=self._concurrency, log_level=self._log_level
            )
            self.envoy.__enter__()
        except BaseException:
            self.echo.__exit__(None, None, None)
            self._folder.cleanup()
            raise
        self.port = self.envoy.port("http")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.envoy.__exit__(kind, error, traceback)
        self.echo.__exit__(kind, error, traceback)
        self._folder.cleanup()

    def update(self, of: Gateway) -> None:
        """Write the ECDS resources of ``of``; Envoy takes them over when the file is replaced."""
        for resource in resources(of):
            self.write(resource.name, resource.payload)

    def write(self, name: str, payload: bytes) -> None:
        """Replace one ECDS resource."""
        response = discovery_v3.DiscoveryResponse(
            version_info=hashlib.sha256(payload).hexdigest()[:16]
        )
        response.resources.add().Pack(
            extension_v3.TypedExtensionConfig.FromString(payload), deterministic=True
        )
        path = self._file(name)
        fresh = path.with_suffix(".fresh")
        fresh.write_bytes(response.SerializeToString(deterministic=True))
        fresh.rename(path)

    def get(self, path: str = "/", headers: HeaderPairs = (), **options: object) -> Response:
        """One request."""
        return request(self.port, path, headers=headers, **options)  # type: ignore[arg-type]

    def key(self, key: str, path: str = "/", headers: HeaderPairs = ()) -> Response:
        """One request with ``key`` in the ``apikey`` header."""
        return self.get(path, [("apikey", key), *headers])

    def _file(self, name: str) -> Path:
        return Path(self._folder.name) / f"{name}.pb"

    def _filters(self) -> list[hcm_v3.HttpFilter]:
        filters = []
        for each in FILTERS:
            message = each.http_filter(self._gateway)
            assert message is not None
            source = message.config_discovery.config_source
            source.ClearField("ads")
            source.path_config_source.path = str(self._file(each.name))
            filters.append(message)
        router = hcm_v3.HttpFilter(name="envoy.filters.http.router")
        router.typed_config.Pack(router_v3.Router())
        return [*filters, router]

    def _bootstrap(self) -> bootstrap_v3.Bootstrap:
        manager = hcm_v3.HttpConnectionManager(
            stat_prefix="http",
            http_filters=self._filters(),
            use_remote_address={"value": True},
            xff_num_trusted_hops=self._trusted_hops,
            normalize_path={"value": True},
        )
        strip_identity(manager)
        if self._access_log:
            manager.access_log.append(_access_log())
        host = manager.route_config.virtual_hosts.add(name="all", domains=["*"])
        host.routes.extend(route_message(each) for each in self._routes)
        bootstrap = bootstrap_v3.Bootstrap(node={"id": "test", "cluster": "test"})
        listener = bootstrap.static_resources.listeners.add(name="http")
        listener.address.socket_address.address = self._address
        listener.address.socket_address.port_value = 0
        if self._address == "::":
            listener.address.socket_address.ipv4_compat = True
        chain = listener.filter_chains.add().filters.add(
            name="envoy.filters.network.http_connection_manager"
        )
        chain.typed_config.Pack(manager)
        cluster = bootstrap.static_resources.clusters.add(name="echo")
        cluster.load_assignment.cluster_name = "echo"
        endpoint = cluster.load_assignment.endpoints.add().lb_endpoints.add().endpoint
        endpoint.address.socket_address.address = "127.0.0.1"
        endpoint.address.socket_address.port_value = self._upstream_port or self.echo.port
        return bootstrap
