"""Listeners and routes for gRPC clients that talk to upstreams without a proxy (``xds:///host``).

Such a client fetches the Listener named after its target, that one's RouteConfiguration,
and the clusters and endpoints Envoy uses too. It enforces nothing, so that what Envoy
enforces must not be reachable by it: a route that asks for more than forwarding, or that
gRPC cannot express, becomes a route without forwarding at the same place. Calls that it
matches fail in the client and never fall through to a later route.

What gRPC reads: gRFC A27 (resources, listener names), A28 (matches, weights, actions), A31
(timeouts), A36 (``non_forwarding_action``), A42 (ring hash), A44 (retries), A63 (string
matchers); https://github.com/grpc/proposal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, fields

from envoy.config.listener.v3 import listener_pb2 as listener_v3
from envoy.config.route.v3 import route_components_pb2 as route_v3
from envoy.config.route.v3 import route_pb2 as route_configuration_v3
from envoy.extensions.filters.http.router.v3 import router_pb2 as router_v3
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_v3,
)

from fluxgate.ir import (
    Cluster,
    Forward,
    Gateway,
    HTTPRoute,
    ListenerIR,
    PathKind,
    PathMatch,
    RetryPolicy,
    ValueKind,
    VirtualHost,
)
from fluxgate.routing.path import normalise_prefix, template_regex
from fluxgate.snapshot import SnapshotResource
from fluxgate.xds import typeurl
from fluxgate.xds.proto import ads, any_of, duration, payload_of, uint32
from fluxgate.xds.route import clusters_of
from fluxgate.xds.route_match import header_matcher

_HARMLESS = {"name", "origin", "match", "action", "priority", "created", "cors", "realtime"}
"""Fields of a route that ask nothing of the proxy; CORS is for browsers only."""
_EXPRESSED = {
    "destinations",
    "timeout_ms",
    "idle_timeout_ms",
    "retry",
    "hash_policy",
    "websocket",
}
"""Fields of a forward that gRPC has, or that its clients have no use for."""
_BALANCERS = {"RoundRobin", "LeastRequest", "RingHash"}
_RETRIABLE = {
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
}


def build_proxyless(gateway: Gateway) -> tuple[SnapshotResource, ...]:
    """A Listener for every name of every exact host, and a RouteConfiguration for every host.

    A host is served under its bare name, by its first listener, and as ``host:port`` for every
    listener's port. Listeners that ask for client certificates are left out: their hosts need
    authentication. All are ``on_demand``, so Envoy never gets them.
    """
    usable = frozenset(cluster.name for cluster in gateway.clusters if speaks_grpc(cluster))
    tables = {table.name: table for table in gateway.route_tables}
    names: dict[str, str] = {}
    made: list[SnapshotResource] = []
    for listener in sorted(gateway.listeners, key=lambda each: (each.name, each.port)):
        if listener.tls is not None and listener.tls.client_ca:
            continue
        table = tables.get(listener.route_table)
        for host in table.virtual_hosts if table is not None else ():
            if "*" in host.host or not _offers(host, usable):
                continue
            route_name = f"grpc/{listener.route_table}/{host.host}"
            for name in _names(host.host, listener):
                names.setdefault(name, route_name)
            made.append(_routes(route_name, host, usable))
    unique = {each.name: each for each in made}
    return (*(_listener(name, table) for name, table in sorted(names.items())), *unique.values())


def speaks_grpc(cluster: Cluster) -> bool:
    """Whether a gRPC client can use ``cluster``: HTTP/2 in plain text, by EDS, a known balancer."""
    return (
        not cluster.dns
        and cluster.protocol in ("HTTP2", "GRPC")
        and cluster.tls is None
        and cluster.load_balancer.policy in _BALANCERS
        and not any(each.socket for each in cluster.endpoints)
    )


def _names(host: str, listener: ListenerIR) -> tuple[str, str]:
    return host, f"{host}:{listener.port}"


def _offers(host: VirtualHost, usable: frozenset[str]) -> bool:
    return any(_forwards(route, usable) for route in host.routes)


def _forwards(route: HTTPRoute, usable: frozenset[str]) -> bool:
    """Whether a client without a proxy may and can do what ``route`` does."""
    action = route.action
    return (
        route.match.credential is None
        and all(_is_default(route, each.name) for each in fields(route))
        and isinstance(action, Forward)
        and all(_is_default(action, each.name) for each in fields(action))
        and usable.issuperset(clusters_of(route))
    )


def _is_default(said: HTTPRoute | Forward, name: str) -> bool:
    """Whether a policy is not set; fields unknown here count too, so new policies are closed."""
    if name in (_HARMLESS if isinstance(said, HTTPRoute) else _EXPRESSED):
        return True
    field = next(each for each in fields(said) if each.name == name)
    default = field.default_factory() if field.default_factory is not MISSING else field.default
    return bool(getattr(said, name) == default)


def _listener(name: str, route_name: str) -> SnapshotResource:
    manager = hcm_v3.HttpConnectionManager(
        rds=hcm_v3.Rds(config_source=ads(), route_config_name=route_name)
    )
    manager.http_filters.add(name="router", typed_config=any_of(router_v3.Router()))
    message = listener_v3.Listener(name=name)
    message.api_listener.api_listener.CopyFrom(any_of(manager))
    return SnapshotResource.of(
        typeurl.LISTENER,
        name,
        payload_of(message),
        references=[(typeurl.ROUTE, route_name)],
        on_demand=True,
    )


def _routes(name: str, host: VirtualHost, usable: frozenset[str]) -> SnapshotResource:
    message = route_configuration_v3.RouteConfiguration(name=name)
    virtual_host = message.virtual_hosts.add(name=host.host, domains=["*"])
    clusters: set[str] = set()
    for route in host.routes:
        forwards = _forwards(route, usable)
        if forwards:
            clusters.update(clusters_of(route))
        for match in _matches(route):
            each = virtual_host.routes.add(name=route.name, match=match)
            if forwards and isinstance(route.action, Forward):
                _forward(each.route, route.action)
            else:
                each.non_forwarding_action.SetInParent()
    return SnapshotResource.of(
        typeurl.ROUTE,
        name,
        payload_of(message),
        references=[(typeurl.CLUSTER, each) for each in clusters],
        origins=dict.fromkeys(route.origin for route in host.routes),
        on_demand=True,
    )


def _matches(route: HTTPRoute) -> Iterator[route_v3.RouteMatch]:
    """What a call must be like: always a POST, its path without a query.

    The credential class is left out: such a route never forwards, whoever calls.
    """
    match = route.match
    if match.methods and "POST" not in match.methods:
        return
    if any(each.kind is not ValueKind.ABSENT for each in match.query):
        return
    for message in _paths(match.path):
        message.headers.extend(header_matcher(each) for each in match.headers)
        yield message


def _paths(path: PathMatch) -> tuple[route_v3.RouteMatch, ...]:
    match path.kind:
        case PathKind.EXACT:
            return (route_v3.RouteMatch(path=path.value),)
        case PathKind.PREFIX:
            prefix = normalise_prefix(path.value)
            if prefix == "/":
                return (route_v3.RouteMatch(prefix=""),)
            # gRPC has no prefix of whole segments
            return route_v3.RouteMatch(path=prefix), route_v3.RouteMatch(prefix=f"{prefix}/")
        case PathKind.TEMPLATE | PathKind.REGEX:
            template = path.kind is PathKind.TEMPLATE
            message = route_v3.RouteMatch()
            message.safe_regex.regex = template_regex(path.value) if template else path.value
            return (message,)


def _forward(message: route_v3.RouteAction, action: Forward) -> None:
    weighted = [each for each in action.destinations if each.weight > 0]
    if len(weighted) == 1:
        message.cluster = weighted[0].cluster
    else:
        for each in weighted:
            message.weighted_clusters.clusters.add(name=each.cluster, weight=uint32(each.weight))
    if action.timeout_ms:
        limit = duration(action.timeout_ms)
        message.max_stream_duration.max_stream_duration.CopyFrom(limit)
    if action.retry is not None and action.retry.attempts:
        _retry(message, action.retry)
    if action.hash_policy is not None and action.hash_policy.header:
        message.hash_policy.add().header.header_name = action.hash_policy.header


def _retry(message: route_v3.RouteAction, retry: RetryPolicy) -> None:
    causes = [cause for cause in retry.retry_on if cause in _RETRIABLE]
    if not causes:
        return
    message.retry_policy.retry_on = ",".join(causes)
    message.retry_policy.num_retries.value = retry.attempts
    message.retry_policy.retry_back_off.base_interval.CopyFrom(
        duration(max(retry.back_off_base_ms, 1))
    )
    longest = max(retry.back_off_max_ms, retry.back_off_base_ms, 1)
    message.retry_policy.retry_back_off.max_interval.CopyFrom(duration(longest))
