"""A provider that runs against the real API server, through a proxy that can fail."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import psutil
import pytest
import structlog

from fluxgate.resources import ObjectRef, ResourceStore
from fluxgate_operator.kube.access import load_access
from fluxgate_operator.kube.client import KubeClient
from fluxgate_operator.notify import Signal
from fluxgate_operator.providers.kubernetes.provider import KubernetesProvider
from fluxgate_operator.settings import ClusterSettings


class Watched:
    """A running provider and its store; ``answers`` counts what its lists were answered."""

    def __init__(
        self,
        provider: KubernetesProvider,
        store: ResourceStore,
        news: Signal,
        answers: Counter[int],
    ) -> None:
        self.provider = provider
        self.store = store
        self.answers = answers
        self._news = news

    @property
    def kopf(self) -> psutil.Process:
        """The process of kopf."""
        (found,) = kopf_processes(psutil.Process())
        return found

    def names(self, kind: str, namespace: str) -> set[str]:
        """The objects of a kind in the store."""
        found = self.store.freeze().objects.get(kind, {})
        return {ref.name for ref in found if ref.namespace == namespace}

    async def until(self, holds: Callable[[], object], seconds: float = 60.0) -> None:
        """Wait until something holds; looked at after every change, and now and then."""
        try:
            async with asyncio.timeout(seconds):
                while not holds():
                    try:
                        await asyncio.wait_for(self._news.wait(), 0.05)
                    except TimeoutError:
                        continue
        except TimeoutError:
            raise AssertionError(f"not within {seconds} s; {self.provider.health()}") from None

    def has(self, kind: str, namespace: str, name: str) -> bool:
        """Whether the store holds an object."""
        return self.store.get(ObjectRef(kind, namespace, name)) is not None


def kopf_processes(parent: psutil.Process) -> list[psutil.Process]:
    """Of a process, those children of it that run kopf."""
    return [each for each in parent.children() if any("kopf_process" in a for a in each.cmdline())]


Start = Callable[..., AbstractAsyncContextManager[Watched]]


@pytest.fixture
def start() -> Start:
    """Start a provider by a kubeconfig; settings as keywords."""

    @asynccontextmanager
    async def starting(
        kubeconfig: Path, *, wait: bool = True, intakes: Mapping = {}, **settings: object
    ) -> AsyncIterator[Watched]:
        access = await load_access(kubeconfig, None, {})
        store, news = ResourceStore(), Signal()
        answers: Counter[int] = Counter()
        observe = lambda _method, code: answers.update([code])  # noqa: E731
        async with KubeClient(access, timeout=5.0, observe=observe) as client:
            provider = KubernetesProvider(
                client,
                access,
                ClusterSettings(**{"watch_silence_seconds": 68.0, **settings}),
                store,
                news.notify,
                structlog.get_logger(),
                intakes,
            )
            running = asyncio.create_task(provider.run())
            try:
                if wait:
                    loaded: Awaitable[None] = provider.loaded()
                    await asyncio.wait_for(loaded, 60)
                yield Watched(provider, store, news, answers)
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

    return starting
