"""The admin API over three real Envoys: what its answers say of them is true at that moment."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.protobuf.json_format import MessageToDict
from support.admin_gateway import AdminRun, running_admin
from support.client import request
from support.envoy import EnvoyProcess
from support.ports import free_port
from support.standalone import route
from support.upstream import EchoUpstream

from fluxgate.xds.probe import build_probe_listener
from fluxgate_operator.envoy.bootstrap import BootstrapOptions, build_bootstrap
from fluxgate_operator.own_bootstrap import FLEET

pytestmark = pytest.mark.envoy

MORE = ("two", "three")


@dataclass(slots=True)
class Fleet:
    """The gateway's own Envoy and two more that share its port, and the API."""

    admin: AdminRun
    envoys: dict[str, EnvoyProcess] = field(default_factory=dict)

    async def create(self, name: str, port: int, query: str = "") -> httpx.Response:
        body = {
            "name": name,
            "match": {"path": f"/{name}/*"},
            "upstream": f"http://127.0.0.1:{port}",
        }
        return await self.admin.call("POST", f"/v2/routes{query}", body)

    async def nodes(self) -> dict[str, str]:
        """How far every node is, as the API says it."""
        answer = await self.admin.call("GET", "/v2/nodes")
        assert answer.status_code == 200, answer.text
        return {each["id"]: each["sync_state"] for each in answer.json()["data"]}

    @staticmethod
    def has(envoy: EnvoyProcess, name: str) -> bool:
        """Whether an Envoy's route table holds a route."""
        table = envoy.admin("/config_dump?resource=dynamic_route_configs")
        return f'"route/default/{name}/0"' in table

    async def statuses(self, path: str, count: int) -> list[int]:
        """As many requests, each by a connection of its own: the kernel spreads them over the Envoys."""
        port = self.admin.gateway.port
        asked = [asyncio.to_thread(request, port, path) for _ in range(count)]
        return [each.status for each in await asyncio.gather(*asked)]


@asynccontextmanager
async def another(name: str, xds_port: int) -> AsyncIterator[EnvoyProcess]:
    probe = ("127.0.0.1", free_port())
    config = build_bootstrap(
        BootstrapOptions(
            node_id=name,
            gateway=FLEET,
            xds_host="127.0.0.1",
            xds_port=xds_port,
            admin=("127.0.0.1", 0),
            concurrency=2,
            probe=probe,
            probe_listener=MessageToDict(build_probe_listener(*probe)),
        )
    )
    process = EnvoyProcess(config, concurrency=2)
    await asyncio.to_thread(process.__enter__)
    try:
        yield process
    finally:
        await asyncio.to_thread(process.__exit__, None, None, None)


@pytest.fixture
def echo() -> Any:
    with EchoUpstream() as upstream:
        yield upstream


@pytest.fixture
async def fleet(tmp_path: Path, echo: EchoUpstream) -> AsyncIterator[Fleet]:
    xds_port = free_port()
    files = {"echo.yaml": route("echo", "/echo", echo.port)}
    async with AsyncExitStack() as stack:
        admin = await stack.enter_async_context(running_admin(tmp_path, files, xds_port=xds_port))
        fleet = Fleet(admin)
        for name in MORE:
            fleet.envoys[name] = await stack.enter_async_context(another(name, xds_port))
        gateway = admin.gateway.gateway
        while len((found := await gateway.wait(None, 30)).served) < 3:
            assert found.complete
        yield fleet


async def test_a_route_that_is_said_to_be_everywhere_is_served_by_the_very_next_requests(
    fleet: Fleet, echo: EchoUpstream
) -> None:
    for number in range(5):
        name = f"new{number}"
        answer = await fleet.create(name, echo.port)

        assert answer.status_code == 201, answer.text
        assert answer.json()["sync_status"] == "propagated_to_all_nodes"
        assert await fleet.statuses(f"/{name}/x", 24) == [200] * 24
        for envoy in fleet.envoys.values():
            assert await asyncio.to_thread(fleet.has, envoy, name)


async def test_a_node_that_stands_still_makes_the_answer_pending_and_is_named(
    fleet: Fleet, echo: EchoUpstream
) -> None:
    stopped = fleet.envoys["two"]
    os.kill(stopped.pid, signal.SIGSTOP)
    try:
        answer = await fleet.create("late", echo.port, "?timeout=5")  # the other two have as long

        assert answer.status_code == 202, answer.text
        said = answer.json()
        assert said["sync_status"] == "pending"
        assert [each["node"] for each in said["pending_nodes"]] == ["two"], said
        assert await fleet.nodes() == {
            "standalone": "synced",
            "two": "pending",
            "three": "synced",
        }
    finally:
        os.kill(stopped.pid, signal.SIGCONT)

    gateway = fleet.admin.gateway.gateway
    assert (await gateway.wait(None, 30)).complete
    shown = await fleet.admin.call("GET", f"/v2/routes/{said['id']}")
    assert shown.json()["sync_status"] == "propagated_to_all_nodes"
    assert await fleet.statuses("/late/x", 24) == [200] * 24


async def test_a_write_that_does_not_wait_says_no_more_than_is_known(
    fleet: Fleet, echo: EchoUpstream
) -> None:
    for envoy in fleet.envoys.values():
        os.kill(envoy.pid, signal.SIGSTOP)
    try:
        answer = await fleet.create("later", echo.port, "?wait=none")
    finally:
        for envoy in fleet.envoys.values():
            os.kill(envoy.pid, signal.SIGCONT)

    assert answer.json()["sync_status"] == "pending"


async def test_what_envoy_would_refuse_is_stored_nowhere_and_shown_to_no_node(
    fleet: Fleet, echo: EchoUpstream
) -> None:
    before = fleet.admin.gateway.gateway.status().snapshot
    body = {
        "name": "dear",
        "match": {"path": {"type": "Regex", "value": "/(a|b){700}z"}},
        "upstream": f"http://127.0.0.1:{echo.port}",
    }

    answer = await fleet.admin.call("POST", "/v2/routes", body)

    assert answer.status_code == 422, answer.text
    (problem,) = answer.json()["problems"]
    assert problem["pointer"] == "/match/path/value"
    assert fleet.admin.gateway.gateway.status().snapshot == before
    assert not list(fleet.admin.gateway.folder.rglob("*dear*"))
