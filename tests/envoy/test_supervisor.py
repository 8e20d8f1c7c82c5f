"""Supervision of the real Envoy, and what happens around its state folder and ports."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import stat
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import structlog
from support.ports import free_port
from support.standalone import GATEWAY, RunningGateway, route, running_gateway, settings_for
from support.upstream import Answer, EchoUpstream, SeenRequest

from fluxgate_operator.envoy.supervisor import EnvoyState
from fluxgate_operator.errors import PortTakenError, StateDirError
from fluxgate_operator.settings import EnvoySettings
from fluxgate_operator.standalone import StandaloneGateway

pytestmark = pytest.mark.envoy


@pytest.fixture
async def echo() -> AsyncIterator[EchoUpstream]:
    with EchoUpstream() as upstream:
        yield upstream


def files(port: int) -> dict[str, str]:
    return {"gateway.yaml": GATEWAY, "echo.yaml": route("echo", "/", port)}


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def served(gateway: RunningGateway) -> None:
    assert (await gateway.gateway.wait(None, 60)).complete


async def test_a_killed_envoy_is_restarted_and_gets_its_configuration_again(
    tmp_path: Path, echo: EchoUpstream
) -> None:
    async with running_gateway(tmp_path, files(echo.port)) as gateway:
        for killed in (1, 2):
            old = gateway.envoy_pid
            os.kill(old, signal.SIGKILL)
            await gateway.until(
                lambda killed=killed: gateway.gateway.status().envoy.restarts == killed
            )
            await gateway.until(lambda: gateway.gateway.status().envoy.state is EnvoyState.RUNNING)
            await gateway.until(lambda: gateway.gateway.tracker.report(1).complete)
            assert (await gateway.get("/")).status == 200
            assert gateway.gateway.status().envoy.last_exit == "killed by SIGKILL"


async def test_a_drain_lets_requests_in_flight_end(tmp_path: Path) -> None:
    arrived, release = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def respond(_: SeenRequest) -> Answer:
        loop.call_soon_threadsafe(arrived.set)
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result(20)
        return Answer(body=b"in the end")

    with EchoUpstream(respond=respond) as slow:
        async with running_gateway(tmp_path, files(slow.port)) as gateway:
            pid = gateway.envoy_pid
            answer = asyncio.create_task(gateway.get("/"))
            await arrived.wait()
            stopping = asyncio.create_task(gateway.gateway.stop())
            await gateway.until(lambda: gateway.gateway.status().envoy.state is EnvoyState.DRAINING)
            assert alive(pid)
            release.set()
            response = await answer
            await stopping
            assert (response.status, response.body) == (200, b"in the end")
            assert not alive(pid)


async def test_a_drain_ends_when_its_time_is_over(tmp_path: Path) -> None:
    release = asyncio.Event()
    arrived = asyncio.Event()
    loop = asyncio.get_running_loop()

    def respond(_: SeenRequest) -> Answer:
        loop.call_soon_threadsafe(arrived.set)
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result(20)
        return Answer()

    envoy = EnvoySettings(concurrency=1, drain_seconds=0.2)
    with EchoUpstream(respond=respond) as slow:
        async with running_gateway(tmp_path, files(slow.port), envoy=envoy) as gateway:
            pid = gateway.envoy_pid
            answer = asyncio.create_task(gateway.get("/"))
            await arrived.wait()
            await gateway.gateway.stop()
            assert not alive(pid)
            release.set()
            await asyncio.gather(answer, return_exceptions=True)


async def test_a_hanging_envoy_is_killed_at_the_end(tmp_path: Path, echo: EchoUpstream) -> None:
    envoy = EnvoySettings(concurrency=1, drain_seconds=0.2, kill_seconds=0.2)
    async with running_gateway(tmp_path, files(echo.port), envoy=envoy) as gateway:
        pid = gateway.envoy_pid
        os.kill(pid, signal.SIGSTOP)
        await gateway.gateway.stop()
        assert not alive(pid)


async def test_envoys_log_comes_through_as_structured_events(
    tmp_path: Path, echo: EchoUpstream
) -> None:
    with structlog.testing.capture_logs() as logs:
        envoy = EnvoySettings(concurrency=1, log_level="info", drain_seconds=1)
        async with running_gateway(tmp_path, files(echo.port), envoy=envoy) as gateway:
            pid = gateway.envoy_pid
    lines = [line for line in logs if line.get("envoy_pid") == pid]
    started = next(line for line in lines if "starting main dispatch loop" in line["event"])
    assert started["log_level"] == "info"
    assert started["envoy_logger"] == "main"


async def test_a_second_instance_with_the_same_state_folder_is_refused(
    tmp_path: Path, echo: EchoUpstream
) -> None:
    async with running_gateway(tmp_path, files(echo.port)):
        second = StandaloneGateway(settings_for(tmp_path), structlog.get_logger(), os.environ)
        with pytest.raises(StateDirError, match=rf"another instance \(process {os.getpid()}\)"):
            await second.start()


async def test_a_state_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    gateway = StandaloneGateway(settings_for(tmp_path), structlog.get_logger(), os.environ)

    with pytest.raises(StateDirError, match="cannot be used"):
        await gateway.start()


async def test_a_full_disk_is_said_at_the_start(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    settings.state_dir.mkdir()
    (settings.state_dir / ".envoy-bootstrap.json.new").symlink_to("/dev/full")
    gateway = StandaloneGateway(settings, structlog.get_logger(), os.environ)

    with pytest.raises(StateDirError, match="No space left on device"):
        await gateway.start()


async def test_when_the_disk_is_full_envoy_restarts_with_its_last_bootstrap(
    tmp_path: Path, echo: EchoUpstream
) -> None:
    with structlog.testing.capture_logs() as logs:
        async with running_gateway(tmp_path, files(echo.port)) as gateway:
            (tmp_path / "state" / ".envoy-bootstrap.json.new").symlink_to("/dev/full")
            os.kill(gateway.envoy_pid, signal.SIGKILL)
            await gateway.until(lambda: gateway.gateway.status().envoy.restarts == 1)
            await gateway.until(lambda: gateway.gateway.tracker.report(1).complete)
            assert (await gateway.get("/")).status == 200
    assert any("last bootstrap" in line["event"] for line in logs)


async def test_the_state_folder_is_for_its_owner_alone(tmp_path: Path, echo: EchoUpstream) -> None:
    async with running_gateway(tmp_path, files(echo.port)):
        assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


async def test_a_taken_port_is_said_at_the_start(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        settings = replace(settings_for(tmp_path), http_port=port)
        (settings.config_dir / "gateway.yaml").write_text(GATEWAY)
        gateway = StandaloneGateway(settings, structlog.get_logger(), os.environ)
        with pytest.raises(PortTakenError, match=f"already listens on 127.0.0.1:{port}"):
            await gateway.start()


async def test_a_listener_on_a_taken_port_is_left_out_until_the_port_is_free(
    tmp_path: Path, echo: EchoUpstream
) -> None:
    async with running_gateway(tmp_path, files(echo.port)) as gateway:
        with socket.socket() as taken:
            port = free_port()
            taken.bind(("127.0.0.1", port))
            taken.listen()
            listener = f"{{name: second, port: {port}, address: 127.0.0.1}}"
            gateway.write(
                "gateway.yaml",
                GATEWAY.replace("address: 127.0.0.1}]", f"address: 127.0.0.1}}, {listener}]"),
            )
            await gateway.until(
                lambda: (
                    (found := gateway.programmed("GatewayConfig", "main"))
                    and f"127.0.0.1:{port}" in found.message
                )
            )
            assert (await gateway.get("/")).status == 200
        await gateway.served("GatewayConfig", "main")
        assert f"http://127.0.0.1:{port}" in gateway.gateway.http_addresses


async def test_an_envoy_left_behind_by_a_killed_instance_is_ended(
    tmp_path: Path, echo: EchoUpstream
) -> None:
    async with running_gateway(tmp_path, files(echo.port)) as gateway:
        supervisor = gateway.gateway._supervisor
        bootstrap = tmp_path / "state" / "envoy-bootstrap.json"
        document = json.loads(bootstrap.read_text())
        assert document["node"]["cluster"] == "standalone"
        left = await asyncio.create_subprocess_exec(
            supervisor._binary,
            *("-c", str(bootstrap), "--disable-hot-restart", "--log-level", "off"),
            start_new_session=True,
        )
    (tmp_path / "state" / "envoy.pid").write_text(f"{left.pid}\n")

    async with running_gateway(tmp_path, files(echo.port)) as gateway:
        assert await asyncio.wait_for(left.wait(), 60) is not None
        assert (await gateway.get("/")).status == 200


async def test_no_gateway_config_yet_is_no_error_and_one_that_comes_is_served(
    tmp_path: Path, echo: EchoUpstream
) -> None:
    settings = settings_for(tmp_path)
    gateway = StandaloneGateway(settings, structlog.get_logger(), os.environ)
    await gateway.start()
    try:
        running = RunningGateway(gateway, settings.config_dir)
        assert gateway.http_addresses == ()
        for name, text in files(echo.port).items():
            running.write(name, text)
        async with asyncio.timeout(60):
            await gateway.ready.wait()
        assert (await running.get("/")).status == 200
    finally:
        await gateway.stop()
