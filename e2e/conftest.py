"""One cluster for all scenarios, and the chart installed in it."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from e2e import readme
from e2e.cluster import Cluster
from e2e.kind import cluster as kind
from e2e.local import cluster as local
from e2e.release import Release
from tools.build_tools import Toolset, ToolsMissingError


def _provider() -> tuple[str, str]:
    """Which provider runs the scenarios, and why; the name is empty when none can."""
    wanted = os.environ.get("FLUXGATE_E2E", "")
    reasons = {"kind": kind.why_not(), "local": local.why_not()}
    for name in (wanted,) if wanted else ("kind", "local"):
        if not reasons[name]:
            others = [f"{each}: {why}" for each, why in reasons.items() if why]
            return name, "; ".join(others)
    return "", "; ".join(f"{each}: {why}" for each, why in reasons.items())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """An install takes a minute or two, and belongs to the first test that needs it."""
    for item in items:
        item.add_marker(pytest.mark.timeout(600))


def pytest_report_header() -> str:
    """Say which provider runs."""
    name, why = _provider()
    return f"e2e provider: {name or 'none'}" + (f" ({why})" if why else "")


@contextmanager
def _started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    try:
        binaries = Toolset.from_environment().found()
    except ToolsMissingError as error:
        pytest.skip(str(error))
    name, why = _provider()
    if name == "kind":
        with kind.kind_cluster(binaries["helm"]) as cluster:
            yield cluster
    elif name == "local":
        scratch = tmp_path_factory.mktemp("cluster")
        with local.local_cluster(binaries, scratch, os.environ) as cluster:
            yield cluster
    else:
        pytest.skip(f"no cluster can be made here: {why}")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster of most scenarios, without FluxGate."""
    with _started(tmp_path_factory) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def requests_before() -> list[dict[str, Any]]:
    """The audit events (audit.k8s.io/v1) of clusters that are gone."""
    return []


@pytest.fixture(scope="module")
def lone_cluster(
    tmp_path_factory: pytest.TempPathFactory, requests_before: list[dict[str, Any]]
) -> Iterator[Cluster]:
    """A cluster for releases that no other may stand beside."""
    with _started(tmp_path_factory) as cluster:
        yield cluster
        requests_before += cluster.requests()


REPOSITORY = Path(__file__).resolve().parents[1]
CHART = REPOSITORY / "charts" / "fluxgate"
VALUES = REPOSITORY / "examples" / "kubernetes" / "values.yaml"
SYSTEM = "fluxgate-system"
_RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"


@pytest.fixture(scope="session")
def release(cluster: Cluster) -> Release:
    """The chart, installed as the README says, in a namespace that admits restricted pods only."""
    cluster.kubectl("create", "namespace", SYSTEM)
    cluster.kubectl("label", "namespace", SYSTEM, _RESTRICTED)
    said = readme.run(readme.examples()[0].command, cluster.environment, seconds=300)
    assert said == [], "\n".join((*said, _state_of(cluster)))
    return Release("fluxgate", SYSTEM, VALUES)


def _state_of(cluster: Cluster) -> str:
    """What the pods are at, for the message of an install that failed."""
    said = [cluster.kubectl("get", "pods,jobs,events", "-n", SYSTEM, "-o", "wide")]
    pods = json.loads(cluster.kubectl("get", "pods", "-n", SYSTEM, "-o", "json"))
    for pod in pods["items"]:
        name = pod["metadata"]["name"]
        for container in (*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]):
            try:
                tail = cluster.log(SYSTEM, name, container["name"])[-2000:]
            except (LookupError, OSError, RuntimeError) as error:
                tail = str(error)
            said.append(f"== {name} {container['name']}\n{tail}")
    return "\n".join(said)


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A fresh namespace; its routes are gone at the end, the rest of it soon after."""
    name = f"e2e-{secrets.token_hex(3)}"
    cluster.kubectl("create", "namespace", name)
    yield name
    ways_in = "routes.gateway.fluxgate.io,ingresses.networking.k8s.io"
    cluster.kubectl("delete", ways_in, "--all", "-n", name, "--ignore-not-found")
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def gateway(cluster: Cluster, release: Release) -> Iterator[str]:
    """The URL of the gateway."""
    with cluster.reach(release.namespace, "fluxgate-gateway", 80) as url:
        yield url
