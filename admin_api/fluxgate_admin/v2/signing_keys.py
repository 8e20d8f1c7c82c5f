"""``/v2/auth/signing-keys``: the keys that sign tokens, replaced before their time."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Request

from fluxgate_admin.auth.rights import OTHER_ORGANISATIONS, reaches_others
from fluxgate_admin.errors import ScopeMismatchError
from fluxgate_admin.http.authentication import access_of
from fluxgate_admin.http.json_body import JsonRoute
from fluxgate_admin.principal import Principal
from fluxgate_admin.v2.auth_shapes import ReplaceSigningKeyIn, SigningKeyOut
from fluxgate_admin.v2.callers import caller
from fluxgate_admin.v2.documented import answers, responses

_Operator: Any = caller(OTHER_ORGANISATIONS)

router = APIRouter(prefix="/signing-keys", route_class=JsonRoute)


@router.post(
    "/rotate",
    operation_id="rotate_signing_key",
    responses=responses({200: answers(SigningKeyOut, "The key that comes next.")}, (413, 422)),
)
async def rotate_signing_key(
    request: Request,
    principal: Annotated[Principal, _Operator],
    how: Annotated[ReplaceSigningKeyIn | None, Body()] = None,
) -> SigningKeyOut:
    """Replace the key that signs tokens, of all organisations: announced a day before it signs, as every month.

    With `revoke`, for a key that somebody else may have: the new one signs now, and every token there is opens
    nothing any more, from the next call on.
    """
    if not reaches_others(principal):
        raise ScopeMismatchError(OTHER_ORGANISATIONS)
    access = access_of(request)
    revoke = (how or ReplaceSigningKeyIn()).revoke
    return SigningKeyOut.of(await access.signing_keys.replace(revoke=revoke))
