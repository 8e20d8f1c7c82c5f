"""How many keys a tenant may have: the oldest stay valid."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field

from fluxgate.ir import ApiKeyIR
from fluxgate.resources import ObjectRef
from fluxgate.translator.findings import Finding, Rank


@dataclass(frozen=True, slots=True)
class KeyFact:
    """One key: its entry in the table of every gateway that takes it."""

    ref: ObjectRef
    rank: Rank
    digest: str
    entries: dict[str, ApiKeyIR]
    findings: tuple[Finding, ...]
    used: frozenset[ObjectRef]
    tenant: str = ""
    most: int | None = None
    """How many keys its tenant may have; None for no bound."""

    @property
    def usable(self) -> bool:
        """Whether some gateway would take it."""
        return bool(self.entries)


@dataclass(slots=True)
class KeyBounds:
    """The usable keys of every tenant that has a bound, the oldest first.

    Keys that are revoked or wrong take no place. Expired ones do: translation knows no clock.
    """

    _keys: dict[str, list[tuple[Rank, ObjectRef]]] = field(default_factory=dict)

    def replace(self, before: KeyFact | None, after: KeyFact | None) -> set[ObjectRef]:
        """Take one key out and another in; returns those that may lose or gain their place."""
        concerned: set[ObjectRef] = set()
        for key, put in ((before, False), (after, True)):
            if key is None or key.most is None or not key.usable:
                continue
            keys = self._keys.setdefault(key.tenant, [])
            if put:
                insort(keys, (key.rank, key.ref))
            else:
                del keys[bisect_left(keys, (key.rank, key.ref))]
            # the one that now stands on either side of the bound
            around = slice(max(key.most - 1, 0), key.most + 1)
            concerned |= {ref for _, ref in keys[around]}
            if not keys:
                del self._keys[key.tenant]
        return concerned

    def exceeds(self, key: KeyFact) -> bool:
        """Whether so many keys of its tenant are older that this one has no place."""
        if key.most is None or not key.usable:
            return False
        return bisect_left(self._keys[key.tenant], (key.rank, key.ref)) >= key.most
