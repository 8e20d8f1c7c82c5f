"""Which objects of a batch would be served as written, tried all together.

A Route may come with the Backend it needs, so nothing is tried by itself. What a fatal problem names is taken
out, and the rest is tried again; where none is named, who is to blame is found by halves.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from fluxgate_admin.errors import AdminError
from fluxgate_admin.principal import Principal
from fluxgate_admin.use_cases.batch_items import Entry
from fluxgate_admin.use_cases.batch_order import in_ranks
from fluxgate_admin.use_cases.changes import Changes, refusal
from fluxgate_admin.use_cases.drafts import Problem, Report, WriteOptions
from fluxgate_admin.use_cases.pointers import pointer
from fluxgate_admin.use_cases.trials import Trials

_ROUNDS = 8
"""Trials that take out what names its own object, before others are looked for by halves."""


class BatchTrial:
    """Refuses, by their ``error``, entries that would not be served as written."""

    def __init__(self, trials: Trials, changes: Changes) -> None:
        self._trials = trials
        self._changes = changes

    async def run(
        self, principal: Principal, entries: Sequence[Entry], options: WriteOptions
    ) -> Report:
        """Take out what would not be served as written; what is left has been tried together."""
        left = list(entries)
        for _ in range(_ROUNDS):
            left = self._without_those_in_use(principal, left, options)
            if not left:
                return Report()
            report = await self._trials.run(principal, [each.draft for each in left])
            bad = _blamed(left, report)
            if not bad:
                break
            for each, problems in bad:
                each.error = refusal(problems)
            left = [each for each in left if each.changes]
        if not _unserved(report, options):
            _warn(left, report)
            return report
        return await self._narrow(principal, left, options)

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

    async def _narrow(
        self, principal: Principal, entries: Sequence[Entry], options: WriteOptions
    ) -> Report:
        """Something is wrong that names no object of the batch: find by halves whom to refuse."""
        accepted: list[Entry] = []
        waiting = [list(chain.from_iterable(in_ranks(entries, lambda each: each.rank)))]
        report = Report()
        while waiting:
            part = waiting.pop()
            found = await self._trials.run(principal, [each.draft for each in (*accepted, *part)])
            bad = found.fatal if _blamed([*accepted, *part], found) else _unserved(found, options)
            if not bad:
                accepted += part
                report = found
            elif len(part) == 1:
                part[0].error = refusal(bad)
            else:
                middle = len(part) // 2
                waiting += [part[middle:], part[:middle]]
        _warn(accepted, report)
        return report


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
