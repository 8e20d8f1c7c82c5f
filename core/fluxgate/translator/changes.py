"""Which objects changed since the last translation."""

from __future__ import annotations

from collections.abc import Mapping

from fluxgate.resources import Object, ObjectRef, Resources
from fluxgate.translator.result import SetAside, TranslateOptions, spec_digest


class Changes:
    """Remembers the objects of the last translation and their set-aside state."""

    __slots__ = ("_digests", "_resources", "rejected")

    def __init__(self) -> None:
        self._resources: Resources | None = None
        self._digests: dict[ObjectRef, tuple[Object, str]] = {}
        self.rejected: dict[ObjectRef, str] = {}
        """Objects set aside now, with Envoy's words."""

    def update(self, resources: Resources, options: TranslateOptions) -> set[ObjectRef]:
        """Every object that was added, replaced, removed, set aside or taken back."""
        changed = set(resources.changed_since(self._resources))
        self._resources = resources
        return changed | self._update_rejected(resources, options.set_aside)

    def _update_rejected(
        self, resources: Resources, set_aside: Mapping[ObjectRef, SetAside]
    ) -> set[ObjectRef]:
        rejected: dict[ObjectRef, str] = {}
        digests: dict[ObjectRef, tuple[Object, str]] = {}
        for ref, aside in set_aside.items():
            obj = resources.get(ref)
            if obj is None:
                continue
            known = self._digests.get(ref)
            digest = known[1] if known and known[0] is obj else spec_digest(obj)
            digests[ref] = (obj, digest)
            if digest == aside.digest:
                rejected[ref] = aside.message
        before, self.rejected, self._digests = self.rejected, rejected, digests
        return {
            ref for ref in before.keys() | rejected.keys() if before.get(ref) != rejected.get(ref)
        }
