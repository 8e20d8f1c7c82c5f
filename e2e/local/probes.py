"""Startup, readiness and liveness probes, and lifecycle hooks (core/v1 Probe, LifecycleHandler)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from e2e.local.runtime import Container


async def passes(
    probe: Mapping[str, Any], container: Container, spec: Mapping[str, Any], address: str
) -> bool:
    """Whether one attempt of a probe succeeds."""
    seconds = float(probe.get("timeoutSeconds", 1))
    if "exec" in probe:
        return await container.exec(probe["exec"]["command"], seconds) == 0
    if "tcpSocket" in probe:
        return await _connects(address, port_of(probe["tcpSocket"]["port"], spec), seconds)
    if "grpc" in probe:
        return await _serves(address, probe["grpc"], seconds)
    status = await http_get(probe["httpGet"], spec, address, seconds)
    return status is not None and 200 <= status < 400


async def run_hook(
    hook: Mapping[str, Any], container: Container, spec: Mapping[str, Any], address: str
) -> None:
    """Run a lifecycle hook to its end; how it ends changes nothing, as with the kubelet."""
    if "exec" in hook:
        await container.exec(hook["exec"]["command"], 60.0)
    elif "httpGet" in hook:
        await http_get(hook["httpGet"], spec, address, 60.0)
    elif "sleep" in hook:
        await asyncio.sleep(hook["sleep"]["seconds"])


def port_of(port: int | str, spec: Mapping[str, Any]) -> int:
    """A port by its number or by its name in the container."""
    if isinstance(port, int):
        return port
    named = {each.get("name"): each["containerPort"] for each in spec.get("ports", ())}
    return int(named.get(port, port))


async def http_get(
    action: Mapping[str, Any], spec: Mapping[str, Any], address: str, seconds: float
) -> int | None:
    """The status code; None without an answer."""
    scheme = action.get("scheme", "HTTP").lower()
    host = action.get("host") or address
    url = f"{scheme}://{host}:{port_of(action['port'], spec)}{action.get('path', '/')}"
    timeout = aiohttp.ClientTimeout(total=seconds)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(url, ssl=False, allow_redirects=False) as response,
        ):
            return response.status
    except (aiohttp.ClientError, OSError, TimeoutError):
        return None


async def _serves(address: str, action: Mapping[str, Any], seconds: float) -> bool:
    """Ask as grpc.health.v1 says."""
    request = health_pb2.HealthCheckRequest(service=action.get("service", ""))
    async with grpc.aio.insecure_channel(f"{address}:{action['port']}") as channel:
        try:
            answer = await health_pb2_grpc.HealthStub(channel).Check(request, timeout=seconds)
        except grpc.aio.AioRpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def _connects(address: str, port: int, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(address, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
