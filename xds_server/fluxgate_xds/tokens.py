"""Nodes that prove who they are by the token of a Kubernetes ServiceAccount.

The token is bound to a pod (KEP-1205): whoever holds it is that pod, or has been given its token.
Who reviews it is a port, because only the API server can (``authentication.k8s.io`` TokenReview).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from fluxgate.errors import FluxGateError

_HEADER = "authorization"
_SCHEME = "bearer "
_MAX_TOKEN = 16 * 1024


class ReviewUnavailableError(FluxGateError):
    """Nobody can say now whether the token is valid; it may be by and by."""


@dataclass(frozen=True, slots=True)
class TokenIdentity:
    """What a token proves. ``expires`` is in seconds since the epoch."""

    namespace: str
    service_account: str
    pod: str
    expires: float


class TokenReviewer(Protocol):
    """Tells whose a token is."""

    async def review(self, token: str) -> TokenIdentity | None:
        """None when it is not valid for us. Raises :class:`ReviewUnavailableError`."""
        ...


Allowed = Callable[[str, TokenIdentity], bool]
"""Whether a ServiceAccount may be a node of a gateway (``namespace/name``, or a bare name)."""


async def _at_once() -> None:
    """Nothing has to be waited for."""


@dataclass(frozen=True, slots=True)
class TokenAuthority:
    """Who reviews tokens, and what they allow.

    ``known`` returns when ``allowed`` can tell: a node that comes while its gateway is yet to
    be read waits, because a refusal would make it wait longer and say what is not true.
    """

    reviewer: TokenReviewer
    allowed: Allowed
    known: Callable[[], Awaitable[None]] = _at_once


def bearer_token(metadata: Iterable[tuple[str, str | bytes]] | None) -> str:
    """The token of a call (RFC 6750); empty when there is none, or not exactly one."""
    found = [value for key, value in metadata or () if key.lower() == _HEADER]
    if len(found) != 1 or not isinstance(found[0], str):
        return ""
    value = found[0]
    if not value.lower().startswith(_SCHEME) or len(value) > _MAX_TOKEN:
        return ""
    return value[len(_SCHEME) :].strip()
