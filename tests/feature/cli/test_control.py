"""The control API over its real Unix socket; only the gateway behind it is hand-made."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from fluxgate_cli.control import client
from fluxgate_cli.control.models import (
    ExplainReply,
    ExplainRequest,
    StatusView,
    WaitReply,
    WaitRequest,
)
from fluxgate_cli.control.server import serving
from fluxgate_cli.control.socket import NAME, socket_path
from fluxgate_cli.errors import NotRunningError, UsageError

STATUS = StatusView(
    version="0.1.0", pid=1, started_at=0.0, config="/etc/fluxgate", revision=3, served=True
)


class HandMadeInstance:
    """An instance whose state the test sets."""

    def __init__(self) -> None:
        self.view = STATUS
        self.waited: list[float] = []

    def status(self) -> StatusView:
        return self.view

    async def wait(self, request: WaitRequest) -> WaitReply:
        self.waited.append(request.timeout)
        return WaitReply(served=True, revision=3, seconds=0.0, status=self.view)

    def explain(self, request: ExplainRequest) -> ExplainReply:
        raise UsageError(f"{request.url} is no URL")


@pytest.fixture
async def instance(tmp_path: Path) -> AsyncIterator[HandMadeInstance]:
    made = HandMadeInstance()
    async with serving(made, tmp_path):
        yield made


async def test_the_client_reads_the_status_the_server_gives(
    instance: HandMadeInstance, tmp_path: Path
) -> None:
    assert await asyncio.to_thread(client.status, tmp_path) == instance.view


async def test_a_wait_carries_its_timeout(instance: HandMadeInstance, tmp_path: Path) -> None:
    reply = await asyncio.to_thread(client.wait, tmp_path, WaitRequest(timeout=2.5))
    assert reply.served
    assert instance.waited == [2.5]


async def test_a_refusal_reaches_the_user_in_its_own_words(
    instance: HandMadeInstance, tmp_path: Path
) -> None:
    request = ExplainRequest(method="GET", url="::")
    with pytest.raises(UsageError, match=":: is no URL"):
        await asyncio.to_thread(client.explain, tmp_path, request)


async def test_only_the_owner_may_open_the_socket(
    instance: HandMadeInstance, tmp_path: Path
) -> None:
    assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o600


async def call(state_dir: Path, method: str, path: str, body: bytes = b"") -> httpx.Response:
    with socket_path(state_dir) as uds:
        transport = httpx.AsyncHTTPTransport(uds=uds)
        async with httpx.AsyncClient(transport=transport, base_url="http://fluxgate") as http:
            return await http.request(method, path, content=body)


async def test_it_is_healthy_before_it_is_ready(instance: HandMadeInstance, tmp_path: Path) -> None:
    instance.view = STATUS.model_copy(update={"served": False})
    assert (await call(tmp_path, "GET", "/healthz")).status_code == 200
    assert (await call(tmp_path, "GET", "/readyz")).status_code == 503
    instance.view = STATUS
    assert (await call(tmp_path, "GET", "/readyz")).status_code == 200


@pytest.mark.parametrize("body", [b"{", b'{"timeout": -1}', b'{"timeout": "x"}', b'{"tiemout": 1}'])
async def test_a_malformed_request_names_the_field(
    instance: HandMadeInstance, tmp_path: Path, body: bytes
) -> None:
    answer = await call(tmp_path, "POST", "/v1/wait", body)
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_request"
    assert answer.json()["message"]


async def test_a_request_of_more_than_a_megabyte_is_refused(
    instance: HandMadeInstance, tmp_path: Path
) -> None:
    answer = await call(tmp_path, "POST", "/v1/wait", b" " * (1024 * 1024 + 1))
    assert answer.status_code == 413


async def test_a_long_state_folder_works_too(tmp_path: Path) -> None:
    folder = tmp_path / ("long-" * 30)
    folder.mkdir()
    async with serving(HandMadeInstance(), folder):
        assert await asyncio.to_thread(client.status, folder) == STATUS


async def test_a_socket_left_behind_does_not_keep_the_next_one_from_starting(
    tmp_path: Path,
) -> None:
    (tmp_path / NAME).touch()
    async with serving(HandMadeInstance(), tmp_path):
        assert await asyncio.to_thread(client.status, tmp_path) == STATUS
    assert not (tmp_path / NAME).exists()


def test_without_an_instance_the_client_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(NotRunningError) as caught:
        client.status(tmp_path)
    assert str(tmp_path) in caught.value.message
    assert "fluxgate run --config DIR" in caught.value.remedy


def test_without_a_state_folder_the_client_says_the_same(tmp_path: Path) -> None:
    with pytest.raises(NotRunningError, match="no fluxgate runs"):
        client.status(tmp_path / "nowhere")
