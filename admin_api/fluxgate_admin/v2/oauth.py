"""``POST /oauth/token`` (RFC 6749, 4.4: client credentials) and the keys tokens are verified with."""

from __future__ import annotations

import base64
import binascii
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

from fastapi import APIRouter, Request, Response

from fluxgate_admin.auth.tokens import ScopeNotGrantedError
from fluxgate_admin.errors import InvalidRequestError, UnauthenticatedError
from fluxgate_admin.http.authentication import access_of, add_headers
from fluxgate_admin.http.entrance import attempt_of
from fluxgate_admin.v2.auth_shapes import JwksOut, TokenOut
from fluxgate_admin.v2.documented import answers, public, responses

router = APIRouter(tags=["oauth"])

_FORM = "application/x-www-form-urlencoded"
_MOST_FIELDS = 20
_JWKS_SECONDS = 300
"""So long others believe a key that was revoked; one that is announced they have a day to see."""
_BODY: dict[str, Any] = {
    **public(),
    "requestBody": {
        "required": True,
        "content": {
            _FORM: {
                "schema": {
                    "type": "object",
                    "required": ["grant_type"],
                    "properties": {
                        "grant_type": {"type": "string", "enum": ["client_credentials"]},
                        "client_id": {"type": "string", "examples": ["fg_admin_sdk"]},
                        "client_secret": {"type": "string", "examples": ["fcs_…"]},
                        "scope": {
                            "type": "string",
                            "description": "Some of the account's scopes; all without it.",
                            "examples": ["routes:read plugins:read"],
                        },
                        "namespace": {
                            "type": "string",
                            "description": "Some of the account's namespaces, with spaces between them.",
                            "examples": ["shop"],
                        },
                    },
                }
            }
        },
    },
}


@router.post(
    "/oauth/token",
    operation_id="issue_token",
    openapi_extra=_BODY,
    responses=responses({200: answers(TokenOut, "The token.")}, (413,)),
)
async def issue_token(request: Request, response: Response) -> TokenOut:
    """A token for the secret of a client or a service account.

    The client shows itself by HTTP Basic or by ``client_id`` and ``client_secret`` in the form, not by both.
    """
    access = access_of(request)
    form = _fields(request, await request.body())
    client_id, secret = _credentials(request, form)
    if form.get("grant_type") != "client_credentials":
        raise _bad("grant_type is client_credentials, and nothing else.", "unsupported_grant_type")
    account = await access.accounts.by_secret(client_id, secret)
    if account is None:
        raise _unknown_client()
    attempt = attempt_of(request)
    attempt.known()
    allowance = await access.limits.take(f"oauth {account.id}", writes=True)
    add_headers(request, allowance.headers)
    try:
        issued = await access.tokens.issue(
            account, _several(form.get("scope")), _several(form.get("namespace"))
        )
    except ScopeNotGrantedError as error:
        raise _bad(f"{str(error).capitalize()}.", "invalid_scope") from error
    attempt.issued(issued.token.reveal())
    response.headers["cache-control"] = "no-store"
    return TokenOut.of(issued)


@router.get(
    "/.well-known/jwks.json",
    operation_id="get_jwks",
    openapi_extra=public(),
    responses=responses({200: answers(JwksOut, "The key set.")}),
)
async def get_jwks(request: Request, response: Response) -> JwksOut:
    """The public halves of the keys that sign tokens now or soon, or did lately."""
    response.headers["cache-control"] = f"public, max-age={_JWKS_SECONDS}"
    return JwksOut(keys=list(await access_of(request).public_keys.get()))


def _fields(request: Request, body: bytes) -> dict[str, str]:
    """The form, each field once (RFC 6749, 3.2); a field without a value is not there."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise _bad(f"The content type is {_FORM}.", "invalid_request")
    try:
        pairs = parse_qsl(
            body.decode("ascii"), encoding="utf-8", errors="strict", max_num_fields=_MOST_FIELDS
        )
    except ValueError:
        raise _bad("The body is not a form in UTF-8.", "invalid_request") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise _bad("A field occurs more than once.", "invalid_request")
    return fields


def _credentials(request: Request, form: dict[str, str]) -> tuple[str, str]:
    values = request.headers.getlist("authorization")
    if not values:
        client_id, secret = form.get("client_id"), form.get("client_secret")
        if not client_id or not secret:
            raise _unknown_client()
        return client_id, secret
    if len(values) > 1 or "client_secret" in form:
        raise _bad("The client shows itself in one way, not in several.", "invalid_request")
    scheme, _, encoded = values[0].partition(" ")
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        text = ""
    client_id, found, secret = text.partition(":")
    if scheme.lower() != "basic" or not found:
        raise _unknown_client()
    return unquote_plus(client_id), unquote_plus(secret)


def _several(text: str | None) -> frozenset[str] | None:
    return None if text is None else frozenset(text.split())


def _bad(message: str, error: str) -> InvalidRequestError:
    return InvalidRequestError(message, error=error, details={"error_description": message})


def _unknown_client() -> UnauthenticatedError:
    message = "There is no such client with such a secret."
    return UnauthenticatedError(
        message,
        error="invalid_client",
        details={"error_description": message},
        headers={"www-authenticate": 'Basic realm="fluxgate"'},
    )
