"""One route of the IR as one or a few ``envoy.config.route.v3.Route`` messages."""

from __future__ import annotations

from collections.abc import Sequence

from envoy.config.route.v3 import route_components_pb2 as route_v3

from fluxgate.ir import DirectResponse, Forward, HTTPRoute, Redirect
from fluxgate.xds.httpfilters.base import HTTPFilter
from fluxgate.xds.route_action import build_direct_response, build_forward, build_redirect
from fluxgate.xds.route_match import build_matches


def build_route(
    route: HTTPRoute, prefixes: tuple[str, ...], filters: Sequence[HTTPFilter]
) -> tuple[route_v3.Route, ...]:
    """The Envoy routes of ``route``, in the order they must stand, all with its name.

    There is one, unless it is for one class of credential: Envoy has no "or" between
    headers. ``prefixes`` are those of API keys, ``filters`` patch each message. Messages are
    kept small, because Envoy's time to take an update grows with their bytes. Raises
    ``ValueError`` for a forward without any weighted destination.
    """
    messages = []
    for match in build_matches(route, prefixes):
        message = route_v3.Route(name=route.name, match=match)
        _set_action(message, route)
        for each in filters:
            each.patch_route(route, message)
        messages.append(message)
    return tuple(messages)


def clusters_of(route: HTTPRoute) -> tuple[str, ...]:
    """The clusters ``route`` sends requests or copies to, and those that its policies call."""
    if not isinstance(route.action, Forward):
        return route.clusters
    mirrored = (route.action.mirror.cluster,) if route.action.mirror else ()
    sent = tuple(each.cluster for each in route.action.destinations if each.weight > 0)
    return sent + mirrored + route.clusters


def _set_action(message: route_v3.Route, route: HTTPRoute) -> None:
    if isinstance(route.action, DirectResponse):
        message.direct_response.CopyFrom(build_direct_response(route.action))
    elif isinstance(route.action, Redirect):
        message.redirect.CopyFrom(build_redirect(route.action))
    else:
        message.route.CopyFrom(build_forward(route.match.path, route.action))
