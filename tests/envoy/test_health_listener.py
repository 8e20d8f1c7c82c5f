"""The place where an Envoy is asked for health: two paths of its admin interface, for one token."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.client import Response, request
from support.envoy import EnvoyProcess
from support.ports import free_port

from fluxgate_operator.envoy.bootstrap import BootstrapOptions, build_bootstrap

pytestmark = pytest.mark.envoy
TOKEN = ("x-fluxgate-token", "t0ken")


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    admin, health = free_port(), free_port()
    bootstrap = build_bootstrap(
        BootstrapOptions(
            node_id="n",
            gateway="g",
            xds_host="127.0.0.1",
            xds_port=1,
            admin=("127.0.0.1", admin),
            concurrency=1,
            health=("127.0.0.1", health),
            health_token=TOKEN[1],
            zone="a",
        )
    )
    # nobody sends it a configuration, for which it would wait
    del bootstrap["dynamicResources"]
    with EnvoyProcess(bootstrap, admin_port=admin) as envoy:
        assert envoy.port("fluxgate-health") == health
        yield health


def ask(port: int, path: str, *headers: tuple[str, str], method: str = "GET") -> Response:
    return request(port, path, headers=headers, method=method)


@pytest.mark.parametrize("path", ["/stats?usedonly&type=Counters", "/clusters?format=json"])
def test_who_has_the_token_is_answered(port: int, path: str) -> None:
    assert ask(port, path, TOKEN).status == 200


@pytest.mark.parametrize("path", ["/stats", "/clusters?format=json"])
@pytest.mark.parametrize("headers", [(), (("x-fluxgate-token", "other"),), (("x-fluxgate-token", ""),)])  # fmt: skip
def test_nobody_else_is(port: int, path: str, headers: tuple) -> None:
    assert ask(port, path, *headers).status == 404


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/config_dump", "/quitquitquit", "/logging?level=trace", "/certs", "/stats/recentlookups"),
        *("/clusters/../config_dump", "/stats%2f..%2fconfig_dump", "//config_dump", "/stats;/config_dump"),
    ],
)  # fmt: skip
def test_nothing_else_can_be_asked(port: int, path: str) -> None:
    assert ask(port, path, TOKEN).status in (400, 404)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_can_be_changed(port: int, method: str) -> None:
    assert ask(port, "/stats", TOKEN, method=method).status == 404


def test_an_envoy_that_knows_its_zone_has_itself_as_its_fleet(port: int) -> None:
    found = ask(port, "/clusters?format=json&filter=^fluxgate-local$", TOKEN).json()
    (host,) = found["cluster_statuses"][0]["host_statuses"]
    assert host["locality"] == {"zone": "a"}
