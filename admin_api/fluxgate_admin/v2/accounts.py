"""``/v2/auth/clients`` and ``/v2/auth/service-accounts``: who gets tokens for a secret."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Path, Request, Response

from fluxgate_admin.auth.records import AccountKind, NewAccount, Page
from fluxgate_admin.http.authentication import access_of
from fluxgate_admin.http.json_body import JsonRoute
from fluxgate_admin.principal import Principal
from fluxgate_admin.v2.auth_shapes import (
    AccountListOut,
    AccountOut,
    IssuedAccountOut,
    NewClientIn,
    NewServiceAccountIn,
    RotateSecretIn,
)
from fluxgate_admin.v2.callers import After, Limit, Organisation, Reader, Writer, names, unkept
from fluxgate_admin.v2.documented import answers, responses

AccountId = Annotated[str, Path(max_length=40, examples=["sa_0f3c7a1e9b2d4c55"])]
_ISSUED = responses(
    {201: answers(IssuedAccountOut, "The account and its secret, shown this once.")},
    (409, 413, 422),
)
_KINDS = (
    (AccountKind.CLIENT, "/clients", "client"),
    (AccountKind.SERVICE_ACCOUNT, "/service-accounts", "service_account"),
)

router = APIRouter(route_class=JsonRoute)


@router.post("/clients", operation_id="create_client", status_code=201, responses=_ISSUED)
async def create_client(
    request: Request,
    response: Response,
    new: NewClientIn,
    principal: Writer,
) -> IssuedAccountOut:
    """An OAuth2 client for reading, and its secret, shown this once."""
    account = NewAccount(
        kind=AccountKind.CLIENT,
        name=new.name,
        scopes=frozenset(new.scopes),
        namespaces=names(new.namespaces),
        client_id=new.client_id or "",
        organisation=new.organisation or "",
    )
    return await _create(request, response, principal, account, "clients")


@router.post(
    "/service-accounts",
    operation_id="create_service_account",
    status_code=201,
    responses=_ISSUED,
)
async def create_service_account(
    request: Request,
    response: Response,
    new: NewServiceAccountIn,
    principal: Writer,
) -> IssuedAccountOut:
    """A service account and its secret, shown this once."""
    account = NewAccount(
        kind=AccountKind.SERVICE_ACCOUNT,
        name=new.name,
        scopes=frozenset(new.scopes),
        namespaces=names(new.namespaces),
        organisation=new.organisation or "",
    )
    return await _create(request, response, principal, account, "service-accounts")


async def _create(
    request: Request, response: Response, principal: Principal, new: NewAccount, path: str
) -> IssuedAccountOut:
    issued = await access_of(request).accounts.create(principal, new)
    unkept(response)
    response.headers["location"] = f"/v2/auth/{path}/{issued.account.id}"
    return IssuedAccountOut.issued(issued)


def _common(kind: AccountKind, path: str, noun: str) -> APIRouter:
    """What both kinds have in common; ``noun`` is in the operations' ids."""
    routes = APIRouter(prefix=path, route_class=JsonRoute)
    words = noun.replace("_", " ")

    @routes.get(
        "",
        operation_id=f"list_{noun}s",
        summary=f"List {words}s",
        responses=responses({200: answers(AccountListOut, "A page of accounts.")}),
    )
    async def list_accounts(
        request: Request,
        principal: Reader,
        after: After = "",
        limit: Limit = 100,
        organisation: Organisation = "",
    ) -> AccountListOut:
        """Those of the caller's organisation, revoked ones included."""
        accounts = access_of(request).accounts
        found = await accounts.list(principal, kind, Page(after, limit + 1), organisation)
        data = [AccountOut.of(each) for each in found[:limit]]
        more = len(found) > limit
        return AccountListOut(data=data, has_more=more, after=data[-1].id if more else None)

    @routes.get(
        "/{id}",
        operation_id=f"get_{noun}",
        summary=f"Get a {words}",
        responses=responses({200: answers(AccountOut, "Without its secret.")}, (404,)),
    )
    async def get_account(
        request: Request,
        id: AccountId,  # noqa: A002 - its name in the path
        principal: Reader,
    ) -> AccountOut:
        """One of them, without its secret."""
        return AccountOut.of(await access_of(request).accounts.get(principal, kind, id))

    @routes.delete(
        "/{id}",
        operation_id=f"revoke_{noun}",
        summary=f"Revoke a {words}",
        status_code=204,
        responses=responses({204: {"description": "Its tokens open nothing any more."}}, (404,)),
    )
    async def revoke_account(
        request: Request,
        id: AccountId,  # noqa: A002 - its name in the path
        principal: Writer,
    ) -> None:
        """End it and its tokens now, for good."""
        await access_of(request).accounts.revoke(principal, kind, id)

    @routes.post(
        "/{id}/rotate",
        operation_id=f"rotate_{noun}",
        summary=f"Give a {words} a new secret",
        responses=responses(
            {200: answers(IssuedAccountOut, "With the new secret, shown this once.")},
            (404, 409, 413),
        ),
    )
    async def rotate_account(
        request: Request,
        response: Response,
        id: AccountId,  # noqa: A002 - its name in the path
        principal: Writer,
        how: Annotated[RotateSecretIn | None, Body()] = None,
    ) -> IssuedAccountOut:
        """The old secret ends now, tokens with it if so asked."""
        unkept(response)
        issued = await access_of(request).accounts.rotate(
            principal, kind, id, revoke_tokens=(how or RotateSecretIn()).revoke_tokens
        )
        return IssuedAccountOut.issued(issued)

    return routes


for _kind, _path, _noun in _KINDS:
    router.include_router(_common(_kind, _path, _noun))
