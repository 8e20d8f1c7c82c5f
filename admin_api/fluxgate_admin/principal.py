"""Who calls, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

ALL = "*"


class PrincipalKind(StrEnum):
    """How the caller proved who it is."""

    KEY = "key"
    CLIENT = "client"
    SERVICE_ACCOUNT = "service_account"
    KUBERNETES = "kubernetes"


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller, authenticated.

    ``id`` is that of its credential (``key_…``, ``client_…``, ``sa_…``, ``system:serviceaccount:ns:name``),
    ``name`` is for people: history and audit show it. ``organisation`` owns its keys. ``scopes`` are
    ``resource:verb``; ``routes:*`` and ``*`` stand for more. ``namespaces`` are where its objects may be,
    None for all of them: what is elsewhere does not exist for this caller.
    """

    id: str
    kind: PrincipalKind
    name: str
    organisation: str
    scopes: frozenset[str]
    namespaces: frozenset[str] | None = None

    def may(self, scope: str) -> bool:
        """Whether one of its scopes covers ``scope`` (``configs:admin`` covers reading them)."""
        return covers(self.scopes, scope)

    def sees(self, namespace: str) -> bool:
        """Whether objects of ``namespace`` exist for this caller."""
        return self.namespaces is None or namespace in self.namespaces

    @property
    def author(self) -> str:
        """As history and audit name it: ``key:ci (key_7f…)``."""
        return f"{self.kind}:{self.name} ({self.id})"


def covers(scopes: frozenset[str], wanted: str) -> bool:
    """Whether ``scopes`` allow ``wanted``: ``write`` covers ``read``, ``admin`` covers both."""
    resource, _, verb = wanted.partition(":")
    stronger = {"read": ("read", "write", "admin"), "write": ("write", "admin")}
    verbs = (ALL, *stronger.get(verb, (verb,)))
    return ALL in scopes or any(f"{resource}:{each}" in scopes for each in verbs)
