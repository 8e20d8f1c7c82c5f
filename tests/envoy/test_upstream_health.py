"""What Envoy finds out about targets comes back to the control plane, and soon."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.fleet import Fleet, ask, same
from support.standalone import API, GATEWAY, RunningGateway, running_gateway

from fluxgate_operator.health import TargetState

pytestmark = pytest.mark.envoy
SOON = 60.0
"""Seconds after which the control plane knows at the latest: checks take 0.1 s, questions 1 s."""

ACTIVE = {"active": {"interval": "100ms", "unhealthyThreshold": 1, "healthyThreshold": 1}}
PASSIVE = {"passive": {"consecutive5xx": 3, "interval": "100ms", "baseEjectionTime": "1s"}}


def pool(name: str, targets: list[dict], **spec: object) -> str:
    upstream = {"targets": targets, **spec}
    route = {"matches": [{"path": {"value": f"/{name}"}}], "backends": [{"kind": "Upstream", "name": name}]}  # fmt: skip
    return "---\n".join(
        f"{API}kind: {kind}\nmetadata: {{name: {name}}}\nspec: {json.dumps(said)}\n"
        for kind, said in (("Upstream", upstream), ("Route", route))
    )


def found(running: RunningGateway, name: str) -> dict[str, tuple[str, ...]]:
    """The state of every target of an Upstream, and the reasons, by address."""
    (pool,) = [each for each in running.gateway.pools() if each.pool == f"upstream/default/{name}"]
    return {each.address: (pool.state_of(each), *each.ailments) for each in pool.targets}


@pytest.fixture
def fleet() -> AsyncIterator[Fleet]:
    with Fleet("a", "b") as fleet:
        yield fleet


def address(fleet: Fleet, name: str) -> str:
    return f"127.0.0.1:{fleet[name].port}"


async def test_a_target_that_dies_is_known_to_be_out(tmp_path: Path, fleet: Fleet) -> None:
    files = {"all.yaml": f"{GATEWAY}---\n" + pool("checked", fleet.targets(), healthChecks=ACTIVE)}
    a, b = address(fleet, "a"), address(fleet, "b")
    async with running_gateway(tmp_path, files) as running:
        well = {a: (TargetState.HEALTHY,), b: (TargetState.HEALTHY,)}
        await running.until(lambda: found(running, "checked") == well, SOON)
        fleet.stop("b")
        ill = {a: (TargetState.HEALTHY,), b: (TargetState.UNHEALTHY, "CheckFailed")}
        await running.until(lambda: found(running, "checked") == ill, SOON)


async def test_a_target_that_recovers_is_known_to_be_back(tmp_path: Path, fleet: Fleet) -> None:
    fleet["b"].status = 500
    files = {"all.yaml": f"{GATEWAY}---\n" + pool("checked", fleet.targets(), healthChecks=ACTIVE)}
    b = address(fleet, "b")
    async with running_gateway(tmp_path, files) as running:
        ill = (TargetState.UNHEALTHY, "CheckFailed")
        await running.until(lambda: found(running, "checked")[b] == ill, SOON)
        fleet["b"].status = 200
        await running.until(lambda: found(running, "checked")[b] == (TargetState.HEALTHY,), SOON)


async def test_an_ejected_target_is_known_to_be_out_until_it_returns(
    tmp_path: Path, fleet: Fleet
) -> None:
    files = {"all.yaml": f"{GATEWAY}---\n" + pool("tried", fleet.targets(), healthChecks=PASSIVE)}
    b = address(fleet, "b")
    async with running_gateway(tmp_path, files) as running:
        fleet["b"].status = 500
        ejected = (TargetState.UNHEALTHY, "Ejected")

        def out() -> bool:
            ask(running.port, same(20, "/tried"))  # who returns is ejected for longer
            return found(running, "tried")[b] == ejected

        await running.until(out, SOON)
        fleet["b"].status = 200
        await running.until(lambda: found(running, "tried")[b] == (TargetState.HEALTHY,), SOON)


async def test_what_nobody_checks_is_not_called_healthy(tmp_path: Path, fleet: Fleet) -> None:
    targets = [*fleet.targets("a"), {**fleet["b"].target, "health": "Unhealthy"}]
    files = {"all.yaml": f"{GATEWAY}---\n" + pool("plain", targets)}
    async with running_gateway(tmp_path, files) as running:
        assert found(running, "plain") == {
            address(fleet, "a"): (TargetState.NOT_CHECKED,),
            address(fleet, "b"): (TargetState.UNHEALTHY,),
        }


async def test_a_unix_socket_is_known_by_its_path(tmp_path: Path) -> None:
    sockets = tmp_path / "s"
    sockets.mkdir()
    gateway = GATEWAY + f"  upstreamSockets: [{sockets}]\n"
    with Fleet("a", "b", places={name: str(sockets / name) for name in "ab"}) as fleet:
        files = {
            "all.yaml": f"{gateway}---\n" + pool("local", fleet.targets(), healthChecks=ACTIVE)
        }
        async with running_gateway(tmp_path, files) as running:
            assert (await running.get("/local")).status == 200
            fleet.stop("b")
            ill = (TargetState.UNHEALTHY, "CheckFailed")
            await running.until(lambda: found(running, "local")[f"unix://{sockets}/b"] == ill, SOON)
