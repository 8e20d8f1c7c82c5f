"""The generated CRDs: current, structural, bounded, and as strict as the models."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import celpy
import jsonschema
import pytest
import yaml
from unit.api.cases import BAD, GOOD, Bad, Good, document

from fluxgate.api.crd import build_crd, build_crds, kind_of
from fluxgate.api.v1alpha1 import KINDS

ROOT = Path(__file__).resolve().parents[3]
BY_KIND = {kind_of(model): build_crd(model) for model in KINDS}
TYPES = {"object", "array", "string", "integer", "number", "boolean"}
ALLOWED = {
    "type", "description", "default", "enum", "pattern", "format", "minimum", "maximum",
    "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "required",
    "properties", "items", "additionalProperties", "x-kubernetes-validations",
    "x-kubernetes-preserve-unknown-fields", "x-kubernetes-list-type", "x-kubernetes-list-map-keys",
}  # fmt: skip


def schema(kind: str) -> dict:
    return BY_KIND[kind]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def nodes(node: dict, path: str = "") -> Iterator[tuple[str, dict]]:
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            yield from nodes(node[key], f"{path}[]")


EVERY_NODE = [
    pytest.param(path, node, id=f"{kind}{path}")
    for kind in BY_KIND
    for path, node in nodes(schema(kind))
]


def test_the_files_are_what_the_models_say():
    command = [sys.executable, str(ROOT / "tools" / "generate_crds.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"run `make generate`:\n{done.stdout}{done.stderr}"


def test_every_file_is_small_enough_for_kubectl_apply():
    files = list((ROOT / "crds").glob("*.yaml"))
    assert {path.stem for path in files} == set(build_crds())
    assert all(path.stat().st_size < 256 * 1024 for path in files)
    for path in files:
        assert yaml.safe_load(path.read_text()) == build_crds()[path.stem]


@pytest.mark.parametrize(("path", "node"), EVERY_NODE)
def test_every_node_is_structural(path, node):
    assert set(node) <= ALLOWED
    assert node["type"] in TYPES
    assert not ("properties" in node and "additionalProperties" in node)
    assert "default" not in node or node["default"] is not None
    assert set(node.get("required", ())) <= set(node.get("properties", ()))
    if node["type"] == "array":
        assert "items" in node
    preserved = node.get("x-kubernetes-preserve-unknown-fields", False)
    assert not preserved or path.endswith(".config")


@pytest.mark.parametrize(("path", "node"), EVERY_NODE)
def test_every_list_map_and_text_of_a_spec_is_bounded(path, node):
    if not path.startswith(".spec"):
        return
    if node["type"] == "array":
        assert "maxItems" in node
    if "additionalProperties" in node:
        assert "maxProperties" in node
    if node["type"] == "string":
        bounded = "maxLength" in node or "enum" in node or node.get("format") == "date-time"
        # an anchored pattern without * or + says how long its text can be
        assert bounded or not set("*+") & set(node.get("pattern", "*")), node


@pytest.mark.parametrize("kind", BY_KIND)
def test_status_is_a_subresource_with_conditions_by_type(kind):
    version = BY_KIND[kind]["spec"]["versions"][0]
    assert version["subresources"] == {"status": {}}
    conditions = schema(kind)["properties"]["status"]["properties"]["conditions"]
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]
    columns = [column["name"] for column in version["additionalPrinterColumns"]]
    assert columns[-3:] == ["Accepted", "Programmed", "Age"]


def test_short_names_are_unique():
    names = [name for crd in BY_KIND.values() for name in crd["spec"]["names"]["shortNames"]]
    assert len(set(names)) == len(names)


def test_every_rule_compiles_and_carries_a_message():
    for kind in BY_KIND:
        for _, node in nodes(schema(kind)):
            for rule in node.get("x-kubernetes-validations", ()):
                celpy.Environment().compile(rule["rule"])
                assert rule["message"]


def defaulted(node: dict, value: object) -> object:
    """``value`` with defaults filled in, as the API server does before it evaluates rules."""
    if isinstance(value, dict):
        known = node.get("properties", {})
        filled = {name: child["default"] for name, child in known.items() if "default" in child}
        own = {name: defaulted(known.get(name, {}), each) for name, each in value.items()}
        return filled | own
    if isinstance(value, list):
        return [defaulted(node.get("items", {}), each) for each in value]
    return value


def repeated_items(node: dict, value: object) -> Iterator[tuple]:
    """Items of lists of type map that have the keys of an item before them."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from repeated_items(node.get("properties", {}).get(name, {}), each)
    if isinstance(value, list):
        keys = node.get("x-kubernetes-list-map-keys", ())
        seen = [tuple(each.get(key) for key in keys) for each in value] if keys else []
        yield from (each for at, each in enumerate(seen) if each in seen[:at])
        for each in value:
            yield from repeated_items(node["items"], each)


def broken_rules(node: dict, value: object) -> Iterator[str]:
    for rule in node.get("x-kubernetes-validations", ()):
        environment = celpy.Environment()
        program = environment.program(environment.compile(rule["rule"]))
        if not program.evaluate({"self": celpy.json_to_cel(value)}):
            yield rule["message"]
    if isinstance(value, dict):
        for name, each in value.items():
            yield from broken_rules(node.get("properties", {}).get(name, {}), each)
    if isinstance(value, list):
        for each in value:
            yield from broken_rules(node.get("items", {}), each)


FORMATS = jsonschema.FormatChecker(())
RFC_3339 = re.compile(r"^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$", re.ASCII)


@FORMATS.checks("date-time")
def is_date_time(value: object) -> bool:
    """As the API server reads it: RFC 3339, with its zone."""
    return not isinstance(value, str) or RFC_3339.match(value) is not None


def schema_errors(kind: str, spec: dict) -> list[str]:
    validator = jsonschema.Draft202012Validator(schema(kind), format_checker=FORMATS)
    return [error.message for error in validator.iter_errors(document(kind, spec))]


def verdict(kind: str, spec: dict) -> str:
    """Who refuses the object at the API server, if anyone."""
    node = schema(kind)["properties"]["spec"]
    if schema_errors(kind, spec) or list(repeated_items(node, spec)):
        return "schema"
    return "cel" if list(broken_rules(node, defaulted(node, spec))) else "us"


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.name)
def test_the_api_server_takes_what_the_models_take(case: Good):
    json.dumps(case.spec)
    assert schema_errors(case.kind, case.spec) == []
    node = schema(case.kind)["properties"]["spec"]
    assert list(broken_rules(node, defaulted(node, case.spec))) == []


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.name)
def test_the_api_server_refuses_what_the_models_refuse(case: Bad):
    assert verdict(case.kind, case.spec) == case.by


@pytest.mark.parametrize(("path", "node"), EVERY_NODE)
def test_no_field_and_no_value_is_a_boolean_to_a_yaml_1_1_reader(path, node):
    if path.startswith(".status"):
        return  # Kubernetes' own words, and nobody writes them by hand
    booleans = {"y", "n", "yes", "no", "on", "off", "true", "false"}
    listed = {*node.get("properties", ()), *map(str, node.get("enum", ()))}
    assert not booleans & {each.lower() for each in listed}
