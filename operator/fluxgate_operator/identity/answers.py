"""Answers of the API server, believed for a while; each question is open once at a time."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Answer(Generic[T]):
    value: T
    until: float


class Answers(Generic[T]):
    """Remembers at most ``entries`` answers, and has at most ``at_once`` questions open.

    ``keep`` says for how many seconds an answer is believed.
    """

    def __init__(
        self,
        keep: Callable[[T], float],
        clock: Callable[[], float],
        *,
        entries: int,
        at_once: int,
    ) -> None:
        self._keep = keep
        self._clock = clock
        self._entries = entries
        self._turns = asyncio.Semaphore(at_once)
        self._answers: OrderedDict[Hashable, _Answer[T]] = OrderedDict()
        self._open: dict[Hashable, asyncio.Task[T]] = {}

    def known(self, question: Hashable) -> T | None:
        """The answer that is believed now, if there is one."""
        answer = self._answers.get(question)
        return answer.value if answer is not None and self._clock() < answer.until else None

    async def ask(self, question: Hashable, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer that is believed, or that of ``ask``, with everybody who asks the same now.

        Who stops waiting takes the answer from nobody. What ``ask`` raises is raised, and not remembered.
        """
        answer = self._answers.get(question)
        if answer is not None and self._clock() < answer.until:
            return answer.value
        task = self._open.get(question)
        if task is None:
            task = asyncio.create_task(self._asked(question, ask))
            self._open[question] = task
            task.add_done_callback(lambda done: self._done(question, done))
        return await asyncio.shield(task)

    async def _asked(self, question: Hashable, ask: Callable[[], Awaitable[T]]) -> T:
        async with self._turns:
            value = await ask()
        self._answers[question] = _Answer(value, self._clock() + self._keep(value))
        self._answers.move_to_end(question)
        while len(self._answers) > self._entries:
            self._answers.popitem(last=False)
        return value

    def _done(self, question: Hashable, task: asyncio.Task[T]) -> None:
        self._open.pop(question, None)
        if not task.cancelled():
            task.exception()  # who waits gets it; nobody may wait any more
