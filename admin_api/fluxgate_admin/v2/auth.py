"""``/v2/auth``: keys, service accounts, clients, and the rotation of what a caller shows."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Path, Query, Request, Response

from fluxgate_admin.auth.records import AccountKind, KeyChange, NewAccount, NewKey, Page
from fluxgate_admin.auth.scopes import ANY
from fluxgate_admin.errors import InvalidRequestError
from fluxgate_admin.http.authentication import access_of, presented_by, require
from fluxgate_admin.http.json_body import JsonRoute
from fluxgate_admin.principal import Principal
from fluxgate_admin.v2.auth_shapes import (
    AccountListOut,
    AccountOut,
    IssuedAccountOut,
    IssuedKeyOut,
    KeyChangeIn,
    KeyListOut,
    KeyOut,
    NewClientIn,
    NewKeyIn,
    NewServiceAccountIn,
    RotateIn,
    RotateSecretIn,
    TokenOut,
    WhoOut,
)

_READS = require("keys:read")
_WRITES = require("keys:write")
_ANYBODY = require(ANY)

Reader = Annotated[Principal, Depends(_READS)]
Writer = Annotated[Principal, Depends(_WRITES)]
Anybody = Annotated[Principal, Depends(_ANYBODY)]
After = Annotated[str, Query(max_length=40, description="The cursor of the page before.")]
Limit = Annotated[int, Query(ge=1, le=500)]
Organisation = Annotated[str, Query(max_length=100, description="Only those of one organisation.")]
KeyId = Annotated[str, Path(max_length=40, examples=["key_0f3c7a1e9b2d4c55"])]
AccountId = Annotated[str, Path(max_length=40, examples=["sa_0f3c7a1e9b2d4c55"])]

router = APIRouter(prefix="/v2/auth", tags=["auth"], route_class=JsonRoute)


def _unkept(response: Response) -> None:
    """Nobody on the way keeps an answer that holds a secret (RFC 6749, 5.1)."""
    response.headers["cache-control"] = "no-store"


@router.get("/whoami", operation_id="who_am_i")
async def who_am_i(request: Request, caller: Anybody) -> WhoOut:
    """Who the caller is, what it may, and from where it calls."""
    address = access_of(request).authenticator.address(await presented_by(request))
    return WhoOut.of(caller, None if address is None else str(address))


@router.post("/rotate", operation_id="rotate_credential")
async def rotate_credential(
    request: Request,
    response: Response,
    _: Anybody,
    how: Annotated[RotateIn | None, Body()] = None,
) -> TokenOut | IssuedKeyOut:
    """Replace what the call is made with: a token by a new one, else the key by its successor.

    The old token ends at once, the old key after ``overlap_seconds``.
    """
    access = access_of(request)
    caller = await _ANYBODY.admit(request)
    _unkept(response)
    if caller.token is not None:
        return TokenOut.of(await access.tokens.rotate(caller.token))
    if caller.key is None:
        raise InvalidRequestError(
            "A token of the cluster's is replaced by the cluster (TokenRequest), not here.",
            error="not_rotatable",
        )
    overlap = dt.timedelta(seconds=(how or RotateIn()).overlap_seconds)
    issued = await access.keys.rotate(caller.principal, caller.key.id, overlap)
    return IssuedKeyOut.issued(issued, access.clock())


@router.get("/keys", operation_id="list_keys")
async def list_keys(
    request: Request,
    caller: Reader,
    after: After = "",
    limit: Limit = 50,
    organisation: Organisation = "",
) -> KeyListOut:
    """Keys of the caller's organisation, revoked and expired ones included."""
    access = access_of(request)
    found = await access.keys.list(caller, Page(after, limit + 1), organisation)
    items = [KeyOut.of(each, access.clock()) for each in found[:limit]]
    return KeyListOut(items=items, after=items[-1].id if len(found) > limit else None)


@router.post("/keys", operation_id="create_key", status_code=201)
async def create_key(
    request: Request, response: Response, caller: Writer, new: NewKeyIn
) -> IssuedKeyOut:
    """A key and its signing secret, both shown this once. It may no more than the caller."""
    access = access_of(request)
    issued = await access.keys.create(
        caller,
        NewKey(
            name=new.name,
            scopes=frozenset(new.scopes),
            namespaces=_names(new.namespaces),
            allowed_addresses=tuple(new.allowed_addresses),
            expires_at=new.expires_at,
            organisation=new.organisation or "",
        ),
    )
    _unkept(response)
    response.headers["location"] = f"/v2/auth/keys/{issued.key.id}"
    return IssuedKeyOut.issued(issued, access.clock())


@router.get("/keys/{key_id}", operation_id="get_key")
async def get_key(request: Request, caller: Reader, key_id: KeyId) -> KeyOut:
    """One key, without the key."""
    access = access_of(request)
    return KeyOut.of(await access.keys.get(caller, key_id), access.clock())


@router.patch("/keys/{key_id}", operation_id="update_key")
async def update_key(
    request: Request, caller: Writer, key_id: KeyId, change: KeyChangeIn
) -> KeyOut:
    """Another name, other networks, another end."""
    access = access_of(request)
    addresses = change.allowed_addresses
    changed = await access.keys.change(
        caller,
        key_id,
        KeyChange(
            name=change.name,
            allowed_addresses=None if addresses is None else tuple(addresses),
            expires_at=change.expires_at,
        ),
    )
    return KeyOut.of(changed, access.clock())


@router.delete("/keys/{key_id}", operation_id="revoke_key", status_code=204)
async def revoke_key(request: Request, caller: Writer, key_id: KeyId) -> None:
    """End a key now, for good."""
    await access_of(request).keys.revoke(caller, key_id)


@router.post("/keys/{key_id}/rotate", operation_id="rotate_key")
async def rotate_key(
    request: Request,
    response: Response,
    caller: Writer,
    key_id: KeyId,
    how: Annotated[RotateIn | None, Body()] = None,
) -> IssuedKeyOut:
    """A successor of a key; the old one goes on for ``overlap_seconds``."""
    access = access_of(request)
    overlap = dt.timedelta(seconds=(how or RotateIn()).overlap_seconds)
    issued = await access.keys.rotate(caller, key_id, overlap)
    _unkept(response)
    return IssuedKeyOut.issued(issued, access.clock())


@router.post("/clients", operation_id="create_client", status_code=201)
async def create_client(
    request: Request, response: Response, caller: Writer, new: NewClientIn
) -> IssuedAccountOut:
    """An OAuth2 client for reading, and its secret, shown this once."""
    _unkept(response)
    issued = await access_of(request).accounts.create(
        caller,
        NewAccount(
            kind=AccountKind.CLIENT,
            name=new.name,
            scopes=frozenset(new.scopes),
            namespaces=_names(new.namespaces),
            client_id=new.client_id or "",
            organisation=new.organisation or "",
        ),
    )
    response.headers["location"] = f"/v2/auth/clients/{issued.account.id}"
    return IssuedAccountOut.issued(issued)


@router.post("/service-accounts", operation_id="create_service_account", status_code=201)
async def create_service_account(
    request: Request, response: Response, caller: Writer, new: NewServiceAccountIn
) -> IssuedAccountOut:
    """A service account and its secret, shown this once."""
    _unkept(response)
    issued = await access_of(request).accounts.create(
        caller,
        NewAccount(
            kind=AccountKind.SERVICE_ACCOUNT,
            name=new.name,
            scopes=frozenset(new.scopes),
            namespaces=_names(new.namespaces),
            organisation=new.organisation or "",
        ),
    )
    response.headers["location"] = f"/v2/auth/service-accounts/{issued.account.id}"
    return IssuedAccountOut.issued(issued)


def _account_routes(kind: AccountKind, path: str, noun: str, word: str) -> APIRouter:
    """What clients and service accounts have in common; ``noun`` is the end of the operations' ids."""
    routes = APIRouter(prefix=path, route_class=JsonRoute)

    @routes.get("", operation_id=f"list_{noun}s", summary=f"List {word}s")
    async def list_accounts(
        request: Request,
        caller: Reader,
        after: After = "",
        limit: Limit = 50,
        organisation: Organisation = "",
    ) -> AccountListOut:
        """Those of the caller's organisation, revoked ones included."""
        accounts = access_of(request).accounts
        found = await accounts.list(caller, kind, Page(after, limit + 1), organisation)
        items = [AccountOut.of(each) for each in found[:limit]]
        return AccountListOut(items=items, after=items[-1].id if len(found) > limit else None)

    @routes.get("/{account_id}", operation_id=f"get_{noun}", summary=f"Get a {word}")
    async def get_account(request: Request, caller: Reader, account_id: AccountId) -> AccountOut:
        """One of them, without its secret."""
        return AccountOut.of(await access_of(request).accounts.get(caller, kind, account_id))

    @routes.delete(
        "/{account_id}",
        operation_id=f"revoke_{noun}",
        summary=f"Revoke a {word}",
        status_code=204,
    )
    async def revoke_account(request: Request, caller: Writer, account_id: AccountId) -> None:
        """End it and its tokens now, for good."""
        await access_of(request).accounts.revoke(caller, kind, account_id)

    @routes.post(
        "/{account_id}/rotate",
        operation_id=f"rotate_{noun}",
        summary=f"Give a {word} a new secret",
    )
    async def rotate_account(
        request: Request,
        response: Response,
        caller: Writer,
        account_id: AccountId,
        how: Annotated[RotateSecretIn | None, Body()] = None,
    ) -> IssuedAccountOut:
        """The old secret ends now, tokens with it if so asked."""
        _unkept(response)
        issued = await access_of(request).accounts.rotate(
            caller, kind, account_id, revoke_tokens=(how or RotateSecretIn()).revoke_tokens
        )
        return IssuedAccountOut.issued(issued)

    return routes


router.include_router(_account_routes(AccountKind.CLIENT, "/clients", "client", "client"))
router.include_router(
    _account_routes(
        AccountKind.SERVICE_ACCOUNT, "/service-accounts", "service_account", "service account"
    )
)


def _names(namespaces: list[str] | None) -> frozenset[str] | None:
    return None if namespaces is None else frozenset(namespaces)
