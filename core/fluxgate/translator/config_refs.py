"""Which objects the config of a policy names, found in its model."""

from __future__ import annotations

from collections.abc import Iterator

from fluxgate.api.v1alpha1 import Model
from fluxgate.api.v1alpha1.policy import SecretRef
from fluxgate.api.v1alpha1.route import BackendRef
from fluxgate.resources import ObjectRef


def references_in(
    config: Model, namespace: str, path: str = "config"
) -> Iterator[tuple[str, ObjectRef]]:
    """Path and identity of every Secret, Service, Backend and Upstream that ``config`` names."""
    for name, info in type(config).model_fields.items():
        yield from _in_value(vars(config)[name], namespace, f"{path}.{info.alias or name}")


def _in_value(value: object, namespace: str, path: str) -> Iterator[tuple[str, ObjectRef]]:
    if isinstance(value, SecretRef):
        yield path, ObjectRef("Secret", value.namespace or namespace, value.name)
    elif isinstance(value, BackendRef):
        if value.name is not None:
            yield path, ObjectRef(value.kind, namespace, value.name)
    elif isinstance(value, Model):
        yield from references_in(value, namespace, path)
    elif isinstance(value, tuple):
        for index, each in enumerate(value):
            yield from _in_value(each, namespace, f"{path}[{index}]")
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _in_value(each, namespace, f"{path}.{key}")
