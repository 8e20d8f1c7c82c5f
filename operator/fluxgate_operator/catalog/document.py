"""``public-route-catalog.json``: the routes of an installation, in one document.

    {"version": 1, "routes": [{"name": "orders", "labels": {}, "annotations": {}, "spec": {…}}]}

``spec`` is the specification of a Route. A catalogue names no namespace: who applies it does,
and its owner is the same everywhere. JSON is the form it is exchanged in; YAML is read as well.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fluxgate.api.parse import parse_object
from fluxgate.api.v1alpha1 import API_VERSION, Route
from fluxgate.errors import ResourceError
from fluxgate_operator.documents import DocumentError, read_documents
from fluxgate_operator.errors import OperatorError
from fluxgate_operator.kube.client import Document

VERSION = 1
OWNER_LABEL = "gateway.fluxgate.io/owner"
"""On every Route a catalogue made: the owner's name. What lacks it is never changed or deleted."""

_ENTRY_FIELDS = frozenset({"name", "labels", "annotations", "spec"})
_LEFT_BY_KUBECTL = "kubectl.kubernetes.io/last-applied-configuration"


class CatalogError(OperatorError):
    """A catalogue cannot be used; ``problems`` name the place and what is wrong there."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))


@dataclass(frozen=True, slots=True)
class Entry:
    """One route of a catalogue. ``spec`` is as it was written, without defaults."""

    name: str
    spec: Mapping[str, object]
    labels: Mapping[str, str]
    annotations: Mapping[str, str]

    def as_route(self, namespace: str, owner: str | None = None) -> Document:
        """The Route object; with ``owner``, marked as that catalogue's own."""
        labels = dict(self.labels) | ({OWNER_LABEL: owner} if owner else {})
        metadata: Document = {"name": self.name, "namespace": namespace}
        if labels:
            metadata["labels"] = labels
        if self.annotations:
            metadata["annotations"] = dict(self.annotations)
        return {
            "apiVersion": API_VERSION,
            "kind": "Route",
            "metadata": metadata,
            "spec": dict(self.spec),
        }


def read_catalog(path: Path) -> tuple[Entry, ...]:
    """The entries of one file. Raises :class:`CatalogError` with everything wrong in it."""
    try:
        documents, errors = read_documents(path.read_bytes(), is_json=path.suffix == ".json")
    except (OSError, DocumentError) as error:
        raise CatalogError([f"{path}: {error}"]) from error
    if errors:
        raise CatalogError(f"{path}:{each}" for each in errors)
    if len(documents) != 1:
        raise CatalogError([f"{path}: holds {len(documents)} documents; a catalogue is one"])
    return parse_catalog(documents[0].content, str(path))


def parse_catalog(content: Mapping[str, object], where: str) -> tuple[Entry, ...]:
    """The entries of a catalogue's document. Raises :class:`CatalogError`."""
    problems = [
        f"{where}: {name}: unknown field; a catalogue has version and routes"
        for name in sorted(content.keys() - {"version", "routes"})
    ]
    if content.get("version") != VERSION:
        problems.append(f"{where}: version: must be {VERSION}")
    routes = content.get("routes")
    if not isinstance(routes, list):
        raise CatalogError([*problems, f"{where}: routes: must be a list"])
    entries: list[Entry] = []
    for index, each in enumerate(routes):
        found = _entry(each, f"{where}: routes[{index}]")
        if isinstance(found, Entry):
            entries.append(found)
        else:
            problems += found
    if problems:
        raise CatalogError(problems)
    return tuple(entries)


def _entry(content: object, where: str) -> Entry | list[str]:
    if not isinstance(content, dict):
        return [f"{where}: must be an object with name and spec"]
    problems = [
        f"{where}: {name}: unknown field; an entry has name, labels, annotations and spec"
        for name in sorted(content.keys() - _ENTRY_FIELDS)
    ]
    if OWNER_LABEL in (content.get("labels") or {}):
        problems.append(f"{where}: labels: {OWNER_LABEL} is set by who applies the catalogue")
    document = {
        "apiVersion": API_VERSION,
        "kind": "Route",
        "metadata": {key: content[key] for key in _ENTRY_FIELDS - {"spec"} if content.get(key)},
        "spec": content.get("spec"),
    }
    try:
        parsed = parse_object(document)
    except ResourceError as error:
        return problems + [f"{where}: {each}" for each in error.problems]
    if problems:
        return problems
    spec = content["spec"]
    assert isinstance(parsed, Route)
    assert isinstance(spec, dict)
    meta = parsed.metadata
    return Entry(meta.name, spec, meta.labels, meta.annotations)


def combined(catalogs: Iterable[tuple[Entry, ...]]) -> tuple[Entry, ...]:
    """All entries in the order of their names. Raises :class:`CatalogError` for a name used twice."""
    entries = sorted((each for one in catalogs for each in one), key=lambda each: each.name)
    twice = [name for name, count in Counter(each.name for each in entries).items() if count > 1]
    if twice:
        raise CatalogError(
            f"the route {name} is in the catalogues more than once" for name in twice
        )
    return tuple(entries)


def entry_of(route: Document) -> Entry:
    """A Route object as a catalogue has it: without what a cluster added."""
    meta = route["metadata"]
    labels = {k: v for k, v in (meta.get("labels") or {}).items() if k != OWNER_LABEL}
    annotations = {
        k: v for k, v in (meta.get("annotations") or {}).items() if k != _LEFT_BY_KUBECTL
    }
    return Entry(meta["name"], route["spec"], labels, annotations)


def render_catalog(entries: Iterable[Entry]) -> str:
    """The catalogue as JSON, in the order of names: equal routes give equal text."""
    routes = []
    for each in sorted(entries, key=lambda entry: entry.name):
        route: dict[str, object] = {"name": each.name}
        if each.labels:
            route["labels"] = dict(each.labels)
        if each.annotations:
            route["annotations"] = dict(each.annotations)
        routes.append(route | {"spec": each.spec})
    document = {"version": VERSION, "routes": routes}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
