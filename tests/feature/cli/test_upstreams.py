"""``fluxgate upstreams`` on the screen; only the gateway behind the socket is hand-made."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import anyio.from_thread
import pytest
from support.commandline import Fluxgate

from fluxgate_cli.control.models import PoolView, TargetView, UpstreamsView
from fluxgate_cli.control.server import serving

WELL = TargetView(address="10.0.0.1:80", health="Healthy")
ILL = TargetView(
    address="10.0.0.2:80", health="PartlyHealthy", reasons=("CheckFailed", "Ejected"), nodes=("n1",)
)
BY_HAND = TargetView(address="10.0.0.3:80", health="Unhealthy", reasons=("ByHand",))
POOLS = (
    PoolView(
        gateway="main",
        pool="upstream/default/orders",
        object="Upstream default/orders",
        checked=True,
        nodes=2,
        targets=(WELL, ILL, BY_HAND),
    ),
    PoolView(
        gateway="main",
        pool="service/shop/web:80",
        object="",
        checked=False,
        nodes=0,
        targets=(TargetView(address="10.0.1.1:80", health="NotChecked"),),
    ),
)


class HandMade:
    """An instance with two pools, that nobody asks for anything else."""

    def upstreams(self) -> UpstreamsView:
        return UpstreamsView(pools=POOLS)


@pytest.fixture
def state_dir(tmp_path: Path) -> Iterator[Path]:
    with (
        anyio.from_thread.start_blocking_portal() as portal,
        portal.wrap_async_context_manager(serving(HandMade(), tmp_path)),
    ):
        yield tmp_path


def test_every_target_has_a_row(fluxgate: Fluxgate, state_dir: Path) -> None:
    shown = fluxgate("upstreams", "--state-dir", state_dir)
    rows = [line.split() for line in shown.out.splitlines()]
    assert rows == [
        ["POOL", "TARGET", "HEALTH", "REASONS", "NODES"],
        ["upstream/default/orders", "10.0.0.1:80", "Healthy", "2/2"],
        ["upstream/default/orders", "10.0.0.2:80", "PartlyHealthy", "CheckFailed,", "Ejected", "1/2"],
        ["upstream/default/orders", "10.0.0.3:80", "Unhealthy", "ByHand", "0/2"],
        ["service/shop/web:80", "10.0.1.1:80", "NotChecked", "-"],
    ]  # fmt: skip
    assert shown.code == 0


def test_only_the_unhealthy_when_asked_for(fluxgate: Fluxgate, state_dir: Path) -> None:
    shown = fluxgate("upstreams", "--unhealthy", "-o", "json", "--state-dir", state_dir)
    (pool,) = json.loads(shown.out)["pools"]
    assert [each["address"] for each in pool["targets"]] == ["10.0.0.2:80", "10.0.0.3:80"]
