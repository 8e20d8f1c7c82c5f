"""kopf itself: ``on.event`` handlers that tell what they see. Runs in a process of its own.

Only what kopf exports is used. How a relist is noticed, for which it exports nothing: kopf is given
our HTTP session, whose middleware sees every request. A GET of a collection that is not a watch
is a page of a list; the first watch after it means that kopf has listed that kind anew, also when
the list is empty and no event comes of it.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Sequence
from typing import Any

import aiohttp
import kopf

from fluxgate_operator.kube.access import ClusterAccess
from fluxgate_operator.kube.client import PAGE, Document
from fluxgate_operator.kube.connector import api_connector
from fluxgate_operator.kube.types import KubeType
from fluxgate_operator.providers.kubernetes.back_off import BackOffs
from fluxgate_operator.providers.kubernetes.told import News, Record, object_bytes

_CONNECT_SECONDS = 5.0
_REQUEST_SECONDS = 30.0
_IDENTITY: Any = "fluxgate"  # kopf's own type for it is private, a str all the same


class KopfOperator:
    """One life of kopf. ``tell`` is called for everything there is to tell, and may block."""

    def __init__(
        self,
        access: ClusterAccess,
        types: Sequence[KubeType],
        namespaces: Sequence[str],
        silence: float,
        tell: Callable[[Record], None],
    ) -> None:
        self._access = access
        self._types = types
        self._namespaces = namespaces
        self._silence = silence
        self._tell = tell
        self._paths = {
            each.path(scope): index
            for index, each in enumerate(types)
            for scope in namespaces or (None,)
        }
        self._logins = iter(BackOffs())
        self._logged_in = False
        self._relisted: set[str] = set()

    async def run(self) -> None:
        """Until one of kopf's tasks ends, by what it raised; the others are left as they are.

        Not by ``kopf.run_tasks``: it waits 5 s for tasks that never end by themselves, and then
        for ever when a watch that is just being asked for swallows its cancellation.
        """
        # kopf logs a line an event and an error a retry; what matters of it we say ourselves
        logging.getLogger("kopf").setLevel(logging.CRITICAL)
        asyncio.get_running_loop().set_exception_handler(self._unhandled)
        tasks = await kopf.spawn_tasks(
            registry=self._registry(),
            settings=self._settings(),
            namespaces=list(self._namespaces),
            clusterwide=not self._namespaces,
            standalone=True,
            # else kopf asks for the name of our user, which an arbitrary UID does not have
            identity=_IDENTITY,
        )
        # kopf has made the signals its own; they are its parent's business
        for each in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().remove_signal_handler(each)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

    def _unhandled(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        words = repr(context.get("exception")) if "exception" in context else context["message"]
        self._tell(Record(News.UNHANDLED, body=words.encode(errors="replace")))

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
        # CRDs that come and go are seen by our lists; kopf needs no right to watch them
        settings.scanning.disabled = True
        return settings

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry)(self._login)
        for index, each in enumerate(self._types):
            handler = self._handler(index, each)
            kopf.on.event(each.group, each.version, each.plural, registry=registry)(handler)
        return registry

    def _handler(self, index: int, type_: KubeType) -> Callable[..., Any]:
        async def handle(event: kopf.RawEvent, **_: object) -> None:
            found: Document = dict(event["object"])
            meta = found["metadata"]
            gone = event["type"] == "DELETED"
            self._tell(
                Record(
                    News.GONE if gone else News.SEEN,
                    index,
                    meta.get("namespace", ""),
                    meta["name"],
                    meta.get("resourceVersion", ""),
                    b"" if gone else object_bytes(found),
                )
            )

        handle.__name__ = type_.plural
        return handle

    async def _login(self, **_: object) -> kopf.AiohttpSession:
        """A session whose requests carry the token of the moment.

        kopf asks again after a 401; then it waits a little, since a wrong token stays wrong.
        """
        if self._logged_in:
            await asyncio.sleep(next(self._logins))
        self._logged_in = True
        session = aiohttp.ClientSession(
            connector=api_connector(self._access.tls, 0),
            headers={"user-agent": "fluxgate-watch", "accept": "application/json"},
            middlewares=(self._authorized, self._noticed),
        )
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
        path = request.url.path
        if (index := self._paths.get(path)) is None:
            return await handler(request)
        watches = "watch" in request.url.query
        if not watches:
            self._tell(Record(News.KNOWN, index))  # whatever the answer will be
        response = await handler(request)
        if response.status == 200 and not watches:
            self._relisted.add(path)
        elif response.status == 200 and path in self._relisted:
            self._relisted.discard(path)
            self._tell(Record(News.LISTED, index))
        return response
