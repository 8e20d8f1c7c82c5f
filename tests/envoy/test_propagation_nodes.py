"""Several real Envoys of one gateway: who serves what, by name; and one over mutual TLS.

The Envoys share the listener's port (SO_REUSEPORT, as Envoy binds); each has a node id
and a probe port of its own.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from feature.xds_server.certificates import Authority
from google.protobuf.json_format import MessageToDict
from support.control_plane import ControlPlane, control_plane
from support.envoy import EnvoyProcess, envoy_binary
from support.ports import free_port
from support.standalone import GATEWAY, route
from support.upstream import EchoUpstream

from fluxgate.status import ConditionType, Reason
from fluxgate.xds.probe import build_probe_listener
from fluxgate_operator.envoy.bootstrap import BootstrapOptions, XdsTLS, build_bootstrap
from fluxgate_operator.envoy.validate import EnvoyValidator
from fluxgate_operator.propagation import LagReason, Propagation
from fluxgate_xds.server import XdsServerSettings

pytestmark = pytest.mark.envoy

WORKERS = 2
EXPENSIVE = '{type: Regex, value: "/(a|b){120}z"}'
"""Costs RE2 more than the 100 that Envoy allows by itself, and less than our 1000."""


@pytest.fixture
def echo() -> Iterator[EchoUpstream]:
    with EchoUpstream() as upstream:
        yield upstream


def bootstrap(name: str, xds_port: int, tls: XdsTLS | None = None) -> dict[str, Any]:
    probe = ("127.0.0.1", free_port())
    return build_bootstrap(
        BootstrapOptions(
            node_id=name,
            gateway="main",
            xds_host="127.0.0.1",
            xds_port=xds_port,
            admin=("127.0.0.1", 0),
            concurrency=WORKERS,
            xds_tls=tls,
            probe=probe,
            probe_listener=MessageToDict(build_probe_listener(*probe)),
        )
    )


@asynccontextmanager
async def envoy(config: dict[str, Any]) -> AsyncIterator[EnvoyProcess]:
    """One Envoy; it starts in a thread, because its control plane runs in this loop."""
    process = EnvoyProcess(config, concurrency=WORKERS)
    await asyncio.to_thread(process.__enter__)
    try:
        yield process
    finally:
        await asyncio.to_thread(process.__exit__, None, None, None)


@pytest.fixture
async def plane(echo: EchoUpstream) -> AsyncIterator[ControlPlane]:
    async with control_plane(EnvoyValidator(envoy_binary())) as plane:
        plane.apply(GATEWAY.replace("8080", str(free_port())))
        plane.apply(route("echo", "/echo", echo.port))
        plane.synced()
        yield plane


@pytest.fixture
async def fleet(plane: ControlPlane) -> AsyncIterator[dict[str, EnvoyProcess]]:
    """Three Envoys that serve everything."""
    async with (
        envoy(bootstrap("one", plane.port)) as one,
        envoy(bootstrap("two", plane.port)) as two,
        envoy(bootstrap("three", plane.port)) as three,
    ):
        assert (await plane.tracker.wait(plane.store.revision, 60)).complete
        yield {"one": one, "two": two, "three": three}


def lagging(found: Propagation) -> dict[str, LagReason]:
    return {lag.node: lag.reason for lag in found.lagging}


async def test_the_one_node_that_stands_still_is_named_and_the_others_count(
    plane: ControlPlane, fleet: dict[str, EnvoyProcess], echo: EchoUpstream
) -> None:
    os.kill(fleet["two"].pid, signal.SIGSTOP)
    try:
        revision = plane.apply(route("new", "/new", echo.port))
        await plane.until(lambda: len(plane.tracker.report(revision).served) == 2)
        found = plane.tracker.report(revision)
        assert not found.complete
        assert found.served == ("one", "three")
        assert lagging(found) == {"two": LagReason.NOT_ACKNOWLEDGED}
        programmed = plane.condition("Route", "new", ConditionType.PROGRAMMED)
        assert programmed is not None
        assert not programmed.status
        assert programmed.message == "2 of 3 nodes serve it"
    finally:
        os.kill(fleet["two"].pid, signal.SIGCONT)
    assert (await plane.tracker.wait(revision, 60)).served == ("one", "three", "two")


async def test_a_node_that_joins_late_counts_from_then_on(
    plane: ControlPlane, fleet: dict[str, EnvoyProcess]
) -> None:
    revision = plane.store.revision
    assert plane.tracker.report(revision).served == ("one", "three", "two")

    async with envoy(bootstrap("late", plane.port)):
        await plane.until(lambda: len(plane.tracker.counted_nodes()) == 4)
        found = await plane.tracker.wait(revision, 60)
        assert found.served == ("late", "one", "three", "two")


async def test_a_node_that_left_is_not_waited_for(
    plane: ControlPlane, fleet: dict[str, EnvoyProcess], echo: EchoUpstream
) -> None:
    await asyncio.to_thread(fleet["three"].kill)
    await plane.until(lambda: len(plane.tracker.counted_nodes()) == 2)

    revision = plane.apply(route("new", "/new", echo.port))
    found = await plane.tracker.wait(revision, 60)
    assert found.complete
    assert found.served == ("one", "two")


async def test_a_node_that_rejects_what_others_accept_is_named_with_envoys_words(
    plane: ControlPlane, echo: EchoUpstream
) -> None:
    """The strict node lacks our runtime values, so that it refuses what the dry run accepts."""
    strict = bootstrap("strict", plane.port)
    del strict["layeredRuntime"]
    async with envoy(bootstrap("one", plane.port)), envoy(strict):
        assert (await plane.tracker.wait(plane.store.revision, 60)).complete
        revision = plane.apply(route("new", EXPENSIVE, echo.port))
        await plane.until(lambda: plane.isolator.runtime_rejections)

        await plane.until(lambda: plane.tracker.report(revision).served == ("one",))
        (lag,) = plane.tracker.report(revision).lagging
        assert (lag.node, lag.reason) == ("strict", LagReason.REJECTED)
        assert "program size" in lag.message
        assert plane.reconciler.set_aside == {}
        gateway = plane.condition("GatewayConfig", "main", ConditionType.PROGRAMMED)
        assert gateway is not None
        assert gateway.reason is Reason.ENVOY_REJECTED
        assert "program size" in gateway.message

        revision = plane.delete(route("new", EXPENSIVE, echo.port))
        assert (await plane.tracker.wait(revision, 60)).served == ("one", "strict")
        assert not plane.isolator.runtime_rejections


async def test_an_envoy_with_a_certificate_is_served_and_proven_over_mutual_tls(
    tmp_path: Path, echo: EchoUpstream
) -> None:
    """On 0.0.0.0, where the server refuses plain text; with the bootstrap users get."""
    authority = Authority()
    files = authority.server_files(tmp_path)
    key, certificate = authority.issue([x509.DNSName("edge-1.main")], serial=3)
    (tmp_path / "edge.key").write_bytes(key)
    (tmp_path / "edge.crt").write_bytes(certificate)
    tls = XdsTLS(files.client_ca, tmp_path / "edge.crt", tmp_path / "edge.key", "localhost")
    settings = XdsServerSettings("0.0.0.0", 0, files)
    async with control_plane(EnvoyValidator(envoy_binary()), settings) as plane:
        plane.apply(GATEWAY.replace("8080", str(free_port())))
        plane.apply(route("echo", "/echo", echo.port))
        plane.synced()
        async with envoy(bootstrap("edge-1", plane.port, tls)):
            found = await plane.tracker.wait(plane.store.revision, 60)
            assert found.served == ("edge-1",)
            revision = plane.apply(route("new", "/new", echo.port))
            assert (await plane.tracker.wait(revision, 60)).served == ("edge-1",)
