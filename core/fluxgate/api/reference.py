"""The reference of all kinds as Markdown, from the same schemas as the CRDs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fluxgate.api.crd import build_crd, kind_of
from fluxgate.api.v1alpha1 import API_VERSION, KINDS, Resource

_HEAD = """# Kinds

Generated from the models by `make generate`; do not edit.

All kinds are of `{api}`, namespaced, and in the category `fluxgate` (`kubectl get fluxgate`).
Statuses have the conditions `Accepted`, `ResolvedRefs` and `Programmed`.
"""


def render_reference() -> str:
    """One section a kind: a table of every field, then the rules between fields."""
    sections = [_HEAD.format(api=API_VERSION), *(_section(model) for model in KINDS)]
    return "\n".join(sections)


def _section(model: type[Resource]) -> str:
    schema = build_crd(model)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    spec = schema["properties"]["spec"]
    lines = [
        f"## {kind_of(model)}",
        "",
        f"{schema['description']} `kubectl get {model.plural}`, short "
        + ", ".join(f"`{name}`" for name in model.short_names)
        + ".",
        "",
        "| field | type | default | description |",
        "|---|---|---|---|",
        *(_row(path, node, required) for path, node, required in _fields(spec, "spec")),
    ]
    if rules := list(_rules(spec, "spec")):
        lines += ["", "Rules:", "", *(f"- `{path}`: {message}" for path, message in rules)]
    return "\n".join(lines) + "\n"


def _fields(node: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any], bool]]:
    for name, child in sorted(node.get("properties", {}).items()):
        below = f"{path}.{name}"
        yield below, child, name in node.get("required", ())
        inner, suffix = (child["items"], "[]") if child["type"] == "array" else (child, "")
        yield from _fields(inner, below + suffix)


def _rules(node: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
    for rule in node.get("x-kubernetes-validations", ()):
        yield path, _escape(rule["message"])
    if keys := node.get("x-kubernetes-list-map-keys"):
        yield path, f"no two have the same {' and '.join(keys)}"
    for name, child in sorted(node.get("properties", {}).items()):
        yield from _rules(child, f"{path}.{name}")
    if node["type"] == "array":
        yield from _rules(node["items"], f"{path}[]")


def _row(path: str, node: dict[str, Any], required: bool) -> str:
    default = f"`{node['default']}`" if "default" in node else ("required" if required else "")
    return f"| `{path}` | {_type(node)} | {default} | {_escape(node.get('description', ''))} |"


def _type(node: dict[str, Any]) -> str:
    if node["type"] == "array":
        return f"list of {_type(node['items'])}"
    if "enum" in node:
        return " \\| ".join(f"`{value}`" for value in node["enum"])
    if node.get("format") == "date-time":
        return "time"
    if "minimum" in node and "maximum" in node:
        return f"{node['type']}, {node['minimum']} to {node['maximum']}"
    return str(node["type"])


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("{", "\\{")
