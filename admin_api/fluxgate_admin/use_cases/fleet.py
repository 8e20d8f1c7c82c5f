"""The nodes, as far as a caller sees the gateways they belong to."""

from __future__ import annotations

from collections.abc import Sequence

from fluxgate.ports import ControlPlane, FleetNode
from fluxgate_admin.principal import Principal


class Fleet:
    """Reads the nodes of every replica."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane

    def nodes(self, principal: Principal, gateway: str = "") -> Sequence[FleetNode]:
        """Nodes by gateway and id, of one gateway or of all the caller sees."""
        gateways = self._plane.gateways()
        return [
            each
            for each in self._plane.nodes()
            if gateway in ("", each.gateway)
            and (
                principal.namespaces is None
                or (
                    each.gateway in gateways
                    and principal.sees(gateways[each.gateway].origin.namespace)
                )
            )
        ]
