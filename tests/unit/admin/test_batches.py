"""What a batch writes is announced to the control plane, so that all of it is one turn there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
import structlog
from support.admin_fakes import EVERYTHING, NOW, Bench, document, options

from fluxgate.resources import ObjectRef
from fluxgate_admin.use_cases.batch_items import Item
from fluxgate_admin.use_cases.batches import Batches
from fluxgate_admin.use_cases.trials import Trials
from fluxgate_admin.use_cases.writer import Writer

NAMES = [f"b{number:03d}" for number in range(120)]


class Told:
    """Counts what is written while a batch is announced, and what is not."""

    def __init__(self, bench: Bench) -> None:
        self.announced, self.inside, self.outside, self.under_way = 0, 0, 0, False
        bench.plane.gathering = self.gathering  # type: ignore[method-assign]
        bench.resources.after_write = self.written
        seen = bench.plane.seen

        async def asked(*given: object) -> int | None:
            assert not self.under_way, "a turn is waited for that waits for the batch"
            return await seen(*given)  # type: ignore[arg-type]

        bench.plane.seen = asked  # type: ignore[method-assign]

    def gathering(self) -> AbstractContextManager[None]:
        return self._gathering()

    @contextmanager
    def _gathering(self) -> Iterator[None]:
        self.announced, self.under_way = self.announced + 1, True
        try:
            yield
        finally:
            self.under_way = False

    def written(self) -> None:
        if self.under_way:
            self.inside += 1
        else:
            self.outside += 1


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_a_batch_is_announced_once_and_written_while_it_is(bench: Bench) -> None:
    told = Told(bench)
    trials = Trials(bench.trials, 10, structlog.get_logger())
    writer = Writer(bench.resources, bench.history, lambda: NOW, structlog.get_logger())
    batches = Batches(bench.plane, bench.resources, trials, writer, bench.changes)
    items = [
        Item(
            ObjectRef("Backend", "default", each),
            document("Backend", each, {"url": f"http://{each}.example.com"}),
        )
        for each in NAMES
    ]
    outcome = await batches.apply(EVERYTHING, items, options())
    assert all(each.error is None for each in outcome.entries)
    assert (told.announced, told.inside, told.outside) == (1, len(NAMES), 0)
