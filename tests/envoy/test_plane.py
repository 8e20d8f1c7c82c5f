"""A running gateway as the admin API sees it: :class:`fluxgate.ports.ControlPlane`."""

from __future__ import annotations

import os
import signal

import pytest
from support.standalone import RunningGateway, route
from support.upstream import EchoUpstream

from fluxgate.ports import LagReason, Pending
from fluxgate.ports.plane import TargetHealth
from fluxgate.resources import ObjectRef
from fluxgate.status import ConditionType

pytestmark = pytest.mark.envoy


def written(name: str) -> Pending:
    return Pending(ObjectRef("Route", "default", name), "any")


async def test_a_write_that_was_seen_is_in_the_resources_and_served_when_waited_for(
    gateway: RunningGateway, echo: EchoUpstream
) -> None:
    plane = gateway.gateway.plane
    for number in range(10):
        name = f"new{number}"
        gateway.write(f"{name}.yaml", route(name, f"/{name}", echo.port))

        revision = await plane.seen([written(name)], 60)

        assert revision is not None
        assert plane.resources().get(ObjectRef("Route", "default", name)) is not None
        found = await plane.wait(revision, 60)
        assert found.complete
        assert (await gateway.get(f"/{name}")).status == 200


async def test_a_deletion_that_was_seen_is_not_in_the_resources_any_more(
    gateway: RunningGateway,
) -> None:
    plane = gateway.gateway.plane
    (gateway.folder / "echo.yaml").unlink()

    assert await plane.seen([Pending(ObjectRef("Route", "default", "echo"), "")], 60)

    assert plane.resources().get(ObjectRef("Route", "default", "echo")) is None


async def test_a_node_that_stands_still_is_named_with_the_reason(
    gateway: RunningGateway, echo: EchoUpstream
) -> None:
    plane = gateway.gateway.plane
    (node,) = plane.nodes()
    assert (node.id, node.connected, node.lag, node.error) == ("standalone", True, "", "")
    assert "envoy" in node.agent
    os.kill(gateway.envoy_pid, signal.SIGSTOP)
    try:
        gateway.write("new.yaml", route("new", "/new", echo.port))
        revision = await plane.seen([written("new")], 60)
        assert revision is not None
        found = await plane.wait(revision, 0.2)
        (behind,) = plane.nodes()
    finally:
        os.kill(gateway.envoy_pid, signal.SIGCONT)

    assert [(each.node, each.reason) for each in found.lagging] == [
        ("standalone", LagReason.NOT_ACKNOWLEDGED)
    ]
    assert "no acknowledgement" in behind.lag
    assert behind.version == node.version
    assert (await plane.wait(revision, 60)).complete


async def test_conditions_and_pools_are_read_from_memory(
    gateway: RunningGateway, echo: EchoUpstream
) -> None:
    plane = gateway.gateway.plane

    status = plane.statuses()[ObjectRef("Route", "default", "echo")]
    assert {each.type: each.status for each in status.conditions}[ConditionType.PROGRAMMED]
    (pool,) = plane.pools()
    assert pool.upstream is None
    assert [(each.address, each.health) for each in pool.targets] == [
        (f"127.0.0.1:{echo.port}", TargetHealth.NOT_CHECKED)
    ]
    assert plane.pools() is plane.pools(), "nothing changed, so nothing is made"
    assert plane.ready


async def test_too_little_time_gives_no_revision(gateway: RunningGateway) -> None:
    assert await gateway.gateway.plane.seen([written("echo")], 0) is None
