"""Keeps listeners out whose address another process already has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from fluxgate.ir import Gateway
from fluxgate_operator.listening import addresses_of, why_not

Address = tuple[str, int, bool]
"""Address, port, and whether it is UDP."""


class ListenerGuard:
    """Asks once for every address a gateway begins to use; ``why_not`` is injectable for tests.

    A listener whose address is taken is left out, and :attr:`problems` says why, until
    a later call finds the address free. One whose UDP port is taken serves no HTTP/3 meanwhile.
    """

    def __init__(self, ask: Callable[[str, int, bool], str] = why_not) -> None:
        self._ask = ask
        self._admitted: dict[str, frozenset[Address]] = {}
        self.problems: dict[Address, str] = {}

    def admit(self, gateways: Mapping[str, Gateway]) -> Mapping[str, Gateway]:
        """The gateways, without the listeners that cannot be bound."""
        self.problems = {}
        result = {}
        for name, gateway in gateways.items():
            known = self._admitted.get(name, frozenset())
            taken = {
                address: reason
                for address in addresses_of(gateway) - known
                if (reason := self._ask(*address))
            }
            self.problems.update(taken)
            self._admitted[name] = addresses_of(gateway) - taken.keys()
            result[name] = _without(gateway, taken) if taken else gateway
        for gone in self._admitted.keys() - gateways.keys():
            del self._admitted[gone]
        return result


def _without(gateway: Gateway, taken: Mapping[Address, str]) -> Gateway:
    kept = (each for each in gateway.listeners if (each.address, each.port, False) not in taken)
    listeners = (
        replace(each, http3=each.http3 and (each.address, each.port, True) not in taken)
        for each in kept
    )
    return replace(gateway, listeners=tuple(listeners))
