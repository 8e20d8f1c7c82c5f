"""From resources to snapshots: the pure core, with the caches that make it incremental."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fluxgate.ir import Gateway
from fluxgate.resources import ObjectRef, Resources
from fluxgate.snapshot import Snapshot
from fluxgate.status import ObjectStatus
from fluxgate.translator import SetAside, TranslateCache, TranslateOptions, translate
from fluxgate.xds.build import BuildCache, build_snapshot

SetAsides = Mapping[ObjectRef, SetAside]
Choose = Callable[[Mapping[str, Gateway]], Mapping[str, Gateway]]
"""Which gateways are published, by the name their nodes ask for (``node.cluster``)."""


@dataclass(frozen=True, slots=True)
class Built:
    """What one turn made, by the name a gateway is published under."""

    gateways: Mapping[str, Gateway]
    snapshots: Mapping[str, Snapshot]
    statuses: Mapping[ObjectRef, ObjectStatus]


@dataclass(slots=True)
class CachedPipeline:
    """Translates and builds, reusing what did not change since its last call."""

    choose: Choose = lambda gateways: gateways
    exposes: bool = False
    """Whether the process makes what ``spec.exposure`` asks for."""
    _translated: TranslateCache = field(default_factory=TranslateCache)
    _built: dict[str, BuildCache] = field(default_factory=dict)
    _last: dict[str, tuple[Gateway, Snapshot]] = field(default_factory=dict)

    def build(self, resources: Resources, set_aside: SetAsides) -> Built:
        """Translate and build everything, without the objects set aside.

        Raises on a bug of the core only; the caches then start afresh.
        """
        try:
            translation = translate(
                resources, TranslateOptions(set_aside, self.exposes), self._translated
            )
            gateways = self.choose(translation.gateways)
            snapshots = {name: self._snapshot(name, each) for name, each in gateways.items()}
        except Exception:
            self._translated, self._built, self._last = TranslateCache(), {}, {}
            raise
        for gone in self._built.keys() - gateways.keys():
            del self._built[gone], self._last[gone]
        return Built(gateways, snapshots, translation.statuses)

    def _snapshot(self, name: str, gateway: Gateway) -> Snapshot:
        last = self._last.get(name)
        if last is not None and last[0] is gateway:
            return last[1]
        snapshot = build_snapshot(gateway, self._built.setdefault(name, BuildCache()))
        self._last[name] = (gateway, snapshot)
        return snapshot
