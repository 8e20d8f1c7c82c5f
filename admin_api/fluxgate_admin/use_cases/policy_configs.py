"""Configs of policies, checked against the models of their types before anything is tried. Pure.

The translator finds the same, and says it in a sentence on the object; here every field gets its pointer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from pydantic import ValidationError

from fluxgate.api.parse import describe, field_problems
from fluxgate.api.v1alpha1 import Plugin, Resource, Route
from fluxgate.errors import FieldProblem, ResourceError
from fluxgate.ports.resources import Document
from fluxgate.translator.plugins import POLICY_TYPES
from fluxgate.translator.policies import policy_type


def check_configs(document: Document, resource: Resource) -> None:
    """Raises ``ResourceError`` with everything that is wrong with the configs of policies in an object."""
    problems = tuple(_problems(resource))
    if problems:
        raise ResourceError(describe(document), problems)


def _problems(resource: Resource) -> Iterator[FieldProblem]:
    match resource:
        case Plugin(spec=spec):
            yield from _of(spec.type, spec.config, "spec")
        case Route(spec=spec):
            for index, use in enumerate(spec.plugins):
                if use.type is not None and (use.enabled or use.config):
                    yield from _of(use.type, use.config, f"spec.plugins[{index}]")


def _of(kind: str, config: dict[str, object], path: str) -> Iterator[FieldProblem]:
    known = policy_type(kind)
    if known is None:
        names = ", ".join(sorted(each.name for each in POLICY_TYPES))
        yield FieldProblem(f"{path}.type", f"{kind!r} is not supported; known: {names}")
        return
    try:
        known.config.model_validate_json(
            json.dumps(config), strict=True, by_alias=True, by_name=False
        )
    except ValidationError as error:
        yield from field_problems(known.config, error, f"{path}.config")
