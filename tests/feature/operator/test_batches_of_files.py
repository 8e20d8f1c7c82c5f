"""A batch of files is taken into a few turns of the reconciler, however many files it has.

A real folder, its real watch and its real writers; only what a turn does is counted and not done.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog

from fluxgate.resources import ObjectRef, Resources, ResourceStore
from fluxgate.snapshot import Snapshot
from fluxgate_operator.notify import Signal
from fluxgate_operator.pipeline import Built, SetAsides
from fluxgate_operator.providers.directory import DirectoryProvider
from fluxgate_operator.reconciler import Reconciler
from fluxgate_operator.resource_clients.directory import DirectoryResources
from fluxgate_operator.settings import HoldoffSettings

FILES = 40
FEW = 3
"""What was on its way when a batch began, the batch, and what the watch told after its end."""


class Counting:
    """A pipeline that makes nothing."""

    def __init__(self) -> None:
        self.objects: list[int] = []

    def build(self, resources: Resources, set_aside: SetAsides) -> Built:
        del set_aside
        self.objects.append(sum(1 for _ in resources))
        return Built({}, {}, {})


class Nowhere:
    def publish(self, gateway: str, snapshot: Snapshot) -> None:
        del gateway, snapshot


class World:
    """A folder, whoever reads it, and whoever writes to it."""

    def __init__(self, root: Path, gathering: float) -> None:
        self.store = ResourceStore()
        self.pipeline = Counting()
        self.provider = DirectoryProvider(root, self.store, self._changed)
        self.resources = DirectoryResources(root, structlog.get_logger())
        self.reconciler = Reconciler(
            self.store,
            self.pipeline,
            Nowhere(),
            self.provider.loaded,
            structlog.get_logger(),
            HoldoffSettings(gathering=gathering),
        )
        self.heard = Signal()

    def _changed(self) -> None:
        self.heard.notify()
        self.reconciler.poke()

    async def write(self, numbers: range) -> None:
        """One file after the other, each waiting until it is taken in: as slow as a disk may be."""
        for number in numbers:
            await self.resources.create(upstream(f"u{number:03d}"))
            await self.provider.settled()

    async def turn_with(self, objects: int) -> int:
        """Turns until one has them all."""
        async with asyncio.timeout(60):
            while not self.pipeline.objects or self.pipeline.objects[-1] < objects:
                await self.reconciler.done.wait()
        return len(self.pipeline.objects)


def upstream(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "gateway.fluxgate.io/v1alpha1",
        "kind": "Upstream",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"targets": [{"host": "127.0.0.1", "port": 1}]},
    }


@asynccontextmanager
async def world(root: Path, gathering: float = 60.0) -> AsyncIterator[World]:
    made = World(root, gathering)
    tasks = [asyncio.create_task(each) for each in (made.provider.run(), made.reconciler.run())]
    try:
        await made.reconciler.done.wait()
        yield made
    finally:
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await made.resources.close()


async def test_a_batch_of_files_costs_a_few_turns_and_not_one_each(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        before = len(here.pipeline.objects)
        with here.reconciler.gathering():
            await here.write(range(FILES))
        assert await here.turn_with(FILES) - before <= FEW
        assert here.store.get(ObjectRef("Upstream", "default", "u000")) is not None


async def test_two_batches_at_a_time_are_taken_in_when_both_are_written(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        before = len(here.pipeline.objects)
        with here.reconciler.gathering():
            with here.reconciler.gathering():
                await here.write(range(FILES // 2))
            await here.write(range(FILES // 2, FILES))
        assert await here.turn_with(FILES) - before <= FEW


async def test_a_batch_that_does_not_end_keeps_nobody_waiting_for_ever(tmp_path: Path) -> None:
    async with world(tmp_path, gathering=0.05) as here:
        with here.reconciler.gathering():
            await here.write(range(1))
            assert await here.turn_with(1) > 0


async def test_a_batch_that_fails_is_over(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        with contextlib.suppress(OSError), here.reconciler.gathering():
            raise OSError
        await here.write(range(1))
        assert await here.turn_with(1) > 0


@pytest.mark.parametrize("writers", [1, 8])
async def test_a_single_write_does_not_wait_for_a_batch_that_is_over(
    tmp_path: Path, writers: int
) -> None:
    async with world(tmp_path) as here:
        for _ in range(writers):
            with here.reconciler.gathering():
                pass
        await here.resources.create(upstream("alone"))
        assert await here.turn_with(1) > 0
