"""One route of the IR as one or a few ``envoy.config.route.v3.Route`` messages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from envoy.config.route.v3 import route_components_pb2 as route_v3

from fluxgate.ir import (
    DirectResponse,
    Forward,
    HTTPRoute,
    Redirect,
    RouteAction,
    ValueMatch,
    WeightedCluster,
)
from fluxgate.xds.httpfilters.base import HTTPFilter
from fluxgate.xds.route_action import (
    add_answer_headers,
    build_direct_response,
    build_forward,
    build_redirect,
)
from fluxgate.xds.route_match import build_matches, header_matcher


def build_route(
    route: HTTPRoute, prefixes: tuple[str, ...], filters: Sequence[HTTPFilter]
) -> tuple[route_v3.Route, ...]:
    """The Envoy routes of ``route``, in the order they must stand, all with its name.

    There is one, unless it is for one class of credential or has overrides: Envoy has no "or"
    between headers. ``prefixes`` are those of API keys, ``filters`` patch each message. Messages
    are kept small, because Envoy's time to take an update grows with their bytes. Raises
    ``ValueError`` for a forward without any weighted destination.
    """
    messages = []
    for match in build_matches(route, prefixes):
        for more, action in _alternatives(route.action):
            message = route_v3.Route(name=route.name, match=match)
            message.match.headers.extend(header_matcher(each) for each in more)
            _set_action(message, route, action)
            for each in filters:
                each.patch_route(route, message)
            messages.append(message)
    return tuple(messages)


def _alternatives(
    action: RouteAction,
) -> Iterator[tuple[tuple[ValueMatch, ...], RouteAction]]:
    """What a route does, with the further conditions under which it does that; the last has none."""
    if isinstance(action, Forward):
        for each in action.overrides:
            chosen = (WeightedCluster(each.cluster, 1),)
            yield each.headers, replace(action, destinations=chosen)
    yield (), action


def clusters_of(route: HTTPRoute) -> tuple[str, ...]:
    """The clusters ``route`` sends requests or copies to, and those that its policies call."""
    if not isinstance(route.action, Forward):
        return route.clusters
    action = route.action
    sent = [each.cluster for each in action.destinations if each.weight > 0]
    chosen = [each.cluster for each in action.overrides]
    mirrored = [each.cluster for each in action.mirrors]
    return (*sent, *chosen, *mirrored, *route.clusters)


def _set_action(message: route_v3.Route, route: HTTPRoute, action: RouteAction) -> None:
    if isinstance(action, DirectResponse):
        message.direct_response.CopyFrom(build_direct_response(action))
        add_answer_headers(message, action)
    elif isinstance(action, Redirect):
        message.redirect.CopyFrom(build_redirect(route.match.path, action))
    else:
        message.route.CopyFrom(build_forward(route.match.path, action))
