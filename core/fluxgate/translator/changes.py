"""Which objects changed since the last translation, by identity."""

from __future__ import annotations

from collections.abc import Mapping

from fluxgate.resources import Object, ObjectRef, Resources
from fluxgate.translator.result import SetAside, TranslateOptions, spec_digest


class Changes:
    """Remembers the objects of the last translation and their set-aside state."""

    __slots__ = ("_digests", "_kinds", "_seen", "rejected")

    def __init__(self) -> None:
        self._kinds: dict[str, Mapping[ObjectRef, Object]] = {}
        self._seen: dict[str, dict[int, ObjectRef]] = {}
        self._digests: dict[ObjectRef, tuple[Object, str]] = {}
        self.rejected: dict[ObjectRef, str] = {}
        """Objects set aside now, with Envoy's words."""

    def update(self, resources: Resources, options: TranslateOptions) -> set[ObjectRef]:
        """Every object that was added, replaced, removed, set aside or taken back."""
        changed: set[ObjectRef] = set()
        for kind in self._kinds.keys() | resources.objects.keys():
            now = resources.objects.get(kind, {})
            if now is not self._kinds.get(kind):
                changed |= self._update_kind(kind, now)
        changed |= self._update_rejected(resources, options.set_aside)
        return changed

    def _update_kind(self, kind: str, now: Mapping[ObjectRef, Object]) -> set[ObjectRef]:
        # comparing identities in bulk: hashing 10,000 ObjectRefs would cost more than all the rest
        before = self._seen.get(kind, {})
        after = dict(zip(map(id, now.values()), now, strict=True))
        changed = {after[key] for key in after.keys() - before.keys()}
        changed |= {before[key] for key in before.keys() - after.keys()}
        self._kinds[kind] = now
        self._seen[kind] = after
        return changed

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
