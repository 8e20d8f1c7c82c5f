"""``fluxgate admin serve`` beside a controller and a real Envoy: writes go to the API server and are proven."""

from __future__ import annotations

import json
import os
import signal
import urllib.request
from collections.abc import Iterator

import pytest
from cluster.controller.conftest import Site
from support.admin_serve import AdminServe, admin_serve
from support.controller import controller, envoy_of
from support.envoy import EnvoyProcess, eventually

pytestmark = pytest.mark.envoy


@pytest.fixture
def stage(site: Site) -> Iterator[tuple[AdminServe, EnvoyProcess]]:
    """A controller, an Envoy that it programs, and the admin API by itself."""
    site.apply(site.gateway, site.backend("echo"), site.route("there", "/there", "echo"))
    with (
        controller(site.plane.kubeconfig, site.namespace, identity="one") as one,
        envoy_of(site.key, one) as envoy,
        admin_serve(
            site.plane.kubeconfig,
            site.namespace,
            FLUXGATE_ADMIN_DEFAULT_NAMESPACE=site.namespace,
            FLUXGATE_ADMIN_WAIT="20",
        ) as admin,
    ):
        yield admin, envoy


def body(site: Site, name: str) -> dict[str, object]:
    return {
        "name": name,
        "match": {"path": f"/{name}/*"},
        "upstream": f"http://127.0.0.1:{site.upstream.port}",
    }


def stored(site: Site, name: str) -> dict[str, object]:
    text = site.plane.kubectl(
        "get", "-n", site.namespace, "routes.gateway.fluxgate.io", name, "-o", "json",
        "--show-managed-fields",
    )  # fmt: skip
    found: dict[str, object] = json.loads(text)
    return found


def test_a_signed_write_is_stored_in_the_cluster_and_served_when_it_says_so(
    site: Site, stage: tuple[AdminServe, EnvoyProcess]
) -> None:
    admin, envoy = stage
    eventually(lambda: site.status("/there") == 200, what="the gateway serves")
    for number in range(3):
        answer = admin.call("POST", "/v2/routes", body(site, f"new{number}"))

        assert answer.status_code == 201, (answer.text, admin.stderr)
        assert answer.json()["sync_status"] == "propagated_to_all_nodes"
        assert site.status(f"/new{number}/x") == 200

    managers = stored(site, "new0")["metadata"]["managedFields"]  # type: ignore[index]
    assert "fluxgate-admin" in [each["manager"] for each in managers]
    unsigned = urllib.request.Request(
        f"{admin.ready['admin']}/v2/routes",
        data=json.dumps(body(site, "forged")).encode(),
        headers={"x-fluxgate-key": admin.key, "content-type": "application/json"},
    )
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(unsigned)

    os.kill(envoy.pid, signal.SIGSTOP)
    try:
        late = admin.call("POST", "/v2/routes?timeout=1", body(site, "late"))
        assert late.status_code == 202, late.text
        assert [each["node"] for each in late.json()["pending_nodes"]] == ["envoy-0"]
    finally:
        os.kill(envoy.pid, signal.SIGCONT)


def test_what_kubectl_applied_is_listed_with_its_id_and_can_be_deleted_there(
    site: Site, stage: tuple[AdminServe, EnvoyProcess]
) -> None:
    admin, _ = stage
    site.apply(site.route("by-hand", "/by-hand", "echo"))

    def listed() -> dict[str, str]:
        answer = admin.call("GET", f"/v2/routes?namespace={site.namespace}")
        assert answer.status_code == 200, answer.text
        return {each["name"]: each["id"] for each in answer.json()["data"]}

    found = eventually(lambda: "by-hand" in (seen := listed()) and seen, what="the route")
    assert found

    answer = admin.call("DELETE", f"/v2/routes/{found['by-hand']}")

    assert answer.status_code in (200, 204), answer.text
    left = site.plane.kubectl(
        "get", "-n", site.namespace, "routes.gateway.fluxgate.io", "-o", "name"
    )
    assert "by-hand" not in left
    assert "by-hand" not in listed()


def test_probes_and_metrics_are_answered(
    site: Site, stage: tuple[AdminServe, EnvoyProcess]
) -> None:
    admin, _ = stage
    port = admin.ready["http"]
    for path, word in (("/livez", "ok"), ("/readyz", "ok"), ("/metrics", "fluxgate_controller_")):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            assert word in answer.read().decode()
