"""The arithmetic of the Kubernetes benchmarks."""

import json
from collections import Counter

import pytest

from bench.cluster import CLIENT, count_requests, documents, path_of
from bench.kubernetes import Kubernetes, Load
from bench.report_kubernetes import kubernetes, per_change


def event(agent: str, verb: str, resource: str, stage: str = "ResponseComplete") -> bytes:
    about = {"resource": resource}
    return json.dumps(
        {"userAgent": agent, "verb": verb, "stage": stage, "objectRef": about}
    ).encode()


def test_every_client_but_the_benchmark_and_kubectl_counts() -> None:
    lines = [
        event("fluxgate", "patch", "routes"),
        event("fluxgate-watch", "get", "routes"),
        event("kopf/1", "list", "routes"),
        event(CLIENT, "create", "routes"),
        event("kubectl/v1 (linux/amd64)", "patch", "routes"),
    ]
    assert count_requests(lines) == {
        "fluxgate patch routes": 1,
        "fluxgate-watch get routes": 1,
        "kopf list routes": 1,
    }


def test_a_watch_counts_once_when_it_begins() -> None:
    lines = [
        event("fluxgate-watch", "watch", "routes", "ResponseStarted"),
        event("fluxgate-watch", "watch", "routes", "ResponseComplete"),
    ]
    assert count_requests(lines) == {"fluxgate-watch watch routes": 1}


def test_a_request_about_no_object_counts() -> None:
    line = json.dumps({"userAgent": "fluxgate", "verb": "get", "stage": "ResponseComplete"})
    assert count_requests([line.encode()]) == {"fluxgate get ": 1}


def test_leases_are_no_cost_of_a_change() -> None:
    requests = Counter({"fluxgate patch leases": 50, "fluxgate patch routes/status": 20})
    assert per_change(requests, 10, "edit") == (
        "2.00 for each edit (fluxgate patch routes/status 2.00)"
    )


def test_every_route_has_its_own_upstream_and_path() -> None:
    upstream, route = documents("r1", 80)
    assert upstream["metadata"]["name"] == route["spec"]["backends"][0]["name"] == "r1"
    assert route["spec"]["matches"][0]["path"]["value"] == path_of("r1")


@pytest.mark.parametrize(
    ("routes", "change", "start", "expected"),
    [
        (3_000, 70.0, 9.0, "**missed** by 10.00 ms (≤ 60 ms)"),
        (3_000, 60.0, 9.0, "reached (≤ 60 ms)"),
        (10_000, 70.0, 6.0, "**missed** by 1.00 s (≤ 5 s)"),
        (10_000, 70.0, 5.0, "reached (≤ 5 s)"),
    ],
)
def test_a_goal_is_held_against_the_size_it_is_for(
    routes: int, change: float, start: float, expected: str
) -> None:
    load = Load(1.0, 100.0, Counter(), 10)
    found = Kubernetes(
        routes, 0.1, start=start, changes=[change] * 3, api=[8.0], statuses=[90.0], idle=load
    )
    found.kubectl = found.kubectl_alone = [100.0]
    found.endpoints = [150.0]
    text = kubernetes([found])
    assert expected in text
    assert "**missed** by 50.00 ms (≤ 100 ms)" in text
    assert text.count("60 ms)") + text.count(" 5 s)") == 1
    assert " ".join([f"{change:.1f}"] * 3) in text
