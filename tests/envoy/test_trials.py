"""Trials of a running gateway, answered by the real Envoy."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.standalone import GATEWAY, RunningGateway, route, running_gateway
from support.upstream import EchoUpstream

from fluxgate.ports import FindingSource, Proposal, Trial
from fluxgate.resources import ObjectRef

pytestmark = pytest.mark.envoy

EXPENSIVE = "/(a|b){700}z"
"""Costs RE2 more than Envoy allows."""


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[RunningGateway]:
    with EchoUpstream() as echo:
        files = {"gateway.yaml": GATEWAY, "echo.yaml": route("echo", "/echo", echo.port)}
        async with running_gateway(tmp_path, files) as running:
            yield running


async def attempt(gateway: RunningGateway, *documents: dict[str, Any]) -> Trial:
    proposals = [
        Proposal(ObjectRef(each["kind"], "default", each["metadata"]["name"]), each)
        for each in documents
    ]
    return await gateway.gateway.trials.try_out(proposals)


def document(text: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(text)
    return found


async def test_envoy_accepts_a_good_route_and_never_serves_what_was_only_tried(
    gateway: RunningGateway,
) -> None:
    before = gateway.gateway.status().snapshot

    trial = await attempt(gateway, document(route("new", "/new", 9)))

    assert trial.ok
    assert trial.asked_envoy
    assert (await gateway.get("/new")).status == 404
    assert gateway.gateway.status().snapshot == before


async def test_what_only_envoy_refuses_is_found_before_anything_is_stored(
    gateway: RunningGateway,
) -> None:
    bad = document(route("bad", f'{{type: Regex, value: "{EXPENSIVE}"}}', 9))

    trial = await attempt(
        gateway, document(route("one", "/one", 9)), bad, document(route("two", "/two", 9))
    )

    assert not trial.ok
    assert {each.source for each in trial.findings} == {FindingSource.ENVOY}
    assert {each.proposal for each in trial.findings} == {1}
    assert gateway.gateway.store.get(ObjectRef("Route", "default", "one")) is None


async def test_a_listener_is_tried_with_all_it_needs(gateway: RunningGateway) -> None:
    changed = document(GATEWAY)
    changed["spec"]["listeners"][0]["name"] = "other"
    changed["spec"]["limits"] = {"maxRequestHeadersKib": 90}

    trial = await attempt(gateway, changed)

    assert trial.ok, trial
    assert trial.asked_envoy
    assert any(each.type == "Listener" for each in trial.difference.envoy)


async def test_a_regular_expression_that_is_too_dear_has_the_place_of_its_value(
    gateway: RunningGateway,
) -> None:
    trial = await attempt(
        gateway, document(route("dear", f'{{type: Regex, value: "{EXPENSIVE}"}}', 9))
    )

    assert not trial.ok
    assert [each.pointer for each in trial.findings] == ["/spec/matches/0/path/value"]


async def test_the_port_that_was_chosen_by_the_command_line_is_no_difference(
    gateway: RunningGateway,
) -> None:
    trial = await attempt(gateway, document(GATEWAY))

    assert trial.ok
    assert trial.difference.objects == ()
    assert not trial.asked_envoy
