"""Dry runs of several changes at once; nothing is stored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from fluxgate_admin.errors import NotFoundError, UnprocessableError
from fluxgate_admin.principal import Principal
from fluxgate_admin.use_cases.changes import Changes
from fluxgate_admin.use_cases.documents import parse
from fluxgate_admin.use_cases.drafts import Draft, Problem, Report
from fluxgate_admin.use_cases.failures import problems_of
from fluxgate_admin.use_cases.reach import takes_write_scope
from fluxgate_admin.use_cases.rehearsal import Rehearsal
from fluxgate_admin.use_cases.scopes import require_read, require_write
from fluxgate_admin.use_cases.trials import Trials

MakeDraft = Callable[[], Draft]


class Validation:
    """Says what changes would do, all together."""

    def __init__(self, trials: Trials, changes: Changes, rehearsal: Rehearsal) -> None:
        self._trials = trials
        self._changes = changes
        self._rehearsal = rehearsal

    async def run(self, principal: Principal, makers: Sequence[MakeDraft]) -> Report:
        """What is wrong with any of the drafts, and what those that can be read would do.

        Where they would be kept is asked last, and not about what is refused already.

        Every maker gives one draft, or raises ``UnprocessableError`` with pointers into the body. Raises
        ``ScopeMismatchError`` for kinds the caller may not read, and for code it may not write;
        ``NotFoundError`` for what it does not see.
        """
        problems: list[Problem] = []
        drafts: list[Draft] = []
        for make in makers:
            try:
                draft = make()
                self._authorise(principal, draft)
                self._changes.check_document(draft)
                self._changes.check_reach(
                    principal, draft, partial(self._changes.served, draft.ref)
                )
            except UnprocessableError as error:
                problems += problems_of(error)
            else:
                drafts.append(draft)
        self._check_code(principal, drafts)
        report = await self._trials.run(principal, drafts) if drafts else Report()
        good = [each for each in drafts if not _is_named(each, report.fatal)]
        stored = await self._rehearsal.run(principal, good)
        return replace(report, problems=(*problems, *report.problems, *stored))

    def _authorise(self, principal: Principal, draft: Draft) -> None:
        require_read(principal, draft.ref.kind)
        if not principal.sees(draft.ref.namespace):
            raise NotFoundError(f"There is no {draft.ref}.")

    def _check_code(self, principal: Principal, drafts: Sequence[Draft]) -> None:
        """Trying runs code that drafts bring: that is for who may write them. Raises ``ScopeMismatchError``."""
        for draft in drafts:
            wanted = parse(draft.document) if draft.document is not None else None
            if takes_write_scope(draft.ref, wanted, self._changes.served(draft.ref)):
                require_write(principal, draft.ref.kind)


def _is_named(draft: Draft, problems: Sequence[Problem]) -> bool:
    """Whether one of the problems is about this draft itself."""
    place = draft.pointers.translate("")
    return any(
        each.subject is None and (each.pointer == place or each.pointer.startswith(f"{place}/"))
        for each in problems
    )
