"""Callers with a token of the cluster's: the API server says who they are and what they may."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from fluxgate.errors import IdentityUnavailableError
from fluxgate.ports import ClusterIdentities, ClusterIdentity
from fluxgate_admin.errors import UnavailableError
from fluxgate_admin.principal import ALL, Principal, PrincipalKind

ORGANISATION = "kubernetes"
"""Owns no keys: who is in a cluster is the cluster's matter."""


@dataclass(frozen=True, slots=True)
class ClusterCaller:
    """Somebody of the cluster, in one namespace (None: all). ``principal`` may nothing yet."""

    principal: Principal
    identity: ClusterIdentity
    where: str | None


class ClusterCallers:
    """Turns ServiceAccount tokens into principals, each bound to one namespace.

    That is the ServiceAccount's own, or the one the request names, in which RBAC then has to allow
    something; ``*`` names all of them. Who it is and what it may are two questions, so that its calls
    can be counted between them. Both raise ``UnavailableError`` when the API server cannot be asked.
    """

    def __init__(self, identities: ClusterIdentities) -> None:
        self._identities = identities

    async def verify(self, token: str, namespace: str) -> ClusterCaller | None:
        """Who the token stands for, in ``namespace`` (empty: its own); None when it is not valid."""
        with _asking():
            identity = await self._identities.identify(token)
        if identity is None:
            return None
        where = None if namespace == ALL else namespace or identity.namespace
        principal = Principal(
            id=identity.username,
            kind=PrincipalKind.KUBERNETES,
            name=identity.name,
            organisation=ORGANISATION,
            scopes=frozenset(),
            namespaces=None if where is None else frozenset({where}),
        )
        return ClusterCaller(principal, identity, where)

    async def allowed(self, caller: ClusterCaller, wanted: frozenset[str] | None) -> Principal:
        """The caller with what it may of ``wanted`` (None: of everything)."""
        with _asking():
            scopes = await self._identities.scopes(caller.identity, caller.where, wanted)
        return replace(caller.principal, scopes=scopes)


@contextmanager
def _asking() -> Iterator[None]:
    try:
        yield
    except IdentityUnavailableError as error:
        raise UnavailableError(
            "The API server does not say whose the token is, or what it may; try again.",
            headers={"retry-after": "1"},
        ) from error
