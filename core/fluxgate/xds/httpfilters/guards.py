"""The slot for what is asked of a request before any credential of the gateway's own is looked at.

Address, certificate, origin, login and password share one slot, so that a route without any of them
pays for one filter that is off. In the slot they run in the order of :func:`_guards`.
"""

from __future__ import annotations

from collections.abc import Iterator

from envoy.config.route.v3 import route_components_pb2 as route_v3
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_v3,
)
from google.protobuf.message import Message

from fluxgate.ir import Gateway, HTTPRoute
from fluxgate.ir.policies.basic_auth import BasicAuth
from fluxgate.ir.policies.csrf import Csrf
from fluxgate.ir.policies.oidc import Oidc
from fluxgate.snapshot import SnapshotResource
from fluxgate.xds import names
from fluxgate.xds.httpfilters.basic_auth import build_basic_auth, hides_password
from fluxgate.xds.httpfilters.connection_rules import build_connection_rules
from fluxgate.xds.httpfilters.credential_classes import may_be_missing
from fluxgate.xds.httpfilters.csrf import build_csrf
from fluxgate.xds.httpfilters.oidc import build_login, build_login_secrets
from fluxgate.xds.httpfilters.slot import fill, slot


class Guards:
    """The slot's three hooks; see :class:`fluxgate.xds.httpfilters.base.HTTPFilter`."""

    name: str = names.GUARDS_SLOT

    def http_filter(self, gateway: Gateway) -> hcm_v3.HttpFilter | None:
        """The empty slot."""
        del gateway
        return slot(self.name)

    def patch_route(self, route: HTTPRoute, message: route_v3.Route) -> None:
        """Fill the slot with what the route asks."""
        if not route.policies:
            return
        for name, config in _guards(route):
            fill(message, self.name, name, config)
        users = route.policy(BasicAuth)
        if users is not None and hides_password(route, users):
            message.request_headers_to_remove.append("authorization")

    def resources(self, gateway: Gateway) -> tuple[SnapshotResource, ...]:
        """The secrets of logins."""
        return build_login_secrets(gateway)


def _guards(route: HTTPRoute) -> Iterator[tuple[str, Message]]:
    if (rules := build_connection_rules(route)) is not None:
        yield names.CONNECTION_RULES_FILTER, rules
    if (csrf := route.policy(Csrf)) is not None:
        # whoever is logged in: a change that another site caused
        yield "envoy.filters.http.csrf", build_csrf(csrf)
    if (login := route.policy(Oidc)) is not None:
        # while keys and tokens still stand in their headers: who brings one need not log in
        yield names.OIDC_FILTER, build_login(route, login)
    if (users := route.policy(BasicAuth)) is not None:
        optional = may_be_missing(route, "Basic")
        yield names.BASIC_AUTH_FILTER, build_basic_auth(users, optional=optional)
