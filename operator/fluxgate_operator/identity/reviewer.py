"""Asks the API server whose a token is (``authentication.k8s.io/v1`` TokenReview)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fluxgate_operator.envoy.token_identity import TOKEN_AUDIENCE
from fluxgate_operator.kube.client import KubeClient
from fluxgate_operator.kube.errors import KubeError
from fluxgate_operator.kube.types import TOKEN_REVIEWS
from fluxgate_xds.tokens import ReviewUnavailableError, TokenIdentity

_PREFIX = "system:serviceaccount:"
_POD = "authentication.kubernetes.io/pod-name"


@dataclass(frozen=True, slots=True)
class ReviewSettings:
    """How long an answer is believed, in seconds, and how many are kept.

    ``keep`` bounds how long a token that was revoked still opens streams; no answer is kept
    until the last ``margin`` before the token's expiry. ``keep_refused`` spares the API server
    from those who try again and again. ``at_once`` reviews are open at a time.
    """

    keep: float = 300.0
    keep_refused: float = 5.0
    margin: float = 10.0
    entries: int = 10_000
    at_once: int = 8


@dataclass(frozen=True, slots=True)
class _Answer:
    identity: TokenIdentity | None
    until: float


class ApiTokenReviewer:
    """Implements ``fluxgate_xds.tokens.TokenReviewer``. Tokens are kept as digests only."""

    def __init__(
        self,
        client: KubeClient,
        audience: str = TOKEN_AUDIENCE,
        settings: ReviewSettings | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._audience = audience
        self._settings = settings or ReviewSettings()
        self._clock = clock
        self._answers: OrderedDict[bytes, _Answer] = OrderedDict()
        self._open: dict[bytes, asyncio.Task[TokenIdentity | None]] = {}
        self._turns = asyncio.Semaphore(self._settings.at_once)

    async def review(self, token: str) -> TokenIdentity | None:
        """Whose the token is; None when it is not valid for the audience.

        Raises ``ReviewUnavailableError`` when the API server cannot be asked.
        """
        digest = hashlib.sha256(token.encode()).digest()
        known = self._answers.get(digest)
        if known is not None and self._clock() < known.until:
            return known.identity
        task = self._open.get(digest)
        if task is None:
            task = asyncio.create_task(self._ask(token, digest))
            self._open[digest] = task
            task.add_done_callback(lambda done: self._done(digest, done))
        return await asyncio.shield(task)

    def _done(self, digest: bytes, task: asyncio.Task[TokenIdentity | None]) -> None:
        self._open.pop(digest, None)
        if not task.cancelled():
            task.exception()  # who waits gets it; nobody may wait any more

    async def _ask(self, token: str, digest: bytes) -> TokenIdentity | None:
        spec = {"token": token, "audiences": [self._audience]}
        kind = {"apiVersion": TOKEN_REVIEWS.api_version, "kind": TOKEN_REVIEWS.kind}
        async with self._turns:
            try:
                answer = await self._client.create(TOKEN_REVIEWS, None, {**kind, "spec": spec})
            except KubeError as error:
                raise ReviewUnavailableError(f"the token cannot be reviewed: {error}") from error
        identity = self._identity(token, answer.get("status", {}))
        self._keep(digest, identity)
        return identity

    def _identity(self, token: str, status: Mapping[str, Any]) -> TokenIdentity | None:
        user = status.get("user", {})
        namespace, found, account = user.get("username", "").removeprefix(_PREFIX).partition(":")
        if (
            status.get("authenticated") is not True
            or self._audience not in status.get("audiences", ())
            or not user.get("username", "").startswith(_PREFIX)
            or not found
        ):
            return None
        pods = user.get("extra", {}).get(_POD, [])
        pod = pods[0] if len(pods) == 1 else ""
        return TokenIdentity(namespace, account, pod, _expiry(token))

    def _keep(self, digest: bytes, identity: TokenIdentity | None) -> None:
        settings, now = self._settings, self._clock()
        until = now + settings.keep_refused
        if identity is not None:
            until = min(now + settings.keep, identity.expires - settings.margin)
        self._answers[digest] = _Answer(identity, until)
        self._answers.move_to_end(digest)
        while len(self._answers) > settings.entries:
            self._answers.popitem(last=False)


def _expiry(token: str) -> float:
    """``exp`` of a token that the API server has found valid (RFC 7519), 0 when it has none."""
    payload = token.split(".")[1] if token.count(".") == 2 else ""
    try:
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(claims["exp"])
    except (ValueError, KeyError, TypeError):
        return 0.0
