"""What a status writer needs around it in tests: objects, their facts, and statuses to write.

The API server is the real one. The facts are what the test last listed: it plays the watch,
and so decides when the writer learns what.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from fluxgate.resources import ObjectRef
from fluxgate.status import Condition, ConditionType, ObjectStatus, Reason
from fluxgate_operator.kube.client import Document, KubeClient
from fluxgate_operator.kube.types import OUR_TYPES
from fluxgate_operator.providers.kubernetes.intake import ObjectFacts

T = TypeVar("T")
ROUTES = next(each for each in OUR_TYPES if each.kind == "Route")

ACCEPTED = Condition(ConditionType.ACCEPTED, status=True, reason=Reason.ACCEPTED)
SERVED = Condition(
    ConditionType.PROGRAMMED, status=True, reason=Reason.PROGRAMMED, message="every node serves it"
)
PENDING = Condition(
    ConditionType.PROGRAMMED, status=False, reason=Reason.PENDING, message="0 of 1 nodes serve it"
)


def route(name: str) -> Document:
    """A small route."""
    return {
        "apiVersion": ROUTES.api_version,
        "kind": "Route",
        "metadata": {"name": name},
        "spec": {
            "matches": [{"path": {"type": "Prefix", "value": f"/{name}"}}],
            "backends": [{"name": "b"}],
        },
    }


async def create_routes(kube: KubeClient, namespace: str, names: list[str]) -> None:
    """Create routes, many at a time."""
    waiting = list(names)

    async def work() -> None:
        while waiting:
            await kube.create(ROUTES, namespace, route(waiting.pop()))

    async with asyncio.TaskGroup() as group:
        for _ in range(16):
            group.create_task(work())


class Facts:
    """Implements ``FactsReader`` by what was last listed."""

    def __init__(self, kube: KubeClient, namespace: str) -> None:
        self._kube = kube
        self._namespace = namespace
        self.known: dict[ObjectRef, ObjectFacts] = {}
        self.trouble: dict[ObjectRef, ObjectFacts] = {}

    async def refresh(self) -> None:
        """Learn what is there now."""
        listing = await self._kube.list(ROUTES, self._namespace)
        self.known = {}
        for each in listing.items:
            meta = each["metadata"]
            ref = ObjectRef("Route", meta["namespace"], meta["name"])
            self.known[ref] = ObjectFacts(
                ref,
                meta["uid"],
                meta["resourceVersion"],
                meta["generation"],
                each.get("status") or {},
            )

    def facts(self, ref: ObjectRef) -> ObjectFacts | None:
        return self.trouble.get(ref) or self.known.get(ref)

    def troubled(self) -> Mapping[ObjectRef, ObjectFacts]:
        return self.trouble


class Book:
    """The statuses to write; setting one makes a new object, as the real book does."""

    def __init__(self) -> None:
        self.statuses: dict[ObjectRef, ObjectStatus] = {}

    def say(self, ref: ObjectRef, *conditions: Condition, generation: int = 1) -> None:
        self.statuses[ref] = ObjectStatus(ref, generation, conditions)

    def read(self) -> Mapping[ObjectRef, ObjectStatus]:
        return dict(self.statuses)


def ref_of(namespace: str, name: str) -> ObjectRef:
    return ObjectRef("Route", namespace, name)


async def conditions(kube: KubeClient, ref: ObjectRef) -> dict[str, dict[str, Any]]:
    """The conditions of a route as the API server has them, by type."""
    found = await kube.get(ROUTES, ref.namespace, ref.name)
    return {each["type"]: each for each in (found.get("status") or {}).get("conditions", ())}


@asynccontextmanager
async def running(*loops: Callable[[], Any]) -> AsyncIterator[None]:
    """Run these, and stop them at the end; what they raised is raised."""
    tasks = [asyncio.ensure_future(each()) for each in loops]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result


async def until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Poll a condition that has no event, with a deadline."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - nothing to wait for
            await asyncio.sleep(0.005)


async def until_said(
    ask: Callable[[], Awaitable[T]], holds: Callable[[T], object], seconds: float = 60
) -> T:
    """Ask a server again until what it says ``holds``; returns that."""
    async with asyncio.timeout(seconds):
        while not holds(said := await ask()):  # noqa: ASYNC110 - servers of others have no event
            await asyncio.sleep(0.1)
        return said
