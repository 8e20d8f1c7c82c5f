"""A whole standalone gateway over a folder, in process, with the real Envoy."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import structlog

from fluxgate.resources import ObjectRef
from fluxgate.status import Condition, ConditionType
from fluxgate_operator.settings import BackOffSettings, EnvoySettings, StandaloneSettings
from fluxgate_operator.standalone import StandaloneGateway
from support.client import Response, request
from support.ports import free_port

API = "apiVersion: gateway.fluxgate.io/v1alpha1\n"
GATEWAY = (
    API + "kind: GatewayConfig\nmetadata: {name: main}\nspec:\n"
    "  logging: {accessLog: {enabled: false}}\n"
    "  listeners: [{name: http, port: 8080, address: 127.0.0.1}]\n"
)


def route(name: str, path: str, port: int, extra: str = "") -> str:
    """An open Route from a prefix to a local port. ``path`` may be a whole flow mapping."""
    match = path if path.startswith("{") else f"{{value: {path}}}"
    return (
        API + f"kind: Route\nmetadata: {{name: {name}}}\nspec:\n  matches: [{{path: {match}}}]\n"
        f'  auth: {{mode: None}}\n  backends: [{{url: "http://127.0.0.1:{port}"}}]\n{extra}'
    )


class RunningGateway:
    """The gateway, its folder, and short ways to ask it."""

    def __init__(self, gateway: StandaloneGateway, folder: Path) -> None:
        self.gateway = gateway
        self.folder = folder

    @property
    def port(self) -> int:
        return int(self.gateway.http_addresses[0].rpartition(":")[2])

    @property
    def envoy_pid(self) -> int:
        pid = self.gateway.status().envoy.pid
        assert pid is not None
        return pid

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    async def get(self, path: str) -> Response:
        return await asyncio.to_thread(request, self.port, path)

    async def until(self, condition: Callable[[], object], seconds: float = 60) -> None:
        """Wait for ``condition``, which is looked at whenever anything changed."""
        async with asyncio.timeout(seconds):
            while not condition():
                signals = (
                    self.gateway.tracker.changed,
                    self.gateway.isolator.changed,
                    self.gateway.reconciler.done,
                )
                waiting = [signal.subscribe() for signal in signals]
                await asyncio.wait(waiting, timeout=0.1, return_when=asyncio.FIRST_COMPLETED)
                for each in waiting:
                    each.cancel()

    def programmed(self, kind: str, name: str) -> Condition | None:
        """The condition Programmed of an object."""
        status = self.gateway.status().objects.get(ObjectRef(kind, "default", name))
        conditions = status.conditions if status is not None else ()
        return next((each for each in conditions if each.type is ConditionType.PROGRAMMED), None)

    async def served(self, kind: str, name: str) -> None:
        """Return when every node serves an object."""
        await self.until(lambda: (found := self.programmed(kind, name)) and found.status)


def settings_for(folder: Path, **changes: object) -> StandaloneSettings:
    """Settings with free ports, two workers and quick restarts."""
    config = folder / "config"
    config.mkdir(exist_ok=True)
    settings = StandaloneSettings(
        config_dir=config,
        state_dir=folder / "state",
        http_port=free_port(),
        envoy=EnvoySettings(
            concurrency=2, drain_seconds=5, back_off=BackOffSettings(first=0.01, limit=0.1)
        ),
    )
    return replace(settings, **changes)  # type: ignore[arg-type]


@asynccontextmanager
async def running_gateway(
    folder: Path, files: dict[str, str], **changes: object
) -> AsyncIterator[RunningGateway]:
    """Start a gateway over ``files`` and wait until it serves them."""
    settings = settings_for(folder, **changes)
    for name, text in files.items():
        (settings.config_dir / name).write_text(text)
    gateway = StandaloneGateway(settings, structlog.get_logger(), os.environ)
    await gateway.start()
    try:
        async with asyncio.timeout(60):
            await gateway.ready.wait()
        yield RunningGateway(gateway, settings.config_dir)
    finally:
        await gateway.stop()
