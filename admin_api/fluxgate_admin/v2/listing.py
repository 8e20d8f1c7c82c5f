"""Lists of objects of one kind: the parameters that all of them take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import Depends

from fluxgate_admin.http.authentication import Asks
from fluxgate_admin.use_cases.cursors import read_cursor
from fluxgate_admin.use_cases.objects import Listing, Query
from fluxgate_admin.v2.calls import After, Call, Labels, Limit, NamespaceQuery, read_labels, reading


@dataclass(frozen=True, slots=True)
class ListCall(Call):
    """A request for a page of objects. ``after`` is the cursor as it was sent."""

    after: str | None
    limit: int
    namespace: str
    labels: Mapping[str, str]

    async def objects(self, kind: str, state: str = "") -> Listing:
        """The page of one kind, of one ``state`` if it is given. Raises ``UnprocessableError``."""
        query = Query(
            after=read_cursor(self.after, kind),
            limit=self.limit,
            namespace=self.namespace,
            labels=self.labels,
            state=state,
        )
        return await self.api.objects.list(self.principal, kind, query)


def listing(scope: str, asks: Asks | None = None) -> Any:  # noqa: ANN401 - what FastAPI takes for a parameter's default
    """A dependency that gives a :class:`ListCall`; ``asks`` as :func:`reading` has it."""
    allowed = reading(scope, asks)

    async def call(
        call: Call = allowed,
        after: After = None,
        limit: Limit = 100,
        namespace: NamespaceQuery = None,
        labels: Labels = None,
    ) -> ListCall:
        return ListCall(
            call.principal,
            call.request,
            call.api,
            after=after,
            limit=limit,
            namespace=namespace or "",
            labels=read_labels(labels),
        )

    return Depends(call)
