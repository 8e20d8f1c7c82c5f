"""The Kubernetes provider: keeps the store equal to what an API server holds.

kopf tells early, lists make it true (docs/decisions/0013). Everything but kopf itself runs on
the event loop of the store.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from structlog.typing import FilteringBoundLogger

from fluxgate.resources import ObjectRef, ResourceStore, ServiceEndpoints
from fluxgate_operator.kube.access import ClusterAccess
from fluxgate_operator.kube.client import KubeClient
from fluxgate_operator.kube.errors import (
    ForbiddenError,
    KubeApiError,
    KubeError,
    NotFoundError,
    TooManyRequestsError,
)
from fluxgate_operator.kube.types import (
    ENDPOINT_SLICES,
    OUR_TYPES,
    SECRETS,
    SERVICES,
    KubeType,
)
from fluxgate_operator.notify import Signal
from fluxgate_operator.providers.kubernetes.back_off import BackOffs
from fluxgate_operator.providers.kubernetes.endpoints import (
    EndpointsTable,
    ServiceIntake,
    SliceIntake,
)
from fluxgate_operator.providers.kubernetes.feed import KindFeed
from fluxgate_operator.providers.kubernetes.intake import Intake, ObjectFacts
from fluxgate_operator.providers.kubernetes.references import References
from fluxgate_operator.providers.kubernetes.resources import KindIntake, ResourceBook
from fluxgate_operator.providers.kubernetes.secrets import ReferredSecrets, reason_of
from fluxgate_operator.providers.kubernetes.told import News, Told
from fluxgate_operator.providers.kubernetes.watcher import KopfWatcher
from fluxgate_operator.settings import ClusterSettings

_TURN_SECONDS = 0.002
"""How long events may take of one turn of the loop."""
_RETRY_SECONDS = 3.0

Intakes = Mapping[KubeType, Intake | Iterable[Intake]]


@dataclass(frozen=True, slots=True)
class ProviderHealth:
    """For metrics and readiness.

    ``last_resync`` is in the loop's time, seconds, of the kind that was listed longest ago; None
    until each was. ``watching`` is whether kopf has come so far as to ask the API server.
    ``problems`` are by kind, in words.
    """

    last_resync: float | None
    watching: bool
    watch_restarts: int
    objects: Mapping[str, int]
    problems: Mapping[str, str]


class KubernetesProvider:
    """Keeps ``store`` equal to the API server.

    ``changed`` is called after every batch of news that changed the store or who is troubled.
    ``intakes`` are further consumers by kind, one or several of each.
    """

    def __init__(
        self,
        client: KubeClient,
        access: ClusterAccess,
        settings: ClusterSettings,
        store: ResourceStore,
        changed: Callable[[], None],
        log: FilteringBoundLogger,
        intakes: Intakes = MappingProxyType({}),
    ) -> None:
        self._client = client
        self._settings = settings
        self._store = store
        self._changed = changed
        self._log = log
        self._book = ResourceBook(store)
        self._endpoints = EndpointsTable(store)
        self._secrets = ReferredSecrets(store, log)
        self._references = References(store)
        self._ours = [KindIntake(each.kind, self._book) for each in OUR_TYPES]
        self._optional = set(intakes) - {SERVICES, ENDPOINT_SLICES}
        self._feeds = self._make_feeds(intakes)
        self._loaded = asyncio.Event()
        self._told = (-1, -1)
        self.heard = Signal()
        """Notified after any news, also those that change nothing: :meth:`facts` may say more."""
        self._watcher = KopfWatcher(
            access,
            [*self._feeds, SECRETS],
            settings.namespaces,
            self._take,
            lambda: self.resync("the watch was started again"),
            log,
            silence=settings.watch_silence_seconds,
        )

    def _make_feeds(self, intakes: Intakes) -> dict[KubeType, KindFeed]:
        found: dict[KubeType, list[Intake]] = {
            type_: [intake] for type_, intake in zip(OUR_TYPES, self._ours, strict=True)
        }
        found[SERVICES] = [ServiceIntake(self._endpoints)]
        found[ENDPOINT_SLICES] = [SliceIntake(self._endpoints)]
        for type_, given in intakes.items():
            several = given if isinstance(given, Iterable) else (given,)
            found.setdefault(type_, []).extend(several)
        scopes = self._settings.namespaces or (None,)
        return {type_: KindFeed(type_, scopes, each) for type_, each in found.items()}

    # what others ask

    async def loaded(self) -> None:
        """Return when the first complete list of every kind is in the store; kopf is not awaited.

        The Secrets that they refer to are there as well.
        """
        await self._loaded.wait()

    def facts(self, ref: ObjectRef) -> ObjectFacts | None:
        """See :class:`~fluxgate_operator.providers.kubernetes.intake.FactsReader`."""
        return self._book.facts(ref)

    def troubled(self) -> Mapping[ObjectRef, ObjectFacts]:
        """See :class:`~fluxgate_operator.providers.kubernetes.intake.FactsReader`."""
        return self._book.troubled()

    def endpoints_of(self, ref: ObjectRef) -> ServiceEndpoints | None:
        """The endpoints of any Service, referred to or not; None when there is no such Service."""
        return self._endpoints.look_up(ref)

    def health(self) -> ProviderHealth:
        """How the provider is doing."""
        times = [each.listed_at for each in self._feeds.values() if not each.absent]
        known = [each for each in times if each is not None]
        problems = {each.type.kind: each.problem for each in self._feeds.values() if each.problem}
        if self._secrets.problem:
            problems["Secret"] = self._secrets.problem
        objects = {each.type.kind: len(each) for each in self._feeds.values()}
        return ProviderHealth(
            min(known) if known and len(known) == len(times) else None,
            self._watcher.known_since is not None,
            self._watcher.restarts,
            MappingProxyType({**objects, "Secret": len(self._secrets)}),
            MappingProxyType(problems),
        )

    def resync(self, reason: str) -> None:
        """List every kind again, soon."""
        self._log.debug("resync", reason=reason)
        for each in self._feeds.values():
            each.due.set()
        self._secrets.refresh()

    def settle(self) -> None:
        """Look at what the store refers to now. For whoever writes to the store besides."""
        if self._references.recount():
            self._endpoints.want(self._references.of("Service"))
            self._secrets.want(self._references.of("Secret"))
        self._endpoints.settle()
        now = self._store.revision, sum(each.troubled_changes for each in self._ours)
        if now != self._told and self._loaded.is_set():
            self._told = now
            self._changed()

    # life

    async def run(self) -> None:
        """Load, then follow until cancelled."""
        async with asyncio.TaskGroup() as group:
            for feed in self._feeds.values():
                group.create_task(self._keep_listed(feed), name=f"list {feed.type.plural}")
            group.create_task(self._keep_secrets(), name="secrets")
            group.create_task(self._load(), name="load")
            group.create_task(self._on_timer(), name="resync")
            group.create_task(self._watch(), name="kopf")

    async def _load(self) -> None:
        for feed in self._feeds.values():
            await feed.listed.wait()
        self.settle()
        self._secrets.due.set()
        await self._secrets.looked.wait()
        self._loaded.set()
        self.settle()

    async def _watch(self) -> None:
        """Start kopf last: it replays everything at its start. First what is served comes, undisturbed."""
        await self._loaded.wait()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watcher.run())
            group.create_task(self._restart_ignorant_kopf())

    async def _restart_ignorant_kopf(self) -> None:
        """Have kopf look again when it does not know of a kind that we can list.

        It looks once, at its start, and discovery lags behind a CRD that was just installed. The
        pauses grow, since each look replays everything.
        """
        pause = _RETRY_SECONDS
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(pause)
            since = self._watcher.known_since
            listable = {each.type for each in self._feeds.values() if not each.problem}
            missing = listable - self._watcher.known
            if not missing:
                pause = _RETRY_SECONDS
            elif since is not None and loop.time() - since >= _RETRY_SECONDS:
                names = sorted(each.plural for each in missing)
                self._log.info("the watch does not know of kinds yet", kinds=names)
                self._watcher.restart()
                pause = min(2 * pause, self._settings.resync_seconds)

    async def _on_timer(self) -> None:
        while True:
            await asyncio.sleep(self._settings.resync_seconds)
            self.resync("it was time")

    async def _keep_listed(self, feed: KindFeed) -> None:
        pauses = iter(BackOffs(_RETRY_SECONDS))
        while True:
            await feed.due.wait()
            feed.due.clear()
            try:
                await feed.list(self._client)
            except KubeError as error:
                feed.due.set()
                await asyncio.sleep(self._failed(feed, error, next(pauses)))
                continue
            finally:
                if self._loaded.is_set():
                    self.settle()
                self.heard.notify()
            pauses = iter(BackOffs(_RETRY_SECONDS))
            self._succeeded(feed)

    def _succeeded(self, feed: KindFeed) -> None:
        if feed.problem:
            self._log.info("a kind can be listed again", kind=feed.type.kind)
        if feed.absent:
            self._watcher.restart()  # it does not know of the kind yet
        feed.problem, feed.absent = "", 0
        feed.listed_at = asyncio.get_running_loop().time()
        feed.listed.set()

    def _failed(self, feed: KindFeed, error: KubeError, pause: float) -> float:
        """Say so once; returns for how long to wait, in seconds."""
        words = str(error)
        if isinstance(error, NotFoundError):
            words = f"{feed.type.plural}.{feed.type.group} is not installed; install its CRD"
            feed.absent += 1
            if feed.absent > 1 or not feed.listed.is_set():
                feed.vanish()
            feed.listed.set()
            pause = _RETRY_SECONDS
        elif isinstance(error, ForbiddenError):
            pause = _RETRY_SECONDS
            if feed.type in self._optional:
                feed.listed.set()
        elif isinstance(error, TooManyRequestsError) and error.retry_after is not None:
            pause = error.retry_after
        if words != feed.problem:
            self._log.warning("a kind cannot be listed", kind=feed.type.kind, error=words)
        feed.problem = words
        return pause

    async def _keep_secrets(self) -> None:
        pauses = iter(BackOffs(_RETRY_SECONDS))
        while True:
            await self._secrets.due.wait()
            self._secrets.due.clear()
            try:
                await self._secrets.fetch(self._client)
            except KubeError as error:
                words = reason_of(error)
                if words != self._secrets.problem:
                    self._log.warning("a Secret cannot be read", error=words)
                self._secrets.problem = words
                self._secrets.due.set()
                if isinstance(error, ForbiddenError):
                    self._secrets.looked.set()  # what needs no Secret is served all the same
                after = error.retry_after if isinstance(error, KubeApiError) else None
                await asyncio.sleep(next(pauses) if after is None else after)
            else:
                self._secrets.problem = ""
                pauses = iter(BackOffs(_RETRY_SECONDS))
            if self._loaded.is_set():
                self.settle()

    # events

    async def _take(self, told: list[Told]) -> None:
        """Some events; what else the loop has to do goes in between when they take long."""
        news = False
        began = time.perf_counter()
        for each in told:
            news = self._tell(each) or news
            if time.perf_counter() - began > _TURN_SECONDS:
                await asyncio.sleep(0)
                began = time.perf_counter()
        if news and self._loaded.is_set():
            self.settle()
        self.heard.notify()

    def _tell(self, told: Told) -> bool:
        """Returns whether it was news."""
        if told.news is News.LISTED:
            if told.type is SECRETS:
                self._secrets.refresh()
            else:
                self._feeds[told.type].due.set()
            return False
        if told.type is SECRETS:
            return self._secrets.event(told)
        return self._feeds[told.type].event(told)
