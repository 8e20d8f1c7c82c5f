"""Which objects of a batch would be served as written, tried all together.

A Route may come with the Backend it needs, so nothing is tried by itself. What a fatal problem names is taken
out, and the rest is tried again; where none is named, the first that is to blame is found by halves: ten trials
among 500. Trials are bounded in number and in time; what was not told apart by then is refused, and says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain

from fluxgate.ports import Untried
from fluxgate_admin.errors import AdminError, UnprocessableError
from fluxgate_admin.principal import Principal
from fluxgate_admin.use_cases.batch_items import Entry
from fluxgate_admin.use_cases.batch_order import in_ranks
from fluxgate_admin.use_cases.change_refusals import MOST_PROBLEMS, unservable
from fluxgate_admin.use_cases.changes import Changes
from fluxgate_admin.use_cases.drafts import Problem, Report, WriteOptions
from fluxgate_admin.use_cases.pointers import pointer
from fluxgate_admin.use_cases.trials import Trials


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """``trials`` of one batch; after ``seconds`` no further one is begun."""

    trials: int = 64
    seconds: float = 30.0


@dataclass(slots=True)
class _Search:
    """The trials of one batch: how many are left, and what is known to be good together."""

    trials: Trials
    principal: Principal
    left: int
    deadline: float
    good: list[Entry] = field(default_factory=list)
    report: Report = field(default_factory=Report)
    last: tuple[Problem, ...] = ()

    @property
    def spent(self) -> bool:
        """Whether no further trial may be begun."""
        return self.left <= 0 or asyncio.get_running_loop().time() >= self.deadline

    async def ask(self, entries: Sequence[Entry]) -> Report:
        """What ``entries`` would do, all together."""
        self.left -= 1
        found = await self.trials.run(self.principal, [each.draft for each in entries])
        self.last = found.fatal or self.last
        return found

    def forget(self) -> None:
        """What is good together need not be good in part."""
        if not all(each.changes for each in self.good):
            self.good, self.report = [], Report()


class BatchTrial:
    """Refuses, by their ``error``, entries that would not be served as written."""

    def __init__(self, trials: Trials, changes: Changes, limits: BatchLimits | None = None) -> None:
        self._trials = trials
        self._changes = changes
        self._limits = limits or BatchLimits()

    async def run(
        self, principal: Principal, entries: Sequence[Entry], options: WriteOptions
    ) -> Report:
        """Take out what would not be served as written; what is left has been tried together."""
        deadline = asyncio.get_running_loop().time() + self._limits.seconds
        search = _Search(self._trials, principal, self._limits.trials, deadline)
        left = list(chain.from_iterable(in_ranks(entries, lambda each: each.rank)))
        while left := self._without_those_in_use(principal, left, options):
            search.forget()
            if len(search.good) == len(left):
                _warn(left, search.report)
                return search.report
            if search.spent:
                return _give_up(search, left, ())
            report = await search.ask(left)
            named = _blamed(left, report)
            for each, problems in named:
                each.error = unservable(problems)
            if not named and not _unserved(report, options):
                _warn(left, report)
                return report
            if not named and (suspects := await _first_at_fault(search, left, report.fatal)):
                return _give_up(search, left, suspects)
            left = [each for each in left if each.changes]
        return Report()

    def _without_those_in_use(
        self, principal: Principal, entries: Sequence[Entry], options: WriteOptions
    ) -> list[Entry]:
        """Nothing is deleted that others need, but for those that this batch deletes or changes, too.

        One that is changed and needs it still is found by the trial, and is no excuse the next time.
        """
        left = list(entries)
        while not options.force:
            leaving = frozenset(each.item.ref for each in left)
            for each in left:
                if each.item.document is None:
                    try:
                        self._changes.refuse_in_use(principal, each.item.ref, leaving)
                    except AdminError as error:
                        each.error = error
            kept = [each for each in left if each.changes]
            if len(kept) == len(left):
                break
            left = kept
        return left


async def _first_at_fault(
    search: _Search, entries: Sequence[Entry], bad: tuple[Problem, ...]
) -> Sequence[Entry]:
    """Refuse the first entry that makes what comes before it bad, with what is wrong then.

    All entries together are ``bad``, and none is named. Gives those it is among when that could not be told.
    """
    low, high = len(search.good), len(entries)
    while high - low > 1:
        if search.spent:
            return entries[low:high]
        middle = (low + high) // 2
        found = await search.ask(entries[:middle])
        if found.fatal:
            high, bad = middle, found.fatal
        elif _unsure(found, bad):
            return entries[low:high]
        else:
            low, search.good, search.report = middle, list(entries[:middle]), found
    entries[low].error = unservable(bad)
    return ()


def _unsure(report: Report, bad: tuple[Problem, ...]) -> bool:
    """Whether a trial that found nothing did not get to where something was found before."""
    if report.untried is Untried.ENVOY_SILENT:
        return any(each.source == "envoy" for each in bad)
    return report.untried is Untried.OUT_OF_TIME


def _give_up(search: _Search, entries: Sequence[Entry], suspects: Sequence[Entry]) -> Report:
    """Refuse what is not known to be good together; ``suspects`` hold the next one that is to blame."""
    good = {each.index for each in search.good}
    among = {each.index for each in suspects} - good
    for each in entries:
        if each.index in among:
            each.error = _not_told_apart(len(among), search.last)
        elif each.index not in good:
            each.error = UnprocessableError(
                "Not tried to the end, because others of this batch are at fault; send it again without them.",
                error="not_tried",
            )
    _warn(search.good, search.report)
    return search.report


def _not_told_apart(count: int, problems: tuple[Problem, ...]) -> UnprocessableError:
    return UnprocessableError(
        f"One of {count} objects of this batch is at fault, and which one was not found within the trials that "
        f"a batch may take; send fewer of them together. What is wrong: {unservable(problems).message}",
        [each.as_json() for each in problems[:MOST_PROBLEMS]],
        error="not_told_apart",
    )


def _blamed(entries: Sequence[Entry], report: Report) -> list[tuple[Entry, tuple[Problem, ...]]]:
    """Entries that fatal problems name, with those problems."""
    found = []
    for each in entries:
        own = tuple(one for one in report.fatal if _is_about(one, each))
        if own and each.item.document is not None:
            found.append((each, own))
    return found


def _unserved(report: Report, options: WriteOptions) -> tuple[Problem, ...]:
    """What keeps a batch from being made though none of its objects is named; force goes on."""
    return () if options.force else report.fatal


def _warn(entries: Sequence[Entry], report: Report) -> None:
    for each in entries:
        each.warnings = tuple(one for one in report.warnings if _is_about(one, each))


def _is_about(problem: Problem, entry: Entry) -> bool:
    if problem.subject is not None:
        return False
    place = pointer("objects", entry.index)
    return problem.pointer == place or problem.pointer.startswith(f"{place}/")
