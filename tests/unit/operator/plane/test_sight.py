"""When a write to an API server has come back."""

from __future__ import annotations

import asyncio

import pytest

from fluxgate.ports import Pending
from fluxgate.resources import ObjectRef
from fluxgate_operator.notify import Signal
from fluxgate_operator.plane import ClusterSight
from fluxgate_operator.providers.kubernetes.intake import ObjectFacts

REF = ObjectRef("Route", "shop", "orders")


class Provider:
    """What is known, said by the test."""

    def __init__(self) -> None:
        self.heard = Signal()
        self.known: dict[ObjectRef, ObjectFacts] = {}

    def facts(self, ref: ObjectRef) -> ObjectFacts | None:
        return self.known.get(ref)

    def hear(self, version: str = "", uid: str = "one", ref: ObjectRef = REF) -> None:
        if version:
            self.known[ref] = ObjectFacts(ref, uid, version, 1)
        else:
            self.known.pop(ref, None)
        self.heard.notify()


async def waiting(provider: Provider, *writes: Pending) -> asyncio.Task[None]:
    """Somebody who waits already."""
    task = asyncio.create_task(ClusterSight(provider).taken_in(writes))
    await asyncio.sleep(0)
    return task


async def settled(task: asyncio.Task[None]) -> bool:
    """Whether the wait is over, once everything that can run has run."""
    for _ in range(5):
        await asyncio.sleep(0)
    if task.done():
        task.result()
        return True
    task.cancel()
    return False


async def test_what_is_known_already_is_seen_at_once() -> None:
    provider = Provider()
    provider.hear("12")

    assert await settled(await waiting(provider, Pending(REF, "12")))


@pytest.mark.parametrize(("version", "seen"), [("9", False), ("12", True), ("120", True)])
async def test_versions_are_compared_as_numbers(version: str, seen: bool) -> None:
    provider = Provider()
    provider.hear("3")
    task = await waiting(provider, Pending(REF, "12"))

    provider.hear(version)

    assert await settled(task) is seen


async def test_a_deletion_is_seen_when_the_object_is_gone() -> None:
    provider = Provider()
    provider.hear("3")
    task = await waiting(provider, Pending(REF, ""))

    provider.hear()

    assert await settled(task)


async def test_a_deletion_is_not_seen_while_the_object_only_changes() -> None:
    provider = Provider()
    provider.hear("3")
    task = await waiting(provider, Pending(REF, ""))

    provider.hear("4")

    assert not await settled(task)


async def test_a_deletion_is_seen_when_somebody_made_the_object_anew() -> None:
    provider = Provider()
    provider.hear("3")
    task = await waiting(provider, Pending(REF, ""))

    provider.hear("5", uid="two")

    assert await settled(task)


async def test_every_write_has_to_be_seen() -> None:
    provider, other = Provider(), ObjectRef("Plugin", "shop", "limit")
    task = await waiting(provider, Pending(REF, "2"), Pending(other, "3"))

    provider.hear("2")
    await asyncio.sleep(0)
    assert not task.done()
    provider.hear("3", ref=other)

    assert await settled(task)
