"""Objects, intents and a clock, for tests of history."""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fluxgate.api.canonical import canonical, digest
from fluxgate.ports import Stored
from fluxgate.resources import ObjectRef
from fluxgate_admin.use_cases.ports import HistoryQuery, Intent, Revision

START = dt.datetime(2030, 5, 17, 12, tzinfo=dt.UTC)
_ids = itertools.count(1)


class Clock:
    """Stands still until it is moved."""

    def __init__(self, now: dt.datetime = START) -> None:
        self.now = now

    def __call__(self) -> dt.datetime:
        return self.now

    def forward(self, **span: float) -> None:
        self.now += dt.timedelta(**span)


def route(
    name: str = "orders", path: str = "/orders", namespace: str = "default"
) -> dict[str, Any]:
    """A Route; ``path`` is what changes in these tests."""
    return {
        "apiVersion": "gateway.fluxgate.io/v1alpha1",
        "kind": "Route",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "matches": [{"path": {"type": "Prefix", "value": path}}],
            "auth": {"mode": "None"},
            "backends": [{"url": "http://orders.example.com"}],
        },
    }


def ref(document: Mapping[str, Any]) -> ObjectRef:
    metadata = document["metadata"]
    return ObjectRef(document["kind"], metadata["namespace"], metadata["name"])


def stored(document: Mapping[str, Any], version: str = "", manager: str = "kubectl") -> Stored:
    """As a place keeps it; without ``version`` as a folder does."""
    return Stored(ref(document), document, version or digest(document), manager=manager)


def intent(
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    *,
    author: str = "key:ci (key_1)",
    at: dt.datetime = START,
) -> Intent:
    """A write from ``before`` to ``after``."""
    either = after if after is not None else before
    assert either is not None
    return Intent(
        id=f"int_{next(_ids)}",
        ref=ref(either),
        author=author,
        reason="because",
        request_id="req_1",
        at=at,
        before=None if before is None else canonical(before),
        after=None if after is None else canonical(after),
    )


def path_of(document: Mapping[str, Any] | None) -> str | None:
    return None if document is None else document["spec"]["matches"][0]["path"]["value"]


def steps(revisions: list[Revision]) -> list[tuple[str | None, str | None, str]]:
    """From path, to path, author: oldest first."""
    ordered = sorted(revisions, key=lambda each: each.number)
    return [(path_of(each.before), path_of(each.after), each.author) for each in ordered]


async def told(
    history: Any, query: HistoryQuery | None = None
) -> list[tuple[str | None, str | None, str]]:
    """The whole history, with its documents, as :func:`steps` shows it."""
    found = await history.list(query or HistoryQuery(limit=1000))
    return steps([await history.get(each.number) for each in found])


async def until(probe: Callable[[], Awaitable[bool]], what: str, seconds: float = 60.0) -> None:
    """Return when ``probe`` says yes; looks fifty times a second."""
    try:
        async with asyncio.timeout(seconds):
            while not await probe():  # noqa: ASYNC110 - a database tells nobody
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"never came true: {what}") from None
