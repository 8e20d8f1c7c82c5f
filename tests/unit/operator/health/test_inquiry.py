"""What is asked of an Envoy, what its answers mean, and when nothing is asked at all."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

import pytest
from support.gateway import cluster

from fluxgate.ir import ActiveCheck, OutlierDetection
from fluxgate_operator.errors import EnvoyAdminError
from fluxgate_operator.health.readings import (
    FAILURES_PATH,
    Ailment,
    clusters_path,
    place_of,
    read_endpoints,
    read_failures,
)
from fluxgate_operator.health.watcher import Inquiry

CHECK = ActiveCheck("TCP", "/", "", "", 1000, 1000, 1, 1, (200,))
EJECTION = OutlierDetection(5, 1000, 1000, 50)


def host(port: int, *, name: str = "", **health: bool) -> dict:
    address = {"socket_address": {"address": "10.0.0.1", "port_value": port}}
    return {"address": address, "hostname": name, "health_status": health}


def answer(**clusters: list[dict]) -> str:
    return json.dumps(
        {"cluster_statuses": [{"name": k, "host_statuses": v} for k, v in clusters.items()]}
    )


class Envoy:
    """Answers from two tables, and remembers what it was asked."""

    def __init__(self) -> None:
        self.failures: dict[str, int] = {}
        self.endpoints: dict[str, list[dict]] = {}
        self.asked: list[str] = []
        self.broken = False

    async def ask(self, path: str) -> str:
        self.asked.append(path)
        if self.broken:
            raise EnvoyAdminError("away")
        if path == FAILURES_PATH:
            lines = self.failures.items()
            return "".join(f"cluster.{k}.health_check.failure: {v}\n" for k, v in lines)
        (wanted,) = parse_qs(urlsplit(path).query)["filter"]
        return answer(**{k: v for k, v in self.endpoints.items() if k in wanted})

    @property
    def details(self) -> int:
        """How often more was asked for than the counters."""
        found = sum(path != FAILURES_PATH for path in self.asked)
        self.asked.clear()
        return found


def test_the_ailing_are_found_and_the_pending_are_not_among_them() -> None:
    found = read_endpoints(
        answer(
            a=[
                host(1),
                host(2, failed_active_health_check=True),
                host(3, failed_outlier_check=True),
                host(4, failed_active_health_check=True, failed_outlier_check=True),
                host(5, failed_active_health_check=True, pending_active_hc=True),
            ],
            b=[],
        )
    )
    assert found == {
        "a": {
            "10.0.0.1:2": (Ailment.CHECK_FAILED,),
            "10.0.0.1:3": (Ailment.EJECTED,),
            "10.0.0.1:4": (Ailment.CHECK_FAILED, Ailment.EJECTED),
        },
        "b": {},
    }


def test_an_endpoint_is_named_as_its_target_is_written() -> None:
    ill = {"health_status": {"failed_outlier_check": True}}
    pipe = {"address": {"pipe": {"path": "/run/a.sock"}}, **ill}
    named = {**host(443, name="orders.example.com"), **ill}
    six = {"address": {"socket_address": {"address": "::1", "port_value": 80}}, **ill}
    (found,) = read_endpoints(answer(a=[pipe, named, six])).values()
    assert set(found) == {"unix:///run/a.sock", "orders.example.com:443", "[::1]:80"}
    assert place_of("unix:///run/a.sock", 0) == "unix:///run/a.sock"


@pytest.mark.parametrize("text", ["", "no json", "[]", '{"cluster_statuses": [{}]}'])
def test_an_answer_of_another_kind_is_an_error_of_the_node(text: str) -> None:
    with pytest.raises(EnvoyAdminError, match="/clusters"):
        read_endpoints(text)


def test_counters_are_read_by_cluster_whatever_else_is_there() -> None:
    text = (
        "cluster.service/ns/a_80/12.health_check.failure: 3\n"
        "cluster.service/ns/a_80/12.outlier_detection.ejections_enforced_total: 1\n"
        "cluster.b.upstream_rq_total: 7\nserver.live: 1\n"
    )
    assert read_failures(text) == {"service/ns/a_80/12": (3, 1)}


def test_names_are_asked_for_literally() -> None:
    query = urlsplit(clusters_path(["a.b/c:1", "d"])).query
    assert parse_qs(query)["filter"] == [r"^(?:a\.b/c:1|d)$"]


def test_pools_that_nobody_checks_are_nothing_to_ask_about() -> None:
    inquiry = Inquiry()
    assert not inquiry.concerns((cluster("a"),))
    assert inquiry.concerns((cluster("a"), cluster("b", active_check=CHECK)))
    assert inquiry.concerns((cluster("a", outlier_detection=EJECTION),))


async def test_details_are_asked_for_only_after_new_failures_and_until_all_is_well() -> None:
    envoy, inquiry = Envoy(), Inquiry()
    inquiry.concerns((cluster("a", active_check=CHECK), cluster("b", active_check=CHECK)))
    assert await inquiry.ask(envoy.ask) == {}
    assert envoy.details == 0

    envoy.failures, envoy.endpoints = {"a": 1}, {"a": [host(1)]}
    assert await inquiry.ask(envoy.ask) == {}
    assert envoy.details == 1
    await inquiry.ask(envoy.ask)
    assert envoy.details == 0

    envoy.failures["a"] = 2
    envoy.endpoints["a"] = [host(1, failed_active_health_check=True)]
    for _ in range(2):
        assert await inquiry.ask(envoy.ask) == {"a": {"10.0.0.1:1": (Ailment.CHECK_FAILED,)}}
    envoy.endpoints["a"] = [host(1)]
    assert await inquiry.ask(envoy.ask) == {}
    assert envoy.details == 3
    await inquiry.ask(envoy.ask)
    assert envoy.details == 0


async def test_an_envoy_that_was_failing_before_it_was_asked_is_asked_at_once() -> None:
    envoy, inquiry = Envoy(), Inquiry()
    inquiry.concerns((cluster("a", active_check=CHECK),))
    envoy.failures = {"a": 9}
    envoy.endpoints = {"a": [host(1, failed_outlier_check=True)]}
    assert set(await inquiry.ask(envoy.ask)) == {"a"}


async def test_a_colon_in_a_name_is_an_underscore_in_statistics() -> None:
    envoy, inquiry = Envoy(), Inquiry()
    inquiry.concerns((cluster("s:80", active_check=CHECK),))
    envoy.failures = {"s_80": 1}
    envoy.endpoints = {"s:80": [host(1, failed_outlier_check=True)]}
    assert set(await inquiry.ask(envoy.ask)) == {"s:80"}


async def test_a_cluster_that_is_gone_ails_no_more() -> None:
    envoy, inquiry = Envoy(), Inquiry()
    envoy.failures, envoy.endpoints = {"a": 1}, {"a": [host(1, failed_outlier_check=True)]}
    inquiry.concerns((cluster("a", active_check=CHECK), cluster("b", active_check=CHECK)))
    assert set(await inquiry.ask(envoy.ask)) == {"a"}
    inquiry.concerns((cluster("b", active_check=CHECK),))
    assert await inquiry.ask(envoy.ask) == {}


async def test_an_answer_that_does_not_come_loses_nothing() -> None:
    envoy, inquiry = Envoy(), Inquiry()
    inquiry.concerns((cluster("a", active_check=CHECK),))
    envoy.failures, envoy.endpoints = {"a": 1}, {"a": [host(1, failed_outlier_check=True)]}
    envoy.broken = True
    with pytest.raises(EnvoyAdminError):
        await inquiry.ask(envoy.ask)
    envoy.broken = False
    assert set(await inquiry.ask(envoy.ask)) == {"a"}


async def test_hundreds_of_suspects_are_asked_for_in_batches() -> None:
    envoy, inquiry = Envoy(), Inquiry()
    inquiry.concerns([cluster(f"c{number:03}", active_check=CHECK) for number in range(250)])
    envoy.failures = {f"c{number:03}": 1 for number in range(250)}
    await inquiry.ask(envoy.ask)
    assert envoy.details == 3
