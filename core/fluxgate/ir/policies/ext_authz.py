"""Asking a service of one's own whether a request may pass."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from fluxgate.ir.policy import RoutePolicy


@dataclass(frozen=True, slots=True)
class AuthorizedBody:
    """How much of a request's body the service sees; ``partial``: its beginning will do."""

    max_bytes: int
    partial: bool


@dataclass(frozen=True, slots=True)
class ExtAuthz(RoutePolicy):
    """The service, by the name of its cluster, and what it sees and may do.

    ``path`` is put before the request's path (HTTP only). Names of headers may end in ``*``. Of
    ``request_headers`` the service sees those of the request, ``upstream_headers`` it may set on the
    request, ``client_headers`` reach the client with a refusal (HTTP only). ``told`` are headers, or
    gRPC metadata, that say to the service who asks.
    """

    cluster: str
    grpc: bool
    authority: str
    path: str = ""
    timeout_ms: int = 1_000
    request_headers: tuple[str, ...] = ()
    upstream_headers: tuple[str, ...] = ()
    client_headers: tuple[str, ...] = ()
    told: tuple[tuple[str, str], ...] = ()
    body: AuthorizedBody | None = None
    fail_open: bool = False
    status_on_error: int = 503
    client_certificate: bool = False


def settable(headers: Iterable[str]) -> str:
    """A regular expression for these names, of which some end in ``*``."""
    exact = sorted({name for name in headers if not name.endswith("*")})
    prefixes = sorted({name[:-1] for name in headers if name.endswith("*")})
    return "|".join((*map(re.escape, exact), *(f"{re.escape(each)}.*" for each in prefixes)))
