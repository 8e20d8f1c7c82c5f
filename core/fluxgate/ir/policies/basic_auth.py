"""Users of a route, by name and password."""

from __future__ import annotations

from dataclasses import dataclass

from fluxgate.ir.policy import RoutePolicy
from fluxgate.secret import SecretBytes


@dataclass(frozen=True, slots=True)
class BasicAuth(RoutePolicy):
    """``users`` in htpasswd's format, every one as ``name:{SHA}hash``."""

    users: SecretBytes
    realm: str = "fluxgate"
    forward: bool = False
    """Whether the upstream gets the ``authorization`` header, too."""
