"""Callers with a token of the cluster's: the API server says who they are and what they may."""

from __future__ import annotations

from fluxgate.errors import IdentityUnavailableError
from fluxgate.ports import ClusterIdentities
from fluxgate_admin.errors import UnavailableError
from fluxgate_admin.principal import ALL, Principal, PrincipalKind

ORGANISATION = "kubernetes"
"""Owns no keys: who is in a cluster is the cluster's matter."""


class ClusterCallers:
    """Turns ServiceAccount tokens into principals, each bound to one namespace.

    That is the ServiceAccount's own, or the one the request names, in which RBAC then has to allow
    something; ``*`` names all of them.
    """

    def __init__(self, identities: ClusterIdentities) -> None:
        self._identities = identities

    async def verify(self, token: str, namespace: str) -> Principal | None:
        """Who the token stands for, in ``namespace`` (empty: its own); None when it is not valid.

        Raises ``UnavailableError`` when the API server cannot be asked.
        """
        try:
            identity = await self._identities.identify(token)
            if identity is None:
                return None
            where = None if namespace == ALL else namespace or identity.namespace
            scopes = await self._identities.scopes(identity, where)
        except IdentityUnavailableError as error:
            raise UnavailableError(
                "The API server does not say whose the token is; try again.",
                headers={"retry-after": "1"},
            ) from error
        return Principal(
            id=identity.username,
            kind=PrincipalKind.KUBERNETES,
            name=identity.name,
            organisation=ORGANISATION,
            scopes=scopes,
            namespaces=None if where is None else frozenset({where}),
        )
