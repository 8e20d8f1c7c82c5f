"""The public route catalogue as a document."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fluxgate_operator.catalog.check import verdict
from fluxgate_operator.catalog.document import (
    OWNER_LABEL,
    CatalogError,
    combined,
    entry_of,
    parse_catalog,
    read_catalog,
    render_catalog,
)

SPEC: dict[str, Any] = {
    "matches": [{"path": {"value": "/orders"}}],
    "backends": [{"url": "http://orders.example.com"}],
}


def catalog(*routes: Any, version: Any = 1) -> dict[str, Any]:
    return {"version": version, "routes": list(routes)}


def entry(name: str = "orders", **more: Any) -> dict[str, Any]:
    return {"name": name, "spec": SPEC, **more}


def test_an_entry_becomes_a_route_of_its_owner_and_back() -> None:
    (read,) = parse_catalog(catalog(entry(labels={"a": "b"}, annotations={"c": "d"})), "x")
    route = read.as_route("shop", "release")
    assert route["metadata"] == {
        "name": "orders",
        "namespace": "shop",
        "labels": {"a": "b", OWNER_LABEL: "release"},
        "annotations": {"c": "d"},
    }
    assert entry_of(route) == read


def test_what_is_exported_is_read_back_as_it_was(tmp_path: Path) -> None:
    entries = parse_catalog(catalog(entry("b", labels={"a": "b"}), entry("a")), "x")
    file = tmp_path / "public-route-catalog.json"
    file.write_text(render_catalog(entries))
    assert read_catalog(file) == tuple(sorted(entries, key=lambda each: each.name))
    assert render_catalog(entries) == render_catalog(reversed(entries))


def test_a_catalogue_may_be_yaml(tmp_path: Path) -> None:
    file = tmp_path / "catalog.yaml"
    file.write_text("version: 1\nroutes:\n- name: orders\n  spec: {backends: []}\n")
    assert [each.name for each in read_catalog(file)] == ["orders"]


def test_an_export_leaves_out_what_kubectl_and_the_owner_added() -> None:
    route = {
        "metadata": {
            "name": "orders",
            "labels": {OWNER_LABEL: "release"},
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
        },
        "spec": SPEC,
    }
    assert json.loads(render_catalog([entry_of(route)])) == catalog(entry())


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (catalog(version=2), "version: must be 1"),
        ({"version": 1}, "routes: must be a list"),
        ({**catalog(), "route": []}, "route: unknown field"),
        (catalog("orders"), "routes[0]: must be an object"),
        (catalog(entry(specs={})), "routes[0]: specs: unknown field"),
        (catalog({"spec": SPEC}), "routes[0]: metadata.name"),
        (catalog(entry("Orders")), "routes[0]: metadata.name"),
        (catalog({"name": "orders", "spec": {"match": []}}), "routes[0]: spec.match"),
        (catalog(entry(labels={OWNER_LABEL: "me"})), "is set by who applies the catalogue"),
        (catalog(entry(labels=["a"])), "routes[0]: metadata.labels"),
    ],
)
def test_a_mistake_is_named_with_its_place(document: dict[str, Any], words: str) -> None:
    with pytest.raises(CatalogError) as refused:
        parse_catalog(document, "file.json")
    assert words in str(refused.value)
    assert str(refused.value).startswith("file.json: ")


def test_all_mistakes_are_told_at_once() -> None:
    bad = catalog({"name": "a", "spec": {"x": 1}}, {"name": "b", "spec": {"y": 1}})
    with pytest.raises(CatalogError) as refused:
        parse_catalog(bad, "file.json")
    assert len(refused.value.problems) == 2


@pytest.mark.parametrize("text", ["", "[]", "{", '{"version": 1, "routes": []}{}'])
def test_a_file_that_is_no_catalogue_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(CatalogError, match=r"c\.json"):
        read_catalog(tmp_path / "c.json")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"no\.json"):
        read_catalog(tmp_path / "no.json")


def test_a_name_in_two_catalogues_is_a_mistake() -> None:
    one = parse_catalog(catalog(entry()), "x")
    with pytest.raises(CatalogError, match="orders is in the catalogues more than once"):
        combined([one, one])


def served(**changes: Any) -> dict[str, Any]:
    (read,) = parse_catalog(catalog(entry()), "x")
    route = read.as_route("shop")
    route["metadata"]["generation"] = 2
    condition = {"type": "Programmed", "status": "True", "observedGeneration": 2}
    route["status"] = {"conditions": [{**condition, "reason": "Programmed", "message": "2 of 2"}]}
    route["status"]["conditions"][0] |= changes
    return route


def test_a_route_is_served_when_this_very_generation_is_programmed() -> None:
    (wanted,) = parse_catalog(catalog(entry()), "x")
    assert verdict(wanted, served(), "shop").served
    assert not verdict(wanted, served(status="False"), "shop").served
    assert not verdict(wanted, served(observedGeneration=1), "shop").served
    assert not verdict(wanted, None, "shop").served


def test_defaults_written_out_by_the_api_server_are_no_difference() -> None:
    (wanted,) = parse_catalog(catalog(entry()), "x")
    route = served()
    route["spec"] = {**SPEC, "enabled": True, "priority": 0}
    assert verdict(wanted, route, "shop").served


def test_a_difference_is_told_by_the_names_of_the_fields() -> None:
    (wanted,) = parse_catalog(catalog(entry()), "x")
    route = served()
    route["spec"] = {**SPEC, "priority": 3, "hosts": ["a.example.com"]}
    found = verdict(wanted, route, "shop")
    assert (found.served, found.message) == (False, "differs from the catalogue in hosts, priority")
