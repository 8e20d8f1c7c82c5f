"""What a route asks of its callers where not only API keys may say who they are."""

from __future__ import annotations

from dataclasses import dataclass

from fluxgate.ir.policy import RoutePolicy

STRENGTH = ("MTLS", "JWT", "OIDC", "ApiKey", "Basic")
"""Classes of credentials, the strongest first.

A client certificate proves a private key that never travels. A token was signed for one audience
and a short time. A session stands for such a token, but a browser sends it by itself. An API key is
a secret that is sent every time and lives long; a password is one that a person chose.
"""


@dataclass(frozen=True, slots=True)
class Access(RoutePolicy):
    """Which classes of ``credentials`` a route takes (the strongest first), and what it asks of them.

    Absent where API keys alone count: then :class:`fluxgate.ir.KeyAuth` says it. ``required``
    refuses requests without any of them (401). ``scopes``, ``audiences`` and ``tenants`` as for keys.
    ``plan`` is that of callers whose credential says none.
    """

    credentials: tuple[str, ...]
    required: bool = True
    scopes: tuple[str, ...] = ()
    audiences: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()
    plan: str = ""

    def optional_for(self, credential: str) -> bool:
        """Whether a request without ``credential`` may pass the filter that verifies it.

        Whether it has any other is for the access filter to say, behind all of these.
        """
        return not self.required or self.credentials != (credential,)
