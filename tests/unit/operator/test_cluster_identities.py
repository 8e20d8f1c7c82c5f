"""What an answer to a TokenReview has to say before anybody is let in: answers no real API server gives."""

from __future__ import annotations

from typing import Any, cast

import pytest

from fluxgate_operator.identity.cluster_identities import ApiClusterIdentities
from fluxgate_operator.kube.client import KubeClient

GOOD: dict[str, Any] = {
    "authenticated": True,
    "audiences": ["fluxgate-admin"],
    "user": {"username": "system:serviceaccount:shop:ci", "uid": "1", "groups": ["g"]},
}


class Answering:
    """A client whose reviews all have one status."""

    def __init__(self, status: object) -> None:
        self.status = status

    async def create(self, *_: object) -> dict[str, Any]:
        return {"status": self.status}


async def identified(status: object) -> str | None:
    client = cast("KubeClient", Answering(status))
    found = await ApiClusterIdentities(client).identify("token")
    return None if found is None else f"{found.namespace}/{found.name}"


async def test_a_service_account_with_our_audience_is_let_in() -> None:
    assert await identified(GOOD) == "shop/ci"


@pytest.mark.parametrize(
    "change",
    [
        {"audiences": None},
        {"audiences": []},
        {"audiences": ["https://kubernetes.default.svc"]},
        {"authenticated": None},
        {"authenticated": "true"},
        {"user": None},
        {"user": {"username": "alice"}},
        {"user": {"username": "system:node:one"}},
        {"user": {"username": "system:serviceaccount:shop"}},
        {"user": {"username": "x:system:serviceaccount:shop:ci"}},
    ],
    ids=str,
)
async def test_anything_less_is_nobody(change: dict[str, Any]) -> None:
    """Among them an authenticator that knows no audiences: it names none, and has not looked at ours."""
    assert await identified(GOOD | change) is None


async def test_an_answer_without_a_status_is_nobody() -> None:
    assert await identified(None) is None
