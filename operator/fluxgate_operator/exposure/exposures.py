"""The leader's loop that makes fleets reachable, and tells where."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from structlog.typing import FilteringBoundLogger

from fluxgate.api.v1alpha1 import GatewayConfig
from fluxgate.ir import Gateway
from fluxgate.resources import ObjectRef
from fluxgate.translator.result import gateway_key
from fluxgate_operator.exposure.address import Address, addresses_of
from fluxgate_operator.exposure.cluster import ExposedObjects, Found, Key, Refused
from fluxgate_operator.exposure.desired import Desired, desired
from fluxgate_operator.exposure.hosts import offered
from fluxgate_operator.exposure.state import State, is_front, shown, waiting_of
from fluxgate_operator.exposure.wake import Controllers, Wake
from fluxgate_operator.kube.client import Document, KubeClient
from fluxgate_operator.kube.errors import KubeApiError, KubeError
from fluxgate_operator.kube.types import INGRESS_CLASSES, INGRESSES, SERVICES, KubeType
from fluxgate_operator.notify import Signal
from fluxgate_operator.providers.kubernetes.intake import Intake
from fluxgate_operator.reconciler import Reconciler, Reconciliation


@dataclass(frozen=True, slots=True)
class ExposureSettings:
    """In seconds.

    ``delay`` gathers a burst; ``interval`` is the longest without a look, which repairs what no
    event told of; ``retry`` is the pause before another look at what changed meanwhile;
    ``admission`` is how long an old way in is kept after the kind changed while the new one
    has no address.
    """

    delay: float = 0.2
    interval: float = 15.0
    retry: float = 1.0
    admission: float = 60.0


@dataclass(frozen=True, slots=True)
class _Wish:
    """What a GatewayConfig asks for, and all that it was made of."""

    config: GatewayConfig
    hosts: object
    controller: str
    desired: Desired


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
        self._woken = asyncio.Event()
        self._controllers = Controllers(self._woken)
        self._wishes: dict[ObjectRef, _Wish] = {}
        self._states: dict[ObjectRef, State] = {}
        self._waiting_since: dict[ObjectRef, float] = {}
        self._due = 0.0
        self._soon = False
        self.changed = Signal()

    def intakes(self) -> Mapping[KubeType, Intake]:
        """What wakes the loop: our own objects, and the classes that annotations go by."""
        return MappingProxyType(
            {
                SERVICES: Wake(self._woken),
                INGRESSES: Wake(self._woken),
                INGRESS_CLASSES: self._controllers,
            }
        )

    def addresses(self, gateway: ObjectRef) -> tuple[Address, ...] | None:
        """Where a fleet is reached; None before it is known, and in a process that does not lead."""
        state = self._states.get(gateway)
        return state.addresses if state is not None else None

    def states(self) -> Mapping[ObjectRef, State]:
        """How each GatewayConfig is exposed; none in a process that does not lead."""
        return MappingProxyType(self._states)

    async def run(self) -> None:
        """Keep everything as it is wanted until cancelled."""
        while True:
            turn = self._reconciler.done.subscribe()
            if self._leading():
                try:
                    await self.look()
                except KubeError as error:
                    self._failed(error)
            else:
                self._forget()
            await self._wait(turn)

    async def look(self) -> None:
        """Do whatever has to be done; nothing is asked when nothing can have changed.

        Raises ``KubeError``.
        """
        turn = self._reconciler.current
        if turn is None:
            return
        before, self._wishes = self._wishes, self._wishes_of(turn)
        if (
            not self._woken.is_set()
            and self._wishes == before
            and turn.resources.gateway_configs.keys() == self._states.keys()
            and time.monotonic() < self._due
        ):
            return
        self._woken.clear()
        self._soon = False
        self._due = 0.0
        found = await self._expose(turn)
        self._due = time.monotonic() + self._pause(found)

    def _wishes_of(self, turn: Reconciliation) -> dict[ObjectRef, _Wish]:
        """What is asked for; the same object as before where it is made of the same."""
        found: dict[ObjectRef, _Wish] = {}
        for ref, config in sorted(turn.resources.gateway_configs.items()):
            gateway = turn.built.gateways.get(gateway_key(ref))
            if gateway is not None:
                found[ref] = self._wish(ref, config, gateway)
        return found

    def _wish(self, ref: ObjectRef, config: GatewayConfig, gateway: Gateway) -> _Wish:
        if config.metadata.deletion_timestamp is not None or config.spec.exposure.kind == "None":
            hosts: object = ()
        else:
            hosts = offered(gateway)
        controller = self._controllers.by_class.get(config.spec.exposure.class_name or "", "")
        known = self._wishes.get(ref)
        made_of = config, controller, hosts
        if known and (known.config, known.controller, known.hosts) == made_of:
            return known
        wanted = Desired()
        if config.metadata.deletion_timestamp is None:
            wanted = desired(config, gateway, controller, self._own_class)
        return _Wish(config, hosts, controller, wanted)

    def _pause(self, found: Found) -> float:
        """Until the next look without a cause. Where nothing is ours nothing can go wrong."""
        if self._soon:
            return self._settings.retry
        if self._waiting_since:
            return min(self._settings.interval, self._settings.admission / 12)
        idle = not found.objects and all(
            each == State() for ref, each in self._states.items() if ref in self._wishes
        )
        return math.inf if idle else self._settings.interval

    async def _expose(self, turn: Reconciliation) -> Found:
        found = await self._objects.find()
        self._soon |= any(each.soon for each in found.unknown.values())
        configs = turn.resources.gateway_configs
        for ref in sorted(configs):
            wish = self._wishes.get(ref)
            if not self._leading():
                return found
            if wish is None:  # it is not accepted, and says so; what leads to its fleet stays
                self._note(ref, self._states.get(ref, State()))
            else:
                await self._settle(ref, wish, found)
        await self._sweep(found, configs)
        return found

    async def _settle(self, ref: ObjectRef, wish: _Wish, found: Found) -> None:
        """Apply what is wanted, then remove what is not, then say how it stands."""
        actual, wanted = found.of(ref), wish.desired
        now, refused = await self._apply(wanted, actual, found)
        problems = [each.words for each in refused]
        kind = wish.config.spec.exposure.kind
        complete = len(now) == len(wanted.documents) and (
            bool(now) or kind == "None" or not wanted.problems
        )
        old = {key: each for key, each in actual.items() if key not in now}
        fronts = [each for each in now.values() if is_front(each)]
        waiting = waiting_of(fronts)
        if old and complete and self._may_remove(ref, fronts, waiting, old):
            problems += await self._objects.delete(old.values())
            old = {}
        if not old:
            self._waiting_since.pop(ref, None)
        listed = (
            address for _, each in sorted({**old, **now}.items()) for address in addresses_of(each)
        )
        state = State(
            kind,
            complete,
            tuple(dict.fromkeys(listed)),
            tuple(dict.fromkeys((*wanted.problems, *problems))),
            tuple(map(shown, fronts)),
            waiting,
            tuple([shown(each) for each in old.values() if is_front(each)]),
        )
        passing = any(each.soon for each in refused)
        self._soon |= passing
        if not passing or ref not in self._states:  # else what was true is said a while longer
            self._note(ref, state)

    async def _apply(
        self, wanted: Desired, actual: dict[Key, Document], found: Found
    ) -> tuple[dict[Key, Document], list[Refused]]:
        """The objects that are as wanted now, and why the others are not."""
        now: dict[Key, Document] = {}
        refused: list[Refused] = []
        for document in wanted.documents:
            key = document["kind"], document["metadata"]["name"]
            made = found.refused(document) or await self._objects.apply(document, actual.get(key))
            if isinstance(made, Refused):
                refused.append(made)
            else:
                now[key] = made
        return now, refused

    def _may_remove(
        self,
        ref: ObjectRef,
        fronts: list[Document],
        waiting: tuple[str, ...],
        old: dict[Key, Document],
    ) -> bool:
        """Whether the old ways in may go.

        Those of the present kind may: the others of that kind lead in. Those of another kind when
        the new ones are admitted, or when that took too long: not every cluster tells.
        """
        kinds = {each["kind"] for each in fronts}
        if not any(is_front(each) and each["kind"] not in kinds for each in old.values()):
            return True
        if not waiting:
            return True
        since = self._waiting_since.setdefault(ref, time.monotonic())
        return time.monotonic() - since >= self._settings.admission

    async def _sweep(self, found: Found, configs: Mapping[ObjectRef, GatewayConfig]) -> None:
        """Delete what is left of GatewayConfigs that are gone; the garbage collector does it too."""
        for ref in sorted(found.objects.keys() - configs.keys()):
            if self._leading() and await self._objects.is_gone(ref):
                for problem in await self._objects.delete(found.of(ref).values()):
                    self._log.error("an exposure is left", subject=str(ref), problem=problem)
        for ref in self._states.keys() - configs.keys():
            self._states.pop(ref)
            self._waiting_since.pop(ref, None)

    def _note(self, ref: ObjectRef, state: State) -> None:
        before = self._states.get(ref)
        if before == state:
            return
        self._states[ref] = state
        for problem in state.problems:
            if before is None or problem not in before.problems:
                self._log.error("an exposure has a problem", subject=str(ref), problem=problem)
        self.changed.notify()

    def _failed(self, error: KubeError) -> None:
        """Nothing is known anew; of those nothing was known of yet, that is said."""
        self._log.warning("exposing the gateways failed", error=str(error))
        self._due = time.monotonic() + self._settings.retry
        turn = self._reconciler.current
        if turn is None or not isinstance(error, KubeApiError):
            return
        for ref, config in turn.resources.gateway_configs.items():
            if ref not in self._states:
                kind = config.spec.exposure.kind
                self._note(ref, State(kind, complete=False, problems=(str(error),)))

    def _forget(self) -> None:
        self._states.clear()
        self._wishes.clear()
        self._waiting_since.clear()
        self._woken.clear()
        self._due = 0.0

    async def _wait(self, turn: asyncio.Future[None]) -> None:
        """Until something may have changed; a second at most, for ``leading`` is a clock."""
        woken = asyncio.ensure_future(self._woken.wait())
        left = max(0.0, min(1.0, self._due - time.monotonic()))
        try:
            await asyncio.wait(
                (turn, woken), timeout=left or 1.0, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            turn.cancel()
            woken.cancel()
        await asyncio.sleep(self._settings.delay)
