"""The history of changes: read it, and go back in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from fluxgate_admin.errors import NotFoundError
from fluxgate_admin.principal import Principal
from fluxgate_admin.use_cases.changes import Changes, Must
from fluxgate_admin.use_cases.diff import unified_diff
from fluxgate_admin.use_cases.drafts import Draft, Outcome, WriteOptions
from fluxgate_admin.use_cases.ports import History, HistoryQuery, Revision
from fluxgate_admin.use_cases.scopes import READ, require_read


class Side(StrEnum):
    """Which of the two states of a revision."""

    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class RevisionPage:
    """Some revisions, newest first; ``before`` is where the next page begins, None on the last."""

    revisions: tuple[Revision, ...]
    before: int | None


class Changelog:
    """What happened to the objects a caller sees, whichever way it came in."""

    def __init__(self, history: History, changes: Changes) -> None:
        self._history = history
        self._changes = changes

    async def list(self, principal: Principal, query: HistoryQuery) -> RevisionPage:
        """A page; ``query.namespaces`` may only narrow what the caller sees.

        It holds kinds the caller may read. Raises ``ScopeMismatchError`` for another one that it asks for.
        """
        namespaces = principal.namespaces
        if query.namespaces is not None:
            asked = query.namespaces
            namespaces = asked if namespaces is None else asked & namespaces
        kinds = None
        if query.kind:
            require_read(principal, query.kind)
        elif not all(map(principal.may, READ.values())):
            kinds = frozenset(kind for kind, scope in READ.items() if principal.may(scope))
        narrowed = replace(query, namespaces=namespaces, kinds=kinds, limit=query.limit + 1)
        found = tuple(await self._history.list(narrowed))
        page = found[: query.limit]
        return RevisionPage(page, page[-1].number if len(found) > query.limit else None)

    async def get(self, principal: Principal, number: int) -> Revision:
        """One revision. Raises ``NotFoundError``, also for one of others; ``ScopeMismatchError`` for its kind."""
        revision = await self._history.get(number)
        if revision is None or not principal.sees(revision.ref.namespace):
            raise NotFoundError(f"There is no revision {number}.")
        require_read(principal, revision.ref.kind)
        return revision

    async def rollback(
        self, principal: Principal, number: int, side: Side, options: WriteOptions
    ) -> Outcome:
        """Make the object of a revision what it was after it, or before it: a change like any other."""
        revision = await self.get(principal, number)
        document = revision.after if side is Side.AFTER else revision.before
        draft = Draft(revision.ref, document)
        reason = options.reason or f"rollback: as it was {side} revision {number}"
        options = replace(options, reason=reason)
        return await self._changes.change(
            principal, revision.ref, lambda _: draft, options, must=Must.ANY
        )


def diff_of(revision: Revision) -> str:
    """What a revision changed, as a unified diff of YAML."""
    return unified_diff(revision.before, revision.after, str(revision.ref))
