"""``fluxgate drain``: what a pod's preStop hook runs, where there is no shell."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Annotated

import typer

from fluxgate_cli.output import say

_POLL_SECONDS = 0.25
_QUIET_SECONDS = 1.0


def drain(
    admin_socket: Annotated[
        Path, typer.Option("--admin-socket", help="Unix socket of Envoy's admin interface.")
    ],
    seconds: Annotated[
        int, typer.Option("--seconds", min=1, help="How long open requests may take to end.")
    ] = 20,
    at_least: Annotated[
        int,
        typer.Option(
            "--at-least", min=0, help="Go on serving this long, for those who still send requests."
        ),
    ] = 5,
) -> None:
    """Let an Envoy fail its health checks and close connections gracefully, and wait for its requests.

    \b
    Example:
      fluxgate drain --admin-socket /var/run/fluxgate/run/admin.sock --seconds 20
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    left = asyncio.run(_drain(admin_socket, seconds, min(at_least, seconds)))
    say(f"drained; {left} requests are still open" if left else "drained")


async def _drain(socket: Path, seconds: float, at_least: float) -> int:
    from fluxgate_operator.envoy.admin import EnvoyAdmin  # noqa: PLC0415 - httpx takes 0.1 s

    begin = quiet_since = time.monotonic()
    async with EnvoyAdmin(socket) as admin:
        await admin.drain()
        while True:
            active, now = await admin.active_requests(), time.monotonic()
            quiet_since = quiet_since if active == 0 else now
            quiet = now - quiet_since >= _QUIET_SECONDS and now - begin >= at_least
            if quiet or now - begin >= seconds:
                return active
            await asyncio.sleep(_POLL_SECONDS)
