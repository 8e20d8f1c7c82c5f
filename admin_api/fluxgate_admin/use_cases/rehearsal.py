"""What the place that keeps the objects would say to changes: the API server with its admission, or the folder.

Each change is asked about by itself, beside what is there now, and nothing of it stays. That takes the right to
make the change, as Kubernetes asks for it: quotas and policies answer here, and they are not for everybody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from fluxgate.errors import (
    ResourceClientError,
    ResourceConflictError,
    ResourceError,
    ResourceExistsError,
    ResourceNotFoundError,
    ResourceStoreUnavailableError,
)
from fluxgate.ports import ResourceClient, Stored
from fluxgate.resources import ObjectRef
from fluxgate_admin.principal import Principal
from fluxgate_admin.use_cases.documents import equal
from fluxgate_admin.use_cases.drafts import NOT_ASKED, Draft, Problem, WriteOptions
from fluxgate_admin.use_cases.failures import problems_of, refused_by_store
from fluxgate_admin.use_cases.scopes import WRITE
from fluxgate_admin.use_cases.writer import Writer

AT_ONCE = 8
"""Objects that are asked about at the same time."""
_ATTEMPTS = 4
_RACES = (ResourceConflictError, ResourceExistsError, ResourceNotFoundError)
_DRY_RUN = WriteOptions(request_id="", seconds=0.0, dry_run=True)


class Rehearsal:
    """Asks about changes of any kind."""

    def __init__(self, resources: ResourceClient, writer: Writer) -> None:
        self._resources = resources
        self._writer = writer

    async def run(self, principal: Principal, drafts: Sequence[Draft]) -> tuple[Problem, ...]:
        """What would keep ``drafts`` from being stored, and a warning where that is not known."""
        own = [each for each in drafts if principal.may(WRITE[each.ref.kind])]
        gate = asyncio.Semaphore(AT_ONCE)
        away: list[ResourceStoreUnavailableError] = []

        async def ask(draft: Draft) -> tuple[Problem, ...]:
            async with gate:
                try:
                    return await self._ask(principal, draft) if not away else ()
                except ResourceStoreUnavailableError as error:
                    away.append(error)  # nobody waits for it once more
                    return ()

        found = await asyncio.gather(*(ask(each) for each in own))
        left_out = sorted({WRITE[each.ref.kind] for each in drafts if each not in own})
        return (
            *(problem for problems in found for problem in problems),
            *(_not_asked("", f"it is not known whether all can be stored: {e}") for e in away[:1]),
            *(
                _not_asked("", f"nobody was asked whether it can be stored: that takes {each}")
                for each in left_out
            ),
        )

    async def _ask(self, principal: Principal, draft: Draft) -> tuple[Problem, ...]:
        place = draft.pointers.translate("")
        for _ in range(_ATTEMPTS):
            try:
                current = await self._current(draft.ref)
                if _is_so(current, draft):
                    return ()
                tried = await self._writer.write(principal, current, draft, _DRY_RUN)
            except _RACES:
                continue
            except ResourceStoreUnavailableError:
                raise
            except ResourceError as error:
                return tuple(problems_of(refused_by_store(principal, error, draft)))
            except ResourceClientError as error:
                return (Problem(place, str(error), "NotPermitted", "store", fatal=True),)
            return tried.doubts(principal, draft)
        return (_not_asked(place, "others keep changing it, so what would be stored is not known"),)

    async def _current(self, ref: ObjectRef) -> Stored | None:
        try:
            return await self._resources.get(ref)
        except ResourceNotFoundError:
            return None


def _is_so(current: Stored | None, draft: Draft) -> bool:
    """Whether there is nothing to write."""
    if current is None or draft.document is None:
        return current is None and draft.document is None
    return equal(current.document, draft.document)


def _not_asked(place: str, message: str) -> Problem:
    return Problem(place, message, NOT_ASKED, "store", fatal=False)
