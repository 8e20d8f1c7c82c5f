"""What the operations about credentials are given: who calls."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Query, Request
from starlette.responses import Response

from fluxgate_admin.auth.scopes import ANY
from fluxgate_admin.http.authentication import require
from fluxgate_admin.principal import Principal
from fluxgate_admin.v2.calls import refuse_unknown_parameters

After = Annotated[
    str, Query(max_length=40, description="Where the page begins: `after` of the page before.")
]
Limit = Annotated[int, Query(ge=1, le=500, description="How many at most.")]
Organisation = Annotated[str, Query(max_length=100, description="Only those of one organisation.")]


def caller(scope: str) -> Any:  # noqa: ANN401 - what FastAPI takes for a parameter's default
    """A dependency that gives the :class:`Principal` of who has ``scope``."""
    allowed = Depends(require(scope))

    async def known(request: Request, principal: Principal = allowed) -> Principal:
        refuse_unknown_parameters(request)
        return principal

    return Depends(known)


Reader = Annotated[Principal, caller("keys:read")]
Writer = Annotated[Principal, caller("keys:write")]
Anybody = Annotated[Principal, caller(ANY)]


def unkept(response: Response) -> None:
    """Nobody on the way keeps an answer that holds a secret (RFC 6749, 5.1)."""
    response.headers["cache-control"] = "no-store"


def names(namespaces: list[str] | None) -> frozenset[str] | None:
    """Namespaces as a set; None is all of them."""
    return None if namespaces is None else frozenset(namespaces)
