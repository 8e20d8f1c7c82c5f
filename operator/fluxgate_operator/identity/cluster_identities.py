"""Callers of the admin API by a ServiceAccount's token: TokenReview says who, RBAC says what they may.

Implements ``fluxgate.ports.ClusterIdentities``. What a caller may do is what the cluster lets it do with the
same objects by ``kubectl``: one SubjectAccessReview a kind and verb, in one namespace or in all of them.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fluxgate.errors import IdentityUnavailableError
from fluxgate.ports import ClusterIdentity
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
_WRITES = ("create", "update", "delete")

_SCOPES: Mapping[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "routes": (("routes:read", ("list",)), ("routes:write", _WRITES)),
    "plugins": (("plugins:read", ("list",)), ("plugins:write", _WRITES)),
    "backends": (("backends:read", ("list",)), ("backends:write", _WRITES)),
    "upstreams": (("upstreams:read", ("list",)), ("upstreams:write", _WRITES)),
    "gatewayconfigs": (
        ("configs:read", ("list",)),
        ("nodes:read", ("list",)),
        ("configs:admin", _WRITES),
    ),
    "apikeys": (("apikeys:read", ("list",)), ("apikeys:write", _WRITES)),
    "tenants": (("tenants:read", ("list",)), ("tenants:write", _WRITES)),
}
"""By resource of ``gateway.fluxgate.io``: the scope, and the verbs that all have to be allowed for it."""
_READS = frozenset(
    scope for entries in _SCOPES.values() for scope, _ in entries if scope.endswith(":read")
)
_EVERY_WRITE = frozenset(
    scope for entries in _SCOPES.values() for scope, _ in entries if not scope.endswith(":read")
)


@dataclass(frozen=True, slots=True)
class CallerSettings:
    """How long an answer is believed, in seconds, how many are kept, how many are asked for at once.

    ``keep`` bounds how long a token, or a right, that was taken away still works.
    """

    keep: float = 30.0
    keep_refused: float = 5.0
    entries: int = 1000
    at_once: int = 8


@dataclass(frozen=True, slots=True)
class _Answer:
    value: Any
    until: float


class ApiClusterIdentities:
    """Asks the API server, and remembers for a little while. Tokens are kept as digests only."""

    def __init__(
        self,
        client: KubeClient,
        audience: str = AUDIENCE,
        settings: CallerSettings | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._audience = audience
        self._settings = settings or CallerSettings()
        self._clock = clock
        self._answers: OrderedDict[object, _Answer] = OrderedDict()
        self._turns = asyncio.Semaphore(self._settings.at_once)

    async def identify(self, token: str) -> ClusterIdentity | None:
        """Whose the token is; None when it is not valid for us, or no ServiceAccount's."""
        question = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        known = self._known(question)
        if known is not None:
            identity: ClusterIdentity | None = known.value
            return identity
        spec = {"token": token, "audiences": [self._audience]}
        async with self._turns:
            status = await self._review(TOKEN_REVIEWS, spec)
        identity = self._identity(status)
        self._keep(question, identity, good=identity is not None)
        return identity

    async def scopes(self, identity: ClusterIdentity, namespace: str | None) -> frozenset[str]:
        """What RBAC allows it, in a namespace or in all of them (None)."""
        question = (identity.username, identity.uid, identity.groups, namespace)
        known = self._known(question)
        if known is not None:
            found: frozenset[str] = known.value
            return found
        if await self._allowed(identity, namespace, "*", "*"):
            found = _READS | _EVERY_WRITE
        else:
            found = await self._one_by_one(identity, namespace)
        if found >= _READS:
            # history tells of every kind
            found |= {"history:read"}
        self._keep(question, found, good=bool(found))
        return found

    async def _one_by_one(self, identity: ClusterIdentity, namespace: str | None) -> frozenset[str]:
        questions = [(name, verb) for name in _SCOPES for verb in ("list", *_WRITES)]
        answers = await asyncio.gather(
            *(self._allowed(identity, namespace, verb, name) for name, verb in questions)
        )
        allowed = {question for question, yes in zip(questions, answers, strict=True) if yes}
        return frozenset(
            scope
            for name, entries in _SCOPES.items()
            for scope, verbs in entries
            if all((name, verb) in allowed for verb in verbs)
        )

    async def _allowed(
        self, identity: ClusterIdentity, namespace: str | None, verb: str, resource: str
    ) -> bool:
        attributes = {"group": GROUP, "resource": resource, "verb": verb}
        spec = {
            "user": identity.username,
            "uid": identity.uid,
            "groups": list(identity.groups),
            "extra": {name: list(values) for name, values in identity.extra.items()},
            # an empty namespace is all of them (authorization.k8s.io/v1 ResourceAttributes)
            "resourceAttributes": attributes | {"namespace": namespace or ""},
        }
        async with self._turns:
            status = await self._review(SUBJECT_ACCESS_REVIEWS, spec)
        return status.get("allowed") is True and status.get("denied") is not True

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

    def _known(self, question: object) -> _Answer | None:
        answer = self._answers.get(question)
        return answer if answer is not None and self._clock() < answer.until else None

    def _keep(self, question: object, value: object, *, good: bool) -> None:
        settings = self._settings
        keep = settings.keep if good else settings.keep_refused
        self._answers[question] = _Answer(value, self._clock() + keep)
        self._answers.move_to_end(question)
        while len(self._answers) > settings.entries:
            self._answers.popitem(last=False)
