"""kopf, in a thread and event loop of its own: tells early what changed, and when it listed.

kopf cancels every task of the loop it shares and takes over the signals when it can, so it gets
a loop of its own off the main thread (docs/decisions/0013). It may die at any time; then
it is started again after a back-off, and whoever listens lists what may have been missed.

How a relist is noticed: kopf is given our HTTP session, whose middleware sees every request. A GET
of a collection that is not a watch is a page of a list; the first watch after it means that kopf
has listed that kind anew, also when the list is empty and no event comes of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import kopf
from structlog.typing import FilteringBoundLogger

from fluxgate_operator.kube.access import ClusterAccess
from fluxgate_operator.kube.client import PAGE, Document
from fluxgate_operator.kube.types import KubeType

_STOP_SECONDS = 10.0
_CONNECT_SECONDS = 5.0
_REQUEST_SECONDS = 30.0
_STABLE_SECONDS = 30.0
_CLOSE_SECONDS = 0.05
_CANCEL_SECONDS = 0.2
_CANCEL_ROUNDS = 20
_IDENTITY: Any = "fluxgate"  # kopf's own type for it is private, a str all the same


@dataclass(frozen=True, slots=True)
class Told:
    """What kopf told: an event of an object, or (without one) that a kind was listed."""

    type: KubeType
    event: str | None = None
    document: Document | None = None


@dataclass(frozen=True, slots=True)
class BackOffs:
    """0.2, 0.5, 1, 2 and then ever ``limit`` seconds; kopf gives up when its back-offs end."""

    limit: float = 3.0

    def __iter__(self) -> Iterator[float]:
        for each in (0.2, 0.5, 1.0, 2.0):
            yield min(each, self.limit)
        while True:
            yield self.limit


class KopfWatcher:
    """Runs kopf until cancelled. ``told`` is called on the loop of :meth:`run`, in batches."""

    def __init__(
        self,
        access: ClusterAccess,
        types: Sequence[KubeType],
        namespaces: Sequence[str],
        told: Callable[[list[Told]], None],
        restarted: Callable[[], None],
        log: FilteringBoundLogger,
        *,
        silence: float = 68.0,
    ) -> None:
        self._access = access
        self._types = types
        self._namespaces = namespaces
        self._told = told
        self._restarted = restarted
        self._log = log
        self._silence = silence
        self._restart = asyncio.Event()
        self.alive = False
        self.restarts = 0
        self.known: set[KubeType] = set()
        """The kinds that kopf has listed since its start; others it does not know of."""

    def restart(self) -> None:
        """Start kopf anew: it looks only at its start at which kinds there are."""
        self._restart.set()

    async def run(self) -> None:
        """Start kopf, and again whenever it ends."""
        _quiet_logs()
        loop = asyncio.get_running_loop()
        pauses = iter(BackOffs())
        while True:
            self._restart.clear()
            self.known.clear()
            started = loop.time()
            thread = _KopfThread(self, loop)
            try:
                await thread.run(self._restart)
            finally:
                self.alive = False
            wanted = self._restart.is_set()
            if loop.time() - started > _STABLE_SECONDS or wanted:
                pauses = iter(BackOffs())
            self.restarts += 1
            pause = next(pauses)
            if not wanted:
                self._log.warning(
                    "the watch ended and is started again", error=thread.error, seconds=pause
                )
            await asyncio.sleep(pause)
            self._restarted()

    # for the thread

    def batch(self, told: list[Told]) -> None:
        """Called on the main loop."""
        self._told(told)

    def unhandled(self, words: str) -> None:
        """Called in the thread."""
        self._log.debug("kopf left an error unhandled", error=words)

    @property
    def parts(self) -> tuple[ClusterAccess, Sequence[KubeType], Sequence[str], float]:
        """What the thread needs to know."""
        return self._access, self._types, self._namespaces, self._silence


class _KopfThread:
    """One life of kopf."""

    def __init__(self, owner: KopfWatcher, main: asyncio.AbstractEventLoop) -> None:
        self._owner = owner
        self._access, self._types, self._namespaces, self._silence = owner.parts
        self._main = main
        self._lock = threading.Lock()
        self._waiting: list[Told] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._paths = {path: each for each in self._types for path in self._collections(each)}
        self._logins = iter(BackOffs())
        self._logged_in = False
        self._relisted: set[str] = set()
        self._sessions: list[aiohttp.ClientSession] = []
        self.error = ""

    def _collections(self, type_: KubeType) -> Iterable[str]:
        return [type_.path(each) for each in self._namespaces or (None,)]

    async def run(self, restart: asyncio.Event) -> None:
        """Until kopf ends by itself or ``restart`` is set; stops it when cancelled."""
        ended = asyncio.Event()
        thread = threading.Thread(
            target=self._main_of_thread, args=(ended,), name="kopf", daemon=True
        )
        thread.start()
        self._owner.alive = True
        waiting = [asyncio.ensure_future(each.wait()) for each in (ended, restart)]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()
            self._end()
            await asyncio.shield(asyncio.to_thread(thread.join, _STOP_SECONDS))

    def _end(self) -> None:
        with self._lock:
            if self._loop is not None and self._stop is not None:
                with contextlib.suppress(RuntimeError):  # it has just ended by itself
                    self._loop.call_soon_threadsafe(self._stop.set)
            else:
                self._stop = asyncio.Event()
                self._stop.set()

    def _main_of_thread(self, ended: asyncio.Event) -> None:
        try:
            asyncio.run(self._operate())
        except Exception as error:  # noqa: BLE001 - kopf raises what it met; it is started again
            self.error = f"{type(error).__name__}: {error}"
        finally:
            with self._lock:
                self._loop = None
            if not self._main.is_closed():
                self._main.call_soon_threadsafe(ended.set)

    async def _operate(self) -> None:
        with self._lock:
            self._stop = self._stop or asyncio.Event()
            self._loop = asyncio.get_running_loop()
        asyncio.get_running_loop().set_exception_handler(self._unhandled)
        tasks = await kopf.spawn_tasks(
            registry=self._registry(),
            settings=self._settings(),
            namespaces=list(self._namespaces),
            clusterwide=not self._namespaces,
            standalone=True,
            # else kopf asks for the name of our user, which an arbitrary UID does not have
            identity=_IDENTITY,
            stop_flag=self._stop,
        )
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if not task.cancelled() and (error := task.exception()) is not None:
                    raise error
        finally:
            await self._clear_away()

    async def _clear_away(self) -> None:
        """End what is left of kopf.

        Not by ``kopf.run_tasks``: it waits 5 s for tasks that never end by themselves, and then
        for ever when a watch that is just being asked for swallows its cancellation.
        """
        for _ in range(_CANCEL_ROUNDS):
            rest = asyncio.all_tasks() - {asyncio.current_task()}
            if not rest:
                break
            for task in rest:
                task.cancel()
            done, _pending = await asyncio.wait(rest, timeout=_CANCEL_SECONDS)
            for task in done:
                if not task.cancelled():
                    task.exception()
        for session in self._sessions:
            await session.close()
        # a closed transport is gone only after the loop has turned; nobody can wait for it
        await asyncio.sleep(_CLOSE_SECONDS)

    def _unhandled(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Callbacks of kopf fail when its tasks are cancelled; nothing hangs on that."""
        self._owner.unhandled(str(context.get("exception") or context.get("message")))

    def _settings(self) -> kopf.OperatorSettings:
        settings = kopf.OperatorSettings()
        settings.posting.enabled = False
        settings.process.ultimate_exiting_timeout = None
        settings.networking.error_backoffs = BackOffs()
        settings.networking.request_timeout = _REQUEST_SECONDS
        settings.networking.connect_timeout = _CONNECT_SECONDS
        settings.watching.chunk_size = PAGE
        settings.watching.inactivity_timeout = self._silence
        settings.queueing.idle_timeout = 0.5
        settings.queueing.exit_timeout = 0.5
        # CRDs that come and go are seen by our lists; kopf needs no right to watch them
        settings.scanning.disabled = True
        return settings

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry)(self._login)
        for each in self._types:
            kopf.on.event(each.group, each.version, each.plural, registry=registry)(
                self._handler(each)
            )
        return registry

    def _handler(self, type_: KubeType) -> Callable[..., Any]:
        async def handle(event: kopf.RawEvent, **_: object) -> None:
            self._tell(Told(type_, event["type"], dict(event["object"])))

        handle.__name__ = type_.plural
        return handle

    def _tell(self, told: Told) -> None:
        with self._lock:
            self._waiting.append(told)
            first = len(self._waiting) == 1
        if first and not self._main.is_closed():
            self._main.call_soon_threadsafe(self._hand_over)

    def _hand_over(self) -> None:
        with self._lock:
            told, self._waiting = self._waiting, []
        self._owner.batch(told)

    async def _login(self, **_: object) -> kopf.AiohttpSession:
        """A session whose requests carry the token of the moment.

        kopf asks again after a 401; then it waits a little, since a wrong token stays wrong.
        """
        if self._logged_in:
            await asyncio.sleep(next(self._logins))
        self._logged_in = True
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._access.tls, limit=0),
            headers={"user-agent": "fluxgate-watch", "accept": "application/json"},
            middlewares=(self._authorized, self._noticed),
        )
        self._sessions.append(session)
        return kopf.AiohttpSession(server=self._access.url, aiohttp_session=session)

    async def _authorized(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        if (authorization := await self._access.authorize()) is not None:
            request.headers["authorization"] = authorization
        response = await handler(request)
        if response.status != 401:
            self._logins = iter(BackOffs())
        return response

    async def _noticed(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        response = await handler(request)
        type_ = self._paths.get(request.url.path)
        if type_ is None or response.status != 200:
            return response
        if "watch" not in request.url.query:
            self._relisted.add(request.url.path)
            self._owner.known.add(type_)
        elif request.url.path in self._relisted:
            self._relisted.discard(request.url.path)
            self._tell(Told(type_))
        return response


def _quiet_logs() -> None:
    """Quiet: kopf logs a line an event and an error a retry; what matters of it we say ourselves."""
    logging.getLogger("kopf").setLevel(logging.CRITICAL)
