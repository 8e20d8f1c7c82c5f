"""Follows objects in a cluster: a list, and from its version on a watch, for as long as anybody listens.

The official client opens the stream; its ``Watch`` class is not used. That one asks again with the very
version the server has just called too old, has no pause between attempts, takes an error's body for an event, and
cannot notice a connection that went silent (docs/decisions/0025).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
from kubernetes.aio.client import ApiException, CustomObjectsApi
from structlog.typing import FilteringBoundLogger

from fluxgate.api.canonical import digest
from fluxgate.api.v1alpha1 import GROUP, VERSION
from fluxgate.errors import ResourceClientError, ResourceStoreUnavailableError
from fluxgate.ports.resources import ChangeType, ResourceChange, Stored
from fluxgate.resources import ObjectRef
from fluxgate_operator.kube.errors import KubeConfigError
from fluxgate_operator.providers.kubernetes.back_off import BackOffs
from fluxgate_operator.resource_clients.official import refusal, retry_after

_WAITING = 1000
"""News nobody has taken before the stream is not read on."""


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """Seconds. ``lifetime`` is how long the server keeps a stream, ``silence`` how long it may say nothing.

    Bookmarks come about once a minute (KEP-956), so a longer silence is a dead connection. ``longest_pause``
    is the most between two attempts.
    """

    lifetime: int = 290
    silence: float = 75.0
    longest_pause: float = 3.0


@dataclass(frozen=True, slots=True)
class Listing:
    """A whole list, and its resource version."""

    items: Sequence[Stored]
    version: str


Scope = tuple[str, str, str | None]
"""Kind, plural, and namespace (None: all of them)."""
List = Callable[[str, str | None], Awaitable[Listing]]
Read = Callable[[str, Mapping[str, Any]], Stored]


class _TooOldError(Exception):
    """The server does not remember the version any more (410): a list has to be made."""


class _EndedError(Exception):
    """A stream ended, or did not begin. ``pause`` is in seconds, when the server said for how long."""

    def __init__(self, words: str, pause: float | None = None) -> None:
        self.pause = pause
        super().__init__(words)


async def followed(
    api: CustomObjectsApi,
    scopes: Sequence[Scope],
    listed: List,
    read: Read,
    settings: WatchSettings,
    log: FilteringBoundLogger,
) -> AsyncIterator[ResourceChange]:
    """See :meth:`fluxgate.ports.ResourceClient.watch`."""
    news: asyncio.Queue[ResourceChange] = asyncio.Queue(_WAITING)
    start = _Start(len(scopes), news)
    if not scopes:
        news.put_nowait(ResourceChange(ChangeType.SYNCED))
    feeds = [_Feed(api, scope, listed, read, settings, news, start, log) for scope in scopes]
    tasks = [asyncio.create_task(each.run(), name=f"follow {each.plural}") for each in feeds]
    try:
        while True:
            yield await _next(news, tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _next(
    news: asyncio.Queue[ResourceChange], tasks: Sequence[asyncio.Task[None]]
) -> ResourceChange:
    """The next news; raises what ended a task, which is a bug of ours."""
    if not news.empty():
        return news.get_nowait()
    getting = asyncio.create_task(news.get())
    try:
        await asyncio.wait((getting, *tasks), return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()
        return getting.result()
    finally:
        getting.cancel()


class _Start:
    """Says SYNCED when as many first lists have been told as there are."""

    def __init__(self, expected: int, news: asyncio.Queue[ResourceChange]) -> None:
        self._missing = expected
        self._news = news

    async def one(self) -> None:
        """One more has been told."""
        self._missing -= 1
        if self._missing == 0:
            await self._news.put(ResourceChange(ChangeType.SYNCED))


class _Feed:
    """One kind in one scope: its list, and its stream, again and again."""

    def __init__(
        self,
        api: CustomObjectsApi,
        scope: Scope,
        listed: List,
        read: Read,
        settings: WatchSettings,
        news: asyncio.Queue[ResourceChange],
        start: _Start,
        log: FilteringBoundLogger,
    ) -> None:
        self.kind, self.plural, self._scope = scope
        self._listed = False
        self._start = start
        self._api = api
        self._list = listed
        self._read = read
        self._settings = settings
        self._news = news
        self._log = log
        self._version = ""
        self._known: dict[ObjectRef, tuple[str, str]] = {}
        self._problem = ""

    async def run(self) -> None:
        """List when that is needed, follow, and begin again; until cancelled."""
        pauses = iter(BackOffs(self._settings.longest_pause))
        while True:
            pause: float | None = None
            try:
                if not self._version:
                    await self._relist()
                if await self._follow():
                    pauses = iter(BackOffs(self._settings.longest_pause))
                    continue
            except _TooOldError:
                self._version = ""
            except ResourceStoreUnavailableError as error:
                self._tell(str(error))
                pause = error.retry_after
            except ResourceClientError as error:
                self._tell(str(error))
            except _EndedError as error:
                self._tell(str(error))
                pause = error.pause
            await asyncio.sleep(next(pauses) if pause is None else pause)

    def _tell(self, problem: str) -> None:
        """Say what is wrong, once."""
        if problem != self._problem:
            self._log.warning("objects cannot be followed", kind=self.kind, error=problem)
        self._problem = problem

    async def _relist(self) -> None:
        """Make what is known true. What is told of it are the differences, but for the first time."""
        listing = await self._list(self.kind, self._scope)
        gone = self._known.keys() - {each.ref for each in listing.items}
        for stored in listing.items:
            await self._present(stored)
        for ref in gone:
            del self._known[ref]
            await self._news.put(ResourceChange(ChangeType.DELETED, ref))
        self._version = listing.version
        self._problem = ""
        if not self._listed:
            self._listed = True
            await self._start.one()

    async def _present(self, stored: Stored) -> None:
        """Tell of an object unless what its user says of it is known."""
        said = (stored.uid, digest(stored.document))
        if self._known.get(stored.ref) != said:
            self._known[stored.ref] = said
            type_ = ChangeType.CHANGED if self._listed else ChangeType.PRESENT
            await self._news.put(ResourceChange(type_, stored.ref, stored))

    async def _follow(self) -> bool:
        """One stream, to its end; whether it brought anything.

        Raises :class:`_TooOldError`, :class:`_EndedError`.
        """
        brought = False
        try:
            async with asyncio.timeout(self._settings.silence):
                response = await self._open()
            try:
                if response.status >= 400:
                    raise await _refused(self.plural, response)
                self._problem = ""
                while line := await self._line(response):
                    brought = True
                    await self._event(json.loads(line))
            finally:
                _abort(response)
        except (aiohttp.ClientError, OSError, ValueError, KubeConfigError) as error:
            words = str(error) or type(error).__name__
            raise _EndedError(f"the stream was cut: {words}") from error
        return brought

    async def _line(self, response: aiohttp.ClientResponse) -> bytes:
        try:
            async with asyncio.timeout(self._settings.silence):
                return await response.content.readline()
        except TimeoutError:
            raise _EndedError("the API server has gone silent") from None

    async def _open(self) -> aiohttp.ClientResponse:
        lifetime = self._settings.lifetime
        options: dict[str, Any] = {
            "watch": True,
            "allow_watch_bookmarks": True,
            "resource_version": self._version,
            "timeout_seconds": lifetime,
            # for the whole stream; without it the client would end it after five minutes
            "_request_timeout": lifetime + 60.0,
        }
        if self._scope is None:
            return await self._api.list_custom_object_for_all_namespaces_without_preload_content(
                GROUP, VERSION, self.plural, **options
            )
        return await self._api.list_namespaced_custom_object_without_preload_content(
            GROUP, VERSION, self._scope, self.plural, **options
        )

    async def _event(self, event: Mapping[str, Any]) -> None:
        type_, seen = event["type"], event["object"]
        if type_ == "ERROR":
            if seen.get("code") == 410:
                raise _TooOldError
            raise _EndedError(f"the API server answers {seen.get('code')}: {seen.get('message')}")
        if type_ != "BOOKMARK":
            stored = self._read(self.kind, seen)
            if type_ == "DELETED":
                self._known.pop(stored.ref, None)
                await self._news.put(ResourceChange(ChangeType.DELETED, stored.ref, stored))
            else:
                await self._present(stored)
        self._version = seen["metadata"]["resourceVersion"]


def _abort(response: aiohttp.ClientResponse) -> None:
    """Let go of a stream at once: whoever stranded it would not answer a farewell either."""
    if response.connection is not None and (transport := response.connection.transport) is not None:
        transport.abort()
    response.close()


async def _refused(plural: str, response: aiohttp.ClientResponse) -> Exception:
    error = ApiException(status=response.status, reason=response.reason, body=await response.text())
    error.headers = response.headers
    if response.status == 410:
        return _TooOldError()
    return _EndedError(str(refusal(plural, error)), retry_after(error))
