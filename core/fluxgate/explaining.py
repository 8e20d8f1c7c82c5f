"""Which way a request would take through a whole gateway, and what would happen to it. No traffic.

Picks the listener, follows the request through its route table
(:mod:`fluxgate.routing.explain`), and says what the route does and which objects say so.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from fluxgate.ir import (
    DirectResponse,
    Forward,
    Gateway,
    HTTPRoute,
    ListenerIR,
    Override,
    PolicyOrigin,
    Redirect,
    RouteTable,
)
from fluxgate.resources import ObjectRef
from fluxgate.routing.explain import Explanation, explain, request_of
from fluxgate.translator.plugins import POLICY_TYPES

ANY_HOST = "localhost"
"""The host of a request whose URL is only a path."""


@dataclass(frozen=True, slots=True)
class PolicyInForce:
    """One policy in force on a route, and the object that decides it.

    ``appended_to`` are the objects of wider scopes that it continues.
    """

    type: str
    source: ObjectRef
    appended_to: tuple[ObjectRef, ...] = ()


@dataclass(frozen=True, slots=True)
class GatewayExplanation:
    """The way of one request: listener, route, and what holds on it.

    ``action`` is empty when no route takes the request. ``policies`` says in words what holds on
    the route, ``chain`` which objects say so, in Envoy's order.
    """

    gateway: str
    listener: str
    way: Explanation
    action: str = ""
    policies: tuple[str, ...] = ()
    chain: tuple[PolicyInForce, ...] = ()


def explain_in(
    gateway: Gateway, method: str, url: str, headers: tuple[tuple[str, str], ...] = ()
) -> GatewayExplanation:
    """Which route of ``gateway`` takes a request; ``url`` may be a path alone.

    Raises ``ValueError`` when the URL cannot be read or the gateway has no listener.
    """
    absolute = f"http://{ANY_HOST}{url}" if url.startswith("/") else url
    listener = _listener(gateway, absolute)
    table = _table(gateway, listener)
    way = explain(table, request_of(method, absolute, headers), gateway.api_keys.prefixes)
    route = _route(table, way.virtual_host, way.route)
    if route is None:
        return GatewayExplanation(gateway.name, listener.name, way)
    return GatewayExplanation(
        gateway.name, listener.name, way, _action(route), _policies(route), _chain(route)
    )


def _listener(gateway: Gateway, url: str) -> ListenerIR:
    """The listener on the URL's port; without a port, or with a port of none of them, the first."""
    if not gateway.listeners:
        raise ValueError(f"the gateway {gateway.name} has no listener")
    try:
        port = urlsplit(url).port
    except ValueError as error:
        raise ValueError(f"{url!r} is no URL: {error}") from None
    named = (each for each in gateway.listeners if each.port == port)
    return next(named, gateway.listeners[0])


def _table(gateway: Gateway, listener: ListenerIR) -> RouteTable:
    tables = {table.name: table for table in gateway.route_tables}
    return tables.get(listener.route_table, RouteTable(listener.route_table, ()))


def _route(table: RouteTable, host: str, name: str) -> HTTPRoute | None:
    return next(
        (
            route
            for virtual_host in table.virtual_hosts
            if virtual_host.host == host
            for route in virtual_host.routes
            if route.name == name
        ),
        None,
    )


def _action(route: HTTPRoute) -> str:
    match route.action:
        case DirectResponse(status=status, message=message):
            return f"answers {status}" + (f": {message}" if message else "")
        case Redirect(status=status):
            parts = (route.action.scheme, route.action.host, route.action.path)
            where = ", ".join(each for each in parts if each) or route.action.prefix
            return f"redirects with {status} to {where}"
        case Forward(destinations=destinations) if len(destinations) == 1:
            return f"forwards to {destinations[0].cluster}"
        case Forward(destinations=destinations):
            total = sum(each.weight for each in destinations) or 1
            shares = (f"{each.cluster} ({100 * each.weight / total:g} %)" for each in destinations)
            return f"forwards to {', '.join(shares)}"


def _policies(route: HTTPRoute) -> tuple[str, ...]:
    found: list[str] = []
    if (auth := route.key_auth) is not None:
        found.append("API key required" if auth.required else "API key optional")
        if auth.scopes:
            found.append(f"scopes {', '.join(auth.scopes)}")
        if auth.audiences:
            found.append(f"audiences {', '.join(auth.audiences)}")
    if route.plan:
        found.append(f"rate limit of plan {route.plan}")
    if route.cors is not None:
        found.append("CORS")
    if isinstance(route.action, Forward):
        forward = route.action
        found.append(f"timeout {forward.timeout_ms} ms" if forward.timeout_ms else "no timeout")
        if forward.retry is not None and forward.retry.attempts:
            found.append(f"{forward.retry.attempts} retries")
        found += [f"{each.percent:g} % mirrored to {each.cluster}" for each in forward.mirrors]
        found += [_override(each) for each in forward.overrides]
    return tuple(found)


def _override(override: Override) -> str:
    wanted = ", ".join(f"{each.name} {each.value or 'present'}" for each in override.headers)
    return f"{wanted}: to {override.cluster}"


def _chain(route: HTTPRoute) -> tuple[PolicyInForce, ...]:
    """The policies in force, in the order in which Envoy runs them."""
    order = {each.name: place for place, each in enumerate(POLICY_TYPES)}

    def place(link: PolicyOrigin) -> int:
        return order.get(link.type, len(order))

    return tuple(
        PolicyInForce(link.type, link.source, tuple(link.appended_to))
        for link in sorted(route.chain, key=place)
    )
