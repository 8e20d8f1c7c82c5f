"""Which fields of the models a translation reads, found by recording every access."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from unit.api.cases import GOOD, document

from fluxgate.api.parse import parse_object
from fluxgate.api.v1alpha1 import KINDS, Model
from fluxgate.errors import ResourceError
from fluxgate.resources import Object, ResourceStore, ServiceEndpoints
from fluxgate.translator import translate
from fluxgate.translator.plugins import POLICY_TYPES
from fluxgate.xds.build import build_snapshot

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "cases"
Field = tuple[str, str]
"""The name of a model and of its field."""


def fields_read(monkeypatch: pytest.MonkeyPatch) -> set[Field]:
    """Every field that a translation of the golden cases and of right objects reads."""
    worlds = [_golden(folder) for folder in sorted(GOLDEN.iterdir())]
    worlds.append([*_smallest_gateway(), *_others()])
    worlds += [[*_smallest_gateway(), parse_object(document(c.kind, c.spec))] for c in GOOD]
    read: set[Field] = set()
    plain = Model.__getattribute__

    def recording(self: Model, name: str) -> Any:
        if name in type(self).model_fields:
            read.update((each.__name__, name) for each in type(self).__mro__)
        return plain(self, name)

    with monkeypatch.context() as patch:
        patch.setattr(Model, "__getattribute__", recording)
        for objects in worlds:
            store = ResourceStore()
            for each in objects:
                store.upsert(each)
            for gateway in translate(store.freeze()).gateways.values():
                build_snapshot(gateway)
    return read


def every_path() -> Iterator[tuple[str, str, Field]]:
    """(kind, JSON path, field) of every field below every spec, and of every policy's config."""
    for kind in KINDS:
        spec = kind.model_fields["spec"].annotation
        yield from ((kind.__name__, path, field) for path, field in _paths(spec, "spec"))
    for policy in POLICY_TYPES:
        for path, field in _paths(policy.config, f"{policy.name}.config"):
            yield "Plugin", path, field


def _paths(model: type[Model], prefix: str) -> Iterator[tuple[str, Field]]:
    for name, info in model.model_fields.items():
        nested, many = _nested(info.annotation)
        path = f"{prefix}.{info.alias}{'[]' if many else ''}"
        yield path, (model.__name__, name)
        if nested is not None:
            yield from _paths(nested, path)


def _nested(annotation: Any) -> tuple[type[Model] | None, bool]:
    """The model inside an annotation, and whether it holds many of them."""
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return annotation, False
    for argument in getattr(annotation, "__args__", ()):
        found, many = _nested(argument)
        if found is not None:
            origin = getattr(annotation, "__origin__", None)
            return found, many or origin is tuple
    return None, False


def _golden(folder: Path) -> list[Object]:
    documents = yaml.safe_load_all((folder / "in.yaml").read_text())
    return [parsed for each in documents if each for parsed in _parsed(each)]


def _parsed(written: dict[str, Any]) -> Iterable[Object]:
    try:
        return [parse_object(written)]
    except ResourceError:
        return []


def _others() -> list[Object]:
    """What the cases above leave out: a Service's endpoints, and limits as plugins."""
    backend = {"service": {"name": "s", "port": 80}}
    limits = [{"type": "rate-limit", "config": {"requests": 1}}]
    route = {"backends": [{"name": "x"}], "plugins": limits}
    return [
        ServiceEndpoints("default", "s", {80: ()}),
        parse_object(document("Backend", backend)),
        parse_object(document("Route", route)),
    ]


def _smallest_gateway() -> list[Object]:
    listeners = {"listeners": [{"name": "http", "port": 80}]}
    written = document("GatewayConfig", listeners)
    written["metadata"] = {"name": "smallest"}
    return [parse_object(written)]
