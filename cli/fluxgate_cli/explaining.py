"""``explain`` for a whole gateway: pick the listener, follow the request, say what happens to it."""

from __future__ import annotations

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
from fluxgate.routing.explain import explain, request_of
from fluxgate.translator.plugins import POLICY_TYPES
from fluxgate_cli.control.models import CandidateView, ExplainReply, ExplainRequest, PolicyView
from fluxgate_cli.errors import UsageError

ANY_HOST = "localhost"
"""The host of a request whose URL is only a path."""


def explain_request(gateway: Gateway, request: ExplainRequest) -> ExplainReply:
    """Which route of ``gateway`` takes ``request``.

    Raises :class:`UsageError` when the URL cannot be read or the gateway has no listener.
    """
    url = f"http://{ANY_HOST}{request.url}" if request.url.startswith("/") else request.url
    listener = _listener(gateway, url)
    table = _table(gateway, listener)
    try:
        found = explain(
            table, request_of(request.method, url, request.headers), gateway.api_keys.prefixes
        )
    except ValueError as error:
        raise UsageError(str(error)) from None
    route = _route(table, found.virtual_host, found.route)
    return ExplainReply(
        gateway=gateway.name,
        listener=listener.name,
        method=found.method,
        host=found.host,
        path=found.path,
        query=found.query,
        credential=found.credential,
        virtual_host=found.virtual_host,
        virtual_host_reason=found.virtual_host_reason,
        route=found.route,
        object=str(found.origin or ""),
        reason=found.reason,
        action=_action(route) if route else "",
        policies=_policies(route) if route else (),
        chain=_chain(route) if route else (),
        tried=tuple(
            CandidateView(
                route=each.route,
                object=str(each.origin),
                condition=each.condition,
                reason=each.reason,
            )
            for each in found.tried
        ),
    )


def _listener(gateway: Gateway, url: str) -> ListenerIR:
    """The listener on the URL's port; without a port, or with a port of none of them, the first."""
    if not gateway.listeners:
        raise UsageError(f"the gateway {gateway.name} has no listener")
    try:
        port = urlsplit(url).port
    except ValueError as error:
        raise UsageError(f"{url!r} is no URL: {error}") from None
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


def _chain(route: HTTPRoute) -> tuple[PolicyView, ...]:
    """The policies in force, in the order in which Envoy runs them."""
    order = {each.name: place for place, each in enumerate(POLICY_TYPES)}

    def place(link: PolicyOrigin) -> int:
        return order.get(link.type, len(order))

    return tuple(
        PolicyView(
            type=link.type,
            object=str(link.source),
            appended_to=tuple(map(str, link.appended_to)),
        )
        for link in sorted(route.chain, key=place)
    )
