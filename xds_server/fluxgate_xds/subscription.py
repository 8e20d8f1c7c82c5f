"""What a client has asked for of one resource type: a value object.

The rules are those of the xDS protocol, "How the client specifies what
resources to return" and "Unsubscribing From Resources":
https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from fluxgate.snapshot import SnapshotResource
from fluxgate.xds import typeurl

WILDCARD = "*"

NAMED_TYPES = frozenset({typeurl.ENDPOINT, typeurl.SECRET, typeurl.EXTENSION, typeurl.ROUTE})
"""Types that clients ask for by name only: an empty first request asks for nothing."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """The names and the wildcard one client holds on one type of one stream.

    ``legacy`` is true while the client has never named anything: then an empty
    request means everything, for the types that have a wildcard.
    """

    wildcard: bool
    names: frozenset[str] = frozenset()
    legacy: bool = False

    @classmethod
    def first(cls, type_url: str, names: Iterable[str]) -> Subscription:
        """The subscription that the first request of a type makes, in either protocol."""
        asked = frozenset(names)
        if asked:
            return cls(wildcard=WILDCARD in asked, names=asked - {WILDCARD})
        legacy = type_url not in NAMED_TYPES
        return cls(wildcard=legacy, legacy=legacy)

    def replaced(self, names: Iterable[str]) -> Subscription:
        """After a state-of-the-world request, which lists every name it still wants."""
        asked = frozenset(names)
        if not asked and self.legacy:
            return self
        return Subscription(wildcard=WILDCARD in asked, names=asked - {WILDCARD})

    def updated(self, subscribe: Iterable[str], unsubscribe: Iterable[str]) -> Subscription:
        """After a delta request, which adds names and takes names away."""
        added, removed = frozenset(subscribe), frozenset(unsubscribe)
        wildcard = (self.wildcard or WILDCARD in added) and WILDCARD not in removed
        names = (self.names | added) - removed - {WILDCARD}
        return replace(
            self, wildcard=wildcard, names=names, legacy=self.legacy and not added and wildcard
        )

    def sharing(self, names: frozenset[str]) -> Subscription:
        """The same subscription with an equal set of names that others hold too."""
        return self if names is self.names else replace(self, names=names)

    def selects(self, resource: SnapshotResource) -> bool:
        """Whether the client shall get ``resource``: by name, or by wildcard unless on demand."""
        return resource.name in self.names or (self.wildcard and not resource.on_demand)

    def concerns(self, name: str) -> bool:
        """Whether a change of ``name`` may matter to the client."""
        return self.wildcard or name in self.names

    def selection(self, resources: Mapping[str, SnapshotResource]) -> dict[str, SnapshotResource]:
        """Those of ``resources`` (by name) that the client shall get."""
        if self.wildcard:
            return {name: each for name, each in resources.items() if self.selects(each)}
        return {name: resources[name] for name in sorted(self.names) if name in resources}
