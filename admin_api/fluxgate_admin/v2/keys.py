"""``/v2/auth/keys``."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from fastapi import APIRouter, Body, Path, Request, Response

from fluxgate_admin.auth.records import KeyChange, NewKey, Page
from fluxgate_admin.http.authentication import access_of
from fluxgate_admin.http.json_body import JsonRoute
from fluxgate_admin.v2.auth_shapes import (
    IssuedKeyOut,
    KeyChangeIn,
    KeyListOut,
    KeyOut,
    NewKeyIn,
    RotateIn,
)
from fluxgate_admin.v2.callers import After, Limit, Organisation, Reader, Writer, names, unkept
from fluxgate_admin.v2.documented import answers, responses

KeyId = Annotated[str, Path(max_length=40, examples=["key_0f3c7a1e9b2d4c55"])]

router = APIRouter(prefix="/keys", route_class=JsonRoute)


@router.get(
    "",
    operation_id="list_keys",
    responses=responses({200: answers(KeyListOut, "A page of keys.")}),
)
async def list_keys(
    request: Request,
    principal: Reader,
    after: After = "",
    limit: Limit = 100,
    organisation: Organisation = "",
) -> KeyListOut:
    """Keys of the caller's organisation, revoked and expired ones included."""
    access = access_of(request)
    found = await access.keys.list(principal, Page(after, limit + 1), organisation)
    data = [KeyOut.of(each, access.clock()) for each in found[:limit]]
    more = len(found) > limit
    return KeyListOut(data=data, has_more=more, after=data[-1].id if more else None)


@router.post(
    "",
    operation_id="create_key",
    status_code=201,
    responses=responses(
        {201: answers(IssuedKeyOut, "The key and its secrets, shown this once.")}, (409, 413, 422)
    ),
)
async def create_key(
    request: Request,
    response: Response,
    new: NewKeyIn,
    principal: Writer,
) -> IssuedKeyOut:
    """A key and its signing secret, both shown this once. It may no more than the caller."""
    access = access_of(request)
    issued = await access.keys.create(
        principal,
        NewKey(
            name=new.name,
            scopes=frozenset(new.scopes),
            namespaces=names(new.namespaces),
            allowed_addresses=tuple(new.allowed_addresses),
            expires_at=new.expires_at,
            organisation=new.organisation or "",
        ),
    )
    unkept(response)
    response.headers["location"] = f"/v2/auth/keys/{issued.key.id}"
    return IssuedKeyOut.issued(issued, access.clock())


@router.get(
    "/{id}",
    operation_id="get_key",
    responses=responses({200: answers(KeyOut, "The key, without the key.")}, (404,)),
)
async def get_key(
    request: Request,
    id: KeyId,  # noqa: A002 - its name in the path
    principal: Reader,
) -> KeyOut:
    """One key, without the key."""
    access = access_of(request)
    return KeyOut.of(await access.keys.get(principal, id), access.clock())


@router.patch(
    "/{id}",
    operation_id="update_key",
    responses=responses({200: answers(KeyOut, "The key as it is now.")}, (404, 409, 413, 422)),
)
async def update_key(
    request: Request,
    id: KeyId,  # noqa: A002 - its name in the path
    change: KeyChangeIn,
    principal: Writer,
) -> KeyOut:
    """Another name, other networks, another end."""
    access = access_of(request)
    addresses = change.allowed_addresses
    changed = await access.keys.change(
        principal,
        id,
        KeyChange(
            name=change.name,
            allowed_addresses=None if addresses is None else tuple(addresses),
            expires_at=change.expires_at,
        ),
    )
    return KeyOut.of(changed, access.clock())


@router.delete(
    "/{id}",
    operation_id="revoke_key",
    status_code=204,
    responses=responses({204: {"description": "The key opens nothing any more."}}, (404,)),
)
async def revoke_key(
    request: Request,
    id: KeyId,  # noqa: A002 - its name in the path
    principal: Writer,
) -> None:
    """End a key now, for good."""
    await access_of(request).keys.revoke(principal, id)


@router.post(
    "/{id}/rotate",
    operation_id="rotate_key",
    responses=responses(
        {200: answers(IssuedKeyOut, "The successor and its secrets, shown this once.")},
        (404, 409, 413, 422),
    ),
)
async def rotate_key(
    request: Request,
    response: Response,
    id: KeyId,  # noqa: A002 - its name in the path
    principal: Writer,
    how: Annotated[RotateIn | None, Body()] = None,
) -> IssuedKeyOut:
    """A successor of a key; the old one goes on for `overlap_seconds`."""
    access = access_of(request)
    overlap = dt.timedelta(seconds=(how or RotateIn()).overlap_seconds)
    issued = await access.keys.rotate(principal, id, overlap)
    unkept(response)
    return IssuedKeyOut.issued(issued, access.clock())
