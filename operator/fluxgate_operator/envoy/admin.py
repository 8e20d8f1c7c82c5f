"""Envoy's admin interface, over loopback or a Unix socket."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from fluxgate_operator.errors import EnvoyAdminError


@dataclass(frozen=True, slots=True)
class ListenerAddress:
    """Where one listener really listens (ports of 0 resolved)."""

    name: str
    host: str
    port: int


def parse_address(text: str) -> tuple[str, int] | Path:
    """What Envoy wrote to ``--admin-address-path``: ``host:port`` or a socket's path."""
    if text.startswith("/"):
        return Path(text)
    host, _, port = text.strip().rpartition(":")
    return host.strip("[]"), int(port)


class EnvoyAdmin:
    """A client of one Envoy's admin interface; use as an asynchronous context manager."""

    def __init__(
        self,
        address: tuple[str, int] | Path,
        timeout: float = 5.0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.address = address
        # Plain HTTP only. Left alone, httpx reads every public CA: 16 to 42 ms of the event loop.
        unused = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if isinstance(address, Path):
            transport = httpx.AsyncHTTPTransport(uds=str(address), verify=unused)
            base = "http://envoy"
        else:
            host, port = address
            transport = httpx.AsyncHTTPTransport(verify=unused)
            base = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        self._client = httpx.AsyncClient(
            base_url=base,
            transport=transport,
            timeout=timeout,
            trust_env=False,
            headers=dict(headers or {}),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def read(self, path: str) -> str:
        """The body of the answer to a GET. Raises :class:`EnvoyAdminError`."""
        return await self._get(path)

    async def state(self) -> str:
        """LIVE, DRAINING, PRE_INITIALIZING or INITIALIZING (admin.v3.ServerInfo.State)."""
        return str((await self._json("/server_info")).get("state", ""))

    async def listeners(self) -> tuple[ListenerAddress, ...]:
        """Every active listener with its TCP address."""
        statuses = (await self._json("/listeners?format=json")).get("listener_statuses", [])
        found = []
        for status in statuses:
            address = status.get("local_address", {}).get("socket_address")
            if address:
                found.append(
                    ListenerAddress(
                        status["name"], address.get("address", ""), address.get("port_value", 0)
                    )
                )
        return tuple(found)

    async def active_requests(
        self, ignored_prefixes: tuple[str, ...] = ("admin", "fluxgate-probe", "fluxgate-metrics")
    ) -> int:
        """Requests in flight over all connection managers (``downstream_rq_active``)."""
        text = await self._get(r"/stats?filter=^http\..*downstream_rq_active$")
        return _sum_of(text, ignored_prefixes)

    async def drain(self) -> None:
        """Fail health checks, and close connections gracefully while requests end.

        Listeners go on accepting until the process exits (``skip_exit`` keeps it alive).
        """
        await self._post("/healthcheck/fail")
        await self._post("/drain_listeners?graceful&skip_exit")

    async def _json(self, path: str) -> dict[str, Any]:
        text = await self._get(path)
        try:
            found = json.loads(text)
        except ValueError as error:
            raise EnvoyAdminError(f"{path} did not answer JSON: {error}") from error
        return found if isinstance(found, dict) else {}

    async def _get(self, path: str) -> str:
        return await self._ask("GET", path)

    async def _post(self, path: str) -> None:
        await self._ask("POST", path)

    async def _ask(self, method: str, path: str) -> str:
        try:
            answer = await self._client.request(method, path)
        except httpx.HTTPError as error:
            raise EnvoyAdminError(
                f"Envoy's admin interface {self.address} does not answer {path}: "
                f"{type(error).__name__} {error}"
            ) from error
        if answer.status_code != 200:
            raise EnvoyAdminError(f"{method} {path} answered {answer.status_code}: {answer.text}")
        return answer.text


def _sum_of(text: str, ignored: tuple[str, ...]) -> int:
    total = 0
    for line in text.splitlines():
        name, _, value = line.partition(": ")
        owner = name.removeprefix("http.").removesuffix(".downstream_rq_active")
        if owner not in ignored and value.strip().isdigit():
            total += int(value)
    return total
