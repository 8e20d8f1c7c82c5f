"""Envoy's way through a RouteConfiguration's virtual hosts and matcher tree, in Python.

The conditions of a single route are left to the reference matcher; what is evaluated here is
the encoding: which routes the message offers to a request, in which order.
"""

from __future__ import annotations

from envoy.config.route.v3 import route_components_pb2 as route_v3
from envoy.config.route.v3 import route_pb2 as route_configuration_v3
from xds.type.matcher.v3 import matcher_pb2 as matcher_v3

from fluxgate.ir import HTTPRoute
from fluxgate.routing.hosts import normalise_host
from fluxgate.routing.reference import Request, mismatch


def answer(
    payload: bytes, by_name: dict[str, HTTPRoute], request: Request, prefixes: tuple[str, ...]
) -> str:
    """The name of the route that takes ``request``, or an empty string."""
    message = route_configuration_v3.RouteConfiguration.FromString(payload)
    virtual_host = _virtual_host(message, normalise_host(request.host))
    if virtual_host is None:
        return ""
    for name in _offered(virtual_host, request):
        if mismatch(by_name[name], request, prefixes) is None:
            return name
    return ""


def _virtual_host(
    message: route_configuration_v3.RouteConfiguration, host: str
) -> route_v3.VirtualHost | None:
    by_domain = {domain: each for each in message.virtual_hosts for domain in each.domains}
    if host in by_domain:
        return by_domain[host]
    for cut in range(1, len(host)):
        if found := by_domain.get("*" + host[cut:]):
            return found
    return by_domain.get("*")


def _offered(virtual_host: route_v3.VirtualHost, request: Request) -> list[str]:
    if not virtual_host.HasField("matcher"):
        return [route.name for route in virtual_host.routes]
    path = f"{request.path}?{request.query}" if request.query else request.path
    prefix_map = virtual_host.matcher.matcher_tree.prefix_match_map.map
    keys = [key for key in prefix_map if path.startswith(key)]
    if keys:
        return _routes(prefix_map[max(keys, key=len)])
    if virtual_host.matcher.HasField("on_no_match"):
        return _routes(virtual_host.matcher.on_no_match)
    return []


def _routes(on_match: matcher_v3.Matcher.OnMatch) -> list[str]:
    routes = route_v3.RouteList()
    assert on_match.action.typed_config.Unpack(routes)
    return [route.name for route in routes.routes]
