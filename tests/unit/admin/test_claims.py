"""Who writes what only one object may have takes turns, and nobody else waits."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fluxgate_admin.use_cases.claims import Claims, claims_of


def route(*paths: str, hosts: tuple[str, ...] = (), kind: str = "Exact") -> dict[str, Any]:
    matches = [{"path": {"type": kind, "value": each}} for each in paths]
    return {"kind": "Route", "spec": {"matches": matches, "hosts": list(hosts)}}


class Work:
    """Who is at work at the same time."""

    def __init__(self) -> None:
        self.claims = Claims()
        self.busy = 0
        self.most = 0

    async def on(self, *documents: dict[str, Any] | None) -> None:
        """Hold what the documents claim, over some turns of the loop."""
        async with self.claims.held(documents):
            self.busy += 1
            self.most = max(self.most, self.busy)
            for _ in range(5):
                await asyncio.sleep(0)
            self.busy -= 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (route("/a"), route("/a")),
        (route("/a", "/b"), route("/c", "/b")),
        (route("/a", kind="Prefix"), route("/a/", kind="Prefix")),
        (route("/a", hosts=("a.example", "b.example")), route("/a", hosts=("b.example",))),
        ({"kind": "Route", "spec": {}}, {"kind": "Route", "spec": {"matches": [{"path": {}}]}}),
        (
            {"kind": "Tenant", "metadata": {"name": "acme", "namespace": "a"}},
            {"kind": "Tenant", "metadata": {"name": "acme", "namespace": "b"}},
        ),
        ({"kind": "ApiKey", "spec": {"hash": "ab"}}, {"kind": "ApiKey", "spec": {"hash": "ab"}}),
    ],
)
async def test_what_one_may_have_is_worked_on_by_one(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    work = Work()
    await asyncio.gather(*(work.on(each) for each in (one, other, one, other)))
    assert work.most == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (route("/a"), route("/b")),
        (route("/a", hosts=("a.example",)), route("/a", hosts=("b.example",))),
        (None, route("/a")),
        ({"kind": "Backend", "spec": {}}, {"kind": "Backend", "spec": {}}),
    ],
)
async def test_nobody_waits_for_who_wants_something_else(
    one: dict[str, Any] | None, other: dict[str, Any]
) -> None:
    work = Work()
    await asyncio.gather(work.on(one), work.on(other))
    assert work.most == 2


async def test_who_wants_much_at_once_waits_for_nobody_who_waits_for_it() -> None:
    work = Work()
    there, back = route("/a", "/b", "/c"), route("/c", "/b", "/a")
    async with asyncio.timeout(60):
        await asyncio.gather(*(work.on(each) for each in (there, back) * 10))
    assert work.most == 1


async def test_a_turn_ends_with_an_error_and_with_its_caller() -> None:
    work = Work()
    with pytest.raises(ValueError, match="refused"):
        async with work.claims.held([route("/a")]):
            raise ValueError("refused")
    waiting = asyncio.create_task(work.on(route("/a")))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    work.busy = 0
    async with asyncio.timeout(60):
        await work.on(route("/a"))


def test_what_is_deleted_claims_nothing_and_a_route_every_match_on_every_host() -> None:
    made = set(claims_of(route("/a", "/b", hosts=("x.example", "y.example"))))
    assert made == {
        ("Route", host, "Exact", path)
        for host in ("x.example", "y.example")
        for path in ("/a", "/b")
    }
