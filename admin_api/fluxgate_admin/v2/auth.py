"""``/v2/auth``: who the caller is, the rotation of what it shows, keys and accounts."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Union

from fastapi import APIRouter, Body, Depends, Request, Response

from fluxgate_admin.auth.scopes import ANY
from fluxgate_admin.errors import InvalidRequestError
from fluxgate_admin.http.authentication import access_of, presented_by, require
from fluxgate_admin.http.entrance import attempt_of
from fluxgate_admin.http.json_body import JsonRoute
from fluxgate_admin.v2 import accounts, keys, signing_keys
from fluxgate_admin.v2.auth_shapes import IssuedKeyOut, RotateIn, TokenOut, WhoOut
from fluxgate_admin.v2.callers import Anybody, unkept
from fluxgate_admin.v2.documented import answers, responses

_ANYBODY = require(ANY)
_REPLACED: Any = Union[TokenOut, IssuedKeyOut]  # noqa: UP007 - made at run time

router = APIRouter(prefix="/v2/auth", tags=["auth"], route_class=JsonRoute)


@router.get(
    "/whoami",
    operation_id="who_am_i",
    responses=responses({200: answers(WhoOut, "The caller.")}),
)
async def who_am_i(request: Request, principal: Anybody) -> WhoOut:
    """Who the caller is, what it may, and from where it calls."""
    address = access_of(request).authenticator.address(await presented_by(request))
    return WhoOut.of(principal, None if address is None else str(address))


@router.post(
    "/rotate",
    operation_id="rotate_credential",
    responses=responses(
        {200: answers(_REPLACED, "The successor, shown this once.")}, (409, 413, 422)
    ),
    dependencies=[Depends(_ANYBODY)],
)
async def rotate_credential(
    request: Request,
    response: Response,
    how: Annotated[RotateIn | None, Body()] = None,
) -> TokenOut | IssuedKeyOut:
    """Replace what the call is made with: a token by a new one, else the key by its successor.

    The old token ends at once, the old key after `overlap_seconds`.
    """
    access = access_of(request)
    shown = await _ANYBODY.admit(request)
    unkept(response)
    if shown.token is not None:
        replaced = await access.tokens.rotate(shown.token)
        attempt_of(request).issued(replaced.token.reveal())
        return TokenOut.of(replaced)
    if shown.key is None:
        raise InvalidRequestError(
            "A token of the cluster's is replaced by the cluster (TokenRequest), not here.",
            error="not_rotatable",
        )
    overlap = dt.timedelta(seconds=(how or RotateIn()).overlap_seconds)
    issued = await access.keys.rotate(shown.principal, shown.key.id, overlap)
    return IssuedKeyOut.issued(issued, access.clock())


router.include_router(keys.router)
router.include_router(accounts.router)
router.include_router(signing_keys.router)
