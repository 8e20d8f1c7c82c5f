"""What every Envoy says of the targets, its own and those of other replicas."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from fluxgate_operator.health.readings import Ailing
from fluxgate_operator.notify import Signal

NodeKey = tuple[str, str]
"""A node's gateway and id."""

NONE: Ailing = MappingProxyType({})


@dataclass(slots=True)
class HealthBook:
    """Which endpoints get no requests, node by node; ``changed`` only when something does.

    ``remotes`` gives what other replicas say of the nodes that are connected to them.
    """

    remotes: Callable[[], Mapping[NodeKey, Ailing]] = lambda: MappingProxyType({})
    changed: Signal = field(default_factory=Signal)
    _own: dict[NodeKey, Ailing] = field(default_factory=dict)

    def put(self, node: NodeKey, ailing: Ailing) -> None:
        """What a node says now, which is all of it."""
        if self._own.get(node) != ailing:
            self._own[node] = ailing
            self.changed.notify()

    def forget(self, node: NodeKey) -> None:
        """A node has gone, or does not answer."""
        if self._own.pop(node, None) is not None:
            self.changed.notify()

    @property
    def own(self) -> Mapping[NodeKey, Ailing]:
        """Nodes of this replica that have been asked, and what each says."""
        return MappingProxyType(dict(self._own))

    def everywhere(self) -> Mapping[NodeKey, Ailing]:
        """The nodes of every replica; ours count where a node is known twice."""
        return {**self.remotes(), **self._own}
