"""Who calls by a token of the cluster's, and what the cluster lets it do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ClusterIdentity:
    """A ServiceAccount, by a token that the API server has found valid for us."""

    username: str
    """``system:serviceaccount:<namespace>:<name>``"""
    namespace: str
    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class ClusterIdentities(Protocol):
    """Asks the API server. Both methods raise ``IdentityUnavailableError`` without an answer."""

    async def identify(self, token: str) -> ClusterIdentity | None:
        """Whose the token is; None when it is not valid, not for us, or no ServiceAccount's."""
        ...

    async def scopes(
        self,
        identity: ClusterIdentity,
        namespace: str | None,
        wanted: frozenset[str] | None = None,
    ) -> frozenset[str]:
        """What RBAC allows it in a namespace, or in all of them (None), as ``resource:verb``.

        Of ``wanted`` alone, when that is given: each scope costs questions.
        """
        ...
