"""Callers of the admin API by a ServiceAccount's token: TokenReview says who, RBAC says what they may.

Implements ``fluxgate.ports.ClusterIdentities``. What a caller may do is what the cluster lets it do with the
same objects by ``kubectl``: one SubjectAccessReview a kind and verb, in one namespace or in all of them. Asked
is what the call at hand needs, and no more.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fluxgate.errors import IdentityUnavailableError
from fluxgate.ports import ClusterIdentity
from fluxgate_operator.identity.answers import Answers
from fluxgate_operator.kube.client import KubeClient
from fluxgate_operator.kube.errors import KubeError
from fluxgate_operator.kube.types import (
    GROUP,
    SUBJECT_ACCESS_REVIEWS,
    TOKEN_REVIEWS,
    KubeType,
)

AUDIENCE = "fluxgate-admin"
"""Tokens for the API server itself are not taken: whoever holds them here could use them there."""
_PREFIX = "system:serviceaccount:"
_LIST = ("list",)
_WRITES = ("list", "create", "update", "delete")
"""Who writes here reads, too: so the right to write alone is not enough."""
_ALL = "*"

_SCOPES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "routes:read": ("routes", _LIST),
    "routes:write": ("routes", _WRITES),
    "plugins:read": ("plugins", _LIST),
    "plugins:write": ("plugins", _WRITES),
    "backends:read": ("backends", _LIST),
    "backends:write": ("backends", _WRITES),
    "upstreams:read": ("upstreams", _LIST),
    "upstreams:write": ("upstreams", _WRITES),
    "configs:read": ("gatewayconfigs", _LIST),
    "configs:admin": ("gatewayconfigs", _WRITES),
    "nodes:read": ("gatewayconfigs", _LIST),
    "apikeys:read": ("apikeys", _LIST),
    "apikeys:write": ("apikeys", _WRITES),
    "tenants:read": ("tenants", _LIST),
    "tenants:write": ("tenants", _WRITES),
    "audit:read": ("auditrecords", _LIST),
}
"""By scope: the resource of ``gateway.fluxgate.io``, and the verbs that all have to be allowed for it.

``auditrecords`` are no objects of the cluster's: the name is there to be granted. Addresses and names of callers
are not for everybody who may list routes.
"""
_READS = frozenset(scope for scope in _SCOPES if scope.endswith(":read")) - {"audit:read"}
_HISTORY = "history:read"
"""History tells of every kind: it takes the right to read each."""


@dataclass(frozen=True, slots=True)
class CallerSettings:
    """How long an answer is believed, in seconds, how many are kept, how many are asked for at once.

    ``keep`` bounds how long a token, or a right, that was taken away still works.
    """

    keep: float = 30.0
    keep_refused: float = 5.0
    entries: int = 10_000
    at_once: int = 8


class ApiClusterIdentities:
    """Asks the API server, and remembers for a little while. Tokens are kept as digests only.

    Who tries tokens keeps nobody's rights from being looked up, nor the other way round.
    """

    def __init__(
        self,
        client: KubeClient,
        audience: str = AUDIENCE,
        settings: CallerSettings | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._audience = audience
        told = settings or CallerSettings()

        def keep(good: object) -> float:
            return told.keep if good else told.keep_refused

        self._callers: Answers[ClusterIdentity | None] = Answers(
            keep, clock, entries=told.entries, at_once=told.at_once
        )
        self._rights: Answers[bool] = Answers(
            keep, clock, entries=told.entries, at_once=told.at_once
        )

    async def identify(self, token: str) -> ClusterIdentity | None:
        """Whose the token is; None when it is not valid for us, or no ServiceAccount's."""
        question = hashlib.sha256(token.encode("utf-8", "replace")).digest()

        async def ask() -> ClusterIdentity | None:
            spec = {"token": token, "audiences": [self._audience]}
            return self._identity(await self._review(TOKEN_REVIEWS, spec))

        return await self._callers.ask(question, ask)

    async def scopes(
        self,
        identity: ClusterIdentity,
        namespace: str | None,
        wanted: frozenset[str] | None = None,
    ) -> frozenset[str]:
        """What RBAC allows it, in a namespace or in all of them (None): of ``wanted``, or of everything."""
        if wanted is None:
            if await self._allowed(identity, namespace, _ALL, _ALL):
                return frozenset(_SCOPES) | {_HISTORY}
            return await self._of(identity, namespace, frozenset(_SCOPES) | {_HISTORY})
        if self._rights.known(_question(identity, namespace, _ALL, _ALL)):
            return wanted & (frozenset(_SCOPES) | {_HISTORY})
        return await self._of(identity, namespace, wanted)

    async def _of(
        self, identity: ClusterIdentity, namespace: str | None, wanted: frozenset[str]
    ) -> frozenset[str]:
        looked_at = (wanted | _READS if _HISTORY in wanted else wanted) & _SCOPES.keys()
        questions = sorted({(name, verb) for each in looked_at for name, verb in _asked(each)})
        answers = await asyncio.gather(
            *(self._allowed(identity, namespace, verb, name) for name, verb in questions)
        )
        allowed = {question for question, yes in zip(questions, answers, strict=True) if yes}
        found = {each for each in looked_at if allowed.issuperset(_asked(each))}
        if found >= _READS:
            found.add(_HISTORY)
        return frozenset(found & wanted)

    async def _allowed(
        self, identity: ClusterIdentity, namespace: str | None, verb: str, resource: str
    ) -> bool:
        async def ask() -> bool:
            attributes = {"group": GROUP, "resource": resource, "verb": verb}
            spec = {
                "user": identity.username,
                "uid": identity.uid,
                "groups": list(identity.groups),
                "extra": {name: list(values) for name, values in identity.extra.items()},
                # an empty namespace is all of them (authorization.k8s.io/v1 ResourceAttributes)
                "resourceAttributes": attributes | {"namespace": namespace or ""},
            }
            status = await self._review(SUBJECT_ACCESS_REVIEWS, spec)
            return status.get("allowed") is True and status.get("denied") is not True

        return await self._rights.ask(_question(identity, namespace, verb, resource), ask)

    async def _review(self, type_: KubeType, spec: dict[str, Any]) -> dict[str, Any]:
        body = {"apiVersion": type_.api_version, "kind": type_.kind, "spec": spec}
        try:
            answer = await self._client.create(type_, None, body)
        except KubeError as error:
            raise IdentityUnavailableError(f"the API server cannot be asked: {error}") from error
        status: dict[str, Any] = answer.get("status") or {}
        return status

    def _identity(self, status: Mapping[str, Any]) -> ClusterIdentity | None:
        user = status.get("user") or {}
        username = str(user.get("username", ""))
        namespace, found, name = username.removeprefix(_PREFIX).partition(":")
        if (
            status.get("authenticated") is not True
            or self._audience not in (status.get("audiences") or ())
            or not username.startswith(_PREFIX)
            or not found
        ):
            return None
        extra = {key: tuple(values) for key, values in (user.get("extra") or {}).items()}
        groups = tuple(user.get("groups") or ())
        return ClusterIdentity(username, namespace, name, user.get("uid", ""), groups, extra)


def _asked(scope: str) -> list[tuple[str, str]]:
    resource, verbs = _SCOPES[scope]
    return [(resource, verb) for verb in verbs]


def _question(
    identity: ClusterIdentity, namespace: str | None, verb: str, resource: str
) -> tuple[object, ...]:
    """Everything the answer may depend on: an authorizer may look at ``extra``, too."""
    extra = tuple(sorted(identity.extra.items()))
    who = (identity.username, identity.uid, identity.groups, extra)
    return (*who, namespace, verb, resource)
