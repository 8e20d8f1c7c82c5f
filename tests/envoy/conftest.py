"""What several modules start with: an echo, and a gateway with an open route to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.standalone import GATEWAY, RunningGateway, route, running_gateway
from support.upstream import EchoUpstream


@pytest.fixture
async def echo() -> AsyncIterator[EchoUpstream]:
    with EchoUpstream() as upstream:
        yield upstream


@pytest.fixture
async def gateway(tmp_path: Path, echo: EchoUpstream) -> AsyncIterator[RunningGateway]:
    """Serves ``/echo``."""
    files = {"gateway.yaml": GATEWAY, "echo.yaml": route("echo", "/echo", echo.port)}
    async with running_gateway(tmp_path, files) as running:
        yield running
