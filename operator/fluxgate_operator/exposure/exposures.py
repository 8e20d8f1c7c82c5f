"""The leader's loop that makes fleets reachable, and tells where."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from structlog.typing import FilteringBoundLogger

from fluxgate.api.v1alpha1 import GatewayConfig
from fluxgate.resources import ObjectRef
from fluxgate.translator.result import gateway_key
from fluxgate_operator.exposure.address import Address, addresses_of, admitted
from fluxgate_operator.exposure.cluster import ExposedObjects, Found, Key
from fluxgate_operator.exposure.desired import Desired, desired
from fluxgate_operator.exposure.marks import EXPOSURE
from fluxgate_operator.kube.client import Document, KubeClient
from fluxgate_operator.kube.errors import KubeError
from fluxgate_operator.kube.types import INGRESS_CLASSES, INGRESSES, SERVICES, KubeType
from fluxgate_operator.notify import Signal
from fluxgate_operator.providers.kubernetes.intake import Intake
from fluxgate_operator.reconciler import Reconciler


@dataclass(frozen=True, slots=True)
class ExposureSettings:
    """Seconds: ``delay`` gathers a burst; ``interval`` is the longest without a look, which repairs
    what no event told of; ``admission`` is how long an old way in is kept after the kind changed
    while the new one has no address."""

    delay: float = 0.2
    interval: float = 15.0
    admission: float = 60.0


class Exposures:
    """Run :meth:`run`; nothing is written while ``leading`` says no."""

    def __init__(
        self,
        client: KubeClient,
        reconciler: Reconciler,
        leading: Callable[[], bool],
        log: FilteringBoundLogger,
        *,
        namespaces: tuple[str, ...] = (),
        own_class: str = "",
        settings: ExposureSettings | None = None,
    ) -> None:
        self._objects = ExposedObjects(client, namespaces)
        self._reconciler = reconciler
        self._leading = leading
        self._log = log
        self._own_class = own_class
        self._settings = settings or ExposureSettings()
        self._controllers: dict[str, str] = {}
        self._addresses: dict[ObjectRef, tuple[Address, ...]] = {}
        self._problems: dict[ObjectRef, tuple[str, ...]] = {}
        self._waiting_since: dict[ObjectRef, float] = {}
        self._woken = asyncio.Event()
        self.changed = Signal()

    def intakes(self) -> Mapping[KubeType, Intake]:
        """What wakes the loop: our own objects, and the classes that annotations go by."""
        wake = _Wake(self._woken)
        classes = _Controllers(self._controllers, self._woken)
        return MappingProxyType({SERVICES: wake, INGRESSES: wake, INGRESS_CLASSES: classes})

    def addresses(self, gateway: ObjectRef) -> tuple[Address, ...] | None:
        """Where a fleet is reached; None before it is known, and in a process that does not lead."""
        return self._addresses.get(gateway)

    def problems(self) -> Mapping[ObjectRef, tuple[str, ...]]:
        """What keeps a GatewayConfig from being exposed as it asks, with remedies."""
        return MappingProxyType(self._problems)

    async def run(self) -> None:
        """Keep everything as it is wanted until cancelled."""
        while True:
            turn = self._reconciler.done.subscribe()
            self._woken.clear()
            if self._leading():
                try:
                    await self.expose()
                except KubeError as error:
                    self._log.warning("exposing the gateways failed", error=str(error))
            else:
                self._forget()
            await self._wait(turn)

    async def expose(self) -> None:
        """One look at everything, and whatever has to be done. Raises ``KubeError``."""
        turn = self._reconciler.current
        if turn is None:
            return
        found = await self._objects.find()
        configs = turn.resources.gateway_configs
        for ref, config in sorted(configs.items()):
            gateway = turn.built.gateways.get(gateway_key(ref))
            if gateway is None or not self._leading():
                continue
            leaving = config.metadata.deletion_timestamp is not None
            wanted = (
                Desired()
                if leaving
                else desired(config, gateway, self._controllers, self._own_class)
            )
            await self._settle(ref, config, wanted, found.of(ref))
        await self._sweep(found, configs)

    async def _settle(
        self, ref: ObjectRef, config: GatewayConfig, wanted: Desired, actual: dict[Key, Document]
    ) -> None:
        """Apply what is wanted, then remove what is not, then say how it stands."""
        problems = list(wanted.problems)
        now: dict[Key, Document] = {}
        for document in wanted.documents:
            key = document["kind"], document["metadata"]["name"]
            made = await self._objects.apply(document, actual.get(key))
            if isinstance(made, str):
                problems.append(made)
            else:
                now[key] = made
        complete = len(now) == len(wanted.documents)
        intended = complete and (bool(now) or config.spec.exposure.kind == "None" or not problems)
        old = {key: each for key, each in actual.items() if key not in now}
        if old and intended and self._may_remove(ref, now, old):
            await self._objects.delete(old.values())
            old = {}
        if not old:
            self._waiting_since.pop(ref, None)
        self._note(ref, {**old, **now}, tuple(problems))

    def _may_remove(
        self, ref: ObjectRef, now: dict[Key, Document], old: dict[Key, Document]
    ) -> bool:
        """Whether the old ways in may go.

        Those of the present kind may: the others of that kind lead in. Those of another kind when
        the new ones are admitted, or when that took too long: not every cluster tells.
        """
        fronts = [each for each in now.values() if _is_front(each)]
        kinds = {each["kind"] for each in fronts}
        if not any(_is_front(each) and each["kind"] not in kinds for each in old.values()):
            return True
        if all(map(admitted, fronts)):
            return True
        since = self._waiting_since.setdefault(ref, time.monotonic())
        return time.monotonic() - since >= self._settings.admission

    async def _sweep(self, found: Found, configs: Mapping[ObjectRef, GatewayConfig]) -> None:
        """Delete what is left of GatewayConfigs that are gone; the garbage collector does it too."""
        for ref in found.objects.keys() - configs.keys():
            if self._leading() and await self._objects.is_gone(ref):
                await self._objects.delete(found.of(ref).values())
        for ref in self._addresses.keys() - configs.keys():
            self._addresses.pop(ref)
            self._problems.pop(ref, None)
            self._waiting_since.pop(ref, None)

    def _note(
        self, ref: ObjectRef, documents: dict[Key, Document], problems: tuple[str, ...]
    ) -> None:
        listed = (
            address for _, each in sorted(documents.items()) for address in addresses_of(each)
        )
        addresses = tuple(dict.fromkeys(listed))
        before = self._addresses.get(ref), self._problems.get(ref, ())
        self._addresses[ref] = addresses
        if problems:
            self._problems[ref] = problems
        else:
            self._problems.pop(ref, None)
        if before == (addresses, problems):
            return
        for problem in problems:
            if problem not in before[1]:
                self._log.error("an exposure has a problem", subject=str(ref), problem=problem)
        self.changed.notify()

    def _forget(self) -> None:
        self._addresses.clear()
        self._problems.clear()
        self._waiting_since.clear()

    async def _wait(self, turn: asyncio.Future[None]) -> None:
        """Until something may have changed; sooner when an old way in is waiting to be removed."""
        settings = self._settings
        seconds = min(settings.interval, settings.admission / 4) if self._waiting_since else None
        woken = asyncio.ensure_future(self._woken.wait())
        try:
            await asyncio.wait(
                (turn, woken),
                timeout=settings.interval if seconds is None else seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            turn.cancel()
            woken.cancel()
        await asyncio.sleep(settings.delay)


def _is_front(document: Document) -> bool:
    """Whether requests from outside come in here; a Service of type ClusterIP stands behind."""
    return document["kind"] != "Service" or document["spec"].get("type") != "ClusterIP"


class _Wake:
    def __init__(self, woken: asyncio.Event) -> None:
        self._woken = woken
        self._ours: set[tuple[str, str, str]] = set()

    def put(self, document: Document) -> None:
        """One of our objects may be there, new or changed."""
        meta = document["metadata"]
        names = {(document.get("kind", ""), meta["namespace"], meta["name"])}
        if EXPOSURE in (meta.get("labels") or {}):
            self._ours |= names
            self._woken.set()
        elif names & self._ours:
            self._ours -= names
            self._woken.set()

    def drop(self, namespace: str, name: str) -> None:
        """One of our objects may be gone."""
        gone = {each for each in self._ours if each[1:] == (namespace, name)}
        if gone:
            self._ours -= gone
            self._woken.set()


class _Controllers:
    """The ``spec.controller`` of every IngressClass."""

    def __init__(self, controllers: dict[str, str], woken: asyncio.Event) -> None:
        self._controllers = controllers
        self._woken = woken

    def put(self, document: Document) -> None:
        """An IngressClass is there, new or changed."""
        name = document["metadata"]["name"]
        controller = (document.get("spec") or {}).get("controller", "")
        if self._controllers.get(name) != controller:
            self._controllers[name] = controller
            self._woken.set()

    def drop(self, namespace: str, name: str) -> None:  # noqa: ARG002 - classes have no namespace
        """An IngressClass is gone."""
        if self._controllers.pop(name, None) is not None:
            self._woken.set()
