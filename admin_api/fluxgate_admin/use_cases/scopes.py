"""Which scope it takes to read or write objects of a kind."""

from __future__ import annotations

from collections.abc import Mapping

from fluxgate_admin.errors import NotFoundError, ScopeMismatchError
from fluxgate_admin.principal import Principal

READ: Mapping[str, str] = {
    "GatewayConfig": "configs:read",
    "Route": "routes:read",
    "Backend": "backends:read",
    "Upstream": "upstreams:read",
    "Plugin": "plugins:read",
    "ApiKey": "apikeys:read",
    "Tenant": "tenants:read",
}
WRITE: Mapping[str, str] = {
    "GatewayConfig": "configs:admin",
    "Route": "routes:write",
    "Backend": "backends:write",
    "Upstream": "upstreams:write",
    "Plugin": "plugins:write",
    "ApiKey": "apikeys:write",
    "Tenant": "tenants:write",
}


def require_read(principal: Principal, kind: str) -> None:
    """Raises ``ScopeMismatchError``, or ``NotFoundError`` for a kind there is not."""
    _require(principal, READ, kind)


def require_write(principal: Principal, kind: str) -> None:
    """Raises ``ScopeMismatchError``, or ``NotFoundError`` for a kind there is not."""
    _require(principal, WRITE, kind)


def _require(principal: Principal, scopes: Mapping[str, str], kind: str) -> None:
    scope = scopes.get(kind)
    if scope is None:
        raise NotFoundError(f"There is no kind {kind}; known: {', '.join(sorted(scopes))}.")
    if not principal.may(scope):
        raise ScopeMismatchError(scope)
