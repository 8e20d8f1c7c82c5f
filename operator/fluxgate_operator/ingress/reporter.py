"""The leader's part: addresses into the status of Ingresses, problems into Events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from structlog.typing import FilteringBoundLogger

from fluxgate.resources import ObjectRef
from fluxgate_operator.exposure.address import Address
from fluxgate_operator.ingress.events import EventWriter
from fluxgate_operator.ingress.ingresses import Ingresses, OurIngress
from fluxgate_operator.ingress.problems import problems_of
from fluxgate_operator.ingress.read import Ingress
from fluxgate_operator.kube.client import KubeClient
from fluxgate_operator.kube.errors import ConflictError, KubeApiError, KubeError, NotFoundError
from fluxgate_operator.kube.types import INGRESSES
from fluxgate_operator.notify import Signal
from fluxgate_operator.reconciler import Reconciler


class Addresses(Protocol):
    """Where gateways are reached; ``changed`` tells that it is elsewhere."""

    changed: Signal

    def addresses(self, gateway: ObjectRef) -> tuple[Address, ...] | None:
        """The addresses of a gateway; None when that is not known (yet)."""
        ...


_AT_A_TIME = 50
"""Ingresses looked at before the event loop is let go on."""


@dataclass(frozen=True, slots=True)
class ReporterSettings:
    """In seconds, but for ``events``.

    ``delay`` gathers a burst, ``interval`` is the longest without a look, ``repeat`` is after
    what time a problem that stays is told again. ``events`` is how many Events one look may
    write; the others follow with the next.
    """

    delay: float = 1.0
    interval: float = 30.0
    repeat: float = 2400.0
    events: int = 20


class IngressReporter:
    """Run :meth:`run`; nothing is written while ``leading`` says no."""

    def __init__(
        self,
        client: KubeClient,
        ingresses: Ingresses,
        reconciler: Reconciler,
        exposures: Addresses,
        leading: Callable[[], bool],
        log: FilteringBoundLogger,
        *,
        instance: str = "fluxgate",
        settings: ReporterSettings | None = None,
    ) -> None:
        self._client = client
        self._ingresses = ingresses
        self._reconciler = reconciler
        self._exposures = exposures
        self._leading = leading
        self._log = log
        self._events = EventWriter(client, instance)
        self._settings = settings or ReporterSettings()
        self._signals = reconciler.done, ingresses.changed, exposures.changed
        self._told: dict[tuple[str, str], float] = {}
        self._asked: dict[str, tuple[object, object]] = {}
        self._refused: frozenset[str] = frozenset()

    async def run(self) -> None:
        """Keep status and Events right until cancelled."""
        while True:
            waiting = [each.subscribe() for each in self._signals]
            if self._leading():
                try:
                    await self.report()
                except KubeError as error:
                    self._log.warning("reporting on Ingresses failed", error=str(error))
            else:
                self._told.clear()
            await _first(waiting, self._settings.interval)
            await asyncio.sleep(self._settings.delay)

    async def report(self) -> None:
        """One look at everything."""
        turn = self._reconciler.current
        if turn is None:
            return
        left = self._settings.events
        problems: set[tuple[str, str]] = set()
        refused: dict[str, None] = {}
        for count, (ref, ours) in enumerate(self._ingresses.ours().items(), start=1):
            found = problems_of(ours, turn.resources, turn.built.statuses)
            problems.update((ours.ingress.uid, each) for each in found)
            try:
                await self._tell_address(ref, ours)
                for problem in found:
                    left -= await self._tell(ours.ingress, problem, left)
            except KubeApiError as error:  # of one object or one kind, and no matter of the others
                refused[str(error)] = None
            if count % _AT_A_TIME == 0:
                await asyncio.sleep(0)
        self._told = {key: at for key, at in self._told.items() if key in problems}
        for words in refused.keys() - self._refused:
            self._log.warning("an Ingress cannot be reported on", error=words)
        self._refused = frozenset(refused)

    async def _tell(self, ingress: Ingress, problem: str, left: int) -> int:
        """Write an Event unless it was written lately; returns how many were (0 or 1)."""
        key, now = (ingress.uid, problem), time.monotonic()
        at = self._told.get(key)
        if left <= 0 or not self._leading():
            return 0
        if at is not None and now - at < self._settings.repeat:
            return 0
        await self._events.tell(ingress, problem, datetime.now(UTC))
        self._told[key] = now
        return 1

    async def _tell_address(self, ref: ObjectRef, ours: OurIngress) -> None:
        """Write ``status.loadBalancer.ingress`` when it says something else.

        The patch carries no precondition: the field is ours alone, since the class is.
        """
        ingress = ours.ingress
        found = self._exposures.addresses(ours.gateway) if ours.gateway else ()
        if found is None:
            return
        wanted = _entries(found)
        if wanted == ingress.addresses:
            self._asked.pop(ingress.uid, None)
            return
        if self._asked.get(ingress.uid) == (wanted, ingress.addresses) or not self._leading():
            return
        balancer = {"ingress": [{kind: value} for kind, value in wanted]}
        patch = {"status": {"loadBalancer": balancer}}
        try:
            await self._client.merge_patch(
                INGRESSES, ref.namespace, ref.name, patch, subresource="status"
            )
        except (NotFoundError, ConflictError):
            return
        self._asked[ingress.uid] = (wanted, ingress.addresses)


def _entries(addresses: Iterable[Address]) -> tuple[tuple[str, str], ...]:
    kinds = {"IPAddress": "ip", "Hostname": "hostname"}
    return tuple((kinds[each.type], each.value) for each in addresses if each.type in kinds)


async def _first(waiting: Iterable[asyncio.Future[None]], seconds: float) -> None:
    _, pending = await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for each in pending:
        each.cancel()
