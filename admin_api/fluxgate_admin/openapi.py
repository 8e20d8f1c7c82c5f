"""The OpenAPI document (3.1): what FastAPI makes of the routers, and how callers prove who they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, iter_route_contexts

from fluxgate_admin.auth.scopes import ANY, PUBLIC, VERBS
from fluxgate_admin.http.authentication import required_scope
from fluxgate_admin.v2.documented import ALWAYS, refusal
from fluxgate_admin.v2.request_examples import exemplify

_KEY, _BEARER, _OAUTH = "key", "bearer", "oauth"
SECURITY_SCHEMES: dict[str, Any] = {
    _KEY: {
        "type": "apiKey",
        "in": "header",
        "name": "X-Fluxgate-Key",
        "description": "`sk_live_…` or `sk_test_…`. Writes also carry X-Fluxgate-Timestamp, "
        "X-Fluxgate-Nonce and X-Fluxgate-Signature (HMAC-SHA256).",
    },
    _BEARER: {
        "type": "http",
        "scheme": "bearer",
        "description": "A token of a service account, or of a Kubernetes ServiceAccount.",
    },
    _OAUTH: {
        "type": "oauth2",
        "description": "Tokens last 3600 seconds.",
        "flows": {
            "clientCredentials": {
                "tokenUrl": "/oauth/token",
                "scopes": {
                    f"{resource}:{verb}": f"{verb} {resource}"
                    for resource, verbs in VERBS.items()
                    for verb in verbs
                },
            }
        },
    },
}


def describe(app: FastAPI) -> None:
    """Make ``app.openapi()`` the whole document; it is made once, when somebody asks."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # as FastAPI wants it extended


def _document(app: FastAPI) -> dict[str, Any]:
    made = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        routes=app.routes,
        servers=[{"url": "/"}],
    )
    components = made.setdefault("components", {})
    components["securitySchemes"] = SECURITY_SCHEMES
    for unused in ("HTTPValidationError", "ValidationError"):
        components.get("schemas", {}).pop(unused, None)
    _close(components)
    for path, methods, route in operations(app):
        for method in methods:
            operation = made["paths"].get(path, {}).get(method.lower())
            if operation is not None:
                _secure(operation, required_scope(route))
                _document_refusals(operation, path, method)
                _without_nul(operation)
                exemplify(operation)
    return made


def _without_nul(operation: dict[str, Any]) -> None:
    """No parameter holds a NUL: the middleware refuses it, as no database could keep it."""
    for parameter in operation.get("parameters", ()):
        schema = parameter["schema"]
        for each in (schema, schema.get("items", {})):
            if each.get("type") == "string" and not each.keys() & {"pattern", "enum", "const"}:
                each["pattern"] = r"^[^\x00]*$"


def _close(schema: object) -> None:
    """Keys that have to match a pattern: pydantic says which ones may be there, and not that no others may."""
    if isinstance(schema, dict):
        if "patternProperties" in schema:
            schema.setdefault("additionalProperties", False)
        for each in schema.values():
            _close(each)
    elif isinstance(schema, list):
        for each in schema:
            _close(each)


def _document_refusals(operation: dict[str, Any], path: str, method: str) -> None:
    """Every refusal there can be, of operations that do not say so themselves."""
    public = operation["x-required-scope"] == PUBLIC
    writes = method in ("POST", "PUT", "PATCH", "DELETE")
    found = set(ALWAYS) if writes or not public else {400, 429, 500, 503}
    found |= {404} if "{" in path else set()
    found |= {408, 409, 413, 422} if writes else set()
    if "HTTPValidationError" in str(operation["responses"].get("422")):
        del operation["responses"]["422"]
    for status in sorted(found):
        documented = refusal(status)
        del documented["model"]
        content = documented["content"]["application/json"]
        content["schema"] = {"$ref": "#/components/schemas/ErrorShape"}
        operation["responses"].setdefault(str(status), documented)


def _secure(operation: dict[str, Any], scope: str) -> None:
    """Who may: said of every operation, also of those that everybody may."""
    operation.setdefault("x-required-scope", scope)
    if scope == PUBLIC:
        operation["security"] = []
        return
    scopes = [] if scope == ANY else [scope]
    operation["security"] = [{_KEY: []}, {_BEARER: []}, {_OAUTH: scopes}]


def operations(app: FastAPI) -> Iterator[tuple[str, frozenset[str], APIRoute]]:
    """Every operation of the application: path, methods, and the route that serves it."""
    for context in iter_route_contexts(app.routes):
        if isinstance(context.original_route, APIRoute):
            yield context.path or "", frozenset(context.methods or ()), context.original_route
