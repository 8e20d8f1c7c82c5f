"""The proof of propagation against the real Envoy."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
from support.standalone import RunningGateway, route
from support.upstream import EchoUpstream

from fluxgate.resources import ObjectRef
from fluxgate_operator.propagation import LagReason

pytestmark = pytest.mark.envoy


async def stored(gateway: RunningGateway, name: str) -> int:
    """The revision of the store that holds a route."""
    ref = ObjectRef("Route", "default", name)
    await gateway.until(lambda: gateway.gateway.store.get(ref))
    return gateway.gateway.store.revision


async def test_what_is_proven_is_served_by_every_worker(
    gateway: RunningGateway, echo: EchoUpstream
) -> None:
    for number in range(20):
        gateway.write(f"r{number}.yaml", route(f"r{number}", f"/r{number}", echo.port))
        found = await gateway.gateway.wait(await stored(gateway, f"r{number}"), 60)
        assert found.complete
        assert found.served == ("standalone",)
        statuses = [(await gateway.get(f"/r{number}")).status for _ in range(4)]
        assert statuses == [200] * 4


async def test_a_stopped_envoy_lags_and_counts_again_when_it_goes_on(
    gateway: RunningGateway, echo: EchoUpstream
) -> None:
    pid = gateway.envoy_pid
    os.kill(pid, signal.SIGSTOP)
    try:
        gateway.write("new.yaml", route("new", "/new", echo.port))
        revision = await stored(gateway, "new")
        found = await gateway.gateway.wait(revision, 0.5)
        assert not found.complete
        assert [lag.reason for lag in found.lagging] == [LagReason.NOT_ACKNOWLEDGED]
        condition = gateway.programmed("Route", "new")
        assert condition is not None
        assert condition.message == "0 of 1 nodes serve it"
    finally:
        os.kill(pid, signal.SIGCONT)

    assert (await gateway.gateway.wait(revision, 60)).complete
    assert (await gateway.get("/new")).status == 200


async def test_an_unchanged_object_stays_programmed_while_another_is_on_its_way(
    gateway: RunningGateway, echo: EchoUpstream
) -> None:
    pid = gateway.envoy_pid
    os.kill(pid, signal.SIGSTOP)
    try:
        gateway.write("new.yaml", route("new", "/new", echo.port))
        await stored(gateway, "new")
        await gateway.until(lambda: gateway.programmed("Route", "new"))
        condition = gateway.programmed("Route", "echo")
        assert condition is not None
        assert condition.status
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_a_restarted_envoy_is_proven_anew(gateway: RunningGateway) -> None:
    old = gateway.envoy_pid
    os.kill(old, signal.SIGKILL)
    await gateway.until(lambda: not gateway.gateway.tracker.report(1).served)
    assert not (await gateway.gateway.wait(None, 0)).complete

    assert (await gateway.gateway.wait(None, 60)).complete
    assert gateway.envoy_pid != old
    assert (await gateway.get("/echo")).status == 200


async def test_a_revision_that_changes_nothing_for_envoy_is_served_at_once(
    gateway: RunningGateway, echo: EchoUpstream
) -> None:
    before = gateway.gateway.status().snapshot
    described = route("echo", "/echo", echo.port, "  description: the same to Envoy\n")
    revision = gateway.gateway.store.revision
    gateway.write("echo.yaml", described)
    await gateway.until(lambda: gateway.gateway.store.revision > revision)

    assert (await gateway.gateway.wait(None, 60)).complete
    assert gateway.gateway.status().snapshot == before


async def test_waiting_for_a_revision_to_come_times_out_with_an_answer(
    gateway: RunningGateway,
) -> None:
    found = await asyncio.wait_for(gateway.gateway.wait(10_000, 0.05), 60)

    assert not found.reconciled
    assert not found.complete


async def test_waiting_includes_what_was_written_just_before_however_large(
    gateway: RunningGateway, echo: EchoUpstream
) -> None:
    """Files over 64 KiB are parsed in a thread, so that they reach the store later than others."""
    padding = "# " + "x" * 300_000 + "\n"
    for number in range(3):
        gateway.write("large.yaml", padding + route("large", f"/large{number}", echo.port))
        assert (await gateway.gateway.wait(None, 60)).complete
        assert (await gateway.get(f"/large{number}")).status == 200
