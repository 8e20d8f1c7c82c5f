"""Asks the API server whose a token is (``authentication.k8s.io/v1`` TokenReview)."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fluxgate_operator.envoy.token_identity import TOKEN_AUDIENCE
from fluxgate_operator.identity.answers import Answers
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
        self._answers: Answers[TokenIdentity | None] = Answers(
            self._seconds_believed,
            clock,
            entries=self._settings.entries,
            at_once=self._settings.at_once,
        )

    async def review(self, token: str) -> TokenIdentity | None:
        """Whose the token is; None when it is not valid for the audience.

        Raises ``ReviewUnavailableError`` when the API server cannot be asked.
        """
        digest = hashlib.sha256(token.encode()).digest()
        return await self._answers.ask(digest, lambda: self._ask(token))

    async def _ask(self, token: str) -> TokenIdentity | None:
        spec = {"token": token, "audiences": [self._audience]}
        kind = {"apiVersion": TOKEN_REVIEWS.api_version, "kind": TOKEN_REVIEWS.kind}
        try:
            answer = await self._client.create(TOKEN_REVIEWS, None, {**kind, "spec": spec})
        except KubeError as error:
            raise ReviewUnavailableError(f"the token cannot be reviewed: {error}") from error
        return self._identity(token, answer.get("status", {}))

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

    def _seconds_believed(self, identity: TokenIdentity | None) -> float:
        settings = self._settings
        if identity is None:
            return settings.keep_refused
        return min(settings.keep, identity.expires - settings.margin - self._clock())


def _expiry(token: str) -> float:
    """``exp`` of a token that the API server has found valid (RFC 7519), 0 when it has none."""
    payload = token.split(".")[1] if token.count(".") == 2 else ""
    try:
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(claims["exp"])
    except (ValueError, KeyError, TypeError):
        return 0.0
