"""The nodes, as far as a caller sees the gateways they belong to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from fluxgate.ports import ControlPlane, FleetNode
from fluxgate_admin.principal import Principal


class Fleet:
    """Reads the nodes of every replica."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane

    def nodes(self, principal: Principal, gateway: str = "") -> Sequence[FleetNode]:
        """Nodes by gateway and id, of one gateway or of all the caller sees.

        A gateway is called by its GatewayConfig, in the namespace ``default`` without it, whatever its nodes
        ask for: those of a folder ask for the one that was chosen.
        """
        wanted = gateway.removeprefix("default/")
        found = [each for each in self._visible(principal) if wanted in ("", each.gateway)]
        return sorted(found, key=lambda each: (each.gateway, each.id))

    def _visible(self, principal: Principal) -> Iterator[FleetNode]:
        gateways = self._plane.gateways()
        for each in self._plane.nodes():
            serves = gateways.get(each.gateway)
            if serves is None:
                if principal.namespaces is None:
                    yield each
            elif principal.sees(serves.origin.namespace):
                yield replace(each, gateway=serves.name)
