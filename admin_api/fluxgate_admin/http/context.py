"""What is known of one request while it is served: its id, who sends it, what it is about."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from starlette.requests import HTTPConnection
from starlette.types import Scope

from fluxgate_admin.principal import Principal

_KEY = "fluxgate.context"


@dataclass(slots=True)
class RequestContext:
    """One request. Whoever learns something of it writes it here; audit and answer read it.

    ``headers`` go into the answer, whatever it is. ``objects`` are those it is about, for the audit log.
    ``address`` is where it comes from: the connection's peer until authentication knows better.
    """

    id: str
    address: str
    principal: Principal | None = None
    error: str = ""
    objects: list[str] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)


def new_context(scope: Scope) -> RequestContext:
    """A context for a request that begins, with an id nobody else has or can choose."""
    peer = scope.get("client")
    context = RequestContext(f"req_{secrets.token_hex(8)}", peer[0] if peer else "")
    scope[_KEY] = context
    return context


def context_of(connection: HTTPConnection) -> RequestContext:
    """The context of a request."""
    return context_in(connection.scope)


def context_in(scope: Scope) -> RequestContext:
    """The context of a request, for middleware."""
    found: RequestContext = scope[_KEY]
    return found
