"""``fluxgate routes`` and ``fluxgate crds apply`` against a real API server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.cluster import ControlPlane, OwnControlPlane

from fluxgate.api.crd import build_crds
from fluxgate_cli.errors import ExitCode

ROUTES = "routes.gateway.fluxgate.io"
Run = Callable[..., subprocess.CompletedProcess[str]]


def entry(name: str, path: str = "/x", **more: Any) -> dict[str, Any]:
    spec = {
        "matches": [{"path": {"value": path}}],
        "backends": [{"url": "http://orders.example.com"}],
    }
    return {"name": name, "spec": spec, **more}


def run_as(plane: ControlPlane, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fluxgate_cli.main", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=plane.environment(),
    )


@pytest.fixture
def reconcile(control_plane: ControlPlane, namespace: str, tmp_path: Path) -> Callable[..., Any]:
    """``reconcile(entries, *options)``: what became of each route, and the exit code."""

    def run(entries: list[dict[str, Any]], *options: str) -> tuple[dict[str, str], int]:
        file = tmp_path / "public-route-catalog.json"
        file.write_text(json.dumps({"version": 1, "routes": entries}))
        done = run_as(
            control_plane,
            *("routes", "reconcile", "--owner", "shop", "--catalog", str(file)),
            *("-n", namespace, "-o", "json", *options),
        )
        assert done.returncode in (0, ExitCode.INVALID), done.stderr
        return {each["name"]: each["action"] for each in json.loads(done.stdout)}, done.returncode

    return run


def paths(plane: ControlPlane, namespace: str) -> dict[str, str]:
    listed = json.loads(plane.kubectl("get", ROUTES, "-n", namespace, "-o", "json"))["items"]
    return {
        each["metadata"]["name"]: each["spec"]["matches"][0]["path"]["value"] for each in listed
    }


def test_the_cluster_becomes_what_the_catalogue_says_and_then_stays(
    control_plane: ControlPlane, namespace: str, reconcile: Callable[..., Any]
) -> None:
    first = [entry("a", "/a"), entry("b", "/b", labels={"team": "x"})]
    assert reconcile(first) == ({"a": "created", "b": "created"}, 0)
    assert reconcile(first) == ({"a": "unchanged", "b": "unchanged"}, 0)
    second = [entry("b", "/b2"), entry("c", "/c")]
    expected = {"a": "deleted", "b": "updated", "c": "created"}
    assert reconcile(second, "--prune", "--dry-run") == (expected, 0)
    assert paths(control_plane, namespace) == {"a": "/a", "b": "/b"}
    assert reconcile(second) == ({**expected, "a": "left"}, 0)
    assert reconcile(second, "--prune")[0] == {"a": "deleted", "b": "unchanged", "c": "unchanged"}
    assert paths(control_plane, namespace) == {"b": "/b2", "c": "/c"}
    labels = json.loads(control_plane.kubectl("get", f"{ROUTES}/b", "-n", namespace, "-o", "json"))[
        "metadata"
    ]["labels"]
    assert labels == {"gateway.fluxgate.io/owner": "shop"}


def test_what_somebody_changed_by_hand_is_set_right(
    control_plane: ControlPlane, namespace: str, reconcile: Callable[..., Any]
) -> None:
    reconcile([entry("a", "/a")])
    control_plane.kubectl(
        *("patch", f"{ROUTES}/a", "-n", namespace, "--type=merge", "-p"),
        '{"spec": {"matches": [{"path": {"value": "/by-hand"}}]}}',
    )
    assert reconcile([entry("a", "/a")])[0] == {"a": "updated"}
    assert paths(control_plane, namespace) == {"a": "/a"}


@pytest.mark.parametrize("label", ["", "another"])
def test_a_route_of_somebody_else_is_neither_changed_nor_deleted(
    control_plane: ControlPlane, namespace: str, reconcile: Callable[..., Any], label: str
) -> None:
    theirs = {
        "apiVersion": "gateway.fluxgate.io/v1alpha1",
        "kind": "Route",
        "metadata": {"name": "a", "labels": {"gateway.fluxgate.io/owner": label} if label else {}},
        "spec": entry("a", "/theirs")["spec"],
    }
    control_plane.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(theirs))
    wanted = [entry("a", "/mine"), entry("b", "/b")]
    assert reconcile(wanted, "--prune") == ({"a": "foreign", "b": "created"}, ExitCode.INVALID)
    assert reconcile([], "--prune") == ({"b": "deleted"}, 0)
    assert paths(control_plane, namespace) == {"a": "/theirs"}


def test_a_route_the_api_server_refuses_does_not_hold_up_the_others(
    control_plane: ControlPlane, namespace: str, reconcile: Callable[..., Any]
) -> None:
    bad = entry("bad", annotations={"not a key": "x"})
    assert reconcile([bad, entry("good", "/good")]) == (
        {"bad": "failed", "good": "created"},
        ExitCode.INVALID,
    )
    assert paths(control_plane, namespace) == {"good": "/good"}


def test_export_and_import_are_each_other_s_way_back(
    control_plane: ControlPlane, namespace: str, reconcile: Callable[..., Any], tmp_path: Path
) -> None:
    reconcile([entry("a", "/a", labels={"team": "x"}), entry("b", "/b")])
    exported = run_as(control_plane, "routes", "export", "-n", namespace).stdout
    file = tmp_path / "exported.json"
    file.write_text(exported)
    other = control_plane.new_namespace()
    objects = run_as(control_plane, "routes", "import", str(file), "-n", other).stdout
    control_plane.kubectl("apply", "-f", "-", stdin=objects)
    assert run_as(control_plane, "routes", "export", "-n", other).stdout == exported
    control_plane.clear_namespace(other)


def test_check_says_which_routes_are_not_served(
    control_plane: ControlPlane, namespace: str, reconcile: Callable[..., Any], tmp_path: Path
) -> None:
    reconcile([entry("a", "/a")])
    file = tmp_path / "wanted.json"
    file.write_text(json.dumps({"version": 1, "routes": [entry("a", "/a"), entry("b", "/b")]}))
    asked = ("routes", "check", "--catalog", str(file), "-n", namespace, "-o", "json")
    done = run_as(control_plane, *asked)
    assert done.returncode == ExitCode.NOT_READY
    assert {each["name"]: each["message"] for each in json.loads(done.stdout)} == {
        "a": "no status for this generation yet",
        "b": "there is no such Route",
    }


def test_definitions_are_created_then_updated_then_left_as_they_are(
    new_cluster: OwnControlPlane,
) -> None:
    def applied() -> dict[str, str]:
        done = run_as(new_cluster, "crds", "apply")
        assert done.returncode == 0, done.stderr
        _, *lines = done.stdout.splitlines()
        return {name: action for action, name in (line.split() for line in lines)}

    names = list(build_crds())
    assert applied() == dict.fromkeys(names, "created")
    assert run_as(new_cluster, "routes", "export", "-n", "default").returncode == 0
    new_cluster.kubectl(
        *("patch", "crd", ROUTES, "--type=merge", "-p"),
        '{"spec": {"names": {"shortNames": ["old"]}}}',
    )
    assert applied() == {**dict.fromkeys(names, "unchanged"), ROUTES: "updated"}
    assert applied() == dict.fromkeys(names, "unchanged")


def test_a_definition_whose_names_are_taken_is_reported(new_cluster: OwnControlPlane) -> None:
    theirs = json.loads(json.dumps(build_crds()[ROUTES]))
    theirs["metadata"]["name"] = "roads.gateway.fluxgate.io"
    theirs["spec"]["names"] |= {"plural": "roads", "singular": "road"}
    new_cluster.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(theirs))
    new_cluster.kubectl("wait", "--for=condition=Established", f"crd/{theirs['metadata']['name']}")
    done = run_as(new_cluster, "crds", "apply", "--timeout", "10")
    assert done.returncode == ExitCode.INTERNAL
    assert f"{ROUTES}: " in done.stderr
    assert "already in use" in done.stderr
