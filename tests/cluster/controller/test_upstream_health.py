"""Health as Envoy sees it, in the status of Upstreams."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from cluster.controller.conftest import API, Site
from support.controller import controller, envoy_of
from support.envoy import eventually
from support.fleet import Fleet

pytestmark = pytest.mark.envoy
CHECKS = {"active": {"interval": "100ms", "unhealthyThreshold": 1, "healthyThreshold": 1}}


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    with Fleet("a", "b") as fleet:
        yield fleet


def objects(fleet: Fleet) -> str:
    upstream = {"targets": fleet.targets(), "healthChecks": CHECKS}
    route = {"backends": [{"kind": "Upstream", "name": "pool"}]}
    written = (("Upstream", "pool", upstream), ("Route", "pool", route))
    return "---\n".join(
        f"{API}kind: {kind}\nmetadata: {{name: {name}}}\nspec: {json.dumps(spec)}\n"
        for kind, name, spec in written
    )


def status(site: Site) -> dict[str, Any]:
    text = site.plane.kubectl("get", "-n", site.namespace, "upstream", "pool", "-o", "json")
    return json.loads(text).get("status", {})


def test_the_leader_writes_what_another_replicas_envoy_finds(site: Site, fleet: Fleet) -> None:
    site.apply(site.gateway, objects(fleet))
    with (
        controller(site.plane.kubeconfig, site.namespace) as leader,
        controller(site.plane.kubeconfig, site.namespace, identity="controller-1") as other,
    ):
        leader.until(lambda: leader.metric("fluxgate_controller_leader") == 1, "it leads")
        with envoy_of(site.key, other):
            eventually(lambda: site.status("/") == 200, what="the route is served")
            assert "unhealthyTargets" not in status(site)
            fleet.stop("b")
            found = eventually(lambda: status(site).get("unhealthyTargets"), what="the status")
        place = f"127.0.0.1:{fleet['b'].port}"
        assert found == [{"address": place, "nodes": 1, "reasons": ["CheckFailed"]}]
        table = site.plane.kubectl("get", "-n", site.namespace, "upstream", "pool")
        assert "UNHEALTHY" in table
        assert place in table
