"""Routes by kubectl, served by the chart's gateway."""

import json

import httpx

from e2e.application import echo
from e2e.manifests import route, text
from e2e.waiting import eventually

ROUTES = "routes.gateway.fluxgate.io"


def test_an_applied_route_is_served_and_says_so(cluster, gateway, namespace):
    echo(cluster, namespace, "shop")

    cluster.kubectl(
        "apply", "-f", "-", stdin=text(route(namespace, "shop", f"/{namespace}", "shop"))
    )
    cluster.kubectl(
        "wait", "-n", namespace, "--for=condition=Programmed", f"{ROUTES}/shop", "--timeout=180s"
    )

    answer = httpx.get(f"{gateway}/{namespace}/cart")
    assert answer.status_code == 200
    assert answer.json()["path"] == f"/{namespace}/cart"


def test_a_deleted_route_is_no_longer_served(cluster, gateway, namespace):
    echo(cluster, namespace, "shop")
    cluster.kubectl(
        "apply", "-f", "-", stdin=text(route(namespace, "shop", f"/{namespace}", "shop"))
    )
    eventually("served", lambda: httpx.get(f"{gateway}/{namespace}").status_code == 200)

    cluster.kubectl("delete", "-n", namespace, f"{ROUTES}/shop")

    eventually("gone", lambda: httpx.get(f"{gateway}/{namespace}").status_code == 404)


def test_a_route_to_nothing_says_what_is_missing(cluster, release, namespace):
    cluster.kubectl(
        "apply", "-f", "-", stdin=text(route(namespace, "lost", f"/{namespace}", "nobody"))
    )

    def unresolved():
        found = json.loads(cluster.kubectl("get", "-n", namespace, ROUTES, "lost", "-o", "json"))
        conditions = {each["type"]: each for each in found["status"]["conditions"]}
        return conditions["ResolvedRefs"]["status"] == "False" and conditions["ResolvedRefs"]

    assert "nobody" in eventually("its condition", unresolved)["message"]


def test_requests_go_to_every_pod_of_a_service_and_follow_its_scale(cluster, gateway, namespace):
    echo(cluster, namespace, "shop", replicas=1)
    cluster.kubectl(
        "apply", "-f", "-", stdin=text(route(namespace, "shop", f"/{namespace}", "shop"))
    )

    def pods():
        answers = [httpx.get(f"{gateway}/{namespace}") for _ in range(20)]
        return {each.json()["pod"] for each in answers if each.status_code == 200}

    eventually("one pod", lambda: len(pods()) == 1)
    echo(cluster, namespace, "shop", replicas=3)
    eventually("three pods", lambda: len(pods()) == 3)
    echo(cluster, namespace, "shop", replicas=1)
    eventually("one pod again", lambda: len(pods()) == 1)
