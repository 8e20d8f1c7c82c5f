"""What is known of one request while it is served: its id, who sends it, what it is about."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from starlette.requests import HTTPConnection
from starlette.types import Scope

_KEY = "fluxgate.context"


@dataclass(slots=True)
class RequestContext:
    """One request. Whoever learns something of it writes it here; the audit log reads it.

    ``error`` is the word of a refusal, ``objects`` are those the request is about, ``namespace`` is the one its path
    names. With ``recorded`` False the audit log does without it: it was told of more of the same.
    """

    id: str
    error: str = ""
    objects: list[str] = field(default_factory=list)
    namespace: str = ""
    recorded: bool = True


def new_context(scope: Scope) -> RequestContext:
    """A context for a request that begins, with an id nobody else has or can choose."""
    context = RequestContext(f"req_{secrets.token_hex(8)}")
    scope[_KEY] = context
    return context


def context_of(connection: HTTPConnection) -> RequestContext:
    """The context of a request."""
    return context_in(connection.scope)


def context_in(scope: Scope) -> RequestContext:
    """The context of a request, for middleware."""
    found: RequestContext = scope[_KEY]
    return found
