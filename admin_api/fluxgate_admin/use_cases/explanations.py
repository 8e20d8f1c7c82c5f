"""Which route a request would take, for one caller: routes of others are as if they were not there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from fluxgate.explaining import GatewayExplanation, explain_in
from fluxgate.ir import Gateway, RouteTable, VirtualHost
from fluxgate.ports import ControlPlane
from fluxgate_admin.errors import NotFoundError, UnprocessableError
from fluxgate_admin.principal import Principal


class Explanations:
    """Follows requests through what was translated last."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane

    def explain(
        self,
        principal: Principal,
        gateway: str,
        method: str,
        url: str,
        headers: tuple[tuple[str, str], ...],
    ) -> GatewayExplanation:
        """The way of a request through a gateway; empty for the only one there is.

        Raises ``NotFoundError``, and ``UnprocessableError`` for a URL that cannot be read.
        """
        found = _chosen(self._gateways(principal), gateway)
        try:
            return explain_in(found, method, url, headers)
        except ValueError as error:
            raise UnprocessableError(f"/url: {error}", error="invalid") from error

    def _gateways(self, principal: Principal) -> Mapping[str, Gateway]:
        """The gateways a caller may ask: those it sees, and those that serve its routes."""
        gateways = {each.name: each for each in self._plane.gateways().values()}
        if principal.namespaces is None:
            return gateways
        visible = {name: _visible(each, principal) for name, each in gateways.items()}
        return {
            name: each
            for name, each in visible.items()
            if principal.sees(each.origin.namespace)
            or any(table.virtual_hosts for table in each.route_tables)
        }


def _chosen(gateways: Mapping[str, Gateway], name: str) -> Gateway:
    if name := name.removeprefix("default/"):
        if name not in gateways:
            raise NotFoundError(f"There is no gateway {name}.")
        return gateways[name]
    if not gateways:
        raise NotFoundError("There is no gateway.")
    if len(gateways) > 1:
        raise UnprocessableError(
            f"Say which gateway: {', '.join(sorted(gateways))}.", error="ambiguous_gateway"
        )
    return next(iter(gateways.values()))


def _visible(gateway: Gateway, principal: Principal) -> Gateway:
    tables = tuple(_table(each, principal) for each in gateway.route_tables)
    return replace(gateway, route_tables=tables)


def _table(table: RouteTable, principal: Principal) -> RouteTable:
    hosts = []
    for host in table.virtual_hosts:
        routes = tuple(each for each in host.routes if principal.sees(each.origin.namespace))
        if routes:
            hosts.append(VirtualHost(host.host, routes))
    return replace(table, virtual_hosts=tuple(hosts))
