"""Every pool in the words of the port; one that did not change costs a look, no more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fluxgate.ir import Cluster, Gateway, Health
from fluxgate.ports import PoolState, TargetState
from fluxgate.ports.plane import TargetHealth
from fluxgate.resources import ObjectRef
from fluxgate_operator.health import HealthBook, PoolHealth, pools_of
from fluxgate_operator.health.book import NodeKey
from fluxgate_operator.health.readings import Ailing

_KINDS = {"upstream": "Upstream", "sidecar": "Upstream", "service": "Service", "backend": "Backend"}


class PoolBook:
    """Remembers what it said as long as neither clusters nor nodes say otherwise."""

    def __init__(self, health: HealthBook) -> None:
        self._health = health
        self._known: dict[str, tuple[tuple[Cluster, ...], Mapping[NodeKey, Ailing]]] = {}
        self._said: dict[str, tuple[PoolState, ...]] = {}

    def pools(self, gateways: Mapping[str, Gateway]) -> tuple[PoolState, ...]:
        """Every pool of every gateway, in the order of names."""
        everywhere = self._health.everywhere()
        for key in self._known.keys() - gateways.keys():
            del self._known[key], self._said[key]
        for key, gateway in gateways.items():
            of_gateway = {node: said for node, said in everywhere.items() if node[0] == key}
            before = self._known.get(key)
            if before is None or before[0] is not gateway.clusters or before[1] != of_gateway:
                self._known[key] = (gateway.clusters, of_gateway)
                found = pools_of({key: gateway}, of_gateway)
                self._said[key] = tuple(self._states(found, self._said.get(key, ())))
        if len(self._said) == 1:
            return next(iter(self._said.values()))
        return tuple(each for key in sorted(self._said) for each in self._said[key])

    @staticmethod
    def _states(found: Iterable[PoolHealth], before: Iterable[PoolState]) -> Iterable[PoolState]:
        """Equal pools stay the same object, so that callers may compare identities."""
        known = {each.pool: each for each in before}
        for each in found:
            now = state_of(each)
            yield old if (old := known.get(each.pool)) == now else now


def state_of(pool: PoolHealth) -> PoolState:
    """One pool in the words of the port."""
    targets = tuple(
        TargetState(
            each.address,
            TargetHealth(pool.state_of(each)),
            (*(() if each.by_hand is Health.AUTO else ("ByHand",)), *map(str, each.ailments)),
            tuple(node for node, _ in each.ailing),
        )
        for each in pool.targets
    )
    return PoolState(pool.gateway, pool.pool, object_of(pool.pool), targets)


def object_of(pool: str) -> ObjectRef | None:
    """The object a pool is made from, by its name; None for that of a URL."""
    prefix, _, rest = pool.partition("/")
    kind = _KINDS.get(prefix)
    if kind is None:
        return None
    namespace, _, name = rest.partition("/")
    return ObjectRef(kind, namespace, name.rpartition(":")[0] if kind == "Service" else name)
