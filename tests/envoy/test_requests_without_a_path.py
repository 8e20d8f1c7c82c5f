"""CONNECT and ``OPTIONS *`` name no path, so no route takes them, however the table is laid out."""

from __future__ import annotations

import pytest
from support.gateway import GatewayEnvoy, cluster, forward, gateway, route
from support.upstream import EchoUpstream

from fluxgate.ir import PathKind, PathMatch, RouteMatch

pytestmark = pytest.mark.envoy

FEW, MANY = 2, 100
"""Routes that make a list, and routes that make a tree."""


@pytest.mark.parametrize("count", [FEW, MANY], ids=["list", "tree"])
@pytest.mark.parametrize("catching", ["/", "regex"])
def test_requests_without_a_path_are_answered_404_and_reach_nothing(
    count: int, catching: str
) -> None:
    anything = RouteMatch(PathMatch(PathKind.REGEX, ".*"))
    fields = {"match": anything} if catching == "regex" else {}
    routes = [route(f"/api/svc{number}", forward("up")) for number in range(count)]
    with EchoUpstream() as echo:
        served = gateway((*routes, route("/", forward("up"), **fields)), (cluster("up", echo),))
        with GatewayEnvoy(served) as running:
            answers = [
                running.get("*", method="OPTIONS").status,
                running.get("/", [("host", "x")], method="OPTIONS").status,
                running.get("api.example.com:443", method="CONNECT").status,
            ]
        assert answers == [404, 200, 404]
        assert [each.method for each in echo.requests] == ["OPTIONS"]
