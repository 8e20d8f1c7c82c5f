"""The pipelines of ``examples/ci``, with the real token of their ServiceAccount."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.cluster import ControlPlane

CI = Path(__file__).parents[3] / "examples" / "ci"
ROUTE = """
apiVersion: gateway.fluxgate.io/v1alpha1
kind: Route
metadata: {name: orders}
spec:
  matches: [{path: {value: /orders}}]
  backends: [{url: http://orders.example.com}]
"""

Step = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def login(control_plane: ControlPlane, namespace: str) -> Path:
    """The kubeconfig a pipeline makes of its token, in the namespace where its rights are."""
    control_plane.kubectl("apply", "-n", namespace, "-f", str(CI / "rbac.yaml"))
    control_plane.wait_for_right(namespace, "fluxgate-ci", "patch", "routes", "gateway.fluxgate.io")
    return control_plane.kubeconfig_for(namespace, "fluxgate-ci")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "routes"
    found.mkdir()
    (found / "orders.yaml").write_text(ROUTE)
    return found


@pytest.fixture
def deploy(control_plane: ControlPlane, login: Path, folder: Path) -> Step:
    """``examples/ci/deploy``, with kubectl and fluxgate on the PATH."""

    def run(**environment: str) -> subprocess.CompletedProcess[str]:
        programs = (control_plane.binaries["kubectl"].parent, Path(sys.executable).parent)
        path = os.pathsep.join([*map(str, programs), os.environ["PATH"]])
        return subprocess.run(
            [CI / "deploy", str(folder)],
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
            env={**control_plane.environment(login), "PATH": path, **environment},
        )

    return run


def test_a_pull_request_sees_what_would_change_and_changes_nothing(
    control_plane: ControlPlane, namespace: str, deploy: Step
) -> None:
    done = deploy()
    assert done.returncode == 0, done.stderr
    assert "+  - path:" in done.stdout
    assert "/orders" in done.stdout
    assert control_plane.kubectl("get", "routes.gateway.fluxgate.io", "-n", namespace) == ""


def test_main_applies_and_the_next_run_has_nothing_to_do(
    control_plane: ControlPlane, namespace: str, deploy: Step
) -> None:
    first = deploy(APPLY="true")
    assert first.returncode == 0, first.stderr
    path = control_plane.kubectl(
        *("get", "routes.gateway.fluxgate.io/orders", "-n", namespace),
        *("-o", "jsonpath={.spec.matches[0].path.value}"),
    )
    assert path == "/orders"
    again = deploy()
    assert again.returncode == 0
    assert "/orders" not in again.stdout


def test_an_invalid_route_stops_the_pipeline_before_the_cluster_is_asked(
    deploy: Step, folder: Path
) -> None:
    (folder / "orders.yaml").write_text(ROUTE.replace("matches", "match"))
    done = deploy(APPLY="true")
    assert done.returncode == 3
    assert "spec.match" in done.stdout
    assert "applied" not in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("apply", "--server-side", "-f", "-"),
        ("diff", "--server-side", "-f", "-"),
        ("get", "routes.gateway.fluxgate.io"),
        ("delete", "routes.gateway.fluxgate.io", "--all"),
        ("get", "secrets"),
    ],
    ids=lambda each: each[0] + "-" + each[1],
)
def test_the_token_is_worth_nothing_in_another_namespace(
    control_plane: ControlPlane, login: Path, arguments: tuple[str, ...]
) -> None:
    refused = control_plane.try_kubectl(*arguments, "-n", "default", stdin=ROUTE, kubeconfig=login)
    assert refused.returncode != 0
    assert "Forbidden" in refused.stderr or "forbidden" in refused.stderr


@pytest.mark.parametrize("words", [("get", "secrets"), ("get", "apikeys.gateway.fluxgate.io")])
def test_in_its_own_namespace_it_sees_routes_only(
    control_plane: ControlPlane, login: Path, words: tuple[str, ...]
) -> None:
    assert "forbidden" in control_plane.try_kubectl(*words, kubeconfig=login).stderr


@pytest.mark.parametrize("name", ["github-actions.yaml", "gitlab-ci.yaml"])
def test_the_pipelines_run_what_is_tested_here(name: str) -> None:
    text = (CI / name).read_text()
    assert "examples/ci/deploy routes/" in text
    assert "kubectl wait --for=condition=Programmed" in text
    jobs: dict[str, Any] = yaml.load(text, Loader=yaml.BaseLoader)
    assert json.dumps(jobs)
