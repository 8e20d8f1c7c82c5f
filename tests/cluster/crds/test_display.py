"""What people see of our kinds with kubectl."""

from __future__ import annotations

import json
import re

import pytest
import yaml
from support.cluster import CRD_FOLDER, ControlPlane
from unit.api.cases import GOOD, document

from fluxgate.api.crd import CATEGORY, build_crds
from fluxgate_operator.kube.types import OUR_TYPES

CRDS = sorted(build_crds().items())
CONDITIONS = {
    "observedGeneration": 1,
    "conditions": [
        {
            "type": type_,
            "status": status,
            "reason": "Because",
            "message": "",
            "observedGeneration": 1,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        for type_, status in (("Accepted", "True"), ("Programmed", "False"))
    ],
}


def create_one(plane: ControlPlane, namespace: str, kind: str) -> None:
    spec = next(each.spec for each in GOOD if each.kind == kind)
    body = document(kind, spec)
    body["metadata"] = {"name": "x", "namespace": namespace}
    plane.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(body))


@pytest.mark.parametrize("name", [name for name, _ in CRDS])
def test_a_crd_reaches_the_server_whole(control_plane: ControlPlane, name: str):
    written = yaml.safe_load((CRD_FOLDER / f"{name}.yaml").read_text())["spec"]["versions"][0]
    stored = json.loads(control_plane.kubectl("get", "crd", name, "-o", "json"))
    assert stored["spec"]["versions"][0]["schema"] == written["schema"]
    conditions = {each["type"]: each["status"] for each in stored["status"]["conditions"]}
    assert conditions["Established"] == "True"
    assert conditions["NamesAccepted"] == "True"
    assert "NonStructuralSchema" not in conditions


@pytest.mark.parametrize("type_", OUR_TYPES, ids=lambda type_: type_.kind)
def test_explain_describes_every_kind_and_its_fields(control_plane: ControlPlane, type_):
    said = control_plane.kubectl("explain", f"{type_.plural}.{type_.group}.spec", "--recursive")
    assert type_.kind in said
    crd = build_crds()[f"{type_.plural}.{type_.group}"]
    spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    for field in spec["properties"]:
        assert f"  {field}\t<" in said


@pytest.mark.parametrize("type_", OUR_TYPES, ids=lambda type_: type_.kind)
def test_get_shows_the_columns_and_the_conditions(
    control_plane: ControlPlane, namespace: str, type_
):
    create_one(control_plane, namespace, type_.kind)
    control_plane.kubectl(
        *("patch", f"{type_.plural}.{type_.group}", "x", "--subresource=status", "--type=merge"),
        f"--namespace={namespace}",
        f"--patch={json.dumps({'status': CONDITIONS})}",
    )
    crd = build_crds()[f"{type_.plural}.{type_.group}"]
    names = crd["spec"]["names"]
    listed = {
        asked: control_plane.kubectl("get", asked, f"--namespace={namespace}")
        for asked in (*names["shortNames"], f"{names['singular']}.{type_.group}")
    }
    for text in listed.values():
        header, row = text.splitlines()
        columns = crd["spec"]["versions"][0]["additionalPrinterColumns"]
        shown = [each["name"].upper() for each in columns if not each.get("priority")]
        assert re.split(r" {2,}", header.strip()) == ["NAME", *shown]
        assert row.split()[0] == "x"
        assert row.split()[-3:-1] == ["True", "False"]


def test_the_end_of_a_key_is_shown_as_a_time_not_as_an_age(
    control_plane: ControlPlane, namespace: str
):
    # kubectl shows a column of type date as an age, and an age below zero as <invalid>
    spec = next(each.spec for each in GOOD if each.kind == "ApiKey")
    body = document("ApiKey", {**spec, "expiresAt": "2100-01-01T00:00:00Z"})
    body["metadata"] = {"name": "x", "namespace": namespace}
    control_plane.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(body))
    shown = control_plane.kubectl("get", "fgk", "x", f"--namespace={namespace}", "-o", "wide")
    assert "2100-01-01T00:00:00Z" in shown
    assert "<invalid>" not in shown


def test_the_category_lists_all_kinds_at_once(control_plane: ControlPlane, namespace: str):
    for type_ in OUR_TYPES:
        create_one(control_plane, namespace, type_.kind)
    listed = control_plane.kubectl("get", CATEGORY, f"--namespace={namespace}", "-o", "name")
    assert set(listed.split()) == {f"{type_.kind.lower()}.{type_.group}/x" for type_ in OUR_TYPES}


@pytest.mark.parametrize("type_", OUR_TYPES, ids=lambda type_: type_.kind)
def test_the_status_is_written_apart_from_the_specification(
    control_plane: ControlPlane, namespace: str, type_
):
    create_one(control_plane, namespace, type_.kind)
    resource = f"{type_.plural}.{type_.group}"
    where = f"--namespace={namespace}"
    patch = json.dumps({"status": CONDITIONS, "metadata": {"labels": {"a": "b"}}})
    control_plane.kubectl("patch", resource, "x", "--type=merge", where, f"--patch={patch}")
    stored = json.loads(control_plane.kubectl("get", resource, "x", where, "-o", "json"))
    assert "status" not in stored
    control_plane.kubectl(
        *("patch", resource, "x", "--subresource=status", "--type=merge", where),
        f"--patch={patch}",
    )
    stored = json.loads(control_plane.kubectl("get", resource, "x", where, "-o", "json"))
    assert stored["status"] == CONDITIONS
    assert stored["metadata"]["generation"] == 1


def test_two_conditions_of_one_type_are_refused(control_plane: ControlPlane, namespace: str):
    create_one(control_plane, namespace, "Route")
    twice = {"conditions": [CONDITIONS["conditions"][0]] * 2}
    done = control_plane.try_kubectl(
        *("patch", "routes.gateway.fluxgate.io", "x", "--subresource=status", "--type=merge"),
        f"--namespace={namespace}",
        f"--patch={json.dumps({'status': twice})}",
    )
    assert done.returncode != 0
    assert "Duplicate value" in done.stderr
