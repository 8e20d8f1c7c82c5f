"""The life of what a composition root runs: started, ended, and what is told of failures."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

import pytest

from fluxgate_operator.errors import PortTakenError
from fluxgate_operator.main_task import MainTask, Run

Started = Callable[[], None]


async def serve(started: Started) -> None:
    """Starts at once and goes on."""
    started()
    await asyncio.Event().wait()


def in_groups(failing: Callable[[Started], Coroutine[object, object, None]]) -> Run:
    """The same as a task of a group within a group."""

    async def run(started: Started) -> None:
        async with asyncio.TaskGroup(), asyncio.TaskGroup() as inner:
            inner.create_task(failing(started))

    return run


async def refuse(started: Started) -> None:
    raise PortTakenError("8080")


async def test_it_runs_from_its_start_to_its_end() -> None:
    main = MainTask("test")
    before = main.running
    await main.start(serve)
    during = main.running
    await main.end()
    assert (before, during, main.running) == (False, True, False)


async def test_a_start_waits_until_everything_is_started() -> None:
    may_start = asyncio.Event()

    async def slow(started: Started) -> None:
        await may_start.wait()
        await serve(started)

    main = MainTask("test")
    starting = asyncio.create_task(main.start(slow))
    await asyncio.wait((starting,), timeout=0)
    assert not starting.done()
    may_start.set()
    await starting
    await main.end()


@pytest.mark.parametrize("run", [refuse, in_groups(refuse)], ids=["plain", "in groups"])
async def test_a_start_raises_the_first_cause_of_what_kept_it_from_starting(run: Run) -> None:
    main = MainTask("test")
    with pytest.raises(PortTakenError, match="8080"):
        await main.start(run)
    assert not main.running


async def test_a_start_that_is_cancelled_ends_what_it_had_begun() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def never_ready(started: Started) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    main = MainTask("test")
    starting = asyncio.create_task(main.start(never_ready))
    await begun.wait()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert ended.is_set()
    assert not main.running


async def test_finished_raises_the_first_cause_of_what_brought_it_down() -> None:
    fall = asyncio.Event()

    async def falling(started: Started) -> None:
        started()
        await fall.wait()
        raise PortTakenError("later")

    main = MainTask("test")
    await main.start(in_groups(falling))
    finished = asyncio.create_task(main.finished())
    fall.set()
    with pytest.raises(PortTakenError, match="later"):
        await finished


async def test_finished_returns_when_it_was_ended() -> None:
    main = MainTask("test")
    await main.start(serve)
    finished = asyncio.create_task(main.finished())
    await main.end()
    await finished


async def test_who_waits_for_its_end_and_gives_up_does_not_end_it() -> None:
    main = MainTask("test")
    await main.start(serve)
    finished = asyncio.create_task(main.finished())
    await asyncio.wait((finished,), timeout=0)
    finished.cancel()
    with pytest.raises(asyncio.CancelledError):
        await finished
    assert main.running
    await main.end()


async def test_what_was_never_started_is_finished_and_can_be_ended() -> None:
    main = MainTask("test")
    await main.finished()
    await main.end()
    assert not main.running
