"""Leader election against the API server. The rules are in :mod:`.tenure`."""

from __future__ import annotations

import asyncio

from structlog.typing import FilteringBoundLogger

from fluxgate_operator.election.clock import Clock, uptime
from fluxgate_operator.election.record import LeaseRecord, micro_time
from fluxgate_operator.election.tenure import Tenure
from fluxgate_operator.kube.client import KubeClient
from fluxgate_operator.kube.errors import (
    ConflictError,
    KubeApiError,
    KubeError,
    NotFoundError,
)
from fluxgate_operator.kube.types import LEASES
from fluxgate_operator.notify import Signal
from fluxgate_operator.settings import LeaseSettings

_RELEASE_SECONDS = 2.0


class LeaseElection:
    """One candidate. Run :meth:`run`; ask :attr:`leading` right before every write.

    ``identity`` is unique among the processes that run at the same time. Whoever writes under
    this Lease has to be stopped before :meth:`run` is, since the Lease is released at its end.
    """

    def __init__(
        self,
        client: KubeClient,
        namespace: str,
        identity: str,
        settings: LeaseSettings,
        log: FilteringBoundLogger,
        clock: Clock = uptime,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._identity = identity
        self._settings = settings
        self._log = log.bind(lease=f"{namespace}/{settings.name}", identity=identity)
        self._clock = clock
        self._tenure = Tenure(identity, settings)
        self._look = asyncio.Event()
        self._announced = (False, "")
        self._trouble = ""
        self.changed = Signal()

    @property
    def leading(self) -> bool:
        """Whether this process may write now; by the clock, whatever it slept through."""
        return self._tenure.leading(self._clock())

    @property
    def leader(self) -> str:
        """Whoever the Lease named when it was last read; empty when nobody."""
        return self._tenure.holder

    def poke(self) -> None:
        """The leader may be gone: look at once."""
        self._look.set()

    async def run(self) -> None:
        """Take part until cancelled; then release the Lease if it is ours."""
        try:
            while True:
                pause = await self._attempt()
                self._announce()
                await self._sleep(pause)
                self._announce()
        finally:
            await self._release()

    async def _attempt(self) -> float:
        """One look and, if it is our turn, one write; how long to wait before the next."""
        settings = self._settings
        try:
            async with asyncio.timeout(max(settings.retry_period, settings.renew_deadline / 2)):
                await self._round()
        except (KubeError, TimeoutError) as error:
            self._complain(error)
            after = error.retry_after if isinstance(error, KubeApiError) else None
            pause = min(settings.retry_period, settings.poll_period)
            return pause if after is None else max(pause, min(after, settings.renew_deadline))
        self._trouble = ""
        return settings.retry_period if self.leading else settings.poll_period

    async def _round(self) -> None:
        """Renew without reading while we lead; otherwise read first (optimistic concurrency)."""
        tenure = self._tenure
        if not self.leading:
            await self._read()
            if not tenure.may_ask(self._clock()):
                return
        asked = self._clock()
        wanted = tenure.wanted(micro_time())
        try:
            written = await self._write(wanted)
        except (ConflictError, NotFoundError):
            await self._read()  # somebody else was faster, or the Lease was deleted
            return
        tenure.granted(LeaseRecord.of(written), asked, self._clock())

    async def _read(self) -> None:
        try:
            found = await self._client.get(LEASES, self._namespace, self._settings.name)
            record: LeaseRecord | None = LeaseRecord.of(found)
        except NotFoundError:
            record = None
        self._tenure.observe(record, self._clock())

    async def _write(self, record: LeaseRecord) -> dict[str, object]:
        document = record.document(self._namespace, self._settings.name)
        if record.version:
            # A patch, with the resource version as precondition: labels and annotations stay, by
            # which Helm knows a Lease that came with a release.
            name = self._settings.name
            return await self._client.merge_patch(LEASES, self._namespace, name, document)
        return await self._client.create(LEASES, self._namespace, document)

    async def _sleep(self, pause: float) -> None:
        """Wait, but not past the end of our tenure, nor when somebody pokes."""
        remaining = self._tenure.remaining(self._clock())
        self._look.clear()
        try:
            async with asyncio.timeout(min(pause, remaining) if remaining else pause):
                await self._look.wait()
        except TimeoutError:
            return

    def _announce(self) -> None:
        state = (self.leading, self.leader)
        if state == self._announced:
            return
        before, self._announced = self._announced, state
        if state[0] != before[0]:
            self._log.info("leading" if state[0] else "not leading", leader=state[1])
        self.changed.notify()

    def _complain(self, error: Exception) -> None:
        """Once for every kind of trouble; an outage is not a line every two seconds."""
        words = str(error) or type(error).__name__
        if type(error).__name__ != self._trouble:
            self._trouble = type(error).__name__
            self._log.warning("the Lease cannot be read or renewed", error=words)

    async def _release(self) -> None:
        """Hand over at once: an empty holder is free to take (as client-go's ReleaseOnCancel)."""
        record = self._tenure.released(micro_time()) if self.leading else None
        self._tenure.give_up()
        self._announce()
        if record is None:
            return
        try:
            async with asyncio.timeout(_RELEASE_SECONDS):
                self._tenure.observe(LeaseRecord.of(await self._write(record)), self._clock())
        except (KubeError, TimeoutError) as error:
            self._log.warning("the Lease was not released; it expires by itself", error=str(error))
        self._announce()
